// Package commit puts bindings on disk for the packet loop, many at a time.
//
// It owns the one goroutine that waits for the disk. While one group of
// records is being synced the next one gathers; its replies leave when its
// sync has returned, never before. It never looks into a record or a reply.
package commit

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

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
	// once Committer.Durable has reached it.
	Seq uint64
}

// Config is how a Committer is made.
type Config[R Replies] struct {
	Store store.Store
	// Replies makes the two reply lists, one of each group.
	Replies func() R
	// Done takes a group whose records are durable (err nil) or not; it
	// sends or drops the replies. It is called by the committer's goroutine,
	// without a lock, in the order of Seq, for every group that held
	// anything. The group is emptied when it returns.
	Done func(g *Group[R], err error)
	// Rebuild makes the table again from Store.Load, after a failure. Until
	// it has returned nil Gather refuses. Called by the committer's goroutine.
	Rebuild func(store.Store) error
	// Limit is the number of replies, and of records, that one group takes.
	Limit      int
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Committer gathers groups and commits them, one after the other.
type Committer[R Replies] struct{ cfg Config[R] }

// New makes a committer and starts its goroutine; Close ends it.
func New[R Replies](cfg Config[R]) *Committer[R] { return &Committer[R]{cfg: cfg} }

// Gather locks the group that is gathering and returns it; the caller adds
// what it has, looks at Full before each record, and calls Release soon: the
// committer waits meanwhile. It returns nil while the store has failed:
// then nothing is locked, and what needs the store is a drop.StoreError.
func (c *Committer[R]) Gather() *Group[R] { return nil }

// Full tells whether g takes no more: a drop.Overload.
func (c *Committer[R]) Full(g *Group[R]) bool { return false }

// Release unlocks the group and wakes the committer if the group has anything.
func (c *Committer[R]) Release(g *Group[R]) {}

// Durable is the highest Seq whose records are on stable storage.
func (c *Committer[R]) Durable() uint64 { return 0 }

// Failed tells whether the store has failed and is not yet back.
func (c *Committer[R]) Failed() bool { return false }

// Close commits what has gathered, waits for it, and ends the goroutine. The
// store stays open. Gather must not be called any more.
func (c *Committer[R]) Close() {}
