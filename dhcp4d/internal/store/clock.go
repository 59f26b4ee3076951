package store

import (
	"fmt"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// ResetClock makes a store that was written by a clock ahead of the true time
// usable again: it forgets how late the clock has been and moves every record
// of the future so that it was written now. A lease keeps its length from now
// on, so it ends no earlier than its client believes, who counts from a moment
// that has passed. The records are durable, and the header last of all, when
// it returns; cut short, it can be repeated. It returns how many were moved.
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
	for at := 0; at < len(future.Records); at += resetBatch {
		if err := s.Commit(future.Records[at:min(at+resetBatch, len(future.Records))]); err != nil {
			return 0, fmt.Errorf("writing the leases: %w", err)
		}
	}
	if d, ok := s.(*disk); ok {
		d.header.clock = now
		d.batch.Reset()
		d.putHeader(now)
		if err := d.apply(); err != nil {
			return 0, fmt.Errorf("writing the clock: %w", err)
		}
	}
	return len(future.Records), nil
}

// resetBatch is how many records go into one commit of ResetClock.
const resetBatch = 1024
