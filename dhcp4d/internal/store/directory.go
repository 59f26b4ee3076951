package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// format is the version of everything that this package writes. A store of a
// higher one is refused; a lower one, once there is one, is read.
const format = 1

// The label is a file of its own, so that a directory can be refused before
// Pebble has touched it.
const (
	labelName   = "dhcp4d-store"
	scratchName = "dhcp4d-store.tmp"
	labelPrefix = "dhcp4d lease store, format "
	// journalPrefix is a journal's.
	journalPrefix = "dhcp4d lease journal, format "
)

// directory is what a look at the place of a store tells.
type directory struct {
	labelled bool // it has our label
	database bool // Pebble has a database there
}

// inspect looks at dir and changes nothing. The error says what to do.
func inspect(fsys vfs.FS, dir string) (directory, error) {
	names, labelled, err := look(fsys, dir, labelPrefix)
	if err != nil || !labelled {
		return directory{}, err
	}
	d := directory{labelled: true}
	desc, err := pebble.Peek(dir, fsys)
	if err != nil {
		return d, damaged(err)
	}
	d.database = desc.Exists
	if !d.database {
		for _, name := range names {
			if strings.HasSuffix(name, ".sst") {
				return d, damaged(errors.New("its manifest is missing"))
			}
		}
	}
	return d, nil
}

// inspectJournal looks at dir as inspect does and tells whether it is the
// place of a journal.
func inspectJournal(fsys vfs.FS, dir string) (labelled bool, err error) {
	_, labelled, err = look(fsys, dir, journalPrefix)
	return labelled, err
}

// look lists what is in dir and reads its label, which must begin as given;
// without one the directory must be empty or missing.
func look(fsys vfs.FS, dir, prefix string) (names []string, labelled bool, err error) {
	names, err = fsys.List(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("cannot be read: %w", err)
	}
	other := ""
	for _, name := range names {
		switch {
		case name == labelName:
			labelled = true
		case name == scratchName: // a start or a probe was cut short
		case name == "lost+found": // the root of a file system of its own
		default:
			other = name
		}
	}
	if !labelled {
		if other != "" {
			return nil, false, fmt.Errorf("holds %q but no lease store; name an empty directory, or one that does not exist", other)
		}
		return nil, false, nil
	}
	return names, true, readLabel(fsys, fsys.PathJoin(dir, labelName), prefix)
}

func damaged(err error) error {
	why, _, _ := strings.Cut(err.Error(), "\n") // Pebble's go on with details
	return fmt.Errorf("is damaged: %s; restore a backup, or move the directory away to start with no leases", why)
}

func readLabel(fsys vfs.FS, name, prefix string) error {
	f, err := fsys.Open(name)
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, 128))
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	for kind, p := range map[string]string{"pebble": labelPrefix, "journal": journalPrefix} {
		if p != prefix && strings.HasPrefix(string(text), p) {
			return fmt.Errorf("is a store of another kind; name it with %s: before its directory", kind)
		}
	}
	var v int
	if _, err := fmt.Sscanf(string(text), prefix+"%d\n", &v); err != nil || v < 1 {
		return damaged(fmt.Errorf("%s reads %q", name, text))
	}
	if v > format {
		return fmt.Errorf("was written by a newer dhcp4d (format %d, this one knows %d); start that one, or restore a backup made by this one", v, format)
	}
	return nil
}

// writeLabel makes dir and marks it as ours, synced.
func writeLabel(fsys vfs.FS, dir, prefix string) error {
	if err := makeDir(fsys, dir); err != nil {
		return err
	}
	scratch := fsys.PathJoin(dir, scratchName)
	f, err := fsys.Create(scratch, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s%d\n", prefix, format)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(scratch, fsys.PathJoin(dir, labelName)); err != nil {
		return err
	}
	return syncDir(fsys, dir)
}

// makeDir makes dir, and what is missing above it, synced.
func makeDir(fsys vfs.FS, dir string) error {
	if _, err := fsys.Stat(dir); err == nil {
		return nil
	}
	parent := fsys.PathDir(dir)
	if parent != dir {
		if err := makeDir(fsys, parent); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	return syncDir(fsys, parent)
}

func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// probe tells whether dir takes a mebibyte, in a file that is removed again.
// It spares a start that replays and rebuilds everything only to fail at its
// first commit.
func probe(fsys vfs.FS, dir string) error {
	scratch := fsys.PathJoin(dir, scratchName)
	f, err := fsys.Create(scratch, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 1<<20))
	return errors.Join(err, f.Sync(), f.Close(), fsys.Remove(scratch))
}
