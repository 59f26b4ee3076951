package clock

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Keeper keeps marks: a store.
type Keeper interface {
	KeepClockMark(m Mark) error
}

// The watch looks at the clocks once a second. It keeps a mark when something has changed, and now
// and then, so that a mark that was damaged or deleted is replaced.
const (
	watchEvery = time.Second
	keepEvery  = time.Hour
)

// Watch tells of steps of the wall clock and keeps the mark.
type Watch struct {
	clock  *Clock
	keeper Keeper
	log    *slog.Logger
	steps  prometheus.Counter

	synchronised bool
	kept         time.Duration // boot clock of the mark
	due          bool          // for a mark, because something changed or the last one failed
	said         string        // the error of the last one, not to be said again
}

// NewWatch registers the series of c.
func NewWatch(r prometheus.Registerer, c *Clock, k Keeper, log *slog.Logger) *Watch {
	steps := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "dhcp4d_clock_steps_total",
		Help: "Steps of the wall clock that were noticed. They move no lease.",
	})
	w := &Watch{clock: c, keeper: k, log: log, due: true, synchronised: c.sys.Synchronised(), steps: steps}
	r.MustRegister(w.steps,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "dhcp4d_clock_ahead_seconds",
			Help: "How far the wall clock is ahead of the time of leases.",
		}, func() float64 { return float64(c.Ahead()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "dhcp4d_clock_synchronised",
			Help: "1 if the kernel says that the wall clock is synchronised, as by NTP.",
		}, func() float64 {
			if c.sys.Synchronised() {
				return 1
			}
			return 0
		}))
	return w
}

// Name is the component's name in logs and errors.
func (w *Watch) Name() string { return "clock" }

// Run looks until ctx ends, and keeps a last mark then.
func (w *Watch) Run(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		w.Look()
		select {
		case <-ctx.Done():
			w.due = true
			w.Look()
			return nil
		case <-tick.C:
		}
	}
}

// Look looks at the clocks once.
func (w *Watch) Look() {
	if step := w.clock.Stepped(); step != 0 {
		w.due = true
		w.steps.Inc()
		w.log.Warn("the wall clock has been set; this moves no lease", "by", step, "to", w.clock.Wall().Round(0).UTC())
	}
	if now := w.clock.sys.Synchronised(); now != w.synchronised {
		w.due, w.synchronised = true, now
	}
	if w.due || w.clock.sys.Read().Boot-w.kept >= keepEvery {
		w.keep()
	}
}

// keep keeps a mark. An old one does no harm, so an error is only told, and the next look tries
// again.
func (w *Watch) keep() {
	m := w.clock.Mark()
	if err := w.keeper.KeepClockMark(m); err != nil {
		w.due = true
		if err.Error() != w.said {
			w.said = err.Error()
			w.log.Error("the clock mark cannot be written, trying again; until then leases last longer after a "+
				"restart of the machine", "error", err)
		}
		return
	}
	w.due, w.said, w.kept = false, "", m.Up
}
