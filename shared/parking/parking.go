// Package parking keeps queries that wait until a program outside has answered a question.
//
// A packet loop copies a query into a [Lot], and goes on. Later the query leaves the lot and enters
// the loop again, as if it had just been read. A lot belongs to one loop and takes no lock.
//
// The first query with a key asks the question; it leads. Those that come behind it wait for the
// same answer:
//
//   - queries with the same key
//   - queries of a client that has a query in the lot already, whatever their key
//
// A leader and those behind it leave together, in the order in which they came. So queries of one
// client never overtake each other, and no key is asked about twice at the same time.
//
// A lot is bounded in all: queries, queries of one client, queries of one attachment point, and
// octets of a query.
package parking

import (
	"bytes"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Slots is the most queries that a lot can be configured to hold.
const Slots = 1 << 14

const (
	// perClient is the most queries of one client. More are repetitions.
	perClient = 4
	// maxOctets is the longest datagram that is parked.
	maxOctets = 8 << 10
)

// Limits bound a lot. A reload may change them.
type Limits struct {
	Queries int // in all, at most Slots
	Point   int // of one attachment point
}

// Origin tells queries apart. Client and Point are hashes: two clients that collide wait for each
// other.
type Origin struct {
	Client, Point uint64
	Key           uint64 // hash of Octets
	Octets        []byte // the key of the question; nil: the query asks nothing
}

// Query is a parked query. M is what its loop wants to find again.
type Query[M any] struct {
	Packet   udp.Packet // a copy
	Question []byte     // as it was asked, to be asked again
	Number   uint64     // of the question
	Since    time.Duration
	More     M

	// Outcome is set when it leaves.
	Outcome Outcome

	client, point uint64
	key           uint64
	octets        []byte
	slot          int32
	next          int32 // behind it in the list of its leader
	last          int32 // of a leader: the end of its list
	before, after int32 // of a leader: its neighbours in the order of asking
	leads, parked bool
}

// Asking returns the key of the question.
func (p *Query[M]) Asking() []byte { return p.octets }

// Outcome is why a query leaves the lot.
type Outcome uint8

// The outcomes.
const (
	NoOutcome Outcome = iota // it waited behind a question that was not its own
	Answered                 // its question has its answer
	Late                     // its question has none, and the time for it is over
	Refused                  // what answers its question is no verdict that can be taken
)

// Result is what becomes of a query that is to be parked.
type Result uint8

// The results.
const (
	Asks    Result = iota // it is parked, and its question is to be asked
	Waits                 // it is parked behind another one
	Crowded               // it is not parked: its client or attachment point has too many there, or it is too long
	Full                  // it is not parked: the lot is full
)

const none = -1

// waiting is what the lot knows of a client with queries in it.
type waiting struct {
	leader int32 // of the last one
	count  int32
}

// Lot keeps queries. [New] makes one.
type Lot[M any] struct {
	queries []*Query[M] // by slot
	free    []int32
	parked  int
	round   uint64 // of numbers
	first   int32  // leader, in the order of asking
	last    int32
	leaders map[uint64]int32 // by key
	clients map[uint64]waiting
	points  map[uint64]int32
}

// New makes an empty lot.
func New[M any]() *Lot[M] {
	return &Lot[M]{first: none, last: none, leaders: map[uint64]int32{}, clients: map[uint64]waiting{},
		points: map[uint64]int32{}}
}

// Len returns the number of parked queries.
func (l *Lot[M]) Len() int { return l.parked }

// Has reports whether a query of a client is parked.
func (l *Lot[M]) Has(client uint64) bool {
	_, ok := l.clients[client]
	return ok
}

// Park parks a copy of a datagram. If the query asks, the caller sets its question, and puts it.
func (l *Lot[M]) Park(p *udp.Packet, w *Origin, now time.Duration, at Limits) (*Query[M], Result) {
	client := l.clients[w.Client]
	switch {
	case len(p.Data) > maxOctets, client.count >= perClient, int(l.points[w.Point]) >= at.Point:
		return nil, Crowded
	case l.parked >= min(at.Queries, Slots):
		return nil, Full
	}
	q := l.slot()
	data := append(q.Packet.Data[:0], p.Data...)
	q.Packet = *p
	q.Packet.Data = data
	q.Question, q.Since, q.Outcome, q.parked = q.Question[:0], now, NoOutcome, true
	q.client, q.point, q.key, q.next, q.leads = w.Client, w.Point, w.Key, none, false
	q.octets = append(q.octets[:0], w.Octets...)

	l.parked++
	l.points[w.Point]++
	result := Waits
	leader, ahead := client.leader, client.count > 0
	if !ahead && w.Octets != nil {
		leader, ahead = l.leaders[w.Key]
		ahead = ahead && bytes.Equal(l.queries[leader].octets, w.Octets)
	}
	if ahead {
		of := l.queries[leader]
		l.queries[of.last].next = q.slot
		of.last = q.slot
	} else {
		result, leader = Asks, q.slot
		l.lead(q)
	}
	l.clients[w.Client] = waiting{leader, client.count + 1}
	return q, result
}

// slot returns the memory for a query.
func (l *Lot[M]) slot() *Query[M] {
	if n := len(l.free); n > 0 {
		q := l.queries[l.free[n-1]]
		l.free = l.free[:n-1]
		return q
	}
	q := &Query[M]{slot: int32(len(l.queries))}
	l.queries = append(l.queries, q)
	return q
}

// lead makes a query the last leader.
func (l *Lot[M]) lead(q *Query[M]) {
	l.round++
	q.Number = l.round*Slots + uint64(q.slot)
	q.leads, q.last, q.before, q.after = true, q.slot, l.last, none
	if l.last == none {
		l.first = q.slot
	} else {
		l.queries[l.last].after = q.slot
	}
	l.last = q.slot
	if _, taken := l.leaders[q.key]; !taken && len(q.octets) > 0 {
		l.leaders[q.key] = q.slot
	}
}

// Leader returns the query that asks the question with a number, nil if it waits no more.
func (l *Lot[M]) Leader(number uint64) *Query[M] {
	slot := number % Slots
	if slot >= uint64(len(l.queries)) {
		return nil
	}
	if q := l.queries[slot]; q.leads && q.Number == number {
		return q
	}
	return nil
}

// Leaders calls fn with each leader in the order of asking, until fn returns false.
func (l *Lot[M]) Leaders(fn func(*Query[M]) bool) {
	for at := l.first; at != none; {
		q := l.queries[at]
		at = q.after
		if !fn(q) {
			return
		}
	}
}

// Leave appends a leader and the queries behind it to out: they are parked no more. Their memory is
// theirs until [Lot.Free].
func (l *Lot[M]) Leave(out []*Query[M], leader *Query[M], why Outcome) []*Query[M] {
	l.unlead(leader)
	for at := leader.slot; at != none; {
		q := l.queries[at]
		at = q.next
		q.parked = false
		if q == leader || (len(q.octets) > 0 && bytes.Equal(q.octets, leader.octets)) {
			q.Outcome = why
		}
		l.parked--
		if c := l.clients[q.client]; c.count > 1 {
			l.clients[q.client] = waiting{c.leader, c.count - 1}
		} else {
			delete(l.clients, q.client)
		}
		if n := l.points[q.point]; n > 1 {
			l.points[q.point] = n - 1
		} else {
			delete(l.points, q.point)
		}
		out = append(out, q)
	}
	return out
}

// unlead takes a leader out of the order of asking.
func (l *Lot[M]) unlead(q *Query[M]) {
	if q.before == none {
		l.first = q.after
	} else {
		l.queries[q.before].after = q.after
	}
	if q.after == none {
		l.last = q.before
	} else {
		l.queries[q.after].before = q.before
	}
	if at, ok := l.leaders[q.key]; ok && at == q.slot {
		delete(l.leaders, q.key)
	}
	q.leads = false
}

// Overdue returns the first leader if it has waited for as long as it may, else nil and when that
// will be; 0 is never.
func (l *Lot[M]) Overdue(now, wait time.Duration) (*Query[M], time.Duration) {
	if l.first == none {
		return nil, 0
	}
	q := l.queries[l.first]
	if due := q.Since + wait; now < due {
		return nil, due - now
	}
	return q, 0
}

// Free gives the memory of queries back that have left.
func (l *Lot[M]) Free(left []*Query[M]) {
	for _, q := range left {
		l.free = append(l.free, q.slot)
	}
}
