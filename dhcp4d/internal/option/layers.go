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
	if l.Top.decides(code) {
		return l.Top.Lookup(code)
	}
	for _, class := range slices.Backward(l.Classes) {
		if class.decides(code) {
			return class.Lookup(code)
		}
	}
	if l.Pool.decides(code) {
		return l.Pool.Lookup(code)
	}
	return l.Base.Lookup(code)
}

// Configured returns the codes of all options that the client could get, and those among them that
// it gets without asking.
func (l *Layers) Configured() (codes, always Codes) {
	lay := func(s *Set) {
		if s == nil {
			return
		}
		for i := range codes {
			codes[i] = codes[i]&^s.gone[i] | s.codes[i]
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
