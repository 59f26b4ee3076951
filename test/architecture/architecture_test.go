// Package architecture checks that what architecture.md names exists.
package architecture

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// bases are the folders that a path in the document may start at.
var bases = []string{"", "dhcp4d/internal", "dhcp6d/internal", "shared", "clients", "test", "bench"}

var (
	quoted = regexp.MustCompile("`([^`]+)`")
	isPath = regexp.MustCompile(`^[\w-]+(/[\w-]+)*(\.\w+)?$`)
)

// place is a file or a folder of the repository.
type place struct{ path string }

// find returns the place that a word of the document names, nil if there is none. Near is the place
// before it in the line, nil if there is none. Seen are the folders that were named before, the
// latest first.
func find(word string, near *place, seen []string) *place {
	var starts []string
	if near != nil {
		starts = []string{near.path, filepath.Dir(near.path)}
	}
	for _, base := range slices.Concat(starts, bases, seen) {
		path := filepath.Join(base, word)
		if _, err := os.Stat(filepath.Join(root, path)); err == nil {
			return &place{path}
		}
	}
	return nil
}

// declares reports whether Go code at a place declares a name.
func (p *place) declares(name string) bool {
	files := []string{filepath.Join(root, p.path)}
	if filepath.Ext(p.path) != ".go" {
		files, _ = filepath.Glob(filepath.Join(root, p.path, "*.go"))
	}
	declared := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type |var |const |\t)` + regexp.QuoteMeta(name) + `\b`)
	return slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		return err == nil && declared.Match(text)
	})
}

// missing returns the words in the tables of the document that name nothing.
func missing(document string) (words []string) {
	var seen []string
	for line := range strings.Lines(document) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		var near *place
		for _, m := range quoted.FindAllStringSubmatch(line, -1) {
			word := m[1]
			if !isPath.MatchString(word) {
				continue
			}
			if near != nil && near.declares(word) {
				continue
			}
			if p := find(word, near, seen); p != nil {
				near = p
				seen = slices.Insert(seen, 0, filepath.Dir(p.path))
				continue
			}
			if near != nil || strings.ContainsAny(word, "/.") { // else it is the name of a goroutine or a build tag
				words = append(words, word)
			}
		}
	}
	return words
}

func TestWhatArchitectureNamesExists(t *testing.T) {
	document, err := os.ReadFile(filepath.Join(root, "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	if words := missing(string(document)); len(words) > 0 {
		t.Errorf("architecture.md names files, folders or functions that do not exist: %q", words)
	}
}

func TestWhatDoesNotExistIsFound(t *testing.T) {
	got := missing("| `dhcp6d/internal/server/up.go` `receive` | `no/such/file.go` |\n| `shared/udp` `Serve`, `NoSuchName` |\n")
	if want := []string{"no/such/file.go", "NoSuchName"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// listed is what the Dockerfile compiles before the sources are there.
var listed = regexp.MustCompile(`RUN go build std((?: \\\n\t[^\n\\]*[^\n\\ ])+)`)

// What the programs of the images import, and is not ours, is compiled in a layer of its own. A
// package that is not in it would be compiled again after each changed line.
func TestImagesCompileDependenciesFirst(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "deploy/docker/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	m := listed.FindSubmatch(text)
	if m == nil {
		t.Fatal("the Dockerfile has no list of packages")
	}
	first := strings.Fields(strings.ReplaceAll(string(m[1]), `\`, " "))
	has, needs := imported(t, first...), imported(t, "./dhcp6d", "./dhcp4d", "./clients/cmd/...")
	for _, p := range needs {
		if !slices.Contains(has, p) {
			t.Errorf("the list of the Dockerfile does not lead to %s", p)
		}
	}
	for _, p := range first {
		if !slices.Contains(needs, p) {
			t.Errorf("the Dockerfile lists %s, which no program of the images imports", p)
		}
	}
}

// imported are the packages that are neither ours nor of the standard library, which packages need.
func imported(t *testing.T, packages ...string) []string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}"}, packages...)...)
	c.Dir, c.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %v", c, err)
	}
	return slices.DeleteFunc(strings.Fields(string(out)), func(p string) bool { return strings.HasPrefix(p, "github.com/dhcp4o6/") })
}
