package server

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/backend"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// TestThereAndBack follows queries through both halves. It checks what leaves, and by which way.
func TestThereAndBack(t *testing.T) {
	good := query(dhcpv4(1, 1))
	global := netip.MustParseAddrPort("[2001:db8:1::99]:546")
	withPort := func(data []byte) []byte { // Relay Port in the outermost level (RFC 8357)
		return dhcp6.AppendRelayForward(nil, 5, us, relay.Addr(), dhcp6.AppendOption(nil, dhcp6.OptRelayPort, []byte{0, 0}), data)
	}
	tests := []struct {
		name     string
		in       udp.Packet
		delivery Delivery
		to       string // destination of the answer
		source   netip.Addr
		ifindex  int
	}{
		{name: "Q-28 by multicast", in: from(client, good), to: "[fe80::a00:27ff:fe12:3456]:546"},
		{name: "IPC-22 a client's port is 546 whatever it used", in: from(netip.AddrPortFrom(client.Addr(), 5000), good), to: "[fe80::a00:27ff:fe12:3456]:546"},
		{name: "Q-27 with U set", in: from(client, patched(good, 1, 0x80)), to: "[fe80::a00:27ff:fe12:3456]:546"},
		{name: "Q-14, IPC-28 by unicast from a global address", in: udp.Packet{Data: good, Peer: global, Local: us, Interface: eth1.Index},
			to: "[2001:db8:1::99]:546", source: us},
		{name: "D6-37 relayed: to where the datagram came from", in: udp.Packet{Data: relayed(good, 3), Peer: relay, Local: us, Interface: eth1.Index},
			to: "[2001:db8:2::10]:547", source: us},
		{name: "relayed from another port without Relay Port", in: udp.Packet{Data: relayed(good, 1), Peer: netip.AddrPortFrom(relay.Addr(), 10067), Local: us, Interface: eth1.Index},
			to: "[2001:db8:2::10]:547", source: us},
		{name: "RL-13 outermost Relay Port", in: udp.Packet{Data: withPort(relayed(good, 1)), Peer: netip.AddrPortFrom(relay.Addr(), 10067), Local: us, Interface: eth1.Index},
			to: "[2001:db8:2::10]:10067", source: us},
		{name: "RL-24 a relay on this host", in: udp.Packet{Data: withPort(relayed(good, 1)), Peer: netip.MustParseAddrPort("[::1]:10547"), Local: netip.MustParseAddr("::1"), Interface: eth1.Index},
			to: "[::1]:10547", source: netip.MustParseAddr("::1")},
		{name: "RL-13 inner Relay Port only", in: udp.Packet{Data: dhcp6.AppendRelayForward(nil, 6, us, relay.Addr(), nil, withPort(good)), Peer: netip.AddrPortFrom(relay.Addr(), 10067), Local: us, Interface: eth1.Index},
			to: "[2001:db8:2::10]:547", source: us},
		{name: "D6-40 relayed to our link-local address", in: udp.Packet{Data: relayed(good, 1), Peer: relay, Local: netip.MustParseAddr("fe80::6"), Interface: eth1.Index},
			to: "[2001:db8:2::10]:547"},
		{name: "RL-17 by an LDRA, on its interface", in: udp.Packet{Data: relayed(good, 1), Peer: client, Local: us, Interface: eth2.Index},
			to: "[fe80::a00:27ff:fe12:3456]:547", source: us, ifindex: eth2.Index},
		{name: "DHCP6D_CLIENT_PORT", in: from(client, good), delivery: Delivery{ClientPort: 10546}, to: "[fe80::a00:27ff:fe12:3456]:10546"},
		{name: "DHCP6D_CLIENT_PORT is not for relays", in: udp.Packet{Data: relayed(good, 1), Peer: relay, Local: us, Interface: eth1.Index},
			delivery: Delivery{ClientPort: 10546}, to: "[2001:db8:2::10]:547", source: us},
		{name: "DHCP6D_SOURCE", in: from(client, good), delivery: Delivery{Source: us}, to: "[fe80::a00:27ff:fe12:3456]:546", source: us},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			set := *b.up.Settings.Load()
			set.Delivery = tt.delivery
			b.up.Settings.Store(&set)
			b.run(t)
			b.link.Inject(tt.in)
			q := b.ipc.Sent(1)[0]
			if q.Peer != fourd {
				t.Errorf("forwarded to %v, want %v", q.Peer, fourd)
			}
			b.ipc.Inject(udp.Packet{Data: back(t, q.Data), Peer: fourd})
			a := b.link.Sent(1)[0]
			if a.Peer.String() != tt.to {
				t.Errorf("answered to %v, want %v", a.Peer, tt.to)
			}
			if a.Local != tt.source {
				t.Errorf("answered from %v, want %v", a.Local, tt.source)
			}
			want := max(tt.ifindex, eth1.Index)
			if relayed := tt.in.Data[0] == byte(dhcp6.RelayForward); relayed && tt.ifindex == 0 {
				want = 0 // D6-40: the routes decide
			}
			if a.Interface != want {
				t.Errorf("answered by interface %d, want %d", a.Interface, want)
			}
			mirrors(t, tt.in.Data, a.Data)
		})
	}
}

// mirrors compares an answer with its query: RL-8, RL-9, Q-5, IPC-19.
func mirrors(t *testing.T, query, answer []byte) {
	t.Helper()
	var q, a dhcp6.Packet
	if why := q.Parse(query); why != drop.None {
		t.Fatal(why)
	}
	if why := a.ParseReply(answer); why != drop.None {
		t.Fatal(why)
	}
	if a.Relays() != q.Relays() {
		t.Fatalf("RL-8: %d levels, want %d", a.Relays(), q.Relays())
	}
	for i := range q.Relays() {
		x, y := q.Relay(i), a.Relay(i)
		if x.HopCount() != y.HopCount() || x.LinkAddress() != y.LinkAddress() || x.PeerAddress() != y.PeerAddress() ||
			!bytes.Equal(x.InterfaceID(), y.InterfaceID()) {
			t.Errorf("RL-8, RL-9: level %d does not mirror the query's", i)
		}
	}
	m := a.Message()
	if m.Type() != dhcp6.DHCPv4Response || m.Flags() != 0 || m.Count(dhcp6.OptVendorOpts) != 0 {
		t.Errorf("Q-5, IPC-19: type %v, flags %06x, %d options 17; want DHCPV4-RESPONSE and nothing else",
			m.Type(), m.Flags(), m.Count(dhcp6.OptVendorOpts))
	}
}

// TestRL22LevelsThatAreNotBelieved: a client's own level under a trusted relay goes to dhcp4d
// marked as not believed, and the answer finds its way back through it.
func TestRL22LevelsThatAreNotBelieved(t *testing.T) {
	link7, link8 := netip.MustParseAddr("2001:db8:7::1"), netip.MustParseAddr("2001:db8:8::1")
	forged := dhcp6.AppendRelayForward(nil, 0, link7, us, dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte("victim")), query(dhcpv4(1, 1)))
	under := func(link, peer netip.Addr) udp.Packet {
		return udp.Packet{Data: dhcp6.AppendRelayForward(nil, 1, link, peer, nil, forged), Peer: relay, Local: us, Interface: eth1.Index}
	}
	for _, tt := range []struct {
		name string
		in   udp.Packet
		kea  bool
		want uint8
		told float64 // by the metric
	}{
		{"RL-22 under a trusted relay, from a link-local address", under(link8, client.Addr()), false, 1, 1},
		{"RL-22 under a trusted relay, from a global address", under(link8, us), false, 1, 1},
		{"RL-22 a second trusted relay is believed", under(link8, relay.Addr().Next()), false, 0, 0},
		{"RL-22 a lightweight agent on a link with such is believed", under(link7, client.Addr()), false, 0, 0},
		{"RL-22 Kea is not told", under(link8, client.Addr()), true, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			peer, specs := fourd, []backend.Spec(nil)
			if tt.kea {
				peer, specs = kea, []backend.Spec{{Name: "kea", Host: "::1", Port: kea.Port(), Kea: true}}
			}
			b := newBench(t, specs...)
			stop := b.run(t)
			b.link.Inject(tt.in)
			sent := b.ipc.Sent(1)[0].Data
			var q ipc.Query
			if why := q.Parse(bytes.Clone(sent)); why != drop.None {
				t.Fatal(why)
			}
			if got := q.Context().Unbelieved; got != tt.want {
				t.Errorf("%d levels are not believed, want %d", got, tt.want)
			}
			b.ipc.Inject(udp.Packet{Data: back(t, sent), Peer: peer})
			mirrors(t, tt.in.Data, b.link.Sent(1)[0].Data)
			stop() // the loops count after they have sent
			if got := b.sum(t, "dhcp6d_packets_relay_unbelieved_total"); got != tt.told {
				t.Errorf("the metric is %v, want %v", got, tt.told)
			}
		})
	}
}

func TestIPC28KeaIsNotToldTheLocalAddress(t *testing.T) {
	b := newBench(t, backend.Spec{Name: "kea", Host: "::1", Port: kea.Port(), Kea: true})
	b.run(t)
	b.link.Inject(udp.Packet{Data: query(dhcpv4(1, 1)), Peer: client, Local: us, Interface: eth1.Index})
	var q ipc.Query
	if why := q.Parse(b.ipc.Sent(1)[0].Data); why != drop.None {
		t.Fatal(why)
	}
	if q.Context().Local.IsValid() {
		t.Errorf("Kea is told the local address %v", q.Context().Local)
	}
}

func TestQ6_IPC5_TwoClientsWithEqualFlagsGetTheirOwnAnswers(t *testing.T) {
	b := newBench(t)
	b.run(t)
	other := netip.MustParseAddrPort("[fe80::2]:546")
	b.link.Inject(from(client, query(dhcpv4(1, 1))), from(other, query(dhcpv4(1, 3))))
	queries := b.ipc.Sent(2)
	for _, i := range []int{1, 0} { // IPC-5: in the other order
		b.ipc.Inject(udp.Packet{Data: back(t, queries[i].Data), Peer: fourd})
	}
	answers := b.link.Sent(2)
	if answers[0].Peer != other || answers[1].Peer != client {
		t.Errorf("answers went to %v and %v, want %v and %v", answers[0].Peer, answers[1].Peer, other, client)
	}
}

// batchOf is a batch as the link's socket returns it: direct, relayed, unicast.
func batchOf(n int) []udp.Packet {
	good := query(dhcpv4(1, 1))
	kinds := []udp.Packet{
		from(client, good),
		{Data: relayed(good, 2), Peer: relay, Local: us, Interface: eth1.Index},
		{Data: good, Peer: netip.MustParseAddrPort("[2001:db8:1::99]:546"), Local: us, Interface: eth1.Index},
	}
	var in []udp.Packet
	for i := range n {
		in = append(in, kinds[i%len(kinds)])
	}
	return in
}

// sink takes packets and keeps nothing.
type sink struct{}

func (sink) Write(ps []udp.Packet) int { return len(ps) }

// loops are both halves on sockets that cost nothing, with a batch for each.
func loops(t testing.TB, n int) (up, down func()) { return loopsWith(t, n, nil) }

// loopsWith are those with a hub of traces.
func loopsWith(t testing.TB, n int, hub *trace.Hub) (up, down func()) {
	b := newBench(t)
	b.up.Trace.Hub, b.down.Trace.Hub = hub, hub
	b.up.Queries, b.up.Answers, b.down.Link = sink{}, sink{}, sink{}
	plain := *b.up.Settings.Load()
	plain.Hooks = event.Hooks{}
	b.up.Settings.Store(&plain)
	in := batchOf(n)
	var frames [][]byte
	b.up.batch(in)
	for _, q := range b.up.queries.packets {
		frames = append(frames, back(t, q.Data))
	}
	responses := make([]udp.Packet, n)
	scratch := make([][]byte, n)
	var last ipc.Query
	if why := last.Parse(b.up.queries.packets[n-1].Data); why != drop.None {
		t.Fatal(why)
	}
	carried := bytes.Clone(last.DHCPv4())
	return func() {
			b.up.batch(in)
			b.set.Answered(b.set.From(fourd), netip.Addr{}, carried, b.up.now) // keeps the window open
		}, func() {
			for i := range responses { // Strip works in place
				scratch[i] = append(scratch[i][:0], frames[i]...)
				responses[i] = udp.Packet{Data: scratch[i], Peer: fourd}
			}
			b.down.batch(responses)
		}
}

func TestALoopAllocatesNothing(t *testing.T) {
	up, down := loops(t, 64)
	if n := testing.AllocsPerRun(100, up); n != 0 {
		t.Errorf("a batch of queries allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, down); n != 0 {
		t.Errorf("a batch of responses allocates %v times", n)
	}
}

func BenchmarkUp(b *testing.B) {
	up, _ := loops(b, 64)
	b.ReportAllocs()
	for range b.N {
		up()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(64*b.N), "ns/datagram")
}

func BenchmarkDown(b *testing.B) {
	_, down := loops(b, 64)
	b.ReportAllocs()
	for range b.N {
		down()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(64*b.N), "ns/datagram")
}
