package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

const (
	// blockSize is what a write is a multiple of: no disk has larger sectors.
	blockSize = 4096
	// batchSize bounds what one write takes.
	batchSize = 256 << 10

	headerLen  = 4 + 4 + 8 + 8 + 8 + 8 + 4
	batchMagic = 0x34f6ba7c
	lengthLen  = 2 // in front of a record
	maxRecords = 1<<16 - 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A batchHeader is what a batch says of itself.
type batchHeader struct {
	number uint64
	after  uint64     // the batch that must be there if this one is to count
	head   uint64     // the first batch that is still needed
	clock  lease.Time // the latest time that the store had seen
	octets int        // of the records
}

// length is that of the whole batch on disk.
func (h batchHeader) length() int {
	return (headerLen + h.octets + blockSize - 1) / blockSize * blockSize
}

// newBatchBuffer is memory as writes that bypass the page cache want it: whole
// pages, which the garbage collector does not know.
func newBatchBuffer(segment int) []byte {
	b, err := unix.Mmap(-1, 0, min(batchSize, segment), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("store: no memory for a batch: %v", err))
	}
	return b
}

// recordLen is what appendRecord appends.
func recordLen(r *lease.Binding) int { return lengthLen + keyLen + valueLen(r) }

func appendRecord(b []byte, r *lease.Binding) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(keyLen+valueLen(r)))
	return appendValue(appendKey(b, r), r)
}

func appendRaw(b, record []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(record))), record...)
}

// seal writes the header of the batch b, fills its last block with zeros and
// returns the whole.
func seal(b []byte, h batchHeader) []byte {
	h.octets = len(b) - headerLen
	whole := b[:h.length()]
	clear(whole[len(b):])
	binary.BigEndian.PutUint32(whole, batchMagic)
	binary.BigEndian.PutUint64(whole[8:], h.number)
	binary.BigEndian.PutUint64(whole[16:], h.after)
	binary.BigEndian.PutUint64(whole[24:], h.head)
	binary.BigEndian.PutUint64(whole[32:], uint64(h.clock))
	binary.BigEndian.PutUint32(whole[40:], uint32(h.octets))
	binary.BigEndian.PutUint32(whole[4:], crc32.Checksum(b[8:], castagnoli))
	return whole
}

// parseBatch reads the header of the batch that b begins with; its number is 0
// when there is none, or none that is whole.
func parseBatch(b []byte) (h batchHeader) {
	if len(b) < headerLen || binary.BigEndian.Uint32(b) != batchMagic {
		return h
	}
	octets := int(binary.BigEndian.Uint32(b[40:]))
	if octets > len(b)-headerLen || crc32.Checksum(b[8:headerLen+octets], castagnoli) != binary.BigEndian.Uint32(b[4:]) {
		return h
	}
	return batchHeader{
		number: binary.BigEndian.Uint64(b[8:]),
		after:  binary.BigEndian.Uint64(b[16:]),
		head:   binary.BigEndian.Uint64(b[24:]),
		clock:  lease.Time(binary.BigEndian.Uint64(b[32:])),
		octets: octets,
	}
}

// A cursor goes through the records of a segment whose batches are known to
// be whole.
type cursor struct {
	content []byte
	at, end int // in the batch at hand
}

// next is the next record, nil behind the last.
func (c *cursor) next() []byte {
	for c.at == c.end {
		c.at = (c.at + blockSize - 1) / blockSize * blockSize
		if c.at >= len(c.content) {
			return nil
		}
		c.end = c.at + headerLen + int(binary.BigEndian.Uint32(c.content[c.at+40:]))
		c.at += headerLen
	}
	n := int(binary.BigEndian.Uint16(c.content[c.at:]))
	record := c.content[c.at+lengthLen:][:n:n]
	c.at += lengthLen + n
	return record
}

func segmentName(number uint32) string { return fmt.Sprintf("segment-%010d", number) }

// segmentNames are the files of segments, in the order of their numbers.
func segmentNames(fsys vfs.FS, dir string) ([]string, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, "segment-") })
	slices.Sort(names)
	return names, nil
}

// readFile reads the beginning of a file, or all of it, into b.
func readFile(fsys vfs.FS, dir, name string, b []byte) ([]byte, error) {
	f, err := fsys.Open(fsys.PathJoin(dir, name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return b[:n], nil
}

// readSegment reads what counts of a segment into b, which has the room.
func readSegment(fsys vfs.FS, dir string, s *segment, b []byte) ([]byte, error) {
	b, err := readFile(fsys, dir, s.name, b[:s.end])
	if err == nil && len(b) < s.end {
		err = fmt.Errorf("%s has been cut", s.name)
	}
	return b, err
}

// newSegment makes a file for writing whose blocks are all there, so that a
// write to it changes nothing but them: old, if there is one, under its new
// name, or a new file of zeros.
func newSegment(o Options, dir, old, name string, size int) (*blockFile, error) {
	path := o.fs.PathJoin(dir, name)
	if old != "" {
		if err := o.fs.Rename(o.fs.PathJoin(dir, old), path); err != nil {
			return nil, err
		}
	} else if err := zeros(o, path, size); err != nil {
		return nil, err
	}
	if err := syncDir(o.fs, dir); err != nil {
		return nil, err
	}
	return openBlockFile(o, path)
}

// zeros makes a file of zeros that is on disk as it is.
func zeros(o Options, path string, size int) error {
	if o.fs == vfs.Default && !o.noSync {
		// Past the page cache too: there it would cost more than all the
		// batches that come to lie in it.
		if err := directZeros(path, size); !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	f, err := o.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, size))
	return errors.Join(err, f.Sync(), f.Close())
}

// A blockFile is written in whole blocks, each write durable when it returns.
type blockFile struct {
	direct *direct  // where the kernel can write past its cache
	file   vfs.File // elsewhere
	noSync bool
}

func openBlockFile(o Options, path string) (*blockFile, error) {
	if o.fs == vfs.Default && !o.noSync {
		if d, err := openDirect(path); err == nil {
			return &blockFile{direct: d}, nil
		}
	}
	f, err := o.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	return &blockFile{file: f, noSync: o.noSync}, nil
}

func (f *blockFile) write(b []byte, at int64) error {
	if f.direct != nil {
		return f.direct.write(b, at)
	}
	if _, err := f.file.WriteAt(b, at); err != nil || f.noSync {
		return err
	}
	return f.file.SyncData()
}

func (f *blockFile) close() error {
	if f.direct != nil {
		return f.direct.close()
	}
	return f.file.Close()
}
