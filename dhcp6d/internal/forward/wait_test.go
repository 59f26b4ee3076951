package forward

import (
	"fmt"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

var patience = Patience{Query: time.Second, Discover: 50 * time.Millisecond}

func TestOverloadIsWhatStands(t *testing.T) {
	var w waiting
	for _, step := range []struct {
		name    string
		at      time.Duration
		tooLong bool
		want    bool
	}{
		{"the first query comes late", 10 * time.Millisecond, true, false},
		{"the next does not", 11 * time.Millisecond, false, false},
		{"an hour later there is a pause", time.Hour, true, false},
		{"which goes on", time.Hour + 200*time.Millisecond, true, false},
		{"for too long", time.Hour + 201*time.Millisecond, true, true},
		{"some come through in time", time.Hour + 300*time.Millisecond, false, true},
		{"others do not", time.Hour + 400*time.Millisecond, true, true},
		{"all do for a while", time.Hour + 600*time.Millisecond, false, true},
		{"and that is the end of it", time.Hour + 601*time.Millisecond, false, false},
		{"the next pause is no overload either", time.Hour + 610*time.Millisecond, true, false},
	} {
		if got := w.overloaded(step.tooLong, int64(step.at)); got != step.want {
			t.Errorf("%s: %v, want %v", step.name, got, step.want)
		}
	}
}

func TestTheAgeOfWhatABackendHasNotTakenCounts(t *testing.T) {
	b := newBench(t, nil, ours(1)...)
	a := b.named("a")
	b.ProbeAnswered(a, b.clock)
	discover, request := b.query(message(dhcp4.Discover, 1, 1), "fe80::1"), b.query(message(dhcp4.Request, 1, 1), "fe80::1")
	late := func(q *Query, inSocket time.Duration) bool { return b.Late(a, q, inSocket, patience, b.clock) }
	send := func(n int) {
		for i := range n {
			b.Sent(a, b.query(message(dhcp4.Discover, uint32(i), i), "fe80::1"), b.clock)
		}
	}
	send(few - 1)
	b.clock = b.clock.Add(400 * time.Millisecond)
	if late(discover, 0) {
		t.Error("few queries on their way are no queue")
	}
	send(1)
	for range 3 {
		if late(discover, 0) {
			t.Error("a queue of which nothing is known yet is no overload")
		}
		b.clock = b.clock.Add(100 * time.Millisecond)
	}
	if !late(discover, 0) || late(request, 0) {
		t.Error("under overload a DISCOVER gives way, and a REQUEST does not")
	}
	if !late(request, 400*time.Millisecond) {
		t.Error("whoever waited 0.4 s and will wait 0.7 s more has given up")
	}
	if b.Late(a, discover, time.Hour, Patience{}, b.clock) {
		t.Error("without limits nothing is late")
	}
	a.state.probes.ask(a.state.sent.Load())
	b.ProbeAnswered(a, b.clock)
	if late(discover, 0) {
		t.Error("the backend has taken all there was")
	}
}

func TestABackendThatAnswersNoProbesMayBeSilent(t *testing.T) {
	specs := ours(1)
	specs[0].Kea = true
	b := newBench(t, nil, specs...)
	a := b.named("a")
	released := b.query(message(dhcp4.Release, 1, 1), "fe80::1")
	for range 4 * few {
		b.Sent(a, released, b.clock)
	}
	b.clock = b.clock.Add(reopen)
	for range 10 {
		if q := b.query(message(dhcp4.Discover, 1, 1), "fe80::1"); b.Late(a, q, 0, patience, b.clock) {
			t.Fatal("a DISCOVER is dropped for what has no answer")
		}
		b.clock = b.clock.Add(100 * time.Millisecond)
	}
}

// A crowd offers three times of what a backend can do, in simulated time. Who
// has no answer within a second has given up. A query costs the backend the
// same whoever still waits for it.
func TestGoodputUnderOverload(t *testing.T) {
	const step, length, counted, givesUp = time.Millisecond, 8 * time.Second, 2 * time.Second, time.Second
	type waits struct {
		message []byte // nil for a probe
		kind    dhcp4.MessageType
		left    time.Time // when its client sent it
	}
	for _, perSecond := range []int{500, 1000, 5000} {
		t.Run(fmt.Sprintf("%d exchanges per second", perSecond), func(t *testing.T) {
			b := newBench(t, nil, ours(1)...)
			a := b.named("a")
			b.ProbeAnswered(a, b.clock)
			var queue, requests []waits
			var begun, completed, wasted int
			capacity, offered := 0.0, 0.0
			end := b.clock.Add(length)
			good := func(at time.Time) bool { return !at.Before(end.Add(counted - length)) }
			for probed := b.clock; b.clock.Before(end); b.clock = b.clock.Add(step) {
				if b.clock.Sub(probed) >= probeEvery {
					probed = b.clock
					a.state.probes.ask(a.state.sent.Load())
					queue = append(queue, waits{})
					b.judge(b.clock)
				}
				arrivals := requests
				requests = nil
				for offered += 3 * float64(perSecond) * step.Seconds(); offered >= 1; offered-- {
					begun++
					arrivals = append(arrivals, waits{message(dhcp4.Discover, uint32(begun), begun), dhcp4.Discover, b.clock})
				}
				for _, m := range arrivals {
					q := b.query(m.message, "fe80::1")
					c, why := b.Choose(q, b.clock)
					if why == drop.Overload || why == drop.None && b.Late(c, q, 0, patience, b.clock) {
						continue
					}
					if why != drop.None {
						t.Fatal(why)
					}
					b.Sent(c, q, b.clock)
					queue = append(queue, m)
				}
				for capacity += 2 * float64(perSecond) * step.Seconds(); capacity >= 1 && len(queue) > 0; queue = queue[1:] {
					m := queue[0]
					if m.message == nil {
						b.ProbeAnswered(a, b.clock)
						continue
					}
					capacity--
					b.Answered(a, m.message, b.clock)
					switch {
					case b.clock.Sub(m.left) > givesUp:
						wasted++
					case m.kind == dhcp4.Discover:
						requests = append(requests, waits{message(dhcp4.Request, uint32(begun)<<8|uint32(len(requests)), begun), dhcp4.Request, b.clock})
					case good(b.clock):
						completed++
					}
				}
				if len(queue) == 0 {
					capacity = 0 // what is not used is gone
				}
			}
			share := float64(completed) / (float64(perSecond) * (length - counted).Seconds())
			t.Logf("%.3f of what the backend can do; it worked %d times for nobody", share, wasted)
			if share < 0.9 || wasted > 0 {
				t.Errorf("goodput is %.3f of what the backend can do, and it worked %d times for nobody", share, wasted)
			}
		})
	}
}

func TestLateAllocatesNothing(t *testing.T) {
	b := newBench(t, nil, ours(1)...)
	a := b.named("a")
	q := b.query(message(dhcp4.Discover, 1, 1), "fe80::1")
	if n := testing.AllocsPerRun(100, func() {
		b.Late(a, q, time.Minute, patience, b.clock)
		b.Sent(a, q, b.clock)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
