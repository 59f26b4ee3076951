package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/server"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
)

// clockEvery is how often a clock that is behind the store is looked at.
const clockEvery = time.Second

// rightClock calls load until the clock is not behind what the store has seen.
// With a clock of the past, leases that have ended would seem to run, and
// those given out would end, as we count, before they were made; so nobody is
// served meanwhile, and /readyz says why.
func rightClock(ctx context.Context, rt *daemon.Runtime, load func() error) error {
	right := rt.Ready.Condition("clock", "not looked at yet")
	said := false
	for {
		err := load()
		var behind *server.ClockError
		if !errors.As(err, &behind) {
			right.Met()
			return err
		}
		right.Unmet(behind.Error())
		if !said {
			said = true
			rt.Log.Error("the clock is wrong, nobody is served until it is right", "error", behind)
		}
		for behind.Still(time.Now()) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(clockEvery):
			}
		}
		rt.Log.Info("the clock is right")
	}
}

// resetClock is the command reset-clock.
var resetClock = daemon.Command{
	Name:  "reset-clock",
	About: "of a stopped dhcp4d: take the leases that a clock ahead of its time has written as written now",
	Run: func(_ context.Context, args, environ []string, stdout, stderr io.Writer) error {
		if len(args) > 0 {
			return fmt.Errorf("reset-clock takes no arguments; the store is the one of %sSTORE", config.Prefix)
		}
		c, err := config.Load(environ)
		if err != nil {
			return err
		}
		moved, err := store.ResetClock(c.Store.URL(), store.Options{
			Log: slog.New(slog.NewTextHandler(stderr, nil)),
			Now: func() lease.Time { return lease.Time(time.Now().Unix()) },
		})
		if err != nil {
			return fmt.Errorf("setting back the clock of the store: %w", err)
		}
		_, err = fmt.Fprintf(stdout, "%d leases of the future are taken as written now\n", moved)
		return err
	},
}
