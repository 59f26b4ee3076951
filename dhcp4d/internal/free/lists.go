package free

import "iter"

// The states of an offset that is not fresh.
const (
	out uint8 = iota
	queued
	resting
)

// blockSize is the number of offsets that get their links together.
const blockSize = 128

// lists are the queue of each group, and after them the resting addresses of each pool. They are
// rings of offsets, linked through one array of nodes. The heads of the rings come first, then one
// node for each offset, in blocks that are made on first use.
type lists struct {
	rest   uint32 // the first list of resting addresses
	heads  []link
	blocks []*block
}

type link struct{ prev, next uint32 }

type block struct {
	links  [blockSize]link
	states [blockSize]uint8
}

func newLists(n uint32, groups, pools int) lists {
	l := lists{
		rest:   uint32(groups),
		heads:  make([]link, groups+pools),
		blocks: make([]*block, (uint64(n)+blockSize-1)/blockSize),
	}
	for i := range l.heads {
		l.heads[i] = link{uint32(i), uint32(i)}
	}
	return l
}

func (l *lists) state(off uint32) uint8 {
	if b := l.blocks[off/blockSize]; b != nil {
		return b.states[off%blockSize]
	}
	return out
}

// node returns node i: a head or, from len(heads) on, an offset, whose block must exist.
func (l *lists) node(i uint32) *link {
	if heads := uint32(len(l.heads)); i >= heads {
		i -= heads
		return &l.blocks[i/blockSize].links[i%blockSize]
	}
	return &l.heads[i]
}

func (l *lists) append(off, list uint32, state uint8) {
	b := l.blocks[off/blockSize]
	if b == nil {
		b = new(block)
		l.blocks[off/blockSize] = b
	}
	b.states[off%blockSize] = state
	i, head := off+uint32(len(l.heads)), &l.heads[list]
	b.links[off%blockSize] = link{prev: head.prev, next: list}
	l.node(head.prev).next = i
	head.prev = i
}

func (l *lists) remove(off uint32) {
	b := l.blocks[off/blockSize]
	b.states[off%blockSize] = out
	k := b.links[off%blockSize]
	l.node(k.prev).next = k.next
	l.node(k.next).prev = k.prev
}

func (l *lists) first(list uint32) (uint32, bool) {
	return l.in(l.heads[list].next, list)
}

// all iterates over a list.
func (l *lists) all(list uint32) iter.Seq[uint32] {
	return func(yield func(off uint32) bool) {
		for i := l.heads[list].next; i != list; i = l.node(i).next {
			if !yield(i - uint32(len(l.heads))) {
				return
			}
		}
	}
}

// last returns the last offset of a list.
func (l *lists) last(list uint32) (uint32, bool) { return l.in(l.heads[list].prev, list) }

// before returns the offset in front of another one.
func (l *lists) before(off, list uint32) (uint32, bool) {
	return l.in(l.node(off+uint32(len(l.heads))).prev, list)
}

// in returns the offset of a node of a list. It is not ok for the list's head.
func (l *lists) in(i, list uint32) (uint32, bool) {
	if i == list {
		return 0, false
	}
	return i - uint32(len(l.heads)), true
}
