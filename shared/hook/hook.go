// Package hook runs the operator's hooks at the points of a packet's way.
//
// It owns the lists, their order, the timing of each hook and the counting of
// its verdicts. It knows no packet: the event E of a point is the daemon's.
// A [Filter] decides whether a packet goes on, an [Observer] learns what
// happened and cannot change it. A filter runs in line, while its loop has a
// batch in hand: who waits for the loop waits for the filter too (in dhcp4d the
// committer, a reload and the API), so it must not block and must not ask the
// daemon that runs it. A hook keeps nothing of the event: event and buffers are
// used again for the next packet. One that panics costs its packet, not the
// daemon.
//
// To add a point: a constant here, a list in the server that owns the event,
// one call of Run. To add a hook: a constructor that returns a Filter or an
// Observer, a row in the table of hooks that the daemon ships.
package hook

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Point is a place on the way where hooks run, under Kea's name for it.
type Point string

// The points, in the order in which a packet meets them.
const (
	Buffer6Receive Point = "buffer6_receive" // bytes as received
	Pkt6Receive    Point = "pkt6_receive"    // parsed and valid
	Pkt6Send       Point = "pkt6_send"       // our own answer, built
	Buffer6Send    Point = "buffer6_send"    // bytes about to leave

	Buffer4Receive   Point = "buffer4_receive"
	Pkt4Receive      Point = "pkt4_receive"
	Subnet4Select    Point = "subnet4_select"
	Lease4Select     Point = "lease4_select"
	Lease4Renew      Point = "lease4_renew"
	Lease4Release    Point = "lease4_release"
	Lease4Decline    Point = "lease4_decline"
	Leases4Committed Point = "leases4_committed" // observers only: on stable storage
	Pkt4Send         Point = "pkt4_send"
	Buffer4Send      Point = "buffer4_send"
)

// What a filter returns. A hook with a better reason than [Drop] returns that.
const (
	Continue = drop.None
	Drop     = drop.Hook
)

// Filter decides about a packet. The event is valid until Run returns.
type Filter[E any] struct {
	Name string // as configured
	Run  func(*E) drop.Reason
}

// Observer learns of something that happened.
type Observer[E any] struct {
	Name string
	Run  func(*E)
}

// Core is what the hooks of a daemon share: metrics and a log.
type Core struct {
	metrics *metrics
	panics  *panicLog
}

// NewCore registers <daemon>_hook_duration_seconds and
// <daemon>_hook_results_total. The panics counter is the daemon's.
func NewCore(reg prometheus.Registerer, d drop.Daemon, panics prometheus.Counter, log *slog.Logger) *Core {
	return &Core{newMetrics(reg, d), &panicLog{counter: panics, log: log.With("package", "hook")}}
}

// Declare makes the series of a hook at zero, for hooks that the daemon ships
// and this configuration does not use.
func (c *Core) Declare(p Point, hook string) { c.metrics.of(p, hook) }

// List is the filters of a point, in the order of the configuration. The zero
// List is empty and costs a comparison. One goroutine at a time runs it.
type List[E any] struct {
	hooks  []running[E]
	panics *panicLog
}

// Filters makes the list of a point.
func Filters[E any](c *Core, p Point, filters ...Filter[E]) List[E] {
	l := List[E]{panics: c.panics}
	for _, f := range filters {
		l.hooks = append(l.hooks, running[E]{f.Run, c.metrics.of(p, f.Name)})
	}
	return l
}

// Empty tells whether there is nobody to ask.
func (l *List[E]) Empty() bool { return len(l.hooks) == 0 }

// Run asks the filters in turn until one drops the packet.
func (l *List[E]) Run(e *E) drop.Reason {
	if len(l.hooks) == 0 {
		return Continue
	}
	return l.run(e)
}

// Observers is the observers of a point. The zero value is empty.
type Observers[E any] struct{ list List[E] }

// Observe makes the list of a point.
func Observe[E any](c *Core, p Point, observers ...Observer[E]) Observers[E] {
	o := Observers[E]{List[E]{panics: c.panics}}
	for _, f := range observers {
		run := func(e *E) drop.Reason { f.Run(e); return Continue }
		o.list.hooks = append(o.list.hooks, running[E]{run, c.metrics.of(p, f.Name)})
	}
	return o
}

// Run tells every observer, also after one of them panicked.
func (o *Observers[E]) Run(e *E) {
	if len(o.list.hooks) != 0 {
		o.list.tell(e)
	}
}
