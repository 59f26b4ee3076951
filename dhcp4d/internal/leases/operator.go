package leases

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/table"
)

// Place is where a scan of the leases continues. 0 is the start and the end.
type Place uint64

// Errors of an order.
var (
	ErrNotFound = errors.New("nothing is known of the address")
	ErrConflict = errors.New("not possible for this address")
	ErrStale    = errors.New("the leases were loaded anew after this cursor was returned; start again without a cursor")
	ErrBusy     = errors.New("too many changes wait for the disk; try again")
	ErrStore    = errors.New("the lease store has failed")
)

// Usage is how much of a subnet is in use.
type Usage struct {
	ID     uint32
	Name   string // empty if it has no name
	Prefix netip.Prefix
	// Network is the link that the subnet shares with others of the same network, empty if none.
	Network string
	State   string // active, drain or recovery
	// Size and Free count the addresses of the pools, without reserved ones.
	Size, Free uint32
	// The leases of the subnet, inside and outside of the pools. Former leases have ended or were
	// released, and are still known.
	Bound, Offered, Declined, Former int
	Pools                            []PoolUsage // in the order of the document
}

// PoolUsage is how much of a pool is used. It counts as Usage does.
type PoolUsage struct {
	Ranges     []network.Range
	Size, Free uint32
}

// Fuller orders subnets by their use, the fullest first. Subnets without addresses come last.
func Fuller(a, b *Usage) int {
	used := func(u *Usage) uint64 { return uint64(u.Size - u.Free) }
	return cmp.Or(
		cmp.Compare(min(b.Size, 1), min(a.Size, 1)),
		cmp.Compare(used(b)*uint64(a.Size), used(a)*uint64(b.Size)), // compares used/size without a division
		cmp.Compare(a.Free, b.Free), cmp.Compare(a.ID, b.ID))
}

// Reservation is an order to lease an address to a client.
type Reservation struct {
	Address  netip.Addr
	Client   []byte // key, see lease.AppendKey
	ClientID []byte // option 61, empty for a client without
	HWType   byte
	HWAddr   []byte
	Time     uint32 // seconds, lease.Infinite for no end
}

// Replies is everything that waits for a commit group, with the changes that the group makes.
type Replies interface {
	commit.Replies
	Changes() *Changes
}

// Operator has the operations of people on leases. It takes and returns times of the wall clock.
// Any goroutine may call it. It holds the lock for a bounded number of leases at a time, and never
// while it waits.
type Operator[R Replies] struct {
	Book    *Book
	Commits *commit.Committer[R]
}

// How many places or subnets are looked at under one lock, which takes some 20 µs.
const (
	scanBatch   = 256
	subnetBatch = 64
)

// lookFor is how long people look at leases until there is a pause of the same length. So all of
// them together use at most half of one processor. Without pauses, eight people who searched took
// both processors of a machine for 10 ms at a time, and the packets waited.
const lookFor = 2 * time.Millisecond

// pause ends a look that began at a time.
func (b *Book) pause(began time.Time) {
	if b.looked += time.Since(began); b.looked >= lookFor {
		time.Sleep(b.looked)
		b.looked = 0
	}
}

// Now returns the time of leases as a time of the wall clock.
func (o *Operator[R]) Now() lease.Time { return o.Book.clock.Shown() }

// shown adds a copy of b with times of the wall clock.
func (o *Operator[R]) shown(into *lease.Batch, b *lease.Binding) {
	moved := b.Moved(o.Book.clock.Ahead())
	into.Add(&moved)
}

// Get copies what is known about an address.
func (o *Operator[R]) Get(a netip.Addr, into *lease.Batch) {
	o.Book.between(func(t *table.Table) {
		var b lease.Binding
		if t.Get(lease.ID{Addr: a}, &b) {
			o.shown(into, &b)
		}
	})
}

// Scan copies the leases that match, out of scanBatch places, and returns where to continue, 0 at
// the end. The error is ErrStale if the table was replaced after the place was returned. Scan may
// sleep, see [lookFor].
func (o *Operator[R]) Scan(from Place, match func(*lease.Binding) bool, into *lease.Batch) (next Place, err error) {
	o.Book.looking.Lock()
	defer o.Book.looking.Unlock()
	defer o.Book.pause(time.Now())
	o.Book.between(func(t *table.Table) {
		table := Place(o.Book.loads) << 32
		if from != 0 && from>>32<<32 != table {
			err = ErrStale
			return
		}
		// One variable for all leases: it escapes through match, and an allocation for each lease
		// would make the packets wait.
		var moved lease.Binding
		ref := t.Scan(uint32(from), scanBatch, func(b *lease.Binding) {
			if moved = b.Moved(o.Book.clock.Ahead()); match(&moved) {
				into.Add(&moved)
			}
		})
		if ref != 0 {
			next = table | Place(ref)
		}
	})
	return next, err
}

// OfClient copies the leases that a client has or had, in all subnets.
func (o *Operator[R]) OfClient(key []byte, into *lease.Batch) {
	for at, more := uint32(0), true; more; more = at != 0 {
		o.Book.between(func(t *table.Table) {
			at = t.OfClient(key, at, subnetBatch, func(b *lease.Binding) { o.shown(into, b) })
		})
	}
}

// Subnets returns how much of each subnet is in use.
func (o *Operator[R]) Subnets() []Usage {
	for {
		if all, ok := o.subnetsOf(o.Book.Settings()); ok {
			return all
		}
	}
}

// subnetsOf is not ok if s is no longer in effect.
func (o *Operator[R]) subnetsOf(s *Settings) (all []Usage, ok bool) {
	now := o.Book.clock.Now()
	for i := range s.subnets.All {
		sub := &s.subnets.All[i]
		u := Usage{ID: sub.ID, Name: sub.Name, Prefix: sub.Prefix, Network: sub.Network, State: "active"}
		switch {
		case sub.Drain:
			u.State = "drain"
		case s.Policies[i].RecoverTill > now:
			u.State = "recovery"
		}
		o.Book.between(func(t *table.Table) {
			if ok = o.Book.settings == s; !ok {
				return
			}
			c := t.Counts(i)
			u.Bound, u.Offered, u.Declined, u.Former = c.Bound, c.Offered, c.Declined, c.Former
			piece := 0
			for p := range sub.Pools {
				pool := PoolUsage{Ranges: sub.Pools[p].Ranges}
				for range pool.Ranges {
					size, free := t.Pool(i, piece)
					pool.Size, pool.Free = pool.Size+size, pool.Free+free
					piece++
				}
				u.Size, u.Free = u.Size+pool.Size, u.Free+pool.Free
				u.Pools = append(u.Pools, pool)
			}
		})
		if !ok {
			return nil, false
		}
		all = append(all, u)
	}
	return all, true
}

// SubnetNamed returns the id of the subnet with a name. It is not ok if there is none.
func (o *Operator[R]) SubnetNamed(name string) (id uint32, ok bool) {
	sub := o.Book.Settings().subnets.ByName(name)
	if sub == nil {
		return 0, false
	}
	return sub.ID, true
}

// Subnet returns the name of the subnet that has an address. It is not ok if there is none.
func (o *Operator[R]) Subnet(a netip.Addr) (name string, ok bool) {
	sub := o.Book.Settings().subnets.Containing(a)
	if sub == nil {
		return "", false
	}
	return sub.Name, true
}

// Release ends a lease or a quarantine. When it returns, that is on stable storage.
func (o *Operator[R]) Release(ctx context.Context, id lease.ID, by string) (lease.Binding, error) {
	return o.order(ctx, func(t *table.Table, g *commit.Group[R]) error {
		now := o.Book.clock.Now()
		var b lease.Binding
		if !t.Get(id, &b) {
			return ErrNotFound
		}
		n := len(g.Records.Records)
		if t.EndQuarantine(id, now, g.Seq, &g.Records) {
			g.Replies.Changes().byOperator(lease.EventReclaimed, n, by, o.Book.settings.Observed())
			return nil
		}
		if !t.Release(id, now, g.Seq, &g.Records) {
			return fmt.Errorf("%w: it has no lease in force", ErrConflict)
		}
		g.Replies.Changes().byOperator(lease.EventReleased, n, by, o.Book.settings.Observed())
		return nil
	})
}

// Reserve leases an address to a client that has not asked for it yet. It is an ordinary lease from
// then on: the client is offered it when it asks, keeps it by renewing it, and loses it when the
// time has passed without that.
func (o *Operator[R]) Reserve(ctx context.Context, w *Reservation, by string) (lease.Binding, error) {
	return o.order(ctx, func(t *table.Table, g *commit.Group[R]) error {
		now := o.Book.clock.Now()
		s := o.Book.settings
		sub := s.subnets.Containing(w.Address)
		if sub == nil {
			return fmt.Errorf("%w: it lies in no subnet", ErrConflict)
		}
		q := lease.Query{Subnet: sub.Position, Client: w.Client, HWType: w.HWType, HWAddr: w.HWAddr}
		if own := sub.Reservations.Of(&network.Identity{ClientID: w.ClientID, HWType: w.HWType, HWAddr: w.HWAddr},
			nil); own != nil && own.Addr.IsValid() {
			q.Reservation = own.Addr
		}
		a := t.Stand(&q, w.Address, now.Over())
		if why := refuse(&q, &a, &s.Policies[sub.Position], now); why != "" {
			return fmt.Errorf("%w: %s", ErrConflict, why)
		}
		if p := sub.PoolOf(w.Address); p >= 0 && sub.Pools[p].Refused != network.NotRefused &&
			q.Reservation != w.Address {
			return fmt.Errorf("%w: its pool is refused", ErrConflict)
		}
		link := sub.Link
		if link == nil {
			link = []*network.Subnet{sub}
		}
		for _, s := range link {
			if other := leased(t, s.ID, w, now); other.IsValid() {
				return fmt.Errorf("%w: the client has %v", ErrConflict, other)
			}
		}
		if a.Standing == lease.Mine { // such as the same order again; it is durable with this group at the latest
			var b lease.Binding
			t.Get(lease.ID{Addr: w.Address}, &b)
			g.Records.Add(&b)
			return nil
		}
		d := lease.Decision{Change: lease.Bind, ID: a.ID, Expires: now.After(w.Time)}
		t.Apply(&q, &d, now, g.Seq, &g.Records)
		g.Replies.Changes().byOperator(lease.EventAllocated, len(g.Records.Records)-1, by, o.Book.settings.Observed())
		return nil
	})
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

// leased returns another address that the client has in the subnet.
func leased(t *table.Table, subnet uint32, w *Reservation, now lease.Time) (other netip.Addr) {
	t.ByClient(subnet, w.Client, func(b *lease.Binding) {
		if b.State == lease.Bound && b.Expires > now.Over() && b.ID != (lease.ID{Addr: w.Address}) {
			other = b.Addr
		}
	})
	return other
}

// order calls change, which adds records to the gathering group, waits until they are durable, and
// returns the last one.
func (o *Operator[R]) order(ctx context.Context,
	change func(*table.Table, *commit.Group[R]) error) (lease.Binding, error) {
	g := o.Commits.LockGroup()
	if g == nil {
		return lease.Binding{}, ErrStore
	}
	if o.Commits.Full(g) {
		o.Commits.UnlockAndWake(g)
		return lease.Binding{}, ErrBusy
	}
	var done chan error
	var own lease.Batch
	var err error
	o.Book.with(func(t *table.Table) {
		o.Book.at = position{g.Seq, len(g.Records.Records)}
		err = change(t, g)
		o.Book.at.record = len(g.Records.Records)
	})
	if err == nil {
		done = make(chan error, 1)
		c := g.Replies.Changes()
		last := len(g.Records.Records) - 1
		c.orders = append(c.orders, order{last, done})
		o.shown(&own, &g.Records.Records[last])
	}
	o.Commits.UnlockAndWake(g)
	if err != nil {
		return lease.Binding{}, err
	}
	select {
	case err = <-done:
		switch {
		case errors.Is(err, ErrConflict):
			return lease.Binding{}, err
		case err != nil:
			return lease.Binding{}, fmt.Errorf("%w: %w", ErrStore, err)
		}
		return own.Records[0], nil
	case <-ctx.Done():
		return lease.Binding{}, ctx.Err()
	}
}
