package journal

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
)

// A segment describes a file of the journal.
type segment struct {
	name        string
	number      uint32
	format      int    // of its batches
	first, last uint64 // batches; first 0 is none
	before      uint32 // format 2: the checksum of the batch before the first
	after       uint64 // format 1: the batch that must be there before the first
	sum         uint32 // the checksum of the last batch
	end         int    // of the last batch
	records     int    // in all batches
	octets      int    // of the records
	live        int    // records to which the index points
}

const (
	segmentPrefix = "segment-"
	segmentSize   = 4 << 20
	smallSize     = 16 * disk.BlockSize
)

func segmentName(number uint32) string { return fmt.Sprintf("%s%010d", segmentPrefix, number) }

// segmentNumber returns the number in a name that segmentName has made.
func segmentNumber(name string) (number uint32, ok bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(name, segmentPrefix), 10, 32)
	return uint32(n), err == nil && segmentName(uint32(n)) == name
}

// following returns the number of the next segment. It skips numbers whose low half is 0, because
// position 0 is none.
func following(number uint32) uint32 {
	if number++; uint16(number) == 0 {
		number++
	}
	return number
}

// segmentNames returns the names of the segments' files, in the order of their numbers.
func segmentNames(fsys vfs.FS, dir string) ([]string, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !isSegment(name) })
	slices.Sort(names)
	return names, nil
}

func isSegment(name string) bool {
	_, ok := segmentNumber(name)
	return ok
}

// readSegment reads the batches of a segment into b, which must have the room.
func readSegment(fsys vfs.FS, dir string, s *segment, b []byte) ([]byte, error) {
	b, err := disk.ReadFile(fsys, dir, s.name, b[:s.end])
	if err == nil && len(b) < s.end {
		err = fmt.Errorf("%s has been cut", s.name)
	}
	return b, err
}
