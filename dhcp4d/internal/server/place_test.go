package server

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// spot is where a query of a test comes from: the source of its datagram and
// the relay levels, the outermost first.
type spot struct {
	source     string
	levels     []spotLevel
	unbelieved uint8
	remoteID   string         // of the innermost level
	from       netip.AddrPort // the dhcp6d, sixd if it is none
}

type spotLevel struct{ link, peer, iid string }

// onPort is a client on a port of the relay of link 7.
func onPort(port string) spot {
	return spot{source: "2001:db8:c::1", levels: []spotLevel{{"2001:db8:7::1", "fe80::c", port}}}
}

// on is a client on the link of eth1.
func on(source string) spot { return spot{source: source} }

// tell sends a message from a place and returns the type of the answer and its
// address; 0 is silence.
func (b *bench) tell(t *testing.T, where spot, m []byte) (dhcp4.MessageType, netip.Addr) {
	t.Helper()
	datagram := query(m)
	for i, l := range slices.Backward(where.levels) {
		var options []byte
		if l.iid != "" {
			options = dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte(l.iid))
		}
		if where.remoteID != "" && i == len(where.levels)-1 {
			options = dhcp6.AppendOption(options, dhcp6.OptRemoteID, []byte(where.remoteID))
		}
		datagram = dhcp6.AppendRelayForward(nil, uint8(len(where.levels)-1-i), netip.MustParseAddr(l.link), netip.MustParseAddr(l.peer), options, datagram)
	}
	var p dhcp6.Packet
	if why := p.Parse(datagram); why != drop.None {
		t.Fatal(why)
	}
	f, why := ipc.AppendQuery(nil, &p, ipc.Context{Interface: []byte("eth1"), Unbelieved: where.unbelieved,
		Source: netip.AddrPortFrom(netip.MustParseAddr(where.source), 546)})
	if why != drop.None {
		t.Fatal(why)
	}
	from := where.from
	if !from.IsValid() {
		from = sixd
	}
	sent, none := b.fates(t)
	b.server.batch([]udp.Packet{{Data: f, Peer: from}})
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		switch s, n := b.fates(t); {
		case s > sent:
			a := answer(t, b.ipc.Sent(1)[0])
			return a.Type(), a.YIAddr()
		case n > none:
			return 0, netip.Addr{}
		}
	}
	t.Fatal("the query has no fate")
	return 0, netip.Addr{}
}

// fates counts queries that were answered, and those that were not.
func (b *bench) fates(t *testing.T) (answered, none float64) {
	t.Helper()
	const sent, silent, dropped = "dhcp4d_responses_sent_total", "dhcp4d_queries_silent_total", "dhcp4d_packets_dropped_total"
	n := sums(t, b.account, []string{sent, silent, dropped})
	return n[sent], n[silent] + n[dropped]
}

// holder is a client of a test: an identifier and a hardware address.
type holder struct{ id, hw byte }

func (h holder) message(kind dhcp4.MessageType, options ...[]byte) []byte {
	m := message(kind, h.id, options...)
	m[28+5] = h.hw
	return m
}

// obtain gets a lease.
func (b *bench) obtain(t *testing.T, where spot, h holder) netip.Addr {
	t.Helper()
	kind, a := b.tell(t, where, h.message(dhcp4.Discover))
	if kind != dhcp4.Offer {
		t.Fatalf("DISCOVER is answered by %v", kind)
	}
	kind, got := b.tell(t, where, h.message(dhcp4.Request, addrOption(dhcp4.OptRequestedAddress, a.String()), b.serverID(a)))
	if kind != dhcp4.ACK || got != a {
		t.Fatalf("REQUEST of %v is answered by %v of %v", a, kind, got)
	}
	return a
}

// serverID is option 54 of the subnet of an address.
func (b *bench) serverID(a netip.Addr) []byte {
	return addrOption(dhcp4.OptServerIdentifier, b.subnets.Containing(a).ServerID.String())
}

func (b *bench) renew(t *testing.T, where spot, h holder, a netip.Addr) dhcp4.MessageType {
	t.Helper()
	kind, _ := b.tell(t, where, with(a, h.message(dhcp4.Request)))
	return kind
}

func (b *bench) release(t *testing.T, where spot, h holder, a netip.Addr) (released bool) {
	t.Helper()
	b.tell(t, where, with(a, h.message(dhcp4.Release, b.serverID(a))))
	return b.state(a) == lease.Released
}

func (b *bench) decline(t *testing.T, where spot, h holder, a netip.Addr) (declined bool) {
	t.Helper()
	b.tell(t, where, h.message(dhcp4.Decline, b.serverID(a), addrOption(dhcp4.OptRequestedAddress, a.String())))
	return b.state(a) == lease.Declined
}

func TestADirectClientIsOnItsLink(t *testing.T) {
	h := holder{1, 1}
	t.Run("Q-37 bound from one address, renewed and released from others", func(t *testing.T) {
		b := newBench(t)
		a := b.obtain(t, on("2001:db8:1::100"), h)
		if kind := b.renew(t, on("2001:db8:1::200"), h, a); kind != dhcp4.ACK {
			t.Errorf("renewal: %v", kind)
		}
		if kind := b.renew(t, on("fe80::200"), h, a); kind != dhcp4.ACK {
			t.Errorf("renewal from a link-local address: %v", kind)
		}
		if !b.release(t, on("2001:db8:1::300"), h, a) {
			t.Error("not released")
		}
	})
	t.Run("Q-37 declined from another address", func(t *testing.T) {
		b := newBench(t)
		a := b.obtain(t, on("fe80::100"), h)
		if !b.decline(t, on("2001:db8:1::300"), h, a) {
			t.Error("not declined")
		}
	})
	t.Run("Q-37 another hardware address neither releases nor declines", func(t *testing.T) {
		b := newBench(t)
		a := b.obtain(t, on("2001:db8:1::100"), h)
		for _, source := range []string{"2001:db8:1::100", "2001:db8:1::200", "fe80::1"} {
			if b.release(t, on(source), holder{1, 2}, a) || b.decline(t, on(source), holder{1, 2}, a) {
				t.Errorf("from %s", source)
			}
		}
	})
	t.Run("Q-37 moves: refuse leaves no renewal of it unanswered", func(t *testing.T) {
		b := newBench(t)
		b.moves(lease.MoveNever)
		a := b.obtain(t, on("2001:db8:1::100"), h)
		if kind := b.renew(t, on("2001:db8:1::200"), h, a); kind != dhcp4.ACK {
			t.Errorf("renewal: %v", kind)
		}
	})
	t.Run("Q-37 a limit counts the /64, not the address", func(t *testing.T) {
		b := newBench(t) // limit 16 in this subnet
		given := 0
		for i := range byte(40) {
			source := netip.MustParseAddr("2001:db8:6::").As16()
			source[15] = i
			if kind, _ := b.tell(t, on(netip.AddrFrom16(source).String()), holder{i, i}.message(dhcp4.Discover)); kind == dhcp4.Offer {
				given++
			}
		}
		if given != 16 {
			t.Errorf("%d addresses are offered to one /64, want 16", given)
		}
	})
	t.Run("Q-37 a full /64 does not end the lease of whom it gets from a link-local address", func(t *testing.T) {
		b := newBench(t)
		b.limit(1)
		first := b.obtain(t, on("fe80::1"), holder{1, 1})
		b.obtain(t, on("2001:db8:1::2"), holder{2, 2})
		b.clocks.Pass(1800 * time.Second)
		if kind, a := b.tell(t, on("2001:db8:1::1"), with(first, holder{1, 1}.message(dhcp4.Request))); kind != dhcp4.ACK || a != first {
			t.Fatalf("renewal: %v of %v", kind, a)
		}
		b.clocks.Pass(1900 * time.Second) // past the end of the first lease time
		if kind := b.renew(t, on("2001:db8:1::1"), holder{1, 1}, first); kind != dhcp4.ACK {
			t.Errorf("renewal: %v", kind)
		}
	})
	t.Run("Q-37 two dhcp6d of one link: equal answers by both", func(t *testing.T) {
		b := newBench(t)
		east := netip.MustParseAddrPort("[2001:db8:e::1]:6767")
		b.server.Peers.Store(&Peers{sixd: {Name: "west"}, east: {Name: "east"}})
		west, again := on("fe80::1"), on("fe80::1")
		again.from = east
		kind, a := b.tell(t, west, h.message(dhcp4.Discover))
		if k, x := b.tell(t, again, h.message(dhcp4.Discover)); k != kind || x != a {
			t.Fatalf("offers of %v and %v", a, x)
		}
		request := h.message(dhcp4.Request, addrOption(dhcp4.OptRequestedAddress, a.String()), b.serverID(a))
		for _, where := range []spot{west, again} {
			if k, x := b.tell(t, where, request); k != dhcp4.ACK || x != a {
				t.Fatalf("%v of %v", k, x)
			}
		}
		for _, where := range []spot{again, west, again} {
			if k := b.renew(t, where, h, a); k != dhcp4.ACK {
				t.Errorf("renewal: %v", k)
			}
		}
		if !b.release(t, again, h, a) {
			t.Error("not released by the other")
		}
	})
}

func TestPortsOfRelays(t *testing.T) {
	h := holder{1, 1}
	// Two relays with equal link-local link-addresses behind one of link 7.
	under := func(relay string) spot {
		return spot{source: "2001:db8:c::1", levels: []spotLevel{{"2001:db8:7::1", relay, "up"}, {"fe80::1", "fe80::c", "ge-0/0/1"}}}
	}
	t.Run("RL-21 a port of the same name of another relay releases nothing", func(t *testing.T) {
		b := newBench(t)
		a := b.obtain(t, under("2001:db8:c::7"), h)
		if b.release(t, under("2001:db8:c::8"), h, a) || b.decline(t, under("2001:db8:c::8"), h, a) {
			t.Error("it did")
		}
		if !b.release(t, under("2001:db8:c::7"), h, a) {
			t.Error("not released by its own")
		}
	})
	t.Run("RL-21 and does not count for its limit", func(t *testing.T) {
		b := newBench(t)
		b.limit(1)
		b.obtain(t, under("2001:db8:c::7"), h)
		b.obtain(t, under("2001:db8:c::8"), holder{2, 2})
		if kind, _ := b.tell(t, under("2001:db8:c::7"), holder{3, 3}.message(dhcp4.Discover)); kind != 0 {
			t.Errorf("one more at the same port gets %v", kind)
		}
	})
	t.Run("RL-20 the link is that of the next level", func(t *testing.T) {
		b := newBench(t)
		if a := b.obtain(t, under("2001:db8:c::7"), h); !netip.MustParsePrefix("198.51.100.0/24").Contains(a) {
			t.Errorf("got %v", a)
		}
	})
}

// TestAForgedLevel: a client on port 66 sends a Relay-forward of its own that
// says what the victim's says. dhcp6d believes the relay's level only.
func TestAForgedLevel(t *testing.T) {
	victim, thief := onPort("port7"), onPort("port66")
	thief.levels = append(thief.levels, victim.levels...)
	thief.unbelieved = 1
	h := holder{1, 1}
	t.Run("RL-22 releases, declines and takes nothing", func(t *testing.T) {
		b := newBench(t)
		a := b.obtain(t, victim, h)
		if b.release(t, thief, h, a) || b.decline(t, thief, h, a) {
			t.Error("it did")
		}
		if kind := b.renew(t, thief, h, a); kind != 0 {
			t.Errorf("renewal: %v", kind)
		}
		if b.obtain(t, thief, h) == a {
			t.Error("it got the victim's address")
		}
		if kind := b.renew(t, victim, h, a); kind != dhcp4.ACK {
			t.Errorf("the victim's renewal: %v", kind)
		}
	})
	t.Run("RL-22 and is where its relay says, with that limit", func(t *testing.T) {
		b := newBench(t)
		b.limit(1)
		b.obtain(t, thief, holder{2, 2})
		other := thief
		other.levels = []spotLevel{thief.levels[0], {"2001:db8:1::1", "fe80::d", "port8"}}
		if kind, _ := b.tell(t, other, holder{3, 3}.message(dhcp4.Discover)); kind != 0 {
			t.Errorf("one more gets %v", kind)
		}
		b.obtain(t, victim, h)
	})
	t.Run("RL-22 a kea-dhcp6 does not say what it believes, whatever its clients say", func(t *testing.T) {
		b := newBench(t)
		b.server.Peers.Store(&Peers{sixd: {Name: "kea", Kea: true}})
		a := b.obtain(t, victim, h)
		if !b.release(t, thief, h, a) {
			t.Error("the innermost level was not believed")
		}
	})
}

func TestMoves(t *testing.T) {
	h := holder{1, 1}
	home, away := onPort("port7"), onPort("port8")
	t.Run("D4-40 renew, release and take from another attachment point: nothing", func(t *testing.T) {
		b := newBench(t)
		a := b.obtain(t, home, h)
		b.clocks.Pass(1800 * time.Second) // T1: the client has not renewed yet
		if kind := b.renew(t, away, h, a); kind != 0 {
			t.Errorf("renewal: %v", kind)
		}
		if b.release(t, away, h, a) {
			t.Error("released")
		}
		if other := b.obtain(t, away, h); other == a {
			t.Error("taken")
		}
		if kind := b.renew(t, home, h, a); kind != dhcp4.ACK {
			t.Errorf("the client's own renewal: %v", kind)
		}
		if !b.release(t, home, h, a) {
			t.Error("the client's own RELEASE")
		}
	})
	t.Run("D4-40 a client that moved has another address at once", func(t *testing.T) {
		b := newBench(t)
		a := b.obtain(t, home, h)
		if kind, _ := b.tell(t, away, h.message(dhcp4.Request, addrOption(dhcp4.OptRequestedAddress, a.String()))); kind != 0 {
			t.Errorf("INIT-REBOOT: %v", kind)
		}
		other := b.obtain(t, away, h)
		if other == a {
			t.Fatalf("got %v, which may be in use", a)
		}
		if kind := b.renew(t, away, h, other); kind != dhcp4.ACK {
			t.Errorf("renewal: %v", kind)
		}
		if back := b.obtain(t, home, h); back != a {
			t.Errorf("at home again: %v, want %v", back, a)
		}
	})
	t.Run("D4-40 a client that moved and only renews is served from T2 on", func(t *testing.T) {
		b := newBench(t)
		a := b.obtain(t, home, h)
		b.clocks.Pass(3149 * time.Second)
		if kind := b.renew(t, away, h, a); kind != 0 {
			t.Errorf("before T2: %v", kind)
		}
		b.clocks.Pass(time.Second)
		if kind := b.renew(t, away, h, a); kind != dhcp4.ACK {
			t.Errorf("from T2 on: %v", kind)
		}
		if kind := b.renew(t, home, h, a); kind != 0 {
			t.Errorf("where it was before: %v", kind)
		}
		if !b.release(t, away, h, a) {
			t.Error("not released where it is now")
		}
	})
	t.Run("D4-40 moves: follow takes the lease along at once", func(t *testing.T) {
		b := newBench(t)
		b.moves(lease.MoveAtOnce)
		a := b.obtain(t, home, h)
		if b.obtain(t, away, h) != a || b.renew(t, home, h, a) != dhcp4.ACK {
			t.Error("it did not follow")
		}
	})
}

func TestReservedByHardwareAddress(t *testing.T) {
	t.Run("D4-85 a reserved address goes along when the client identifier changes", func(t *testing.T) {
		b := newBench(t)
		port := onPort("port7")
		reserved := netip.MustParseAddr("198.51.100.98")
		for id := byte(1); id <= 4; id++ {
			if a := b.obtain(t, port, holder{id, 0x98}); a != reserved {
				t.Errorf("identifier %d gets %v", id, a)
			}
		}
		if c := b.counts(1); c.Bound != 1 {
			t.Errorf("%d leases, want 1", c.Bound)
		}
		if a := b.obtain(t, port, holder{5, 5}); a == reserved {
			t.Error("another hardware address gets it")
		}
		if a := b.obtain(t, onPort("port8"), holder{6, 0x98}); a == reserved {
			t.Error("the hardware address gets it elsewhere while it is in use")
		}
	})
}

// state is what the table says of an address.
func (b *bench) state(a netip.Addr) lease.State {
	var found lease.Batch
	if b.book.Get(a, &found); len(found.Records) == 0 {
		return lease.NoState
	}
	return found.Records[0].State
}

func (b *bench) moves(m lease.Moves) { b.policies(func(p *lease.Policy) { p.Moves = m }) }
func (b *bench) limit(n int)         { b.policies(func(p *lease.Policy) { p.Limit = n }) }

func (b *bench) policies(change func(*lease.Policy)) {
	policies := b.server.Settings.Load().Leases.Policies
	for i := range policies {
		change(&policies[i])
	}
}

func TestAnOperatorEndsAQuarantine(t *testing.T) {
	t.Run("D4-23 a quarantine ends by order, and the address is given out again", func(t *testing.T) {
		b := newBench(t)
		h := holder{1, 1}
		a := b.obtain(t, on("fe80::1"), h)
		if !b.decline(t, on("fe80::1"), h, a) {
			t.Fatal("not declined")
		}
		o := b.orders()
		done, err := o.Release(t.Context(), lease.ID{Addr: a}, "test")
		if err != nil || done.Addr != a || done.State != lease.Declined || done.Expires >= b.book.Now() {
			t.Fatalf("%+v, %v", done, err)
		}
		if _, err := o.Release(t.Context(), lease.ID{Addr: a}, "test"); err == nil {
			t.Error("ended twice")
		}
		kind, got := b.tell(t, on("fe80::2"), holder{2, 2}.message(dhcp4.Discover, addrOption(dhcp4.OptRequestedAddress, a.String())))
		if kind != dhcp4.Offer || got != a {
			t.Errorf("%v of %v, want an offer of %v", kind, got, a)
		}
	})
}
