package pgtest

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/jackc/pgx/v5/pgtype"
)

// The parameters of a statement are in PostgreSQL's binary format: integers are big-endian.

func (c *call) int8(n int) int64 { return int64(binary.BigEndian.Uint64(c.args[n-1])) }

func (c *call) int2(n int) int16 { return int16(binary.BigEndian.Uint16(c.args[n-1])) }

func (c *call) truth(n int) bool { return c.args[n-1][0] != 0 }

func (c *call) float8(n int) float64 {
	return math.Float64frombits(binary.BigEndian.Uint64(c.args[n-1]))
}

func (c *call) text(n int) string { return string(c.args[n-1]) }

// elements returns the elements of an array with one dimension. NULL is nil.
func (c *call) elements(n int) (list [][]byte) {
	b := c.args[n-1]
	if binary.BigEndian.Uint32(b) == 0 {
		return nil // no dimension
	}
	count := int(binary.BigEndian.Uint32(b[12:]))
	b = b[20:]
	for range count {
		length := int32(binary.BigEndian.Uint32(b))
		b = b[4:]
		if length < 0 {
			list = append(list, nil)
			continue
		}
		list = append(list, append([]byte{}, b[:length]...))
		b = b[length:]
	}
	return list
}

func (c *call) int8s(n int) (list []int64) {
	for _, e := range c.elements(n) {
		list = append(list, int64(binary.BigEndian.Uint64(e)))
	}
	return list
}

func (c *call) int2s(n int) (list []int16) {
	for _, e := range c.elements(n) {
		list = append(list, int16(binary.BigEndian.Uint16(e)))
	}
	return list
}

// encode returns a value of a result in one of the formats of PostgreSQL.
func encode(v any, binaryFormat bool) []byte {
	if !binaryFormat {
		switch v := v.(type) {
		case nil:
			return nil
		case string:
			return []byte(v)
		case int64:
			return strconv.AppendInt([]byte{}, v, 10)
		case bool:
			if v {
				return []byte("t")
			}
			return []byte("f")
		}
		panic(fmt.Sprintf("pgtest: %T as text", v))
	}
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		return append([]byte{}, v...)
	case []byte:
		if v == nil {
			return nil
		}
		return append([]byte{}, v...)
	case int64:
		return binary.BigEndian.AppendUint64(nil, uint64(v))
	case int16:
		return binary.BigEndian.AppendUint16(nil, uint16(v))
	case float64:
		return binary.BigEndian.AppendUint64(nil, math.Float64bits(v))
	case bool:
		if v {
			return []byte{1}
		}
		return []byte{0}
	case []int64:
		if v == nil {
			return nil
		}
		b := binary.BigEndian.AppendUint32(nil, 1)
		b = binary.BigEndian.AppendUint32(b, 0)
		b = binary.BigEndian.AppendUint32(b, pgtype.Int8OID)
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = binary.BigEndian.AppendUint32(b, 1)
		for _, e := range v {
			b = binary.BigEndian.AppendUint32(b, 8)
			b = binary.BigEndian.AppendUint64(b, uint64(e))
		}
		return b
	}
	panic(fmt.Sprintf("pgtest: %T in binary format", v))
}
