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
// A nil Set is empty. A Set holds no pointers per option: a bit per code says
// which codes are there, and the number of bits below a code is the place of
// its value.
type Set struct {
	codes [4]uint64
	ends  []uint32 // where the value at each place ends in data
	data  []byte
}

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
func (s *Set) Has(code byte) bool {
	return s != nil && s.codes[code>>6]&(1<<(code&63)) != 0
}

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
	case s.Len() == 0:
		return below
	case below.Len() == 0:
		return s
	}
	var b Builder
	for code := range 256 {
		if value, ok := s.Lookup(byte(code)); ok {
			b.Put(byte(code), value)
		} else if value, ok := below.Lookup(byte(code)); ok {
			b.Put(byte(code), value)
		}
	}
	return b.Set()
}

// Builder collects options for a [Set].
type Builder struct {
	values map[byte][]byte
}

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
	if len(b.values) == 0 {
		return nil
	}
	codes := make([]byte, 0, len(b.values))
	size := 0
	for code, value := range b.values {
		codes = append(codes, code)
		size += len(value)
	}
	slices.Sort(codes)
	s := &Set{ends: make([]uint32, 0, len(codes)), data: make([]byte, 0, size)}
	for _, code := range codes {
		s.codes[code>>6] |= 1 << (code & 63)
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
	return string(key)
}
