package interop

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// softwires has every container; keaSoftwires is the same for Kea.
const softwires = `
links:
  - aftr-name: aftr.example.net
    map-e:
      rules:
        - ipv6-prefix: 2001:db8::/41
          ipv4-prefix: 192.0.2.0/24
          ea-bits: 16
          psid-offset: 6
          forwarding: true
      border-relays: ["2001:db8:ffff::1"]
    map-t:
      rules: [{ipv6-prefix: 2001:db8::/41, ipv4-prefix: 192.0.2.0/24, ea-bits: 16, psid-offset: 6, forwarding: true}]
      default-prefix: 2001:db8:ffff::/64
    lw4o6:
      border-relays: ["2001:db8:ffff::3"]
      ipv4-address: 198.51.100.18
      bind-prefix: 2001:db8:12:3400::/56
      psid-length: 8
      psid: 0x34
    priority: [map-t, ds-lite]
`

const keaSoftwires = `"client-classes": [{"name": "all", "test": "pkt6.msgtype == 1", "option-data": [
	{"name": "aftr-name", "data": "aftr.example.net"},
	{"name": "s46-cont-mape"},
	{"name": "s46-rule", "space": "s46-cont-mape-options", "data": "1, 16, 24, 192.0.2.0, 2001:db8::/41"},
	{"name": "s46-br", "space": "s46-cont-mape-options", "data": "2001:db8:ffff::1"},
	{"name": "s46-cont-mapt"},
	{"name": "s46-rule", "space": "s46-cont-mapt-options", "data": "1, 16, 24, 192.0.2.0, 2001:db8::/41"},
	{"name": "s46-portparams", "space": "s46-rule-options", "data": "6, 0/0"},
	{"name": "s46-dmr", "space": "s46-cont-mapt-options", "data": "2001:db8:ffff::/64"},
	{"name": "s46-cont-lw"},
	{"name": "s46-br", "space": "s46-cont-lw-options", "data": "2001:db8:ffff::3"},
	{"name": "s46-v4v6bind", "space": "s46-cont-lw-options", "data": "198.51.100.18, 2001:db8:12:3400::/56"},
	{"name": "s46-portparams", "space": "s46-v4v6bind-options", "data": "0, 52/8"}
]}]`

// softwireCodes are the codes of the options in that document.
var softwireCodes = []dhcpv6.OptionCode{64, 94, 95, 96, 111}

// data returns the content of an option, nil if it is not there.
func data(m *dhcpv6.Message, code dhcpv6.OptionCode) []byte {
	if o := m.GetOneOption(code); o != nil {
		return o.ToBytes()
	}
	return nil
}

// softwired returns a network whose dhcp6d has that document.
func softwired(t *testing.T, env ...string) *passing {
	t.Helper()
	file := filepath.Join(t.TempDir(), "links.yml")
	if err := os.WriteFile(file, []byte(softwires), 0o600); err != nil {
		t.Fatal(err)
	}
	return newPassing(t, "2001:db8:5::2", append(env, "DHCP6D_LINKS_FILE="+file)...)
}

// asks returns a message that asks for the options of the document.
func (s *stateful) asks(kind dhcpv6.MessageType, options ...dhcpv6.Option) *dhcpv6.Message {
	m := s.message(kind, options...)
	m.UpdateOption(dhcpv6.OptRequestedOption(softwireCodes...))
	return m
}

// sameRow reports whether two rows have the same options, in whatever order.
func sameRow(t *testing.T, a, b []byte) bool {
	t.Helper()
	sorted := func(row []byte) string {
		var all []string
		for len(row) >= 4 {
			n := 4 + int(row[2])<<8 + int(row[3])
			all = append(all, fmt.Sprintf("%x", row[:n]))
			row = row[n:]
		}
		return fmt.Sprint(slices.Sorted(slices.Values(all)))
	}
	return sorted(a) == sorted(b)
}

// TestSW_2_KeaHasTheSameOctets checks that Kea and dhcp6d make the same options from the same
// values.
func TestSW_2_KeaHasTheSameOctets(t *testing.T) {
	b := softwired(t)
	b.kea(b.theirs, perLink("eth1/2001:db8:5::2")+", "+keaSoftwires)
	s := b.stateful(t, topology.Multicast, 1)
	kea := s.ask(s.asks(dhcpv6.MessageTypeSolicit, &dhcpv6.OptIANA{}))
	ours := s.ask(s.asks(dhcpv6.MessageTypeInformationRequest))
	if !isOurs(string(ours.Options.ServerID().ToBytes())) || isOurs(string(kea.Options.ServerID().ToBytes())) {
		t.Fatalf("answers of the wrong server: %s and %s", ours.Summary(), kea.Summary())
	}
	if !bytes.Equal(data(ours, 64), data(kea, 64)) || data(kea, 64) == nil {
		t.Errorf("option 64: %x, Kea's %x", data(ours, 64), data(kea, 64))
	}
	for _, code := range []dhcpv6.OptionCode{94, 95, 96} {
		want := data(kea, code)
		if want == nil || !sameRow(t, data(ours, code), want) {
			t.Errorf("option %d: %x, Kea's %x", code, data(ours, code), want)
		}
	}
}

// TestRL40KeaSuppliesSoftwires checks that a Kea without the options gives them to clients of
// dhcp6d that ask for them.
func TestRL40KeaSuppliesSoftwires(t *testing.T) {
	b := softwired(t, "DHCP6D_DHCPV6_SUPPLY=64,94,95,96,111")
	b.kea(b.theirs, snippetOf(b.t, "../../docs/softwires.md", "json kea supplied")+", "+perLink("eth1/2001:db8:5::2"))
	for i, via := range []topology.Via{topology.Multicast, topology.OneRelay} {
		t.Run(string(via), func(t *testing.T) {
			s := b.stateful(t, via, i+1)
			ours := s.ask(s.asks(dhcpv6.MessageTypeInformationRequest))
			kea := s.ask(s.asks(dhcpv6.MessageTypeSolicit, &dhcpv6.OptIANA{}))
			plain := s.ask(s.message(dhcpv6.MessageTypeSolicit, &dhcpv6.OptIANA{}))
			for _, code := range softwireCodes {
				if len(data(ours, code)) == 0 || !bytes.Equal(data(ours, code), data(kea, code)) {
					t.Errorf("option %d: %x, through Kea %x", code, data(ours, code), data(kea, code))
				}
				if data(plain, code) != nil {
					t.Errorf("option %d for a client that does not ask for it", code)
				}
			}
		})
	}
}
