package spool

import (
	"encoding/binary"
	"hash/crc32"
	"iter"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// kept is a record of a file, from and to so many octets.
type kept struct {
	record   []byte
	stamp    int64
	from, to int
}

// records returns the records of the file that begins at a position. It passes over what is none.
func records(octets []byte, start uint64) iter.Seq[kept] {
	return func(yield func(kept) bool) {
		for n := 0; len(octets)-n >= cursorAt+CursorLen; {
			budget.Spend(1)
			k, ok := recordAt(octets, n, start)
			if !ok {
				n++
				continue
			}
			if !yield(k) {
				return
			}
			n = k.to
		}
	}
}

// recordAt returns the record that begins n octets behind the start of a file. The position that it
// holds is compared first: the CRC of each length that could be one would cost too much.
func recordAt(octets []byte, n int, start uint64) (kept, bool) {
	record, whole, wrong := outside.Next(octets[n:], outside.MaxFromDaemon)
	to := n + len(record) + trailerLen
	if wrong != outside.None || !whole || len(record) < cursorAt+CursorLen || len(octets) < to ||
		binary.BigEndian.Uint64(record[cursorAt+numberLen:]) != start+uint64(to) {
		return kept{}, false
	}
	budget.Spend(len(record))
	if binary.BigEndian.Uint32(octets[to-4:]) != crc32.Checksum(octets[n:to-4], castagnoli) {
		return kept{}, false
	}
	if _, wrong := outside.Parse(record); wrong != outside.None {
		return kept{}, false
	}
	return kept{record, int64(binary.BigEndian.Uint64(octets[to-trailerLen:])), n, to}, true
}
