package option

import (
	"slices"

	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// Layers is what one client sees: sets laid over each other. It is a plain
// value, made per packet without allocation.
type Layers struct {
	Hooks   *Overrides // set by hooks; nil: none
	Top     *Set       // the client's reservation
	Classes []*Set     // the client's classes in the order of the configuration, the later wins
	Pool    *Set       // the pool of its address
	Base    *Set       // its subnet, laid over the global options

	// Evaluator computes values from the query, and Computed keeps them for the reply. Both are
	// needed only where a set has expressions.
	Evaluator *expression.Evaluator
	Computed  *Overrides
}

// compute returns the value of an option that a set computes, if there is one.
func (l *Layers) compute(s *Set, code byte) ([]byte, bool) {
	if value, ok := l.Computed.Lookup(code); ok {
		return value, true
	}
	for i := range s.compute {
		c := &s.compute[i]
		if c.Code != code {
			continue
		}
		if value, ok := c.octets(l.Evaluator); ok {
			l.Computed.Set(code, value)
			return l.Computed.Lookup(code)
		}
	}
	return nil, false
}

// Lookup returns the value of an option from the uppermost set that has it.
// The caller must not change it.
func (l *Layers) Lookup(code byte) ([]byte, bool) {
	if value, ok := l.Hooks.Lookup(code); ok {
		return value, true
	}
	if value, decided := l.in(l.Top, code); decided {
		return value, value != nil
	}
	for _, class := range slices.Backward(l.Classes) {
		if value, decided := l.in(class, code); decided {
			return value, value != nil
		}
	}
	if value, decided := l.in(l.Pool, code); decided {
		return value, value != nil
	}
	value, _ := l.in(l.Base, code)
	return value, value != nil
}

// in returns the value of an option in a set, and whether the set decides about the option. It
// decides without a value where it takes the option away.
func (l *Layers) in(s *Set, code byte) (value []byte, decided bool) {
	if s.computes(code) {
		if value, ok := l.compute(s, code); ok {
			return value, true
		}
	}
	if s.decides(code) {
		value, _ = s.Lookup(code)
		return value, true
	}
	return nil, false
}

// Configured returns the codes of all options that the client could get, and those among them that
// it gets without asking. One that is computed may turn out to have no value.
func (l *Layers) Configured() (codes, always Codes) {
	lay := func(s *Set) {
		if s == nil {
			return
		}
		for i := range codes {
			codes[i] = codes[i]&^s.gone[i] | s.codes[i] | s.computed[i]
		}
		always.Merge(&s.always)
	}
	lay(l.Base)
	lay(l.Pool)
	for _, class := range l.Classes {
		lay(class)
	}
	lay(l.Top)
	if l.Hooks != nil {
		codes.Merge(&l.Hooks.codes)
		always.Merge(&l.Hooks.codes)
	}
	for i := range always {
		always[i] &= codes[i]
	}
	return codes, always
}
