package journal

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
)

// Repair repairs the journal in a directory, as package engine says.
func Repair(dir string, o Options, accept bool) (store.Repaired, error) {
	return disk.Repair(dir, disk.Journal, o.Options, owners,
		func(o disk.Options, unlabelled error) (store.Repaired, error) {
			return repair(dir, Options{Options: o}, accept, unlabelled)
		})
}

// salvage is everything of a journal that can be read.
type salvage struct {
	j       *journal
	batches []foundBatch // in the order of their numbers, from the first that is needed on
	index   index        // the latest record of each binding, by position(file+1, nth)
	names   []string     // of the files
	strange []string     // files that begin with a batch of another store
	highest uint64       // the highest number of a batch that was written or acknowledged
	segment uint32       // the highest number of a segment
	out     store.Repaired
}

// A foundBatch is a whole batch in a file.
type foundBatch struct {
	number uint64
	head   uint64
	clock  lease.Time
	file   int // index of names
	at     int
	end    int // of its records
	nth    int // of its first record among those of the file
}

// repair repairs a journal. Unlabelled is what is wrong with its label, for which o has
// another one.
func repair(dir string, o Options, accept bool, unlabelled error) (store.Repaired, error) {
	o.Go = func(work func()) { work() }
	j, err := claimJournal(dir, o)
	if err != nil {
		return store.Repaired{}, err
	}
	defer func() { _ = j.Close() }()
	fail := func(err error) (store.Repaired, error) {
		return store.Repaired{}, fmt.Errorf("lease store %s %w", dir, err)
	}
	if j.BeingMade() {
		return fail(errors.New("has never been finished; start dhcp4d, which makes it anew"))
	}
	s := &salvage{j: j}
	s.out.Damage = j.scan()
	if s.out.Damage != nil && !errors.As(s.out.Damage, new(*disk.Damage)) {
		return store.Repaired{}, s.out.Damage
	}
	if s.out.Damage == nil {
		err := j.each(func(*lease.Binding) error { s.out.Leases++; return nil })
		if s.out.Damage = unlabelled; err != nil || unlabelled == nil || !accept {
			return s.out, err
		}
		if err := j.MarkRepaired(); err != nil {
			return fail(fmt.Errorf("cannot be repaired: %w", err))
		}
		s.out.Changed = true
		return s.out, nil
	}
	s.out.Damage = errors.Join(unlabelled, s.out.Damage)
	if err := s.read(); err != nil {
		return fail(err)
	}
	if !accept {
		return s.out, nil
	}
	if err := s.write(); err != nil {
		return fail(fmt.Errorf("cannot be repaired: %w", err))
	}
	s.out.Changed = true
	if err := j.scan(); err != nil {
		return s.out, fmt.Errorf("after the repair: %w", err)
	}
	return s.out, nil
}

// read reads every whole batch of every file.
func (s *salvage) read() (err error) {
	j := s.j
	if s.names, err = segmentNames(j.o.FS, j.dir); err != nil {
		return err
	}
	s.highest, s.segment = j.found.Batch, j.found.Segment
	scratch := make([]byte, j.size)
	for file, name := range s.names {
		content, err := disk.ReadFile(j.o.FS, j.dir, name, scratch)
		if err != nil {
			return err
		}
		if first := parseBatch(content); first.format == 2 && first.store != j.ID() {
			s.strange = append(s.strange, name)
		}
		number, _ := segmentNumber(name)
		s.segment = max(s.segment, number)
		nth := 0
		for at := 0; at < len(content); {
			h := parseBatch(content[at:])
			if h.format == 0 || (h.format == 2 && h.store != j.ID()) {
				if torn := parseBatchHeader(content[at:]); torn.format == 2 && torn.store == j.ID() {
					s.highest = max(s.highest, torn.number)
				}
				at += disk.BlockSize
				continue
			}
			b := foundBatch{
				number: h.number, head: h.head, clock: h.clock,
				file: file, at: at, end: at + h.headerLen() + h.octets, nth: nth,
			}
			s.highest, s.segment = max(s.highest, h.number), max(s.segment, h.segment)
			s.batches = append(s.batches, b)
			for c := (cursor{content: content[at:b.end]}); c.next() != nil; {
				nth++
			}
			at += h.length()
		}
		if nth > maxRecords {
			return fmt.Errorf("%s holds more records than any segment", name)
		}
	}
	slices.SortStableFunc(s.batches, func(a, b foundBatch) int { return cmp.Compare(a.number, b.number) })
	s.batches = slices.CompactFunc(s.batches, func(a, b foundBatch) bool { return a.number == b.number })
	return s.sort()
}

// sort leaves out the batches that are not needed any more, counts the missing ones, and finds the
// latest record of each binding.
func (s *salvage) sort() error {
	next := uint64(1)
	if n := len(s.batches); n > 0 {
		next = max(1, s.batches[n-1].head)
	}
	s.batches = slices.DeleteFunc(s.batches, func(b foundBatch) bool { return b.number < next })
	var clock lease.Time
	lose := func(batches uint64) {
		if batches > 0 && s.out.Lost == 0 {
			s.out.Since = clock
		}
		s.out.Lost += batches
	}
	for _, b := range s.batches {
		lose(b.number - next)
		next, clock = b.number+1, b.clock
	}
	// Batches may be missing at the end. If a write was cut short there, that batch was never
	// acknowledged.
	if s.highest >= next {
		lose(s.highest - next + 1)
	}
	return s.each(func(b foundBatch, nth int, record []byte) error {
		if record[store.KeyLen+1] == byte(lease.NoState) {
			if _, had := s.index.remove(record); had {
				s.out.Leases--
			}
		} else if _, had := s.index.put(record, position(uint32(b.file+1), nth)); !had {
			s.out.Leases++
		}
		return nil
	})
}

// each calls fn for every record of every batch, in the order of the numbers.
func (s *salvage) each(fn func(b foundBatch, nth int, record []byte) error) error {
	content := make([]byte, s.j.size)
	read := -1
	var decoded lease.Binding
	for _, b := range s.batches {
		if read != b.file {
			var err error
			if content, err = disk.ReadFile(s.j.o.FS, s.j.dir, s.names[b.file], content[:s.j.size]); err != nil {
				return err
			}
			read = b.file
		}
		c := cursor{content: content[b.at:b.end]}
		for nth := b.nth; ; nth++ {
			record := c.next()
			if record == nil {
				break
			}
			key, value := record[:min(store.KeyLen, len(record))], record[min(store.KeyLen, len(record)):]
			if err := store.Decode(&decoded, key, value); err != nil {
				return fmt.Errorf("%s at offset %d: %w", s.names[b.file], b.at, err)
			}
			if err := fn(b, nth, record); err != nil {
				return err
			}
		}
	}
	return nil
}

// write writes the salvaged records into new segments. The store stays damaged until the last batch
// is written: every batch before it needs a batch that does not exist. The last one says that
// nothing before it is needed.
func (s *salvage) write() error {
	old := s.j
	for _, name := range s.strange {
		from, to := old.o.FS.PathJoin(old.dir, name), old.o.FS.PathJoin(old.dir, "strange-"+name)
		if err := old.o.FS.Rename(from, to); err != nil {
			return err
		}
	}
	j := &journal{
		Directory: old.Directory, dir: old.dir, o: old.o, size: old.size, last: s.highest + 1, clock: old.clock,
	}
	if err := j.BeginRepair(); err != nil {
		return err
	}
	j.needs = j.last
	j.found.Segment = following(s.segment)
	j.batch = disk.NewBlockBuffer(min(batchSize, j.size))
	defer func() {
		_ = j.shut()
		disk.FreeBlockBuffer(j.batch)
	}()
	for _, b := range s.batches {
		j.clock = max(j.clock, b.clock)
	}
	if err := j.advance(); err != nil {
		return err
	}
	var group lease.Batch
	commit := func() error {
		_, err := j.Commit(group.Records)
		group.Reset()
		return err
	}
	var decoded lease.Binding
	if err := s.each(func(b foundBatch, nth int, record []byte) error {
		if s.index.get(record) != position(uint32(b.file+1), nth) {
			return nil
		}
		if err := store.Decode(&decoded, record[:store.KeyLen], record[store.KeyLen:]); err != nil {
			return err
		}
		if group.Add(&decoded); len(group.Records) < repairBatch {
			return nil
		}
		return commit()
	}); err != nil {
		return err
	}
	if err := commit(); err != nil {
		return err
	}
	j.needs = 0
	group.Add(&lease.Binding{ID: lease.ID{Addr: netip.IPv4Unspecified()}}) // a record that removes nothing
	if err := commit(); err != nil {
		return err
	}
	if err := j.FinishRepair(disk.Watermark{Batch: j.last, Sum: j.sum, Segment: j.current().number}); err != nil {
		return err
	}
	old.durable = progress{}
	return nil
}

// repairBatch is how many records go into one commit of a repair.
const repairBatch = 1024

// owners asks the first batch of each segment.
func owners(dir string, o disk.Options) (all []disk.Owner, err error) {
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
		content, err := disk.ReadFile(o.FS, dir, name, scratch)
		if err != nil {
			return nil, err
		}
		for at := 0; at < len(content); at += disk.BlockSize { // the first may be damaged
			if h := parseBatch(content[at:]); h.format != 0 {
				all = append(all, disk.Owner{File: name, Store: h.store})
				break
			}
		}
	}
	return all, nil
}
