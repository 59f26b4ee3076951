package disk_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
)

func quiet() engine.Options {
	return engine.Options{
		Log: slog.New(slog.DiscardHandler),
		Now: func() lease.Time { return 1_700_000_000 },
	}
}

func mustOpen(t testing.TB, url string, o engine.Options) store.Store {
	t.Helper()
	if url == "memory:" {
		return store.NewMemory()
	}
	s, err := engine.Open(url, o)
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
		if s, err := engine.Open(kind+filepath.Join(above, "b"), quiet()); err == nil {
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
		if _, err := engine.Open(url, quiet()); err == nil || !strings.Contains(err.Error(), "pebble:DIR") {
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
		if _, err := engine.Open(kind+":"+path, quiet()); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v\nwant %q", err, says)
		}
		if after, err := os.Lstat(path); err != nil || after.Mode() != before.Mode() || after.ModTime() != before.ModTime() {
			t.Errorf("%q: it was changed: %v, %v", says, after, err)
		}
	}
}

func TestAForeignDirectoryIsLeftAlone(t *testing.T) { eachKind(t, leavesForeignAlone) }

func leavesForeignAlone(t *testing.T, kind string) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := engine.Open(kind+":"+dir, quiet())
	if err == nil || !strings.Contains(err.Error(), `"notes"`) {
		t.Error(err)
	}
	if after := storetest.Snapshot(t, dir); len(after) != 1 {
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
		_, err := engine.Open(url, quiet())
		fmt.Println(err)
		return
	}
	eachKind(t, refusesWhatIsInUse)
}

func refusesWhatIsInUse(t *testing.T, kind string) {
	dir := t.TempDir()
	s := mustOpen(t, kind+":"+dir, quiet())
	before := storetest.Snapshot(t, dir)
	cmd := exec.Command(os.Args[0], "-test.run=^TestAStoreInUseIsRefused$", "-test.v")
	cmd.Env = append(os.Environ(), "STORE_TEST_HOLD="+kind+":"+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if want := fmt.Sprintf("in use by process %d; stop it", os.Getpid()); !strings.Contains(string(out), want) {
		t.Errorf("no %q in:\n%s", want, out)
	}
	if _, err := engine.Open(kind+":"+dir, quiet()); err == nil {
		t.Error("opened twice by one process")
	}
	for name, content := range storetest.Snapshot(t, dir) {
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
