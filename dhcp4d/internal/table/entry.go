package table

import (
	"cmp"
	"math"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/pages"
)

// phase is the state of an entry. All phases but idle and unused are active: the pool has the
// address as taken or resting, the entry counts at its attachment point, and it is in the wheel
// unless it never ends.
type phase uint8

const (
	unused  phase = iota
	bound         // a binding in force; may have an offer that outlives it
	offered       // held by an offer only
	resting       // in quarantine
	idle          // the binding has ended by time or release; the entry remembers its client
	phases  = iota
)

// entry is everything that is known about one address.
type entry struct {
	addr    uint32
	slot    uint32 // subnet
	hash    uint32 // of slot and client
	blob    uint32 // client, hardware address, source
	point   uint32
	offer   uint32 // the hold of an OFFER, 0 = none
	expires uint32 // of the record
	start   uint32
	changed uint32
	seq     uint32 // commit group of the record, low half
	prev    uint32 // in a slot of the wheel
	next    uint32 // the same; in an unused entry the next unused one
	phase   phase
	record  lease.State // what this client's record says; NoState: it has none
	used    bool        // the address was bound before, to any client
}

// laterThan orders the entries of one client by the time of their records, and by address if the
// times are equal.
func (e *entry) laterThan(o *entry) bool {
	return cmp.Or(
		cmp.Compare(e.changed, o.changed),
		cmp.Compare(e.seq, o.seq),
		cmp.Compare(e.expires, o.expires),
		cmp.Compare(e.addr, o.addr)) > 0
}

const chunkSize = 1 << 12

// slab holds the entries. Number 0 means no entry.
type slab struct {
	chunks pages.Chunks[[chunkSize]entry]
	used   uint32 // entries ever used, number 0 included
	free   uint32 // first unused one
	n      int
}

func (s *slab) at(ref uint32) *entry { return &s.chunks.All[ref/chunkSize][ref%chunkSize] }

func (s *slab) make() uint32 {
	s.n++
	if ref := s.free; ref != 0 {
		e := s.at(ref)
		s.free = e.next
		*e = entry{}
		return ref
	}
	if s.used == 0 {
		s.used = 1
	}
	ref := s.used
	s.used++
	if int(ref/chunkSize) == len(s.chunks.All) {
		s.chunks.Add()
	}
	return ref
}

func (s *slab) drop(ref uint32) {
	*s.at(ref) = entry{next: s.free}
	s.free = ref
	s.n--
}

// Times are kept in 32 bits, good until 2106; the highest is Never.
const never = math.MaxUint32

func pack(t lease.Time) uint32 {
	if t == lease.Never {
		return never
	}
	return uint32(min(max(t, 0), never-1))
}

func unpack(t uint32) lease.Time {
	if t == never {
		return lease.Never
	}
	return lease.Time(t)
}
