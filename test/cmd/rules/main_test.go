package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEveryRuleHasATest(t *testing.T) {
	c, err := compare("../../..")
	if err != nil {
		t.Fatal(err)
	}
	if !c.complete() {
		t.Errorf("see docs/rules.md:\n%s", c.report())
	}
}

func TestNamed(t *testing.T) {
	ids, err := named("testdata/names.txt")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(slices.Sorted(maps.Keys(ids)), " ")
	// In pieces, so that they do not count as test names of this file.
	var want []string
	for _, id := range [][2]string{{"D4", "26"}, {"D6", "9"}, {"IPC", "3"}, {"Q", "25"}, {"RA", "6"}, {"RL", "4"}, {"RL", "5"}} {
		want = append(want, id[0]+"-"+id[1])
	}
	if got != strings.Join(want, " ") {
		t.Errorf("found %s, want %s", got, want)
	}
}

func TestCompare(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("docs/rules.md", "| Q-"+"1 | 6 | one |\n| Q-"+"2 | 6 | two |\n")
	write("a/a_test.go", "package a\nfunc TestQ1(t *testing.T) {}\nfunc TestQ77(t *testing.T) {}\n")
	c, err := compare(root)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.report(); !strings.Contains(got, "2 rules, 1 with") || !strings.Contains(got, "no test: Q-"+"2\n") ||
		!strings.Contains(got, "no rule: Q-"+"77, of a test in a\n") {
		t.Errorf("reported:\n%s", got)
	}
}
