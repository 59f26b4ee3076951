package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// BenchmarkPostgres is groups of renewals in a database with 100 000 leases, beside bare updates of
// the same rows, and loading them.
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
	c, err := pgx.Connect(b.Context(), s.URL())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close(context.Background())
	measure := func(name string, size int, commit func(group []lease.Binding) error) {
		b.Run(fmt.Sprintf("%s=%d", name, size), func(b *testing.B) {
			b.ReportAllocs()
			group := make([]lease.Binding, size)
			used := s.CPU(b)
			for i := range b.N {
				for j := range group {
					group[j] = record((i*size + j*7919) % leases)
				}
				if err := commit(group); err != nil {
					b.Fatal(err)
				}
			}
			n := float64(size * b.N)
			b.ReportMetric(n/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64((s.CPU(b)-used).Microseconds())/n, "server-µs/record")
		})
	}
	// The least that a database must do: one statement that changes the same rows by their key.
	bare := func(group []lease.Binding) error {
		var addrs, changed, expires []int64
		for i := range group {
			addrs = append(addrs, addressNumber(group[i].Addr))
			changed, expires = append(changed, int64(group[i].Changed)), append(expires, int64(group[i].Expires))
		}
		_, err := c.Exec(b.Context(), `UPDATE dhcp4d.lease l SET changed = r.changed, expires = r.expires
			FROM unnest($1::int8[], $2::int8[], $3::int8[]) r(addr, changed, expires) WHERE l.addr = r.addr AND l.ports = 0`, addrs, changed, expires)
		return err
	}
	one := func(group []lease.Binding) error {
		for i := range group {
			if _, err := c.Exec(b.Context(), "UPDATE dhcp4d.lease SET changed = $2, expires = $3 WHERE addr = $1 AND ports = 0",
				addressNumber(group[i].Addr), int64(group[i].Changed), int64(group[i].Expires)); err != nil {
				return err
			}
		}
		return nil
	}
	for _, size := range []int{1, 16, 64, 256} {
		measure("group", size, func(group []lease.Binding) error { _, err := p.Commit(group); return err })
		measure("bare", size, bare)
	}
	measure("a transaction each", 64, one)
	b.Run("load", func(b *testing.B) {
		for range b.N {
			if l, err := p.Load(func(*lease.Binding) error { return nil }); err != nil || l.Records != leases {
				b.Fatal(l, err)
			}
		}
		b.ReportMetric(float64(leases*b.N)/b.Elapsed().Seconds(), "records/s")
	})
}
