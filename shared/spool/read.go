package spool

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
)

// Position returns the position of a cursor. It is not known if its record is not kept: the cursor
// is of another spool, or its record is too old, damaged or removed. Then Position returns the
// oldest one.
func (s *Spool) Position(cursor []byte) (at uint64, known bool) {
	s.mu.Lock()
	files, end := slices.Clone(s.files), s.end
	s.mu.Unlock()
	if len(cursor) != CursorLen {
		return files[0], false
	}
	at = Cursor(cursor).Position()
	if at <= files[0] || at > end {
		return files[0], at == files[0] // nothing before that is kept, whoever has written it
	}
	i, _ := slices.BinarySearch(files, at) // its record is in the file before
	octets, err := s.load(files[i-1], 0, at-files[i-1])
	if err != nil {
		return files[0], false
	}
	for k := range records(octets, files[i-1]) {
		if CursorOf(k.record) == Cursor(cursor) {
			return at, true
		}
	}
	return files[0], false
}

// load reads a part of a file. It returns less if the file ends before, and nothing if it is gone.
func (s *Spool) load(start, from, to uint64) ([]byte, error) {
	f, err := openFile(s.path(start), os.O_RDONLY)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errNoFile):
		return nil, nil
	case err != nil:
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	return io.ReadAll(io.NewSectionReader(f, int64(from), int64(min(to-from, maxFile))))
}

// Bounds returns the positions of the oldest record and behind the newest one.
func (s *Spool) Bounds() (oldest, end uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[0], s.end
}

// Read reads whole records from a position, at most len(b) octets of them, and returns the position
// behind them. It goes on with the oldest if what was there is no longer kept, and passes over what
// is damaged or gone. After an error the same call may succeed later.
func (s *Spool) Read(b []byte, at uint64) (n int, next uint64, err error) {
	s.mu.Lock()
	files, end := slices.Clone(s.files), s.end
	s.mu.Unlock()
	at = max(at, files[0])
	for at < end {
		i, found := slices.BinarySearch(files, at)
		if !found {
			i--
		}
		start, limit := files[i], end
		if i+1 < len(files) {
			limit = files[i+1]
		}
		octets, err := s.load(start, at-start, min(limit, at+uint64(len(b)))-start)
		if err != nil {
			return 0, at, err
		}
		to := 0
		for k, ok := recordAt(octets, 0, at); ok; k, ok = recordAt(octets, to, at) {
			n += copy(b[n:], k.record)
			to = k.to
		}
		if n > 0 {
			return n, at + uint64(to), nil
		}
		if at, err = s.pass(start, at, limit); err != nil {
			return 0, at, err
		}
	}
	return 0, at, nil
}

// pass returns where the next record of a file is after what cannot be read, or else where the file
// ends.
func (s *Spool) pass(start, at, limit uint64) (uint64, error) {
	octets, err := s.load(start, at-start, limit-start)
	if err != nil {
		return at, err
	}
	next := limit
	for k := range records(octets, at) {
		next = at + uint64(k.from)
		break
	}
	s.warn(s.path(start), int(at-start), int(next-at))
	return next, nil
}
