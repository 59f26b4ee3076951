package disk

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// relabel looks for what is wrong with the label of a store that no process has open. If it is
// missing, damaged or that of another store, relabel puts into o the label that the other files say
// it should have, and returns what is wrong as unlabelled. It changes nothing on disk.
//
// The other files do not say whether the store has kept a clock mark. relabel assumes that it has.
// If the mark is missing then, no time passes since the newest lease. So no lease ends too early,
// and no address is given away. A repair adds to the label that leases may be missing.
func relabel(o *Options, dir string, kind Kind, ownersOf func(string, Options) ([]Owner, error)) (unlabelled, err error) {
	_, l, found, err := look(o.FS, dir, labels[kind])
	switch {
	case err != nil && !errors.As(err, new(*Damage)):
		return nil, err
	case err == nil && !found:
		return nil, fmt.Errorf("has no file %s and nothing of a store in it; correct the path, or restore a backup",
			labelName)
	}
	unlabelled = err
	if unlabelled == nil && (l.making || l.format == 1) {
		return nil, nil
	}
	owners, err := ownersOf(dir, o.withoutLabel())
	if err != nil {
		if unlabelled == nil {
			return nil, nil // the repair itself says it better
		}
		return nil, fmt.Errorf("%w (it cannot be made anew: %w)", unlabelled, err)
	}
	owners = withWatermark(*o, dir, owners)
	if slices.ContainsFunc(owners, func(w Owner) bool { return w.Store != 0 }) { // format 1 was taken over
		owners = slices.DeleteFunc(owners, func(w Owner) bool { return w.Store == 0 })
	}
	one := !slices.ContainsFunc(owners, func(w Owner) bool { return w.Store != owners[0].Store })
	switch {
	case unlabelled == nil && (len(owners) == 0 || !one || owners[0].Store == l.store):
		return nil, nil
	case unlabelled == nil:
		unlabelled = &Damage{
			File: labelName, At: -1,
			Why: fmt.Sprintf("it is the label of store %v, all other files are of store %v", l.store, owners[0].Store),
		}
	case len(owners) == 0:
		return nil, fmt.Errorf("%w (it cannot be made anew: no other file says which store it is)", unlabelled)
	case !one:
		return nil, fmt.Errorf("%w (it cannot be made anew: %s; move away what does not belong here)",
			unlabelled, several(owners))
	}
	next := label{format: store.NewestFormat, store: owners[0].Store, clocked: true}
	if next.store == 0 {
		next = label{format: 1}
	}
	o.label = &next
	return fmt.Errorf("lease store %s %w", dir, unlabelled), nil
}

// Owner says to which store a file belongs, 0 if it is of format 1.
type Owner struct {
	File  string
	Store ID
}

func several(owners []Owner) string {
	var text []string
	for _, w := range owners {
		text = append(text, fmt.Sprintf("%s is of store %v", w.File, w.Store))
	}
	return strings.Join(text, ", ")
}

// withoutLabel returns options to look at a store, whichever it is, without its label.
func (o Options) withoutLabel() Options {
	o.label = &label{format: firstFormat, store: anyStore}
	return o
}

// withWatermark adds the store of the watermark, if that can be read.
func withWatermark(o Options, dir string, owners []Owner) []Owner {
	if w, err := readWatermark(o.FS, dir, anyStore); err == nil {
		owners = append(owners, Owner{watermarkName, w.store})
	}
	return owners
}
