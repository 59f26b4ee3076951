// Package leases is the book of leases of a running dhcp4d: everything that is known about every
// address, in memory, in front of the store.
//
//   - [Book] has the table behind its locks and goes by one clock. It decides about queries.
//   - [Changes] is what a commit group changes, until the group is durable.
//   - [Notifier] counts changes and tells the observers. [Expiry] ends what has run out.
//   - People look at leases (people.go), and order changes (orders.go). Package operator waits for
//     the commits of these.
//
// # Locks
//
// From the outside in: a goroutine that holds one of them takes only those below it.
//
//	Book.looking       people look at some leases, one of them at a time
//	Committer.disk     a group is being written, or the store is opened again (package commit)
//	Committer.reading  the changes of other dhcp4d are read, or the store is opened again
//	Book.notifying     observers are called
//	Book.batch         a batch of queries is decided, or the configuration changes
//	Committer.mu       the group that gathers (package commit)
//	Book.mu            the table
//
// The packet loop holds Book.batch while it reads and serves a batch, and Committer.mu while it
// serves. Hooks and log lines run under both. Answers are sent, and the disk is synced, under
// neither. Book.mu is held for one decision, never over a hook or a system call. No other package
// takes the locks of the book.
//
// # The order of notices
//
// Observers see the changes of one address in the order in which they happened, and none of them
// before it is durable. Most changes have a record in a commit group. The end of a lease by time
// has none, and the end of a lease that another one replaces is noted before the group is durable.
// So the book keeps the endings, each with its position among the records, until a [Notifier] may
// notify of them.
package leases

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/free"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/slowlock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/table"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// Book is the table of leases behind its locks. Any goroutine may call its methods.
type Book struct {
	clock   *clock.Clock
	metrics *Metrics

	// notifying is held from the choice of the endings to the last call of an observer. Otherwise
	// the goroutine that expires leases could notify of an end after the committer has notified of
	// the next lease of the address.
	notifying sync.Mutex

	// batch is held while the queries of a batch are decided, and for anything that must happen
	// between two batches.
	batch sync.Mutex

	// looking is held while somebody looks at some leases, and in the pause after that.
	looking slowlock.Lock
	looked  time.Duration // since the last pause, guarded by looking

	mu       sync.Mutex
	table    *table.Table
	settings *Settings   // what the table is laid out for
	loads    uint32      // tables so far: a ScanPosition is in one of them only
	ended    endings     // of which no Notifier has notified
	later    endings     // memory for those that stay
	at       position    // where the next ending is
	notified uint64      // the last commit group of which a Notifier has notified, or does so now
	facts    lease.Facts // of the decision at hand
	share    free.Share  // of the addresses; this process notifies of leases in it that end by time

	orphans atomic.Bool // whether some lease was in no subnet when they were last counted
}

// endings are leases that have ended by time, or because their clients took other addresses. They
// are in the order in which they ended.
type endings struct {
	list     []ending
	bindings lease.Batch
}

// ending is an end of a lease.
type ending struct {
	event  lease.Event
	at     position
	stored uint64 // the commit group that has the record of the lease, 0 if it was loaded
}

// position is one among the records of all commit groups: in front of a record of a group.
type position struct {
	seq    uint64
	record int
}

// inFrontOf reports whether the position is in front of a record of group seq.
func (p position) inFrontOf(seq uint64, record int) bool {
	return p.seq < seq || (p.seq == seq && p.record <= record)
}

// byTime reports whether the lease has ended by time. Such an end has no record.
func (e *ending) byTime() bool { return e.event != lease.EventReleased }

func (n *endings) add(e ending, b *lease.Binding) {
	n.list = append(n.list, e)
	n.bindings.Add(b)
}

func (n *endings) reset() {
	n.list = n.list[:0]
	n.bindings.Reset()
}

// New makes an empty book for a configuration.
func New(c *clock.Clock, s *Settings, m *Metrics) *Book {
	b := &Book{clock: c, settings: s, metrics: m}
	b.table = b.newTable(s)
	return b
}

func (b *Book) newTable(s *Settings) *table.Table {
	return table.New(s.layout(), table.Options{Ended: func(e lease.Event, l *lease.Binding, stored uint64) {
		end := ending{e, b.at, stored}
		if end.byTime() && !b.share.Has(free.Number(l.Addr)) {
			return // every process sees it: the one whose share has the address notifies
		}
		b.ended.add(end, l)
	}})
}

// Load replaces the table by one with the leases of the store. The clock must already follow the
// store's time line ([store.Resume]). Reading the store takes no lock: the old table is in use
// until Load returns.
func (b *Book) Load(s store.Store) (store.Loaded, error) {
	settings, over := b.Settings(), b.clock.Now().Over()
	t := b.newTable(settings)
	found, err := s.Load(func(l *lease.Binding) error { return t.Load(l, over) })
	if err != nil {
		return found, err
	}
	if err := store.Settle(s, found, b.clock); err != nil {
		return found, err
	}
	over = b.clock.Now().Over()
	b.mu.Lock()
	defer b.mu.Unlock()
	t.Loaded(over)
	if b.settings != settings { // the configuration was reloaded meanwhile
		t.Reconfigure(b.settings.layout())
	}
	t.SetShare(b.share)
	b.table = t
	b.loads++
	// What the failed store has not taken did not happen.
	var gone endings
	b.divide(&gone, func(e *ending) bool { return !e.byTime() || e.stored > b.notified })
	return found, nil
}

// Each calls fn for every lease that the table has, present and former, as the store has them. The
// first error of fn ends it.
func (b *Book) Each(fn func(*lease.Binding) error) error {
	return b.EachUpTo(0, func(l *lease.Binding, _ bool) error { return fn(l) })
}

// EachUpTo does what Each does. Upto reports that the record is of no commit group later than seq.
func (b *Book) EachUpTo(seq uint64, fn func(l *lease.Binding, upto bool) error) error {
	var some lease.Batch
	var upto []bool
	for at := uint32(0); ; {
		some.Reset()
		upto = upto[:0]
		b.between(func(t *table.Table) {
			at = t.Scan(at, scanBatch, func(l *lease.Binding) {
				if l.State != lease.NoState && l.State != lease.Offered {
					some.Add(l)
				}
			})
			for i := range some.Records {
				upto = append(upto, !t.IsLater(some.Records[i].Addr, seq))
			}
		})
		for i := range some.Records {
			if err := fn(&some.Records[i], upto[i]); err != nil {
				return err
			}
		}
		if at == 0 {
			return nil
		}
	}
}

// Settings returns the configuration in effect.
func (b *Book) Settings() *Settings {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.settings
}

// Reconfigure puts another configuration into effect, between two batches of queries. It calls
// install at the same moment, for everything else that takes effect then. Leases outside of the
// configuration are kept until they end, but are not renewed. A change of pools or reservations
// takes 20 ms for each million of leases, and queries wait in the socket meanwhile. No other change
// takes such time.
func (b *Book) Reconfigure(next *Settings, install func()) {
	layout := next.layout()
	b.between(func(t *table.Table) {
		t.Reconfigure(layout)
		b.settings = next
		install()
	})
}

// Holdings is how many leases the book holds, for a log line.
type Holdings struct {
	Bound, Declined, Former int
	BySubnet                string // bound leases as id:number, for the first subnets that have any
}

// namedSubnets is how many subnets Holdings names.
const namedSubnets = 20

// Holdings counts the leases of the subnets of the configuration.
func (b *Book) Holdings() (h Holdings) {
	var named []string
	more := 0
	b.with(func(t *table.Table) {
		for i := range b.settings.subnets.All {
			c := t.Counts(i)
			h.Bound, h.Declined, h.Former = h.Bound+c.Bound, h.Declined+c.Declined, h.Former+c.Former
			switch {
			case c.Bound == 0:
			case len(named) < namedSubnets:
				named = append(named, fmt.Sprintf("%d:%d", b.settings.subnets.All[i].ID, c.Bound))
			default:
				more++
			}
		}
	})
	if more > 0 {
		named = append(named, fmt.Sprintf("and %d more subnets", more))
	}
	h.BySubnet = strings.Join(named, " ")
	return h
}

// unrenewedAtOnce is how many leases Unrenewed looks at under one lock.
const unrenewedAtOnce = 4096

// Unrenewed is what [Book.Unrenewed] counts.
type Unrenewed = table.Unrenewed

// Unrenewed counts the leases in force that the configuration does not renew. No query waits long
// for it.
func (b *Book) Unrenewed() (u Unrenewed) {
	for from, more := uint32(0), true; more; {
		b.with(func(t *table.Table) { from = t.Unrenewed(from, unrenewedAtOnce, &u) })
		more = from != 0
	}
	b.orphans.Store(u.NoSubnet > 0)
	return u
}

// orphaned returns how many leases in force are in no subnet. It counts only if the last start or
// reload has found any.
func (b *Book) orphaned() int {
	if !b.orphans.Load() {
		return 0
	}
	return b.Unrenewed().NoSubnet
}

// BeginBatch begins a batch of queries. The configuration does not change until EndBatch. It
// returns the time of day and the time of leases.
func (b *Book) BeginBatch() (time.Time, lease.Time) {
	b.batch.Lock()
	return b.clock.Read()
}

// EndBatch ends a batch.
func (b *Book) EndBatch() { b.batch.Unlock() }

// Prefetch reads the table for all queries of a batch before the first is decided, so that cache
// misses overlap ([table.Table.Prefetch]).
func (b *Book) Prefetch(queries []*lease.Query) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.table.Prefetch(queries)
}

// Propose decides about a query and changes nothing.
func (b *Book) Propose(q *lease.Query, now lease.Time) lease.Decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.decide(q, now)
}

func (b *Book) decide(q *lease.Query, now lease.Time) lease.Decision {
	b.table.Look(q, now.Over(), &b.facts)
	return lease.Decide(q, &b.settings.Policies[q.Subnet], &b.facts, now)
}

// Fit returns how well the subnet of q suits it, where several subnets share a link.
func (b *Book) Fit(q *lease.Query, now lease.Time) lease.Fit {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.table.Look(q, now.Over(), &b.facts)
	return lease.FitOf(q, &b.settings.Policies[q.Subnet], &b.facts, now)
}

// Group is the commit group that takes the records of decisions.
type Group struct {
	Records *lease.Batch
	Seq     uint64
	Full    bool // whether it takes no more records
}

// Decide decides about a query, carries the decision out in memory, and adds its record to the
// group. Wanted, if valid, is the address that hooks want instead.
func (b *Book) Decide(q *lease.Query, wanted netip.Addr, now lease.Time, g Group) lease.Decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.decide(q, now)
	if wanted.IsValid() && wanted != d.Addr {
		standing := b.table.Stand(q, wanted, now.Over())
		if !d.Redirect(q, &b.settings.Policies[q.Subnet], &standing, now) {
			// The hooks want an address that the client cannot have.
			return lease.Decision{Kind: lease.Dropped, Drop: drop.Hook}
		}
	}
	if d.Change == lease.None {
		return d
	}
	if d.Change.Durable() && g.Full {
		return lease.Decision{Kind: lease.Dropped, Drop: drop.QueueFull}
	}
	b.at = position{g.Seq, len(g.Records.Records)}
	b.table.Apply(q, &d, now, g.Seq, g.Records)
	b.at.record = len(g.Records.Records)
	return d
}

// Standing returns a copy of what is known about an address, with times of the wall clock. It is
// not ok if nothing is known.
func (b *Book) Standing(a netip.Addr) (found lease.Binding, ok bool) {
	var copied lease.Batch
	b.with(func(t *table.Table) {
		var binding lease.Binding
		if t.Get(lease.ID{Addr: a}, &binding) {
			moved := binding.Moved(b.clock.Ahead())
			copied.Add(&moved)
		}
	})
	if len(copied.Records) == 0 {
		return found, false
	}
	return copied.Records[0], true
}

// Refused takes back the records of commit group seq that the store has refused, and enters the
// holders of their addresses. An error means that the record of a holder is not valid. Its address
// then counts as free.
func (b *Book) Refused(records []lease.Binding, refused []store.Refusal, seq uint64) (err error) {
	b.between(func(t *table.Table) {
		over := b.clock.Now().Over()
		for i := range refused {
			if r := &refused[i]; isLast(records, r.Record) {
				err = errors.Join(err, t.Refused(records[r.Record].ID, &r.Holder, seq, over))
			}
		}
	})
	return err
}

// foreignAtOnce is how many leases Foreign takes over before queries get their turn.
const foreignAtOnce = 1024

// Foreign takes over the leases that other processes have changed, as they were read from the store
// after commit group seq. A lease of which a later group has a record stays; it is among those that
// must be read again. The error says which records are not valid. Their addresses then count as
// free.
func (b *Book) Foreign(changed []lease.Binding, seq uint64) (again []lease.ID, err error) {
	for some := range slices.Chunk(changed, foreignAtOnce) {
		b.between(func(t *table.Table) {
			over := b.clock.Now().Over()
			for i := range some {
				later, wrong := t.Foreign(&some[i], seq, over)
				if err = errors.Join(err, wrong); later {
					again = append(again, some[i].ID)
				}
			}
		})
	}
	return again, err
}

// SetShare says which free addresses are given out first.
func (b *Book) SetShare(s store.Share) {
	b.between(func(t *table.Table) {
		b.share = free.Share{Index: uint32(s.Index), Of: uint32(s.Of)}
		t.SetShare(b.share)
	})
}

// isLast reports whether a record is the last one of its identity in a group. An earlier one is
// history.
func isLast(records []lease.Binding, i int) bool {
	return !slices.ContainsFunc(records[i+1:], func(r lease.Binding) bool { return r.ID == records[i].ID })
}

// between calls fn with the table, between two batches of queries. With mu alone, fn could run
// between two queries of a batch and make them wait.
func (b *Book) between(fn func(t *table.Table)) {
	b.batch.Lock()
	defer b.batch.Unlock()
	b.with(fn)
}

// with calls fn with the table.
func (b *Book) with(fn func(t *table.Table)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fn(b.table)
}

// expire ends some of what has run out, and reports whether there is more.
func (b *Book) expire() (more bool) {
	over := b.clock.Now().Over()
	b.with(func(t *table.Table) { more = t.Expire(over, expireBatch) })
	return more
}

// endedByTime moves the endings by time of leases of which observers know into n, which must be
// empty. It returns the observers. The caller holds notifying.
func (b *Book) endedByTime(n *endings) *hook.Observers[event.Lease] {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.divide(n, func(e *ending) bool { return e.byTime() && e.stored <= b.notified })
	return b.settings.Observers
}

// endedUpTo moves the endings among and in front of the records of group seq, which is durable,
// into n, which must be empty. It returns the observers. The caller holds notifying.
func (b *Book) endedUpTo(seq uint64, n *endings) *hook.Observers[event.Lease] {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notified = seq
	b.divide(n, func(e *ending) bool { return e.at.seq <= seq })
	return b.settings.Observers
}

// divide moves some of the endings into n, which must be empty. The caller holds mu.
func (b *Book) divide(n *endings, some func(*ending) bool) {
	if len(b.ended.list) == 0 {
		return
	}
	for i := range b.ended.list {
		e, to := &b.ended.list[i], &b.later
		if some(e) {
			to = n
		}
		to.add(*e, &b.ended.bindings.Records[i])
	}
	b.ended.reset()
	b.ended, b.later = b.later, b.ended
}
