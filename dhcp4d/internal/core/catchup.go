package core

import (
	"cmp"
	"slices"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
)

// CatchUp tells a hook, which may be nil, what has become of the leases since it was last told
// something. Of several changes of one lease it tells the last. It is called after Serve and before
// the first query.
func (c *Core) CatchUp(to *event.CatchUp) {
	if to == nil {
		return
	}
	now := c.clock.Shown()
	since := min(to.Wall, to.Line+c.clock.Ahead())
	changed := func(b *lease.Binding) bool { return b.Changed >= since }
	ended := func(b *lease.Binding) bool {
		return (b.State == lease.Bound || b.State == lease.Declined) && b.Expires >= since && b.Expires < now
	}
	var found lease.Batch
	for from, more := leases.ScanPosition(0), true; more; more = from != 0 {
		var err error
		from, err = c.book.Scan(from, func(b *lease.Binding) bool { return changed(b) || ended(b) }, &found)
		if err != nil { // the store was loaded anew
			from, found = 0, lease.Batch{}
		}
	}
	var told []event.Lease
	for i := range found.Records {
		b := found.Records[i]
		if changed(&b) {
			told = append(told, c.again(lastOf(&b), b.Changed, b))
		}
		if ended(&b) {
			e := c.again(lease.EventExpired, b.Expires, b)
			if b.State == lease.Declined {
				e.Event = lease.EventReclaimed
			}
			told = append(told, e)
		}
	}
	slices.SortStableFunc(told, func(a, b event.Lease) int { return cmp.Compare(a.Time.Unix(), b.Time.Unix()) })
	for i := range told {
		to.Tell(&told[i])
	}
}

// again makes an event of a moment of the wall clock.
func (c *Core) again(e lease.Event, at lease.Time, b lease.Binding) event.Lease {
	return event.Lease{Again: true, Event: e, Time: time.Unix(int64(at), 0), Line: at - c.clock.Ahead(), Binding: b}
}

// lastOf returns the event that has led to the state of a lease.
func lastOf(b *lease.Binding) lease.Event {
	switch {
	case b.State == lease.Released:
		return lease.EventReleased
	case b.State == lease.Declined:
		return lease.EventDeclined
	case b.Start == b.Changed:
		return lease.EventAllocated
	}
	return lease.EventRenewed
}
