// Package manual tests the manual pages and completions that the programs write: that every program
// has them, and that the tools they are for read them and offer what the programs take.
package manual

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// programs are all that have a manual.
var programs = []string{"dhcp6d", "dhcp4d", "dhcp4d-radius", "dhcp4o6-client", "dhcp4o6-perf", "dhcp4o6-relay", "dhcp6-relay"}

// built is the directory of the programs and of what they write, after [build].
var built string

func TestMain(m *testing.M) {
	status := m.Run()
	_ = os.RemoveAll(built) // a temporary directory
	os.Exit(status)
}

// build builds all programs, as they are in the tree.
var build = sync.OnceValue(func() (err error) {
	if built, err = os.MkdirTemp("", "dhcp4o6-manual-"); err != nil {
		return err
	}
	c := exec.Command("go", "build", "-buildvcs=false", "-o", built, "../../dhcp6d", "../../dhcp4d", "../../dhcp4d/dhcp4d-radius", "../../clients/cmd/...")
	c.Stderr = os.Stderr
	return c.Run()
})

// file has a program write its page, or what a shell needs, and returns the name of the file.
func file(t *testing.T, program, what string) string {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), program)
	if err := os.WriteFile(name, []byte(run(t, filepath.Join(built, program), "manual", what)), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// run runs a tool and returns what it writes.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	if name == "fish" || name == "zsh" || name == "bash" { // nothing of who runs the test
		c.Env = append(os.Environ(), "HOME="+t.TempDir(), "TERM=dumb")
	}
	var said strings.Builder
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, said.String())
	}
	return string(out)
}

func TestEveryProgramHasAManual(t *testing.T) {
	found, err := filepath.Glob("../../clients/cmd/*")
	if err != nil || len(found)+3 != len(programs) {
		t.Errorf("%d programs of clients/cmd (%v), and the manual has %d with the daemons and dhcp4d-radius", len(found), err, len(programs))
	}
	page := file(t, "dhcp4d", "man")
	if out, err := exec.Command(filepath.Join(built, "dhcp4d"), "manual", "tcsh").CombinedOutput(); err == nil || !strings.Contains(string(out), "dhcp4d manual man|bash|zsh|fish") {
		t.Errorf("another shell: %v, %s; %s", err, out, page)
	}
}

// Every word and flag of the help is in the page, in the terms of mandoc.
func TestManualPages(t *testing.T) {
	for _, program := range programs {
		// Bad style counts too. A page has no date, because it is that of any build.
		out, _ := exec.Command("mandoc", "-T", "lint", "-W", "style", file(t, program, "man")).Output()
		for l := range strings.Lines(string(out)) {
			if !strings.Contains(l, "missing date") {
				t.Error(l)
			}
		}
	}
	text := regexp.MustCompile(".\b").ReplaceAllString(run(t, "mandoc", "-T", "ascii", file(t, "dhcp4d", "man")), "") // bold is a letter twice
	for _, want := range []string{"dhcp4d leases list", "dhcp4d subnets", "dhcp4d reset-clock", "dhcp4d store repair", "-interface-id", "DHCP4D_SUBNETS", "The answer is known: there is no such thing"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page of dhcp4d does not have %q", want)
		}
	}
}

// completions is what bash offers for a line whose last word is begun.
func completions(t *testing.T, program string, words ...string) []string {
	t.Helper()
	quoted := "'" + strings.Join(append([]string{program}, words...), "' '") + "'"
	script := `source "$0"; COMP_WORDS=(` + quoted + `); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _` + strings.ReplaceAll(program, "-", "_") + `; printf '%s\n' "${COMPREPLY[@]}"`
	return strings.Fields(run(t, "bash", "-c", script, file(t, program, "bash")))
}

func TestBash(t *testing.T) {
	for _, c := range []struct {
		words []string
		want  string // all that is offered
	}{
		{[]string{"le"}, "leases"},
		{[]string{"-v"}, "-version"},
		{[]string{"leases", "re"}, "release reserve"},
		{[]string{"leases", "list", "-re"}, "-remote-id"},
		{[]string{"leases", "list", "-state", "de"}, "declined"},
		{[]string{"leases", "list", "-address", ""}, ""},
		{[]string{"leases", "export", "-format", ""}, "csv ndjson json"},
		{[]string{"leases", "import", "manual_te"}, "manual_test.go"},
		{[]string{"leases", "import", "-d"}, "-dry-run"},
		{[]string{"trace", "-w", "manual_te"}, "manual_test.go"},
		{[]string{"manual", "f"}, "fish"},
		{[]string{"nothing", ""}, ""},
	} {
		got := completions(t, "dhcp4d", c.words...)
		want := strings.Fields(c.want)
		if !slices.Equal(got, want) {
			t.Errorf("dhcp4d %q: offers %q, want %q", c.words, got, want)
		}
	}
	if got := completions(t, "dhcp4o6-client", "-conf"); !slices.Equal(got, []string{"-configure"}) {
		t.Errorf("dhcp4o6-client -conf: offers %q", got)
	}
	if got := completions(t, "dhcp6d", "tr"); !slices.Equal(got, []string{"trace"}) {
		t.Errorf("dhcp6d tr: offers %q", got)
	}
}

func TestFish(t *testing.T) {
	for line, want := range map[string]string{
		"dhcp4d le":                        "leases",
		"dhcp4d leases re":                 "release reserve",
		"dhcp4d leases list -state de":     "declined",
		"dhcp4d leases list -remote":       "-remote-id",
		"dhcp4d explain -remote":           "-remote-id",
		"dhcp4d leases import manual_te":   "manual_test.go",
		"dhcp4d -vers":                     "-version",
		"dhcp4o6-client -confi":            "-configure",
		"dhcp4o6-client -state manual_tes": "manual_test.go",
	} {
		program, _, _ := strings.Cut(line, " ")
		var got []string
		for l := range strings.Lines(run(t, "fish", "-N", "-c", `source $argv[1]; complete -C $argv[2]`, file(t, program, "fish"), line)) {
			word, _, _ := strings.Cut(strings.TrimSpace(l), "\t")
			got = append(got, word)
		}
		if !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%q: offers %q, want %q", line, got, want)
		}
	}
}

// TestZsh replaces _describe and _arguments of zsh by functions that print what they would offer.
func TestZsh(t *testing.T) {
	const script = `
_describe() { print -rl -- ${(P)2} }
_arguments() { print -rl -- "$@" }
complete_line() {
	local -a words=("$@[2,-1]")
	local CURRENT=$#words
	source $1
}
complete_line "$@"`
	for _, c := range []struct {
		words []string
		want  string
	}{
		{[]string{"dhcp4d", ""}, "leases:look at, release, reserve, export and import leases"},
		{[]string{"dhcp4d", "leases", ""}, "history:tell from the lease log"},
		{[]string{"dhcp4d", "leases", "list", "-"}, "-state[in this state\\: offered"},
		{[]string{"dhcp4d", "leases", "list", "-"}, ":(offered bound expired released declined former)"},
		{[]string{"dhcp4d", "leases", "import", ""}, "*:file:_files"},
		{[]string{"dhcp4d", "trace", ""}, "-w[write the datagrams as a capture"},
		{[]string{"dhcp4o6-perf", "-"}, "-in-flight[exchanges in flight"},
	} {
		args := append([]string{"-f", "-c", script, "zsh", file(t, c.words[0], "zsh")}, c.words...)
		if got := run(t, "zsh", args...); !strings.Contains(got, c.want) {
			t.Errorf("%q: is told to offer\n%s\nwant %q among it", c.words, got, c.want)
		}
	}
	for _, program := range programs {
		run(t, "zsh", "-n", file(t, program, "zsh"))
	}
}
