package hooks

import (
	"strconv"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/rule"
)

// rulesVariables are the variables of the hook rules.
type rulesVariables struct {
	rule.Variables

	program *rule.Program[event.Datagram]
	tally   *rule.Tally
	classes *expression.Classes
}

// Check implements hook.Checker: it compiles the lines.
func (v *rulesVariables) Check(c *hook.Check) {
	v.Variables.Check(c)
	v.tally, v.classes = rule.NewTally(&v.Variables), new(expression.Classes)
	var mistakes []*rule.Mistake
	v.program, mistakes = rule.Compile(v.Lines, v.language())
	rule.Report(c, mistakes)
}

// language returns the points and actions of rules. docs/hooks.md says which action a point has.
func (v *rulesVariables) language() *rule.Language[event.Datagram] {
	const unknown = "dhcp6d has none; ask in a rule of dhcp4d"
	scope := v.classes.Scope()
	words, octets := &expression.Vocabulary{V6: true, Classes: scope}, &expression.Vocabulary{V6: true, Octets: true}
	return &rule.Language[event.Datagram]{
		Points: []rule.Point{
			{Name: string(event.Buffer6Receive), Verbs: []string{"drop", "count", "option", "octets"}, Unknown: unknown, Vocabulary: octets},
			{Name: string(event.Pkt6Receive), Verbs: []string{"drop", "count", "class"}, Unknown: unknown},
			{Name: string(event.Pkt6Send), Verbs: []string{"drop", "count", "option"}, Unknown: unknown},
			{Name: string(event.Buffer6Send), Verbs: []string{"drop", "count", "option"}, Unknown: unknown, Vocabulary: octets},
		},
		Verbs: []rule.Verb[event.Datagram]{
			rule.Drop(v.tally, func(e *event.Datagram) *hook.Culprit { return &e.Culprit }),
			rule.Count[event.Datagram](v.tally),
			rule.Class[event.Datagram](func(of rule.Argument) (int, *rule.Mistake) {
				if i, known := scope.Lookup(of.Text); known {
					return i, nil
				}
				if strings.ContainsAny(of.Text, " \t\r\n'") {
					return 0, of.Fail(0, "is no name of a class; give one without blanks and quotes")
				}
				i, err := scope.Add(of.Text, nil, func(*expression.Evaluator) bool { return false })
				if err != nil {
					return 0, of.Fail(0, "%v", err)
				}
				return i, nil
			}),
			{Name: "option", Takes: "CODE = EXPRESSION", Make: setOption},
			{Name: "octets", Takes: "OFFSET = EXPRESSION", Make: overwrite},
		},
		Notes:      func(e *event.Datagram) *hook.Notes { return e.Notes },
		Vocabulary: words,
		Classes:    v.classes,
	}
}

// setOption makes the action that sets an option of the answer to the value of an expression. If
// the value is empty, the option is left out. If it cannot be computed, the option does not change.
func setOption(of rule.Argument) (rule.Action[event.Datagram], *rule.Mistake) {
	name, rest := of.Cut()
	n, err := strconv.ParseUint(name.Text, 10, 16)
	if code, known := expression.OptionCode6(name.Text); known {
		n, err = uint64(code), nil
	}
	code := dhcp6.Code(n)
	sign, text := rest.Cut()
	switch {
	case err != nil:
		return nil, name.Fail(0, "%q is no DHCPv6 option; give its code, such as 23, or a name of expressions, such "+
			"as bootfile-url", name.Text)
	case code == dhcp6.OptRelayMsg, of.Point.Name != string(event.Buffer6Receive) && fixed(code):
		return nil, name.Fail(0, "option %s belongs to the exchange, to relays or to leases, and cannot be set",
			name.Text)
	case sign.Text != "=" || text.Text == "":
		return nil, rest.Fail(0, "option %s has no = and no expression behind it; write option CODE = EXPRESSION",
			name.Text)
	}
	value, wrong := text.Value()
	if wrong != nil {
		return nil, wrong
	}
	if of.Point.Name == string(event.Pkt6Send) {
		return func(e *event.Datagram, of *expression.Evaluator) drop.Reason {
			if octets, ok := value.Octets(of); ok {
				e.Options.Set(code, octets)
			}
			return hook.Continue
		}, nil
	}
	leaves := of.Point.Name == string(event.Buffer6Send)
	return func(e *event.Datagram, of *expression.Evaluator) drop.Reason {
		if octets, ok := value.Octets(of); ok && e.View.Parsed {
			e.Data = rule.SetOption6(&e.View.Octets, e.Data, &e.View.Packet, code, octets)
			e.Look(leaves)
		}
		return hook.Continue
	}, nil
}

// overwrite replaces octets of a received datagram by as many others.
func overwrite(of rule.Argument) (rule.Action[event.Datagram], *rule.Mistake) {
	at, value, wrong := of.Overwrite()
	if wrong != nil {
		return nil, wrong
	}
	return func(e *event.Datagram, of *expression.Evaluator) drop.Reason {
		if octets, ok := value.Octets(of); ok {
			e.Data = e.View.Octets.Overwrite(e.Data, at, octets)
			e.Look(false)
		}
		return hook.Continue
	}, nil
}

// fixed reports whether only the server itself, relays, or a server that assigns addresses may
// write an option (RFC 9915 section 21).
func fixed(c dhcp6.Code) bool {
	switch c {
	case dhcp6.OptVendorOpts:
		return false
	case dhcp6.OptRemoteID, dhcp6.OptSubscriberID, dhcp6.OptERO, dhcp6.OptRSOO, dhcp6.OptClientLinkLayer, dhcp6.OptRelayPort, dhcp6.OptDHCPv4Msg:
		return true
	}
	return c <= 20 || c == dhcp6.OptIAPD || c == dhcp6.OptIAPrefix
}

// rulesHook is the hook that runs the operator's rules.
//
// It keeps the classes and the evaluator of a query from pkt6_receive to pkt6_send, which the same
// loop reaches before it takes the next query.
type rulesHook struct {
	program *rule.Program[event.Datagram]
	classes *expression.Classes
	eval    expression.Evaluator
	member  expression.Membership
}

func newRules(v *rulesVariables, env hook.Env, _ *rulesHook) (*rulesHook, error) {
	v.tally.Register(env.Registry, drop.DHCP6D)
	return &rulesHook{program: v.program, classes: v.classes}, nil
}

// Attach implements hook.Hook.
func (r *rulesHook) Attach(to *hook.Attachment) {
	received, sent := r.program.At(string(event.Pkt6Receive)), r.program.At(string(event.Pkt6Send))
	if len(received)+len(sent) > 0 {
		event.Pkt6Receive.Run(to, func(e *event.Datagram) drop.Reason { return r.receive(received, e) })
	}
	if len(sent) > 0 {
		event.Pkt6Send.Run(to, func(e *event.Datagram) drop.Reason { return sent.Run(e, &r.eval) })
	}
	for _, p := range []hook.FilterPoint[event.Datagram]{event.Buffer6Receive, event.Buffer6Send} {
		if list := r.program.At(string(p)); len(list) > 0 {
			leaves := p == event.Buffer6Send
			p.Run(to, func(e *event.Datagram) drop.Reason { return list.Run(e, e.Look(leaves)) })
		}
	}
}

func (r *rulesHook) receive(received rule.List[event.Datagram], e *event.Datagram) drop.Reason {
	q := expression.Query{Path: e.Path}
	if !e.Local.IsMulticast() {
		q.Local = e.Local
	}
	r.member.Forget()
	r.eval.Begin(q, r.classes, &r.member)
	return received.Run(e, &r.eval)
}
