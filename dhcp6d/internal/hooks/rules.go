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

// language is what rules may say. What they may do at which point stands in docs/hooks.md.
func (v *rulesVariables) language() *rule.Language[event.Datagram] {
	const bytesOnly = "there are only bytes; use pkt6_receive, or pkt6_send for dhcp6d's own answers"
	const unknown = "dhcp6d has none; ask in a rule of dhcp4d"
	scope := v.classes.Scope()
	words := &expression.Vocabulary{V6: true, Classes: scope}
	return &rule.Language[event.Datagram]{
		Points: []rule.Point{
			{Name: string(event.Pkt6Receive), Verbs: []string{"drop", "count", "class"}, Unknown: unknown},
			{Name: string(event.Pkt6Send), Verbs: []string{"drop", "count", "option"}, Unknown: unknown},
		},
		Closed: map[string]string{string(event.Buffer6Receive): bytesOnly, string(event.Buffer6Send): bytesOnly},
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
			{Name: "option", Takes: "CODE = EXPRESSION", Make: func(of rule.Argument) (rule.Action[event.Datagram], *rule.Mistake) {
				return setOption(of, words)
			}},
		},
		Notes:      func(e *event.Datagram) *hook.Notes { return e.Notes },
		Vocabulary: words,
		Classes:    v.classes,
	}
}

// setOption makes the action that sets an option of the answer to what an expression is; empty
// octets leave the option out. What cannot be computed is left as it was.
func setOption(of rule.Argument, words *expression.Vocabulary) (rule.Action[event.Datagram], *rule.Mistake) {
	name, rest := of.Cut()
	n, err := strconv.ParseUint(name.Text, 10, 16)
	if code, known := expression.OptionCode6(name.Text); known {
		n, err = uint64(code), nil
	}
	code := dhcp6.Code(n)
	sign, text := rest.Cut()
	switch {
	case err != nil:
		return nil, name.Fail(0, "%q is no DHCPv6 option; give its code, such as 23, or a name of expressions, such as bootfile-url", name.Text)
	case fixed(code):
		return nil, name.Fail(0, "option %s belongs to the exchange, to relays or to leases, and cannot be set", name.Text)
	case sign.Text != "=" || text.Text == "":
		return nil, rest.Fail(0, "option %s has no = and no expression behind it; write option CODE = EXPRESSION", name.Text)
	}
	value, wrong := text.Value(words)
	if wrong != nil {
		return nil, wrong
	}
	return func(e *event.Datagram, of *expression.Evaluator) drop.Reason {
		if octets, ok := value.Octets(of); ok {
			e.Options.Set(code, octets)
		}
		return hook.Continue
	}, nil
}

// fixed reports whether an option says what only the server itself, relays, or a server that
// assigns addresses may say (RFC 9915 section 21).
func fixed(c dhcp6.Code) bool {
	switch c {
	case dhcp6.OptVendorOpts:
		return false
	case dhcp6.OptRemoteID, dhcp6.OptSubscriberID, dhcp6.OptERO, dhcp6.OptRSOO, dhcp6.OptClientLinkLayer, dhcp6.OptRelayPort, dhcp6.OptDHCPv4Msg:
		return true
	}
	return c <= 20 || c == dhcp6.OptIAPD || c == dhcp6.OptIAPrefix
}

// rulesHook is the hook that does what the operator's rules say. Its rules at pkt6_send ask about
// the query too, which has just passed pkt6_receive in the same loop.
type rulesHook struct {
	received, sent rule.List[event.Datagram]
	classes        *expression.Classes
	eval           expression.Evaluator
	member         expression.Membership
}

func newRules(v *rulesVariables, env hook.Env, _ *rulesHook) (*rulesHook, error) {
	v.tally.Register(env.Registry, drop.DHCP6D)
	return &rulesHook{
		received: v.program.At(string(event.Pkt6Receive)), sent: v.program.At(string(event.Pkt6Send)), classes: v.classes,
	}, nil
}

// Attach implements hook.Hook.
func (r *rulesHook) Attach(to *hook.Attachment) {
	event.Pkt6Receive.Run(to, r.receive)
	if len(r.sent) > 0 {
		event.Pkt6Send.Run(to, r.send)
	}
}

func (r *rulesHook) receive(e *event.Datagram) drop.Reason {
	q := expression.Query{Path: e.Path}
	if !e.Local.IsMulticast() {
		q.Local = e.Local
	}
	r.member.Forget()
	r.eval.Begin(q, r.classes, &r.member)
	return r.received.Run(e, &r.eval)
}

func (r *rulesHook) send(e *event.Datagram) drop.Reason { return r.sent.Run(e, &r.eval) }
