package table

import (
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/free"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// Release ends a binding by order of the operator, and reports whether there was one. It adds the
// record to group, and does not call Options.Ended.
func (t *Table) Release(id lease.ID, now lease.Time, seq uint64, group *lease.Batch) bool {
	ref := t.entryOfID(id, now)
	if ref == 0 || t.entries.at(ref).phase != bound {
		return false
	}
	t.release(ref, now, seq, group)
	return true
}

// EndQuarantine frees an address in quarantine by order of the operator. It reports whether the
// address was in quarantine.
func (t *Table) EndQuarantine(id lease.ID, now lease.Time, seq uint64, group *lease.Batch) bool {
	ref := t.entryOfID(id, now)
	if ref == 0 || t.entries.at(ref).phase != resting {
		return false
	}
	e := t.entries.at(ref)
	e.expires = pack(now.Over())
	t.write(ref, now, seq, group)
	if f := t.freeOf(e.addr, e.slot); f != nil {
		f.Wake(e.addr)
	}
	t.giveBack(ref, true)
	return true
}

// Get sets b to what is known about an identity, and reports whether anything is. The bytes are
// valid until the table changes.
func (t *Table) Get(id lease.ID, b *lease.Binding) bool {
	if !id.Addr.Is4() || id.Ports != lease.AllPorts {
		return false
	}
	ref := t.byAddr(free.Number(id.Addr))
	if ref != 0 {
		t.fill(ref, b)
	}
	return ref != 0
}

// ByClient calls fn for every binding and offer, present and former, of a client in the subnet with
// a configured id. fn must not use the table; b is valid during the call.
func (t *Table) ByClient(subnet uint32, client []byte, fn func(b *lease.Binding)) {
	slot, ok := t.byID[subnet]
	if !ok {
		return
	}
	t.each(slot, client, fn)
}

// each calls fn for the entries of a client in a subnet.
func (t *Table) each(slot uint32, client []byte, fn func(b *lease.Binding)) {
	hash := t.clientHash(slot, client)
	p := t.clients.Walk(hash)
	for ref := p.Next(); ref != 0; ref = p.Next() {
		if t.is(t.entries.at(ref), slot, hash, client) {
			t.fill(ref, &t.scratch)
			fn(&t.scratch)
		}
	}
}

// OfClient calls fn for everything that a client has or had in any subnet, configured or not. It
// looks at n subnets, beginning at from, and returns where to continue, 0 at the end. fn must not
// use the table. b is valid during the call.
func (t *Table) OfClient(client []byte, from, n uint32, fn func(b *lease.Binding)) (next uint32) {
	slots := uint32(len(t.slots))
	end := min(from+n, slots)
	for slot := from; slot < end; slot++ {
		t.each(slot, client, fn)
	}
	if end == slots {
		return 0
	}
	return end
}

// Scan looks at n entries, beginning at from (0 is the start), calls fn for the entries there, in
// no particular order, and returns where to continue, 0 at the end. It may miss entries that are
// made between two calls. No entry comes twice, unless it has ended and was made again. fn must not
// use the table. b is valid during the call. An expired binding appears as bound with its end in
// the past, as on disk.
func (t *Table) Scan(from uint32, n int, fn func(b *lease.Binding)) (next uint32) {
	for ref := max(from, 1); ref < t.entries.used; ref++ {
		if n--; n < 0 {
			return ref
		}
		if t.entries.at(ref).phase == unused {
			continue
		}
		t.fill(ref, &t.scratch)
		fn(&t.scratch)
	}
	return 0
}

// fill sets b to the binding of an entry. Its slices are views.
func (t *Table) fill(ref uint32, b *lease.Binding) {
	e := t.entries.at(ref)
	w := t.arena.owner(e.blob)
	*b = lease.Binding{
		ID: lease.ID{Addr: free.Addr(e.addr)}, Subnet: t.slots[e.slot].conf.ID, State: e.record,
		Client: w.client, HWType: w.hwType, HWAddr: w.hwAddr, Source: w.source, RemoteID: w.remoteID,
		Point: t.arena.bytes(t.pointAt(e.point).blob),
		Start: unpack(e.start), Changed: unpack(e.changed), Expires: unpack(e.expires),
	}
	if e.phase == offered {
		b.State, b.Expires = lease.Offered, unpack(t.offers.offers[e.offer].deadline)
	}
}
