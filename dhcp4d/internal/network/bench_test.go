package network

import (
	"fmt"
	"net/netip"
	"testing"
)

// network makes n subnets with an entry of each common kind.
func network(n int) *Subnets {
	s := &Subnets{}
	for i := range n {
		hi, lo := byte(i>>8), byte(i)
		v6 := func(second byte) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, second, 0, 0, hi, lo}), 64)
		}
		s.All = append(s.All, Subnet{
			ID:     uint32(i + 1),
			Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, hi, lo, 0}), 24),
			Match: []Match{
				{Prefix: v6(1)},
				{LinkAddress: v6(2)},
				{LinkAddress: v6(3), InterfaceID: []byte("port-7")},
				{InterfaceID: fmt.Appendf(nil, "olt-%d", i)},
				{Prefix: v6(4), TrustInner: true},
				{Interface: fmt.Sprintf("eth%d", i)},
			},
		})
	}
	return s
}

// queries are one for each way to be selected, aimed at the last of n subnets.
func queries(n int) map[string]Facts {
	last := network(n).All[n-1]
	v6 := func(i int) netip.Addr {
		p := last.Match[i].Prefix
		if !p.IsValid() {
			p = last.Match[i].LinkAddress
		}
		return p.Addr().Next()
	}
	return map[string]Facts{
		"source":           {Source: v6(0), Interface: []byte("eth0")},
		"link":             {Relayed: true, LinkAddress: v6(1), Source: addr("2001:db8::1"), InterfaceID: []byte("unknown")},
		"link and id":      {Relayed: true, LinkAddress: v6(2), Source: addr("2001:db8::1"), InterfaceID: []byte("port-7")},
		"id":               {Relayed: true, InterfaceID: last.Match[3].InterfaceID, Source: addr("2001:db8::1")},
		"giaddr":           {GIAddr: last.Prefix.Addr().Next(), Source: v6(4)},
		"interface":        {Source: addr("fe80::1"), Interface: []byte(last.Match[5].Interface)},
		"no subnet at all": {Source: addr("2001:db8:ffff::1"), Relayed: true},
	}
}

func TestSelectDoesNotAllocate(t *testing.T) {
	sel := NewSelector(network(100))
	for name, f := range queries(100) {
		t.Run(name, func(t *testing.T) {
			if r := sel.Select(&f); (r.Subnet == nil) != (name == "no subnet at all") || (r.Subnet != nil && r.Subnet.ID != 100) {
				t.Fatalf("%+v", r)
			}
			if n := testing.AllocsPerRun(100, func() { sel.Select(&f) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func BenchmarkSelect(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		sel := NewSelector(network(n))
		for name, f := range queries(n) {
			b.Run(fmt.Sprintf("%s of %d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					sel.Select(&f)
				}
			})
		}
	}
}
