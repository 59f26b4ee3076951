package config

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/encode"
)

var update = flag.Bool("update", false, "write the tables of the reference instead of comparing them")

const reference = "../../../docs/subnets.md"

func keys[T any](fields []field[T]) string {
	var b strings.Builder
	b.WriteString("| Key | Value | Meaning |\n| --- | --- | --- |\n")
	for _, f := range fields {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.name, f.kind, f.meaning)
	}
	return b.String()
}

func options() string {
	var b, own strings.Builder
	b.WriteString("| Code | Name | Value |\n| --- | --- | --- |\n")
	own.WriteString("\nThese are not configured as options:\n\n| Code | Name | Why |\n| --- | --- | --- |\n")
	for _, d := range encode.Definitions() {
		if why := d.Refused(); why != "" {
			fmt.Fprintf(&own, "| %d | %s | %s |\n", d.Code, d.Name, why)
			continue
		}
		fmt.Fprintf(&b, "| %d | `%s` | %s |\n", d.Code, strings.Join(append([]string{d.Name}, d.Aliases...), "`, `"), d.Kind())
	}
	return b.String() + own.String()
}

func TestReferenceHasTheTablesOfTheCode(t *testing.T) {
	doc, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	inherited := len(levelFields())
	subnet := subnetFields(nil)
	tables := map[string]string{
		"top":         keys(append([]field[level]{{name: "subnets", kind: "list of subnets", meaning: "the subnets"}}, levelFields()...)),
		"subnet":      keys(subnet[:len(subnet)-inherited]),
		"pool":        keys(poolFields()),
		"match":       keys(matchFields(nil)),
		"reservation": keys(reservationFields),
		"class":       keys(classFields()),
		"options":     options(),
	}
	block := regexp.MustCompile(`(?s)(<!-- begin (\w+) -->\n).*?(<!-- end \w+ -->)`)
	seen := 0
	generated := block.ReplaceAllStringFunc(string(doc), func(s string) string {
		m := block.FindStringSubmatch(s)
		seen++
		return m[1] + tables[m[2]] + m[3]
	})
	if seen != len(tables) {
		t.Errorf("the reference has %d tables, want %d", seen, len(tables))
	}
	if generated == string(doc) {
		return
	}
	if !*update {
		t.Fatal("the tables are not those of the code; run go test ./internal/config -run Reference -update")
	}
	if err := os.WriteFile(reference, []byte(generated), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestExamplesOfTheReferenceLoad(t *testing.T) {
	doc, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(doc), -1)
	if len(examples) < 7 {
		t.Errorf("only %d examples", len(examples))
	}
	for _, e := range examples {
		if _, err := ParseSubnets([]byte(e[1]), defaults); err != nil {
			t.Errorf("%v\n%s", err, e[1])
		}
	}
}
