package store

import (
	"sync"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// memory is the store that forgets everything when the process ends. It is for users who do not
// want leases to be kept, and tests compare the other stores with it.
type memory struct {
	mu      sync.Mutex // for Stats, which any goroutine may call
	records map[[KeyLen]byte][]byte
	changes uint64
	key     [KeyLen]byte
}

// NewMemory makes an empty store in memory.
func NewMemory() Store { return &memory{records: make(map[[KeyLen]byte][]byte)} }

func (m *memory) Load(fn func(*lease.Binding) error) (Loaded, error) {
	began := time.Now()
	var l Loaded
	var b lease.Binding
	for key, value := range m.records {
		if err := Decode(&b, key[:], value); err != nil {
			return l, err
		}
		l.Count(&b)
		if err := fn(&b); err != nil {
			return l, err
		}
	}
	l.Took = time.Since(began)
	return l, nil
}

func (m *memory) Commit(records []lease.Binding) ([]Refusal, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range records {
		r := &records[i]
		key := [KeyLen]byte(AppendKey(m.key[:0], r))
		if r.State == lease.NoState {
			delete(m.records, key)
			continue
		}
		m.records[key] = AppendValue(m.records[key][:0], r)
	}
	m.changes += uint64(len(records))
	return nil, nil
}

func (m *memory) Check() error { return nil }

// ClockMark implements Store. There is never a mark: nothing is left of an earlier run.
func (m *memory) ClockMark() (clock.Mark, error) { return clock.Mark{}, ErrNoMark }

// KeepClockMark implements Store.
func (m *memory) KeepClockMark(clock.Mark) error { return nil }

func (m *memory) Reopen() error { return nil }

func (m *memory) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Stats{Records: m.changes}
}

func (m *memory) Close() error { return nil }
