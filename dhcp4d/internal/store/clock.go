package store

import (
	"fmt"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// ResetClock makes a store that was written by a clock ahead of the true time
// usable again: it forgets how late the clock has been and moves every record
// of the future so that it was written now. A lease keeps its length from now
// on, so it ends no earlier than its client believes, who counts from a moment
// that has passed. Cut short, it can be repeated. It returns how many were
// moved.
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
	future.Add(&lease.Binding{Addr: netip.IPv4Unspecified()})
	for at := 0; at < len(future.Records); at += resetBatch {
		if err := s.Commit(future.Records[at:min(at+resetBatch, len(future.Records))]); err != nil {
			return 0, fmt.Errorf("writing the leases: %w", err)
		}
	}
	return len(future.Records) - 1, nil
}

// clocked is a store that keeps the latest time that it has seen, and never an
// earlier one, unless it forgets: then the next commit writes the time of now.
type clocked interface{ forgetClock() }

func (s *disk) forgetClock()    { s.header.clock = 0 }
func (j *journal) forgetClock() { j.clock = 0 }

// resetBatch is how many records go into one commit of ResetClock.
const resetBatch = 1024
