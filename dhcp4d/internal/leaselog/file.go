package leaselog

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// File is the file that a log is appended to. One goroutine at a time uses it, except where a
// method says otherwise.
type File struct {
	*os.File
	path string
	day  int64 // of its newest line, since 1970 in UTC
	// Torn is set if the file ends within a line, as after a crash.
	Torn bool
}

// Open opens the file of a log, to be appended to. It does not wait for a reader of a named pipe.
func Open(path string) (*File, error) {
	const flags = os.O_APPEND | os.O_CREATE | unix.O_NONBLOCK
	out, err := os.OpenFile(path, os.O_WRONLY|flags, 0o640)
	if errors.Is(err, unix.ENXIO) { // a pipe without a reader
		out, err = os.OpenFile(path, os.O_RDWR|flags, 0o640)
	}
	if err != nil {
		return nil, err
	}
	f := &File{File: out, path: path, day: dayOf(time.Now()), Torn: endsTorn(path)}
	if info, err := out.Stat(); err == nil && info.Size() > 0 {
		f.day = dayOf(info.ModTime())
	}
	return f, nil
}

func dayOf(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

// endsTorn reports whether a file ends within a line.
func endsTorn(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // nothing was written to it
	var last [1]byte
	_, err = f.ReadAt(last[:], info.Size()-1)
	return err == nil && last[0] != '\n'
}

// MovedAway reports whether the path leads to another file than this one, or to none. Any goroutine
// may call it.
func (f *File) MovedAway() bool {
	ours, err := f.Stat()
	if err != nil {
		return true
	}
	theirs, err := os.Stat(f.path)
	return err != nil || !os.SameFile(ours, theirs)
}

// Due reports whether the file is to be rotated before so many octets are written at a time. Only
// regular files that have lines are rotated.
func (f *File) Due(r Rotation, octets int, now time.Time) bool {
	if !r.On() {
		return false
	}
	info, err := f.Stat()
	today := dayOf(now)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		f.day = today
		return false
	}
	return (r.Daily && f.day != today) || (r.Size > 0 && uint64(info.Size())+uint64(octets) > r.Size)
}

// Rotate gives the file a name of its time and returns the new file at its path. After an error f
// is still the file to write to, if at all possible at its path.
func (f *File) Rotate(now time.Time) (*File, error) {
	if f.MovedAway() { // by another program, which has given it a name
		return Open(f.path)
	}
	name := freeName(f.path, now)
	if err := os.Rename(f.path, name); err != nil {
		return nil, err
	}
	next, err := Open(f.path)
	if err != nil {
		err = fmt.Errorf("opening a new file: %w", err)
		if !exists(f.path) {
			err = errors.Join(err, os.Rename(name, f.path))
		}
		return nil, err
	}
	return next, nil
}

// WriteLines writes lines, on a line of their own if the file ends within one. It returns how many
// octets of them the file has taken. A line that the disk has no room for leaves nothing in the
// file.
func (f *File) WriteLines(lines []byte, now time.Time) (n int, err error) {
	if f.Torn {
		if _, err := f.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
		f.Torn = false
	}
	n, err = f.Write(lines)
	if n > 0 {
		f.day = dayOf(now)
	}
	return f.cut(lines, n), err
}

// cut removes the begun line from the end of the file, if n octets of lines have been written. It
// returns how many of them stay.
func (f *File) cut(lines []byte, n int) int {
	whole := n
	for whole > 0 && lines[whole-1] != '\n' {
		whole--
	}
	if whole == n {
		return n
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		err = f.Truncate(info.Size() - int64(n-whole))
	}
	if err == nil && info.Mode().IsRegular() {
		return whole
	}
	f.Torn = true
	return n
}
