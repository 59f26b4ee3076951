// Package engine makes a store from its URL. It is the one package that knows every kind of store:
// those in memory and on disk, and PostgreSQL. Above it, a store is a [store.Store].
package engine

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/database"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/journal"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/pebble"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/postgres"
)

// Options are what a store needs besides its URL.
type Options struct {
	Log *slog.Logger      // required
	Now func() lease.Time // required: the time of leases, remembered in a store on disk
	// Clock is the clock that a database sets to its time line. If it is nil, the store makes one:
	// that is for commands that only read and write leases.
	Clock *clock.Clock

	// Database is what a database takes from its machine. A simulation passes its own.
	Database postgres.Outside

	// Made, unless nil, is called when a new store on disk has been made.
	Made func(dir string)
	// FS is the file system of stores on disk; nil is the operating system's.
	FS vfs.FS
	// Go runs work of the journal beside the commits: it reads the oldest segment, or makes the
	// next one. If Go is nil, each work gets a goroutine. A simulation calls work at once, so that
	// each run makes the same calls of FS in the same order. Pebble has goroutines of its own.
	Go func(work func())
	// Small makes segments and tables so small that a short run fills, empties and compacts them.
	Small bool
}

func (o Options) onDisk() disk.Options {
	fs := o.FS
	if fs == nil {
		fs = vfs.Default
	}
	return disk.Options{Log: o.Log, Now: o.Now, Made: o.Made, FS: fs, Small: o.Small}
}

func (o Options) ofJournal() journal.Options { return journal.Options{Options: o.onDisk(), Go: o.Go} }

// split returns the kind of a store on disk and its directory. Dir is empty if a URL names no
// directory.
func split(url string) (kind disk.Kind, dir string) {
	word, dir, _ := strings.Cut(url, ":")
	return disk.Kind(word), dir
}

// Open opens the store that url names: "memory:", which forgets everything when the process ends,
// "journal:DIR", "pebble:DIR", or the URL of a PostgreSQL database. It makes a directory that does
// not exist. It refuses a directory that another process holds, and a directory or database that
// has a newer format, is damaged, or has something else in it. Then it has changed nothing.
func Open(url string, o Options) (store.Store, error) {
	switch kind, dir := split(url); {
	case url == "memory:":
		return store.NewMemory(), nil
	case database.IsURL(url):
		p, err := postgres.OpenIn(o.Database, url, o.Log, o.Clock)
		if err != nil {
			return nil, err
		}
		return p, nil
	case kind == disk.Journal && dir != "":
		return journal.Open(dir, o.ofJournal())
	case kind == disk.Pebble && dir != "":
		return pebble.Open(dir, o.onDisk())
	}
	return nil, fmt.Errorf("lease store %q: not understood; use memory:, journal:DIR, "+
		"pebble:DIR or postgres://user@host/database", url)
}

// MayPass reports whether opening or loading a store may succeed later although nobody changes the
// configuration. Only a database can go away and come back.
func MayPass(url string, err error) bool { return database.IsURL(url) && postgres.MayPass(err) }

// Read calls fn for every binding of a store, and changes nothing. No process may have the store
// open, unless it is a database. Read returns the newest time, as in [store.Loaded]. If there is no
// store yet, the error is fs.ErrNotExist.
func Read(url string, o Options, fn func(*lease.Binding) error) (newest lease.Time, err error) {
	if database.IsURL(url) {
		return postgres.Read(url, fn)
	}
	switch kind, dir := split(url); kind {
	case disk.Journal:
		return journal.Read(dir, o.ofJournal(), fn)
	case disk.Pebble:
		return pebble.Read(dir, o.onDisk(), fn)
	}
	return 0, fmt.Errorf("lease store %q: only a journal or a Pebble store can be read", url)
}

// Repair reports how much of a damaged store can be read. No process may have the store open. With
// accept it gives up the rest, so that the store can be opened. Without accept, or if the store is
// sound, it changes nothing.
//
// A lease that can be read may be older than what was acknowledged, because its last change may be
// lost. So the store notes that it was repaired ([store.MustRecover]). The daemon that opens it
// gives no client an address that is new to it, until every lease that may be missing has ended.
//
// The error is why the store cannot be repaired. A repair that was cut short can be repeated.
func Repair(url string, o Options, accept bool) (store.Repaired, error) {
	if database.IsURL(url) {
		return store.Repaired{}, fmt.Errorf("lease store %s: a database is checked and restored with PostgreSQL's own tools",
			url)
	}
	switch kind, dir := split(url); kind {
	case disk.Journal:
		return journal.Repair(dir, o.ofJournal(), accept)
	case disk.Pebble:
		return pebble.Repair(dir, o.onDisk(), accept)
	}
	return store.Repaired{}, fmt.Errorf("lease store %q: only a journal or a Pebble store can be repaired", url)
}
