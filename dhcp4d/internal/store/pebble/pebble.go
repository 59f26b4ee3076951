package pebble

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
)

// pebbleStore is the store in a Pebble database.
//
// It is first opened for reading only. Load reads every record and then opens it for writing, so a
// store that Load refuses has not been changed. The lock on the directory is ours, and held all the
// time.
type pebbleStore struct {
	*disk.Directory
	dir     string
	o       options
	found   disk.Watermark // on disk when the store was opened
	durable uint64         // the last commit that was acknowledged

	fence  *fence
	batch  *pebble.Batch
	header header
	given  uint64 // missing commits that a repair has given up
	anew   bool   // whether the next commit replaces the header and everything merged into it
	loaded bool

	records atomic.Uint64

	mu sync.RWMutex // Stats reads db under it; the one caller of the other methods sets db under it
	db *pebble.DB
}

// options are what a store needs besides its directory.
type options struct {
	disk.Options
	readOnly bool // Load does not open the store for writing
	accept   bool // missing commits are accepted

	wrap func(vfs.FS) vfs.FS // for tests: goes between the fence and Pebble
}

// Open opens the Pebble store in a directory, and makes it if there is none. It refuses a directory
// that another process holds, and one that is damaged or has something else in it. Then it has
// changed nothing.
func Open(dir string, o disk.Options) (store.Store, error) {
	s, err := open(dir, options{Options: o})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Read calls fn for every binding of a store that no process has open, and changes nothing. It
// returns the newest time, as in [store.Loaded]. If there is none, the error is fs.ErrNotExist.
func Read(dir string, o disk.Options, fn func(*lease.Binding) error) (newest lease.Time, err error) {
	if err := disk.Find(dir, disk.Pebble, o); err != nil {
		return 0, err
	}
	s, err := open(dir, options{Options: o, readOnly: true})
	if err != nil {
		return 0, err
	}
	defer s.Close() //nolint:errcheck // it was read only
	l, err := s.Load(fn)
	return l.Newest, err
}

func open(dir string, o options) (_ *pebbleStore, err error) {
	began := time.Now()
	s := &pebbleStore{dir: dir, o: o}
	defer func() {
		if err != nil {
			err = fmt.Errorf("lease store %s %w", dir, err)
			if s.Directory != nil {
				s.Release()
			}
		}
	}()
	if s.Directory, err = disk.Claim(dir, disk.Pebble, o.Options); err != nil {
		return nil, err
	}
	o.FS = s.FS()
	s.o.FS = o.FS
	desc, err := pebble.Peek(dir, o.FS)
	if err != nil {
		return nil, disk.Damaged(err)
	}
	if s.Empty(func(name string) bool { return desc.Exists || strings.HasSuffix(name, ".sst") }) {
		if err := s.make(); err != nil {
			return nil, fmt.Errorf("cannot be made: %w", err)
		}
		if o.Made != nil {
			o.Made(dir)
		}
		return s, nil
	}
	if !desc.Exists {
		return nil, disk.Damaged(errors.New("its manifest is missing"))
	}
	if !s.OfFormat1() && desc.FormatMajorVersion < formatVersion {
		return nil, disk.Damaged(errors.New("its format marker is missing or too old"))
	}
	s.found, err = s.ReadWatermark()
	if err != nil && !(o.accept && errors.As(err, new(*disk.Damage))) {
		return nil, err
	}
	s.fence = &fence{FS: o.FS}
	s.fence.fail(errSealed)
	if err := s.checkOptions(desc.OptionsFilename); err != nil {
		return nil, err
	}
	db, err := pebble.Open(dir, s.options(true))
	if err != nil {
		return nil, disk.Damaged(naming(err, s.Names()))
	}
	s.set(db)
	o.Log.Debug("lease store opened", "dir", dir, "took", time.Since(began))
	return s, nil
}

// make makes a new store in a directory that holds nothing that was acknowledged.
func (s *pebbleStore) make() error {
	if err := s.Clear(); err != nil {
		return err
	}
	s.header = header{created: s.o.Now()}
	s.anew = true
	if err := s.Begin(); err != nil {
		return err
	}
	if err := s.MakeWatermark(disk.Watermark{}); err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	s.loaded = true // there is nothing to look at first
	return s.Finish()
}

// formatVersion is pinned: a newer Pebble must not change the format on disk until this line
// changes.
const formatVersion = pebble.FormatValueSeparation

// options returns Pebble's options for our use: small records, most of which replace older ones,
// and one sync for each batch.
func (s *pebbleStore) options(readOnly bool) *pebble.Options {
	o := &pebble.Options{
		FS:                 s.outer(),
		Lock:               s.Lock(),
		ReadOnly:           readOnly,
		Merger:             headerMerger,
		Logger:             logger{s.fence, s.o.Log},
		FormatMajorVersion: formatVersion,
		// The daemon has the leases in its own table and never reads them here, so the cache serves
		// compactions only.
		CacheSize: 4 << 20,
		// There are at most two: one is filled while the other becomes a table, which takes a tenth
		// of the time. A third costs 6 MB and saves nothing. Larger ones absorb more overwriting in
		// memory, but a start after a crash then replays more. With a million leases, 8 MB save a
		// tenth of a renewal's cost over 4 MB.
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
		// Client identifiers and addresses hardly compress.
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = 8 << 20
	}
	if s.o.Small {
		o.MemTableSize = 16 << 10
		o.L0CompactionThreshold = 2
		o.MaxManifestFileSize = 1 << 10
	}
	return o
}

// naming adds to an error of Pebble the files that it can mean, if it names none.
func naming(err error, names []string) error {
	var logs []string
	for _, name := range names {
		if strings.Contains(err.Error(), strings.TrimSuffix(name, ".sst")) {
			return err
		}
		if strings.HasSuffix(name, ".log") {
			logs = append(logs, name)
		}
	}
	if len(logs) == 0 || !strings.Contains(err.Error(), "WAL") {
		return fmt.Errorf("its manifest: %w", err)
	}
	return fmt.Errorf("one of %s: %w", strings.Join(logs, ", "), err)
}

// checkOptions refuses the file of Pebble's options that is damaged. Pebble would not name it, and
// it holds nothing that is needed.
func (s *pebbleStore) checkOptions(name string) error {
	if name == "" {
		return nil
	}
	name = s.o.FS.PathBase(name)
	text, err := disk.ReadFile(s.o.FS, s.dir, name, make([]byte, 64<<10))
	if err != nil {
		return disk.Damaged(err)
	}
	options := s.options(true)
	options.EnsureDefaults()
	if err := options.CheckCompatibility(s.dir, string(text)); err != nil {
		why, _, _ := strings.Cut(err.Error(), "\n")
		return fmt.Errorf("is damaged: %s: %s; move that file away, no lease is in it", name, why)
	}
	return nil
}

// outer returns the file system that Pebble sees.
func (s *pebbleStore) outer() vfs.FS {
	if s.o.wrap != nil {
		return s.o.wrap(s.fence)
	}
	return s.fence
}

// open opens the database for writing and proves that it can be written.
func (s *pebbleStore) open() error {
	if err := s.openMark(); err != nil {
		return err
	}
	s.fence = &fence{FS: s.o.FS}
	db, err := pebble.Open(s.dir, s.options(false))
	if err != nil {
		return errors.Join(s.fence.err(), err)
	}
	s.set(db)
	s.batch = db.NewBatch()
	if err := s.readHeader(); err != nil {
		return err
	}
	s.Acknowledge(s.header.number, 0)
	return s.apply()
}

// openMark opens the watermark. For a store of format 1 it makes one first.
func (s *pebbleStore) openMark() error {
	if s.o.accept {
		s.found = disk.Watermark{Batch: s.header.number}
		if err := s.MakeWatermark(s.found); err != nil {
			return err
		}
	}
	if s.OfFormat1() {
		s.found = disk.Watermark{}
		if err := s.Convert(s.found, s.o.accept); err != nil {
			return err
		}
	}
	return s.OpenWatermark()
}

// readHeader reads the header, and checks that every commit that was acknowledged is there.
func (s *pebbleStore) readHeader() error {
	value, closer, err := s.db.Get(headerKey)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
	case err != nil:
		return disk.Damaged(err)
	default:
		s.header, err = parseHeader(value)
		if err := errors.Join(err, closer.Close()); err != nil {
			return disk.Damaged(err)
		}
	}
	h := &s.header
	acked := max(s.found.Batch, s.durable)
	switch {
	case h.store != s.ID() && h.number > 0:
		return &disk.Damage{
			File: "a log or a table", At: -1,
			Why: fmt.Sprintf("it has commits of store %v, this is store %v", h.store, s.ID()),
		}
	case h.commits > h.number:
		return &disk.Damage{
			File: "its log or its manifest", At: -1, Why: fmt.Sprintf("of %d commits some are there twice", h.number),
		}
	case s.o.accept:
		s.given = max(s.given, max(h.number, acked)-h.commits)
		h.store, h.number, s.anew = s.ID(), max(h.number, acked), true
		h.commits = h.number
	case h.commits < h.number:
		return &disk.Damage{
			File: "its log or its manifest", At: -1,
			Why: fmt.Sprintf("of %d commits only %d are there", h.number, h.commits),
		}
	case h.number < acked:
		return &disk.Damage{
			File: "its log", At: -1,
			Why:  fmt.Sprintf("the newest commit is number %d, but number %d was acknowledged", h.number, acked),
			Lost: disk.Loss{Known: true, First: h.number + 1, Last: acked, Since: h.clock},
		}
	}
	return nil
}

// checkTables compares the first and the last key of every table with the manifest: Pebble would
// not notice another table of the same length in its place.
func (s *pebbleStore) checkTables() error {
	levels, err := s.db.SSTables()
	if err != nil {
		return disk.Damaged(err)
	}
	for _, level := range levels {
		for i := range level {
			t := &level[i]
			name := fmt.Sprintf("%06d.sst", t.BackingSSTNum)
			first, last, err := s.bounds(name)
			if err != nil {
				return disk.Damaged(fmt.Errorf("%s: %w", name, err))
			}
			if first != t.Smallest.String() || last != t.Largest.String() {
				return &disk.Damage{File: name, At: -1, Why: "it is not the table that the manifest means"}
			}
		}
	}
	return nil
}

// bounds returns the first and the last key of a table.
func (s *pebbleStore) bounds(name string) (first, last string, err error) {
	f, err := s.o.FS.Open(s.o.FS.PathJoin(s.dir, name))
	if err != nil {
		return "", "", err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		_ = f.Close()
		return "", "", err
	}
	r, err := sstable.NewReader(context.Background(), readable, sstable.ReaderOptions{})
	if err != nil {
		return "", "", errors.Join(err, readable.Close())
	}
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return "", "", errors.Join(err, r.Close())
	}
	if kv := it.First(); kv != nil {
		first = kv.K.String()
	}
	if kv := it.Last(); kv != nil {
		last = kv.K.String()
	}
	return first, last, errors.Join(it.Error(), it.Close(), r.Close())
}

func (s *pebbleStore) Load(fn func(*lease.Binding) error) (store.Loaded, error) {
	began := time.Now()
	l, err := s.load(fn)
	if err != nil {
		return l, err
	}
	if !s.loaded && !s.o.readOnly {
		if err := errors.Join(s.shut(), s.open()); err != nil {
			return l, fmt.Errorf("lease store %s cannot be written: %w", s.dir, err)
		}
		s.loaded = true
	}
	l.Took = time.Since(began)
	return l, nil
}

func (s *pebbleStore) load(fn func(*lease.Binding) error) (store.Loaded, error) {
	var l store.Loaded
	if err := s.checkTables(); err != nil {
		return l, s.damage(err)
	}
	if err := s.readHeader(); err != nil {
		return l, s.damage(err)
	}
	l.Newest = s.header.clock
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{store.BindingKind},
		UpperBound: []byte{store.BindingKind + 1},
	})
	if err != nil {
		return l, s.damage(err)
	}
	defer func() { _ = it.Close() }()
	var b lease.Binding
	for it.First(); it.Valid(); it.Next() {
		if err := store.Decode(&b, it.Key(), it.Value()); err != nil {
			return l, s.damage(fmt.Errorf("%w (key %x)", err, it.Key()))
		}
		l.Count(&b)
		if err := fn(&b); err != nil {
			return l, err
		}
	}
	if err := it.Error(); err != nil {
		return l, s.damage(err)
	}
	return l, nil
}

func (s *pebbleStore) damage(err error) error {
	return fmt.Errorf("lease store %s %w", s.dir, disk.Damaged(err))
}

// Commit implements store.Store. It refuses no record.
func (s *pebbleStore) Commit(records []lease.Binding) ([]store.Refusal, error) {
	if s.batch == nil {
		return nil, fmt.Errorf("%w: it is not open for writing", store.ErrFailed)
	}
	if err := s.Lost(); err != nil {
		s.fence.fail(err)
	}
	if err := s.RaiseFormat(store.FormatFor(records)); err != nil {
		s.fence.fail(err)
	}
	s.batch.Reset()
	for i := range records {
		if err := s.put(&records[i]); err != nil {
			s.fence.fail(err)
		}
	}
	if err := s.apply(); err != nil {
		return nil, err
	}
	s.records.Add(uint64(len(records)))
	return nil, nil
}

// put encodes a record into the batch, where Pebble reads it.
func (s *pebbleStore) put(r *lease.Binding) error {
	if r.State == lease.NoState {
		op := s.batch.DeleteDeferred(store.KeyLen)
		store.AppendKey(op.Key[:0], r)
		return op.Finish()
	}
	op := s.batch.SetDeferred(store.KeyLen, store.ValueLen(r))
	store.AppendKey(op.Key[:0], r)
	store.AppendValue(op.Value[:0], r)
	return op.Finish()
}

// apply commits s.batch with a header.
func (s *pebbleStore) apply() error {
	own := header{store: s.ID(), number: s.header.number + 1, commits: 1, clock: max(s.header.clock, s.o.Now())}
	s.header.merge(&own)
	add := s.batch.MergeDeferred
	if s.anew {
		add, own = s.batch.SetDeferred, s.header
	}
	op := add(len(headerKey), headerValueLen)
	copy(op.Key, headerKey)
	own.append(op.Value[:0])
	err := op.Finish()
	if err == nil && !s.fence.fallen() {
		err = s.db.Apply(s.batch, pebble.Sync)
	}
	if err != nil {
		s.fence.fail(err)
	}
	// Pebble reports success even if the fence has discarded the write.
	if err := s.fence.err(); err != nil {
		return fmt.Errorf("%w: %w", store.ErrFailed, err)
	}
	s.anew = false
	s.durable = s.header.number
	s.Acknowledge(s.durable, 0)
	return nil
}

// ForgetClock has the next commit write the present time, even if the store has seen a later one.
func (s *pebbleStore) ForgetClock() { s.header.clock, s.anew = 0, true }

// Reopen opens the store for writing at once. It does not check again what the start has checked.
func (s *pebbleStore) Reopen() error {
	if err := s.shut(); err != nil {
		s.o.Log.Debug("lease store closed after its failure", "error", err)
	}
	if err := s.Renew(); err != nil {
		return fmt.Errorf("lease store %s %w", s.dir, err)
	}
	s.o.FS = s.FS()
	if err := probe(s.o.FS, s.dir); err != nil {
		return fmt.Errorf("lease store %s: %w", s.dir, err)
	}
	found, err := s.ReadWatermark()
	if err != nil {
		return fmt.Errorf("lease store %s %w", s.dir, err)
	}
	s.found = found
	if err := s.open(); err != nil {
		return fmt.Errorf("lease store %s: %w", s.dir, err)
	}
	return nil
}

func (s *pebbleStore) Stats() store.Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return store.Stats{}
	}
	m := s.db.Metrics()
	return store.Stats{
		Bytes:       m.DiskSpaceUsage(),
		Records:     s.records.Load(),
		Compactions: uint64(m.Compact.Count),
		Memory:      uint64(m.BlockCache.Size) + m.MemTable.Size + m.MemTable.ZombieSize,
	}
}

// Close leaves everything in tables, which have checksums throughout. Damage at the end of a log
// would look like a write that a crash has cut short.
func (s *pebbleStore) Close() error {
	var err error
	if s.batch != nil && !s.fence.fallen() {
		err = s.db.Flush()
		err = errors.Join(err, s.shut(), s.fence.err())
	} else {
		err = s.shut()
	}
	s.Release()
	if err != nil {
		return fmt.Errorf("lease store %s: %w", s.dir, err)
	}
	return nil
}

// shut closes the database, if it is open.
func (s *pebbleStore) shut() error {
	marked := s.CloseWatermark()
	db := s.db
	if db == nil {
		return marked
	}
	s.set(nil)
	var err error
	if s.batch != nil {
		err = s.batch.Close()
		s.batch = nil
	}
	return errors.Join(marked, err, db.Close())
}

func (s *pebbleStore) set(db *pebble.DB) {
	s.mu.Lock()
	s.db = db
	s.mu.Unlock()
}

// logger takes Pebble's log lines.
type logger struct {
	fence *fence
	log   *slog.Logger
}

func (l logger) Infof(string, ...any) {}

func (l logger) Errorf(format string, args ...any) {
	l.log.Debug("pebble", "says", fmt.Sprintf(format, args...))
}

// Fatalf returns, which Pebble does not expect. Before it returns, the store has failed, so that
// nobody believes a Commit that Pebble reports as done.
func (l logger) Fatalf(format string, args ...any) {
	l.fence.fail(fmt.Errorf(format, args...))
}
