package leases

import (
	"context"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// Notifier counts changes of leases and calls the observers. One goroutine at a time uses it: the
// committer has one, the expiry another.
type Notifier struct {
	book      *Book
	observers *hook.Observers[event.Lease] // of the settings in effect when the call began
	ended     endings
	event     event.Lease // memory of the current event
}

// NewNotifier makes a notifier.
func (b *Book) NewNotifier() *Notifier { return &Notifier{book: b} }

// Ended notifies about the leases that have ended since the last call.
func (n *Notifier) Ended() {
	n.ended.reset()
	n.observers = n.book.take(&n.ended)
	now, ahead := n.book.clock.Wall(), n.book.clock.Ahead()
	for i, e := range n.ended.events {
		n.book.metrics.events[e].Inc()
		n.event = event.Lease{Event: e, Time: now, Binding: n.ended.bindings.Records[i].Moved(ahead)}
		n.observers.Run(&n.event)
	}
}

// Committed notifies about the outcome of a group. If the group is durable, observers see first the
// leases that have ended before, then the changes of the group, without refused records. Operators
// get their outcome in any case.
func (n *Notifier) Committed(records []lease.Binding, refused []store.Refusal, c *Changes, err error) {
	defer c.tellOperators(refused, err)
	if err != nil {
		return
	}
	n.Ended()
	var counts [lease.EventCount]int
	for _, e := range c.events {
		if !IsRefused(refused, e.record) {
			counts[e.event]++
		}
	}
	for e, count := range counts {
		if count > 0 {
			n.book.metrics.events[e].Add(float64(count))
		}
	}
	now, ahead := n.book.clock.Wall(), n.book.clock.Ahead()
	for i := range c.observed {
		x := &c.observed[i]
		if IsRefused(refused, x.record) {
			continue
		}
		n.event = event.Lease{
			Event: x.event, Time: now, By: x.by, Binding: records[x.record].Moved(ahead),
			Interface: x.ifc, Relays: c.relays[x.from:x.to],
		}
		n.observers.Run(&n.event)
	}
}

// The expiry runs once a second, and ends at most expireBatch leases under one lock.
const (
	expireEvery = time.Second
	expireBatch = 256
)

// Expiry ends leases whose time has run out. It is a component of the daemon.
type Expiry struct{ notifier *Notifier }

// NewExpiry makes the expiry of a book.
func (b *Book) NewExpiry() *Expiry { return &Expiry{b.NewNotifier()} }

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
			more = x.notifier.book.expire()
			x.notifier.Ended()
		}
	}
}
