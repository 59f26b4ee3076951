package table

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/pages"
)

// arena keeps the byte strings of entries and points: blocks of a few sizes
// in large chunks, the unused blocks of a size in a list. A reference counts
// units of 8 octets over all chunks and is never 0.
//
// The block of an entry: length of the client's key - 1, htype, hlen with
// 0x80 added when a source follows, key, hardware address, source. The block
// of a point: length, octets. So each block tells its own size.
type arena struct {
	chunks pages.Chunks[[arenaChunk]byte]
	left   uint32 // unused units at the end of the last chunk
	free   [len(sizes)]uint32
}

const (
	unit       = 8
	arenaChunk = 1 << 18
	chunkUnits = arenaChunk / unit
)

// sizes of blocks, in units. The last holds the largest of all: a client key
// of 256 octets, 16 octets of hardware address and a source.
var sizes = [...]uint32{2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 37}

func class(octets int) int {
	units := uint32(octets+unit-1) / unit
	for i, s := range sizes {
		if units <= s {
			return i
		}
	}
	panic("table: block too large")
}

// at is the memory from a block on.
func (a *arena) at(ref uint32) []byte {
	return a.chunks.All[ref/chunkUnits][ref%chunkUnits*unit:]
}

func (a *arena) make(octets int) uint32 {
	c := class(octets)
	if ref := a.free[c]; ref != 0 {
		b := a.at(ref)
		a.free[c] = uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		return ref
	}
	if a.left < sizes[c] {
		a.chunks.Add()
		a.left = chunkUnits
		if len(a.chunks.All) == 1 {
			a.left-- // reference 0
		}
	}
	ref := uint32(len(a.chunks.All))*chunkUnits - a.left
	a.left -= sizes[c]
	return ref
}

func (a *arena) drop(ref uint32, octets int) {
	c, b := class(octets), a.at(ref)
	next := a.free[c]
	b[0], b[1], b[2], b[3] = byte(next), byte(next>>8), byte(next>>16), byte(next>>24)
	a.free[c] = ref
}

const hasSource = 0x80

// who is the content of an entry's block.
type who struct {
	client []byte
	hwType byte
	hwAddr []byte
	source netip.Addr
}

func (w *who) octets() int {
	n := 3 + len(w.client) + len(w.hwAddr)
	if w.source.IsValid() {
		n += 16
	}
	return n
}

func (a *arena) makeWho(w *who) uint32 {
	ref := a.make(w.octets())
	a.writeWho(ref, w)
	return ref
}

func (a *arena) writeWho(ref uint32, w *who) {
	b := a.at(ref)
	b[0], b[1], b[2] = byte(len(w.client)-1), w.hwType, byte(len(w.hwAddr))
	n := 3 + copy(b[3:], w.client)
	n += copy(b[n:], w.hwAddr)
	if w.source.IsValid() {
		b[2] |= hasSource
		s := w.source.As16()
		copy(b[n:], s[:])
	}
}

func (a *arena) client(ref uint32) []byte {
	b := a.at(ref)
	return b[3 : 3+int(b[0])+1]
}

// who reads a block; the slices are views.
func (a *arena) who(ref uint32) who {
	b := a.at(ref)
	n := 3 + int(b[0]) + 1
	m := n + int(b[2]&^hasSource)
	w := who{client: b[3:n:n], hwType: b[1], hwAddr: b[n:m:m]}
	if b[2]&hasSource != 0 {
		w.source = netip.AddrFrom16([16]byte(b[m : m+16]))
	}
	return w
}

func (a *arena) makeBytes(p []byte) uint32 {
	ref := a.make(1 + len(p))
	b := a.at(ref)
	b[0] = byte(len(p))
	copy(b[1:], p)
	return ref
}

func (a *arena) bytes(ref uint32) []byte {
	b := a.at(ref)
	n := 1 + int(b[0])
	return b[1:n:n]
}
