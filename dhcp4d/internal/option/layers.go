package option

import "math/bits"

// Layers is what one client sees: sets laid over each other. It is a plain
// value, made per packet without allocation.
type Layers struct {
	Top     *Set   // the client's reservation
	Classes []*Set // in the order of the configuration, the later wins
	Matched uint64 // bit i: the client is in class i
	Pool    *Set   // the pool of its address
	Base    *Set   // its subnet, laid over the global options
}

// Lookup returns the value of an option from the uppermost set that has it.
// The caller must not change it.
func (l *Layers) Lookup(code byte) ([]byte, bool) {
	if value, ok := l.Top.Lookup(code); ok {
		return value, true
	}
	for m := l.Matched; m != 0; {
		i := 63 - bits.LeadingZeros64(m)
		m &^= 1 << i
		if value, ok := l.Classes[i].Lookup(code); ok {
			return value, true
		}
	}
	if value, ok := l.Pool.Lookup(code); ok {
		return value, true
	}
	return l.Base.Lookup(code)
}
