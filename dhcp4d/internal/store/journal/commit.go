package journal

import (
	"fmt"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
)

// account enters the next record of s into the index, where it replaces an earlier record of its
// binding.
func (j *journal) account(record []byte, s *segment) {
	at := position(s.number, s.records)
	s.records++
	s.octets += lengthLen + len(record)
	var old uint32
	var had bool
	if record[store.KeyLen+1] == byte(lease.NoState) {
		old, had = j.index.remove(record)
	} else {
		old, had = j.index.put(record, at)
		s.live++
	}
	if had {
		if o := j.segmentOf(old); o != nil {
			o.live--
		}
	}
}

// segmentOf returns the segment of a position, nil if it is not in use any more. Numbers rise,
// mostly by one.
func (j *journal) segmentOf(at uint32) *segment {
	number := uint16(at >> 16)
	for i := min(int(number-uint16(j.segments[0].number)), len(j.segments)-1); i >= 0; i-- {
		if uint16(j.segments[i].number) == number {
			return j.segments[i]
		}
	}
	return nil
}

// Commit implements store.Store. It refuses no record.
func (j *journal) Commit(records []lease.Binding) ([]store.Refusal, error) {
	if err := j.Lost(); err != nil && j.broken == nil {
		j.broken = err
	}
	if j.broken == nil && j.out == nil {
		return nil, fmt.Errorf("%w: %w", store.ErrFailed, errClosed)
	}
	if j.broken == nil {
		j.broken = j.RaiseFormat(store.FormatFor(records))
	}
	j.index.prefetch(records)
	for done := 0; done < len(records) && j.broken == nil; {
		n, err := j.commit(records[done:])
		done += n
		j.broken = err
	}
	if j.broken != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrFailed, j.broken)
	}
	j.records.Add(uint64(len(records)))
	return nil, nil
}

// commit writes as many records as one batch takes, and moves some records out of the oldest
// segment.
func (j *journal) commit(records []lease.Binding) (n int, err error) {
	switch end := j.current().end; {
	case end+disk.BlockSize > j.size:
		if err := j.advance(); err != nil {
			return 0, err
		}
	case end >= j.size/2 && j.next == nil:
		j.prepare()
	}
	s := j.current()
	room := min(j.size-s.end, cap(j.batch))
	b := j.batch[:headerLen]
	for ; n < len(records) && len(b)+recordLen(&records[n]) <= room && s.records < maxRecords; n++ {
		start := len(b)
		b = appendRecord(b, &records[n])
		j.account(b[start+lengthLen:], s)
	}
	if n == 0 { // no room for the first
		s.end = j.size
		return 0, nil
	}
	b, freed, err := j.move(b, room, s)
	if err != nil {
		return 0, err
	}
	if err := j.write(b, s, freed); err != nil {
		return 0, err
	}
	if freed != nil {
		j.segments = j.segments[1:]
		j.Drop(freed.name)
		j.unused = append(j.unused, freed.name)
		j.emptied.Add(1)
	}
	return n, nil
}

// write writes the batch b behind the last one in s. When it is durable, nothing in freed is needed
// any more.
func (j *journal) write(b []byte, s, freed *segment) error {
	j.clock = max(j.clock, j.o.Now())
	h := batchHeader{store: j.ID(), segment: s.number, before: j.sum, number: j.last + 1, clock: j.clock}
	h.head = j.segments[0].first
	if freed != nil {
		h.head = j.segments[1].first
	}
	if h.head == 0 { // s is the oldest, and this its first batch
		h.head = h.number
	}
	if j.needs != 0 {
		h.head = j.needs
	}
	whole, sum := seal(b, &h)
	if err := j.out.Write(whole, int64(s.end)); err != nil {
		return err
	}
	if s.first == 0 {
		s.first = h.number
	}
	s.last, s.end = h.number, s.end+len(whole)
	j.last, j.sum = h.number, sum
	j.acknowledge(progress{j.last, j.sum})
	j.memory.Store(uint64(j.index.octets()) + uint64(cap(j.batch)))
	return nil
}

// ForgetClock has the next commit write the present time, even if the journal has seen a later one.
func (j *journal) ForgetClock() { j.clock = 0 }

func (j *journal) acknowledge(p progress) {
	j.durable = p
	j.Acknowledge(p.batch, p.sum)
}
