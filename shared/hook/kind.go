package hook

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/spelling"
)

// Hook is a hook in use. If it also has Close() error, that is called when it is no longer in use:
// after a reload that removes or replaces it, and at the end. A call that has begun before the
// reload may still reach a closed hook.
type Hook interface {
	// Attach sets what the hook does at each point.
	Attach(a *Attachment)
}

// Kind is a hook that a daemon ships. [Define] makes one.
type Kind struct {
	// Name is the name in HOOKS, in logs and in metrics. In capitals it begins the names of the
	// variables.
	Name   string
	points []string // where it always runs; empty if its configuration names the points

	variables func() any
	check     func(variables any, c *Check)
	make      func(variables any, env Env, before Hook) (Hook, error)
}

// Env is what a hook is made with.
type Env struct {
	Log    *slog.Logger // with the hook's name
	Daemon string       // name of the daemon, for others; may be empty
	// Registry takes the hook's metrics. A reload replaces a hook, but not its metrics: see
	// metric.Once.
	Registry prometheus.Registerer
}

// Checker is implemented by variables that need more checks than the types of their fields.
type Checker interface {
	// Check reports what is wrong. It is called only for a hook that is listed.
	Check(c *Check)
}

// Check collects the mistakes in the variables of a hook.
type Check struct {
	loader         *config.Loader
	daemon, prefix string // DHCP4D_ and RUN_
}

// Mistake reports what is wrong with a variable of the hook, named without its prefix, and what to
// do. An empty name is the list of hooks itself.
func (c *Check) Mistake(variable, wrong, remedy string) {
	if variable == "" {
		c.loader.Mistake(listVariable, wrong, remedy)
		return
	}
	c.loader.Mistake(c.prefix+variable, wrong, remedy)
}

// Known reports a mistake for each given name that is not known, such as the name of a point.
func (c *Check) Known(variable, what string, given, known []string) {
	for _, name := range given {
		if slices.Contains(known, name) {
			continue
		}
		remedy := "there are: " + strings.Join(known, ", ")
		if near := spelling.Nearest(name, known, 2); near != "" {
			remedy = "did you mean " + near + "?"
		}
		c.Mistake(variable, "there is no "+what+" "+name, remedy)
	}
}

// Given reports whether a variable of the hook, named without its prefix, is not left at its
// default.
func (c *Check) Given(variable string) bool { return c.loader.Variable(c.prefix+variable).Source != "" }

// Name is a variable of the hook, for a remedy: the name as the operator writes it.
func (c *Check) Name(variable string) string { return c.daemon + c.prefix + variable }

// Define describes a hook. V is a struct of its variables, with the tags of package config and
// without the hook's name in their names; all of them can be changed by a reload. Points are the
// points where the hook always runs; a hook whose configuration names its points has none here.
//
// Build makes the hook. Before is the hook of the configuration in effect, the zero H if there is
// none. Build may take over parts of it, but must not change it, because the reload may still fail.
// If nothing has changed, it may return before itself.
func Define[V any, H interface {
	comparable
	Hook
}](name string, build func(v *V, env Env, before H) (H, error), points ...string) Kind {
	return Kind{
		Name: name, points: points,
		variables: func() any { return new(V) },
		check: func(v any, c *Check) {
			if checker, ok := v.(Checker); ok {
				checker.Check(c)
			}
		},
		make: func(v any, env Env, before Hook) (Hook, error) {
			was, _ := before.(H)
			return build(v.(*V), env, was)
		},
	}
}

// Attachment is the points at which one hook runs.
type Attachment struct {
	name  string
	runs  map[string]any // func(*E) drop.Reason or func(*E), by point
	fixed []string
}

func (a *Attachment) add(point string, run any) {
	if len(a.fixed) > 0 && !slices.Contains(a.fixed, point) {
		panic(fmt.Sprintf("hook %s runs at %s, which its Kind does not say", a.name, point))
	}
	a.runs[point] = run
}
