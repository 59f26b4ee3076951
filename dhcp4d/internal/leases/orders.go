package leases

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/table"
)

// The changes that an operator orders. They are made in memory here, like those of queries. Package
// operator waits until they are durable.

// Errors of an order.
var (
	ErrNotFound = errors.New("nothing is known of the address")
	ErrConflict = errors.New("not possible for this address")
)

// Assignment is a lease that a client is to get without having asked for it.
type Assignment struct {
	Address  netip.Addr
	Client   []byte // key, see lease.AppendKey
	ClientID []byte // option 61, empty for a client without
	HWType   byte
	HWAddr   []byte
	Time     uint32 // seconds, lease.Infinite for no end
}

// End ends a lease or a quarantine by order of somebody. It adds the record to the group and the
// change to c, and returns the record with times of the wall clock.
func (b *Book) End(id lease.ID, by string, g Group, c *Changes) (lease.Binding, error) {
	return b.order(g, func(t *table.Table) error {
		now := b.clock.Now()
		var l lease.Binding
		if !t.Get(id, &l) {
			return ErrNotFound
		}
		n := len(g.Records.Records)
		if t.EndQuarantine(id, now, g.Seq, g.Records) {
			c.byOperator(lease.EventReclaimed, n, by, b.settings.Observed())
			return nil
		}
		if !t.Release(id, now, g.Seq, g.Records) {
			return fmt.Errorf("%w: it has no lease in force", ErrConflict)
		}
		c.byOperator(lease.EventReleased, n, by, b.settings.Observed())
		return nil
	})
}

// Assign leases an address to a client by order of somebody. It is an ordinary lease from then on:
// the client is offered it when it asks, keeps it by renewing it, and loses it when the time has
// passed without that. Assign adds the record to the group and the change to c, and returns the
// record with times of the wall clock.
func (b *Book) Assign(w *Assignment, by string, g Group, c *Changes) (lease.Binding, error) {
	return b.order(g, func(t *table.Table) error {
		now := b.clock.Now()
		sub := b.settings.subnets.Containing(w.Address)
		if sub == nil {
			return fmt.Errorf("%w: it lies in no subnet", ErrConflict)
		}
		q := lease.Query{Subnet: sub.Position, Client: w.Client, HWType: w.HWType, HWAddr: w.HWAddr}
		if own := sub.Reservations.Of(&network.Identity{ClientID: w.ClientID, HWType: w.HWType, HWAddr: w.HWAddr},
			nil); own != nil && own.Addr.IsValid() {
			q.Reservation = own.Addr
		}
		a := t.Stand(&q, w.Address, now.Over())
		if why := refuse(&q, &a, &b.settings.Policies[sub.Position], now); why != "" {
			return fmt.Errorf("%w: %s", ErrConflict, why)
		}
		if p := sub.PoolOf(w.Address); p >= 0 && sub.Pools[p].Refused != network.NotRefused &&
			q.Reservation != w.Address {
			return fmt.Errorf("%w: its pool is refused", ErrConflict)
		}
		if other := leasedOn(t, sub, w, now); other.IsValid() {
			return fmt.Errorf("%w: the client has %v", ErrConflict, other)
		}
		if a.Standing == lease.Mine { // such as the same order again; it is durable with this group at the latest
			var l lease.Binding
			t.Get(lease.ID{Addr: w.Address}, &l)
			g.Records.Add(&l)
			return nil
		}
		d := lease.Decision{Change: lease.Bind, ID: a.ID, Expires: now.After(w.Time)}
		t.Apply(&q, &d, now, g.Seq, g.Records)
		c.byOperator(lease.EventAllocated, len(g.Records.Records)-1, by, b.settings.Observed())
		return nil
	})
}

// order calls change with the table. Unless there is an error, change must add records to the
// group. order returns the last one with times of the wall clock.
func (b *Book) order(g Group, change func(*table.Table) error) (lease.Binding, error) {
	var own lease.Batch
	var err error
	b.with(func(t *table.Table) {
		b.at = position{g.Seq, len(g.Records.Records)}
		err = change(t)
		b.at.record = len(g.Records.Records)
	})
	if err != nil {
		return lease.Binding{}, err
	}
	b.show(&own, &g.Records.Records[len(g.Records.Records)-1])
	return own.Records[0], nil
}

// refuse returns why an address cannot be leased to the client of q, "" if it can.
func refuse(q *lease.Query, a *lease.Address, p *lease.Policy, now lease.Time) string {
	own := q.Reservation.IsValid()
	switch {
	case a.Standing == lease.Taken:
		return "it is leased to another client"
	case a.Standing == lease.OfferedAway:
		return "it is offered to another client at this moment"
	case a.Standing == lease.Quarantined:
		return "it is in quarantine, because its client met it in use"
	case a.ForOther:
		return "the configuration reserves it for another client"
	case own && q.Reservation != a.Addr:
		return fmt.Sprintf("the configuration reserves %v for the client", q.Reservation)
	case !a.InPool && !own:
		return "it is in no pool"
	case a.Standing == lease.Mine:
	case p.Drain:
		return "its subnet only renews leases (state: drain)"
	case now < p.RecoverTill:
		return "its subnet is in recovery and gives out no new address"
	}
	return ""
}

// leasedOn returns another address that the client has on the link of a subnet, invalid if none.
func leasedOn(t *table.Table, sub *network.Subnet, w *Assignment, now lease.Time) (other netip.Addr) {
	if sub.Link == nil {
		return leased(t, sub.ID, w, now)
	}
	for _, s := range sub.Link {
		if other = leased(t, s.ID, w, now); other.IsValid() {
			return other
		}
	}
	return other
}

// leased returns another address that the client has in the subnet.
func leased(t *table.Table, subnet uint32, w *Assignment, now lease.Time) (other netip.Addr) {
	t.ByClient(subnet, w.Client, func(b *lease.Binding) {
		if b.State == lease.Bound && b.Expires > now.Over() && b.ID != (lease.ID{Addr: w.Address}) {
			other = b.Addr
		}
	})
	return other
}
