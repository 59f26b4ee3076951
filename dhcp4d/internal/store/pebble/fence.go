package pebble

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
)

// A fence stands between Pebble and the disk. It closes at the first change that the disk refuses.
//
// Pebble expects the process to end when a write fails. Depending on where the write fails, Pebble
// calls Logger.Fatalf and reports success when that returns, or panics while it holds its locks, or
// repeats the same flush for ever. A server that has to outlive a full disk can use none of this.
// So the fence hides the error from Pebble: it notes the error, discards every later change, and
// reports success to Pebble. Nothing that depends on a lost write reaches the disk, and Pebble can
// be closed as usual. The fence notes the error before the failed call returns, and a commit checks
// the fence before it believes Pebble.
//
// Reads go through, and Pebble reports their errors. A removal that fails only leaves a file too
// many, so the fence stays open. It closes if a directory cannot be listed or opened: Pebble does
// both late in Open, when a compaction may already run, and after an error would free the memory
// that the compaction uses.
type fence struct {
	vfs.FS
	cause atomic.Pointer[error]
}

// errSealed is the cause of a fence that is closed from the start, for reading only.
var errSealed = errors.New("opened for reading only")

// fail closes the fence. The first cause is kept.
func (f *fence) fail(err error) { f.cause.CompareAndSwap(nil, &err) }

// err returns why the fence is closed, nil while it is open.
func (f *fence) err() error {
	if p := f.cause.Load(); p != nil {
		return *p
	}
	return nil
}

func (f *fence) fallen() bool { return f.cause.Load() != nil }

// took notes the outcome of a change. Pebble does not see the error.
func (f *fence) took(verb, name string, err error) {
	if err == nil {
		return
	}
	// Errors of package os contain the name. Others need it.
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		f.fail(err)
		return
	}
	f.fail(fmt.Errorf("%s %s: %w", verb, name, err))
}

// opened wraps a file that was opened for writing.
func (f *fence) opened(verb, name string, file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		f.took(verb, name, err)
		return &fencedFile{fence: f, name: name}, nil
	}
	return &fencedFile{fence: f, name: name, file: file}, nil
}

func (f *fence) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if f.fallen() {
		return &fencedFile{fence: f, name: name}, nil
	}
	if strings.HasPrefix(f.PathBase(name), "marker.") {
		// A marker says which manifest counts. Pebble syncs the directory only once both are in it.
		// It relies on the file system not to keep the marker alone in a power cut.
		dir := f.PathDir(name)
		f.took("sync", dir, disk.SyncDir(f.FS, dir))
	}
	file, err := f.FS.Create(name, c)
	return f.opened("create", name, file, err)
}

func (f *fence) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	if f.fallen() {
		return &fencedFile{fence: f, name: name}, nil
	}
	file, err := f.FS.OpenReadWrite(name, c, o...)
	return f.opened("open", name, file, err)
}

func (f *fence) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if f.fallen() {
		return &fencedFile{fence: f, name: newname}, nil
	}
	file, err := f.FS.ReuseForWrite(oldname, newname, c)
	return f.opened("reuse", newname, file, err)
}

// OpenDir opens a directory, which Pebble does in order to sync it.
func (f *fence) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil && f.err() == errSealed { //nolint:errorlint // it is never wrapped
		return nil, err
	}
	return f.opened("open", name, file, err)
}

// List lists a directory.
func (f *fence) List(dir string) ([]string, error) {
	names, err := f.FS.List(dir)
	if err != nil && f.err() != errSealed { //nolint:errorlint // it is never wrapped
		f.took("list", dir, err)
		return nil, nil
	}
	return names, err
}

func (f *fence) Link(oldname, newname string) error {
	if !f.fallen() {
		f.took("link", newname, f.FS.Link(oldname, newname))
	}
	return nil
}

func (f *fence) Rename(oldname, newname string) error {
	if !f.fallen() {
		f.took("rename", newname, f.FS.Rename(oldname, newname))
	}
	return nil
}

func (f *fence) MkdirAll(dir string, perm fs.FileMode) error {
	if !f.fallen() {
		f.took("make directory", dir, f.FS.MkdirAll(dir, perm))
	}
	return nil
}

func (f *fence) Remove(name string) error {
	if f.fallen() {
		return nil
	}
	return f.FS.Remove(name)
}

func (f *fence) RemoveAll(name string) error {
	if f.fallen() {
		return nil
	}
	return f.FS.RemoveAll(name)
}

func (f *fence) Unwrap() vfs.FS { return f.FS }

// A fencedFile is a file open for writing. There is no file beneath it if it was opened while the
// fence was closed, or if opening it has closed the fence.
type fencedFile struct {
	fence *fence
	name  string
	file  vfs.File
}

var errFenced = errors.New("file was never written: the store has failed")

func (f *fencedFile) Write(p []byte) (int, error) {
	if !f.fence.fallen() {
		_, err := f.file.Write(p)
		f.fence.took("write", f.name, err)
	}
	return len(p), nil
}

func (f *fencedFile) WriteAt(p []byte, off int64) (int, error) {
	if !f.fence.fallen() {
		_, err := f.file.WriteAt(p, off)
		f.fence.took("write", f.name, err)
	}
	return len(p), nil
}

func (f *fencedFile) Sync() error {
	if !f.fence.fallen() {
		f.fence.took("sync", f.name, f.file.Sync())
	}
	return nil
}

func (f *fencedFile) SyncData() error {
	if !f.fence.fallen() {
		f.fence.took("sync", f.name, f.file.SyncData())
	}
	return nil
}

func (f *fencedFile) SyncTo(length int64) (bool, error) {
	if f.fence.fallen() {
		return true, nil
	}
	full, err := f.file.SyncTo(length)
	f.fence.took("sync", f.name, err)
	return full, nil
}

// Preallocate may fail: the write that needs the space fails then.
func (f *fencedFile) Preallocate(offset, length int64) error {
	if !f.fence.fallen() {
		_ = f.file.Preallocate(offset, length)
	}
	return nil
}

func (f *fencedFile) Close() error {
	if f.file != nil {
		f.fence.took("close", f.name, f.file.Close())
	}
	return nil
}

func (f *fencedFile) Read(p []byte) (int, error) {
	if f.file == nil {
		return 0, errFenced
	}
	return f.file.Read(p)
}

func (f *fencedFile) ReadAt(p []byte, off int64) (int, error) {
	if f.file == nil {
		return 0, errFenced
	}
	return f.file.ReadAt(p, off)
}

func (f *fencedFile) Stat() (vfs.FileInfo, error) {
	if f.file == nil {
		return noInfo(f.name), nil // Pebble panics if it cannot learn the size of a log
	}
	info, err := f.file.Stat()
	if err != nil {
		f.fence.took("stat", f.name, err)
		return noInfo(f.name), nil
	}
	return info, nil
}

func (f *fencedFile) Prefetch(offset, length int64) error {
	if f.file == nil {
		return nil
	}
	return f.file.Prefetch(offset, length)
}

func (f *fencedFile) Fd() uintptr {
	if f.file == nil {
		return vfs.InvalidFd
	}
	return f.file.Fd()
}

// noInfo describes a file that does not exist.
type noInfo string

func (n noInfo) Name() string         { return string(n) }
func (noInfo) Size() int64            { return 0 }
func (noInfo) Mode() fs.FileMode      { return 0 }
func (noInfo) ModTime() time.Time     { return time.Time{} }
func (noInfo) IsDir() bool            { return false }
func (noInfo) Sys() any               { return nil }
func (noInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
