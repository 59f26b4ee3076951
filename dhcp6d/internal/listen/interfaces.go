package listen

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Interface is an interface that is served.
type Interface struct {
	Index int
	Name  string
	// Names are all names that the kernel knows it by, Name first.
	Names []string
	// Addresses are its own IPv6 addresses, without zone.
	Addresses []netip.Addr
	// Up reports whether it is administratively up and has a carrier.
	Up bool
	// Joined reports whether the socket is a member of all groups there.
	Joined bool
}

// Interfaces is the table of the interfaces served. It is immutable.
type Interfaces struct {
	all     []Interface
	byIndex map[int]*Interface
	byName  map[string]*Interface
	status  []Status
}

// NewInterfaces makes a table. Outside this package only tests need it.
func NewInterfaces(served ...Interface) *Interfaces {
	t := &Interfaces{
		all:     slices.Clone(served),
		byIndex: make(map[int]*Interface, len(served)),
		byName:  make(map[string]*Interface, len(served)),
	}
	slices.SortFunc(t.all, func(a, b Interface) int { return cmp.Compare(a.Name, b.Name) })
	for i := range t.all {
		if len(t.all[i].Names) == 0 {
			t.all[i].Names = []string{t.all[i].Name}
		}
		t.byIndex[t.all[i].Index] = &t.all[i]
		t.byName[t.all[i].Name] = &t.all[i]
	}
	return t
}

// ByIndex returns the interface with this index, nil if it is not served. The result must not be
// changed.
func (t *Interfaces) ByIndex(index int) *Interface { return t.byIndex[index] }

// ByName returns the interface with this name, nil if it is not served. The result must not be
// changed.
func (t *Interfaces) ByName(name []byte) *Interface { return t.byName[string(name)] }

// Matches reports whether an interface that is served has a name among the patterns.
func (t *Interfaces) Matches(name string, ps Patterns) bool {
	i := t.byName[name]
	return i != nil && ps.Match(false, i.Names...)
}

// All returns the interfaces by name. The result must not be changed.
func (t *Interfaces) All() []Interface { return t.all }

// Status returns the state of every interface that is to be served, also of those that do not
// exist.
func (t *Interfaces) Status() []Status { return t.status }

// Ready reports whether clients on at least one interface can be answered. The reason is for
// people.
func (t *Interfaces) Ready() (ok bool, reason string) {
	if len(t.status) == 0 {
		return false, "no interface matches DHCP6D_INTERFACES"
	}
	var b strings.Builder
	for i, s := range t.status {
		if s.Trouble == NoTrouble {
			return true, ""
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(s.Name + ": " + s.Trouble.String())
	}
	return false, b.String()
}

// Len returns the number of interfaces served.
func (t *Interfaces) Len() int { return len(t.all) }
