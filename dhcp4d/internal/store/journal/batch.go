package journal

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
)

const (
	// batchSize is the most octets of one write.
	batchSize = 256 << 10

	batchMagic = 0x5ab81fe3
	headerLen  = 4 + 4 + 8 + 4 + 4 + 8 + 8 + 8 + 4
	lengthLen  = 2 // in front of a record
	maxRecords = 1<<16 - 1

	// Batches of format 1 are read, and never written.
	batchMagic1 = 0x34f6ba7c
	headerLen1  = 4 + 4 + 8 + 8 + 8 + 8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A batchHeader is the header of a batch, see the package comment.
type batchHeader struct {
	format  int // 1 or 2; 0 is no header
	number  uint64
	head    uint64     // the first batch that is still needed
	clock   lease.Time // the latest time that the store had seen
	octets  int        // of the records
	sum     uint32     // its checksum
	store   disk.ID    // format 2: the store that it belongs to
	segment uint32     // format 2: the number of the segment that it was written to
	before  uint32     // format 2: the checksum of the batch before
	after   uint64     // format 1: the batch that must be there if this one is to count
}

func (h *batchHeader) headerLen() int {
	if h.format == 1 {
		return headerLen1
	}
	return headerLen
}

// length returns how many octets the batch takes on disk.
func (h *batchHeader) length() int { return wholeBlocks(h.headerLen() + h.octets) }

func wholeBlocks(octets int) int {
	return (octets + disk.BlockSize - 1) / disk.BlockSize * disk.BlockSize
}

// parseBatchHeader reads the header at the start of b, and does not check the checksum. The format
// is 0 if there is no header.
func parseBatchHeader(b []byte) (h batchHeader) {
	if len(b) < headerLen {
		return h
	}
	switch binary.BigEndian.Uint32(b) {
	case batchMagic:
		h = batchHeader{
			format:  2,
			store:   disk.ID(binary.BigEndian.Uint64(b[8:])),
			segment: binary.BigEndian.Uint32(b[16:]),
			before:  binary.BigEndian.Uint32(b[20:]),
			number:  binary.BigEndian.Uint64(b[24:]),
			head:    binary.BigEndian.Uint64(b[32:]),
			clock:   lease.Time(binary.BigEndian.Uint64(b[40:])),
			octets:  int(binary.BigEndian.Uint32(b[48:])),
		}
	case batchMagic1:
		h = batchHeader{
			format: 1,
			number: binary.BigEndian.Uint64(b[8:]),
			after:  binary.BigEndian.Uint64(b[16:]),
			head:   binary.BigEndian.Uint64(b[24:]),
			clock:  lease.Time(binary.BigEndian.Uint64(b[32:])),
			octets: int(binary.BigEndian.Uint32(b[40:])),
		}
	}
	h.sum = binary.BigEndian.Uint32(b[4:])
	return h
}

// parseBatch reads the header of the batch at the start of b. The format is 0 if there is no whole
// batch.
func parseBatch(b []byte) (h batchHeader) {
	h = parseBatchHeader(b)
	end := h.headerLen() + h.octets
	if h.format == 0 || h.number == 0 || end > len(b) || crc32.Checksum(b[8:end], castagnoli) != h.sum {
		return batchHeader{}
	}
	return h
}

// seal writes the header in front of the records of the batch b, fills its last block with zeros,
// and returns the whole batch and its checksum.
func seal(b []byte, h *batchHeader) (whole []byte, sum uint32) {
	whole = b[:wholeBlocks(len(b))]
	clear(whole[len(b):])
	binary.BigEndian.PutUint32(whole, batchMagic)
	binary.BigEndian.PutUint64(whole[8:], uint64(h.store))
	binary.BigEndian.PutUint32(whole[16:], h.segment)
	binary.BigEndian.PutUint32(whole[20:], h.before)
	binary.BigEndian.PutUint64(whole[24:], h.number)
	binary.BigEndian.PutUint64(whole[32:], h.head)
	binary.BigEndian.PutUint64(whole[40:], uint64(h.clock))
	binary.BigEndian.PutUint32(whole[48:], uint32(len(b)-headerLen))
	sum = crc32.Checksum(b[8:], castagnoli)
	binary.BigEndian.PutUint32(whole[4:], sum)
	return whole, sum
}

// recordLen returns how many octets appendRecord appends.
func recordLen(r *lease.Binding) int { return lengthLen + store.KeyLen + store.ValueLen(r) }

func appendRecord(b []byte, r *lease.Binding) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(store.KeyLen+store.ValueLen(r)))
	return store.AppendValue(store.AppendKey(b, r), r)
}

// appendCopy appends a record that was read from a segment.
func appendCopy(b, record []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(record))), record...)
}

// A cursor iterates over the records of a segment. All of its batches must be whole.
type cursor struct {
	content []byte
	at, end int // in the current batch
}

// next returns the next record, nil behind the last.
func (c *cursor) next() []byte {
	for c.at == c.end {
		c.at = wholeBlocks(c.at)
		if c.at >= len(c.content) {
			return nil
		}
		h := parseBatchHeader(c.content[c.at:])
		c.at += h.headerLen()
		c.end = c.at + h.octets
	}
	if c.end-c.at < lengthLen {
		return c.rest(c.at)
	}
	n := int(binary.BigEndian.Uint16(c.content[c.at:]))
	start := c.at + lengthLen
	if n > c.end-start {
		return c.rest(start)
	}
	c.at = start + n
	return c.content[start:c.at:c.at]
}

// rest returns what is left of a batch: it is too short for a record.
func (c *cursor) rest(start int) []byte {
	c.at = c.end
	return c.content[start:c.end:c.end]
}
