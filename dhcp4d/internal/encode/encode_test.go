package encode

import (
	"encoding/hex"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
)

// compile encodes a document of one option, or of a mapping of several.
func compile(t testing.TB, doc string) (*option.Set, []string) {
	t.Helper()
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(doc), &root); err != nil {
		t.Fatal(err)
	}
	var b option.Builder
	var problems []string
	m := root.Content[0]
	for i := 0; i < len(m.Content); i += 2 {
		code, wire, ok := Option(m.Content[i], m.Content[i+1], func(_ *yaml.Node, path, problem string) {
			problems = append(problems, m.Content[i].Value+path+": "+problem)
		})
		if ok {
			b.Put(code, wire)
		}
	}
	return b.Set(), problems
}

func TestOption(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		code      byte
		want      string
	}{
		{"one address", `swap-server: 192.0.2.1`, 16, "c0000201"},
		{"list of addresses", `routers: [192.0.2.1, 192.0.2.2]`, 3, "c0000201 c0000202"},
		{"a scalar is a list of one", `domain-name-servers: 192.0.2.53`, 6, "c0000235"},
		{"mask", `subnet-mask: 255.255.255.192`, 1, "ffffffc0"},
		{"broadcast", `broadcast-address: 192.0.2.255`, 28, "c00002ff"},
		{"boolean", `ip-forwarding: true`, 19, "01"},
		{"8 bits", `default-ip-ttl: 64`, 23, "40"},
		{"16 bits", `interface-mtu: 1460`, 26, "05b4"},
		{"16 bits in hex", `boot-size: 0x0100`, 13, "0100"},
		{"the least MTU", `interface-mtu: 68`, 26, "0044"},
		{"32 bits", `arp-cache-timeout: 4294967295`, 35, "ffffffff"},
		{"negative", `time-offset: -3600`, 2, "fffff1f0"},
		{"list of 16 bits", `path-mtu-plateau-table: [68, 1500]`, 25, "0044 05dc"},
		{"text", `domain-name: example.com`, 15, hex.EncodeToString([]byte("example.com"))},
		{"text that looks like a number", `host-name: 17`, 12, "3137"},
		{"time zone", `tcode: Europe/Zurich`, 101, hex.EncodeToString([]byte("Europe/Zurich"))},
		{"an alias of a name", `bootfile-name: x`, 67, "78"},
		{"vendor class as hex", `vendor-class-identifier: 0x00ff`, 60, "00ff"},
		{"host routes", `static-routes: [198.51.100.7 via 192.0.2.1]`, 33, "c6336407 c0000201"},
		{"policy filter", `policy-filter: [10.0.0.0/8]`, 21, "0a000000 ff000000"},
		{"O4-7 golden bytes of domain search", `domain-search: [eng.example.com, hr.example.com]`, 119,
			"03656e67 07 6578616d706c65 03636f6d 00 02 6872 c004"},
		{"O4-7 a whole name becomes a pointer", `domain-search: [example.com., EXAMPLE.com]`, 119,
			"07 6578616d706c65 03636f6d 00 c000"},
		{"O4-8 golden bytes of classless routes", `classless-static-routes: [default via 192.0.2.1, 10.0.0.0/8 via 192.0.2.1]`, 121,
			"00 c0000201 08 0a c0000201"},
		{"O4-8 widths 0, 1, 8, 9, 24, 32", `classless-static-route: [0.0.0.0/0 via 192.0.2.1, 128.0.0.0/1 via 192.0.2.1, 10.0.0.0/8 via 192.0.2.1, 10.128.0.0/9 via 192.0.2.1, 198.51.100.0/24 via 192.0.2.1, 198.51.100.7/32 on-link]`, 121,
			"00 c0000201 01 80 c0000201 08 0a c0000201 09 0a80 c0000201 18 c63364 c0000201 20 c6336407 00000000"},
		{"O4-16 classless routes of old Windows", `ms-classless-static-route: [default via 192.0.2.1, 10.0.0.0/8 via 192.0.2.1]`, 249,
			"00 c0000201 08 0a c0000201"},
		{"O4-16 proxy configuration", `wpad: "http://a/"`, 252, hex.EncodeToString([]byte("http://a/"))},
		{"O4-9 IPv6-only preferred", `v6-only-preferred: 1800`, 108, "00000708"},
		{"names of SIP servers", `sip-servers: [a.example, b.example]`, 120, "00 0161 076578616d706c65 00 0162 076578616d706c65 00"},
		{"addresses of SIP servers", `sip-servers: [192.0.2.1]`, 120, "01 c0000201"},
		{"plain names", `sip-ua-cs-domains: [a.b, a.b]`, 141, "0161 0162 00 0161 0162 00"},
		{"vendor sub-options", `vendor-encapsulated-options: {1: text, 0x02: 0x0a}`, 43, "01 04 74657874 02 01 0a"},
		{"vendor options in hex", `vendor-encapsulated-options: 01:01:ff`, 43, "0101ff"},
		{"vendor-identifying class", `vivco-suboptions: {3561: x}`, 124, "00000de9 02 01 78"},
		{"vendor-identifying options", `vivso-suboptions: {3561: {1: 0x0a}, 9: 0x0101ff}`, 125, "00000de9 03 01010a 00000009 03 0101ff"},
		{"by code", `224: 0x0a0b`, 224, "0a0b"},
		{"by code, with colons", `224: 0a:0b`, 224, "0a0b"},
		{"by the code of a known option", `6: 0xc0000235`, 6, "c0000235"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, problems := compile(t, c.doc)
			if problems != nil {
				t.Fatal(problems)
			}
			got, ok := s.Lookup(c.code)
			if want := strings.ReplaceAll(c.want, " ", ""); !ok || hex.EncodeToString(got) != want {
				t.Errorf("%x, want %s", got, want)
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"unknown name", `foo: 1`, "foo: is no option known by name; give it by code, with the value in hex"},
		{"misspelt name", `domain_name_server: 192.0.2.1`, "did you mean domain-name-servers?"},
		{"code 0", `0: 0x00`, "codes are 1 to 254"},
		{"code 255", `255: 0x00`, "codes are 1 to 254"},
		{"code of the server's own", `51: 0x00`, "use lease-time"},
		{"name of the server's own", `dhcp-server-identifier: 192.0.2.1`, "use server-id"},
		{"client's own", `dhcp-client-identifier: 0x01`, "returns what the client sent"},
		{"relay's own", `82: 0x0102`, "returns what the relay sent"},
		{"no address", `routers: [192.0.2.1, foo]`, `routers[1]: "foo" is no IPv4 address`},
		{"a list as text", `routers: "192.0.2.1, 192.0.2.2"`, "must be a list, such as [192.0.2.1, 192.0.2.2]"},
		{"IPv6 address", `domain-name-servers: ["2001:db8::1"]`, "is no IPv4 address"},
		{"multicast address", `routers: 224.0.0.1`, "is not the address of a host"},
		{"no mask", `subnet-mask: 255.0.255.0`, "is no subnet mask"},
		{"zero mask", `subnet-mask: 0.0.0.0`, "is no subnet mask"},
		{"a list for one", `swap-server: [192.0.2.1]`, "must be IPv4 address"},
		{"a mapping for a list", `routers: {a: b}`, "must be IPv4 address"},
		{"MTU too small", `interface-mtu: 67`, "from 68 to 65535"},
		{"MTU too large", `interface-mtu: 65536`, "from 68 to 65535"},
		{"no node type", `netbios-node-type: 3`, "1, 2, 4 or 8"},
		{"octal", `default-ip-ttl: 0o17`, "must be a number"},
		{"no boolean", `ip-forwarding: 1`, "must be true or false"},
		{"control character", "host-name: \"a\\n\"", "not printable ASCII"},
		{"umlaut", "host-name: zürich", "not printable ASCII"},
		{"odd hex", `224: 0x0`, "must be hex"},
		{"wrong length by code", `26: 0x00`, "has 1 octets; interface-mtu has 2"},
		{"wrong multiple by code", `6: 0x0a0b0c`, "multiple of 4"},
		{"label too long", `domain-search: [` + strings.Repeat("a", 64) + `.example]`, "longer than 63"},
		{"name too long", `domain-search: [` + strings.Repeat("a.", 127) + `example]`, "longer than 253"},
		{"empty label", `domain-search: [a..b]`, "a label is empty"},
		{"umlaut in a name", `domain-search: [zürich.example]`, "xn--"},
		{"O4-8 width 33", `classless-static-route: [10.0.0.0/33 via 192.0.2.1]`, "must be an IPv4 prefix"},
		{"O4-8 bits behind the prefix", `classless-static-route: [10.0.0.1/8 via 192.0.2.1]`, "did you mean 10.0.0.0/8?"},
		{"O4-8 no route", `classless-static-route: [10.0.0.0/8 192.0.2.1]`, "must be a route such as"},
		{"default in static routes", `static-routes: [0.0.0.0 via 192.0.2.1]`, "use classless-static-route"},
		{"names and addresses", `sip-servers: [a.example, 192.0.2.1]`, "one or the other"},
		{"sub-option twice", `vendor-encapsulated-options: {1: a, 0x1: b}`, "is there twice"},
		{"sub-option 255", `vendor-encapsulated-options: {255: a}`, "1 to 254"},
		{"vendor data too long", `vivco-suboptions: {9: ` + strings.Repeat("a", 255) + `}`, "longer than 255"},
		{"O4-10 empty text", `domain-name: ""`, "is empty"},
		{"O4-10 no value", `domain-name:`, "is empty"},
		{"O4-10 empty list", `routers: []`, "is empty"},
		{"O4-10 empty element", `routers: [""]`, "is empty"},
		{"O4-10 empty name list", `domain-search: []`, "is empty"},
		{"O4-10 empty hex", `224: 0x`, "is empty"},
		{"O4-10 empty mapping", `vendor-encapsulated-options: {}`, "is empty"},
		{"O4-10 empty vendor data", `vivso-suboptions: {9: {}}`, "is empty"},
		{"O4-10 empty agents", `mobile-ip-home-agent: []`, "is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, problems := compile(t, c.doc)
			if s.Len() != 0 || !strings.Contains(strings.Join(problems, "\n"), c.want) {
				t.Errorf("%d options, %q", s.Len(), problems)
			}
		})
	}
}

func TestAllMistakesOfAListAreReported(t *testing.T) {
	_, problems := compile(t, `routers: [a, 192.0.2.1, b]`)
	if len(problems) != 2 {
		t.Error(problems)
	}
}

func TestTableIsSound(t *testing.T) {
	last := 0
	names := map[string]bool{}
	for _, def := range Definitions() {
		if int(def.Code) <= last || def.Kind() == "" {
			t.Errorf("%d %s is out of order or has no type", def.Code, def.Name)
		}
		last = int(def.Code)
		for _, name := range def.names() {
			if names[name] {
				t.Errorf("the name %s is there twice", name)
			}
			names[name] = true
		}
	}
	for code := 1; code <= 76; code++ { // RFC 2132
		if byCode[code] == nil {
			t.Errorf("option %d of RFC 2132 has no name", code)
		}
	}
	for code, why := range refused {
		if why != "" && byCode[code] == nil {
			t.Errorf("option %d is refused and has no name", code)
		}
	}
}

func FuzzOption(f *testing.F) {
	f.Add("routers", "[192.0.2.1]")
	f.Add("domain-search", "[eng.example.com, hr.example.com]")
	f.Add("classless-static-route", "[10.0.0.0/9 via 192.0.2.1, default via 192.0.2.1]")
	f.Add("vivso-suboptions", "{9: {1: a}}")
	f.Add("sip-servers", "[a.example]")
	f.Add("224", "0x0a")
	f.Fuzz(func(t *testing.T, name, value string) {
		var root yaml.Node
		if yaml.Unmarshal([]byte(value), &root) != nil || len(root.Content) == 0 {
			return
		}
		problems := 0
		key := &yaml.Node{Kind: yaml.ScalarNode, Value: name}
		code, wire, ok := Option(key, root.Content[0], func(*yaml.Node, string, string) { problems++ })
		if ok != (problems == 0) || (ok && (len(wire) == 0 || code == 0 || code == 255 || refused[code] != "")) {
			t.Fatalf("option %d: %x, %d problems", code, wire, problems)
		}
		if def := byCode[code]; ok && def != nil {
			// What a name encodes, the code takes as hex.
			again := &yaml.Node{Kind: yaml.ScalarNode, Value: "0x" + hex.EncodeToString(wire)}
			_, same, ok := Option(&yaml.Node{Kind: yaml.ScalarNode, Value: decimal(code)}, again, func(_ *yaml.Node, _, problem string) { t.Error(problem) })
			if !ok || string(same) != string(wire) {
				t.Fatalf("%x comes back as %x", wire, same)
			}
		}
	})
}
