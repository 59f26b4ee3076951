package strace

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// segments are those of a journal as they are on the disk.
type segments struct {
	files   map[string]*segment
	highest uint64 // number of a batch that counts
}

// A segment is batches, each beginning at a block of 4096 octets. What a block
// has left is not looked at.
//
//	 0  4  magic
//	 4  4  CRC-32C of what follows
//	 8  8  number, one more than that of the batch before in this segment
//	16  8  the batch that must be there if this one is to count
//	24 16  what is of no concern here
//	40  4  length of the records
//	       records, each a length of 2 octets, a key and a value
//
// A file that is used again still has its old batches, which no start would
// take for new; here it begins as if it were empty.
type segment struct {
	all     *segments
	content []byte
	read    int
	last    uint64
}

const (
	segmentBlock  = 4096
	segmentMagic  = 0x34f6ba7c
	segmentHeader = 44
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *segments) file(name string) *segment {
	if s.files == nil {
		s.files = make(map[string]*segment)
	}
	f := s.files[name]
	if f == nil {
		f = &segment{all: s}
		s.files[name] = f
	}
	return f
}

// durable reads the batches that are whole, in a row from the beginning, now
// that b is there, and calls fn for every binding.
func (s *segment) durable(b []byte, at int64, fn func(binding)) error {
	if end := int(at) + len(b); end > len(s.content) {
		s.content = append(s.content, make([]byte, end-len(s.content))...)
	}
	copy(s.content[at:], b)
	for s.read+segmentHeader <= len(s.content) {
		head := s.content[s.read:]
		length := int(binary.BigEndian.Uint32(head[40:]))
		if binary.BigEndian.Uint32(head) != segmentMagic || length > len(head)-segmentHeader {
			return nil
		}
		whole := head[:segmentHeader+length]
		if crc32.Checksum(whole[8:], castagnoli) != binary.BigEndian.Uint32(whole[4:]) {
			return nil
		}
		number, after := binary.BigEndian.Uint64(whole[8:]), binary.BigEndian.Uint64(whole[16:])
		if s.last != 0 && number != s.last+1 || s.all.highest != 0 && after > s.all.highest {
			return nil // a start would end before it
		}
		s.last, s.all.highest = number, max(s.all.highest, number)
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
