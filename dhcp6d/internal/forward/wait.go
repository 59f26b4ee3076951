package forward

import "time"

// Patience is how long a query may wait, in the socket of the link and in that
// of its backend together; 0 is for ever.
type Patience struct {
	// Query is for any query: whoever has waited longer has given up.
	Query time.Duration
	// Discover is for a DISCOVER while a backend is overloaded. Who has an
	// offer, or a lease, goes before who has nothing yet, or work on exchanges
	// that never end would be all that is done.
	Discover time.Duration
}

const (
	// standing is how long everything must have waited for too long to be
	// taken for overload, which is longer than a pause of the process or of
	// the host, and how long nothing must have for the overload to be over.
	standing = 200 * time.Millisecond
	// few queries on their way to a backend are no queue, however old: there
	// are those that it is silent about.
	few = 256
)

// waiting is what is known of the queue before a backend. The loop that sends
// owns it.
type waiting struct {
	left     [window]int64 // when the last queries left, by their number
	late     int64         // when a query last came that had waited for too long
	since    int64         // since when all that came had
	overload bool
}

// Late tells whether a query that lay in the link's socket for some time is not
// worth sending to its backend: by when that comes to it, it will have waited
// for too long. It is asked about every query that Choose has found a backend
// for.
func (b *Backends) Late(c *Backend, q *Query, inSocket time.Duration, p Patience, now time.Time) bool {
	at := b.since(now)
	wait := inSocket + c.state.behind(at)
	tooLong := p.Discover > 0 && wait > p.Discover
	overload := c.state.waiting.overloaded(tooLong, at)
	return tooLong && overload && q.Opens() || p.Query > 0 && wait > p.Query
}

// behind is the age of the oldest query that a backend is not known to have
// taken. It takes them in order, so one that leaves now will wait about as long.
// One that answers no probes may be silent about all of them by rule.
func (s *state) behind(now int64) time.Duration {
	taken := s.taken.Load()
	if s.sent.Load()-taken < few || !s.probed.Load() && now-s.takenAt.Load() >= int64(reopen) {
		return 0
	}
	return time.Duration(now - s.waiting.left[(taken+1)%window])
}

// overloaded takes note of whether a query came too late, and tells whether
// there is more to do than can be done.
func (w *waiting) overloaded(tooLong bool, now int64) bool {
	over := now-w.late > int64(standing)
	if over {
		w.overload = false
	}
	if over || !tooLong {
		w.since = now
	}
	if tooLong {
		w.late = now
	}
	w.overload = w.overload || now-w.since > int64(standing)
	return w.overload
}
