package attachment

import (
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// Prefixes is a set of prefixes. A look into it costs the logarithm of their number. The zero value
// is empty. It never changes.
type Prefixes struct {
	outer []netip.Prefix // ascending, none inside another
	hosts map[netip.Addr]struct{}
}

// NewPrefixes returns the set of the prefixes in a list.
func NewPrefixes(list []netip.Prefix) Prefixes {
	all := make([]netip.Prefix, 0, len(list))
	var s Prefixes
	for _, p := range list {
		all = append(all, p.Masked())
		if p.IsSingleIP() && p.Addr().IsLoopback() {
			if s.hosts == nil {
				s.hosts = map[netip.Addr]struct{}{}
			}
			s.hosts[p.Addr()] = struct{}{}
		}
	}
	// In this order, a prefix comes after the one that contains it, and only other prefixes that
	// the same one contains are between them.
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	for _, p := range all {
		if n := len(s.outer); n == 0 || !s.outer[n-1].Contains(p.Addr()) {
			s.outer = append(s.outer, p)
		}
	}
	return s
}

// Len returns how many prefixes there are, without those that are inside of others.
func (s *Prefixes) Len() int { return len(s.outer) }

// Contains reports whether an address is in one of the prefixes.
func (s *Prefixes) Contains(a netip.Addr) bool {
	i, found := slices.BinarySearchFunc(s.outer, a, func(p netip.Prefix, a netip.Addr) int {
		budget.Spend(1)
		return p.Addr().Compare(a)
	})
	return (found && s.outer[i].Contains(a)) || (i > 0 && s.outer[i-1].Contains(a))
}

// writer reports whether an address can be that of a node in one of the prefixes. A relay may run
// on this host: then its address is listed as a single address.
func (s *Prefixes) writer(a netip.Addr) bool {
	if _, local := s.hosts[a]; local {
		return true
	}
	return namesLink(a) && s.Contains(a)
}
