package listen

import "net/netip"

// Interface is one interface that is served.
type Interface struct {
	Index int
	Name  string
	// Addresses are its own unicast addresses, link-local ones first,
	// without zone.
	Addresses []netip.Addr
	// Up says that it is administratively up and has a carrier.
	Up bool
	// Joined says that it has the groups.
	Joined bool
}

// Interfaces is the table of the interfaces served. It is immutable.
type Interfaces struct {
	byIndex map[int]*Interface
	byName  map[string]*Interface
}

// NewInterfaces makes a table; for tests of those who ask it.
func NewInterfaces(served ...Interface) *Interfaces {
	t := &Interfaces{
		byIndex: make(map[int]*Interface, len(served)),
		byName:  make(map[string]*Interface, len(served)),
	}
	for i := range served {
		t.byIndex[served[i].Index] = &served[i]
		t.byName[served[i].Name] = &served[i]
	}
	return t
}

// ByIndex returns the interface of this index, nil when it is not served. The
// result must not be changed.
func (t *Interfaces) ByIndex(index int) *Interface { return t.byIndex[index] }

// ByName returns the interface of this name, nil when it is not served. The
// result must not be changed.
func (t *Interfaces) ByName(name []byte) *Interface { return t.byName[string(name)] }

// Len is the number of interfaces served.
func (t *Interfaces) Len() int { return len(t.byIndex) }
