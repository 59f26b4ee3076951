package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// A blockFile is written in whole blocks, each write durable when it returns.
type blockFile struct {
	direct *direct  // where the kernel can write past its cache
	file   vfs.File // elsewhere
	noSync bool
}

// openBlockFile opens a file that is there.
func openBlockFile(o Options, path string) (*blockFile, error) {
	if a, ok := o.FS.(*anchored); ok && !o.noSync {
		switch d, err := a.openDirect(path); {
		case err == nil:
			return &blockFile{direct: d}, nil
		case !errors.Is(err, unix.EINVAL):
			return nil, err
		}
	}
	f, err := o.FS.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	return &blockFile{file: f, noSync: o.noSync}, nil
}

func (f *blockFile) write(b []byte, at int64) error {
	if f.direct != nil {
		return f.direct.write(b, at)
	}
	if _, err := f.file.WriteAt(b, at); err != nil || f.noSync {
		return err
	}
	return f.file.SyncData()
}

func (f *blockFile) close() error {
	if f.direct != nil {
		return f.direct.close()
	}
	return f.file.Close()
}

// newBlockBuffer is memory as writes that bypass the page cache want it: whole pages, which the
// garbage collector does not know.
func newBlockBuffer(size int) []byte {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("store: no memory for a batch: %v", err))
	}
	return b
}

func freeBlockBuffer(b []byte) {
	if b != nil {
		_ = unix.Munmap(b[:cap(b)])
	}
}

// A direct is a file that is written past the page cache, each write durable when it returns: one
// system call.
//
// While the disk is quick the call is made without telling the scheduler. If the scheduler knew of
// it, its monitor would look every 20 µs whether to take the processor away from the call, take it,
// wake a thread for it and put that to sleep again; with 16 exchanges in flight that cost more CPU
// than the writing. The price is that a garbage collection may wait for a write. So after a write
// that took long the scheduler is told of the next, and one slow write at most holds a processor.
type direct struct {
	file *os.File
	fd   int
	slow bool // the last write took long
}

// patience is the longest that a write may take which the scheduler does not know of.
const patience = 5 * time.Millisecond

// openDirect fails with EINVAL where the file system cannot do it.
func (a *anchored) openDirect(path string) (*direct, error) {
	f, err := a.openFile(path, os.O_RDWR|unix.O_DIRECT|unix.O_DSYNC, 0)
	if err != nil {
		return nil, err
	}
	return &direct{file: f, fd: int(f.Fd()), slow: true}, nil
}

// write takes whole blocks outside of the Go heap.
func (d *direct) write(b []byte, at int64) error {
	for len(b) > 0 {
		began := time.Now()
		n, err := d.pwrite(b, at)
		d.slow = time.Since(began) > patience
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("write: %w", err)
		case n == 0:
			return io.ErrShortWrite
		default:
			b, at = b[n:], at+int64(n)
		}
	}
	return nil
}

func (d *direct) pwrite(b []byte, at int64) (int, error) {
	if d.slow {
		return unix.Pwrite(d.fd, b, at)
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_PWRITE64, uintptr(d.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), uintptr(at), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (d *direct) close() error { return d.file.Close() }
