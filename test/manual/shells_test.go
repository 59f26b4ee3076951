package manual

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Scripts that complete each line of the file "lines" as their shell does at a terminal. They write
// each line after "> ", and what is offered for it.
var (
	//go:embed testdata/lines.bash
	linesOfBash string
	//go:embed testdata/lines.fish
	linesOfFish string
	//go:embed testdata/lines.zsh
	linesOfZsh string
)

// help is what a command takes, as its -h tells people.
type help struct {
	words []string // that go on behind it
	flags []string
}

var (
	usageLine = regexp.MustCompile(`(?m)^usage: (.*)$`)
	flagLine  = regexp.MustCompile(`^  (-[a-z0-9-]+)`)
	isWord    = regexp.MustCompile(`^[a-z][a-z-]*$`)
)

// asked asks a program, and all its commands, what they take. The key is the command line.
func asked(t *testing.T, line string, all map[string]help) {
	t.Helper()
	words := strings.Fields(line)
	c := exec.CommandContext(t.Context(), filepath.Join(built, words[0]), append(words[1:], "-h")...)
	c.Env = []string{}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s -h: %v\n%s", line, err, out)
	}
	var h help
	for text := range strings.Lines(string(out)) {
		rest, isCommand := strings.CutPrefix(text, "  "+line+" ")
		if m := usageLine.FindStringSubmatch(strings.TrimSuffix(text, "\n")); m != nil {
			rest, isCommand = strings.CutPrefix(m[1], line+" ")
		}
		if m := flagLine.FindStringSubmatch(text); m != nil {
			h.flags = append(h.flags, m[1])
		}
		if next := strings.Fields(rest); isCommand && len(next) > 0 && rest[0] != ' ' {
			for word := range strings.SplitSeq(next[0], "|") {
				switch {
				case isWord.MatchString(word):
					h.words = append(h.words, word)
				case flagLine.MatchString("  "+word) && strings.HasPrefix(text, "  "): // in place of a command
					h.flags = append(h.flags, word)
				}
			}
		}
	}
	if usageLine.Match(out) && h.words != nil {
		h.flags = nil // of the word that goes on
	}
	slices.Sort(h.words)
	slices.Sort(h.flags)
	h.words, h.flags = slices.Compact(h.words), slices.Compact(h.flags)
	all[line] = h
	if strings.HasSuffix(line, " manual") {
		return
	}
	for _, w := range h.words {
		asked(t, line+" "+w, all)
	}
}

// Each shell, as it is installed, offers every command and every flag of every program that the
// program itself tells of, and nothing else.
func TestShellsOfferAllCommandsAndFlags(t *testing.T) {
	if err := build(); err != nil {
		t.Fatal(err)
	}
	all := map[string]help{}
	for _, p := range programs {
		asked(t, p, all)
	}
	if len(all) < 30 || len(all["dhcp4d leases list"].flags) < 12 || !slices.Contains(all["dhcp6d hook"].words, "test") {
		t.Fatalf("the help of the programs is not understood: %q", all)
	}
	var lines []string
	for line, h := range all {
		if len(h.words) > 0 {
			lines = append(lines, line+" ")
		}
		if len(h.flags) > 0 {
			lines = append(lines, line+" -")
		}
	}
	slices.Sort(lines)
	for _, shell := range []struct{ name, file, script string }{
		{"bash", "%", linesOfBash}, {"fish", "%.fish", linesOfFish}, {"zsh", "_%", linesOfZsh},
	} {
		t.Run(shell.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, p := range programs {
				text := run(t, filepath.Join(built, p), "manual", shell.name)
				if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(shell.file, "%", p)), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			script := filepath.Join(t.TempDir(), "script")
			for name, text := range map[string]string{filepath.Join(dir, "lines"): strings.Join(lines, "\n") + "\n", script: shell.script} {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			none := map[string][]string{"bash": {"--norc", "--noprofile"}, "fish": {"-N"}, "zsh": {"-f"}}[shell.name]
			c := exec.CommandContext(t.Context(), shell.name, append(none, script)...)
			c.Dir, c.Env = dir, append(os.Environ(), "HOME="+dir, "TERM=vt100", "LC_ALL=C.UTF-8")
			var said strings.Builder
			c.Stderr = &said
			out, err := c.Output()
			if err != nil || said.String() != "" {
				t.Fatalf("%v, said\n%s\n%s", err, &said, out)
			}
			got := map[string][]string{}
			line := ""
			for text := range strings.Lines(string(out)) {
				text = strings.TrimSuffix(text, "\n")
				if next, ok := strings.CutPrefix(text, "> "); ok {
					line = next
				} else if text != "" {
					got[line] = append(got[line], text)
				}
			}
			for _, line := range lines {
				command, _, onlyFlags := strings.Cut(line, " -")
				h, offers := all[strings.TrimSpace(command)], got[line]
				slices.Sort(offers)
				if onlyFlags && !slices.Equal(offers, h.flags) {
					t.Errorf("%q: offers %q, want %q", line, offers, h.flags)
				}
				for _, w := range h.words {
					if !onlyFlags && !slices.Contains(offers, w) {
						t.Errorf("%q: does not offer %s", line, w)
					}
				}
				for _, o := range offers {
					if !onlyFlags && !slices.Contains(h.words, o) && !slices.Contains(h.flags, o) {
						t.Errorf("%q: offers %s", line, o)
					}
				}
			}
		})
	}
}
