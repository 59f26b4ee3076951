package store

import "fmt"

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
