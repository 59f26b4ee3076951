package programs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

var (
	blocks   = regexp.MustCompile("(?m)^(?:```[^\n]*\n(?s:.*?)^```|(?:    .*\n)+)")
	inline   = regexp.MustCompile("`((?:[^`\n]|\n[^`\n])*)`") // within a paragraph
	topLevel = regexp.MustCompile(`(?m)^  dhcp[46]d -([a-z]+) `)
	remark   = regexp.MustCompile(`\s#.*`)
	ours     = regexp.MustCompile(`(?:^|[\s/(])(dhcp4d|dhcp6d|dhcp4d-radius|dhcp4o6-client|dhcp4o6-perf|dhcp4o6-relay|dhcp6-relay)((?: [a-z]+)*)((?: .*)?)`)
	pipes    = regexp.MustCompile(`[|;>)]|&&`)
	quoted   = regexp.MustCompile(`"[^"]*"|'[^']*'`)
	usedFlag = regexp.MustCompile(`(?:^| )--?([a-z][a-z0-9-]*)`)
)

// use is a command of a document: a program, its words, and flags.
type use struct {
	program string
	words   []string
	flags   []string
}

// uses are the commands of our programs in a document.
func uses(text string) (all []use) {
	commands := strings.Join(blocks.FindAllString(text, -1), "")
	for _, m := range inline.FindAllStringSubmatch(blocks.ReplaceAllString(text, ""), -1) {
		commands += strings.ReplaceAll(m[1], "\n", " ") + "\n"
	}
	for line := range strings.Lines(strings.ReplaceAll(commands, "\\\n", " ")) {
		line = remark.ReplaceAllString(strings.TrimRight(line, "\n"), "")
		m := ours.FindStringSubmatch(quoted.ReplaceAllString(line, "''"))
		if m == nil || strings.Contains(line, "--target ") { // of an image
			continue
		}
		arguments := pipes.Split(m[3], 2)[0]
		u := use{program: m[1], words: strings.Fields(m[2])}
		for _, f := range usedFlag.FindAllStringSubmatch(arguments, -1) {
			u.flags = append(u.flags, f[1])
		}
		if len(u.flags) > 0 {
			all = append(all, u)
		}
	}
	return all
}

// TestFlagsInDocuments runs -h of each command that a document shows.
func TestFlagsInDocuments(t *testing.T) {
	var documents []string
	for _, pattern := range []string{"../../*.md", "../../docs/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, found...)
	}
	known, checked := map[string][]string{}, 0
	for _, document := range documents {
		if filepath.Base(document) == "CHANGELOG.md" { // it has commands of former versions
			continue
		}
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range uses(string(text)) {
			name := strings.Join(append([]string{u.program}, u.words...), " ")
			if known[name] == nil {
				path, err := servers.Find(u.program)
				if err != nil {
					t.Fatal(err)
				}
				help, err := exec.Command(path, append(u.words, "-h")...).CombinedOutput()
				if err != nil {
					t.Errorf("%s: %s -h: %v\n%s", document, name, err, help)
				}
				known[name] = append(append(names(inHelp, string(help)), names(topLevel, string(help))...), "h")
			}
			for _, f := range u.flags {
				if !slices.Contains(known[name], f) {
					t.Errorf("%s: %s has no flag -%s", document, name, f)
				}
			}
			checked++
		}
	}
	if checked < 30 {
		t.Errorf("only %d commands were found", checked)
	}
}

func TestUsesAreFound(t *testing.T) {
	text := "Say `dhcp4d leases\nexport -format csv`.\n\n    (set -a; . x; dhcp4d -check)\n    ip netns exec a bin/dhcp4o6-client -i eth0 \\\n        -once | grep -v x   # -y\n" +
		"    dhcp4d leases show 192.0.2.1\n    dhcp4d trace -hw-address '-z' && ls -l\n"
	var got []string
	for _, u := range uses(text) {
		got = append(got, u.program+" "+strings.Join(u.words, " ")+": "+strings.Join(u.flags, " "))
	}
	want := []string{"dhcp4d : check", "dhcp4o6-client : i once", "dhcp4d trace: hw-address", "dhcp4d leases export: format"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
