package disk_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
	"github.com/dhcp4o6/dhcp4o6/shared/skip"
)

// While a store is open something happens to its directory. The next check must notice, no commit
// may be acknowledged after it, and the store comes back when all that was acknowledged is there
// again.
func TestADirectoryThatIsLostIsNoticed(t *testing.T) {
	if url := os.Getenv("STORE_TEST_SECOND"); url != "" { // a second dhcp4d
		_, err := engine.Open(url, small(nil))
		fmt.Printf("second: %v\n", err)
		return
	}
	remove := func(t *testing.T, name string) {
		t.Helper()
		for os.RemoveAll(name) != nil { // a file is being made
			time.Sleep(time.Millisecond)
		}
	}
	rename := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		lose func(t *testing.T, dir string)
		says string
		// find puts everything back; nil if nothing can.
		find func(t *testing.T, dir string)
		// only is the kind of store; both if empty.
		only string
	}{
		{"removed", func(t *testing.T, dir string) { remove(t, dir) }, "is not the directory any more", nil, ""},
		{"emptied", func(t *testing.T, dir string) {
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				remove(t, f)
			}
		}, "has lost its file", nil, ""},
		{"renamed", func(t *testing.T, dir string) { rename(t, dir, dir+".away") }, "is not the directory any more",
			func(t *testing.T, dir string) { rename(t, dir+".away", dir) }, ""},
		{"replaced by an empty one", func(t *testing.T, dir string) {
			rename(t, dir, dir+".away")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "another one is in its place", func(t *testing.T, dir string) {
			remove(t, dir)
			rename(t, dir+".away", dir)
		}, ""},
		{"replaced by another store", func(t *testing.T, dir string) {
			rename(t, dir, dir+".away")
			rename(t, dir+".other", dir)
		}, "another one is in its place", func(t *testing.T, dir string) {
			remove(t, dir)
			rename(t, dir+".away", dir)
		}, ""},
		{"replaced by a copy that has everything", func(t *testing.T, dir string) {
			rename(t, dir, dir+".away")
			if err := os.CopyFS(dir, storetest.SkipLock{FS: os.DirFS(dir + ".away")}); err != nil {
				t.Fatal(err)
			}
		}, "another one is in its place", func(*testing.T, string) {}, "journal"},
		{"replaced by an older copy", func(t *testing.T, dir string) {
			rename(t, dir, dir+".away")
			rename(t, dir+".copy", dir)
		}, "another one is in its place", func(t *testing.T, dir string) {
			remove(t, dir)
			rename(t, dir+".away", dir)
		}, ""},
		{"without its lock", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, disk.LockName)) }, "LOCK",
			func(*testing.T, string) {}, ""},
		{"without its label", func(t *testing.T, dir string) {
			rename(t, filepath.Join(dir, disk.LabelName), dir+".label")
		}, disk.LabelName, func(t *testing.T, dir string) {
			rename(t, dir+".label", filepath.Join(dir, disk.LabelName))
		}, ""},
		{"without its watermark", func(t *testing.T, dir string) {
			rename(t, filepath.Join(dir, disk.WatermarkName), dir+".mark")
		}, disk.WatermarkName, func(t *testing.T, dir string) {
			rename(t, dir+".mark", filepath.Join(dir, disk.WatermarkName))
		}, ""},
		{"without its newest segment", func(t *testing.T, dir string) {
			name := newest(t, dir)
			rename(t, filepath.Join(dir, name), dir+"."+name)
		}, "segment-", func(t *testing.T, dir string) {
			away := storetest.One(t, filepath.Dir(dir), "leases.segment-*")
			rename(t, away, filepath.Join(dir, strings.TrimPrefix(away, dir+".")))
		}, "journal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachKind(t, func(t *testing.T, kind string) {
				if c.only != "" && c.only != kind {
					return
				}
				dir := filepath.Join(memoryDir(t), "leases")
				other := mustOpen(t, kind+":"+dir+".other", small(nil))
				if err := other.Close(); err != nil {
					t.Fatal(err)
				}
				o := small(nil)
				o.Go = func(work func()) { work() } // so that a copy of the directory is whole
				s := mustOpen(t, kind+":"+dir, o)
				w := storetest.NewWorkload(1)
				for n := range 25 {
					if err := w.Step(s); err != nil {
						t.Fatal(err)
					}
					if n == 20 {
						if err := os.CopyFS(dir+".copy", storetest.SkipLock{FS: os.DirFS(dir)}); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := s.Check(); err != nil {
					t.Fatal(err)
				}
				c.lose(t, dir)
				err := s.Check()
				if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), dir) {
					t.Errorf("the check said %v, want %q", err, c.says)
				}
				if _, err := s.Commit([]lease.Binding{storetest.Binding(1)}); !errors.Is(err, store.ErrFailed) {
					t.Errorf("a commit after it: %v", err)
				}
				if c.find == nil || (c.says != "LOCK" && c.name != "replaced by a copy that has everything") {
					for range 3 {
						if err := s.Reopen(); err == nil {
							t.Fatal("opened again without what was acknowledged")
						} else if !strings.Contains(err.Error(), dir) {
							t.Errorf("said %v", err)
						}
					}
				}
				cmd := exec.Command(os.Args[0], "-test.run=^TestADirectoryThatIsLostIsNoticed$")
				cmd.Env = append(os.Environ(), "STORE_TEST_SECOND="+kind+":"+dir)
				out, err := cmd.CombinedOutput()
				if err != nil || !strings.Contains(string(out), "second: lease store") {
					t.Errorf("a second process: %v\n%s", err, out)
				}
				if c.find != nil {
					c.find(t, dir)
					if err := s.Reopen(); err != nil {
						t.Fatalf("does not come back: %v", err)
					}
					check(t, s, w)
					if err := w.Step(s); err != nil {
						t.Error(err)
					}
					if err := s.Check(); err != nil {
						t.Error(err)
					}
				}
				_ = s.Close()
				if c.find != nil {
					s := mustOpen(t, kind+":"+dir, small(nil))
					check(t, s, w)
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}

// Until the next check a store may not know that another directory is at its path. Whatever it
// makes, renames, removes or syncs meanwhile goes into its own directory, and nothing into the
// other one.
func TestNothingGoesIntoADirectoryThatIsNotTheStores(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string) {
		dir := filepath.Join(t.TempDir(), "leases")
		s := mustOpen(t, kind+":"+dir, small(nil))
		w := storetest.NewWorkload(1)
		if err := errors.Join(w.Step(s), s.Check()); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		// The other one has a file of the name of each that the store may want to write.
		if err := os.CopyFS(dir, storetest.SkipLock{FS: os.DirFS(dir + ".away")}); err != nil {
			t.Fatal(err)
		}
		before := storetest.Snapshot(t, dir)
		for range 300 { // through many segments, or logs and tables
			if err := w.Step(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.KeepClockMark(clock.Mark{}); err == nil {
			t.Error("a clock mark was kept where no start will find it")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if after := storetest.Snapshot(t, dir); !maps.Equal(before, after) {
			t.Error("the directory at the path was changed")
		}
		if err := errors.Join(os.RemoveAll(dir), os.Rename(dir+".away", dir)); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, kind+":"+dir, small(nil))
		check(t, s, w)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// newest returns the name of the segment with the newest batches.
func newest(t *testing.T, dir string) (name string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "segment-*"))
	if err != nil {
		t.Fatal(err)
	}
	highest := uint64(0)
	for _, path := range names {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) < headerLen || binary.BigEndian.Uint32(b) == 0 {
			continue // not written to yet
		}
		if number := binary.BigEndian.Uint64(b[24:]); number > highest {
			name, highest = filepath.Base(path), number
		}
	}
	return name
}

// The same when something is mounted over the directory, or the file system that it is the root of
// is unmounted: in a process with mounts of its own.
func TestAMountThatHidesTheDirectoryIsNoticed(t *testing.T) {
	if dir := os.Getenv("STORE_TEST_MOUNTS"); dir != "" {
		for _, kind := range kinds {
			mountOver(t, kind, filepath.Join(dir, kind))
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestAMountThatHidesTheDirectoryIsNoticed$", "-test.v")
	cmd.Env = append(os.Environ(), "STORE_TEST_MOUNTS="+t.TempDir())
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, syscall.EPERM):
		skip.Test(t, "no mount namespace: "+err.Error())
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	}
}

func mountOver(t *testing.T, kind, dir string) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	mount := func() {
		t.Helper()
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
			t.Fatal(err)
		}
	}
	unmount := func() {
		t.Helper()
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ before, lose, find func() }{
		"mounted over": {func() {}, mount, unmount},
		"unmounted":    {mount, unmount, nil},
	} {
		c.before()
		s := mustOpen(t, kind+":"+dir, small(nil))
		w := storetest.NewWorkload(1)
		if err := errors.Join(w.Step(s), s.Check()); err != nil {
			t.Fatal(err)
		}
		c.lose()
		if err := s.Check(); err == nil {
			t.Errorf("%s: not noticed", what)
		}
		if err := w.Step(s); !errors.Is(err, store.ErrFailed) {
			t.Errorf("%s: a commit: %v", what, err)
		}
		if err := s.Reopen(); err == nil {
			t.Errorf("%s: opened again", what)
		}
		if c.find != nil {
			c.find()
			if err := s.Reopen(); err != nil {
				t.Fatal(err)
			}
			check(t, s, w)
		}
		_ = s.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}
