package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// memoryDir returns an empty directory for the store of a test that proves nothing about disks. It
// is in memory, where no sync has to be waited for, if the machine has such a file system with
// enough room and with direct I/O (Linux 6.6). Else it is on the disk.
func memoryDir(t *testing.T) string {
	t.Helper()
	const memory, room = "/dev/shm", 128 << 20
	var fs unix.Statfs_t
	if err := unix.Statfs(memory, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC || fs.Bavail*uint64(fs.Bsize) < room {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "dhcp4d-store-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing the store in memory: %v", err)
		}
	})
	direct := filepath.Join(dir, "direct")
	f, err := os.OpenFile(direct, os.O_RDWR|os.O_CREATE|unix.O_DIRECT, 0o600)
	if err != nil {
		return t.TempDir()
	}
	if err := errors.Join(f.Close(), os.Remove(direct)); err != nil {
		t.Fatal(err)
	}
	return dir
}
