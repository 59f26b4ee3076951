// Package spool keeps records of package outside on disk, in their order, until a program has had
// the time to read them.
//
// A spool is a directory of files. A file has the name of its start: how many octets were ever in
// the spool before it. So a record has a place for good. The oldest files go when all together are
// larger than allowed. A stamp of the spool's user and a CRC-32C follow each record. So a record
// that a power cut has left incomplete is not read.
//
// A cursor is the number of the process that has written the record, drawn at its start, and the
// place behind the record. The record itself holds its cursor. So a cursor is found again only if
// that very record is still there, and not if a file was cut and another record has its place.
//
// One goroutine brings records to the disk. It writes and syncs all that have gathered, and then
// rests a little. Nothing is read before it is synced: a reader never has a cursor that a power cut
// takes away.
//
// What is damaged, cut or removed is skipped, and the log says so. All other records are read.
package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
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

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

const (
	// CursorLen is the length of a cursor: the number of a process, and a place.
	CursorLen = 16
	numberLen = 8
	// cursorAt is where the value of a cursor stands in a record, whose first field it is.
	cursorAt = outside.HeaderLen + 4

	// fileSize is about how large a file becomes.
	fileSize = 4 << 20
	// maxUnwritten is the most octets that wait for the disk.
	maxUnwritten = 16 << 20
	// maxFile is more than a file can have: one write goes into one file.
	maxFile = fileSize + maxUnwritten + outside.MaxFromDaemon + 1<<10
	// rest is the pause between two syncs.
	rest = 20 * time.Millisecond
	// retry is the pause after the disk has failed.
	retry = time.Second

	suffix     = ".events"
	trailerLen = 12 // behind a record: stamp and CRC
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
	number []byte // of this process
	last   Last
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

// Cursor is the number of a process and the place behind a record.
type Cursor [CursorLen]byte

// Place returns the place behind the record.
func (c Cursor) Place() uint64 { return binary.BigEndian.Uint64(c[numberLen:]) }

// CursorOf returns the cursor of a record that Read has returned.
func CursorOf(record []byte) Cursor { return Cursor(record[cursorAt:][:CursorLen]) }

// Last is about a record.
type Last struct {
	Time  uint64 // of its event, in milliseconds of Unix time; 0: there is no record
	Stamp int64
}

// Open opens the spool of a directory, and makes it if it is not there.
func Open(o Options) (*Spool, error) {
	s := &Spool{o: o, work: make(chan struct{}, 1), close: make(chan struct{})}
	if err := s.open(); err != nil {
		if s.lock != nil {
			release(s.lock)
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
	if err = s.hold(); err != nil {
		return err
	}
	s.number = make([]byte, numberLen)
	_, _ = rand.Read(s.number) // never fails
	entries, err := os.ReadDir(s.o.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		start, err := strconv.ParseUint(strings.TrimSuffix(e.Name(), suffix), 16, 62)
		if err == nil && filepath.Base(s.path(start)) == e.Name() {
			s.files = append(s.files, start)
		}
	}
	slices.Sort(s.files)
	if len(s.files) == 0 {
		return s.create(0)
	}
	return s.recover()
}

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

// recover finds the end of the last file: behind its last record.
func (s *Spool) recover() (err error) {
	s.start = s.files[len(s.files)-1]
	if s.file, err = openFile(s.path(s.start), os.O_RDWR); err != nil {
		return err
	}
	octets, err := io.ReadAll(io.LimitReader(s.file, maxFile))
	if err != nil {
		return err
	}
	end := 0
	for at := range records(octets, s.start) {
		if at.from > end {
			s.warn(s.path(s.start), end, at.from-end)
		}
		r, _ := outside.Parse(at.record)
		s.last = Last{Time: r.Event().Time, Stamp: at.stamp}
		end = at.to
	}
	if end < len(octets) {
		s.o.Log.Warn("the end of a file of events is incomplete or damaged, and is cut off",
			"file", s.path(s.start), "at", end, "octets", len(octets)-end)
	}
	if err := s.file.Truncate(int64(end)); err != nil {
		return err
	}
	s.end = s.start + uint64(end)
	s.next = s.end
	return s.file.Sync()
}

// warn says what cannot be read.
func (s *Spool) warn(file string, at, octets int) {
	s.o.Log.Warn("events are damaged or gone; the program outside gets all others",
		"file", file, "at", at, "octets", octets)
}

// kept is a record of a file, from and to so many octets.
type kept struct {
	record   []byte
	stamp    int64
	from, to int
}

// records returns the records of the file that begins at a place. It passes over what is none.
func records(octets []byte, start uint64) iter.Seq[kept] {
	return func(yield func(kept) bool) {
		for n := 0; len(octets)-n >= cursorAt+CursorLen; {
			budget.Spend(1)
			k, ok := recordAt(octets, n, start)
			if !ok {
				n++
				continue
			}
			if !yield(k) {
				return
			}
			n = k.to
		}
	}
}

// recordAt returns the record that begins n octets behind the start of a file. The place that it
// holds is compared first: the CRC of each length that could be one would cost too much.
func recordAt(octets []byte, n int, start uint64) (kept, bool) {
	record, whole, wrong := outside.Next(octets[n:], outside.MaxFromDaemon)
	to := n + len(record) + trailerLen
	if wrong != outside.None || !whole || len(record) < cursorAt+CursorLen || len(octets) < to ||
		binary.BigEndian.Uint64(record[cursorAt+numberLen:]) != start+uint64(to) {
		return kept{}, false
	}
	budget.Spend(len(record))
	if binary.BigEndian.Uint32(octets[to-4:]) != crc32.Checksum(octets[n:to-4], castagnoli) {
		return kept{}, false
	}
	if _, wrong := outside.Parse(record); wrong != outside.None {
		return kept{}, false
	}
	return kept{record, int64(binary.BigEndian.Uint64(octets[to-trailerLen:])), n, to}, true
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

// Last returns the last record that Open has found.
func (s *Spool) Last() Last { return s.last }

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

// Add adds an event, with a cursor in place of its own, and a stamp, which Last returns after a
// start. It does not wait for the disk.
func (s *Spool) Add(e *outside.Event, stamp int64) {
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
	s.next += uint64(len(record) + trailerLen)
	copy(record[cursorAt:], s.number)
	binary.BigEndian.PutUint64(record[cursorAt+numberLen:], s.next)
	s.unwritten = binary.BigEndian.AppendUint64(s.unwritten, uint64(stamp))
	s.unwritten = binary.BigEndian.AppendUint32(s.unwritten, crc32.Checksum(s.unwritten[start:], castagnoli))
	s.mu.Unlock()
	select {
	case s.work <- struct{}{}:
	default:
	}
}

// Place returns the place of a cursor. It is not known if its record is not kept: the cursor is of
// another spool, or its record is too old, damaged or removed. Then Place returns the oldest one.
func (s *Spool) Place(cursor []byte) (at uint64, known bool) {
	s.mu.Lock()
	files, end := slices.Clone(s.files), s.end
	s.mu.Unlock()
	if len(cursor) != CursorLen {
		return files[0], false
	}
	at = Cursor(cursor).Place()
	if at <= files[0] || at > end {
		return files[0], at == files[0] // nothing before that is kept, whoever has written it
	}
	i, _ := slices.BinarySearch(files, at) // its record is in the file before
	octets, err := s.load(files[i-1], 0, at-files[i-1])
	if err != nil {
		return files[0], false
	}
	for k := range records(octets, files[i-1]) {
		if CursorOf(k.record) == Cursor(cursor) {
			return at, true
		}
	}
	return files[0], false
}

// load reads a part of a file. It returns less if the file ends before, and nothing if it is gone.
func (s *Spool) load(start, from, to uint64) ([]byte, error) {
	f, err := openFile(s.path(start), os.O_RDONLY)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errNoFile):
		return nil, nil
	case err != nil:
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	return io.ReadAll(io.NewSectionReader(f, int64(from), int64(min(to-from, maxFile))))
}

// Bounds returns the places of the oldest record and behind the newest one.
func (s *Spool) Bounds() (oldest, end uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[0], s.end
}

// Read reads whole records from a place, at most len(b) octets of them, and returns the place
// behind them. It goes on with the oldest if what was there is no longer kept, and passes over what
// is damaged or gone. After an error the same call may succeed later.
func (s *Spool) Read(b []byte, at uint64) (n int, next uint64, err error) {
	s.mu.Lock()
	files, end := slices.Clone(s.files), s.end
	s.mu.Unlock()
	at = max(at, files[0])
	for at < end {
		i, found := slices.BinarySearch(files, at)
		if !found {
			i--
		}
		start, limit := files[i], end
		if i+1 < len(files) {
			limit = files[i+1]
		}
		octets, err := s.load(start, at-start, min(limit, at+uint64(len(b)))-start)
		if err != nil {
			return 0, at, err
		}
		to := 0
		for k, ok := recordAt(octets, 0, at); ok; k, ok = recordAt(octets, to, at) {
			n += copy(b[n:], k.record)
			to = k.to
		}
		if n > 0 {
			return n, at + uint64(to), nil
		}
		if at, err = s.pass(start, at, limit); err != nil {
			return 0, at, err
		}
	}
	return 0, at, nil
}

// pass returns where the next record of a file is after what cannot be read, or else where the file
// ends.
func (s *Spool) pass(start, at, limit uint64) (uint64, error) {
	octets, err := s.load(start, at-start, limit-start)
	if err != nil {
		return at, err
	}
	next := limit
	for k := range records(octets, at) {
		next = at + uint64(k.from)
		break
	}
	s.warn(s.path(start), int(at-start), int(next-at))
	return next, nil
}

// Close writes what there is, and ends.
func (s *Spool) Close() {
	close(s.close)
	s.done.Wait()
	_ = s.file.Close()
	release(s.lock)
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
