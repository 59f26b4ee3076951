package table

import (
	"hash/maphash"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/pages"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/index"
)

// point is an attachment point of some entry.
type point struct {
	hash   uint32
	blob   uint32 // its octets; next unused point in the list of those
	refs   uint32 // entries at this point, and points that are counted by it
	active uint32 // leases, offers and quarantines, here and at all points that are counted by this one
	by     uint32 // the point by which the entries are counted; 0: this one
	holder uint32 // in offers, 0 while it has none
}

// points are the attachment points of all entries, in chunks. There are few if clients share
// attachment points, otherwise as many as leases.
type points struct {
	chunks pages.Chunks[[chunkSize]point]
	used   uint32
	free   uint32
	index  index.Index
}

func newPoints() points { return points{used: 1} }

func (t *Table) pointAt(ref uint32) *point {
	return &t.points.chunks.All[ref/chunkSize][ref%chunkSize]
}

// counter returns the number of the point by which the entries of a point are counted.
func (t *Table) counter(ref uint32) uint32 {
	if by := t.pointAt(ref).by; by != 0 {
		return by
	}
	return ref
}

// findPoint returns the number of a point, 0 if no entry has it.
func (t *Table) findPoint(octets []byte) (ref, hash uint32) {
	hash = uint32(maphash.Bytes(t.seed, octets))
	p := t.points.index.Walk(hash)
	for ref := p.Next(); ref != 0; ref = p.Next() {
		q := t.pointAt(ref)
		if q.hash == hash && string(t.arena.bytes(q.blob)) == string(octets) {
			return ref, hash
		}
	}
	return 0, hash
}

// takePoint returns the number of a point, which it makes if need be, and counts a reference to it.
func (t *Table) takePoint(octets []byte) uint32 {
	octets = octets[:min(len(octets), 255)]
	ref, hash := t.findPoint(octets)
	if ref == 0 {
		ref = t.newPoint()
		*t.pointAt(ref) = point{hash: hash, blob: t.arena.makeBytes(octets)}
		t.points.index.Add(hash, ref)
		if count := attachment.CountOf(octets); len(count) < len(octets) {
			by := t.takePoint(count)
			t.pointAt(ref).by = by
		}
	}
	t.pointAt(ref).refs++
	return ref
}

func (t *Table) newPoint() uint32 {
	s := &t.points
	if ref := s.free; ref != 0 {
		s.free = t.pointAt(ref).blob
		return ref
	}
	ref := s.used
	s.used++
	if int(ref/chunkSize) == len(s.chunks.All) {
		s.chunks.Add()
	}
	return ref
}

// leavePoint drops a reference.
func (t *Table) leavePoint(ref uint32) {
	q := t.pointAt(ref)
	if q.refs--; q.refs > 0 {
		return
	}
	if q.by != 0 {
		t.leavePoint(q.by)
	}
	t.points.index.Remove(q.hash, ref)
	t.arena.drop(q.blob)
	*q = point{blob: t.points.free}
	t.points.free = ref
}
