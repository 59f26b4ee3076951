package hook

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Host makes the hooks of a daemon and keeps those in use from one configuration to the next. One
// goroutine at a time uses it.
type Host struct {
	// Name is that of the daemon, for hooks that tell it to others. It is set before Make.
	Name string

	metrics *metrics
	panics  *panicLog
	log     *slog.Logger
	reg     prometheus.Registerer
	current *Set
}

// Set is the hooks of one configuration, in order.
type Set struct {
	host  *Host
	hooks []attached
}

// attached is a hook in use, and what it does at each point.
type attached struct {
	name string
	hook Hook
	runs map[string]any
}

// NewHost registers <daemon>_hook_duration_seconds and <daemon>_hook_results_total, with series at
// zero for the hooks that the daemon ships. The counter of panics is the daemon's.
func NewHost(reg prometheus.Registerer, d drop.Daemon, panics prometheus.Counter, log *slog.Logger,
	kinds []Kind) *Host {
	h := &Host{
		metrics: newMetrics(reg, d), panics: &panicLog{counter: panics, log: log.With("package", "hook")},
		log: log, reg: reg,
	}
	h.current = &Set{host: h}
	for _, k := range kinds {
		for _, p := range k.points {
			h.metrics.of(p, k.Name)
		}
	}
	return h
}

// Make makes the hooks of a configuration. They are in use only after [Host.Use]. If Use is not
// called, [Host.Discard] must be. After an error the hooks in use have not changed.
func (h *Host) Make(configured []Configured) (*Set, error) {
	s := &Set{host: h}
	for _, c := range configured {
		env := Env{Log: h.log.With("hook", c.kind.Name), Daemon: h.Name, Registry: h.reg}
		made, err := c.kind.make(c.variables, env, h.current.find(c.kind.Name))
		if err != nil {
			h.Discard(s)
			return nil, fmt.Errorf("hook %s: %w", c.kind.Name, err)
		}
		a := Attachment{name: c.kind.Name, runs: map[string]any{}, fixed: c.kind.points}
		made.Attach(&a)
		s.hooks = append(s.hooks, attached{c.kind.Name, made, a.runs})
	}
	return s, nil
}

// Use notes that a set is in use, and closes those hooks of the set before that it has not taken
// over. It must be called when no snapshot with the set before is handed out any more.
func (h *Host) Use(s *Set) {
	before := h.current
	h.current = s
	before.close(s)
}

// Discard closes the hooks of a set that is not used, except those in use.
func (h *Host) Discard(s *Set) { s.close(h.current) }

// Close closes the hooks in use.
func (h *Host) Close() { h.Use(&Set{host: h}) }

func (s *Set) find(name string) Hook {
	for _, a := range s.hooks {
		if a.name == name {
			return a.hook
		}
	}
	return nil
}

// close closes the hooks that are not in keep.
func (s *Set) close(keep *Set) {
	for _, a := range s.hooks {
		if closer, ok := a.hook.(io.Closer); ok && keep.find(a.name) != a.hook {
			if err := closer.Close(); err != nil {
				s.host.log.Error("a hook could not be closed", "hook", a.name, "error", err)
			}
		}
	}
}
