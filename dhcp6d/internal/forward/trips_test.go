package forward

import (
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
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
			b.Sent(a, b.query(discover, "fe80::1"), b.clock)
			b.Answered(a, discover, b.clock.Add(time.Millisecond))
		}, figures{answered: 1}, 0},
		{"no answer yet", func(b *bench, a *Backend) { b.Sent(a, b.query(discover, "fe80::1"), b.clock) }, figures{}, 1},
		{"no answer", func(b *bench, a *Backend) {
			b.Sent(a, b.query(discover, "fe80::1"), b.clock)
			b.pass(timeout)
		}, figures{timeouts: 1}, 0},
		{"a late answer", func(b *bench, a *Backend) {
			b.Sent(a, b.query(discover, "fe80::1"), b.clock)
			b.pass(timeout)
			b.Answered(a, discover, b.clock)
		}, figures{timeouts: 1, late: 1}, 0},
		{"one that nobody waits for any more", func(b *bench, a *Backend) {
			b.Sent(a, b.query(discover, "fe80::1"), b.clock)
			b.pass(forget + time.Second)
			b.Answered(a, discover, b.clock)
		}, figures{timeouts: 1, unmatched: 1}, 0},
		{"an answer to nothing", func(b *bench, a *Backend) { b.Answered(a, discover, b.clock) }, figures{unmatched: 1}, 0},
		{"an answer that was doubled", func(b *bench, a *Backend) {
			b.Sent(a, b.query(discover, "fe80::1"), b.clock)
			b.Answered(a, discover, b.clock)
			b.Answered(a, discover, b.clock)
		}, figures{answered: 1, unmatched: 1}, 0},
		{"a query that was doubled", func(b *bench, a *Backend) {
			b.Sent(a, b.query(discover, "fe80::1"), b.clock)
			b.Sent(a, b.query(discover, "fe80::1"), b.clock)
			b.Answered(a, discover, b.clock)
			b.Answered(a, discover, b.clock)
		}, figures{answered: 2}, 0},
		{"an answer of another backend", func(b *bench, a *Backend) {
			b.Sent(b.named("b"), b.query(discover, "fe80::1"), b.clock)
			b.Answered(a, discover, b.clock)
		}, figures{unmatched: 1}, 1},
		{"RELEASE and DECLINE have no answer", func(b *bench, a *Backend) {
			b.Sent(a, b.query(message(dhcp4.Release, 2, 1), "fe80::1"), b.clock)
			b.Sent(a, b.query(message(dhcp4.Decline, 3, 1), "fe80::1"), b.clock)
			b.pass(timeout)
		}, figures{}, 0},
		{"five of one set: the oldest goes", func(b *bench, a *Backend) {
			for range ways + 1 {
				b.Sent(a, b.query(discover, "fe80::1"), b.clock)
			}
		}, figures{}, ways},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, nil, ours(2)...)
			a := b.named("a")
			tt.do(b, a)
			s, answered := a.state.series, uint64(0)
			for i := range s.buckets {
				answered += s.buckets[i].Load()
			}
			if got := (figures{answered, s.timeouts.Load(), s.late.Load(), s.unmatched.Load()}); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
			if got := b.trips.inFlight(); got != tt.left {
				t.Errorf("%d in flight, want %d", got, tt.left)
			}
			if n, err := testutil.GatherAndCount(b.reg, "dhcp6d_ipc_round_trip_seconds"); n != 4 || err != nil {
				t.Errorf("%d series, %v", n, err)
			}
		})
	}
}

func TestAQueryIsServedWhateverTheTableHolds(t *testing.T) {
	b := newBench(t, nil, ours(1)...)
	a := b.named("a")
	answered := 0
	for i := range 5 * sets * ways {
		m := message(dhcp4.Discover, uint32(i), i)
		q := b.query(m, "fe80::1")
		if _, why := b.Choose(q, b.clock); why != drop.None {
			t.Fatalf("query %d: %v", i, why)
		}
		b.Sent(a, q, b.clock)
		if i%1000 == 0 {
			b.Answered(a, m, b.clock)
			answered++
		}
	}
	if n := b.trips.inFlight(); n > sets*ways {
		t.Errorf("%d in flight", n)
	}
}

func TestASlowBackendIsNotFlooded(t *testing.T) {
	b := newBench(t, nil, ours(1)...)
	a := b.named("a")
	b.ProbeAnswered(a, b.clock)
	fill := func(kind dhcp4.MessageType) (n int) {
		for i := range 3 * window {
			q := b.query(message(kind, uint32(i), i), "fe80::1")
			if _, why := b.Choose(q, b.clock); why == drop.Overload {
				return n
			} else if why != drop.None {
				t.Fatal(why)
			}
			b.Sent(a, q, b.clock)
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
	a.state.probes.ask(a.state.sent.Load() - 100) // a probe had followed all but 100
	b.ProbeAnswered(a, b.clock)
	if n := fill(dhcp4.Request); n != window-100 {
		t.Errorf("after a probe %d, want %d", n, window-100)
	}
	m := message(dhcp4.Request, uint32(window-101), window-101)
	b.Answered(a, m, b.clock) // the last of them: all before it were taken
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
	b.Sent(a, b.query(m, "fe80::1"), b.clock)
	b.Answered(a, m, b.clock)
	for range 3 {
		if n := fill(dhcp4.Request); n != window {
			t.Errorf("%d to a Kea, want %d each second", n, window)
		}
		b.clock = b.clock.Add(reopen)
	}
}

// TestASlowBackendIsNeverFlooded plays a backend that takes a thousand queries
// per second, and probes in their order, where ten thousand are to be had.
func TestASlowBackendIsNeverFlooded(t *testing.T) {
	for name, tt := range map[string]struct {
		kind dhcp4.MessageType
		lose int // probes lost on the way, after the first one
	}{
		"it answers":                    {kind: dhcp4.Request},
		"it is silent by rule":          {kind: dhcp4.Release},
		"it answers, probes got lost":   {kind: dhcp4.Request, lose: 3},
		"it is silent, probes got lost": {kind: dhcp4.Release, lose: 3},
		"it is asked for offers":        {kind: dhcp4.Discover},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil, ours(1)...)
			a := b.named("a")
			var queue [][]byte // nil is a probe
			var probe, most int
			xid := uint32(0)
			for step := range 12 * 1000 { // milliseconds
				b.clock = b.clock.Add(time.Millisecond)
				if step%500 == 0 {
					a.state.probes.ask(a.state.sent.Load())
					if probe++; probe == 1 || probe > 1+tt.lose {
						queue = append(queue, nil)
					}
					b.judge(b.clock)
				}
				for range 10 {
					xid++
					m := message(tt.kind, xid, int(xid))
					q := b.query(m, "fe80::1")
					if _, why := b.Choose(q, b.clock); why == drop.None {
						b.Sent(a, q, b.clock)
						queue = append(queue, m)
					}
				}
				most = max(most, len(queue))
				for len(queue) > 0 { // one query, and the probes before it
					m := queue[0]
					queue = queue[1:]
					if m == nil {
						b.ProbeAnswered(a, b.clock)
						continue
					}
					if tt.kind != dhcp4.Release {
						b.Answered(a, m, b.clock)
					}
					break
				}
			}
			limit := window + 40 // with the probes
			if tt.kind == dhcp4.Release {
				limit *= 2 // it goes out, and what it is sent when it is back is one window more
			}
			if most > limit {
				t.Errorf("%d queries wait at it", most)
			}
		})
	}
}

// TestTripsTogether has the three goroutines work on one table, for the race
// detector, and holds the sum of what became of the queries to their number.
func TestTripsTogether(t *testing.T) {
	b := newBench(t, nil, ours(1)...)
	a := b.named("a")
	const n = 20_000
	var all sync.WaitGroup
	answers := make(chan []byte, 1000)
	all.Go(func() {
		for i := range n {
			m := message(dhcp4.Discover, uint32(i), i)
			b.Sent(a, b.query(m, "fe80::1"), b.clock)
			answers <- m
		}
		close(answers)
	})
	all.Go(func() {
		for m := range answers {
			b.Answered(a, m, b.clock.Add(time.Millisecond))
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
				b.trips.inFlight()
			}
		}
	})
	all.Wait()
	close(stop)
	sweeper.Wait()
	var answered uint64
	for i := range a.state.series.buckets {
		answered += a.state.series.buckets[i].Load()
	}
	if left := b.trips.inFlight(); answered+a.state.series.unmatched.Load() != n || left != 0 {
		t.Errorf("%d answered, %d unmatched of %d, %d left", answered, a.state.series.unmatched.Load(), n, left)
	}
}

// roundTrip is all that this package costs a query and its answer.
func roundTrip(b *bench, q *Query, m []byte, p *queryPacket) {
	b.Read(q, &p.Packet, p.source, m)
	c, _ := b.Choose(q, b.clock)
	b.Sent(c, q, b.clock)
	b.Answered(c, m, b.clock)
}

func TestNoAllocation(t *testing.T) {
	for _, n := range []int{1, 3} {
		b := newBench(t, nil, ours(n)...)
		m, q, p := message(dhcp4.Discover, 1, 1), new(Query), newQueryPacket(t, b)
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
			q, p := new(Query), newQueryPacket(b, s)
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
