package disk_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
)

// occupied returns the octets of all files of a directory.
func occupied(t testing.TB, fsys vfs.FS, dir string) (octets int64) {
	t.Helper()
	names, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if info, err := fsys.Stat(fsys.PathJoin(dir, name)); err == nil {
			octets += info.Size()
		}
	}
	return octets
}

// slack is what a store of that kind may take more than after its first start:
// for a journal the next segment, for Pebble new logs and manifests.
var slack = map[string]int64{"journal": 4 << 20, "pebble": 1 << 20}

func TestStartsTakeNoSpace(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string) {
		for name, c := range map[string]struct{ commits, crash bool }{
			"that end at once":              {false, false},
			"that commit":                   {true, false},
			"that crash at once":            {false, true},
			"that crash after their commit": {true, true},
		} {
			t.Run(name, func(t *testing.T) {
				mem := vfs.NewCrashableMem()
				first := int64(0)
				for round := range max(4, 40/stridden) {
					o := quiet()
					o.FS = mem
					s := mustOpen(t, kind+":/leases", o)
					if got := storetest.Contents(t, s); round > 0 && len(got) != 1 {
						t.Fatalf("start %d: holds %d leases", round, len(got))
					}
					if c.commits || round == 0 {
						if _, err := s.Commit([]lease.Binding{storetest.Binding(1)}); err != nil {
							t.Fatal(err)
						}
					}
					if c.crash {
						mem = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
					}
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					if round == 0 {
						first = occupied(t, mem, "/leases")
					}
				}
				if now := occupied(t, mem, "/leases"); now > first+slack[kind] {
					t.Errorf("%d octets after the first start, %d after the last", first, now)
				}
			})
		}
	})
}

// failing fails the operations that which selects while it is armed.
type failing struct {
	armed atomic.Bool
	which func(errorfs.Op) bool
	err   error
}

func (f *failing) MaybeError(op errorfs.Op) error {
	if f.armed.Load() && op.Kind != errorfs.OpLock && f.which(op) {
		return f.err
	}
	return nil
}

func (f *failing) String() string { return "failing" }

// However the disk fails and however often the store is opened again, it takes
// bounded space, and is back with the first attempt after the disk is.
func TestAttemptsToReopenTakeNoSpace(t *testing.T) {
	one := func(kinds ...errorfs.OpKind) func(errorfs.Op) bool {
		return func(op errorfs.Op) bool {
			return slices.Contains(kinds, op.Kind)
		}
	}
	eachKind(t, func(t *testing.T, kind string) {
		for name, f := range map[string]*failing{
			"no file can be made":     {which: one(errorfs.OpCreate, errorfs.OpReuseForWrite), err: syscall.ENOSPC},
			"no file can be opened":   {which: one(errorfs.OpCreate, errorfs.OpOpen, errorfs.OpOpenDir, errorfs.OpReuseForWrite), err: syscall.EMFILE},
			"nothing can be written":  {which: one(errorfs.OpFileWrite, errorfs.OpFileWriteAt), err: syscall.ENOSPC},
			"nothing can be synced":   {which: one(errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo), err: syscall.EIO},
			"nothing can be renamed":  {which: one(errorfs.OpRename, errorfs.OpLink), err: syscall.EIO},
			"nothing can be changed":  {which: func(op errorfs.Op) bool { return op.Kind.ReadOrWrite() == errorfs.OpIsWrite }, err: syscall.EROFS},
			"nothing can be read":     {which: func(op errorfs.Op) bool { return op.Kind.ReadOrWrite() == errorfs.OpIsRead }, err: syscall.EIO},
			"the directory is closed": {which: func(errorfs.Op) bool { return true }, err: syscall.EACCES},
		} {
			t.Run(name, func(t *testing.T) {
				mem := vfs.NewMem()
				s := mustOpen(t, kind+":/leases", small(faulty(mem, f)))
				w := storetest.NewWorkload(1)
				for range 20 {
					if err := w.Step(s); err != nil {
						t.Fatal(err)
					}
				}
				before := occupied(t, mem, "/leases")
				f.armed.Store(true)
				failed := false
				for range 2000 {
					if failed = w.Step(s) != nil; failed {
						break
					}
				}
				if !failed {
					if kind != "pebble" || name != "nothing can be renamed" { // which it never does
						t.Error("does not fail")
					}
					_ = s.Close()
					return
				}
				back := 0
				for range 200 {
					if s.Reopen() == nil { // it has found a way that does without
						back++
						for range 200 {
							if w.Step(s) != nil {
								break
							}
						}
					}
				}
				most := occupied(t, mem, "/leases")
				f.armed.Store(false)
				if err := s.Reopen(); err != nil {
					t.Fatalf("does not come back: %v", err)
				}
				check(t, s, w)
				for range 100 {
					if err := w.Step(s); err != nil {
						t.Fatal(err)
					}
				}
				after := occupied(t, mem, "/leases")
				t.Logf("%d octets before, %d after 200 attempts (%d of them went well), %d when it was back", before, most, back, after)
				if bound := before + 6*(64<<10); most > bound || after > bound {
					t.Errorf("more than %d octets", bound)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			})
		}
	})
}

// The same without descriptors, in a real directory and a process of its own.
func TestWithoutDescriptors(t *testing.T) {
	if url := os.Getenv("STORE_TEST_DESCRIPTORS"); url != "" {
		withoutDescriptors(t, url)
		return
	}
	eachKind(t, func(t *testing.T, kind string) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestWithoutDescriptors$", "-test.v")
		cmd.Env = append(os.Environ(), "STORE_TEST_DESCRIPTORS="+kind+":"+filepath.Join(memoryDir(t), "leases"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	})
}

func withoutDescriptors(t *testing.T, url string) {
	_, dir, _ := strings.Cut(url, ":")
	s := mustOpen(t, url, small(nil))
	w := storetest.NewWorkload(1)
	steps := func(n int) (err error) {
		for range n {
			if err = w.Step(s); err != nil {
				return err
			}
		}
		return nil
	}
	if err := steps(100); err != nil {
		t.Fatal(err)
	}
	before := occupied(t, vfs.Default, dir)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	var held []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		if held = append(held, f); len(held) == 64 {
			none := limit
			none.Cur = 64
			if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := steps(5000); !errors.Is(err, store.ErrFailed) {
		t.Fatalf("does not fail: %v", err)
	}
	for range 100 {
		if err := s.Reopen(); err == nil {
			if err := steps(5000); err == nil {
				t.Fatal("works without descriptors")
			}
		}
	}
	for _, f := range held {
		_ = f.Close()
	}
	most := occupied(t, vfs.Default, dir)
	if err := s.Reopen(); err != nil {
		t.Fatal(err)
	}
	check(t, s, w)
	if err := steps(100); err != nil {
		t.Fatal(err)
	}
	after := occupied(t, vfs.Default, dir)
	fmt.Printf("%d octets before, %d after 100 attempts, %d when it was back\n", before, most, after)
	if bound := before + 6*(64<<10); most > bound || after > bound {
		t.Errorf("more than %d octets", bound)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
