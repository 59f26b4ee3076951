package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A direct is a file that is written past the page cache, each write durable
// when it returns: one system call.
//
// While the disk is quick the call is made without telling the scheduler. Told,
// it has its monitor look every 20 µs whether to take the processor away from
// the call, takes it, wakes a thread for it and puts it to sleep again; with 16
// exchanges in flight that cost more CPU than the writing. The price is that a
// garbage collection may wait for a write. So a disk that took long is told of
// the next time, and a processor is held by one slow write at most.
type direct struct {
	fd   int
	slow bool // the last write took long
}

// patience is what a write that the scheduler does not know of may take.
const patience = 5 * time.Millisecond

// openDirect fails where the file system cannot do it; there the writes go the
// ordinary way.
func openDirect(path string) (*direct, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_DIRECT|unix.O_DSYNC|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &direct{fd: fd, slow: true}, nil
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

func (d *direct) close() error { return unix.Close(d.fd) }

// directZeros makes a file of zeros past the page cache, synced. It fails with
// EINVAL where the file system cannot do that.
func directZeros(path string, size int) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC|unix.O_DIRECT|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd) //nolint:errcheck // it is synced, or has failed
	// Memory that is never written to is one page of zeros, however much of it.
	b, err := unix.Mmap(-1, 0, min(size, batchSize), unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	defer unix.Munmap(b) //nolint:errcheck // it is ours
	for at := 0; at < size; {
		n, err := unix.Pwrite(fd, b[:min(len(b), size-at)], int64(at))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return &os.PathError{Op: "write", Path: path, Err: err}
		case n == 0:
			return io.ErrShortWrite
		default:
			at += n
		}
	}
	if err := unix.Fsync(fd); err != nil {
		return &os.PathError{Op: "fsync", Path: path, Err: err}
	}
	return nil
}
