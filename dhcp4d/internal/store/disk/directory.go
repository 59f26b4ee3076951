package disk

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// makeDir makes dir, and makes that durable. The parent directory must exist: a mistyped path, or
// one on a file system that is not mounted, must not become a new store.
func makeDir(fsys vfs.FS, dir string) error {
	if _, err := fsys.Stat(dir); err == nil {
		return nil
	}
	parent := fsys.PathDir(dir)
	if _, err := fsys.Stat(parent); err != nil {
		return fmt.Errorf("%w; correct the path, mount its file system, or make %s", err, parent)
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

const probeName = "dhcp4d-store.probe"

// probe checks that there is room for a mebibyte in dir. Without it, a start on a full disk would
// read and rebuild everything, and then fail at its first commit.
func probe(fsys vfs.FS, dir string) error {
	scratch := fsys.PathJoin(dir, probeName)
	f, err := fsys.Create(scratch, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 1<<20))
	return errors.Join(err, f.Sync(), f.Close(), fsys.Remove(scratch))
}
