package journal

import (
	"fmt"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
)

// The oldest segment is emptied when there are more segments than allowed. Each commit looks at
// some of its records, and writes those again that the index still points to. When it has looked at
// all of them, the file is free.

const (
	// leastSegments is how many segments may always be in use.
	leastSegments = 4
	// emptying is how many octets of the oldest segment a commit looks at for each octet that it
	// writes, while there are too many segments.
	emptying = 4
)

// cleaning is the state of emptying the oldest segment.
type cleaning struct {
	oldest *task  // its content; nil while none is emptied
	spare  []byte // memory for that
	cursor cursor
	nth    int // the record at the cursor
}

func (c *cleaning) stop() {
	if c.oldest != nil {
		c.oldest.result()
		c.oldest = nil
	}
}

// allow computes how many segments may be in use: twice as many as the live records need.
func (j *journal) allow() {
	octets := 0
	for _, s := range j.segments {
		if s.live > 0 {
			octets += s.octets / s.records * s.live
		}
	}
	j.allowed = max(leastSegments, 2*(octets/j.size+1))
}

// move appends to the batch b some records of the oldest segment that still count, as far as room
// and s allow. It returns that segment once it has looked at all of it: the segment is free when
// the batch is durable.
func (j *journal) move(b []byte, room int, s *segment) ([]byte, *segment, error) {
	c := &j.clean
	if c.oldest == nil {
		if len(j.segments) <= j.allowed {
			return b, nil, nil
		}
		first := j.segments[0]
		if c.spare == nil {
			c.spare = make([]byte, j.size)
		}
		c.oldest, c.cursor, c.nth = j.later(func() (a task) {
			a.content, a.err = readSegment(j.o.FS, j.dir, first, c.spare)
			return a
		}), cursor{}, 0
	}
	if !j.o.Small && !c.oldest.ready() {
		return b, nil, nil // the segment is still being read
	}
	r, from := c.oldest.result(), j.segments[0]
	if r.err != nil {
		return b, nil, r.err
	}
	c.cursor.content = r.content
	for look := emptying * (len(b) + disk.BlockSize); look > 0; {
		here := c.cursor
		record := c.cursor.next()
		if record == nil {
			c.oldest, c.cursor = nil, cursor{}
			if from.live != 0 {
				return b, nil, fmt.Errorf("%s: %d records that count were not found", from.name, from.live)
			}
			return b, from, nil
		}
		if j.counts(record, from, c.nth) {
			if len(b)+lengthLen+len(record) > room || s.records >= maxRecords {
				c.cursor = here
				return b, nil, nil
			}
			b = appendCopy(b, record)
			j.account(record, s)
		}
		look -= c.cursor.at - here.at
		c.nth++
	}
	return b, nil, nil
}

// counts reports whether a segment's nth record is the latest of its binding.
func (j *journal) counts(record []byte, s *segment, nth int) bool {
	return len(record) > store.KeyLen+1 && record[store.KeyLen+1] != byte(lease.NoState) &&
		j.index.get(record) == position(s.number, nth)
}
