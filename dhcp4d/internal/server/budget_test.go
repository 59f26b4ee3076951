//go:build budget

package server

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// A query costs at most five units for each of its octets, from the socket to the reply.
func TestBudgetOfAQuery(t *testing.T) { budgetOfAQuery(t, "query", direct, newBench(t)) }

// So does one for which reservations of all kinds, and a class, are looked up, and whose option 82
// is trusted.
func TestBudgetOfAReservation(t *testing.T) {
	b := newBench(t)
	b.reload(t, robbed)
	budgetOfAQuery(t, "query-reserved", netip.MustParseAddrPort("[2001:db8::5]:546"), b)
}

// What a query costs does not depend on how many reservations there are, but for the steps of a
// binary search.
func TestBudgetOfManyReservations(t *testing.T) {
	cost := func(n int) int {
		var document strings.Builder
		document.WriteString("flex-id: option[60].hex\nsubnets:\n" +
			"- {id: 1, subnet: 10.0.0.0/8, pools: [10.0.0.10-10.0.0.250], match: [{interface: eth1}]}\n")
		document.WriteString("- id: 2\n  subnet: 11.0.0.0/8\n  pools: [11.0.0.10-11.0.0.250]\n" +
			"  match: [{link-address: \"2001:db8:7::/64\"}]\n  reservations:\n")
		for i := range n {
			kind := []string{"client-id: \"ff:%02x:%02x\"",
				"hw-address: \"02:00:00:01:%02x:%02x\"", "flex-id: f%d-%d", "interface-id: p%d-%d"}[i%4]
			fmt.Fprintf(&document, "  - {"+kind+", address: 11.1.%[1]d.%[2]d}\n", i>>8, i&255)
		}
		b := newBench(t)
		b.reload(t, document.String())
		m := dhcp4.AppendType(dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6}), dhcp4.Discover)
		m = append(m, 61, 3, 255, 0, 1, 60, 4, 'f', '0', '-', '2', 50, 4, 11, 1, 0, 9, 255)
		return budget.Of(func() {
			if kind, _ := b.tell(t, onPort("p0-3"), m); kind != dhcp4.Offer {
				t.Errorf("the client gets %v", kind)
			}
		})
	}
	few, many := cost(8), cost(20000)
	if t.Logf("%d units, and %d", few, many); many > few+60 {
		t.Errorf("%d units with few reservations, %d with many", few, many)
	}
}

func budgetOfAQuery(t *testing.T, name string, from netip.AddrPort, b *bench) {
	pieces := bytes.Repeat([]byte{61, 1, 1, 60, 2, 1, 1, 77, 2, 1, 1, 82, 2, 9, 0}, 60)
	pads := make([]byte, dhcp4.MaxLen-dhcp4.HeaderLen-3-len(pieces))
	list := bytes.Repeat(append([]byte{55, 255}, make([]byte, 255)...), 14)
	for i := range list {
		if list[i] == 0 {
			list[i] = byte(i)
		}
	}
	var seeds [][]byte
	for _, options := range [][]byte{append(pads, pieces...), list, {61, 2, 1, 1, 55, 3, 1, 3, 6, 255}} {
		m := dhcp4.AppendType(dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6}), dhcp4.Discover)
		seeds = append(seeds, frame(t, query(append(m, options...)), from))
	}
	budgettest.Hold(t, name, 5, seeds, func(data []byte) {
		b.server.batch([]udp.Packet{{Data: data, Peer: sixd}})
	})
}
