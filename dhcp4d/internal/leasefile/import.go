package leasefile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// Reason is why something that was read is not imported, or what else the
// operator should know of it.
type Reason uint8

// The reasons. Those from Outside on are of leases that are imported.
const (
	Malformed    Reason = iota // the line cannot be read
	Overridden                 // a later line about the address
	Deleted                    // taken away by a later line
	Ended                      // the lease has ended
	WasReleased                // given back by its client
	Unsubnetted                // the address lies in no subnet
	WrongSubnet                // by id: no such subnet, or the address is not in it
	Present                    // the store has it, or something newer of the same client
	TakenByOther               // the store has a lease in force of another client
	HasOther                   // the store has a lease in force of the client at another address
	Outside                    // in no pool, and not reserved
	reasons      = iota
)

var reasonTexts = [reasons]string{
	Malformed:    "lines that cannot be read",
	Overridden:   "lines that a later line about the address replaces",
	Deleted:      "leases that a later line takes away",
	Ended:        "leases that have ended",
	WasReleased:  "leases that their clients have given back",
	Unsubnetted:  "leases of addresses in no subnet of DHCP4D_SUBNETS",
	WrongSubnet:  "leases whose subnet id is none of DHCP4D_SUBNETS, or of another prefix",
	Present:      "leases that the store has, or newer",
	TakenByOther: "leases of addresses that the store has leased to another client",
	HasOther:     "leases of clients that the store has given another address of the subnet",
	Outside:      "leases outside the pools: kept until they end, and not renewed",
}

// String is what the report says of so many of them.
func (r Reason) String() string { return reasonTexts[r] }

// Skipped reports whether a lease with this reason is not imported.
func (r Reason) Skipped() bool { return r < Outside }

// Example is one thing that a reason was given for.
type Example struct {
	Where string // file and line
	What  string
}

// examples is how many are kept of each reason.
const examples = 3

// Report is what became of everything that was read.
type Report struct {
	Files    []string
	Lines    int // read, without headers
	Imported int
	Counts   [reasons]int
	Examples [reasons][]Example
}

func (p *Report) add(r Reason, where origin, what string) {
	p.Counts[r]++
	if len(p.Examples[r]) < examples {
		p.Examples[r] = append(p.Examples[r], Example{fmt.Sprintf("%s line %d", p.Files[where.file], where.line), what})
	}
}

// ImportOptions are how an import is done.
type ImportOptions struct {
	Subnets *network.Subnets
	// ByID takes the subnet by the id in the file. Otherwise the address
	// tells, which does without equal ids.
	ByID   bool
	DryRun bool
	// Clock goes on with the time line of the store. Leases in files have the times of the wall
	// clock.
	Clock *clock.Clock
	// Progress is told, now and then, of how many of how many things a step
	// has done; all is 0 where it is not known. It may be nil.
	Progress func(step string, done, all int)
}

// origin is where something was read.
type origin struct{ file, line int }

// found is the last word of the files about an address.
type found struct {
	origin
	binding lease.Binding
	keaID   uint32
	skip    Reason
	skipped bool
}

// importer is one import.
type importer struct {
	ImportOptions
	now    lease.Time // by the wall clock, as all times of leases here
	ahead  lease.Time // of the wall clock to the times in the store
	report Report
	last   map[lease.ID]*found
	order  []*found
}

// Import brings leases from files into an open store, which must not have been loaded yet. It reads
// Kea's lease files and our own exports, and tells them apart by their first line.
//
// It reads everything, decides about every lease, and only then writes, so that a file that cannot
// be read changes nothing. What it writes replaces only what it may: never a lease in force of
// somebody else. An import that was cut short is completed by the same import again.
func Import(files []string, s store.Store, o ImportOptions) (*Report, error) {
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	if _, err := store.Resume(s, o.Clock); err != nil {
		return new(Report), err
	}
	m := &importer{ImportOptions: o, now: o.Clock.Shown(), ahead: o.Clock.Ahead(), last: make(map[lease.ID]*found)}
	for _, name := range files {
		if err := m.read(name); err != nil {
			return &m.report, err
		}
	}
	m.findSubnets()
	if err := m.compare(s); err != nil {
		return &m.report, err
	}
	return &m.report, m.write(s)
}

// read reads a file, and for one of Kea's what its compaction has left beside it.
func (m *importer) read(name string) error {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		f, err = nil, nil // Kea may have left only parts of it
	}
	if err != nil {
		return err
	}
	header := ""
	if f != nil {
		defer f.Close() //nolint:errcheck // nothing was written to it
		header, err = bufio.NewReader(io.LimitReader(f, 4<<10)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	switch {
	case f == nil || isKeaHeader(header):
		parts, err := keaFiles(name)
		if err != nil {
			return err
		}
		for _, part := range parts {
			if err := m.readFile(part, m.kea); err != nil {
				return err
			}
		}
		return nil
	case strings.HasPrefix(header, strings.Join(columns[:oldColumns], ",")):
		return m.readFile(name, func(r io.Reader) error { return Read(r, CSV, m.takeOwn) })
	case strings.HasPrefix(header, "{"):
		return m.readFile(name, func(r io.Reader) error { return Read(r, NDJSON, m.takeOwn) })
	case strings.TrimSpace(header) == "":
		return fmt.Errorf("%s: is empty, which no export and no lease file is", name)
	}
	return fmt.Errorf("%s: is neither a lease file of kea-dhcp4 nor an export of dhcp4d as csv or ndjson", name)
}

func (m *importer) readFile(name string, read func(io.Reader) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written to it
	m.report.Files = append(m.report.Files, name)
	if err := read(f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (m *importer) kea(r io.Reader) error {
	return readKea(r, func(line int, l *keaLease, err error) error {
		at := m.line(line)
		if err != nil {
			m.report.add(Malformed, at, err.Error())
			return nil
		}
		f := &found{origin: at, keaID: l.SubnetID}
		switch {
		case l.State == keaGone:
			f.binding.Addr, f.skip, f.skipped = l.Address, Deleted, true
		case l.State == keaReleased:
			f.binding.Addr, f.skip, f.skipped = l.Address, WasReleased, true
		case l.State == keaReclaimed || l.Expires <= m.now:
			f.binding.Addr, f.skip, f.skipped = l.Address, Ended, true
		default:
			if f.binding, err = l.binding(); err != nil {
				m.report.add(Malformed, at, err.Error())
				return nil
			}
		}
		m.take(f)
		return nil
	})
}

// takeOwn takes everything: former leases too, so that clients can have their addresses again.
func (m *importer) takeOwn(line int, l *Lease, err error) error {
	at := m.line(line)
	f := &found{origin: at, keaID: l.Subnet}
	if err == nil {
		f.binding, err = l.Binding()
	}
	if err != nil {
		m.report.add(Malformed, at, err.Error())
		return nil
	}
	m.take(f)
	return nil
}

// line counts a line of the file at hand.
func (m *importer) line(line int) origin {
	m.report.Lines++
	if m.report.Lines%readStep == 0 {
		m.Progress("read", m.report.Lines, 0)
	}
	return origin{len(m.report.Files) - 1, line}
}

// take makes f the last word about its identity.
func (m *importer) take(f *found) {
	id := f.binding.ID
	if old := m.last[id]; old != nil {
		m.report.add(Overridden, old.origin, id.Addr.String())
		*old = *f
		return
	}
	m.last[id] = f
	m.order = append(m.order, f)
}

// findSubnets finds the subnet of each lease.
func (m *importer) findSubnets() {
	reserved := map[netip.Addr]bool{}
	for i := range m.Subnets.All {
		for _, r := range m.Subnets.All[i].Reservations.All() {
			reserved[r.Addr] = true
		}
	}
	for _, f := range m.order {
		if f.skipped {
			m.skip(f, f.skip)
			continue
		}
		sub := m.Subnets.Containing(f.binding.Addr)
		switch {
		case m.ByID && (sub == nil || sub.ID != f.keaID):
			m.skip(f, WrongSubnet)
			continue
		case sub == nil:
			m.skip(f, Unsubnetted)
			continue
		}
		b := &f.binding
		b.Subnet = sub.ID
		// A clock that was ahead must not make ours look as if it were behind.
		b.Start, b.Changed = min(b.Start, m.now), min(b.Changed, m.now)
		if sub.PoolOf(b.Addr) < 0 && !reserved[b.Addr] {
			m.report.add(Outside, f.origin, b.Addr.String())
		}
	}
}

func (m *importer) skip(f *found, r Reason) {
	f.skipped = true
	m.report.add(r, f.origin, f.binding.Addr.String())
}

// owner is a client in a subnet.
func owner(b *lease.Binding) string { return fmt.Sprintf("%d %s", b.Subnet, b.Client) }

// compare drops what the store knows better.
func (m *importer) compare(s store.Store) error {
	inForce := map[string]lease.ID{}
	n := 0
	loaded, err := s.Load(func(stored *lease.Binding) error {
		moved := stored.Moved(m.ahead)
		b := &moved
		if n++; n%readStep == 0 {
			m.Progress("compare", n, 0)
		}
		live := b.Expires > m.now && b.State != lease.Released
		if live && b.State == lease.Bound {
			inForce[owner(b)] = b.ID
		}
		f := m.last[b.ID]
		switch {
		case f == nil || f.skipped:
		case string(b.Client) == string(f.binding.Client) && b.Changed >= f.binding.Changed:
			m.skip(f, Present)
		case live && string(b.Client) != string(f.binding.Client):
			m.skip(f, TakenByOther)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := store.Settle(s, loaded, m.Clock); err != nil {
		return err
	}
	m.ahead = m.Clock.Ahead()
	for _, f := range m.order {
		if f.skipped || f.binding.State != lease.Bound {
			continue
		}
		if a, ok := inForce[owner(&f.binding)]; ok && a != f.binding.ID {
			m.skip(f, HasOther)
		}
	}
	return nil
}

const (
	readStep  = 50_000 // lines between two words of progress
	writeStep = 10_000 // records of one commit
)

// write writes what is left, so many at a time.
func (m *importer) write(s store.Store) error {
	all := 0
	for _, f := range m.order {
		if !f.skipped {
			all++
		}
	}
	if m.DryRun {
		m.report.Imported = all
		return nil
	}
	group := make([]lease.Binding, 0, min(all, writeStep))
	from := make([]*found, 0, cap(group)) // where each of the group comes from
	flush := func() error {
		refused, err := s.Commit(group)
		if err != nil {
			return fmt.Errorf("after %d of %d leases: %w; import again when that is put right",
				m.report.Imported, all, err)
		}
		for i := range refused {
			m.skip(from[refused[i].Record], TakenByOther)
		}
		m.report.Imported += len(group) - len(refused)
		group, from = group[:0], from[:0]
		m.Progress("write", m.report.Imported, all)
		return nil
	}
	for _, f := range m.order {
		if f.skipped {
			continue
		}
		group, from = append(group, f.binding.Moved(-m.ahead)), append(from, f)
		if len(group) == writeStep {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}
