package hooks

import (
	"log/slog"
	"net/netip"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config/encode"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/rule"
)

// rulesVariables are the variables of the hook rules.
type rulesVariables struct {
	rule.Variables

	program *rule.Program[event.Query]
	tally   *rule.Tally
}

// Check implements hook.Checker.
func (v *rulesVariables) Check(c *hook.Check) {
	v.Variables.Check(c)
	v.tally = rule.NewTally(&v.Variables)
}

// Complete implements hook.Completer: it compiles the lines, which may ask for the classes of the
// subnets document.
func (v *rulesVariables) Complete(with *network.Subnets, c *hook.Check) {
	var mistakes []*rule.Mistake
	v.program, mistakes = rule.Compile(v.Lines, v.language(with))
	rule.Report(c, mistakes)
}

// language is what rules may say. What they may do at which point stands in docs/hooks.md.
func (v *rulesVariables) language(subnets *network.Subnets) *rule.Language[event.Query] {
	const unknown = "that is known only from lease4_select on"
	words := &expression.Vocabulary{Option: encode.CodeOf, OptionNames: encode.Names, Classes: subnets.Names}
	ending := []string{"drop", "count"}
	early := []string{"drop", "count", "class", "address", "pool", "lease-time"}
	given := []string{"drop", "count", "lease-time"}
	return &rule.Language[event.Query]{
		Points: []rule.Point{
			{Name: string(event.Pkt4Receive), Verbs: early, Unknown: unknown},
			{Name: string(event.Subnet4Select), Verbs: early, Unknown: unknown},
			{Name: string(event.Lease4Select), Verbs: given},
			{Name: string(event.Lease4Renew), Verbs: given},
			{Name: string(event.Lease4Release), Verbs: ending},
			{Name: string(event.Lease4Decline), Verbs: ending},
			{Name: string(event.Pkt4Send), Verbs: []string{"drop", "count", "option"}},
		},
		Closed: map[string]string{
			string(event.Buffer4Receive):   "there are only bytes; use pkt4_receive",
			string(event.Buffer4Send):      "there are only bytes; use pkt4_send",
			string(event.Leases4Committed): "it has happened, and there may be no query; use the hooks leaselog and run",
		},
		Verbs: []rule.Verb[event.Query]{
			rule.Drop(v.tally, func(e *event.Query) *hook.Culprit { return &e.Culprit }),
			rule.Count[event.Query](v.tally),
			rule.Class[event.Query](func(of rule.Argument) (int, *rule.Mistake) { return marked(subnets, of) }),
			{Name: "option", Takes: "NAME VALUE, or NAME = EXPRESSION", Make: func(of rule.Argument) (rule.Action[event.Query], *rule.Mistake) {
				return setOption(of, words)
			}},
			{Name: "pool", Takes: "POOL", Make: func(of rule.Argument) (rule.Action[event.Query], *rule.Mistake) {
				return setPool(of, subnets.PoolNames())
			}},
			{Name: "address", Takes: "EXPRESSION", Make: func(of rule.Argument) (rule.Action[event.Query], *rule.Mistake) {
				return setAddress(of, words)
			}},
			{Name: "lease-time", Takes: "DURATION", Make: setLeaseTime},
		},
		Notes:      func(e *event.Query) *hook.Notes { return e.Notes },
		Vocabulary: words,
		Classes:    subnets.Classes,
	}
}

// marked finds a class that rules put queries into.
func marked(subnets *network.Subnets, of rule.Argument) (int, *rule.Mistake) {
	if i, ok := subnets.Marked[of.Text]; ok {
		return i, nil
	}
	if _, ok := subnets.Names.Lookup(of.Text); ok {
		return 0, of.Fail(0, "the class %s has a condition of its own in DHCP4D_SUBNETS; take another, with marked: true", of.Text)
	}
	var names []string
	for name := range subnets.Marked {
		names = append(names, name)
	}
	if len(names) == 0 {
		return 0, of.Fail(0, "no class is marked by rules; define it at the top of DHCP4D_SUBNETS: classes: [{name: %q, marked: true}]", of.Text)
	}
	return 0, of.Fail(0, "no class %q is marked by rules; %s", of.Text, expression.Suggest(of.Text, names))
}

// setOption makes the action that sets an option of the reply: NAME VALUE with the value as in the
// subnets document, or NAME = EXPRESSION with the octets.
func setOption(of rule.Argument, words *expression.Vocabulary) (rule.Action[event.Query], *rule.Mistake) {
	name, value := of.Cut()
	code, problem := encode.CodeOfText(name.Text)
	switch {
	case problem != "":
		return nil, name.Fail(0, "option %s %s", name.Text, problem)
	case code == dhcp4.OptIPv6OnlyPreferred:
		return nil, name.Fail(0, "option %s decides whether a client needs an address, which has been decided; give it to a class", name.Text)
	case value.Text == "":
		return nil, value.Fail(0, "option %s has no value; write option NAME VALUE, or option NAME = EXPRESSION", name.Text)
	}
	if sign, text := value.Cut(); sign.Text == "=" {
		return computed(code, text, words)
	}
	octets, at, problem := encode.ValueOfText(name.Text, value.Text)
	if problem != "" {
		return nil, value.Fail(at, "option %s%s", name.Text, problem)
	}
	return func(e *event.Query, _ *expression.Evaluator) drop.Reason {
		e.Options.Set(code, octets)
		return hook.Continue
	}, nil
}

// computed makes the action that sets an option to what an expression is; empty octets leave the
// option out. What cannot be computed is left as it was.
func computed(code byte, text rule.Argument, words *expression.Vocabulary) (rule.Action[event.Query], *rule.Mistake) {
	if text.Text == "" {
		return nil, text.Fail(0, "has no expression behind =; '' leaves the option out")
	}
	value, wrong := text.Value(words)
	if wrong != nil {
		return nil, wrong
	}
	return func(e *event.Query, of *expression.Evaluator) drop.Reason {
		if octets, ok := value.Octets(of); ok {
			e.Options.Set(code, octets)
		}
		return hook.Continue
	}, nil
}

// setPool makes the action that gives a client an address of the pools with a name.
func setPool(of rule.Argument, names []string) (rule.Action[event.Query], *rule.Mistake) {
	switch {
	case slices.Contains(names, of.Text):
		name := of.Text
		return func(e *event.Query, _ *expression.Evaluator) drop.Reason {
			e.Pool = name
			return hook.Continue
		}, nil
	case len(names) == 0:
		return nil, of.Fail(0, "no pool has a name; give one to a pool in DHCP4D_SUBNETS: {name: %q, range: …}", of.Text)
	}
	return nil, of.Fail(0, "no pool of DHCP4D_SUBNETS has the name %q; %s", of.Text, expression.Suggest(of.Text, names))
}

// setAddress makes the action that gives the client the address that an expression is. Empty
// octets, and what cannot be computed, leave the choice to dhcp4d. Octets that are no address of
// the subnet drop the query.
func setAddress(of rule.Argument, words *expression.Vocabulary) (rule.Action[event.Query], *rule.Mistake) {
	value, wrong := of.Value(words)
	if wrong != nil {
		return nil, wrong
	}
	return func(e *event.Query, of *expression.Evaluator) drop.Reason {
		if octets, ok := value.Octets(of); ok && len(octets) > 0 {
			e.Address, ok = netip.AddrFromSlice(octets)
			if !ok {
				return hook.Drop
			}
		}
		return hook.Continue
	}, nil
}

// setLeaseTime makes the action that sets how long the lease lasts.
func setLeaseTime(of rule.Argument) (rule.Action[event.Query], *rule.Mistake) {
	t, ok := lease.Infinite, true
	if of.Text != "infinite" {
		t, ok = config.ParseSeconds(of.Text)
	}
	if !ok {
		return nil, of.Fail(0, "is no lease time; give infinite, or %s", config.SecondsKind)
	}
	return func(e *event.Query, _ *expression.Evaluator) drop.Reason {
		e.LeaseTime = t
		return hook.Continue
	}, nil
}

// rulesHook is the hook that does what the operator's rules say.
type rulesHook struct {
	program *rule.Program[event.Query]
}

func newRules(v *rulesVariables, env hook.Env, _ *rulesHook) (*rulesHook, error) {
	v.tally.Register(env.Registry, drop.DHCP4D)
	return &rulesHook{v.program}, nil
}

// Attach implements hook.Hook.
func (r *rulesHook) Attach(to *hook.Attachment) {
	for _, p := range event.Filters() {
		if list := r.program.At(string(p)); len(list) > 0 {
			p.Run(to, func(e *event.Query) drop.Reason { return list.Run(e, e.Evaluator) })
		}
	}
}

// Rules makes the hook rules alone, for a program that tells what rules do with a query. It counts
// nowhere. It is nil if the hook is not to run.
func Rules(configured []hook.Configured) (*event.Hooks, error) {
	run := hook.Only(configured, "rules")
	if len(run) == 0 {
		return nil, nil
	}
	panics := prometheus.NewCounter(prometheus.CounterOpts{Name: "panics", Help: "Panics of rules."})
	set, err := hook.NewHost(prometheus.NewRegistry(), drop.DHCP4D, panics, slog.New(slog.DiscardHandler), nil).Make(run)
	if err != nil {
		return nil, err
	}
	return event.NewHooks(set), nil
}
