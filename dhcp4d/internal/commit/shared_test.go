package commit

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// sharedDisk is a store that others use too. Each call of Foreign returns the next answer.
type sharedDisk struct {
	store.Store
	mu      sync.Mutex
	changed []lease.Binding // guarded by mu
	err     error           // guarded by mu
	share   store.Share     // guarded by mu
}

func (d *sharedDisk) set(err error, changed ...netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed, d.err = nil, err
	for _, a := range changed {
		d.changed = append(d.changed, lease.Binding{ID: lease.ID{Addr: a}})
	}
}

func (d *sharedDisk) Foreign([]lease.ID) ([]lease.Binding, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	changed := d.changed
	d.changed = nil
	return changed, d.err
}

func (d *sharedDisk) Share() store.Share {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.share
}

// TestDB_2_AServerThatDoesNotAnswerIsSeenWithoutACommit: a shared store is looked at ten times a
// second. While that gets no answer, nothing can be acknowledged, and the state says so before a
// client has lost a REQUEST.
func TestDB_2_AServerThatDoesNotAnswerIsSeenWithoutACommit(t *testing.T) {
	m := store.NewMemory()
	d := &sharedDisk{Store: m}
	metrics := NewMetrics(prometheus.NewRegistry(), d)
	metrics.made = metrics.made.Add(-time.Hour)
	c := New(Config[*replies]{
		Store: d, Replies: func() *replies { return &replies{} }, Limit: 9, Log: slog.New(slog.DiscardHandler),
		Metrics: metrics,
		Foreign: func([]lease.Binding, uint64) []lease.ID { return nil }, Share: func(store.Share) {}, Done: func(*Group[*replies], error) {},
	})
	defer c.Close()
	until := func(want State) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); c.State() != want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the state stays %v, want %v", c.State(), want)
			}
			if want == Hanging { // the last look that had an answer was so long ago
				metrics.foreignRead(time.Now().Add(-hangsAfter-time.Millisecond), 0)
			}
		}
	}
	until(Working)
	d.set(errors.New("no answer"))
	until(Hanging)
	d.set(nil)
	until(Working)
}

// TestDB_9_WhoIsUnsureLooksFirst has a group with a reply that may rest on what others change. What
// they have changed until it is committed is known when it is done, whoever has read it.
func TestDB_9_WhoIsUnsureLooksFirst(t *testing.T) {
	m := store.NewMemory()
	d := &sharedDisk{Store: m, share: store.Share{Index: 1, Of: 2}}
	type told struct {
		replies string
		foreign int
		blind   bool
	}
	var mu sync.Mutex
	var order []string // guarded by mu
	say := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, s)
	}
	done := make(chan told, 9)
	c := New(Config[*replies]{
		Store: d, Replies: func() *replies { return &replies{} }, Limit: 9, Log: slog.New(slog.DiscardHandler),
		Metrics: NewMetrics(prometheus.NewRegistry(), d),
		Foreign: func(changed []lease.Binding, _ uint64) []lease.ID {
			if len(changed) > 0 {
				say(fmt.Sprintf("foreign %d", len(changed)))
			}
			return nil
		},
		Share: func(s store.Share) { say(fmt.Sprintf("share %d of %d", s.Index, s.Of)) },
		Done: func(g *Group[*replies], err error) {
			if err != nil {
				t.Error(err)
			}
			say("done")
			done <- told{fmt.Sprint(g.Replies.list), len(g.Foreign.Records), g.Blind}
		},
	})
	defer c.Close()
	add := func(before func(), list ...int) told {
		g := c.LockGroup()
		g.Replies.list = append(g.Replies.list, list...)
		before() // while the group is locked, nobody can have read it for this group
		c.UnlockAndWake(g)
		return <-done
	}
	if got := add(func() { d.set(nil, addr(1), addr(2)) }, 1, unsure); got != (told{"[1 -1]", 2, false}) {
		t.Errorf("two leases changed: %+v", got)
	}
	mu.Lock()
	if order[0] != "share 1 of 2" || order[len(order)-2] != "foreign 2" || order[len(order)-1] != "done" {
		t.Errorf("order: %q", order)
	}
	mu.Unlock()
	if got := add(func() {}, unsure); got != (told{"[-1]", 0, false}) {
		t.Errorf("nothing changed: %+v", got)
	}
	if got := add(func() { d.set(errors.New("away")) }, unsure); got != (told{"[-1]", 0, true}) {
		t.Errorf("nobody can say: %+v", got)
	}
	if got := add(func() {}, 2); got.blind || got.foreign != 0 {
		t.Errorf("a reply that rests on nothing else: %+v", got)
	}
}

// slowDisk is a sharedDisk whose commits wait. It notes what it was asked to read again.
type slowDisk struct {
	sharedDisk
	began, end chan struct{} // a commit has begun, and may end
	asked      []string      // guarded by mu
}

func (d *slowDisk) Commit([]lease.Binding) ([]store.Refusal, error) {
	d.began <- struct{}{}
	<-d.end
	return nil, nil
}

func (d *slowDisk) Foreign(again []lease.ID) ([]lease.Binding, error) {
	d.mu.Lock()
	d.asked = append(d.asked, fmt.Sprint(again))
	d.mu.Unlock()
	return d.sharedDisk.Foreign(again)
}

// TestDB_9_WhatOthersChangeIsReadDuringACommit has a commit wait while another dhcp4d changes two
// leases. They reach the table at once, and the group whose NAK may rest on them. What the table
// cannot take yet, and what the commit removes, is read again.
func TestDB_9_WhatOthersChangeIsReadDuringACommit(t *testing.T) {
	m := store.NewMemory()
	d := &slowDisk{sharedDisk{Store: m}, make(chan struct{}), make(chan struct{}), nil}
	type found struct {
		n   int
		seq uint64
	}
	heard, done := make(chan found, 99), make(chan int, 9)
	c := New(Config[*replies]{
		Store: d, Replies: func() *replies { return &replies{} }, Limit: 9, Log: slog.New(slog.DiscardHandler),
		Metrics: NewMetrics(prometheus.NewRegistry(), d),
		Foreign: func(changed []lease.Binding, seq uint64) (again []lease.ID) {
			heard <- found{len(changed), seq}
			if seq == 0 { // the table has a record of the first one in the group
				again = append(again, changed[0].ID)
			}
			return again
		},
		Share: func(store.Share) {},
		Done:  func(g *Group[*replies], _ error) { done <- len(g.Foreign.Records) },
	})
	defer c.Close()
	removes := lease.Binding{ID: lease.ID{Addr: addr(9)}}
	g := c.LockGroup()
	g.Records.Add(&removes)
	g.Replies.list = append(g.Replies.list, unsure)
	c.UnlockAndWake(g)
	<-d.began
	d.set(nil, addr(1), addr(2))
	if got := <-heard; got != (found{2, 0}) {
		t.Errorf("during the commit: %+v", got)
	}
	until := func(what string, is func(asked []string) bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			d.mu.Lock()
			asked := slices.Clone(d.asked)
			d.mu.Unlock()
			if is(asked) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %q", what, asked)
			}
		}
	}
	both := fmt.Sprint([]lease.ID{{Addr: addr(1)}, removes.ID})
	until("both are read again", func(asked []string) bool { return slices.Contains(asked, both) })
	d.end <- struct{}{}
	if n := <-done; n != 2 {
		t.Errorf("the group hears of %d changes, want 2", n)
	}
	until("nothing is read again after the commit", func(asked []string) bool { return asked[len(asked)-1] == "[]" })
}

// refusing is a shared store that refuses each first record of a commit. What others have changed
// is there as soon as it has done so.
type refusing struct{ sharedDisk }

func (d *refusing) Commit([]lease.Binding) ([]store.Refusal, error) {
	d.set(nil, netip.MustParseAddr("192.0.2.1"))
	return []store.Refusal{{Record: 0}}, nil
}

// TestDB_9_WhatIsRefusedIsTakenBackBeforeOthersAreRead: the row that a refusal has read is older
// than what is read of others after it. The look comes at once, so that a query that is decided
// again rests on it.
func TestDB_9_WhatIsRefusedIsTakenBackBeforeOthersAreRead(t *testing.T) {
	m := store.NewMemory()
	d := &refusing{sharedDisk{Store: m}}
	order := make(chan string, 9)
	c := New(Config[*replies]{
		Store: d, Replies: func() *replies { return &replies{} }, Limit: 9, Log: slog.New(slog.DiscardHandler),
		Metrics: NewMetrics(prometheus.NewRegistry(), d),
		Refused: func(*Group[*replies]) { order <- "refused" },
		Foreign: func([]lease.Binding, uint64) []lease.ID { order <- "foreign"; return nil },
		Share:   func(store.Share) {},
		Done:    func(*Group[*replies], error) { order <- "done" },
	})
	defer c.Close()
	g := c.LockGroup()
	g.Records.Add(&lease.Binding{ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.1")}, State: lease.Bound})
	c.UnlockAndWake(g)
	for _, want := range []string{"refused", "foreign", "done"} {
		if got := <-order; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
