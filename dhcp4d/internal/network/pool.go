package network

import (
	"fmt"
	"net/netip"
	"slices"
)

// Pool is a set of addresses to give out. Its ranges ascend, do not touch, and contain neither
// exclusions nor server identifiers. Reserved addresses are in it like others, see
// [Reservations.At].
type Pool struct {
	Ranges []Range
	Size   uint64 // number of addresses in Ranges
	Carried

	Name string
	// Only are the numbers of the classes whose clients alone may get an address of the pool,
	// ascending; nil is any client.
	Only  []int
	Group int32 // pools of one group are for the same clients
	// Refused says that nobody gets an address of the pool, and that a REQUEST for one is refused.
	Refused Refusal
}

// Range is a run of IPv4 addresses, both ends included.
type Range struct{ First, Last netip.Addr }

// poolRange is a range of the pool with a number in the list of a subnet.
type poolRange struct {
	Range
	pool int32
}

// rangesOf returns the ranges of pools that do not overlap, ascending.
func rangesOf(pools []Pool) (all []poolRange) {
	for i := range pools {
		for _, r := range pools[i].Ranges {
			all = append(all, poolRange{r, int32(i)})
		}
	}
	slices.SortFunc(all, func(a, b poolRange) int { return a.First.Compare(b.First) })
	return all
}

// Groups say which pools of a subnet a client may get an address of. Nil: all of them, whoever it
// is.
type Groups struct {
	open    []int32            // of the pools for any client
	byClass map[int][]int32    // of those for a class, by its number
	byName  map[string][]int32 // of pools with a name, none of names that only other subnets of the link have
}

// group numbers the groups of pools of a subnet: those with the same name for the same classes are
// one. It returns nil if any client may have any pool. A class that names a pool of the link leaves
// its clients no pool of a subnet without one of the name.
func group(pools []Pool, link ...*Subnet) *Groups {
	known := map[string]int32{}
	g := &Groups{byClass: map[int][]int32{}, byName: map[string][]int32{}}
	restricted := false
	for _, sub := range link {
		for i := range sub.Pools {
			if name := sub.Pools[i].Name; name != "" {
				g.byName[name], restricted = []int32{}, true
			}
		}
	}
	for i := range pools {
		p := &pools[i]
		restricted = restricted || p.Only != nil || p.Name != "" || p.Refused != NotRefused
		key := fmt.Sprint(p.Name, p.Only, p.Refused != NotRefused)
		number, ok := known[key]
		if p.Group = number; ok {
			continue
		}
		p.Group = int32(len(known))
		known[key] = p.Group
		if p.Refused != NotRefused {
			continue // nobody may have it
		}
		if p.Only == nil {
			g.open = append(g.open, p.Group)
		}
		for _, class := range p.Only {
			g.byClass[class] = append(g.byClass[class], p.Group)
		}
		if p.Name != "" {
			g.byName[p.Name] = append(g.byName[p.Name], p.Group)
		}
	}
	if !restricted {
		return nil
	}
	return g
}

// AppendFor appends the groups that a client in some classes may get an address of, ascending. The
// last class that names pools of the subnet, or of its link, leaves only those. What its
// reservation names goes before the classes, if there is one, and before both pool, if pools there
// have the name.
func (g *Groups) AppendFor(groups []int32, in []*Class, r *Reservation, pool string) []int32 {
	if groups == nil {
		groups = make([]int32, 0, 8) // nil would be all of them
	}
	groups = append(groups, g.open...)
	var named []string
	for _, c := range in {
		groups = append(groups, g.byClass[c.Number]...)
		if slices.ContainsFunc(c.Pools, func(name string) bool { return g.byName[name] != nil }) {
			named = c.Pools
		}
	}
	if r != nil && slices.ContainsFunc(r.Pools, func(name string) bool { return g.byName[name] != nil }) {
		named = r.Pools
	}
	slices.Sort(groups)
	groups = slices.Compact(groups)
	if in, ok := g.byName[pool]; ok {
		return slices.DeleteFunc(groups, func(n int32) bool { return !slices.Contains(in, n) })
	}
	if named == nil {
		return groups
	}
	return slices.DeleteFunc(groups, func(n int32) bool {
		return !slices.ContainsFunc(named, func(name string) bool { return slices.Contains(g.byName[name], n) })
	})
}

// Has reports whether pools have a name.
func (g *Groups) Has(name string) bool { return g != nil && g.byName[name] != nil }
