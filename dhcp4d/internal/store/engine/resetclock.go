package engine

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// ResetClock makes a store usable again that was written while the wall clock was ahead of the true
// time. It is for stores whose times are the wall clock's ([store.ErrNoMark]). It forgets the
// latest time that the store has seen, and moves every record of the future, as if it had been
// written now. A lease keeps its length, counted from now. So it ends no earlier than its client
// believes, because the client counts from a moment in the past. If ResetClock is cut short, it can
// be repeated. It returns how many records it has moved.
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
	if _, err := s.ClockMark(); !errors.Is(err, store.ErrNoMark) {
		return 0, nil // it has a time line of its own, which no wall clock can be behind
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
		c.ForgetClock()
	}
	// Removing a record that does not exist writes the time even if there is nothing to move.
	future.Add(&lease.Binding{ID: lease.ID{Addr: netip.IPv4Unspecified()}})
	for at := 0; at < len(future.Records); at += resetBatch {
		if _, err := s.Commit(future.Records[at:min(at+resetBatch, len(future.Records))]); err != nil {
			return 0, fmt.Errorf("writing the leases: %w", err)
		}
	}
	return len(future.Records) - 1, nil
}

// clocked is a store that remembers the latest time that it has seen. After ForgetClock the next
// commit writes the present time, even if that is earlier.
type clocked interface{ ForgetClock() }

// resetBatch is how many records go into one commit of ResetClock.
const resetBatch = 1024
