//go:build budget

package dhcp6_test

import (
	"bytes"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// costly are datagrams that were made to cost time.
func costly() [][]byte {
	echo := relayed(9, query(carried()), option(43, string(bytes.Repeat([]byte{3, 232, 0, 0}, 16))), fill(250))
	return [][]byte{echo, relayed(9, query(append(fill(254), carried()...))), query(append(fill(254), carried()...)),
		query(bytes.Repeat([]byte{0, 17, 0, 0}, 255)), benchmarks[0].bytes, benchmarks[1].bytes, benchmarks[2].bytes}
}

// consult does what the daemons do with a datagram.
func consult(p *dhcp6.Packet, b, out []byte) {
	if p.Parse(b) != drop.None {
		return
	}
	m := p.Message()
	m.DHCPv4()
	m.Requests(dhcp6.Opt4o6Server)
	for _, c := range []dhcp6.Code{dhcp6.OptClientID, dhcp6.OptServerID, dhcp6.OptORO} {
		m.Option(c)
		m.Count(c)
	}
	p.LinkAddress()
	p.ClientLinkLayer()
	out, chain := dhcp6.BeginReply(out[:0], p)
	chain.End(out)
}

func TestBudgetOfADatagram(t *testing.T) {
	var p dhcp6.Packet
	out := make([]byte, 0, dhcp6.MaxDatagram)
	budgettest.Hold(t, "datagram", 2, costly(), func(b []byte) { consult(&p, b, out) })
}

// A look-up by code costs at most one step for each option that there may be.
func TestBudgetOfALookUp(t *testing.T) {
	for _, b := range costly() {
		p := mustParse(t, b)
		for code := range dhcp6.Code(2000) {
			if n := budget.Of(func() { p.Message().Option(code); p.Message().Count(code) }); n > 2*dhcp6.MaxOptions {
				t.Fatalf("option %d costs %d units", code, n)
			}
		}
	}
}

// FuzzBudget looks for datagrams that cost more than TestBudgetOfADatagram knows.
func FuzzBudget(f *testing.F) {
	for _, b := range costly() {
		f.Add(b)
	}
	var p dhcp6.Packet
	out := make([]byte, 0, dhcp6.MaxDatagram)
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := budget.Of(func() { consult(&p, b, out) }); n > 2*len(b)+100 {
			t.Fatalf("%d octets cost %d units", len(b), n)
		}
	})
}
