package server

import (
	"context"
	"sync"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
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
