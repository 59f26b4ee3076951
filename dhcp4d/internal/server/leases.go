package server

import (
	"context"
	"fmt"
	"sync"
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

	mu    sync.Mutex
	table *table.Table
}

// NewLeases takes a loaded table over.
func NewLeases(c Clock, t *table.Table) *Leases { return &Leases{Clock: c, table: t} }

// Replace puts another table in the place of the one there was.
func (l *Leases) Replace(t *table.Table) {
	l.mu.Lock()
	l.table = t
	l.mu.Unlock()
}

// With calls fn with the table, under the lock.
func (l *Leases) With(fn func(t *table.Table)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn(l.table)
}

// The expiry runs once a second and holds the lock for so many leases at a
// time.
const (
	expireEvery = time.Second
	expireBatch = 256
)

// Expiry ends what has run out.
type Expiry struct {
	Leases    *Leases
	Observers hook.Observers[event.Lease]
	Ledger    *Ledger

	ended lease.Batch
	kinds []lease.Event
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
			for x.pass() {
			}
		}
	}
}

// pass ends some and tells whether more are left.
func (x *Expiry) pass() (more bool) {
	x.ended.Reset()
	x.kinds = x.kinds[:0]
	at, now := x.Leases.Clock.Read()
	x.Leases.With(func(t *table.Table) {
		more = t.Expire(now, expireBatch, func(e lease.Event, b *lease.Binding) {
			x.ended.Add(b)
			x.kinds = append(x.kinds, e)
		})
	})
	for i, e := range x.kinds {
		x.Ledger.events[e].Inc()
		x.Observers.Run(&event.Lease{Event: e, Time: at, Binding: x.ended.Records[i]})
	}
	return more
}

// LoadTable makes a table of what the store holds.
func LoadTable(s store.Store, r *Running, c Clock, m *commit.Metrics) (*table.Table, error) {
	t := table.New(r.Layout(), table.Limits{})
	found, err := s.Load(t.Load)
	if err != nil {
		return nil, err
	}
	_, now := c.Read()
	if found.Newest > now+clockSlack {
		return nil, fmt.Errorf("the store was written at %v, which is later than the clock of this machine; set the clock",
			time.Unix(int64(found.Newest), 0).UTC().Format(time.RFC3339))
	}
	t.Loaded(now)
	m.Loaded(found.Took)
	return t, nil
}

// clockSlack is how far, in seconds, the clock may be behind what the store
// has seen: clocks are stepped back a little when they are set.
const clockSlack = 5
