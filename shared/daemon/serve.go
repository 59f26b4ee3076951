package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/shared/metric"
)

// grace is how long the components have to stop after the first signal.
const grace = 10 * time.Second

// serve is the life of the process.
func (p Program[C]) serve(ctx context.Context, environ []string, stderr io.Writer) error {
	c, err := p.Load(environ)
	if err != nil {
		return err
	}
	s := c.Settings()
	name := metric.Namespace(p.Daemon)
	level := new(slog.LevelVar)
	level.Set(s.LogLevel)
	log := NewLogger(stderr, s.LogFormat, level)
	for _, w := range c.Warnings() {
		log.Warn("configuration", "warning", w)
	}

	reg := metric.NewRegistry(p.Daemon, p.Version)
	rt := &Runtime{
		Daemon: p.Daemon, Log: log, Registry: reg,
		Panics: metric.NewPanics(reg, p.Daemon),
		Ready:  &Readiness{changed: readyLog(log)},
	}
	running := rt.Ready.Condition("running", "starting")
	rt.running = running
	registerReady(reg, name, rt.Ready)
	reloads := newReloads(reg, name)

	web, err := listenHTTP(name, s, reg, rt.Ready, log)
	if err != nil {
		return err
	}
	defer web.close()

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	defer signal.Stop(signals)

	log.Info("starting", "version", p.Version, "revision", metric.Revision(), "metrics", web.addr(), "pid", os.Getpid())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx, rt, c) }()

	var expired <-chan time.Time
	ending := ctx.Done()
	for {
		select {
		case err := <-done:
			running.Unmet("stopped")
			if err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
			log.Info("stopped")
			return nil
		case sig := <-signals:
			if sig == unix.SIGHUP {
				reloads.run(rt.reload.Load(), level, log)
				continue
			}
			if ctx.Err() != nil {
				return fmt.Errorf("stopped at once by a second %v", sig)
			}
			log.Info("stopping", "signal", sig.String())
			stop(context.Canceled)
		case <-ending:
			ending = nil
			rt.Ready.hush()
			running.Unmet("stopping")
			notify("STOPPING=1", log)
			expired = time.After(grace)
		case <-expired:
			return fmt.Errorf("still busy %v after the signal to stop", grace)
		}
	}
}

// readyLog logs the changes of readiness and passes them to systemd, which is
// told once that the start is over.
func readyLog(log *slog.Logger) func(bool, string) {
	told := false
	return func(ready bool, report string) {
		if !ready {
			log.Warn("not ready", "conditions", report)
			return
		}
		log.Info("ready")
		if !told {
			told = true
			notify("READY=1", log)
		}
	}
}

// registerReady registers <daemon>_ready.
func registerReady(reg prometheus.Registerer, name string, r *Readiness) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: name, Name: "ready",
		Help: "1 when /readyz says so, 0 otherwise.",
	}, func() float64 {
		if r.Ready() {
			return 1
		}
		return 0
	}))
}
