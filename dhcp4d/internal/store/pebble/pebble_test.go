package pebble

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
)

func quiet() disk.Options {
	return disk.Options{
		Log: slog.New(slog.DiscardHandler),
		Now: func() lease.Time { return 1_700_000_000 },
		FS:  vfs.Default,
	}
}

func mustOpen(t *testing.T, dir string, o disk.Options) store.Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// filled makes a store with records in a table and, since it was not closed, in the log.
func filled(t *testing.T) string {
	t.Helper()
	from, dir := t.TempDir(), t.TempDir()
	s := mustOpen(t, from, quiet())
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
	if err := os.CopyFS(dir, storetest.SkipLock{FS: os.DirFS(from)}); err != nil {
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

func TestRefusals(t *testing.T) {
	kind := storetest.Kind{
		Label: "dhcp4d lease store, format ", OtherLabel: "dhcp4d lease journal, format ", OtherName: "journal",
		Make: filled,
		Open: func(dir string) (store.Store, error) { return Open(dir, quiet()) },
		Repair: func(dir string) error {
			_, err := Repair(dir, quiet(), true)
			return err
		},
	}
	kind.Refusals(t, []storetest.Spoiled{
		{Name: "newer Pebble", Spoil: func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "marker.format-version.000099.999"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, Says: "damaged"},
		{Name: "table damaged", Spoil: func(t *testing.T, dir string) {
			storetest.Overwrite(t, storetest.One(t, dir, "*.sst"), 100, "rubbish")
		}, Says: "damaged"},
		{Name: "table missing", Spoil: func(t *testing.T, dir string) {
			if err := os.Remove(storetest.One(t, dir, "*.sst")); err != nil {
				t.Fatal(err)
			}
		}, Says: "damaged"},
		{Name: "table cut", Spoil: func(t *testing.T, dir string) {
			if err := os.Truncate(storetest.One(t, dir, "*.sst"), 700); err != nil {
				t.Fatal(err)
			}
		}, Says: "damaged"},
		{Name: "manifest damaged", Spoil: func(t *testing.T, dir string) {
			storetest.Overwrite(t, storetest.One(t, dir, "MANIFEST-*"), 10, "rubbish")
		}, Says: "damaged"},
		{Name: "manifest missing", Spoil: func(t *testing.T, dir string) {
			if err := os.Remove(storetest.One(t, dir, "marker.manifest.*")); err != nil {
				t.Fatal(err)
			}
		}, Says: "damaged"},
		{Name: "log damaged in the middle", Spoil: func(t *testing.T, dir string) {
			storetest.Overwrite(t, storetest.One(t, dir, "000004.log"), 500, "rubbish")
		}, Says: "damaged"},
		{Name: "record of a newer version", Spoil: func(t *testing.T, dir string) {
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
		}, Says: "was written by a newer dhcp4d: record is of version 3, this dhcp4d knows 2"},
	}...)
}

func TestACleanStopLeavesNoLogToReplay(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, quiet())
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
	s = mustOpen(t, dir, quiet())
	if got := storetest.Contents(t, s); len(got) != 1 {
		t.Errorf("holds %v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Pebble reports success when a write of its log failed and Logger.Fatalf returns. The error is put
// between the fence and Pebble here, so that the logger alone has to notice.
func TestD4_26_PebbleCallsALostWriteCommitted(t *testing.T) {
	for _, kind := range []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileSyncData, errorfs.OpFileSync} {
		var armed atomic.Bool
		hit := 0
		inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if armed.Load() && op.Kind == kind && strings.HasSuffix(op.Path, ".log") {
				hit++
				return syscall.EIO
			}
			return nil
		})
		mem := vfs.NewCrashableMem()
		o := quiet()
		o.FS = mem
		d, err := open("/leases", options{Options: o, wrap: func(fs vfs.FS) vfs.FS { return errorfs.Wrap(fs, inject) }})
		if err != nil {
			t.Fatal(err)
		}
		var s store.Store = d
		armed.Store(true)

		// What Pebble says.
		b := d.db.NewBatch()
		r := storetest.Binding(1)
		if err := b.Set(store.AppendKey(nil, &r), store.AppendValue(nil, &r), nil); err != nil {
			t.Fatal(err)
		}
		err = d.db.Apply(b, pebble.Sync)
		if hit == 0 { // this version syncs by another call
			_ = s.Close()
			continue
		}
		if err != nil {
			t.Errorf("Pebble has become honest: %v; the fence may be thought over", err)
		}
		// What the store says of that, and of a commit of its own.
		if d.fence.err() == nil {
			t.Error("the lost write is not noticed")
		}
		if _, err := s.Commit([]lease.Binding{storetest.Binding(2)}); !errors.Is(err, store.ErrFailed) {
			t.Errorf("commit after a lost write: %v", err)
		}
		armed.Store(false)
		if err := s.Reopen(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Commit([]lease.Binding{storetest.Binding(3)}); err != nil {
			t.Error(err)
		}
		got := storetest.Contents(t, mustOpen(t, "/leases", disk.Options{Log: o.Log, Now: o.Now, FS: mem.CrashClone(vfs.CrashCloneCfg{})}))
		b2, b3 := storetest.Binding(2), storetest.Binding(3)
		if _, ok := got[storetest.Key(&b2)]; ok {
			t.Error("the commit that failed is there, this test proves nothing")
		}
		if _, ok := got[storetest.Key(&b3)]; !ok {
			t.Error("the commit after the recovery is not there")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		t.Logf("%v: failed as it should", kind)
	}
}
