package expression

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// truth and octets are compiled nodes.
type (
	truth  func(*Evaluator) bool
	octets func(*Evaluator) []byte
	// lookup is an operand that may be absent.
	lookup func(*Evaluator) ([]byte, bool)
)

type compiler struct{ names *Vocabulary }

func (c *compiler) truths(nodes []*node) []truth {
	made := make([]truth, len(nodes))
	for i, n := range nodes {
		made[i] = c.truth(n)
	}
	return made
}

// literal returns the octets of a node that is the same for every query.
func literal(n *node) ([]byte, bool) {
	switch n.op {
	case opText:
		return []byte(n.text), true
	case opHex:
		digits := n.text
		if len(digits)%2 != 0 {
			digits = "0" + digits
		}
		b, _ := hex.DecodeString(digits) // the scanner has seen the digits
		return b, true
	case opInt:
		return []byte{byte(n.number >> 24), byte(n.number >> 16), byte(n.number >> 8), byte(n.number)}, true
	case opAddr:
		return n.addr.AsSlice(), true
	}
	return nil, false
}

// truth compiles a test. A comparison frees the scratch memory that its values take, so that a long
// test needs no more than its largest comparison.
func (c *compiler) truth(n *node) truth {
	switch n.op {
	case opExists:
		has := c.lookup(n.args[0])
		return func(e *Evaluator) bool {
			used := e.used
			_, ok := has(e)
			e.used = used
			return ok
		}
	case opMember:
		return c.member(n)
	case opMatch:
		pattern, _ := wholly(n.text) // the parser has compiled it
		value := c.octets(n.args[0])
		return func(e *Evaluator) bool {
			used := e.used
			octets := value(e)
			budget.Spend(len(octets))
			fits := pattern.Match(octets)
			e.used = used
			return fits
		}
	case opEqual:
		return c.equal(n.args[0], n.args[1])
	case opNot:
		part := c.truth(n.args[0])
		return func(e *Evaluator) bool { return !part(e) }
	case opAnd:
		return c.row(n.args, false)
	}
	return c.row(n.args, true) // opOr
}

// row compiles the parts of and, or of or. The first decisive part decides: a false one of and, a
// true one of or. Later parts that can fail are still evaluated, because a failure decides the
// test.
func (c *compiler) row(args []*node, decisive bool) truth {
	parts := c.truths(args)
	if !slices.ContainsFunc(args, (*node).canFail) {
		if len(parts) == 2 {
			a, b := parts[0], parts[1]
			if decisive {
				return func(e *Evaluator) bool { return a(e) || b(e) }
			}
			return func(e *Evaluator) bool { return a(e) && b(e) }
		}
		return func(e *Evaluator) bool {
			for _, part := range parts {
				if part(e) == decisive {
					return decisive
				}
			}
			return !decisive
		}
	}
	return func(e *Evaluator) bool {
		result := !decisive
		for _, part := range parts {
			if part(e) == decisive {
				result = decisive
			}
		}
		return result
	}
}

func (c *compiler) equal(left, right *node) truth {
	if _, ok := literal(left); ok {
		left, right = right, left
	}
	a := c.octets(left)
	if want, ok := literal(right); ok {
		return func(e *Evaluator) bool {
			used := e.used
			same := equal(a(e), want)
			e.used = used
			return same
		}
	}
	b := c.octets(right)
	return func(e *Evaluator) bool {
		used := e.used
		same := bytes.Equal(a(e), b(e))
		e.used = used
		return same
	}
}

func equal(a, b []byte) bool {
	budget.Spend(min(len(a), len(b)))
	return bytes.Equal(a, b)
}

func (c *compiler) member(n *node) truth {
	name := n.text
	switch {
	case name == all:
		return func(*Evaluator) bool { return true }
	case name == known:
		return func(e *Evaluator) bool { return e.query.Known }
	case name == unknown:
		return func(e *Evaluator) bool { return !e.query.Known }
	case n.class:
		i := n.index
		return func(e *Evaluator) bool { return e.Member(i) }
	}
	want := []byte(strings.TrimPrefix(name, vendorClass)) // Kea's name for who sends this option 60
	return func(e *Evaluator) bool {
		used := e.used
		value, ok := e.option4(optVendorClass)
		e.used = used
		return ok && equal(value, want)
	}
}

const optVendorClass = 60

// lookup compiles an operand that may be absent.
func (c *compiler) lookup(n *node) lookup {
	v6, chain, level := c.names.V6, n.chain, n.level
	switch n.op {
	case opOption:
		switch {
		case v6:
			return func(e *Evaluator) ([]byte, bool) { return e.message6(chain) }
		case len(chain) == 1:
			code := byte(chain[0])
			return func(e *Evaluator) ([]byte, bool) { return e.option4(code) }
		}
		return func(e *Evaluator) ([]byte, bool) { return e.chain4(chain) }
	case opOption6:
		return func(e *Evaluator) ([]byte, bool) { return e.message6(chain) }
	case opRelay4:
		chain = append([]uint16{82}, chain...)
		return func(e *Evaluator) ([]byte, bool) { return e.chain4(chain) }
	case opRelay6:
		return func(e *Evaluator) ([]byte, bool) { return e.relayOption(level, chain) }
	}
	// opVendor, opVendorClass
	enterprise, class := n.number, n.class
	return func(e *Evaluator) ([]byte, bool) {
		value, ok := e.vendor(v6, class, enterprise)
		switch {
		case !ok || len(chain) == 0:
			return value, ok
		case len(chain) > 1:
			return nil, false
		case v6:
			return inside6(value[4:], chain[0])
		}
		return inVendor4(value, chain[0])
	}
}

// octets compiles a value.
func (c *compiler) octets(n *node) octets {
	if value, ok := literal(n); ok {
		return func(*Evaluator) []byte { return value }
	}
	switch n.op {
	case opField:
		return c.field(n.field)
	case opRelayField:
		level, peer := n.level, n.field == relayPeer
		return func(e *Evaluator) []byte {
			r, ok := e.relay(level)
			switch {
			case !ok:
				return nil
			case peer:
				return e.address(r.PeerAddress())
			}
			return e.address(r.LinkAddress())
		}
	case opEnterprise:
		v6, class := c.names.V6, n.class
		return func(e *Evaluator) []byte {
			value, ok := e.vendor(v6, class, 0)
			if !ok {
				return nil
			}
			return value[:4]
		}
	case opVendorClass:
		find, v6, index := c.lookup(n), c.names.V6, n.index
		return func(e *Evaluator) []byte {
			value, ok := find(e)
			if !ok {
				return nil
			}
			return vendorText(value, v6, index)
		}
	case opOption, opOption6, opRelay4, opRelay6, opVendor:
		find := c.lookup(n)
		return func(e *Evaluator) []byte {
			value, _ := find(e)
			return value
		}
	}
	return c.function(n)
}

func (c *compiler) function(n *node) octets {
	if n.op == opIfElse {
		return c.ifElse(n)
	}
	args := make([]octets, len(n.args))
	for i, a := range n.args {
		args[i] = c.octets(a)
	}
	first := args[0]
	switch n.op {
	case opSubstring:
		start, length := n.start, n.length
		if n.all {
			length = 1 << 31 // longer than any value
		}
		return func(e *Evaluator) []byte { return substring(first(e), start, length) }
	case opSplit:
		delimiters, number := args[1], n.start
		return func(e *Evaluator) []byte { return split(first(e), delimiters(e), number) }
	case opConcat:
		return func(e *Evaluator) []byte { return concat(e, args) }
	case opHexString:
		separator := args[1]
		return func(e *Evaluator) []byte { return hexString(e, first(e), separator(e)) }
	case opLower:
		return func(e *Evaluator) []byte { return mapped(e, first(e), 'A', 'Z', 'a'-'A') }
	case opUpper:
		return func(e *Evaluator) []byte { return mapped(e, first(e), 'a', 'z', 'A'-'a'+256) }
	}
	to := n.convert // opConvert
	if to == fromAddress {
		return func(e *Evaluator) []byte { return addressText(e, first(e)) }
	}
	return func(e *Evaluator) []byte { return numberText(e, first(e), to) }
}

func (c *compiler) ifElse(n *node) octets {
	test, yes, no := c.truth(n.args[0]), c.octets(n.args[1]), c.octets(n.args[2])
	if !n.args[1].canFail() && !n.args[2].canFail() {
		return func(e *Evaluator) []byte {
			if test(e) {
				return yes(e)
			}
			return no(e)
		}
	}
	return func(e *Evaluator) []byte {
		holds, a, b := test(e), yes(e), no(e)
		if holds {
			return a
		}
		return b
	}
}
