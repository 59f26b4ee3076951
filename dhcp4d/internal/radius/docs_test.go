package radius

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of variables in docs/radius.md")

// TestTheVariablesOfTheDocs: docs/radius.md has all variables, as they are.
func TestTheVariablesOfTheDocs(t *testing.T) {
	const page = "../../../docs/radius.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| variable | value | default | meaning |\n| --- | --- | --- | --- |\n")
	for _, v := range Variables() {
		value := ""
		if v.Default != "" {
			value = "`" + v.Default + "`"
		}
		if v.Required {
			value = "required"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", v.Name, v.Kind, value, v.Meaning)
	}
	before, rest, _ := strings.Cut(string(text), "## Variables\n\n")
	_, after, _ := strings.Cut(rest, "\n\n`X_FILE`")
	want := before + "## Variables\n\n" + table.String() + "\n`X_FILE`" + after
	if *update {
		err = os.WriteFile(page, []byte(want), 0o644)
	} else if want != string(text) {
		t.Error("the table differs; run go test ./dhcp4d/internal/radius -run Docs -update")
	}
	if err != nil {
		t.Error(err)
	}
}
