package core

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
)

// clockEvery is how often a clock that is behind the store is looked at.
const clockEvery = time.Second

// wrongClock is an error that ends when the wall clock is set right.
type wrongClock interface {
	error
	// Still reports whether the error holds at another reading of the wall clock.
	Still(wall time.Time) bool
}

// rightClock calls load once the wall clock can be right, and again while load finds it behind a
// store whose times are the wall clock's. A clock behind the store would revive ended leases, and
// end new ones at once. So nobody is served until it is right, and /readyz says why.
func (c *Core) rightClock(ctx context.Context, load func() error) error {
	right := c.rt.Ready.Condition("clock", "not looked at yet")
	said := false
	for {
		err := clock.Plausible(c.clock.Wall(), clock.Built())
		if err == nil {
			err = load()
		}
		var wrong wrongClock
		if !errors.As(err, &wrong) {
			right.Met()
			return err
		}
		right.Unmet(wrong.Error())
		if !said {
			said = true
			c.rt.Log.Error("the clock is wrong; nobody is served until it is right", "error", wrong)
		}
		for wrong.Still(c.clock.Wall()) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(clockEvery):
			}
		}
		c.rt.Log.Info("the clock is right")
	}
}

// storeEvery is the pause between two attempts to open or load a store that cannot be reached.
const storeEvery = time.Second

// patiently calls try until it succeeds. It waits for a database that cannot be reached, or that
// goes away in the middle.
func (c *Core) patiently(ctx context.Context, try func() error) error {
	err := try()
	if err == nil || !engine.MayPass(c.url, err) {
		return err
	}
	if c.reached == nil {
		c.reached = c.rt.Ready.Condition("database", err.Error())
	}
	for said := ""; ; {
		if err.Error() != said {
			said = err.Error()
			c.rt.Log.Warn("waiting for the lease store; nobody is served by this dhcp4d until it is open", "error", err)
			c.reached.Unmet(said)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(storeEvery):
		}
		if err = try(); err == nil {
			c.reached.Met()
			c.rt.Log.Info("the lease store is open")
			return nil
		}
		if !engine.MayPass(c.url, err) {
			return err
		}
	}
}

// openStore opens the store.
func (c *Core) openStore(ctx context.Context, o engine.Options) error {
	return c.patiently(ctx, func() (err error) {
		c.store, err = engine.Open(c.url, o)
		return err
	})
}

// load fills the book from the store, once the clock is right. If the database goes away meanwhile,
// the store is opened again and the book is loaded anew.
func (c *Core) load(ctx context.Context) error {
	broken := false
	return c.rightClock(ctx, func() error {
		return c.patiently(ctx, func() error {
			if broken {
				if err := c.store.Reopen(); err != nil {
					return err
				}
			}
			err := c.fill()
			broken = err != nil && engine.MayPass(c.url, err)
			return err
		})
	})
}

// fill fills the book from the store.
func (c *Core) fill() error {
	resumed, err := store.Resume(c.store, c.clock)
	if err != nil {
		return err
	}
	logResumed(c.rt.Log, resumed, c.clock)
	found, err := c.book.Load(c.store)
	if err == nil {
		c.storeMetrics.Loaded(found.Took)
		logLoaded(c.rt.Log, c.book.Holdings(), c.url, found)
	}
	return err
}

// logMade logs that a store is new. That is right once. At any other time the path is wrong, or the
// store that was there is gone.
func logMade(log *slog.Logger, dir string) {
	log.Warn("a new lease store was made, without a lease; if there were leases, stop dhcp4d, "+
		"and correct DHCP4D_STORE or mount its file system", "dir", dir)
}

// logLoaded logs how many leases of which subnets were loaded, and from where.
func logLoaded(log *slog.Logger, h leases.Holdings, url string, found store.Loaded) {
	log.Info("leases loaded", "store", url, "bound", h.Bound, "declined", h.Declined, "former", h.Former,
		"bound_by_subnet", h.BySubnet, "took", found.Took)
}

// logSummed warns of subnets that metrics do not tell apart.
func logSummed(log *slog.Logger, subnets, most int) {
	if subnets > most {
		log.Warn("more subnets than DHCP4D_METRICS_SUBNETS: the others are summed as \"other\" in metrics, but for "+
			"the fullest of their pools", "subnets", subnets, "limit", most, "fullest_pools", leases.Fullest)
	}
}

// logResumed logs if the time of leases could not be continued by a clock.
func logResumed(log *slog.Logger, r store.Resumed, now *clock.Clock) {
	ahead := time.Duration(now.Ahead()) * time.Second
	switch {
	case r.Lost:
		log.Warn("the clock mark of the store is missing or damaged: nobody can say how long dhcp4d was stopped, so "+
			"leases last longer by that time", "wall_clock_ahead", ahead)
	case r.Wall:
	case r.Basis == clock.Standing:
		log.Warn("the machine was started anew, and its clock was or is not synchronised: nobody can say how long "+
			"dhcp4d was stopped, so leases last longer by that time", "stopped", r.Mark.Wall, "wall_clock_ahead", ahead)
	default:
		log.Debug("the time of leases goes on", "wall_clock_ahead", ahead)
	}
}

// logRecovery logs until when no new address is given out.
func logRecovery(log *slog.Logger, till, ahead lease.Time) {
	switch till {
	case 0:
	case lease.Never:
		log.Warn("recovering, without end in subnets whose leases never end: start without -recovery when you know " +
			"that all of them are in the store")
	default:
		log.Warn("recovering: no client gets an address that is new to it",
			"until", time.Unix(int64(till+ahead), 0).UTC())
	}
}

// logUnrenewed warns of leases for which the subnets document has no subnet or no pool.
func logUnrenewed(log *slog.Logger, book *leases.Book) {
	u := book.Unrenewed()
	if u.NoSubnet > 0 {
		log.Warn("leases are in no subnet of DHCP4D_SUBNETS: they are kept until they end, and not renewed; "+
			"add a subnet that has their addresses to renew them",
			"leases", u.NoSubnet, "they_are_listed_by", "dhcp4d leases list")
	}
	if u.NoPool > 0 {
		log.Warn("leases are in a subnet of DHCP4D_SUBNETS and in none of its pools: they are kept until they end, "+
			"and not renewed; add a pool that has their addresses to renew them",
			"leases", u.NoPool)
	}
}
