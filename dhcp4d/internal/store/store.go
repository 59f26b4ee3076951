package store

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// ErrFailed is what every Commit returns, wrapped, from the first error of
// the disk until [Store.Reopen].
var ErrFailed = errors.New("the lease store has failed")

// Store keeps bindings on stable storage.
//
// One goroutine at a time calls it, except for Stats. The order of calls is
// Load once, then Commit; after a Commit that failed Reopen until it returns
// nil, and Load again: what the disk holds is the truth, and a record of the
// failed Commit may or may not be among it.
type Store interface {
	// Load calls fn for every binding, in no particular order. The binding
	// and what its slices point to belong to the store and are valid only
	// during the call. The first error of fn ends the loading and is returned.
	Load(fn func(*lease.Binding) error) (Loaded, error)

	// Commit returns nil only once every record is on stable storage. One
	// replaces what the store has for its address and port set; one in
	// lease.NoState removes it. After an error the store has failed, and
	// nothing is known about the records.
	Commit(records []lease.Binding) error

	// Reopen closes a failed store and opens it again.
	Reopen() error

	// Stats may be called at any time by any goroutine.
	Stats() Stats

	// Close closes the store, failed or not.
	Close() error
}

// Loaded is what Load found.
type Loaded struct {
	Records int           // bindings handed out
	Newest  lease.Time    // no clock was ever ahead of this: later than now means that ours is wrong
	Took    time.Duration // of which opening, replaying and reading
}

func (l *Loaded) count(b *lease.Binding) {
	l.Records++
	l.Newest = max(l.Newest, b.Changed)
}

// Stats are the figures of a store for its metrics.
type Stats struct {
	Bytes       uint64 // on disk, everything included
	WALBytes    uint64 // of which write-ahead log
	WALRecords  uint64 // changes committed by this process
	Compactions uint64 // since the store was opened
	Memory      uint64 // block cache and memory tables
}

// Options are what a store needs beside its place.
type Options struct {
	Log *slog.Logger      // required
	Now func() lease.Time // required: the wall clock, remembered in the store

	// For tests.
	fs     vfs.FS              // beneath the fence; the real one if nil
	wrap   func(vfs.FS) vfs.FS // put between the fence and Pebble
	noSync bool                // the negative control of the crash tests
	small  bool                // tables so small that a short test fills and compacts them
}

// Open opens the store that url names: "memory:", which forgets everything
// when the process ends, "journal:DIR" or "pebble:DIR". It makes a directory that does not
// exist. Where it refuses, it has changed nothing: a directory held by
// another process, of a newer format, damaged, or with something else in it.
func Open(url string, o Options) (Store, error) {
	kind, rest, ok := strings.Cut(url, ":")
	switch {
	case ok && kind == "memory" && rest == "":
		return newMemory(), nil
	case ok && kind == "pebble" && rest != "":
		return openPebble(rest, o)
	case ok && kind == "journal" && rest != "":
		return openJournal(rest, o)
	}
	return nil, fmt.Errorf("lease store %q: not understood; use memory:, journal:DIR or pebble:DIR", url)
}
