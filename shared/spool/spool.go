// Package spool keeps records of package outside on disk, in their order, until a program has had
// the time to read them.
//
// A spool is a directory of files. A file has the name of its start: how many octets were ever in
// the spool before it. So a record has a place for good, and a cursor is the number of the spool
// and the place behind the record. The oldest files go when all together are larger than allowed. A
// CRC-32C follows each record: what a power cut has left of one is not taken for it.
//
// Records come to the disk by one goroutine, which writes and syncs all that has gathered, and then
// rests a little. Nothing is read before it is synced: a reader never has a cursor that a power cut
// takes away.
package spool

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

const (
	// CursorLen is the length of a cursor: the spool's number, and a place.
	CursorLen = 16
	numberLen = 8
	// cursorAt is where the value of a cursor stands in a record, whose first field it is.
	cursorAt = outside.HeaderLen + 4

	// fileSize is about how large a file becomes.
	fileSize = 4 << 20
	// maxUnwritten is the most octets that wait for the disk.
	maxUnwritten = 16 << 20
	// rest is the pause between two syncs.
	rest = 20 * time.Millisecond
	// retry is the pause after the disk has failed.
	retry = time.Second

	suffix = ".events"
	sumLen = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Options are what a spool is made from.
type Options struct {
	Dir  string
	Size uint64 // of all files; the one at hand stays in any case
	Log  *slog.Logger
	Lost func(records int) // is told of records that there was no room for
}

// Spool keeps records. Its methods may be called by any goroutine.
type Spool struct {
	o      Options
	number []byte
	last   outside.Event // that Open has found, without its slices
	lock   *os.File

	work  chan struct{}
	close chan struct{}
	done  sync.WaitGroup

	mu        sync.Mutex
	files     []uint64 // where they start
	end       uint64   // of what is synced
	next      uint64   // end of what is added
	unwritten []byte
	notify    map[int]func()
	notified  int

	// Of the goroutine that writes.
	file    *os.File
	start   uint64
	writing []byte
}

// Open opens the spool of a directory, and makes it if it is not there.
func Open(o Options) (*Spool, error) {
	s := &Spool{o: o, work: make(chan struct{}, 1), close: make(chan struct{})}
	if err := s.open(); err != nil {
		if s.lock != nil {
			_ = s.lock.Close()
		}
		return nil, fmt.Errorf("opening the spool of events %s: %w", o.Dir, err)
	}
	s.done.Go(s.run)
	return s, nil
}

func (s *Spool) open() (err error) {
	if err = os.MkdirAll(s.o.Dir, 0o750); err != nil {
		return err
	}
	if s.lock, err = os.OpenFile(filepath.Join(s.o.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o640); err != nil {
		return err
	}
	if err = unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("another process has it: %w", err)
	}
	if err = s.readNumber(); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.o.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if start, err := strconv.ParseUint(name, 16, 64); ok && err == nil {
			s.files = append(s.files, start)
		}
	}
	slices.Sort(s.files)
	if len(s.files) == 0 {
		return s.create(0)
	}
	return s.recover()
}

// readNumber reads the number of the spool, or gives it one.
func (s *Spool) readNumber() error {
	path := filepath.Join(s.o.Dir, "number")
	number, err := os.ReadFile(path)
	if err == nil && len(number) == numberLen {
		s.number = number
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.number = make([]byte, numberLen)
	_, _ = rand.Read(s.number)
	return writeSynced(path, s.number)
}

// writeSynced writes a file that is there as a whole or not at all.
func writeSynced(path string, octets []byte) error {
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(octets)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// recover finds the end of the last file: behind its last record that is whole.
func (s *Spool) recover() error {
	s.start = s.files[len(s.files)-1]
	octets, err := os.ReadFile(s.path(s.start))
	if err != nil {
		return err
	}
	n := 0
	for {
		record, whole, wrong := outside.Next(octets[n:], outside.MaxFromDaemon)
		if wrong != outside.None || !whole {
			break
		}
		r, wrong := outside.Parse(record)
		rest := octets[n+len(record):]
		if wrong != outside.None || len(rest) < sumLen || binary.BigEndian.Uint32(rest) != crc32.Checksum(record, castagnoli) {
			break
		}
		s.last = outside.Event{Time: r.Event().Time}
		n += len(record) + sumLen
	}
	if s.file, err = os.OpenFile(s.path(s.start), os.O_RDWR, 0o640); err != nil {
		return err
	}
	if err := s.file.Truncate(int64(n)); err != nil {
		return err
	}
	if _, err := s.file.Seek(int64(n), 0); err != nil {
		return err
	}
	s.end = s.start + uint64(n)
	s.next = s.end
	return s.file.Sync()
}

func (s *Spool) path(start uint64) string {
	return filepath.Join(s.o.Dir, fmt.Sprintf("%016x%s", start, suffix))
}

// create begins a file.
func (s *Spool) create(start uint64) error {
	f, err := os.OpenFile(s.path(start), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
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

// Last returns the time of the last event that Open has found, in milliseconds of Unix time; 0 if
// there was none.
func (s *Spool) Last() uint64 { return s.last.Time }

// Notify has fn called when there is more to read, until stop is called.
func (s *Spool) Notify(fn func()) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.notify == nil {
		s.notify = map[int]func(){}
	}
	n := s.notified
	s.notify[n] = fn
	s.notified++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.notify, n)
	}
}

func (s *Spool) cursor(end uint64) []byte {
	return binary.BigEndian.AppendUint64(slices.Clip(slices.Clone(s.number)), end)
}

// Add adds an event. It sets its cursor, and does not wait for the disk.
func (s *Spool) Add(e *outside.Event) {
	var blank [CursorLen]byte
	e.Cursor = blank[:]
	s.mu.Lock()
	if len(s.unwritten) > maxUnwritten {
		s.mu.Unlock()
		s.o.Lost(1)
		return
	}
	start := len(s.unwritten)
	s.unwritten = e.Append(s.unwritten)
	record := s.unwritten[start:]
	s.next += uint64(len(record) + sumLen)
	copy(record[cursorAt:], s.number)
	binary.BigEndian.PutUint64(record[cursorAt+numberLen:], s.next)
	s.unwritten = binary.BigEndian.AppendUint32(s.unwritten, crc32.Checksum(record, castagnoli))
	s.mu.Unlock()
	select {
	case s.work <- struct{}{}:
	default:
	}
}

// Place returns the place of a cursor. It is not known if the cursor is of another spool, or of
// events that are no longer kept.
func (s *Spool) Place(cursor []byte) (at uint64, known bool) {
	oldest, end := s.Bounds()
	if len(cursor) != CursorLen || !bytes.Equal(cursor[:numberLen], s.number) {
		return oldest, false
	}
	at = binary.BigEndian.Uint64(cursor[numberLen:])
	if at < oldest || at > end {
		return oldest, false
	}
	return at, true
}

// IsOurs returns the place of a cursor that this spool has given out, kept or not.
func (s *Spool) IsOurs(cursor []byte) (at uint64, ours bool) {
	if len(cursor) != CursorLen || !bytes.Equal(cursor[:numberLen], s.number) {
		return 0, false
	}
	return binary.BigEndian.Uint64(cursor[numberLen:]), true
}

// Bounds returns the places of the oldest record and behind the newest one.
func (s *Spool) Bounds() (oldest, end uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[0], s.end
}

// Read reads whole records from a place, at most len(b) octets of them, and returns the place
// behind them. It goes on with the oldest if what was there is no longer kept.
func (s *Spool) Read(b []byte, at uint64) (n int, next uint64, err error) {
	s.mu.Lock()
	files, end := slices.Clone(s.files), s.end
	s.mu.Unlock()
	at = max(at, files[0])
	if at >= end {
		return 0, at, nil
	}
	i, found := slices.BinarySearch(files, at)
	if !found {
		i--
	}
	f, err := os.Open(s.path(files[i]))
	if err != nil {
		return 0, at, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	b = b[:min(uint64(len(b)), end-at)]
	got, err := f.ReadAt(b, int64(at-files[i]))
	whole := 0
	for {
		record, is, wrong := outside.Next(b[whole:got], outside.MaxFromDaemon)
		if wrong != outside.None || !is || whole+len(record)+sumLen > got {
			break
		}
		n += copy(b[n:], record)
		whole += len(record) + sumLen
	}
	if n > 0 {
		return n, at + uint64(whole), nil
	}
	return 0, at, fmt.Errorf("there is no event at %d of %s: %w", at-files[i], s.path(files[i]), err)
}

// Close writes what there is, and ends.
func (s *Spool) Close() {
	close(s.close)
	s.done.Wait()
	_ = s.file.Close()
	_ = s.lock.Close()
}

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
				s.o.Log.Error("events cannot be kept for the program outside, trying on", "error", err)
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
