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
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
)

// Runtime is what the frame gives to a daemon's Serve.
type Runtime struct {
	Daemon   drop.Daemon
	Log      *slog.Logger
	Registry *prometheus.Registry
	Panics   prometheus.Counter // <daemon>_panics_total
	Ready    *Readiness

	running    *Condition // met once the components run
	reload     atomic.Pointer[func() (Settings, error)]
	reloadable chan struct{} // closed when reload is set for the first time
}

// NewRuntime makes the runtime of a daemon that is starting. It is not ready before Run.
func NewRuntime(d drop.Daemon, log *slog.Logger, reg *prometheus.Registry) *Runtime {
	rt := &Runtime{Daemon: d, Log: log, Registry: reg, Panics: metric.NewPanics(reg, d), Ready: new(Readiness),
		reloadable: make(chan struct{})}
	rt.running = rt.Ready.Condition("running", "starting")
	registerReady(reg, metric.Namespace(d), rt.Ready)
	return rt
}

// OnReload sets the function that SIGHUP calls. A SIGHUP that came before waits for it. The
// function puts the new configuration into effect and returns its Settings, from which the frame
// takes the log level. If it returns an error, the old configuration must still be in effect; the
// frame logs the error and shows it as a metric.
func (rt *Runtime) OnReload(f func() (Settings, error)) {
	if rt.reload.Swap(&f) == nil {
		close(rt.reloadable)
	}
}

// Component is a part of a daemon that runs in a goroutine of its own.
type Component interface {
	// Name returns the component's name for logs and errors.
	Name() string
	// Run works until the context ends, releases everything and returns nil. Any other return stops
	// the daemon.
	Run(ctx context.Context) error
}

// Func returns a component that runs a function.
func Func(name string, run func(ctx context.Context) error) Component { return function{name, run} }

type function struct {
	name string
	run  func(ctx context.Context) error
}

func (f function) Name() string                  { return f.name }
func (f function) Run(ctx context.Context) error { return f.run(ctx) }

// Run runs the components until the context ends or one of them fails, and returns when all have
// returned. The daemon is ready from Run on, if all conditions are met that were made before.
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

// supervise runs a component and puts its name into its error. Returning before ctx is done is an
// error.
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
