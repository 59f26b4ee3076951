//go:build budget

package hooks

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// A query costs the rules a bounded number of units for each of its octets and each node of their
// expressions, at all hook points together.
func TestBudgetOfRules(t *testing.T) {
	s := subnets(t)
	h, err := ruled(t, s, threePoints+`
pkt4_receive: option[61].hex == option[60].hex and relay4[1].hex == 'x' -> drop unpaid
subnet4_select: vendor[*].option[254].exists or option[12].text == 'a' -> count seen
pkt4_send: option[61].exists -> option host-name = hexstring(option[61].hex, ':')
pkt4_send: option[60].exists -> option 224 = option[60].hex + option[77].hex
`)
	if err != nil {
		t.Fatal(err)
	}
	datagram := func(options []byte) []byte {
		m := dhcp4.AppendType(dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6}), dhcp4.Discover)
		return dhcp6.AppendOption(dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{}), dhcp6.OptDHCPv4Msg, dhcp4.AppendEnd(append(m, options...)))
	}
	piece := append([]byte{61, 255}, bytes.Repeat([]byte("a:"), 128)[:255]...)
	seeds := [][]byte{
		datagram(nil), datagram(bytes.Repeat(piece, 3)), datagram(append(bytes.Repeat([]byte{60, 1, 'a', 77, 1, 'b', 61, 1, 'c', 82, 3, 1, 1, 'x'}, 90), piece...)),
		datagram(make([]byte, 1000)), datagram(bytes.Repeat([]byte{124, 6, 0, 0, 9, 0xbf, 1, 0}, 120)),
	}
	message, eval, member := new(dhcp4.Message), new(expression.Evaluator), new(expression.Membership)
	var p dhcp6.Packet
	all := 0
	budgettest.Hold(t, "rules", 8, seeds, func(b []byte) {
		if p.Parse(b) != drop.None {
			return
		}
		carried, why := p.Message().DHCPv4()
		if why != drop.None || message.Parse(carried) != drop.None {
			return
		}
		all++
		path := &attachment.Path{Packet: &p, Source: netip.MustParseAddr("fe80::1"), Interface: []byte("eth1")}
		e := &event.Query{Data: carried, Message: message, Evaluator: eval, Options: new(option.Overrides)}
		member.Forget()
		eval.Begin(expression.Query{Path: path, Message: message}, s.Classes, member)
		h.Pkt4Receive.Run(e)
		h.Subnet4Select.Run(e)
		h.Pkt4Send.Run(e)
	})
	if all < 50 {
		t.Errorf("only %d queries were parsed", all)
	}
}
