package backend

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

var patience = MaxWait{Query: time.Second, Discover: 50 * time.Millisecond}

func TestOverloadIsWhatStands(t *testing.T) {
	var w Overload
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
		if got := w.Note(step.tooLong, int64(step.at)); got != step.want {
			t.Errorf("%s: %v, want %v", step.name, got, step.want)
		}
	}
}

func TestTheAgeOfWhatABackendHasNotTakenCounts(t *testing.T) {
	b := newBench(t, nil, ours(1)...)
	a := b.named("a")
	b.ProbeAnswered(a, netip.Addr{}, ipc.ProbeReply{Full: true}, b.clock)
	discover, request := b.query(message(dhcp4.Discover, 1, 1), "fe80::1"), b.query(message(dhcp4.Request, 1, 1), "fe80::1")
	late := func(q *Query, inSocket time.Duration) bool {
		q.Waited = inSocket
		return a.state.late(q, patience, b.since(b.clock))
	}
	send := func(n int) {
		for i := range n {
			b.sends(a, b.query(message(dhcp4.Discover, uint32(i), i), "fe80::1"))
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
	if discover.Waited = time.Hour; a.state.late(discover, MaxWait{}, b.since(b.clock)) {
		t.Error("without limits nothing is late")
	}
	b.ProbeAnswered(a, netip.Addr{}, ipc.ProbeReply{Full: true, Mark: a.state.sent.Load()}, b.clock)
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
		b.sends(a, released)
	}
	b.clock = b.clock.Add(reopen)
	for range 10 {
		if q := b.query(message(dhcp4.Discover, 1, 1), "fe80::1"); a.state.late(q, patience, b.since(b.clock)) {
			t.Fatal("a DISCOVER is dropped for what has no answer")
		}
		b.clock = b.clock.Add(100 * time.Millisecond)
	}
}

// kinds are backends that say how far they have read, and backends that do not.
var kinds = map[string]struct {
	kea, full bool
}{
	"a dhcp4d":                              {full: true},
	"a dhcp4d that knows plain probes only": {},
	"a Kea":                                 {kea: true},
}

// played is a backend in simulated time. It reads its queue in order.
type played struct {
	*bench
	to    *Backend
	kea   bool
	full  bool
	queue []arrival
	probe time.Time
}

// arrival is a query, or a probe.
type arrival struct {
	message []byte // nil for a probe
	kind    dhcp4.MessageType
	mark    uint32    // of a probe
	left    time.Time // when the client sent it
}

func play(t *testing.T, kea, full bool) *played {
	specs := ours(1)
	specs[0].Kea = kea
	p := &played{bench: newBench(t, nil, specs...), kea: kea, full: full}
	p.to = p.named("a")
	p.probe = p.clock
	if !kea {
		p.ProbeAnswered(p.to, netip.Addr{}, ipc.ProbeReply{Full: full}, p.clock)
	}
	return p
}

// step lets a millisecond pass.
func (p *played) step() {
	p.clock = p.clock.Add(time.Millisecond)
	if p.clock.Sub(p.probe) >= probeEvery {
		p.probe = p.clock
		if !p.kea {
			p.queue = append(p.queue, arrival{mark: p.to.state.sent.Load()})
		}
		p.judge(p.clock)
	}
}

// offer routes a query, and returns why it was dropped.
func (p *played) offer(a arrival) drop.Reason {
	to, why := p.Route(p.query(a.message, "fe80::1"), patience, p.clock)
	if why != drop.None {
		return why
	}
	p.queue = append(p.queue, a)
	if to.Probe {
		p.queue = append(p.queue, arrival{mark: to.Mark})
	}
	return drop.None
}

// next reads one query, and the probes before it.
func (p *played) next() (a arrival, ok bool) {
	for len(p.queue) > 0 {
		a, p.queue = p.queue[0], p.queue[1:]
		if a.message != nil {
			return a, true
		}
		p.ProbeAnswered(p.to, netip.Addr{}, ipc.ProbeReply{Full: p.full, Mark: a.mark}, p.clock)
	}
	return arrival{}, false
}

// A subnet is full, so its backend is silent about all its DISCOVERs by rule. The backend is idle,
// so no other query may be dropped.
func TestSilenceIsNoOverload(t *testing.T) {
	for name, kind := range kinds {
		for _, silent := range []int{3, 20} { // DISCOVERs per millisecond
			for _, every := range []int{20, 1000} { // milliseconds between two exchanges of others
				if !kind.full && silent*every > window/2 {
					continue // more DISCOVERs between two answers than fit into a window
				}
				t.Run(fmt.Sprintf("%s, %d DISCOVERs per millisecond, others each %d ms", name, silent, every), func(t *testing.T) {
					t.Parallel()
					p := play(t, kind.kea, kind.full)
					others, dropped := 0, 0
					for ms := range 4_000 {
						p.step()
						for i := range silent {
							p.offer(arrival{message: message(dhcp4.Discover, uint32(ms), 1000+i)})
						}
						if ms%every == every-1 {
							others++
							if why := p.offer(arrival{message: message(dhcp4.Discover, uint32(ms), 1), kind: dhcp4.Discover}); why != drop.None {
								dropped++
							}
						}
						for a, ok := p.next(); ok; a, ok = p.next() {
							if a.kind == dhcp4.Discover {
								p.Answered(p.to, netip.Addr{}, a.message, p.clock)
							}
						}
					}
					if dropped > 0 {
						t.Errorf("%d of %d DISCOVERs of others are dropped", dropped, others)
					}
				})
			}
		}
	}
}

// A crowd offers three times of what a backend can do, in simulated time. A client without an
// answer within a second has given up. A query costs the backend the same, whether its client still
// waits or not.
func TestGoodputUnderOverload(t *testing.T) {
	const length, counted, givesUp = 8 * time.Second, 2 * time.Second, time.Second
	for name, kind := range kinds {
		for _, perSecond := range []int{500, 1000, 5000} {
			t.Run(fmt.Sprintf("%s, %d exchanges per second", name, perSecond), func(t *testing.T) {
				t.Parallel()
				p := play(t, kind.kea, kind.full)
				var requests []arrival
				var begun, completed, wasted int
				capacity, offered := 0.0, 0.0
				end := p.clock.Add(length)
				for p.clock.Before(end) {
					p.step()
					arrivals := requests
					requests = nil
					for offered += 3 * float64(perSecond) / 1000; offered >= 1; offered-- {
						begun++
						arrivals = append(arrivals, arrival{message: message(dhcp4.Discover, uint32(begun), begun), kind: dhcp4.Discover, left: p.clock})
					}
					for _, a := range arrivals {
						if why := p.offer(a); why == drop.NoBackend {
							t.Fatal(why)
						}
					}
					for capacity += 2 * float64(perSecond) / 1000; capacity >= 1; capacity-- {
						a, ok := p.next()
						if !ok {
							capacity = 0 // unused capacity is lost
							break
						}
						p.Answered(p.to, netip.Addr{}, a.message, p.clock)
						switch {
						case p.clock.Sub(a.left) > givesUp:
							wasted++
						case a.kind == dhcp4.Discover:
							requests = append(requests, arrival{message: message(dhcp4.Request, uint32(begun)<<8|uint32(len(requests)), begun), kind: dhcp4.Request, left: p.clock})
						case !p.clock.Before(end.Add(counted - length)):
							completed++
						}
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
}
