package table

import (
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/free"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/index"
)

// prefetched is what Prefetch has found for one query.
type prefetched struct {
	client  index.Walk // walks over the entries of its client
	address index.Walk // walks over the entries of the address that it is about
	ref     uint32     // the first entry that may be its client's, 0 for none
}

// Prefetch reads what Look and Apply will read for each query of a batch, so that the processor's
// cache has it by then. In a table of a million leases nearly every read is a cache miss. The reads
// of one query depend on each other, so their misses add up. The reads of different queries do not,
// so their misses overlap.
func (t *Table) Prefetch(queries []*lease.Query) {
	t.prefetched = t.prefetched[:0]
	discovers := uint32(0)
	for _, q := range queries {
		slot := t.order[q.Subnet]
		a := prefetched{client: t.clients.Walk(t.clientHash(slot, q.Client))}
		switch named := q.Named(); {
		case named.Is4():
			a.address = t.addrs.Walk(t.addrHash(free.Number(named)))
		case q.Type == dhcp4.Discover:
			// It is mostly a new client, which will get the next address.
			if next, ok := t.slots[slot].free.Next(q.Groups); ok {
				a.address = t.addrs.Walk(t.addrHash(next + discovers))
				discovers++
			}
		}
		t.prefetched = append(t.prefetched, a)
	}
	// Each loop reads at the addresses that the loop before has found. The rounds of one loop do
	// not depend on each other.
	sum := uint32(0)
	for i := range t.prefetched {
		a := &t.prefetched[i]
		sum += a.client.Touch() + a.address.Touch()
	}
	for i := range t.prefetched {
		a := &t.prefetched[i]
		if a.ref = a.client.Next(); a.ref != 0 {
			e := t.entries.at(a.ref)
			sum += e.addr + e.next
		}
	}
	for i := range t.prefetched {
		if ref := t.prefetched[i].ref; ref != 0 {
			e := t.entries.at(ref)
			b := t.arena.at(e.blob)
			sum += uint32(b[0]) + uint32(b[min(len(b)-1, line-1)]) + t.pointAt(e.point).blob
		}
	}
	for i := range t.prefetched {
		if ref := t.prefetched[i].ref; ref != 0 {
			sum += uint32(t.arena.at(t.pointAt(t.entries.at(ref).point).blob)[0])
		}
	}
	t.read = sum // otherwise the compiler would leave out the reads
}

// line is a line of cache.
const line = 64
