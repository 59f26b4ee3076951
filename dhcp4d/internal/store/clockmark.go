package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/slowlock"
)

// Errors of ClockMark.
var (
	// ErrNoMark means that the store has never kept a mark. Its times are the wall clock's.
	ErrNoMark = errors.New("the store has no clock mark")
	// ErrMarkLost means that the store has kept a mark, but it is missing or damaged.
	ErrMarkLost = errors.New("the clock mark of the store is lost")
)

// The mark is a file of its own beside a journal or a Pebble database. It is replaced as a whole.
// An old mark is as safe as a new one: see package clock.
const (
	clockName        = "dhcp4d-store.clock"
	clockScratchName = "dhcp4d-store.clock.tmp"
)

// clockMark keeps the mark of a store in its directory.
type clockMark struct {
	dir    string
	prefix string // of the label
	claim  *claim
	label  *label // as the store has read or made it

	mu       slowlock.Lock // one KeepClockMark at a time
	clocked  bool          // guarded by mu: whether the label says that there is a mark
	repaired bool          // guarded by mu: whether it says that the store was repaired
}

// ClockMark implements Store.
func (k *clockMark) ClockMark() (m clock.Mark, err error) {
	fsys := k.claim.fs()
	f, err := fsys.Open(fsys.PathJoin(k.dir, clockName))
	switch {
	case errors.Is(err, fs.ErrNotExist) && !k.label.clocked:
		return m, ErrNoMark
	case errors.Is(err, fs.ErrNotExist):
		return m, ErrMarkLost
	case err != nil:
		return m, fmt.Errorf("lease store %s %w", k.dir, &unreadableError{err})
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return m, fmt.Errorf("lease store %s %w", k.dir, &unreadableError{err})
	}
	if m.UnmarshalText(text) != nil || m.Store != k.label.store.String() {
		return m, ErrMarkLost
	}
	return m, nil
}

// KeepClockMark implements Store.
func (k *clockMark) KeepClockMark(m clock.Mark) error {
	m.Store = k.label.store.String()
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.replace(m); err != nil {
		return fmt.Errorf("lease store %s: keeping the clock mark: %w", k.dir, err)
	}
	return nil
}

func (k *clockMark) replace(m clock.Mark) error {
	fsys := k.claim.fs()                   // one directory for all that follows
	if err := k.claim.here(); err != nil { // a start would not find the mark
		return err
	}
	scratch := fsys.PathJoin(k.dir, clockScratchName)
	f, err := fsys.Create(scratch, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(m.AppendText(nil))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(scratch, fsys.PathJoin(k.dir, clockName)); err != nil {
		return err
	}
	if err := syncDir(fsys, k.dir); err != nil || k.clocked {
		return err
	}
	if err := k.relabel(fsys, true, k.repaired); err != nil {
		return err
	}
	k.clocked = true
	return nil
}

// relabel writes the label, with the lines that clocked and repaired ask for. The caller holds mu.
func (k *clockMark) relabel(fsys vfs.FS, clocked, repaired bool) error {
	l := *k.label
	l.clocked, l.repaired = clocked, repaired
	return writeLabel(fsys, k.dir, k.prefix, l)
}

// mustRecover reports whether the store was repaired and has not recovered since.
func (k *clockMark) mustRecover() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.repaired
}

// setRepaired notes whether leases may be missing.
func (k *clockMark) setRepaired(yes bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.repaired == yes {
		return nil
	}
	fsys := k.claim.fs()
	if err := k.claim.here(); err != nil {
		return err
	}
	if err := k.relabel(fsys, k.clocked, yes); err != nil {
		return err
	}
	k.repaired = yes
	return nil
}

// Resumed describes how [Resume] has continued the time line of a store.
type Resumed struct {
	// Wall is true if the store has no mark, so that its times are the wall clock's, or is empty.
	Wall bool
	// Lost is true if the mark is missing or damaged. Then no time counts as passed since the
	// newest record.
	Lost  bool
	Mark  clock.Mark  // zero if there is none
	Basis clock.Basis // how the time that has passed since was measured
}

// Resume sets c so that it continues the time line of s, which is not loaded yet. From then on the
// times of s can be compared with those of c.
func Resume(s Store, c *clock.Clock) (Resumed, error) {
	if p, ok := s.(*postgres); ok { // its own clock goes by the time line already
		up := p.clock.Up()
		c.Follow(p.clock.At(up), up)
		return Resumed{Wall: true}, nil
	}
	m, err := s.ClockMark()
	switch {
	case err == nil:
		return Resumed{Mark: m, Basis: c.Resume(m)}, nil
	case errors.Is(err, ErrNoMark):
		c.Restart()
		return Resumed{Wall: true}, nil
	case !errors.Is(err, ErrMarkLost):
		return Resumed{}, err
	}
	c.Set(0) // the store must not note the wall clock's time
	found, err := s.Load(func(*lease.Binding) error { return nil })
	if err != nil {
		return Resumed{}, err
	}
	if found.Newest == 0 {
		c.Restart()
		return Resumed{Wall: true}, nil
	}
	c.Set(found.Newest)
	return Resumed{Lost: true, Basis: clock.Standing}, nil
}

// clockSlack is how many seconds the wall clock may be behind a store whose times are the wall
// clock's: setting a clock may step it back a little.
const clockSlack = 5

// ClockError means that a store, whose times are the wall clock's, has seen a later time than the
// clock shows.
type ClockError struct{ Written lease.Time }

func (e *ClockError) Error() string {
	return fmt.Sprintf("the store was written at %v, which is later than the clock of this machine; set the clock, "+
		"or if the store was written by a wrong one, stop and run dhcp4d reset-clock",
		time.Unix(int64(e.Written), 0).UTC().Format(time.RFC3339))
}

// Still reports whether the error holds at another reading of the wall clock.
func (e *ClockError) Still(wall time.Time) bool {
	return e.Written > lease.Time(wall.Unix())+clockSlack
}

// Settle moves c, which Resume has set, past the newest time that Load has found, as the mark may
// be older. From then on the store has a time line of its own and a mark. Settle returns a
// [ClockError] if the store had no mark and the wall clock is behind it.
func Settle(s Store, l Loaded, c *clock.Clock) error {
	now := c.Now()
	if p, ok := s.(*postgres); ok && l.Newest > now+clockSlack {
		if err := p.advance(l.Newest); err != nil {
			return err
		}
		p.o.Log.Warn("the clock of the database is behind its newest lease; the time of leases goes on from that lease",
			"by", time.Duration(l.Newest-now)*time.Second)
	}
	switch {
	case c.Own():
	case l.Newest > now+clockSlack:
		return &ClockError{l.Newest}
	default:
		c.Begin()
	}
	if _, shared := s.(*postgres); l.Newest > now && !shared {
		c.Set(l.Newest)
	}
	_ = s.KeepClockMark(c.Mark()) // the next start is safe without it; clock.Watch tries again
	return nil
}
