// Package manual holds docs/lab.md to the programs that it describes: to their
// flags, and to those that its recipes use.
package manual

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
)

// Check compares the section of a program with what the program, whose tests
// are running (see [netlab.MainProgram]), prints with -h.
func Check(t *testing.T, program string) {
	t.Helper()
	help, err := netlab.Self("-h").CombinedOutput()
	if err != nil {
		t.Fatalf("%s -h: %v\n%s", program, err, help)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "lab.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, mistake := range compare(program, string(help), string(text)) {
		t.Error(mistake)
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
