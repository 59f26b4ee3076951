package listen

import (
	"cmp"
	"net/netip"
	"slices"
)

// Interface is one interface that is served.
type Interface struct {
	Index int
	Name  string
	// Addresses are its own IPv6 addresses, without zone.
	Addresses []netip.Addr
	// Up says that it is administratively up and has a carrier.
	Up bool
	// Joined says that the socket is a member of all its groups there.
	Joined bool
}

// Interfaces is the table of the interfaces served. It is immutable.
type Interfaces struct {
	all     []Interface
	byIndex map[int]*Interface
	byName  map[string]*Interface
}

// NewInterfaces makes a table; for tests of those who ask it.
func NewInterfaces(served ...Interface) *Interfaces {
	t := &Interfaces{
		all:     slices.Clone(served),
		byIndex: make(map[int]*Interface, len(served)),
		byName:  make(map[string]*Interface, len(served)),
	}
	slices.SortFunc(t.all, func(a, b Interface) int { return cmp.Compare(a.Name, b.Name) })
	for i := range t.all {
		t.byIndex[t.all[i].Index] = &t.all[i]
		t.byName[t.all[i].Name] = &t.all[i]
	}
	return t
}

// ByIndex returns the interface of this index, nil when it is not served. The
// result must not be changed.
func (t *Interfaces) ByIndex(index int) *Interface { return t.byIndex[index] }

// ByName returns the interface of this name, nil when it is not served. The
// result must not be changed.
func (t *Interfaces) ByName(name []byte) *Interface { return t.byName[string(name)] }

// All returns the interfaces by name. The result must not be changed.
func (t *Interfaces) All() []Interface { return t.all }

// Len is the number of interfaces served.
func (t *Interfaces) Len() int { return len(t.all) }
