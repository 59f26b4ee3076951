// Package architecture checks that what architecture.md names exists.
package architecture

import (
	"os"
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
