package rule

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
)

// Variables are the variables that the hooks rules of both daemons have.
type Variables struct {
	Lines    string   `env:"LINES" kind:"lines of point: expression -> action, usually in a file, see hooks.md" open:"true" desc:"hook rules: what to do at a point with the packets that an expression is true of"`
	Reasons  []string `env:"REASONS" desc:"hook rules: the reasons for which rules drop packets, as they are counted"`
	Counters []string `env:"COUNTERS" desc:"hook rules: the counters that rules count packets in"`
}

// maxNames bounds the number of reasons, and of counters, because each has a series in metrics.
const maxNames = 256

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// Check reports what is wrong with the names, and that there are no lines.
func (v *Variables) Check(c *hook.Check) {
	if v.Lines == "" && !c.Given("LINES") {
		c.Mistake("", "the hook rules has nothing to do", "set "+c.Name("LINES")+" or "+c.Name("LINES_FILE"))
	}
	for _, list := range []struct {
		variable, what string
		names          []string
	}{{"REASONS", "reason", v.Reasons}, {"COUNTERS", "counter", v.Counters}} {
		CheckNames(c, list.variable, list.what, list.names)
	}
}

// CheckNames reports what is wrong with a list of names, each of which has its series.
func CheckNames(c *hook.Check, variable, what string, names []string) {
	if n := len(names); n > maxNames {
		c.Mistake(variable, fmt.Sprintf("%d names are too many", n), fmt.Sprintf("give at most %d", maxNames))
	}
	for i, name := range names {
		switch {
		case !namePattern.MatchString(name):
			c.Mistake(variable, quote(name)+" is no name of a "+what,
				"give small letters, digits and _, at most 63, a letter first")
		case slices.Contains(names[:i], name):
			c.Mistake(variable, name+" is listed twice", "remove one of them")
		}
	}
}

// Report reports the mistakes of the lines.
func Report(c *hook.Check, mistakes []*Mistake) {
	for _, m := range mistakes {
		c.Mistake("LINES", m.Error(), "")
	}
}

// Tally counts the packets that rules drop, by the operator's reasons, and those that rules count.
type Tally struct {
	reasons, counters []string
	dropped, counted  []prometheus.Counter
}

// NewTally returns a tally that counts nothing before [Tally.Register].
func NewTally(v *Variables) *Tally { return &Tally{reasons: v.Reasons, counters: v.Counters} }

// Register registers <daemon>_rules_dropped_total and <daemon>_rules_counted_total, with a series
// at zero for each name. It may be called anew after a reload.
func (t *Tally) Register(reg prometheus.Registerer, d drop.Daemon) {
	series := func(name, help, label string, names []string) (all []prometheus.Counter) {
		v := metric.Once(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: metric.Namespace(d),
			Name: name, Help: help}, []string{label}))
		for _, n := range names {
			all = append(all, v.WithLabelValues(n))
		}
		return all
	}
	t.dropped = series("rules_dropped_total", "Packets that the hook rules dropped, by the operator's reason.",
		"reason", t.reasons)
	t.counted = series("rules_counted_total", "Packets that rules counted, by the operator's counter.", "counter",
		t.counters)
}

// Drop is the action drop. It drops the packet for a reason of the operator's.
func Drop[E any](t *Tally, culprit func(*E) *hook.Culprit) Verb[E] {
	return Verb[E]{"drop", "REASON", func(of Argument) (Action[E], *Mistake) {
		i, wrong := of.oneOf("reason", "REASONS", t.reasons)
		name := of.Text
		return func(e *E, _ *expression.Evaluator) drop.Reason {
			t.dropped[i].Inc()
			culprit(e).Because = name
			return hook.Drop
		}, wrong
	}}
}

// Count is the action count. It counts the packet, which goes on.
func Count[E any](t *Tally) Verb[E] {
	return Verb[E]{"count", "COUNTER", func(of Argument) (Action[E], *Mistake) {
		i, wrong := of.oneOf("counter", "COUNTERS", t.counters)
		return func(*E, *expression.Evaluator) drop.Reason {
			t.counted[i].Inc()
			return hook.Continue
		}, wrong
	}}
}

// Class is the action class. It puts the packet into a class. Number finds the number of a class by
// its name.
func Class[E any](number func(of Argument) (int, *Mistake)) Verb[E] {
	return Verb[E]{"class", "CLASS", func(of Argument) (Action[E], *Mistake) {
		i, wrong := number(of)
		return func(_ *E, e *expression.Evaluator) drop.Reason {
			e.Put(i)
			return hook.Continue
		}, wrong
	}}
}

// oneOf finds the argument in a list of a variable.
func (a Argument) oneOf(what, variable string, names []string) (int, *Mistake) {
	i := slices.Index(names, a.Text)
	if i < 0 {
		return 0, a.Fail(0, "the %s %s is not in %s; %s", what, quote(a.Text), variable, suggest(a.Text, names))
	}
	return i, nil
}

func suggest(word string, names []string) string {
	if len(names) == 0 {
		return "add it there"
	}
	return "add it there, or " + expression.Suggest(word, names)
}
