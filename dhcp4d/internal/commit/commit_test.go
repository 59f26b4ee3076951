package commit

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/metric/metrictest"
)

// replies stands for datagrams: a list of numbers.
type replies struct{ list []int }

// unsure is the number of a reply that may rest on what others have changed.
const unsure = -1

func (r *replies) Len() int     { return len(r.list) }
func (r *replies) Reset()       { r.list = r.list[:0] }
func (r *replies) Unsure() bool { return slices.Contains(r.list, unsure) }

// disk is a store whose every step the test allows or refuses.
type disk struct {
	store.Store                 // memory
	commits     chan chan error // a commit asks here when it is not nil
	mu          sync.Mutex
	reopens     []error // outcomes of Reopen, in order; then nil
	loads       []error // of Load
	checks      []error // of Check
	synced      []netip.Addr
	refuse      netip.Addr // this one is refused
}

func (d *disk) Commit(records []lease.Binding) ([]store.Refusal, error) {
	if d.commits != nil {
		answer := make(chan error)
		d.commits <- answer
		if err := <-answer; err != nil {
			return nil, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := slices.IndexFunc(records, func(r lease.Binding) bool { return r.Addr == d.refuse }); i >= 0 {
		_, err := d.Store.Commit(slices.Delete(slices.Clone(records), i, i+1))
		return []store.Refusal{{Record: i, Holder: lease.Binding{ID: records[i].ID}}}, err
	}
	for i := range records {
		d.synced = append(d.synced, records[i].Addr)
	}
	return d.Store.Commit(records)
}

func (d *disk) has(a netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.synced, a)
}

func next(list *[]error) error {
	if len(*list) == 0 {
		return nil
	}
	err := (*list)[0]
	*list = (*list)[1:]
	return err
}

func (d *disk) Reopen() error { return next(&d.reopens) }

func (d *disk) Check() error { return next(&d.checks) }

func (d *disk) Load(fn func(*lease.Binding) error) (store.Loaded, error) {
	if err := next(&d.loads); err != nil {
		return store.Loaded{}, err
	}
	return d.Store.Load(fn)
}

// outcome is a group that was done.
type outcome struct {
	seq     uint64
	replies []int
	err     error
}

type bench struct {
	*Committer[*replies]
	disk    *disk
	done    chan outcome
	rebuilt chan int
	reg     *prometheus.Registry
}

func start(t testing.TB, d *disk, limit int) *bench {
	t.Helper()
	m := store.NewMemory()
	d.Store = m
	b := &bench{disk: d, done: make(chan outcome, 100), rebuilt: make(chan int, 100), reg: prometheus.NewRegistry()}
	b.Committer = New(Config[*replies]{
		Store:   d,
		Replies: func() *replies { return &replies{} },
		Done: func(g *Group[*replies], err error) {
			b.done <- outcome{g.Seq, slices.Clone(g.Replies.list), err}
		},
		Rebuild: func(s store.Store, _ uint64) error {
			n := 0
			_, err := s.Load(func(*lease.Binding) error { n++; return nil })
			if err == nil {
				b.rebuilt <- n
			}
			return err
		},
		Limit:   limit,
		Log:     slog.New(slog.DiscardHandler),
		Metrics: NewMetrics(b.reg, d),
	})
	return b
}

func addr(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }

// What has been refused is taken back before anybody may believe it to be durable.
func TestD4_26RefusedRecordsAreTakenBackFirst(t *testing.T) {
	m := store.NewMemory()
	d := &disk{Store: m, refuse: addr(2)}
	reg := prometheus.NewRegistry()
	var order []string
	done := make(chan struct{}, 9)
	var c *Committer[*replies]
	c = New(Config[*replies]{
		Store: d, Replies: func() *replies { return &replies{} }, Limit: 9, Log: slog.New(slog.DiscardHandler), Metrics: NewMetrics(reg, d),
		Refused: func(g *Group[*replies]) {
			if len(g.Refused) != 1 || g.Records.Records[g.Refused[0].Record].Addr != addr(2) || c.Durable() >= g.Seq {
				t.Errorf("refused %+v of group %d while %d is durable", g.Refused, g.Seq, c.Durable())
			}
			order = append(order, "refused")
		},
		Done: func(g *Group[*replies], err error) {
			if err != nil || c.Durable() != g.Seq {
				t.Errorf("group %d done with %v, durable is %d", g.Seq, err, c.Durable())
			}
			order = append(order, fmt.Sprintf("done, %d refused", len(g.Refused)))
			done <- struct{}{}
		},
	})
	defer c.Close()
	for _, n := range []int{1, 4} {
		g := c.LockGroup()
		for i := range 3 {
			g.Records.Add(&lease.Binding{ID: lease.ID{Addr: addr(n + i)}, State: lease.Bound})
		}
		c.UnlockAndWake(g)
		<-done
	}
	if want := []string{"refused", "done, 1 refused", "done, 0 refused"}; !slices.Equal(order, want) {
		t.Errorf("called %q, want %q", order, want)
	}
	if n := testutil.ToFloat64(c.cfg.Metrics.refused); n != 1 {
		t.Errorf("%v refused records are counted", n)
	}
}

// add puts record and reply n into the gathering group and returns its Seq, 0
// when the store has failed.
func (b *bench) add(n int) uint64 {
	g := b.LockGroup()
	if g == nil {
		return 0
	}
	defer b.UnlockAndWake(g)
	g.Records.Add(&lease.Binding{ID: lease.ID{Addr: addr(n)}, State: lease.Bound})
	g.Replies.list = append(g.Replies.list, n)
	return g.Seq
}

func want(t *testing.T, got outcome, seq uint64, err error, replies ...int) {
	t.Helper()
	if got.seq != seq || !errors.Is(got.err, err) || !slices.Equal(got.replies, replies) {
		t.Errorf("got %+v, want group %d, %v, %v", got, seq, replies, err)
	}
}

// What hangs is seen while it does.
func TestACommitThatWaitsIsSeen(t *testing.T) {
	b := start(t, &disk{commits: make(chan chan error)}, 10)
	waiting := b.cfg.Metrics.waiting
	if w := waiting(); w != 0 {
		t.Errorf("%v before the first commit", w)
	}
	b.add(1)
	sync := <-b.disk.commits
	first := waiting()
	time.Sleep(time.Millisecond)
	if second := waiting(); first <= 0 || second <= first {
		t.Errorf("%v, and later %v, while the disk is awaited", first, second)
	}
	sync <- nil
	want(t, <-b.done, 1, nil, 1)
	if w := waiting(); w != 0 {
		t.Errorf("%v when nothing is awaited", w)
	}
	b.Close()
}

func TestOneGroupSyncsWhileTheNextGathers(t *testing.T) {
	b := start(t, &disk{commits: make(chan chan error)}, 10)
	b.add(1)
	first := <-b.disk.commits // the sync of group 1 runs
	if b.add(2) != 2 || b.add(3) != 2 {
		t.Error("the next two are not in group 2")
	}
	select {
	case o := <-b.done:
		t.Errorf("%+v left before its sync", o)
	default:
	}
	if b.Durable() != 0 {
		t.Errorf("durable up to %d", b.Durable())
	}
	first <- nil
	want(t, <-b.done, 1, nil, 1)
	second := <-b.disk.commits
	second <- nil
	want(t, <-b.done, 2, nil, 2, 3)
	if b.Durable() != 2 {
		t.Errorf("durable up to %d", b.Durable())
	}
	b.Close()
}

// commit puts record and reply n into the gathering group and commits it, as the packet loop does.
func (b *bench) commit(n int) {
	g := b.LockGroup()
	g.Records.Add(&lease.Binding{ID: lease.ID{Addr: addr(n)}, State: lease.Bound})
	g.Replies.list = append(g.Replies.list, n)
	if b.UnlockGroup(g) {
		b.Commit()
	}
}

// idle waits until nobody commits, and has the disk taken for quick even if this machine was busy.
func (b *bench) idle() {
	b.Committer.disk.Lock()
	b.quick.Store(true)
	b.Committer.disk.Unlock()
}

func TestWhileTheDiskIsQuickTheCallerCommits(t *testing.T) {
	b := start(t, &disk{}, 10)
	b.commit(1) // nobody knows the disk yet
	want(t, <-b.done, 1, nil, 1)
	for n := 2; n < 10; n++ {
		b.idle()
		b.commit(n)
		select {
		case o := <-b.done:
			want(t, o, uint64(n), nil, n)
		default:
			t.Fatalf("group %d was left to somebody else", n)
		}
	}
	b.Close()
}

func TestASlowDiskIsWaitedForByTheGoroutine(t *testing.T) {
	b := start(t, &disk{commits: make(chan chan error)}, 10)
	b.commit(1)
	first := <-b.disk.commits
	time.Sleep(2 * quickLimit)
	first <- nil
	want(t, <-b.done, 1, nil, 1)
	b.commit(2) // returns while the disk is at it
	second := <-b.disk.commits
	b.commit(3)
	second <- nil
	want(t, <-b.done, 2, nil, 2)
	(<-b.disk.commits) <- nil
	want(t, <-b.done, 3, nil, 3)
	b.Close()
}

func TestOnOneProcessorTheGoroutineHasItsTurn(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	b := start(t, &disk{}, 1000)
	const n = 100
	for i := range n {
		b.quick.Store(false)
		b.commit(i) // and never waits, as a loop that always finds datagrams
	}
	// The scheduler looks elsewhere first once in 61 times.
	if groups := len(b.done); groups < n*3/4 {
		t.Errorf("%d groups were committed meanwhile, of %d", groups, n)
	}
	b.Close()
}

func TestD4_26_ACallersCommitThatFailsIsRecoveredByTheGoroutine(t *testing.T) {
	b := start(t, &disk{}, 10)
	b.commit(1)
	want(t, <-b.done, 1, nil, 1)
	b.idle()
	b.disk.commits = make(chan chan error)
	broken := errors.New("broken")
	go func() { (<-b.disk.commits) <- broken }()
	b.commit(2)
	want(t, <-b.done, 2, broken, 2)
	if n := <-b.rebuilt; n != 1 {
		t.Errorf("rebuilt from %d records, want 1", n)
	}
	for b.Failed() { // it is said after the rebuilding
		time.Sleep(time.Millisecond)
	}
	go func() { (<-b.disk.commits) <- nil }()
	b.commit(3)
	if o := <-b.done; o.err != nil || !slices.Equal(o.replies, []int{3}) {
		t.Errorf("after the recovery: %+v", o)
	}
	b.Close()
}

func TestAReplyWithoutARecordKeepsItsPlace(t *testing.T) {
	b := start(t, &disk{commits: make(chan chan error)}, 10)
	b.add(1)
	first := <-b.disk.commits
	g := b.LockGroup()
	g.Replies.list = append(g.Replies.list, 2) // a duplicate of 1, say
	b.UnlockAndWake(g)
	first <- nil
	want(t, <-b.done, 1, nil, 1)
	want(t, <-b.done, 2, nil, 2) // no commit asked
	b.Close()
}

func TestAFullGroupSaysSo(t *testing.T) {
	b := start(t, &disk{commits: make(chan chan error)}, 2)
	b.add(1)
	first := <-b.disk.commits
	b.add(2)
	g := b.LockGroup()
	if b.Full(g) {
		t.Error("full with one of two")
	}
	b.UnlockAndWake(g)
	b.add(3)
	g = b.LockGroup()
	if !b.Full(g) {
		t.Error("not full with two of two")
	}
	b.UnlockAndWake(g)
	first <- nil
	<-b.done
	(<-b.disk.commits) <- nil
	<-b.done
	b.Close()
}

func TestD4_26_NoReplyAfterAFailedCommit(t *testing.T) {
	broken := errors.New("no space left")
	d := &disk{commits: make(chan chan error), reopens: []error{broken, broken}, loads: []error{broken}}
	b := start(t, d, 10)
	b.add(1)
	(<-d.commits) <- nil
	want(t, <-b.done, 1, nil, 1)

	b.add(2)
	second := <-d.commits
	b.add(3)
	second <- broken
	want(t, <-b.done, 2, broken, 2)
	want(t, <-b.done, 3, broken, 3)
	if !b.Failed() || b.add(4) != 0 || b.Durable() != 1 {
		t.Errorf("failed %v, durable %d", b.Failed(), b.Durable())
	}
	if n := <-b.rebuilt; n != 1 {
		t.Errorf("the table is made of %d records, want 1", n)
	}
	for b.Failed() {
		time.Sleep(time.Millisecond)
	}
	seq := b.add(5)
	(<-d.commits) <- nil
	want(t, <-b.done, seq, nil, 5)
	b.Close()

	for op, n := range map[string]float64{"commit": 1, "reopen": 2, "load": 1} {
		if got := testutil.ToFloat64(b.cfg.Metrics.errs.WithLabelValues(op)); got != n {
			t.Errorf("%v errors of %s, want %v", got, op, n)
		}
	}
}

// The store is checked once a second. When it is not what it was, what has
// gathered fails, nothing is gathered any more, and it is opened again.
func TestACheckThatFailsStopsTheAcknowledging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("the directory is gone")
		d := &disk{checks: []error{nil, gone}, reopens: []error{gone}}
		b := start(t, d, 10)
		time.Sleep(checkEvery + time.Millisecond)
		if b.add(1) == 0 {
			t.Error("failed though the store is well")
		}
		want(t, <-b.done, 1, nil, 1)
		time.Sleep(checkEvery - time.Millisecond)
		synctest.Wait()
		if !b.Failed() || b.add(2) != 0 {
			t.Error("goes on though the check has failed")
		}
		time.Sleep(time.Second)
		if b.Failed() || b.add(3) == 0 {
			t.Error("is not back")
		}
		if o := <-b.done; o.err != nil || !slices.Equal(o.replies, []int{3}) {
			t.Errorf("got %+v", o)
		}
		b.Close()
		if got := testutil.ToFloat64(b.cfg.Metrics.errs.WithLabelValues("check")); got != 1 {
			t.Errorf("%v errors of check", got)
		}
	})
}

// A disk that hangs may return from a commit when a check has found its directory deleted.
func TestACommitThatEndsAfterACheckHasFailedIsNotAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{commits: make(chan chan error), checks: []error{errors.New("the directory is gone")}}
		b := start(t, d, 10)
		b.add(1)
		hangs := <-d.commits
		time.Sleep(checkEvery + time.Millisecond)
		if !b.Failed() {
			t.Fatal("the check has not failed")
		}
		hangs <- nil
		if o := <-b.done; o.err == nil || !slices.Equal(o.replies, []int{1}) || b.Durable() != 0 {
			t.Errorf("got %+v, durable up to %d", o, b.Durable())
		}
		<-b.rebuilt
		synctest.Wait()
		if b.Failed() {
			t.Error("is not back")
		}
		b.Close()
	})
}

func TestCloseFinishesWhatHasGathered(t *testing.T) {
	b := start(t, &disk{commits: make(chan chan error)}, 10)
	b.add(1)
	first := <-b.disk.commits
	b.add(2)
	closed := make(chan struct{})
	go func() { b.Close(); close(closed) }()
	first <- nil
	(<-b.disk.commits) <- nil
	<-closed
	want(t, <-b.done, 1, nil, 1)
	want(t, <-b.done, 2, nil, 2)
}

func TestCloseWhileTheStoreIsDown(t *testing.T) {
	broken := errors.New("broken")
	d := &disk{commits: make(chan chan error)}
	for range 1000 {
		d.reopens = append(d.reopens, broken)
	}
	b := start(t, d, 10)
	b.add(1)
	(<-d.commits) <- broken
	want(t, <-b.done, 1, broken, 1)
	b.Close()
}

func TestMetricsAreThereFromTheStart(t *testing.T) {
	b := start(t, &disk{}, 10)
	defer b.Close()
	metrictest.Lint(t, b.reg, drop.DHCP4D)
	got, err := b.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range got {
		names = append(names, f.GetName())
	}
	if want := []string{
		"dhcp4d_store_bytes", "dhcp4d_store_commit_seconds", "dhcp4d_store_commit_waiting_seconds", "dhcp4d_store_compactions_total", "dhcp4d_store_errors_total",
		"dhcp4d_store_foreign_age_seconds", "dhcp4d_store_foreign_changes_total", "dhcp4d_store_memory_bytes", "dhcp4d_store_processes",
		"dhcp4d_store_records_refused_total", "dhcp4d_store_replay_seconds", "dhcp4d_store_standbys", "dhcp4d_store_unknown_outcomes_total", "dhcp4d_store_wal_records_total",
	}; !slices.Equal(names, want) {
		t.Errorf("got  %q\nwant %q", names, want)
	}
}

// Many goroutines add, some of which commit by themselves when they can; every
// reply leaves once, in order of its adder, and after its record was synced.
func TestEveryReplyLeavesOnceAfterItsSync(t *testing.T) {
	const adders, each = 4, 500
	d := &disk{}
	b := start(t, d, 64)
	next := make([]int, adders)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for got := 0; got < adders*each; {
			o := <-b.done
			if o.err != nil {
				t.Error(o.err)
			}
			for _, n := range o.replies {
				if !d.has(addr(n)) {
					t.Errorf("%d left before its record", n)
				}
				who, which := n/each, n%each
				if which != next[who] {
					t.Errorf("of adder %d came %d, want %d", who, which, next[who])
				}
				next[who]++
				got++
			}
		}
	}()
	var wg sync.WaitGroup
	for a := range adders {
		wg.Go(func() {
			for i := 0; i < each; {
				g := b.LockGroup()
				if !b.Full(g) {
					n := a*each + i
					g.Records.Add(&lease.Binding{ID: lease.ID{Addr: addr(n)}, State: lease.Bound})
					g.Replies.list = append(g.Replies.list, n)
					i++
				}
				if a%2 == 0 {
					b.UnlockAndWake(g)
				} else if b.UnlockGroup(g) {
					b.Commit()
				}
			}
		})
	}
	wg.Wait()
	<-finished
	b.Close()
}

// group takes one group of n records through the committer.
func group(c *Committer[*replies], done <-chan struct{}, record *lease.Binding, n int) {
	g := c.LockGroup()
	for i := range n {
		g.Records.Add(record)
		g.Replies.list = append(g.Replies.list, i)
	}
	c.UnlockAndWake(g)
	<-done
}

func fast(tb testing.TB) (*Committer[*replies], <-chan struct{}, *lease.Binding) {
	m := store.NewMemory()
	done := make(chan struct{}, 1)
	c := New(Config[*replies]{
		Store:   m,
		Replies: func() *replies { return &replies{} },
		Done:    func(*Group[*replies], error) { done <- struct{}{} },
		Rebuild: func(store.Store, uint64) error { return nil },
		Limit:   1024,
		Log:     slog.New(slog.DiscardHandler),
		Metrics: NewMetrics(prometheus.NewRegistry(), m),
	})
	tb.Cleanup(c.Close)
	return c, done, &lease.Binding{ID: lease.ID{Addr: addr(1)}, State: lease.Bound, Client: make([]byte, 16), Point: make([]byte, 20)}
}

func TestAGroupDoesNotAllocate(t *testing.T) {
	c, done, r := fast(t)
	for range 100 {
		group(c, done, r, 64)
	}
	if n := testing.AllocsPerRun(200, func() { group(c, done, r, 64) }); n != 0 {
		t.Errorf("%v allocations per group", n)
	}
}

func BenchmarkGroup(b *testing.B) {
	c, done, r := fast(b)
	b.ReportAllocs()
	for b.Loop() {
		group(c, done, r, 64)
	}
}
