package programs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestManual compares docs/lab.md with the flags of the programs, and checks the flags in its
// examples.
func TestManual(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "lab.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dhcp4o6-client", "dhcp4o6-perf", "dhcp4o6-relay", "dhcp6-relay"} {
		help, err := exec.Command(command(t, name), "-h").CombinedOutput()
		if err != nil {
			t.Errorf("%s -h: %v\n%s", name, err, help)
			continue
		}
		for _, mistake := range compare(name, string(help), string(text)) {
			t.Error(mistake)
		}
	}
}

var (
	inHelp  = regexp.MustCompile(`(?m)^  -([a-z0-9-]+)`)
	inTable = regexp.MustCompile("(?m)^\\| `-([a-z0-9-]+)")
	inUse   = regexp.MustCompile(` -([a-z][a-z0-9-]*)`)
)

// compare returns what is wrong.
func compare(program, help, text string) (mistakes []string) {
	flags := names(inHelp, help)
	if len(flags) == 0 {
		mistakes = append(mistakes, "-h names no flags")
	}
	_, section, ok := strings.Cut(text, "\n## "+program+"\n")
	if !ok {
		return append(mistakes, fmt.Sprintf("docs/lab.md has no section %q", program))
	}
	section, _, _ = strings.Cut(section, "\n## ")
	listed := names(inTable, section)
	for _, f := range flags {
		if !slices.Contains(listed, f) {
			mistakes = append(mistakes, fmt.Sprintf("docs/lab.md does not list -%s of %s", f, program))
		}
	}
	for _, f := range listed {
		if !slices.Contains(flags, f) {
			mistakes = append(mistakes, fmt.Sprintf("docs/lab.md lists -%s, which %s has not", f, program))
		}
	}
	uses := 0
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		_, arguments, ok := strings.Cut(line, program+" -")
		if !ok || !strings.HasPrefix(line, "    ") {
			continue
		}
		uses++
		for _, f := range names(inUse, " -"+arguments) {
			if !slices.Contains(flags, f) {
				mistakes = append(mistakes, fmt.Sprintf("a recipe uses -%s, which %s has not: %s", f, program, line))
			}
		}
	}
	if uses == 0 {
		mistakes = append(mistakes, "docs/lab.md has no recipe with "+program)
	}
	return mistakes
}

func names(r *regexp.Regexp, text string) (all []string) {
	for _, m := range r.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

func TestManualMistakes(t *testing.T) {
	const help = "Usage of tool:\n  -a int\n    \tnumber\n  -b\tflag\n"
	const good = "# Lab\n\n## tool\n\n    bin/tool -a 1 -b    # comment -x\n\n| `-a n` | x |\n| `-b` | y |\n\n## other\n\n| `-z` | of another |\n"
	for want, text := range map[string]string{
		"":                   good,
		"no section":         "# Lab\n",
		"does not list -b":   strings.Replace(good, "| `-b` | y |\n", "", 1),
		"lists -c":           strings.Replace(good, "| `-b`", "| `-c` | x |\n| `-b`", 1),
		"a recipe uses -q":   strings.Replace(good, "-a 1", "-q 1", 1),
		"has no recipe with": strings.Replace(good, "bin/tool -a", "bin/other -a", 1),
	} {
		got := strings.Join(compare("tool", help, text), "; ")
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("want %q, got %q", want, got)
		}
	}
}
