package hook

import (
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Result is what a hook that runs last decides about a packet. The packet goes on, is dropped for a
// reason, or is parked. Other hooks cannot park a packet, so they return a [drop.Reason].
type Result uint16

const (
	// GoOn lets the packet go on.
	GoOn = Result(drop.None)
	// Park keeps the packet for what the hook has asked. Then the packet enters the loop again.
	Park Result = 1 << 8 // above all reasons
)

// Decided returns the result for a reason: the packet is dropped, or goes on if why is [Continue].
func Decided(why drop.Reason) Result { return Result(why) }

// Reason returns why the packet is dropped. It is [Continue] for a packet that goes on, and for one
// that is parked.
func (r Result) Reason() drop.Reason { return drop.Reason(r) }

// RunLast attaches a filter to the point: run decides about each packet that all other hooks there
// have let pass.
func (p FilterPoint[E]) RunLast(a *Attachment, run func(*E) Result) { a.add(string(p), run) }

// Last returns the hooks of a set that run last at the point.
func (p FilterPoint[E]) Last(s *Set) Last[E] {
	l := Last[E]{panics: s.host.panics}
	for _, h := range s.hooks {
		if run, ok := h.runs[string(p)].(func(*E) Result); ok {
			l.hooks = append(l.hooks, running[E, Result]{run, s.host.metrics.ofLast(string(p), h.name)})
		}
	}
	return l
}

// Last is the hooks that run last at a point. The zero Last is empty and costs a comparison. It
// never changes.
type Last[E any] struct {
	hooks  []running[E, Result]
	panics *panicLog
}

// Empty reports whether no hook runs.
func (l *Last[E]) Empty() bool { return len(l.hooks) == 0 }

// Run calls the hooks in order until one drops or parks the packet.
func (l *Last[E]) Run(e *E) Result {
	before := time.Since(began)
	for i := range l.hooks {
		h := &l.hooks[i]
		result := guarded(h, e, l.panics, Decided(drop.HookPanic))
		after := time.Since(began)
		h.metrics.observeLast(after-before, result)
		switch result {
		case GoOn:
		case Park:
			return Park
		default:
			h.metrics.blameFor(e)
			return result
		}
		before = after
	}
	return GoOn
}
