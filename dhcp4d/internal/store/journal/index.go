package journal

import (
	"encoding/binary"
	"math/bits"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/pages"
)

// An index has the position in a journal of each binding's latest record. An entry takes 8 octets
// of a hash table that is at most seven eighths full. The index consists of shards. Each shard
// grows by itself, so that no commit waits until a table of millions is rebuilt. The few bindings
// that share an address by port sets are in a map.
type index struct {
	shards [shards]shard
	spare  [32][]entry // memory for the next shards that grow, by the logarithm of their size
	shared map[uint64]uint32
	read   uint32 // written by prefetch
}

// A shard is a hash table with open addressing. Its number of entries is a power of two.
type shard struct {
	entries []entry
	used    int
}

// An entry is an address and a position. Position 0 is none.
type entry struct{ addr, at uint32 }

const (
	shardBits = 8
	shards    = 1 << shardBits
	leastSize = 8
	// From this size on, all shards get their memory together, so that it can be huge pages. They
	// grow at about the same time.
	together = 1024
)

// position returns the place of the nth record of a segment: the low half of the segment's number,
// and nth.
func position(segment uint32, nth int) uint32 { return segment<<16 | uint32(nth) }

// keyOf parses the key of a record: see appendKey.
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

// hashOf returns the hash of an address: its high bits choose the shard, its low bits the entry.
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

// find returns the number of the entry that addr has or would get. The shard must have room.
func (s *shard) find(addr, hash uint32) uint32 {
	mask := uint32(len(s.entries) - 1)
	i := hash & mask
	for s.entries[i].at != 0 && s.entries[i].addr != addr {
		i = (i + 1) & mask
	}
	return i
}

// prefetch reads for all records of a commit what put is about to read for each of them, so that
// the cache misses overlap.
func (x *index) prefetch(records []lease.Binding) {
	sum := uint32(0)
	for i := range records {
		a := records[i].Addr.As4()
		s, hash := x.of(binary.BigEndian.Uint32(a[:]))
		if n := len(s.entries); n > 0 {
			sum += s.entries[hash&uint32(n-1)].at
		}
	}
	x.read = sum // so that the compiler keeps the reads
}

// get returns the place of the record with the same key, 0 if there is none.
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

// put notes the place of a record and returns the place of the one that it replaces.
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

// remove forgets a binding and returns the position that it had.
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
	// Move up the entries behind the hole that collisions have put there.
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
