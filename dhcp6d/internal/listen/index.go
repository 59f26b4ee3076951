package listen

import (
	"slices"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// Index finds the entries of a list that are for an interface, without a walk over the list. The
// zero value has none. Its cost grows with the number of names of the interface and their lengths,
// and with the patterns that begin alike, not with the number of entries.
type Index struct {
	names  map[string][]int32    // by a name
	starts map[string][]*pattern // by what patterns begin with, before the first metacharacter
	lens   []int                 // of the keys of starts
	texts  map[string]*pattern   // all patterns
}

// pattern is a pattern, and the indexes of the entries that have it, ascending.
type pattern struct {
	text    string
	indexes []int32
}

// Add makes the entry at an index one for a name or a pattern, which ParsePatterns takes. Indexes
// are added in ascending order.
func (x *Index) Add(nameOrPattern string, index int) {
	if !isPattern(nameOrPattern) {
		if x.names == nil {
			x.names = map[string][]int32{}
		}
		x.names[nameOrPattern] = append(x.names[nameOrPattern], int32(index))
		return
	}
	p := x.texts[nameOrPattern]
	if p == nil {
		if x.texts == nil {
			x.texts, x.starts = map[string]*pattern{}, map[string][]*pattern{}
		}
		p = &pattern{text: nameOrPattern}
		start := nameOrPattern[:strings.IndexAny(nameOrPattern, metacharacters)]
		if !slices.Contains(x.lens, len(start)) {
			x.lens = append(x.lens, len(start))
		}
		x.texts[nameOrPattern], x.starts[start] = p, append(x.starts[start], p)
	}
	p.indexes = append(p.indexes, int32(index))
}

// Append appends lists that together have the indexes of all entries for an interface with these
// names ([Interface].Names). Each list is ascending. An index may be in several lists.
func (x *Index) Append(lists [][]int32, names ...string) [][]int32 {
	for _, name := range names {
		budget.Spend(1)
		if indexes := x.names[name]; indexes != nil {
			lists = append(lists, indexes)
		}
		for _, n := range x.lens {
			budget.Spend(1)
			if n > len(name) {
				continue
			}
			for _, p := range x.starts[name[:n]] {
				budget.Spend(1)
				if match(p.text, name) {
					lists = append(lists, p.indexes)
				}
			}
		}
	}
	return lists
}

// First returns the first index of an entry for an interface with these names.
func (x *Index) First(names ...string) (index int, ok bool) {
	var memory [8][]int32
	for _, indexes := range x.Append(memory[:0], names...) {
		if first := int(indexes[0]); !ok || first < index {
			index, ok = first, true
		}
	}
	return index, ok
}
