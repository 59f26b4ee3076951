package server

import (
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// entries finds the entries of a list that may be for a client, without a walk over the list: there
// may be one for each of thousands of links. An entry is named by its index in the list. Its link
// is a prefix, or the name or pattern of an interface, or any.
type entries struct {
	anywhere   bucket
	prefixes   map[netip.Prefix]*bucket // of the address by which a relay names the link
	lengths    []int                    // of these prefixes
	interfaces listen.Index             // of the links that no relay names; indexes in byName
	byName     []bucket
	names      map[string]int // indexes in byName
}

// bucket is the entries for one link. Those that can never be the first to fit are left out.
type bucket struct {
	indexes []int32 // ascending
	keyed   []keyed // entries for classes whose tests compare values
	closed  bool    // an entry fits every client of the link, so none behind it counts
	classes map[int]struct{}
}

// keyed is the entries of a bucket for classes that compare one value, by the octets that it must
// have.
type keyed struct {
	value *expression.Value
	by    map[string][]int32
}

// add makes the entry at an index one for a link: a prefix, or if that is zero an interface, or any
// if both are empty. Class is a number of classes, -1 if the entry is for all clients of the link.
// Indexes are added in ascending order.
func (e *entries) add(link netip.Prefix, ifc string, index, class int, classes *expression.Classes) {
	to := &e.anywhere
	switch {
	case link.IsValid():
		link = link.Masked()
		if e.prefixes[link] == nil {
			if e.prefixes == nil {
				e.prefixes = map[netip.Prefix]*bucket{}
			}
			e.prefixes[link] = new(bucket)
			if !slices.Contains(e.lengths, link.Bits()) {
				e.lengths = append(e.lengths, link.Bits())
			}
		}
		to = e.prefixes[link]
	case ifc != "":
		i, known := e.names[ifc]
		if !known {
			if e.names == nil {
				e.names = map[string]int{}
			}
			i = len(e.byName)
			e.names[ifc] = i
			e.byName = append(e.byName, bucket{})
			e.interfaces.Add(ifc, i)
		}
		to = &e.byName[i]
	}
	to.add(int32(index), class, classes)
}

func (b *bucket) add(index int32, class int, classes *expression.Classes) {
	if _, twice := b.classes[class]; b.closed || twice {
		return
	}
	if class < 0 {
		b.closed = true
		b.indexes = append(b.indexes, index)
		return
	}
	if b.classes == nil {
		b.classes = map[int]struct{}{}
	}
	b.classes[class] = struct{}{}
	value, is, ok := classes.Key(class)
	if !ok {
		b.indexes = append(b.indexes, index)
		return
	}
	i := slices.IndexFunc(b.keyed, func(k keyed) bool { return k.value.String() == value.String() })
	if i < 0 {
		i = len(b.keyed)
		b.keyed = append(b.keyed, keyed{value, map[string][]int32{}})
	}
	b.keyed[i].by[string(is)] = append(b.keyed[i].by[string(is)], index)
}

// append appends lists that together have the indexes of all entries that may be the first to fit a
// client: the entries for its link, without those for a class that its message has other values
// than. Each list is ascending.
func (e *entries) append(lists [][]int32, eval *expression.Evaluator, ifc *listen.Interface, link netip.Addr) [][]int32 {
	lists = e.anywhere.append(lists, eval)
	if link.IsValid() {
		for _, bits := range e.lengths {
			budget.Spend(1)
			if p, err := link.Prefix(bits); err == nil {
				lists = e.prefixes[p].append(lists, eval)
			}
		}
		return lists
	}
	var memory [8][]int32
	for _, found := range e.interfaces.Append(memory[:0], ifc.Names...) {
		for _, i := range found {
			lists = e.byName[i].append(lists, eval)
		}
	}
	return lists
}

// append is append of the entries for one link. A nil bucket has none.
func (b *bucket) append(lists [][]int32, eval *expression.Evaluator) [][]int32 {
	if b == nil {
		return lists
	}
	if len(b.indexes) > 0 {
		lists = append(lists, b.indexes)
	}
	for i := range b.keyed {
		budget.Spend(1)
		if octets, ok := b.keyed[i].value.Octets(eval); ok {
			if indexes := b.keyed[i].by[string(octets)]; indexes != nil {
				lists = append(lists, indexes)
			}
		}
	}
	return lists
}
