package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/encode"
)

// The files that are generated from the tables of keys. To write them: go test ./internal/config
// -run Generated -update.
const (
	docsDir        = "../../../docs/"
	schemaName     = "subnets.schema.json"
	fileSchemaName = "reservations-file.schema.json"
	examplesPage   = "subnets-reference.md"
	pageBegin      = "<!-- begin -->\n"
	pageEnd        = "<!-- end -->\n"
)

// example is one key of a part of the document with a value.
type example struct{ key, text string }

// shared are examples of the keys that levels, classes, pools and reservations have in common.
var shared = []example{
	{"options", "{domain-name-servers: [192.0.2.53], 224: 0x0a0b}"},
	{"always-send", "[ntp-servers, 252]"},
	{"no-options", "[domain-name]"},
	{"lease-time", "2h"},
	{"min-lease-time", "10m"},
	{"max-lease-time", "1d"},
	{"next-server", "192.0.2.60"},
	{"server-hostname", "boot.example.com"},
	{"boot-file-name", "boot.efi"},
}

// examples has an example of each key, by the part of the document.
var examples = map[string][]example{
	"top": append([]example{
		{"subnets", `[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.0/24], match: [{interface: eth0}]}]`},
		{"server-id", "192.0.2.1"},
		{"authoritative", "false"},
		{"renewal-time", "0.5"},
		{"rebinding-time", "0.875"},
		{"offer-hold", "30s"},
		{"decline-time", "1d"},
		{"limit", "16"},
		{"limit-by", "relay6[0].option[interface-id].hex"},
		{"moves", "follow"},
		{"v6-only-wait", "30m"},
		{"pad-to-300", "true"},
		{"ignore-client-id", "true"},
		{"flex-id", "relay6[-1].option[interface-id].hex"},
		{"exclude-first-last-24", "true"},
		{"classes", `[{name: phones, vendor-class: "Acme-Phone*", lease-time: 7d}]`},
	}, shared...),
	"subnet": {
		{"id", "7"},
		{"name", "north"},
		{"subnet", "192.0.2.0/24"},
		{"pools", "[192.0.2.16/28, 192.0.2.40-192.0.2.49]"},
		{"exclude", "[192.0.2.130, 192.0.2.140-192.0.2.149]"},
		{"match", `[{link-address: "2001:db8:7::/64"}, {interface: eth0}]`},
		{"network", "north"},
		{"state", "drain"},
		{"reservations", `[{hw-address: "02:00:00:00:00:02", address: 192.0.2.11}]`},
		{"reservations-file", "/etc/dhcp4o6/reservations.csv"},
	},
	"pool": append([]example{
		{"range", "192.0.2.64/26"},
		{"exclude", "[192.0.2.70, 192.0.2.80-192.0.2.89]"},
		{"name", "phones"},
		{"only", "[phones]"},
		{"refuse", "nak"},
	}, shared...),
	"match": {
		{"prefix", `"2001:db8:1::/64"`},
		{"interface", "eth0"},
		{"interface-id", "port-7"},
		{"remote-id", `"3561:line-7"`},
		{"subscriber-id", "0x0a0b"},
		{"link-address", `"2001:db8:7::/64"`},
		{"peer", `"[::1]:6767"`},
		{"class", "phones"},
		{"trust-inner", "true"},
	},
	"reservation": append([]example{
		{"address", "192.0.2.99"},
		{"client-id", `"ff:00:00:00:01:00:03:00:01:02:00:00:00:00:01"`},
		{"hw-address", `"02:00:00:00:00:02"`},
		{"hw-addresses", `["02:00:00:00:00:03", "02:00:00:00:00:04"]`},
		{"hw-type", "6"},
		{"interface-id", "slot 1 port 7"},
		{"remote-id", `"3561:0x0a0b"`},
		{"link-address", `"2001:db8:7::1"`},
		{"circuit-id", "port-8"},
		{"agent-remote-id", "0x0a0b"},
		{"link-selection", "192.0.2.1"},
		{"flex-id", "port-7"},
		{"class", "phones"},
		{"pools", "[guests]"},
		{"refuse", "nak"},
	}, shared...),
	"class": append([]example{
		{"name", "guests"},
		{"test", "unknown and not member('phones')"},
		{"marked", "true"},
		{"vendor-class", `"PXEClient:*"`},
		{"user-class", "iPXE"},
		{"hw-address", `"00:1b:21:*"`},
		{"ignore-client-id", "true"},
		{"refuse", "silent"},
		{"pools", "[guests]"},
	}, shared...),
}

// exampleOfKind has an example of an option's value for each kind.
var exampleOfKind = map[string]string{
	"IPv4 address":                              "192.0.2.1",
	"list of IPv4 addresses":                    "[192.0.2.1, 192.0.2.2]",
	"IPv4 address, also broadcast or multicast": "192.0.2.255",
	"subnet mask":                               "255.255.255.0",
	"true or false":                             "true",
	"number of 8 bits":                          "8",
	"number of 16 bits":                         "1460",
	"number of 32 bits":                         "1800",
	"number of 32 bits with sign":               "-3600",
	"list of numbers of 16 bits":                "[68, 1500]",
	"text":                                      "some text",
	"text, or 0x and hex":                       "0x0a0b",
	"hex":                                       "0a:0b",
	"list of domain names":                      "[example.com, eng.example.com]",
	"domain name":                               "example.com",
	"list of IPv4 prefixes":                     "[10.0.0.0/8]",
	"list of domain names or of IPv4 addresses": "[sip.example.com]",
	"list of routes: `10.0.0.0/8 via 192.0.2.1`, `default via 192.0.2.1` or `10.0.0.0/8 on-link`": "[default via 192.0.2.1, 10.0.0.0/8 via 192.0.2.1]",
	"list of routes to hosts: `198.51.100.7 via 192.0.2.1`":                                       "[198.51.100.7 via 192.0.2.1]",
	"mapping of sub-option code to text or 0x and hex; or all of it in hex":                       "{1: some text, 2: 0x0a0b}",
	"mapping of enterprise number to text or 0x and hex":                                          "{3561: some text}",
	"mapping of enterprise number to a mapping of sub-option code to text or 0x and hex":          "{3561: {1: 0x0a0b}}",
}

// around has the keys that an example needs beside it, by part and key.
var around = map[string]string{
	"pool.min-lease-time": "lease-time: 2h", "pool.max-lease-time": "lease-time: 2h",
	"reservation.min-lease-time": "lease-time: 2h", "reservation.max-lease-time": "lease-time: 2h",
	"class.min-lease-time": "lease-time: 2h", "class.max-lease-time": "lease-time: 2h",
	"reservation.link-address": "interface-id: port-7", "reservation.link-selection": "circuit-id: port-7",
	"class.marked": "name: marked",
}

// placed returns a whole document with an example in it.
func placed(part string, e example) string {
	line := e.key + ": " + e.text
	if more := around[part+"."+e.key]; more != "" {
		line += ", " + more
	}
	names := func(keys ...string) bool {
		return slices.ContainsFunc(keys, func(key string) bool { return strings.HasPrefix(line, key+":") || strings.Contains(line, ", "+key+":") })
	}
	base := []string{"id: 1", "subnet: 192.0.2.0/24", "pools: [{range: 192.0.2.128/25, name: guests}]", "match: [{prefix: '2001:db8::5/128', trust-inner: true}]"}
	if part == "reservation" && e.key == "flex-id" {
		base = append(base, "flex-id: relay6[-1].option[interface-id].hex")
	}
	top := "classes:\n  - {name: phones, test: \"option[60].hex == 'phone'\"}\n"
	with := func(key, value string) {
		base = slices.DeleteFunc(base, func(s string) bool { return strings.HasPrefix(s, key+":") })
		base = append(base, key+": "+value)
	}
	switch part {
	case "top":
		if e.key == "subnets" {
			return line + "\n"
		}
		if e.key == "classes" {
			top = ""
		}
		top += line + "\n"
	case "subnet":
		with(e.key, e.text)
	case "pool":
		if !names("range") {
			line = "range: 192.0.2.64/26, " + line
		}
		with("pools", "[{"+line+"}]")
	case "match":
		with("match", "[{prefix: '2001:db8::5/128', trust-inner: true}, {"+line+"}]")
	case "reservation":
		if !names("client-id", "hw-address", "hw-addresses", "interface-id", "remote-id", "circuit-id", "agent-remote-id", "flex-id", "class") {
			line += `, hw-address: "02:00:00:00:00:09"`
		}
		if !names("address", "pools") {
			line += ", address: 192.0.2.99"
		}
		with("reservations", "[{"+line+"}]")
	case "class":
		if !names("test", "marked", "vendor-class", "user-class", "hw-address") {
			line += `, test: "option[60].exists"`
		}
		top += "  - {" + line + "}\n"
	}
	return top + "subnets:\n  - " + strings.Join(base, "\n    ") + "\n"
}

// keyTable returns the table of the keys of a part, with examples.
func keyTable[T any](t *testing.T, part string, fields []field[T]) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| Key and example | Value | Meaning |\n| --- | --- | --- |\n")
	for _, f := range fields {
		at := slices.IndexFunc(examples[part], func(e example) bool { return e.key == f.name })
		if at < 0 {
			t.Errorf("the key %s of a %s has no example; give it one in examples", f.name, part)
			continue
		}
		fmt.Fprintf(&b, "| `%s: %s` | %s | %s |\n", f.name, examples[part][at].text, f.kind, f.meaning)
	}
	if len(examples[part]) != len(fields) {
		t.Errorf("there are %d examples of the %d keys of a %s", len(examples[part]), len(fields), part)
	}
	return b.String()
}

// optionExamples has an example of each option.
func optionExamples(t *testing.T) (all []example) {
	t.Helper()
	for _, d := range encode.Definitions() {
		if d.Refused() != "" {
			continue
		}
		text := exampleOfKind[d.Kind()]
		if text == "" {
			t.Errorf("the kind %q has no example; give it one in exampleOfKind", d.Kind())
		}
		all = append(all, example{d.Name, text})
	}
	return all
}

func referencePage(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	part := func(title, table string) { fmt.Fprintf(&b, "\n## %s\n\n%s", title, table) }
	subnet := subnetFields(nil)
	part("The document's top", keyTable(t, "top", append([]field[level]{{name: "subnets", kind: "list of subnets", meaning: "the subnets"}}, levelFields()...)))
	part("A subnet", keyTable(t, "subnet", subnet[:len(subnet)-len(levelFields())])+"\nA subnet has the keys of the document's top, too, except `subnets`.\n")
	part("A pool", keyTable(t, "pool", poolFields()))
	part("A match entry", keyTable(t, "match", matchFields(nil)))
	part("A reservation", keyTable(t, "reservation", reservationFields))
	part("A class", keyTable(t, "class", classFields()))
	b.WriteString("\n## Options\n\n| Code | Example | Value |\n| --- | --- | --- |\n")
	kinds := map[string]string{}
	for _, d := range encode.Definitions() {
		kinds[d.Name] = fmt.Sprintf("| %d |", d.Code) + "%s| " + d.Kind() + " |\n"
	}
	for _, e := range optionExamples(t) {
		fmt.Fprintf(&b, kinds[e.key], fmt.Sprintf(" `%s: %s` ", e.key, e.text))
	}
	return b.String()
}

// TestGeneratedFilesAreThoseOfTheCode checks that the schemas and the reference fit the tables of
// keys.
func TestGeneratedFilesAreThoseOfTheCode(t *testing.T) {
	page, err := os.ReadFile(docsDir + examplesPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(page), pageBegin)
	_, after, ended := strings.Cut(rest, pageEnd)
	if !found || !ended {
		t.Fatalf("%s lacks %s or %s", examplesPage, pageBegin, pageEnd)
	}
	for name, want := range map[string]string{
		schemaName:     string(Schema()),
		fileSchemaName: string(ReservationsSchema()),
		examplesPage:   before + pageBegin + referencePage(t) + "\n" + pageEnd + after,
	} {
		if have, err := os.ReadFile(docsDir + name); err == nil && string(have) == want {
			continue
		}
		if !*update {
			t.Errorf("docs/%s is not what the code says; run go test ./internal/config -run Generated -update", name)
			continue
		}
		if err := os.WriteFile(docsDir+name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestExamplesOfKeysLoad loads the example of each key and of each option, and checks it against
// the schema.
func TestExamplesOfKeysLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "reservations.csv")
	if err := os.WriteFile(file, []byte("address,hw-address\n192.0.2.11,02:00:00:00:00:02\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	try := func(doc string) {
		doc = strings.ReplaceAll(doc, "/etc/dhcp4o6/reservations.csv", file)
		if _, err := ParseSubnets([]byte(doc), defaults); err != nil {
			t.Errorf("%v\n%s", err, doc)
		}
		if err := check(t, schema(t), []byte(doc)); err != nil {
			t.Errorf("%v\n%s", err, doc)
		}
	}
	for part, all := range examples {
		for _, e := range all {
			try(placed(part, e))
			if part == "top" && e.key != "subnets" && e.key != "classes" { // a subnet has the key too
				try(placed("subnet", e))
			}
		}
	}
	for _, e := range optionExamples(t) {
		try(placed("top", example{"options", "{" + e.key + ": " + e.text + "}"}))
	}
}
