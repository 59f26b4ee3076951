package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// BenchmarkPostgres is groups of renewals in a database with 100 000 leases, beside bare updates of
// the same rows, in one statement and in one transaction each, and loading them.
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
	// Autovacuum does this within a minute. Before, the planner takes two steps for each row of the
	// bare update, so that ours seems cheaper than it is.
	s.Query(b, "ANALYSE dhcp4d.lease")
	fill := func(group []lease.Binding, n int) {
		for j := range group {
			group[j] = record((n*len(group) + j*7919) % leases)
			group[j].Changed += lease.Time(n)
		}
	}
	// The least that a database must do: one statement that changes the same rows by their key, in
	// the same order, with parameters that are encoded as ours.
	least, err := c.Prepare(b.Context(), "bare", `UPDATE dhcp4d.lease l SET changed = r.changed, expires = r.expires
		FROM unnest($1::int8[], $2::int8[], $3::int8[]) r(addr, changed, expires)
		WHERE l.addr = r.addr AND l.ports = 0`)
	if err != nil {
		b.Fatal(err)
	}
	var columns [3]array
	bare := func(group []lease.Binding) error {
		begin(columns[:], int8s, int8s, int8s)
		slices.SortFunc(group, func(a, b lease.Binding) int { return compareIDs(a.ID, b.ID) })
		for i := range group {
			columns[0].int8(addressNumber(group[i].Addr))
			columns[1].int8(int64(group[i].Changed))
			columns[2].int8(int64(group[i].Expires))
		}
		params := [][]byte{columns[0], columns[1], columns[2]}
		return c.PgConn().ExecStatement(b.Context(), least, params, binaryFormat, nil).Read().Err
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
	// All ways take turns, so that other work of the machine disturbs all of them alike.
	ways := []struct {
		name   string
		commit func(group []lease.Binding) error
		wall   time.Duration
		server time.Duration
		n      int
	}{
		{name: "group", commit: func(group []lease.Binding) error { _, err := p.Commit(group); return err }},
		{name: "bare", commit: bare},
		{name: "each", commit: one},
	}
	for _, size := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("renewals=%d", size), func(b *testing.B) {
			group := make([]lease.Binding, size)
			for i := range ways {
				ways[i].wall, ways[i].server, ways[i].n = 0, 0, 0
			}
			n := 0
			for turn := range b.N {
				for i := range ways {
					w := &ways[(turn+i)%len(ways)]
					if w.name == "each" && turn%16 != 0 {
						continue // they take long
					}
					used := s.CPU(b)
					for range 5 {
						n++
						fill(group, n)
						began := time.Now()
						if err := w.commit(group); err != nil {
							b.Fatal(err)
						}
						w.wall += time.Since(began)
					}
					w.server, w.n = w.server+s.CPU(b)-used, w.n+5*size
				}
			}
			each := func(d time.Duration, of int) float64 { return float64(d.Nanoseconds()) / float64(of) / 1000 }
			for _, w := range ways {
				b.ReportMetric(each(w.wall, w.n), w.name+"-µs/row")
				b.ReportMetric(each(w.server, w.n), w.name+"-server-µs/row")
			}
			g, l, e := &ways[0], &ways[1], &ways[2]
			b.ReportMetric(each(l.wall, l.n)/each(g.wall, g.n), "rate-of-bare")
			b.ReportMetric(each(e.wall, e.n)/each(g.wall, g.n), "rate-of-each")
			b.ReportMetric(each(g.server, g.n)/each(l.server, l.n), "server-of-bare")
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
