package table

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/free"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
)

// Load adds a record from disk. Records may come in any order, and Loaded must follow the last one.
// A record replaces an earlier one of the same address. The error says what is wrong with the
// record. Then the table has not changed.
func (t *Table) Load(b *lease.Binding, now lease.Time) error {
	switch {
	case !b.Addr.Is4():
		return fmt.Errorf("loading a lease: %v is no IPv4 address", b.Addr)
	case b.Ports != lease.AllPorts:
		return fmt.Errorf("loading the lease of %v: shared addresses are not supported", b.Addr)
	case b.State != lease.Bound && b.State != lease.Released && b.State != lease.Declined:
		return fmt.Errorf("loading the lease of %v: state %v is not one of a record", b.Addr, b.State)
	case len(b.Client) == 0 || len(b.Client) > 256:
		return fmt.Errorf("loading the lease of %v: client key of %d octets, want 1 to 256", b.Addr, len(b.Client))
	case len(b.Point) > 255 || len(b.HWAddr) > maxHWAddr:
		return fmt.Errorf("loading the lease of %v: attachment point of %d and hardware address of %d octets, "+
			"want at most 255 and %d",
			b.Addr, len(b.Point), len(b.HWAddr), maxHWAddr)
	case len(b.RemoteID) > lease.MaxRemoteID:
		return fmt.Errorf("loading the lease of %v: Remote-Id of %d octets, want at most %d", b.Addr, len(b.RemoteID),
			lease.MaxRemoteID)
	}
	addr := free.Number(b.Addr)
	if ref := t.byAddr(addr); ref != 0 {
		t.forget(ref)
	}
	slot, ok := t.slotCovering(addr)
	if !ok {
		slot = t.slotOf(b.Subnet)
	}
	if f := t.freeOf(addr, slot); f != nil {
		f.Take(addr)
	}
	t.point = append(t.point[:0], b.Point...)
	point := attachment.Stored(t.point)
	w := owner{b.Client, b.HWType, b.HWAddr, b.Source.WithZone(""), lease.BesidePoint(point, b.RemoteID)}
	ref := t.entries.make()
	e := t.entries.at(ref)
	*e = entry{
		addr: addr, slot: slot, hash: t.clientHash(slot, b.Client),
		blob: t.arena.makeOwner(&w), point: t.takePoint(point),
		expires: pack(b.Expires), start: pack(b.Start), changed: pack(b.Changed), record: b.State, used: true,
	}
	t.addrs.Add(t.addrHash(addr), ref)
	t.clients.Add(e.hash, ref)
	if b.State == lease.Bound && b.Expires > now {
		t.setPhase(e, bound)
		t.schedule(ref)
		return nil
	}
	t.setPhase(e, idle)
	t.unsorted = append(t.unsorted, ref)
	return nil
}

// Refused takes back the record of an identity in commit group seq, which the store has refused
// because another client holds the identity. It loads the record of that holder instead. Nothing
// changes if a later group has a record of the identity, because the store judges that one too. If
// the holder's record cannot be loaded, the address becomes free; the error is that of Load.
func (t *Table) Refused(id lease.ID, holder *lease.Binding, seq uint64, now lease.Time) error {
	var wrong error
	if holder.ID != id {
		wrong, holder = fmt.Errorf("%v is held as %v", id.Addr, holder.Addr), &lease.Binding{ID: id}
	}
	_, err := t.Foreign(holder, seq, now)
	return errors.Join(wrong, err)
}

// Foreign takes over the record of an identity that another process has changed, as it was read
// from the store after commit group seq. In lease.NoState nobody has the identity any more. Later
// reports that a later group has a record of the identity. Then nothing changes, and the record
// must be read again after that group. If the record cannot be loaded, the address becomes free;
// the error is that of Load.
func (t *Table) Foreign(b *lease.Binding, seq uint64, now lease.Time) (later bool, err error) {
	ref := t.byAddr(free.Number(b.Addr))
	if t.isLater(ref, seq) {
		return true, nil
	}
	if b.State != lease.NoState {
		if err = t.Load(b, now); err == nil {
			t.Loaded(now)
			return false, nil
		}
	}
	if ref != 0 {
		addr, f := t.entries.at(ref).addr, t.freeOf(t.entries.at(ref).addr, t.entries.at(ref).slot)
		t.forget(ref)
		if f != nil {
			f.Return(addr, true)
		}
	}
	return false, err
}

// IsLater reports whether the record of an address is of a commit group later than seq.
func (t *Table) IsLater(a netip.Addr, seq uint64) bool {
	return t.isLater(t.byAddr(free.Number(a)), seq)
}

func (t *Table) isLater(ref uint32, seq uint64) bool {
	if ref == 0 {
		return false
	}
	e := t.entries.at(ref)
	return e.record != lease.NoState && t.pending(e) > seq
}

// forget removes an entry that another one is about to replace.
func (t *Table) forget(ref uint32) {
	e := t.entries.at(ref)
	if i := slices.Index(t.unsorted, ref); i >= 0 {
		t.unsorted = slices.Delete(t.unsorted, i, i+1)
	}
	if e.offer != 0 {
		t.unhold(ref)
	}
	if f := t.freeOf(e.addr, e.slot); f != nil {
		f.Wake(e.addr)
	}
	t.remove(ref)
}

// Loaded ends loading. Quarantines continue. Other addresses that are not in force become free, the
// longest unused first.
func (t *Table) Loaded(now lease.Time) {
	t.sortByEnd(t.unsorted)
	for _, ref := range t.unsorted {
		e := t.entries.at(ref)
		switch {
		case e.record == lease.Declined && e.expires > pack(now):
			t.setPhase(e, resting)
			t.schedule(ref)
			t.rest(ref)
		case e.record == lease.Declined || t.hasLater(e):
			t.giveBack(ref, true)
		default:
			t.retire(ref)
		}
	}
	t.unsorted = nil
}

// hasLater reports whether the client of an idle entry has a binding, or had one later. Then the
// client will not ask for this one.
func (t *Table) hasLater(e *entry) bool {
	client := t.arena.client(e.blob)
	p := t.clients.Walk(e.hash)
	for ref := p.Next(); ref != 0; ref = p.Next() {
		o := t.entries.at(ref)
		if o == e || !t.is(o, e.slot, e.hash, client) || o.record == lease.Declined {
			continue
		}
		if o.phase == bound || o.expires > e.expires || (o.expires == e.expires && o.addr > e.addr) {
			return true
		}
	}
	return false
}

// slotOf returns the slot of a subnet's id, even if the subnet is not configured now.
func (t *Table) slotOf(id uint32) uint32 {
	s, ok := t.byID[id]
	if !ok {
		s = uint32(len(t.slots))
		t.byID[id] = s
		t.slots = append(t.slots, slot{conf: Subnet{ID: id}})
	}
	return s
}

// Reconfigure takes a new list of subnets. A lease belongs to the subnet that has its address, so
// it continues if its subnet gets another id, is split or is merged. A binding outside of all
// subnets stays until it ends. lease.Facts then says that it is outside of the subnet or of its
// pools. Reconfigure walks over all entries, unless nothing has changed.
func (t *Table) Reconfigure(subnets []Subnet) {
	old, changed := t.configure(subnets)
	if !changed {
		return
	}
	var quarantine []uint32
	for ref := uint32(1); ref < t.entries.used; ref++ {
		e := t.entries.at(ref)
		if s, ok := t.slotCovering(e.addr); ok && s != e.slot && e.phase != unused {
			t.move(ref, s)
		}
		f := t.freeOf(e.addr, e.slot)
		switch {
		case e.phase.active() && f != nil:
			f.Take(e.addr)
		case e.phase == idle && f == nil && !t.isReserved(e):
			t.remove(ref)
		}
		if e.phase == resting {
			quarantine = append(quarantine, ref)
		}
	}
	for s, gone := range old {
		gone.Queued(func(addr uint32) {
			if f := t.freeOf(addr, s); f != nil && f.Has(addr) {
				f.Take(addr)
				f.Return(addr, true)
			}
		})
	}
	t.sortByEnd(quarantine)
	for _, ref := range quarantine {
		t.rest(ref)
	}
}

// move puts an entry into another subnet.
func (t *Table) move(ref, to uint32) {
	e := t.entries.at(ref)
	t.slots[e.slot].counts[e.phase]--
	t.slots[to].counts[e.phase]++
	t.clients.Remove(e.hash, ref)
	e.slot, e.hash = to, t.clientHash(to, t.arena.client(e.blob))
	t.clients.Add(e.hash, ref)
}

// Unrenewed counts leases in force that are not renewed, because their addresses are outside of the
// configuration. They are kept until they end.
type Unrenewed struct {
	NoSubnet int // no subnet has the address
	NoPool   int // a subnet has it, but no pool does, and it is not reserved
}

// Unrenewed counts among n entries from a position on, and returns the position to continue at,
// like Scan.
func (t *Table) Unrenewed(from uint32, n int, into *Unrenewed) (next uint32) {
	for ref := max(from, 1); ref < t.entries.used; ref++ {
		if n--; n < 0 {
			return ref
		}
		e := t.entries.at(ref)
		if e.phase != bound {
			continue
		}
		if _, ok := t.slotCovering(e.addr); !ok {
			into.NoSubnet++
		} else if t.freeOf(e.addr, e.slot) == nil && !t.isReserved(e) {
			into.NoPool++
		}
	}
	return 0
}

func (t *Table) sortByEnd(refs []uint32) {
	slices.SortFunc(refs, func(a, b uint32) int {
		x, y := t.entries.at(a), t.entries.at(b)
		return cmp.Or(cmp.Compare(x.expires, y.expires), cmp.Compare(x.addr, y.addr))
	})
}

// configure makes the slots of the subnets and their free addresses. It returns the free addresses
// that are no longer in use, by slot, and whether any subnet has changed. A subnet that has not
// changed keeps its own.
func (t *Table) configure(subnets []Subnet) (old map[uint32]*free.Addresses, changed bool) {
	old = map[uint32]*free.Addresses{}
	for s := range t.slots {
		if f := t.slots[s].free; f != nil {
			old[uint32(s)], t.slots[s].free = f, nil
		}
	}
	t.order = t.order[:0]
	for i := range subnets {
		s := t.slotOf(subnets[i].ID)
		t.order = append(t.order, s)
		sl := &t.slots[s]
		if f := old[s]; f != nil && sl.conf.equal(&subnets[i]) {
			sl.free = f
			delete(old, s)
			continue
		}
		sl.set(&subnets[i])
		sl.free.SetShare(t.share)
		changed = true
	}
	t.link()
	t.prefixes = t.prefixes[:0]
	for _, s := range t.order {
		if sl := &t.slots[s]; sl.conf.Prefix.IsValid() {
			t.prefixes = append(t.prefixes, span{sl.base, sl.base | ^sl.mask, s})
		}
	}
	slices.SortFunc(t.prefixes, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	t.spans = t.spans[:0]
	for _, s := range t.order {
		for _, r := range t.slots[s].conf.Pools {
			t.spans = append(t.spans, span{free.Number(r.First), free.Number(r.Last), s})
		}
	}
	slices.SortFunc(t.spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	return old, changed || len(old) > 0
}

// link tells each slot which others are of its link.
func (t *Table) link() {
	links := map[int][]uint32{}
	for _, s := range t.order {
		if l := t.slots[s].conf.Link; l != 0 {
			links[l] = append(links[l], s)
		}
	}
	for i := range t.slots {
		t.slots[i].beside = nil
	}
	for _, all := range links {
		for _, s := range all {
			t.slots[s].beside = slices.DeleteFunc(slices.Clone(all), func(o uint32) bool { return o == s })
		}
	}
}

func (s *slot) set(conf *Subnet) {
	s.conf = *conf
	s.conf.Pools, s.conf.Excluded = slices.Clone(conf.Pools), slices.Clone(conf.Excluded)
	s.conf.Reserved = slices.Clone(conf.Reserved)
	s.conf.Times = slices.Clone(conf.Times)
	s.free = free.New(conf.Pools, conf.Excluded, conf.Reserved)
	s.mask = ^uint32(0)
	if conf.Prefix.Bits() < 32 {
		s.mask <<= 32 - conf.Prefix.Bits()
	}
	s.base = free.Number(conf.Prefix.Addr()) & s.mask
}
