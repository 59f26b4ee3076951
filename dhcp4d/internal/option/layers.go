package option

import "slices"

// Layers is what one client sees: sets laid over each other. It is a plain
// value, made per packet without allocation.
type Layers struct {
	Hooks   *Overrides // set by hooks; nil: none
	Top     *Set       // the client's reservation
	Classes []*Set     // the client's classes in the order of the configuration, the later wins
	Pool    *Set       // the pool of its address
	Base    *Set       // its subnet, laid over the global options
}

// Lookup returns the value of an option from the uppermost set that has it.
// The caller must not change it.
func (l *Layers) Lookup(code byte) ([]byte, bool) {
	if value, ok := l.Hooks.Lookup(code); ok {
		return value, true
	}
	if value, ok := l.Top.Lookup(code); ok {
		return value, true
	}
	for _, class := range slices.Backward(l.Classes) {
		if value, ok := class.Lookup(code); ok {
			return value, true
		}
	}
	if value, ok := l.Pool.Lookup(code); ok {
		return value, true
	}
	return l.Base.Lookup(code)
}

// Configured returns the codes of all options that the client could get, and those among them that
// it gets without asking.
func (l *Layers) Configured() (codes, always Codes) {
	merge := func(s *Set) {
		if s != nil {
			codes.Merge(&s.codes)
			always.Merge(&s.always)
		}
	}
	merge(l.Top)
	for _, class := range l.Classes {
		merge(class)
	}
	merge(l.Pool)
	merge(l.Base)
	if l.Hooks != nil {
		codes.Merge(&l.Hooks.codes)
		always.Merge(&l.Hooks.codes)
	}
	for i := range always {
		always[i] &= codes[i]
	}
	return codes, always
}
