// Package operator carries out the orders of people: to end a lease, or to lease an address to a
// client.
//
// The book makes the change in memory. Its record goes into the commit group that gathers, among
// those of queries. An order returns when the group is durable.
package operator

import (
	"context"
	"errors"
	"fmt"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
)

// Errors of an order, beside those of package leases.
var (
	ErrBusy  = errors.New("too many changes wait for the disk; try again")
	ErrStore = errors.New("the lease store has failed")
)

// Replies is everything that waits for a commit group, with the changes that the group makes.
type Replies interface {
	commit.Replies
	Changes() *leases.Changes
}

// Orders carries out orders. Any goroutine may call it. It holds no lock while it waits.
type Orders[R Replies] struct {
	Book    *leases.Book
	Commits *commit.Committer[R]
}

// Release ends a lease or a quarantine. When it returns, that is on stable storage.
func (o *Orders[R]) Release(ctx context.Context, id lease.ID, by string) (lease.Binding, error) {
	return o.order(ctx, func(g leases.Group, c *leases.Changes) (lease.Binding, error) {
		return o.Book.End(id, by, g, c)
	})
}

// Reserve leases an address to a client that has not asked for it yet, as [leases.Book.Assign]
// says. When it returns, that is on stable storage.
func (o *Orders[R]) Reserve(ctx context.Context, w *leases.Assignment, by string) (lease.Binding, error) {
	return o.order(ctx, func(g leases.Group, c *leases.Changes) (lease.Binding, error) {
		return o.Book.Assign(w, by, g, c)
	})
}

// order calls change with the gathering group, and waits until the record of the change is durable.
// It returns what change has returned.
func (o *Orders[R]) order(ctx context.Context,
	change func(leases.Group, *leases.Changes) (lease.Binding, error)) (lease.Binding, error) {
	g := o.Commits.LockGroup()
	if g == nil {
		return lease.Binding{}, ErrStore
	}
	if o.Commits.Full(g) {
		o.Commits.UnlockAndWake(g)
		return lease.Binding{}, ErrBusy
	}
	changes := g.Replies.Changes()
	l, err := change(leases.Group{Records: &g.Records, Seq: g.Seq}, changes)
	if err != nil {
		o.Commits.UnlockAndWake(g)
		return lease.Binding{}, err
	}
	done := changes.Await(len(g.Records.Records) - 1)
	o.Commits.UnlockAndWake(g)
	select {
	case err = <-done:
	case <-ctx.Done():
		return lease.Binding{}, ctx.Err()
	}
	switch {
	case errors.Is(err, leases.ErrConflict):
		return lease.Binding{}, err
	case err != nil:
		return lease.Binding{}, fmt.Errorf("%w: %w", ErrStore, err)
	}
	return l, nil
}
