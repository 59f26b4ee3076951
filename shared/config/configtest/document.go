// Package configtest compares the documentation with the variables that the daemons declare.
package configtest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// Document fails the test if the table of variables in a Markdown file is not [Markdown] of them.
// The table stands between the lines
//
//	<!-- variables of NAME -->
//	<!-- end of NAME -->
//
// With update, which by convention is the test's flag -update, it writes the table there instead.
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
	table := Markdown(vs)
	if old == table {
		return
	}
	if !update {
		t.Fatalf("%s is not up to date with the variables of %s; run this test with -update", path, name)
	}
	document := before + "<!-- variables of " + name + " -->\n" + table + "<!-- end of " + name + " -->\n" + after
	if err := os.WriteFile(path, []byte(document), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Markdown returns the table of the variables for the documentation.
func Markdown(vs []config.Variable) string {
	var b strings.Builder
	b.WriteString("| Variable | Value | Default | Reload | Meaning |\n| --- | --- | --- | --- | --- |\n")
	for _, v := range vs {
		value, reload := v.Default, "no"
		switch {
		case v.Required:
			value = "required"
		case value == "":
			value = "–"
		default:
			value = "`" + value + "`"
		}
		if v.Reload {
			reload = "yes"
		}
		cell := strings.NewReplacer("|", `\|`).Replace
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", v.Name, cell(v.Kind), cell(value), reload, cell(v.Meaning))
	}
	return b.String()
}
