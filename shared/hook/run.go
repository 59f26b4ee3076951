package hook

import (
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

type running[E any] struct {
	call    func(*E) drop.Reason
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
		why := l.guarded(h, e)
		after := time.Since(began)
		h.metrics.observe(after-before, why)
		if why != Continue {
			if why == Park {
				return Park
			}
			if c, ok := any(e).(blamer); ok {
				c.blame(h.metrics.point, h.metrics.hook)
			}
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
		why := l.guarded(h, e)
		after := time.Since(began)
		h.metrics.observe(after-before, why)
		before = after
	}
}

// guarded turns a panic into a reason.
func (l *List[E]) guarded(h *running[E], e *E) (why drop.Reason) {
	defer func() {
		if p := recover(); p != nil {
			why = drop.HookPanic
			l.panics.report(h.metrics, p)
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
