//go:build budget

package hooks

import (
	"bytes"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// costly returns datagrams that cost hooks much time: with long identifiers, many options, pieces
// and relay levels.
func costly() [][]byte {
	message := dhcp4.AppendType(dhcp4.AppendHeader(nil, &dhcp4.Header{Op: dhcp4.BootRequest, HType: 1, HLen: 6}), dhcp4.Discover)
	pieces := append(bytes.Clone(message), bytes.Repeat([]byte{61, 3, 'a', ',', 'b', 60, 2, ':', 'a', 82, 2, 1, 0}, 100)...)
	long := dhcp6.AppendOption(dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, bytes.Repeat([]byte("port"), 100)), dhcp6.OptRemoteID, bytes.Repeat([]byte{0, 0, 9, 0xbf}, 100))
	var all [][]byte
	for _, carried := range [][]byte{message, pieces} {
		q := dhcp6.AppendOption(dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{}), dhcp6.OptDHCPv4Msg, dhcp4.AppendEnd(carried))
		all = append(all, append(bytes.Clone(q), bytes.Repeat([]byte{0, 17, 0, 4, 0, 0, 9, 0xbf}, 150)...))
		for _, options := range [][]byte{nil, long, bytes.Repeat([]byte{0, 17, 0, 0}, 200)} {
			relayed := q
			for i := range dhcp6.MaxRelays {
				relayed = dhcp6.AppendRelayForward(nil, uint8(i), netip.MustParseAddr("2001:db8:7::1"), netip.MustParseAddr("2001:db8:2::10"), options, relayed)
				if i == 0 || i == dhcp6.MaxRelays-1 {
					all = append(all, relayed)
				}
			}
		}
	}
	return append(all, append([]byte{byte(dhcp6.Solicit), 1, 2, 3}, bytes.Repeat([]byte{0, 16, 0, 4, 0, 0, 9, 0xbf}, 150)...))
}

// A datagram costs each hook a bounded number of units for each of its octets, whatever is in it.
func TestBudgetOfHooks(t *testing.T) {
	for name, c := range map[string]struct {
		perOctet float64
		environ  []string
	}{
		"acl":             {1.5, []string{"HOOKS=acl", "ACL_DENY=prefix=2001:db8:bad::/48,interface-id=port-66,remote-id=2495:0xdeadbeef"}},
		"acl-expressions": {3, []string{"HOOKS=acl", "ACL_DENY_TEST=option[61].hex == option[60].hex or relay6[-1].option[18].hex == pkt6.option[17].hex"}},
		"ratelimit":       {1, []string{"HOOKS=ratelimit", "RATELIMIT_RATE=1000000", "RATELIMIT_TOTAL_RATE=1000000"}},
		"rules": {6, []string{"HOOKS=rules", "RULES_REASONS=banned", "RULES_COUNTERS=seen", "RULES_LINES=" +
			"pkt6_receive: relay6[-1].option[18].hex == 'port-7' or pkt6.option[16].exists -> class seven\n" +
			"pkt6_receive: member('seven') and relay6[0].option[37].exists -> count seen\n" +
			"pkt6_receive: hexstring(option[61].hex, ':') == 'a' -> drop banned\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := run(t, slog.New(slog.DiscardHandler), c.environ...)
			now := time.Now()
			var p dhcp6.Packet
			parsed := 0
			budgettest.Hold(t, "hook-"+name, c.perOctet, costly(), func(b []byte) {
				if p.Parse(b) != drop.None {
					return
				}
				parsed++
				e := &event.Datagram{Received: now, Peer: netip.MustParseAddrPort("[2001:db8::547]:547"), Data: b, Packet: &p}
				e.Path = &attachment.Path{Packet: &p, Believed: p.Relays(), Source: e.Peer.Addr(), Interface: []byte("eth0")}
				h.Buffer6Receive.Run(e)
				h.Pkt6Receive.Run(e)
			})
			if parsed < 50 {
				t.Errorf("only %d datagrams were parsed", parsed)
			}
		})
	}
}
