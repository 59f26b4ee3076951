package disk

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

// BlockSize is the unit of a write, in octets: no disk has larger sectors.
const BlockSize = 4096

// A BlockFile is written in whole blocks. A write is durable when it returns.
type BlockFile struct {
	direct *direct  // where the kernel can write past its cache
	file   vfs.File // elsewhere
}

// OpenBlockFile opens a file that exists.
func OpenBlockFile(fsys vfs.FS, path string) (*BlockFile, error) {
	if a, ok := fsys.(*anchored); ok {
		switch d, err := a.openDirect(path); {
		case err == nil:
			return &BlockFile{direct: d}, nil
		case !errors.Is(err, unix.EINVAL):
			return nil, err
		}
	}
	f, err := fsys.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	return &BlockFile{file: f}, nil
}

// Write writes whole blocks of a block buffer at an offset. They are durable when it returns.
func (f *BlockFile) Write(b []byte, at int64) error {
	if f.direct != nil {
		return f.direct.write(b, at)
	}
	if _, err := f.file.WriteAt(b, at); err != nil {
		return err
	}
	return f.file.SyncData()
}

// Close closes the file.
func (f *BlockFile) Close() error {
	if f.direct != nil {
		return f.direct.close()
	}
	return f.file.Close()
}

// NewBlockBuffer returns memory for writes that bypass the page cache: whole pages outside of the
// Go heap.
func NewBlockBuffer(size int) []byte {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("store: no memory for a batch: %v", err))
	}
	return b
}

// FreeBlockBuffer gives such memory back.
func FreeBlockBuffer(b []byte) {
	if b != nil {
		_ = unix.Munmap(b[:cap(b)])
	}
}

// A direct is a file that is written past the page cache. A write is one system call, and durable
// when it returns.
//
// While the disk is quick, the Go scheduler does not know about the call. If it knew, its monitor
// would take the processor away after 20 µs, wake another thread for it, and put that thread to
// sleep again. With 16 exchanges in flight this cost more CPU than the writing. The price is that a
// garbage collection may have to wait for a write. So the scheduler knows about the write that
// follows a slow one, and at most one slow write holds a processor.
type direct struct {
	file *os.File
	fd   int
	slow bool // the last write took long
}

// patience is how long a write may take before the scheduler is told about the next one.
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
	n, _, errno := unix.RawSyscall6(unix.SYS_PWRITE64, uintptr(d.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)), uintptr(at), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (d *direct) close() error { return d.file.Close() }

// Zeros makes a file of zeros, all of whose blocks are allocated, and syncs it.
func Zeros(fsys vfs.FS, path string, size int) error {
	if a, ok := fsys.(*anchored); ok {
		// The zeros bypass the page cache too: with it they would cost more than all batches of the
		// segment.
		if err := a.directZeros(path, size); !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	f, err := fsys.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, size))
	return errors.Join(err, f.Sync(), f.Close())
}

// zeroed is how many octets one write of zeros has.
const zeroed = 256 << 10

// directZeros makes a file of zeros past the page cache and syncs it. The error is EINVAL if the
// file system cannot do that.
func (a *anchored) directZeros(path string, size int) error {
	f, err := a.openFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_DIRECT, storeMode)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it is synced, or has failed
	// Memory that nobody writes to takes one page of zeros, however large it is.
	b, err := unix.Mmap(-1, 0, min(size, zeroed), unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
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
