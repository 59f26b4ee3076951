package trace

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// pauseFor is how long the watches of a subscriber are left alone after none of them had room. So a
// hundred that nobody reads cost packets no more than one.
const pauseFor = 20 * time.Millisecond

// pause is what the watches of one subscriber share.
type pause struct {
	began atomic.Int64 // nanoseconds of Unix time
	lost  atomic.Int64 // records in pauses
}

// begin begins a pause.
func (p *pause) begin(now time.Time) { p.began.Store(now.UnixNano()) }

// paused reports whether there is a pause. It counts the record.
func (p *pause) paused(now time.Time) bool {
	if d := now.UnixNano() - p.began.Load(); d < 0 || d >= int64(pauseFor) {
		return false
	}
	p.lost.Add(1)
	return true
}

// Send hands a record to the watches. It never waits. The record must not be changed afterwards.
func (ws Watches) Send(r *Record) {
	for _, w := range ws {
		w.send(r)
	}
}

// pace counts the records of a second.
type pace struct {
	mu     sync.Mutex
	second int64 // of Unix time
	sent   int
}

// take reports whether the second has room for one more record.
func (p *pace) take(now time.Time, limit int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := now.Unix(); s != p.second {
		p.second, p.sent = s, 0
	}
	if p.sent >= limit {
		return false
	}
	p.sent++
	return true
}

// Watch is an open watch.
type Watch struct {
	of      Subscriber
	hub     *Hub
	all     bool // there is no bound but the queue: whoever reads paces the packets
	records chan *Record

	// Under the lock of the exchanges.
	queries []exchange // the last queries; their answers are followed
	next    int        // of queries
	closed  bool

	mu     sync.Mutex
	second int64 // of Unix time, in which sent records were made
	sent   int
	making int // records for which there is room
	lost   int // apart from pauses

	pause  *pause
	before int64 // what it had lost at the last record
}

// remembered is how many exchanges a watch remembers, to recognise their answers.
const remembered = 64

// reserve reports whether there is room for a record, and takes it. What the watches share of the
// rate is used when the watch has used its own.
func (w *Watch) reserve(now time.Time, o *Open) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all {
		w.making++
		return true
	}
	if s := now.Unix(); s != w.second {
		w.second, w.sent = s, 0
	}
	if w.sent >= rate || len(w.records)+w.making >= o.queue || (w.sent >= o.rate && !w.hub.shared.take(now, allRate)) {
		w.lost++
		return false
	}
	w.sent++
	w.making++
	return true
}

// Records returns the channel of the records. It is never closed.
func (w *Watch) Records() <-chan *Record { return w.records }

// Close ends the watch.
func (w *Watch) Close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(w.hub.open.Load().all), func(o *Watch) bool { return o == w })
	w.hub.open.Store(w.hub.newOpen(left))
	w.hub.queries.end(w)
}

// send hands over a record for which there is room.
func (w *Watch) send(r *Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.making--
	paused := w.pause.lost.Load()
	if lost := w.lost + int(paused-w.before); lost > 0 {
		own := *r
		own.Lost, w.lost, w.before = lost, 0, paused
		r = &own
	}
	w.records <- r // never waits: reserve kept room
}
