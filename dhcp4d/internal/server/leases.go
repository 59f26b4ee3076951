package server

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/table"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// Clock is the time that leases go by: the wall clock as it was at the start,
// moved on by the monotonic clock, so that a step of the wall clock neither
// ends a lease nor extends one.
type Clock struct{ start time.Time }

// NewClock starts a clock now.
func NewClock() Clock { return Clock{time.Now()} }

// Read returns the time of the process and the time that leases go by.
func (c Clock) Read() (time.Time, lease.Time) {
	now := time.Now()
	return now, c.at(now)
}

func (c Clock) at(now time.Time) lease.Time {
	return lease.Time(c.start.Add(now.Sub(c.start)).Unix())
}

// Leases is the table of leases and the lock around it.
type Leases struct {
	Clock Clock

	// turn is held for the decisions of a batch, and by whoever changes the
	// configuration: a batch goes by one from end to end.
	turn sync.Mutex

	mu      sync.Mutex
	table   *table.Table
	running *Running // what the table is laid out for
	loads   uint32   // tables so far: a place of Scan is in one of them only
	ended   endings  // since the last drain
}

// endings is what ended by time, or because its client took another address.
type endings struct {
	events   []lease.Event
	bindings lease.Batch
}

func (n *endings) reset() {
	n.events = n.events[:0]
	n.bindings.Reset()
}

// NewLeases makes an empty table for a configuration.
func NewLeases(c Clock, r *Running) *Leases {
	l := &Leases{Clock: c, running: r}
	l.table = l.newTable(r)
	return l
}

func (l *Leases) newTable(r *Running) *table.Table {
	return table.New(r.Layout(), table.Options{Ended: func(e lease.Event, b *lease.Binding) {
		l.ended.events = append(l.ended.events, e)
		l.ended.bindings.Add(b)
	}})
}

// Load replaces the table by one of what the store holds. The store is read
// without the lock: until Load returns, the old table is what there is.
func (l *Leases) Load(s store.Store, r *Running, m *commit.Metrics) error {
	_, now := l.Clock.Read()
	t := l.newTable(r)
	found, err := s.Load(func(b *lease.Binding) error { return t.Load(b, now) })
	if err != nil {
		return err
	}
	if found.Newest > now+clockSlack {
		return &ClockError{found.Newest}
	}
	l.With(func(*table.Table) {
		t.Loaded(now)
		if l.running != r { // reloaded meanwhile
			t.Reconfigure(l.running.Layout())
		}
		l.table = t
		l.loads++
	})
	m.Loaded(found.Took)
	return nil
}

// clockSlack is how far, in seconds, the clock may be behind what the store
// has seen: clocks are stepped back a little when they are set.
const clockSlack = 5

// ClockError says that the store has seen a later time than our clock tells.
type ClockError struct{ Written lease.Time }

func (e *ClockError) Error() string {
	return fmt.Sprintf("the store was written at %v, which is later than the clock of this machine; set the clock, or if the store was written by a wrong one, stop and run dhcp4d reset-clock",
		time.Unix(int64(e.Written), 0).UTC().Format(time.RFC3339))
}

// Still tells whether that is so at another time.
func (e *ClockError) Still(now time.Time) bool { return e.Written > lease.Time(now.Unix())+clockSlack }

// With calls fn with the table, under the lock.
func (l *Leases) With(fn func(t *table.Table)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn(l.table)
}

// ahead tells the table of the queries of a batch before the first is decided.
func (l *Leases) ahead(queries []*lease.Query) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table.Ahead(queries)
}

// Running is the configuration in effect.
func (l *Leases) Running() *Running {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running
}

// Reconfigure puts another configuration into effect, between two batches of
// queries. Leases outside of it are kept until they end, and not renewed. A
// change of pools or reservations takes 20 ms for each million of leases, in
// which queries wait in the socket; everything else takes none.
func (l *Leases) Reconfigure(next *Running, running *atomic.Pointer[Running]) {
	layout := next.Layout()
	l.turn.Lock()
	defer l.turn.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table.Reconfigure(layout)
	l.running = next
	running.Store(next)
}

// drain moves what has ended into n, which must be empty.
func (l *Leases) drain(n *endings) {
	l.mu.Lock()
	*n, l.ended = l.ended, *n
	l.mu.Unlock()
}

// The expiry runs once a second and holds the lock for so many leases at a
// time.
const (
	expireEvery = time.Second
	expireBatch = 256
)

// Expiry ends what has run out.
type Expiry struct {
	Leases *Leases
	Tell   *Tell
}

// Name is the component's name in logs and errors.
func (x *Expiry) Name() string { return "expiry" }

// Run works until ctx ends.
func (x *Expiry) Run(ctx context.Context) error {
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for more := true; more; {
			_, now := x.Leases.Clock.Read()
			x.Leases.With(func(t *table.Table) { more = t.Expire(now, expireBatch) })
			x.Tell.endings()
		}
	}
}

// Tell counts changes of leases and tells the observers, for one caller at a
// time.
type Tell struct {
	Leases    *Leases
	Observers hook.Observers[event.Lease]
	Ledger    *Ledger

	ended endings
	event event.Lease // that is told
}

// endings tells what has ended since anybody last did.
func (t *Tell) endings() {
	t.ended.reset()
	t.Leases.drain(&t.ended)
	now := time.Now()
	for i, e := range t.ended.events {
		t.Ledger.events[e].Inc()
		t.event = event.Lease{Event: e, Time: now, Binding: t.ended.bindings.Records[i]}
		t.Observers.Run(&t.event)
	}
}

// committed tells what a durable group has changed, after what ended before.
func (t *Tell) committed(records []lease.Binding, w *Waiting) {
	t.endings()
	for e, n := range w.events {
		if n > 0 && lease.Event(e) != lease.NoEvent {
			t.Ledger.events[e].Add(float64(n))
		}
	}
	now := time.Now()
	for i := range w.changes {
		c := &w.changes[i]
		t.event = event.Lease{
			Event: c.event, Time: now, By: c.by, Binding: records[c.binding],
			Interface: c.ifc, Relays: w.relays[c.from:c.to],
		}
		t.Observers.Run(&t.event)
	}
}
