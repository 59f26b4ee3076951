package store

import "fmt"

// repairable is a store that may have lost leases in a repair.
type repairable interface {
	mustRecover() bool
	setRepaired(yes bool) error
}

// MustRecover reports whether s was repaired, so that leases of clients may be missing. Until all
// such leases have ended, no client may get an address that is new to it.
func MustRecover(s Store) bool {
	r, ok := s.(repairable)
	return ok && r.mustRecover()
}

// Recovered notes in s that every lease that a repair may have lost has ended. Any goroutine may
// call it once s is loaded.
func Recovered(s Store) error {
	r, ok := s.(repairable)
	if !ok {
		return nil
	}
	if err := r.setRepaired(false); err != nil {
		return fmt.Errorf("lease store: noting that it has recovered: %w", err)
	}
	return nil
}
