package network

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The pool of an address is the one of the list that has a range with it.
func TestThePoolOfAnAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Cuts divide the numbers up to 255 into ranges, which go to any pool, or to none.
		cuts := rapid.SliceOfNDistinct(rapid.IntRange(1, 255), 0, 20, rapid.ID).Draw(t, "cuts")
		cuts = append(cuts, 0, 256)
		slices.Sort(cuts)
		at := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}) }
		pools := make([]Pool, rapid.IntRange(1, 6).Draw(t, "pools"))
		for i := range len(cuts) - 1 {
			if n := rapid.IntRange(-1, len(pools)-1).Draw(t, "of"); n >= 0 {
				pools[n].Ranges = append(pools[n].Ranges, Range{at(cuts[i]), at(cuts[i+1] - 1)})
			}
		}
		subnets := NewSubnets([]Subnet{{ID: 1, Prefix: netip.MustParsePrefix("192.0.2.0/24"), Pools: pools}}, nil, nil)
		for n := range 256 {
			want := slices.IndexFunc(pools, func(p Pool) bool {
				return slices.ContainsFunc(p.Ranges, func(r Range) bool { return !at(n).Less(r.First) && !r.Last.Less(at(n)) })
			})
			if got := subnets.All[0].PoolOf(at(n)); got != want {
				t.Fatalf("%v is in pool %d, want %d", at(n), got, want)
			}
		}
		for _, a := range []string{"192.0.1.255", "192.0.3.0", "0.0.0.0", "255.255.255.255"} {
			if got := subnets.All[0].PoolOf(netip.MustParseAddr(a)); got != -1 {
				t.Fatalf("%v is in pool %d", a, got)
			}
		}
	})
}
