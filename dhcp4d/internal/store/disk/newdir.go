package disk

import (
	"errors"
	"fmt"
	"io"

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
	return SyncDir(fsys, parent)
}

// SyncDir makes durable which files are in dir.
func SyncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ReadFile reads the beginning of a file, or all of it, into b.
func ReadFile(fsys vfs.FS, dir, name string, b []byte) ([]byte, error) {
	f, err := fsys.Open(fsys.PathJoin(dir, name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return b[:n], nil
}
