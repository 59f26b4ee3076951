package store

import (
	"fmt"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// Repaired is the result of a repair of a store on disk.
type Repaired struct {
	Damage error // why a start would fail; nil if the store is sound
	Leases int   // records that can be read
	// Lost counts the batches, or commits of a Pebble store, that cannot be read. After a crash, it
	// leaves out those of the last second.
	Lost    uint64
	Since   lease.Time // the time of the last batch before the first lost one; 0 if it is not known
	Changed bool
}

// MustRecover reports whether s was repaired, so that leases of clients may be missing. Until all
// such leases have ended, no client may get an address that is new to it.
func MustRecover(s Store) bool {
	r, ok := s.(Repairable)
	return ok && r.MustRecover()
}

// Recovered notes in s that every lease that a repair may have lost has ended. Any goroutine may
// call it once s is loaded.
func Recovered(s Store) error {
	r, ok := s.(Repairable)
	if !ok {
		return nil
	}
	if err := r.Recovered(); err != nil {
		return fmt.Errorf("lease store: noting that it has recovered: %w", err)
	}
	return nil
}
