//go:build budget

package server

import (
	"bytes"
	"net/netip"
	"testing"

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
