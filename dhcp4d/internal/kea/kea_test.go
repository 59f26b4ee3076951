package kea

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/shared/document"
)

var update = flag.Bool("update", false, "write what the importer makes beside the configurations")

// alone reads one file.
func alone(content string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if name != "kea.conf" {
			return nil, os.ErrNotExist
		}
		return []byte(content), nil
	}
}

// TestImport compares document, environment, rules and report with the files beside each
// configuration. What is written passes -check.
func TestImport(t *testing.T) {
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			got, err := Import(name, os.ReadFile)
			if err != nil {
				t.Fatal(err)
			}
			passes(t, got)
			accounted(t, name, os.ReadFile, got)
			var b strings.Builder
			b.Write(got.Document)
			b.WriteString("---\n" + strings.Join(got.Environment, "\n") + "\n---\n" + string(got.Rules) + "---\n")
			for _, l := range got.Report {
				b.WriteString(l.String() + "\n")
			}
			golden := strings.TrimSuffix(name, ".conf") + ".golden"
			want, err := os.ReadFile(golden)
			if err != nil && !*update {
				t.Fatal(err)
			}
			if b.String() == string(want) {
				return
			}
			if !*update {
				t.Fatalf("it is not that of %s; run go test ./internal/kea -run Import -update and look at the difference:\n%s",
					golden, b.String())
			}
			if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// passes checks what was made as -check does.
func passes(t *testing.T, i *Imported) {
	t.Helper()
	env := append([]string{"DHCP4D_SUBNETS=" + string(i.Document)}, i.Environment...)
	if len(i.Rules) > 0 {
		env = append(env, "DHCP4D_RULES_LINES="+string(i.Rules))
	}
	if _, err := config.Load(env); err != nil {
		t.Errorf("%v\n%s", err, i.Document)
	}
}

// accounted checks that each scalar of a configuration is in a part of which the report speaks.
func accounted(t *testing.T, name string, read func(string) ([]byte, error), i *Imported) {
	t.Helper()
	root, _, err := parse(name, read)
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for _, l := range i.Report {
		said[l.Path] = true
	}
	var walk func(v *value, covered bool)
	walk = func(v *value, covered bool) {
		covered = covered || said[v.path()]
		if v.kind != object && v.kind != list && !covered {
			t.Errorf("%s: nothing is said of %s", v.at, v.path())
		}
		for _, child := range v.values {
			walk(child, covered)
		}
	}
	walk(root, false)
}

func TestFilesThatCannotBeRead(t *testing.T) {
	for _, c := range []struct{ name, content, want string }{
		{"nothing", "", "kea.conf, line 1, column 1: the file ends where a value must be"},
		{"cut", `{ "Dhcp4": {`, "kea.conf, line 1, column 13: "},
		{"a list cut", "{ \"Dhcp4\": {\n \"subnet4\": [ 1", "the file ends inside of a list that begins in kea.conf, line 2, column 13; close it with ]"},
		{"no comma", "{ \"a\": 1\n\"b\": 2 }", "line 2, column 1: '\"' cannot stand here; put a comma between two elements of an object, or close it with }"},
		{"no colon", `{ "a" 1 }`, `a colon must follow the key "a"`},
		{"key without quotes", `{ a: 1 }`, "'a' begins no key; write it in double quotes"},
		{"a word", `{ "a": eth0 }`, `"eth" is no value; put text in double quotes`},
		{"a great word", `{ "a": True }`, `"True" must be in small letters: true`},
		{"a number", `{ "a": 010 }`, `"010" is no number`},
		{"text without an end", "{ \"a\": \"b\n\" }", "line 1, column 8: the text does not end in its line"},
		{"escape", `{ "a": "\x" }`, `\x means nothing in text`},
		{"wide escape", `{ "a": "\u20ac" }`, `\u20ac is beyond \u00ff`},
		{"control character", "{ \"a\": \"\t\" }", `write it as \u0009`},
		{"comment", "{ /* }", "the comment has no end; close it with */"},
		{"key twice", `{ "a": 1, "a": 2 }`, `the key "a" is there twice, first in kea.conf, line 1, column 3`},
		{"no object", `"Dhcp4": {}`, "a key begins the configuration; put all of it into an object"},
		{"more", `{} {}`, "something follows the end of the configuration"},
		{"directive", `{ <?exclude "x"?> }`, "is no directive"},
		{"open directive", `{ <?include "x" }`, "the directive has no end"},
		{"missing file", `{ <?include "x"?> }`, "the file cannot be included"},
		{"itself", `{ "a": [ <?include "kea.conf"?> ] }`, "does a file include itself?"},
		{"deep", strings.Repeat("[", 300), "more than 200 objects and lists"},
		{"DHCPv6", `{ "Dhcp6": {} }`, "it must be an object with the key Dhcp4"},
		{"no subnet", `{ "Dhcp4": { "subnet4": [] } }`, "no subnet could be taken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Import("kea.conf", alone(c.content)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
	if _, err := Import("none.conf", os.ReadFile); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestIncludedFiles: a file may stand in place of a value and among keys, and positions are those
// of the file.
func TestIncludedFiles(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"kea.conf":          `{ "Dhcp4": { "subnet4": <?include "subnets.json"?>, <?include "more/keys.json"?> } }`,
		"subnets.json":      "// the subnets\n[ { \"id\": 7, \"subnet\": \"192.0.2.0/24\", \"pools\": [] } ]\n",
		"more/keys.json":    "\"valid-lifetime\": 900,\n\"option-data\":\n  <?include \"options.json\"?>",
		"more/options.json": `[ { "name": "routers", "data": "nowhere" } ]`,
	} {
		if err := os.MkdirAll(filepath.Join(dir, "more"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Import(filepath.Join(dir, "kea.conf"), os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	passes(t, got)
	if !bytes.Contains(got.Document, []byte("lease-time: 900")) || !bytes.Contains(got.Document, []byte("id: 7")) {
		t.Errorf("%s", got.Document)
	}
	if !slices.ContainsFunc(got.Report, func(l Line) bool {
		return l.Verdict == Left && strings.HasSuffix(l.At.File, "more/options.json") && l.At.Line == 1 && l.At.Column == 3
	}) {
		t.Errorf("%v", got.Report)
	}
}

// TestOptionValues converts values in Kea's notations to those of the document.
func TestOptionValues(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"address", `"name": "swap-server", "data": "192.0.2.1"`, "swap-server: 192.0.2.1"},
		{"addresses", `"name": "routers", "data": "192.0.2.1,192.0.2.2"`, "routers: [192.0.2.1, 192.0.2.2]"},
		{"by code", `"code": 6, "data": "192.0.2.53"`, "domain-name-servers: [192.0.2.53]"},
		{"hex of a known option", `"name": "routers", "csv-format": false, "data": "C0000201"`, "routers: [192.0.2.1]"},
		{"hex with colons and short octets", `"code": 250, "csv-format": false, "data": "a:0b:C"`, `250: "0x0a0b0c"`},
		{"hex with blanks", `"code": 250, "csv-format": false, "data": "0a 0b"`, `250: "0x0a0b"`},
		{"hex after 0x", `"code": 250, "data": "0x0a0b"`, `250: "0x0a0b"`},
		{"text in quotes", `"code": 250, "csv-format": false, "data": "'ab'"`, `250: "0x6162"`},
		{"text with a comma", `"name": "tcode", "data": "a\\,b"`, "tcode: a,b"},
		{"text that a comma ends", `"name": "tcode", "data": "a,b"`, "tcode: a"},
		{"text that looks like a number", `"name": "host-name", "data": "17"`, `host-name: "17"`},
		{"number in hex", `"name": "default-ip-ttl", "data": "0xf0"`, "default-ip-ttl: 240"},
		{"number in hex without 0x", `"name": "default-ip-ttl", "data": "f0"`, "default-ip-ttl: 240"},
		{"negative number", `"name": "time-offset", "data": "-1"`, "time-offset: -1"},
		{"boolean", `"name": "ip-forwarding", "data": "true"`, "ip-forwarding: true"},
		{"boolean as number", `"name": "ip-forwarding", "data": "0"`, "ip-forwarding: false"},
		{"domain names", `"name": "domain-search", "data": "a.example, b.example."`, "domain-search: [a.example, b.example]"},
		{"one domain name", `"name": "v4-lost", "data": "lost.example"`, "v4-lost: lost.example"},
		{"routes", `"name": "classless-static-route", "data": "10.0.0.0/8 - 192.0.2.1, 0.0.0.0/0-192.0.2.1"`,
			"classless-static-route: [10.0.0.0/8 via 192.0.2.1, default via 192.0.2.1]"},
		{"routes in hex", `"code": 121, "data": "080ac0000201"`, "classless-static-route: [10.0.0.0/8 via 192.0.2.1]"},
		{"host routes", `"name": "static-routes", "data": "192.0.2.24, 192.0.2.25"`, "static-routes: [192.0.2.24 via 192.0.2.25]"},
		{"filters", `"name": "policy-filter", "data": "10.0.0.0, 255.0.0.0"`, "policy-filter: [10.0.0.0/8]"},
		{"record", `"name": "slp-service-scope", "data": "true, scope"`, `slp-service-scope: "0x0173636f7065"`},
		{"record with a list", `"name": "option-6rd", "data": "24, 96, 2001:db8::, 192.0.2.72, 192.0.2.73"`,
			"option-6rd: 0x186020010db8000000000000000000000000c0000248c0000249"},
		{"tuples of two octets", `"name": "v4-sztp-redirect", "data": "ab"`, `v4-sztp-redirect: "0x00026162"`},
		{"vendor class", `"name": "vivco-suboptions", "data": "3561, 020161"`, "vivco-suboptions: {3561: a}"},
		{"a value that is not possible by name", `"name": "static-routes", "csv-format": false, "data": "0000000000000000"`, `33: "0x0000000000000000"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Import("kea.conf", alone(`{ "Dhcp4": { "subnet4": [ { "id": 1, "subnet": "192.0.2.0/24", "pools": [], "option-data": [ {`+c.data+`} ] } ] } }`))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(got.Document, []byte("      "+c.want+"\n")) {
				t.Errorf("want %s, got\n%s%v", c.want, got.Document, got.Report)
			}
		})
	}
}

// imported imports what stands inside of Dhcp4, and checks it.
func imported(t *testing.T, inside string) *Imported {
	t.Helper()
	got, err := Import("kea.conf", alone(`{ "Dhcp4": {`+inside+`} }`))
	if err != nil {
		t.Fatal(err)
	}
	passes(t, got)
	accounted(t, "kea.conf", alone(`{ "Dhcp4": {`+inside+`} }`), got)
	return got
}

// TestTheOnlyInterface: the queries of the only interface are for the only subnet, or the only
// network.
func TestTheOnlyInterface(t *testing.T) {
	one := `{ "id": 1, "subnet": "192.0.2.0/24", "pools": [] }`
	two := `{ "id": 2, "subnet": "198.51.100.0/24", "pools": [] }`
	for _, c := range []struct {
		name, inside string
		taken        bool
	}{
		{"one", `"interfaces-config": { "interfaces": [ "eth0/192.0.2.1" ] }, "subnet4": [` + one + `]`, true},
		{"a network", `"interfaces-config": { "interfaces": [ "eth0" ] }, "shared-networks": [ { "name": "n", "subnet4": [` + one + "," + two + `] } ]`, true},
		{"two subnets", `"interfaces-config": { "interfaces": [ "eth0" ] }, "subnet4": [` + one + "," + two + `]`, false},
		{"two interfaces", `"interfaces-config": { "interfaces": [ "eth0", "eth1" ] }, "subnet4": [` + one + `]`, false},
		{"any interface", `"interfaces-config": { "interfaces": [ "*" ] }, "subnet4": [` + one + `]`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := imported(t, c.inside)
			if taken := bytes.Contains(got.Document, []byte("match: [{interface: eth0}]")); taken != c.taken ||
				(len(got.Unmatched) == 0) != c.taken {
				t.Errorf("%v\n%s", got.Unmatched, got.Document)
			}
		})
	}
}

// TestOptionsForSomeClasses: what is for some classes becomes classes, in the order that Kea goes
// by: the subnet, classes, the top.
func TestOptionsForSomeClasses(t *testing.T) {
	got := imported(t, `
		"client-classes": [ { "name": "a", "test": "option[60].exists", "option-data": [ { "name": "domain-name", "data": "class" } ] },
			{ "name": "b", "test": "option[77].exists" } ],
		"option-data": [ { "name": "domain-name", "data": "top-b", "client-classes": [ "b", "KNOWN" ] }, { "name": "domain-name", "data": "top" } ],
		"subnet4": [ { "id": 1, "subnet": "192.0.2.0/24", "interface": "eth0",
			"option-data": [ { "name": "domain-name", "data": "subnet-a", "client-classes": [ "a" ] }, { "name": "domain-name", "data": "subnet-b", "client-classes": [ "b" ] } ],
			"pools": [ { "pool": "192.0.2.10 - 192.0.2.20", "option-data": [ { "name": "domain-name", "data": "pool", "client-classes": [ "a" ] } ] } ] } ]`)
	var order []string
	for line := range strings.Lines(string(got.Document)) {
		if _, value, ok := strings.Cut(strings.TrimSpace(line), "domain-name: "); ok {
			order = append(order, value)
		}
	}
	if want := "top top-b class subnet-b subnet-a"; strings.Join(order, " ") != want {
		t.Errorf("%q, want %q\n%s", order, want, got.Document)
	}
	if !bytes.Contains(got.Document, []byte("test: member('b') or member('KNOWN')")) {
		t.Errorf("%s", got.Document)
	}
}

func TestSplitKeepsWhatIsEscaped(t *testing.T) {
	for in, want := range map[string]string{
		"a,b": "a|b", ",a,,b,": "a|b", `a\,b,c`: "a,b|c", `a\\,b`: `a\|b`, `a\xb`: `a\xb`, `a\`: `a\`, "": "",
	} {
		if got := strings.Join(split(in), "|"); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// TestTableOfOptionsIsThatOfEncode: where Kea and dhcp4d know an option, they know it by one name.
func TestTableOfOptionsIsThatOfEncode(t *testing.T) {
	for _, d := range standardDefinitions() {
		if d.space != dhcp4Space || d.name == "v4-dnr" { // Kea before 3.0 has no notation for it
			continue
		}
		wire, err := d.csv(sample(d))
		if err != nil {
			t.Errorf("%s: %v", d.name, err)
			continue
		}
		if _, _, problem := option(byte(d.code), wire); problem != "" && !strings.Contains(problem, "cannot be configured") && len(wire) > 0 {
			t.Errorf("%s: %x: %s", d.name, wire, problem)
		}
	}
}

// sample is a value of an option in Kea's notation.
func sample(d *definition) string {
	if d.kind == "internal" {
		return map[uint32]string{121: "10.0.0.0/8 - 192.0.2.1", 162: ""}[d.code]
	}
	one := map[string]string{"ipv4-address": "192.0.2.1", "ipv6-address": "2001:db8::1", "boolean": "true", "string": "text", "fqdn": "a.example",
		"binary": "0a0b", "tuple": "text", "psid": "1/4", "ipv6-prefix": "2001:db8::/32"}
	kinds := d.fields
	if kinds == nil {
		kinds = []string{d.kind}
	}
	var all []string
	for _, k := range kinds {
		switch {
		case k == "empty":
		case one[k] != "":
			all = append(all, one[k])
		case d.name == "auto-config":
			all = append(all, "1")
		default:
			all = append(all, "8")
		}
	}
	if d.name == "max-dgram-reassembly" || strings.HasSuffix(d.name, "-mtu") || d.name == "path-mtu-plateau-table" {
		all = []string{"1024"}
	}
	if d.name == "policy-filter" || d.name == "static-routes" {
		all = append(all, "192.0.2.2")
	}
	if d.name == "vivco-suboptions" {
		all = []string{"3561", "020161"}
	}
	return strings.Join(all, ",")
}

// asJSON writes a value as plain JSON.
func asJSON(v *value) any {
	switch v.kind {
	case object:
		m := map[string]any{}
		for i, k := range v.keys {
			m[k] = asJSON(v.values[i])
		}
		return m
	case list:
		all := []any{}
		for _, child := range v.values {
			all = append(all, asJSON(child))
		}
		return all
	case number:
		return json.Number(v.text)
	case boolean:
		return v.text == "true"
	case text:
		return v.text
	}
	return nil
}

// FuzzParse compares with the parser of encoding/json, on what both read.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a": [1, -2.5e3, "x\"\n", true, null, {}], "b": {"c": []}}`, "# c\n{ // d\n \"a\" /* e */ : 1, }", `{"a": "\u00e4\\"}`, `[1,]`, `{ <?include "kea.conf"?> }`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content string) {
		v, _, err := parse("kea.conf", alone(content))
		var broken *SyntaxError
		if err != nil && (!errors.As(err, &broken) || broken.At.Line < 1 || broken.At.Column < 1 || broken.Problem == "") {
			t.Fatalf("%v", err)
		}
		var theirs any
		decoder := json.NewDecoder(strings.NewReader(content))
		decoder.UseNumber()
		if !json.Valid([]byte(content)) || decoder.Decode(&theirs) != nil {
			return
		}
		if err != nil { // only for what Kea does not take either
			for _, known := range []string{"there twice", "is beyond", "four hexadecimal", "200 objects", "is no number"} {
				if strings.Contains(err.Error(), known) {
					return
				}
			}
			t.Fatalf("%v\n%s", err, content)
		}
		if strings.Contains(content, `\u`) || strings.ContainsFunc(content, func(r rune) bool { return r == 0xfffd }) {
			return // octets here, characters there
		}
		a, err := json.Marshal(asJSON(v))
		b, err2 := json.Marshal(theirs)
		if err != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Fatalf("%s, want %s", a, b)
		}
		// What is written again is read again as the same.
		again, _, err := parse("kea.conf", alone(string(b)))
		if err != nil && !strings.Contains(string(b), `\u`) {
			t.Fatal(err)
		}
		if err == nil {
			if c, err := json.Marshal(asJSON(again)); err != nil || !bytes.Equal(c, b) {
				t.Fatalf("%s comes back as %s", b, c)
			}
		}
	})
}

// FuzzImport: what is written passes -check, and the report speaks of everything.
func FuzzImport(f *testing.F) {
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(content))
	}
	f.Fuzz(func(t *testing.T, content string) {
		got, err := Import("kea.conf", alone(content))
		if err != nil {
			if strings.Contains(err.Error(), "has a mistake") {
				t.Fatal(err)
			}
			return
		}
		if _, err := config.ParseSubnets(got.Document, defaults); err != nil {
			t.Fatalf("%v\n%s", err, got.Document)
		}
		accounted(t, "kea.conf", alone(content), got)
		var root yaml.Node
		if err := yaml.Unmarshal(got.Document, &root); err != nil {
			t.Fatal(err)
		}
	})
}

// TestEveryPartMayBeAnother takes out each part of the configurations, and puts other values in its
// place. The rest is still imported, and what is written passes -check.
func TestEveryPartMayBeAnother(t *testing.T) {
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			root, _, err := parse(name, os.ReadFile)
			if err != nil {
				t.Fatal(err)
			}
			tried, nodes := 0, 0
			try := func() {
				tried++
				b, err := json.Marshal(asJSON(root))
				if err != nil {
					t.Fatal(err)
				}
				got, err := Import("kea.conf", alone(string(b)))
				if err != nil {
					if strings.Contains(err.Error(), "has a mistake") || errors.As(err, new(document.Mistakes)) {
						t.Fatalf("%v\n%s", err, b)
					}
					return
				}
				if _, err := config.ParseSubnets(got.Document, defaults); err != nil {
					t.Fatalf("%v\n%s", err, got.Document)
				}
			}
			var walk func(v *value)
			walk = func(v *value) {
				for i, child := range v.values {
					if nodes++; nodes%3 != 0 { // a third of all shows enough
						continue
					}
					others := []*value{{kind: text, text: "other"}, {kind: number, text: "7"}, {kind: list}, {kind: object}, {}}
					v.values[i] = others[tried%len(others)]
					if tried%2 == 0 {
						try()
						v.values[i] = child
						continue
					}
					keys, values := v.keys, v.values
					if v.kind == object {
						v.keys = slices.Delete(slices.Clone(keys), i, i+1)
					}
					v.values = slices.Delete(slices.Clone(values), i, i+1)
					try()
					v.keys, v.values = keys, values
					v.values[i] = child
				}
				for _, child := range v.values {
					walk(child)
				}
			}
			walk(root.get("Dhcp4"))
			if tried < 20 {
				t.Errorf("only %d tried", tried)
			}
		})
	}
}

func ExampleLine() {
	fmt.Println(Line{Position{"kea.conf", 3, 5}, "Dhcp4.valid-lifetime", Taken, "as lease-time"})
	// Output: kea.conf:3:5: Dhcp4.valid-lifetime taken: as lease-time
}
