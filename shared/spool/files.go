package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// errNoFile means that something else is in the place of a file. A named pipe would hold up who
// opens it until somebody opens the other end.
var errNoFile = errors.New("is no regular file; move it away")

// openFile opens a regular file.
func openFile(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|unix.O_NONBLOCK, 0o640)
	if errors.Is(err, unix.ENXIO) { // a socket
		return nil, fmt.Errorf("%s %w", path, errNoFile)
	} else if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s %w", path, errNoFile)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (s *Spool) path(start uint64) string {
	return filepath.Join(s.o.Dir, fmt.Sprintf("%016x%s", start, suffix))
}

// create begins a file.
func (s *Spool) create(start uint64) error {
	f, err := openFile(s.path(start), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		err = fmt.Errorf("%s holds something already; move it away", s.path(start))
	}
	if err = errors.Join(err, syncDir(s.o.Dir)); err != nil {
		return errors.Join(err, f.Close())
	}
	if s.file != nil {
		_ = s.file.Close()
	}
	s.file, s.start = f, start
	s.mu.Lock()
	if !slices.Contains(s.files, start) {
		s.files = append(s.files, start)
	}
	s.mu.Unlock()
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
