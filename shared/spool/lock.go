package spool

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// hold takes the directory for this process, if it does not have it.
func (s *Spool) hold() error {
	lock, err := openFile(filepath.Join(s.o.Dir, "lock"), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	if s.lock != nil && sameFile(s.lock, lock) {
		return lock.Close()
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		return fmt.Errorf("another process has it: %w", err)
	}
	if s.lock != nil {
		release(s.lock)
	}
	s.lock = lock
	return nil
}

// release gives a lock up. To close the file is not enough: a program that is being started has a
// copy of the file, and so the lock, until it executes.
func release(lock *os.File) {
	_ = unix.Flock(int(lock.Fd()), unix.LOCK_UN)
	_ = lock.Close()
}

func sameFile(a, b *os.File) bool {
	one, errA := a.Stat()
	other, errB := b.Stat()
	return errA == nil && errB == nil && os.SameFile(one, other)
}
