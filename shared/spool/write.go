package spool

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"
)

// run writes and syncs.
func (s *Spool) run() {
	said := ""
	for last := false; !last; {
		select {
		case <-s.work:
		case <-s.close:
			last = true
		}
		for err := s.write(); err != nil; err = s.write() {
			if err.Error() != said {
				said = err.Error()
				s.o.Log.Error("events cannot be kept for the program outside, trying again", "error", err)
			}
			select {
			case <-s.close:
				return
			case <-time.After(retry):
			}
		}
		if !last {
			time.Sleep(rest)
		}
	}
}

// look makes another file if the one at hand is no longer at its path: a reader and the next start
// would not find what is written.
func (s *Spool) look() error {
	ours, err := s.file.Stat()
	if err != nil {
		return err
	}
	theirs, err := os.Lstat(s.path(s.start))
	switch {
	case err == nil && os.SameFile(ours, theirs) && uint64(ours.Size()) >= s.end-s.start:
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := s.hold(); err != nil { // the directory may be another one
		return err
	}
	s.o.Log.Error("a file of events was removed, replaced or cut while it was written; another one is begun",
		"file", s.path(s.start))
	return s.create(s.end)
}

// write writes what has gathered.
func (s *Spool) write() error {
	if len(s.writing) == 0 {
		s.mu.Lock()
		s.writing, s.unwritten = s.unwritten, s.writing
		s.mu.Unlock()
		if len(s.writing) == 0 {
			return nil
		}
	}
	if err := s.look(); err != nil {
		return err
	}
	if s.end-s.start >= fileSize {
		if err := s.create(s.end); err != nil {
			return err
		}
	}
	// After a failure the same octets are written again.
	if _, err := s.file.WriteAt(s.writing, int64(s.end-s.start)); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	s.mu.Lock()
	s.end += uint64(len(s.writing))
	var gone []uint64
	for len(s.files) > 1 && s.end-s.files[0] > s.o.Size {
		gone = append(gone, s.files[0])
		s.files = s.files[1:]
	}
	notify := slices.Collect(maps.Values(s.notify))
	s.mu.Unlock()
	s.writing = s.writing[:0]
	for _, start := range gone {
		_ = os.Remove(s.path(start))
	}
	for _, fn := range notify {
		fn()
	}
	return nil
}
