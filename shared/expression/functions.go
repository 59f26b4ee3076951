package expression

import (
	"encoding/hex"
	"net/netip"
	"strconv"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// substring returns length octets from start on. A negative start counts from the end, a negative
// length goes backwards and leaves out the octet at start.
func substring(s []byte, start, length int) []byte {
	if start < -len(s) || start >= len(s) {
		return nil
	}
	if start < 0 {
		start += len(s)
	}
	if length < 0 {
		return s[max(0, start+length):start]
	}
	return s[start:min(len(s), start+length)]
}

// split returns a field of s, counted from 1, between octets of which each is a delimiter.
func split(s, delimiters []byte, number int) []byte {
	if len(delimiters) == 0 {
		return s
	}
	// A client may have written both values, so the cost must not be the product of their lengths.
	var delimits [256]bool
	for _, c := range delimiters {
		delimits[c] = true
	}
	budget.Spend(len(delimiters))
	for ; number > 0; number-- {
		end := 0
		for end < len(s) && !delimits[s[end]] {
			end++
		}
		budget.Spend(1 + end)
		switch {
		case number == 1:
			return s[:end]
		case end == len(s):
			return nil
		}
		s = s[end+1:]
	}
	return nil
}

// concat joins values. It copies each to scratch memory, behind the values before it.
func concat(e *Evaluator, args []octets) []byte {
	var parts [8][]byte
	if len(args) <= len(parts) {
		total := 0
		for i, arg := range args {
			parts[i] = arg(e)
			total += len(parts[i])
		}
		joined := e.make(total)
		if joined == nil {
			return nil
		}
		at := 0
		for _, part := range parts[:len(args)] {
			at += copy(joined[at:], part)
		}
		return joined
	}
	half := len(args) / 2
	left, right := concat(e, args[:half]), concat(e, args[half:])
	joined := e.make(len(left) + len(right))
	if joined == nil {
		return nil
	}
	copy(joined[copy(joined, left):], right)
	return joined
}

func hexString(e *Evaluator, s, separator []byte) []byte {
	if len(s) == 0 {
		return nil
	}
	made := e.make(2*len(s) + (len(s)-1)*len(separator))
	if made == nil {
		return nil
	}
	at := 0
	for i := range s {
		if i > 0 {
			at += copy(made[at:], separator)
		}
		at += hex.Encode(made[at:], s[i:i+1])
	}
	return made
}

// mapped returns s with the letters from first to last moved by a distance.
func mapped(e *Evaluator, s []byte, first, last byte, by int) []byte {
	made := e.make(len(s))
	if made == nil {
		return nil
	}
	for i, c := range s {
		if first <= c && c <= last {
			c = byte(int(c) + by)
		}
		made[i] = c
	}
	return made
}

// addressText writes an address as inet_ntop of the C library does.
func addressText(e *Evaluator, s []byte) []byte {
	const longest = 45
	switch {
	case len(s) == 0:
		return nil
	case len(s) != 4 && len(s) != 16, len(e.scratch)-e.used < longest:
		e.failed = true
		return nil
	}
	a, _ := netip.AddrFromSlice(s)
	if a.Is6() {
		octets := a.As16()
		if embeds4(&octets) {
			made := append(e.rest(), "::"...)
			return e.keep(netip.AddrFrom4([4]byte(octets[12:])).AppendTo(made))
		}
	}
	return e.keep(a.AppendTo(e.rest()))
}

// embeds4 reports whether inet_ntop writes an address as :: and an IPv4 address: twelve octets of
// zero and then two that are not both zero.
func embeds4(a *[16]byte) bool {
	return [12]byte(a[:12]) == [12]byte{} && (a[12] != 0 || a[13] != 0)
}

func numberText(e *Evaluator, s []byte, to conversion) []byte {
	const longest = 11
	want := conversions[to].octets
	switch {
	case len(s) == 0:
		return nil
	case len(s) != want, len(e.scratch)-e.used < longest:
		e.failed = true
		return nil
	}
	var n uint32
	for _, c := range s {
		n = n<<8 | uint32(c)
	}
	if !conversions[to].signed {
		return e.keep(strconv.AppendUint(e.rest(), uint64(n), 10))
	}
	unused := 32 - 8*want
	return e.keep(strconv.AppendInt(e.rest(), int64(int32(n<<unused)>>unused), 10))
}
