package expression

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// parser reads an expression by recursive descent, one function for each precedence: or, and, not,
// ==, +. A mistake is a panic with an *Error, which [parse] catches, because every step can fail.
type parser struct {
	scan  scanner
	token token
	names *Vocabulary
	depth int
}

// parse reads a whole expression.
func parse(text string, v *Vocabulary) (root *node, err error) {
	if len(text) > MaxText {
		return nil, newError(text, MaxText,
			fmt.Sprintf("has %d octets; an expression has at most %d", len(text), MaxText))
	}
	p := &parser{scan: scanner{text: text}, names: v}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Error:
			root, err = nil, r
		default:
			panic(r)
		}
	}()
	p.advance()
	if p.token.kind == endToken {
		p.fail(p.token.at, "is empty; give an expression such as option[60].hex == 'phone'")
	}
	root = p.or()
	if p.token.kind != endToken {
		p.unexpected("and, or, == or +")
	}
	return root, nil
}

func (p *parser) fail(at int, format string, args ...any) {
	panic(newError(p.scan.text, at, fmt.Sprintf(format, args...)))
}

func (p *parser) advance() {
	t, err := p.scan.next()
	if e, ok := err.(*Error); ok { //nolint:errorlint // next makes no other, and wraps none
		panic(e)
	}
	p.token = t
}

func (p *parser) unexpected(want string) {
	if p.token.kind == wordToken {
		if s := suggest(p.token.text, []string{"and", "or", "not"}); s != "" && strings.Contains(want, "and") {
			want = s
		} else {
			want = "expected " + want
		}
	} else {
		want = "expected " + want
	}
	p.fail(p.token.at, "%s is not understood here; %s", p.token.show(), want)
}

// is reports whether the token is a sign or a keyword.
func (p *parser) is(text string) bool {
	return (p.token.kind == signToken || p.token.kind == wordToken) && p.token.text == text
}

// took takes the token if it is the sign or keyword.
func (p *parser) took(text string) bool {
	if !p.is(text) {
		return false
	}
	p.advance()
	return true
}

func (p *parser) expect(text string) {
	if !p.took(text) {
		p.unexpected(text)
	}
}

// enter goes one level deeper, and bounds the depth. The function that it returns goes back.
func (p *parser) enter() func() {
	if p.depth++; p.depth > maxDepth {
		p.fail(p.token.at, "is nested more than %d deep; make classes of its parts, and ask for them with member('…')",
			maxDepth)
	}
	return func() { p.depth-- }
}

// row reads parts with one sign between them.
func (p *parser) row(sign string, as op, part func() *node, tests bool) *node {
	first := part()
	if !p.is(sign) {
		return first
	}
	n := &node{op: as, at: first.at, args: []*node{first}}
	for p.took(sign) {
		n.args = append(n.args, part())
	}
	for _, a := range n.args {
		p.need(a, tests, "before and after "+sign)
	}
	return n
}

// need checks that a part is a test, or that it is none.
func (p *parser) need(n *node, test bool, where string) {
	switch {
	case n.isTest() == test:
	case test:
		p.fail(n.at, "%s stands a value, and a test is needed: compare it, as in %s == '…'", where, brief(n))
	default:
		p.fail(n.at, "%s stands a test, and a value is needed; tests are joined with and, or, not", where)
	}
}

func (p *parser) or() *node  { return p.row("or", opOr, p.and, true) }
func (p *parser) and() *node { return p.row("and", opAnd, p.not, true) }

func (p *parser) not() *node {
	defer p.enter()()
	at := p.token.at
	if !p.took("not") {
		return p.equal()
	}
	part := p.not()
	p.need(part, true, "after not")
	return &node{op: opNot, at: at, args: []*node{part}}
}

func (p *parser) equal() *node {
	left := p.sum()
	if !p.took("==") {
		return left
	}
	right := p.sum()
	p.need(left, false, "before ==")
	p.need(right, false, "after ==")
	if p.is("==") {
		p.fail(p.token.at, "a second == has nothing to compare; join two comparisons with and")
	}
	return &node{op: opEqual, at: left.at, args: []*node{left, right}}
}

func (p *parser) sum() *node { return p.row("+", opConcat, p.part, false) }

// part reads an operand, a function or parentheses.
func (p *parser) part() *node {
	defer p.enter()()
	t := p.token
	n := &node{at: t.at}
	switch t.kind {
	case textToken:
		n.op, n.text = opText, t.text
		p.advance()
	case hexToken:
		n.op, n.text = opHex, strings.ToLower(t.text[2:])
		p.advance()
	case intToken:
		n.op, n.number = opInt, uint32(p.integer(0, math.MaxUint32, "an integer"))
	case addrToken:
		addr, err := netip.ParseAddr(t.text)
		if err != nil || addr.Zone() != "" {
			p.fail(t.at, "%s looks like an address and is none", t.text)
		}
		n.op, n.addr = opAddr, addr
		p.advance()
	case wordToken:
		return p.word(n)
	case signToken:
		if p.took("(") {
			inner := p.or()
			p.expect(")")
			inner.at = t.at
			return inner
		}
		p.unexpected("a value or a test")
	default:
		p.unexpected("a value or a test")
	}
	return n
}

// integer reads a number between two bounds.
func (p *parser) integer(least, most int64, what string) int {
	t := p.token
	if t.kind != intToken {
		p.unexpected(what)
	}
	n, err := strconv.ParseInt(t.text, 10, 64)
	if err != nil || n < least || n > most {
		p.fail(t.at, "%s is out of range: %s is a number from %d to %d", t.text, what, least, most)
	}
	p.advance()
	return int(n)
}

// bracketed reads a number in brackets.
func (p *parser) bracketed(most int64, what string) uint16 {
	p.expect("[")
	n := p.integer(0, most, what)
	p.expect("]")
	return uint16(n)
}
