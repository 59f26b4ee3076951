package dhcp6_test

import (
	"bytes"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

func seeds(f *testing.F) {
	for _, bb := range benchmarks[:3] {
		f.Add(bb.bytes)
	}
	f.Add(relayed(2, query(option(1, "duid"), option(6, "\x00\x58"), option(17, "\x00\x00\x09\xbf\xea\x60\x00\x01x"), carried()),
		option(79, "\x00\x01mac"), option(37, "\x00\x00\x00\x01r"), option(38, "s"), option(18, ""), option(43, "\x00\x25"), option(135, "\x00\x00")))
	f.Add([]byte{20, 0, 0, 0})
	f.Add([]byte{13, 0})
}

// again builds a datagram from what a view tells: the same levels with the
// Relay Message last.
func again(p *dhcp6.Packet) []byte {
	b := bytes.Clone(p.Message().Bytes())
	for i := p.Relays() - 1; i >= 0; i-- {
		r := p.Relay(i)
		var options []byte
		for c, d := range dhcp6.Options(r.Options()) {
			if c != dhcp6.OptRelayMsg {
				options = dhcp6.AppendOption(options, c, d)
			}
		}
		b = dhcp6.AppendRelayForward(nil, r.HopCount(), r.LinkAddress(), r.PeerAddress(), options, b)
	}
	return b
}

// FuzzParse: what parses can be built again from the view; the result is as
// long, looks the same, and is itself when built once more.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		kept := bytes.Clone(b)
		var p, q dhcp6.Packet
		if p.Parse(b) != drop.None {
			return
		}
		b2 := again(&p)
		if why := q.Parse(b2); why != drop.None {
			t.Fatalf("built again: %v", why)
		}
		if len(b2) != len(b) || !bytes.Equal(again(&q), b2) {
			t.Fatalf("built again\n%x\nfrom\n%x", b2, b)
		}
		same(t, &p, &q)
		reply(t, &p)
		if !bytes.Equal(b, kept) {
			t.Fatal("reading changed the datagram")
		}
	})
}

func same(t *testing.T, p, q *dhcp6.Packet) {
	t.Helper()
	if p.Relays() != q.Relays() || p.LinkAddress() != q.LinkAddress() || p.HasRelayPort() != q.HasRelayPort() ||
		!bytes.Equal(p.ClientLinkLayer(), q.ClientLinkLayer()) || !bytes.Equal(p.Message().Bytes(), q.Message().Bytes()) {
		t.Fatalf("views differ\n%x\n%x", p.Bytes(), q.Bytes())
	}
	for i := range p.Relays() {
		a, b := p.Relay(i), q.Relay(i)
		pa, oka := a.RelayPort()
		pb, okb := b.RelayPort()
		if a.HopCount() != b.HopCount() || a.LinkAddress() != b.LinkAddress() || a.PeerAddress() != b.PeerAddress() || pa != pb || oka != okb ||
			(a.InterfaceID() == nil) != (b.InterfaceID() == nil) || !bytes.Equal(a.InterfaceID(), b.InterfaceID()) ||
			!bytes.Equal(a.RemoteID(), b.RemoteID()) || !bytes.Equal(a.SubscriberID(), b.SubscriberID()) {
			t.Fatalf("level %d differs\n%x\n%x", i, p.Bytes(), q.Bytes())
		}
	}
}

// reply checks that the answer's chain mirrors the query's (RFC 9915 section
// 19.3), with every echo.
func reply(t *testing.T, p *dhcp6.Packet) {
	t.Helper()
	if len(p.Bytes()) > 60000 {
		return
	}
	b, chain := dhcp6.BeginReply(nil, p)
	b, why := chain.End(append(b, 21, 0, 0, 0))
	var r dhcp6.Packet
	if why != drop.None || r.ParseReply(b) != drop.None || r.Relays() != p.Relays() {
		t.Fatalf("answer %x to %x: %v", b, p.Bytes(), why)
	}
	for i := range r.Relays() {
		a, b := p.Relay(i), r.Relay(i)
		if a.HopCount() != b.HopCount() || a.LinkAddress() != b.LinkAddress() || a.PeerAddress() != b.PeerAddress() ||
			(a.InterfaceID() == nil) != (b.InterfaceID() == nil) || !bytes.Equal(a.InterfaceID(), b.InterfaceID()) {
			t.Fatalf("level %d of the answer differs from %x", i, p.Bytes())
		}
	}
}

// FuzzMessage: the accessors agree with a plain walk over the options.
func FuzzMessage(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var p dhcp6.Packet
		if p.Parse(b) != drop.None {
			return
		}
		m := p.Message()
		count, first, walked := map[dhcp6.Code]int{}, map[dhcp6.Code][]byte{}, 4
		for c, d := range dhcp6.Options(m.Options()) {
			if count[c]++; count[c] == 1 {
				first[c] = d
			}
			walked += 4 + len(d)
		}
		if walked != len(m.Bytes()) || !bytes.Equal(b[m.Offset():m.Offset()+walked], m.Bytes()) {
			t.Fatalf("walked over %d octets of %d", walked, len(m.Bytes()))
		}
		for _, c := range []dhcp6.Code{1, 2, 3, 6, 9, 17, 18, 87, 88, 135} {
			d, ok := m.Option(c)
			if m.Count(c) != count[c] || ok != (count[c] > 0) || !bytes.Equal(d, first[c]) {
				t.Errorf("option %d: %d, %v, %x, want %d, %x", c, m.Count(c), ok, d, count[c], first[c])
			}
		}
		if inner, why := m.DHCPv4(); why == drop.None && (count[87] != 1 || !bytes.Equal(inner, first[87])) {
			t.Errorf("DHCPv4 = %x", inner)
		}
	})
}
