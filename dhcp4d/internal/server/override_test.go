package server

import (
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// TestO4_14ServerIdentifierOverride: whom we trust may say by which address clients know us, from
// DISCOVER to RELEASE.
func TestO4_14ServerIdentifierOverride(t *testing.T) {
	b := newBench(t)
	b.reload(t, `
- {id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.20], match: [{prefix: "2001:db8::5/128", trust-inner: true}, {prefix: "2001:db8:1::/64"}]}
`)
	agent, other := netip.MustParseAddrPort("[2001:db8::5]:546"), netip.MustParseAddrPort("[2001:db8:1::5]:546")
	override := func(octets ...byte) []byte {
		sub := append([]byte{dhcp4.SubServerID, byte(len(octets))}, octets...)
		return dhcp4.AppendOption(nil, dhcp4.OptRelayAgentInformation, sub)
	}
	ours, theirs := addrOption(dhcp4.OptServerIdentifier, "192.0.2.1"), addrOption(dhcp4.OptServerIdentifier, "198.51.100.7")
	wish := addrOption(dhcp4.OptRequestedAddress, "192.0.2.10")
	relay := override(198, 51, 100, 7)
	for _, c := range []struct {
		name    string
		from    netip.AddrPort
		message []byte
		want    dhcp4.MessageType
		id      string
	}{
		{"DISCOVER", agent, message(dhcp4.Discover, 1, relay), dhcp4.Offer, "198.51.100.7"},
		{"DISCOVER of somebody else", other, message(dhcp4.Discover, 2, relay), dhcp4.Offer, "192.0.2.1"},
		{"of a wrong length", agent, message(dhcp4.Discover, 3, override(198, 51, 100)), dhcp4.Offer, "192.0.2.1"},
		{"that is no host's address", agent, message(dhcp4.Discover, 4, override(255, 255, 255, 255)), dhcp4.Offer, "192.0.2.1"},
		{"REQUEST for the offer", agent, message(dhcp4.Request, 1, wish, theirs, relay), dhcp4.ACK, "198.51.100.7"},
		{"REQUEST that names us", agent, message(dhcp4.Request, 1, wish, ours, relay), dhcp4.ACK, "198.51.100.7"},
		{"REQUEST for another address", agent, message(dhcp4.Request, 5, wish, theirs, relay), dhcp4.NAK, "198.51.100.7"},
		{"renewal", agent, with(netip.MustParseAddr("192.0.2.10"), message(dhcp4.Request, 1, relay)), dhcp4.ACK, "198.51.100.7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer := b.ask(t, frame(t, query(c.message), c.from))
			id, _ := answer.Addr(dhcp4.OptServerIdentifier)
			if answer.Type() != c.want || id.String() != c.id || !answer.Has(dhcp4.OptRelayAgentInformation) {
				t.Errorf("%v of server %v, want %v of %v, with option 82", answer.Type(), id, c.want, c.id)
			}
		})
	}
	t.Run("REQUEST of somebody else names another server", func(t *testing.T) {
		if kind, _ := b.tell(t, spot{source: "2001:db8:1::5"}, message(dhcp4.Request, 2, wish, theirs, relay)); kind != 0 {
			t.Errorf("the answer is %v", kind)
		}
	})
	t.Run("RELEASE", func(t *testing.T) {
		b.tell(t, spot{source: "2001:db8::5"}, with(netip.MustParseAddr("192.0.2.10"), message(dhcp4.Release, 1, theirs, relay)))
		eventually(t, "the release is durable", func() bool { return b.sum(t, "dhcp4d_lease_events_total", "event=released") == 1 })
	})
}
