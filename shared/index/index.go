// Package index finds entries by a hash of what they are about.
package index

import (
	"encoding/binary"
	"math/bits"
)

// Index is a hash table from 32-bit hashes to references, which are never 0. Entries with equal
// hashes are allowed: the caller compares the keys. The index consists of many small tables with
// open addressing. Each grows by itself, so that no packet waits until a table of millions is
// rebuilt. The high bits of a hash choose the small table, the low bits the slot in it. Eight bits
// between them are kept in the slot beside the reference, so that a walk follows hardly any wrong
// reference.
type Index struct {
	segments []segment
	hash     func(ref uint32) uint32
	memory   func(n int) []byte
	spare    [32][]byte // memory for the next segments that grow, by the logarithm of their size
}

// segment is a small table: slots of 5 octets, the reference, little-endian, and eight bits of its
// hash. A walk goes to neighbouring slots, so it costs one or two lines of cache.
type segment struct {
	slots []byte
	mask  uint32 // slots - 1
	n     uint32
}

const (
	segmentBits = 10
	minSegment  = 8
	slotSize    = 5
	// few is how many small segments get their memory together, because segments grow at about the
	// same time. Once their memory fills huge pages, all segments get it together. The garbage
	// collector takes the old memory when the last of them has grown.
	few = 128
)

// New makes an empty index. Hash returns the hash of an entry, memory makes n octets that are zero.
func New(hash func(ref uint32) uint32, memory func(n int) []byte) Index {
	return Index{segments: make([]segment, 1<<segmentBits), hash: hash, memory: memory}
}

func tag(hash uint32) uint8 { return uint8(hash >> (24 - segmentBits)) }

func (s *segment) at(i uint32) (ref uint32, tag uint8) {
	b := s.slots[i*slotSize:][:slotSize]
	return binary.LittleEndian.Uint32(b), b[4]
}

func (s *segment) set(i, ref uint32, tag uint8) {
	b := s.slots[i*slotSize:][:slotSize]
	binary.LittleEndian.PutUint32(b, ref)
	b[4] = tag
}

// Walk goes over the references whose hash is probably the one that is sought.
type Walk struct {
	s   *segment
	i   uint32
	tag uint8
}

// Walk begins a walk over the references whose hash is probably h.
func (x *Index) Walk(h uint32) Walk {
	s := &x.segments[h>>(32-segmentBits)]
	return Walk{s, h & s.mask, tag(h)}
}

// Touch reads the slot where the walk begins, for its cache miss. What it returns means nothing.
func (w *Walk) Touch() uint32 {
	if w.s == nil || w.s.n == 0 {
		return 0
	}
	return uint32(w.s.slots[w.i*slotSize])
}

// Next returns the next reference, 0 at the end.
func (w *Walk) Next() uint32 {
	if w.s.n == 0 {
		return 0
	}
	for {
		ref, tag := w.s.at(w.i)
		if ref == 0 {
			return 0
		}
		w.i = (w.i + 1) & w.s.mask
		if tag == w.tag {
			return ref
		}
	}
}

// Add enters a reference.
func (x *Index) Add(h, ref uint32) {
	s := &x.segments[h>>(32-segmentBits)]
	if s.slots == nil || s.n*8 >= (s.mask+1)*7 {
		x.grow(s)
	}
	s.put(h, ref)
	s.n++
}

func (s *segment) put(h, ref uint32) {
	i := h & s.mask
	for {
		if there, _ := s.at(i); there == 0 {
			break
		}
		i = (i + 1) & s.mask
	}
	s.set(i, ref, tag(h))
}

func (x *Index) grow(s *segment) {
	old := *s
	size := uint32(minSegment)
	if old.slots != nil {
		size = 2 * (old.mask + 1)
	}
	m := &x.spare[bits.Len32(size)]
	if len(*m) == 0 {
		n := size * slotSize * few
		if n >= 1<<20 {
			n = size * slotSize << segmentBits
		}
		*m = x.memory(int(n))
	}
	s.slots, *m = (*m)[:size*slotSize:size*slotSize], (*m)[size*slotSize:]
	s.mask = size - 1
	for i := uint32(0); old.slots != nil && i <= old.mask; i++ {
		if ref, _ := old.at(i); ref != 0 {
			s.put(x.hash(ref), ref)
		}
	}
}

// Remove removes a reference, which must be there, and closes the gap so that no walk ends early.
func (x *Index) Remove(h, ref uint32) {
	s := &x.segments[h>>(32-segmentBits)]
	hole := h & s.mask
	for {
		if there, _ := s.at(hole); there == ref {
			break
		}
		hole = (hole + 1) & s.mask
	}
	for j := hole; ; {
		j = (j + 1) & s.mask
		r, tag := s.at(j)
		if r == 0 {
			break
		}
		// The one at j may move to the hole if its own slot is not between them.
		if home := x.hash(r) & s.mask; (j-home)&s.mask >= (j-hole)&s.mask {
			s.set(hole, r, tag)
			hole = j
		}
	}
	s.set(hole, 0, 0)
	s.n--
}
