package table

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/pages"
)

// arena keeps the byte strings of entries and points in blocks of a few sizes. A reference counts
// units of 8 octets over all chunks and is never 0.
//
// The block of an entry has: the length of the client's key - 1, htype, hlen with 0x80 added if a
// source follows and 0x40 if a Remote-Id does, key, hardware address, source, length and octets of
// the Remote-Id. The block of a point has its length and octets. So the size of a block follows
// from its content.
//
// All blocks of a page have one size. A page without a block in use can take blocks of any size
// again. So clients that cycle through lengths of identifiers take no more memory than those that
// keep one.
type arena struct {
	chunks  pages.Chunks[[arenaChunk]byte]
	pages   []arenaPage
	empty   uint32             // first page without a block in use; 0 for none, else its number + 1
	partial [len(sizes)]uint32 // first page of a size with room, alike
}

// arenaPage is the state of one page. Offsets are units within the page.
type arenaPage struct {
	next, prev uint32 // in the list that it is in: number + 1, 0 for none
	used       uint16 // blocks in use
	free       uint16 // offset + 1 of the first block that was dropped, 0 for none
	fresh      uint16 // offset from which on no block was made yet
	class      uint8  // index into sizes
}

const (
	unit       = 8
	arenaChunk = 1 << 18
	chunkUnits = arenaChunk / unit
	pageUnits  = 512 // 4 KiB
	chunkPages = chunkUnits / pageUnits
)

// sizes of blocks, in units. The last holds the largest of all: a client key of 256 octets, 16
// octets of hardware address, a source and a Remote-Id of 255 octets.
var sizes = [...]uint16{2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 37, 46, 56, 69}

func class(octets int) int {
	units := (octets + unit - 1) / unit
	for i, s := range sizes {
		if units <= int(s) {
			return i
		}
	}
	panic("table: block too large")
}

// at returns the memory from a block on.
func (a *arena) at(ref uint32) []byte {
	return a.chunks.All[ref/chunkUnits][ref%chunkUnits*unit:]
}

func (a *arena) make(octets int) uint32 {
	c := class(octets)
	if a.partial[c] == 0 {
		a.link(&a.partial[c], a.take(c))
	}
	number := a.partial[c] - 1
	p := &a.pages[number]
	var ref uint32
	if p.free != 0 {
		ref = number*pageUnits + uint32(p.free-1)
		b := a.at(ref)
		p.free = uint16(b[0]) | uint16(b[1])<<8
	} else {
		ref = number*pageUnits + uint32(p.fresh)
		p.fresh += sizes[c]
	}
	p.used++
	if p.full() {
		a.unlink(&a.partial[c], number)
	}
	return ref
}

func (a *arena) drop(ref uint32) {
	number := ref / pageUnits
	p, b := &a.pages[number], a.at(ref)
	if p.full() {
		a.link(&a.partial[p.class], number)
	}
	b[0], b[1] = byte(p.free), byte(p.free>>8)
	p.free = uint16(ref%pageUnits) + 1
	p.used--
	if p.used == 0 {
		a.unlink(&a.partial[p.class], number)
		a.link(&a.empty, number)
	}
}

// full reports whether the page has no room for another block.
func (p *arenaPage) full() bool { return p.free == 0 && p.fresh+sizes[p.class] > pageUnits }

// take returns the number of an unused page, for blocks of a class. It is in no list.
func (a *arena) take(class int) uint32 {
	if a.empty == 0 {
		if len(a.pages)%chunkPages == 0 {
			a.chunks.Add()
		}
		a.pages = append(a.pages, arenaPage{})
		a.link(&a.empty, uint32(len(a.pages)-1))
	}
	number := a.empty - 1
	a.unlink(&a.empty, number)
	a.pages[number] = arenaPage{class: uint8(class)}
	if number == 0 {
		a.pages[number].fresh = 1 // reference 0
	}
	return number
}

// link puts a page first in a list.
func (a *arena) link(first *uint32, number uint32) {
	p := &a.pages[number]
	p.prev, p.next = 0, *first
	if p.next != 0 {
		a.pages[p.next-1].prev = number + 1
	}
	*first = number + 1
}

// unlink takes a page out of its list.
func (a *arena) unlink(first *uint32, number uint32) {
	p := &a.pages[number]
	if p.prev == 0 {
		*first = p.next
	} else {
		a.pages[p.prev-1].next = p.next
	}
	if p.next != 0 {
		a.pages[p.next-1].prev = p.prev
	}
}

// What is in a block of an entry beside the length of the hardware address.
const (
	hasSource   = 0x80
	hasRemoteID = 0x40
)

// owner is the client of an entry, as the entry's block has it.
type owner struct {
	client   []byte
	hwType   byte
	hwAddr   []byte
	source   netip.Addr
	remoteID []byte // beside the point: see lease.BesidePoint
}

func (w *owner) octets() int {
	n := 3 + len(w.client) + len(w.hwAddr)
	if w.source.IsValid() {
		n += 16
	}
	if len(w.remoteID) > 0 {
		n += 1 + len(w.remoteID)
	}
	return n
}

func (a *arena) makeOwner(w *owner) uint32 {
	ref := a.make(w.octets())
	a.writeOwner(ref, w)
	return ref
}

func (a *arena) writeOwner(ref uint32, w *owner) {
	b := a.at(ref)
	b[0], b[1], b[2] = byte(len(w.client)-1), w.hwType, byte(len(w.hwAddr))
	n := 3 + copy(b[3:], w.client)
	n += copy(b[n:], w.hwAddr)
	if w.source.IsValid() {
		b[2] |= hasSource
		s := w.source.As16()
		n += copy(b[n:], s[:])
	}
	if len(w.remoteID) > 0 {
		b[2] |= hasRemoteID
		b[n] = byte(len(w.remoteID))
		copy(b[n+1:], w.remoteID)
	}
}

func (a *arena) client(ref uint32) []byte {
	b := a.at(ref)
	return b[3 : 3+int(b[0])+1]
}

// owner reads a block; the slices are views.
func (a *arena) owner(ref uint32) owner {
	b := a.at(ref)
	n := 3 + int(b[0]) + 1
	m := n + int(b[2]&^(hasSource|hasRemoteID))
	w := owner{client: b[3:n:n], hwType: b[1], hwAddr: b[n:m:m]}
	if b[2]&hasSource != 0 {
		w.source = netip.AddrFrom16([16]byte(b[m : m+16]))
		m += 16
	}
	if b[2]&hasRemoteID != 0 {
		end := m + 1 + int(b[m])
		w.remoteID = b[m+1 : end : end]
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
