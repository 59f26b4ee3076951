package store

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// ResetClock makes a store usable again that was written while the wall clock was ahead of the true
// time. It is for stores whose times are the wall clock's ([ErrNoMark]). It forgets the latest time
// that the store has seen, and moves every record of the future so that it was written now. A lease
// keeps its length, counted from now. So it ends no earlier than its client believes, who counts
// from a moment that has passed. If ResetClock is cut short it can be repeated. It returns how many
// records were moved.
func ResetClock(url string, o Options) (moved int, err error) {
	s, err := Open(url, o)
	if err != nil {
		return 0, err
	}
	defer func() {
		if e := s.Close(); err == nil {
			err = e
		}
	}()
	if _, err := s.ClockMark(); !errors.Is(err, ErrNoMark) {
		return 0, nil // its time line is its own, and no clock can be behind it
	}
	now := o.Now()
	var future lease.Batch
	if _, err := s.Load(func(b *lease.Binding) error {
		if b.Changed <= now {
			return nil
		}
		r := *b
		r.Start, r.Changed = min(r.Start, now), now
		if r.Expires != lease.Never {
			r.Expires -= b.Changed - now
		}
		future.Add(&r)
		return nil
	}); err != nil {
		return 0, err
	}
	if c, ok := s.(clocked); ok {
		c.forgetClock()
	}
	// What is not there is removed, so that the time is written in any case.
	future.Add(&lease.Binding{ID: lease.ID{Addr: netip.IPv4Unspecified()}})
	for at := 0; at < len(future.Records); at += resetBatch {
		if _, err := s.Commit(future.Records[at:min(at+resetBatch, len(future.Records))]); err != nil {
			return 0, fmt.Errorf("writing the leases: %w", err)
		}
	}
	return len(future.Records) - 1, nil
}

// clocked is a store that keeps the latest time that it has seen. After forgetClock the next commit
// writes the time of now, even if that is earlier.
type clocked interface{ forgetClock() }

func (s *pebbleStore) forgetClock() { s.header.clock, s.anew = 0, true }
func (j *journal) forgetClock()     { j.clock = 0 }

// resetBatch is how many records go into one commit of ResetClock.
const resetBatch = 1024
