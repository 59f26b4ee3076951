package leases

import (
	"context"
	"slices"
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

// Expired notifies about the leases that have ended by time. It leaves out those that began in a
// group of which Committed has not notified.
func (n *Notifier) Expired() {
	n.book.notifying.Lock()
	defer n.book.notifying.Unlock()
	n.ended.reset()
	n.observers = n.book.endedByTime(&n.ended)
	for i := range n.ended.list {
		n.notifyOfEnd(i)
	}
}

// notifyOfEnd notifies about one of the endings.
func (n *Notifier) notifyOfEnd(i int) {
	e := n.ended.list[i].event
	n.book.metrics.events[e].Inc()
	now, line := n.book.clock.Read()
	n.event = event.Lease{
		Event: e, Time: now, Line: line, Binding: n.ended.bindings.Records[i].Moved(n.book.clock.Ahead()),
	}
	n.observers.Run(&n.event)
}

// Committed notifies about the outcome of group seq. If the group is durable, observers see its
// changes and the leases that have ended meanwhile, in the order in which they happened, without
// those whose records were refused. Operators get their outcome in any case.
func (n *Notifier) Committed(seq uint64, records []lease.Binding, refused []store.Refusal, c *Changes, err error) {
	defer c.tellOperators(refused, err)
	if err != nil {
		return
	}
	n.book.notifying.Lock()
	defer n.book.notifying.Unlock()
	n.ended.reset()
	n.observers = n.book.endedUpTo(seq, &n.ended)
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
	now, line := n.book.clock.Read()
	ahead := n.book.clock.Ahead()
	next := 0
	for i := range c.observed {
		x := &c.observed[i]
		for next < len(n.ended.list) && n.ended.list[next].at.inFrontOf(seq, x.record) {
			n.notifyOfStored(next, seq, records, refused)
			next++
		}
		if IsRefused(refused, x.record) {
			continue
		}
		n.event = event.Lease{
			Event: x.event, Time: now, Line: line, By: x.by, Binding: records[x.record].Moved(ahead),
			Interface: x.ifc, Relays: c.relays[x.from:x.to],
		}
		n.observers.Run(&n.event)
	}
	for ; next < len(n.ended.list); next++ {
		n.notifyOfStored(next, seq, records, refused)
	}
}

// notifyOfStored notifies about one of the endings, unless a refused record of group seq makes it
// void: that of the lease that ended, or that of its end.
func (n *Notifier) notifyOfStored(i int, seq uint64, records []lease.Binding, refused []store.Refusal) {
	e := &n.ended.list[i]
	if e.at.seq == seq || e.stored == seq {
		id := n.ended.bindings.Records[i].ID
		if slices.ContainsFunc(refused, func(r store.Refusal) bool { return records[r.Record].ID == id }) {
			return
		}
	}
	n.notifyOfEnd(i)
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
			x.notifier.Expired()
		}
	}
}
