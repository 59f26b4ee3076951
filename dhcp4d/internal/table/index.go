package table

import "math/bits"

// index is a hash table from 32-bit hashes to references, which are never 0.
// Equal hashes are allowed; whoever looks compares. It consists of many small
// tables with open addressing, each of which grows by itself, so that no
// packet waits until a table of millions is built anew. The high bits of a
// hash choose the small table, the low bits the place in it, and eight in
// between stand in the slot, so that nearly all references looked at are
// the wanted ones.
type index struct {
	segments []segment
	hash     func(ref uint32) uint32
	spare    [32]spare // by the logarithm of a segment's size
}

// spare is memory for the next segments that grow to one size. Segments grow
// at about the same time, so it is allocated for many of them together; the
// collector takes it when the last of them has grown on.
type spare struct {
	refs []uint32
	tags []uint8
}

// together is the number of segments that get their memory at once.
const together = 128

type segment struct {
	refs []uint32
	tags []uint8
	n    int
}

const (
	segmentBits = 10
	minSegment  = 8
)

func newIndex(hash func(ref uint32) uint32) index {
	return index{segments: make([]segment, 1<<segmentBits), hash: hash}
}

func tag(hash uint32) uint8 { return uint8(hash >> (24 - segmentBits)) }

// probe walks over the references whose hash is probably h.
type probe struct {
	s    *segment
	at   uint32
	tag  uint8
	some bool
}

func (x *index) probe(h uint32) probe {
	s := &x.segments[h>>(32-segmentBits)]
	return probe{s, h, tag(h), s.n > 0}
}

// next is the next reference, 0 at the end.
func (p *probe) next() uint32 {
	if !p.some {
		return 0
	}
	refs := p.s.refs
	mask := uint32(len(refs) - 1)
	for {
		i := p.at & mask
		ref := refs[i]
		if ref == 0 {
			p.some = false
			return 0
		}
		p.at++
		if p.s.tags[i] == p.tag {
			return ref
		}
	}
}

func (x *index) add(h, ref uint32) {
	s := &x.segments[h>>(32-segmentBits)]
	if s.n*8 >= len(s.refs)*7 {
		x.grow(s)
	}
	s.put(h, ref)
	s.n++
}

func (s *segment) put(h, ref uint32) {
	mask := uint32(len(s.refs) - 1)
	i := h & mask
	for s.refs[i] != 0 {
		i = (i + 1) & mask
	}
	s.refs[i], s.tags[i] = ref, tag(h)
}

func (x *index) grow(s *segment) {
	old := s.refs
	size := max(2*len(old), minSegment)
	m := &x.spare[bits.Len(uint(size))]
	if len(m.refs) == 0 {
		m.refs, m.tags = make([]uint32, size*together), make([]uint8, size*together)
	}
	s.refs, m.refs = m.refs[:size:size], m.refs[size:]
	s.tags, m.tags = m.tags[:size:size], m.tags[size:]
	for _, ref := range old {
		if ref != 0 {
			s.put(x.hash(ref), ref)
		}
	}
}

// remove takes a reference out, and closes the gap so that no walk ends early.
func (x *index) remove(h, ref uint32) {
	s := &x.segments[h>>(32-segmentBits)]
	mask := uint32(len(s.refs) - 1)
	i := h & mask
	for s.refs[i] != ref {
		i = (i + 1) & mask
	}
	for j := i; ; {
		j = (j + 1) & mask
		r := s.refs[j]
		if r == 0 {
			break
		}
		// The one at j may move to i if its own place is not between them.
		if home := x.hash(r) & mask; (j-home)&mask >= (j-i)&mask {
			s.refs[i], s.tags[i] = r, s.tags[j]
			i = j
		}
	}
	s.refs[i] = 0
	s.n--
}
