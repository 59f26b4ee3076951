package disk_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
)

// Of every damage that is refused: a dry run changes nothing; a repair that is accepted makes a
// store that opens, holds only what was written, and nothing less than is left of the journal; and
// a repair that is cut short can be begun again.
func TestRepair(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		for name, s := range specimens(t, kind, 150) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				repaired, hopeless, whole, n := 0, 0, 0, 0
				s.damages(func(what string, m image) {
					if n++; n%(5*stridden) != 0 {
						return
					}
					fsys := m.build(t)
					dry, err := engine.Repair(kind+":/leases", small(fsys), false)
					if after := imageOf(t, fsys); !maps.EqualFunc(after, m, bytes.Equal) {
						t.Errorf("%s: a dry run changed the store", what)
					}
					if err != nil {
						hopeless++
						return
					}
					if dry.Damage == nil {
						return
					}
					done, err := engine.Repair(kind+":/leases", small(fsys), true)
					if err != nil {
						if kind == "journal" {
							t.Errorf("%s: %v", what, err)
						}
						hopeless++
						return
					}
					if !done.Changed || done.Leases != dry.Leases || done.Lost != dry.Lost {
						t.Errorf("%s: announced %+v, done %+v", what, dry, done)
					}
					if again, err := engine.Repair(kind+":/leases", small(fsys), true); err != nil || again.Damage != nil || again.Changed {
						t.Errorf("%s: after the repair: %+v, %v", what, again, err)
					}
					st := s.reopened(t, what, fsys)
					final := s.history[len(s.history)-1]
					leases := 0
					for i, v := range st {
						if v > final[i] {
							t.Errorf("%s: address %d has version %d, the highest written is %d", what, i, v, final[i])
						}
						if v != 0 {
							leases++
						}
					}
					if leases != done.Leases {
						t.Errorf("%s: %d leases announced, %d there", what, done.Leases, leases)
					}
					if st == final {
						whole++
					} else if done.Lost == 0 && s.history.after(st) < s.safe && !strings.Contains(dry.Damage.Error(), "nobody knows whether") {
						t.Errorf("%s: something is missing, and nothing was said to be lost", what)
					}
					repaired++
				})
				t.Logf("%d repaired, %d of them without a loss; %d cannot be", repaired, whole, hopeless)
				// Of the damages of Pebble most are beyond repair, and the race detector leaves
				// time for few.
				if repaired == 0 && (kind == "journal" || stridden == 1) {
					t.Error("nothing was repaired")
				}
			})
		}
	})
}

// reopened is what a store holds, which takes commits.
func (s *specimen) reopened(t *testing.T, what string, fsys vfs.FS) state {
	t.Helper()
	opened, err := engine.Open(s.kind+":/leases", small(fsys))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	st, err := held(opened)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	w := storetest.NewWorkload(9)
	w.Version = 1_000_000
	for range 30 {
		if err := w.Step(opened); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	if err := opened.Close(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return st
}

func TestARepairMayBeCutShort(t *testing.T) {
	for name, s := range specimens(t, "journal", 150) {
		t.Run(name, func(t *testing.T) {
			m := maps.Clone(s.files)
			names := m.segments()
			m[names[1]] = flipped(m[names[1]], 60)
			delete(m, names[2])
			want, err := engine.Repair("journal:/leases", small(m.build(t)), false)
			if err != nil || want.Damage == nil {
				t.Fatalf("%+v, %v", want, err)
			}
			for at := int64(0); ; at++ {
				f := &faults{}
				f.from(at, 1_000_000)
				fsys := m.build(t)
				_, err := engine.Repair("journal:/leases", small(faulty(fsys, f)), true)
				if err == nil {
					if at < 10 {
						t.Errorf("only %d places", at)
					}
					break
				}
				if s, err := engine.Open("journal:/leases", small(fsys)); err == nil {
					if got, _, err := storetest.Load(s); err == nil && len(got) != want.Leases {
						t.Errorf("cut at %d: half a repair is served: %d leases of %d", at, len(got), want.Leases)
					}
					_ = s.Close()
				}
				again, err := engine.Repair("journal:/leases", small(fsys), true)
				if err != nil || (again.Damage != nil && again.Leases != want.Leases) {
					t.Errorf("cut at %d: %+v, %v", at, again, err)
				}
				s.reopened(t, "after a second repair", fsys)
			}
		})
	}
}

func TestRepairOfWhatIsNoStore(t *testing.T) {
	mem := vfs.NewMem()
	for _, url := range []string{"journal:/nothing", "pebble:/nothing", "memory:"} {
		if _, err := engine.Repair(url, small(mem), true); err == nil {
			t.Errorf("%s was repaired", url)
		}
	}
	if names, err := mem.List("/"); err != nil || slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, "nothing") }) {
		t.Errorf("it has made %q, %v", names, err)
	}
}
