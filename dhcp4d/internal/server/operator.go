package server

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/api"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/table"
)

// Operator is what people do with the leases, beside the clients. It
// implements api.Leases. Any goroutine may call it: it holds the lock for a
// bounded number of leases at a time, and never over anything that waits.
type Operator struct {
	Leases  *Leases
	Commits *commit.Committer[*Waiting]
}

// How many places or subnets are looked at under one lock: some 20 µs.
const (
	scanBatch   = 256
	subnetBatch = 64
)

// look calls fn with the table between two batches of queries. Whoever took
// the lock between two queries of a batch could make each of them wait.
func (o *Operator) look(fn func(t *table.Table)) {
	o.Leases.turn.Lock()
	defer o.Leases.turn.Unlock()
	o.Leases.With(fn)
}

// Now is the time that leases go by.
func (o *Operator) Now() lease.Time {
	_, now := o.Leases.Clock.Read()
	return now
}

// Get copies what is known of an address.
func (o *Operator) Get(a netip.Addr, into *lease.Batch) {
	o.look(func(t *table.Table) {
		var b lease.Binding
		if t.Get(a, &b) {
			into.Add(&b)
		}
	})
}

// Scan copies the matching ones of some leases and returns where to go on, 0
// at the end. The place is api.ErrStale when the table was made anew since.
func (o *Operator) Scan(from api.Place, match func(*lease.Binding) bool, into *lease.Batch) (next api.Place, err error) {
	o.look(func(t *table.Table) {
		table := api.Place(o.Leases.loads) << 32
		if from != 0 && from>>32<<32 != table {
			err = api.ErrStale
			return
		}
		ref := t.Scan(uint32(from), scanBatch, func(b *lease.Binding) {
			if match(b) {
				into.Add(b)
			}
		})
		if ref != 0 {
			next = table | api.Place(ref)
		}
	})
	return next, err
}

// OfClient copies what a client has or had in any subnet.
func (o *Operator) OfClient(key []byte, into *lease.Batch) {
	for at, more := uint32(0), true; more; more = at != 0 {
		o.look(func(t *table.Table) {
			at = t.OfClient(key, at, subnetBatch, func(b *lease.Binding) { into.Add(b) })
		})
	}
}

// Subnets tells how much of each subnet is used.
func (o *Operator) Subnets() []api.Subnet {
	for {
		if all, ok := o.subnetsOf(o.Leases.Running()); ok {
			return all
		}
	}
}

// subnetsOf fails when r is not what runs any more.
func (o *Operator) subnetsOf(r *Running) (all []api.Subnet, ok bool) {
	now := o.Now()
	for i := range r.subnets.All {
		sub := &r.subnets.All[i]
		s := api.Subnet{ID: sub.ID, Prefix: sub.Prefix, State: "active"}
		switch {
		case sub.Drain:
			s.State = "drain"
		case r.policies[i].RecoverTill > now:
			s.State = "recovery"
		}
		o.look(func(t *table.Table) {
			if ok = o.Leases.running == r; !ok {
				return
			}
			c := t.Counts(i)
			s.Bound, s.Offered, s.Declined, s.Former = c.Bound, c.Offered, c.Declined, c.Former
			piece := 0
			for p := range sub.Pools {
				for range sub.Pools[p].Ranges {
					size, free := t.Pool(i, piece)
					s.Size, s.Free = s.Size+size, s.Free+free
					piece++
				}
			}
		})
		if !ok {
			return nil, false
		}
		all = append(all, s)
	}
	return all, true
}

// Release ends a lease. It returns when that is on stable storage.
func (o *Operator) Release(ctx context.Context, a netip.Addr, by string) (lease.Binding, error) {
	return o.order(ctx, func(t *table.Table, g *commit.Group[*Waiting]) error {
		_, now := o.Leases.Clock.Read()
		var b lease.Binding
		switch known := t.Get(a, &b); {
		case !known:
			return api.ErrNotFound
		case b.State == lease.Declined && b.Expires > now:
			return fmt.Errorf("%w: it is in quarantine, because its client met it in use", api.ErrConflict)
		}
		n := len(g.Records.Records)
		if !t.Release(a, now, g.Seq, &g.Records) {
			return fmt.Errorf("%w: it has no lease in force", api.ErrConflict)
		}
		g.Replies.order(lease.ReleasedEvent, n, by)
		return nil
	})
}

// Reserve leases an address to a client that has not asked for it yet. It is
// an ordinary lease from then on: the client is offered it when it asks, keeps
// it by renewing it, and loses it when the time has passed without that.
func (o *Operator) Reserve(ctx context.Context, w *api.Reservation, by string) (lease.Binding, error) {
	return o.order(ctx, func(t *table.Table, g *commit.Group[*Waiting]) error {
		_, now := o.Leases.Clock.Read()
		r := o.Leases.running
		sub := r.subnets.Containing(w.Address)
		if sub == nil {
			return fmt.Errorf("%w: it lies in no subnet", api.ErrConflict)
		}
		q := lease.Query{Subnet: sub.Position, Client: w.Client, HWType: w.HWType, HWAddr: w.HWAddr}
		if own := sub.Reservation(&config.Identity{ClientID: w.ClientID, HWType: w.HWType, HWAddr: w.HWAddr}); own != nil {
			q.Reservation = own.Addr
		}
		a := t.Stand(&q, w.Address, now)
		if why := refuse(&q, &a, &r.policies[sub.Position], now); why != "" {
			return fmt.Errorf("%w: %s", api.ErrConflict, why)
		}
		if other := leased(t, sub.ID, w, now); other.IsValid() {
			return fmt.Errorf("%w: the client has %v", api.ErrConflict, other)
		}
		if a.Standing == lease.Mine { // the same order again, say; it is durable with this group at the latest
			var b lease.Binding
			t.Get(w.Address, &b)
			g.Records.Add(&b)
			return nil
		}
		d := lease.Decision{Change: lease.Bind, Addr: w.Address, Expires: now.After(w.Time)}
		t.Apply(&q, &d, now, g.Seq, &g.Records)
		g.Replies.order(lease.Allocated, len(g.Records.Records)-1, by)
		return nil
	})
}

// refuse says why an address cannot be leased to the client of q, empty if it
// can.
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
		return "its subnet recovers, and gives out no new address"
	}
	return ""
}

// leased is another address that the client has in the subnet.
func leased(t *table.Table, subnet uint32, w *api.Reservation, now lease.Time) (other netip.Addr) {
	t.ByClient(subnet, w.Client, func(b *lease.Binding) {
		if b.State == lease.Bound && b.Expires > now && b.Addr != w.Address {
			other = b.Addr
		}
	})
	return other
}

// order has the last record that change adds to the group that gathers made
// durable, and returns it.
func (o *Operator) order(ctx context.Context, change func(*table.Table, *commit.Group[*Waiting]) error) (lease.Binding, error) {
	g := o.Commits.Gather()
	if g == nil {
		return lease.Binding{}, api.ErrStore
	}
	if o.Commits.Full(g) {
		o.Commits.Release(g)
		return lease.Binding{}, api.ErrBusy
	}
	var done chan error
	var own lease.Batch
	var err error
	o.Leases.With(func(t *table.Table) { err = change(t, g) })
	if err == nil {
		done = make(chan error, 1)
		g.Replies.orders = append(g.Replies.orders, done)
		own.Add(&g.Records.Records[len(g.Records.Records)-1])
	}
	o.Commits.Release(g)
	if err != nil {
		return lease.Binding{}, err
	}
	select {
	case err = <-done:
		if err != nil {
			return lease.Binding{}, fmt.Errorf("%w: %w", api.ErrStore, err)
		}
		return own.Records[0], nil
	case <-ctx.Done():
		return lease.Binding{}, ctx.Err()
	}
}
