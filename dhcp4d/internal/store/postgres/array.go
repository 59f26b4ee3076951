package postgres

import (
	"encoding/binary"
	"math"

	"github.com/jackc/pgx/v5/pgtype"
)

// array is a parameter in PostgreSQL's binary format: an array with one dimension, each element
// with its length before it. The encoder of pgx allocates for each element, this one does not.
type array []byte

// Where the header of an array has whether there are NULLs, and the number of elements.
const (
	atNull  = 4
	atCount = 12
)

// The types of elements.
const (
	int8s  = pgtype.Int8OID
	int2s  = pgtype.Int2OID
	byteas = pgtype.ByteaOID
)

// begin makes arrays of these types empty, and keeps their memory.
func begin(arrays []array, types ...uint32) {
	for i, t := range types {
		a := binary.BigEndian.AppendUint32(arrays[i][:0], 1) // dimensions
		a = binary.BigEndian.AppendUint32(a, 0)
		a = binary.BigEndian.AppendUint32(a, t)
		a = binary.BigEndian.AppendUint32(a, 0)
		arrays[i] = binary.BigEndian.AppendUint32(a, 1) // the index of the first element
	}
}

func (a array) len() int {
	if a == nil {
		return 0
	}
	return int(binary.BigEndian.Uint32(a[atCount:]))
}

// element adds the length of an element. The caller appends the element.
func (a *array) element(length uint32) {
	binary.BigEndian.PutUint32((*a)[atCount:], uint32(a.len()+1))
	*a = binary.BigEndian.AppendUint32(*a, length)
}

func (a *array) int8(v int64) {
	a.element(8)
	*a = binary.BigEndian.AppendUint64(*a, uint64(v))
}

func (a *array) int2(v int16) {
	a.element(2)
	*a = binary.BigEndian.AppendUint16(*a, uint16(v))
}

func (a *array) bytea(v []byte) {
	a.element(uint32(len(v)))
	*a = append(*a, v...)
}

func (a *array) null() {
	binary.BigEndian.PutUint32((*a)[atNull:], 1)
	a.element(math.MaxUint32)
}

// int8of, float8of and boolOf return parameters that are single values.
func int8of(v int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)) }

func float8of(v float64) []byte { return int8of(int64(math.Float64bits(v))) }

func boolOf(v bool) []byte {
	if v {
		return []byte{1}
	}
	return []byte{0}
}
