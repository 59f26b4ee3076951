package rule

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/metric/metrictest"
)

type event struct {
	hook.Culprit
	notes *hook.Notes
	said  []string
}

// language is of a daemon with two points. Its action say makes the event remember a word.
func language(tally *Tally) *Language[event] {
	classes := new(expression.Classes)
	scope := classes.Scope()
	if _, err := scope.Add("held", nil, func(*expression.Evaluator) bool { return false }); err != nil {
		panic(err)
	}
	return &Language[event]{
		Points: []Point{
			{Name: "first", Verbs: []string{"drop", "count", "class"}, Unknown: "ask at last"},
			{Name: "last", Verbs: []string{"drop", "count", "say"}},
		},
		Elsewhere: []string{"other"},
		Verbs: []Verb[event]{
			Drop(tally, func(e *event) *hook.Culprit { return &e.Culprit }),
			Count[event](tally),
			Class[event](func(of Argument) (int, *Mistake) {
				if i, ok := scope.Lookup(of.Text); ok {
					return i, nil
				}
				return 0, of.Fail(0, "no class")
			}),
			{Name: "say", Takes: "WORD", Make: func(of Argument) (Action[event], *Mistake) {
				return func(e *event, _ *expression.Evaluator) drop.Reason {
					e.said = append(e.said, of.Text)
					return drop.None
				}, nil
			}},
		},
		Notes:      func(e *event) *hook.Notes { return e.notes },
		Vocabulary: &expression.Vocabulary{V6: true, Classes: scope},
		Classes:    classes,
	}
}

func tally() *Tally {
	t := NewTally(&Variables{Reasons: []string{"unpaid", "banned"}, Counters: []string{"seen", "phones"}})
	t.Register(prometheus.NewRegistry(), drop.DHCP6D)
	return t
}

// query returns an evaluator that has a query with a client identifier.
func query(t testing.TB, l *Language[event]) *expression.Evaluator {
	t.Helper()
	message := dhcp6.AppendMessage(nil, dhcp6.InformationRequest, [3]byte{1, 2, 3})
	message = dhcp6.AppendOption(message, dhcp6.OptClientID, []byte("client"))
	p := new(dhcp6.Packet)
	if why := p.Parse(message); why != drop.None {
		t.Fatal(why)
	}
	e := new(expression.Evaluator)
	e.Begin(expression.Query{Path: &attachment.Path{Packet: p, Source: netip.MustParseAddr("fe80::1"), Interface: []byte("eth1")}}, l.Classes, new(expression.Membership))
	return e
}

func TestRulesRunInOrder(t *testing.T) {
	for _, tt := range []struct {
		name, lines, said string
		why               drop.Reason
		because           string
	}{
		{name: "nothing", lines: ""},
		{name: "comments and empty lines", lines: "\n# last: member('ALL') -> say a\n\n  # b\n"},
		{name: "in the order of the lines", lines: "last: member('ALL') -> say a\nlast: option[1].exists -> say b", said: "a b"},
		{name: "a test that does not hold", lines: "last: option[9].exists -> say a\nlast: pkt.iface == 'eth1' -> say b", said: "b"},
		{name: "a drop ends it", lines: "last: member('ALL') -> say a\nlast: pkt.iface == 'eth1' -> drop banned\nlast: member('ALL') -> say b", said: "a", why: drop.Hook, because: "banned"},
		{name: "another point", lines: "first: member('ALL') -> drop unpaid\nlast: member('ALL') -> say a", said: "a"},
		{name: "a rule goes on", lines: "last: option[1].hex == 'client'\n  # as in the contract\n  and pkt.iface == 'eth1'\n\t-> say a\nlast: member('ALL') -> say b", said: "a b"},
		{name: "signs in quotes", lines: "last: 'a -> b' == option[1].hex or pkt.iface == 'eth1' -> say a:b -> c", said: "a:b -> c"},
		{name: "carriage returns", lines: "last: pkt.iface == 'eth1' -> say a\r\n# b\r\nlast: member('ALL')\r\n -> say c\r\n", said: "a c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := language(tally())
			p, mistakes := Compile(tt.lines, l)
			if mistakes != nil {
				t.Fatal(mistakes)
			}
			var e event
			why := p.At("last").Run(&e, query(t, l))
			if said := strings.Join(e.said, " "); said != tt.said || why != tt.why || e.Because != tt.because {
				t.Errorf("says %q, then %v because of %q; want %q, %v, %q", said, why, e.Because, tt.said, tt.why, tt.because)
			}
		})
	}
}

// TestTwoLanguagesReadTheSameLines checks that each compiles the rules of its own points, and that
// together they compile all.
func TestTwoLanguagesReadTheSameLines(t *testing.T) {
	const lines = "other: member('ALL') -> say a\nfirst: member('ALL') -> count seen\nother: x -> say b"
	one := language(tally())
	p, mistakes := Compile(lines, one)
	if mistakes != nil || p.Len() != 1 || len(p.At("first")) != 1 {
		t.Errorf("the first compiles %+v, %v", p, mistakes)
	}
	rest := language(tally())
	rest.Points, rest.Elsewhere, rest.Rest = []Point{{Name: "other", Verbs: []string{"say"}}}, nil, true
	if _, mistakes := Compile(lines, rest); len(mistakes) != 1 || mistakes[0].Line != 3 {
		t.Errorf("the other finds %v, want one mistake in line 3", mistakes)
	}
}

func TestAClassHoldsFromTheRuleOn(t *testing.T) {
	l := language(tally())
	p, mistakes := Compile("first: member('held') -> drop banned\nfirst: option[1].exists -> class held\nlast: member('held') -> say held\nlast: not member('held') -> say free", l)
	if mistakes != nil {
		t.Fatal(mistakes)
	}
	q := query(t, l)
	var e event
	if why := p.At("first").Run(&e, q); why != drop.None {
		t.Errorf("a query that is not yet in the class is dropped: %v", why)
	}
	p.At("last").Run(&e, q)
	if said := strings.Join(e.said, " "); said != "held" {
		t.Errorf("says %q", said)
	}
}

func TestMistakesOfLines(t *testing.T) {
	for lines, want := range map[string]string{
		"  last: member('ALL') -> say a":                 "line 1, column 3: goes on with a rule that is not there; begin a rule without a blank, as in point: expression -> action",
		"last -> say a":                                  "line 1, column 1: names no point before a colon; write point: expression -> action",
		"# a\nlst: member('ALL') -> say a":               `line 2, column 1: there is no point "lst"; did you mean last?`,
		"outer: member('ALL') -> say a":                  `line 1, column 1: there is no point "outer"; did you mean other?`,
		"last: member('ALL')":                            "line 1, column 20: has no -> and no action behind it; write point: expression -> action",
		"last: -> say a":                                 "line 1, column 7: has no expression before ->; member('ALL') is true of every packet",
		"last:\n  pkt.iface == 'x'\n  annd y -> say a":   "line 3, column 3: ",
		"last: pkt.iface -> say a":                       "line 1, column 7: is a value, and a test is asked for; compare it: pkt.iface == '…'",
		"last: member('nobody') -> say a":                "line 1, column 14: no class nobody is defined before this one",
		"first: known -> count seen":                     "line 1, column 8: depends on whether the client has a reservation: ask at last",
		"last: member('ALL') ->":                         "line 1, column 23: has no action behind ->; at last there are drop REASON, count COUNTER, say WORD",
		"last: member('ALL') -> shout a":                 `line 1, column 24: there is no action "shout"; at last there are drop REASON, count COUNTER, say WORD`,
		"first: member('ALL') -> say a":                  "line 1, column 25: say has no effect at first; use it at last",
		"last: member('ALL') -> class held":              "line 1, column 24: class has no effect at last; use it at first",
		"last: member('ALL') -> drop":                    "line 1, column 28: drop needs something behind it; write drop REASON",
		"last: member('ALL') -> drop unpayd":             `line 1, column 29: the reason "unpayd" is not in REASONS; add it there, or did you mean unpaid?`,
		"last: member('ALL') -> count it":                `line 1, column 30: the counter "it" is not in COUNTERS; add it there, or there are phones, seen`,
		"first: member('ALL') -> class free":             "line 1, column 31: no class",
		"last: member('ALL')\n\n  -> say a":              "line 1, column 20: has no -> and no action behind it; write point: expression -> action",
		strings.Repeat("a", MaxText+1):                   "line 1, column 1: 1048577 octets are too many; give at most 1048576",
		"last: x -> say a\nlast: member('ALL') -> cry b": "line 1, column 7: ",
	} {
		_, mistakes := Compile(lines, language(tally()))
		if len(mistakes) == 0 || !strings.HasPrefix(mistakes[0].Error(), want) {
			t.Errorf("%.60q: %v, want %s", lines, mistakes, want)
		}
	}
	if _, mistakes := Compile("a\nb\nlast: x -> say a\nlast: member('ALL') -> cry b\n  c", language(tally())); len(mistakes) != 4 {
		t.Errorf("of four mistakes these are told: %v", mistakes)
	}
	if _, mistakes := Compile(strings.Repeat("last: member('ALL') -> say a\n", MaxRules+1), language(tally())); len(mistakes) != 1 || mistakes[0].Line != MaxRules+1 {
		t.Errorf("too many rules: %v", mistakes)
	}
}

func TestWhoFollowsAPacketIsTold(t *testing.T) {
	l := language(tally())
	p, mistakes := Compile("last: option[9].exists -> say a\n# b\nlast: member('ALL')\n  -> say   c", l)
	if mistakes != nil {
		t.Fatal(mistakes)
	}
	e := event{notes: new(hook.Notes)}
	p.At("last").Run(&e, query(t, l))
	if told := strings.Join(e.notes.Lines, "; "); told != "the rule in line 3 is true of it: say c" {
		t.Errorf("told %q", told)
	}
}

func TestTally(t *testing.T) {
	reg := prometheus.NewRegistry()
	variables := &Variables{Reasons: []string{"unpaid"}, Counters: []string{"seen"}}
	for range 2 { // a reload registers again, and counts on
		ours := NewTally(variables)
		ours.Register(reg, drop.DHCP6D)
		l := language(ours)
		p, mistakes := Compile("last: member('ALL') -> count seen\nlast: member('ALL') -> drop unpaid", l)
		if mistakes != nil {
			t.Fatal(mistakes)
		}
		p.At("last").Run(new(event), query(t, l))
	}
	const want = `
# HELP dhcp6d_rules_counted_total Packets that rules counted, by the operator's counter.
# TYPE dhcp6d_rules_counted_total counter
dhcp6d_rules_counted_total{counter="seen"} 2
# HELP dhcp6d_rules_dropped_total Packets that the hook rules dropped, by the operator's reason.
# TYPE dhcp6d_rules_dropped_total counter
dhcp6d_rules_dropped_total{reason="unpaid"} 2
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	metrictest.Lint(t, reg, drop.DHCP6D)
}

func TestRulesDoNotAllocate(t *testing.T) {
	l := language(tally())
	p, mistakes := Compile("first: substring(option[1].hex, 0, 3) == 'cli' and pkt.iface == 'eth1' -> class held\nfirst: member('held') -> count phones\nfirst: hexstring(option[1].hex, ':') == 'x' -> drop banned\nfirst: member('ALL') -> drop unpaid", l)
	if mistakes != nil {
		t.Fatal(mistakes)
	}
	q, e := query(t, l), new(event)
	member := new(expression.Membership)
	if n := testing.AllocsPerRun(100, func() {
		member.Forget()
		q.Begin(*q.Query(), l.Classes, member)
		if p.At("first").Run(e, q) != drop.Hook {
			t.Fatal("it goes on")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzCompile checks that no text makes the compiler panic, that every mistake has a place in the
// text, and that rules which compile can run.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		"last: member('ALL') -> say a", "first: option[1].hex == 'a'\n and known -> drop unpaid", "# a\n\n x: 'b -> c", "last: -> \n\t# d\n e", "last: ''=='' -> class held\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l := language(tally())
		p, mistakes := Compile(text, l)
		for _, m := range mistakes {
			if m.Line < 1 || m.Column < 1 || m.Line > strings.Count(text, "\n")+1 || m.Problem == "" {
				t.Fatalf("%q: %v", text, m)
			}
		}
		if mistakes != nil {
			return
		}
		q := query(t, l)
		for _, point := range []string{"first", "last"} {
			p.At(point).Run(new(event), q)
		}
	})
}
