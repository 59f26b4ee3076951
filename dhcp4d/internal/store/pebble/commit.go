package pebble

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

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
