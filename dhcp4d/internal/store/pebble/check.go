package pebble

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
)

// naming adds to an error of Pebble the files that it can mean, if it names none.
func naming(err error, names []string) error {
	var logs []string
	for _, name := range names {
		if strings.Contains(err.Error(), strings.TrimSuffix(name, ".sst")) {
			return err
		}
		if strings.HasSuffix(name, ".log") {
			logs = append(logs, name)
		}
	}
	if len(logs) == 0 || !strings.Contains(err.Error(), "WAL") {
		return fmt.Errorf("its manifest: %w", err)
	}
	return fmt.Errorf("one of %s: %w", strings.Join(logs, ", "), err)
}

// readHeader reads the header, and checks that every commit that was acknowledged is there.
func (s *pebbleStore) readHeader() error {
	value, closer, err := s.db.Get(headerKey)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
	case err != nil:
		return disk.Damaged(err)
	default:
		s.header, err = parseHeader(value)
		if err := errors.Join(err, closer.Close()); err != nil {
			return disk.Damaged(err)
		}
	}
	h := &s.header
	acked := max(s.found.Batch, s.durable)
	switch {
	case h.store != s.ID() && h.number > 0:
		return &disk.Damage{
			File: "a log or a table", At: -1,
			Why: fmt.Sprintf("it has commits of store %v, this is store %v", h.store, s.ID()),
		}
	case h.commits > h.number:
		return &disk.Damage{
			File: "its log or its manifest", At: -1, Why: fmt.Sprintf("of %d commits some are there twice", h.number),
		}
	case s.o.accept:
		s.given = max(s.given, max(h.number, acked)-h.commits)
		h.store, h.number, s.anew = s.ID(), max(h.number, acked), true
		h.commits = h.number
	case h.commits < h.number:
		return &disk.Damage{
			File: "its log or its manifest", At: -1,
			Why: fmt.Sprintf("of %d commits only %d are there", h.number, h.commits),
		}
	case h.number < acked:
		return &disk.Damage{
			File: "its log", At: -1,
			Why:  fmt.Sprintf("the newest commit is number %d, but number %d was acknowledged", h.number, acked),
			Lost: disk.Loss{Known: true, First: h.number + 1, Last: acked, Since: h.clock},
		}
	}
	return nil
}

// checkTables compares the first and the last key of every table with the manifest: Pebble would
// not notice another table of the same length in its place.
func (s *pebbleStore) checkTables() error {
	levels, err := s.db.SSTables()
	if err != nil {
		return disk.Damaged(err)
	}
	for _, level := range levels {
		for i := range level {
			t := &level[i]
			name := fmt.Sprintf("%06d.sst", t.BackingSSTNum)
			first, last, err := s.bounds(name)
			if err != nil {
				return disk.Damaged(fmt.Errorf("%s: %w", name, err))
			}
			if first != t.Smallest.String() || last != t.Largest.String() {
				return &disk.Damage{File: name, At: -1, Why: "it is not the table that the manifest means"}
			}
		}
	}
	return nil
}

// bounds returns the first and the last key of a table.
func (s *pebbleStore) bounds(name string) (first, last string, err error) {
	f, err := s.o.FS.Open(s.o.FS.PathJoin(s.dir, name))
	if err != nil {
		return "", "", err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		_ = f.Close()
		return "", "", err
	}
	r, err := sstable.NewReader(context.Background(), readable, sstable.ReaderOptions{})
	if err != nil {
		return "", "", errors.Join(err, readable.Close())
	}
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return "", "", errors.Join(err, r.Close())
	}
	if kv := it.First(); kv != nil {
		first = kv.K.String()
	}
	if kv := it.Last(); kv != nil {
		last = kv.K.String()
	}
	return first, last, errors.Join(it.Error(), it.Close(), r.Close())
}

func (s *pebbleStore) damage(err error) error {
	return fmt.Errorf("lease store %s %w", s.dir, disk.Damaged(err))
}
