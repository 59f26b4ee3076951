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

// A Watermark is the number of a commit that was acknowledged. Without it, a log whose end was cut
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
type Watermark struct {
	Batch   uint64
	Sum     uint32
	Segment uint32

	store  ID
	number uint64
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	watermarkName  = "dhcp4d-store.mark"
	watermarkMagic = 0x9d1c44e7
	watermarkLen   = 4 + 4 + 8 + 8 + 8 + 4 + 4
)

// slot returns the offset of the watermark in the file.
func (w *Watermark) slot() int64 { return int64(w.number%2) * BlockSize }

func (w *Watermark) encode(slot []byte) {
	clear(slot)
	binary.BigEndian.PutUint32(slot, watermarkMagic)
	binary.BigEndian.PutUint64(slot[8:], uint64(w.store))
	binary.BigEndian.PutUint64(slot[16:], w.number)
	binary.BigEndian.PutUint64(slot[24:], w.Batch)
	binary.BigEndian.PutUint32(slot[32:], w.Sum)
	binary.BigEndian.PutUint32(slot[36:], w.Segment)
	binary.BigEndian.PutUint32(slot[4:], crc32.Checksum(slot[8:watermarkLen], castagnoli))
}

// decodeWatermark reads one slot. It is not ok if the slot is not whole.
func decodeWatermark(slot []byte) (w Watermark, ok bool) {
	if binary.BigEndian.Uint32(slot) != watermarkMagic ||
		binary.BigEndian.Uint32(slot[4:]) != crc32.Checksum(slot[8:watermarkLen], castagnoli) {
		return w, false
	}
	return Watermark{
		store:   ID(binary.BigEndian.Uint64(slot[8:])),
		number:  binary.BigEndian.Uint64(slot[16:]),
		Batch:   binary.BigEndian.Uint64(slot[24:]),
		Sum:     binary.BigEndian.Uint32(slot[32:]),
		Segment: binary.BigEndian.Uint32(slot[36:]),
	}, true
}

// anyStore stands for a store whose label is damaged.
const anyStore = ^ID(1)

// readWatermark reads the watermark of a store. The error is a *Damage unless reading failed.
func readWatermark(fsys vfs.FS, dir string, store ID) (newest Watermark, err error) {
	broken := func(why string) error {
		return &Damage{File: watermarkName, At: -1, Why: why + ", so nobody knows whether the newest leases are there"}
	}
	content, err := ReadFile(fsys, dir, watermarkName, make([]byte, 2*BlockSize+1))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return newest, broken("it is missing")
	case err != nil:
		return newest, Unreadable(err)
	case len(content) != 2*BlockSize:
		return newest, broken(fmt.Sprintf("its length is %d, not %d", len(content), 2*BlockSize))
	}
	found := false
	for at := 0; at < len(content); at += BlockSize {
		w, ok := decodeWatermark(content[at : at+BlockSize])
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
func newWatermark(fsys vfs.FS, dir string, w Watermark) error {
	scratch := fsys.PathJoin(dir, watermarkName+".tmp")
	f, err := fsys.Create(scratch, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	content := make([]byte, 2*BlockSize)
	for w.number = 1; w.number <= 2; w.number++ {
		at := w.slot()
		w.encode(content[at : at+BlockSize])
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(scratch, fsys.PathJoin(dir, watermarkName)); err != nil {
		return err
	}
	return SyncDir(fsys, dir)
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
	last Watermark     // on disk
	file *BlockFile    // nil while the store is not open for writing
	slot []byte
}

// note remembers that a batch has been acknowledged. It does not wait for the disk.
func (m *marker) note(p progress) {
	m.shared.Lock()
	m.acked = p
	m.shared.Unlock()
}

// open opens the file for writing. W is the watermark that was read from it.
func (m *marker) open(fsys vfs.FS, dir string, w Watermark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := OpenBlockFile(fsys, fsys.PathJoin(dir, watermarkName))
	if err != nil {
		return err
	}
	m.last, m.file = w, f
	if m.slot == nil {
		m.slot = NewBlockBuffer(BlockSize)
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
	if acked.batch > next.Batch {
		next.Batch, next.Sum = acked.batch, acked.sum
	}
	next.Segment = max(next.Segment, segment)
	if next == m.last {
		return nil
	}
	next.number++
	next.encode(m.slot)
	if err := m.file.Write(m.slot, next.slot()); err != nil {
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
	err = errors.Join(err, m.file.Close())
	FreeBlockBuffer(m.slot)
	m.file, m.slot = nil, nil
	return err
}
