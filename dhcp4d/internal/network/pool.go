package network

import (
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
)

// Pool is a set of addresses to give out. Its ranges ascend, do not touch, and contain neither
// exclusions nor server identifiers. Reserved addresses are in it like others, see
// [Reservations.At].
type Pool struct {
	Ranges  []Range
	Size    uint64      // number of addresses in Ranges
	Options *option.Set // own options only, nil if none
}

// Range is a run of IPv4 addresses, both ends included.
type Range struct{ First, Last netip.Addr }

// Contains reports whether an address is in the pool.
func (p *Pool) Contains(a netip.Addr) bool {
	i, found := slices.BinarySearchFunc(p.Ranges, a, func(r Range, a netip.Addr) int { return r.First.Compare(a) })
	return found || (i > 0 && a.Compare(p.Ranges[i-1].Last) <= 0)
}
