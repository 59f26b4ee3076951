package disk_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
)

// ways are what can happen to a file of a store that is stopped, on a file system of the operating
// system. TestDamageIsRefusedOrLosesNothing goes through many more places of each file.
var ways = []struct {
	name  string
	spoil func(f spoiled) error
	// denied means that dhcp4d may not open the file.
	denied bool
	// kept means that the file is to be moved away by hand before a repair.
	kept bool
}{
	{name: "missing", spoil: func(f spoiled) error { return os.Remove(f.path) }},
	{name: "empty", spoil: func(f spoiled) error { return f.write(nil) }},
	{name: "cut in the middle", spoil: func(f spoiled) error { return f.write(f.content[:len(f.content)/2]) }},
	{name: "cut by an octet", spoil: func(f spoiled) error { return f.write(f.content[:max(0, len(f.content)-1)]) }},
	{name: "longer", spoil: func(f spoiled) error { return f.write(append(bytes.Clone(f.content), "more"...)) }},
	{name: "zeroed", spoil: func(f spoiled) error { return f.write(make([]byte, len(f.content))) }},
	{name: "overwritten", spoil: func(f spoiled) error {
		return f.write(bytes.Repeat([]byte("rubbish "), len(f.content)/8+1)[:len(f.content)])
	}},
	{name: "overwritten at the beginning", spoil: func(f spoiled) error {
		return f.write(append([]byte("rubbish "), f.content[min(8, len(f.content)):]...))
	}},
	{name: "another store's", spoil: func(f spoiled) error { return f.write(f.theirs) }},
	{name: "another file's", spoil: func(f spoiled) error { return f.write(f.next) }},
	{name: "a directory", kept: true, spoil: func(f spoiled) error {
		return errors.Join(os.Remove(f.path), os.Mkdir(f.path, 0o700))
	}},
	{name: "a link to nothing", kept: true, spoil: func(f spoiled) error {
		return errors.Join(os.Remove(f.path), os.Symlink("nothing", f.path))
	}},
	{name: "a named pipe", kept: true, spoil: func(f spoiled) error {
		return errors.Join(os.Remove(f.path), syscall.Mkfifo(f.path, 0o600))
	}},
	{name: "denied", spoil: func(spoiled) error { return nil }, denied: true},
}

// spoiled is a file of a store, with what was in it, what another store has under its name, and
// what another file of the same store has.
type spoiled struct {
	path                  string
	content, theirs, next []byte
}

func (f spoiled) write(content []byte) error { return os.WriteFile(f.path, content, 0o600) }

// lay writes a store to a new directory, with the file LOCK.
func (m image) lay(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(memoryDir(t), "leases")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range m {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, disk.LockName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// laid is what is in a directory: the content of files, and what else there is.
func laid(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]string)
	for _, e := range entries {
		if m[e.Name()] = e.Type().String(); e.Type().IsRegular() {
			content, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			m[e.Name()] = string(content)
		}
	}
	delete(m, disk.LockName)
	return m
}

// denying is the operating system's file system, in which one file may not be opened.
func denying(path string) vfs.FS {
	return errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Path == path && op.Kind != errorfs.OpStat {
			return &os.PathError{Op: "open", Path: path, Err: syscall.EACCES}
		}
		return nil
	}))
}

// Each file of a store, in each state: what was acknowledged is served, or the start is refused
// with a line that names a file and what to do, and changes nothing. A repair says the same, but
// does not name itself as the way out. What it accepts is served after it, and of a store that has
// lost only its label everything.
func TestEveryFileInEveryState(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		for name, s := range specimens(t, kind, 150) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				served, refused, repaired, n, dir := 0, 0, 0, 0, ""
				names := slices.Sorted(maps.Keys(s.files))
				for i, name := range append(names, disk.LockName) {
					for _, way := range ways {
						f := spoiled{content: s.files[name], theirs: s.stranger[name], next: s.files[names[(i+1)%len(names)]]}
						if n++; n%stridden != 0 {
							continue
						}
						if f.theirs == nil && way.name == "another store's" {
							continue
						}
						if err := os.RemoveAll(dir); err != nil { // of the way before, which takes memory
							t.Fatal(err)
						}
						dir = s.files.lay(t)
						f.path = filepath.Join(dir, name)
						if err := way.spoil(f); err != nil {
							t.Fatalf("%s %s: %v", name, way.name, err)
						}
						what, url, o := name+" "+way.name, kind+":"+dir, small(nil)
						if way.denied {
							o.FS = denying(f.path)
						}
						before := laid(t, dir)
						if _, err := engine.Repair(url, o, false); err != nil {
							s.judge(t, what+": repair", dir, err)
							if strings.Contains(err.Error(), "store repair") {
								t.Errorf("%s: a repair says %v", what, err)
							}
						}
						st, err := startOn(url, o)
						if err == nil {
							if n := s.history.after(st); n < s.safe {
								t.Errorf("%s: %d commits are served, %d were acknowledged", what, n, s.safe)
							}
							served++
							continue
						}
						refused++
						s.judge(t, what, dir, err)
						if !maps.Equal(laid(t, dir), before) {
							t.Errorf("%s: refused, but changed", what)
						}
						if way.denied {
							o = small(nil)
						}
						if way.kept {
							if err := os.Remove(f.path); err != nil {
								t.Fatal(err)
							}
						}
						done, err := engine.Repair(url, o, true)
						if err != nil {
							if name == disk.LabelName || way.denied {
								t.Errorf("%s: not repaired: %v", what, err)
							}
							continue
						}
						repaired++
						st, err = startOn(url, o)
						final := s.history[len(s.history)-1]
						if err != nil || (name == disk.LabelName && st != final) {
							t.Errorf("%s: after the repair: %v", what, err)
						}
						for i := range st {
							if st[i] > final[i] {
								t.Errorf("%s: address %d has version %d, the highest written is %d", what, i, st[i], final[i])
							}
						}
						if opened := mustOpen(t, url, o); done.Changed != store.MustRecover(opened) {
							t.Errorf("%s: it was changed: %v, and must recover: %v", what, done.Changed, !done.Changed)
							_ = opened.Close()
						} else if err := opened.Close(); err != nil {
							t.Errorf("%s: %v", what, err)
						}
					}
				}
				t.Logf("%d served, %d refused, %d of those repaired", served, refused, repaired)
			})
		}
	})
}

// startOn is what a store serves.
func startOn(url string, o engine.Options) (st state, err error) {
	s, err := engine.Open(url, o)
	if err != nil {
		return st, err
	}
	if _, err = s.ClockMark(); err == nil || errors.Is(err, store.ErrMarkLost) { // what Resume does
		st, err = held(s)
	}
	return st, errors.Join(err, s.Close())
}

// judge checks what a refusal says.
func (s *specimen) judge(t *testing.T, what, dir string, err error) {
	t.Helper()
	text := err.Error()
	if !strings.Contains(text, "lease store "+dir+" ") || strings.Contains(text, "\n") {
		t.Errorf("%s: said %v", what, err)
	}
	names := append(slices.Collect(maps.Keys(s.files)), disk.LockName, "segment-", "its manifest", "its format marker", "a log or a table", "its log", "(type sstable)")
	if text = strings.ReplaceAll(text, dir, ""); !slices.ContainsFunc(names, func(n string) bool {
		return strings.Contains(text, strings.TrimSuffix(n, ".sst"))
	}) {
		t.Errorf("%s: names no file: %v", what, err)
	}
	if !slices.ContainsFunc([]string{"; restore a backup", "; move ", "; give ", "; remove "}, func(do string) bool { return strings.Contains(text, do) }) {
		t.Errorf("%s: says not what to do: %v", what, err)
	}
}
