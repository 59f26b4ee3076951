package hook

import (
	"slices"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// listVariable is the variable, without the daemon's prefix, that lists the hooks to run.
const listVariable = "HOOKS"

// Configured is a hook that is to run, and its variables.
type Configured struct {
	kind      Kind
	variables any // *V of its Kind
}

// Name is the hook's name.
func (c Configured) Name() string { return c.kind.Name }

// Without returns the hooks that are to run, except those of the given names.
func Without(run []Configured, names ...string) (rest []Configured) {
	for _, c := range run {
		if !slices.Contains(names, c.Name()) {
			rest = append(rest, c)
		}
	}
	return rest
}

// Only returns the hook of a name, if it is to run.
func Only(run []Configured, name string) []Configured {
	i := slices.IndexFunc(run, func(c Configured) bool { return c.Name() == name })
	if i < 0 {
		return nil
	}
	return run[i : i+1]
}

// Configure reads the variables of all hooks that a daemon ships, and returns those that are to
// run, in order. It reports names that are unknown or listed twice, hooks that are configured and
// not listed, and what the hooks find wrong with their variables.
func Configure(l *config.Loader, prefix string, kinds []Kind) []Configured {
	var list struct {
		Hooks []string `env:"HOOKS" reload:"true" desc:"hooks to run, in this order"`
	}
	var names []string
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	l.Parse(&list)
	l.Describe(listVariable, "list of hooks: "+strings.Join(names, ", "))
	var run []Configured
	for i, name := range list.Hooks {
		switch {
		case !slices.Contains(names, name):
			l.Mistake(listVariable, "there is no hook "+name, "there are: "+strings.Join(names, ", "))
		case slices.Contains(list.Hooks[:i], name):
			l.Mistake(listVariable, name+" is listed twice", "remove one of them")
		default:
			run = append(run, Configured{kind: kinds[slices.Index(names, name)]})
		}
	}
	for _, k := range kinds {
		c := &Check{l, prefix, strings.ToUpper(k.Name) + "_"}
		v := k.variables()
		given := l.ParseSection(c.prefix, v)
		at := slices.IndexFunc(run, func(r Configured) bool { return r.kind.Name == k.Name })
		switch {
		case at >= 0:
			run[at].variables = v
			k.check(v, c)
		case len(given) > 0:
			l.Mistake(listVariable, "the hook "+k.Name+" is configured and not listed",
				"add "+k.Name+", or unset "+strings.Join(given, ", "))
		}
	}
	return run
}

// Completer is variables of a hook that need what is configured after the hooks, such as the
// subnets of dhcp4d.
type Completer[T any] interface {
	// Complete reports what is wrong with the variables beside it.
	Complete(with T, c *Check)
}

// Complete hands what is configured after the hooks to those that need it.
func Complete[T any](l *config.Loader, prefix string, run []Configured, with T) {
	for _, r := range run {
		if v, ok := r.variables.(Completer[T]); ok {
			v.Complete(with, &Check{l, prefix, strings.ToUpper(r.kind.Name) + "_"})
		}
	}
}

// Needer is variables of a hook that need something of the host.
type Needer interface {
	// Needs returns the variable, named without its prefix, for which the host lacks something, and
	// what it lacks. The latter is empty if it lacks nothing.
	Needs() (variable, missing string)
}

// Missing returns warnings for -check: what the hooks need and this host lacks.
func Missing(prefix string, run []Configured) (warnings []string) {
	for _, c := range run {
		if n, ok := c.variables.(Needer); ok {
			if variable, missing := n.Needs(); missing != "" {
				warnings = append(warnings, prefix+strings.ToUpper(c.kind.Name)+"_"+variable+": "+missing)
			}
		}
	}
	return warnings
}
