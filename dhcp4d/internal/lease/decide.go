package lease

import (
	"cmp"
	"math"
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/silence"
)

// rules is one query with everything that is known about it.
type rules struct {
	q   *Query
	p   *Policy
	f   *Facts
	now Time

	// The facts about three addresses, after the policy for moves has decided whether what the
	// identifier has elsewhere belongs to this client or to another one.
	own, named, reservation Address
	// away says that the named address belongs to the same identifier at another attachment point,
	// which counts as another client.
	away bool
}

// Decide answers q (RFC 2131 section 4.3).
func Decide(q *Query, p *Policy, f *Facts, now Time) Decision {
	r := rules{q: q, p: p, f: f, now: now, own: f.Own, named: f.Named, reservation: f.Reserved}
	r.move()
	d := r.answer()
	if given := d.Kind == Ack || (d.Kind == Offer && isSet(d.Addr)); q.Ordered && given && d.Addr != q.Reservation {
		return dropped(drop.Hook)
	}
	d.Apart = p.Moves != MoveAtOnce
	return d
}

// move applies the policy for moves.
func (r *rules) move() {
	own, away := &r.own, &r.f.Away
	if r.p.Moves == MoveAtOnce {
		for _, a := range [...]*Address{away, &r.f.AwayOffer} {
			if a.Rank(r.q) > own.Rank(r.q) {
				r.own = *a
			}
		}
		return
	}
	follows := r.p.Moves == MoveWhenSilent && own.Standing != Mine && own.Standing != Held
	switch {
	case follows && r.silent(away), r.p.Moves == MoveNever && own.Standing != Mine && away.Standing == Mine:
		r.own = *away
	}
	r.away = r.keepApart(&r.named, follows)
	r.keepApart(&r.reservation, follows)
}

// keepApart makes an address that the identifier has elsewhere another client's, unless its holder
// is silent there and the lease may follow. It reports whether it did so.
func (r *rules) keepApart(a *Address, follows bool) bool {
	switch {
	case a.Here(), follows && r.silent(a):
		return false
	case a.Standing == Mine:
		a.Standing = Taken
	case a.Standing == Held:
		a.Standing = OfferedAway
	default:
		return false
	}
	a.Known = false
	return true
}

// silent reports whether a is a binding that its client has not renewed before T2. Such a client
// has probably moved.
func (r *rules) silent(a *Address) bool {
	if a.Standing != Mine || a.Expires == Never {
		return false
	}
	return r.now >= a.Changed+Time(r.p.T2(uint32(min(a.Expires-a.Changed, math.MaxUint32))))
}

func (r *rules) answer() Decision {
	switch r.q.Type {
	case dhcp4.Discover:
		return r.discover()
	case dhcp4.Request:
		return r.request()
	case dhcp4.Decline:
		return r.decline()
	case dhcp4.Release:
		return r.release()
	case dhcp4.Inform:
		// RFC 2131 section 4.3.5. In DHCPv4 the ACK goes to ciaddr. Here it goes back by IPv6, so
		// an INFORM without ciaddr has its answer too.
		return Decision{Kind: Inform}
	}
	return dropped(drop.NotForServer)
}

// discover follows RFC 2131 section 4.3.1. A DISCOVER is for every server. A server identifier in
// it, which must not be there (table 5), changes nothing: without an answer the client would send
// the same again for ever.
func (r *rules) discover() Decision {
	switch {
	case r.elsewhere():
		return silent(silence.Elsewhere)
	case r.p.V6Mostly && r.q.V6Only:
		// RFC 8925 section 3.3: no address is kept for a client that can do without one. If it
		// still wants one, it asks again without option 108.
		d := Decision{Kind: Offer, ID: ID{Addr: netip.IPv4Unspecified()}, V6Only: true}
		d.Time = r.wanted(Times{})
		return d
	}
	a, why := r.choose()
	if why != drop.None {
		return dropped(why)
	}
	return r.offer(a)
}

// choose finds the address for a DISCOVER: the reservation, the current binding, the former one,
// the requested address, any.
func (r *rules) choose() (Address, drop.Reason) {
	own, named := &r.own, &r.named
	if r.reservable() && !r.closedTo(&r.reservation) {
		return r.reservation, drop.None
	}
	if own.Standing == Mine && r.ours(own) && !r.closedTo(own) {
		if r.full() {
			return Address{}, drop.PointLimit
		}
		return *own, drop.None
	}
	held := own.Standing == Held && r.ours(own)
	switch {
	case r.closedTo(own) && !held:
		return Address{}, drop.Draining
	case r.full(), r.crowded():
		return Address{}, drop.PointLimit
	case held, own.Standing == Former && r.ours(own):
		return *own, drop.None
	case (named.Standing == Free || named.Standing == Former) && r.ours(named):
		return *named, drop.None
	case r.f.Next.Addr.IsValid():
		return Address{ID: r.f.Next, Standing: Free, Times: r.f.NextTimes}, drop.None
	}
	return Address{}, drop.NoAddress
}

func (r *rules) offer(a Address) Decision {
	d := Decision{Kind: Offer, ID: a.ID}
	d.Time = r.wanted(a.Times)
	hold := r.now.After(r.p.Hold)
	switch {
	case a.Standing == Mine && a.Expires >= hold:
		// The binding itself holds the address.
	case a.Standing == Taken:
		// The address is reserved for the attachment point, and its holder there is about to lose
		// it. Nobody else can have it meanwhile.
	default:
		d.Change, d.Expires = Hold, hold
	}
	return d
}

// request distinguishes the states of a client (RFC 2131 section 4.3.2 and table 4) by the content
// of the message, never by the path that it took.
func (r *rules) request() Decision {
	server := isSet(r.q.ServerID)
	other := server && r.q.ServerID != r.p.ServerID && !isSet(r.q.CIAddr)
	switch {
	case r.away && r.own.Standing != Mine && !other:
		// No answer: the same message may also have come by another path, on which the client has
		// the address. A NAK would end that lease.
		return r.unhold(silent(silence.Elsewhere))
	case isSet(r.q.CIAddr):
		// A client that has an address asks for no other one. Options 50 and 54 must not be there,
		// and are ignored: option 54 may be an old identifier of a server that was reconfigured.
		return r.renewing()
	case other:
		return r.choseOther()
	case isSet(r.q.Requested) && server:
		return r.selecting(&r.named)
	case isSet(r.q.Requested):
		return r.initReboot()
	case server:
		return r.unnamed()
	}
	return r.nameless()
}

// unnamed is SELECTING without option 50: the client accepts our offer without repeating the
// address. There is at most one offer that it can mean.
func (r *rules) unnamed() Decision {
	own := &r.own
	if own.Standing == Held || own.Standing == Mine {
		return r.selecting(own)
	}
	return nak(NotOffered)
}

// nameless is a REQUEST that names neither an address nor a server. It belongs to no state of RFC
// 2131 section 4.3.2, so its client would not recover by itself. A NAK makes it start again, unless
// it may be another server's client.
func (r *rules) nameless() Decision {
	if r.p.Authoritative || r.own.Standing == Held || r.own.Standing == Mine {
		return nak(NothingRequested)
	}
	return silent(silence.NoRecord)
}

func (r *rules) selecting(named *Address) Decision {
	own := &r.own
	switch {
	case r.elsewhere():
		return silent(silence.Elsewhere)
	case !named.InSubnet:
		return nak(WrongSubnet)
	case r.reservable():
		if !r.reserved(named) {
			return nak(OtherAddress)
		}
	case !r.obtainable(named):
		return nak(NotAvailable)
	case own.ID != named.ID && (own.Standing == Held || (own.Standing == Mine && r.ours(own))):
		return nak(NotOffered)
	case named.Standing == Mine && r.closedTo(named):
		return nak(NoNewClients)
	}
	if !r.ours(named) {
		return nak(NotAvailable)
	}
	return r.ack(named, false)
}

// choseOther is SELECTING with another server's identifier.
func (r *rules) choseOther() Decision {
	d := silent(silence.ChoseOtherServer)
	if slices.Contains(r.p.Peers, r.q.ServerID) {
		// dhcp6d sends it here only while that peer is down, so the client should start again at
		// once.
		d = nak(PeerServer)
	}
	return r.unhold(d)
}

// unhold adds to a decision that the address offered to the client becomes free.
func (r *rules) unhold(d Decision) Decision {
	if r.own.Standing == Held && r.own.Here() {
		d.Change, d.Addr = Unhold, r.own.Addr
	}
	return d
}

func (r *rules) initReboot() Decision {
	own, named := &r.own, &r.named
	if d, done := r.confirm(named); done {
		return d
	}
	switch {
	case r.q.Ordered && r.recovering() && r.closedTo(named):
		return silent(silence.Recovering)
	case r.reserved(named), named.Standing == Mine:
		return r.ack(named, false)
	case own.Standing != Unnamed && own.ID != named.ID:
		return nak(OtherAddress)
	case named.Standing == Held, named.Standing == Former && !r.recovering():
		return r.ack(named, false)
	case (r.p.Authoritative || named.Standing == Former) && r.recovering():
		// Without an answer a client keeps a lease that has not ended (RFC 2131 section 3.2).
		// During recovery it may have such a lease.
		return silent(silence.Recovering)
	case r.p.Authoritative:
		return nak(NoRecord)
	}
	return silent(silence.NoRecord)
}

// renewing is RENEWING and REBINDING.
func (r *rules) renewing() Decision {
	own, named := &r.own, &r.named
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
		return silent(silence.NoRecord)
	}
	return r.ack(named, true)
}

// confirm makes the checks that are common to all clients that believe they have an address.
func (r *rules) confirm(named *Address) (d Decision, done bool) {
	mine := named.Standing == Mine
	foreign := named.ForOther || (named.Barred && !mine && !r.reserved(named))
	switch {
	case !named.InSubnet:
		return nak(WrongSubnet), true
	case r.elsewhere():
		return silent(silence.Elsewhere), true
	case r.reservable() && !r.reserved(named):
		return nak(OtherAddress), true
	case !named.InPool && !mine && !named.ForOther && !r.reserved(named):
		if !r.p.Authoritative || len(r.p.Peers) > 0 {
			// Another server may serve that part of the subnet.
			return silent(silence.NotOurPool), true
		}
		if r.own.Standing != Unnamed {
			return nak(OtherAddress), true
		}
		return nak(NotAvailable), true
	case foreign && (mine || r.own.Standing != Unnamed || r.p.Authoritative || isSet(r.q.CIAddr)):
		return nak(NotAvailable), true
	case foreign:
		return silent(silence.NoRecord), true
	case r.reserved(named) && !mine && !r.obtainable(named):
		return nak(NotAvailable), true
	}
	return d, false
}

// ack acknowledges an address that is the client's or can become so.
func (r *rules) ack(a *Address, renewal bool) Decision {
	d := Decision{Kind: Ack, ID: a.ID, After: a.After, V6Only: r.p.V6Mostly && r.q.V6Only}
	if a.Standing != Mine {
		full := (r.full() || r.crowded()) && !r.reserved(a)
		closed := a.Standing != Held && r.closedTo(a) && (!renewal || r.p.Drain)
		if full || closed {
			return nak(NoNewClients)
		}
		d.TakenOver = a.Standing == Taken
		d.Time = r.wanted(a.Times)
		d.Change, d.Event, d.Expires = Bind, EventAllocated, r.now.After(d.Time)
		if a.Known {
			d.Event = EventReused
		}
		return d
	}
	moved := !a.Here()
	if !r.ours(a) || (moved && r.full() && !r.reserved(a)) {
		if a.Expires <= r.now {
			return nak(NotAvailable) // the lease is in its last second
		}
		// Confirm it only for the time that remains.
		d.Time = remaining(a.Expires, r.now)
		d.Expires = a.Expires
		return d
	}
	d.Time = r.wanted(a.Times)
	d.Expires = r.now.After(d.Time)
	if moved || d.Expires != a.Expires || r.q.Shared {
		d.Change, d.Event, d.Moved = Extend, EventRenewed, moved
	}
	return d
}

// decline follows RFC 2131 section 4.3.3. No client can put another client's address into
// quarantine.
func (r *rules) decline() Decision {
	a := &r.named
	switch {
	case r.otherServer():
		return silent(silence.NamesOtherServer)
	case (a.Standing != Mine && a.Standing != Held) || !a.mayEnd():
		return silent(silence.NotHolder)
	}
	return Decision{
		Silence: silence.Declined, Change: Decline, Event: EventDeclined, ID: a.ID,
		Expires: r.now.After(r.p.Quarantine),
	}
}

// release follows RFC 2131 section 4.3.4.
func (r *rules) release() Decision {
	a := &r.named
	switch {
	case r.otherServer():
		return silent(silence.NamesOtherServer)
	case a.Standing != Mine || !a.mayEnd():
		return silent(silence.NotHolder)
	}
	return Decision{Silence: silence.Released, Change: Release, Event: EventReleased, ID: a.ID, Expires: r.now}
}

// otherServer reports whether a RELEASE or DECLINE names another server. Option 54 must be there
// (RFC 2131 table 5), but a message without it counts as ours: otherwise a client that declines an
// address without it would be offered that address again and again.
func (r *rules) otherServer() bool {
	return isSet(r.q.ServerID) && r.q.ServerID != r.p.ServerID
}

// reserved reports whether a is the address reserved for the client.
func (r *rules) reserved(a *Address) bool {
	return r.q.Reservation.IsValid() && a.Addr == r.q.Reservation
}

// reservable reports whether the client can have its reservation now.
func (r *rules) reservable() bool {
	return r.q.Reservation.IsValid() && r.obtainable(&r.reservation)
}

// obtainable reports whether no other client keeps this client from having a.
func (r *rules) obtainable(a *Address) bool {
	switch a.Standing {
	case Free, Former, Held, Mine:
		return true
	case OfferedAway, Taken:
		if !r.reserved(a) {
			return false
		}
		// A reservation of an attachment point moves at once to the client that is there. A
		// reservation of a hardware address moves to another identifier with that address, such as
		// from a boot loader to the operating system. One of a flexible identifier moves at a port
		// to whoever has its value there, on a shared link between the identifiers of one host.
		samePlace := a.Place != attachment.Apart
		return (r.q.ByPoint && samePlace && !isSet(r.q.CIAddr)) || (r.q.ByHardware && a.SameHW && a.Here()) ||
			(r.q.ByFlex && a.Here() && !isSet(r.q.CIAddr))
	}
	return false
}

// Redirect replaces the address of an Offer, or of an Ack that gives a new address, by a, as a hook
// may order before the lease is stored. The facts of a must be those for q. It returns false, and
// changes nothing, if the client cannot have that address: one outside of its pools could be
// offered, but not acknowledged.
func (d *Decision) Redirect(q *Query, p *Policy, a *Address, now Time) bool {
	at := *a
	r := rules{q: q, p: p, f: &Facts{}, now: now}
	if p.Moves != MoveAtOnce {
		r.keepApart(&at, p.Moves == MoveWhenSilent)
	}
	a = &at
	offer := d.Kind == Offer && isSet(d.Addr)
	ack := d.Kind == Ack && d.Change != None
	closed := r.recovering() && r.closedTo(a)
	if (!offer && !ack) || !r.ours(a) || closed || !r.obtainable(a) {
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

// ours reports whether the configuration lets the client have a.
func (r *rules) ours(a *Address) bool { return a.allowed(r.q) }

// full reports whether one more client would be too many at the attachment point. A client that has
// an address there already is not one more.
func (r *rules) full() bool {
	own := &r.own
	counted := own.Here() && (own.Standing == Mine || own.Standing == Held)
	return r.p.Limit > 0 && !counted && r.f.AtPoint >= r.p.Limit
}

// crowdLimit is how many hosts of one link may have leases with the same client identifier.
const crowdLimit = 4

// crowded reports whether too many hosts of the link use the identifier. Then most of them are
// probably forgeries.
func (r *rules) crowded() bool {
	has := r.own.Standing == Mine || r.own.Standing == Held
	return r.f.Crowd >= crowdLimit && !has && r.p.Moves != MoveAtOnce
}

// closedTo reports whether the client may not get a now, if it does not use it already.
//
// During recovery a client that begins anew does not get back even an address that is its own by a
// record from before. What is lost may say that it has released the address, and that another
// client got it since.
//
// Hooks may choose an address for one client and then for another. So during recovery the choice of
// hooks is not like a reservation, which nobody else can have had.
func (r *rules) closedTo(a *Address) bool {
	if r.recovering() && (!r.reserved(a) || r.q.Ordered) {
		return a.Standing != Mine || a.Changed <= r.p.RecoverFrom || !r.ours(a)
	}
	return a.Standing != Mine && r.p.Drain
}

// recovering reports whether leases of other clients may be missing.
func (r *rules) recovering() bool { return r.now < r.p.RecoverTill }

// elsewhere reports whether the client has a binding at another attachment point, and the policy
// does not let it move.
func (r *rules) elsewhere() bool {
	return r.p.Moves == MoveNever && r.own.Standing == Mine && !r.own.Here()
}

// wanted returns the lease time: the client's wish within the limits, else the default. The
// client's own limits go before those of the pool, and these before the subnet's.
func (r *rules) wanted(pool Times) uint32 {
	times := cmp.Or(r.q.Times, pool, r.p.Times)
	t := times.Default
	if r.q.HasWish {
		t = min(max(r.q.Wish, times.Min), times.Max)
	}
	return max(t, 1)
}

func remaining(end, now Time) uint32 {
	if end == Never {
		return Infinite
	}
	return uint32(min(max(end-now, 1), math.MaxUint32-1))
}

func silent(why silence.Reason) Decision { return Decision{Silence: why} }
func nak(why Why) Decision               { return Decision{Kind: Nak, Why: why} }
func dropped(why drop.Reason) Decision   { return Decision{Kind: Dropped, Drop: why} }
