package disk

import (
	"fmt"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// Repair repairs the store of a kind in a directory, as package engine says. Owners returns the
// stores that the files of this kind belong to. If the label of the store is missing or damaged,
// Repair makes another one and puts it into the options that it passes to the function repair. Then
// unlabelled is the error of the old label. Otherwise unlabelled is nil.
func Repair(path string, kind Kind, o Options, owners func(path string, o Options) ([]Owner, error),
	repair func(o Options, unlabelled error) (store.Repaired, error),
) (store.Repaired, error) {
	out, err := labelAndRepair(path, kind, o, owners, repair)
	if err != nil { // its text may advise a repair
		err = &unremediedError{err, "; restore a backup"}
	}
	if out.Damage != nil {
		out.Damage = &unremediedError{out.Damage, ""}
	}
	return out, err
}

func labelAndRepair(path string, kind Kind, o Options, owners func(path string, o Options) ([]Owner, error),
	repair func(o Options, unlabelled error) (store.Repaired, error),
) (store.Repaired, error) {
	if _, err := list(o.FS, path); err != nil {
		return store.Repaired{}, fmt.Errorf("lease store %s cannot be read: %w", path, err)
	}
	unlabelled, err := relabel(&o, path, kind, owners)
	if err != nil {
		return store.Repaired{}, fmt.Errorf("lease store %s %w", path, err)
	}
	return repair(o, unlabelled)
}

// unremediedError is an error without the advice to try a repair.
type unremediedError struct {
	err     error
	instead string
}

func (e *unremediedError) Unwrap() error { return e.err }

func (e *unremediedError) Error() string {
	text := strings.ReplaceAll(e.err.Error(), ", then"+remedy[1:], ", then try again")
	return strings.ReplaceAll(text, remedy, e.instead)
}
