package disk_test

import (
	"maps"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
)

// A store that was repaired says so at each start, until it has recovered.
func TestARepairedStoreMustRecover(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string) {
		for name, s := range specimens(t, kind, 150) {
			t.Run(name, func(t *testing.T) {
				repaired := false
				s.damages(func(what string, m image) {
					if repaired {
						return
					}
					url, o := kind+":/leases", small(maps.Clone(m).build(t))
					done, err := engine.Repair(url, o, true)
					if err != nil || !done.Changed {
						return
					}
					repaired = true
					for _, step := range []struct {
						name string
						do   func(store.Store) error
						want bool
					}{
						{"the first start", func(store.Store) error { return nil }, true},
						{"one that keeps a clock mark", func(s store.Store) error { return s.KeepClockMark(clock.Mark{}) }, true},
						{"one in which it recovers", store.Recovered, true},
						{"the next", func(store.Store) error { return nil }, false},
					} {
						opened, err := engine.Open(url, o)
						if err != nil {
							t.Fatalf("%s: %s: %v", what, step.name, err)
						}
						if _, err := held(opened); err != nil {
							t.Fatalf("%s: %s: %v", what, step.name, err)
						}
						if got := store.MustRecover(opened); got != step.want {
							t.Errorf("%s: %s: it must recover: %v", what, step.name, got)
						}
						if err := step.do(opened); err != nil {
							t.Errorf("%s: %s: %v", what, step.name, err)
						}
						if err := opened.Close(); err != nil {
							t.Errorf("%s: %s: %v", what, step.name, err)
						}
					}
				})
				if !repaired {
					t.Error("nothing was repaired")
				}
			})
		}
	})
}

// A store that was not repaired does not recover.
func TestANewStoreMustNotRecover(t *testing.T) {
	if s := store.NewMemory(); store.MustRecover(s) || store.Recovered(s) != nil {
		t.Error("a store in memory recovers")
	}
}
