package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/slowlock"
)

// A watermark is the number of a commit that was acknowledged. Without it, a log whose end was cut
// off or zeroed would look like one that was never written any further. It is written beside the
// commits, once a second while there are any, and when the store is closed. So it is exact after a
// stop. After a crash, the commits of the last second may be missing from it.
//
// The file dhcp4d-store.mark has two slots of 4096 octets. They are written in turn, so that a
// write that is cut short leaves the other one intact. A slot is filled up with zeros:
//
//	4  magic
//	4  CRC-32C of what follows, without the filling
//	8  store
//	8  number of this watermark; the slot with the higher number counts
//	8  last batch of a journal, last commit of a Pebble store
//	4  checksum of that batch; 0 with Pebble
//	4  newest segment file that has been made; 0 with Pebble
type watermark struct {
	store   storeID
	number  uint64
	batch   uint64
	sum     uint32
	segment uint32
}

const (
	watermarkName  = "dhcp4d-store.mark"
	watermarkMagic = 0x9d1c44e7
	watermarkLen   = 4 + 4 + 8 + 8 + 8 + 4 + 4
)

// slot returns the offset of the watermark in the file.
func (w *watermark) slot() int64 { return int64(w.number%2) * blockSize }

func (w *watermark) encode(slot []byte) {
	clear(slot)
	binary.BigEndian.PutUint32(slot, watermarkMagic)
	binary.BigEndian.PutUint64(slot[8:], uint64(w.store))
	binary.BigEndian.PutUint64(slot[16:], w.number)
	binary.BigEndian.PutUint64(slot[24:], w.batch)
	binary.BigEndian.PutUint32(slot[32:], w.sum)
	binary.BigEndian.PutUint32(slot[36:], w.segment)
	binary.BigEndian.PutUint32(slot[4:], crc32.Checksum(slot[8:watermarkLen], castagnoli))
}

// decodeWatermark reads one slot. It is not ok if the slot is not whole.
func decodeWatermark(slot []byte) (w watermark, ok bool) {
	if binary.BigEndian.Uint32(slot) != watermarkMagic ||
		binary.BigEndian.Uint32(slot[4:]) != crc32.Checksum(slot[8:watermarkLen], castagnoli) {
		return w, false
	}
	return watermark{
		store:   storeID(binary.BigEndian.Uint64(slot[8:])),
		number:  binary.BigEndian.Uint64(slot[16:]),
		batch:   binary.BigEndian.Uint64(slot[24:]),
		sum:     binary.BigEndian.Uint32(slot[32:]),
		segment: binary.BigEndian.Uint32(slot[36:]),
	}, true
}

// anyStore stands for a store whose label is damaged.
const anyStore = ^storeID(1)

// readWatermark reads the watermark of a store. The error is a *damage unless reading failed.
func readWatermark(fsys vfs.FS, dir string, store storeID) (newest watermark, err error) {
	broken := func(why string) error {
		return &damage{file: watermarkName, at: -1, why: why + ", so nobody knows whether the newest leases are there"}
	}
	content, err := readFile(fsys, dir, watermarkName, make([]byte, 2*blockSize+1))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return newest, broken("it is missing")
	case err != nil:
		return newest, &unreadableError{err}
	case len(content) != 2*blockSize:
		return newest, broken(fmt.Sprintf("its length is %d, not %d", len(content), 2*blockSize))
	}
	found := false
	for at := 0; at < len(content); at += blockSize {
		w, ok := decodeWatermark(content[at : at+blockSize])
		if ok && (!found || w.number > newest.number) {
			found, newest = true, w
		}
	}
	switch {
	case !found:
		return newest, broken("neither of its slots is whole")
	case newest.store != store && store != anyStore:
		return newest, broken(fmt.Sprintf("it is of store %v, the label dhcp4d-store says %v", newest.store, store))
	}
	return newest, nil
}

// newWatermark makes the file, and replaces one that exists.
func newWatermark(o Options, dir string, w watermark) error {
	scratch := o.FS.PathJoin(dir, watermarkName+".tmp")
	f, err := o.FS.Create(scratch, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	content := make([]byte, 2*blockSize)
	for w.number = 1; w.number <= 2; w.number++ {
		at := w.slot()
		w.encode(content[at : at+blockSize])
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := o.FS.Rename(scratch, o.FS.PathJoin(dir, watermarkName)); err != nil {
		return err
	}
	return syncDir(o.FS, dir)
}

// progress is how far the commits of a store have come: the last batch and its checksum.
type progress struct {
	batch uint64
	sum   uint32
}

// marker keeps the watermark of a store. Any goroutine may call it.
type marker struct {
	shared sync.Mutex
	acked  progress // guarded by shared

	mu   slowlock.Lock // held over the writing
	last watermark     // on disk
	file *blockFile    // nil while the store is not open for writing
	slot []byte
}

// note remembers that a batch has been acknowledged. It does not wait for the disk.
func (m *marker) note(p progress) {
	m.shared.Lock()
	m.acked = p
	m.shared.Unlock()
}

// open opens the file for writing. W is the watermark that was read from it.
func (m *marker) open(o Options, dir string, w watermark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := openBlockFile(o, o.FS.PathJoin(dir, watermarkName))
	if err != nil {
		return err
	}
	m.last, m.file = w, f
	if m.slot == nil {
		m.slot = newBlockBuffer(blockSize)
	}
	return nil
}

// flush writes the noted progress, if the watermark on disk is older.
func (m *marker) flush() error { return m.raise(0) }

// raise writes the noted progress, and that a segment exists, if the watermark on disk is older.
func (m *marker) raise(segment uint32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file == nil {
		return nil
	}
	m.shared.Lock()
	acked := m.acked
	m.shared.Unlock()
	next := m.last
	if acked.batch > next.batch {
		next.batch, next.sum = acked.batch, acked.sum
	}
	next.segment = max(next.segment, segment)
	if next == m.last {
		return nil
	}
	next.number++
	next.encode(m.slot)
	if err := m.file.write(m.slot, next.slot()); err != nil {
		return err
	}
	m.last = next
	return nil
}

// close writes the noted progress and closes the file.
func (m *marker) close() error {
	err := m.flush()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file == nil {
		return err
	}
	err = errors.Join(err, m.file.close())
	freeBlockBuffer(m.slot)
	m.file, m.slot = nil, nil
	return err
}
