package disk_test

import (
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
)

// cpu is the processor time of this process.
func cpu(b testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fill puts n bindings into a new store in dir.
func fill(b testing.TB, url string, n int) {
	o := quiet()
	o.FS = withoutSync{vfs.Default} // it would take long
	s := mustOpen(b, url, o)
	records := make([]lease.Binding, 0, 1000)
	for i := range n {
		// In no order, as leases come.
		records = append(records, storetest.Binding(i*7919%n))
		if len(records) == cap(records) || i == n-1 {
			if _, err := s.Commit(records); err != nil {
				b.Fatal(err)
			}
			records = records[:0]
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkCommit commits groups to a store on the disk of the temporary
// directory that holds a number of bindings, renewing them at random.
func BenchmarkCommit(b *testing.B) {
	held := 100_000
	if v := os.Getenv("STORE_HELD"); v != "" {
		held, _ = strconv.Atoi(v)
	}
	for _, c := range []struct {
		kind string
		size int
	}{{"pebble", 1}, {"journal", 1}, {"pebble", 16}, {"journal", 16}, {"pebble", 64}, {"journal", 64}} {
		b.Run(c.kind+"/"+strconv.Itoa(c.size), func(b *testing.B) {
			size := c.size
			url := c.kind + ":" + b.TempDir()
			fill(b, url, held)
			s := mustOpen(b, url, quiet())
			loadAll(b, s)
			records := make([]lease.Binding, size)
			for i := range records {
				records[i] = storetest.Binding(i)
			}
			n := uint32(1)
			group := func() {
				for i := range records {
					n = n*1664525 + 1013904223
					k := (n >> 8) % uint32(held)
					records[i].Addr = netip.AddrFrom4([4]byte{10, byte(k >> 16), byte(k >> 8), byte(k)})
				}
				if _, err := s.Commit(records); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			before := cpu(b)
			for b.Loop() {
				group()
			}
			b.StopTimer()
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N)/float64(size), "cpu-ns/record")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func TestACommitDoesNotAllocate(t *testing.T) {
	eachKind(t, commitsWithoutAllocating)
}

func commitsWithoutAllocating(t *testing.T, kind string) {
	s := mustOpen(t, kind+":"+t.TempDir(), quiet())
	records := make([]lease.Binding, 64)
	for i := range records {
		records[i] = storetest.Binding(i)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.Commit(records); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func loadAll(b testing.TB, s store.Store) store.Loaded {
	l, err := s.Load(func(*lease.Binding) error { return nil })
	if err != nil {
		b.Fatal(err)
	}
	return l
}

// BenchmarkLoad opens a store and reads everything, as a start does, until it takes commits.
func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1_000_000, 10_000_000} {
		if n > 1_000_000 && os.Getenv("STORE_LARGE") == "" {
			continue // two gigabytes of disk
		}
		for _, kind := range kinds {
			b.Run(kind+"/"+strconv.Itoa(n), func(b *testing.B) { benchmarkLoad(b, kind, n) })
		}
	}
}

func benchmarkLoad(b *testing.B, kind string, n int) {
	url := kind + ":" + b.TempDir()
	fill(b, url, n)
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		s := mustOpen(b, url, quiet())
		l := loadAll(b, s)
		if l.Records != n {
			b.Fatalf("%d records", l.Records)
		}
		b.StopTimer()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapInuse)/(1<<20), "MB-heap")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric((cpu(b)-before).Seconds()/float64(b.N), "cpu-s/load")
}
