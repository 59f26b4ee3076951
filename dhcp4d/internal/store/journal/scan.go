package journal

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
)

// scan reads all segments, checks that nothing is missing, and makes the index. It does not change
// the disk.
//
// A write that was cut short leaves a batch that is not whole behind the last one, and nothing
// behind it. Everything else is damage: a batch whose number or checksum does not follow from the
// batch before; a file with another length, from another store, or of another number; an end before
// the watermark.
func (j *journal) scan() error {
	j.segments, j.unused, j.surplus, j.last, j.sum = nil, nil, nil, 0, 0
	j.index.reset()
	names, err := segmentNames(j.o.FS, j.dir)
	if err != nil {
		return j.unreadable(err)
	}
	if _, err := j.o.FS.Stat(j.o.FS.PathJoin(j.dir, unfinishedName)); err == nil {
		j.surplus = append(j.surplus, unfinishedName)
	}
	if j.found, err = j.ReadWatermark(); err != nil {
		return j.inDir(err)
	}
	mark := j.found
	if known := j.durable; known.batch > mark.Batch { // the journal is opened again
		mark.Batch, mark.Sum = known.batch, known.sum
	}
	scratch := make([]byte, j.size+1)
	var all []*survey
	for _, name := range names {
		content, err := disk.ReadFile(j.o.FS, j.dir, name, scratch)
		if err != nil {
			return j.unreadable(err)
		}
		all = append(all, j.survey(name, content))
	}
	inUse, err := j.order(all, mark)
	if err != nil {
		return j.inDir(err)
	}
	for _, s := range inUse {
		if err := j.take(&s.segment, scratch); err != nil {
			return err
		}
		j.last, j.sum, j.clock = s.last, s.sum, max(j.clock, s.clock)
	}
	j.allow()
	return nil
}

// A survey is what survey has found in the file of a segment.
type survey struct {
	segment
	length int
	head   uint64     // the first batch that is needed, as the last batch says
	clock  lease.Time // of the last batch
	// trail is a header behind the last whole batch: of the batches of this segment there, the one
	// with the highest number. In format 2 that batch need not be whole.
	trail   batchHeader
	trailAt int
	// stray is the header of the file's first batch, if that belongs to another segment or store.
	stray batchHeader
	// marked is the header of the batch that the watermark names, if it is in this file.
	marked *batchHeader
}

// survey finds the batches of a segment, from the beginning on. Each has the number after the one
// before, and in format 2 its checksum.
func (j *journal) survey(name string, content []byte) *survey {
	s := &survey{length: len(content)}
	s.name = name
	s.number, _ = segmentNumber(name)
	first := parseBatch(content)
	if first.format == 2 && !j.own(&first, s.number) {
		s.stray = first
	}
	s.format = first.format
	for s.end < len(content) {
		h := parseBatch(content[s.end:])
		ok := h.format != 0 && h.format == s.format && s.end+h.length() <= len(content)
		if ok && h.format == 2 {
			ok = j.own(&h, s.number) && (s.first == 0 || h.before == s.sum)
		}
		if !ok || (s.first != 0 && h.number != s.last+1) {
			break
		}
		if s.first == 0 {
			s.first, s.before, s.after = h.number, h.before, h.after
		}
		s.last, s.sum, s.head, s.clock, s.end = h.number, h.sum, h.head, h.clock, s.end+h.length()
		if h.number == j.found.Batch {
			s.marked = &h
		}
	}
	for at := s.end; at < len(content); at += disk.BlockSize {
		h := parseBatchHeader(content[at:])
		switch {
		case h.format == 2 && j.own(&h, s.number):
		case h.format == 1 && s.format != 2 && parseBatch(content[at:]).format == 1:
		default:
			continue
		}
		if h.number > s.trail.number {
			s.trail, s.trailAt = h, at
		}
	}
	return s
}

// own reports whether a batch of format 2 was written to the segment with that number.
func (j *journal) own(h *batchHeader, number uint32) bool {
	return h.store == j.ID() && h.segment == number
}

// order returns the segments that count, oldest first. It notes the other files as unused or
// surplus. The error is a *Damage.
func (j *journal) order(all []*survey, mark disk.Watermark) (inUse []*survey, err error) {
	newest := &survey{}
	for _, s := range all {
		if s.last > newest.last {
			newest = s
		}
	}
	highest := max(newest.last, mark.Batch)
	for _, s := range all {
		highest = max(highest, s.trail.number)
	}
	for _, s := range all {
		switch {
		case s.stray.format != 0 && s.stray.store != j.ID():
			return nil, &disk.Damage{
				File: s.name, At: 0,
				Why: fmt.Sprintf("it is a segment of store %v, this is store %v", s.stray.store, j.ID()),
			}
		case s.stray.format != 0 && s.stray.number >= newest.head && newest.head != 0:
			return nil, &disk.Damage{
				File: s.name, At: 0,
				Why: fmt.Sprintf("it holds batch %d, which was written to segment %d: the file was copied or renamed",
					s.stray.number, s.stray.segment),
			}
		}
	}
	present := make(map[uint32]*survey)
	for _, s := range all {
		present[s.number] = s
		counts := s.first != 0 && s.last >= newest.head
		if counts {
			if err := j.follows(inUse, s, newest.head, highest); err != nil {
				return nil, err
			}
			inUse = append(inUse, s)
		}
		madeWhole := counts || (s.number >= newest.number && s.number <= mark.Segment)
		switch {
		case s.length != j.size && madeWhole:
			return nil, &disk.Damage{
				File: s.name, At: int64(min(s.length, j.size)), Why: fmt.Sprintf("its length is not %d", j.size),
				Lost: lost(s, highest),
			}
		case counts:
		case s.length == j.size:
			j.unused = append(j.unused, s.name)
		default: // in format 1 a file had its final name while it was made
			j.surplus = append(j.surplus, s.name)
		}
	}
	if len(inUse) > 0 && inUse[len(inUse)-1] != newest {
		return nil, &disk.Damage{
			File: newest.name, At: 0, Why: "its number is lower than that of a segment with older batches",
			Lost: lost(newest, highest),
		}
	}
	return inUse, j.atTheEnd(all, present, newest, mark)
}

// follows checks that s can come after the segments before it. Head is the first batch that is
// needed.
func (j *journal) follows(before []*survey, s *survey, head, highest uint64) error {
	if len(before) == 0 {
		if (s.format == 2 && s.first > head) || (s.format == 1 && s.after >= head) {
			return &disk.Damage{
				File: s.name, At: 0,
				Why:  fmt.Sprintf("batches %d to %d, which are needed, are missing before it", head, s.first-1),
				Lost: disk.Loss{Known: true, First: head, Last: highest},
			}
		}
		return nil
	}
	p := before[len(before)-1]
	switch {
	case s.format == 1 && p.format == 1 && s.after <= p.last && s.first > p.last:
		return nil
	case s.format == 2 && s.first == p.last+1 && s.before == p.sum && s.number == following(p.number):
		return nil
	}
	if missing := following(p.number); s.number > missing && s.format == 2 {
		return &disk.Damage{File: segmentName(missing), At: -1, Why: "it is missing", Lost: lost(p, highest)}
	}
	why := fmt.Sprintf("batch %d is missing or not whole; the next that is whole is batch %d in %s",
		p.last+1, s.first, s.name)
	if s.first == p.last+1 {
		why = fmt.Sprintf("batch %d is not the one before batch %d in %s", p.last, s.first, s.name)
	}
	return &disk.Damage{File: p.name, At: int64(p.end), Why: why, Lost: lost(p, highest)}
}

// atTheEnd checks what lies behind the last whole batch.
func (j *journal) atTheEnd(all []*survey, present map[uint32]*survey, newest *survey, mark disk.Watermark) error {
	name := newest.name
	if name == "" {
		name = segmentName(1)
	}
	highest := mark.Batch
	for _, s := range all {
		highest = max(highest, s.trail.number)
	}
	for _, s := range all {
		allowed := newest.last + 1 // a write that was cut short
		if s.trail.format == 1 {
			allowed = newest.last // the watermark names it, so it is whole
		}
		if s.trail.number > allowed {
			return &disk.Damage{
				File: name, At: int64(newest.end), Lost: lost(newest, highest),
				Why: fmt.Sprintf("batch %d is not whole, and batch %d lies behind it in %s at offset %d",
					newest.last+1, s.trail.number, s.name, s.trailAt),
			}
		}
	}
	number := newest.number
	if newest.last == 0 && mark.Segment > 0 {
		number = mark.Segment - 1 // earlier ones may have been removed
	}
	for number < mark.Segment {
		number = following(number)
		if present[number] == nil {
			return &disk.Damage{File: segmentName(number), At: -1, Why: "it is missing", Lost: lost(newest, mark.Batch)}
		}
	}
	switch {
	case newest.last < mark.Batch:
		return &disk.Damage{File: name, At: int64(newest.end), Lost: lost(newest, mark.Batch),
			Why: fmt.Sprintf("the journal ends with batch %d, but batch %d was acknowledged", newest.last, mark.Batch)}
	case mark.Batch == j.found.Batch:
		for _, s := range all {
			if s.marked != nil && s.marked.sum != mark.Sum && s.last >= newest.head {
				return &disk.Damage{
					File: s.name, At: -1,
					Why: fmt.Sprintf("its batch %d is not the one that was acknowledged", mark.Batch),
				}
			}
		}
	}
	return nil
}

// lost returns the loss of everything behind the last batch of s, up to the batch with the highest
// number.
func lost(s *survey, highest uint64) disk.Loss {
	return disk.Loss{Known: true, First: s.last + 1, Last: highest, Since: s.clock}
}

// take enters the records of a segment into the index.
func (j *journal) take(s *segment, scratch []byte) error {
	j.segments = append(j.segments, s)
	content, err := readSegment(j.o.FS, j.dir, s, scratch)
	if err != nil {
		return j.unreadable(err)
	}
	var b lease.Binding
	for c := (cursor{content: content}); ; {
		record := c.next()
		if record == nil {
			return nil
		}
		if err := store.Decode(&b, record[:min(store.KeyLen, len(record))], record[min(store.KeyLen, len(record)):]); err != nil {
			return j.inDir(disk.Damaged(fmt.Errorf("%s: %w", s.name, err)))
		}
		j.account(record, s)
	}
}

// each calls fn for every record that counts.
func (j *journal) each(fn func(*lease.Binding) error) error {
	var b lease.Binding
	scratch := make([]byte, j.size)
	for _, s := range j.segments {
		content, err := readSegment(j.o.FS, j.dir, s, scratch)
		if err != nil {
			return j.unreadable(err)
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
			if err := store.Decode(&b, record[:store.KeyLen], record[store.KeyLen:]); err != nil {
				return j.inDir(disk.Damaged(err))
			}
			if err := fn(&b); err != nil {
				return err
			}
		}
	}
	return nil
}

// lastBatch reads the last batch of a segment into b, which must have the room, and returns its
// position in the segment.
func (j *journal) lastBatch(s *segment, b []byte) (at int, batch []byte, err error) {
	content, err := readSegment(j.o.FS, j.dir, s, make([]byte, s.end))
	if err != nil {
		return 0, nil, err
	}
	for at < len(content) {
		h := parseBatchHeader(content[at:])
		if h.number == s.last {
			return at, b[:copy(b, content[at:at+h.length()])], nil
		}
		at += h.length()
	}
	return 0, nil, errors.New("its last batch has gone")
}

func (j *journal) inDir(err error) error { return fmt.Errorf("lease store %s %w", j.dir, err) }

func (j *journal) unreadable(err error) error {
	return j.inDir(disk.Unreadable(err))
}

// keepFirst moves the file of that name to the front of the unused ones.
func (j *journal) keepFirst(name string) {
	if i := slices.Index(j.unused, name); i > 0 {
		j.unused[0], j.unused[i] = j.unused[i], j.unused[0]
	}
}
