package config_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/softwire"
)

// everything is a document with every key.
const everything = `
classes:
  - name: second
    test: "option[16].exists"
links:
  - interface: eth*
    class: second
    aftr-name: aftr.example.net
    4o6-servers: [2001:db8::1, multicast]
    priority: [map-t, map-e, lw4o6, ds-lite, 4o6]
    map-e:
      rules:
        - {ipv6-prefix: 2001:db8::/40, ipv4-prefix: 192.0.2.0/24, ea-bits: 16, forwarding: true}
        - {ipv6-prefix: 2001:db8:100::/56, ipv4-prefix: 198.51.100.1, ea-bits: 0, psid-length: 8, psid: 0x34}
      border-relays: ["2001:db8:ffff::1", "2001:db8:ffff::2"]
    map-t:
      rules: [{ipv6-prefix: 2001:db8::/40, ipv4-prefix: 192.0.2.0/24, ea-bits: 16, psid-offset: 6, psid-length: 8}]
      default-prefix: 2001:db8:ffff::/64
    lw4o6:
      border-relays: ["2001:db8:ffff::3"]
      ipv4-address: 203.0.113.7
      bind-prefix: 2001:db8:7::/64
      psid-length: 4
      psid: 15
    softwire:
      border-relays: ["2001:db8:ffff::4", "2001:db8:ffff::5"]
      bind-prefix: 2001:db8:7::/64
  - {link: "2001:db8:7::/64", interface-id: 0x07, 4o6-servers: empty}
  - {map-e: [{rules: [{ipv6-prefix: 2001:db8:a::/48, ipv4-prefix: 10.0.0.0/24, ea-bits: 8}], border-relays: ["2001:db8:ffff::1"]},
             {rules: [{ipv6-prefix: 2001:db8:b::/48, ipv4-prefix: 10.0.1.0/24, ea-bits: 8}], border-relays: ["2001:db8:ffff::1"]}]}
`

func TestSW_1_EveryKey(t *testing.T) {
	c, err := config.Load(environ("DNS_SERVERS=2001:db8::53", "LINKS="+everything))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Services.List) != 3 || c.Services.Classes.Len() != 1 || len(c.Warnings()) != 0 {
		t.Fatalf("%+v, %q", c.Services, c.Warnings())
	}
	s := c.Services.List[0]
	prefix := netip.MustParsePrefix
	rule := softwire.Rule{EABits: 16, IPv4: prefix("192.0.2.0/24"), IPv6: prefix("2001:db8::/40")}
	given, both := rule, rule
	given.Ports = softwire.Ports{Given: true, Offset: 6, Length: 8}
	both.Forwarding = true
	want := []softwire.MAPE{{
		Rules: []softwire.Rule{both, {IPv4: prefix("198.51.100.1/32"), IPv6: prefix("2001:db8:100::/56"),
			Ports: softwire.Ports{Given: true, Offset: 6, Length: 8, PSID: 0x34}}},
		BorderRelays: addrs("2001:db8:ffff::1", "2001:db8:ffff::2"),
	}}
	mapT := &softwire.MAPT{Rules: []softwire.Rule{given}, Default: prefix("2001:db8:ffff::/64")}
	lw := &softwire.LW4o6{BorderRelays: addrs("2001:db8:ffff::3"), Binding: &softwire.Binding{IPv4: addrs("203.0.113.7")[0],
		IPv6: prefix("2001:db8:7::/64"), Ports: softwire.Ports{Given: true, Length: 4, PSID: 15}}}
	switch {
	case s.Interface != "eth*" || s.Class != 0 || s.InterfaceID != nil || s.Link.IsValid() || s.String() != "interface eth*, class second":
		t.Errorf("conditions: %+v", s)
	case s.AFTR != "aftr.example.net" || !reflect.DeepEqual(s.Servers4o6, addrs("2001:db8::1", "ff02::1:2")):
		t.Errorf("%+v", s)
	case !reflect.DeepEqual(s.MAPE, want) || !reflect.DeepEqual(s.MAPT, mapT) || !reflect.DeepEqual(s.LW4o6, lw):
		t.Errorf("%+v\n%+v\n%+v", s.MAPE, s.MAPT, s.LW4o6)
	case !reflect.DeepEqual(s.Softwire, &softwire.Softwire{BorderRelays: addrs("2001:db8:ffff::4", "2001:db8:ffff::5"), Bind: prefix("2001:db8:7::/64")}):
		t.Errorf("%+v", s.Softwire)
	case fmt.Sprint(s.Priority) != "[map-t map-e lw4o6 ds-lite 4o6]":
		t.Errorf("%v", s.Priority)
	}
	var codes []uint16
	for _, o := range s.Options() {
		codes = append(codes, o.Code)
	}
	if fmt.Sprint(codes) != "[64 88 94 95 96 90 90 137 111]" {
		t.Errorf("options %v", codes)
	}
	second := c.Services.List[1]
	if second.Link != prefix("2001:db8:7::/64") || !bytes.Equal(second.InterfaceID, []byte{7}) || second.Class != -1 || len(second.Options()[0].Data) != 0 {
		t.Errorf("%+v", second)
	}
	if third := c.Services.List[2]; len(third.MAPE) != 2 || third.String() != "every client" || len(third.Options()) != 2 {
		t.Errorf("%+v", third)
	}
}

// Each row is a document and the complete messages about its mistakes.
func TestSW_4_Mistakes(t *testing.T) {
	const thirteen = "'2001:db8::1', '2001:db8::2', '2001:db8::3', '2001:db8::4', '2001:db8::5', '2001:db8::6', '2001:db8::7', " +
		"'2001:db8::8', '2001:db8::9', '2001:db8::a', '2001:db8::b', '2001:db8::c', '2001:db8::d'"
	const good = "{ipv6-prefix: 2001:db8::/40, ipv4-prefix: 192.0.2.0/24, ea-bits: 16}"
	rule := func(r string) string {
		return "links:\n- map-e:\n    border-relays: ['2001:db8:ffff::1']\n    rules:\n    - " + r + "\n"
	}
	tests := []struct {
		name, document string
		want           []string
	}{
		{"no YAML", "links: [", []string{"line 1: not readable as YAML: did not find expected node content"}},
		{"nothing", "# nothing\n", []string{"the document is empty; give links: and a list, or unset the variable"}},
		{"two documents", "links: []\n---\nlinks: []\n", []string{"line 2, column 1: a second document starts; put everything into one"}},
		{"an anchor in itself", "links: &a [*a]\n", []string{"line 1, column 8: the anchor a contains itself"}},
		{"no links", "classes: []\n", []string{"line 1, column 1: has no links; give links: and a list"}},
		{"a list in place of the document", "- a\n", []string{"line 1, column 1: must be the document, a mapping of keys to values"}},
		{"an unknown key", "links:\n- map_e: {}\n", []string{"line 2, column 3: links[0].map_e: is no key of a link; did you mean map-e?"}},
		{"an unknown key that is like none", "links:\n- {tunnels: 1}\n", []string{"line 2, column 4: links[0].tunnels: is no key of a link; " +
			"it has interface, link, interface-id, class, aftr-name, 4o6-servers, map-e, map-t, lw4o6, softwire, priority"}},
		{"a key twice", "links:\n- aftr-name: a.b\n  aftr-name: a.c\n", []string{"line 3, column 3: links[0].aftr-name: is there twice, first in line 2; leave one out"}},
		{"nothing offered", "links:\n- interface: eth0\n", []string{"line 2, column 3: links[0]: offers nothing; give one of aftr-name, 4o6-servers, map-e, map-t, lw4o6, softwire"}},
		{"an interface that is none", "links:\n- {interface: 'a b', aftr-name: a.b}\n", []string{`line 2, column 15: links[0].interface: "a b" is neither the name nor a pattern of an interface`}},
		{"a link that is none", "links:\n- {link: 'fe80::/64', aftr-name: a.b}\n", []string{"line 2, column 10: links[0].link: fe80::/64 holds no address that a host beyond the link can have"}},
		{"an interface and a link", "links:\n- {interface: eth0, link: '2001:db8::/64', aftr-name: a.b}\n",
			[]string{"line 2, column 3: links[0]: has an interface, for clients whose link no relay names, and a link, for those whose relay does; leave one out, or write two entries"}},
		{"a name that is none", "links:\n- aftr-name: aftr\n", []string{`line 2, column 14: links[0].aftr-name: "aftr" is no fully qualified domain name; give one such as aftr.example.net`}},
		{"a 4o6 server twice", "links:\n- 4o6-servers: [multicast, 'ff02::1:2']\n", []string{"line 2, column 28: links[0].4o6-servers[1]: ff02::1:2 is listed twice; leave one out"}},
		{"an empty list of 4o6 servers", "links:\n- 4o6-servers: []\n", []string{"line 2, column 16: links[0].4o6-servers: is an empty list; write empty for the option without an address"}},
		{"a class that is not defined", "classes: [{name: cpe, test: 'option[16].exists'}]\nlinks:\n- {class: cpes, aftr-name: a.b}\n", []string{"line 3, column 11: links[0].class: no class cpes is defined; did you mean cpe?"}},
		{"a class without a test", "classes: [{name: cpe}]\nlinks: []\n", []string{"line 1, column 11: classes[0]: must have a name and a test"}},
		{"a mistake in a test", "classes: [{name: a, test: \"optoin[16].exists\"}]\nlinks: []\n", []string{"line 1, column 28: classes[0].test: optoin is not understood; did you mean option?"}},
		{"SW-4 MAP-E without a border relay, and without rules", "links:\n- map-e: {}\n", []string{
			"line 2, column 10: links[0].map-e: MAP-E must have rules; clients ignore it without",
			"line 2, column 10: links[0].map-e: MAP-E must have border-relays; clients ignore it without"}},
		{"SW-4 MAP-T with a border relay", "links:\n- map-t: {rules: [" + good + "], default-prefix: '2001:db8:ffff::/64', border-relays: []}\n",
			[]string{"line 2, column 128: links[0].map-t.border-relays: is no key of MAP-T; it has rules, default-prefix"}},
		{"SW-4 a default prefix of 97 bits", "links:\n- map-t: {rules: [" + good + "], default-prefix: '2001:db8:ffff::/97'}\n",
			[]string{"line 2, column 106: links[0].map-t.default-prefix: 2001:db8:ffff::/97 has no room for an IPv4 address behind it; give a prefix of at most 96 bits, such as /64"}},
		{"SW-4 lw4o6 without a border relay", "links:\n- lw4o6: {border-relays: []}\n", []string{"line 2, column 26: links[0].lw4o6.border-relays: is empty; clients ignore lw4o6 without one"}},
		{"SW-4 lw4o6 with half an address", "links:\n- lw4o6: {border-relays: ['2001:db8:ffff::1'], psid: 1}\n", []string{
			"line 2, column 10: links[0].lw4o6: lw4o6 with an address must have ipv4-address; clients ignore it without",
			"line 2, column 10: links[0].lw4o6: lw4o6 with an address must have bind-prefix; clients ignore it without"}},
		{"SW-4 lw4o6 with a PSID that does not fit", "links:\n- lw4o6: {border-relays: ['2001:db8:ffff::1'], ipv4-address: 192.0.2.1, bind-prefix: '2001:db8::/64', psid-length: 4, psid: 16}\n",
			[]string{"line 2, column 125: links[0].lw4o6.psid: PSID 16 does not fit into 4 bits; give at most 15"}},
		{"SW-4 a softwire without a border relay", "links:\n- softwire: {bind-prefix: '2001:db8::/64'}\n",
			[]string{"line 2, column 13: links[0].softwire: a softwire must have border-relays; clients ignore it without"}},
		{"SW-4 a bind prefix with bits behind it", "links:\n- softwire: {border-relays: ['2001:db8:ffff::1'], bind-prefix: '2001:db8::1/64'}\n",
			[]string{"line 2, column 64: links[0].softwire.bind-prefix: 2001:db8::1/64 has bits set behind its length; did you mean 2001:db8::/64?"}},
		{"SW-4 more border relays than fit beside a DHCPv4 message", "links:\n- softwire: {border-relays: [" + thirteen + "]}\n",
			[]string{"line 2, column 3: links[0]: options 90 and 137 of 260 octets do not fit beside a DHCPv4 message, at most 256 do; give fewer border relays"}},
		{"SW-4 a border relay that is link-local", "links:\n- lw4o6: {border-relays: ['fe80::1']}\n", []string{`line 2, column 27: links[0].lw4o6.border-relays[0]: "fe80::1" is no IPv6 address that a host beyond the link can have`}},
		{"SW-4 a rule without EA bits", rule("{ipv6-prefix: '2001:db8::/40', ipv4-prefix: 192.0.2.0/24}"), []string{"line 5, column 7: links[0].map-e.rules[0]: a rule must have ea-bits; clients ignore it without"}},
		{"SW-4 bits behind a prefix", rule("{ipv6-prefix: '2001:db8::1/40', ipv4-prefix: 192.0.2.1/24, ea-bits: 16}"), []string{
			"line 5, column 21: links[0].map-e.rules[0].ipv6-prefix: 2001:db8::1/40 has bits set behind its length; did you mean 2001:db8::/40?",
			"line 5, column 52: links[0].map-e.rules[0].ipv4-prefix: 192.0.2.1/24 has bits set behind its length; did you mean 192.0.2.0/24?"}},
		{"SW-4 EA bits and the prefix's length", rule("{ipv6-prefix: '2001:db8::/120', ipv4-prefix: 192.0.2.0/24, ea-bits: 16}"),
			[]string{"line 5, column 75: links[0].map-e.rules[0].ea-bits: 2001:db8::/120 and 16 EA bits make an end-user prefix of 136 bits; give at most 8 EA bits"}},
		{"SW-4 offset and PSID", rule("{ipv6-prefix: '2001:db8::/40', ipv4-prefix: 192.0.2.0/24, ea-bits: 18, psid-offset: 7}"),
			[]string{"line 5, column 91: links[0].map-e.rules[0].psid-offset: an offset of 7 and the 10 bits of PSID that 18 EA bits leave are more than the 16 bits of a port; give an offset of at most 6"}},
		{"SW-4 a PSID length without its PSID", rule("{ipv6-prefix: '2001:db8::/40', ipv4-prefix: 192.0.2.1, ea-bits: 0, psid-length: 4}"),
			[]string{"line 5, column 7: links[0].map-e.rules[0]: has psid-length and no EA bits, so it is for one CE; give its psid"}},
		{"SW-4 two rules of one IPv6 prefix", rule(good + "\n    - {ipv6-prefix: 2001:db8::/40, ipv4-prefix: 198.51.100.0/24, ea-bits: 16}"),
			[]string{"line 6, column 21: links[0].map-e.rules[1].ipv6-prefix: 2001:db8::/40 is in the rule in line 5 already, and a CE takes one rule for its prefix; merge them, or give another prefix"}},
		{"SW-4 two rules that share IPv4 addresses", rule(good + "\n    - {ipv6-prefix: 2001:db8:100::/40, ipv4-prefix: 192.0.2.128/25, ea-bits: 15}"),
			[]string{"line 6, column 7: links[0].map-e.rules[1]: 192.0.2.128/25 overlaps with 192.0.2.0/24 in line 5: two CEs would have the same address and ports; give each other addresses or another PSID, or the same ipv6-prefix and lengths if it is the same rule"}},
		{"SW-4 two bindings of one PSID", "links:\n- {interface-id: a, lw4o6: {border-relays: ['2001:db8:ffff::1'], ipv4-address: 192.0.2.1, bind-prefix: '2001:db8:1::/64', psid-length: 4, psid: 1}}\n" +
			"- {interface-id: b, lw4o6: {border-relays: ['2001:db8:ffff::1'], ipv4-address: 192.0.2.1, bind-prefix: '2001:db8:2::/64', psid-length: 4, psid: 1}}\n",
			[]string{"line 3, column 80: links[1].lw4o6.ipv4-address: 192.0.2.1/32 overlaps with 192.0.2.1/32 in line 2: two CEs would have the same address and ports; give each other addresses or another PSID, or the same ipv6-prefix and lengths if it is the same rule"}},
		{"SW-5 a priority of what is not offered", "links:\n- aftr-name: a.b\n  priority: [map-t, ds-lite, map-t, nat64, ds-lite]\n", []string{
			`line 3, column 37: links[0].priority[3]: "nat64" must be one of map-e, map-t, lw4o6, ds-lite, 4o6`,
			"line 3, column 30: links[0].priority[2]: map-t is listed twice; leave one out",
			"line 3, column 44: links[0].priority[4]: ds-lite is listed twice; leave one out"}},
		{"SW-5 a priority of what is offered nowhere", "links:\n- aftr-name: a.b\n  priority: [map-t, ds-lite]\n",
			[]string{"line 2, column 3: links[0]: priority lists map-t, which these clients are not offered; add it, or leave it out of the list"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Load(environ("DNS_SERVERS=2001:db8::53", "LINKS="+tt.document))
			if err == nil {
				t.Fatal("no mistake")
			}
			got := strings.Split(strings.TrimPrefix(err.Error(), "configuration: "), "\n")
			for i := range got {
				got[i] = strings.TrimPrefix(got[i], "DHCP6D_LINKS: ")
			}
			missing := false
			for _, w := range tt.want {
				missing = missing || !strings.Contains("\n"+strings.Join(got, "\n")+"\n", "\n"+w+"\n")
			}
			if missing || len(got) != len(tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestSW_4_WhatMayBeRightIsTaken(t *testing.T) {
	const lw = "{interface-id: %s, lw4o6: {border-relays: ['2001:db8:ffff::1'], ipv4-address: 192.0.2.1, bind-prefix: '2001:db8:%d::/64', psid-length: 4, psid: %d}}"
	for name, document := range map[string]string{
		"a shared address with two PSIDs":                      "links: [" + fmt.Sprintf(lw, "a", 1, 1) + ", " + fmt.Sprintf(lw, "b", 2, 2) + "]",
		"the same binding on two links":                        "links: [" + fmt.Sprintf(lw, "a", 1, 1) + ", " + fmt.Sprintf(lw, "b", 1, 1) + "]",
		"the same rule for MAP-E and MAP-T, by an anchor":      "links:\n- map-e: {rules: &r [{ipv6-prefix: '2001:db8::/40', ipv4-prefix: 192.0.2.0/24, ea-bits: 16}], border-relays: ['2001:db8:ffff::1']}\n  map-t: {rules: *r, default-prefix: '64:ff9b::/96'}\n",
		"rules of nested IPv6 prefixes":                        "links: [{map-t: {rules: [{ipv6-prefix: '2001:db8::/32', ipv4-prefix: 192.0.2.0/24, ea-bits: 8}, {ipv6-prefix: '2001:db8:1::/48', ipv4-prefix: 198.51.100.0/24, ea-bits: 8}], default-prefix: '64:ff9b::/96'}}]",
		"a priority of what a variable offers":                 "links: [{aftr-name: a.b, priority: [4o6, ds-lite]}]",
		"JSON":                                                 `{"links": [{"aftr-name": "a.b"}]}`,
		"lw4o6 whose address comes from 4o6":                   "links: [{lw4o6: {border-relays: ['2001:db8:ffff::1']}, 4o6-servers: [multicast]}]",
		"no entry, so that there is a file to be filled later": "links: []",
	} {
		if _, err := config.Load(environ("DNS_SERVERS=2001:db8::53", "4O6_SERVERS=multicast", "LINKS="+document)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSW_4_PortsBelow1024AreWarnedOf(t *testing.T) {
	c, err := config.Load(environ("DNS_SERVERS=2001:db8::53",
		"LINKS=links: [{map-t: {rules: [{ipv6-prefix: '2001:db8::/40', ipv4-prefix: 192.0.2.0/24, ea-bits: 16, psid-offset: 8}], default-prefix: '64:ff9b::/96'}}]"))
	if err != nil || len(c.Warnings()) != 1 || !strings.Contains(c.Warnings()[0], "DHCP6D_LINKS: line 1, column 110: links[0].map-t.rules[0].psid-offset: with a PSID offset above 6") {
		t.Errorf("%q, %v", c.Warnings(), err)
	}
}

// The document in a file is read again by a reload.
func TestSW_1_ReadAgainByAReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "links.yml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("links: [{aftr-name: a.example.net}]\n")
	c, err := config.Load(environ("LINKS_FILE=" + path))
	if err != nil || c.Services.List[0].AFTR != "a.example.net" {
		t.Fatal(c.Services, err)
	}
	write("links: [{aftr-name: b.example.net}]\n")
	if c, err = c.Reload(); err != nil || c.Services.List[0].AFTR != "b.example.net" {
		t.Error(c.Services, err)
	}
}

func TestSW_6_RawOptionsAreChecked(t *testing.T) {
	for option, want := range map[string]string{
		"94:0059":                  "option 94 would be ignored by clients: an option is cut off",
		"95:":                      "option 95 would be ignored by clients: MAP-T needs a rule and a default mapping rule",
		"96:":                      "option 96 would be ignored by clients: lw4o6 needs a border relay",
		"64:0461667472":            "option 64 would be ignored by clients: is no domain name",
		"111:00":                   "option 111 would be ignored by clients: is no list of option codes",
		"89:00":                    "option 89 belongs into a container, option 94, 95 or 96",
		"90:20010db8":              "option 90 would be ignored by clients: a border relay has no IPv6 address",
		"137:8120":                 "option 137 would be ignored by clients: an IPv6 prefix is cut off",
		"137:4020010db80001000201": "option 137 would be ignored by clients: something follows the IPv6 prefix",
		"90:20010db8ffff00000000000000000001,90:20010db8ffff00000000000000000001": "option 90 is listed twice",
		"90:20010db8ffff00000000000000000001,90:20010db8ffff00000000000000000002": "",
		"137:4020010db800010002": "",
		"111:005e0040":           "",
		"64:0161016200":          "",
	} {
		_, err := config.Load(environ("DNS_SERVERS=2001:db8::53", "OPTIONS="+option))
		if want == "" && err != nil {
			t.Errorf("%s: %v", option, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %s", option, err, want)
		}
	}
}

// FuzzLinks: the document of links is taken, always in the same way, or its mistakes have words.
func FuzzLinks(f *testing.F) {
	for _, doc := range []string{
		"links: [{aftr-name: a.example.net}]",
		"links:\n- {interface: eth0, aftr-name: a.example.net}\n- {match: [{link-address: '2001:db8::/64'}], options: {94: 0x00}}\n",
		"links: [&a {aftr-name: x, <<: *a}]",
		"[{4o6-servers: [multicast], map-e: {}}]",
	} {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		c, err := config.Load(environ("LINKS=" + doc))
		again, errAgain := config.Load(environ("LINKS=" + doc))
		switch {
		case err != nil:
			if err.Error() == "" || errAgain == nil || errAgain.Error() != err.Error() {
				t.Fatalf("%v, and then %v", err, errAgain)
			}
		case errAgain != nil:
			t.Fatalf("taken, and then %v", errAgain)
		case len(c.Services.List) != len(again.Services.List):
			t.Fatalf("%d links, and then %d", len(c.Services.List), len(again.Services.List))
		}
	})
}
