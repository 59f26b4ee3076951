package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// The mark is a file of its own beside a journal or a Pebble database. It is replaced as a whole.
// An old mark is as safe as a new one: see package clock.
const (
	clockName        = "dhcp4d-store.clock"
	clockScratchName = "dhcp4d-store.clock.tmp"
)

// ClockMark implements store.Store.
func (d *Directory) ClockMark() (m clock.Mark, err error) {
	fsys := d.FS()
	f, err := fsys.Open(fsys.PathJoin(d.path, clockName))
	switch {
	case errors.Is(err, fs.ErrNotExist) && !d.label.clocked:
		return m, store.ErrNoMark
	case errors.Is(err, fs.ErrNotExist):
		return m, store.ErrMarkLost
	case err != nil:
		return m, fmt.Errorf("lease store %s %w", d.path, Unreadable(err))
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return m, fmt.Errorf("lease store %s %w", d.path, Unreadable(err))
	}
	if m.UnmarshalText(text) != nil || m.Store != d.label.store.String() {
		return m, store.ErrMarkLost
	}
	return m, nil
}

// KeepClockMark implements store.Store.
func (d *Directory) KeepClockMark(m clock.Mark) error {
	m.Store = d.label.store.String()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.replace(m); err != nil {
		return fmt.Errorf("lease store %s: keeping the clock mark: %w", d.path, err)
	}
	return nil
}

func (d *Directory) replace(m clock.Mark) error {
	fsys := d.FS()                         // one directory for all that follows
	if err := d.claim.here(); err != nil { // a start would not find the mark
		return err
	}
	scratch := fsys.PathJoin(d.path, clockScratchName)
	f, err := fsys.Create(scratch, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(m.AppendText(nil))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(scratch, fsys.PathJoin(d.path, clockName)); err != nil {
		return err
	}
	if err := SyncDir(fsys, d.path); err != nil || d.clocked {
		return err
	}
	if err := d.relabel(fsys, true, d.repaired); err != nil {
		return err
	}
	d.clocked = true
	return nil
}

// relabel writes the label, with the lines that clocked and repaired ask for. The caller holds mu.
func (d *Directory) relabel(fsys vfs.FS, clocked, repaired bool) error {
	l := d.label
	l.clocked, l.repaired = clocked, repaired
	return writeLabel(fsys, d.path, labels[d.kind], l)
}

// MustRecover implements store.Repairable.
func (d *Directory) MustRecover() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.repaired
}

// Recovered implements store.Repairable.
func (d *Directory) Recovered() error { return d.setRepaired(false) }

// MarkRepaired notes that leases may be missing.
func (d *Directory) MarkRepaired() error { return d.setRepaired(true) }

// setRepaired notes whether leases may be missing.
func (d *Directory) setRepaired(yes bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.repaired == yes {
		return nil
	}
	fsys := d.FS()
	if err := d.claim.here(); err != nil {
		return err
	}
	if err := d.relabel(fsys, d.clocked, yes); err != nil {
		return err
	}
	d.repaired = yes
	return nil
}
