package expression

import (
	"math"
	"regexp"
)

// function reads the arguments of a function, if word is one.
func (p *parser) function(n *node, word string) bool {
	for c := range conversions {
		if conversions[c].name == word {
			n.op, n.convert = opConvert, conversion(c)
			n.args = p.arguments(word, 1)
			p.expect(")")
			return true
		}
	}
	switch word {
	case "substring":
		n.op, n.args = opSubstring, p.arguments(word, 1)
		p.expect(",")
		n.start = p.integer(math.MinInt32, math.MaxInt32, "where the part begins")
		p.expect(",")
		if n.all = p.took("all"); !n.all {
			n.length = p.integer(math.MinInt32, math.MaxInt32, "a length, or all")
		}
	case "split":
		n.op, n.args = opSplit, p.arguments(word, 2)
		p.expect(",")
		n.start = p.integer(math.MinInt32, math.MaxInt32, "the number of a field")
	case "concat":
		n.op, n.args = opConcat, p.arguments(word, 2)
	case "hexstring":
		n.op, n.args = opHexString, p.arguments(word, 2)
	case "lcase":
		n.op, n.args = opLower, p.arguments(word, 1)
	case "ucase":
		n.op, n.args = opUpper, p.arguments(word, 1)
	case "ifelse":
		p.expect("(")
		test := p.or()
		p.need(test, true, "as the first argument of ifelse")
		n.op, n.args = opIfElse, []*node{test}
		for range 2 {
			p.expect(",")
			value := p.or()
			p.need(value, false, "as an argument of ifelse")
			n.args = append(n.args, value)
		}
	case "match":
		p.expect("(")
		n.op, n.text = opMatch, p.pattern()
		p.expect(",")
		value := p.or()
		p.need(value, false, "as the second argument of match")
		n.args = []*node{value}
	default:
		return false
	}
	p.expect(")")
	return true
}

// arguments reads the values that a function begins with.
func (p *parser) arguments(function string, count int) []*node {
	p.expect("(")
	args := make([]*node, 0, count)
	for i := range count {
		if i > 0 {
			p.expect(",")
		}
		value := p.or()
		p.need(value, false, "as an argument of "+function)
		args = append(args, value)
	}
	return args
}

// pattern reads the regular expression of match.
func (p *parser) pattern() string {
	t := p.token
	if t.kind != textToken {
		p.unexpected("a regular expression in quotes")
	}
	if _, err := wholly(t.text); err != nil {
		p.fail(t.at, "%v; look-around and back references are not possible, as they can take for ever", err)
	}
	p.advance()
	return t.text
}

// wholly compiles a regular expression that must fit the whole of a value.
func wholly(pattern string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(pattern); err != nil { // or a ) could close our own parenthesis
		return nil, err
	}
	return regexp.Compile(`\A(?:` + pattern + `)\z`)
}
