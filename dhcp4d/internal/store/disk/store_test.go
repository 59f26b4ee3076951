package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
)

func quiet() Options {
	return Options{
		Log: slog.New(slog.DiscardHandler),
		Now: func() lease.Time { return 1_700_000_000 },
	}
}

func mustOpen(t testing.TB, url string, o Options) store.Store {
	t.Helper()
	if url == "memory:" {
		return store.NewMemory()
	}
	s, err := Open(url, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// kinds are the stores on disk. What is promised of one is promised of both.
var kinds = []string{"pebble", "journal"}

func eachKind(t *testing.T, test func(t *testing.T, kind string)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) { test(t, kind) })
	}
}

// A mistyped path, or one on a file system that is not mounted, must not become a new store.
func TestOnlyTheLastPartOfThePathIsMade(t *testing.T) {
	for _, kind := range []string{"pebble:", "journal:"} {
		above := filepath.Join(t.TempDir(), "a")
		if s, err := Open(kind+filepath.Join(above, "b"), quiet()); err == nil {
			t.Errorf("%s is opened: %v", kind, s.Close())
		} else if !strings.Contains(err.Error(), "or make "+above) {
			t.Errorf("%s: %v", kind, err)
		}
		if _, err := os.Stat(above); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %s: %v", kind, above, err)
		}
		var made []string
		o := quiet()
		o.Made = func(dir string) { made = append(made, dir) }
		for range 2 {
			if err := mustOpen(t, kind+above, o).Close(); err != nil {
				t.Fatal(err)
			}
		}
		if len(made) != 1 || made[0] != above {
			t.Errorf("%s: told of the new stores %q", kind, made)
		}
	}
}

func TestStore(t *testing.T) {
	for name, url := range map[string]string{
		"memory":  "memory:",
		"pebble":  "pebble:" + filepath.Join(t.TempDir(), "a"),
		"journal": "journal:" + filepath.Join(t.TempDir(), "a"),
	} {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, url, quiet())
			if got := storetest.Contents(t, s); len(got) != 0 {
				t.Fatalf("a new store holds %v", got)
			}
			first, second, third := storetest.Binding(1), storetest.Binding(2), storetest.Binding(3)
			shared := storetest.Binding(3)
			shared.Ports = 7
			if _, err := s.Commit([]lease.Binding{first, second, third, shared}); err != nil {
				t.Fatal(err)
			}
			second.State, second.Changed = lease.Released, second.Changed+500
			third.State = lease.NoState
			if _, err := s.Commit([]lease.Binding{second, third}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Commit(nil); err != nil {
				t.Fatal(err)
			}
			if name != "memory" {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = mustOpen(t, url, quiet())
			}
			got, l, err := storetest.Load(s)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []lease.Binding{first, second, shared} {
				if b := got[storetest.Key(&want)]; !storetest.Same(&b, &want) {
					t.Errorf("got  %+v\nwant %+v", b, want)
				}
			}
			if len(got) != 3 || l.Records != 3 {
				t.Errorf("holds %d, says %d, want 3", len(got), l.Records)
			}
			if l.Newest != second.Changed {
				t.Errorf("newest is %d, want %d", l.Newest, second.Changed)
			}
			if _, err := s.Commit([]lease.Binding{first}); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLoadEndsWithTheError(t *testing.T) {
	for _, url := range []string{"memory:", "pebble:" + t.TempDir(), "journal:" + t.TempDir()} {
		s := mustOpen(t, url, quiet())
		if _, err := s.Commit([]lease.Binding{storetest.Binding(1), storetest.Binding(2)}); err != nil {
			t.Fatal(err)
		}
		stop, calls := errors.New("stop"), 0
		_, err := s.Load(func(*lease.Binding) error { calls++; return stop })
		if !errors.Is(err, stop) || calls != 1 {
			t.Errorf("%s: %v after %d calls", url, err, calls)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestTheClockIsRemembered(t *testing.T) { eachKind(t, remembersTheClock) }

func remembersTheClock(t *testing.T, kind string) {
	dir := t.TempDir()
	now := lease.Time(1_700_000_000)
	o := quiet()
	o.Now = func() lease.Time { return now }
	s := mustOpen(t, kind+":"+dir, o)
	now += 3600
	if _, err := s.Commit([]lease.Binding{storetest.Binding(1)}); err != nil {
		t.Fatal(err)
	}
	now -= 7200 // the wall clock steps back
	if _, err := s.Commit([]lease.Binding{storetest.Binding(2)}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // nor does a start with the wrong clock forget it
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, kind+":"+dir, o)
		_, l, err := storetest.Load(s)
		if err != nil || l.Newest != 1_700_003_600 {
			t.Errorf("newest %d, %v", l.Newest, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Leases name clients. They stay unread by other users also in a directory that the operator has
// made readable for everybody.
func TestOthersCannotReadTheFiles(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string) {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			s := mustOpen(t, kind+":"+dir, quiet())
			storetest.Contents(t, s)
			if _, err := s.Commit([]lease.Binding{storetest.Binding(1)}); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		files, err := os.ReadDir(dir)
		if err != nil || len(files) < 3 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			if info, err := f.Info(); err != nil || info.Mode().Perm()&0o007 != 0 {
				t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
			}
		}
	})
}

func TestOpenURL(t *testing.T) {
	for _, url := range []string{"", "memory", "memory:x", "pebble:", "pebble", "journal:", "bolt:/x", "/var/lib"} {
		if _, err := Open(url, quiet()); err == nil || !strings.Contains(err.Error(), "pebble:DIR") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// What else may be at the path of a store is refused with a word that says what to do, and stays.
func TestSomethingElseInThePlaceOfTheDirectory(t *testing.T) { eachKind(t, elseInItsPlace) }

func elseInItsPlace(t *testing.T, kind string) {
	for says, put := range map[string]func(path string) error{
		"name a directory in DHCP4D_STORE, or move that file away": func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"it is a link to nothing: mount the file system":           func(path string) error { return os.Symlink("nothing", path) },
		"remove that link":          func(path string) error { return os.Symlink(filepath.Base(path), path) },
		"move that file away, then": func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		path := filepath.Join(t.TempDir(), "leases")
		if err := put(path); err != nil {
			t.Fatal(err)
		}
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(kind+":"+path, quiet()); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v\nwant %q", err, says)
		}
		if after, err := os.Lstat(path); err != nil || after.Mode() != before.Mode() || after.ModTime() != before.ModTime() {
			t.Errorf("%q: it was changed: %v, %v", says, after, err)
		}
	}
}

// filled makes a store with records in a table and, since it was not closed, in the log.
func filled(t *testing.T) string {
	t.Helper()
	from, dir := t.TempDir(), t.TempDir()
	s := mustOpen(t, "pebble:"+from, quiet())
	for i := range 200 {
		var group []lease.Binding
		for j := range 10 {
			group = append(group, storetest.Binding(i*10+j))
		}
		if _, err := s.Commit(group); err != nil {
			t.Fatal(err)
		}
		if i == 10 {
			if err := s.(*pebbleStore).db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.CopyFS(dir, skipLock{os.DirFS(from)}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "LOCK"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// skipLock hides LOCK: to read and close it would drop the lock.
type skipLock struct{ fs.FS }

func (s skipLock) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(s.FS, name)
	return slices.DeleteFunc(all, func(e fs.DirEntry) bool { return e.Name() == "LOCK" }), err
}

// snapshot is every file of dir with its content, except for LOCK: to read
// and close it would drop the lock.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "LOCK" {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return files
}

// one is the file of dir that matches the pattern.
func one(t *testing.T, dir, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 1 {
		return names[0]
	}
	t.Fatalf("for %s there is %q", pattern, names)
	return ""
}

func overwrite(t *testing.T, name string, at int64, octets string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(octets), at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A store that is refused is refused at Open or at Load, before anything in
// its directory has changed.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		says  string // beside the directory
	}{
		{"newer format", func(t *testing.T, dir string) {
			overwrite(t, filepath.Join(dir, labelName), 0, labels[Pebble]+"3\n")
		}, "newer dhcp4d (format 3, this one knows 2)"},
		{"label is garbage", func(t *testing.T, dir string) {
			overwrite(t, filepath.Join(dir, labelName), 0, "rubbish rubbish rubbish rubbish")
		}, "damaged"},
		{"no label", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, labelName)); err != nil {
				t.Fatal(err)
			}
		}, "dhcp4d-store: it is missing"},
		{"newer Pebble", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "marker.format-version.000099.999"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "damaged"},
		{"table damaged", func(t *testing.T, dir string) {
			overwrite(t, one(t, dir, "*.sst"), 100, "rubbish")
		}, "damaged"},
		{"table missing", func(t *testing.T, dir string) {
			if err := os.Remove(one(t, dir, "*.sst")); err != nil {
				t.Fatal(err)
			}
		}, "damaged"},
		{"table cut", func(t *testing.T, dir string) {
			if err := os.Truncate(one(t, dir, "*.sst"), 700); err != nil {
				t.Fatal(err)
			}
		}, "damaged"},
		{"manifest damaged", func(t *testing.T, dir string) {
			overwrite(t, one(t, dir, "MANIFEST-*"), 10, "rubbish")
		}, "damaged"},
		{"manifest missing", func(t *testing.T, dir string) {
			if err := os.Remove(one(t, dir, "marker.manifest.*")); err != nil {
				t.Fatal(err)
			}
		}, "damaged"},
		{"log damaged in the middle", func(t *testing.T, dir string) {
			overwrite(t, one(t, dir, "000004.log"), 500, "rubbish")
		}, "damaged"},
		{"record of a newer version", func(t *testing.T, dir string) {
			db, err := pebble.Open(dir, &pebble.Options{Merger: headerMerger, Logger: logger{&fence{}, quiet().Log}})
			if err != nil {
				t.Fatal(err)
			}
			r := storetest.Binding(1)
			k, v := store.AppendKey(nil, &r), store.AppendValue(nil, &r)
			v[0] = 3
			if err := errors.Join(db.Set(k, v, pebble.Sync), db.Close()); err != nil {
				t.Fatal(err)
			}
		}, "version 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filled(t)
			c.spoil(t, dir)
			before := snapshot(t, dir)
			s, err := Open("pebble:"+dir, quiet())
			if err == nil {
				_, _, err = storetest.Load(s)
				_ = s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), dir) {
				t.Errorf("said %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %v", err)
			}
			t.Log(err)
			after := snapshot(t, dir)
			for name := range after {
				if _, ok := before[name]; !ok {
					t.Errorf("%s is new", name)
				}
			}
			for name, content := range before {
				if after[name] != content {
					t.Errorf("%s changed", name)
				}
			}
		})
	}
}

func TestACleanStopLeavesNoLogToReplay(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, "pebble:"+dir, quiet())
	if _, err := s.Commit([]lease.Binding{storetest.Binding(1)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range logs {
		if err := os.Truncate(name, 0); err != nil {
			t.Fatal(err)
		}
	}
	s = mustOpen(t, "pebble:"+dir, quiet())
	if got := storetest.Contents(t, s); len(got) != 1 {
		t.Errorf("holds %v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAForeignDirectoryIsLeftAlone(t *testing.T) { eachKind(t, leavesForeignAlone) }

func leavesForeignAlone(t *testing.T, kind string) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(kind+":"+dir, quiet())
	if err == nil || !strings.Contains(err.Error(), `"notes"`) {
		t.Error(err)
	}
	if after := snapshot(t, dir); len(after) != 1 {
		t.Errorf("now there is %v", after)
	}
}

func TestAnEmptyFileSystemMayHaveLostAndFound(t *testing.T) { eachKind(t, takesLostAndFound) }

func takesLostAndFound(t *testing.T, kind string) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, kind+":"+dir, quiet())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreInUseIsRefused(t *testing.T) {
	if url := os.Getenv("STORE_TEST_HOLD"); url != "" { // the child
		_, err := Open(url, quiet())
		fmt.Println(err)
		return
	}
	eachKind(t, refusesWhatIsInUse)
}

func refusesWhatIsInUse(t *testing.T, kind string) {
	dir := t.TempDir()
	s := mustOpen(t, kind+":"+dir, quiet())
	before := snapshot(t, dir)
	cmd := exec.Command(os.Args[0], "-test.run=^TestAStoreInUseIsRefused$", "-test.v")
	cmd.Env = append(os.Environ(), "STORE_TEST_HOLD="+kind+":"+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if want := fmt.Sprintf("in use by process %d; stop it", os.Getpid()); !strings.Contains(string(out), want) {
		t.Errorf("no %q in:\n%s", want, out)
	}
	if _, err := Open(kind+":"+dir, quiet()); err == nil {
		t.Error("opened twice by one process")
	}
	for name, content := range snapshot(t, dir) {
		if before[name] != content {
			t.Errorf("%s changed", name)
		}
	}
	if _, err := s.Commit([]lease.Binding{storetest.Binding(1)}); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = mustOpen(t, kind+":"+dir, quiet()) // the lock is free again
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
