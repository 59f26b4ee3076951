// Package outside defines the binary records between a daemon and the operator's program. The hook
// outside asks the program about queries, and reports changes of leases to it. docs/outside.md
// describes the records for people who write such a program in any language.
//
// Everything is a record. A record begins with a header of 16 octets, and fields follow:
//
//	 0  4  length: octets that follow, 12 or more
//	 4  1  version, 1
//	 5  1  kind, see [Kind]
//	 6  2  zero; a receiver does not look at it
//	 8  8  number: of a question, and of the answer to it; else zero
//	16     fields: code (2), length (2), value
//
// All numbers are in network byte order. A receiver skips fields and kinds that it does not know.
// So a later version may add only fields and kinds that a receiver may ignore. A change that every
// receiver must understand gets another version of the header.
//
// On a socket, records follow each other without a gap, and a write may have any number of them. A
// record can be read by itself, so other carriers, such as the memory of a WebAssembly module, can
// use the same records.
//
// [Parse] validates a record once. Then the accessors of [Record] cannot fail. Values that they
// return, such as an [Answer], share the octets of the record.
package outside

import (
	"encoding/binary"
	"iter"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// Version is the version of the header that this package reads and writes.
const Version = 1

const (
	// HeaderLen is the length of a header.
	HeaderLen = 16
	lengthLen = 4
	fieldHead = 4

	// MaxFromDaemon is the most octets of a record of dhcp4d.
	MaxFromDaemon = 1 << 17
	// MaxFromProgram is the most octets of a record of a program.
	MaxFromProgram = 4 << 10
)

// Kind is the kind of a record.
type Kind uint8

// The kinds.
const (
	KindHello  Kind = 1 + iota // the first record in each direction
	KindQuery                  // the daemon asks about a query
	KindAnswer                 // the program answers
	KindEvent                  // the daemon tells a change of a lease
	KindDone                   // the program is done with all events up to a cursor
	KindForget                 // the program takes back a verdict, or all

	kindCount = iota
)

var kinds = [...]string{"", "hello", "query", "answer", "event", "done", "forget"}

// String returns the kind's name.
func (k Kind) String() string {
	if k == 0 || int(k) > kindCount {
		return "unknown"
	}
	return kinds[k]
}

// Begin appends the header of a record. The fields are appended behind it, then End is called with
// the length that b had before.
func Begin(b []byte, kind Kind, number uint64) []byte {
	b = append(b, 0, 0, 0, 0, Version, byte(kind), 0, 0)
	return binary.BigEndian.AppendUint64(b, number)
}

// End sets the length of the record that begins at start and ends with b.
func End(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-lengthLen))
	return b
}

// maxValue is the most octets of a value.
const maxValue = 1<<16 - 1

// AppendField appends a field. A value has at most 65535 octets; a longer one is cut off.
func AppendField(b []byte, code Field, value []byte) []byte {
	value = value[:min(len(value), maxValue)]
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return append(b, value...)
}

func appendText(b []byte, code Field, value string) []byte {
	value = value[:min(len(value), maxValue)]
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return append(b, value...)
}

func appendUint8(b []byte, code Field, n uint8) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	return append(b, 0, 1, n)
}

func appendUint32(b []byte, code Field, n uint32) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	b = append(b, 0, 4)
	return binary.BigEndian.AppendUint32(b, n)
}

func appendUint64(b []byte, code Field, n uint64) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	b = append(b, 0, 8)
	return binary.BigEndian.AppendUint64(b, n)
}

// Record is a view of one record.
type Record struct {
	Kind   Kind
	Number uint64
	fields []byte
}

// Next returns the octets of the first record of b, the part of a stream that has arrived, and
// whether the record is whole. It may have atMost octets. Next reads only the length.
func Next(b []byte, atMost int) (record []byte, whole bool, wrong Wrong) {
	if len(b) < lengthLen {
		return nil, false, None
	}
	// A comparison of 64 bits: a length of 2^32-1 does not overflow.
	n := uint64(binary.BigEndian.Uint32(b)) + lengthLen
	switch {
	case n < HeaderLen:
		return nil, false, Malformed
	case n > uint64(atMost):
		return nil, false, TooLong
	case uint64(len(b)) < n:
		return nil, false, None
	}
	return b[:n:n], true, None
}

// Parse validates a whole record: its version, its length, and the length of each field that is
// known.
func Parse(b []byte) (Record, Wrong) {
	if len(b) < HeaderLen || uint64(binary.BigEndian.Uint32(b))+lengthLen != uint64(len(b)) {
		return Record{}, Malformed
	}
	if b[4] != Version {
		return Record{}, OtherVersion
	}
	r := Record{Kind: Kind(b[5]), Number: binary.BigEndian.Uint64(b[8:]), fields: b[HeaderLen:]}
	for rest := r.fields; len(rest) > 0; {
		budget.Spend(1)
		if len(rest) < fieldHead {
			return Record{}, Malformed
		}
		code, n := Field(binary.BigEndian.Uint16(rest)), int(binary.BigEndian.Uint16(rest[2:]))
		if n > len(rest)-fieldHead || !code.fits(n) {
			return Record{}, Malformed
		}
		rest = rest[fieldHead+n:]
	}
	return r, None
}

// Fields returns all fields in their order.
func (r Record) Fields() iter.Seq2[Field, []byte] {
	return func(yield func(Field, []byte) bool) {
		for rest := r.fields; len(rest) > 0; {
			n := fieldHead + int(binary.BigEndian.Uint16(rest[2:]))
			budget.Spend(n)
			if !yield(Field(binary.BigEndian.Uint16(rest)), rest[fieldHead:n:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}
