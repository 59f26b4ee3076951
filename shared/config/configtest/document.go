// Package configtest holds the documentation to the variables that the
// daemons declare.
package configtest

import (
	"os"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// Document fails the test when the table of variables in a Markdown file is
// not the one that the program would print. The table stands between the lines
//
//	<!-- variables of NAME -->
//	<!-- end of NAME -->
//
// With update it is written there instead; by convention that is what the
// test's flag -update says.
func Document(t *testing.T, path, name string, vs []config.Variable, update bool) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), "<!-- variables of "+name+" -->\n")
	old, after, ended := strings.Cut(rest, "<!-- end of "+name+" -->\n")
	if !found || !ended {
		t.Fatalf("%s has no place for the variables of %s", path, name)
	}
	var table strings.Builder
	if err := config.WriteMarkdown(&table, vs); err != nil {
		t.Fatal(err)
	}
	if old == table.String() {
		return
	}
	if !update {
		t.Fatalf("%s is not up to date with the variables of %s; run this test with -update", path, name)
	}
	document := before + "<!-- variables of " + name + " -->\n" + table.String() + "<!-- end of " + name + " -->\n" + after
	if err := os.WriteFile(path, []byte(document), 0o644); err != nil {
		t.Fatal(err)
	}
}
