package dhcp4

import (
	"bytes"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// fixed are the parts of the header that say what a reply gives to whom: op, htype, hlen, hops and
// xid; ciaddr and yiaddr; chaddr.
var fixed = [...]Field{{0, offSecs}, {offCIAddr, offSIAddr}, {offCHAddr, offSName}}

// IsFixed reports whether the octet at an offset of a reply is in one of the fixed parts.
func IsFixed(at int) bool {
	for _, f := range fixed {
		if f.Start <= at && at < f.End {
			return true
		}
	}
	return false
}

// SameLease reports whether two replies give the same lease to the same client: whether their fixed
// parts and their options 51, 53 and 54 are equal.
func (m *Message) SameLease(as *Message) bool {
	for _, code := range [...]byte{OptLeaseTime, OptMessageType, OptServerIdentifier} {
		a, hasA := m.Option(code)
		b, hasB := as.Option(code)
		if hasA != hasB || !bytes.Equal(a, b) {
			return false
		}
	}
	for _, f := range fixed {
		if !bytes.Equal(m.b[f.Start:f.End], as.b[f.Start:f.End]) {
			return false
		}
	}
	return true
}

// Field is a part of a message that may hold options.
type Field struct{ Start, End int }

// OptionFields returns the fields of the octets of a message that hold options: options, and file
// and sname where option 52 says so. There are none if b is too short.
func OptionFields(b []byte) (fields [3]Field, n int) {
	if len(b) < HeaderLen {
		return fields, 0
	}
	fields[0], n = Field{HeaderLen, len(b)}, 1
	var v byte
	octets := 0 // of the value, in all its pieces
	for at := fields[0]; ; {
		start, end, _ := FindOption(b, at, OptOverload)
		if start == end {
			break
		}
		if at.Start = end; end-start > 2 {
			octets, v = octets+end-start-2, b[end-1]
		}
	}
	if octets == 1 && v <= overloadFile|overloadSName {
		if v&overloadFile != 0 {
			fields[n] = Field{offFile, offCookie}
			n++
		}
		if v&overloadSName != 0 {
			fields[n] = Field{offSName, offFile}
			n++
		}
	}
	return fields, n
}

// FindOption finds the first instance of an option in a field of the octets of a message. If there
// is none, start is end, and where the options end: one can be put there. It is not ok if an option
// before that runs past the end of the field.
func FindOption(b []byte, in Field, code byte) (start, end int, ok bool) {
	at := in.Start
	for at < in.End && b[at] != OptEnd {
		budget.Spend(1)
		if b[at] == OptPad {
			at++
			continue
		}
		if at+1 >= in.End || at+2+int(b[at+1]) > in.End {
			return at, at, false
		}
		next := at + 2 + int(b[at+1])
		if b[at] == code {
			return at, next, true
		}
		at = next
	}
	return at, at, true
}
