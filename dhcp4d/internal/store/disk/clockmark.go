package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/slowlock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// The mark is a file of its own beside a journal or a Pebble database. It is replaced as a whole.
// An old mark is as safe as a new one: see package clock.
const (
	clockName        = "dhcp4d-store.clock"
	clockScratchName = "dhcp4d-store.clock.tmp"
)

// clockMark keeps the mark of a store in its directory.
type clockMark struct {
	dir    string
	prefix string // of the label
	claim  *claim
	label  *label // as the store has read or made it

	mu       slowlock.Lock // one KeepClockMark at a time
	clocked  bool          // guarded by mu: whether the label says that there is a mark
	repaired bool          // guarded by mu: whether it says that the store was repaired
}

// ClockMark implements Store.
func (k *clockMark) ClockMark() (m clock.Mark, err error) {
	fsys := k.claim.fs()
	f, err := fsys.Open(fsys.PathJoin(k.dir, clockName))
	switch {
	case errors.Is(err, fs.ErrNotExist) && !k.label.clocked:
		return m, store.ErrNoMark
	case errors.Is(err, fs.ErrNotExist):
		return m, store.ErrMarkLost
	case err != nil:
		return m, fmt.Errorf("lease store %s %w", k.dir, &unreadableError{err})
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return m, fmt.Errorf("lease store %s %w", k.dir, &unreadableError{err})
	}
	if m.UnmarshalText(text) != nil || m.Store != k.label.store.String() {
		return m, store.ErrMarkLost
	}
	return m, nil
}

// KeepClockMark implements Store.
func (k *clockMark) KeepClockMark(m clock.Mark) error {
	m.Store = k.label.store.String()
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.replace(m); err != nil {
		return fmt.Errorf("lease store %s: keeping the clock mark: %w", k.dir, err)
	}
	return nil
}

func (k *clockMark) replace(m clock.Mark) error {
	fsys := k.claim.fs()                   // one directory for all that follows
	if err := k.claim.here(); err != nil { // a start would not find the mark
		return err
	}
	scratch := fsys.PathJoin(k.dir, clockScratchName)
	f, err := fsys.Create(scratch, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(m.AppendText(nil))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(scratch, fsys.PathJoin(k.dir, clockName)); err != nil {
		return err
	}
	if err := syncDir(fsys, k.dir); err != nil || k.clocked {
		return err
	}
	if err := k.relabel(fsys, true, k.repaired); err != nil {
		return err
	}
	k.clocked = true
	return nil
}

// relabel writes the label, with the lines that clocked and repaired ask for. The caller holds mu.
func (k *clockMark) relabel(fsys vfs.FS, clocked, repaired bool) error {
	l := *k.label
	l.clocked, l.repaired = clocked, repaired
	return writeLabel(fsys, k.dir, k.prefix, l)
}

// MustRecover implements Repairable.
func (k *clockMark) MustRecover() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.repaired
}

// Recovered implements Repairable.
func (k *clockMark) Recovered() error { return k.setRepaired(false) }

// setRepaired notes whether leases may be missing.
func (k *clockMark) setRepaired(yes bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.repaired == yes {
		return nil
	}
	fsys := k.claim.fs()
	if err := k.claim.here(); err != nil {
		return err
	}
	if err := k.relabel(fsys, k.clocked, yes); err != nil {
		return err
	}
	k.repaired = yes
	return nil
}
