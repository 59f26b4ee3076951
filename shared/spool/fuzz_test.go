package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

// placed appends an event to a file that begins at a position, as a spool writes it.
func placed(file []byte, start uint64, name string) []byte {
	from := len(file)
	e := outside.Event{Cursor: make([]byte, CursorLen), Event: name, State: "bound"}
	file = e.Append(file)
	binary.BigEndian.PutUint64(file[from+cursorAt+numberLen:], start+uint64(len(file)+trailerLen))
	file = binary.BigEndian.AppendUint64(file, 7)
	return binary.BigEndian.AppendUint32(file, crc32.Checksum(file[from:], castagnoli))
}

// broken are what may stand between two records.
func broken() [][]byte {
	good := placed(nil, 1000, "renewed")
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	return [][]byte{{}, good, good[:len(good)-1], flipped, make([]byte, 300), bytes.Repeat([]byte{0, 0, 0, 60, 1}, 40)}
}

// FuzzRecords: whatever stands between two records of a file, both are found, as they were written,
// and nothing is found where no record is.
func FuzzRecords(f *testing.F) {
	for _, b := range broken() {
		f.Add(b, uint64(1000))
	}
	f.Fuzz(func(t *testing.T, between []byte, start uint64) {
		file := placed(nil, start, "allocated")
		first := len(file)
		file = append(file, between...)
		second := len(file)
		file = placed(file, start, "released")
		var found []string
		end := 0
		for k := range records(file, start) {
			if k.from < end || k.to > len(file) || !bytes.Equal(k.record, file[k.from:k.to-trailerLen]) {
				t.Fatalf("%+v behind %d", k, end)
			}
			end = k.to
			if k.from == 0 || k.from == second {
				r, _ := outside.Parse(k.record)
				found = append(found, r.Event().Event)
			} else if k.from < first {
				t.Fatalf("%+v is inside of the first one", k)
			}
		}
		if len(found) != 2 || found[0] != "allocated" || found[1] != "released" || end != len(file) {
			t.Fatalf("found %v, to %d of %d", found, end, len(file))
		}
	})
}
