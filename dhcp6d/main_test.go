package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/exit"
)

// -check names what is wrong, and what this host lacks.
func TestCheckSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name    string
		environ []string
		want    string
	}{
		{"a level that there is not", []string{"DHCP6D_LOG_LEVEL=verbose"}, `DHCP6D_LOG_LEVEL: there is no level "verbose"; give debug, info, warn or error`},
		{"an interface", []string{"DHCP6D_INTERFACES=lo,nope0"}, "DHCP6D_INTERFACES: nope0 fits no interface now"},
		{"a pattern that nothing fits", []string{"DHCP6D_INTERFACES=nope*,none?"}, "DHCP6D_INTERFACES: nope*, none? fits no interface now"},
		{"a pattern beside what is there", []string{"DHCP6D_INTERFACES=lo,nope*"}, ""},
		{"the source of answers", []string{"DHCP6D_SOURCE=2001:db8::77"}, "DHCP6D_SOURCE: this host has no address 2001:db8::77"},
		{"the address of the metrics", []string{"DHCP6D_METRICS_LISTEN=[2001:db8::77]:9566"}, "DHCP6D_METRICS_LISTEN: this host has no address 2001:db8::77"},
		{"the address of the IPC", []string{"DHCP6D_IPC_INSECURE=true", "DHCP6D_IPC_LISTEN=[2001:db8::77]:6767"}, "DHCP6D_IPC_LISTEN: this host has no address 2001:db8::77"},
		{"an interface of LDRAs", []string{"DHCP6D_LDRA_INTERFACES=nope0"}, "DHCP6D_LDRA_INTERFACES: nope0 fits no interface now"},
		{"an interface of options", []string{"DHCP6D_LINK_OPTIONS=nope0 DNS_SERVERS=2001:db8::1"}, "DHCP6D_LINK_OPTIONS: nope0 fits no interface now"},
		{"an address of the API", []string{"DHCP6D_API_LISTEN=[2001:db8::77]:9548", "DHCP6D_API_TOKEN=0123456789abcdef"}, "DHCP6D_API_LISTEN: this host has no address 2001:db8::77"},
		{"an API that anybody reaches", []string{"DHCP6D_API_LISTEN=:9548"}, "DHCP6D_API_LISTEN: :9548 can be reached from other hosts"},
		{"a short token", []string{"DHCP6D_API_TOKEN=short"}, "DHCP6D_API_TOKEN has fewer than 16 characters"},
		{"an option with dashes", []string{"DHCP6D_OPTIONS=100:01-02-03"}, ""},
		{"an option with dots", []string{"DHCP6D_OPTIONS=100:0102.0304"}, ""},
		{"an identifier with dashes", []string{"DHCP6D_HOOKS=acl", "DHCP6D_ACL_ALLOW=interface-id=0x02-00-01"}, ""},
	} {
		t.Run("OP-2 "+c.name, func(t *testing.T) {
			var out, said strings.Builder
			err := run(t.Context(), []string{"-check"}, append([]string{"DHCP6D_INTERFACES=lo", "DHCP6D_DNS_SERVERS=2001:db8::1"}, c.environ...), &out, &said)
			text := said.String()
			if err != nil {
				text += err.Error()
			}
			if (c.want == "" && text != "") || !strings.Contains(text, c.want) {
				t.Errorf("%q, want %q", text, c.want)
			}
		})
	}
}

func TestTheCommandTraceExplainsItself(t *testing.T) {
	var out, said strings.Builder
	if err := run(t.Context(), []string{"trace", "-h"}, nil, &out, &said); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"-hw-address", "-client-id", "-source", "-interface-id", "-remote-id", "-w ", "DHCP6D_API_LISTEN"} {
		if !strings.Contains(said.String(), flag) {
			t.Errorf("does not tell of %s:\n%s", flag, said.String())
		}
	}
	if err := run(t.Context(), []string{"trace", "-w", "-", "-json"}, nil, &out, &said); err == nil || !strings.Contains(err.Error(), "writes nothing but the capture") {
		t.Errorf("text and a capture on the standard output: %v", err)
	}
}

// What explain-ce tells of the examples in appendix A of RFC 7597 and of RFC 7599, whose example 5
// is as erratum 5324 corrects it.
func TestSW_3_ExplainCEOfTheRFCs(t *testing.T) {
	const (
		mapE = "{rules: [%s], border-relays: ['2001:db8:ffff::1']}"
		mapT = "{rules: [%s], default-prefix: '2001:db8:ffff::/64'}"
		bits = "{ipv6-prefix: '2001:db8::/40', ipv4-prefix: 192.0.2.0/24, ea-bits: 16}"
		all  = "{ipv6-prefix: '2001:db8:12:3400::/56', ipv4-prefix: 192.0.2.18, ea-bits: 0}"
		one  = "{ipv6-prefix: '2001:db8:12:3400::/56', ipv4-prefix: 192.0.2.18, ea-bits: 0, psid-length: 8, psid: 0x34}"

		shared = "192.0.2.18 PSID 0x34, 8 bits behind 6, one of 256 CEs ports 252 in 63 ranges 1232-1235 2256-2259"
		whole  = "192.0.2.18 ports all IPv6 address 2001:db8:12:3400:0:c000:212:0"
		last   = "63696-63699 64720-64723 IPv6 address 2001:db8:12:3400:0:c000:212:34"
		relay  = "border relays 2001:db8:ffff::1"
		other  = "default prefix 2001:db8:ffff::/64"

		relayOctets = "005a001020010db8ffff00000000000000000001"
		otherOctets = "005b00094020010db8ffff0000"
		bitsOctets  = "0059000d001018c00002002820010db800"
		allOctets   = "0059000f000020c00002123820010db8001234"
		oneOctets   = "00590017000020c00002123820010db8001234005d000406083400"
	)
	for _, c := range []struct {
		name, key, kind, rule string
		tells                 []string
		octets                string
	}{
		{"RFC 7597 example 1", "map-e", mapE, bits, []string{shared, last, relay}, "005e0025" + bitsOctets + relayOctets},
		{"RFC 7597 example 4", "map-e", mapE, all, []string{whole, relay}, "005e0027" + allOctets + relayOctets},
		{"RFC 7597 example 5", "map-e", mapE, one, []string{shared, last, relay}, "005e002f" + oneOctets + relayOctets},
		{"RFC 7599 example 1", "map-t", mapT, bits, []string{shared, last, other}, "005f001e" + bitsOctets + otherOctets},
		{"RFC 7599 example 4", "map-t", mapT, all, []string{whole, other}, "005f0020" + allOctets + otherOctets},
		{"RFC 7599 example 5", "map-t", mapT, one, []string{shared, last, other}, "005f0028" + oneOctets + otherOctets},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, said strings.Builder
			environ := []string{"DHCP6D_LINKS=links: [{" + c.key + ": " + fmt.Sprintf(c.kind, c.rule) + "}]"}
			if err := run(t.Context(), []string{"explain-ce", "2001:db8:12:3400::/56"}, environ, &out, &said); err != nil {
				t.Fatal(err)
			}
			words := strings.Join(strings.Fields(out.String()), " ")
			for _, want := range c.tells {
				if !strings.Contains(words, want) {
					t.Errorf("does not tell %q:\n%s", want, out.String())
				}
			}
			if _, octets, _ := strings.Cut(words, " octets "); strings.ReplaceAll(octets, " ", "") != c.octets {
				t.Errorf("the octets are %s, want %s", octets, c.octets)
			}
		})
	}
}

// The page has what explain-ce tells of its example, word by word.
func TestSW_3_ExplainCE(t *testing.T) {
	page, err := os.ReadFile("../docs/softwires.md")
	if err != nil {
		t.Fatal(err)
	}
	document := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	told := regexp.MustCompile("(?s)```text explain-ce (\\S+)\n(.*?)…\n(.*?)```").FindSubmatch(page)
	if document == nil || told == nil {
		t.Fatal("the page has no document, or not what is told of it")
	}
	file := filepath.Join(t.TempDir(), "links.yml")
	if err := os.WriteFile(file, document[1], 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"DHCP6D_LINKS_FILE=" + file}
	explain := func(prefix string) (string, error) {
		var out, said strings.Builder
		err := run(t.Context(), []string{"explain-ce", prefix}, environ, &out, &said)
		return out.String(), err
	}
	got, err := explain(string(told[1]))
	if err != nil || !strings.HasPrefix(got, string(told[2])) || !strings.HasSuffix(got, string(told[3])) {
		t.Errorf("%v\n%s", err, got)
	}
	if _, err := explain("2001:db9::/56"); exit.Code(err) != exit.StatusNotFound {
		t.Errorf("of a prefix that no rule is for: %v", err)
	}
	for prefix, want := range map[string]string{
		"2001:db8::1/56": "did you mean 2001:db8::/56?", "192.0.2.0/24": `"192.0.2.0/24" is no IPv6 prefix`, "x": `"x" is no IPv6 prefix`, "-h": "",
	} {
		if _, err := explain(prefix); (want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", prefix, err)
		}
	}
	environ = []string{"DHCP6D_LINKS=links: [{map-e: 1}]"}
	if _, err := explain("2001:db8::/56"); err == nil || !strings.Contains(err.Error(), "DHCP6D_LINKS: line 1, column 17: links[0].map-e: must be MAP-E") {
		t.Error(err)
	}
	environ = nil
	if _, err := explain("2001:db8::/56"); err == nil || !strings.Contains(err.Error(), "DHCP6D_LINKS: not set") {
		t.Error(err)
	}
	environ = []string{`DHCP6D_LINKS={"links": [
		{"lw4o6": {"border-relays": ["2001:db8:ffff::3"], "ipv4-address": "192.0.2.18", "bind-prefix": "2001:db8:12:3400::/64", "psid-length": 8, "psid": 52}},
		{"softwire": {"border-relays": ["2001:db8:ffff::4"], "bind-prefix": "2001:db8:12:3400::/64"}},
		{"softwire": {"border-relays": ["2001:db8:ffff::5"]},
			"map-t": {"rules": [{"ipv6-prefix": "2001:db8:12::/48", "ipv4-prefix": "10.0.0.0/16", "ea-bits": 8}], "default-prefix": "64:ff9b::/96"}}]}`}
	got, err = explain("2001:db8:12:3400::/56")
	for _, want := range []string{"lw4o6, bound to 2001:db8:12:3400::/64", "13312-13567", "2001:db8:12:3400:0:c000:212:34",
		"IPv4 prefix     10.0.52.0/24", "ports           all", "default prefix  64:ff9b::/96",
		"softwire for 4o6, bound to 2001:db8:12:3400::/64", "00 5a 00 10 20 01 0d b8 ff ff 00 00 00 00 00 00", "00 89 00 09 40 20 01 0d b8 00 12 34 00"} {
		if !strings.Contains(got, want) {
			t.Errorf("does not tell %q, %v:\n%s", want, err, got)
		}
	}
}
