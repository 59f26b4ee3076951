package backend

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

func TestRoundTrips(t *testing.T) {
	type figures struct{ answered, timeouts, late, unmatched uint64 }
	discover := message(dhcp4.Discover, 1, 1)
	tests := []struct {
		name string
		do   func(b *bench, a *Backend)
		want figures
		left int // in flight
	}{
		{"an answer", func(b *bench, a *Backend) {
			b.sends(a, b.query(discover, "fe80::1"))
			b.Answered(a, netip.Addr{}, discover, b.clock.Add(time.Millisecond))
		}, figures{answered: 1}, 0},
		{"no answer yet", func(b *bench, a *Backend) { b.sends(a, b.query(discover, "fe80::1")) }, figures{}, 1},
		{"no answer", func(b *bench, a *Backend) {
			b.sends(a, b.query(discover, "fe80::1"))
			b.pass(timeout)
		}, figures{timeouts: 1}, 0},
		{"a late answer", func(b *bench, a *Backend) {
			b.sends(a, b.query(discover, "fe80::1"))
			b.pass(timeout)
			b.Answered(a, netip.Addr{}, discover, b.clock)
		}, figures{timeouts: 1, late: 1}, 0},
		{"one that nobody waits for any more", func(b *bench, a *Backend) {
			b.sends(a, b.query(discover, "fe80::1"))
			b.pass(forget + time.Second)
			b.Answered(a, netip.Addr{}, discover, b.clock)
		}, figures{timeouts: 1, unmatched: 1}, 0},
		{"an answer to nothing", func(b *bench, a *Backend) { b.Answered(a, netip.Addr{}, discover, b.clock) }, figures{unmatched: 1}, 0},
		{"an answer that was doubled", func(b *bench, a *Backend) {
			b.sends(a, b.query(discover, "fe80::1"))
			b.Answered(a, netip.Addr{}, discover, b.clock)
			b.Answered(a, netip.Addr{}, discover, b.clock)
		}, figures{answered: 1, unmatched: 1}, 0},
		{"a query that was doubled", func(b *bench, a *Backend) {
			b.sends(a, b.query(discover, "fe80::1"))
			b.sends(a, b.query(discover, "fe80::1"))
			b.Answered(a, netip.Addr{}, discover, b.clock)
			b.Answered(a, netip.Addr{}, discover, b.clock)
		}, figures{answered: 2}, 0},
		{"an answer of another backend", func(b *bench, a *Backend) {
			b.sends(b.named("b"), b.query(discover, "fe80::1"))
			b.Answered(a, netip.Addr{}, discover, b.clock)
		}, figures{unmatched: 1}, 1},
		{"RELEASE and DECLINE have no answer", func(b *bench, a *Backend) {
			b.sends(a, b.query(message(dhcp4.Release, 2, 1), "fe80::1"))
			b.sends(a, b.query(message(dhcp4.Decline, 3, 1), "fe80::1"))
			b.pass(timeout)
		}, figures{}, 0},
		{"five of one set: the oldest goes", func(b *bench, a *Backend) {
			for range ways + 1 {
				b.sends(a, b.query(discover, "fe80::1"))
			}
		}, figures{}, ways},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, nil, ours(2)...)
			a := b.named("a")
			tt.do(b, a)
			s := a.state.series
			if got := (figures{answersOf(t, s), s.timeouts.Load(), s.late.Load(), s.unmatched.Load()}); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
			if got := b.flights.count(); got != tt.left {
				t.Errorf("%d in flight, want %d", got, tt.left)
			}
			if n, err := testutil.GatherAndCount(b.reg, "dhcp6d_ipc_round_trip_seconds"); n != 4 || err != nil {
				t.Errorf("%d series, %v", n, err)
			}
		})
	}
}

// answersOf returns how many queries of a backend had an answer.
func answersOf(t *testing.T, s *series) uint64 {
	t.Helper()
	var m dto.Metric
	if err := s.trips.Metric(descTrip, "a", "response").Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetHistogram().GetSampleCount()
}

func TestAQueryIsServedWhateverTheTableHolds(t *testing.T) {
	b := newBench(t, nil, ours(1)...)
	a := b.named("a")
	answered := 0
	for i := range 5 * rows * ways {
		m := message(dhcp4.Discover, uint32(i), i)
		q := b.query(m, "fe80::1")
		if _, why := b.Route(q, MaxWait{}, b.clock); why != drop.None {
			t.Fatalf("query %d: %v", i, why)
		}
		if i%1000 == 0 {
			b.Answered(a, netip.Addr{}, m, b.clock)
			answered++
		}
	}
	if n := b.flights.count(); n > rows*ways {
		t.Errorf("%d in flight", n)
	}
}

func TestASlowBackendIsNotFlooded(t *testing.T) {
	b := newBench(t, nil, ours(1)...)
	a := b.named("a")
	b.ProbeAnswered(a, netip.Addr{}, ipc.ProbeReply{Full: true}, b.clock)
	fill := func(kind dhcp4.MessageType) (n int) {
		for i := range 3 * window {
			q := b.query(message(kind, uint32(i), i), "fe80::1")
			if _, why := b.Route(q, MaxWait{}, b.clock); why == drop.QueueFull {
				return n
			} else if why != drop.None {
				t.Fatal(why)
			}
			n++
		}
		return n
	}
	if n := fill(dhcp4.Discover); n != window/2 {
		t.Errorf("%d DISCOVERs, want %d", n, window/2)
	}
	if n := fill(dhcp4.Request); n != window/2 {
		t.Errorf("%d REQUESTs on top, want %d", n, window/2)
	}
	b.ProbeAnswered(a, netip.Addr{}, ipc.ProbeReply{Full: true, Mark: a.state.sent.Load() - 100}, b.clock) // a probe followed all but 100 of them
	if n := fill(dhcp4.Request); n != window-100 {
		t.Errorf("after a probe %d, want %d", n, window-100)
	}
	m := message(dhcp4.Request, uint32(window-101), window-101)
	b.Answered(a, netip.Addr{}, m, b.clock) // the last of them, so all before it were read
	if n := fill(dhcp4.Request); n != window {
		t.Errorf("after an answer %d, want %d", n, window)
	}
	b.clock = b.clock.Add(reopen)
	if n := fill(dhcp4.Request); n != 0 {
		t.Errorf("a second later %d more, though it has answered no probe", n)
	}
	kea := ours(1)
	kea[0].Kea = true
	b = newBench(t, nil, kea...)
	a = b.named("a")
	m = message(dhcp4.Request, 1, 1)
	b.sends(a, b.query(m, "fe80::1"))
	b.Answered(a, netip.Addr{}, m, b.clock)
	for range 3 {
		if n := fill(dhcp4.Request); n != window {
			t.Errorf("%d to a Kea, want %d each second", n, window)
		}
		b.clock = b.clock.Add(reopen)
	}
}

// TestASlowBackendIsNeverFlooded plays a backend that reads a thousand queries per second, and
// probes in their order, while ten thousand queries per second are offered.
func TestASlowBackendIsNeverFlooded(t *testing.T) {
	for name, tt := range map[string]struct {
		kind dhcp4.MessageType
		lose time.Duration // for how long probes are lost on the way
	}{
		"it answers":                    {kind: dhcp4.Request},
		"it is silent by rule":          {kind: dhcp4.Release},
		"it answers, probes got lost":   {kind: dhcp4.Request, lose: 1500 * time.Millisecond},
		"it is silent, probes got lost": {kind: dhcp4.Release, lose: 1500 * time.Millisecond},
		"it is asked for offers":        {kind: dhcp4.Discover},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil, ours(1)...)
			a := b.named("a")
			type one struct {
				message []byte // nil for a probe
				mark    uint32
			}
			var queue []one
			var most int
			begun, xid := b.clock, uint32(0)
			b.ProbeAnswered(a, netip.Addr{}, ipc.ProbeReply{Full: true}, b.clock)
			probe := func(mark uint32) {
				if past := b.clock.Sub(begun); past < time.Second || past > time.Second+tt.lose {
					queue = append(queue, one{mark: mark})
				}
			}
			for step := range 12 * 1000 { // milliseconds
				b.clock = b.clock.Add(time.Millisecond)
				if step%500 == 0 {
					probe(a.state.sent.Load())
					b.judge(b.clock)
				}
				for range 10 {
					m := message(tt.kind, xid+1, int(xid+1))
					if to, why := b.Route(&Query{Message: m}, MaxWait{}, b.clock); why == drop.None {
						xid++
						queue = append(queue, one{message: m})
						if to.Probe {
							probe(to.Mark)
						}
					}
				}
				most = max(most, len(queue))
				for len(queue) > 0 { // one query, and the probes before it
					m := queue[0]
					queue = queue[1:]
					if m.message == nil {
						b.ProbeAnswered(a, netip.Addr{}, ipc.ProbeReply{Full: true, Mark: m.mark}, b.clock)
						continue
					}
					if tt.kind != dhcp4.Release {
						b.Answered(a, netip.Addr{}, m.message, b.clock)
					}
					break
				}
			}
			// The queue holds the probes too, one every 5 ms.
			if limit := window + window/8; most > limit {
				t.Errorf("%d queries wait at it, of %d", most, xid)
			}
		})
	}
}

// TestTripsTogether runs the three goroutines on one table, for the race detector. It compares the
// number of queries with the sum of their fates.
func TestTripsTogether(t *testing.T) {
	b := newBench(t, nil, ours(1)...)
	a := b.named("a")
	const n = 20_000
	var all sync.WaitGroup
	answers := make(chan []byte, 1000)
	all.Go(func() {
		for i := range n {
			m := message(dhcp4.Discover, uint32(i), i)
			b.sends(a, b.query(m, "fe80::1"))
			answers <- m
		}
		close(answers)
	})
	all.Go(func() {
		for m := range answers {
			b.Answered(a, netip.Addr{}, m, b.clock.Add(time.Millisecond))
		}
	})
	stop := make(chan struct{})
	var sweeper sync.WaitGroup
	sweeper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				b.judge(b.clock)
				b.flights.count()
			}
		}
	})
	all.Wait()
	close(stop)
	sweeper.Wait()
	trips := answersOf(t, a.state.series)
	if left := b.flights.count(); trips+a.state.series.unmatched.Load() != n || left != 0 {
		t.Errorf("%d answered, %d unmatched of %d, %d left", trips, a.state.series.unmatched.Load(), n, left)
	}
}

// roundTrip is all that this package does for a query and its answer.
func roundTrip(b *bench, q *Query, m []byte, p *attachment.Path) {
	q.Path, q.Message = p, m
	c, _ := b.Route(q, MaxWait{Query: time.Second, Discover: time.Second}, b.clock)
	b.Answered(c.Backend, netip.Addr{}, m, b.clock)
}

func TestNoAllocation(t *testing.T) {
	for _, n := range []int{1, 3} {
		b := newBench(t, nil, ours(n)...)
		m, q, p := message(dhcp4.Discover, 1, 1), new(Query), newPath(t)
		roundTrip(b, q, m, p)
		if got := testing.AllocsPerRun(1000, func() { roundTrip(b, q, m, p) }); got != 0 {
			t.Errorf("%v allocations with %d backends", got, n)
		}
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	for name, n := range map[string]int{"one": 1, "three": 3} {
		b.Run(name, func(b *testing.B) {
			s := newBench(b, nil, ours(n)...)
			q, p := new(Query), newPath(b)
			messages := make([][]byte, 8192)
			for i := range messages {
				messages[i] = message(dhcp4.Discover, uint32(i), i)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				roundTrip(s, q, messages[i%len(messages)], p)
			}
		})
	}
}

func TestAQueryThatIsWithdrawnWasNeverSent(t *testing.T) {
	b := newBench(t, nil, ours(1)...)
	a, m := b.named("a"), message(dhcp4.Discover, 1, 1)
	q := b.query(m, "fe80::1")
	for range 3 {
		to, why := b.Route(q, MaxWait{}, b.clock)
		if why != drop.None {
			t.Fatal(why)
		}
		b.Withdraw(to, q)
	}
	if n := b.flights.count(); n != 0 || a.state.sent.Load() != 0 {
		t.Errorf("%d in flight, %d sent", n, a.state.sent.Load())
	}
	b.pass(timeout + time.Second)
	if n := a.state.series.timeouts.Load(); n != 0 {
		t.Errorf("%d timeouts", n)
	}
}
