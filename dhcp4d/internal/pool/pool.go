// Package pool knows which addresses of one subnet are free, and which is the
// next one to give out. It has no clock and no disk, and knows no client.
//
// An address is fresh (never given out), queued (given out before, free
// again), resting (in quarantine) or out. Next gives the fresh ones in turn,
// then the one that was queued first, so a client that comes back late still
// finds its address. All of it takes the same time however many addresses
// there are and are out.
//
// Memory: one bit for an address, and 9 octets for each address of a block of
// 128 once one of the block was queued or rested. A /8 costs 3 MB before use.
package pool

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Range is a run of IPv4 addresses, both ends included.
type Range struct{ First, Last netip.Addr }

// Pool is the free addresses of a subnet.
type Pool struct {
	pieces   []piece // ascending
	reserved map[uint32]struct{}
	pools    []tally // by position in the configuration
	fresh    bitmap
	cursor   uint32
	lists    lists
	share    Share
	dry      bool // no address of our share is fresh
}

// Share is the part of the addresses that this process gives out first: every Of-th one. Others
// that lease the same addresses have the other parts, so that two of them seldom try the same one.
// The zero value is all of them.
type Share struct{ Index, Of uint32 }

// Has reports whether an address is in the share.
func (s Share) Has(addr uint32) bool { return s.Of <= 1 || addr%s.Of == s.Index }

// distance is how far the next address of the share is behind one that is not in it.
func (s Share) distance(addr uint32) uint32 { return (s.Index + s.Of - addr%s.Of) % s.Of }

// shareQueue is how many queued addresses are looked at for one of our share.
const shareQueue = 64

// SetShare says which addresses Next returns first.
func (p *Pool) SetShare(s Share) { p.share, p.dry = s, false }

// piece is a run of addresses of one configured pool without exclusions.
type piece struct {
	first, last uint32
	base        uint32 // offset of first
	pool        int
}

// tally counts the addresses of one configured pool. Reserved addresses are
// in none of the numbers.
type tally struct {
	size, free uint32
	resting    uint32
}

// New makes a pool in which every address of the ranges is fresh, without the
// excluded and the reserved ones. Ranges must not overlap; more than 2^32-2
// addresses are not possible.
func New(pools, excluded []Range, reserved []netip.Addr) *Pool {
	p := &Pool{pools: make([]tally, len(pools))}
	for i, r := range pools {
		p.cut(i, uint64(Number(r.First)), uint64(Number(r.Last)), excluded)
	}
	slices.SortFunc(p.pieces, func(a, b piece) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	n := uint32(0)
	for i := range p.pieces {
		c := &p.pieces[i]
		c.base = n
		n += c.last - c.first + 1
		p.pools[c.pool].size += c.last - c.first + 1
	}
	p.fresh = newBitmap(n)
	p.lists = newLists(n, len(pools))
	if len(reserved) > 0 {
		p.reserved = make(map[uint32]struct{}, len(reserved))
	}
	for _, a := range reserved {
		addr := Number(a)
		if _, twice := p.reserved[addr]; twice {
			continue
		}
		p.reserved[addr] = struct{}{}
		if off, c := p.offset(addr); c != nil {
			p.fresh.clear(off)
			p.pools[c.pool].size--
		}
	}
	for i := range p.pools {
		p.pools[i].free = p.pools[i].size
	}
	return p
}

// cut adds what the exclusions leave of a range.
func (p *Pool) cut(pool int, first, last uint64, excluded []Range) {
	for i, x := range excluded {
		lo, hi := uint64(Number(x.First)), uint64(Number(x.Last))
		if hi < first || last < lo {
			continue
		}
		if first < lo {
			p.cut(pool, first, lo-1, excluded[i+1:])
		}
		if hi < last {
			p.cut(pool, hi+1, last, excluded[i+1:])
		}
		return
	}
	p.pieces = append(p.pieces, piece{first: uint32(first), last: uint32(last), pool: pool})
}

// Number is an IPv4 address as an integer.
func Number(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// Addr is the address of an integer.
func Addr(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// offset finds the place of an address, with a nil piece when it has none.
func (p *Pool) offset(addr uint32) (uint32, *piece) {
	lo, hi := 0, len(p.pieces)
	for lo < hi {
		mid := (lo + hi) / 2
		if p.pieces[mid].last < addr {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(p.pieces) || addr < p.pieces[lo].first {
		return 0, nil
	}
	c := &p.pieces[lo]
	return c.base + addr - c.first, c
}

// addr is the address at a place.
func (p *Pool) addr(off uint32) uint32 {
	c := p.pieceAt(off)
	return c.first + off - c.base
}

// pieceAt is the piece of a place.
func (p *Pool) pieceAt(off uint32) *piece {
	lo, hi := 0, len(p.pieces)-1
	for lo < hi {
		mid := (lo + hi + 1) / 2
		if p.pieces[mid].base <= off {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return &p.pieces[lo]
}

// Contains reports whether the address is in one of the ranges and not
// excluded. Reserved addresses are contained.
func (p *Pool) Contains(addr uint32) bool {
	_, c := p.offset(addr)
	return c != nil
}

// Reserved reports whether the address was given to New as reserved. Such an
// address is never free here.
func (p *Pool) Reserved(addr uint32) bool {
	_, ok := p.reserved[addr]
	return ok
}

// Free reports whether the address may be given out.
func (p *Pool) Free(addr uint32) bool {
	off, c := p.offset(addr)
	return c != nil && (p.fresh.has(off) || p.lists.state(off) == queued)
}

// Next is the address to give out next. It stays free until it is taken.
func (p *Pool) Next() (addr uint32, ok bool) {
	if p.share.Of > 1 {
		if addr, ok := p.nextOfShare(); ok {
			return addr, true
		}
	}
	if off, ok := p.fresh.next(p.cursor); ok {
		return p.addr(off), true
	}
	if off, ok := p.lists.first(queueList); ok {
		return p.addr(off), true
	}
	return 0, false
}

// nextOfShare is the same among the addresses of our share.
func (p *Pool) nextOfShare() (addr uint32, ok bool) {
	if !p.dry {
		for start, wrapped := p.cursor, false; ; {
			off, ok := p.fresh.from(start)
			switch {
			case !ok && wrapped, ok && wrapped && off >= p.cursor:
				p.dry = true
			case !ok:
				start, wrapped = 0, true
				continue
			default:
				piece := p.pieceAt(off)
				addr := piece.first + off - piece.base
				if p.share.Has(addr) {
					return addr, true
				}
				start = off + min(p.share.distance(addr), piece.last-addr+1)
				continue
			}
			break
		}
	}
	looked := 0
	for off := range p.lists.all(queueList) {
		if a := p.addr(off); p.share.Has(a) {
			return a, true
		}
		if looked++; looked == shareQueue {
			break
		}
	}
	return 0, false
}

// Take gives an address out if it is free. An address that is not free stays as it is.
func (p *Pool) Take(addr uint32) {
	off, c := p.offset(addr)
	switch {
	case c == nil:
		return
	case p.fresh.has(off):
		p.fresh.clear(off)
		p.cursor = off + 1
	case p.lists.state(off) == queued:
		p.lists.remove(off)
	default:
		return
	}
	p.pools[c.pool].free--
}

// Return makes an address free that is out: fresh again when it was never
// used after all, otherwise last in the queue.
func (p *Pool) Return(addr uint32, used bool) {
	off, c := p.offset(addr)
	if c == nil || p.Reserved(addr) || p.fresh.has(off) || p.lists.state(off) != out {
		return
	}
	if used {
		p.lists.append(off, queueList, queued)
	} else {
		p.fresh.set(off)
		p.dry = false
	}
	p.pools[c.pool].free++
}

// Rest puts an address that is out into quarantine. At most a tenth of a configured pool rests, but
// at least one address may. If there are more, the quarantine of the address that has rested
// longest ends: it is out again, and Rest returns it.
func (p *Pool) Rest(addr uint32) (woken uint32, ok bool) {
	off, c := p.offset(addr)
	if c == nil || p.Reserved(addr) || p.fresh.has(off) || p.lists.state(off) != out {
		return 0, false
	}
	t := &p.pools[c.pool]
	p.lists.append(off, restList+uint32(c.pool), resting)
	t.resting++
	if t.resting <= max(t.size/10, 1) {
		return 0, false
	}
	first, _ := p.lists.first(restList + uint32(c.pool))
	woken = p.addr(first)
	p.Wake(woken)
	return woken, true
}

// Wake ends the quarantine of an address, which is out then.
func (p *Pool) Wake(addr uint32) {
	off, c := p.offset(addr)
	if c != nil && p.lists.state(off) == resting {
		p.lists.remove(off)
		p.pools[c.pool].resting--
	}
}

// Queued calls fn for the queued addresses, the longest unused first.
func (p *Pool) Queued(fn func(addr uint32)) {
	for off := range p.lists.all(queueList) {
		fn(p.addr(off))
	}
}

// Use returns how many addresses of a configured pool may be given out at all,
// and how many of them are free.
func (p *Pool) Use(pool int) (size, free uint32) {
	t := &p.pools[pool]
	return t.size, t.free
}
