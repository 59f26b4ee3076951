package daemon

import (
	"fmt"
	"strings"
	"sync"
)

// Readiness holds the conditions for a daemon to be ready. It is ready when all of them are met.
type Readiness struct {
	mu         sync.Mutex
	conditions []*Condition // guarded by mu, their reasons too

	telling sync.Mutex // held while changed runs, so that its calls are in order; taken before mu
	changed func(ready bool, report string)
	told    string // the report of the last call
}

// Condition is one condition for a daemon to be ready. Any goroutine may set it.
type Condition struct {
	owner  *Readiness
	name   string
	reason string // empty: met
}

// Condition adds a condition that is not met, for the reason given.
func (r *Readiness) Condition(name, reason string) *Condition {
	c := &Condition{r, name, reason}
	r.mu.Lock()
	r.conditions = append(r.conditions, c)
	r.mu.Unlock()
	r.update()
	return c
}

// Met marks the condition as met.
func (c *Condition) Met() { c.set("") }

// Unmet marks the condition as not met, for a reason that /readyz shows.
func (c *Condition) Unmet(reason string) { c.set(reason) }

func (c *Condition) set(reason string) {
	c.owner.mu.Lock()
	same := c.reason == reason
	c.reason = reason
	c.owner.mu.Unlock()
	if !same {
		c.owner.update()
	}
}

// Ready reports whether every condition is met.
func (r *Readiness) Ready() bool {
	ready, _ := r.Report()
	return ready
}

// Report reports whether every condition is met, and returns a line for each.
func (r *Readiness) Report() (ready bool, report string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ready = true
	var b strings.Builder
	for _, c := range r.conditions {
		if c.reason == "" {
			fmt.Fprintf(&b, "%s: ok\n", c.name)
			continue
		}
		ready = false
		fmt.Fprintf(&b, "%s: %s\n", c.name, c.reason)
	}
	return ready, b.String()
}

// update calls changed if the report differs from that of the last call.
func (r *Readiness) update() {
	r.telling.Lock()
	defer r.telling.Unlock()
	ready, report := r.Report()
	if report != r.told && r.changed != nil {
		r.changed(ready, report)
	}
	r.told = report
}

// hush stops the calls of changed during shutdown.
func (r *Readiness) hush() {
	r.telling.Lock()
	defer r.telling.Unlock()
	r.changed = nil
}
