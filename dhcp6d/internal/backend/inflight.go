package backend

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

const (
	// timeout is how long a query may wait for its answer before it counts as a timeout.
	timeout = 2 * time.Second
	// forget is how long after a query its answer counts as late. After that it is unmatched.
	forget = 30 * time.Second
)

// flights are the queries that wait for their answers: a table of fixed size, shared by the loop
// that sends, the loop that receives and Run, without a lock.
//
// A query that finds no room replaces the oldest one of its row. An answer is delivered even if its
// query is not found. Flights serve two purposes: timeouts show that a Kea is silent, and an answer
// shows which queries a backend has read.
type flights struct {
	rows [rows][ways]flight
}

const (
	rows = 4096
	ways = 4
)

// flight is one query. A writer first sets the key to 0, and last to its value. To end a flight,
// the key is swapped for 0.
type flight struct {
	key  atomic.Uint64 // of the query and its answer; 0 is a free slot
	at   atomic.Int64  // when the query left, negated once it has timed out
	info atomic.Uint64 // id<<56 | DISCOVER<<48 | point<<32 | number
}

func infoOf(id uint32, q *Query, number uint32) uint64 {
	info := uint64(id)<<56 | uint64(q.point)<<32 | uint64(number)
	if q.opens() {
		info |= 1 << 48
	}
	return info
}

// depart counts a query as sent to a backend, and returns its number.
func (s *Set) depart(to *Backend, q *Query, at int64) (number uint32) {
	number = to.state.sent.Load() + 1
	to.state.queue.left[number%window] = at
	to.state.sent.Store(number)
	if q.opens() && to.state.health.get() == Trial {
		to.state.trial.add(q)
	}
	switch q.kind {
	case dhcp4.Discover, dhcp4.Request, dhcp4.Inform: // other messages get no answer
		q.flight = s.flights.begin(q.key, infoOf(to.state.id.Load(), q, number), at)
	}
	return number
}

// Withdraw undoes that [Set.Route] has counted the last query as sent. It must be called before the
// next Route.
func (s *Set) Withdraw(to Route, q *Query) {
	to.state.sent.Store(to.state.sent.Load() - 1)
	if q.flight != nil {
		q.flight.key.CompareAndSwap(q.key, 0)
	}
}

// Answered notes that a backend has answered a query. Message is the DHCPv4 message of the answer,
// local the address of ours that it came to, if that is known.
func (s *Set) Answered(b *Backend, local netip.Addr, message []byte, now time.Time) {
	s.hear(b, local, now)
	at := s.since(now)
	b.state.evidence.answered.Store(at)
	left, number, found := s.flights.end(keyOf(message), b.state.id.Load())
	switch {
	case !found:
		b.state.series.unmatched.Add(1)
		return
	case left < 0:
		b.state.series.late.Add(1)
	default:
		b.state.series.trips.Observe(time.Duration(at - left))
	}
	b.state.read(number, at)
	b.state.lag.Store(at - abs(left))
	b.state.lagAt.Store(at)
}

// read notes that the backend has read all queries up to a number. It ignores a number that no
// query has yet: such a number answers a probe of an earlier process of dhcp6d.
func (s *state) read(number uint32, at int64) {
	if int32(number-s.sent.Load()) > 0 {
		return
	}
	if int32(number-s.taken.Load()) > 0 {
		s.taken.Store(number)
	}
	s.takenAt.Store(at)
}

// begin adds a query.
func (fs *flights) begin(key, info uint64, at int64) *flight {
	row := &fs.rows[key%rows]
	chosen, oldest := &row[0], int64(1<<63-1)
	for i := range row {
		f := &row[i]
		if f.key.Load() == 0 {
			chosen = f
			break
		}
		// A query that has timed out has a negative time, so it goes first.
		if left := f.at.Load(); left < oldest {
			chosen, oldest = f, left
		}
	}
	chosen.key.Store(0)
	chosen.at.Store(at)
	chosen.info.Store(info)
	chosen.key.Store(key)
	return chosen
}

// end removes the query of an answer. If a client has sent the same query twice, it removes the
// older one.
func (fs *flights) end(key uint64, id uint32) (left int64, number uint32, found bool) {
	row := &fs.rows[key%rows]
	var first *flight
	for i := range row {
		f := &row[i]
		if f.key.Load() != key || uint32(f.info.Load()>>56) != id {
			continue
		}
		if at := f.at.Load(); first == nil || abs(at) < abs(left) {
			first, left, number = f, at, uint32(f.info.Load())
		}
	}
	return left, number, first != nil && first.key.CompareAndSwap(key, 0)
}

// sweep calls late for every query that has just timed out, and forgets those that timed out long
// ago.
func (fs *flights) sweep(now int64, late func(id uint32, discover bool, point uint16, left int64)) {
	for i := range fs.rows {
		for j := range fs.rows[i] {
			f := &fs.rows[i][j]
			key := f.key.Load()
			if key == 0 {
				continue
			}
			left, info := f.at.Load(), f.info.Load()
			switch {
			case left < 0 && now+left >= int64(forget):
				f.key.CompareAndSwap(key, 0)
			case left > 0 && now-left >= int64(timeout) && f.at.CompareAndSwap(left, -left):
				late(uint32(info>>56), info>>48&1 == 1, uint16(info>>32), left)
			}
		}
	}
}

// count returns how many queries wait for their answer and have not timed out.
func (fs *flights) count() (n int) {
	for i := range fs.rows {
		for j := range fs.rows[i] {
			if f := &fs.rows[i][j]; f.key.Load() != 0 && f.at.Load() > 0 {
				n++
			}
		}
	}
	return n
}

func abs(n int64) int64 { return max(n, -n) }
