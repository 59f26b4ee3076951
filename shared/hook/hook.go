// Package hook runs hooks at the points of a packet's way.
//
// A daemon has points, each with a name and the event that hooks see there; package event of the
// daemon declares them. It ships hooks, each a [Kind]: a name, variables and a constructor. The
// operator lists the hooks to run in the variable HOOKS, in order. [Configure] reads that list and
// the variables of the hooks, a [Host] makes the hooks and keeps what outlives a reload, and a
// [Set] is the hooks of one configuration. A daemon puts the lists of a Set into the snapshot that
// a reload replaces.
//
// At a [FilterPoint] a hook decides whether a packet goes on. A hook that runs last at such a point
// may also have the packet parked. At an [ObserverPoint] a hook learns what has happened and cannot
// change it.
//
// # Rules for a hook
//
//   - It runs in line, while its loop has a batch in hand. Whoever waits for the loop waits for the
//     hook too, so it must not block and must not ask the daemon that runs it.
//   - It keeps nothing of the event: the next packet reuses event and buffers.
//   - It may be called by several goroutines at the points that say so.
//   - If it panics, its packet is dropped, and the daemon continues.
//
// # To add a hook
//
// Write one file in the package hooks of the daemon: a struct with the hook's variables, a
// constructor, and Attach, which sets what the hook does at each point. Add the Kind to the list in
// All there. The variables, their documentation, the checks of HOOKS, reloading and the metrics
// follow.
package hook

import "github.com/dhcp4o6/dhcp4o6/shared/drop"

// FilterPoint is the name of a point where hooks decide about a packet. E is what they see.
type FilterPoint[E any] string

// ObserverPoint is the name of a point where hooks learn what has happened. E is what they see.
type ObserverPoint[E any] string

// Results of a filter. A hook may return any other reason instead of [Drop].
const (
	Continue = drop.None
	Drop     = drop.Hook
)

// Run attaches a filter to the point: run decides about each packet. The event is valid until run
// returns.
func (p FilterPoint[E]) Run(a *Attachment, run func(*E) drop.Reason) { a.add(string(p), run) }

// Run attaches an observer to the point: it calls run for each event. The event is valid until run
// returns.
func (p ObserverPoint[E]) Run(a *Attachment, run func(*E)) { a.add(string(p), run) }

// List returns the hooks of a set that run at the point, in the order of the configuration.
func (p FilterPoint[E]) List(s *Set) List[E] {
	l := List[E]{panics: s.host.panics}
	for _, h := range s.hooks {
		if run, ok := h.runs[string(p)].(func(*E) drop.Reason); ok {
			l.hooks = append(l.hooks, running[E, drop.Reason]{run, s.host.metrics.of(string(p), h.name)})
		}
	}
	return l
}

// Part is the name of something, beside filters and observers, that one hook of a set has for the
// daemon, such as the asker of dhcp4d.
type Part[V any] string

// Give makes v the part of the hook that a belongs to.
func (p Part[V]) Give(a *Attachment, v V) { a.runs[string(p)] = v }

// Of returns the part that a hook of a set has given, the zero value if none has.
func (p Part[V]) Of(s *Set) (v V) {
	for _, h := range s.hooks {
		if given, ok := h.runs[string(p)].(V); ok {
			v = given
		}
	}
	return v
}

// Observers returns the hooks of a set that run at the point, in the order of the configuration.
func (p ObserverPoint[E]) Observers(s *Set) Observers[E] {
	o := Observers[E]{List[E]{panics: s.host.panics}}
	for _, h := range s.hooks {
		if run, ok := h.runs[string(p)].(func(*E)); ok {
			o.list.hooks = append(o.list.hooks, running[E, drop.Reason]{
				func(e *E) drop.Reason { run(e); return Continue }, s.host.metrics.of(string(p), h.name),
			})
		}
	}
	return o
}

// List is the filters of a point. The zero List is empty and costs a comparison. It never changes,
// so several goroutines may run it if its hooks allow that.
type List[E any] struct {
	hooks  []running[E, drop.Reason]
	panics *panicLog
}

// Empty reports whether no hook runs.
func (l *List[E]) Empty() bool { return len(l.hooks) == 0 }

// Names returns the hooks, in their order.
func (l *List[E]) Names() (names []string) {
	for i := range l.hooks {
		names = append(names, l.hooks[i].metrics.hook)
	}
	return names
}

// Run calls the filters in order until one drops the packet.
func (l *List[E]) Run(e *E) drop.Reason {
	if len(l.hooks) == 0 {
		return Continue
	}
	return l.run(e)
}

// Observers is the observers of a point. The zero value is empty. It never changes.
type Observers[E any] struct{ list List[E] }

// Empty reports whether no hook observes.
func (o *Observers[E]) Empty() bool { return o.list.Empty() }

// Run calls every observer, even after one has panicked.
func (o *Observers[E]) Run(e *E) {
	if len(o.list.hooks) != 0 {
		o.list.tell(e)
	}
}
