// Package table is the memory that decides: who has which address of which
// subnet, what is offered, what is in quarantine, what is free.
//
// It never locks, never reads a clock and never touches a disk: the caller
// holds one lock around everything and hands the time in.
package table

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/pool"
)

// Subnet is what the table must know of a configured subnet. The position in
// the slice given to New or Reconfigure is what lease.Query.Subnet means.
type Subnet struct {
	ID       uint32
	Prefix   netip.Prefix
	Pools    []pool.Range // what may be given to anybody
	Excluded []pool.Range // but not these
	Reserved []netip.Addr // given only to whom Query.Reservation names them for; also outside the pools
}

// Limits bounds what clients can make the table remember.
type Limits struct {
	Offers int // addresses held for an OFFER at one time, 0 = 65536
}

// Table is all of it. Not safe for concurrent use.
type Table struct {
}

// New makes an empty table. Overlapping pools are the caller's mistake.
func New(subnets []Subnet, limits Limits) *Table { return &Table{} }

// Look collects what is known for q into f.
func (t *Table) Look(q *lease.Query, now lease.Time, f *lease.Facts) {}

// Stand tells how one address stands to the client of q, for a hook that
// wants another address than the one decided.
func (t *Table) Stand(q *lease.Query, addr netip.Addr, now lease.Time) lease.Address {
	return lease.Address{}
}

// Apply carries out the change of d, which was decided for q from facts that
// are still true. Records to be written are added to group, whose number is
// seq: bindings stay pending until Durable says otherwise.
func (t *Table) Apply(q *lease.Query, d *lease.Decision, now lease.Time, seq uint64, group *lease.Batch) {
}

// Durable says that the commit groups up to seq are on stable storage.
func (t *Table) Durable(seq uint64) {}

// Expire ends the holds, bindings and quarantines whose time has come, at
// most max of them, and reports each that was a binding or a quarantine to
// ended (which may be nil; the binding is valid during the call). It returns
// whether some are left. Nothing of it needs to be written.
func (t *Table) Expire(now lease.Time, max int, ended func(e lease.Event, b *lease.Binding)) (more bool) {
	return false
}

// Load takes a record from disk, in any order. Loaded must follow.
func (t *Table) Load(b *lease.Binding) error { return nil }

// Loaded ends loading: what has expired becomes free, the longest unused
// first.
func (t *Table) Loaded(now lease.Time) {}

// Newest is the latest time that a loaded record says it was written at. A
// clock that shows less is wrong.
func (t *Table) Newest() lease.Time { return 0 }

// Reset forgets all bindings and offers, to load them again.
func (t *Table) Reset() {}

// Reconfigure takes a new list of subnets. Bindings outside of them stay
// until they end.
func (t *Table) Reconfigure(subnets []Subnet) {}

// Release ends the binding of an address by order of the operator and
// reports whether there was one.
func (t *Table) Release(addr netip.Addr, now lease.Time, seq uint64, group *lease.Batch) bool {
	return false
}

// Get fills b with what is known of an address. The bytes are valid until the
// table is changed.
func (t *Table) Get(addr netip.Addr, b *lease.Binding) bool { return false }

// ByClient calls fn for every binding and offer of a client in the subnet
// with a configured id.
func (t *Table) ByClient(subnet uint32, client []byte, fn func(b *lease.Binding)) {}

// Scan calls fn for at most n entries from position from on (0 = the start),
// in no particular order, and returns where to go on, 0 at the end. Entries
// that are made or moved between two calls may be missed.
func (t *Table) Scan(from uint32, n int, fn func(b *lease.Binding)) (next uint32) { return 0 }

// Counts are the numbers of a subnet's entries by state.
type Counts struct {
	Bound, Offered, Declined, Former int
}

// Counts of the subnet at a position of the configuration.
func (t *Table) Counts(subnet int) Counts { return Counts{} }

// PoolUse of one pool: its addresses, and those that are not free.
type PoolUse struct{ Size, Used uint64 }

// Pool tells the use of one pool of the subnet at a position of the
// configuration.
func (t *Table) Pool(subnet, pool int) PoolUse { return PoolUse{} }

// Len is the number of entries of all kinds.
func (t *Table) Len() int { return 0 }
