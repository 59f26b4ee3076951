package table

// offers are the offers in force, grouped by attachment point. The attachment points are grouped by
// how many offers they have. So the oldest offer at the point with the most offers is found without
// a search.
type offers struct {
	offers  []offer
	holders []holder
	free    uint32 // first unused offer, by next
	unused  uint32 // first unused holder, by next
	n       int
	byCount []uint32 // first holder with that many offers
	most    uint32
}

// offer is the hold of an OFFER. Number 0 means no offer.
type offer struct {
	entry    uint32
	deadline uint32
	holder   uint32
	prev     uint32 // at the same point
	next     uint32
}

// holder is a point with offers. Number 0 means no holder.
type holder struct {
	point      uint32
	count      uint32
	head, tail uint32 // oldest and newest offer
	prev, next uint32 // holders with the same number of offers
}

// hold adds an offer for an entry, which must have none, at its point.
func (t *Table) hold(ref uint32, deadline uint32) {
	o, e := &t.offers, t.entries.at(ref)
	q := t.pointAt(e.point)
	if q.holder == 0 {
		q.holder = o.newHolder(e.point)
	}
	i := o.newOffer()
	h := &o.holders[q.holder]
	o.offers[i] = offer{entry: ref, deadline: deadline, holder: q.holder, prev: h.tail}
	if h.tail != 0 {
		o.offers[h.tail].next = i
	} else {
		h.head = i
	}
	h.tail = i
	o.count(q.holder, h.count+1)
	o.n++
	e.offer = i
}

// unhold removes the offer of an entry.
func (t *Table) unhold(ref uint32) {
	o, e := &t.offers, t.entries.at(ref)
	i := e.offer
	f := o.offers[i]
	h := &o.holders[f.holder]
	if f.prev != 0 {
		o.offers[f.prev].next = f.next
	} else {
		h.head = f.next
	}
	if f.next != 0 {
		o.offers[f.next].prev = f.prev
	} else {
		h.tail = f.prev
	}
	o.count(f.holder, h.count-1)
	if h.count == 0 {
		t.pointAt(h.point).holder = 0
		*h = holder{next: o.unused}
		o.unused = f.holder
	}
	o.offers[i] = offer{next: o.free}
	o.free = i
	o.n--
	e.offer = 0
}

// oldestOfMost returns the entry whose offer ends when there are too many.
func (o *offers) oldestOfMost() uint32 {
	return o.offers[o.holders[o.byCount[o.most]].head].entry
}

func (o *offers) newOffer() uint32 {
	if i := o.free; i != 0 {
		o.free = o.offers[i].next
		return i
	}
	if len(o.offers) == 0 {
		o.offers = append(o.offers, offer{})
	}
	o.offers = append(o.offers, offer{})
	return uint32(len(o.offers) - 1)
}

func (o *offers) newHolder(point uint32) uint32 {
	i := o.unused
	if i != 0 {
		o.unused = o.holders[i].next
	} else {
		if len(o.holders) == 0 {
			o.holders = append(o.holders, holder{})
		}
		o.holders = append(o.holders, holder{})
		i = uint32(len(o.holders) - 1)
	}
	o.holders[i] = holder{point: point}
	return i
}

// count moves a holder to the list of those with n offers.
func (o *offers) count(i, n uint32) {
	h := &o.holders[i]
	if h.count > 0 {
		if h.prev != 0 {
			o.holders[h.prev].next = h.next
		} else {
			o.byCount[h.count] = h.next
		}
		if h.next != 0 {
			o.holders[h.next].prev = h.prev
		}
	}
	h.count, h.prev, h.next = n, 0, 0
	if n > 0 {
		for int(n) >= len(o.byCount) {
			o.byCount = append(o.byCount, 0)
		}
		if h.next = o.byCount[n]; h.next != 0 {
			o.holders[h.next].prev = i
		}
		o.byCount[n] = i
		o.most = max(o.most, n)
	}
	for o.most > 0 && o.byCount[o.most] == 0 {
		o.most--
	}
}
