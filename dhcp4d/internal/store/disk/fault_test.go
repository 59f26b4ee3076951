package disk_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
)

// faults fails changes to a file system, by their number.
type faults struct {
	seen   atomic.Int64
	first  atomic.Int64 // the first to fail, -1 = none
	last   atomic.Int64
	only   string // part of the paths that may fail, "" = all
	except string // part of those that may not, "" = none
}

// logFile is what the names of the files have in common that commits go to.
var logFile = map[string]string{"pebble": ".log", "journal": "segment-"}

func (f *faults) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsRead || op.Kind == errorfs.OpLock {
		return nil
	}
	if !strings.Contains(op.Path, f.only) || (f.except != "" && strings.Contains(op.Path, f.except)) {
		return nil
	}
	n := f.seen.Add(1) - 1
	if n >= f.first.Load() && n <= f.last.Load() {
		return syscall.ENOSPC
	}
	return nil
}

func (f *faults) String() string { return "faults" }

func (f *faults) from(first, count int64) {
	f.last.Store(first + count - 1)
	f.first.Store(first)
}

func (f *faults) never() { f.first.Store(-1); f.last.Store(-1) }

// survive runs a workload on s, opens it again whenever it fails, and checks
// each time that nothing acknowledged is missing.
func survive(t *testing.T, s store.Store, w *storetest.Workload, steps int) (failures int) {
	t.Helper()
	for range steps {
		err := w.Step(s)
		if err == nil {
			continue
		}
		failures++
		if !errors.Is(err, store.ErrFailed) {
			t.Fatalf("failed with %v", err)
		}
		if _, err := s.Commit([]lease.Binding{storetest.Binding(1)}); !errors.Is(err, store.ErrFailed) {
			t.Fatalf("failed, then took a commit: %v", err)
		}
		attempts := 0
		for s.Reopen() != nil {
			if attempts++; attempts > 1000 {
				t.Fatal("does not come back")
			}
		}
		check(t, s, w)
	}
	return failures
}

func check(t *testing.T, s store.Store, w *storetest.Workload) {
	t.Helper()
	lost, err := w.Check(s, w.Known())
	if err != nil || lost != 0 {
		t.Fatalf("%d records lost, %v", lost, err)
	}
}

// For every change that the store makes to the file system, and for runs of them.
func TestD4_26_AnErrorOfTheDiskAtAnyPointIsSurvived(t *testing.T) { eachKind(t, survivesErrors) }

func survivesErrors(t *testing.T, kind string) {
	const steps = 120
	count := &faults{}
	count.never()
	s := mustOpen(t, kind+":/leases", small(faulty(vfs.NewCrashableMem(), count)))
	from := count.seen.Load()
	survive(t, s, storetest.NewWorkload(1), steps)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ops := count.seen.Load()
	before := runtime.NumGoroutine()
	for run, stride := range map[int64]int64{1: 1, 3: 3, 40: 11} {
		t.Run(fmt.Sprintf("%d in a row", run), func(t *testing.T) {
			failed, places := 0, 0
			for at := from; at < ops; at += stride * stridden {
				places++
				mem := vfs.NewCrashableMem()
				f := &faults{}
				f.never()
				s := mustOpen(t, kind+":/leases", small(faulty(mem, f)))
				w := storetest.NewWorkload(1)
				f.from(at, run)
				failed += survive(t, s, w, steps)
				f.never()
				if err := s.Close(); err != nil && at < f.seen.Load()-run {
					// An error after the last step is met by Close.
					t.Logf("fault at %d: close: %v", at, err)
				}
				s = mustOpen(t, kind+":/leases", small(mem.CrashClone(vfs.CrashCloneCfg{})))
				check(t, s, w)
				if err := s.Close(); err != nil {
					t.Fatalf("fault at %d: %v", at, err)
				}
			}
			t.Logf("%d places, %d failures survived", places, failed)
			if failed < places/2 {
				t.Errorf("only %d failures in %d places", failed, places)
			}
		})
	}
	leaks(t, before)
}

// A sync that fails leaves its data in the page cache, where the next start
// finds them although they are not on the disk. So: an error in every change
// but those of the log, and a power cut before every change soon after.
func TestD4_26_APowerCutAfterAnErrorLosesNoAcknowledgedRecord(t *testing.T) {
	t.Parallel()
	eachKind(t, survivesErrorAndPowerCut)
}

func survivesErrorAndPowerCut(t *testing.T, kind string) {
	const steps, cutsEach = 60, 50
	rng := rand.New(rand.NewPCG(4, 3))
	faulted, cuts := 0, 0
	for at := int64(0); ; at += stridden {
		mem := vfs.NewCrashableMem()
		f := &faults{except: logFile[kind]}
		f.never()
		w := storetest.NewWorkload(1)
		var mu sync.Mutex
		left := 0
		inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				acked := w.Known()
				mu.Lock()
				if left > 0 {
					left--
					cuts++
					unsynced := cuts % 2 * 50
					s := mustOpen(t, kind+":/leases", small(mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rng})))
					if lost, err := w.Check(s, acked); err != nil || lost > 0 {
						t.Errorf("fault at %d, cut before %v of %s: %d records lost, %v", at, op.Kind, op.Path, lost, err)
					}
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				}
				mu.Unlock()
			}
			err := f.MaybeError(op)
			if err != nil {
				mu.Lock()
				left = cutsEach
				mu.Unlock()
			}
			return err
		})
		s := mustOpen(t, kind+":/leases", small(faulty(mem, inject)))
		f.from(f.seen.Load()+at, 1)
		failed := survive(t, s, w, steps)
		if err := s.Close(); err != nil && f.seen.Load() <= f.last.Load() {
			t.Error(err)
		}
		if f.seen.Load() <= f.last.Load() {
			break // beyond the last change
		}
		faulted += failed
	}
	t.Logf("%d failures, %d cuts", faulted, cuts)
}

// leaks fails when there are more goroutines than before, once those that end have had time to.
func leaks(t *testing.T, before int) {
	t.Helper()
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	buf := make([]byte, 1<<20)
	t.Errorf("%d goroutines, before there were %d\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
}

func TestManyFailuresLeaveNothingBehind(t *testing.T) { eachKind(t, manyFailures) }

func manyFailures(t *testing.T, kind string) {
	f := &faults{only: logFile[kind]}
	f.never()
	before := runtime.NumGoroutine()
	s := mustOpen(t, kind+":/leases", small(faulty(vfs.NewCrashableMem(), f)))
	w := storetest.NewWorkload(3)
	stop := make(chan struct{})
	var scrape sync.WaitGroup
	scrape.Go(func() { // as a scrape may come at any moment
		for {
			select {
			case <-stop:
				return
			default:
				s.Stats()
				time.Sleep(time.Millisecond)
			}
		}
	})
	for range max(20, 200/stridden) {
		// The removal of an old log, in the background, may get the error
		// instead, and that is no failure.
		for tries := 0; ; tries++ {
			f.from(f.seen.Load(), 1)
			if survive(t, s, w, 1) > 0 {
				break
			}
			if tries > 20 {
				t.Fatal("does not fail")
			}
		}
		survive(t, s, w, 2)
	}
	close(stop)
	scrape.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	leaks(t, before)
}

// A name that an error has kept from being durable is made so before anything counts on it.
func TestD4_26_ANameWhoseSyncFailedIsSyncedBeforeItCounts(t *testing.T) {
	mem := vfs.NewCrashableMem()
	armed, reopen, failed := false, false, 0
	inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch {
		case armed && op.Kind == errorfs.OpFileSync && op.Path == "/leases":
			armed, reopen = false, true
			failed++
		case reopen && op.Kind == errorfs.OpFileWriteAt && strings.Contains(op.Path, "segment-"):
			reopen = false // the next commit fails too, before the segment is made again
		default:
			return nil
		}
		return syscall.EIO
	})
	o := small(faulty(mem, inject))
	o.Go = func(work func()) { work() }
	s := mustOpen(t, "journal:/leases", o)
	w := storetest.NewWorkload(1)
	for i := range 400 {
		armed = armed || i%40 == 20
		survive(t, s, w, 1)
		after, err := engine.Open("journal:/leases", small(mem.CrashClone(vfs.CrashCloneCfg{})))
		if err != nil {
			t.Fatalf("a power cut after step %d: %v", i, err)
		}
		check(t, after, w)
		if err := after.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if failed < 5 {
		t.Errorf("only %d syncs of the directory failed", failed)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
