package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// Errors of ClockMark.
var (
	// ErrNoMark means that the store has never kept a mark. Its times are the wall clock's.
	ErrNoMark = errors.New("the store has no clock mark")
	// ErrMarkLost means that the store has kept a mark, but it is missing or damaged.
	ErrMarkLost = errors.New("the clock mark of the store is lost")
)

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
	if k, ok := s.(Timekeeper); ok {
		k.Follow(c)
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

// ClockSlack is how many seconds the wall clock may be behind a store whose times are the wall
// clock's: setting a clock may step it back a little.
const ClockSlack = 5

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
	return e.Written > lease.Time(wall.Unix())+ClockSlack
}

// Settle moves c, which Resume has set, past the newest time that Load has found, as the mark may
// be older. From then on the store has a time line of its own and a mark. Settle returns a
// [ClockError] if the store had no mark and the wall clock is behind it.
func Settle(s Store, l Loaded, c *clock.Clock) error {
	now := c.Now()
	behind := l.Newest > now+ClockSlack
	k, keepsTime := s.(Timekeeper)
	switch {
	case keepsTime && behind:
		if err := k.Advance(l.Newest); err != nil {
			return err
		}
	case keepsTime, c.Own():
	case behind:
		return &ClockError{l.Newest}
	default:
		c.Begin()
	}
	if l.Newest > now && !keepsTime {
		c.Set(l.Newest)
	}
	_ = s.KeepClockMark(c.Mark()) // the next start is safe without it; clock.Watch tries again
	return nil
}
