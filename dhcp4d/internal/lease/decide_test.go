package lease

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/silence"
)

const now Time = 1_000_000

var (
	server  = netip.MustParseAddr("192.0.2.1")
	peer    = netip.MustParseAddr("192.0.2.2")
	foreign = netip.MustParseAddr("192.0.2.3")
	addrA   = netip.MustParseAddr("192.0.2.10")
	addrB   = netip.MustParseAddr("192.0.2.20")
	addrC   = netip.MustParseAddr("192.0.2.30")
	far     = netip.MustParseAddr("198.51.100.7")
	zero    = netip.IPv4Unspecified()
	none    netip.Addr
)

func policy(change ...func(*Policy)) Policy {
	p := Policy{ServerID: server, Peers: []netip.Addr{peer}, Authoritative: true,
		Times: Times{Default: 3600, Min: 600, Max: 7200}, Hold: 60, Quarantine: 86400,
		T2: func(leaseTime uint32) uint32 { return leaseTime / 8 * 7 }}
	for _, c := range change {
		c(&p)
	}
	return p
}

func alone(p *Policy)           { p.Peers = nil }
func humble(p *Policy)          { p.Authoritative = false }
func draining(p *Policy)        { p.Drain = true }
func recovering(p *Policy)      { p.RecoverFrom, p.RecoverTill = now-50, now+1 }
func recovered(p *Policy)       { p.RecoverFrom, p.RecoverTill = now-50, now }
func staying(p *Policy)         { p.Moves = MoveNever }
func following(p *Policy)       { p.Moves = MoveAtOnce }
func v6mostly(p *Policy)        { p.V6Mostly = true }
func limit(n int) func(*Policy) { return func(p *Policy) { p.Limit = n } }

func discover() Query { return Query{Type: dhcp4.Discover} }
func wishing(a netip.Addr) Query {
	return Query{Type: dhcp4.Discover, Requested: a}
}
func selecting(a netip.Addr) Query {
	return Query{Type: dhcp4.Request, Requested: a, ServerID: server, CIAddr: zero}
}
func initReboot(a netip.Addr) Query { return Query{Type: dhcp4.Request, Requested: a, CIAddr: zero} }
func renewing(a netip.Addr) Query   { return Query{Type: dhcp4.Request, CIAddr: a} }

// taking is SELECTING that names the server alone.
func taking(server netip.Addr) Query {
	return Query{Type: dhcp4.Request, CIAddr: zero, ServerID: server}
}
func release(a, server netip.Addr) Query {
	return Query{Type: dhcp4.Release, CIAddr: a, ServerID: server}
}
func decline(a, server netip.Addr) Query {
	return Query{Type: dhcp4.Decline, Requested: a, ServerID: server, CIAddr: zero}
}

// with puts a reservation into a query.
func (q Query) with(a netip.Addr) Query        { q.Reservation = a; return q }
func (q Query) withAtPoint(a netip.Addr) Query { q.Reservation, q.ByPoint = a, true; return q }
func (q Query) withAtHardware(a netip.Addr) Query {
	q.Reservation, q.ByHardware = a, true
	return q
}
func (q Query) from(server netip.Addr) Query { q.ServerID = server; return q }
func (q Query) asking(a netip.Addr) Query    { q.Requested = a; return q }
func (q Query) wish(seconds uint32) Query    { q.Wish, q.HasWish = seconds, true; return q }
func (q Query) v6only() Query                { q.V6Only = true; return q }
func (q Query) shared() Query                { q.Shared = true; return q }

// at describes an address of the pool.
func at(a netip.Addr, s Standing) Address {
	x := Address{ID: ID{Addr: a}, Standing: s, InSubnet: true, InPool: true}
	switch s {
	case Mine:
		x.Expires, x.Changed, x.Place, x.Known = now+1000, now-100, attachment.SamePort, true
	case Held:
		x.Place = attachment.SamePort
	case Former:
		x.Known = true
	}
	return x
}

func (a Address) outOfPool() Address   { a.InPool = false; return a }
func (a Address) outOfSubnet() Address { a.InPool, a.InSubnet = false, false; return a }
func (a Address) forOther() Address    { a.ForOther = true; return a }
func (a Address) elsewhere() Address   { a.Place = attachment.Apart; return a }
func (a Address) onPort() Address      { a.Place = attachment.SamePort; return a }
func (a Address) onLink() Address      { a.Place = attachment.SameLink; return a }
func (a Address) seenTwice() Address   { a.Place = attachment.SeenTwice; return a }
func (a Address) sameHW() Address      { a.SameHW = true; return a }
func (a Address) sameSource() Address  { a.SameSource = true; return a }

// late is a binding whose client has not renewed it until T2.
func late(a Address) Address { return a.changed(now - 700).until(now + 50) }

func (a Address) changed(t Time) Address { a.Changed = t; return a }
func (a Address) until(t Time) Address   { a.Expires = t; return a }

// facts for a client that has own and names named, which may be the same.
func facts(own, named Address) Facts {
	f := Facts{Own: own, Named: named, Next: ID{Addr: addrC}}
	switch {
	case own.Standing == Mine && !own.Here():
		f.Own, f.Away = nothing, own
	case own.Standing == Held && !own.Here():
		f.Own, f.AwayOffer = nothing, own
	}
	return f
}

func only(a Address) Facts { return facts(a, a) }

func (f Facts) reserved(a Address) Facts { f.Reserved = a; return f }
func (f Facts) count(n int) Facts        { f.AtPoint = n; return f }
func (f Facts) crowd(n int) Facts        { f.Crowd = n; return f }
func (f Facts) away(a Address) Facts     { f.Away = a; return f }
func (f Facts) full() Facts              { f.Next = ID{}; return f }

var nothing Address

// want is what a case expects; why and silence are compared only where they are set.
type want struct {
	kind   Kind
	addr   netip.Addr
	change Change
	event  Event
	why    Why
	drop   drop.Reason

	silence silence.Reason
}

func TestDecide(t *testing.T) {
	outside := Address{ID: ID{Addr: far}, Standing: Outside}
	for _, c := range []struct {
		name  string
		p     Policy
		q     Query
		facts Facts
		want  want
	}{
		// DISCOVER.
		{"D4-15 (0) reservation before the current binding", policy(), discover().with(addrB),
			facts(at(addrA, Mine), nothing).reserved(at(addrB, Free)), want{kind: Offer, addr: addrB, change: Hold}},
		{"D4-15 (0) reservation outside the pools", policy(), discover().with(addrB),
			facts(nothing, nothing).reserved(at(addrB, Free).outOfPool()), want{kind: Offer, addr: addrB, change: Hold}},
		{"D4-15 (0) reservation that another client still has: the next best", policy(), discover().with(addrB),
			facts(nothing, nothing).reserved(at(addrB, Taken)), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-15 (0) reservation in quarantine: the next best", policy(), discover().with(addrB),
			facts(nothing, nothing).reserved(at(addrB, Quarantined)), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-15 (0) reservation by attachment point moves to a new CPE at once", policy(), discover().withAtPoint(addrB),
			facts(nothing, nothing).reserved(at(addrB, Taken).onPort()), want{kind: Offer, addr: addrB}},
		{"D4-15 (0) reservation by attachment point, holder elsewhere: the next best", policy(), discover().withAtPoint(addrB),
			facts(nothing, nothing).reserved(at(addrB, Taken)), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-15 (0) reservation by client, holder at the same point: the next best", policy(), discover().with(addrB),
			facts(nothing, nothing).reserved(at(addrB, Taken).onPort()), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-15 (1) current binding before the requested address", policy(), wishing(addrB),
			facts(at(addrA, Mine), at(addrB, Free)), want{kind: Offer, addr: addrA}},
		{"D4-15 (1) current binding that ends before the hold is held", policy(), discover(),
			facts(at(addrA, Mine).until(now+59), nothing), want{kind: Offer, addr: addrA, change: Hold}},
		{"D4-15 (1) current binding reserved for another: not offered", policy(), discover(),
			facts(at(addrA, Mine).forOther(), nothing), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-15 (1) current binding in no pool any more: not offered", policy(), discover(),
			facts(at(addrA, Mine).outOfPool(), nothing), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-15 the offered address again", policy(), wishing(addrB),
			facts(at(addrA, Held), at(addrB, Free)), want{kind: Offer, addr: addrA, change: Hold}},
		{"D4-15 (2) former binding before the requested address", policy(), wishing(addrB),
			facts(at(addrA, Former), at(addrB, Free)), want{kind: Offer, addr: addrA, change: Hold}},
		{"D4-15 (2) former binding reserved for another meanwhile", policy(), discover(),
			facts(at(addrA, Former).forOther(), nothing), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-15 (3) requested address if free", policy(), wishing(addrB),
			facts(nothing, at(addrB, Free)), want{kind: Offer, addr: addrB, change: Hold}},
		{"D4-15 (3) requested address bound to another", policy(), wishing(addrB),
			facts(nothing, at(addrB, Taken)), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-15 (3) requested address offered to another", policy(), wishing(addrB),
			facts(nothing, at(addrB, OfferedAway)), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-15 (3) requested address in quarantine", policy(), wishing(addrB),
			facts(nothing, at(addrB, Quarantined)), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-15 (3) requested address in no pool", policy(), wishing(addrB),
			facts(nothing, at(addrB, Free).outOfPool()), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-15 (3) requested address reserved for another", policy(), wishing(addrB),
			facts(nothing, at(addrB, Free).forOther()), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-15 (3) requested address of another subnet", policy(), wishing(far),
			facts(nothing, outside), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-15 (4) next free address", policy(), discover(),
			facts(nothing, nothing), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-16 a DISCOVER with 54 of 0.0.0.0 names no server", policy(), discover().from(zero),
			facts(nothing, nothing), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-16 no free address: silence, counted", policy(), discover(),
			facts(nothing, nothing).full(), want{kind: Dropped, drop: drop.NoAddress}},
		{"D4-16 no free address, never a NAK for the requested one", policy(), wishing(addrB),
			facts(nothing, at(addrB, Taken)).full(), want{kind: Dropped, drop: drop.NoAddress}},
		{"D4-16 a DISCOVER that names us: offer", policy(), discover().from(server),
			facts(nothing, nothing), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-16 a DISCOVER that names another server: offer", policy(humble), discover().from(foreign),
			facts(nothing, nothing), want{kind: Offer, addr: addrC, change: Hold}},

		//
		{"Q-36 one more than the limit gets no offer", policy(limit(2)), discover(),
			facts(nothing, nothing).count(2), want{kind: Dropped, drop: drop.PointLimit}},
		{"Q-36 up to the limit gets an offer", policy(limit(2)), discover(),
			facts(nothing, nothing).count(1), want{kind: Offer, addr: addrC, change: Hold}},
		{"Q-36 who is counted there already gets an offer", policy(limit(2)), discover(),
			facts(at(addrA, Held), nothing).count(2), want{kind: Offer, addr: addrA, change: Hold}},
		{"Q-36 a binding that would move to a full point gets no offer", policy(limit(2), following), discover(),
			facts(at(addrA, Mine).elsewhere(), nothing).count(2), want{kind: Dropped, drop: drop.PointLimit}},
		{"Q-36 a former binding needs room like a new one", policy(limit(2)), discover(),
			facts(at(addrA, Former), nothing).count(2), want{kind: Dropped, drop: drop.PointLimit}},
		{"Q-36 a reservation is not limited", policy(limit(2)), discover().with(addrB),
			facts(nothing, nothing).reserved(at(addrB, Free)).count(2), want{kind: Offer, addr: addrB, change: Hold}},
		{"Q-36 a lost offer cannot be requested at a full point", policy(limit(2)), selecting(addrA),
			facts(nothing, at(addrA, Free)).count(2), want{kind: Nak, why: NoNewClients}},
		{"Q-36 a renewal at a full point goes on", policy(limit(2)), renewing(addrA),
			only(at(addrA, Mine)).count(2), want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"Q-36 a renewal from another, full point is confirmed and stays where it is", policy(limit(2), following), renewing(addrA),
			only(at(addrA, Mine).elsewhere()).count(2), want{kind: Ack, addr: addrA}},

		// Classification.
		{"D4-17 54 and 50: SELECTING", policy(), selecting(addrA), only(at(addrA, Held)),
			want{kind: Ack, addr: addrA, change: Bind, event: EventAllocated}},
		{"D4-17 50 alone: INIT-REBOOT", policy(humble), initReboot(addrA), facts(nothing, at(addrA, Free)),
			want{silence: silence.NoRecord}},
		{"D4-17 ciaddr alone: RENEWING or REBINDING", policy(), renewing(addrA), only(at(addrA, Mine)),
			want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-18 54 ours and ciaddr: renewal", policy(), renewing(addrA).from(server), only(at(addrA, Mine)),
			want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-18 54 ours, 50 and ciaddr: renewal of ciaddr", policy(), renewing(addrA).from(server).asking(addrB),
			only(at(addrA, Mine)),
			want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-18 54 foreign and ciaddr: renewal of ciaddr", policy(), renewing(addrA).from(foreign),
			only(at(addrA, Mine)),
			want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-18 54 of a peer and ciaddr: renewal of ciaddr", policy(), renewing(addrA).from(peer),
			only(at(addrA, Mine)),
			want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-18 54 foreign, 50 and ciaddr: renewal of ciaddr", policy(), renewing(addrA).from(foreign).asking(addrB),
			only(at(addrA, Mine)),
			want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-18 54 of 0.0.0.0 and ciaddr: renewal", policy(), renewing(addrA).from(zero), only(at(addrA, Mine)),
			want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-18 54 foreign and ciaddr bound to another: NAK", policy(humble), renewing(addrB).from(foreign),
			facts(nothing, at(addrB, Taken)),
			want{kind: Nak, why: NotAvailable}},
		{"D4-18 54 foreign and ciaddr, no binding, not authoritative: silence", policy(humble), renewing(addrB).from(foreign),
			facts(nothing, at(addrB, Free)),
			want{silence: silence.NoRecord}},
		{"D4-18 50 equal to ciaddr without 54: renewal", policy(), renewing(addrA).asking(addrA), only(at(addrA, Mine)),
			want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-18 50 other than ciaddr without 54: renewal of ciaddr", policy(), renewing(addrA).asking(addrB),
			only(at(addrA, Mine)),
			want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-18 50 of 0.0.0.0 and ciaddr: renewal", policy(), renewing(addrA).asking(zero), only(at(addrA, Mine)),
			want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-18 54 ours alone: ACK of what was offered", policy(), taking(server), facts(at(addrA, Held), nothing),
			want{kind: Ack, addr: addrA, change: Bind, event: EventAllocated}},
		{"D4-18 54 ours alone: ACK of what is bound", policy(), taking(server), facts(at(addrA, Mine), nothing),
			want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-18 54 ours alone, 50 of 0.0.0.0: ACK of what was offered", policy(), taking(server).asking(zero),
			facts(at(addrA, Held), nothing),
			want{kind: Ack, addr: addrA, change: Bind, event: EventAllocated}},
		{"D4-18 54 ours alone, nothing was offered: NAK", policy(humble), taking(server), facts(nothing, nothing),
			want{kind: Nak, why: NotOffered}},
		{"D4-18 54 ours alone, the client had an address: NAK", policy(humble), taking(server),
			facts(at(addrA, Former), nothing),
			want{kind: Nak, why: NotOffered}},
		{"D4-18 54 ours alone, another reservation meanwhile: NAK", policy(), taking(server).with(addrB),
			facts(at(addrA, Held), nothing).reserved(at(addrB, Free)), want{kind: Nak, why: OtherAddress}},
		{"D4-18 54 foreign alone: silence, reservation free again", policy(), taking(foreign),
			facts(at(addrA, Held), nothing),
			want{addr: addrA, change: Unhold, silence: silence.ChoseOtherServer}},
		{"D4-18 54 of a peer alone: NAK", policy(), taking(peer),
			facts(nothing, nothing), want{kind: Nak, why: PeerServer}},
		{"D4-18 54 of 0.0.0.0 and 50: INIT-REBOOT", policy(humble), selecting(addrA).from(zero), only(at(addrA, Held)),
			want{kind: Ack, addr: addrA, change: Bind, event: EventAllocated}},
		{"D4-18 nothing set, client known: NAK", policy(humble), taking(none), facts(at(addrA, Mine), nothing),
			want{kind: Nak, why: NothingRequested}},
		{"D4-18 nothing set, client unknown, authoritative: NAK", policy(), taking(none), facts(nothing, nothing),
			want{kind: Nak, why: NothingRequested}},
		{"D4-18 nothing set, client unknown, not authoritative: silence", policy(humble), taking(zero).asking(zero),
			facts(nothing, nothing),
			want{silence: silence.NoRecord}},

		// SELECTING.
		{"D4-19 foreign 54: silence, reservation free again", policy(), selecting(addrB).from(foreign),
			facts(at(addrA, Held), at(addrB, Free)), want{addr: addrA, change: Unhold, silence: silence.ChoseOtherServer}},
		{"D4-19 foreign 54 without a reservation: silence", policy(), selecting(addrB).from(foreign),
			facts(nothing, at(addrB, Free)), want{silence: silence.ChoseOtherServer}},
		{"D4-19 foreign 54 keeps a binding", policy(), selecting(addrA).from(foreign),
			only(at(addrA, Mine)), want{silence: silence.ChoseOtherServer}},
		{"D4-19 foreign 54 from elsewhere keeps the reservation", policy(), selecting(addrA).from(foreign),
			only(at(addrA, Held).elsewhere()), want{silence: silence.ChoseOtherServer}},
		{"D4-19 54 of a peer that is out: NAK", policy(), selecting(addrB).from(peer),
			facts(nothing, at(addrB, Free)), want{kind: Nak, why: PeerServer}},
		{"D4-19 54 of a peer that is out: NAK and reservation free again", policy(), selecting(addrB).from(peer),
			facts(at(addrA, Held), at(addrB, Free)), want{kind: Nak, addr: addrA, change: Unhold, why: PeerServer}},
		{"D4-20 what was offered: ACK", policy(), selecting(addrA), only(at(addrA, Held)),
			want{kind: Ack, addr: addrA, change: Bind, event: EventAllocated}},
		{"D4-20 what is bound: ACK", policy(), selecting(addrA), only(at(addrA, Mine)),
			want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-20 what the client had before: ACK", policy(), selecting(addrA), only(at(addrA, Former)),
			want{kind: Ack, addr: addrA, change: Bind, event: EventReused}},
		{"D4-20 offer lapsed, address still free: ACK", policy(), selecting(addrA), facts(nothing, at(addrA, Free)),
			want{kind: Ack, addr: addrA, change: Bind, event: EventAllocated}},
		{"D4-20 offer lapsed, not authoritative: ACK", policy(humble), selecting(addrA),
			facts(nothing, at(addrA, Free)),
			want{kind: Ack, addr: addrA, change: Bind, event: EventAllocated}},
		{"D4-20 not what was offered: NAK", policy(), selecting(addrB), facts(at(addrA, Held), at(addrB, Free)),
			want{kind: Nak, why: NotOffered}},
		{"D4-20 another address than the binding: NAK", policy(), selecting(addrB),
			facts(at(addrA, Mine), at(addrB, Free)),
			want{kind: Nak, why: NotOffered}},
		{"D4-20 an address in the place of a retired binding: ACK", policy(), selecting(addrB),
			facts(at(addrA, Mine).outOfPool(), at(addrB, Free)),
			want{kind: Ack, addr: addrB, change: Bind, event: EventAllocated}},
		{"D4-20 bound to another: NAK", policy(), selecting(addrB),
			facts(nothing, at(addrB, Taken)), want{kind: Nak, why: NotAvailable}},
		{"D4-20 offered to another: NAK", policy(), selecting(addrB),
			facts(nothing, at(addrB, OfferedAway)), want{kind: Nak, why: NotAvailable}},
		{"D4-20 in quarantine: NAK", policy(), selecting(addrB),
			facts(nothing, at(addrB, Quarantined)), want{kind: Nak, why: NotAvailable}},
		{"D4-20 reserved for another: NAK", policy(), selecting(addrB),
			facts(nothing, at(addrB, Free).forOther()), want{kind: Nak, why: NotAvailable}},
		{"D4-20 in no pool: NAK", policy(), selecting(addrB),
			facts(nothing, at(addrB, Free).outOfPool()), want{kind: Nak, why: NotAvailable}},
		{"D4-20 of another subnet: NAK", policy(), selecting(far),
			facts(nothing, outside), want{kind: Nak, why: WrongSubnet}},
		{"D4-20 the reservation: ACK", policy(), selecting(addrB).with(addrB),
			facts(at(addrA, Mine), at(addrB, Held).outOfPool()).reserved(at(addrB, Held).outOfPool()), want{kind: Ack, addr: addrB, change: Bind, event: EventAllocated}},
		{"D4-20 other than the reservation: NAK", policy(), selecting(addrA).with(addrB),
			facts(at(addrA, Held), at(addrA, Held)).reserved(at(addrB, Free)), want{kind: Nak, why: OtherAddress}},
		{"D4-20 reservation by attachment point, still bound to the old CPE there: ACK", policy(), selecting(addrB).withAtPoint(addrB),
			facts(nothing, at(addrB, Taken).onPort()).reserved(at(addrB, Taken).onPort()), want{kind: Ack, addr: addrB, change: Bind, event: EventAllocated}},
		{"D4-20 reservation by attachment point, bound elsewhere: NAK", policy(), selecting(addrB).withAtPoint(addrB),
			facts(nothing, at(addrB, Taken)).reserved(at(addrB, Taken)), want{kind: Nak, why: NotAvailable}},

		// RENEWING and REBINDING.
		{"D4-21 binding matches: ACK", policy(), renewing(addrA), only(at(addrA, Mine)),
			want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"Q-19 binding matches, not authoritative: ACK however the query came", policy(humble), renewing(addrA),
			only(at(addrA, Mine)),
			want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-21 binding in no pool any more: ACK without extension", policy(), renewing(addrA),
			only(at(addrA, Mine).outOfPool()),
			want{kind: Ack, addr: addrA}},
		{"D4-21 binding outside the subnet of today: NAK", policy(), renewing(addrA),
			only(at(addrA, Mine).outOfSubnet()),
			want{kind: Nak, why: WrongSubnet}},
		{"D4-21 bound to another: NAK", policy(humble), renewing(addrB),
			facts(nothing, at(addrB, Taken)), want{kind: Nak, why: NotAvailable}},
		{"D4-21 offered to another: NAK", policy(), renewing(addrB),
			facts(nothing, at(addrB, OfferedAway)), want{kind: Nak, why: NotAvailable}},
		{"D4-21 in quarantine: NAK", policy(), renewing(addrB),
			facts(nothing, at(addrB, Quarantined)), want{kind: Nak, why: NotAvailable}},
		{"D4-21 reserved for another: NAK", policy(), renewing(addrA),
			only(at(addrA, Mine).forOther()), want{kind: Nak, why: NotAvailable}},
		{"D4-21 reserved for another outside the pools: NAK", policy(), renewing(addrB),
			facts(nothing, at(addrB, Free).outOfPool().forOther()), want{kind: Nak, why: NotAvailable}},
		{"D4-21 other than the client's reservation: NAK", policy(), renewing(addrA).with(addrB),
			only(at(addrA, Mine)).reserved(at(addrB, Free)), want{kind: Nak, why: OtherAddress}},
		{"D4-21 other than a reservation that cannot be had yet: ACK", policy(), renewing(addrA).with(addrB),
			only(at(addrA, Mine)).reserved(at(addrB, Taken)), want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-21 a reservation by attachment point is not taken over by renewing it", policy(), renewing(addrB).withAtPoint(addrB),
			facts(nothing, at(addrB, Taken).onPort()).reserved(at(addrB, Taken).onPort()), want{kind: Nak, why: NotAvailable}},
		{"D4-21 wrong subnet: NAK", policy(humble), renewing(far),
			facts(nothing, outside), want{kind: Nak, why: WrongSubnet}},
		{"D4-21 no binding, free, authoritative: made again", policy(), renewing(addrB),
			facts(nothing, at(addrB, Free)),
			want{kind: Ack, addr: addrB, change: Bind, event: EventAllocated}},
		{"D4-21 no binding, free, not authoritative: silence", policy(humble), renewing(addrB),
			facts(nothing, at(addrB, Free)), want{silence: silence.NoRecord}},
		{"D4-21 expired, still free: made again", policy(humble), renewing(addrA), only(at(addrA, Former)),
			want{kind: Ack, addr: addrA, change: Bind, event: EventReused}},
		{"D4-21 no binding for it but for another address: NAK", policy(), renewing(addrB),
			facts(at(addrA, Mine), at(addrB, Free)), want{kind: Nak, why: OtherAddress}},
		{"D4-21 in no pool of ours, no other server: NAK", policy(alone), renewing(addrB),
			facts(nothing, at(addrB, Free).outOfPool()), want{kind: Nak, why: NotAvailable}},
		{"D4-21 in no pool of ours, no other server, bound to another: NAK", policy(alone), renewing(addrB),
			facts(nothing, at(addrB, Taken).outOfPool()), want{kind: Nak, why: NotAvailable}},
		{"D4-21 in no pool of ours, no other server, client known with another address: NAK", policy(alone), renewing(addrB),
			facts(at(addrA, Mine), at(addrB, Free).outOfPool()), want{kind: Nak, why: OtherAddress}},
		{"D4-21 in no pool of ours, not authoritative: silence", policy(alone, humble), renewing(addrB),
			facts(at(addrA, Mine), at(addrB, Free).outOfPool()), want{silence: silence.NotOurPool}},
		{"D4-21 in no pool of ours, the client has another reservation: NAK", policy(humble), renewing(addrB).with(addrA),
			facts(at(addrA, Mine), at(addrB, Free).outOfPool()).reserved(at(addrA, Mine)), want{kind: Nak, why: OtherAddress}},
		{"D4-21 in no pool of ours: silence", policy(), renewing(addrB),
			facts(nothing, at(addrB, Free).outOfPool()), want{silence: silence.NotOurPool}},
		{"D4-21 in no pool of ours, bound to another: silence", policy(), renewing(addrB),
			facts(nothing, at(addrB, Taken).outOfPool()), want{silence: silence.NotOurPool}},
		{"D4-21 in no pool of ours, client known with another address: silence", policy(), renewing(addrB),
			facts(at(addrA, Mine), at(addrB, Free).outOfPool()), want{silence: silence.NotOurPool}},
		{"D4-21 reservation without a record: made again", policy(humble), renewing(addrB).with(addrB),
			facts(nothing, at(addrB, Free).outOfPool()).reserved(at(addrB, Free).outOfPool()), want{kind: Ack, addr: addrB, change: Bind, event: EventAllocated}},

		// INIT-REBOOT.
		{"D4-22 known and equal: ACK", policy(humble), initReboot(addrA), only(at(addrA, Mine)),
			want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-22 known from before and equal: ACK", policy(humble), initReboot(addrA), only(at(addrA, Former)),
			want{kind: Ack, addr: addrA, change: Bind, event: EventReused}},
		{"D4-22 wrong subnet: NAK", policy(humble), initReboot(far),
			facts(nothing, outside), want{kind: Nak, why: WrongSubnet}},
		{"D4-22 known with another address: NAK", policy(humble), initReboot(addrB),
			facts(at(addrA, Mine), at(addrB, Free)), want{kind: Nak, why: OtherAddress}},
		{"D4-22 known from before with another address: NAK", policy(humble), initReboot(addrB),
			facts(at(addrA, Former), at(addrB, Free)), want{kind: Nak, why: OtherAddress}},
		{"D4-22 known with another reservation: NAK", policy(humble), initReboot(addrA).with(addrB),
			only(at(addrA, Mine)).reserved(at(addrB, Free)), want{kind: Nak, why: OtherAddress}},
		{"D4-22 the reservation, no record: ACK", policy(humble), initReboot(addrB).with(addrB),
			facts(nothing, at(addrB, Free)).reserved(at(addrB, Free)), want{kind: Ack, addr: addrB, change: Bind, event: EventAllocated}},
		{"D4-22 unknown client: silence", policy(humble), initReboot(addrB),
			facts(nothing, at(addrB, Free)), want{silence: silence.NoRecord}},
		{"D4-22 unknown client, bound to another: silence", policy(humble), initReboot(addrB),
			facts(nothing, at(addrB, Taken)), want{silence: silence.NoRecord}},
		{"D4-22 unknown client, reserved for another: silence", policy(humble), initReboot(addrB),
			facts(nothing, at(addrB, Free).forOther()), want{silence: silence.NoRecord}},
		{"D4-22 unknown client, authoritative: NAK", policy(), initReboot(addrB),
			facts(nothing, at(addrB, Free)), want{kind: Nak, why: NoRecord}},
		{"D4-22 in no pool of ours, no other server: NAK", policy(alone), initReboot(addrB),
			facts(nothing, at(addrB, Free).outOfPool()), want{kind: Nak, why: NotAvailable}},
		{"D4-22 in no pool of ours, no other server, client known with another address: NAK", policy(alone), initReboot(addrB),
			facts(at(addrA, Mine), at(addrB, Free).outOfPool()), want{kind: Nak, why: OtherAddress}},
		{"D4-22 in no pool of ours, the client has another reservation: NAK", policy(), initReboot(addrB).with(addrA),
			facts(at(addrA, Mine), at(addrB, Free).outOfPool()).reserved(at(addrA, Mine)), want{kind: Nak, why: OtherAddress}},
		{"D4-22 in no pool of ours: silence", policy(), initReboot(addrB),
			facts(at(addrA, Mine), at(addrB, Free).outOfPool()), want{silence: silence.NotOurPool}},

		// DECLINE and RELEASE.
		{"D4-23 decline by the holder: quarantine", policy(), decline(addrA, server), only(at(addrA, Mine)),
			want{addr: addrA, change: Decline, event: EventDeclined, silence: silence.Declined}},
		{"D4-23 decline of an offer: quarantine", policy(), decline(addrA, server), only(at(addrA, Held)),
			want{addr: addrA, change: Decline, event: EventDeclined, silence: silence.Declined}},
		{"D4-23 decline by another client does nothing", policy(), decline(addrB, server),
			facts(at(addrA, Mine), at(addrB, Taken).onPort()), want{silence: silence.NotHolder}},
		{"D4-23 decline of a free address does nothing", policy(), decline(addrB, server),
			facts(nothing, at(addrB, Free)), want{silence: silence.NotHolder}},
		{"D4-23 decline from elsewhere does nothing", policy(), decline(addrA, server),
			only(at(addrA, Mine).elsewhere()), want{silence: silence.NotHolder}},
		{"D4-23 decline for another server does nothing", policy(), decline(addrA, foreign),
			only(at(addrA, Mine)), want{silence: silence.NamesOtherServer}},
		{"D4-23 decline without 54: quarantine", policy(), decline(addrA, none), only(at(addrA, Mine)),
			want{addr: addrA, change: Decline, event: EventDeclined, silence: silence.Declined}},
		{"D4-23 decline of an offer without 54: quarantine", policy(), decline(addrA, none), only(at(addrA, Held)),
			want{addr: addrA, change: Decline, event: EventDeclined, silence: silence.Declined}},
		{"D4-23 decline with 54 of 0.0.0.0: quarantine", policy(), decline(addrA, zero), only(at(addrA, Mine)),
			want{addr: addrA, change: Decline, event: EventDeclined, silence: silence.Declined}},
		{"D4-23 decline without 54 by another client does nothing", policy(), decline(addrB, none),
			facts(at(addrA, Mine), at(addrB, Taken).onPort()), want{silence: silence.NotHolder}},
		{"D4-23 decline without 54 from elsewhere does nothing", policy(), decline(addrA, none),
			only(at(addrA, Mine).elsewhere()), want{silence: silence.NotHolder}},
		{"D4-23 decline without any address does nothing", policy(), decline(none, server),
			facts(at(addrA, Mine), nothing), want{silence: silence.NotHolder}},
		{"D4-24 release by the holder frees", policy(), release(addrA, server), only(at(addrA, Mine)),
			want{addr: addrA, change: Release, event: EventReleased, silence: silence.Released}},
		{"D4-24 release without 54 frees", policy(), release(addrA, none), only(at(addrA, Mine)),
			want{addr: addrA, change: Release, event: EventReleased, silence: silence.Released}},
		{"D4-24 release with 54 of 0.0.0.0 frees", policy(), release(addrA, zero), only(at(addrA, Mine)),
			want{addr: addrA, change: Release, event: EventReleased, silence: silence.Released}},
		{"D4-24 release with the address in option 50 frees", policy(), release(zero, server).asking(addrA),
			only(at(addrA, Mine)),
			want{addr: addrA, change: Release, event: EventReleased, silence: silence.Released}},
		{"D4-24 release without any address does nothing", policy(), release(zero, server),
			facts(at(addrA, Mine), nothing), want{silence: silence.NotHolder}},
		{"D4-24 release for another server does nothing", policy(), release(addrA, foreign),
			only(at(addrA, Mine)), want{silence: silence.NamesOtherServer}},
		{"D4-24 release by another does nothing", policy(), release(addrB, server),
			facts(at(addrA, Mine), at(addrB, Taken).onPort()), want{silence: silence.NotHolder}},
		{"D4-24 release from elsewhere does nothing", policy(), release(addrA, server),
			only(at(addrA, Mine).elsewhere()), want{silence: silence.NotHolder}},
		{"D4-24 release of an offer does nothing", policy(), release(addrA, server),
			only(at(addrA, Held)), want{silence: silence.NotHolder}},
		{"D4-24 release twice does nothing", policy(), release(addrA, server),
			only(at(addrA, Former)), want{silence: silence.NotHolder}},

		// INFORM.
		{"D4-25 INFORM: parameters, no lease looked up or made", policy(), Query{Type: dhcp4.Inform, CIAddr: far},
			facts(nothing, nothing).full(), want{kind: Inform}},
		{"D4-25 INFORM without ciaddr: parameters", policy(), Query{Type: dhcp4.Inform, CIAddr: zero},
			facts(nothing, nothing), want{kind: Inform}},
		{"D4-1 a type that no client sends: drop", policy(), Query{Type: 2},
			facts(nothing, nothing), want{kind: Dropped, drop: drop.NotForServer}},

		// What the operator may want besides.
		{"drain: a renewal is extended", policy(draining), renewing(addrA),
			only(at(addrA, Mine)), want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"drain: DISCOVER of a client with a binding is answered", policy(draining), discover(),
			facts(at(addrA, Mine), nothing), want{kind: Offer, addr: addrA}},
		{"drain: no new client", policy(draining), discover(),
			facts(nothing, nothing), want{kind: Dropped, drop: drop.Draining}},
		{"drain: no former client", policy(draining), discover(),
			facts(at(addrA, Former), nothing), want{kind: Dropped, drop: drop.Draining}},
		{"drain: no reservation that is not bound", policy(draining), discover().with(addrB),
			facts(nothing, nothing).reserved(at(addrB, Free)), want{kind: Dropped, drop: drop.Draining}},
		{"drain: what was offered before is acknowledged", policy(draining), selecting(addrA),
			only(at(addrA, Held)), want{kind: Ack, addr: addrA, change: Bind, event: EventAllocated}},
		{"drain: nothing is made again", policy(draining), renewing(addrA),
			only(at(addrA, Former)), want{kind: Nak, why: NoNewClients}},
		{"recovery: no new client", policy(recovering), discover(),
			facts(nothing, nothing), want{kind: Dropped, drop: drop.Draining}},
		{"recovery: no former client", policy(recovering), discover(),
			facts(at(addrA, Former), nothing), want{kind: Dropped, drop: drop.Draining}},
		{"recovery: a reservation is safe", policy(recovering), discover().with(addrB),
			facts(nothing, nothing).reserved(at(addrB, Free)), want{kind: Offer, addr: addrB, change: Hold}},
		{"recovery: a client that has renewed its binding since is served", policy(recovering), discover(),
			facts(at(addrA, Mine).changed(now-49), nothing), want{kind: Offer, addr: addrA}},
		{"recovery: a client that begins anew may have released its old binding, and another client may have it", policy(recovering), discover(),
			facts(at(addrA, Mine).changed(now-50), nothing), want{kind: Dropped, drop: drop.Draining}},
		{"recovery: a client with a binding that it may not keep gets no other address", policy(recovering), discover(),
			facts(at(addrA, Mine).changed(now-49).outOfPool(), nothing), want{kind: Dropped, drop: drop.Draining}},
		{"recovery: a reserved address is nobody else's", policy(recovering), discover().with(addrA),
			facts(at(addrA, Mine), nothing).reserved(at(addrA, Mine)), want{kind: Offer, addr: addrA}},
		{"recovery: what is bound by an old record is not acknowledged to a client that begins anew", policy(recovering), selecting(addrA),
			only(at(addrA, Mine)), want{kind: Nak, why: NoNewClients}},
		{"recovery: what was bound since is acknowledged again", policy(recovering), selecting(addrA),
			only(at(addrA, Mine).changed(now - 49)), want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"recovery: INIT-REBOOT with a binding is extended", policy(recovering), initReboot(addrA),
			only(at(addrA, Mine)), want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"recovery: INIT-REBOOT with a lease that may have been renewed since: the client keeps it", policy(recovering), initReboot(addrA),
			only(at(addrA, Former)), want{silence: silence.Recovering}},
		{"recovery: so does that of a dhcp4d that is not authoritative", policy(recovering, humble), initReboot(addrA),
			only(at(addrA, Former)), want{silence: silence.Recovering}},
		{"recovery: INIT-REBOOT without a record: the client keeps its lease", policy(recovering), initReboot(addrA),
			facts(nothing, at(addrA, Free)), want{silence: silence.Recovering}},
		{"recovery: a renewal is extended", policy(recovering), renewing(addrA),
			only(at(addrA, Mine)), want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"recovery: a binding that the backup lacks is made again by renewal", policy(recovering), renewing(addrA),
			facts(nothing, at(addrA, Free)), want{kind: Ack, addr: addrA, change: Bind, event: EventAllocated}},
		{"recovery: a lost offer is not acknowledged", policy(recovering), selecting(addrA),
			facts(nothing, at(addrA, Free)), want{kind: Nak, why: NoNewClients}},
		{"recovery ends by time", policy(recovered), discover(),
			facts(nothing, nothing), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-40 moves at once: DISCOVER from elsewhere gets the binding", policy(following), discover(),
			facts(at(addrA, Mine).elsewhere(), nothing), want{kind: Offer, addr: addrA}},
		{"D4-40 moves at once: renewal from elsewhere takes the lease along", policy(following), renewing(addrA),
			only(at(addrA, Mine).elsewhere()), want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-40 moves at once: what is here goes before a retired binding elsewhere", policy(following), discover(),
			facts(at(addrB, Held), nothing).away(at(addrA, Mine).outOfPool()), want{kind: Offer, addr: addrB, change: Hold}},
		{"D4-40 before T2, DISCOVER from elsewhere gets another address", policy(), discover(),
			facts(at(addrA, Mine).elsewhere(), nothing), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-40 before T2, DISCOVER from elsewhere for the address gets another", policy(), wishing(addrA),
			only(at(addrA, Mine).elsewhere()), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-40 before T2, renewal from elsewhere is silence", policy(), renewing(addrA),
			only(at(addrA, Mine).elsewhere()), want{silence: silence.Elsewhere}},
		{"D4-40 before T2, INIT-REBOOT from elsewhere is silence", policy(), initReboot(addrA),
			only(at(addrA, Mine).elsewhere()), want{silence: silence.Elsewhere}},
		{"D4-40 before T2, SELECTING from elsewhere is silence", policy(), selecting(addrA),
			only(at(addrA, Mine).elsewhere()), want{silence: silence.Elsewhere}},
		{"D4-40 what is offered elsewhere is silence, and what is offered here is free again", policy(), selecting(addrA),
			facts(at(addrB, Held), at(addrA, Held).elsewhere()), want{addr: addrB, change: Unhold, silence: silence.Elsewhere}},
		{"D4-40 who has a binding here is refused the one elsewhere", policy(), renewing(addrA),
			facts(at(addrB, Mine), at(addrA, Mine).elsewhere()), want{kind: Nak, why: NotAvailable}},
		{"D4-40 also after T2", policy(), renewing(addrA),
			facts(at(addrB, Mine), late(at(addrA, Mine).elsewhere())), want{kind: Nak, why: NotAvailable}},
		{"D4-40 what was offered here is acknowledged", policy(), selecting(addrB),
			facts(at(addrB, Held), at(addrB, Held)).away(at(addrA, Mine).elsewhere()),
			want{kind: Ack, addr: addrB, change: Bind, event: EventAllocated}},
		{"D4-40 a reservation that is bound elsewhere: the next best", policy(), discover().with(addrA),
			facts(at(addrA, Mine).elsewhere(), nothing).reserved(at(addrA, Mine).elsewhere()),
			want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-40 from T2 on, renewal from elsewhere takes the lease along", policy(), renewing(addrA),
			only(late(at(addrA, Mine).elsewhere())), want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-40 from T2 on, DISCOVER from elsewhere gets the binding", policy(), discover(),
			facts(late(at(addrA, Mine).elsewhere()), nothing), want{kind: Offer, addr: addrA, change: Hold}},
		{"D4-40 a second before T2 not", policy(), renewing(addrA),
			only(at(addrA, Mine).elsewhere().changed(now - 699).until(now + 101)), want{silence: silence.Elsewhere}},
		{"D4-40 an infinite lease never moves", policy(), renewing(addrA),
			only(at(addrA, Mine).elsewhere().changed(0).until(Never)), want{silence: silence.Elsewhere}},
		{"D4-40 from T2 on, moves refused: silence", policy(staying), renewing(addrA),
			only(late(at(addrA, Mine).elsewhere())), want{silence: silence.Elsewhere}},
		{"D4-40 moves refused: what is offered elsewhere is another client's", policy(staying), discover(),
			facts(at(addrA, Held).elsewhere(), nothing), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-40 release from elsewhere does nothing, also after T2", policy(), release(addrA, server),
			only(late(at(addrA, Mine).elsewhere())), want{silence: silence.NotHolder}},
		{"D4-40 decline from elsewhere does nothing, also after T2", policy(), decline(addrA, server),
			only(late(at(addrA, Mine).elsewhere())), want{silence: silence.NotHolder}},
		{"D4-40 nor with moves at once", policy(following), release(addrA, server),
			only(at(addrA, Mine).elsewhere()), want{silence: silence.NotHolder}},
		{"D4-40 an identifier that many hosts of a link use: no more of them", policy(), discover(),
			facts(nothing, nothing).crowd(4), want{kind: Dropped, drop: drop.PointLimit}},
		{"D4-40 nor without an offer", policy(), selecting(addrB),
			facts(nothing, at(addrB, Free)).crowd(4), want{kind: Nak, why: NoNewClients}},
		{"D4-40 who has an address is served", policy(), renewing(addrA),
			only(at(addrA, Mine)).crowd(4), want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},

		// Hosts that share a link.
		{"Q-37 release by the same hardware address frees", policy(), release(addrA, server),
			only(at(addrA, Mine).onLink().sameHW()), want{addr: addrA, change: Release, event: EventReleased, silence: silence.Released}},
		{"Q-37 decline by the same hardware address: quarantine", policy(), decline(addrA, server),
			only(at(addrA, Mine).onLink().sameHW()), want{addr: addrA, change: Decline, event: EventDeclined, silence: silence.Declined}},
		{"Q-37 release by another hardware address does nothing", policy(), release(addrA, server),
			only(at(addrA, Mine).onLink()), want{silence: silence.NotHolder}},
		{"Q-37 also from the same source", policy(), release(addrA, server),
			only(at(addrA, Mine).onLink().sameSource()), want{silence: silence.NotHolder}},
		{"Q-37 renewal by the same hardware address: ACK", policy(staying), renewing(addrA),
			only(at(addrA, Mine).onLink().sameHW()), want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"D4-8 renewal with another hardware address from the same source: ACK", policy(staying), renewing(addrA),
			only(at(addrA, Mine).onLink().sameSource()), want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"Q-37 renewal by another host of the link: silence", policy(), renewing(addrA),
			only(at(addrA, Mine).onLink()), want{silence: silence.Elsewhere}},
		{"Q-37 another host of the link gets an address of its own", policy(), discover(),
			facts(at(addrA, Mine).onLink(), nothing), want{kind: Offer, addr: addrC, change: Hold}},
		{"Q-37 renewal by a second dhcp6d, equal in all: ACK", policy(staying), renewing(addrA),
			only(at(addrA, Mine).seenTwice().sameHW().sameSource()), want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},
		{"Q-37 release by a second dhcp6d, equal in all, frees", policy(), release(addrA, server),
			only(at(addrA, Mine).seenTwice().sameHW().sameSource()), want{addr: addrA, change: Release, event: EventReleased, silence: silence.Released}},
		{"Q-37 release by a second dhcp6d from another source does nothing", policy(), release(addrA, server),
			only(at(addrA, Mine).seenTwice().sameHW()), want{silence: silence.NotHolder}},
		{"Q-37 a full point does not end the lease of whom it has already", policy(limit(2)), renewing(addrA),
			only(at(addrA, Mine).onLink().sameHW()).count(2), want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},

		// Reservations by hardware address.
		{"D4-15 (0) reservation by hardware address, bound to another identifier of it: that", policy(), discover().withAtHardware(addrB),
			facts(nothing, nothing).reserved(at(addrB, Taken).onPort().sameHW()), want{kind: Offer, addr: addrB}},
		{"D4-15 (0) reservation by hardware address, offered to another identifier of it: that", policy(), discover().withAtHardware(addrB),
			facts(nothing, nothing).reserved(at(addrB, OfferedAway).onLink().sameHW()), want{kind: Offer, addr: addrB, change: Hold}},
		{"D4-15 (0) reservation by hardware address, held by another one: the next best", policy(), discover().withAtHardware(addrB),
			facts(nothing, nothing).reserved(at(addrB, Taken).onPort()), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-15 (0) reservation by hardware address, that is elsewhere: the next best", policy(), discover().withAtHardware(addrB),
			facts(nothing, nothing).reserved(at(addrB, Taken).sameHW()), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-20 reservation by hardware address, bound to another identifier of it: ACK", policy(), selecting(addrB).withAtHardware(addrB),
			facts(nothing, at(addrB, Taken).onPort().sameHW()).reserved(at(addrB, Taken).onPort().sameHW()), want{kind: Ack, addr: addrB, change: Bind, event: EventAllocated}},
		{"D4-21 reservation by hardware address, renewed by another identifier of it: ACK", policy(), renewing(addrB).withAtHardware(addrB),
			facts(nothing, at(addrB, Taken).onPort().sameHW()).reserved(at(addrB, Taken).onPort().sameHW()), want{kind: Ack, addr: addrB, change: Bind, event: EventAllocated}},
		{"D4-22 reservation by hardware address, INIT-REBOOT of another identifier of it: ACK", policy(), initReboot(addrB).withAtHardware(addrB),
			facts(nothing, at(addrB, Taken).onPort().sameHW()).reserved(at(addrB, Taken).onPort().sameHW()), want{kind: Ack, addr: addrB, change: Bind, event: EventAllocated}},
		{"D4-22 another address than that: NAK", policy(), initReboot(addrA).withAtHardware(addrB),
			facts(at(addrA, Mine), at(addrA, Mine)).reserved(at(addrB, Taken).onPort().sameHW()), want{kind: Nak, why: OtherAddress}},

		{"moves refused: DISCOVER from elsewhere is silence", policy(staying), discover(),
			facts(at(addrA, Mine).elsewhere(), nothing), want{silence: silence.Elsewhere}},
		{"moves refused: renewal from elsewhere is silence", policy(staying), renewing(addrA),
			only(at(addrA, Mine).elsewhere()), want{silence: silence.Elsewhere}},
		{"moves refused: at its point the client is served", policy(staying), renewing(addrA),
			only(at(addrA, Mine)), want{kind: Ack, addr: addrA, change: Extend, event: EventRenewed}},

		// RFC 8925.
		{"D4-30 OFFER with 108 has no address and keeps none", policy(v6mostly), discover().v6only(),
			facts(at(addrA, Mine), nothing), want{kind: Offer, addr: zero}},
		{"D4-30 OFFER with 108 needs no free address", policy(v6mostly), discover().v6only(),
			facts(nothing, nothing).full(), want{kind: Offer, addr: zero}},
		{"D4-30 not listed: an ordinary OFFER", policy(v6mostly), discover(),
			facts(nothing, nothing), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-30 not enabled: an ordinary OFFER", policy(), discover().v6only(),
			facts(nothing, nothing), want{kind: Offer, addr: addrC, change: Hold}},
		{"D4-30 REQUEST is processed normally", policy(v6mostly), selecting(addrA).v6only(),
			facts(nothing, at(addrA, Free)), want{kind: Ack, addr: addrA, change: Bind, event: EventAllocated}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Decide(&c.q, &c.p, &c.facts, now)
			got := want{d.Kind, d.Addr, d.Change, d.Event, d.Why, d.Drop, d.Silence}
			if c.want.why == NoWhy {
				got.why = NoWhy
			}
			if (d.Kind == Silent) != (d.Silence != silence.None) {
				t.Errorf("kind %d is silent by the rule %s", d.Kind, d.Silence)
			}
			if c.want.silence == silence.None {
				got.silence = silence.None
			}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if (d.Kind == Offer || d.Kind == Ack) != (d.Time != 0) {
				t.Errorf("kind %d has a lease time of %d s", d.Kind, d.Time)
			}
			if v6 := c.p.V6Mostly && c.q.V6Only && (d.Kind == Offer || d.Kind == Ack); d.V6Only != v6 {
				t.Errorf("D4-30: carries option 108: %v, want %v", d.V6Only, v6)
			}
		})
	}
}

func TestLeaseTimes(t *testing.T) {
	infinite := func(p *Policy) { p.Max = Infinite }
	for _, c := range []struct {
		name string
		p    Policy
		q    Query
		time uint32
	}{
		{"D4-28 default", policy(), discover(), 3600},
		{"D4-28 wish", policy(), discover().wish(1000), 1000},
		{"D4-28 wish clipped to the minimum", policy(), discover().wish(0), 600},
		{"D4-28 wish clipped to the maximum", policy(), discover().wish(100000), 7200},
		{"D4-28 infinite wish where it is not configured", policy(), discover().wish(Infinite), 7200},
		{"D4-28 infinite wish where it is configured", policy(infinite), discover().wish(Infinite), Infinite},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := facts(nothing, nothing)
			o := Decide(&c.q, &c.p, &f, now)
			r := selecting(o.Addr)
			r.Wish, r.HasWish = c.q.Wish, c.q.HasWish
			f = only(at(o.Addr, Held))
			a := Decide(&r, &c.p, &f, now)
			for _, d := range []Decision{o, a} {
				if d.Time != c.time {
					t.Errorf("kind %d: lease time %d, want %d", d.Kind, d.Time, c.time)
				}
			}
			if a.Expires != now.After(c.time) {
				t.Errorf("expires at %d, want %d", a.Expires, now.After(c.time))
			}
		})
	}
}

func TestRenewalTimes(t *testing.T) {
	p := policy()
	for _, c := range []struct {
		name    string
		q       Query
		own     Address
		time    uint32
		change  Change
		expires Time
	}{
		{"D4-28 a binding that is not extended: the time that remains", renewing(addrA), at(addrA, Mine).outOfPool().until(now + 77), 77, None, now + 77},
		{"D4-28 an infinite binding that is not extended stays infinite", renewing(addrA), at(addrA, Mine).outOfPool().until(Never), Infinite, None, Never},
		{"D4-27 a repetition gets fresh times", renewing(addrA), at(addrA, Mine).until(now + 3599), 3600, Extend, now + 3600},
		{"D4-27 a repetition within the second needs no write", renewing(addrA), at(addrA, Mine).until(now + 3600), 3600, None, now + 3600},
		{"DB-3 a repetition within the second is written to a store that others use", renewing(addrA).shared(), at(addrA, Mine).until(now + 3600), 3600, Extend, now + 3600},
		{"D4-28 a shorter wish shortens", renewing(addrA).wish(700), at(addrA, Mine).until(now + 3600), 700, Extend, now + 700},
		{"a repetition from another point needs a write", renewing(addrA), at(addrA, Mine).changed(now - 3600*7).until(now + 3600).elsewhere(), 3600, Extend, now + 3600},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.own.After = 7
			f := only(c.own)
			d := Decide(&c.q, &p, &f, now)
			if d.Kind != Ack || d.Time != c.time || d.Change != c.change || d.Expires != c.expires {
				t.Errorf("got %+v", d)
			}
			if d.After != 7 {
				t.Error("the answer does not wait for the group that is in flight")
			}
			if d.Moved != (!c.own.Here() && c.change == Extend) {
				t.Errorf("moved is %v", d.Moved)
			}
		})
	}
}

func TestTimersOfHoldAndQuarantine(t *testing.T) {
	p := policy()
	q, f := discover(), facts(nothing, nothing)
	if d := Decide(&q, &p, &f, now); d.Expires != now+60 {
		t.Errorf("D4-15: offer held until %d", d.Expires)
	}
	q, f = decline(addrA, server), only(at(addrA, Mine))
	if d := Decide(&q, &p, &f, now); d.Expires != now+86400 {
		t.Errorf("D4-23: quarantine until %d", d.Expires)
	}
}

func TestRedirect(t *testing.T) {
	for _, c := range []struct {
		name   string
		p      Policy
		q      Query
		f      Facts
		to     Address
		ok     bool
		change Change
	}{
		{"an offer to a free address", policy(), discover(), facts(nothing, nothing), at(addrB, Free), true, Hold},
		{"an offer of the current binding to a free address", policy(), discover(),
			facts(at(addrA, Mine), nothing), at(addrB, Free), true, Hold},
		{"an offer to an address outside the pools", policy(), discover(),
			facts(nothing, nothing), at(addrB, Free).outOfPool(), false, Hold},
		{"a renewal to a free address", policy(), renewing(addrA), only(at(addrA, Mine)), at(addrB, Free), true, Bind},
		{"an offer to an address of somebody else", policy(), discover(),
			facts(nothing, nothing), at(addrB, Taken), false, Hold},
		{"an offer to an address reserved for another", policy(), discover(),
			facts(nothing, nothing), at(addrB, Free).forOther(), false, Hold},
		{"an offer to another subnet", policy(), discover(),
			facts(nothing, nothing), at(far, Outside).outOfSubnet(), false, Hold},
		{"a NAK", policy(), renewing(far),
			facts(nothing, at(far, Outside).outOfSubnet()), at(addrB, Free), false, None},
		{"during recovery, an offer to a free address", policy(recovering), discover(),
			facts(at(addrA, Mine).changed(now), nothing), at(addrB, Free), false, None},
		{"during recovery, a renewal to a former address", policy(recovering), renewing(addrA),
			only(at(addrA, Mine)), at(addrB, Former), false, Extend},
		{"during recovery, an offer to the reservation", policy(recovering), discover().with(addrB),
			facts(at(addrA, Mine).changed(now), nothing), at(addrB, Free), true, Hold},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &c.p
			d := Decide(&c.q, p, &c.f, now)
			before := d
			if ok := d.Redirect(&c.q, p, &c.to, now); ok != c.ok {
				t.Fatalf("got %v", ok)
			}
			if !c.ok && d != before {
				t.Errorf("refused, but changed to %+v", d)
			}
			if c.ok && (d.Addr != c.to.Addr || d.Change != c.change) {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestAnOrderedAddressOrNone(t *testing.T) {
	ordered := func(q Query) Query {
		q.Reservation, q.Ordered = addrB, true
		return q
	}
	with := func(f Facts, b Address) Facts {
		f.Reserved = b
		return f
	}
	for _, c := range []struct {
		name string
		p    Policy
		q    Query
		f    Facts
		kind Kind
	}{
		{"a new client", policy(), discover(), with(facts(nothing, nothing), at(addrB, Free).outOfPool()), Offer},
		{"one with another lease", policy(), discover(), with(only(at(addrA, Mine)), at(addrB, Free)), Offer},
		{"the address is another client's", policy(), discover(), with(facts(nothing, nothing), at(addrB, Taken)), Dropped},
		{"the address is another client's, and the client has a lease", policy(), discover(), with(only(at(addrA, Mine)), at(addrB, Taken)), Dropped},
		{"a renewal of the address", policy(), renewing(addrB), with(only(at(addrB, Mine).outOfPool()), at(addrB, Mine).outOfPool()), Ack},
		{"a renewal of another address", policy(), renewing(addrA), with(only(at(addrA, Mine)), at(addrB, Free)), Nak},
		{"a renewal of another address, while the ordered one is taken", policy(), renewing(addrA), with(only(at(addrA, Mine)), at(addrB, OfferedAway)), Dropped},
		{"during recovery, a new client", policy(recovering), discover(), with(facts(nothing, nothing), at(addrB, Free)), Dropped},
		{"during recovery, one that renews the address", policy(recovering), renewing(addrB), with(facts(nothing, at(addrB, Free)), at(addrB, Free)), Ack},
		{"during recovery, one that says at its start that it has the address", policy(recovering), initReboot(addrB), with(facts(nothing, at(addrB, Free)), at(addrB, Free)), Silent},
		{"after recovery, likewise", policy(recovered), initReboot(addrB), with(facts(nothing, at(addrB, Free)), at(addrB, Free)), Ack},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := ordered(c.q)
			d := Decide(&q, &c.p, &c.f, now)
			if d.Kind != c.kind || ((d.Kind == Offer || d.Kind == Ack) && d.Addr != addrB) || (d.Kind == Dropped && d.Change != None) {
				t.Errorf("%+v, want kind %v", d, c.kind)
			}
		})
	}
}

func TestDecideDoesNotAllocate(t *testing.T) {
	p, q, f := policy(), renewing(addrA), only(at(addrA, Mine))
	var d Decision
	if n := testing.AllocsPerRun(1000, func() { d = Decide(&q, &p, &f, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	_ = d
}

func BenchmarkDecide(b *testing.B) {
	p := policy()
	for _, c := range []struct {
		name string
		q    Query
		f    Facts
	}{
		{"discover", discover(), facts(nothing, nothing)},
		{"selecting", selecting(addrA), only(at(addrA, Held))},
		{"renewing", renewing(addrA), only(at(addrA, Mine))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				Decide(&c.q, &p, &c.f, now)
			}
		})
	}
}

func TestNamed(t *testing.T) {
	for _, c := range []struct {
		name string
		q    Query
		want netip.Addr
	}{
		{"D4-23 a DECLINE without 50 is about ciaddr", Query{Type: dhcp4.Decline, CIAddr: addrA}, addrA},
		{"D4-23 a DECLINE with 50 of 0.0.0.0 is about ciaddr", Query{Type: dhcp4.Decline, CIAddr: addrA, Requested: zero}, addrA},
		{"D4-23 a DECLINE with both is about 50", Query{Type: dhcp4.Decline, CIAddr: addrA, Requested: addrB}, addrB},
		{"D4-24 a RELEASE is about ciaddr", Query{Type: dhcp4.Release, CIAddr: addrA, Requested: addrB}, addrA},
		{"D4-24 a RELEASE without ciaddr is about 50", Query{Type: dhcp4.Release, CIAddr: zero, Requested: addrB}, addrB},
		{"D4-17 a REQUEST with ciaddr is about that", Query{Type: dhcp4.Request, CIAddr: addrA, Requested: addrB}, addrA},
		{"D4-17 a REQUEST without is about 50", Query{Type: dhcp4.Request, CIAddr: zero, Requested: addrB}, addrB},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.q.Named(); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestNakSaysWhatIsSo: the reason of a NAK goes to the client, so it must be
// true whatever the policy is.
func TestNakSaysWhatIsSo(t *testing.T) {
	t.Run("D4-22 option 56 of an authoritative server", func(t *testing.T) {
		p, q, f := policy(), initReboot(addrB), facts(nothing, at(addrB, Free))
		if d := Decide(&q, &p, &f, now); d.Kind != Nak || strings.Contains(d.Why.String(), "not authoritative") {
			t.Errorf("kind %d, %q", d.Kind, d.Why)
		}
	})
}
