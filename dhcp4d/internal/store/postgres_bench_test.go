package store

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// BenchmarkPostgres is groups of renewals in a database with 100 000 leases, and loading them.
func BenchmarkPostgres(b *testing.B) {
	s := migrated(b)
	p := openDatabase(b, s.URL())
	defer p.Close()
	const leases = 100_000
	record := func(i int) lease.Binding {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 10<<24+uint32(i))
		return lease.Binding{
			ID: lease.ID{Addr: netip.AddrFrom4(a)}, Subnet: 1, State: lease.Bound, Client: fmt.Append(nil, "client", i), HWType: 1,
			HWAddr: fmt.Appendf(nil, "%06d", i), Point: []byte("a point of twenty oc"), Source: netip.MustParseAddr("fe80::1"), Start: 1, Changed: 2, Expires: 3602,
		}
	}
	var group []lease.Binding
	for i := range leases {
		if group = append(group, record(i)); len(group) == 1024 || i == leases-1 {
			if _, err := p.Commit(group); err != nil {
				b.Fatal(err)
			}
			group = group[:0]
		}
	}
	for _, size := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("group=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			group := make([]lease.Binding, size)
			for i := range b.N {
				for j := range group {
					group[j] = record((i*size + j*7919) % leases)
				}
				if _, err := p.Commit(group); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
	b.Run("load", func(b *testing.B) {
		for range b.N {
			if l, err := p.Load(func(*lease.Binding) error { return nil }); err != nil || l.Records != leases {
				b.Fatal(l, err)
			}
		}
		b.ReportMetric(float64(leases*b.N)/b.Elapsed().Seconds(), "records/s")
	})
}
