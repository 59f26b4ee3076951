package disk

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// relabel looks for what is wrong with the label of a store that no process has open. If it is
// missing, damaged or that of another store, relabel puts into o the label that the other files say
// it should have, and returns what is wrong as unlabelled. It changes nothing on disk.
//
// What the other files do not say is assumed such that no address is given away: that the store has
// kept a clock mark, without which no time passes since the newest lease. A repair adds that leases
// may be missing.
func relabel(o *Options, dir, prefix string) (unlabelled, err error) {
	_, l, found, err := look(o.FS, dir, prefix)
	switch {
	case err != nil && !errors.As(err, new(*damage)):
		return nil, err
	case err == nil && !found:
		return nil, fmt.Errorf("has no file %s and nothing of a store in it; correct the path, or restore a backup",
			labelName)
	}
	unlabelled = err
	if unlabelled == nil && (l.making || l.format != format) {
		return nil, nil
	}
	var owners []owner
	if prefix == journalLabel {
		owners, err = journalOwners(*o, dir)
	} else {
		owners, err = pebbleOwners(*o, dir)
	}
	if err != nil {
		if unlabelled == nil {
			return nil, nil // the repair itself says it better
		}
		return nil, fmt.Errorf("%w (it cannot be made anew: %w)", unlabelled, err)
	}
	if slices.ContainsFunc(owners, func(w owner) bool { return w.store != 0 }) { // format 1 was taken over
		owners = slices.DeleteFunc(owners, func(w owner) bool { return w.store == 0 })
	}
	one := !slices.ContainsFunc(owners, func(w owner) bool { return w.store != owners[0].store })
	switch {
	case unlabelled == nil && (len(owners) == 0 || !one || owners[0].store == l.store):
		return nil, nil
	case unlabelled == nil:
		unlabelled = &damage{
			file: labelName, at: -1,
			why: fmt.Sprintf("it is the label of store %v, all other files are of store %v", l.store, owners[0].store),
		}
	case len(owners) == 0:
		return nil, fmt.Errorf("%w (it cannot be made anew: no other file says which store it is)", unlabelled)
	case !one:
		return nil, fmt.Errorf("%w (it cannot be made anew: %s; move away what does not belong here)",
			unlabelled, several(owners))
	}
	next := label{format: format, store: owners[0].store, clocked: true}
	if next.store == 0 {
		next = label{format: 1}
	}
	o.label = &next
	return fmt.Errorf("lease store %s %w", dir, unlabelled), nil
}

// owner says to which store a file belongs, 0 if it is of format 1.
type owner struct {
	file  string
	store storeID
}

func several(owners []owner) string {
	var text []string
	for _, w := range owners {
		text = append(text, fmt.Sprintf("%s is of store %v", w.file, w.store))
	}
	return strings.Join(text, ", ")
}

// journalOwners asks the watermark and the first batch of each segment.
func journalOwners(o Options, dir string) (owners []owner, err error) {
	names, err := segmentNames(o.FS, dir)
	if err != nil {
		return nil, err
	}
	size := segmentSize
	if o.Small {
		size = smallSize
	}
	scratch := make([]byte, size)
	for _, name := range names {
		content, err := readFile(o.FS, dir, name, scratch)
		if err != nil {
			return nil, err
		}
		for at := 0; at < len(content); at += blockSize { // the first may be damaged
			if h := parseBatch(content[at:]); h.format != 0 {
				owners = append(owners, owner{name, h.store})
				break
			}
		}
	}
	return withWatermark(o, dir, owners), nil
}

// withWatermark adds the store of the watermark, if that can be read.
func withWatermark(o Options, dir string, owners []owner) []owner {
	if w, err := readWatermark(o.FS, dir, anyStore); err == nil {
		owners = append(owners, owner{watermarkName, w.store})
	}
	return owners
}

// pebbleOwners asks the watermark and the header in the database.
func pebbleOwners(o Options, dir string) (owners []owner, err error) {
	o.label, o.readOnly, o.accept = &label{format: format, store: anyStore}, true, true
	s, err := Open("pebble:"+dir, o)
	if err != nil {
		return nil, err
	}
	defer s.Close() //nolint:errcheck // it was read only
	value, closer, err := s.(*pebbleStore).db.Get(headerKey)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
	case err != nil:
		return nil, err
	default:
		h, err := parseHeader(value)
		if err := errors.Join(err, closer.Close()); err != nil {
			return nil, err
		}
		owners = append(owners, owner{"its database", h.store})
	}
	return withWatermark(o, dir, owners), nil
}
