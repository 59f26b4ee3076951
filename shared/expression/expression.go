// Package expression is the language in which an operator tells queries apart: Kea's expressions of
// client classes, so that a `test` of a Kea configuration can be pasted, and names for what only a
// DHCPv4-over-DHCPv6 query has. docs/expressions.md has every operand and function.
//
// [CompileTest] and [CompileValue] compile an expression into closures, once, when the
// configuration is loaded. [Test.Holds] and [Value.Octets] then run them over a [Query]. The
// language has no loops, and text and depth are bounded, so every evaluation ends. No evaluation
// allocates: functions put their results into the memory of the [Evaluator]. A test that needs more
// of it than there is does not hold.
//
// # Values
//
// A value is octets; a test is true or false, and the two never mix. An integer is four octets, an
// address four or sixteen. What a query does not have is empty.
//
// A conversion fails if its value has the wrong length, such as uint16totext of three octets. Then
// the whole test does not hold, whatever `or`, `not` or `ifelse` are around the conversion. Kea up
// to 2.6 does the same.
//
// # Trust
//
// An expression does not see relay levels that dhcp6d does not believe (package attachment),
// because a client may have written them.
package expression

import (
	"fmt"
	"strings"
)

// MaxText bounds an expression, in octets.
const MaxText = 1 << 16

// maxDepth bounds how deep parentheses and functions nest.
const maxDepth = 64

// Error is a mistake in an expression.
type Error struct {
	Offset       int // in octets
	Line, Column int // from 1, columns in octets
	Problem      string
}

func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Problem)
}

// newError makes an error at an offset of the text.
func newError(text string, at int, problem string) *Error {
	before := text[:at]
	line := strings.Count(before, "\n")
	return &Error{Offset: at, Line: line + 1, Column: at - (strings.LastIndexByte(before, '\n') + 1) + 1,
		Problem: problem}
}

// Vocabulary is what the names of an expression mean. The zero value, and nil, know neither names
// of DHCPv4 options nor classes.
type Vocabulary struct {
	// V6 says that `option`, `vendor` and `vendor-class` are those of the DHCPv6 message. There is
	// no DHCPv4 message then, because dhcp6d carries it as octets.
	V6 bool
	// Option returns the code of a DHCPv4 option.
	Option func(name string) (code byte, ok bool)
	// OptionNames are the names that Option knows, for suggestions.
	OptionNames func() []string
	// Classes are the classes that may be asked for: those defined before, so there are no circles.
	Classes *Scope
	// Octets says that the word pkt.hex is known: the octets of a datagram or message at a buffer
	// point.
	Octets bool
	// Lease says that expressions are about a change of a lease, and not about a query.
	Lease bool
}

// Test is a compiled expression that is true or false.
type Test struct {
	root  *node
	holds truth
	names *Vocabulary
}

// Value is a compiled expression that is octets.
type Value struct {
	root   *node
	octets octets
}

// CompileTest compiles a test. The error is an [*Error].
func CompileTest(text string, v *Vocabulary) (*Test, error) {
	if v == nil {
		v = &Vocabulary{}
	}
	root, err := parse(text, v)
	if err != nil {
		return nil, err
	}
	if !root.isTest() {
		return nil, newError(text, root.at, "is a value, and a test is asked for; compare it: "+brief(root)+" == '…'")
	}
	c := compiler{v}
	return &Test{root, c.truth(root), v}, nil
}

// CompileValue compiles an expression that is octets. The error is an [*Error].
func CompileValue(text string, v *Vocabulary) (*Value, error) {
	if v == nil {
		v = &Vocabulary{}
	}
	root, err := parse(text, v)
	if err != nil {
		return nil, err
	}
	if root.isTest() {
		return nil, newError(text, root.at,
			"is true or false, and a value is asked for; make one of it: ifelse("+brief(root)+", '…', '…')")
	}
	c := compiler{v}
	return &Value{root, c.octets(root)}, nil
}

// brief returns an expression, shortened so that it fits into an error.
func brief(n *node) string {
	const most = 60
	if s := n.String(); len(s) <= most {
		return s
	}
	return "…"
}

// String is the expression in its plainest form: it compiles to the same.
func (t *Test) String() string { return t.root.String() }

// String is the expression in its plainest form: it compiles to the same.
func (v *Value) String() string { return v.root.String() }

// UsesKnown reports whether the value depends on whether the client has a reservation.
func (v *Value) UsesKnown(c *Classes) bool { return v.root.usesKnown(c) }

// UsesKnown reports whether the test depends on whether the client has a reservation.
func (t *Test) UsesKnown(c *Classes) bool { return t.root.usesKnown(c) }

// Key returns a value and the octets that it must have for the test to hold. If many tests share
// the value, only those with its octets need to be evaluated. It is not ok if the test has no such
// part.
func (t *Test) Key() (value *Value, is []byte, ok bool) {
	parts := []*node{t.root}
	if t.root.op == opAnd {
		parts = t.root.args
	}
	for _, part := range parts {
		if part.op != opEqual {
			continue
		}
		operand, other := part.args[0], part.args[1]
		if _, fixed := literal(operand); fixed {
			operand, other = other, operand
		}
		if is, ok := literal(other); ok && !operand.canFail() {
			c := compiler{t.names}
			return &Value{operand, c.octets(operand)}, is, true
		}
	}
	return nil, nil, false
}

// Holds reports whether the test is true of the query of e.
func (t *Test) Holds(e *Evaluator) bool {
	failed, used := e.failed, e.used
	e.failed = false
	holds := t.holds(e) && !e.failed
	e.failed, e.used = failed, used
	return holds
}

// Octets returns the value for the query of e, and false if a conversion fails. The value is valid
// until the next evaluation by e, or until the query's octets change.
func (v *Value) Octets(e *Evaluator) ([]byte, bool) {
	failed, used := e.failed, e.used
	e.failed = false
	value := v.octets(e)
	ok := !e.failed
	e.failed, e.used = failed, used
	return value, ok
}
