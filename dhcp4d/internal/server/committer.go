package server

import (
	"log/slog"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// Commits are the settings of a committer. Limit is how many replies, and how many records, may
// wait for one sync.
type Commits struct {
	Store   store.Store // loaded; belongs to the committer until its Close returns
	Limit   int
	Log     *slog.Logger
	Metrics *commit.Metrics
}

// NewCommitter makes a committer. For its groups, a sends the ACKs. After a failure of the store
// the committer loads the book anew.
func NewCommitter(c Commits, book *leases.Book, a *Acks) *commit.Committer[*Replies] {
	return commit.New(commit.Config[*Replies]{
		Store:   c.Store,
		Replies: func() *Replies { return new(Replies) },
		Refused: func(g *commit.Group[*Replies]) {
			if err := book.Refused(g.Records.Records, g.Refused, g.Seq); err != nil {
				c.Log.Error("the lease store has refused a lease, because another client has the address; that "+
					"client's record cannot be used", "error", err)
			}
		},
		Foreign: func(changed []lease.Binding, seq uint64) []lease.ID {
			again, err := book.Foreign(changed, seq)
			if err != nil {
				c.Log.Error("another dhcp4d has changed a lease, and its record cannot be used", "error", err)
			}
			return again
		},
		Share: book.SetShare,
		Done:  a.done,
		Rebuild: func(s store.Store, durable uint64) error {
			if h, ok := s.(store.Healer); ok && h.Forgot() {
				n, err := h.Heal(func(take store.Take) error { return book.EachUpTo(durable, take) })
				if err != nil {
					return err
				}
				c.Metrics.Healed()
				c.Log.Error("the database had lost acknowledged leases; dhcp4d has written them again from memory",
					"leases", n)
			}
			found, err := book.Load(s)
			if err == nil {
				c.Metrics.Loaded(found.Took)
			}
			return err
		},
		Limit:   c.Limit,
		Log:     c.Log,
		Metrics: c.Metrics,
	})
}
