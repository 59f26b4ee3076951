package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
)

// serve runs the daemon. If that fails, the error becomes the last status of the service, which
// systemctl status shows.
func (p Program[C]) serve(ctx context.Context, environ []string, stderr io.Writer) error {
	// Until the process ends, none of these two is its end: a SIGHUP that comes before the
	// configuration is read, or when all components have ended, and a SIGPIPE because the reader of
	// the log has gone. To systemd both would be a good end, after which it does not restart. One
	// pending SIGHUP is enough for all.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, unix.SIGHUP)
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	err := p.run(ctx, environ, stderr, hangups)
	if err == nil {
		return nil
	}
	status, _, more := strings.Cut(err.Error(), "\n")
	if more {
		status += " (the log has more)"
	}
	notify("STATUS="+status, slog.New(slog.DiscardHandler))
	return failure{err}
}

// failure is why a daemon has ended.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// run loads the configuration, runs the daemon and handles signals until it has stopped.
func (p Program[C]) run(ctx context.Context, environ []string, stderr io.Writer, hangups <-chan os.Signal) error {
	c, err := p.Load(environ)
	if err != nil {
		return err
	}
	// A channel of their own, so that many SIGHUPs cannot displace a SIGTERM. Before there is
	// anything to end, a SIGTERM ends the process at once.
	stops := make(chan os.Signal, 2)
	signal.Notify(stops, unix.SIGTERM, unix.SIGINT)
	defer signal.Stop(stops)

	s := c.Settings()
	name := metric.Namespace(p.Daemon)
	level := new(slog.LevelVar)
	level.Set(s.LogLevel.Level)
	log := NewLogger(stderr, s.LogFormat, level)
	config.Warn(log, c.Warnings())

	reg := metric.NewRegistry(p.Daemon, p.Version)
	rt := NewRuntime(p.Daemon, log, reg)
	rt.Ready.changed = readyLog(log)
	reloads := newReloads(reg, name)

	servers := startHTTP(name, s, reg, rt.Ready, log)
	defer servers.close()

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	notify("STATUS=Starting", log)
	log.Info("starting", "version", p.Version, "revision", metric.Revision(), "pid", os.Getpid())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, rt, c) }()

	v := supervisor{rt: rt, log: log, level: level, reloads: reloads, stop: stop,
		served: served, stops: stops, hangups: hangups}
	if err := v.wait(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	log.Info("stopped")
	return nil
}

// readyLog returns a function that logs changes of readiness. It also tells systemd what the daemon
// waits for, and when it is ready for the first time.
func readyLog(log *slog.Logger) func(bool, string) {
	was, told := false, false
	return func(ready bool, report string) {
		switch {
		case ready && !told:
			notify("READY=1\nSTATUS=Serving", log)
			told = true
		case ready:
			notify("STATUS=Serving", log)
		default:
			notify("STATUS="+waiting(report), log)
		}
		if ready && !was {
			log.Info("ready")
		} else if !ready && was {
			log.Warn("not ready", "conditions", report)
		}
		was = ready
	}
}

// waiting returns the conditions of a report that are not met, in one line.
func waiting(report string) string {
	var unmet []string
	for line := range strings.Lines(report) {
		if line = strings.TrimSuffix(line, "\n"); !strings.HasSuffix(line, ": ok") {
			unmet = append(unmet, line)
		}
	}
	return "Not ready. " + strings.Join(unmet, "; ")
}

// registerReady registers <daemon>_ready.
func registerReady(reg prometheus.Registerer, name string, r *Readiness) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: name, Name: "ready",
		Help: "1 when /readyz says 200, else 0.",
	}, func() float64 {
		if r.Ready() {
			return 1
		}
		return 0
	}))
}
