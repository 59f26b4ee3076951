//go:build budget

package server

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/backend"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/pass"
	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc/ipctest"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// costly are datagrams of the link that were made to cost time: levels, options, pieces, pads, and
// lists of codes.
func costly() [][]byte {
	pads := dhcpv4(1, 1)
	pads = append(append(pads[:240:240], make([]byte, 1200)...), pads[240:]...)
	pieces := dhcpv4(1, 3)
	pieces = append(pieces[:len(pieces)-1], bytes.Repeat([]byte{61, 2, 1, 1, 50, 1, 1, 54, 1, 1}, 100)...)
	many := bytes.Repeat([]byte{0, 17, 0, 0}, 200)
	oro := dhcp6.AppendOption(dhcp6.AppendMessage(nil, dhcp6.InformationRequest, [3]byte{}), dhcp6.OptORO, bytes.Repeat([]byte{0, 88}, 500))
	options := bytes.Repeat([]byte{0, 37, 0, 5, 0, 0, 13, 233, 1}, 50)
	deep := query(dhcpv4(1, 1))
	for i := range 9 {
		deep = dhcp6.AppendRelayForward(nil, uint8(i), netip.MustParseAddr("2001:db8:7::1"), netip.MustParseAddr("2001:db8:2::10"), options, deep)
	}
	long := dhcp6.AppendRelayForward(nil, 0, netip.IPv6Unspecified(), relay.Addr(),
		dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, bytes.Repeat([]byte("x"), 1200)), query(dhcpv4(1, 1)))
	return [][]byte{
		query(pads), query(pieces), append(query(dhcpv4(1, 1)), many...), oro, relayed(oro, 8), deep, long,
		relayed(query(pads), 8), {byte(dhcp6.DHCPv4Query), 0, 0, 0},
	}
}

// routed are two backends that share the clients; only the first is met.
var routed = []backend.Spec{
	{Name: "four", Daemon: "four", Host: "::1", Port: 6768},
	{Name: "five", Daemon: "five", Host: "::1", Port: 6769},
}

// A datagram of a client or a relay costs at most six units for each of its octets, from the link
// to the signed query on the IPC, or to the answer.
func TestBudgetOfTheWayUp(t *testing.T) {
	for name, peer := range map[string]netip.AddrPort{"up-direct": client, "up-relayed": relay} {
		b := newKeyedBench(t, ipc.Keys{key}, routed...)
		b.meet(t, ipctest.New(t, drop.DHCP4D, "four", key))
		forwarded, answered := 0, 0
		budgettest.Hold(t, name, 6, costly(), func(data []byte) {
			b.up.batch([]udp.Packet{from(peer, data)})
			for i := range b.up.queries.packets {
				to := b.up.queries.packets[i].Peer
				b.set.Answered(b.set.From(to), netip.Addr{}, b.up.query.Message, b.up.now) // keeps the window open
			}
			forwarded += len(b.up.queries.packets)
			answered += len(b.up.answers.packets)
		})
		if t.Logf("%d were forwarded, %d answered", forwarded, answered); forwarded < 3 {
			t.Errorf("%s: only %d datagrams were forwarded", name, forwarded) // of the seeds
		}
	}
}

// A message costs the same whether there are ten links or thousands, in whichever way the links are
// named.
func TestBudgetOfManyLinks(t *testing.T) {
	cost := func(n int) (units []int) {
		b := newServiceBench(t)
		for _, in := range manyLinks(b, n) {
			units = append(units, budget.Of(func() { b.up.batch([]udp.Packet{in}) }))
		}
		return units
	}
	few, many := cost(10), cost(3000)
	t.Logf("%v units with few links, %v with many", few, many)
	for i := range few {
		if few[i] == 0 || many[i] > few[i]+30 { // longer names have more beginnings
			t.Errorf("message %d costs %d units with few links, %d with many", i, few[i], many[i])
		}
	}
}

// A datagram that is passed on to two DHCPv6 servers costs at most ten units for each of its octets,
// whoever sent it: the shortest message has four, and its context forty. A server's answer costs at
// most two.
func TestBudgetOfPassing(t *testing.T) {
	message := append(bytes.Clone(solicit), bytes.Repeat([]byte{0, 17, 0, 0}, 250)...)
	asked := dhcp6.AppendOption(bytes.Clone(solicit), dhcp6.OptORO, bytes.Repeat([]byte{0, 88}, 500))
	deep := message
	for i := range 9 {
		deep = dhcp6.AppendRelayForward(nil, uint8(i), netip.MustParseAddr("2001:db8:7::1"), relay.Addr(), bytes.Repeat([]byte{0, 37, 0, 5, 0, 0, 13, 233, 1}, 50), deep)
	}
	seeds := [][]byte{solicit, message, asked, relayed(message, 1), relayed(asked, 8), deep}
	both := func(o *pass.Options) { o.Servers = append(o.Servers, secondServer) }
	var answers [][]byte
	for name, peer := range map[string]netip.AddrPort{"pass-direct": client, "pass-relayed": relay} {
		b := newPassBench(t, both)
		passed := 0
		budgettest.Hold(t, name, 10, seeds, func(data []byte) {
			b.up.batch([]udp.Packet{from(peer, data)})
			passed += len(b.up.passed.packets)
			if len(b.up.passed.packets) > 0 && len(answers) < 20 {
				answers = append(answers, replyTo(t, bytes.Clone(b.up.passed.packets[0].Data), append(bytes.Clone(advertisement), bytes.Repeat([]byte{0, 17, 0, 0}, 200)...)))
			}
		})
		if passed < 6 {
			t.Errorf("%s: only %d were passed on", name, passed)
		}
	}
	b := newPassBench(t, both)
	returned := 0
	budgettest.Hold(t, "give-back", 2, answers, func(data []byte) {
		b.up.batch([]udp.Packet{fromServer(data)})
		returned += len(b.up.returned.packets)
	})
	if returned < len(answers) {
		t.Errorf("only %d answers were given back", returned)
	}
}

// responses are datagrams of a dhcp4d that were made to cost time.
func responses(t *testing.T) [][]byte {
	b := newBench(t)
	var all [][]byte
	for _, peer := range []netip.AddrPort{client, relay} {
		for _, d := range costly() {
			b.up.batch([]udp.Packet{from(peer, bytes.Clone(d))})
			for i := range b.up.queries.packets {
				frame := back(t, b.up.queries.packets[i].Data)
				all = append(all, frame, append(bytes.Clone(frame), bytes.Repeat([]byte{0, 17, 0, 0}, 200)...))
			}
		}
	}
	return all
}

// A datagram of a dhcp4d costs at most four units for each of its octets, to the answer on the
// link.
func TestBudgetOfTheWayDown(t *testing.T) {
	seeds := responses(t)
	if len(seeds) < 8 {
		t.Fatalf("only %d seeds", len(seeds))
	}
	b := newBench(t)
	sent := 0
	budgettest.Hold(t, "down", 4, seeds, func(data []byte) {
		b.down.batch([]udp.Packet{{Data: data, Peer: fourd}})
		sent += len(b.down.responses.packets)
	})
	if t.Logf("%d were sent", sent); sent < 8 { // of the seeds
		t.Errorf("only %d answers were sent", sent)
	}
}

// FuzzBudget looks for datagrams that cost more than the tests of budgets know, in both directions.
func FuzzBudget(f *testing.F) {
	for _, d := range costly() {
		f.Add(d)
	}
	b := newBench(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > dhcp6.MaxDatagram {
			return
		}
		size := len(data)
		for _, n := range []int{
			budget.Of(func() { b.up.batch([]udp.Packet{from(relay, bytes.Clone(data))}) }),
			budget.Of(func() { b.down.batch([]udp.Packet{{Data: bytes.Clone(data), Peer: fourd}}) }),
		} {
			if n > 6*size+400 {
				t.Fatalf("%d octets cost %d units", size, n)
			}
		}
	})
}
