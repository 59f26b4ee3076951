package leases

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock/clocktest"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/hook/hooktest"
)

const (
	leaseTime  = 3600
	quarantine = 600
	document   = `[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.250], match: [{interface: eth1}]}]`
)

var serverID = netip.MustParseAddr("192.0.2.1")

// testBook is a book with a clock that stands still, a store in memory, and an observer.
type testBook struct {
	*Book
	t        *testing.T
	machine  *clocktest.Machine
	store    store.Store
	notifier *Notifier
	told     []event.Lease
	group    lease.Batch
	seq      uint64
}

func newTestBook(t *testing.T) *testBook {
	t.Helper()
	b := &testBook{t: t, machine: clocktest.NewMachine(time.Unix(1_800_000_000, 0)), seq: 1}
	c := clock.New(b.machine)
	b.store = store.NewMemory()
	b.Book = New(c, b.configure(document), NewMetrics(prometheus.NewRegistry()))
	b.notifier = b.NewNotifier()
	b.load()
	return b
}

// configure makes the settings of a document, with an observer that notes what it is told.
func (b *testBook) configure(document string) *Settings {
	b.t.Helper()
	subnets, err := config.ParseSubnets([]byte(document), config.Defaults{
		Authoritative: true, LeaseTime: leaseTime, OfferHold: 60, DeclineTime: quarantine,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	hooks := event.NewHooks(hooktest.Set(b.t, func(a *hook.Attachment) {
		event.Leases4Committed.Run(a, func(e *event.Lease) { b.told = append(b.told, *e) })
	}))
	s := NewSettings(subnets, nil)
	s.Observers = &hooks.Leases4Committed
	return s
}

func (b *testBook) load() {
	b.t.Helper()
	if _, err := b.Load(b.store); err != nil {
		b.t.Fatal(err)
	}
}

// query decides about a message of a client, in a batch of its own.
func (b *testBook) query(kind dhcp4.MessageType, client string, a netip.Addr) lease.Decision {
	q := lease.Query{Type: kind, Client: []byte(client), Point: []byte(client), HWType: 1, HWAddr: []byte("hwaddr")}
	switch kind {
	case dhcp4.Request:
		q.Requested, q.ServerID = a, serverID
	case dhcp4.Release:
		q.CIAddr, q.ServerID = a, serverID
	case dhcp4.Decline:
		q.Requested, q.ServerID = a, serverID
	}
	_, now := b.BeginBatch()
	defer b.EndBatch()
	b.Prefetch([]*lease.Query{&q})
	return b.Decide(&q, netip.Addr{}, now, Group{Records: &b.group, Seq: b.seq})
}

// bind gets a client a lease and commits its record.
func (b *testBook) bind(client string) netip.Addr {
	b.t.Helper()
	offer := b.query(dhcp4.Discover, client, netip.Addr{})
	if d := b.query(dhcp4.Request, client, offer.Addr); d.Kind != lease.Ack {
		b.t.Fatalf("%s: %+v", client, d)
	}
	b.commit()
	return offer.Addr
}

// commit makes the group durable.
func (b *testBook) commit() {
	b.t.Helper()
	if _, err := b.store.Commit(b.group.Records); err != nil {
		b.t.Fatal(err)
	}
	b.notifier.Committed(b.seq, b.group.Records, nil, new(Changes), nil)
	b.group.Reset()
	b.seq++
}

// of returns what the book knows of an address, as people see it.
func (b *testBook) of(a netip.Addr) lease.Binding {
	var found lease.Batch
	if b.Get(a, &found); len(found.Records) == 0 {
		return lease.Binding{}
	}
	return found.Records[0]
}

func (b *testBook) events(e lease.Event) float64 { return testutil.ToFloat64(b.metrics.events[e]) }

// ended ends all that has run out.
func (b *testBook) ended() {
	for more := true; more; {
		more = b.expire()
	}
	b.notifier.Expired()
}

func TestAConfigurationTakesEffectBetweenTwoBatches(t *testing.T) {
	b := newTestBook(t)
	before := b.Settings()
	b.BeginBatch()
	if b.batch.TryLock() {
		t.Error("nobody holds the lock of a batch that has begun")
	}
	if !b.mu.TryLock() {
		t.Fatal("a batch holds the table between two decisions")
	}
	b.mu.Unlock()
	done := make(chan struct{})
	next := b.configure(document)
	go func() {
		defer close(done)
		b.Reconfigure(next, func() {
			if b.batch.TryLock() || b.mu.TryLock() {
				t.Error("a query could be decided while the configuration changes")
			}
			if b.settings != next {
				t.Error("what else takes effect comes first")
			}
		})
	}()
	if b.Settings() != before {
		t.Error("the configuration has changed in a batch")
	}
	b.EndBatch()
	<-done
	if b.Settings() != next {
		t.Error("the configuration has not changed")
	}
}

func TestALeaseEndsBehindTheSecondInWhichItExpires(t *testing.T) {
	b := newTestBook(t)
	a := b.bind("one")
	b.machine.Pass(leaseTime * time.Second)
	b.ended()
	if l := b.of(a); b.events(lease.EventExpired) != 0 || l.Expires != b.clock.Shown() {
		t.Errorf("it ended early; it expires at %d, now is %d", l.Expires, b.clock.Shown())
	}
	b.machine.Pass(time.Second)
	b.ended()
	if len(b.told) != 1 || b.told[0].Event != lease.EventExpired || b.told[0].Binding.Addr != a || b.events(lease.EventExpired) != 1 {
		t.Errorf("observers are told %+v", b.told)
	}
	b.ended()
	if b.events(lease.EventExpired) != 1 {
		t.Error("it ended twice")
	}
	if d := b.query(dhcp4.Discover, "one", netip.Addr{}); d.Addr != a {
		t.Errorf("its client is then offered %v", d.Addr)
	}
}

func TestTheExpiryHoldsTheTableForSoManyLeasesAtATime(t *testing.T) {
	b := newTestBook(t)
	const n = 200
	for i := range n {
		b.bind(fmt.Sprint("client ", i))
	}
	b.Reconfigure(b.configure(`[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.250], match: [{interface: eth1}]},
		{id: 2, subnet: 198.51.100.0/24, pools: [198.51.100.10-198.51.100.250], match: [{interface: eth2}]}]`), func() {})
	q := lease.Query{Type: dhcp4.Discover, Subnet: 1, HWType: 1}
	for i := range n {
		q.Client, q.Point = fmt.Append(nil, "other ", i), fmt.Append(nil, "other ", i)
		q.Type, q.Requested, q.ServerID = dhcp4.Discover, netip.Addr{}, netip.Addr{}
		d := b.Decide(&q, netip.Addr{}, b.clock.Now(), Group{Records: &b.group, Seq: b.seq})
		q.Type, q.Requested, q.ServerID = dhcp4.Request, d.Addr, b.settings.Policies[1].ServerID
		if d = b.Decide(&q, netip.Addr{}, b.clock.Now(), Group{Records: &b.group, Seq: b.seq}); d.Kind != lease.Ack {
			t.Fatalf("%+v", d)
		}
	}
	b.commit()
	b.machine.Pass((leaseTime + 1) * time.Second)
	if more := b.expire(); !more {
		t.Error("all have ended under one lock")
	}
	if n := len(b.Book.ended.list); n == 0 || n > expireBatch {
		t.Errorf("%d leases have ended under one lock, want at most %d", n, expireBatch)
	}
	b.ended()
	if b.events(lease.EventExpired) != 2*n {
		t.Errorf("%v leases have ended, want %d", b.events(lease.EventExpired), 2*n)
	}
}

// A step of the wall clock moves what people see, and nothing else.
func TestPeopleSeeTheWallClock(t *testing.T) {
	b := newTestBook(t)
	a := b.bind("one")
	kept, shown := b.of(a).Expires-b.clock.Ahead(), b.of(a).Expires
	b.machine.Step(time.Hour)
	b.clock.Stepped() // somebody has looked
	if l := b.of(a); l.Expires != shown+3600 || l.Expires-b.clock.Ahead() != kept {
		t.Errorf("the lease is shown to expire at %d, before the step it was %d", l.Expires, shown)
	}
	b.ended()
	if b.events(lease.EventExpired) != 0 {
		t.Error("the step has ended the lease")
	}
	b.machine.Pass((leaseTime + 1) * time.Second)
	b.ended()
	if e := b.told[0]; e.Binding.Expires != shown+3600 || e.Time.Unix() != int64(shown)+3600+1 {
		t.Errorf("observers are told at %v that it expired at %d", e.Time.Unix(), e.Binding.Expires)
	}
}

func TestLoadMakesTheBookFromTheStore(t *testing.T) {
	b := newTestBook(t)
	kept := b.bind("kept")
	offer := b.query(dhcp4.Discover, "undone", netip.Addr{})
	b.query(dhcp4.Request, "undone", offer.Addr) // never committed
	b.group.Reset()
	_, err := b.Scan(0, func(*lease.Binding) bool { return true }, new(lease.Batch))
	if err != nil {
		t.Fatal(err)
	}
	b.load()
	if l := b.of(kept); l.State != lease.Bound || string(l.Client) != "kept" {
		t.Errorf("the durable lease is %+v", l)
	}
	if l := b.of(offer.Addr); l.State != lease.NoState {
		t.Errorf("the lease that was not durable is %+v", l)
	}
	if _, err := b.Scan(ScanPosition(1<<32|1), func(*lease.Binding) bool { return true }, new(lease.Batch)); !errors.Is(err, ErrStale) {
		t.Errorf("a scan of the table before goes on with %v", err)
	}
}

// A page looks at a million leases for one: what each costs is paid under the lock of the table.
func TestAScanAllocatesNothingForALeaseThatDoesNotMatch(t *testing.T) {
	b := newTestBook(t)
	for i := range 100 {
		b.bind(fmt.Sprint("client", i))
	}
	none := func(l *lease.Binding) bool { return string(l.Client) == "nobody" }
	var found lease.Batch
	allocs := testing.AllocsPerRun(10, func() {
		if _, err := b.Scan(0, none, &found); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 10 || len(found.Records) > 0 {
		t.Errorf("%v allocations to look at 100 leases, found %d", allocs, len(found.Records))
	}
}

// reloading is a store during whose loading something happens.
type reloading struct {
	store.Store
	meanwhile func()
}

func (r reloading) Load(fn func(*lease.Binding) error) (store.Loaded, error) {
	r.meanwhile()
	return r.Store.Load(fn)
}

func TestAConfigurationThatChangesWhileTheBookIsLoadedCounts(t *testing.T) {
	b := newTestBook(t)
	a := b.bind("one")
	next := b.configure(`[{id: 7, subnet: 198.51.100.0/24, pools: [198.51.100.10-198.51.100.20], match: [{interface: eth1}]}]`)
	b.store = reloading{b.store, func() { b.Reconfigure(next, func() {}) }}
	b.load()
	if b.Settings() != next || b.Unrenewed() != (Unrenewed{NoSubnet: 1}) {
		t.Errorf("the lease of %v is inside of the new configuration", a)
	}
	if d := b.query(dhcp4.Discover, "two", netip.Addr{}); d.Addr != netip.MustParseAddr("198.51.100.10") {
		t.Errorf("offered %v", d.Addr)
	}
}

func TestAFullGroupTakesNoRecordAndNothingChanges(t *testing.T) {
	b := newTestBook(t)
	offer := b.query(dhcp4.Discover, "one", netip.Addr{})
	q := lease.Query{Type: dhcp4.Request, Client: []byte("one"), Point: []byte("one"), Requested: offer.Addr, ServerID: serverID, HWType: 1, HWAddr: []byte("hwaddr")}
	d := b.Decide(&q, netip.Addr{}, b.clock.Now(), Group{Records: &b.group, Seq: b.seq, Full: true})
	if d.Kind != lease.Dropped || d.Drop != drop.QueueFull || len(b.group.Records) != 0 {
		t.Errorf("%+v with %d records", d, len(b.group.Records))
	}
	if l := b.of(offer.Addr); l.State != lease.Offered {
		t.Errorf("the address is %v", l.State)
	}
	if d := b.query(dhcp4.Discover, "two", netip.Addr{}); d.Change != lease.Hold {
		t.Errorf("an OFFER needs no record: %+v", d)
	}
}

func TestProposeChangesNothing(t *testing.T) {
	b := newTestBook(t)
	q := lease.Query{Type: dhcp4.Discover, Client: []byte("one"), Point: []byte("one"), HWType: 1}
	_, now := b.BeginBatch()
	first := b.Propose(&q, now)
	second := b.Propose(&q, now)
	b.EndBatch()
	if first.Kind != lease.Offer || first != second || b.of(first.Addr).State != lease.NoState {
		t.Errorf("%+v, then %+v; the address is %v", first, second, b.of(first.Addr).State)
	}
}

func TestWhatTheStoreRefusesBelongsToItsHolder(t *testing.T) {
	b := newTestBook(t)
	offer := b.query(dhcp4.Discover, "one", netip.Addr{})
	id := lease.ID{Addr: offer.Addr}
	b.query(dhcp4.Request, "one", offer.Addr)
	now := b.clock.Now()
	holder := lease.Binding{ID: id, Subnet: 1, State: lease.Bound, Client: []byte("foreign"), Start: now, Changed: now, Expires: now + 60}
	// The first record of an identity is history when a later one of the group is stored.
	records := append(slices.Clone(b.group.Records), b.group.Records[0])
	if err := b.Refused(records, []store.Refusal{{Record: 0, Holder: holder}}, b.seq); err != nil || string(b.of(id.Addr).Client) != "one" {
		t.Errorf("%v; the address belongs to %q", err, b.of(id.Addr).Client)
	}
	if err := b.Refused(records, []store.Refusal{{Record: 1, Holder: holder}}, b.seq); err != nil || string(b.of(id.Addr).Client) != "foreign" {
		t.Errorf("%v; the address belongs to %q", err, b.of(id.Addr).Client)
	}
	if d := b.query(dhcp4.Request, "one", id.Addr); d.Kind != lease.Nak {
		t.Errorf("the loser gets %+v", d)
	}
	b.machine.Pass(time.Minute + time.Second)
	b.ended()
	if b.told[len(b.told)-1].Event != lease.EventExpired {
		t.Errorf("the holder's lease ends with %+v", b.told)
	}
	if err := b.Refused(records, []store.Refusal{{Record: 1}}, b.seq); err == nil {
		t.Error("a holder whom nobody knows is no error")
	}
}

// However many people look for a lease, packets have a processor.
func TestAllWhoLookTakeHalfAProcessor(t *testing.T) {
	const run, perLease = 500 * time.Millisecond, 10 * time.Microsecond // of work for each lease
	synctest.Test(t, func(t *testing.T) {
		b := newTestBook(t)
		for i := range 100 {
			b.bind(fmt.Sprint("client", i))
		}
		var work time.Duration // guarded by the lock of those who look
		none := func(*lease.Binding) bool {
			time.Sleep(perLease)
			work += perLease
			return false
		}
		var all sync.WaitGroup
		began := time.Now()
		for range 8 {
			all.Go(func() {
				for time.Since(began) < run {
					if _, err := b.Scan(0, none, new(lease.Batch)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		if took := time.Since(began); work > took/2+lookFor || work < run/3 {
			t.Errorf("those who looked took a processor for %v in %v, about half is wanted", work, took)
		}
	})
}
