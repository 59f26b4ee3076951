package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Runtime is what the frame hands to a daemon's Serve.
type Runtime struct {
	Daemon   drop.Daemon
	Log      *slog.Logger
	Registry *prometheus.Registry
	Panics   prometheus.Counter // <daemon>_panics_total
	Ready    *Readiness

	running *Condition // met once the components run
	reload  atomic.Pointer[func() (Settings, error)]
}

// OnReload sets what SIGHUP does. It returns what of the new configuration
// concerns the frame, which takes the log level from it. An error means that
// the old configuration stays; the frame logs it and shows it as a metric.
func (rt *Runtime) OnReload(f func() (Settings, error)) { rt.reload.Store(&f) }

// Component is a part of a daemon with a life of its own.
type Component interface {
	// Name is the component's name in logs and errors.
	Name() string
	// Run works until the context ends and then returns nil, with everything
	// released that it holds. Any other return ends the daemon.
	Run(ctx context.Context) error
}

// Func makes a component of a function.
func Func(name string, run func(ctx context.Context) error) Component { return function{name, run} }

type function struct {
	name string
	run  func(ctx context.Context) error
}

func (f function) Name() string                  { return f.name }
func (f function) Run(ctx context.Context) error { return f.run(ctx) }

// Run runs the components together until the context ends or the first of them
// fails, and returns when all have returned. The daemon is not ready before:
// whoever knows more conditions makes them before Run.
func (rt *Runtime) Run(ctx context.Context, components ...Component) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	rt.running.Met()
	var all sync.WaitGroup
	for _, c := range components {
		all.Go(func() {
			if err := supervise(ctx, c); err != nil {
				stop(err)
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// supervise names the component in its error. Its return while the context
// lives is an error too.
func supervise(ctx context.Context, c Component) error {
	err := c.Run(ctx)
	switch {
	case err != nil && (ctx.Err() == nil || !errors.Is(err, context.Canceled)):
		return fmt.Errorf("%s: %w", c.Name(), err)
	case ctx.Err() == nil:
		return fmt.Errorf("%s: stopped by itself", c.Name())
	}
	return nil
}
