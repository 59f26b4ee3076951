package table

import (
	"bytes"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/free"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
)

// Apply carries out the change of d, which was decided for q from facts that are still true. It
// adds the records to be written to group, whose number is seq. The numbers of groups never fall. A
// client key has 1 to 256 octets.
//
// A binding is written, and so is its end by its client, by the operator, or by the client's next
// binding. An offer is not written, nor is the end of a binding or quarantine by time: their
// records stay on disk until the next record of the address replaces them.
func (t *Table) Apply(q *lease.Query, d *lease.Decision, now lease.Time, seq uint64, group *lease.Batch) {
	if d.Change == lease.None {
		return
	}
	addr := free.Number(d.Addr)
	ref := t.byAddr(addr)
	v := view{q: q, slot: t.order[q.Subnet]}
	v.hash = t.clientHash(v.slot, q.Client)

	if d.Change == lease.Hold || d.Change == lease.Bind {
		t.endOthers(&v, ref, d, now, seq, group)
		for _, s := range t.slots[v.slot].beside {
			o := t.in(s, q)
			t.endOthers(&o, ref, d, now, seq, group)
		}
		if d.Change == lease.Hold {
			t.offer(&v, addr, ref, d.Expires)
		} else {
			t.bind(&v, addr, ref, d.Expires, now, seq, group)
		}
		return
	}
	if ref == 0 || !t.is(t.entries.at(ref), v.slot, v.hash, q.Client) {
		return
	}
	e := t.entries.at(ref)
	switch d.Change {
	case lease.Unhold:
		t.dropOffer(ref)
	case lease.Extend:
		if at := t.arena.bytes(t.pointAt(e.point).blob); d.Moved || len(at) == 0 || otherwiseCounted(at, q.Point) {
			t.setPoint(ref, q.Point)
		}
		t.extend(q, ref, d.Expires, now, seq, group)
	case lease.Release:
		if e.phase == bound {
			t.release(ref, now, seq, group)
		}
	case lease.Decline:
		if e.phase == bound || e.phase == offered {
			t.decline(ref, d.Expires, now, seq, group)
		}
	}
}

// in returns the view of a query in another subnet of its link.
func (t *Table) in(slot uint32, q *lease.Query) view {
	return view{q: q, slot: slot, hash: t.clientHash(slot, q.Client)}
}

// otherwiseCounted reports whether two points of one place are counted by different names, or only
// one of them by a name.
func otherwiseCounted(a, b []byte) bool {
	x, y := attachment.CountOf(a), attachment.CountOf(b)
	return (len(x) < len(a) || len(y) < len(b)) && !bytes.Equal(x, y)
}

// endOthers ends all entries of a client but keep, because a client has one lease on a link. Offers
// always end. Bindings and former bindings end only if the client is about to be bound. With
// d.Apart, leases of the same identifier at other attachment points stay.
func (t *Table) endOthers(v *view, keep uint32, d *lease.Decision, now lease.Time, seq uint64, group *lease.Batch) {
	var buf [maxOwn]uint32
	for _, ref := range t.own(v, &buf) {
		e := t.entries.at(ref)
		switch {
		case ref == keep, e.phase == resting, d.Apart && e.phase.active() && !t.here(v, e):
			continue
		case e.offer != 0 && e.phase == offered && e.record == lease.NoState:
			t.endOffered(ref)
			continue
		case e.offer != 0:
			t.dropOffer(ref)
		}
		if d.Change != lease.Bind {
			continue
		}
		// The entry may be gone by now, if no subnet has its address any more.
		if e.phase == bound {
			t.ended(lease.EventReleased, ref)
			t.release(ref, now, seq, group)
		}
		if e.phase == idle {
			t.remove(ref)
		}
	}
}

// here reports whether the holder of an entry is where v is.
func (t *Table) here(v *view, e *entry) bool {
	var a lease.Address
	t.compare(v, e, &a)
	return a.Here()
}

// offer holds an address for a client.
func (t *Table) offer(v *view, addr, ref uint32, until lease.Time) {
	if ref != 0 && t.entries.at(ref).offer != 0 {
		if e := t.entries.at(ref); t.is(e, v.slot, v.hash, v.q.Client) {
			t.unhold(ref)
		}
	}
	if t.offers.n >= t.options.Offers && (ref == 0 || t.entries.at(ref).offer == 0) {
		t.dropOffer(t.offers.oldestOfMost())
		ref = t.byAddr(addr)
	}
	ref = t.seize(v, addr, ref)
	e := t.entries.at(ref)
	if e.phase != bound {
		t.setPhase(e, offered)
		t.setPoint(ref, v.q.Point)
		t.setWho(ref, v.q)
	}
	t.hold(ref, pack(until))
	if e.phase == offered {
		t.schedule(ref)
	}
}

// bind gives an address to a client, even if another one has it.
func (t *Table) bind(v *view, addr, ref uint32, until, now lease.Time, seq uint64, group *lease.Batch) {
	if ref != 0 {
		t.takeFrom(v, ref, now, group)
	}
	ref = t.seize(v, addr, ref)
	e := t.entries.at(ref)
	t.unschedule(ref)
	e.record, e.used, e.start = lease.Bound, true, pack(now)
	t.setPhase(e, bound)
	t.setPoint(ref, v.q.Point)
	t.extend(v.q, ref, until, now, seq, group)
}

// takeFrom writes that another client loses an address that v gets. The record says to a store that
// several processes share whom this process believes to have the address.
func (t *Table) takeFrom(v *view, ref uint32, now lease.Time, group *lease.Batch) {
	e := t.entries.at(ref)
	if e.phase != bound || t.is(e, v.slot, v.hash, v.q.Client) {
		return
	}
	t.fill(ref, &t.scratch)
	t.scratch.State, t.scratch.Changed, t.scratch.Expires = lease.Released, now, now
	group.Add(&t.scratch)
}

// extend moves the end of a binding, and writes its record.
func (t *Table) extend(q *lease.Query, ref uint32, until, now lease.Time, seq uint64, group *lease.Batch) {
	e := t.entries.at(ref)
	if e.offer != 0 {
		t.unhold(ref)
	}
	t.setWho(ref, q)
	later := e.prev != 0 && pack(until) >= e.expires && pack(until) != never
	e.expires = pack(until)
	if !later {
		t.schedule(ref)
	}
	t.write(ref, now, seq, group)
}

// release ends a binding in force.
func (t *Table) release(ref uint32, now lease.Time, seq uint64, group *lease.Batch) {
	e := t.entries.at(ref)
	if e.offer != 0 {
		t.unhold(ref)
	}
	e.record, e.expires = lease.Released, pack(now)
	t.write(ref, now, seq, group)
	t.retire(ref)
}

// decline puts an address into quarantine.
func (t *Table) decline(ref uint32, until, now lease.Time, seq uint64, group *lease.Batch) {
	e := t.entries.at(ref)
	if e.offer != 0 {
		t.unhold(ref)
	}
	if e.record == lease.NoState {
		e.start = pack(now)
	}
	e.record, e.expires = lease.Declined, pack(until)
	t.setPhase(e, resting)
	t.schedule(ref)
	t.write(ref, now, seq, group)
	t.rest(ref)
}

// rest notes a quarantine in the free addresses. If too many addresses rest, the longest quarantine
// ends.
func (t *Table) rest(ref uint32) {
	e := t.entries.at(ref)
	if f := t.freeOf(e.addr, e.slot); f != nil {
		if woken, ok := f.Rest(e.addr); ok {
			if other := t.byAddr(woken); other != 0 {
				t.wake(other)
			}
		}
	}
}

// write adds the record of an entry to the commit group.
func (t *Table) write(ref uint32, now lease.Time, seq uint64, group *lease.Batch) {
	e := t.entries.at(ref)
	e.changed, e.seq = pack(now), uint32(seq)
	t.latest = max(t.latest, seq)
	t.fill(ref, &t.scratch)
	group.Add(&t.scratch)
}

// seize gives the entry of an address to the client of v, and takes the address from the free ones.
func (t *Table) seize(v *view, addr, ref uint32) uint32 {
	if f := t.freeOf(addr, v.slot); f != nil {
		f.Take(addr)
	}
	w := ownerOf(v.q)
	if ref == 0 {
		ref = t.entries.make()
		*t.entries.at(ref) = entry{
			addr: addr, slot: v.slot, hash: v.hash, blob: t.arena.makeOwner(&w), point: t.takePoint(v.q.Point),
		}
		t.addrs.Add(t.addrHash(addr), ref)
		t.clients.Add(v.hash, ref)
		return ref
	}
	e := t.entries.at(ref)
	if t.is(e, v.slot, v.hash, v.q.Client) {
		return ref
	}
	if e.phase == bound {
		t.ended(lease.EventReleased, ref)
	}
	if e.offer != 0 {
		t.unhold(ref)
	}
	t.unschedule(ref)
	t.setPhase(e, unused)
	t.clients.Remove(e.hash, ref)
	t.arena.drop(e.blob)
	e.slot, e.hash, e.blob = v.slot, v.hash, t.arena.makeOwner(&w)
	e.used = e.used || e.record != lease.NoState
	e.record, e.start, e.expires, e.changed = lease.NoState, 0, 0, 0
	t.clients.Add(v.hash, ref)
	t.setPoint(ref, v.q.Point)
	return ref
}

// dropOffer ends the offer of an entry, if it has one.
func (t *Table) dropOffer(ref uint32) {
	switch e := t.entries.at(ref); {
	case e.offer == 0:
	case e.phase == offered:
		t.endOffered(ref)
	default:
		t.unhold(ref)
	}
}

// endOffered ends an entry that only an offer holds.
func (t *Table) endOffered(ref uint32) {
	e := t.entries.at(ref)
	t.unhold(ref)
	if e.record != lease.NoState {
		t.retire(ref)
		return
	}
	t.giveBack(ref, e.used)
}

// retire makes an entry idle: the address is free, and its last client gets it back until another
// client has taken it.
func (t *Table) retire(ref uint32) {
	e := t.entries.at(ref)
	t.unschedule(ref)
	f := t.freeOf(e.addr, e.slot)
	if f == nil && !t.isReserved(e) {
		t.remove(ref)
		return
	}
	t.setPhase(e, idle)
	if f != nil {
		f.Return(e.addr, true)
	}
}

// wake ends a quarantine.
func (t *Table) wake(ref uint32) {
	t.ended(lease.EventReclaimed, ref)
	e := t.entries.at(ref)
	if f := t.freeOf(e.addr, e.slot); f != nil {
		f.Wake(e.addr)
	}
	t.giveBack(ref, true)
}

// giveBack ends an active entry and makes its address free.
func (t *Table) giveBack(ref uint32, used bool) {
	e := t.entries.at(ref)
	addr, f := e.addr, t.freeOf(e.addr, e.slot)
	t.remove(ref)
	if f != nil {
		f.Return(addr, used)
	}
}

func (t *Table) isReserved(e *entry) bool {
	f := t.slots[e.slot].free
	return f != nil && f.Reserved(e.addr)
}

// remove forgets an entry. It does not return the address to the free ones.
func (t *Table) remove(ref uint32) {
	e := t.entries.at(ref)
	t.unschedule(ref)
	t.setPhase(e, unused)
	t.clients.Remove(e.hash, ref)
	t.addrs.Remove(t.addrHash(e.addr), ref)
	t.arena.drop(e.blob)
	t.leavePoint(e.point)
	t.entries.drop(ref)
}

// setPhase changes the phase of an entry, and the counts with it.
func (t *Table) setPhase(e *entry, to phase) {
	c := &t.slots[e.slot].counts
	if e.phase != unused {
		c[e.phase]--
	}
	if to != unused {
		c[to]++
	}
	q := t.pointAt(t.counter(e.point))
	if e.phase.active() {
		q.active--
	}
	if to.active() {
		q.active++
	}
	e.phase = to
}

func (p phase) active() bool { return p != unused && p != idle }

// setPoint moves an entry to another attachment point.
func (t *Table) setPoint(ref uint32, octets []byte) {
	e := t.entries.at(ref)
	if bytes.Equal(t.arena.bytes(t.pointAt(e.point).blob), octets) {
		return
	}
	deadline := uint32(0)
	if e.offer != 0 {
		deadline = t.offers.offers[e.offer].deadline
		t.unhold(ref)
	}
	to := t.takePoint(octets)
	if e.phase.active() {
		t.pointAt(t.counter(e.point)).active--
		t.pointAt(t.counter(to)).active++
	}
	t.leavePoint(e.point)
	e.point = to
	if deadline != 0 {
		t.hold(ref, deadline)
	}
}

// maxHWAddr is the length of chaddr.
const maxHWAddr = 16

func ownerOf(q *lease.Query) owner {
	return owner{q.Client, q.HWType, q.HWAddr[:min(len(q.HWAddr), maxHWAddr)], q.Source.WithZone(""), q.RemoteID}
}

// setWho keeps the hardware address, the IPv6 source and the Remote-Id of a client, which may
// change with each message.
func (t *Table) setWho(ref uint32, q *lease.Query) {
	e, w := t.entries.at(ref), ownerOf(q)
	had := t.arena.owner(e.blob)
	if had.hwType == w.hwType && bytes.Equal(had.hwAddr, w.hwAddr) && had.source == w.source &&
		bytes.Equal(had.remoteID, w.remoteID) {
		return
	}
	if class(had.octets()) == class(w.octets()) {
		t.arena.writeOwner(e.blob, &w)
		return
	}
	t.arena.drop(e.blob)
	e.blob = t.arena.makeOwner(&w)
}
