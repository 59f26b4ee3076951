package disk_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
)

// faulty calls inj before every operation on fs. errorfs alone leaves out the
// logs that are used again.
func faulty(fs vfs.FS, inj errorfs.Injector) vfs.FS {
	return recycled{errorfs.Wrap(fs, inj), inj}
}

type recycled struct {
	vfs.FS
	inj errorfs.Injector
}

func (r recycled) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := r.FS.ReuseForWrite(oldname, newname, c)
	if err != nil {
		return nil, err
	}
	return errorfs.WrapFile(f, r.inj), nil
}

func small(fs vfs.FS) engine.Options {
	o := quiet()
	o.FS, o.Small = fs, true
	return o
}

// withoutSync is a file system that does not sync what commits write.
type withoutSync struct{ vfs.FS }

func (u withoutSync) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := u.FS.OpenReadWrite(name, c, o...)
	return unsyncedFile{f}, err
}

func (u withoutSync) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := u.FS.Create(name, c)
	if strings.HasSuffix(name, ".log") {
		f = unsyncedFile{f}
	}
	return f, err
}

func (u withoutSync) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := u.FS.ReuseForWrite(oldname, newname, c)
	return unsyncedFile{f}, err
}

type unsyncedFile struct{ vfs.File }

func (unsyncedFile) Sync() error                { return nil }
func (unsyncedFile) SyncData() error            { return nil }
func (unsyncedFile) SyncTo(int64) (bool, error) { return false, nil }

// powerCuts runs a workload on a file system that forgets, and cuts the power
// before every single change that the store makes to it. It returns the number
// of cuts and the sum of the losses that starts after them found.
func powerCuts(t *testing.T, kind string, noSync bool, unsynced int) (cuts, lost int) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	w := storetest.NewWorkload(uint64(unsynced))
	rng := rand.New(rand.NewPCG(2, 2))
	var mu sync.Mutex // cuts, lost, points, rng
	points := 0
	inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if points++; points%stridden != 0 {
			return nil
		}
		acked := w.Known() // before the cut: all of it has to survive
		after := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rng})
		s, err := engine.Open(kind+":/leases", small(after))
		if err != nil {
			t.Errorf("cut %d, before %v of %s: %v", cuts, op.Kind, op.Path, err)
			return nil
		}
		n, err := w.Check(s, acked)
		if err != nil {
			t.Errorf("cut %d, before %v of %s: %v", cuts, op.Kind, op.Path, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("cut %d: %v", cuts, err)
		}
		cuts, lost = cuts+1, lost+n
		return nil
	})
	o := small(faulty(mem, inject))
	if noSync {
		o.FS = withoutSync{o.FS}
	}
	s := mustOpen(t, kind+":/leases", o)
	for range 250 {
		if err := w.Step(s); err != nil {
			t.Fatal(err)
		}
	}
	st := s.Stats()
	if st.Compactions == 0 {
		t.Errorf("the workload is too short to reach a compaction: %+v", st)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d cuts, syncs %t: %d records lost, %d compactions", cuts, !noSync, lost, st.Compactions)
	return cuts, lost
}

func TestD4_26_APowerCutAtAnyPointLosesNoAcknowledgedRecord(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		for _, unsynced := range []int{0, 50, 100} {
			t.Run(fmt.Sprintf("%d%% of the unsynced data survive", unsynced), func(t *testing.T) {
				cuts, lost := powerCuts(t, kind, false, unsynced)
				if lost != 0 {
					t.Errorf("%d records lost in %d cuts", lost, cuts)
				}
			})
		}
	})
}

// The same test without syncs finds losses, so it can find them.
func TestAPowerCutWithoutSyncLosesRecords(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		if cuts, lost := powerCuts(t, kind, true, 0); lost == 0 {
			t.Errorf("nothing lost in %d cuts", cuts)
		}
	})
}
