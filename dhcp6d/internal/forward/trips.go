package forward

import (
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// A query that is not answered within timeout counts as such; for another
// while its answer is known as a late one.
const (
	timeout = 2 * time.Second
	forget  = 30 * time.Second
)

// trips are the queries on their way: a table of fixed size between the loop
// that sends and the one that receives, without a lock. It is for figures
// only: a query that finds no room pushes the oldest of its set out, and an
// answer that finds no query is delivered all the same.
type trips struct {
	sets [sets][ways]trip
}

const (
	sets = 4096
	ways = 4
)

// trip is one query. Whoever writes makes the key 0 first and sets it last;
// whoever takes the trip swaps its key for 0.
type trip struct {
	key atomic.Uint64 // 0 is free
	at  atomic.Int64  // when it left; negated once it has timed out
	// info is id<<56 | DISCOVER<<48 | point<<32 | number.
	info atomic.Uint64
}

func infoOf(id uint32, q *Query, number uint32) uint64 {
	info := uint64(id)<<56 | uint64(q.point)<<32 | uint64(number)
	if q.kind == dhcp4.Discover {
		info |= 1 << 48
	}
	return info
}

// Sent notes that a query leaves for a backend.
func (b *Backends) Sent(c *Backend, q *Query, now time.Time) {
	at := b.since(now)
	number := c.state.sent.Load() + 1
	c.state.waiting.left[number%window] = at
	c.state.sent.Store(number)
	switch q.kind {
	case dhcp4.Discover, dhcp4.Request, dhcp4.Inform: // others have no answer
		b.trips.begin(q.key, infoOf(c.state.id.Load(), q, number), at)
	}
}

// Answered notes the answer of a backend, of which carried is the DHCPv4
// message.
func (b *Backends) Answered(c *Backend, carried []byte, now time.Time) {
	b.Heard(c, now)
	at := b.since(now)
	left, number, found := b.trips.end(keyOf(carried), c.state.id.Load())
	switch {
	case !found:
		c.state.series.unmatched.Add(1)
		return
	case left < 0:
		c.state.series.late.Add(1)
	default:
		c.state.series.observe(time.Duration(at - left))
	}
	c.state.caughtUp(number, at)
	c.state.probes.overtaken(number)
}

func (ts *trips) begin(key, info uint64, at int64) {
	set := &ts.sets[key%sets]
	chosen, oldest := &set[0], int64(1<<63-1)
	for i := range set {
		t := &set[i]
		if t.key.Load() == 0 {
			chosen = t
			break
		}
		// One that has timed out is negative, and so goes first.
		if left := t.at.Load(); left < oldest {
			chosen, oldest = t, left
		}
	}
	chosen.key.Store(0)
	chosen.at.Store(at)
	chosen.info.Store(info)
	chosen.key.Store(key)
}

// end takes the trip of an answer: the oldest, where a client has asked the
// same more than once.
func (ts *trips) end(key uint64, id uint32) (left int64, number uint32, found bool) {
	set := &ts.sets[key%sets]
	var first *trip
	for i := range set {
		t := &set[i]
		if t.key.Load() != key || uint32(t.info.Load()>>56) != id {
			continue
		}
		if at := t.at.Load(); first == nil || abs(at) < abs(left) {
			first, left, number = t, at, uint32(t.info.Load())
		}
	}
	return left, number, first != nil && first.key.CompareAndSwap(key, 0)
}

// sweep calls late for every trip that has just timed out.
func (ts *trips) sweep(now int64, late func(id uint32, discover bool, point uint16, left int64)) {
	for i := range ts.sets {
		for j := range ts.sets[i] {
			t := &ts.sets[i][j]
			key := t.key.Load()
			if key == 0 {
				continue
			}
			left, info := t.at.Load(), t.info.Load()
			switch {
			case left < 0 && now+left >= int64(forget):
				t.key.CompareAndSwap(key, 0)
			case left > 0 && now-left >= int64(timeout) && t.at.CompareAndSwap(left, -left):
				late(uint32(info>>56), info>>48&1 == 1, uint16(info>>32), left)
			}
		}
	}
}

// inFlight counts the queries that wait for their answer.
func (ts *trips) inFlight() (n int) {
	for i := range ts.sets {
		for j := range ts.sets[i] {
			if t := &ts.sets[i][j]; t.key.Load() != 0 && t.at.Load() > 0 {
				n++
			}
		}
	}
	return n
}

func abs(n int64) int64 { return max(n, -n) }
