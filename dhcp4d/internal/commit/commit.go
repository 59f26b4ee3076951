// Package commit puts bindings on disk for the packet loop, many at a time.
//
// Records gather in a group. The replies of a group leave when its sync has
// returned, never before, and groups are finished in the order in which they
// were begun. While the disk is quick the packet loop commits what it has
// gathered itself: that takes less time than waking somebody to do it, and what
// arrives meanwhile makes the next batch. A disk that takes longer is waited for
// by a goroutine of this package, and while one group is being synced the next
// one gathers. When the store fails, every waiting group fails with it; the
// store is opened again, with back-off, and the table rebuilt from it, before
// anything is gathered again.
//
// It never looks into a record or a reply, and allocates nothing per group.
package commit

import (
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// The pauses between attempts to open a failed store.
const (
	firstPause = 10 * time.Millisecond
	longPause  = time.Second
)

// quick is what a commit takes at the most for the next one to be made by the
// packet loop.
const quick = time.Millisecond

// Replies is what leaves when the records gathered beside it are durable.
type Replies interface {
	Len() int // replies waiting
	Reset()   // forget them, keep the memory
}

// Group is what one sync makes durable, and the replies that wait for it.
type Group[R Replies] struct {
	Records lease.Batch
	Replies R
	// Seq numbers the groups from 1. What was put into this group is durable
	// once it has been done without an error.
	Seq uint64
}

func (g *Group[R]) empty() bool { return len(g.Records.Records) == 0 && g.Replies.Len() == 0 }

func (g *Group[R]) reset() {
	g.Records.Reset()
	g.Replies.Reset()
}

// Config is how a Committer is made. All of it is required.
type Config[R Replies] struct {
	Store store.Store // loaded; the Committer's until Close returns
	// Replies makes the reply list of a group; it is called twice.
	Replies func() R
	// Done takes every group that held anything, in the order of Seq: with
	// nil the records are durable and the replies may leave, with an error
	// they must not. It is called by whoever commits, one at a time, with
	// nothing locked that Gather waits for; the group is emptied when it
	// returns.
	Done func(g *Group[R], err error)
	// Rebuild makes the table again out of Store.Load, after a failure: what
	// the disk holds is the truth, also of records that were never
	// acknowledged. Nothing is gathered meanwhile. An error is tried again.
	Rebuild func(store.Store) error
	// Limit is the number of replies, and of records, that one group takes.
	Limit   int
	Log     *slog.Logger
	Metrics *Metrics
}

// Committer gathers groups and commits them, one after the other.
type Committer[R Replies] struct {
	cfg  Config[R]
	wake chan struct{} // holds one token when there is something to do
	stop chan struct{}
	done chan struct{}

	failed  atomic.Bool
	durable atomic.Uint64
	quick   atomic.Bool // the last commit was

	disk  sync.Mutex // held by who commits, or opens the store again
	spare *Group[R]  // guarded by disk; the group that is committed, or empty

	mu     sync.Mutex
	gather *Group[R] // guarded by mu
}

// New makes a committer and starts its goroutine, which ends in Close.
func New[R Replies](cfg Config[R]) *Committer[R] {
	c := &Committer[R]{
		cfg:    cfg,
		wake:   make(chan struct{}, 1),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
		gather: &Group[R]{Replies: cfg.Replies(), Seq: 1},
		spare:  &Group[R]{Replies: cfg.Replies()},
	}
	go c.run()
	return c
}

// Gather locks the group that is gathering and returns it. The caller adds
// what it has, asks Full before each record, and calls Release soon, because
// the committer waits meanwhile. It returns nil, and nothing is locked, while
// the store has failed: what needs it is a drop.StoreError.
//
// A reply without a record may join the group too, to leave after what
// is being synced now.
func (c *Committer[R]) Gather() *Group[R] {
	c.mu.Lock()
	if c.failed.Load() {
		c.mu.Unlock()
		return nil
	}
	return c.gather
}

// Full tells whether g takes no more: a drop.Overload.
func (c *Committer[R]) Full(g *Group[R]) bool {
	return len(g.Records.Records) >= c.cfg.Limit || g.Replies.Len() >= c.cfg.Limit
}

// Release unlocks the group that Gather returned and sees to its commit.
func (c *Committer[R]) Release(g *Group[R]) {
	if c.Leave(g) {
		c.wakeUp()
	}
}

// Leave unlocks the group that Gather returned, and tells whether there is
// something to commit: then Commit must follow soon.
func (c *Committer[R]) Leave(g *Group[R]) (pending bool) {
	pending = !g.empty()
	c.mu.Unlock()
	return pending
}

// Commit commits what has gathered before it returns, if the disk is quick and
// idle; otherwise the goroutine does.
func (c *Committer[R]) Commit() {
	if c.quick.Load() && c.disk.TryLock() {
		ok := c.once()
		c.disk.Unlock()
		if ok {
			return
		}
	}
	c.wakeUp()
	// Where all share one processor the goroutine has its turn when the caller
	// waits for the next datagram, which under load it never does.
	runtime.Gosched()
}

// wakeUp has the goroutine commit what has gathered.
func (c *Committer[R]) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Durable is the highest Seq of a group that is on stable storage.
func (c *Committer[R]) Durable() uint64 { return c.durable.Load() }

// Failed tells whether the store has failed and is not yet back.
func (c *Committer[R]) Failed() bool { return c.failed.Load() }

// Close finishes what has gathered and ends the goroutine. The store stays
// open. Gather must not be called any more.
func (c *Committer[R]) Close() {
	close(c.stop)
	<-c.done
}

func (c *Committer[R]) run() {
	defer close(c.done)
	for {
		stopped := false
		select {
		case <-c.wake:
		case <-c.stop:
			stopped = true
		}
		c.disk.Lock()
		if !c.failed.Load() {
			c.once()
		}
		if c.failed.Load() && !stopped {
			stopped = !c.recover()
		}
		c.disk.Unlock()
		if stopped {
			return
		}
	}
}

// once commits what has gathered; false when the store has failed. The caller
// holds disk.
func (c *Committer[R]) once() bool {
	g := c.take()
	err := c.commit(g)
	if err == nil {
		c.finish(g, nil)
		return true
	}
	// Nobody adds to a group once failed is set under the lock.
	c.mu.Lock()
	c.failed.Store(true)
	c.mu.Unlock()
	c.cfg.Log.Error("lease store failed, nothing is acknowledged", "err", err)
	c.finish(g, err)
	c.finish(c.take(), err)
	return false
}

// take swaps the groups and returns the one that gathered.
func (c *Committer[R]) take() *Group[R] {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gather, c.spare = c.spare, c.gather
	c.gather.Seq = c.spare.Seq + 1
	return c.spare
}

func (c *Committer[R]) commit(g *Group[R]) error {
	if len(g.Records.Records) == 0 {
		return nil
	}
	began := time.Now()
	c.cfg.Metrics.begin(began)
	err := c.cfg.Store.Commit(g.Records.Records)
	c.cfg.Metrics.end()
	if err != nil {
		c.cfg.Metrics.commitErrors.Inc()
		return err
	}
	took := time.Since(began)
	c.quick.Store(took <= quick)
	c.cfg.Metrics.commits.Observe(took.Seconds())
	return nil
}

func (c *Committer[R]) finish(g *Group[R], err error) {
	if err == nil {
		c.durable.Store(g.Seq)
	}
	if !g.empty() {
		c.cfg.Done(g, err)
		g.reset()
	}
}

// recover opens the store again and rebuilds the table. It returns false when
// it was stopped. The caller holds disk.
func (c *Committer[R]) recover() bool {
	began := time.Now()
	said := ""
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		select {
		case <-c.stop:
			return false
		case <-time.After(pause):
		}
		err := c.cfg.Store.Reopen()
		if err != nil {
			c.cfg.Metrics.reopenErrors.Inc()
		} else if err = c.cfg.Rebuild(c.cfg.Store); err != nil {
			c.cfg.Metrics.loadErrors.Inc()
			err = fmt.Errorf("loading: %w", err)
		}
		if err == nil {
			break
		}
		if err.Error() != said { // not a line per attempt
			said = err.Error()
			c.cfg.Log.Error("lease store cannot be opened, trying on", "err", err)
		}
	}
	c.failed.Store(false)
	c.cfg.Log.Info("lease store is back", "after", time.Since(began))
	return true
}
