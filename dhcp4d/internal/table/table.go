// Package table is the leases in memory: which client has which address of which subnet, and which
// addresses are offered, in quarantine, or free.
//
// The table never locks, never reads a clock and never touches a disk. The caller holds one lock
// around every call and passes the time. The table may be ahead of the disk by the commit groups in
// flight. After a failed commit the caller loads a new table from the disk.
//
// # Memory
//
// An address that a client has or had is an entry: 52 octets without pointers, in chunks that never
// move. The client's key, its hardware address, its IPv6 source and a Remote-Id that the attachment
// point does not have lie in a byte arena. So does the attachment point, which many entries may
// share. Hash tables with slots of 5 octets find entries by client and by address, and points by
// content. The few offers have their links and deadlines in a slab of their own. The package
// comment of free says what free addresses cost. The garbage collector has a few thousand pointers
// to follow, however many leases there are.
package table

import (
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/free"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/pages"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/index"
)

// Subnet is what the table must know about a configured subnet. lease.Query.Subnet is the position
// in the slice that New or Reconfigure got.
type Subnet struct {
	ID       uint32
	Prefix   netip.Prefix
	Pools    []free.Range  // given to any client, or to those whose Query.Groups has the group
	Times    []lease.Times // of each of Pools; nil: they have none of their own
	Excluded []free.Range  // but not these
	Reserved []netip.Addr  // given only to clients whose Query.Reservation has them; inside or outside of the pools
	// Link is the same for the subnets of one link, on which a client has one lease; 0: the subnet
	// is alone.
	Link int
}

func (s *Subnet) equal(o *Subnet) bool {
	return s.ID == o.ID && s.Prefix == o.Prefix && s.Link == o.Link &&
		slices.Equal(s.Pools, o.Pools) && slices.Equal(s.Times, o.Times) &&
		slices.Equal(s.Excluded, o.Excluded) && slices.Equal(s.Reserved, o.Reserved)
}

// Options are fixed for the life of a table.
type Options struct {
	// Offers is how many addresses may be held for OFFERs at one time. If there are more, the
	// attachment point with the most offers loses its oldest one. 0 means 65536.
	Offers int
	// Ended is called for leases that end by time, or because another lease replaces them:
	// EventExpired, EventReclaimed, EventReleased. Stored is the number of the commit group that
	// has the record of the lease, 0 if the lease was loaded. Any method with a time argument may
	// call it. It must not use the table, and b is valid during the call. It may be nil.
	Ended func(e lease.Event, b *lease.Binding, stored uint64)
}

// Counts are the numbers of a subnet's entries by state.
type Counts struct {
	Bound, Offered, Declined int
	Former                   int // expired or released, kept so that the client can have the address again
}

// Table holds all leases of a dhcp4d. It is not safe for concurrent use.
type Table struct {
	options Options
	seed    maphash.Seed
	mix     uint32

	entries    slab
	arena      arena
	points     points
	offers     offers
	wheel      wheel
	clients    index.Index // entries by subnet and client; several may have the same
	addrs      index.Index // entries by address
	slots      []slot
	byID       map[uint32]uint32 // configured id to slot
	order      []uint32          // position in the configuration to slot
	spans      []span            // all pools, ascending
	prefixes   []span            // all configured subnets, ascending
	hint       uint32            // the entry that was found last, or 0; it may have ended
	latest     uint64
	unsorted   []uint32      // loaded entries that are not in force, until Loaded
	scratch    lease.Binding // for callbacks
	point      []byte        // of the record at hand
	prefetched []prefetched  // of the batch at hand
	read       uint32        // by Prefetch
	share      free.Share
}

// slot is a subnet that was ever configured. A subnet that leaves the configuration keeps its slot,
// because it may have bindings, and has the same slot if it returns.
type slot struct {
	conf   Subnet
	free   *free.Addresses // nil while not configured
	base   uint32          // network address
	mask   uint32
	counts [phases]int
	// beside are the other slots of the link, nil if there are none.
	beside []uint32
}

func (s *slot) covers(addr uint32) bool { return s.free != nil && addr&s.mask == s.base }

// span is a run of addresses of one pool, for finding the subnet of an address.
type span struct{ first, last, slot uint32 }

// New makes a table without bindings. The subnets must not overlap.
func New(subnets []Subnet, options Options) *Table {
	if options.Offers <= 0 {
		options.Offers = 65536
	}
	t := &Table{options: options, seed: maphash.MakeSeed(), mix: rand.Uint32(), byID: map[uint32]uint32{}}
	t.points = newPoints()
	t.points.index = index.New(func(ref uint32) uint32 { return t.pointAt(ref).hash }, pages.Make[byte])
	t.clients = index.New(func(ref uint32) uint32 { return t.entries.at(ref).hash }, pages.Make[byte])
	t.addrs = index.New(func(ref uint32) uint32 { return t.addrHash(t.entries.at(ref).addr) }, pages.Make[byte])
	t.configure(subnets)
	return t
}

// Len returns the number of entries in all phases.
func (t *Table) Len() int { return t.entries.n }

// SetShare says which free addresses are given out first, because other processes lease the same
// ones.
func (t *Table) SetShare(s free.Share) {
	t.share = s
	for i := range t.slots {
		if f := t.slots[i].free; f != nil {
			f.SetShare(s)
		}
	}
}

// Counts returns the counts of the subnet at a position of the configuration.
func (t *Table) Counts(subnet int) Counts {
	c := &t.slots[t.order[subnet]].counts
	return Counts{Bound: c[bound], Offered: c[offered], Declined: c[resting], Former: c[idle]}
}

// Pool returns how many addresses one pool of a subnet has, without excluded and reserved ones, and
// how many of them are free. The subnet is given by its position in the configuration.
func (t *Table) Pool(subnet, index int) (size, free uint32) {
	return t.slots[t.order[subnet]].free.Use(index)
}

// pending returns the number of the commit group that makes e durable, 0 if the entry was loaded.
// An entry keeps the low 32 bits of the number. They wrap at 2^32: an entry that old may wait for
// an unrelated group, which is harmless.
func (t *Table) pending(e *entry) uint64 {
	return t.latest - uint64(uint32(t.latest)-e.seq)
}

func (t *Table) addrHash(addr uint32) uint32 {
	h := (addr ^ t.mix) * 0x9e3779b1
	h ^= h >> 15
	h *= 0x85ebca77
	h ^= h >> 13
	h *= 0xc2b2ae3d
	return h ^ h>>16
}

func (t *Table) clientHash(slot uint32, client []byte) uint32 {
	h := maphash.Bytes(t.seed, client) ^ uint64(slot)*0x9e3779b97f4a7c15
	return uint32(h>>32) ^ uint32(h)
}

// byAddr returns the entry of an address, 0 if it has none. Mostly it is the entry that was found
// by its client just before, which is in the processor's cache.
func (t *Table) byAddr(addr uint32) uint32 {
	if t.hint != 0 {
		if e := t.entries.at(t.hint); e.addr == addr && e.phase != unused {
			return t.hint
		}
	}
	p := t.addrs.Walk(t.addrHash(addr))
	for ref := p.Next(); ref != 0; ref = p.Next() {
		if t.entries.at(ref).addr == addr {
			return ref
		}
	}
	return 0
}

// is reports whether e belongs to the client with that hash in the subnet.
func (t *Table) is(e *entry, slot, hash uint32, client []byte) bool {
	return e.hash == hash && e.slot == slot && string(t.arena.client(e.blob)) == string(client)
}

// maxOwn is how many entries of one client in one subnet are considered. At one attachment point
// there can be two: a binding outside of the configuration, and an offer to replace it. More are at
// other points, or come from disk.
const maxOwn = 8

// own collects the entries of a client in a subnet. If there are more than maxOwn, it first leaves
// out those at other attachment points.
func (t *Table) own(v *view, refs *[maxOwn]uint32) []uint32 {
	n := 0
	p := t.clients.Walk(v.hash)
	for ref := p.Next(); ref != 0; ref = p.Next() {
		e := t.entries.at(ref)
		switch {
		case !t.is(e, v.slot, v.hash, v.q.Client):
		case n < maxOwn:
			refs[n] = ref
			n++
		case !t.apart(v, e):
			// The last one is mostly at another attachment point; the order is by chance.
			refs[n-1] = ref
		}
	}
	return refs[:n]
}

// apart reports whether an entry is in use at another attachment point than that of v.
func (t *Table) apart(v *view, e *entry) bool {
	var a lease.Address
	t.compare(v, e, &a)
	return e.phase.active() && a.Place == attachment.Apart
}

// freeOf returns the free addresses that an address returns to: those of its subnet, or of the
// subnet that has taken over the address. It returns nil if the address is in no pool.
func (t *Table) freeOf(addr, slot uint32) *free.Addresses {
	if f := t.slots[slot].free; f != nil && f.Covers(addr) {
		return f
	}
	if s, ok := find(t.spans, addr); ok {
		if f := t.slots[s].free; f.Covers(addr) {
			return f
		}
	}
	return nil
}

// slotCovering returns the configured subnet that has an address.
func (t *Table) slotCovering(addr uint32) (slot uint32, ok bool) { return find(t.prefixes, addr) }

// find returns the slot of the span that an address is in.
func find(spans []span, addr uint32) (slot uint32, ok bool) {
	i, _ := slices.BinarySearchFunc(spans, addr, func(s span, addr uint32) int {
		if s.last < addr {
			return -1
		}
		return 1
	})
	if i < len(spans) && spans[i].first <= addr {
		return spans[i].slot, true
	}
	return 0, false
}
