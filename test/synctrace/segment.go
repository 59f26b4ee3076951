package synctrace

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strconv"
	"strings"
)

// segments are those of a journal as they are on the disk, and the end of the chain of batches.
type segments struct {
	files  map[string]*segment
	number uint64 // of the last batch that counts; 0 before the first one
	sum    uint32 // its checksum
}

// A segment is a sequence of batches. Each begins at a block of 4096 octets. The rest of its last
// block is not read.
//
//	 0  4  magic
//	 4  4  CRC-32C of what follows
//	 8  8  identifier of the store
//	16  4  number of the segment, as in the file's name
//	20  4  checksum of the batch before, in this segment or in the last one
//	24  8  number, one more than that of the batch before
//	32 16  not read here
//	48  4  length of the records
//	       records, each a length of 2 octets, a key and a value
//
// A segment that is used again still has old batches. They have another segment number, so dhcp4d
// does not take them for new ones. Here a segment is empty at first.
type segment struct {
	all     *segments
	number  uint32
	content []byte
	read    int
}

const (
	segmentPrefix = "segment-"
	segmentBlock  = 4096
	segmentMagic  = 0x5ab81fe3
	segmentHeader = 52
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// file returns the segment with that path, or nil if the name is not that of a segment.
func (s *segments) file(path string) *segment {
	number, err := strconv.ParseUint(strings.TrimPrefix(filepath.Base(path), segmentPrefix), 10, 32)
	if err != nil {
		return nil
	}
	if s.files == nil {
		s.files = make(map[string]*segment)
	}
	f := s.files[path]
	if f == nil {
		f = &segment{all: s, number: uint32(number)}
		s.files[path] = f
	}
	return f
}

// durable reads the batches that are complete and next in the chain, now that b is on the disk, and
// calls fn for every binding.
func (s *segment) durable(b []byte, at int64, fn func(binding)) error {
	if end := int(at) + len(b); end > len(s.content) {
		s.content = append(s.content, make([]byte, end-len(s.content))...)
	}
	copy(s.content[at:], b)
	for s.read+segmentHeader <= len(s.content) {
		head := s.content[s.read:]
		length := int(binary.BigEndian.Uint32(head[48:]))
		if binary.BigEndian.Uint32(head) != segmentMagic || length > len(head)-segmentHeader {
			return nil
		}
		whole := head[:segmentHeader+length]
		sum := binary.BigEndian.Uint32(whole[4:])
		if crc32.Checksum(whole[8:], castagnoli) != sum || binary.BigEndian.Uint32(whole[16:]) != s.number {
			return nil
		}
		number, before := binary.BigEndian.Uint64(whole[24:]), binary.BigEndian.Uint32(whole[20:])
		if s.all.number != 0 && (number != s.all.number+1 || before != s.all.sum) {
			return nil // dhcp4d would read no further at its start
		}
		s.all.number, s.all.sum = number, sum
		s.read += (len(whole) + segmentBlock - 1) / segmentBlock * segmentBlock
		if err := records(whole[segmentHeader:], fn); err != nil {
			return err
		}
	}
	return nil
}

func records(b []byte, fn func(binding)) error {
	for len(b) > 0 {
		if len(b) < 2 {
			return errBatch
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; n < keyLen || n > len(b) || b[0] != kindBinding {
			return fmt.Errorf("%w: a record of %d octets", errBatch, n)
		}
		r, err := readBinding(b[:keyLen], b[keyLen:n])
		if err != nil {
			return err
		}
		fn(r)
		b = b[n:]
	}
	return nil
}
