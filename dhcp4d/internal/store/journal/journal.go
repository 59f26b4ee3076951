package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
)

// journal is the store as a log of batches in segments. The package comment has the bytes.
//
// A commit is one write of whole blocks behind the last batch, which is durable when the write
// returns. An index in memory has the place of the latest record of every binding. The oldest
// segment is emptied beside the commits (clean.go). When no record in it counts any more, its file
// is written over without being cleared: what is left of its old batches has old numbers.
//
// After an opening, the journal goes on behind the last whole batch of its newest segment. That
// batch may be readable without being durable, so it is first written again, in its place and
// unchanged. Anything behind it is a write that was cut short, and is overwritten.
//
// The space stays bounded whatever fails. A start needs no new file. The next segment is made when
// the newest is half full, out of an old file if there is one. A new file is made under another
// name, and renamed when it is whole. So an attempt that fails leaves at most this one file, and
// the next attempt overwrites it. Old segments beyond keepUnused are removed.
type journal struct {
	*disk.Directory
	dir  string
	o    Options
	size int // of a segment

	loaded bool
	broken error // why the store has failed

	segments []*segment // in use, oldest first; the last is written to
	unused   []string   // files that hold nothing that counts, and can be written over
	surplus  []string   // files that can be removed
	last     uint64     // number of the last batch
	sum      uint32     // its checksum
	clock    lease.Time
	index    index

	out   *disk.BlockFile // the newest segment's, nil while the journal is not open for writing
	batch []byte          // memory of the batch that is being made
	next  *task           // the segment after the newest
	clean cleaning

	allowed int            // how many segments there may be before the oldest is emptied
	noFile  bool           // the last failure was that the next segment could not be made
	found   disk.Watermark // as scan has read it
	needs   uint64         // until a repair is finished: a batch that does not exist, and that each batch needs
	durable progress       // of the last batch that was acknowledged, or found at the start

	records atomic.Uint64
	emptied atomic.Uint64
	bytes   atomic.Uint64
	memory  atomic.Uint64
}

// progress is the last batch that was acknowledged, and its checksum.
type progress struct {
	batch uint64
	sum   uint32
}

var errClosed = errors.New("it is not open for writing")

// Options are what a journal needs besides its directory.
type Options struct {
	disk.Options

	// Go runs work beside the commits: it reads the oldest segment, or makes the next one. If Go is
	// nil, each work gets a goroutine.
	Go func(work func())
}

// Open opens the journal in a directory, and makes it if there is none. It refuses a directory that
// another process holds, and one that is damaged or has something else in it. Then it has changed
// nothing.
func Open(dir string, o Options) (_ store.Store, err error) {
	if o.Go == nil {
		o.Go = func(work func()) { go work() }
	}
	j, err := claimJournal(dir, o)
	if err != nil {
		return nil, err
	}
	j.batch = disk.NewBlockBuffer(min(batchSize, j.size))
	defer func() {
		if err != nil {
			_ = j.shut()
			j.Release()
			err = fmt.Errorf("lease store %s %w", dir, err)
		}
	}()
	if j.Empty(isSegment) {
		if err := j.make(); err != nil {
			return nil, fmt.Errorf("cannot be made: %w", err)
		}
		if o.Made != nil {
			o.Made(dir)
		}
	}
	return j, nil
}

// claimJournal claims the directory of a journal and reads its label. It reads no segment. The
// caller must close the journal.
func claimJournal(dir string, o Options) (j *journal, err error) {
	j = &journal{dir: dir, o: o, size: segmentSize}
	if o.Small {
		j.size = smallSize
	}
	if j.Directory, err = disk.Claim(dir, disk.Journal, o.Options); err != nil {
		return nil, fmt.Errorf("lease store %s %w", dir, err)
	}
	j.o.FS = j.FS()
	return j, nil
}

// make makes a new journal in a directory that holds nothing that was acknowledged.
func (j *journal) make() error {
	if err := j.Begin(); err != nil {
		return err
	}
	if err := j.MakeWatermark(disk.Watermark{}); err != nil {
		return err
	}
	if err := j.OpenWatermark(); err != nil {
		return err
	}
	if err := j.advance(); err != nil {
		return err
	}
	if err := j.Finish(); err != nil {
		return err
	}
	j.loaded = true // a new store needs no Load
	return nil
}

func (j *journal) Load(fn func(*lease.Binding) error) (store.Loaded, error) {
	began := time.Now()
	var l store.Loaded
	var err error
	if j.loaded && j.out != nil {
		err = j.stopCleaning() // so that what is read is what counts
	} else {
		err = j.scan()
	}
	if err == nil {
		l.Newest = j.clock
		err = j.each(func(b *lease.Binding) error {
			l.Count(b)
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

// Read calls fn for every binding of a journal that no process has open, and changes nothing. It
// returns the newest time, as in [store.Loaded]. If there is none, the error is fs.ErrNotExist.
func Read(dir string, o Options, fn func(*lease.Binding) error) (newest lease.Time, err error) {
	if err := disk.Find(dir, disk.Journal, o.Options); err != nil {
		return 0, err
	}
	j, err := claimJournal(dir, o)
	if err != nil {
		return 0, err
	}
	defer func() { _ = j.Close() }()
	if j.BeingMade() {
		return 0, fmt.Errorf("lease store %s: %w", dir, fs.ErrNotExist)
	}
	if err := j.scan(); err != nil {
		return 0, err
	}
	newest = j.clock
	err = j.each(func(b *lease.Binding) error {
		newest = max(newest, b.Changed)
		return fn(b)
	})
	return newest, err
}

// begin opens for writing the journal that scan has read.
func (j *journal) begin() error {
	// A name in the directory may not be durable yet: an error, or the end of a process, may have
	// come between its making and the sync.
	if err := disk.SyncDir(j.o.FS, j.dir); err != nil {
		return err
	}
	if len(j.segments) > 0 {
		if err := j.writeLastAgain(); err != nil {
			return err
		}
	}
	if j.OfFormat1() {
		w := disk.Watermark{Batch: j.last, Sum: j.sum}
		if len(j.segments) > 0 {
			w.Segment = j.current().number
		}
		if err := j.Convert(w, false); err != nil {
			return err
		}
	}
	if err := j.OpenWatermark(); err != nil {
		return err
	}
	j.trim()
	for _, name := range j.surplus {
		_ = j.o.FS.Remove(j.o.FS.PathJoin(j.dir, name)) // a file too many does no harm
	}
	j.surplus = nil
	for _, s := range j.segments {
		if err := j.Keep(s.name); err != nil {
			return err
		}
	}
	j.acknowledge(progress{j.last, j.sum})
	j.measure()
	if len(j.segments) == 0 || j.current().format == 1 { // which holds no batches of format 2
		return j.advance()
	}
	return nil
}

// writeLastAgain makes the last batch durable, and opens its segment for writing.
func (j *journal) writeLastAgain() (err error) {
	s := j.current()
	if j.out, err = disk.OpenBlockFile(j.o.FS, j.o.FS.PathJoin(j.dir, s.name)); err != nil {
		return err
	}
	if j.last <= j.found.Batch { // the watermark says that it is durable
		return nil
	}
	at, last, err := j.lastBatch(s, j.batch)
	if err != nil {
		return err
	}
	return j.out.Write(last, int64(at))
}

func (j *journal) current() *segment { return j.segments[len(j.segments)-1] }

// stopCleaning waits until no segment is being read for emptying. It returns why the store has
// failed, if it has.
func (j *journal) stopCleaning() error {
	j.clean.stop()
	return j.broken
}

// Reopen implements store.Store; the next Load reads everything again.
func (j *journal) Reopen() error {
	_ = j.shut() // the error is the one that it failed with
	if err := j.Renew(); err != nil {
		return j.inDir(err)
	}
	j.o.FS = j.FS()
	if j.noFile {
		// Without the next segment the journal would fail again at once. Making the file takes less
		// time than reading everything, so it comes first.
		if err := makeFile(j.o, j.dir, segmentName(j.nextNumber()), j.size); err != nil {
			return fmt.Errorf("lease store %s: %w", j.dir, err)
		}
		j.noFile = false
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

func (j *journal) Stats() store.Stats {
	return store.Stats{
		Bytes: j.bytes.Load(), Records: j.records.Load(), Compactions: j.emptied.Load(), Memory: j.memory.Load(),
	}
}

func (j *journal) Close() error {
	err := j.shut()
	j.Release()
	disk.FreeBlockBuffer(j.batch)
	j.batch = nil
	if err != nil {
		return fmt.Errorf("lease store %s: %w", j.dir, err)
	}
	return nil
}

// shut closes every file. It leaves an exact watermark. Commits need no sync: they are durable.
func (j *journal) shut() error {
	_ = j.stopCleaning()
	var errs []error
	if j.next != nil {
		if r := j.next.result(); r.err == nil {
			errs = append(errs, r.file.Close())
		}
		j.next = nil
	}
	if j.out != nil {
		errs = append(errs, j.out.Close())
		j.out = nil
	}
	errs = append(errs, j.CloseWatermark())
	return errors.Join(errs...)
}
