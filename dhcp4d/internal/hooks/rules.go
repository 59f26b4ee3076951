package hooks

import (
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/encode"
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
	leases  *rule.Program[event.Lease]
	tally   *rule.Tally
}

// Check implements hook.Checker.
func (v *rulesVariables) Check(c *hook.Check) {
	v.Variables.Check(c)
	v.tally = rule.NewTally(&v.Variables)
}

// Complete implements hook.Completer. It compiles the lines after the subnets document is read,
// because they may ask for its classes.
func (v *rulesVariables) Complete(with *network.Subnets, c *hook.Check) {
	var mistakes, others []*rule.Mistake
	v.program, mistakes = rule.Compile(v.Lines, v.language(with))
	v.leases, others = rule.Compile(v.Lines, v.ofLeases())
	rule.Report(c, append(mistakes, others...))
}

// language returns the points and actions of rules. docs/hooks.md says which action a point has.
func (v *rulesVariables) language(subnets *network.Subnets) *rule.Language[event.Query] {
	const unknown = "that is known only from lease4_select on"
	words := &expression.Vocabulary{Option: encode.CodeOf, OptionNames: encode.Names, Classes: subnets.Names}
	octets := *words
	octets.Octets = true
	received := octets
	received.Classes = nil
	ending := []string{"drop", "count"}
	bytes := []string{"drop", "count", "option", "octets"}
	early := []string{"drop", "count", "class", "address", "pool", "lease-time"}
	given := []string{"drop", "count", "lease-time"}
	return &rule.Language[event.Query]{
		Points: []rule.Point{
			{Name: string(event.Buffer4Receive), Verbs: bytes, Unknown: unknown, Vocabulary: &received},
			{Name: string(event.Pkt4Receive), Verbs: early, Unknown: unknown},
			{Name: string(event.Subnet4Select), Verbs: early, Unknown: unknown},
			{Name: string(event.Lease4Select), Verbs: given},
			{Name: string(event.Lease4Renew), Verbs: given},
			{Name: string(event.Lease4Release), Verbs: ending},
			{Name: string(event.Lease4Decline), Verbs: ending},
			{Name: string(event.Pkt4Send), Verbs: []string{"drop", "count", "option"}},
			{Name: string(event.Buffer4Send), Verbs: bytes, Vocabulary: &octets},
		},
		Elsewhere: []string{string(event.Leases4Committed)},
		Verbs: []rule.Verb[event.Query]{
			rule.Drop(v.tally, func(e *event.Query) *hook.Culprit { return &e.Culprit }),
			rule.Count[event.Query](v.tally),
			rule.Class[event.Query](func(of rule.Argument) (int, *rule.Mistake) { return marked(subnets, of) }),
			{Name: "option", Takes: "NAME VALUE, or NAME = EXPRESSION", Make: func(of rule.Argument) (rule.Action[event.Query], *rule.Mistake) {
				if of.Point.Vocabulary != nil {
					return putOption(of)
				}
				return setOption(of)
			}},
			{Name: "octets", Takes: "OFFSET = EXPRESSION", Make: overwrite},
			{Name: "pool", Takes: "POOL", Make: func(of rule.Argument) (rule.Action[event.Query], *rule.Mistake) {
				return setPool(of, subnets.PoolNames())
			}},
			{Name: "address", Takes: "EXPRESSION", Make: func(of rule.Argument) (rule.Action[event.Query], *rule.Mistake) {
				return setAddress(of)
			}},
			{Name: "lease-time", Takes: "DURATION", Make: setLeaseTime},
		},
		Notes:      func(e *event.Query) *hook.Notes { return e.Notes },
		Vocabulary: words,
		Classes:    subnets.Classes,
	}
}

// ofLeases returns the points and actions of rules about a change of a lease. The change has
// already happened, and there may be no query.
func (v *rulesVariables) ofLeases() *rule.Language[event.Lease] {
	return &rule.Language[event.Lease]{
		Points: []rule.Point{{
			Name: string(event.Leases4Committed), Verbs: []string{"count"}, Unknown: "that is not known of a change of a lease",
		}},
		Rest:       true,
		Verbs:      []rule.Verb[event.Lease]{rule.Count[event.Lease](v.tally)},
		Notes:      func(*event.Lease) *hook.Notes { return nil },
		Vocabulary: &expression.Vocabulary{Lease: true},
	}
}

// marked returns the number of a class that rules put queries into.
func marked(subnets *network.Subnets, of rule.Argument) (int, *rule.Mistake) {
	if i, ok := subnets.Marked[of.Text]; ok {
		return i, nil
	}
	if _, ok := subnets.Names.Lookup(of.Text); ok {
		return 0, of.Fail(0, "the class %s has a condition of its own in DHCP4D_SUBNETS; take another, with marked: "+
			"true", of.Text)
	}
	var names []string
	for name := range subnets.Marked {
		names = append(names, name)
	}
	if len(names) == 0 {
		return 0, of.Fail(0, "no class is marked by rules; define it at the top of DHCP4D_SUBNETS: classes: [{name: "+
			"%q, marked: true}]", of.Text)
	}
	return 0, of.Fail(0, "no class %q is marked by rules; %s", of.Text, expression.Suggest(of.Text, names))
}

// setOption makes the action that sets an option of the reply: NAME VALUE with the value as in the
// subnets document, or NAME = EXPRESSION with the octets.
func setOption(of rule.Argument) (rule.Action[event.Query], *rule.Mistake) {
	name, value := of.Cut()
	code, problem := encode.CodeOfText(name.Text)
	switch {
	case problem != "":
		return nil, name.Fail(0, "option %s %s", name.Text, problem)
	case code == dhcp4.OptIPv6OnlyPreferred:
		return nil, name.Fail(0, "option %s decides whether a client needs an address, which has been decided; give "+
			"it to a class", name.Text)
	case value.Text == "":
		return nil, value.Fail(0, "option %s has no value; write option NAME VALUE, or option NAME = EXPRESSION",
			name.Text)
	}
	if sign, text := value.Cut(); sign.Text == "=" {
		return computed(code, text)
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

// computed makes the action that sets an option to the value of an expression. If the value is
// empty, the option is left out. If it cannot be computed, the option does not change.
func computed(code byte, text rule.Argument) (rule.Action[event.Query], *rule.Mistake) {
	if text.Text == "" {
		return nil, text.Fail(0, "has no expression behind =; '' leaves the option out")
	}
	value, wrong := text.Value()
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

// putOption sets an option in the octets of a message.
func putOption(of rule.Argument) (rule.Action[event.Query], *rule.Mistake) {
	name, rest := of.Cut()
	code, known := encode.CodeOf(name.Text)
	if n, err := strconv.ParseUint(name.Text, 10, 8); err == nil {
		code, known = byte(n), true
	}
	sign, text := rest.Cut()
	switch {
	case !known:
		return nil, name.Fail(0, "option %s is no code and no name that is known; %s", name.Text,
			expression.Suggest(name.Text, encode.Names()))
	case code == dhcp4.OptPad || code == dhcp4.OptEnd || code == dhcp4.OptOverload:
		return nil, name.Fail(0, "option %s is part of the form of a message, and cannot be set", name.Text)
	case of.Point.Name == string(event.Buffer4Send) && isStored(code):
		return nil, name.Fail(0, "option %s says what is stored, and cannot be set any more", name.Text)
	case sign.Text != "=" || text.Text == "":
		return nil, rest.Fail(0, "option %s has no = and no expression behind it; at %s write option NAME = EXPRESSION",
			name.Text, of.Point.Name)
	}
	value, wrong := text.Value()
	if wrong != nil {
		return nil, wrong
	}
	return func(e *event.Query, of *expression.Evaluator) drop.Reason {
		if octets, ok := value.Octets(of); ok {
			e.Data = rule.SetOption4(e.Octets, e.Data, code, octets)
			e.Look()
		}
		return hook.Continue
	}, nil
}

// isStored reports whether an option of a reply says what the store knows of the lease, or
// which server gives it. Rules must not change such an option.
func isStored(code byte) bool {
	switch code {
	case dhcp4.OptLeaseTime, dhcp4.OptMessageType, dhcp4.OptServerIdentifier:
		return true
	}
	return false
}

// overwrite replaces octets by as many others.
func overwrite(of rule.Argument) (rule.Action[event.Query], *rule.Mistake) {
	at, value, wrong := of.Overwrite()
	switch {
	case wrong != nil:
		return nil, wrong
	case of.Point.Name == string(event.Buffer4Send) && dhcp4.IsFixed(at):
		return nil, of.Fail(0,
			"octet %d says whose reply it is and which address is stored, and cannot be changed any more", at)
	}
	return func(e *event.Query, of *expression.Evaluator) drop.Reason {
		if octets, ok := value.Octets(of); ok {
			e.Data = e.Octets.Overwrite(e.Data, at, octets)
			e.Look()
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
		return nil, of.Fail(0, "no pool has a name; give one to a pool in DHCP4D_SUBNETS: {name: %q, range: …}",
			of.Text)
	}
	return nil, of.Fail(0, "no pool of DHCP4D_SUBNETS has the name %q; %s", of.Text, expression.Suggest(of.Text, names))
}

// setAddress makes the action that gives the client the address that is the value of an expression.
// If the value is empty or cannot be computed, dhcp4d chooses. If it is no address of the subnet,
// the query is dropped.
func setAddress(of rule.Argument) (rule.Action[event.Query], *rule.Mistake) {
	value, wrong := of.Value()
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

// rulesHook is the hook that runs the operator's rules.
type rulesHook struct {
	program *rule.Program[event.Query]
	leases  *rule.Program[event.Lease]
	memory  sync.Pool // of *leaseView, because several goroutines report changes of leases
}

// leaseView is what expressions about a change of a lease look at.
type leaseView struct {
	of     expression.Lease
	eval   expression.Evaluator
	member expression.Membership
}

func newRules(v *rulesVariables, env hook.Env, _ *rulesHook) (*rulesHook, error) {
	v.tally.Register(env.Registry, drop.DHCP4D)
	return &rulesHook{program: v.program, leases: v.leases,
		memory: sync.Pool{New: func() any { return new(leaseView) }}}, nil
}

// Attach implements hook.Hook.
func (r *rulesHook) Attach(to *hook.Attachment) {
	for _, p := range event.Filters() {
		list := r.program.At(string(p))
		switch {
		case len(list) == 0:
		case p == event.Buffer4Receive || p == event.Buffer4Send:
			p.Run(to, func(e *event.Query) drop.Reason {
				e.Look()
				return list.Run(e, e.Evaluator)
			})
		default:
			p.Run(to, func(e *event.Query) drop.Reason { return list.Run(e, e.Evaluator) })
		}
	}
	if list := r.leases.At(string(event.Leases4Committed)); len(list) > 0 {
		event.Leases4Committed.Run(to, func(e *event.Lease) { r.told(list, e) })
	}
}

// told runs the rules about a change of a lease.
func (r *rulesHook) told(list rule.List[event.Lease], e *event.Lease) {
	v := r.memory.Get().(*leaseView)
	b := &e.Binding
	v.of = expression.Lease{Event: e.Event.String(), Interface: e.Interface, Address: b.Addr, Subnet: b.Subnet,
		HWAddr: b.HWAddr}
	v.eval.Begin(expression.Query{Lease: &v.of}, nil, &v.member)
	_ = list.Run(e, &v.eval) // the change is durable, so no rule can drop it
	r.memory.Put(v)
}

// Rules makes the hook rules alone, for commands that show what rules do with a query. Its counters
// are in no registry. It returns nil if the configuration does not switch the hook on.
func Rules(configured []hook.Configured) (*event.Hooks, error) {
	run := hook.Only(configured, "rules")
	if len(run) == 0 {
		return nil, nil
	}
	panics := prometheus.NewCounter(prometheus.CounterOpts{Name: "panics", Help: "Panics of rules."})
	set, err := hook.NewHost(prometheus.NewRegistry(), drop.DHCP4D, panics, slog.New(slog.DiscardHandler),
		nil).Make(run)
	if err != nil {
		return nil, err
	}
	return event.NewHooks(set), nil
}
