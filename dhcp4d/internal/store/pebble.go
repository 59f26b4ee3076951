package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// clockEvery is how often, in seconds, the time goes into the header.
const clockEvery = 60

// disk is the store in Pebble.
//
// It is opened for reading only. Load, which meets every record, then opens
// it for writing; so a store that is refused for what is found in it has not
// been changed. The lock on the directory is ours and held all along.
type disk struct {
	dir  string
	o    Options
	lock *pebble.Lock

	fence  *fence
	batch  *pebble.Batch
	header header
	buf    []byte
	loaded bool
	sync   *pebble.WriteOptions

	records atomic.Uint64

	mu sync.RWMutex // guards db against Stats; set by the one caller
	db *pebble.DB
}

func openPebble(dir string, o Options) (_ Store, err error) {
	if o.fs == nil {
		o.fs = vfs.Default
	}
	began := time.Now()
	s := &disk{dir: dir, o: o, sync: pebble.Sync}
	if o.noSync {
		s.sync = pebble.NoSync
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("lease store %s %w", dir, err)
			s.release()
		}
	}()
	found, err := inspect(o.fs, dir)
	if err != nil {
		return nil, err
	}
	if !found.labelled {
		if err := writeLabel(o.fs, dir, labelPrefix); err != nil {
			return nil, fmt.Errorf("cannot be made: %w", err)
		}
	}
	if s.lock, err = lock(o.fs, dir); err != nil {
		return nil, err
	}
	if !found.database {
		s.loaded = true // nothing to look at first
		s.header.created = o.Now()
		if err := s.open(); err != nil {
			return nil, fmt.Errorf("cannot be made: %w", err)
		}
		return s, nil
	}
	s.fence = &fence{FS: o.fs}
	s.fence.fail(errSealed)
	db, err := pebble.Open(dir, s.options(true))
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("cannot be read: %w", err)
		}
		return nil, damaged(err)
	}
	s.set(db)
	o.Log.Debug("lease store opened", "dir", dir, "took", time.Since(began))
	return s, nil
}

// options are Pebble's for small records, most of which replace older ones,
// synced a batch at a time.
func (s *disk) options(readOnly bool) *pebble.Options {
	o := &pebble.Options{
		FS:       s.outer(),
		Lock:     s.lock,
		ReadOnly: readOnly,
		Logger:   logger{s.fence, s.o.Log},
		// By name: a newer Pebble must not change what is on disk before
		// this line does.
		FormatMajorVersion: pebble.FormatValueSeparation,
		// The leases are in the daemon's own table and nothing is looked up
		// here, so the cache only serves compactions.
		CacheSize: 4 << 20,
		// Two of these at most: one is written while one goes into a table,
		// and takes a second to fill when that takes a tenth. A third costs
		// 6 MB and spares nothing. Larger ones take up more of the
		// overwriting in memory and make a start after a crash replay more:
		// with a million leases 8 MB spare a tenth of a renewal over 4 MB.
		MemTableSize:                8 << 20,
		MemTableStopWritesThreshold: 2,
		L0CompactionThreshold:       8,
		L0StopWritesThreshold:       1000, // an ACK never waits for a compaction
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                256,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
		DisableTableStats:           true,
		MaxManifestFileSize:         1 << 20,
		EventListener: &pebble.EventListener{
			BackgroundError: s.fence.fail,
			DataCorruption:  func(i pebble.DataCorruptionInfo) { s.fence.fail(i.Details) },
		},
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = 32 << 10
		// Client identifiers and addresses hardly shrink.
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = 8 << 20
	}
	if s.o.small {
		o.MemTableSize = 16 << 10
		o.L0CompactionThreshold = 2
		o.MaxManifestFileSize = 1 << 10
	}
	return o
}

// outer is the file system that Pebble sees.
func (s *disk) outer() vfs.FS {
	if s.o.wrap != nil {
		return s.o.wrap(s.fence)
	}
	return s.fence
}

// open opens the database for writing and proves that it can be written.
func (s *disk) open() error {
	s.fence = &fence{FS: s.o.fs}
	db, err := pebble.Open(s.dir, s.options(false))
	if err != nil {
		return errors.Join(s.fence.err(), err)
	}
	s.set(db)
	s.batch = db.NewBatch()
	s.putHeader(s.o.Now())
	return s.apply()
}

func (s *disk) Load(fn func(*lease.Binding) error) (Loaded, error) {
	began := time.Now()
	l, err := s.load(fn)
	if err != nil {
		return l, err
	}
	if !s.loaded {
		if err := errors.Join(s.shut(), s.open()); err != nil {
			return l, fmt.Errorf("lease store %s cannot be written: %w", s.dir, err)
		}
		s.loaded = true
	}
	l.Took = time.Since(began)
	return l, nil
}

func (s *disk) load(fn func(*lease.Binding) error) (Loaded, error) {
	var l Loaded
	value, closer, err := s.db.Get(headerKey)
	switch {
	case err == nil:
		h, err := parseHeader(value)
		if err := errors.Join(err, closer.Close()); err != nil {
			return l, s.damage(err)
		}
		s.header = h
		l.Newest = h.clock
	case !errors.Is(err, pebble.ErrNotFound):
		return l, s.damage(err)
	}
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{bindingKind},
		UpperBound: []byte{bindingKind + 1},
	})
	if err != nil {
		return l, s.damage(err)
	}
	defer func() { _ = it.Close() }()
	var b lease.Binding
	for it.First(); it.Valid(); it.Next() {
		if err := decode(&b, it.Key(), it.Value()); err != nil {
			return l, s.damage(fmt.Errorf("%w (key %x)", err, it.Key()))
		}
		l.count(&b)
		if err := fn(&b); err != nil {
			return l, err
		}
	}
	if err := it.Error(); err != nil {
		return l, s.damage(err)
	}
	return l, nil
}

func (s *disk) damage(err error) error {
	return fmt.Errorf("lease store %s %w", s.dir, damaged(err))
}

func (s *disk) Commit(records []lease.Binding) error {
	if s.batch == nil {
		return fmt.Errorf("%w: it is not open for writing", ErrFailed)
	}
	s.batch.Reset()
	for i := range records {
		if err := s.put(&records[i]); err != nil {
			s.fence.fail(err)
		}
	}
	if now := s.o.Now(); now >= s.header.clock+clockEvery {
		s.putHeader(now)
	}
	if err := s.apply(); err != nil {
		return err
	}
	s.records.Add(uint64(len(records)))
	return nil
}

// put encodes a record where Pebble will read it from.
func (s *disk) put(r *lease.Binding) error {
	if r.State == lease.NoState {
		op := s.batch.DeleteDeferred(keyLen)
		appendKey(op.Key[:0], r)
		return op.Finish()
	}
	op := s.batch.SetDeferred(keyLen, valueLen(r))
	appendKey(op.Key[:0], r)
	appendValue(op.Value[:0], r)
	return op.Finish()
}

// apply commits s.batch.
func (s *disk) apply() error {
	var err error
	if s.fence.err() == nil && !s.batch.Empty() {
		err = s.db.Apply(s.batch, s.sync)
	}
	if err != nil {
		s.fence.fail(err)
	}
	// Pebble's word is not enough: see fence.
	if err := s.fence.err(); err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return nil
}

// putHeader notes the time in the header, which never goes back.
func (s *disk) putHeader(now lease.Time) {
	s.header.clock = max(s.header.clock, now)
	s.buf = s.header.append(s.buf[:0])
	if err := s.batch.Set(headerKey, s.buf, nil); err != nil {
		s.fence.fail(err)
	}
}

// Reopen opens for writing at once: what was found sound at the start is not
// looked at again before it is written to.
func (s *disk) Reopen() error {
	if err := s.shut(); err != nil {
		s.o.Log.Debug("lease store closed after its failure", "err", err)
	}
	if err := probe(s.o.fs, s.dir); err != nil {
		return fmt.Errorf("lease store %s: %w", s.dir, err)
	}
	if err := s.open(); err != nil {
		return fmt.Errorf("lease store %s: %w", s.dir, err)
	}
	return nil
}

func (s *disk) Stats() Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return Stats{}
	}
	m := s.db.Metrics()
	return Stats{
		Bytes:       m.DiskSpaceUsage(),
		WALBytes:    m.WAL.PhysicalSize,
		WALRecords:  s.records.Load(),
		Compactions: uint64(m.Compact.Count),
		Memory:      uint64(m.BlockCache.Size) + m.MemTable.Size + m.MemTable.ZombieSize,
	}
}

// Close leaves everything in tables: they have checksums throughout, while
// damage at the end of a log passes for a write that a crash cut short.
func (s *disk) Close() error {
	var err error
	if s.batch != nil && !s.fence.fallen() {
		err = s.db.Flush()
		err = errors.Join(err, s.shut(), s.fence.err())
	} else {
		err = s.shut()
	}
	s.release()
	if err != nil {
		return fmt.Errorf("lease store %s: %w", s.dir, err)
	}
	return nil
}

// shut closes the database, if it is open.
func (s *disk) shut() error {
	db := s.db
	if db == nil {
		return nil
	}
	s.set(nil)
	var err error
	if s.batch != nil {
		err = s.batch.Close()
		s.batch = nil
	}
	return errors.Join(err, db.Close())
}

func (s *disk) release() {
	if s.lock != nil {
		_ = s.lock.Close()
		s.lock = nil
	}
}

func (s *disk) set(db *pebble.DB) {
	s.mu.Lock()
	s.db = db
	s.mu.Unlock()
}

// logger is what Pebble says.
type logger struct {
	fence *fence
	log   *slog.Logger
}

func (l logger) Infof(string, ...any) {}

func (l logger) Errorf(format string, args ...any) {
	l.log.Debug("pebble", "says", fmt.Sprintf(format, args...))
}

// Fatalf returns, though Pebble does not expect it. The store has failed
// before it does, so that no Commit is believed that Pebble reports as done.
func (l logger) Fatalf(format string, args ...any) {
	l.fence.fail(fmt.Errorf(format, args...))
}
