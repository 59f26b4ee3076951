// Package option is compiled DHCPv4 options: a [Set] that the packet path looks codes up in, and
// [Layers] of them, which are what one client sees.
//
// It knows no option in particular. The configuration encodes and checks them; a value is octets
// here. A value may be computed from the query ([Computed]), each time that a reply needs it.
package option

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// Set is an immutable collection of compiled options. Each value is ready to
// be copied into a message, without code and length octets, and may be longer
// than 255 octets: whoever writes the message splits it (RFC 3396).
//
// A nil Set is empty. A Set holds no pointers per option: a bit per code says which codes are
// there, and the number of bits below a code is the place of its value.
type Set struct {
	codes  Codes
	always Codes    // sent to clients that do not ask for them, too
	gone   Codes    // not there, whatever a set below says
	ends   []uint32 // where the value at each index ends in data
	data   []byte

	computed Codes      // those of compute
	compute  []Computed // they go before the values, each before those after it
}

// Computed is the value of an option that an expression gives. Where it gives none, or one of a
// length that the option cannot have, the option is as if it were not configured there.
type Computed struct {
	Code byte
	// Unit is the length of the option, or with Several of its elements; 0 is any length.
	Unit    int
	Several bool
	Value   *expression.Value
}

// octets computes the value for the query of e.
func (c *Computed) octets(e *expression.Evaluator) ([]byte, bool) {
	value, ok := c.Value.Octets(e)
	switch n := len(value); {
	case !ok, n == 0, c.Unit > 0 && (n%c.Unit != 0 || (n != c.Unit && !c.Several)):
		return nil, false
	}
	return value, true
}

// Codes is a set of option codes: bit code%64 of word code/64.
type Codes [4]uint64

// Has reports whether a code is in the set.
func (c *Codes) Has(code byte) bool { return c[code>>6]>>(code&63)&1 != 0 }

// Add puts a code into the set.
func (c *Codes) Add(code byte) { c[code>>6] |= 1 << (code & 63) }

// Merge puts all codes of o into the set.
func (c *Codes) Merge(o *Codes) {
	for i := range c {
		c[i] |= o[i]
	}
}

// List returns the codes in ascending order.
func (c *Codes) List() (list []int) {
	for code := range 256 {
		if c.Has(byte(code)) {
			list = append(list, code)
		}
	}
	return list
}

// Empty reports whether no code is in the set.
func (c *Codes) Empty() bool { return *c == Codes{} }

// Lookup returns the value of an option, which the caller must not change.
// It costs the same for every code and size of the set, and does not allocate.
func (s *Set) Lookup(code byte) ([]byte, bool) {
	if s == nil {
		return nil, false
	}
	word, bit := code>>6, uint64(1)<<(code&63)
	if s.codes[word]&bit == 0 {
		return nil, false
	}
	index := bits.OnesCount64(s.codes[word] & (bit - 1))
	for _, w := range s.codes[:word] {
		index += bits.OnesCount64(w)
	}
	start := uint32(0)
	if index > 0 {
		start = s.ends[index-1]
	}
	end := s.ends[index]
	return s.data[start:end:end], true
}

// Has reports whether the set holds the value of an option.
func (s *Set) Has(code byte) bool { return s != nil && s.codes.Has(code) }

// computes reports whether the set has an expression for an option.
func (s *Set) computes(code byte) bool { return s != nil && s.computed.Has(code) }

// decides reports whether the set says of an option that it is there, or that it is not.
func (s *Set) decides(code byte) bool { return s != nil && (s.codes.Has(code) || s.gone.Has(code)) }

// Len returns the number of options.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.ends)
}

// Codes returns the codes of the set's values in ascending order.
func (s *Set) Codes() []byte {
	var codes []byte
	for code := range 256 {
		if s.Has(byte(code)) {
			codes = append(codes, byte(code))
		}
	}
	return codes
}

// Over returns what a client sees of s laid over below: every option of s,
// and those of below that s does not have.
func (s *Set) Over(below *Set) *Set {
	switch {
	case s == nil:
		return below
	case below == nil:
		return s
	}
	b := Builder{always: s.always, gone: s.gone, compute: slices.Clone(s.compute)}
	b.always.Merge(&below.always)
	for _, c := range below.compute {
		if !s.decides(c.Code) {
			b.compute = append(b.compute, c)
		}
	}
	for i := range b.gone {
		b.gone[i] |= below.gone[i] &^ s.codes[i]
	}
	for code := range 256 {
		if value, ok := s.Lookup(byte(code)); ok {
			b.Put(byte(code), value)
		} else if value, ok := below.Lookup(byte(code)); ok && !s.gone.Has(byte(code)) {
			b.Put(byte(code), value)
		}
	}
	return b.Set()
}

// Builder collects options for a [Set].
type Builder struct {
	values map[byte][]byte
	always Codes
	gone   Codes

	compute []Computed
}

// Compute sets an option to what an expression gives for each query.
func (b *Builder) Compute(c Computed) { b.compute = append(b.compute, c) }

// Always marks an option to be sent whether or not a client asks for it, wherever it is configured.
func (b *Builder) Always(code byte) { b.always.Add(code) }

// Remove takes an option away that a set below has.
func (b *Builder) Remove(code byte) { b.gone.Add(code) }

// Removes reports whether an option was taken away.
func (b *Builder) Removes(code byte) bool { return b.gone.Has(code) }

// Put sets an option, in place of an earlier value. It keeps value.
func (b *Builder) Put(code byte, value []byte) {
	if b.values == nil {
		b.values = map[byte][]byte{}
	}
	b.values[code] = value
}

// Has reports whether an option was put.
func (b *Builder) Has(code byte) bool {
	_, ok := b.values[code]
	return ok
}

// IsSet reports whether anything was collected.
func (b *Builder) IsSet() bool {
	return len(b.values) > 0 || len(b.compute) > 0 || !b.always.Empty() || !b.gone.Empty()
}

// Set returns the collected options, nil if there are none.
func (b *Builder) Set() *Set {
	if !b.IsSet() {
		return nil
	}
	codes := make([]byte, 0, len(b.values))
	size := 0
	for code, value := range b.values {
		codes = append(codes, code)
		size += len(value)
	}
	slices.Sort(codes)
	s := &Set{always: b.always, gone: b.gone, compute: b.compute, ends: make([]uint32, 0, len(codes)),
		data: make([]byte, 0, size)}
	for _, code := range codes {
		s.codes.Add(code)
		s.data = append(s.data, b.values[code]...)
		s.ends = append(s.ends, uint32(len(s.data)))
	}
	for _, c := range b.compute {
		s.computed.Add(c.Code)
	}
	return s
}

// Key returns octets that are equal for equal sets.
func (s *Set) Key() string {
	if s == nil {
		return ""
	}
	var key []byte
	for _, code := range s.Codes() {
		value, _ := s.Lookup(code)
		key = append(binary.BigEndian.AppendUint32(append(key, code), uint32(len(value))), value...)
	}
	for _, words := range [...]Codes{s.always, s.gone} {
		for _, word := range words {
			key = binary.BigEndian.AppendUint64(key, word)
		}
	}
	for _, c := range s.compute {
		key = fmt.Appendf(key, "%d %p ", c.Code, c.Value) // names in it depend on where it stands
	}
	return string(key)
}
