//go:build budget

package relay

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
)

var below = netip.MustParseAddrPort("[2001:db8::2]:547")

// costlyDatagrams are datagrams from either side that were made to cost time: levels and options.
func costlyDatagrams() [][]byte {
	message := V4Query(append(make([]byte, 240), 255), broadcastV4)
	many := append(bytes.Clone(message), bytes.Repeat([]byte{0, 17, 0, 0}, 300)...)
	all := [][]byte{message, many}
	for _, n := range []int{1, HopCountLimit, 2 * HopCountLimit, 60} {
		up := Wrap(Chain(n, netip.MustParseAddr("2001:db8:7::1"), netip.MustParseAddr("fe80::1")), many)
		down := bytes.Clone(up)
		down[0] = 13 // Relay-reply
		all = append(all, up, down, append(bytes.Clone(up), bytes.Repeat([]byte{0, 18, 0, 0}, 300)...))
	}
	return all
}

// relays handles a datagram as all that there is here does, in both directions.
func relays(b []byte) {
	a := &Agent{config: Config{Trusted: []netip.Prefix{netip.PrefixFrom(below.Addr(), 64)},
		InterfaceID: []byte("port"), Port: ServerPort}}
	_, _ = a.forward(b, below)
	_, _, _ = a.reply(b)
	if message, ok := Payload(b); ok {
		if m, err := dhcpv4.FromBytes(message); err == nil {
			encodeV4(nil, m, message)
		}
	}
	_, _, _ = decodeV4(b)
}

// A datagram costs at most 15 units for each of its octets: Payload copies what is left at each of
// up to ten levels.
func TestBudgetOfRelays(t *testing.T) {
	budgettest.Hold(t, "relays", 15, costlyDatagrams(), relays)
}

// FuzzBudget looks for datagrams that cost more than TestBudgetOfRelays knows.
func FuzzBudget(f *testing.F) {
	for _, b := range costlyDatagrams() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := budget.Of(func() { relays(b) }); n > 15*len(b)+100 {
			t.Fatalf("%d octets cost %d units", len(b), n)
		}
	})
}
