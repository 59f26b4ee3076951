package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// anchored is the operating system's file system. It reaches one directory, and every file in it,
// through an open handle on that directory. So whatever a running store makes, renames, removes or
// syncs is in the directory that it has opened, even if another one is at the path by now.
//
// Names are paths, as everywhere in package vfs. For a path outside of the directory it uses
// vfs.Default.
type anchored struct {
	vfs.FS
	dir  string // clean
	root *os.Root
}

// anchor opens the directory that is at the path now.
func anchor(dir string) (*anchored, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &anchored{FS: vfs.Default, dir: filepath.Clean(dir), root: root}, nil
}

func (a *anchored) close() error { return a.root.Close() }

// local returns the name of a path inside of the directory. It is not ok if the path is outside.
func (a *anchored) local(path string) (name string, ok bool) {
	name, err := filepath.Rel(a.dir, path)
	return name, err == nil && filepath.IsLocal(name)
}

// named returns an error of os.Root with the path and the words that it would have without the
// handle.
func (a *anchored) named(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return &fs.PathError{Op: strings.TrimSuffix(e.Op, "at"), Path: filepath.Join(a.dir, e.Path), Err: e.Err}
	}
	if e := (*os.LinkError)(nil); errors.As(err, &e) {
		return &os.LinkError{
			Op:  strings.TrimSuffix(e.Op, "at"),
			Old: filepath.Join(a.dir, e.Old), New: filepath.Join(a.dir, e.New), Err: e.Err,
		}
	}
	return err
}

// storeMode is the permissions of new files: leases name clients, and the operator may have made
// the directory readable for everybody.
const storeMode = 0o640

// openFile opens a file as os.OpenFile does.
func (a *anchored) openFile(path string, flags int, perm fs.FileMode) (*os.File, error) {
	name, ok := a.local(path)
	if !ok {
		return os.OpenFile(path, flags, perm)
	}
	f, err := a.root.OpenFile(name, flags, perm)
	return f, a.named(err)
}

// open opens a file for Pebble.
func (a *anchored) open(path string, flags int, options ...vfs.OpenOption) (vfs.File, error) {
	f, err := a.openFile(path, flags, storeMode)
	if err != nil {
		return nil, err
	}
	file := anchoredFile{f}
	for _, o := range options {
		o.Apply(file)
	}
	return file, nil
}

// Create implements vfs.FS. As package vfs demands, it first removes a file of that name.
func (a *anchored) Create(path string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	for {
		f, err := a.open(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
		if err := a.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

// Open implements vfs.FS.
func (a *anchored) Open(path string, options ...vfs.OpenOption) (vfs.File, error) {
	return a.open(path, os.O_RDONLY, options...)
}

// OpenReadWrite implements vfs.FS.
func (a *anchored) OpenReadWrite(path string, _ vfs.DiskWriteCategory, options ...vfs.OpenOption) (vfs.File, error) {
	return a.open(path, os.O_RDWR|os.O_CREATE, options...)
}

// OpenDir implements vfs.FS.
func (a *anchored) OpenDir(path string) (vfs.File, error) { return a.open(path, os.O_RDONLY) }

// ReuseForWrite implements vfs.FS.
func (a *anchored) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := a.Rename(from, to); err != nil {
		return nil, err
	}
	return a.OpenReadWrite(to, c)
}

// Link implements vfs.FS.
func (a *anchored) Link(from, to string) error {
	old, ok1 := a.local(from)
	name, ok2 := a.local(to)
	if !ok1 || !ok2 {
		return a.FS.Link(from, to)
	}
	return a.named(a.root.Link(old, name))
}

// Rename implements vfs.FS.
func (a *anchored) Rename(from, to string) error {
	old, ok1 := a.local(from)
	name, ok2 := a.local(to)
	if !ok1 || !ok2 {
		return a.FS.Rename(from, to)
	}
	return a.named(a.root.Rename(old, name))
}

// Remove implements vfs.FS.
func (a *anchored) Remove(path string) error {
	name, ok := a.local(path)
	if !ok {
		return a.FS.Remove(path)
	}
	return a.named(a.root.Remove(name))
}

// RemoveAll implements vfs.FS.
func (a *anchored) RemoveAll(path string) error {
	name, ok := a.local(path)
	if !ok {
		return a.FS.RemoveAll(path)
	}
	return a.named(a.root.RemoveAll(name))
}

// MkdirAll implements vfs.FS.
func (a *anchored) MkdirAll(path string, perm fs.FileMode) error {
	name, ok := a.local(path)
	if !ok {
		return a.FS.MkdirAll(path, perm)
	}
	return a.named(a.root.MkdirAll(name, perm))
}

// List implements vfs.FS.
func (a *anchored) List(path string) ([]string, error) {
	d, err := a.openFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	return d.Readdirnames(-1)
}

// Stat implements vfs.FS.
func (a *anchored) Stat(path string) (vfs.FileInfo, error) {
	name, ok := a.local(path)
	if !ok {
		return a.FS.Stat(path)
	}
	info, err := a.root.Stat(name)
	if err != nil {
		return nil, a.named(err)
	}
	return anchoredInfo{info}, nil
}

// GetDiskUsage implements vfs.FS.
func (a *anchored) GetDiskUsage(path string) (u vfs.DiskUsage, err error) {
	f, err := a.openFile(path, os.O_RDONLY, 0)
	if err != nil {
		return u, err
	}
	defer func() { _ = f.Close() }()
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
		return u, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	u.AvailBytes = uint64(s.Bsize) * s.Bavail
	u.TotalBytes = uint64(s.Bsize) * s.Blocks
	u.UsedBytes = uint64(s.Bsize) * (s.Blocks - s.Bfree)
	return u, nil
}

// Lock implements vfs.FS. The lock belongs to the process: it is lost when the process closes any
// handle of the file.
func (a *anchored) Lock(path string) (io.Closer, error) {
	f, err := a.openFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, storeMode)
	if err != nil {
		return nil, err
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &whole); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Unwrap implements vfs.FS.
func (a *anchored) Unwrap() vfs.FS { return a.FS }

// anchoredFile behaves like the files of vfs.Default on Linux.
type anchoredFile struct{ *os.File }

// Prefetch implements vfs.File.
func (f anchoredFile) Prefetch(offset, length int64) error {
	return unix.Fadvise(int(f.Fd()), offset, length, unix.FADV_WILLNEED)
}

// Preallocate implements vfs.File.
func (f anchoredFile) Preallocate(offset, length int64) error {
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, offset, length)
}

// SyncData implements vfs.File.
func (f anchoredFile) SyncData() error {
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
	}
	return nil
}

// SyncTo implements vfs.File. It starts writing the page cache to disk, and waits for the writing
// that it started before. So the sync at the end of a large table has less to write. It makes
// nothing durable.
func (f anchoredFile) SyncTo(length int64) (full bool, err error) {
	err = unix.SyncFileRange(int(f.Fd()), 0, length, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE)
	if err != nil { // this file system cannot do that
		return true, f.SyncData()
	}
	return false, nil
}

// Stat implements vfs.File.
func (f anchoredFile) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	if err != nil {
		return nil, err
	}
	return anchoredInfo{info}, nil
}

type anchoredInfo struct{ fs.FileInfo }

// DeviceID implements vfs.FileInfo. Only package vfs can make one, and Pebble does not look at it.
func (anchoredInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
