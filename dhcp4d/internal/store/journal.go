package store

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// journal is the store as a log of batches in segments, see the package
// comment for the bytes.
//
// A commit is one write of whole blocks behind the last batch, durable when it
// returns. An index in memory says where the latest record of every binding
// is. The oldest segments are emptied by and by: with each commit some records
// of the oldest one are looked at, and those that the index still points to
// are written again with that commit's. When a segment holds nothing that
// counts it becomes the next one to be written, without being cleared: what is
// left of its old batches has old numbers.
//
// An open journal never continues the segment that it found last. Its last
// batch may be there without being durable, so its records are written again
// as the first batch of a new segment, one that does not count on the other.
type journal struct {
	dir  string
	o    Options
	size int // of a segment
	lock *pebble.Lock

	loaded bool
	broken error // why the store has failed

	segments []*segment // that count, oldest first; the last is written to
	unused   []string   // files that can be written over
	surplus  []string   // files that can go
	last     uint64     // number of the last batch
	clock    lease.Time
	index    index

	out    *blockFile // the last segment's
	batch  []byte     // the one that is made
	next   *ahead     // the segment after the last
	oldest *ahead     // the content of the first, when it is being emptied
	spare  []byte     // for that
	cursor cursor     // how far it has been
	nth    int        // the record there

	allowed int    // segments before the oldest is emptied
	number  uint32 // of the newest file
	records atomic.Uint64
	emptied atomic.Uint64
	bytes   atomic.Uint64
	memory  atomic.Uint64
}

// A segment is a file of the journal.
type segment struct {
	name        string
	number      uint32
	after       uint64 // the batch that must be there before the first
	first, last uint64 // batches; first 0 is none
	end         int    // of the last batch
	records     int    // in all batches
	octets      int    // of the records
	live        int    // records to which the index points
}

const (
	segmentSize = 4 << 20
	smallSize   = 16 * blockSize
	// leastSegments is how many may be in use whatever they hold.
	leastSegments = 4
	// keepUnused is how many files wait to be written over.
	keepUnused = 2
	// emptying is how many octets of the oldest segment are looked at for
	// each octet written, when there are too many segments.
	emptying = 4
)

var errClosed = errors.New("it is not open for writing")

func openJournal(dir string, o Options) (_ Store, err error) {
	if o.fs == nil {
		o.fs = vfs.Default
	}
	if o.wrap != nil {
		o.fs = o.wrap(o.fs)
	}
	j := &journal{dir: dir, o: o, size: segmentSize}
	if o.small {
		j.size = smallSize
	}
	j.batch = newBatchBuffer(j.size)
	defer func() {
		if err != nil {
			err = fmt.Errorf("lease store %s %w", dir, err)
			j.release()
		}
	}()
	labelled, err := inspectJournal(o.fs, dir)
	if err != nil {
		return nil, err
	}
	if !labelled {
		if err := writeLabel(o.fs, dir, journalPrefix); err != nil {
			return nil, fmt.Errorf("cannot be made: %w", err)
		}
	}
	if j.lock, err = lock(o.fs, dir); err != nil {
		return nil, err
	}
	names, err := segmentNames(o.fs, dir)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if len(names) == 0 {
		j.loaded = true // nothing to look at first
		if err := j.begin(); err != nil {
			return nil, fmt.Errorf("cannot be made: %w", err)
		}
	}
	return j, nil
}

func (j *journal) Load(fn func(*lease.Binding) error) (Loaded, error) {
	began := time.Now()
	var l Loaded
	var err error
	if j.loaded && j.out != nil {
		err = j.settle() // what is read is what counts now
	} else {
		err = j.scan()
	}
	if err == nil {
		l.Newest = j.clock
		err = j.each(func(b *lease.Binding) error {
			l.count(b)
			return fn(b)
		})
	}
	if err != nil {
		return l, err
	}
	if j.out == nil {
		if err := j.begin(); err != nil {
			return l, fmt.Errorf("lease store %s cannot be written: %w", j.dir, err)
		}
		j.loaded = true
	}
	l.Took = time.Since(began)
	return l, nil
}

// begin opens for writing: a new segment, which begins with the last batch.
func (j *journal) begin() error {
	var again []byte
	if n := len(j.segments); n > 0 {
		var err error
		if again, err = lastBatch(j.o.fs, j.dir, j.segments[n-1]); err != nil {
			return err
		}
	}
	j.prepare()
	if err := j.advance(); err != nil {
		return err
	}
	j.next.result() // so that a start that goes well has room for a while
	if again == nil {
		return nil
	}
	s := j.current()
	h := parseBatch(again)
	j.last++
	again = seal(again[:headerLen+h.octets], batchHeader{number: j.last, after: h.after, head: h.head, clock: h.clock})
	if err := j.out.write(again, 0); err != nil {
		return err
	}
	s.after, s.first, s.last, s.end = h.after, j.last, j.last, len(again)
	for c := (cursor{content: again}); ; {
		record := c.next()
		if record == nil {
			return nil
		}
		j.account(record, s)
	}
}

func (j *journal) current() *segment { return j.segments[len(j.segments)-1] }

// account makes the next record of s the one that counts for its binding.
func (j *journal) account(record []byte, s *segment) {
	at := place(s.number, s.records)
	s.records++
	s.octets += lengthLen + len(record)
	var old uint32
	var had bool
	if record[keyLen+1] == byte(lease.NoState) {
		old, had = j.index.remove(record)
	} else {
		old, had = j.index.put(record, at)
		s.live++
	}
	if had {
		if o := j.segmentOf(old); o != nil {
			o.live--
		}
	}
}

// segmentOf is the segment of a place. Numbers rise, mostly by one.
func (j *journal) segmentOf(at uint32) *segment {
	number := uint16(at >> 16)
	for i := min(int(number-uint16(j.segments[0].number)), len(j.segments)-1); i >= 0; i-- {
		if uint16(j.segments[i].number) == number {
			return j.segments[i]
		}
	}
	return nil
}

func (j *journal) Commit(records []lease.Binding) error {
	if j.broken == nil && j.out == nil {
		return fmt.Errorf("%w: %w", ErrFailed, errClosed)
	}
	j.index.ahead(records)
	for done := 0; done < len(records) && j.broken == nil; {
		n, err := j.commit(records[done:])
		done += n
		j.broken = err
	}
	if j.broken != nil {
		return fmt.Errorf("%w: %w", ErrFailed, j.broken)
	}
	j.records.Add(uint64(len(records)))
	return nil
}

// commit writes as many records as one batch takes, and moves some of the
// oldest segment's.
func (j *journal) commit(records []lease.Binding) (n int, err error) {
	if len(j.segments) == 0 || j.current().end+blockSize > j.size {
		if err := j.advance(); err != nil {
			return 0, err
		}
	}
	s := j.current()
	room := min(j.size-s.end, cap(j.batch))
	b := j.batch[:headerLen]
	for ; n < len(records) && len(b)+recordLen(&records[n]) <= room && s.records < maxRecords; n++ {
		start := len(b)
		b = appendRecord(b, &records[n])
		j.account(b[start+lengthLen:], s)
	}
	if n == 0 { // no room for the first
		s.end = j.size
		return 0, nil
	}
	var freed *segment
	if b, freed, err = j.move(b, room, s); err != nil {
		return 0, err
	}
	j.clock = max(j.clock, j.o.Now())
	head := j.segments[0].first
	if freed != nil {
		head = j.segments[1].first
	}
	j.last++
	if head == 0 || s.first == 0 && j.segments[0] == s {
		head = j.last
	}
	b = seal(b, batchHeader{number: j.last, after: j.last - 1, head: head, clock: j.clock})
	if err := j.out.write(b, int64(s.end)); err != nil {
		return 0, err
	}
	if s.first == 0 {
		s.first, s.after = j.last, j.last-1
	}
	s.last, s.end = j.last, s.end+len(b)
	if freed != nil {
		j.segments = j.segments[1:]
		j.unused = append(j.unused, freed.name)
		j.emptied.Add(1)
	}
	j.memory.Store(uint64(j.index.octets()) + uint64(cap(j.batch)))
	return n, nil
}

// move appends what still counts of the oldest segment, a piece of it at a
// time, when there are too many. It returns the segment when it has been gone
// through: it is free when the batch is durable.
func (j *journal) move(b []byte, room int, s *segment) ([]byte, *segment, error) {
	if j.oldest == nil {
		if len(j.segments) <= j.allowed {
			return b, nil, nil
		}
		first := j.segments[0]
		if j.spare == nil {
			j.spare = make([]byte, j.size)
		}
		j.oldest, j.cursor, j.nth = later(func() (a ahead) {
			a.content, a.err = readSegment(j.o.fs, j.dir, first, j.spare)
			return a
		}), cursor{}, 0
	}
	if !j.o.small && !j.oldest.ready() {
		return b, nil, nil // the disk is reading
	}
	r, from := j.oldest.result(), j.segments[0]
	if r.err != nil {
		return b, nil, r.err
	}
	j.cursor.content = r.content
	for look := emptying * (len(b) + blockSize); look > 0; {
		here := j.cursor
		record := j.cursor.next()
		if record == nil {
			j.oldest, j.cursor = nil, cursor{}
			if from.live != 0 {
				return b, nil, fmt.Errorf("%s: %d records that count were not found", from.name, from.live)
			}
			return b, from, nil
		}
		if j.counts(record, from, j.nth) {
			if len(b)+lengthLen+len(record) > room || s.records >= maxRecords {
				j.cursor = here
				return b, nil, nil
			}
			b = appendRaw(b, record)
			j.account(record, s)
		}
		look -= j.cursor.at - here.at
		j.nth++
	}
	return b, nil, nil
}

// counts tells whether a segment's nth record is what there is of its binding.
func (j *journal) counts(record []byte, s *segment, nth int) bool {
	return record[keyLen+1] != byte(lease.NoState) && j.index.get(record) == place(s.number, nth)
}

// allow reckons how many segments may be in use: twice what is needed.
func (j *journal) allow() {
	octets := 0
	for _, s := range j.segments {
		if s.live > 0 {
			octets += s.octets / s.records * s.live
		}
	}
	j.allowed = max(leastSegments, 2*(octets/j.size+1))
}

// advance goes on to the next segment.
func (j *journal) advance() error {
	if j.out != nil {
		if err := j.out.close(); err != nil {
			return err
		}
		j.out = nil
	}
	r := j.next.result()
	j.next = nil
	if r.err != nil {
		return r.err
	}
	j.out = r.file
	j.segments = append(j.segments, &segment{name: r.name, number: r.number})
	j.prepare()
	j.allow()
	j.bytes.Store(uint64(len(j.segments)+len(j.unused)+1) * uint64(j.size))
	return nil
}

// prepare makes the next segment meanwhile.
func (j *journal) prepare() {
	if j.number++; uint16(j.number) == 0 {
		j.number++ // place 0 is none
	}
	number, old := j.number, ""
	surplus := j.surplus
	j.surplus = nil
	if n := len(j.unused); n > 0 {
		old, j.unused = j.unused[n-1], j.unused[:n-1]
	}
	if n := len(j.unused); n > keepUnused {
		surplus, j.unused = append(surplus, j.unused[keepUnused:]...), j.unused[:keepUnused:keepUnused]
	}
	j.next = later(func() (a ahead) {
		a.number, a.name = number, segmentName(number)
		a.file, a.err = newSegment(j.o, j.dir, old, a.name, j.size)
		for _, name := range surplus {
			_ = j.o.fs.Remove(j.o.fs.PathJoin(j.dir, name)) // a file too many is no harm
		}
		return a
	})
}

// settle has what is under way end.
func (j *journal) settle() error {
	if j.oldest != nil {
		j.oldest.result()
		j.oldest = nil
	}
	return j.broken
}

// Reopen implements Store; the next Load reads everything again.
func (j *journal) Reopen() error {
	_ = j.shut() // the error is the one that it failed with
	if err := probe(j.o.fs, j.dir); err != nil {
		return fmt.Errorf("lease store %s: %w", j.dir, err)
	}
	if err := j.scan(); err != nil {
		return err
	}
	if err := j.begin(); err != nil {
		_ = j.shut()
		return fmt.Errorf("lease store %s: %w", j.dir, err)
	}
	j.broken = nil
	return nil
}

func (j *journal) Stats() Stats {
	return Stats{Bytes: j.bytes.Load(), WALBytes: j.bytes.Load(), WALRecords: j.records.Load(),
		Compactions: j.emptied.Load(), Memory: j.memory.Load()}
}

func (j *journal) Close() error {
	err := j.shut()
	j.release()
	if err != nil {
		return fmt.Errorf("lease store %s: %w", j.dir, err)
	}
	return nil
}

// shut closes every file. What was committed needs nothing more.
func (j *journal) shut() error {
	_ = j.settle()
	var errs []error
	if j.next != nil {
		if r := j.next.result(); r.err == nil {
			errs = append(errs, r.file.close())
		}
		j.next = nil
	}
	if j.out != nil {
		errs = append(errs, j.out.close())
		j.out = nil
	}
	return errors.Join(errs...)
}

func (j *journal) release() {
	if j.lock != nil {
		_ = j.lock.Close()
		j.lock = nil
	}
}

// ahead is work that goes on while commits do, and what came of it.
type ahead struct {
	done chan struct{}

	file    *blockFile
	name    string
	number  uint32
	content []byte
	err     error
}

func later(work func() ahead) *ahead {
	a := &ahead{done: make(chan struct{})}
	go func() {
		r := work()
		a.file, a.name, a.number, a.content, a.err = r.file, r.name, r.number, r.content, r.err
		close(a.done)
	}()
	return a
}

func (a *ahead) ready() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

func (a *ahead) result() *ahead {
	<-a.done
	return a
}
