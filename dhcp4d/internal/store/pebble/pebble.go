package pebble

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
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

// Reopen opens the store for writing at once. It does not check again what the start has checked.
func (s *pebbleStore) Reopen() error {
	if err := s.shut(); err != nil {
		s.o.Log.Debug("lease store closed after its failure", "error", err)
	}
	if err := s.Renew(); err != nil {
		return fmt.Errorf("lease store %s %w", s.dir, err)
	}
	s.o.FS = s.FS()
	if err := checkRoom(s.o.FS, s.dir); err != nil {
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
