package leases

import (
	"fmt"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// Changes are the changes of a commit group, until the group is durable. The metrics, the observers
// and waiting operators get them.
type Changes struct {
	events     []eventOf
	observed   []change // the same changes, with everything that observers see; empty without observers
	relays     []event.Relay
	ids        []byte            // of the relays
	interfaces map[string]string // names of interfaces of dhcp6d, each made once
	orders     []order
}

// eventOf is the event of a record.
type eventOf struct {
	event  lease.Event
	record int // index into the group's records
}

// order is the order of an operator who waits for its record. Done receives one error or nil.
type order struct {
	record int
	done   chan<- error
}

// change is a change of a lease. Its relays are a part of Changes.relays.
type change struct {
	event    lease.Event
	by       string // the operator who ordered it
	record   int    // index into the group's records
	ifc      string
	from, to int
}

// Reset forgets everything and keeps the memory.
func (c *Changes) Reset() {
	c.events, c.observed, c.relays, c.ids = c.events[:0], c.observed[:0], c.relays[:0], c.ids[:0]
	clear(c.orders)
	c.orders = c.orders[:0]
}

// Orders returns how many orders of operators wait for their records.
func (c *Changes) Orders() int { return len(c.orders) }

// ByQuery notes a change by a query. Its record is the group's i-th. Observed says whether there
// are observers.
func (c *Changes) ByQuery(e lease.Event, i int, f *ipc.Query, observed bool) {
	if e == lease.NoEvent {
		return
	}
	c.events = append(c.events, eventOf{e, i})
	if !observed {
		return
	}
	n := change{event: e, record: i, ifc: c.name(f.Context().Interface), from: len(c.relays)}
	for i := range f.Packet().Relays() {
		r := f.Packet().Relay(i)
		c.relays = append(c.relays, event.Relay{
			LinkAddress: r.LinkAddress(), PeerAddress: r.PeerAddress(),
			InterfaceID: c.keep(r.InterfaceID()), RemoteID: c.keep(r.RemoteID()),
		})
	}
	n.to = len(c.relays)
	c.observed = append(c.observed, n)
}

// Await returns a channel that gets the outcome for the group's i-th record: nil if it is durable.
func (c *Changes) Await(i int) <-chan error {
	done := make(chan error, 1)
	c.orders = append(c.orders, order{i, done})
	return done
}

// byOperator notes a change by an operator. Its record is the group's i-th.
func (c *Changes) byOperator(e lease.Event, i int, by string, observed bool) {
	c.events = append(c.events, eventOf{e, i})
	if observed {
		c.observed = append(c.observed, change{event: e, record: i, by: by})
	}
}

// tellOperators sends the operators who wait the outcome of the group and of their record.
func (c *Changes) tellOperators(refused []store.Refusal, err error) {
	for _, o := range c.orders {
		if err == nil && IsRefused(refused, o.record) {
			o.done <- errRefused
			continue
		}
		o.done <- err
	}
}

// errRefused is the outcome for an operator whose record was refused.
var errRefused = fmt.Errorf("%w: the lease store has it for another client", ErrConflict)

// IsRefused reports whether the store has refused a record of a group.
func IsRefused(refused []store.Refusal, record int) bool {
	return slices.ContainsFunc(refused, func(r store.Refusal) bool { return r.Record == record })
}

// maxNames bounds the names of interfaces that are kept.
const maxNames = 1024

// name returns the name of an interface as a string. It allocates only for a new name.
func (c *Changes) name(b []byte) string {
	if s, ok := c.interfaces[string(b)]; ok {
		return s
	}
	if c.interfaces == nil || len(c.interfaces) >= maxNames {
		c.interfaces = make(map[string]string)
	}
	s := string(b)
	c.interfaces[s] = s
	return s
}

// keep returns a copy of b. When ids moves to a larger array, earlier copies stay in the old one.
func (c *Changes) keep(b []byte) []byte {
	if b == nil {
		return nil
	}
	n := len(c.ids)
	c.ids = append(c.ids, b...)
	return c.ids[n:len(c.ids):len(c.ids)]
}
