// Package commit makes the records of the packet loop durable, many with one sync.
//
// Records and the replies that wait for them gather in a commit group. One synced write makes the
// records durable; then the replies leave, never before. Groups are committed one after the other.
//
// While the disk is quick, the packet loop commits the group itself, which costs less than waking
// another goroutine. After a commit that took longer, a goroutine of this package makes the next
// ones, and one group gathers while another is written.
//
// When the store fails, the replies of all waiting groups are dropped. The store is opened again,
// with growing pauses, and the table is loaded from it. Until then no group takes records or
// replies.
//
// A store that several dhcp4d share may refuse single records of a group, because another client
// holds the address. The other records of the group are durable. See Config.Refused.
//
// Ten times a second, beside the commits, a goroutine reads what the others have changed. The
// committer also reads it after each group with a NAK, because a NAK may rest on such a change. It
// reads it after each group with a refused record too, so that the next decision about that query
// knows who holds the address. See Config.Foreign.
//
// The package comment of leases has the order of the locks.
//
// The package never looks into a reply. It looks into the records of a shared store only. For any
// other store it allocates nothing per group.
package commit

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/slowlock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// The pauses between attempts to open a failed store.
const (
	firstPause = 10 * time.Millisecond
	longPause  = time.Second
)

// checkEvery is how often the store is checked.
const checkEvery = time.Second

// If the last commit took at most quickLimit, the packet loop makes the next one itself.
const quickLimit = time.Millisecond

var errFailed = errors.New("the lease store has failed")

// Config is what a Committer needs. Every field is required.
type Config[R Replies] struct {
	Store store.Store // loaded; belongs to the Committer until Close returns
	// Replies makes the replies of a group. It is called twice.
	Replies func() R
	// Refused is called with a group if the store has refused records of it, so that the table
	// takes them back. The call comes before Done, and before the group counts as durable, so that
	// no refused record can pass for a durable one.
	Refused func(g *Group[R])
	// Foreign and Share are for a store that several dhcp4d share. Foreign is called with the
	// leases that others have changed, as they are after commit group seq. It returns those of
	// which a later group has a record, because they must be read again after that group. Share is
	// called when our share of the free addresses changes.
	Foreign func(changed []lease.Binding, seq uint64) (again []lease.ID)
	Share   func(store.Share)
	// Done is called with every group that is not empty, in the order of Seq. The group is emptied
	// when Done returns. Without an error, all records but the refused ones are durable, and all
	// replies may leave but those that rest on a refused record. With an error no reply may leave.
	// The goroutine that commits calls it, one call at a time, and holds no lock that LockGroup
	// waits for.
	Done func(g *Group[R], err error)
	// Rebuild loads the table again from the store after a failure, because the disk may have
	// records that were written but never acknowledged. Durable is the last group that is durable.
	// No group takes anything meanwhile. After an error it is called again.
	Rebuild func(s store.Store, durable uint64) error
	// Limit is the most replies, and the most records, of one group.
	Limit   int
	Log     *slog.Logger
	Metrics *Metrics
}

// Committer commits groups, one after the other.
type Committer[R Replies] struct {
	cfg Config[R]
	// shared is the store if several dhcp4d use it, else nil.
	shared store.Shared
	wake   chan struct{} // holds one token when the goroutine has something to do
	stop   chan struct{}
	done   sync.WaitGroup // of the goroutines

	failed  atomic.Bool
	durable atomic.Uint64
	quick   atomic.Bool // whether the last commit took at most quickLimit

	disk  slowlock.Lock // held by whoever commits, or opens the store again
	spare *Group[R]     // guarded by disk; the group that is being committed, or an empty one

	reading slowlock.Lock // held by whoever reads what others have changed, or opens the store again
	share   store.Share   // guarded by reading
	readAt  time.Time     // guarded by reading; when the changes of others were read
	again   []lease.ID    // guarded by reading; what must be read again

	// The order of the locks is disk, reading, mu.
	mu         sync.Mutex
	gathering  *Group[R] // guarded by mu
	committing *Group[R] // guarded by mu; the group that is being committed, or nil
	removed    []removed // guarded by mu; for a shared store
}

// removed is an identity that commit group seq has removed from the store. The table knows nothing
// of it any more. So the table cannot tell that a row of it is too old, if the row was read during
// the commit.
type removed struct {
	id  lease.ID
	seq uint64
}

// New makes a committer and starts its goroutines. Close ends them.
func New[R Replies](cfg Config[R]) *Committer[R] {
	c := &Committer[R]{
		cfg:       cfg,
		wake:      make(chan struct{}, 1),
		stop:      make(chan struct{}),
		gathering: &Group[R]{Replies: cfg.Replies(), Seq: 1},
		spare:     &Group[R]{Replies: cfg.Replies()},
	}
	c.shared, _ = cfg.Store.(store.Shared)
	c.done.Go(c.run)
	c.done.Go(func() { c.every(checkEvery, c.check) })
	if c.shared != nil {
		c.done.Go(func() {
			select {
			case <-c.stop:
			case <-time.After(readEvery / 3): // so that it does not read while the store is checked
				c.every(readEvery, c.follow)
			}
		})
	}
	return c
}

// LockGroup locks the gathering group and returns it. The caller must check Full before it adds a
// record, and must unlock the group soon, because commits wait for it: with UnlockGroup and then
// Commit, or with UnlockAndWake. While the store has failed, LockGroup locks nothing and returns
// nil.
//
// A reply without a record may be added too. It leaves when the groups before it are durable.
func (c *Committer[R]) LockGroup() *Group[R] {
	c.mu.Lock()
	if c.failed.Load() {
		c.mu.Unlock()
		return nil
	}
	return c.gathering
}

// Full reports whether g takes no more.
func (c *Committer[R]) Full(g *Group[R]) bool {
	return len(g.Records.Records) >= c.cfg.Limit || g.Replies.Len() >= c.cfg.Limit
}

// UnlockGroup unlocks the group that LockGroup has returned. It reports whether anything waits in
// the group. If so, the caller must call Commit soon.
func (c *Committer[R]) UnlockGroup(g *Group[R]) (pending bool) {
	pending = !g.empty()
	c.mu.Unlock()
	return pending
}

// UnlockAndWake unlocks the group that LockGroup has returned, and wakes the goroutine to commit
// it.
func (c *Committer[R]) UnlockAndWake(g *Group[R]) {
	if c.UnlockGroup(g) {
		c.wakeUp()
	}
}

// Commit commits the gathering group before it returns, if the disk is quick and idle. Otherwise it
// wakes the goroutine to do so.
func (c *Committer[R]) Commit() {
	if c.quick.Load() && c.disk.TryLock() {
		ok := c.commitGathering()
		c.disk.Unlock()
		if ok {
			return
		}
	}
	c.wakeUp()
	// On one processor the goroutine runs only when the caller waits for the next datagram. Under
	// load it never waits.
	runtime.Gosched()
}

// wakeUp wakes the goroutine to commit the gathering group.
func (c *Committer[R]) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Durable returns the highest Seq of a group that is on stable storage.
func (c *Committer[R]) Durable() uint64 { return c.durable.Load() }

// Failed reports whether the store has failed and is not yet back.
func (c *Committer[R]) Failed() bool { return c.failed.Load() }

// Shared reports whether other dhcp4d use the store too. Then a reply that may rest on what they
// have changed waits for a group.
func (c *Committer[R]) Shared() bool { return c.shared != nil }

// Close commits the gathering group and ends the goroutines. The store stays open. LockGroup must
// not be called after Close.
func (c *Committer[R]) Close() {
	close(c.stop)
	c.done.Wait()
}

// every calls work at an interval until Close.
func (c *Committer[R]) every(interval time.Duration, work func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-tick.C:
			work()
		}
	}
}

// check checks the store, beside the commits.
func (c *Committer[R]) check() {
	if c.failed.Load() {
		return
	}
	if err := c.cfg.Store.Check(); err != nil {
		c.cfg.Metrics.checkErrors.Inc()
		c.fail(err)
		c.wakeUp()
	}
}

// fail notes that the store has failed. From then on LockGroup returns nil.
func (c *Committer[R]) fail(err error) {
	c.mu.Lock()
	before := c.failed.Swap(true)
	c.mu.Unlock()
	if !before {
		c.cfg.Log.Error("lease store failed; nothing is acknowledged until it is back", "error", err)
	}
}

// run commits whenever it is woken, and recovers a failed store. Close ends it after a last commit.
func (c *Committer[R]) run() {
	for {
		stopped := false
		select {
		case <-c.wake:
		case <-c.stop:
			stopped = true
		}
		c.disk.Lock()
		if !c.failed.Load() {
			c.commitGathering()
		}
		if c.failed.Load() {
			c.finish(c.take(), errFailed) // the group that gathered when the check failed
			if !stopped {
				stopped = !c.recover()
			}
		}
		c.disk.Unlock()
		if stopped {
			return
		}
	}
}

// commitGathering commits the gathering group, and reports whether that succeeded. The caller holds
// disk.
func (c *Committer[R]) commitGathering() bool {
	g := c.take()
	err := c.commit(g)
	if len(g.Refused) > 0 {
		c.cfg.Refused(g) // before others are read, because their rows are newer
	}
	if err == nil && c.shared != nil && (g.Replies.Unsure() || len(g.Refused) > 0) {
		c.reading.Lock()
		g.Blind = c.readForeign(g.Seq) != nil
		c.reading.Unlock()
	}
	if err == nil && c.failed.Load() {
		err = errFailed // a check has failed meanwhile: what was written may be in a file that is deleted
	}
	if err == nil {
		c.finish(g, nil)
		return true
	}
	c.fail(err)
	c.finish(g, err)
	c.finish(c.take(), err)
	return false
}

// take swaps the two groups and returns the one that gathered.
func (c *Committer[R]) take() *Group[R] {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gathering, c.spare = c.spare, c.gathering
	c.gathering.Seq = c.spare.Seq + 1
	c.committing = c.spare
	if c.shared != nil {
		for i := range c.spare.Records.Records {
			if r := &c.spare.Records.Records[i]; r.State == lease.NoState {
				c.removed = append(c.removed, removed{r.ID, c.spare.Seq})
			}
		}
	}
	return c.spare
}

// commit writes the records of a group to the store, and times that.
func (c *Committer[R]) commit(g *Group[R]) error {
	if len(g.Records.Records) == 0 {
		return nil
	}
	began := time.Now()
	c.cfg.Metrics.begin(began)
	refused, err := c.cfg.Store.Commit(g.Records.Records)
	c.cfg.Metrics.end()
	if err != nil {
		c.cfg.Metrics.commitErrors.Inc()
		return err
	}
	took := time.Since(began)
	c.quick.Store(took <= quickLimit)
	c.cfg.Metrics.commits.Observe(took)
	if g.Refused = refused; len(refused) > 0 {
		c.cfg.Metrics.refused.Add(float64(len(refused)))
	}
	return nil
}

// finish calls Done for a group that is durable, or has failed with err, and empties the group.
func (c *Committer[R]) finish(g *Group[R], err error) {
	c.mu.Lock()
	c.committing = nil // nothing is noted in it any more
	c.mu.Unlock()
	if err == nil {
		c.durable.Store(g.Seq)
	}
	if !g.empty() {
		c.cfg.Done(g, err)
		g.reset()
	}
}

// recover opens the store again and rebuilds the table. It returns false if Close has ended it. The
// caller holds disk.
func (c *Committer[R]) recover() bool {
	c.reading.Lock()
	defer c.reading.Unlock()
	began := time.Now()
	logged := ""
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		select {
		case <-c.stop:
			return false
		case <-time.After(pause):
		}
		err := c.cfg.Store.Reopen()
		if err != nil {
			c.cfg.Metrics.reopenErrors.Inc()
		} else if err = c.cfg.Rebuild(c.cfg.Store, c.durable.Load()); err != nil {
			c.cfg.Metrics.loadErrors.Inc()
			err = fmt.Errorf("loading: %w", err)
		}
		if err == nil {
			break
		}
		if err.Error() != logged { // log each error once, not each attempt
			logged = err.Error()
			c.cfg.Log.Error("lease store cannot be opened; dhcp4d keeps trying", "error", err)
		}
	}
	c.readAt, c.again = time.Now(), c.again[:0] // all leases have been read
	c.cfg.Metrics.foreignRead(c.readAt, 0)
	c.failed.Store(false)
	c.cfg.Log.Info("lease store is back", "after", time.Since(began))
	return true
}
