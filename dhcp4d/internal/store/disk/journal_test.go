package disk

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
)

// journalWith makes a journal of small segments by so many groups.
func journalWith(t *testing.T, groups int) string {
	t.Helper()
	dir := t.TempDir()
	s := mustOpen(t, "journal:"+dir, small(nil))
	w := newWorkload(1)
	for range groups {
		if err := w.step(s); err != nil {
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
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		says  string
	}{
		{"newer format", func(t *testing.T, dir string) {
			overwrite(t, filepath.Join(dir, labelName), 0, labels[Journal]+"3\n")
		}, "newer dhcp4d (format 3, this one knows 2)"},
		{"no label", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, labelName)); err != nil {
				t.Fatal(err)
			}
		}, "dhcp4d-store: it is missing"},
		{"a store of the other kind", func(t *testing.T, dir string) {
			overwrite(t, filepath.Join(dir, labelName), 0, labels[Pebble]+"2\n")
		}, "another kind; name it with pebble:"},
		{"a batch in the middle of a segment", func(t *testing.T, dir string) {
			overwrite(t, filepath.Join(dir, inUse(t, dir)[1].name), 3*BlockSize+100, "rubbish")
		}, "damaged"},
		{"the first batch of a segment", func(t *testing.T, dir string) {
			overwrite(t, filepath.Join(dir, inUse(t, dir)[1].name), 0, "rubbish")
		}, "damaged"},
		{"a batch in the middle of the last segment", func(t *testing.T, dir string) {
			overwrite(t, filepath.Join(dir, last(inUse(t, dir)).name), BlockSize+100, "rubbish")
		}, "damaged"},
		{"the first batch of the last segment", func(t *testing.T, dir string) {
			overwrite(t, filepath.Join(dir, last(inUse(t, dir)).name), 50, "rubbish")
		}, "damaged"},
		{"a segment missing", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, inUse(t, dir)[1].name)); err != nil {
				t.Fatal(err)
			}
		}, "it is missing"},
		{"the oldest segment missing", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, inUse(t, dir)[0].name)); err != nil {
				t.Fatal(err)
			}
		}, "are missing"},
		{"a segment cut", func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, inUse(t, dir)[1].name), 2*BlockSize); err != nil {
				t.Fatal(err)
			}
		}, "its length is not"},
		{"a record of a newer version", func(t *testing.T, dir string) {
			s := last(inUse(t, dir))
			name := filepath.Join(dir, s.name)
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			h := parseBatch(content[s.end-BlockSize:])
			b := content[s.end-BlockSize:][: headerLen+h.octets : BlockSize]
			b[headerLen+lengthLen+store.KeyLen] = 3
			whole, _ := seal(b, &h)
			overwrite(t, name, int64(s.end-BlockSize), string(whole))
			mark := Watermark{store: h.store, Segment: s.number} // or it would say that this is another batch
			if err := newWatermark(vfs.Default, dir, mark); err != nil {
				t.Fatal(err)
			}
		}, "version 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := journalWith(t, 200)
			c.spoil(t, dir)
			before := snapshot(t, dir)
			s, err := Open("journal:"+dir, small(nil))
			if err == nil {
				_, _, err = storetest.Load(s)
				_ = s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
				t.Errorf("said %v", err)
			}
			for name, content := range snapshot(t, dir) {
				if was, ok := before[name]; !ok || was != content {
					t.Errorf("%s changed", name)
				}
			}
		})
	}
}

func last(all []*segment) *segment { return all[len(all)-1] }

// A write that a crash cut short is no damage: it was never acknowledged.
func TestAJournalTakesATornTail(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, "journal:/leases", small(mem))
	many := make([]lease.Binding, 60) // of more than one block
	for i := range many {
		many[i] = storetest.Binding(i)
	}
	for _, group := range [][]lease.Binding{{storetest.Binding(100)}, many} {
		if _, err := s.Commit(group); err != nil {
			t.Fatal(err)
		}
	}
	after := imageOf(t, mem.CrashClone(vfs.CrashCloneCfg{}))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	name := segmentName(1)
	clear(after[name][2*BlockSize:])
	again := after.build(t)
	s = mustOpen(t, "journal:/leases", small(again))
	if got := storetest.Contents(t, s); len(got) != 1 {
		t.Errorf("holds %d", len(got))
	}
	if _, err := s.Commit([]lease.Binding{storetest.Binding(101)}); err != nil {
		t.Error(err)
	}
	if got := storetest.Contents(t, s); len(got) != 2 {
		t.Errorf("holds %d", len(got))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// However long it runs, a journal stays within twice what it holds and a few
// segments; and what is removed does not come back.
func TestAJournalIsBounded(t *testing.T) {
	const held = 3000
	mem := vfs.NewMem()
	s := mustOpen(t, "journal:/leases", small(mem))
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
		s = mustOpen(t, "journal:/leases", small(mem))
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
	b := appendRecord(make([]byte, headerLen, BlockSize), &r)
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
		o := quiet()
		o.Small, o.Go = true, func(work func()) { work() }
		o.FS = faulty(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			calls = append(calls, fmt.Sprintln(op.Kind, op.Path, op.Offset))
			return nil
		}))
		s := mustOpen(t, "journal:/leases", o)
		w := newWorkload(1)
		for range 300 {
			if err := w.step(s); err != nil {
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
