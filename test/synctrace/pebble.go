package synctrace

import (
	"encoding/binary"
	"fmt"
	"math"
)

// pebbleLog is a log of Pebble as it is on the disk. It consists of blocks of 32 KiB, which consist
// of chunks. No chunk crosses the end of its block:
//
//	4  checksum
//	2  length, little-endian
//	1  type: 1 to 4 whole, first, middle, last part of a batch; 5 to 8 the
//	   same with, after this octet, 4 octets of the log's number; 9 to 12 with
//	   8 more, how much of the log is synced
//	   content
//
// If no chunk fits into the rest of a block, the rest is zeros.
type pebbleLog struct {
	written []byte
	read    int    // of written
	batch   []byte // parts so far
}

const chunkBlock = 32 << 10

var headers = [...]int{0, 7, 11, 19} // by group of types

// durable reads the batches that are complete now that b is there too, and calls fn for every
// binding.
func (l *pebbleLog) durable(b []byte, at int64, fn func(binding)) error {
	if at != int64(len(l.written)) {
		return fmt.Errorf("a write at offset %d of a log of %d octets is not expected", at, len(l.written))
	}
	l.written = append(l.written, b...)
	for {
		left := chunkBlock - l.read%chunkBlock
		if left < headers[1] || l.read+headers[1] > len(l.written) || l.written[l.read+6] == 0 {
			if l.read+left > len(l.written) {
				return nil
			}
			l.read += left
			continue
		}
		kind := int(l.written[l.read+6])
		if kind > 12 {
			return fmt.Errorf("chunk of type %d at %d", kind, l.read)
		}
		header := headers[(kind-1)/4+1]
		if l.read+header > len(l.written) {
			return nil
		}
		length := int(binary.LittleEndian.Uint16(l.written[l.read+4:]))
		end := l.read + header + length
		if end > len(l.written) {
			return nil
		}
		content := l.written[l.read+header : end]
		l.read = end
		switch part := (kind - 1) % 4; part {
		case 0, 1:
			l.batch = append(l.batch[:0], content...)
		default:
			l.batch = append(l.batch, content...)
		}
		if part := (kind - 1) % 4; part == 0 || part == 3 {
			if err := operations(l.batch, fn); err != nil {
				return err
			}
		}
	}
}

// The kinds of operation in a batch.
const (
	opDelete = 0
	opSet    = 1
	opMerge  = 2 // of a value with the one that is there
)

// operations reads a batch: 12 octets of header, then operations. An operation is a kind, a key
// and, if it sets or merges, a value.
func operations(b []byte, fn func(binding)) error {
	if len(b) == 0 { // the end of a log that was closed
		return nil
	}
	if len(b) < 12 {
		return errBatch
	}
	b = b[12:]
	field := func() ([]byte, bool) {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > math.MaxInt32 || len(b) < used+int(n) {
			return nil, false
		}
		f := b[used : used+int(n)]
		b = b[used+int(n):]
		return f, true
	}
	for len(b) > 0 {
		op := b[0]
		b = b[1:]
		if op > opMerge {
			return fmt.Errorf("%w: operation %d", errBatch, op)
		}
		key, ok := field()
		if !ok {
			return errBatch
		}
		if op == opDelete {
			continue
		}
		value, ok := field()
		if !ok {
			return errBatch
		}
		if len(key) != keyLen || key[0] != kindBinding {
			continue
		}
		r, err := readBinding(key, value)
		if err != nil {
			return err
		}
		fn(r)
	}
	return nil
}
