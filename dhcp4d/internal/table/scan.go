package table

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/pool"
)

// Release ends the binding of an address by order of the operator and
// reports whether there was one. The record to be written is added to group;
// Options.Ended is not told.
func (t *Table) Release(addr netip.Addr, now lease.Time, seq uint64, group *lease.Batch) bool {
	ref := t.fresh(addr, now)
	if ref == 0 || t.entries.at(ref).phase != bound {
		return false
	}
	t.release(ref, now, seq, group)
	return true
}

// Get fills b with what is known of an address. The bytes are valid until the
// table is changed.
func (t *Table) Get(addr netip.Addr, b *lease.Binding) bool {
	if !addr.Is4() {
		return false
	}
	ref := t.byAddr(pool.Number(addr))
	if ref != 0 {
		t.fill(ref, b)
	}
	return ref != 0
}

// ByClient calls fn for every binding and offer, present and former, of a
// client in the subnet with a configured id. fn must not use the table; b is
// valid during the call.
func (t *Table) ByClient(subnet uint32, client []byte, fn func(b *lease.Binding)) {
	slot, ok := t.byID[subnet]
	if !ok {
		return
	}
	var buf [maxOwn]uint32
	for _, ref := range t.own(slot, t.clientHash(slot, client), client, &buf) {
		t.fill(ref, &t.scratch)
		fn(&t.scratch)
	}
}

// OfClient calls fn for what a client has or had in any subnet, configured or
// not. It looks at n subnets from place from on and returns the place where to
// go on, 0 at the end. fn must not use the table; b is valid during the call.
func (t *Table) OfClient(client []byte, from, n uint32, fn func(b *lease.Binding)) (next uint32) {
	slots := uint32(len(t.slots))
	end := min(from+n, slots)
	for slot := from; slot < end; slot++ {
		var buf [maxOwn]uint32
		for _, ref := range t.own(slot, t.clientHash(slot, client), client, &buf) {
			t.fill(ref, &t.scratch)
			fn(&t.scratch)
		}
	}
	if end == slots {
		return 0
	}
	return end
}

// Scan looks at n places from place from on (0 = the start), calls fn for the
// entries there, in no particular order, and returns the place where to go on,
// 0 at the end.
// Entries that are made between two calls may be missed, none comes twice
// unless it ended and was made again. fn must not use the table; b is valid
// during the call. An expired binding is shown as bound with its end in the
// past, as on disk.
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

// fill makes a binding of an entry; its slices are views.
func (t *Table) fill(ref uint32, b *lease.Binding) {
	e := t.entries.at(ref)
	w := t.arena.who(e.blob)
	*b = lease.Binding{
		Addr: pool.Addr(e.addr), Subnet: t.slots[e.slot].conf.ID, State: e.record,
		Client: w.client, HWType: w.hwType, HWAddr: w.hwAddr, Source: w.source,
		Point: t.arena.bytes(t.pointAt(e.point).blob),
		Start: unpack(e.start), Changed: unpack(e.changed), Expires: unpack(e.expires),
	}
	if e.phase == offered {
		b.State, b.Expires = lease.Offered, unpack(t.offers.offers[e.offer].deadline)
	}
}
