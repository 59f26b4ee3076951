package disk

import (
	"errors"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// unfinishedName is the name of a segment that is being made. There is at most one.
const unfinishedName = "segment.unfinished"

// newSegment returns a file for writing, all of whose blocks are allocated, so that a write need
// not change the file's metadata. It renames the file old, or makes a new file of zeros if old is
// empty.
func newSegment(o Options, dir, old, name string, size int) (*BlockFile, error) {
	path := o.FS.PathJoin(dir, name)
	switch old {
	case name:
	case "":
		if err := makeFile(o, dir, name, size); err != nil {
			return nil, err
		}
	default:
		if err := o.FS.Rename(o.FS.PathJoin(dir, old), path); err != nil {
			return nil, err
		}
		if err := SyncDir(o.FS, dir); err != nil {
			return nil, err
		}
	}
	return OpenBlockFile(o.FS, path)
}

// makeFile makes a durable file of zeros, or none.
func makeFile(o Options, dir, name string, size int) error {
	unfinished := o.FS.PathJoin(dir, unfinishedName)
	err := zeros(o, unfinished, size)
	if err == nil {
		err = o.FS.Rename(unfinished, o.FS.PathJoin(dir, name))
	}
	if err != nil {
		_ = o.FS.Remove(unfinished) // if that fails, the next attempt overwrites the file
		return err
	}
	return SyncDir(o.FS, dir)
}

// zeros makes a file of zeros and syncs it.
func zeros(o Options, path string, size int) error {
	if a, ok := o.FS.(*anchored); ok {
		// The zeros bypass the page cache too: with it they would cost more than all batches of the
		// segment.
		if err := a.directZeros(path, size); !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	f, err := o.FS.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, size))
	return errors.Join(err, f.Sync(), f.Close())
}

// directZeros makes a file of zeros past the page cache and syncs it. The error is EINVAL if the
// file system cannot do that.
func (a *anchored) directZeros(path string, size int) error {
	f, err := a.openFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_DIRECT, storeMode)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it is synced, or has failed
	// Memory that nobody writes to takes one page of zeros, however large it is.
	b, err := unix.Mmap(-1, 0, min(size, batchSize), unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	defer unix.Munmap(b) //nolint:errcheck // it is ours
	for at := 0; at < size; {
		n, err := f.WriteAt(b[:min(len(b), size-at)], int64(at))
		if err != nil {
			return err
		}
		at += n
	}
	return f.Sync()
}
