package hook

import (
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// running is a hook at a point. R is what it decides: a [drop.Reason], or a [Result] if it runs
// last.
type running[E, R any] struct {
	call    func(*E) R
	metrics *series
}

// began is the start of all measurements: time.Since reads only the monotonic clock, time.Now reads
// two clocks.
var began = time.Now()

// run reads the clock once between two hooks.
func (l *List[E]) run(e *E) drop.Reason {
	before := time.Since(began)
	for i := range l.hooks {
		h := &l.hooks[i]
		why := guarded(h, e, l.panics, drop.HookPanic)
		after := time.Since(began)
		h.metrics.observe(after-before, why)
		if why != Continue {
			h.metrics.blameFor(e)
			return why
		}
		before = after
	}
	return Continue
}

// Culprit is the hook that has dropped a packet, the zero value if none has. It is set in an event
// that embeds it. Because is the operator's word for the reason, if the hook has one.
type Culprit struct{ Point, Hook, Because string }

// Notes are what hooks say of a packet, for a person who follows it. A nil Notes takes none.
type Notes struct{ Lines []string }

type blamer interface{ blame(point, hook string) }

// blameFor makes the hook the culprit of an event.
func (s *series) blameFor(event any) {
	if c, ok := event.(blamer); ok {
		c.blame(s.point, s.hook)
	}
}

func (c *Culprit) blame(point, hook string) { c.Point, c.Hook = point, hook }

// String returns the culprit in words.
func (c Culprit) String() string {
	if c.Because != "" {
		return "hook " + c.Hook + " at " + c.Point + " (" + c.Because + ")"
	}
	return "hook " + c.Hook + " at " + c.Point
}

func (l *List[E]) tell(e *E) {
	before := time.Since(began)
	for i := range l.hooks {
		h := &l.hooks[i]
		why := guarded(h, e, l.panics, drop.HookPanic)
		after := time.Since(began)
		h.metrics.observe(after-before, why)
		before = after
	}
}

// guarded calls a hook. If the hook panics, it returns panicked.
func guarded[E, R any](h *running[E, R], e *E, panics *panicLog, panicked R) (result R) {
	defer func() {
		if p := recover(); p != nil {
			result = panicked
			panics.report(h.metrics, p)
		}
	}()
	return h.call(e)
}

// panicInterval is the least time between two log lines about panics: a hook that panics does so
// for every packet.
const panicInterval = 10 * time.Second

// panicLog counts panics and logs some of them.
type panicLog struct {
	counter  prometheus.Counter
	log      *slog.Logger
	last     atomic.Int64 // time of the last line, ns since the epoch
	unlogged atomic.Int64
}

func (l *panicLog) report(s *series, p any) {
	l.counter.Inc()
	now, last := time.Now().UnixNano(), l.last.Load()
	tooSoon := last != 0 && now >= last && now-last < int64(panicInterval)
	if tooSoon || !l.last.CompareAndSwap(last, now) {
		l.unlogged.Add(1)
		return
	}
	l.log.Error("a hook panicked, its packet is dropped",
		"point", s.point, "hook", s.hook, "panic", p,
		"unlogged", l.unlogged.Swap(0), "stack", string(debug.Stack()))
}
