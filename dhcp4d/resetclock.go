package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/manual"
)

// resetClock is the command reset-clock.
func resetClock(sys clock.System) daemon.Command {
	about := manual.Command{
		Words: "reset-clock",
		About: "of a stopped dhcp4d: take the leases that a clock ahead of its time has written as written now",
	}
	return daemon.Command{
		Name:  about.Words,
		About: about.About,
		Run: func(_ context.Context, args, environ []string, stdout, stderr io.Writer) error {
			f := manual.Flags("dhcp4d", about, stderr)
			if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
				return nil
			} else if err != nil {
				return err
			}
			if f.NArg() > 0 {
				return fmt.Errorf("reset-clock takes no arguments; the store is the one of %sSTORE", config.Prefix)
			}
			c, err := config.Load(environ)
			if err != nil {
				return err
			}
			if err := clock.Plausible(sys.Read().Wall, clock.Built()); err != nil {
				return err // all leases would end as soon as the clock is set
			}
			moved, err := engine.ResetClock(c.Store.URL(), engine.Options{
				Log: slog.New(slog.NewTextHandler(stderr, nil)),
				Now: clock.New(sys).Now,
			})
			if err != nil {
				return fmt.Errorf("setting back the clock of the store: %w", err)
			}
			_, err = fmt.Fprintf(stdout, "%d leases of the future are taken as written now\n", moved)
			return err
		},
	}
}
