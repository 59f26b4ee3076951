package lease

import (
	"math"
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// rules is one query with all that is known of it.
type rules struct {
	q   *Query
	p   *Policy
	f   *Facts
	now Time
}

// Decide answers q (RFC 2131 section 4.3).
func Decide(q *Query, p *Policy, f *Facts, now Time) Decision {
	r := rules{q, p, f, now}
	switch q.Type {
	case TypeDiscover:
		return r.discover()
	case TypeRequest:
		return r.request()
	case TypeDecline:
		return r.decline()
	case TypeRelease:
		return r.release()
	case TypeInform:
		return r.inform()
	}
	return dropped(drop.NotForServer)
}

// discover follows RFC 2131 section 4.3.1.
func (r *rules) discover() Decision {
	switch {
	case r.q.ServerID.IsValid():
		return dropped(drop.Contradiction)
	case r.elsewhere():
		return silent(Elsewhere)
	case r.p.V6Mostly && r.q.V6Only:
		// RFC 8925 section 3.3: no address is kept for a client that can do
		// without; when it wants one all the same it asks again without 108.
		d := Decision{Kind: Offer, Addr: netip.IPv4Unspecified(), V6Only: true}
		d.Time = r.wanted()
		return d
	}
	a, why := r.choose()
	if why != drop.None {
		return dropped(why)
	}
	return r.offer(a)
}

// choose finds the address for a DISCOVER: the reservation, the current
// binding, the former one, the requested address, any.
func (r *rules) choose() (Address, drop.Reason) {
	own, named := &r.f.Own, &r.f.Named
	if r.reservable() && !r.closedTo(&r.f.Reserved) {
		return r.f.Reserved, drop.None
	}
	if own.Standing == Mine && r.ours(own) {
		if r.full() {
			return Address{}, drop.PointLimit
		}
		return *own, drop.None
	}
	held := own.Standing == Held && r.ours(own)
	switch {
	case r.closedTo(own) && !held:
		return Address{}, drop.Draining
	case r.full():
		return Address{}, drop.PointLimit
	case held, own.Standing == Former && r.ours(own):
		return *own, drop.None
	case (named.Standing == Free || named.Standing == Former) && r.ours(named):
		return *named, drop.None
	case r.f.Next.IsValid():
		return Address{Addr: r.f.Next, Standing: Free}, drop.None
	}
	return Address{}, drop.NoAddress
}

func (r *rules) offer(a Address) Decision {
	d := Decision{Kind: Offer, Addr: a.Addr}
	d.Time = r.wanted()
	hold := r.now.After(r.p.Hold)
	switch {
	case a.Standing == Mine && a.Expires >= hold:
		// The binding itself holds the address.
	case a.Standing == Taken:
		// Reserved for the attachment point, where the holder is about to
		// lose it: nobody else can have it meanwhile.
	default:
		d.Change, d.Expires = Hold, hold
	}
	return d
}

// request tells the states of a client apart (RFC 2131 section 4.3.2 and
// table 4) by what the message holds, never by how it came.
func (r *rules) request() Decision {
	server, requested, ciaddr := r.q.ServerID.IsValid(), r.q.Requested.IsValid(), isSet(r.q.CIAddr)
	switch {
	case server && requested && !ciaddr:
		return r.selecting()
	case !server && requested && !ciaddr:
		return r.initReboot()
	case ciaddr && !server && !requested,
		ciaddr && server && r.q.ServerID == r.p.ServerID,
		ciaddr && !server && r.q.Requested == r.q.CIAddr:
		return r.renewing()
	}
	return dropped(drop.Contradiction)
}

func (r *rules) selecting() Decision {
	if r.q.ServerID != r.p.ServerID {
		return r.choseOther()
	}
	own, named := &r.f.Own, &r.f.Named
	switch {
	case r.elsewhere():
		return silent(Elsewhere)
	case !named.InSubnet:
		return nak(WrongSubnet)
	case r.reservable():
		if !r.reserved(named) {
			return nak(OtherAddress)
		}
	case !r.obtainable(named):
		return nak(NotAvailable)
	case own.Addr != named.Addr && (own.Standing == Held || own.Standing == Mine && r.ours(own)):
		return nak(NotOffered)
	}
	if !r.ours(named) {
		return nak(NotAvailable)
	}
	return r.ack(named, false)
}

// choseOther is SELECTING with another server's identifier.
func (r *rules) choseOther() Decision {
	d := silent(OtherServer)
	if slices.Contains(r.p.Peers, r.q.ServerID) {
		// dhcp6d sends it here only while that peer is out: the client had
		// better start again at once.
		d = nak(PeerServer)
	}
	if r.f.Own.Standing == Held && r.f.Own.SamePoint {
		d.Change, d.Addr = Unhold, r.f.Own.Addr
	}
	return d
}

func (r *rules) initReboot() Decision {
	own, named := &r.f.Own, &r.f.Named
	if d, done := r.confirm(named); done {
		return d
	}
	switch {
	case r.reserved(named), named.Standing == Mine:
		return r.ack(named, false)
	case own.Standing != Unnamed && own.Addr != named.Addr:
		return nak(OtherAddress)
	case named.Standing == Held, named.Standing == Former:
		return r.ack(named, false)
	case r.p.Authoritative && r.now >= r.p.RecoverTill:
		return nak(NotKnown)
	}
	// Without an answer a client goes on with a lease that has not ended
	// (RFC 2131 section 3.2); while we recover, it may well have one.
	return silent(NotKnown)
}

// renewing is RENEWING and REBINDING.
func (r *rules) renewing() Decision {
	own, named := &r.f.Own, &r.f.Named
	if d, done := r.confirm(named); done {
		return d
	}
	switch {
	case r.reserved(named), named.Standing == Mine:
		return r.ack(named, true)
	case !r.obtainable(named):
		return nak(NotAvailable)
	case own.Standing == Mine && r.ours(own):
		return nak(OtherAddress)
	case named.Standing == Free && !r.p.Authoritative:
		return silent(NotKnown)
	}
	return r.ack(named, true)
}

// confirm makes the checks that are the same for every client that believes
// it has an address already.
func (r *rules) confirm(named *Address) (d Decision, done bool) {
	mine := named.Standing == Mine
	switch {
	case !named.InSubnet:
		return nak(WrongSubnet), true
	case r.elsewhere():
		return silent(Elsewhere), true
	case !named.InPool && !mine && !named.ForOther && !r.reserved(named):
		// Another dhcp4d may serve that part of the subnet.
		return silent(NotOurPool), true
	case r.reservable() && !r.reserved(named):
		return nak(OtherAddress), true
	case named.ForOther && (mine || r.f.Own.Standing != Unnamed || r.p.Authoritative || isSet(r.q.CIAddr)):
		return nak(NotAvailable), true
	case named.ForOther:
		return silent(NotKnown), true
	case r.reserved(named) && !mine && !r.obtainable(named):
		return nak(NotAvailable), true
	}
	return d, false
}

// ack acknowledges an address that is the client's or can become so.
func (r *rules) ack(a *Address, renewal bool) Decision {
	d := Decision{Kind: Ack, Addr: a.Addr, After: a.After, V6Only: r.p.V6Mostly && r.q.V6Only}
	if a.Standing != Mine {
		if r.full() && !r.reserved(a) || a.Standing != Held && r.closedTo(a) && !(renewal && !r.p.Drain) {
			return nak(NoNewClients)
		}
		d.Time = r.wanted()
		d.Change, d.Event, d.Expires = Bind, Allocated, r.now.After(d.Time)
		if a.Known {
			d.Event = Reused
		}
		return d
	}
	moved := !a.SamePoint
	if !r.ours(a) || moved && r.full() && !r.reserved(a) {
		// Confirmed for the time that remains, no longer.
		d.Time = remaining(a.Expires, r.now)
		d.Expires = a.Expires
		return d
	}
	d.Time = r.wanted()
	d.Expires = r.now.After(d.Time)
	if moved || d.Expires != a.Expires {
		d.Change, d.Event, d.Moved = Extend, Renewed, moved
	}
	return d
}

// decline follows RFC 2131 section 4.3.3. One client must not be able to put
// another's address into quarantine.
func (r *rules) decline() Decision {
	a := &r.f.Named
	switch {
	case r.q.ServerID != r.p.ServerID:
		return silent(NotOurServerID)
	case a.Standing != Mine && a.Standing != Held || !a.SamePoint:
		return silent(NotHolder)
	}
	return Decision{Why: Done, Change: Decline, Event: DeclinedEvent, Addr: a.Addr, Expires: r.now.After(r.p.Quarantine)}
}

// release follows RFC 2131 section 4.3.4.
func (r *rules) release() Decision {
	a := &r.f.Named
	switch {
	case r.q.ServerID.IsValid() && r.q.ServerID != r.p.ServerID:
		return silent(NotOurServerID)
	case a.Standing != Mine || !a.SamePoint:
		return silent(NotHolder)
	}
	return Decision{Why: Done, Change: Release, Event: ReleasedEvent, Addr: a.Addr, Expires: r.now}
}

// inform follows RFC 2131 section 4.3.5.
func (r *rules) inform() Decision {
	if !isSet(r.q.CIAddr) {
		return dropped(drop.Contradiction)
	}
	return Decision{Kind: Inform}
}

// reserved tells whether a is the address reserved for the client.
func (r *rules) reserved(a *Address) bool {
	return r.q.Reservation.IsValid() && a.Addr == r.q.Reservation
}

// reservable tells whether the client can have its reservation now. One that
// belongs to the attachment point moves at once, whoever had it there.
func (r *rules) reservable() bool {
	return r.q.Reservation.IsValid() && r.obtainable(&r.f.Reserved)
}

// obtainable tells whether nobody stands in the way of the client's having a.
func (r *rules) obtainable(a *Address) bool {
	switch a.Standing {
	case Free, Former, Held, Mine:
		return true
	case OfferedAway, Taken:
		return r.q.ByPoint && r.reserved(a) && a.SamePoint && !isSet(r.q.CIAddr)
	}
	return false
}

// Redirect puts another address into an Offer or an Ack that gives an address,
// as a hook may want to before it is stored: one that a stands for, seen by
// the same query. It reports false, and changes nothing, when the client
// cannot have that address.
func (d *Decision) Redirect(q *Query, p *Policy, a *Address, now Time) bool {
	r := rules{q: q, p: p, now: now}
	offer := d.Kind == Offer && isSet(d.Addr)
	ack := d.Kind == Ack && d.Change != None
	if !offer && !ack || !a.InSubnet || a.ForOther || !r.obtainable(a) {
		return false
	}
	d.Addr = a.Addr
	switch {
	case offer:
		d.Change, d.Expires = Hold, now.After(p.Hold)
	case a.Standing != Mine:
		d.Change = Bind
	}
	return true
}

// ours tells whether the configuration lets the client have a.
func (r *rules) ours(a *Address) bool {
	return a.InSubnet && !a.ForOther && (a.InPool || r.reserved(a))
}

// full tells whether one more client is too many at the attachment point.
// Who has an address there already is not one more.
func (r *rules) full() bool {
	own := &r.f.Own
	counted := own.SamePoint && (own.Standing == Mine || own.Standing == Held)
	return r.p.Limit > 0 && !counted && r.f.AtPoint >= r.p.Limit
}

// closedTo tells whether a, which is not the client's yet, may not become
// so now.
func (r *rules) closedTo(a *Address) bool {
	return a.Standing != Mine && (r.p.Drain || r.now < r.p.RecoverTill && !r.reserved(a))
}

// elsewhere tells whether the client has a binding at another attachment
// point, where the operator wants it to stay.
func (r *rules) elsewhere() bool {
	return r.p.RefuseMoves && r.f.Own.Standing == Mine && !r.f.Own.SamePoint
}

// wanted is the lease time: the client's wish within the limits, else the
// default.
func (r *rules) wanted() uint32 {
	t := r.p.Default
	if r.q.HasWish {
		t = min(max(r.q.Wish, r.p.Min), r.p.Max)
	}
	return max(t, 1)
}

func remaining(end, now Time) uint32 {
	if end == Never {
		return Infinite
	}
	return uint32(min(max(end-now, 1), math.MaxUint32-1))
}

func silent(why Why) Decision          { return Decision{Why: why} }
func nak(why Why) Decision             { return Decision{Kind: Nak, Why: why} }
func dropped(why drop.Reason) Decision { return Decision{Kind: Dropped, Drop: why} }
