package disk

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// Read calls fn for every binding of a store that no process has open, and changes nothing. It
// returns the newest time, as in [Loaded]. If there is no store yet, the error is fs.ErrNotExist.
func Read(url string, o Options, fn func(*lease.Binding) error) (newest lease.Time, err error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	kind, dir, _ := strings.Cut(url, ":")
	prefix, ok := labels[Kind(kind)]
	if !ok {
		return 0, fmt.Errorf("lease store %q: only a journal or a Pebble store can be read", url)
	}
	switch _, _, found, err := look(o.FS, dir, prefix); {
	case err != nil:
		return 0, fmt.Errorf("lease store %s %w", dir, err)
	case !found:
		return 0, fmt.Errorf("lease store %s: %w", dir, fs.ErrNotExist)
	}
	if kind == "journal" {
		return readJournal(dir, o, fn)
	}
	o.readOnly = true
	s, err := Open(url, o)
	if err != nil {
		return 0, err
	}
	defer s.Close() //nolint:errcheck // it was read only
	l, err := s.Load(fn)
	return l.Newest, err
}

func readJournal(dir string, o Options, fn func(*lease.Binding) error) (newest lease.Time, err error) {
	j, err := claimJournal(dir, o)
	if err != nil {
		return 0, err
	}
	defer func() { _ = j.Close() }()
	if j.BeingMade() {
		return 0, fmt.Errorf("lease store %s: %w", dir, fs.ErrNotExist)
	}
	if err := j.scan(); err != nil {
		return 0, err
	}
	newest = j.clock
	err = j.each(func(b *lease.Binding) error {
		newest = max(newest, b.Changed)
		return fn(b)
	})
	return newest, err
}
