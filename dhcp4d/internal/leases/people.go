package leases

import (
	"cmp"
	"errors"
	"net/netip"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/table"
)

// What people see of the book: the API, the page and the start of a hook read it here. All times
// are the wall clock's.

// ScanPosition is where a scan of the leases continues. 0 is the start and the end.
type ScanPosition uint64

// ErrStale is the error of a scan that began in a table that was replaced since.
var ErrStale = errors.New("the leases were loaded anew after this cursor was returned; start again without a cursor")

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

// How many entries or subnets are looked at under one lock, which takes some 20 µs.
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
func (b *Book) Now() lease.Time { return b.clock.Shown() }

// show adds a copy of a lease with times of the wall clock.
func (b *Book) show(into *lease.Batch, l *lease.Binding) {
	moved := l.Moved(b.clock.Ahead())
	into.Add(&moved)
}

// Get copies what is known about an address.
func (b *Book) Get(a netip.Addr, into *lease.Batch) {
	b.between(func(t *table.Table) {
		var l lease.Binding
		if t.Get(lease.ID{Addr: a}, &l) {
			b.show(into, &l)
		}
	})
}

// Scan copies the leases that match, out of scanBatch entries, and returns where to continue, 0 at
// the end. The error is ErrStale if the table was replaced after the position was returned. Scan
// may sleep, see [lookFor].
func (b *Book) Scan(from ScanPosition, match func(*lease.Binding) bool, into *lease.Batch) (next ScanPosition, err error) {
	b.looking.Lock()
	defer b.looking.Unlock()
	defer b.pause(time.Now())
	b.between(func(t *table.Table) {
		table := ScanPosition(b.loads) << 32
		if from != 0 && from>>32<<32 != table {
			err = ErrStale
			return
		}
		// One variable for all leases: it escapes through match, and an allocation for each lease
		// would make the packets wait.
		var moved lease.Binding
		ref := t.Scan(uint32(from), scanBatch, func(l *lease.Binding) {
			if moved = l.Moved(b.clock.Ahead()); match(&moved) {
				into.Add(&moved)
			}
		})
		if ref != 0 {
			next = table | ScanPosition(ref)
		}
	})
	return next, err
}

// OfClient copies the leases that a client has or had, in all subnets.
func (b *Book) OfClient(key []byte, into *lease.Batch) {
	for at, more := uint32(0), true; more; more = at != 0 {
		b.between(func(t *table.Table) {
			at = t.OfClient(key, at, subnetBatch, func(l *lease.Binding) { b.show(into, l) })
		})
	}
}

// Subnets returns how much of each subnet is in use.
func (b *Book) Subnets() []Usage {
	for {
		if all, ok := b.subnetsOf(b.Settings()); ok {
			return all
		}
	}
}

// subnetsOf is not ok if s is no longer in effect.
func (b *Book) subnetsOf(s *Settings) (all []Usage, ok bool) {
	now := b.clock.Now()
	for i := range s.subnets.All {
		sub := &s.subnets.All[i]
		u := Usage{ID: sub.ID, Name: sub.Name, Prefix: sub.Prefix, Network: sub.Network, State: "active"}
		switch {
		case sub.Drain:
			u.State = "drain"
		case s.Policies[i].RecoverTill > now:
			u.State = "recovery"
		}
		b.between(func(t *table.Table) {
			if ok = b.settings == s; !ok {
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
func (b *Book) SubnetNamed(name string) (id uint32, ok bool) {
	sub := b.Settings().subnets.ByName(name)
	if sub == nil {
		return 0, false
	}
	return sub.ID, true
}

// Subnet returns the name of the subnet that has an address. It is not ok if there is none.
func (b *Book) Subnet(a netip.Addr) (name string, ok bool) {
	sub := b.Settings().subnets.Containing(a)
	if sub == nil {
		return "", false
	}
	return sub.Name, true
}
