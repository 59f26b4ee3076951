package journal

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
)

func small(fs vfs.FS) Options {
	return Options{Options: disk.Options{
		Log: slog.New(slog.DiscardHandler), Now: func() lease.Time { return 1_700_000_000 }, FS: fs, Small: true,
	}}
}

func mustOpen(t *testing.T, dir string, o Options) store.Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// journalWith makes a journal of small segments by so many groups.
func journalWith(t *testing.T, groups int) string {
	t.Helper()
	dir := t.TempDir()
	s := mustOpen(t, dir, small(vfs.Default))
	w := storetest.NewWorkload(1)
	for range groups {
		if err := w.Step(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// inUse is the files of a journal that hold batches that count, oldest first,
// and the segment of each.
func inUse(t *testing.T, dir string) []*segment {
	t.Helper()
	j, err := claimJournal(dir, small(vfs.Default))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Release()
	if err := j.scan(); err != nil {
		t.Fatal(err)
	}
	return j.segments
}

func TestAJournalRefusesWhatIsDamaged(t *testing.T) {
	kind := storetest.Kind{
		Label: "dhcp4d lease journal, format ", OtherLabel: "dhcp4d lease store, format ", OtherName: "pebble",
		Make: func(t *testing.T) string { return journalWith(t, 200) },
		Open: func(dir string) (store.Store, error) { return Open(dir, small(vfs.Default)) },
		Repair: func(dir string) error {
			_, err := Repair(dir, small(vfs.Default), true)
			return err
		},
	}
	kind.Refusals(t, []storetest.Spoiled{
		{Name: "a batch in the middle of a segment", Spoil: func(t *testing.T, dir string) {
			storetest.Overwrite(t, filepath.Join(dir, inUse(t, dir)[1].name), 3*disk.BlockSize+100, "rubbish")
		}, Says: "damaged"},
		{Name: "the first batch of a segment", Spoil: func(t *testing.T, dir string) {
			storetest.Overwrite(t, filepath.Join(dir, inUse(t, dir)[1].name), 0, "rubbish")
		}, Says: "damaged"},
		{Name: "a batch in the middle of the last segment", Spoil: func(t *testing.T, dir string) {
			storetest.Overwrite(t, filepath.Join(dir, last(inUse(t, dir)).name), disk.BlockSize+100, "rubbish")
		}, Says: "damaged"},
		{Name: "the first batch of the last segment", Spoil: func(t *testing.T, dir string) {
			storetest.Overwrite(t, filepath.Join(dir, last(inUse(t, dir)).name), 50, "rubbish")
		}, Says: "damaged"},
		{Name: "a segment missing", Spoil: func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, inUse(t, dir)[1].name)); err != nil {
				t.Fatal(err)
			}
		}, Says: "it is missing"},
		{Name: "the oldest segment missing", Spoil: func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, inUse(t, dir)[0].name)); err != nil {
				t.Fatal(err)
			}
		}, Says: "are missing"},
		{Name: "a segment cut", Spoil: func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, inUse(t, dir)[1].name), 2*disk.BlockSize); err != nil {
				t.Fatal(err)
			}
		}, Says: "its length is not"},
		{Name: "a record of a newer version", Spoil: func(t *testing.T, dir string) {
			s := last(inUse(t, dir))
			d, err := disk.Claim(dir, disk.Journal, small(vfs.Default).Options)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Release()
			name := filepath.Join(dir, s.name)
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			h := parseBatch(content[s.end-disk.BlockSize:])
			b := content[s.end-disk.BlockSize:][: headerLen+h.octets : disk.BlockSize]
			b[headerLen+lengthLen+store.KeyLen] = 3
			whole, _ := seal(b, &h)
			storetest.Overwrite(t, name, int64(s.end-disk.BlockSize), string(whole))
			// Or the watermark would say that this is another batch.
			if err := d.MakeWatermark(disk.Watermark{Segment: s.number}); err != nil {
				t.Fatal(err)
			}
		}, Says: "was written by a newer dhcp4d: segment-"},
	}...)
}

func last(all []*segment) *segment { return all[len(all)-1] }

// However long it runs, a journal stays within twice what it holds and a few
// segments; and what is removed does not come back.
func TestAJournalIsBounded(t *testing.T) {
	const held = 3000
	mem := vfs.NewMem()
	s := mustOpen(t, "/leases", small(mem))
	most := 0
	for round := range 12 {
		for i := 0; i < held; i += 20 {
			var group []lease.Binding
			for n := i; n < i+20; n++ {
				b := storetest.Binding(n * 7919 % held)
				b.Changed += lease.Time(round)
				if n%10 == 0 && round == 11 {
					b.State = lease.NoState
				}
				group = append(group, b)
			}
			if _, err := s.Commit(group); err != nil {
				t.Fatal(err)
			}
			most = max(most, len(s.(*journal).segments))
		}
	}
	b := storetest.Binding(1)
	if bound := 2*(held*recordLen(&b)/smallSize+1) + leastSegments + 4; most > bound {
		t.Errorf("%d segments at most, want at most %d", most, bound)
	}
	if s.Stats().Compactions == 0 {
		t.Error("no segment was emptied")
	}
	for range 2 {
		got := storetest.Contents(t, s)
		if len(got) != held*9/10 {
			t.Errorf("holds %d, want %d", len(got), held*9/10)
		}
		for _, b := range got {
			if b.Changed != 1_700_000_000+11 {
				t.Fatalf("an old record: %+v", b)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, "/leases", small(mem))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// The index against a map.
func TestIndex(t *testing.T) {
	var x index
	twin := make(map[string]uint32)
	n := uint32(1)
	for i := range 200_000 {
		n = n*1664525 + 1013904223
		b := lease.Binding{ID: lease.ID{Addr: netip.AddrFrom4([4]byte{10, 0, byte(n >> 20), byte(n >> 10)}), Ports: lease.PortSet(n >> 30 / 3)}}
		record := store.AppendKey(nil, &b)
		was, had := twin[string(record)]
		if n>>8%3 == 0 {
			if old, ok := x.remove(record); ok != had || old != was {
				t.Fatalf("step %d: removed %d %v, want %d %v", i, old, ok, was, had)
			}
			delete(twin, string(record))
			continue
		}
		at := uint32(i + 1)
		if old, ok := x.put(record, at); ok != had || old != was {
			t.Fatalf("step %d: replaced %d %v, want %d %v", i, old, ok, was, had)
		}
		twin[string(record)] = at
	}
	for k, want := range twin {
		if got := x.get([]byte(k)); got != want {
			t.Errorf("%x is at %d, want %d", k, got, want)
		}
	}
}

// What is read as a batch of today's format is what sealed it.
func FuzzBatch(f *testing.F) {
	r := storetest.Binding(1)
	b := appendRecord(make([]byte, headerLen, disk.BlockSize), &r)
	whole, _ := seal(b, &batchHeader{store: 9, segment: 3, before: 4, number: 7, head: 2, clock: 5})
	f.Add(slices.Clone(whole))
	f.Fuzz(func(t *testing.T, b []byte) {
		h := parseBatch(b)
		if h.format != 2 || h.length() > len(b) {
			return
		}
		again := make([]byte, h.length())
		copy(again, b[:headerLen+h.octets])
		if again, _ = seal(again[:headerLen+h.octets], &h); string(again[:headerLen+h.octets]) != string(b[:headerLen+h.octets]) {
			t.Error(fmt.Sprintf("%x", b), "is another batch when it is written again")
		}
	})
}

// With Go in the caller's goroutine two runs make the same calls of the file
// system in the same order.
func TestAJournalWithoutGoroutinesIsRepeatable(t *testing.T) {
	run := func() (calls []string) {
		o := small(nil)
		o.Go = func(work func()) { work() }
		o.FS = errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			calls = append(calls, fmt.Sprintln(op.Kind, op.Path, op.Offset))
			return nil
		}))
		s := mustOpen(t, "/leases", o)
		w := storetest.NewWorkload(1)
		for range 300 {
			if err := w.Step(s); err != nil {
				t.Fatal(err)
			}
		}
		if s.Stats().Compactions == 0 {
			t.Error("no segment was emptied")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return calls
	}
	first, second := run(), run()
	if len(first) < 300 || !slices.Equal(first, second) {
		t.Errorf("%d calls, then %d others", len(first), len(second))
	}
}
