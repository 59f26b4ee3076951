package backend

import "time"

const (
	// window is the most queries that a backend has been sent and not yet read. Further ones are
	// dropped. DISCOVERs may use half of it: under overload, clients in mid-exchange come first.
	window = 8192
	// reopen is how long the window stays shut of a backend that does not tell how far it has read.
	// Such a backend may have read all queries and be silent by rule.
	reopen = time.Second
)

// MaxWait is how long a query may wait, in the socket of the link and in that of its backend
// together. 0 is no limit.
type MaxWait struct {
	// Query is for every query: a client that has waited longer has given up.
	Query time.Duration
	// Discover is for a DISCOVER while a backend is overloaded. Clients in mid-exchange come first.
	// Otherwise overload would leave only half-finished exchanges.
	Discover time.Duration
}

const (
	// standing is how long all queries must come too late before that counts as overload, and how
	// long none may before the overload is over. It is longer than a pause of the process or of
	// the host.
	standing  = 200 * time.Millisecond
	lagStands = standing / 2
	// few unread queries are no queue, however old they are: a backend is silent about some.
	few = 256
)

// queue is what is known of the queue in front of a backend. The loop that sends owns it.
type queue struct {
	left     [window]int64 // when each of the last queries left, by its number
	overload Overload
	marked   int64 // when a full probe last followed a query
}

// Overload tells overload from a pause, by whether queries come too late. One goroutine owns it.
type Overload struct {
	lastLate int64 // when a query last came too late
	lateFrom int64 // since when every query has come too late
	on       bool
}

// A backend that reads a query may be silent about it by rule, so silence says nothing about its
// queue. When markFrom queries have no answer, and nothing was learned for markEvery, a full probe
// right behind the last query asks how far it has read.
const (
	markFrom  = few / 2
	markEvery = int64(5 * time.Millisecond)
)

// wantsMark reports whether a full probe is to follow the query of that number.
func (s *state) wantsMark(number uint32, at int64) bool {
	if number-s.taken.Load() < markFrom || !s.tells() ||
		at-s.takenAt.Load() < markEvery || at-s.queue.marked < markEvery {
		return false
	}
	s.queue.marked = at
	return true
}

// tells reports whether the backend says how far it has read. A Kea does not, nor does a dhcp4d
// that knows plain probes only.
func (s *state) tells() bool { return s.fullAt.Load() != 0 }

// full reports whether the backend has as many queries as it may have.
func (s *state) full(discover bool, at int64) bool {
	sent, room := s.sent.Load(), uint32(window)
	if discover {
		room = window / 2
	}
	if sent-s.taken.Load() < room {
		return false
	}
	if s.tells() || at-s.takenAt.Load() < int64(reopen) {
		return true
	}
	s.read(sent, at)
	return false
}

// late reports whether the query would have waited for too long when the backend reads it.
func (s *state) late(q *Query, limits MaxWait, at int64) bool {
	wait := q.Waited + s.behind(at)
	tooLong := limits.Discover > 0 && wait > limits.Discover
	overload := s.queue.overload.Note(tooLong, at)
	return (tooLong && overload && q.opens()) || (limits.Query > 0 && wait > limits.Query)
}

// behind returns for about how long a query that leaves now will wait at the backend. A backend
// reads its queries in order, so that is the age of the oldest one that it has not read. For a
// backend that does not tell how far it has read, it is how long the last answered query had
// waited. A single late answer is no overload: it counts for lagStands only, so there must be
// several.
func (s *state) behind(at int64) time.Duration {
	taken := s.taken.Load()
	switch {
	case s.sent.Load()-taken < few:
		return 0
	case s.tells():
		return time.Duration(at - s.queue.left[(taken+1)%window])
	case at-s.lagAt.Load() >= int64(lagStands):
		return 0
	}
	return time.Duration(s.lag.Load())
}

// Note notes whether a query came too late, and reports whether there is overload. at is in
// nanoseconds.
func (o *Overload) Note(tooLong bool, at int64) bool {
	over := at-o.lastLate > int64(standing)
	if over {
		o.on = false
	}
	if over || !tooLong {
		o.lateFrom = at
	}
	if tooLong {
		o.lastLate = at
	}
	o.on = o.on || at-o.lateFrom > int64(standing)
	return o.on
}
