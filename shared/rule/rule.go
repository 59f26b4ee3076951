// Package rule is what the hooks rules of both daemons have in common: lines of the operator's,
//
//	point: expression -> action
//
// A rule does its action at a hook point, with the packets for which the expression is true.
//
// [Compile] reads the lines for a [Language]: the points and actions of a daemon, and the words of
// its expressions. It reports every mistake with line and column, and says what to do. The result
// is a [Program], which has the rules of each point. [List.Run] runs them in the order of the
// lines, and allocates nothing.
package rule

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// The bounds of what is compiled.
const (
	MaxText  = 1 << 20 // octets of all lines
	MaxRules = 4096    // each costs its test for every packet at its point
)

// Action is what a rule does with a packet for which its test is true. E is the event of the point.
// If the result is drop.None, the packet goes on.
type Action[E any] func(e *E, of *expression.Evaluator) drop.Reason

// Argument is the text after the name of an action.
type Argument struct {
	Text  string // without blanks around
	Point *Point // where the rule runs
	at    int    // offset in the lines
	all   string
	words *expression.Vocabulary
}

// Fail returns a mistake at an offset of the argument. The text must end with what to do.
func (a Argument) Fail(offset int, format string, args ...any) *Mistake {
	return mistake(a.all, a.at+offset, fmt.Sprintf(format, args...))
}

// Cut returns the first word of the argument, and what follows it.
func (a Argument) Cut() (word, rest Argument) {
	n := strings.IndexFunc(a.Text, blank)
	if n < 0 {
		n = len(a.Text)
	}
	word, rest = a, a
	word.Text = a.Text[:n]
	behind := strings.TrimLeftFunc(a.Text[n:], blank)
	rest.at, rest.Text = a.at+len(a.Text)-len(behind), behind
	return word, rest
}

// Value compiles the argument as an expression whose value is octets.
func (a Argument) Value() (*expression.Value, *Mistake) {
	value, err := expression.CompileValue(a.Text, a.words)
	if err != nil {
		return nil, inside(a.all, a.at, err)
	}
	return value, nil
}

// Verb is the name of an action, and how to make it.
type Verb[E any] struct {
	Name  string
	Takes string // the argument for the documentation, such as REASON
	// Make makes the action of an argument, which may be empty.
	Make func(of Argument) (Action[E], *Mistake)
}

// Point is a hook point where rules run.
type Point struct {
	Name string
	// Verbs are the names of the actions that have an effect there.
	Verbs []string
	// Unknown says why it is not known at the point whether the client has a reservation, and what
	// to do. It is empty if it is known.
	Unknown string
	// Vocabulary has the words of expressions at the point. Nil means those of the language.
	Vocabulary *expression.Vocabulary
}

// Language has the points, actions and words for the rules of a daemon.
type Language[E any] struct {
	Points []Point // in the order of a packet's way
	// Elsewhere are points of the daemon whose rules another Language compiles. Rest says that
	// another Language compiles those of all points that are not in Points.
	Elsewhere  []string
	Rest       bool
	Verbs      []Verb[E]
	Vocabulary *expression.Vocabulary
	// Notes returns where to note which rules are true of an event. It returns nil if no trace
	// wants to know.
	Notes func(e *E) *hook.Notes
	// Classes are the classes that the vocabulary knows. Nil means none.
	Classes *expression.Classes
}

// Mistake is one mistake in the lines.
type Mistake struct {
	Line, Column int    // from 1, columns in octets
	Problem      string // what is wrong and what to do
}

// Error returns the mistake on one line.
func (m *Mistake) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", m.Line, m.Column, m.Problem)
}

func mistake(text string, at int, problem string) *Mistake {
	before := text[:at]
	return &Mistake{strings.Count(before, "\n") + 1, at - strings.LastIndexByte(before, '\n'), problem}
}

// inside is a mistake in an expression that begins at an offset of the lines.
func inside(text string, begin int, err error) *Mistake {
	e, ok := err.(*expression.Error) //nolint:errorlint // the compiler of expressions says that it is one
	if !ok {
		return mistake(text, begin, err.Error())
	}
	return mistake(text, begin+e.Offset, e.Problem)
}

// Program is compiled rules.
type Program[E any] struct {
	points map[string]List[E]
	rules  int
}

// Len returns the number of rules.
func (p *Program[E]) Len() int { return p.rules }

// At returns the rules of a point, nil if there are none.
func (p *Program[E]) At(point string) List[E] { return p.points[point] }

// List is the rules of a point, in the order of the lines. It never changes.
type List[E any] []Rule[E]

// Rule is a compiled line.
type Rule[E any] struct {
	Line int    // where it begins
	Does string // its action as it was written
	test *expression.Test
	do   Action[E]
	to   func(e *E) *hook.Notes
}

// note reports to a trace of the packet that the rule is true of it.
func (r *Rule[E]) note(e *E) {
	if to := r.to(e); to != nil {
		to.Lines = append(to.Lines, fmt.Sprintf("the rule in line %d is true of it: %s", r.Line, r.Does))
	}
}

// Run does the actions of the rules that are true of the evaluator's query, in order. It ends after
// the first rule that drops the query.
func (l List[E]) Run(e *E, of *expression.Evaluator) drop.Reason {
	for i := range l {
		if !l[i].test.Holds(of) {
			continue
		}
		l[i].note(e)
		if why := l[i].do(e, of); why != drop.None {
			return why
		}
	}
	return drop.None
}

func blank(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' }

// Compile compiles lines. It ignores empty lines and lines that begin with #. A line that begins
// with a blank continues the line before it.
func Compile[E any](text string, l *Language[E]) (*Program[E], []*Mistake) {
	switch {
	case len(text) > MaxText && l.Rest:
		return nil, nil // the other Language reports it
	case len(text) > MaxText:
		return nil, []*Mistake{{1, 1, fmt.Sprintf("%d octets are too many; give at most %d", len(text), MaxText)}}
	}
	p := &Program[E]{points: map[string]List[E]{}}
	var mistakes []*Mistake
	for _, s := range spans(text) {
		if l.isElsewhere(pointOf(s.plain(text))) {
			continue
		}
		if p.rules++; p.rules > MaxRules {
			return nil, append(mistakes, mistake(text, s.begin,
				fmt.Sprintf("more than %d rules; put what they have in common into classes", MaxRules)))
		}
		point, rule, wrong := l.rule(text, s)
		if wrong != nil {
			mistakes = append(mistakes, wrong)
			continue
		}
		p.points[point] = append(p.points[point], rule)
	}
	if len(mistakes) > 0 {
		return nil, mistakes
	}
	return p, nil
}

// span is where a rule stands in the text.
type span struct {
	begin, end int
	orphan     bool // it begins with a blank, and there is no line before it
}

func spans(text string) (all []span) {
	at, open := 0, false
	for line := range strings.Lines(text) {
		begin := at
		at += len(line)
		content := strings.TrimFunc(line, blank)
		switch {
		case content == "":
			open = false
		case content[0] == '#':
		case !blank(rune(line[0])):
			all, open = append(all, span{begin: begin, end: at}), true
		case open:
			all[len(all)-1].end = at
		default:
			all, open = append(all, span{begin: begin + strings.Index(line, content), end: at, orphan: true}), true
		}
	}
	return all
}

// plain returns the text of a rule, with blanks in place of its comments.
func (s span) plain(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text[s.begin:s.end]) {
		if strings.HasPrefix(strings.TrimLeftFunc(line, blank), "#") {
			line = strings.Repeat(" ", len(line)-1) + "\n"
		}
		b.WriteString(line)
	}
	return strings.TrimRightFunc(b.String(), blank)
}

// isElsewhere reports whether another language compiles the rules of a point.
func (l *Language[E]) isElsewhere(point string) bool {
	if l.Rest {
		return !slices.ContainsFunc(l.Points, func(p Point) bool { return p.Name == point })
	}
	return slices.Contains(l.Elsewhere, point)
}

// pointOf returns the name of the point in a rule.
func pointOf(line string) string {
	name, _, _ := strings.Cut(line, ":")
	return strings.TrimFunc(name, blank)
}

const form = "point: expression -> action"

func (l *Language[E]) rule(text string, s span) (point string, r Rule[E], wrong *Mistake) {
	fail := func(at int, format string, args ...any) (string, Rule[E], *Mistake) {
		return "", r, mistake(text, s.begin+at, fmt.Sprintf(format, args...))
	}
	if s.orphan {
		return fail(0, "goes on with a rule that is not there; begin a rule without a blank, as in %s", form)
	}
	line := s.plain(text)
	colon := strings.IndexByte(line, ':')
	arrow := outside(line, "->")
	if colon < 0 || (arrow >= 0 && arrow < colon) {
		return fail(0, "names no point before a colon; write %s", form)
	}
	name := pointOf(line)
	at := slices.IndexFunc(l.Points, func(p Point) bool { return p.Name == name })
	if at < 0 {
		return fail(0, "there is no point %s; %s", quote(name), expression.Suggest(name, l.names()))
	}
	if arrow < 0 {
		return fail(len(line), "has no -> and no action behind it; write %s", form)
	}
	test, wrong := l.test(text, s.begin, line[:arrow], colon+1, &l.Points[at])
	if wrong != nil {
		return "", r, wrong
	}
	r = Rule[E]{Line: strings.Count(text[:s.begin], "\n") + 1, Does: strings.Join(strings.Fields(line[arrow+2:]), " "),
		test: test, to: l.Notes}
	r.do, wrong = l.action(text, s.begin, line, arrow+2, &l.Points[at])
	return name, r, wrong
}

// test compiles the test that stands at an offset of a line.
func (l *Language[E]) test(text string, begin int, line string, at int, p *Point) (*expression.Test, *Mistake) {
	at = len(line) - len(strings.TrimLeftFunc(line[at:], blank))
	if at == len(line) {
		return nil, mistake(text, begin+at, "has no expression before ->; member('ALL') is true of every packet")
	}
	test, err := expression.CompileTest(strings.TrimRightFunc(line[at:], blank), l.words(p))
	switch {
	case err != nil:
		return nil, inside(text, begin+at, err)
	case p.Unknown != "" && test.UsesKnown(l.Classes):
		return nil, mistake(text, begin+at, "depends on whether the client has a reservation: "+p.Unknown)
	}
	return test, nil
}

func (l *Language[E]) words(p *Point) *expression.Vocabulary {
	if p.Vocabulary != nil {
		return p.Vocabulary
	}
	return l.Vocabulary
}

// action makes the action that stands at an offset of a line.
func (l *Language[E]) action(text string, begin int, line string, at int, p *Point) (Action[E], *Mistake) {
	at = len(line) - len(strings.TrimLeftFunc(line[at:], blank))
	word, rest := Argument{Text: line[at:], Point: p, at: begin + at, all: text, words: l.words(p)}.Cut()
	i := slices.IndexFunc(l.Verbs, func(v Verb[E]) bool { return v.Name == word.Text })
	switch {
	case word.Text == "":
		return nil, word.Fail(0, "has no action behind ->; at %s there are %s", p.Name, l.usage(p))
	case i < 0:
		return nil, word.Fail(0, "there is no action %s; at %s there are %s", quote(word.Text), p.Name, l.usage(p))
	case !slices.Contains(p.Verbs, word.Text):
		return nil, word.Fail(0, "%s has no effect at %s; use it at %s", word.Text, p.Name,
			strings.Join(l.where(word.Text), " or "))
	case rest.Text == "":
		return nil, rest.Fail(0, "%s needs something behind it; write %s", word.Text, l.Verbs[i].usage())
	}
	return l.Verbs[i].Make(rest)
}

func (v *Verb[E]) usage() string { return v.Name + " " + v.Takes }

// usage returns the actions of a point, as they are written.
func (l *Language[E]) usage(p *Point) string {
	var all []string
	for i := range l.Verbs {
		if slices.Contains(p.Verbs, l.Verbs[i].Name) {
			all = append(all, l.Verbs[i].usage())
		}
	}
	return strings.Join(all, ", ")
}

// where returns the points at which an action has an effect.
func (l *Language[E]) where(verb string) (points []string) {
	for _, p := range l.Points {
		if slices.Contains(p.Verbs, verb) {
			points = append(points, p.Name)
		}
	}
	return points
}

func (l *Language[E]) names() (names []string) {
	for _, p := range l.Points {
		names = append(names, p.Name)
	}
	return append(names, l.Elsewhere...)
}

// outside returns where a sign stands outside of single quotes, -1 if nowhere.
func outside(line, sign string) int {
	quoted := false
	for i := range len(line) {
		switch {
		case line[i] == '\'':
			quoted = !quoted
		case !quoted && strings.HasPrefix(line[i:], sign):
			return i
		}
	}
	return -1
}

// quote returns a word of the operator's for an error, shortened.
func quote(word string) string {
	const most = 40
	if len(word) > most {
		word = word[:most] + "…"
	}
	return fmt.Sprintf("%q", word)
}
