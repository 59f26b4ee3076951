package disk_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
)

// format1 are stores that a dhcp4d of format 1 has written, in small files: of each kind one that
// was stopped, and a copy made while it ran, as a crash leaves it.
func format1(t *testing.T) map[string]image {
	t.Helper()
	f, err := os.Open("testdata/format1.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]image)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		dir, name, _ := strings.Cut(h.Name, "/")
		if name == "" {
			continue
		}
		if all[dir] == nil {
			all[dir] = make(image)
		}
		if all[dir][name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// format1Leases is what is in each of them.
func format1Leases() map[string]lease.Binding {
	all := make(map[string]lease.Binding)
	for round := range 3 {
		for i := range 40 {
			for j := range 10 {
				b := storetest.Binding((i*10 + j) * (round + 1) % 300)
				b.RemoteID = nil // which format 1 did not know
				b.Changed += lease.Time(round*40 + i)
				if (i+j)%7 == 0 {
					b.State = lease.Released
				}
				all[storetest.Key(&b)] = b
				if (i+j)%11 == 0 {
					delete(all, storetest.Key(&b))
				}
			}
		}
	}
	return all
}

func TestAStoreOfFormat1IsTakenOver(t *testing.T) {
	for name, m := range format1(t) {
		t.Run(name, func(t *testing.T) {
			want := format1Leases()
			kind, _, _ := strings.Cut(name, "-")
			fsys := m.build(t)
			for round := range 4 {
				s := mustOpen(t, kind+":/leases", small(fsys))
				got := storetest.Contents(t, s)
				if len(got) != len(want) {
					t.Errorf("start %d: %d leases, want %d", round, len(got), len(want))
				}
				for k, b := range want {
					if g := got[k]; !storetest.Same(&g, &b) {
						t.Errorf("start %d: got  %+v\nwant %+v", round, g, b)
					}
				}
				if round == 2 { // over several segments
					for i := range 200 {
						b := storetest.Binding(1000 + i%7)
						b.Changed += lease.Time(i)
						want[storetest.Key(&b)] = b
						if _, err := s.Commit([]lease.Binding{b}); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A takeover that is cut short anywhere is begun again by the next start.
func TestATakeoverMayBeCutShort(t *testing.T) {
	t.Parallel()
	want := format1Leases()
	for name, m := range format1(t) {
		t.Run(name, func(t *testing.T) {
			kind, _, _ := strings.Cut(name, "-")
			cuts := 0
			for at := int64(0); ; at += min(stridden, 5) {
				f := &faults{}
				f.from(at, 1_000_000)
				fsys := m.build(t)
				s, err := engine.Open(kind+":/leases", small(faulty(fsys, f)))
				if err == nil {
					_, _, err = storetest.Load(s)
					_ = s.Close()
				}
				if err == nil {
					break
				}
				cuts++
				s = mustOpen(t, kind+":/leases", small(fsys))
				if got := storetest.Contents(t, s); len(got) != len(want) {
					t.Errorf("cut before change %d: %d leases, want %d", at, len(got), len(want))
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			if cuts < 5/min(stridden, 5) {
				t.Errorf("only %d cuts", cuts)
			}
		})
	}
}

// What format 1 could notice is still noticed: every other damage loses nothing.
func TestDamageOfFormat1IsRefused(t *testing.T) {
	want := len(format1Leases())
	whole := format1(t)["journal-stopped"]
	for what, spoil := range map[string]func(m image, name string){
		"missing":            func(m image, name string) { delete(m, name) },
		"with a wrong octet": func(m image, name string) { m[name] = flipped(m[name], 3*disk.BlockSize+100) },
	} {
		refused := 0
		for _, name := range whole.segments() {
			m := maps.Clone(whole)
			spoil(m, name)
			s, err := engine.Open("journal:/leases", small(m.build(t)))
			if err == nil {
				var got map[string]lease.Binding
				if got, _, err = storetest.Load(s); err == nil && len(got) != want {
					t.Errorf("%s %s: %d leases, want %d", name, what, len(got), want)
				}
				_ = s.Close()
			}
			if err != nil {
				refused++
				if !strings.Contains(err.Error(), "damaged") {
					t.Errorf("%s %s: said %v", name, what, err)
				}
			}
		}
		if refused == 0 {
			t.Errorf("%s: never refused", what)
		}
	}
}

func flipped(content []byte, at int) []byte {
	content = slices.Clone(content)
	content[at] ^= 1
	return content
}
