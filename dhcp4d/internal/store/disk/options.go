package disk

import (
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// Options are what a store on disk needs besides its directory.
type Options struct {
	Log *slog.Logger      // required
	Now func() lease.Time // required: the time of leases, remembered in the store

	// Made, unless nil, is called when a new store has been made.
	Made func(dir string)
	// FS is the file system: vfs.Default, or one for a test. Required.
	FS vfs.FS
	// Small makes segments and tables so small that a short run fills, empties and compacts them.
	Small bool

	label *label // in place of the one in the directory, which is damaged
}

// Find returns an error if there is no store of a kind in a directory, or none that can be read. If
// nothing is there, the error is fs.ErrNotExist. It changes nothing.
func Find(dir string, kind Kind, o Options) error {
	switch _, _, found, err := look(o.FS, dir, labels[kind]); {
	case err != nil:
		return fmt.Errorf("lease store %s %w", dir, err)
	case !found:
		return fmt.Errorf("lease store %s: %w", dir, fs.ErrNotExist)
	}
	return nil
}
