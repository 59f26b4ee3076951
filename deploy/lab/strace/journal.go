package strace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// journal is a log of Pebble as it was written. It is made of blocks of 32
// KiB, a block of chunks; a chunk does not cross the end of its block:
//
//	4  checksum
//	2  length, little-endian
//	1  type: 1 to 4 whole, first, middle, last part of a batch; 5 to 8 the
//	   same with, after this octet, 4 octets of the log's number; 9 to 12 with
//	   8 more, how much of the log is synced
//	   content
//
// Where no chunk fits the block ends in zeros.
type journal struct {
	written []byte
	read    int    // of written
	batch   []byte // parts so far
}

const blockSize = 32 << 10

var headers = [...]int{0, 7, 11, 19} // by group of types

// durable reads the batches that are complete in the first n octets and calls
// fn for every binding: its address, and when it ends.
func (j *journal) durable(n int, fn func(address [4]byte, ends int64)) error {
	for {
		left := blockSize - j.read%blockSize
		if left < headers[1] || j.read+headers[1] > n || j.written[j.read+6] == 0 {
			if j.read+left > n {
				return nil
			}
			j.read += left
			continue
		}
		kind := int(j.written[j.read+6])
		if kind > 12 {
			return fmt.Errorf("chunk of type %d at %d", kind, j.read)
		}
		header := headers[(kind-1)/4+1]
		length := int(binary.LittleEndian.Uint16(j.written[j.read+4:]))
		end := j.read + header + length
		if end > n {
			return nil
		}
		content := j.written[j.read+header : end]
		j.read = end
		switch part := (kind - 1) % 4; part {
		case 0, 1:
			j.batch = append(j.batch[:0], content...)
		default:
			j.batch = append(j.batch, content...)
		}
		if part := (kind - 1) % 4; part == 0 || part == 3 {
			if err := bindings(j.batch, fn); err != nil {
				return err
			}
		}
	}
}

// The kinds of operation in a batch, and of record in the store.
const (
	opDelete = 0
	opSet    = 1

	kindBinding = 1
)

var errBatch = errors.New("a batch in the log cannot be read")

// bindings reads a batch: 12 octets of header, then operations, each a kind, a
// key and, where it sets something, a value. A binding's key is kind, address,
// port set; octet 24 of its value begins the time that it ends.
func bindings(b []byte, fn func(address [4]byte, ends int64)) error {
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
		if op != opDelete && op != opSet {
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
		if len(key) != 9 || key[0] != kindBinding {
			continue
		}
		if len(value) < 32 || value[0] != 1 {
			return fmt.Errorf("%w: a binding of version %d", errBatch, value[0])
		}
		fn([4]byte(key[1:]), int64(binary.BigEndian.Uint64(value[24:])))
	}
	return nil
}
