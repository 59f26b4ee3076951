package config

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// table is the keys of a part of the document as the page shows them.
func table[T any](keys []key[T]) string {
	var b strings.Builder
	b.WriteString("| Key | Value | Meaning |\n| --- | --- | --- |\n")
	for _, k := range keys {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.name, k.kind, k.meaning)
	}
	return b.String()
}

// The tables of docs/softwires.md are those of the code, and its examples load.
func TestSW_1_Documentation(t *testing.T) {
	const page = "../../../docs/softwires.md"
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]string{
		"document": table(documentKeys), "class": table(classKeys), "link": table(linkKeys), "map-e": table(mapEKeys),
		"map-t": table(mapTKeys), "rule": table(ruleKeys), "lw4o6": table(lwKeys), "softwire": table(softwireKeys),
	}
	block := regexp.MustCompile(`(?s)(<!-- begin ([\w-]+) -->\n).*?(<!-- end [\w-]+ -->)`)
	seen := 0
	generated := block.ReplaceAllStringFunc(string(content), func(s string) string {
		m := block.FindStringSubmatch(s)
		seen++
		return m[1] + tables[m[2]] + m[3]
	})
	if seen != len(tables) {
		t.Errorf("the page has %d tables, want %d", seen, len(tables))
	}
	switch {
	case generated == string(content):
	case flag.Lookup("update").Value.String() == "true":
		if err := os.WriteFile(page, []byte(generated), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not up to date; run this test with -update", page)
	}
	examples := regexp.MustCompile("(?s)```yaml[^\n]*\n(.*?)```").FindAllStringSubmatch(string(content), -1)
	if len(examples) < 3 {
		t.Errorf("%d examples", len(examples))
	}
	for _, e := range examples {
		if _, err := Load([]string{"DHCP6D_INTERFACES=eth0", "DHCP6D_4O6_SERVERS=multicast", "DHCP6D_LINKS=" + e[1]}); err != nil {
			t.Errorf("%v\n%s", err, e[1])
		}
	}
}
