package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// lock takes the lock of dir, which the kernel drops when the process ends.
func lock(fsys vfs.FS, dir string) (*pebble.Lock, error) {
	l, err := pebble.LockDirectory(dir, fsys)
	if err == nil {
		return l, nil
	}
	if !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EACCES) {
		return nil, fmt.Errorf("cannot be locked: %w", err)
	}
	who := "another process"
	if pid := holder(filepath.Join(dir, "LOCK")); pid != 0 {
		who = fmt.Sprintf("process %d", pid)
	}
	return nil, fmt.Errorf("is in use by %s; stop it, or give each dhcp4d a store of its own (%w)", who, err)
}

// holder is the process that holds the lock on a file, 0 if none is found.
// It must not be asked about a lock of our own, which closing the file drops.
func holder(name string) int {
	f, err := os.Open(name)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	l := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &l); err != nil || l.Type == syscall.F_UNLCK {
		return 0
	}
	return int(l.Pid)
}
