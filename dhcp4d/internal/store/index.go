package store

import (
	"encoding/binary"
	"math/bits"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/pages"
)

// An index says where in a journal the latest record of a binding is: 8 octets
// of a table that is at most seven eighths full. It consists of shards, each
// of which grows by itself, so that no commit waits until a table of millions
// is built anew. Bindings that share an address by port sets, of which there
// are few, are in a map.
type index struct {
	shards [shards]shard
	spare  [32][]entry // memory for the next shards that grow, by the logarithm of their size
	shared map[uint64]uint32
	read   uint32 // by ahead
}

// A shard is a table with open addressing: a power of two of entries, of which
// some are used.
type shard struct {
	entries []entry
	used    int
}

// An entry is an address and a place; place 0 is none.
type entry struct{ addr, at uint32 }

const (
	shardBits = 8
	shards    = 1 << shardBits
	leastSize = 8
	// From this size on all shards get their memory together, as they grow at
	// about the same time: huge pages fit into it then.
	together = 1024
)

// place is a record of a segment, by the low half of the segment's number.
func place(segment uint32, nth int) uint32 { return segment<<16 | uint32(nth) }

// keyOf takes a record's key apart: see appendKey.
func keyOf(record []byte) (addr, ports uint32) {
	return binary.BigEndian.Uint32(record[1:]), binary.BigEndian.Uint32(record[5:])
}

func (x *index) reset() { *x = index{} }

func (x *index) octets() (n int) {
	for i := range x.shards {
		n += 8 * len(x.shards[i].entries)
	}
	return n + 64*len(x.shared)
}

// hashOf spreads addresses: the high bits choose the shard, the low ones the
// place in it.
func hashOf(addr uint32) uint32 {
	h := addr * 0x9e3779b1
	h ^= h >> 15
	h *= 0x85ebca77
	return h ^ h>>13
}

func (x *index) of(addr uint32) (s *shard, hash uint32) {
	hash = hashOf(addr)
	return &x.shards[hash>>(32-shardBits)], hash
}

// find is where addr is or would be in a shard that has room.
func (s *shard) find(addr, hash uint32) uint32 {
	mask := uint32(len(s.entries) - 1)
	i := hash & mask
	for s.entries[i].at != 0 && s.entries[i].addr != addr {
		i = (i + 1) & mask
	}
	return i
}

// ahead reads, for all records of a commit, what put is about to read for
// each: so they are fetched from memory at the same time, and not one after
// the other.
func (x *index) ahead(records []lease.Binding) {
	sum := uint32(0)
	for i := range records {
		a := records[i].Addr.As4()
		s, hash := x.of(binary.BigEndian.Uint32(a[:]))
		if n := len(s.entries); n > 0 {
			sum += s.entries[hash&uint32(n-1)].at
		}
	}
	x.read = sum // so that the compiler does not leave it out
}

// get is the place of the record that has the key of this one, 0 for none.
func (x *index) get(record []byte) uint32 {
	addr, ports := keyOf(record)
	if ports != 0 {
		return x.shared[uint64(addr)<<32|uint64(ports)]
	}
	s, hash := x.of(addr)
	if s.used == 0 {
		return 0
	}
	return s.entries[s.find(addr, hash)].at
}

// put notes the place of a record and returns the place that it had.
func (x *index) put(record []byte, at uint32) (old uint32, had bool) {
	addr, ports := keyOf(record)
	if ports != 0 {
		k := uint64(addr)<<32 | uint64(ports)
		if x.shared == nil {
			x.shared = make(map[uint64]uint32)
		}
		old, had = x.shared[k]
		x.shared[k] = at
		return old, had
	}
	s, hash := x.of(addr)
	if s.used >= len(s.entries)/8*7 {
		x.grow(s)
	}
	e := &s.entries[s.find(addr, hash)]
	old = e.at
	*e = entry{addr, at}
	if old == 0 {
		s.used++
	}
	return old, old != 0
}

// remove forgets a binding and returns the place that it had.
func (x *index) remove(record []byte) (old uint32, had bool) {
	addr, ports := keyOf(record)
	if ports != 0 {
		k := uint64(addr)<<32 | uint64(ports)
		old, had = x.shared[k]
		delete(x.shared, k)
		return old, had
	}
	s, hash := x.of(addr)
	if s.used == 0 {
		return 0, false
	}
	hole := s.find(addr, hash)
	if old = s.entries[hole].at; old == 0 {
		return 0, false
	}
	s.used--
	// Entries behind the hole that collided on their way move up.
	mask := uint32(len(s.entries) - 1)
	for i := (hole + 1) & mask; s.entries[i].at != 0; i = (i + 1) & mask {
		if home := hashOf(s.entries[i].addr) & mask; (i-home)&mask >= (i-hole)&mask {
			s.entries[hole] = s.entries[i]
			hole = i
		}
	}
	s.entries[hole] = entry{}
	return old, true
}

func (x *index) grow(s *shard) {
	old := s.entries
	size := max(leastSize, 2*len(old))
	m := &x.spare[bits.Len(uint(size))]
	if len(*m) == 0 {
		n := size
		if size >= together {
			n = size * shards
		}
		*m = pages.Make[entry](n)
	}
	s.entries, *m = (*m)[:size:size], (*m)[size:]
	for _, e := range old {
		if e.at != 0 {
			s.entries[s.find(e.addr, hashOf(e.addr))] = e
		}
	}
}
