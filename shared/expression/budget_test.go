//go:build budget

package expression

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// costly are tests of which each does as much as it can with what a client has written: one of each
// operand and function that walks octets.
var costly = []string{
	"option[61].hex == option[77].hex",
	"option[12].text == 'a'",
	"option[43].option[254].exists",
	"relay4[254].exists",
	"vendor[*].option[254].exists",
	"vendor-class[*].data[100] == 'a'",
	"match('(a|aa)*b', option[61].hex)",
	"split(option[61].hex, option[77].hex, 1000) == 'a'",
	"split(option[77].hex, ',', 1000) == 'a'",
	"hexstring(option[61].hex, ':') == 'a'",
	"hexstring(option[61].hex, option[77].hex) == 'a'",
	"lcase(ucase(option[61].hex)) == ucase(lcase(option[61].hex))",
	"option[61].hex + option[61].hex + option[77].hex + option[77].hex == 'a'",
	"substring(option[61].hex, -1, -1000) == option[61].hex",
	"ifelse(option[61].exists, option[61].hex, option[77].hex) == option[61].hex",
	"pkt6.option[17].option[65535].exists",
	"relay6[0].option[65535].exists or relay6[-1].option[65535].exists",
	"member('VENDOR_CLASS_a')",
}

// perNode is how many units an evaluation may cost for each octet of the datagram and each node of
// the expression.
const perNode = 2.0

// evaluations returns a function that evaluates tests over a DHCPV4-QUERY datagram.
func evaluations(t testing.TB, texts ...string) func(b []byte) {
	t.Helper()
	var tests []*Test
	for _, text := range texts {
		tests = append(tests, compileTest(t, text, names4(nil)))
	}
	var e Evaluator
	var member Membership
	var p dhcp6.Packet
	var m dhcp4.Message
	return func(b []byte) {
		if p.Parse(b) != drop.None {
			return
		}
		carried, why := p.Message().DHCPv4()
		if why != drop.None || m.Parse(carried) != drop.None {
			return
		}
		path := attachment.Path{Packet: &p, Believed: p.Relays(), Source: netip.MustParseAddr("2001:db8::1"), Interface: []byte("eth0")}
		e.Begin(Query{Path: &path, Message: &m}, nil, &member)
		for _, test := range tests {
			test.Holds(&e)
		}
	}
}

// asked returns datagrams that cost much time.
func asked(t testing.TB) [][]byte {
	query := func(options []byte) []byte {
		b := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: dhcp4.BootRequest, HType: 1, HLen: 6})
		b = append(dhcp4.AppendType(b, dhcp4.Discover), options...)
		return dhcp6.AppendOption(dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{}), dhcp6.OptDHCPv4Msg, b)
	}
	piece := func(code byte, with string) []byte {
		return append([]byte{code, 255}, bytes.Repeat([]byte(with), 255)[:255]...)
	}
	whole := func(code byte, with string, n int) []byte { return bytes.Repeat(piece(code, with), n) }
	inner := query(nil)
	for i := range 9 {
		inner = dhcp6.AppendRelayForward(nil, uint8(i), netip.MustParseAddr("2001:db8:7::1"), netip.MustParseAddr("fe80::7"), bytes.Repeat([]byte{0, 37, 0, 0}, 100), inner)
	}
	return [][]byte{
		query(append(whole(61, "a", 2), whole(77, "b", 2)...)),
		query(append(whole(61, ",", 1), whole(77, ",", 1)...)),
		query(append(whole(12, "\x00", 2), whole(60, "\x00", 2)...)),
		query(append(append(whole(43, "\x00", 2), whole(82, "\x01\x00", 2)...), whole(125, "\x00\x00\x0d\xe9\xff\x01\x00", 2)...)),
		query(whole(124, "\x00\x00\x0d\xe9\x00", 4)),
		inner, sample(t).Path.Packet.Bytes(),
	}
}

// Whatever the client writes, an evaluation costs at most perNode for each octet of the datagram
// and each node of the expression.
func TestBudgetOfAnExpression(t *testing.T) {
	seeds := asked(t)
	nothing := evaluations(t)
	for _, text := range costly {
		work := evaluations(t, text)
		test := compileTest(t, text, names4(nil))
		worst := 0.0
		for _, b := range seeds {
			own := budget.Of(func() { work(b) }) - budget.Of(func() { nothing(b) })
			worst = max(worst, float64(own)/float64(len(b)))
		}
		if most := perNode * float64(nodes(test.root)); worst > most {
			t.Errorf("%s: %.1f units for each octet, want at most %.1f", text, worst, most)
		}
	}
	all := 0
	for _, text := range costly {
		all += nodes(compileTest(t, text, names4(nil)).root)
	}
	budgettest.Hold(t, "expressions", perNode*float64(all), seeds, evaluations(t, costly...))
}

// nodes counts the operands and functions of an expression.
func nodes(n *node) int {
	count := 1
	for _, a := range n.args {
		count += nodes(a)
	}
	return count
}

// FuzzBudget looks for datagrams that cost more than TestBudgetOfAnExpression knows, with one test
// at a time.
func FuzzBudget(f *testing.F) {
	for i := range costly {
		for _, b := range asked(f) {
			f.Add(i, b)
		}
	}
	var works []func([]byte)
	var most []float64
	for _, text := range costly {
		works = append(works, evaluations(f, text))
		most = append(most, perNode*float64(nodes(compileTest(f, text, names4(nil)).root)))
	}
	nothing := evaluations(f)
	f.Fuzz(func(t *testing.T, i int, b []byte) {
		if i < 0 || i >= len(works) || len(b) > dhcp6.MaxDatagram {
			return
		}
		own := budget.Of(func() { works[i](b) }) - budget.Of(func() { nothing(b) })
		if float64(own) > most[i]*float64(len(b))+100 {
			t.Fatalf("%s: %d octets cost %d units", costly[i], len(b), own)
		}
	})
}
