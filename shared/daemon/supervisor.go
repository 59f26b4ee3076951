package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// grace is how long the components have to stop after the first signal.
const grace = 10 * time.Second

// supervisor watches a daemon that runs, and does what signals ask for.
type supervisor struct {
	rt      *Runtime
	log     *slog.Logger
	level   *slog.LevelVar // of log
	reloads *reloads
	stop    context.CancelCauseFunc // ends the context of the daemon

	served  <-chan error     // has the result of Serve when the daemon has stopped
	stops   <-chan os.Signal // SIGTERM and SIGINT
	hangups <-chan os.Signal // SIGHUP
}

// wait waits until the daemon has stopped, and returns why it has. The context is the daemon's.
func (v *supervisor) wait(ctx context.Context) error {
	var (
		done     = v.served
		ending   = ctx.Done()
		expired  <-chan time.Time // once the daemon stops
		loaded   = (<-chan struct{})(v.rt.reloadable)
		reload   <-chan os.Signal // hangups, while there is something to reload and no reload runs
		reloaded chan struct{}    // while a reload runs, which may take seconds
		ended    bool             // Serve has returned
		result   error            // of Serve
	)
	for !ended || reloaded != nil {
		select {
		case result = <-done:
			done, ended, loaded, reload = nil, true, nil, nil
			v.rt.running.Unmet("stopped")
			if expired == nil {
				expired = time.After(grace)
			}
		case <-loaded:
			loaded, reload = nil, v.hangups
		case <-reload:
			reload, reloaded = nil, make(chan struct{})
			go func() {
				defer close(reloaded)
				v.reloads.run(*v.rt.reload.Load(), v.level, v.log)
			}()
		case <-reloaded:
			reloaded = nil
			if ctx.Err() == nil && !ended {
				reload = v.hangups
			}
		case sig := <-v.stops:
			if ctx.Err() != nil {
				return fmt.Errorf("stopped at once by a second %v", sig)
			}
			v.log.Info("stopping", "signal", sig.String())
			v.stop(context.Canceled)
		case <-ending:
			ending, loaded, reload = nil, nil, nil
			v.rt.Ready.hush()
			v.rt.running.Unmet("stopping")
			notify("STOPPING=1\nSTATUS=Stopping", v.log)
			expired = time.After(grace)
		case <-expired:
			if ended {
				reloaded = nil // nothing is left for the reload to change
				continue
			}
			return fmt.Errorf("still busy %v after the signal to stop", grace)
		}
	}
	return result
}
