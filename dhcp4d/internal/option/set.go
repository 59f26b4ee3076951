// Package option is compiled DHCPv4 options: a [Set] that the packet path looks codes up in, and
// [Layers] of them, which are what one client sees.
//
// It knows no option in particular. The configuration encodes and checks them; a value is octets
// here.
package option

import (
	"encoding/binary"
	"math/bits"
	"slices"
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
	ends   []uint32 // where the value at each place ends in data
	data   []byte
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
	place := bits.OnesCount64(s.codes[word] & (bit - 1))
	for _, w := range s.codes[:word] {
		place += bits.OnesCount64(w)
	}
	start := uint32(0)
	if place > 0 {
		start = s.ends[place-1]
	}
	end := s.ends[place]
	return s.data[start:end:end], true
}

// Has reports whether the set holds an option.
func (s *Set) Has(code byte) bool { return s != nil && s.codes.Has(code) }

// decides reports whether the set says of an option that it is there, or that it is not.
func (s *Set) decides(code byte) bool { return s != nil && (s.codes.Has(code) || s.gone.Has(code)) }

// Len returns the number of options.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.ends)
}

// Codes returns the codes of the set in ascending order.
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
	b := Builder{always: s.always, gone: s.gone}
	b.always.Merge(&below.always)
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
}

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

// Set returns the collected options, nil if there are none.
func (b *Builder) Set() *Set {
	if len(b.values) == 0 && b.always.Empty() && b.gone.Empty() {
		return nil
	}
	codes := make([]byte, 0, len(b.values))
	size := 0
	for code, value := range b.values {
		codes = append(codes, code)
		size += len(value)
	}
	slices.Sort(codes)
	s := &Set{always: b.always, gone: b.gone, ends: make([]uint32, 0, len(codes)), data: make([]byte, 0, size)}
	for _, code := range codes {
		s.codes.Add(code)
		s.data = append(s.data, b.values[code]...)
		s.ends = append(s.ends, uint32(len(s.data)))
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
	return string(key)
}
