package server

import (
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// TestD4_97LimitBy: a limit counts the leases for which an expression has the same value, wherever
// their clients are, and those without a value by attachment point. What is in the store counts,
// too.
func TestD4_97LimitBy(t *testing.T) {
	b := newBench(t)
	document := func(by string) string {
		return `
- id: 1
  subnet: 192.0.2.0/24
  match: [{interface: eth1}, {link-address: "::/0"}]
  pools: [192.0.2.10-192.0.2.99]
  limit: 2
  limit-by: ` + by + `
`
	}
	b.reload(t, document("option[200].hex"))
	of := func(s string) []byte { return dhcp4.AppendOption(nil, 200, []byte(s)) }
	b.steps(t, onPort("1"), []step{
		{"the first of a name", discovers(1, of("red")), dhcp4.Offer, "192.0.2.10"},
		{"is bound", message(dhcp4.Request, 1, of("red"), addrOption(dhcp4.OptRequestedAddress, "192.0.2.10"), addrOption(dhcp4.OptServerIdentifier, "192.0.2.1")), dhcp4.ACK, "192.0.2.10"},
		{"one without a name", discovers(2), dhcp4.Offer, "192.0.2.11"},
	})
	b.steps(t, onPort("2"), []step{
		{"the second of the name, at another port", discovers(3, of("red")), dhcp4.Offer, "192.0.2.12"},
		{"the third is one too many", discovers(4, of("red")), 0, noAddress},
		{"another name", discovers(5, of("blue")), dhcp4.Offer, "192.0.2.13"},
		{"no name", discovers(6), dhcp4.Offer, "192.0.2.14"},
		{"no name, the second at the port", discovers(7), dhcp4.Offer, "192.0.2.15"},
		{"no name, the third", discovers(8), 0, noAddress},
	})
	b.steps(t, onPort("1"), []step{
		{"a release, which tells no name", with(netip.MustParseAddr("192.0.2.10"), message(dhcp4.Release, 1)), 0, noAddress},
		{"makes room for the name", discovers(4, of("red")), dhcp4.Offer, "192.0.2.16"},
		{"a name that is longer than can be kept", discovers(9, of(string(make([]byte, 200)))), dhcp4.Offer, "192.0.2.17"},
	})
	b.reload(t, document("ifelse(option[200].exists, pkt.iface, '')"))
	if kind, a := b.tell(t, onPort("1"), message(dhcp4.Request, 4, of("red"), addrOption(dhcp4.OptRequestedAddress, "192.0.2.16"), addrOption(dhcp4.OptServerIdentifier, "192.0.2.1"))); kind != dhcp4.ACK {
		t.Errorf("after a reload: %v of %v", kind, a)
	}
	r := b.stored(t, netip.MustParseAddr("192.0.2.16"))
	if n := len(r.Point); n < 6 || string(r.Point[n-5:n-1]) != "eth1" {
		t.Errorf("the record has %q", r.Point)
	}
}
