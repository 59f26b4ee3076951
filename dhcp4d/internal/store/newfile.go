package store

import (
	"errors"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// unfinishedName is the name of a segment that is being made. There is one such file at most.
const unfinishedName = "segment.unfinished"

// newSegment makes a file for writing whose blocks are all there, so that a write to it changes
// nothing but them: old, if there is one, under its new name, or a new file of zeros.
func newSegment(o Options, dir, old, name string, size int) (*blockFile, error) {
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
		if err := syncDir(o.FS, dir); err != nil {
			return nil, err
		}
	}
	return openBlockFile(o, path)
}

// makeFile makes a file of zeros that is on disk as it is, or none.
func makeFile(o Options, dir, name string, size int) error {
	unfinished := o.FS.PathJoin(dir, unfinishedName)
	err := zeros(o, unfinished, size)
	if err == nil {
		err = o.FS.Rename(unfinished, o.FS.PathJoin(dir, name))
	}
	if err != nil {
		_ = o.FS.Remove(unfinished) // or the next attempt overwrites it
		return err
	}
	return syncDir(o.FS, dir)
}

// zeros makes a file of zeros, synced.
func zeros(o Options, path string, size int) error {
	if a, ok := o.FS.(*anchored); ok && !o.noSync {
		// Past the page cache too: there it would cost more than all the batches that come to lie
		// in it.
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

// directZeros makes a file of zeros past the page cache, synced. It fails with EINVAL where the
// file system cannot do that.
func (a *anchored) directZeros(path string, size int) error {
	f, err := a.openFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_DIRECT, 0o644)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it is synced, or has failed
	// Memory that is never written to is one page of zeros, however much of it.
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
