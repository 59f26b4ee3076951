package table

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/free"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

var tenMillion = flag.Bool("tenmillion", false, "benchmark with ten million leases too, which needs 2 GB")

func sizesToTry() []int {
	if *tenMillion {
		return []int{1000, 1_000_000, 10_000_000}
	}
	return []int{1000, 1_000_000}
}

// client is one of many, made without allocation.
type client struct {
	octets   [64]byte
	remoteID int // how many octets of the point are the Remote-Id too
	q        lease.Query
}

func (c *client) set(i int) *lease.Query {
	q := c.octets[:]
	copy(q, "\x01\xff\x00\x00\x00\x01\x00\x03\x00\x01\x02\x00")
	binary.BigEndian.PutUint32(q[12:], uint32(i))
	copy(q[16:], "\x01\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01port-000000000")
	binary.BigEndian.PutUint32(q[42:], uint32(i))
	c.q = lease.Query{Client: q[0:16], HWType: 1, HWAddr: q[10:16], Point: q[16:46],
		Source: netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 12: byte(i >> 24), 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})}
	if c.remoteID > 0 {
		c.q.RemoteID = q[46-c.remoteID : 46]
	}
	return &c.q
}

// bench is a table and what the server has around it, without its costs.
type bench struct {
	t     *Table
	p     lease.Policy
	now   lease.Time
	seq   uint64
	group lease.Batch
	c     client
	f     lease.Facts
}

var firstAddr = free.Number(netip.MustParseAddr("10.0.0.1"))

// newBench loads n leases, which end at random within the hour. Each has a Remote-Id of so many
// octets, 0 for none.
func newBench(n, remoteID int) *bench {
	x := &bench{t: New([]Subnet{wide()}, Options{}), now: start,
		p: lease.Policy{ServerID: ip(1), Times: lease.Times{Default: 3600, Min: 60, Max: 7200}, Hold: 60, Quarantine: 86400}}
	r := rand.New(rand.NewPCG(1, 2))
	x.c.remoteID = remoteID
	for i := range n {
		q := x.c.set(i)
		end := start + 1800 + lease.Time(r.IntN(1800))
		b := lease.Binding{ID: lease.ID{Addr: free.Addr(firstAddr + uint32(i))}, Subnet: 1, State: lease.Bound, Client: q.Client, HWType: q.HWType, HWAddr: q.HWAddr,
			Point: q.Point, RemoteID: q.RemoteID, Source: q.Source, Start: end - 3600, Changed: end - 3600, Expires: end}
		if err := x.t.Load(&b, start); err != nil {
			panic(err)
		}
	}
	x.t.Loaded(start)
	return x
}

func (x *bench) exchange(q *lease.Query) lease.Decision {
	x.t.Look(q, x.now, &x.f)
	d := lease.Decide(q, &x.p, &x.f, x.now)
	x.t.Apply(q, &d, x.now, x.seq, &x.group)
	if len(x.group.Records) == 64 {
		x.group.Reset()
		x.seq++
	}
	return d
}

// renew is the renewal of lease i.
func (x *bench) renew(i int) {
	q := x.c.set(i)
	q.Type, q.CIAddr = dhcp4.Request, free.Addr(firstAddr+uint32(i))
	if d := x.exchange(q); d.Kind != lease.Ack {
		panic(fmt.Sprintf("%+v", d))
	}
}

// BenchmarkRenewalBatches is renewals in no order, 64 at a time, as the server
// makes them.
func BenchmarkRenewalBatches(b *testing.B) {
	for _, n := range sizesToTry() {
		x := newBench(n, 0)
		var clients [64]client
		var queries [64]*lease.Query
		r := rand.New(rand.NewPCG(3, 4))
		b.Run(fmt.Sprintf("leases=%d", n), func(b *testing.B) {
			before := cpu()
			for i := 0; i < b.N; i += len(clients) {
				for j := range clients {
					k := r.IntN(n)
					queries[j] = clients[j].set(k)
					queries[j].Type, queries[j].CIAddr = dhcp4.Request, free.Addr(firstAddr+uint32(k))
				}
				x.t.Prefetch(queries[:])
				for _, q := range queries {
					if d := x.exchange(q); d.Kind != lease.Ack {
						b.Fatalf("%+v", d)
					}
				}
			}
			b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// dora is client i getting a lease.
func (x *bench) dora(i int) {
	q := x.c.set(i)
	q.Type = dhcp4.Discover
	o := x.exchange(q)
	q.Type, q.Requested, q.ServerID = dhcp4.Request, o.Addr, x.p.ServerID
	if d := x.exchange(q); d.Kind != lease.Ack {
		panic(fmt.Sprintf("%+v %+v", o, d))
	}
}

func BenchmarkRenewal(b *testing.B) {
	for _, n := range sizesToTry() {
		x := newBench(n, 0)
		runtime.GC()
		b.Run(fmt.Sprintf("leases=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			r := rand.New(rand.NewPCG(3, 4))
			began := cpu()
			for i := range b.N {
				if i%4096 == 0 && x.now < start+1700 {
					x.now++
				}
				x.renew(r.IntN(n))
			}
			b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
		})
	}
}

func BenchmarkDORA(b *testing.B) {
	for _, n := range sizesToTry() {
		x := newBench(n, 0)
		runtime.GC()
		next := n
		b.Run(fmt.Sprintf("leases=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			began := cpu()
			for i := range b.N {
				if i%4096 == 0 {
					x.now++
				}
				x.dora(next)
				next++
			}
			b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
		})
	}
}

// The cost of one of ten thousand subnets is that of one.
func BenchmarkDORAInOneOfManySubnets(b *testing.B) {
	var subnets []Subnet
	for i := range uint32(10_000) {
		first := firstAddr&^0xff + i<<8
		subnets = append(subnets, Subnet{ID: i + 1, Prefix: netip.PrefixFrom(free.Addr(first), 24),
			Pools: []free.Range{{First: free.Addr(first + 2), Last: free.Addr(first + 254)}}})
	}
	x := newBench(0, 0)
	x.t = New(subnets, Options{})
	b.ReportAllocs()
	for i := range b.N {
		if i%4096 == 0 {
			x.now++
		}
		q := x.c.set(i)
		q.Subnet = i * 7919 % len(subnets)
		q.Type = dhcp4.Discover
		o := x.exchange(q)
		q.Type, q.Requested, q.ServerID = dhcp4.Request, o.Addr, x.p.ServerID
		x.exchange(q)
		if i%2_000_000 == 1_999_999 {
			x.now += 7200
			for x.t.Expire(x.now, 1000) {
			}
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, n := range sizesToTry()[1:] {
		for _, remoteID := range []int{0, 20} {
			b.Run(fmt.Sprintf("leases=%d/remoteID=%d", n, remoteID), func(b *testing.B) {
				for range b.N {
					before := heap()
					began, used := time.Now(), cpu()
					x := newBench(n, remoteID)
					b.ReportMetric(time.Since(began).Seconds(), "s/load")
					b.ReportMetric(float64(cpu()-used)/1e9, "cpu-s/load")
					b.ReportMetric(float64(heap()-before)/float64(n), "B/lease")
					began = time.Now()
					runtime.GC()
					b.ReportMetric(float64(time.Since(began).Microseconds()), "µs/gc")
					runtime.KeepAlive(x)
				}
			})
		}
	}
}

// A reload that changes one of the subnets walks over all leases.
func BenchmarkReload(b *testing.B) {
	x := newBench(1_000_000, 0)
	confs := [2]Subnet{wide(), wide()}
	confs[1].Reserved = []netip.Addr{netip.MustParseAddr("10.200.0.0")}
	b.ResetTimer()
	for i := range b.N {
		x.t.Reconfigure(confs[(i+1)%2 : (i+1)%2+1])
	}
}

// cpu is the processor time used by the process, in nanoseconds. On a machine
// that others use too it says more than the clock.
func cpu() int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestBytesPerLease(t *testing.T) {
	const n = 100_000
	for _, c := range []struct {
		name     string
		remoteID int
		most     float64
	}{
		{"without a Remote-Id beside the point", 0, 200},
		{"with a Remote-Id of 20 octets", 20, 224},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := heap()
			x := newBench(n, c.remoteID)
			// The wheel and the bitmaps of a /8 do not grow with the leases.
			if per := (float64(heap()-before) - 3<<20) / n; per > c.most {
				t.Errorf("%.0f octets", per)
			}
			runtime.KeepAlive(x)
		})
	}
}

func TestRenewalsDoNotAllocate(t *testing.T) {
	x := newBench(1000, 20)
	i := 0
	run := func() {
		if i%64 == 0 {
			x.now++
		}
		x.renew(i * 7 % 1000)
		i++
	}
	for range 2000 {
		run()
	}
	if n := testing.AllocsPerRun(10_000, run); n != 0 {
		t.Errorf("%v allocations for a renewal", n)
	}
}

func TestNewClientsHardlyAllocate(t *testing.T) {
	x := newBench(0, 0)
	i := 0
	const exchanges = 50_000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range exchanges {
		if i%64 == 0 {
			x.now++
		}
		x.dora(i)
		i++
	}
	runtime.ReadMemStats(&after)
	if per := float64(after.Mallocs-before.Mallocs) / exchanges; per > 0.01 {
		t.Errorf("%.4f allocations for an exchange while the table grows", per)
	}
	t.Run("nothing once clients come and go", func(t *testing.T) {
		conf := wide()
		conf.Pools[0].Last = netip.MustParseAddr("10.0.63.255")
		x := newBench(0, 0)
		x.t = New([]Subnet{conf}, Options{})
		run := func(from, to int) {
			for i := from; i < to; i++ {
				if i%64 == 0 {
					x.now += 16 // 14 400 leases at a time, 16 383 addresses
				}
				x.dora(i)
			}
		}
		run(0, 30_000)
		runtime.ReadMemStats(&before)
		run(30_000, 50_000)
		runtime.ReadMemStats(&after)
		if per := float64(after.Mallocs-before.Mallocs) / 20_000; per > 0.001 {
			t.Errorf("%.4f allocations for an exchange", per)
		}
	})
}

// BenchmarkReconfigure is a reload that changes a pool: for so long no query is
// decided.
func BenchmarkReconfigure(b *testing.B) {
	x := newBench(1_000_000, 0)
	one, other := []Subnet{wide()}, []Subnet{wide()}
	p := other[0].Pools[0]
	other[0].Pools = []free.Range{{First: p.First.Next(), Last: p.Last}}
	for i := 0; b.Loop(); i++ {
		if i%2 == 0 {
			x.t.Reconfigure(other)
		} else {
			x.t.Reconfigure(one)
		}
	}
}
