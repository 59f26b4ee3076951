package disk

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// claim is the directory of an open store. It keeps other processes out, and knows whether the
// directory is still the one at its path.
//
// There are three locks, because each of them has a weakness. The kernel drops all of them when the
// process ends.
//
//   - The file LOCK, which tells others who has it. It can be deleted, and a new one locked.
//   - The directory itself, where the file system knows such locks. It can be deleted, or another
//     one mounted over it.
//   - The path, by an abstract socket. It is known to the processes that have the same network and
//     the same mounts.
type claim struct {
	paths  vfs.FS // for looking at the path
	dir    string
	prefix string // of the label

	lock *pebble.Lock
	self *os.File // the directory; nil where it cannot be locked
	path int      // the socket; -1 without

	mu     sync.Mutex
	inside vfs.FS            // guarded by mu: see fs
	files  map[string]fileID // guarded by mu: by name, what must be there; "" is the directory
}

// fs returns the file system of the claimed directory: an [anchored] one, or that of a test. It is
// another one after renew has claimed another directory. Any goroutine may call it.
func (p *claim) fs() vfs.FS {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inside
}

// fileID identifies a file, whatever its name. It is zero in a file system of a test.
type fileID struct{ dev, ino uint64 }

func identify(fsys vfs.FS, path string) (id fileID, err error) {
	info, err := fsys.Stat(path)
	if err != nil {
		return id, err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		id = fileID{s.Dev, s.Ino}
	}
	return id, nil
}

// claimDirectory locks the directory of a store and reads its label, unless o has one. It makes the
// directory if there is none, with a label that says that the store is being made. If it fails, it
// has not changed the directory.
func claimDirectory(o Options, dir string, kind Kind) (_ *claim, names []string, l label, err error) {
	p := &claim{paths: o.FS, inside: o.FS, dir: dir, prefix: labels[kind], path: -1}
	look := func(fsys vfs.FS) (names []string, l label, found bool, err error) {
		if o.label != nil {
			names, err = fsys.List(dir)
			return names, *o.label, true, err
		}
		return look(fsys, dir, labels[kind])
	}
	defer func() {
		if err != nil {
			p.release()
		}
	}()
	_, _, there, err := look(o.FS)
	if err != nil {
		return nil, nil, l, err
	}
	if err := p.lockPath(); err != nil {
		return nil, nil, l, err
	}
	if !there {
		if err := makeDir(o.FS, dir); err != nil {
			switch {
			case errors.Is(err, fs.ErrExist):
				err = fmt.Errorf("%w; it is a link to nothing: mount the file system that it leads to, "+
					"or remove the link", err)
			case errors.Is(err, fs.ErrPermission):
				err = fmt.Errorf("%w; run dhcp4d as root, or make the directory and give it to the user of dhcp4d, "+
					"or name another in DHCP4D_STORE", err)
			}
			return nil, nil, l, fmt.Errorf("cannot be made: %w", err)
		}
	}
	if err := p.acquire(); err != nil {
		return nil, nil, l, err
	}
	// Another process may have made a store before we had the lock.
	names, l, there, err = look(p.fs())
	if err == nil && !there {
		l = label{format: firstFormat, making: true}
	}
	return p, names, l, err
}

// acquire opens the directory that is at the path now, and locks it.
func (p *claim) acquire() error {
	lockFile := p.paths.PathJoin(p.dir, lockName)
	inside := p.paths
	if p.paths == vfs.Default {
		a, err := anchor(p.dir)
		if err != nil {
			return &lockError{err}
		}
		if p.self, err = lockHandle(a, lockFile); err != nil {
			return errors.Join(takenBy(lockFile, err), a.close())
		}
		inside = a
	}
	p.mu.Lock()
	p.inside, p.files = inside, make(map[string]fileID)
	p.mu.Unlock()
	l, err := pebble.LockDirectory(p.dir, inside)
	switch {
	case errors.As(err, new(*fs.PathError)): // it cannot be opened
		return &lockError{err}
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES):
		return takenBy(lockFile, err)
	case err != nil:
		return &lockError{err}
	}
	p.lock = l
	for _, name := range []string{"", lockName} {
		if err := p.keep(name); err != nil {
			return &lockError{err}
		}
	}
	return nil
}

// lockError says why a directory cannot be locked, and what to do.
type lockError struct{ err error }

func (e *lockError) Unwrap() error { return e.err }

func (e *lockError) Error() string {
	text := fmt.Sprintf("cannot be locked: %v", e.err)
	switch {
	case errors.Is(e.err, fs.ErrPermission):
		return text + "; give the directory to the user that dhcp4d runs as"
	case errors.Is(e.err, syscall.EISDIR), errors.Is(e.err, syscall.ELOOP):
		return text + "; move that away, dhcp4d makes the file anew"
	}
	return text
}

// lockHandle locks the directory itself. It returns nil where the file system knows no such lock,
// and an error if another process has it.
func lockHandle(a *anchored, lockFile string) (*os.File, error) {
	d, err := a.root.Open(".")
	if err != nil {
		return nil, nil //nolint:nilnil,nilerr // the other locks must suffice
	}
	err = whileCopied(lockFile, func() error { return unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	switch {
	case err == nil:
		return d, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, errors.Join(err, d.Close())
	}
	_ = d.Close()
	return nil, nil //nolint:nilnil // the other locks must suffice
}

// copiesGoWithin is how long a program that is being started may have a copy of a lock. Only tests
// change it.
var copiesGoWithin = 300 * time.Millisecond

// whileCopied locks, for up to copiesGoWithin while the lock is taken and no process has lockFile.
// Then the lock is a copy: a program that a process starts has the locks of that process until it
// executes, also if the process unlocks meanwhile.
func whileCopied(lockFile string, lock func() error) error {
	for end := time.Now().Add(copiesGoWithin); ; time.Sleep(5 * time.Millisecond) {
		err := lock()
		taken := errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EWOULDBLOCK)
		if !taken || holder(lockFile) != 0 || time.Now().After(end) {
			return err
		}
	}
}

func takenBy(lockFile string, err error) error {
	who := "another process"
	if pid := holder(lockFile); pid != 0 {
		who = fmt.Sprintf("process %d", pid)
	}
	return fmt.Errorf("is in use by %s; stop it, or give each dhcp4d a store of its own (%w)", who, err)
}

// holder returns the process that holds the lock on a file, 0 if it finds none. It must not be
// called for a lock of our own: it closes the file, which would drop that lock.
func holder(name string) int {
	f, err := os.Open(name)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	l := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &l); err != nil || l.Type == syscall.F_UNLCK {
		return 0
	}
	return int(l.Pid)
}

// lockPath locks the path. If the kernel cannot do that, the other locks must suffice.
func (p *claim) lockPath() error {
	if p.paths != vfs.Default {
		return nil
	}
	path, err := realPath(p.dir)
	mounts, err2 := os.Readlink("/proc/self/ns/mnt")
	if err != nil || err2 != nil {
		return nil //nolint:nilerr // the other locks must suffice
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil //nolint:nilerr // the other locks must suffice
	}
	name := fmt.Sprintf("@dhcp4d-store-%x", sha256.Sum256([]byte(mounts+path)))
	lockFile := p.paths.PathJoin(p.dir, lockName)
	err = whileCopied(lockFile, func() error { return unix.Bind(fd, &unix.SockaddrUnix{Name: name}) })
	if err != nil {
		_ = unix.Close(fd)
		if errors.Is(err, unix.EADDRINUSE) {
			return takenBy(lockFile, err)
		}
		return nil
	}
	p.path = fd
	return nil
}

// realPath returns a path without symbolic links. Its last element need not exist.
func realPath(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	path, err := filepath.EvalSymlinks(dir)
	if parent := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && parent != dir {
		path, err = realPath(parent)
		path = filepath.Join(path, filepath.Base(dir))
	}
	return path, err
}

// keep notes that a file of the directory must stay in its place.
func (p *claim) keep(name string) error {
	fsys := p.fs()
	id, err := identify(fsys, fsys.PathJoin(p.dir, name))
	if err == nil {
		p.mu.Lock()
		p.files[name] = id
		p.mu.Unlock()
	}
	return err
}

// drop notes that a file may go.
func (p *claim) drop(name string) {
	p.mu.Lock()
	delete(p.files, name)
	p.mu.Unlock()
}

// here reports whether the directory at the path is still the one that was claimed.
func (p *claim) here() error { return p.checkFile(p.paths, "", p.id("")) }

// check reports whether the directory and the files that are kept are still there. Any goroutine
// may call it.
func (p *claim) check() error {
	if err := p.here(); err != nil { // without the directory there are no files to check
		return err
	}
	p.mu.Lock()
	files, fsys := maps.Clone(p.files), p.inside
	p.mu.Unlock()
	delete(files, "")
	for _, name := range slices.Sorted(maps.Keys(files)) { // sorted, so that a simulation can be repeated
		id := files[name]
		if err := p.checkFile(fsys, name, id); err != nil && p.id(name) == id { // not dropped meanwhile
			return err
		}
	}
	if _, err := fsys.Stat(fsys.PathJoin(p.dir, labelName)); errors.Is(err, fs.ErrNotExist) {
		return errLabelLost
	}
	return nil
}

var errLabelLost = fmt.Errorf("has lost its file %s while dhcp4d runs; put it back", labelName)

func (p *claim) id(name string) fileID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.files[name]
}

func (p *claim) checkFile(fsys vfs.FS, name string, id fileID) error {
	what := "is not the directory any more that dhcp4d has opened"
	if name != "" {
		what = fmt.Sprintf("has lost its file %s while dhcp4d runs", name)
	}
	switch now, err := identify(fsys, fsys.PathJoin(p.dir, name)); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: it was removed, renamed or unmounted; put it back", what)
	case err != nil:
		return fmt.Errorf("cannot be looked at: %w", err)
	case now != id:
		return fmt.Errorf("%s: another one is in its place; put it back", what)
	}
	return nil
}

// renew locks the directory again after a failure, in which it may have been replaced: the same
// directory, or another one with the same store. It makes no file but LOCK.
func (p *claim) renew(store ID) error {
	if err := p.same(p.paths, store); err != nil {
		return err
	}
	if p.lock != nil && p.here() == nil && p.checkFile(p.fs(), lockName, p.id(lockName)) == nil {
		p.mu.Lock()
		maps.DeleteFunc(p.files, func(name string, _ fileID) bool { return name != "" && name != lockName })
		p.mu.Unlock()
		return nil
	}
	p.unlock()
	err := p.acquire()
	if err == nil {
		err = p.same(p.fs(), store) // the path may lead elsewhere since it was looked at
	}
	if err != nil {
		p.unlock()
	}
	return err
}

// same reports whether a file system has the store in the directory.
func (p *claim) same(fsys vfs.FS, store ID) error {
	_, l, there, err := look(fsys, p.dir, p.prefix)
	switch {
	case errors.Is(err, errNoLabel):
		return errLabelLost
	case err != nil:
		return err
	case !there:
		if err := p.here(); err != nil {
			return err
		}
		return errLabelLost
	case l.store != store:
		return fmt.Errorf("is another store now, %v instead of %v; put the other one back, or start dhcp4d anew",
			l.store, store)
	}
	return nil
}

func (p *claim) unlock() {
	if p.lock != nil {
		_ = p.lock.Close()
		p.lock = nil
	}
	if p.self != nil {
		_ = p.self.Close()
		p.self = nil
	}
	if a, ok := p.fs().(*anchored); ok {
		_ = a.close()
	}
}

// release gives the directory up.
func (p *claim) release() {
	p.unlock()
	if p.path >= 0 {
		_ = unix.Close(p.path)
		p.path = -1
	}
}
