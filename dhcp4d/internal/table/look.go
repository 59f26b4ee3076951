package table

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/pool"
)

// view is who looks, and from where.
type view struct {
	q     *lease.Query
	slot  uint32
	hash  uint32
	point uint32
}

// How many overdue entries a packet ends by the way, and how many it ends
// when it finds no free address.
const (
	expireFew  = 16
	expireMany = 256
)

// Look collects what is known for q into f. What it touches is ended first if
// it is due, so that a client's facts do not depend on when Expire was called.
func (t *Table) Look(q *lease.Query, now lease.Time, f *lease.Facts) {
	*f = lease.Facts{}
	t.Expire(now, expireFew)
	v := view{q: q, slot: t.order[q.Subnet]}
	v.hash = t.clientHash(v.slot, q.Client)

	// First end what is due, then look: ending may change all of it.
	var buf [maxOwn]uint32
	own := t.own(v.slot, v.hash, q.Client, &buf)
	ended := false
	for _, ref := range own {
		ended = t.settle(ref, now) || ended
	}
	if ended {
		own = t.own(v.slot, v.hash, q.Client, &buf)
	}
	if len(own) > 0 {
		t.hint = own[0]
	}
	named, reserved := t.fresh(q.Named(), now), t.fresh(q.Reservation, now)
	if q.Type == lease.TypeDiscover {
		p := t.slots[v.slot].pool
		next, ok := p.Next()
		if !ok {
			t.Expire(now, expireMany)
			named, reserved = t.fresh(q.Named(), now), t.fresh(q.Reservation, now)
			next, ok = p.Next()
		}
		if ok {
			f.Next = pool.Addr(next)
		}
	}

	v.point = t.pointOf(own, q.Point)
	if v.point != 0 {
		f.AtPoint = int(t.pointAt(v.point).active)
	}
	best := 0
	for _, ref := range own {
		e := t.entries.at(ref)
		a := t.stand(&v, e.addr, ref)
		if r := rank(&a, q); r > best || r == best && r > 0 && e.changed > t.entries.at(t.byAddr(pool.Number(f.Own.Addr))).changed {
			best, f.Own = r, a
		}
	}
	f.Named = t.about(&v, q.Named(), named, &f.Own)
	f.Reserved = t.about(&v, q.Reservation, reserved, &f.Own)
}

// pointOf finds a point, which mostly is that of one of the client's entries.
func (t *Table) pointOf(own []uint32, octets []byte) uint32 {
	for _, ref := range own {
		if p := t.entries.at(ref).point; string(t.arena.bytes(t.pointAt(p).blob)) == string(octets) {
			return p
		}
	}
	p, _ := t.findPoint(octets)
	return p
}

// Stand tells how one address stands to the client of q, for a hook that
// wants another address than the one decided.
func (t *Table) Stand(q *lease.Query, addr netip.Addr, now lease.Time) lease.Address {
	v := view{q: q, slot: t.order[q.Subnet]}
	v.hash = t.clientHash(v.slot, q.Client)
	ref := t.fresh(addr, now)
	v.point, _ = t.findPoint(q.Point)
	return t.about(&v, addr, ref, &lease.Address{})
}

// fresh finds the entry of an address, 0 if there is none, after ending it if
// it is due.
func (t *Table) fresh(a netip.Addr, now lease.Time) uint32 {
	if !a.Is4() {
		return 0
	}
	ref := t.byAddr(pool.Number(a))
	if ref != 0 && t.settle(ref, now) {
		return t.byAddr(pool.Number(a))
	}
	return ref
}

// rank orders the entries of a client: the binding that can go on, the offer,
// the binding that cannot, the former one.
func rank(a *lease.Address, q *lease.Query) int {
	switch a.Standing {
	case lease.Mine:
		if a.InSubnet && !a.ForOther && (a.InPool || a.Addr == q.Reservation) {
			return 4
		}
		return 2
	case lease.Held:
		return 3
	case lease.Former:
		return 1
	}
	return 0
}

func (t *Table) about(v *view, a netip.Addr, ref uint32, own *lease.Address) lease.Address {
	switch {
	case !a.Is4():
		return lease.Address{}
	case a == own.Addr:
		return *own
	}
	return t.stand(v, pool.Number(a), ref)
}

// stand describes an address to the client of v.
func (t *Table) stand(v *view, addr, ref uint32) lease.Address {
	s := &t.slots[v.slot]
	a := lease.Address{Addr: pool.Addr(addr), Standing: lease.Free, InSubnet: s.covers(addr), InPool: s.pool.Contains(addr)}
	a.ForOther = s.pool.Reserved(addr) && a.Addr != v.q.Reservation
	if ref == 0 {
		if !a.InSubnet {
			a.Standing = lease.Outside
		}
		return a
	}
	e := t.entries.at(ref)
	mine := t.is(e, v.slot, v.hash, v.q.Client)
	a.SamePoint = e.point == v.point || len(t.arena.bytes(t.pointAt(e.point).blob)) == 0
	switch e.phase {
	case bound:
		a.Standing, a.Expires, a.After = lease.Taken, unpack(e.expires), t.pending(e)
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
		a.SamePoint = false
		if mine {
			a.Standing, a.Known = lease.Former, true
		} else if !a.InSubnet {
			a.Standing = lease.Outside
		}
	}
	return a
}
