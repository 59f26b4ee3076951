// Package free knows which addresses in the pools of one subnet are free, and which one to give out
// next. It has no clock and no disk, and knows no clients.
//
// An address is fresh (never given out), queued (given out before, free again), resting (in
// quarantine) or out. Next returns the fresh addresses of a group in turn, then the one that was
// queued first. So a client that comes back late still finds its address. The time of an operation
// depends neither on how many addresses there are, nor on how many are out.
//
// Memory: one bit for each address, and 9 octets for each address of a block of 128 once an address
// of the block was queued or rested. A /8 costs 3 MB before use.
package free

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Range is a run of IPv4 addresses, both ends included.
type Range struct {
	First, Last netip.Addr
	// Group is the same for ranges that are given out together, because the same clients may have
	// their addresses. Groups are small numbers from 0 on.
	Group int32
}

// Addresses is the free addresses in the pools of a subnet.
type Addresses struct {
	pieces   []piece // ascending
	reserved map[uint32]struct{}
	pools    []tally // by position in the configuration
	fresh    bitmap
	groups   []group
	lists    lists
	share    Share
}

// Share is the part of the addresses that this process gives out first: every Of-th one. Other
// processes that lease the same addresses have the other parts, so that two of them seldom try the
// same address. The zero value is all addresses.
type Share struct{ Index, Of uint32 }

// Has reports whether an address is in the share.
func (s Share) Has(addr uint32) bool { return s.Of <= 1 || addr%s.Of == s.Index }

// distance returns how far the next address of the share is from one that is not in it.
func (s Share) distance(addr uint32) uint32 { return (s.Index + s.Of - addr%s.Of) % s.Of }

// shareQueue is how many queued addresses Next looks at to find one of our share.
const shareQueue = 64

// SetShare says which addresses Next returns first.
func (f *Addresses) SetShare(s Share) {
	f.share = s
	for g := range f.groups {
		f.groups[g].dry = false
	}
}

// group is ranges that are given out together.
type group struct {
	pieces []int32 // indexes, ascending; nil if there is only one group
	cursor uint32
	dry    bool // no address of our share is fresh
}

// piece is a run of addresses of one configured pool without exclusions.
type piece struct {
	first, last uint32
	base        uint32 // offset of first
	pool        int
	group       int32
}

// tally counts the addresses of one configured pool. Reserved addresses are in none of the numbers.
type tally struct {
	size, free uint32
	resting    uint32
}

// New makes the free addresses of pools, each a range. Every address is fresh, without the excluded
// and the reserved ones. Pools must not overlap; more than 2^32-2 addresses are not possible.
func New(pools, excluded []Range, reserved []netip.Addr) *Addresses {
	f := &Addresses{pools: make([]tally, len(pools)), groups: make([]group, 1)}
	for i, r := range pools {
		f.cut(i, r.Group, uint64(Number(r.First)), uint64(Number(r.Last)), excluded)
		for len(f.groups) <= int(r.Group) {
			f.groups = append(f.groups, group{})
		}
	}
	slices.SortFunc(f.pieces, func(a, b piece) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	n := uint32(0)
	for i := range f.pieces {
		c := &f.pieces[i]
		c.base = n
		n += c.last - c.first + 1
		f.pools[c.pool].size += c.last - c.first + 1
		if len(f.groups) > 1 {
			f.groups[c.group].pieces = append(f.groups[c.group].pieces, int32(i))
		}
	}
	f.fresh = newBitmap(n)
	f.lists = newLists(n, len(f.groups), len(pools))
	if len(reserved) > 0 {
		f.reserved = make(map[uint32]struct{}, len(reserved))
	}
	for _, a := range reserved {
		addr := Number(a)
		if _, twice := f.reserved[addr]; twice {
			continue
		}
		f.reserved[addr] = struct{}{}
		if off, c := f.offset(addr); c != nil {
			f.fresh.clear(off)
			f.pools[c.pool].size--
		}
	}
	for i := range f.pools {
		f.pools[i].free = f.pools[i].size
	}
	return f
}

// cut adds what the exclusions leave of a range.
func (f *Addresses) cut(pool int, group int32, first, last uint64, excluded []Range) {
	for i, x := range excluded {
		lo, hi := uint64(Number(x.First)), uint64(Number(x.Last))
		if hi < first || last < lo {
			continue
		}
		if first < lo {
			f.cut(pool, group, first, lo-1, excluded[i+1:])
		}
		if hi < last {
			f.cut(pool, group, hi+1, last, excluded[i+1:])
		}
		return
	}
	f.pieces = append(f.pieces, piece{first: uint32(first), last: uint32(last), pool: pool, group: group})
}

// Number returns an IPv4 address as an integer.
func Number(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// Addr returns the address of an integer.
func Addr(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// offset returns the offset of an address and the piece that it is in. The piece is nil if the
// address is in none.
func (f *Addresses) offset(addr uint32) (uint32, *piece) {
	lo, hi := 0, len(f.pieces)
	for lo < hi {
		mid := (lo + hi) / 2
		if f.pieces[mid].last < addr {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(f.pieces) || addr < f.pieces[lo].first {
		return 0, nil
	}
	c := &f.pieces[lo]
	return c.base + addr - c.first, c
}

// addr returns the address at an offset.
func (f *Addresses) addr(off uint32) uint32 {
	c := f.pieceAt(off)
	return c.first + off - c.base
}

// pieceAt returns the piece of an offset.
func (f *Addresses) pieceAt(off uint32) *piece {
	lo, hi := 0, len(f.pieces)-1
	for lo < hi {
		mid := (lo + hi + 1) / 2
		if f.pieces[mid].base <= off {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return &f.pieces[lo]
}

// Covers reports whether the address is in one of the pools and not excluded. That includes
// reserved addresses, and those that are not free.
func (f *Addresses) Covers(addr uint32) bool {
	_, c := f.offset(addr)
	return c != nil
}

// Of returns the index and the group of the pool that an address is in. It is not ok for an address
// that Covers does not report.
func (f *Addresses) Of(addr uint32) (index int, group int32, ok bool) {
	_, c := f.offset(addr)
	if c == nil {
		return 0, 0, false
	}
	return c.pool, c.group, true
}

// Reserved reports whether the address was given to New as reserved. Such an address is never free.
func (f *Addresses) Reserved(addr uint32) bool {
	_, ok := f.reserved[addr]
	return ok
}

// Has reports whether the address is free.
func (f *Addresses) Has(addr uint32) bool {
	off, c := f.offset(addr)
	return c != nil && (f.fresh.has(off) || f.lists.state(off) == queued)
}

// Next returns the address to give out next, of the first of the groups that has a free one. It
// stays free until it is taken. Nil is all groups.
func (f *Addresses) Next(groups []int32) (addr uint32, ok bool) {
	if groups == nil {
		for g := range f.groups {
			if addr, ok = f.nextOf(int32(g)); ok {
				return addr, true
			}
		}
		return 0, false
	}
	for _, g := range groups {
		if addr, ok = f.nextOf(g); ok {
			return addr, true
		}
	}
	return 0, false
}

func (f *Addresses) nextOf(g int32) (addr uint32, ok bool) {
	if int(g) >= len(f.groups) {
		return 0, false
	}
	if f.share.Of > 1 {
		if addr, ok := f.nextOfShare(g); ok {
			return addr, true
		}
		return f.nextOfOthers(g)
	}
	if off, ok := f.freshOf(g, (*Addresses).anyFrom); ok {
		return f.addr(off), true
	}
	if off, ok := f.lists.first(uint32(g)); ok {
		return f.addr(off), true
	}
	return 0, false
}

// nextOfShare is nextOf for the addresses of our share.
func (f *Addresses) nextOfShare(g int32) (addr uint32, ok bool) {
	if !f.groups[g].dry {
		if off, ok := f.freshOf(g, (*Addresses).ownFrom); ok {
			return f.addr(off), true
		}
		f.groups[g].dry = true
	}
	looked := 0
	for off := range f.lists.all(uint32(g)) {
		if a := f.addr(off); f.share.Has(a) {
			return a, true
		}
		if looked++; looked == shareQueue {
			break
		}
	}
	return 0, false
}

// nextOfOthers is nextOf for the addresses of other shares. It returns the one that its owner gives
// out last: the last that is fresh, or else the one that was queued last. The share that follows
// ours comes first, so that two processes that have used up their shares seldom try the same one.
func (f *Addresses) nextOfOthers(g int32) (addr uint32, ok bool) {
	c := choice{following: Share{Index: (f.share.Index + 1) % f.share.Of, Of: f.share.Of}}
	for i := len(f.pieces) - 1; i >= 0 && !c.made(); i-- {
		if f.pieces[i].group == g {
			f.chooseFresh(&f.pieces[i], &c)
		}
	}
	if c.looked > 0 {
		return c.addr, true
	}
	for off, ok := f.lists.last(uint32(g)); ok && !c.made(); off, ok = f.lists.before(off, uint32(g)) {
		c.look(f.addr(off))
	}
	return c.addr, c.looked > 0
}

// chooseFresh shows the fresh addresses of a piece to a choice, from the last one on.
func (f *Addresses) chooseFresh(in *piece, c *choice) {
	end := in.base + in.last - in.first
	for off, ok := f.fresh.upTo(end); ok && off >= in.base && !c.made(); off, ok = f.fresh.upTo(off - 1) {
		c.look(in.first + off - in.base)
		if off == 0 {
			return
		}
	}
}

// choice remembers the first address of one share among those that look shows it, or else the first
// of all.
type choice struct {
	following Share
	addr      uint32
	looked    int
}

func (c *choice) look(addr uint32) {
	switch {
	case c.following.Has(addr):
		c.addr, c.looked = addr, shareQueue
		return
	case c.looked == 0:
		c.addr = addr
	}
	c.looked++
}

func (c *choice) made() bool { return c.looked >= shareQueue }

// anyFrom returns the first fresh offset between from and end, both included.
func (f *Addresses) anyFrom(from, end uint32) (off uint32, ok bool) {
	off, ok = f.fresh.from(from)
	return off, ok && off <= end
}

// ownFrom is anyFrom for the addresses of our share.
func (f *Addresses) ownFrom(from, end uint32) (off uint32, ok bool) {
	for off, ok = f.anyFrom(from, end); ok; off, ok = f.anyFrom(from, end) {
		piece := f.pieceAt(off)
		addr := piece.first + off - piece.base
		if f.share.Has(addr) {
			return off, true
		}
		from = off + min(f.share.distance(addr), piece.last-addr+1)
	}
	return 0, false
}

// freshOf returns the first fresh offset of a group from its cursor on or, if there is none, the
// first one before it. find is anyFrom or ownFrom.
func (f *Addresses) freshOf(g int32, find func(f *Addresses, from, end uint32) (uint32, bool)) (off uint32, ok bool) {
	at := &f.groups[g]
	if len(f.groups) == 1 {
		if f.fresh.n == 0 {
			return 0, false
		}
		if off, ok = find(f, at.cursor, f.fresh.n-1); ok || at.cursor == 0 {
			return off, ok
		}
		return find(f, 0, min(at.cursor, f.fresh.n)-1)
	}
	begin, _ := slices.BinarySearchFunc(at.pieces, at.cursor, func(i int32, cursor uint32) int {
		if c := &f.pieces[i]; c.base+c.last-c.first < cursor {
			return -1
		}
		return 1
	})
	for n := range at.pieces {
		c := &f.pieces[at.pieces[(begin+n)%len(at.pieces)]]
		from := c.base
		if n == 0 && begin < len(at.pieces) {
			from = max(from, at.cursor)
		}
		if off, ok = find(f, from, c.base+c.last-c.first); ok {
			return off, true
		}
	}
	if begin < len(at.pieces) { // what is before the cursor in its own piece
		c := &f.pieces[at.pieces[begin]]
		if off, ok = find(f, c.base, c.base+c.last-c.first); ok {
			return off, true
		}
	}
	return 0, false
}

// Take gives an address out if it is free. An address that is not free stays as it is.
func (f *Addresses) Take(addr uint32) {
	off, c := f.offset(addr)
	switch {
	case c == nil:
		return
	case f.fresh.has(off):
		f.fresh.clear(off)
		f.groups[c.group].cursor = off + 1
	case f.lists.state(off) == queued:
		f.lists.remove(off)
	default:
		return
	}
	f.pools[c.pool].free--
}

// Return makes an address free that is out. If it was never used after all, it is fresh again.
// Otherwise it is last in the queue.
func (f *Addresses) Return(addr uint32, used bool) {
	off, c := f.offset(addr)
	if c == nil || f.Reserved(addr) || f.fresh.has(off) || f.lists.state(off) != out {
		return
	}
	if used {
		f.lists.append(off, uint32(c.group), queued)
	} else {
		f.fresh.set(off)
		f.groups[c.group].dry = false
	}
	f.pools[c.pool].free++
}

// Rest puts an address that is out into quarantine. At most a tenth of a configured pool rests, but
// at least one address may. If there are more, the quarantine of the address that has rested
// longest ends: it is out again, and Rest returns it.
func (f *Addresses) Rest(addr uint32) (woken uint32, ok bool) {
	off, c := f.offset(addr)
	if c == nil || f.Reserved(addr) || f.fresh.has(off) || f.lists.state(off) != out {
		return 0, false
	}
	t := &f.pools[c.pool]
	f.lists.append(off, f.lists.rest+uint32(c.pool), resting)
	t.resting++
	if t.resting <= max(t.size/10, 1) {
		return 0, false
	}
	first, _ := f.lists.first(f.lists.rest + uint32(c.pool))
	woken = f.addr(first)
	f.Wake(woken)
	return woken, true
}

// Wake ends the quarantine of an address, which is out then.
func (f *Addresses) Wake(addr uint32) {
	off, c := f.offset(addr)
	if c != nil && f.lists.state(off) == resting {
		f.lists.remove(off)
		f.pools[c.pool].resting--
	}
}

// Queued calls fn for the queued addresses, group by group, and in each group for the longest
// unused address first.
func (f *Addresses) Queued(fn func(addr uint32)) {
	for g := range f.groups {
		for off := range f.lists.all(uint32(g)) {
			fn(f.addr(off))
		}
	}
}

// Use returns how many addresses of a configured pool may be given out at all, and how many of them
// are free.
func (f *Addresses) Use(pool int) (size, free uint32) {
	t := &f.pools[pool]
	return t.size, t.free
}
