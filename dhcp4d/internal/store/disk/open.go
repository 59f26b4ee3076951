package disk

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// Options are what a store needs besides its URL.
type Options struct {
	Log *slog.Logger      // required
	Now func() lease.Time // required: the time of leases, remembered in the store

	// Made, unless nil, is called when a new store has been made.
	Made func(dir string)
	// FS is the file system; nil is the operating system's.
	FS vfs.FS
	// Go runs work of the journal beside the commits: it reads the oldest segment, or makes the
	// next one. If Go is nil, each work gets a goroutine. A simulation calls work at once, so that
	// each run makes the same calls of FS in the same order. Pebble has goroutines of its own.
	Go func(work func())
	// Small makes segments and tables so small that a short run fills, empties and compacts them.
	Small bool

	readOnly bool   // Load does not open a Pebble store for writing
	accept   bool   // missing commits of a Pebble store are accepted
	label    *label // in place of the one in the directory, which is damaged

	// For tests.
	wrap func(vfs.FS) vfs.FS // goes between the fence and Pebble
}

// Open opens the store of a kind in a directory, as package engine says.
func Open(url string, o Options) (store.Store, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	kind, dir, _ := strings.Cut(url, ":")
	switch {
	case kind == "pebble" && dir != "":
		s, err := openPebble(dir, o)
		if err != nil {
			return nil, err
		}
		return s, nil
	case kind == "journal" && dir != "":
		return openJournal(dir, o)
	}
	return nil, fmt.Errorf("lease store %q: not understood; use memory:, journal:DIR, "+
		"pebble:DIR or postgres://user@host/database", url)
}

func repairURL(url string, o Options, accept bool) (store.Repaired, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	kind, dir, _ := strings.Cut(url, ":")
	switch Kind(kind) {
	case Journal:
		return Repair(dir, Journal, o, func(o Options) ([]Owner, error) { return journalOwners(o, dir) },
			func(o Options, unlabelled error) (store.Repaired, error) {
				return repairJournal(dir, o, accept, unlabelled)
			})
	case Pebble:
		return Repair(dir, Pebble, o, func(o Options) ([]Owner, error) { return pebbleOwners(o, dir) },
			func(o Options, unlabelled error) (store.Repaired, error) {
				return repairPebble(dir, o, accept, unlabelled)
			})
	}
	return store.Repaired{}, fmt.Errorf("lease store %q: only a journal or a Pebble store can be repaired", url)
}
