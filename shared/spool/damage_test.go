package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The spool of the tests has so many files with so many events each.
const (
	files   = 3
	perFile = 4
)

// threeFiles makes a spool of three files, and returns the cursor of each event.
func threeFiles(t *testing.T, dir string) (cursors [][]byte) {
	t.Helper()
	s := open(t, dir, 1<<20)
	add(s, 0, files*perFile)
	all(t, s, 0, files*perFile)
	s.Close()
	path := filepath.Join(dir, "0000000000000000"+suffix)
	octets, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var starts []int
	for k := range records(octets, 0) {
		if len(cursors)%perFile == 0 {
			starts = append(starts, k.from)
		}
		c := CursorOf(k.record)
		cursors = append(cursors, c[:])
	}
	for i, start := range starts {
		end := len(octets)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		name := filepath.Join(dir, fmt.Sprintf("%016x%s", start, suffix))
		if err := os.WriteFile(name, octets[start:end], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cursors
}

func names(t *testing.T, dir string) (paths []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// edit is what is done to a file, and which of its events that leaves.
type edit struct {
	name   string
	do     func(path string) error
	leaves []int
}

func rewrite(change func(octets []byte) []byte) func(path string) error {
	return func(path string) error {
		octets, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, change(octets), 0o600)
	}
}

func instead(do func(path string) error) func(path string) error {
	return func(path string) error { return errors.Join(os.Remove(path), do(path)) }
}

var edits = []edit{
	{"an octet is turned", rewrite(func(o []byte) []byte { o[len(o)/perFile+50] ^= 1; return o }), []int{0, 2, 3}},
	{"a length is turned", rewrite(func(o []byte) []byte { o[len(o)/perFile] ^= 1; return o }), []int{0, 2, 3}},
	{"a length is shorter", rewrite(func(o []byte) []byte { o[len(o)/perFile+3]--; return o }), []int{0, 2, 3}},
	{"a cursor is turned", rewrite(func(o []byte) []byte { o[cursorAt+CursorLen-1] ^= 1; return o }), []int{1, 2, 3}},
	{"a CRC is turned", rewrite(func(o []byte) []byte { o[len(o)-1] ^= 1; return o }), []int{0, 1, 2}},
	{"two events are zeroed", rewrite(func(o []byte) []byte { clear(o[len(o)/4 : len(o)*3/4]); return o }), []int{0, 3}},
	{"it is zeroed", rewrite(func(o []byte) []byte { clear(o); return o }), nil},
	{"it is cut within an event", rewrite(func(o []byte) []byte { return o[:len(o)/2+9] }), []int{0, 1}},
	{"it is cut between events", rewrite(func(o []byte) []byte { return o[:len(o)/2] }), []int{0, 1}},
	{"it is emptied", rewrite(func([]byte) []byte { return nil }), nil},
	{"it is longer", rewrite(func(o []byte) []byte { return append(o, make([]byte, 5000)...) }), []int{0, 1, 2, 3}},
	{"it is removed", os.Remove, nil},
	{"it is a pipe", instead(func(path string) error { return syscall.Mkfifo(path, 0o600) }), nil},
	{"it is a directory", instead(func(path string) error { return os.Mkdir(path, 0o700) }), nil},
	{"it leads to zeros without end", instead(func(path string) error { return os.Symlink("/dev/zero", path) }), nil},
	{"it leads nowhere", instead(func(path string) error { return os.Symlink("nowhere", path) }), nil},
	{"it is a socket", instead(func(path string) error { return syscall.Mknod(path, syscall.S_IFSOCK|0o600, 0) }), nil},
}

// TestDamageCostsOnlyWhatIsDamaged breaks one file of three, before the start and while the spool
// is open. All other events are read in order, and new ones after them. A cursor leads behind its
// own event or is not known, whatever has come into its place.
func TestDamageCostsOnlyWhatIsDamaged(t *testing.T) {
	for file := range files {
		for _, e := range edits {
			for _, running := range []bool{false, true} {
				t.Run(fmt.Sprintf("file %d, running %v, %s", file, running, e.name), func(t *testing.T) {
					t.Parallel()
					var said strings.Builder
					dir := t.TempDir()
					cursors := threeFiles(t, dir)
					want := []string{}
					for i := range cursors {
						if i/perFile != file || slices.Contains(e.leaves, i%perFile) {
							want = append(want, fmt.Sprint(i))
						}
					}
					o := Options{Dir: dir, Size: 1 << 20, Lost: func(int) { t.Error("lost") }}
					o.Log = slog.New(slog.NewTextHandler(&said, nil))
					damage := func() {
						if err := e.do(names(t, dir)[file]); err != nil {
							t.Fatal(err)
						}
					}
					if !running {
						damage()
					}
					s, err := Open(o)
					if err != nil { // an operator is told what to move away
						if running || file != files-1 || !strings.Contains(err.Error(), suffix) {
							t.Errorf("refused: %v", err)
						}
						return
					}
					defer s.Close()
					if running {
						damage()
					}
					add(s, 100, 103)
					want = append(want, numbers(100, 103)...)
					got, _ := all(t, s, 0, len(want))
					if !slices.Equal(got, want) {
						t.Errorf("read %v, want %v", got, want)
					}
					// A first or a last file that is gone before the start was never there.
					lost := len(want) < 3+len(cursors) && (running || file == 1 || e.leaves != nil)
					if lost && !strings.Contains(said.String(), "events") {
						t.Errorf("nothing is said of the damage: %s", said.String())
					}
					for i, c := range cursors {
						kept := slices.Contains(want, fmt.Sprint(i))
						at, known := s.Position(c)
						// Behind a file that is gone nothing before is kept; that is as good as
						// known.
						if known && ((!kept && at != firstOf(s)) || at != Cursor(c).Position()) {
							t.Errorf("the cursor of %d, which is kept: %v, leads to %d", i, kept, at)
						}
					}
				})
			}
		}
	}
}

func firstOf(s *Spool) uint64 {
	oldest, _ := s.Bounds()
	return oldest
}

// TestTwoFilesAreSwapped: no event is read in the place of another one.
func TestTwoFilesAreSwapped(t *testing.T) {
	dir := t.TempDir()
	threeFiles(t, dir)
	paths := names(t, dir)
	for _, move := range [][2]string{{paths[0], paths[0] + "x"}, {paths[1], paths[0]}, {paths[0] + "x", paths[1]}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir, 1<<20)
	defer s.Close()
	add(s, 50, 51)
	want := append(numbers(8, 12), "50")
	if got, _ := all(t, s, 0, len(want)); !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
}

// TestADirectoryThatIsRemoved: what cannot be kept waits, and is kept when the directory is back.
func TestADirectoryThatIsRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	s := open(t, dir, 1<<20)
	add(s, 0, 3)
	_, cursor := all(t, s, 0, 3)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	add(s, 3, 6)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	at := Cursor(cursor).Position()
	if got, _ := all(t, s, at, 3); !slices.Equal(got, numbers(3, 6)) {
		t.Errorf("read %v", got)
	}
	if _, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("two processes may have the directory that is back")
	}
	s.Close()
}

// TestForeignFiles are left alone.
func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"0" + suffix, "ffffffffffffffff" + suffix, "FF00000000000000" + suffix, "0000000000000000" + suffix + ".old", "number",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("of others"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir, 1<<20)
	add(s, 0, 3)
	if got, _ := all(t, s, 0, 3); !slices.Equal(got, numbers(0, 3)) {
		t.Errorf("read %v", got)
	}
	s.Close()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 7 { // and lock, and our own
		t.Errorf("%v, %v", entries, err)
	}
}

// TestACursorOfAnEventThatIsGone: another event in its place is not taken for it, however many were
// added and however alike they are.
func TestACursorOfAnEventThatIsGone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	add(s, 0, 9)
	_, cursor := all(t, s, 0, 9)
	s.Close()
	path := names(t, dir)[0]
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()/3); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, 1<<20)
	defer s.Close()
	add(s, 3, 9)
	all(t, s, 0, 9)
	if at, known := s.Position(cursor); known || at != 0 {
		t.Errorf("a cursor of an event that was cut away leads to %d (%v)", at, known)
	}
}
