// Package spool keeps records of package outside on disk, in their order, until a program has had
// the time to read them.
//
// A spool is a directory of files. A file has the name of its start: how many octets were ever in
// the spool before it. So a record has one position for good. The oldest files go when all together
// are larger than allowed. A stamp of the spool's user and a CRC-32C follow each record. So a
// record that a power cut has left incomplete is not read.
//
// A cursor is the number of the process that has written the record, drawn at its start, and the
// position behind the record. The record itself holds its cursor. So a cursor is found again only
// if that very record is still there, and not if a file was cut and another record has its
// position.
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
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

const (
	// CursorLen is the length of a cursor: the number of a process, and a position.
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

// Cursor is the number of a process and the position behind a record.
type Cursor [CursorLen]byte

// Position returns the position behind the record.
func (c Cursor) Position() uint64 { return binary.BigEndian.Uint64(c[numberLen:]) }

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

// Close writes what there is, and ends.
func (s *Spool) Close() {
	close(s.close)
	s.done.Wait()
	_ = s.file.Close()
	release(s.lock)
}
