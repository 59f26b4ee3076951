package store

import (
	"errors"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// ErrFailed is what every Commit returns, wrapped, from the first error of the disk until
// [Store.Reopen].
var ErrFailed = errors.New("the lease store has failed")

// Store keeps bindings on stable storage.
//
// One goroutine at a time calls it, except for Check, Stats and KeepClockMark. First comes one
// Load, then any number of Commits. After a Commit that failed, Reopen is called until it returns
// nil, and then Load again: what the disk holds is the truth, and records of the failed Commit may
// or may not be among it.
type Store interface {
	// Load calls fn for every binding, in no particular order. The binding and what its slices
	// point to belong to the store, and are valid only during the call. The first error of fn ends
	// the loading, and Load returns it.
	Load(fn func(*lease.Binding) error) (Loaded, error)

	// Commit returns when every record but the refused ones is on stable storage, or with an error.
	// A record replaces what the store has for its identity, the address and port set. A record in
	// lease.NoState removes it. Refused lists the records whose identity another client holds, in
	// their order, and is valid until the next call. A store that only one dhcp4d uses refuses
	// none. If several records of a commit have one identity, each is judged by what the ones
	// before it have left. After an error the store has failed, and nothing is known about the
	// records.
	Commit(records []lease.Binding) (refused []Refusal, err error)

	// Check returns an error if the directory of the store is no longer the one that was opened.
	// Then the store has failed. It also notes how far the commits have come, so that a start
	// notices if the end of what was acknowledged is gone. One goroutine calls it about once a
	// second, beside the commits.
	Check() error

	// ClockMark returns the clock mark that was kept last. It may be called before Load. The error
	// is ErrNoMark if none was ever kept, and ErrMarkLost if it is missing or damaged.
	ClockMark() (clock.Mark, error)

	// KeepClockMark puts a clock mark on stable storage, once the store is loaded. Any goroutine
	// may call it at any time.
	KeepClockMark(m clock.Mark) error

	// Reopen closes a failed store and opens it again.
	Reopen() error

	// Stats may be called at any time by any goroutine.
	Stats() Stats

	// Close closes the store, failed or not.
	Close() error
}

// Shared is a store that several dhcp4d use at once. The clock that it was opened with goes by one
// time line for all of them.
type Shared interface {
	Store

	// Foreign returns the leases that other dhcp4d have changed since Load or the last call, and
	// those of again, as the store has them now. What it returns is newer than every Commit that
	// has returned before the call. A Commit may run at the same time: the caller must know which
	// leases that one changes, and ask for them again. The bindings are valid until the next call.
	// After an error, the next call returns these changes too.
	Foreign(again []lease.ID) ([]lease.Binding, error)

	// Share returns the part of the free addresses that this dhcp4d gives out first. Any goroutine
	// may call it.
	Share() Share
}

// Timekeeper is a store with a time line of its own, by which all dhcp4d go that use it.
type Timekeeper interface {
	Store

	// Follow sets c to the time line.
	Follow(c *clock.Clock)

	// Advance moves the time line forward to t, if it is behind: a record was written at t.
	Advance(t lease.Time) error
}

// Repairable is a store that may have lost leases, in a repair or otherwise. See [MustRecover].
type Repairable interface {
	Store

	// MustRecover reports whether leases may be missing. Any goroutine may call it.
	MustRecover() bool

	// Recovered notes that the leases that may be missing have ended. Any goroutine may call it,
	// once the store is loaded.
	Recovered() error
}

// Healer is a store that may lose commits that were acknowledged, as a database does that fails
// over to a standby without them. Then only the memory of the dhcp4d that have committed still has
// what clients hold.
type Healer interface {
	Store

	// Forgot reports whether commits were lost. Then the store takes no commit until Heal.
	Forgot() bool

	// Heal puts back what is missing, after Reopen and before Load. It passes a function to each,
	// and each calls this function for every lease in memory. If the store has a newer record, it
	// keeps that. Heal returns how many records it has put back. After an error, Reopen and Heal
	// may be called again.
	Heal(each func(take Take) error) (restored int, err error)
}

// Take takes a lease that a store may have lost. Stood says that the store had it. Otherwise no
// commit of its record has succeeded, and nobody was told of it: it takes no address from another
// client.
type Take func(b *lease.Binding, stood bool) error

// Share is a part of the free addresses: the Index-th of Of parts. If Of is 0, it is all of them.
type Share struct{ Index, Of int }

// Refusal says that a record was not stored, because another client holds its identity.
type Refusal struct {
	Record int           // index into the records of the commit
	Holder lease.Binding // what the store has for the identity; in lease.NoState it has nothing any more
}

// Loaded is what Load has found.
type Loaded struct {
	Records int           // bindings handed out
	Newest  lease.Time    // the latest time that the store has seen
	Took    time.Duration // of which opening, replaying and reading
}

// Count counts a binding that Load hands out.
func (l *Loaded) Count(b *lease.Binding) {
	l.Records++
	l.Newest = max(l.Newest, b.Changed)
}

// Stats are the figures of a store for its metrics.
type Stats struct {
	Bytes       uint64   // on disk, everything included
	Records     uint64   // committed by this process
	Compactions uint64   // of Pebble since it was opened; of a journal the segments that were emptied
	Memory      uint64   // the index of a journal; the block cache and memory tables of Pebble
	Unknown     uint64   // commits to a database whose answer was lost, so that their outcome was asked for
	Processes   int      // dhcp4d that use a database now, this one among them
	Standbys    Standbys // of a database, as last counted
}

// Standbys are the standbys that follow a database now.
type Standbys struct {
	Synchronous  int // a commit waits for these
	Asynchronous int // these may lack what was acknowledged
	Unknown      int // of either kind; dhcp4d's user of the database may not see which
}
