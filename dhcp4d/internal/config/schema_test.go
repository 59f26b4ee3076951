package config

import (
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// compiled returns a schema, compiled as an editor does.
func compiled(t testing.TB, schema []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	once      sync.Once
	documents *jsonschema.Schema
)

func schema(t testing.TB) *jsonschema.Schema {
	once.Do(func() { documents = compiled(t, Schema()) })
	return documents
}

var (
	integer = regexp.MustCompile(`^[-+]?[0-9]+$`)
	octal   = regexp.MustCompile(`^0o[0-7]+$`)
	hexa    = regexp.MustCompile(`^0x[0-9a-fA-F]+$`)
	float   = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
)

// seen returns a node as an editor reads it, by the core schema of YAML 1.2. Keys are text.
func seen(n *yaml.Node) any {
	switch n.Kind {
	case yaml.AliasNode:
		return seen(n.Alias)
	case yaml.DocumentNode:
		return seen(n.Content[0])
	case yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			list = append(list, seen(c))
		}
		return list
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = seen(n.Content[i+1])
		}
		return m
	}
	s := n.Value
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) != 0 {
		return s
	}
	switch s {
	case "", "~", "null", "Null", "NULL":
		return nil
	case "true", "True", "TRUE":
		return true
	case "false", "False", "FALSE":
		return false
	}
	for _, way := range []struct {
		pattern *regexp.Regexp
		base    int
		cut     string
	}{{integer, 10, ""}, {octal, 8, "0o"}, {hexa, 16, "0x"}} {
		if !way.pattern.MatchString(s) {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimPrefix(s, way.cut), way.base, 64); err == nil {
			return float64(n)
		}
		return 1e30 // a great one
	}
	if float.MatchString(s) {
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return f
		}
	}
	return s
}

// check returns what the schema reports about a document.
func check(t testing.TB, s *jsonschema.Schema, doc []byte) error {
	t.Helper()
	var root yaml.Node
	if err := yaml.Unmarshal(doc, &root); err != nil || len(root.Content) != 1 {
		t.Fatalf("%v\n%s", err, doc)
	}
	return s.Validate(seen(&root))
}

// TestExamplesFitTheSchema checks every document in the repository's docs and examples against the
// schema.
func TestExamplesFitTheSchema(t *testing.T) {
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob("../../../" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	number := 0
	try := func(name string, doc []byte) {
		if _, err := ParseSubnets(doc, defaults); err != nil {
			return // it is a document of another kind; other tests hold ours
		}
		number++
		if err := check(t, schema(t), doc); err != nil {
			t.Errorf("%s: %v\n%s", name, err, doc)
		}
	}
	blocks := regexp.MustCompile("(?s)```ya?ml\n(.*?)```")
	for _, name := range files {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range blocks.FindAllSubmatch(doc, -1) {
			try(name, m[1])
		}
	}
	examples, err := filepath.Glob("../../../deploy/systemd/*.yml")
	if err != nil || len(examples) == 0 {
		t.Fatal(examples, err)
	}
	for _, name := range examples {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseSubnets(doc, defaults); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		try(name, doc)
	}
	imported, err := filepath.Glob("../kea/testdata/*.golden")
	if err != nil || len(imported) == 0 {
		t.Fatal(imported, err)
	}
	for _, name := range imported {
		golden, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		doc, _, _ := bytes.Cut(golden, []byte("\n---\n"))
		if _, err := ParseSubnets(doc, defaults); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		try(name, doc)
	}
	try("small", []byte(small))
	if number < 12 {
		t.Errorf("only %d documents", number)
	}
}

// TestSchemaRefusesMistakes has mistakes that an editor can show. The program refuses them too.
func TestSchemaRefusesMistakes(t *testing.T) {
	with := func(key string) string { return subnetWith(key) }
	for _, c := range []struct{ name, doc string }{
		{"text in place of a list", "foo"},
		{"no subnets", "[]"},
		{"mapping without subnets", "lease-time: 1h"},
		{"unknown key at the top", "{colour: red, subnets: []}"},
		{"unknown key", with("colour: red")},
		{"misspelt key", with("lease_time: 1h")},
		{"no id", with("-id")},
		{"id 0", with("id: 0")},
		{"id too large", with("id: 4294967296")},
		{"id as text", with("id: one")},
		{"no subnet", with("-subnet")},
		{"no prefix length", with("subnet: 192.0.2.0")},
		{"octet too large", with("subnet: 192.0.256.0/24")},
		{"IPv6 subnet", with("subnet: 2001:db8::/64")},
		{"no pools", with("-pools")},
		{"pools as text", with("pools: 192.0.2.0/24")},
		{"pool without a range", with("pools: [{name: a}]")},
		{"range of words", with("pools: [from-to]")},
		{"pool for no class", with("pools: [{range: 192.0.2.0/24, only: []}]")},
		{"no match", with("-match")},
		{"empty match entry", with("match: [{}]")},
		{"IPv4 in a match entry", with("match: [{prefix: 192.0.2.0/24}]")},
		{"remote-id without a number", with("match: [{remote-id: line-7}]")},
		{"interface-id in bad hex", with("match: [{interface-id: 0x0g}]")},
		{"state", with("state: off")},
		{"moves", with("moves: never")},
		{"boolean", with("authoritative: yes")},
		{"number as boolean", with("pad-to-300: 1")},
		{"duration", with("lease-time: 1y")},
		{"no duration", with("lease-time: 0")},
		{"endless offer", with("offer-hold: infinite")},
		{"negative limit", with("limit: -1")},
		{"next server", with("next-server: boot.example")},
		{"hostname too long", with("server-hostname: " + strings.Repeat("a", 64))},
		{"options as list", with("options: [routers]")},
		{"unknown option", with("options: {router: [192.0.2.1]}")},
		{"option of the server's own", with("options: {dhcp-lease-time: 60}")},
		{"code of the server's own", with("options: {51: 0x0000003c}")},
		{"code 255", with("options: {255: 0x00}")},
		{"odd hex", with(`options: {224: "0x012"}`)},
		{"no address", with("options: {routers: [gateway]}")},
		{"addresses as text", with(`options: {routers: "192.0.2.1, 192.0.2.2"}`)},
		{"empty list", with("options: {routers: []}")},
		{"number too large", with("options: {interface-mtu: 65536}")},
		{"route", with("options: {classless-static-route: [10.0.0.0/8 192.0.2.1]}")},
		{"domain name", with("options: {domain-search: [a..b]}")},
		{"enterprise", with("options: {vivso-suboptions: {acme: {1: a}}}")},
		{"always an unknown option", with("always-send: [foo]")},
		{"always an option of the server's own", with("always-send: ['51']")},
		{"reservation without address", with("reservations: [{hw-address: '02:00'}]")},
		{"reservation without client", with("reservations: [{address: 192.0.2.9}]")},
		{"reservation with two clients", with("reservations: [{address: 192.0.2.9, hw-address: '02:00', client-id: '01:02'}]")},
		{"hardware address", with("reservations: [{address: 192.0.2.9, hw-address: '2:0'}]")},
		{"hardware type", with("reservations: [{address: 192.0.2.9, hw-address: '02:00', hw-type: 256}]")},
		{"class without a condition", with("classes: [{name: a}]")},
		{"refusal", with("classes: [{test: known, refuse: loudly}]")},
		{"pattern", with("classes: [{hw-address: 'zz:*'}]")},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := check(t, schema(t), []byte(c.doc)); err == nil {
				t.Errorf("the schema takes it:\n%s", c.doc)
			}
			if _, err := ParseSubnets([]byte(c.doc), defaults); err == nil {
				t.Errorf("the program takes it:\n%s", c.doc)
			}
		})
	}
	if err := check(t, schema(t), []byte(with(""))); err != nil {
		t.Errorf("the subnet around the mistakes: %v", err)
	}
}

// TestReservationsFileFitsItsSchema reads lines as objects, as converters do.
func TestReservationsFileFitsItsSchema(t *testing.T) {
	s := compiled(t, ReservationsSchema())
	lines := func(file string) (all []any) {
		rows, err := csv.NewReader(strings.NewReader(file)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows[1:] {
			line := map[string]any{}
			for i, text := range row {
				if text != "" {
					line[rows[0][i]] = text
				}
			}
			all = append(all, line)
		}
		return all
	}
	for _, c := range []struct {
		file string
		fits bool
	}{
		{"address,hw-address,client-id,lease-time\n192.0.2.10,02:00:00:00:00:01,,\n192.0.2.11,,ff:00:00:00:01,5m\n", true},
		{"address,hw-address,colour\n192.0.2.10,02:00:00:00:00:01,red\n", false},
		{"address,hw-address\n,02:00:00:00:00:01\n", false},
		{"address,hw-address\n192.0.2.10,\n", false},
		{"address,hw-address,lease-time\n192.0.2.10,02:00,soon\n", false},
		{"address,hw-address\n192.0.2.300,02:00\n", false},
	} {
		if err := s.Validate(lines(c.file)); (err == nil) != c.fits {
			t.Errorf("%v\n%s", err, c.file)
		}
		path := filepath.Join(t.TempDir(), "reservations")
		if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ParseSubnets([]byte(subnetWith("reservations-file: "+path)), defaults); (err == nil) != c.fits {
			t.Errorf("the program: %v\n%s", err, c.file)
		}
	}
}

// FuzzSchema checks that the schema accepts each document that the program accepts.
func FuzzSchema(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(`{"subnets": [{"id": 7, "subnet": "10.0.0.0/8", "pools": ["10.0.0.0/16"], "match": []}]}`))
	f.Add([]byte(subnetWith("lease-time: 1d2h\nrenewal-time: 0.5\nmatch: [{remote-id: '9:x', class: a}]\nclasses: [{hw-address: '02*', options: {43: 0x0102, sip-servers: a.b}}]")))
	f.Add([]byte("- {id: 0x1, subnet: 10.0.0.0/31, pools: [{range: 10.0.0.1, exclude: []}], match: [{remote-id: '9:x'}], classes: [{hw-address: '02*'}]}"))
	f.Add([]byte("- &a {id: 1, <<: *a, options: {121: 0x00}}"))
	s := schema(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		if bytes.Contains(doc, []byte("reservations-file")) {
			return // it names files of this machine
		}
		if _, err := ParseSubnets(doc, defaults); err != nil {
			return
		}
		if err := check(t, s, doc); err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
	})
}
