package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// scan reads all segments, checks that nothing is missing, and makes the index.
// It changes nothing on disk.
func (j *journal) scan() error {
	j.segments, j.unused, j.surplus, j.last, j.number = nil, nil, nil, 0, 0
	j.index.reset()
	names, err := segmentNames(j.o.fs, j.dir)
	if err != nil {
		return fmt.Errorf("lease store %s cannot be read: %w", j.dir, err)
	}
	// First what is there at all, then what of it counts.
	var found []*segment
	var newest batchHeader
	var stray uint64
	scratch := make([]byte, j.size)
	for _, name := range names {
		content, err := readFile(j.o.fs, j.dir, name, scratch)
		if err != nil {
			return fmt.Errorf("lease store %s cannot be read: %w", j.dir, err)
		}
		s, last, beyond, err := survey(name, content)
		if err != nil {
			return j.damage(err)
		}
		stray = max(stray, beyond)
		j.number = max(j.number, s.number)
		if last.number > newest.number {
			newest = last
		}
		switch {
		case s.first != 0:
			found = append(found, s)
		case len(content) == j.size:
			j.unused = append(j.unused, name)
		default: // it was being made
			j.surplus = append(j.surplus, name)
		}
	}
	if stray > newest.number {
		return j.damage(fmt.Errorf("batches before %d are not whole", stray))
	}
	j.last, j.clock = newest.number, max(j.clock, newest.clock)
	for _, s := range found {
		if s.last < newest.head {
			j.unused = append(j.unused, s.name)
			continue
		}
		if n := len(j.segments); n == 0 && s.after >= newest.head || n > 0 && s.after > j.segments[n-1].last {
			return j.damage(fmt.Errorf("batches before %d, in %s, are missing", s.first, s.name))
		}
		j.segments = append(j.segments, s)
		content, err := readSegment(j.o.fs, j.dir, s, scratch)
		if err != nil {
			return fmt.Errorf("lease store %s cannot be read: %w", j.dir, err)
		}
		var b lease.Binding
		for c := (cursor{content: content}); ; {
			record := c.next()
			if record == nil {
				break
			}
			if err := decode(&b, record[:min(keyLen, len(record))], record[min(keyLen, len(record)):]); err != nil {
				return j.damage(fmt.Errorf("%s: %w", s.name, err))
			}
			j.account(record, s)
		}
	}
	if n := len(j.segments); n > 0 && j.segments[n-1].last != newest.number {
		return j.damage(errors.New("its segments are in no order"))
	}
	j.allow()
	return nil
}

// survey finds the batches of a segment: a row of numbers without a gap. What
// is behind it is left from an earlier use of the file, or was being written
// when we were stopped. Beyond is the highest number of a whole batch there:
// if no row reaches it, something before it has been damaged.
func survey(name string, content []byte) (s *segment, last batchHeader, beyond uint64, err error) {
	number, err := strconv.ParseUint(strings.TrimPrefix(name, "segment-"), 10, 32)
	if err != nil {
		return nil, last, 0, fmt.Errorf("%s is no name of a segment", name)
	}
	s = &segment{name: name, number: uint32(number)}
	for s.end < len(content) {
		h := parseBatch(content[s.end:])
		if h.number == 0 || s.first != 0 && h.number != s.last+1 || s.end+h.length() > len(content) {
			break
		}
		if s.first == 0 {
			s.first, s.after = h.number, h.after
		}
		s.last, s.end, last = h.number, s.end+h.length(), h
	}
	for at := s.end; at < len(content); at += blockSize {
		beyond = max(beyond, parseBatch(content[at:]).number)
	}
	return s, last, beyond, nil
}

// each hands out every record that counts.
func (j *journal) each(fn func(*lease.Binding) error) error {
	var b lease.Binding
	scratch := make([]byte, j.size)
	for _, s := range j.segments {
		content, err := readSegment(j.o.fs, j.dir, s, scratch)
		if err != nil {
			return fmt.Errorf("lease store %s cannot be read: %w", j.dir, err)
		}
		c := cursor{content: content}
		for nth := 0; ; nth++ {
			record := c.next()
			if record == nil {
				break
			}
			if !j.counts(record, s, nth) {
				continue
			}
			if err := decode(&b, record[:keyLen], record[keyLen:]); err != nil {
				return j.damage(err)
			}
			if err := fn(&b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (j *journal) damage(err error) error {
	return fmt.Errorf("lease store %s %w", j.dir, damaged(err))
}

// lastBatch reads the last batch of a segment.
func lastBatch(fsys vfs.FS, dir string, s *segment) ([]byte, error) {
	content, err := readSegment(fsys, dir, s, make([]byte, s.end))
	if err != nil {
		return nil, err
	}
	for at := 0; ; {
		h := parseBatch(content[at:])
		if h.number == s.last {
			again := newBatchBuffer(h.length())
			return again[:copy(again, content[at:at+h.length()])], nil
		}
		at += h.length()
	}
}
