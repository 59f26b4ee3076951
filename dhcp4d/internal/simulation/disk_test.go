package simulation

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// sector is the number of octets that a disk writes whole or not at all.
const sector = 512

// capacity is the number of octets that all files of a disk may take.
const capacity = 1 << 40

// A disk is a file system in memory: a cache, and a medium behind it. Data that is not synced is in
// the cache only. A power cut keeps any of its sectors, in any order. It keeps the first few of the
// directory changes that are not synced. An open file stays usable after its name is removed.
//
// Every call takes time by the clock of the bubble, and has its effect at the end of that time. How
// long depends on the seed, the call and the moment, so two runs of one seed make the same calls at
// the same times.
type disk struct {
	seed uint64
	mu   sync.Mutex // never held over a sleep
	root *inode
	open int // files that are open
	made int // inodes so far, for their numbers

	faults diskFaults
	// Planted faults.
	noSync bool   // a sync does nothing
	ghost  bool   // a deleted directory can still be found
	gone   *inode // that directory
}

// diskFaults are the present faults of a disk. A disk with files -1 and zeros has none.
type diskFaults struct {
	errors  float64       // share of the writes, syncs and changes of directories that fail with EIO
	reads   float64       // share of the reads that fail with EIO
	full    bool          // no file can grow
	files   int           // files that can be opened in addition, -1 for any number
	limit   int           // the number of open files that follows from files
	slow    time.Duration // added to each call
	stopped time.Time     // until then no call returns
}

// caller is a process. The calls of a dead process fail and do nothing.
type caller struct{ dead bool }

// inode is a file or a directory. A nil entries is a file.
type inode struct {
	number int

	// A file: its content in the cache and on the medium, and the sectors that a sync would write.
	// A sector whose sync failed is not dirty any more: a read sees it, and no sync writes it.
	cached, durable []byte
	dirty           map[int]bool
	size            int // on the medium

	// A directory: its entries in the cache and on the medium, and the changes between them.
	entries, onDisk map[string]*inode
	changes         []change
}

// change is one operation on a directory: the new inodes of names. Nil removes a name.
type change map[string]*inode

func newDisk(seed uint64) *disk {
	d := &disk{seed: seed}
	d.faults.files = -1
	d.root = d.directory()
	return d
}

func (d *disk) directory() *inode {
	d.made++
	return &inode{number: d.made, entries: map[string]*inode{}, onDisk: map[string]*inode{}}
}

func (d *disk) file() *inode {
	d.made++
	return &inode{number: d.made, dirty: map[int]bool{}}
}

// chance returns a number from 0 to 1 that depends on the seed, what, and the moment. Two calls at
// the same moment for the same thing get the same number, because their order is not determined.
func (d *disk) chance(what string) float64 {
	return float64(hashOf(d.seed, what, uint64(time.Now().UnixNano()))>>11) / (1 << 53)
}

// hashOf mixes a seed, a text and a number.
func hashOf(seed uint64, text string, n uint64) uint64 {
	h := seed ^ 0xcbf29ce484222325
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 0x100000001b3
	}
	return rand.New(rand.NewPCG(h, n)).Uint64()
}

// handle is the disk as one process sees it.
type handle struct {
	*disk
	who *caller
}

// process returns the disk for a new process. Only one process may use a disk at a time.
func (d *disk) process() (*handle, *caller) {
	c := &caller{}
	return &handle{d, c}, c
}

// kinds of calls
const (
	callRead  = "read"
	callWrite = "write"
	callSync  = "sync"
	callName  = "name" // a change of a directory
	callOpen  = "open"
)

// begin makes the caller wait as long as the call takes, and locks the disk. If it returns an
// error, the call must fail with it.
func (h *handle) begin(kind, name string) error {
	d := h.disk
	d.mu.Lock()
	if h.who.dead {
		return syscall.EIO
	}
	base := 20*time.Microsecond + time.Duration(d.chance("wait "+kind+" "+name)*80_000)
	base += d.faults.slow
	d.mu.Unlock()
	time.Sleep(base)
	d.mu.Lock()
	for !h.who.dead && time.Now().Before(d.faults.stopped) {
		d.mu.Unlock()
		time.Sleep(100*time.Millisecond + time.Duration(hashOf(d.seed, name, uint64(base))%100_000))
		d.mu.Lock()
	}
	if h.who.dead {
		return syscall.EIO
	}
	share := d.faults.errors
	if kind == callRead {
		share = d.faults.reads
	}
	if kind != callOpen && share > 0 && d.chance("fail "+kind+" "+name) < share {
		return syscall.EIO
	}
	if kind == callOpen && d.faults.files >= 0 && d.open >= d.faults.limit {
		return syscall.EMFILE
	}
	return nil
}

func (d *disk) end() { d.mu.Unlock() }

// find returns the inode of a path, nil if there is none.
func (d *disk) find(name string) *inode {
	at := d.root
	for part := range strings.SplitSeq(strings.Trim(path.Clean(name), "/"), "/") {
		if part == "" || part == "." {
			continue
		}
		if at == nil || at.entries == nil {
			return nil
		}
		next := at.entries[part]
		if next == nil && d.ghost && at == d.root {
			next = d.gone
		}
		at = next
	}
	return at
}

// set gives a path another inode. Nil removes the path.
func (d *disk) set(name string, n *inode) error {
	dir := d.find(path.Dir(name))
	if dir == nil || dir.entries == nil {
		return syscall.ENOENT
	}
	dir.set(change{path.Base(name): n})
	return nil
}

func (n *inode) set(c change) {
	apply(n.entries, c)
	n.changes = append(n.changes, c)
}

func apply(entries map[string]*inode, c change) {
	for name, n := range c {
		if n == nil {
			delete(entries, name)
		} else {
			entries[name] = n
		}
	}
}

// says reports whether a file has a text in it, whatever the faults of the disk.
func (d *disk) says(text, name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.find(name)
	return n != nil && bytes.Contains(n.cached, []byte(text))
}

// used returns the number of octets of all files that have a name.
func (d *disk) used() int { return d.root.octets() }

func (n *inode) octets() (sum int) {
	if n.entries == nil {
		return len(n.cached)
	}
	for _, e := range n.entries {
		sum += e.octets()
	}
	return sum
}

// room reports whether a file may grow by so many octets.
func (d *disk) room(octets int) bool {
	if octets <= 0 {
		return true
	}
	if d.faults.full || d.used()+octets > capacity {
		return false
	}
	return true
}

// powerCut changes the disk as a power cut does.
func (d *disk) powerCut(rng *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = 0
	d.root.cut(rng, map[*inode]bool{})
}

func (n *inode) cut(rng *rand.Rand, done map[*inode]bool) {
	if done[n] {
		return
	}
	done[n] = true
	if n.entries == nil {
		size := n.size
		if rng.IntN(2) == 0 {
			size = len(n.cached)
		}
		after := make([]byte, size)
		copy(after, n.durable)
		for _, s := range slices.Sorted(maps.Keys(n.dirty)) {
			if at := s * sector; at < size && rng.IntN(2) == 0 {
				copy(after[at:min(at+sector, size)], n.cached[at:])
			}
		}
		n.cached, n.durable, n.size = after, slices.Clone(after), size
		clear(n.dirty)
		return
	}
	for _, c := range n.changes[:rng.IntN(len(n.changes)+1)] {
		apply(n.onDisk, c)
	}
	n.changes, n.entries = nil, maps.Clone(n.onDisk)
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		n.entries[name].cut(rng, done)
	}
}

// sync makes what is in the cache durable.
func (n *inode) sync() {
	if n.entries != nil {
		for _, c := range n.changes {
			apply(n.onDisk, c)
		}
		n.changes = nil
		return
	}
	n.size = len(n.cached)
	if len(n.durable) < n.size {
		n.durable = append(n.durable, make([]byte, n.size-len(n.durable))...)
	}
	for s := range n.dirty {
		if at := s * sector; at < n.size {
			copy(n.durable[at:min(at+sector, n.size)], n.cached[at:])
		}
	}
	clear(n.dirty)
}

// Create implements vfs.FS.
func (h *handle) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	defer h.end()
	if err := h.begin(callOpen, name); err != nil {
		return nil, pathError("create", name, err)
	}
	if h.faults.full {
		return nil, pathError("create", name, syscall.ENOSPC)
	}
	n := h.file()
	if err := h.set(name, n); err != nil {
		return nil, pathError("create", name, err)
	}
	return h.opened(name, n), nil
}

func (h *handle) opened(name string, n *inode) *openFile {
	h.disk.open++
	return &openFile{h: h, name: name, node: n}
}

// Open implements vfs.FS.
func (h *handle) Open(name string, _ ...vfs.OpenOption) (vfs.File, error) {
	defer h.end()
	if err := h.begin(callOpen, name); err != nil {
		return nil, pathError("open", name, err)
	}
	n := h.find(name)
	if n == nil {
		return nil, pathError("open", name, syscall.ENOENT)
	}
	return h.opened(name, n), nil
}

// OpenReadWrite implements vfs.FS.
func (h *handle) OpenReadWrite(name string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	defer h.end()
	if err := h.begin(callOpen, name); err != nil {
		return nil, pathError("open", name, err)
	}
	n := h.find(name)
	if n == nil {
		n = h.file()
		if err := h.set(name, n); err != nil {
			return nil, pathError("open", name, err)
		}
	}
	return h.opened(name, n), nil
}

// OpenDir implements vfs.FS.
func (h *handle) OpenDir(name string) (vfs.File, error) { return h.Open(name) }

// Remove implements vfs.FS.
func (h *handle) Remove(name string) error {
	defer h.end()
	if err := h.begin(callName, name); err != nil {
		return pathError("remove", name, err)
	}
	if h.find(name) == nil {
		return pathError("remove", name, syscall.ENOENT)
	}
	return h.set(name, nil)
}

// RemoveAll implements vfs.FS.
func (h *handle) RemoveAll(name string) error {
	if err := h.Remove(name); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// Rename implements vfs.FS.
func (h *handle) Rename(from, to string) error {
	defer h.end()
	if err := h.begin(callName, to); err != nil {
		return pathError("rename", from, err)
	}
	n, dir := h.find(from), h.find(path.Dir(to))
	if n == nil || dir == nil {
		return pathError("rename", from, syscall.ENOENT)
	}
	if path.Dir(from) != path.Dir(to) {
		return pathError("rename", from, syscall.EXDEV)
	}
	dir.set(change{path.Base(from): nil, path.Base(to): n})
	return nil
}

// Link implements vfs.FS.
func (h *handle) Link(from, to string) error {
	defer h.end()
	if err := h.begin(callName, to); err != nil {
		return pathError("link", from, err)
	}
	n := h.find(from)
	if n == nil {
		return pathError("link", from, syscall.ENOENT)
	}
	return h.set(to, n)
}

// ReuseForWrite implements vfs.FS.
func (h *handle) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := h.Rename(from, to); err != nil {
		return nil, err
	}
	return h.OpenReadWrite(to, c)
}

// MkdirAll implements vfs.FS.
func (h *handle) MkdirAll(name string, _ os.FileMode) error {
	defer h.end()
	if err := h.begin(callName, name); err != nil {
		return pathError("mkdir", name, err)
	}
	if h.find(name) != nil {
		return nil
	}
	return h.set(name, h.directory())
}

// Lock implements vfs.FS. A dead process holds none.
func (h *handle) Lock(name string) (io.Closer, error) {
	defer h.end()
	if err := h.begin(callOpen, name); err != nil {
		return nil, pathError("lock", name, err)
	}
	if h.find(name) == nil {
		if err := h.set(name, h.file()); err != nil {
			return nil, pathError("lock", name, err)
		}
	}
	return h.opened(name, h.find(name)), nil
}

// List implements vfs.FS.
func (h *handle) List(name string) ([]string, error) {
	defer h.end()
	if err := h.begin(callRead, name); err != nil {
		return nil, pathError("list", name, err)
	}
	n := h.find(name)
	if n == nil || n.entries == nil {
		return nil, pathError("list", name, syscall.ENOENT)
	}
	return slices.Sorted(maps.Keys(n.entries)), nil
}

// Stat implements vfs.FS.
func (h *handle) Stat(name string) (vfs.FileInfo, error) {
	defer h.end()
	if err := h.begin(callRead, name); err != nil {
		return nil, pathError("stat", name, err)
	}
	n := h.find(name)
	if n == nil {
		return nil, pathError("stat", name, syscall.ENOENT)
	}
	return info{path.Base(name), n}, nil
}

// PathBase, PathJoin and PathDir implement vfs.FS.
func (*handle) PathBase(p string) string    { return path.Base(p) }
func (*handle) PathJoin(e ...string) string { return path.Join(e...) }
func (*handle) PathDir(p string) string     { return path.Dir(p) }
func (*handle) Unwrap() vfs.FS              { return nil }

// GetDiskUsage implements vfs.FS.
func (h *handle) GetDiskUsage(string) (vfs.DiskUsage, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	used := h.used()
	avail := max(0, capacity-used)
	if h.faults.full {
		avail = 0
	}
	return vfs.DiskUsage{AvailBytes: uint64(avail), TotalBytes: uint64(capacity), UsedBytes: uint64(used)}, nil
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// openFile is an open file of one process.
type openFile struct {
	h      *handle
	name   string
	node   *inode
	at     int // of Read and Write
	closed bool
}

func (f *openFile) Close() error {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	if f.closed {
		return os.ErrClosed
	}
	f.closed = true
	if !f.h.who.dead {
		f.h.disk.open--
	}
	return nil
}

func (f *openFile) Read(b []byte) (int, error) {
	n, err := f.ReadAt(b, int64(f.at))
	f.at += n
	if n > 0 {
		err = nil
	}
	return n, err
}

func (f *openFile) ReadAt(b []byte, at int64) (int, error) {
	defer f.h.end()
	if err := f.h.begin(callRead, f.name); err != nil {
		return 0, pathError("read", f.name, err)
	}
	if int(at) >= len(f.node.cached) {
		return 0, io.EOF
	}
	n := copy(b, f.node.cached[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *openFile) Write(b []byte) (int, error) {
	n, err := f.WriteAt(b, int64(f.at))
	f.at += n
	return n, err
}

func (f *openFile) WriteAt(b []byte, at int64) (int, error) {
	defer f.h.end()
	err := f.h.begin(callWrite, f.name)
	if f.h.who.dead {
		return 0, pathError("write", f.name, syscall.EIO)
	}
	n := len(b)
	if err == nil && !f.h.room(int(at)+n-len(f.node.cached)) {
		err = syscall.ENOSPC
	}
	if err != nil {
		// A write that fails may have written its first sectors.
		n = int(f.h.chance("torn "+f.name) * float64(n))
		n = max(0, n-(int(at)+n)%sector)
		if int(at)+n > len(f.node.cached) {
			n = max(0, min(n, len(f.node.cached)-int(at)))
		}
	}
	f.node.write(b[:n], int(at))
	if err != nil {
		return n, pathError("write", f.name, err)
	}
	return n, nil
}

func (n *inode) write(b []byte, at int) {
	if grow := at + len(b) - len(n.cached); grow > 0 {
		n.cached = append(n.cached, make([]byte, grow)...)
	}
	copy(n.cached[at:], b)
	for s := at / sector; s*sector < at+len(b); s++ {
		n.dirty[s] = true
	}
}

func (f *openFile) Sync() error { return f.SyncData() }

func (f *openFile) SyncData() error {
	defer f.h.end()
	if err := f.h.begin(callSync, f.name); err != nil {
		if !f.h.who.dead {
			// The kernel reports a failed sync once, and then takes the pages for clean.
			clear(f.node.dirty)
		}
		return pathError("sync", f.name, err)
	}
	if !f.h.noSync {
		f.node.sync()
	}
	return nil
}

func (f *openFile) SyncTo(int64) (bool, error) { return true, f.SyncData() }

func (f *openFile) Stat() (vfs.FileInfo, error) {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	return info{path.Base(f.name), f.node}, nil
}

func (*openFile) Preallocate(_, _ int64) error { return nil }
func (*openFile) Prefetch(_, _ int64) error    { return nil }
func (*openFile) Fd() uintptr                  { return vfs.InvalidFd }

// info describes an inode.
type info struct {
	name string
	node *inode
}

func (i info) Name() string { return i.name }
func (i info) Size() int64  { return int64(len(i.node.cached)) }
func (i info) Mode() fs.FileMode {
	if i.node.entries != nil {
		return fs.ModeDir | 0o750
	}
	return 0o640
}
func (i info) ModTime() time.Time   { return time.Time{} }
func (i info) IsDir() bool          { return i.node.entries != nil }
func (i info) Sys() any             { return &syscall.Stat_t{Ino: uint64(i.node.number)} }
func (info) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

// files returns the names in a directory, sorted.
func (d *disk) files(dir string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.find(dir)
	if n == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(n.entries))
}

// damage changes a file in the cache and on the medium. It returns a function that undoes that.
func (d *disk) damage(name string, how func(b []byte) []byte) (undo func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.find(name)
	cached, durable, size := slices.Clone(n.cached), slices.Clone(n.durable), n.size
	n.cached = how(slices.Clone(n.cached))
	n.durable, n.size = slices.Clone(n.cached), len(n.cached)
	clear(n.dirty)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		n.cached, n.durable, n.size = cached, durable, size
	}
}

// unlink removes a name from the cache and from the medium. It returns a function that undoes that.
func (d *disk) unlink(name string) (undo func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, base := d.find(path.Dir(name)), path.Base(name)
	was := dir.entries[base]
	d.gone = was
	put := func(n *inode) {
		apply(dir.entries, change{base: n})
		apply(dir.onDisk, change{base: n})
		for _, c := range dir.changes {
			delete(c, base)
		}
	}
	put(nil)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		put(was)
	}
}

// litter makes a large file in the directory of the store.
func (d *disk) litter() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if dir := d.find(directory); dir != nil {
		n := d.file()
		n.write(make([]byte, 2<<20), 0)
		dir.set(change{fmt.Sprintf("lost+found-%d", n.number): n})
		dir.sync()
	}
}
