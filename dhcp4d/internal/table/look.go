package table

import (
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/free"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// view is the client of a query, and where it is.
type view struct {
	q     *lease.Query
	slot  uint32
	hash  uint32
	point uint32
}

// How many due entries of any client a packet ends, and how many if it finds no free address.
const (
	expireFew  = 16
	expireMany = 256
)

// Look sets f to the facts for q. It first ends the entries of these facts that are due, so that
// the facts do not depend on the time of the last Expire.
func (t *Table) Look(q *lease.Query, now lease.Time, f *lease.Facts) {
	*f = lease.Facts{}
	t.Expire(now, expireFew)
	v := view{q: q, slot: t.order[q.Subnet]}
	if q.Alias != nil && t.holds(q, v.slot, q.Alias, now) {
		q.Client = q.Alias // until that lease ends
	}
	v.hash = t.clientHash(v.slot, q.Client)

	// What is due ends first, because that may change all facts.
	var buf [maxOwn]uint32
	own := t.ownSettled(&v, now, &buf)
	if len(own) > 0 {
		t.hint = own[0]
	}
	named, reserved := t.entryOf(q.Named(), now), t.entryOf(q.Reservation, now)
	if q.Type == dhcp4.Discover && t.lookForNext(&v, now, f) {
		named, reserved = t.entryOf(q.Named(), now), t.entryOf(q.Reservation, now)
	}

	v.point = t.pointOf(own, q.Point)
	if count := t.countOf(&v); count != 0 {
		f.AtPoint = int(t.pointAt(count).active)
		if f.AtPoint > 0 {
			f.AtPoint -= t.beside(&v, count)
		}
	}
	t.lookAtOwn(&v, own, f)
	f.Named = t.about(&v, q.Named(), named, &f.Own)
	f.Reserved = t.about(&v, q.Reservation, reserved, &f.Own)
}

// ownSettled returns the entries of the client of v, after it has ended those that are due.
func (t *Table) ownSettled(v *view, now lease.Time, refs *[maxOwn]uint32) []uint32 {
	own := t.own(v, refs)
	ended := false
	for _, ref := range own {
		ended = t.settle(ref, now) || ended
	}
	if ended {
		own = t.own(v, refs)
	}
	return own
}

// lookForNext sets in f the address to give out next. If none is free, it ends entries of any
// client that are due, and tries again. It reports whether it may have ended any.
func (t *Table) lookForNext(v *view, now lease.Time, f *lease.Facts) (ended bool) {
	s := &t.slots[v.slot]
	next, ok := s.free.Next(v.q.Groups)
	if !ok {
		ended = true
		t.Expire(now, expireMany)
		next, ok = s.free.Next(v.q.Groups)
	}
	if !ok {
		return ended
	}
	f.Next = lease.ID{Addr: free.Addr(next)}
	if times := s.conf.Times; times != nil {
		at, _, _ := s.free.Of(next)
		f.NextTimes = times[at]
	}
	return ended
}

// lookAtOwn sets in f the best entries of the client: the best one at its attachment point, and the
// best lease and the best offer at others.
func (t *Table) lookAtOwn(v *view, own []uint32, f *lease.Facts) {
	var best, bestAway, bestOffer *entry
	for _, ref := range own {
		e := t.entries.at(ref)
		a := t.stand(v, e.addr, ref)
		into, than := &f.Own, &best
		if e.phase.active() && !a.Here() {
			if a.Place != attachment.Apart {
				f.Crowd++
			}
			switch a.Standing {
			case lease.Mine:
				into, than = &f.Away, &bestAway
			case lease.Held:
				into, than = &f.AwayOffer, &bestOffer
			}
		}
		r, was := a.Rank(v.q), into.Rank(v.q)
		if r > was || (r == was && r > 0 && e.laterThan(*than)) {
			*into, *than = a, e
		}
	}
}

// countOf returns the point by which the leases at the point of v are counted, 0 if there are none.
func (t *Table) countOf(v *view) uint32 {
	if v.point != 0 {
		return t.counter(v.point)
	}
	if count := attachment.CountOf(v.q.Point); len(count) < len(v.q.Point) {
		ref, _ := t.findPoint(count)
		return ref
	}
	return 0
}

// beside returns how many of the leases and offers that a point counts the client itself has in
// other subnets of the link. It loses these for what it gets here.
func (t *Table) beside(v *view, count uint32) (n int) {
	for _, s := range t.slots[v.slot].beside {
		var buf [maxOwn]uint32
		o := t.in(s, v.q)
		for _, ref := range t.own(&o, &buf) {
			if e := t.entries.at(ref); t.counter(e.point) == count && e.phase.active() && e.phase != resting &&
				t.here(&o, e) {
				n++
			}
		}
	}
	return n
}

// holds reports whether a client has a binding in force under another key, with the same hardware
// address.
func (t *Table) holds(q *lease.Query, slot uint32, key []byte, now lease.Time) bool {
	hash := t.clientHash(slot, key)
	p := t.clients.Walk(hash)
	for ref := p.Next(); ref != 0; ref = p.Next() {
		e := t.entries.at(ref)
		if e.phase != bound || unpack(e.expires) <= now || !t.is(e, slot, hash, key) {
			continue
		}
		if w := t.arena.owner(e.blob); w.hwType == q.HWType && string(w.hwAddr) == string(q.HWAddr) {
			return true
		}
	}
	return false
}

// pointOf returns the number of a point. Mostly it is the point of one of the client's entries.
func (t *Table) pointOf(own []uint32, octets []byte) uint32 {
	for _, ref := range own {
		if p := t.entries.at(ref).point; string(t.arena.bytes(t.pointAt(p).blob)) == string(octets) {
			return p
		}
	}
	p, _ := t.findPoint(octets)
	return p
}

// Stand returns the facts about one address for q, for a hook that wants another address than the
// one decided.
func (t *Table) Stand(q *lease.Query, addr netip.Addr, now lease.Time) lease.Address {
	v := view{q: q, slot: t.order[q.Subnet]}
	v.hash = t.clientHash(v.slot, q.Client)
	ref := t.entryOf(addr, now)
	v.point, _ = t.findPoint(q.Point)
	return t.about(&v, addr, ref, &lease.Address{})
}

// entryOf returns the entry of an address, 0 if there is none. If the entry is due, it first ends
// it.
func (t *Table) entryOf(a netip.Addr, now lease.Time) uint32 {
	if !a.Is4() {
		return 0
	}
	ref := t.byAddr(free.Number(a))
	if ref != 0 && t.settle(ref, now) {
		return t.byAddr(free.Number(a))
	}
	return ref
}

// entryOfID is entryOf for an identity. The table has entries of whole addresses only: Load refuses
// others.
func (t *Table) entryOfID(id lease.ID, now lease.Time) uint32 {
	if id.Ports != lease.AllPorts {
		return 0
	}
	return t.entryOf(id.Addr, now)
}

// compare sets in a how the holder of an entry compares with the client of v: its place, and
// whether hardware address and source are the same.
func (t *Table) compare(v *view, e *entry, a *lease.Address) {
	if e.point == v.point && v.point != 0 {
		a.Place = attachment.Compare(v.q.Point, v.q.Point)
	} else if at := t.arena.bytes(t.pointAt(e.point).blob); len(at) > 0 {
		a.Place = attachment.Compare(at, v.q.Point)
	} else {
		a.Place = attachment.SamePort
	}
	if a.Place == attachment.Apart || (a.Place == attachment.SamePort && !v.q.ByHardware) {
		return // only the place matters
	}
	w := t.arena.owner(e.blob)
	a.SameHW = w.hwType == v.q.HWType && string(w.hwAddr) == string(v.q.HWAddr)
	a.SameSource = w.source == v.q.Source
}

// about is stand for an address that may be invalid, or the client's own, whose facts are own.
func (t *Table) about(v *view, a netip.Addr, ref uint32, own *lease.Address) lease.Address {
	switch {
	case !a.Is4():
		return lease.Address{}
	case a == own.Addr:
		return *own
	}
	return t.stand(v, free.Number(a), ref)
}

// stand returns the facts about an address for the client of v.
func (t *Table) stand(v *view, addr, ref uint32) lease.Address {
	s := &t.slots[v.slot]
	a := lease.Address{ID: lease.ID{Addr: free.Addr(addr)}, Standing: lease.Free, InSubnet: s.covers(addr)}
	at, group, ok := s.free.Of(addr)
	a.InPool = ok
	if ok && v.q.Groups != nil {
		_, may := slices.BinarySearch(v.q.Groups, group)
		a.Barred = !may
	}
	if ok && s.conf.Times != nil {
		a.Times = s.conf.Times[at]
	}
	a.ForOther = s.free.Reserved(addr) && a.Addr != v.q.Reservation
	if ref == 0 {
		if !a.InSubnet {
			a.Standing = lease.Outside
		}
		return a
	}
	e := t.entries.at(ref)
	mine := t.is(e, v.slot, v.hash, v.q.Client)
	t.compare(v, e, &a)
	switch e.phase {
	case bound:
		a.Standing, a.Expires, a.Changed, a.After = lease.Taken, unpack(e.expires), unpack(e.changed), t.pending(e)
		if mine {
			a.Standing, a.Known = lease.Mine, true
		}
	case offered:
		a.Standing = lease.OfferedAway
		if mine {
			a.Standing, a.Known = lease.Held, e.record != lease.NoState
		}
	case resting:
		a.Standing = lease.Quarantined
	case idle:
		a.Place, a.SameHW, a.SameSource = attachment.Apart, false, false
		if mine {
			a.Standing, a.Known = lease.Former, true
		} else if !a.InSubnet {
			a.Standing = lease.Outside
		}
	}
	return a
}
