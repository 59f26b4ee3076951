package disk_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock/clocktest"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
)

func TestClockErrorForgivesALittle(t *testing.T) {
	now := time.Now()
	for ahead, still := range map[int64]bool{-10: false, 0: false, store.ClockSlack: false, store.ClockSlack + 1: true, 86400: true} {
		e := &store.ClockError{Written: lease.Time(now.Unix() + ahead)}
		if got := e.Still(now); got != still {
			t.Errorf("%d s ahead: %t, want %t", ahead, got, still)
		}
	}
}

// timeline is a dhcp4d as far as its clock and its store are concerned, on a machine whose clocks
// the test moves, and what its clients were promised.
type timeline struct {
	t    *testing.T
	url  string
	m    *clocktest.Machine
	next byte
	// promised is until when clients may use their storetest.Addresses, by the true time.
	promised map[byte]time.Time

	// While it runs.
	store    store.Store
	clock    *clock.Clock
	watch    *clock.Watch
	resumed  store.Resumed
	bindings map[byte]lease.Binding
}

// epoch is when the stories begin.
var epoch = time.Unix(1_750_000_000, 0)

func newTimeline(t *testing.T, url string) *timeline {
	return &timeline{t: t, url: url, m: clocktest.NewMachine(epoch), promised: map[byte]time.Time{}}
}

// start does what the daemon does at its start. The error is that of a clock behind the store.
func (l *timeline) start() error {
	l.t.Helper()
	l.clock = clock.New(l.m)
	o := quiet()
	o.Now = l.clock.Now
	var err error
	if l.store == nil || l.url != "memory:" {
		l.store = mustOpen(l.t, l.url, o)
	}
	if l.resumed, err = store.Resume(l.store, l.clock); err != nil {
		l.t.Fatal(err)
	}
	got, found, err := storetest.Load(l.store)
	if err != nil {
		l.t.Fatal(err)
	}
	l.bindings = map[byte]lease.Binding{}
	for _, b := range got {
		l.bindings[b.Addr.As4()[3]] = b
	}
	if err := store.Settle(l.store, found, l.clock); err != nil {
		l.crash()
		return err
	}
	l.watch = clock.NewWatch(prometheus.NewRegistry(), l.clock, l.store, o.Log)
	l.watch.Look()
	return nil
}

func (l *timeline) mustStart() {
	l.t.Helper()
	if err := l.start(); err != nil {
		l.t.Fatal(err)
	}
}

// grant acknowledges a lease.
func (l *timeline) grant(d time.Duration) byte {
	l.t.Helper()
	l.next++
	b := storetest.Binding(int(l.next))
	now := l.clock.Now()
	b.State, b.Start, b.Changed, b.Expires = lease.Bound, now, now, now.After(uint32(d/time.Second))
	id := b.Addr.As4()[3]
	if _, err := l.store.Commit([]lease.Binding{b}); err != nil {
		l.t.Fatal(err)
	}
	l.bindings[id] = b
	l.promised[id] = l.m.Truth().Add(d)
	return id
}

// inForce reports whether the lease still runs for dhcp4d.
func (l *timeline) inForce(id byte) bool {
	return l.bindings[id].Expires > l.clock.Now().Over()
}

// check holds dhcp4d to its promises.
func (l *timeline) check() {
	l.t.Helper()
	for id, until := range l.promised {
		if left := until.Sub(l.m.Truth()); left > 0 && !l.inForce(id) {
			l.t.Fatalf("the lease of %d ended %v before its client's", id, left)
		}
	}
}

// look is a second that passes.
func (l *timeline) look() {
	l.m.Pass(time.Second)
	l.watch.Look()
}

// stop ends the daemon in order, crash does not.
func (l *timeline) stop() {
	l.t.Helper()
	if err := l.store.KeepClockMark(l.clock.Mark()); err != nil {
		l.t.Fatal(err)
	}
	l.crash()
}

func (l *timeline) crash() {
	l.t.Helper()
	if err := l.store.Close(); err != nil {
		l.t.Fatal(err)
	}
}

// The scenarios move the clocks at every stage. Each begins with a lease of an hour.
func TestLeasesSurviveEveryClock(t *testing.T) {
	const hour = time.Hour
	n := 0
	for _, step := range []time.Duration{2 * hour, -2 * hour, 26 * 365 * 24 * hour, -26 * 365 * 24 * hour, 10 * time.Second, -10 * time.Second} {
		for _, x := range []struct {
			name string
			// run is from the first start to the last, with the lease's hour not yet over.
			run func(l *timeline)
			// exact says that the lease then ends on time, not later.
			exact bool
		}{
			{"right all the time", func(l *timeline) {
				l.mustStart()
				l.grant(hour)
				l.stop()
				l.m.Pass(10 * time.Minute)
				l.mustStart()
			}, true},
			{"set right before the start", func(l *timeline) {
				l.m.Step(step)
				l.m.Synchronise()
				l.mustStart()
				l.grant(hour)
				l.stop()
				l.mustStart()
			}, true},
			{"set right between load and serve", func(l *timeline) {
				l.m.Step(step)
				l.mustStart()
				l.m.Synchronise()
				l.grant(hour)
				l.look()
				l.stop()
				l.mustStart()
			}, true},
			{"set right while serving", func(l *timeline) {
				l.m.Step(step)
				l.mustStart()
				l.grant(hour)
				l.m.Synchronise()
				l.look()
				l.stop()
				l.mustStart()
			}, true},
			{"set right while serving, and killed before the step is noticed", func(l *timeline) {
				l.m.Step(step)
				l.mustStart()
				l.grant(hour)
				l.m.Synchronise()
				l.crash()
				l.mustStart()
			}, true},
			{"set right while stopped", func(l *timeline) {
				l.m.Step(step)
				l.mustStart()
				l.grant(hour)
				l.stop()
				l.m.Pass(time.Minute)
				l.m.Synchronise()
				l.mustStart()
			}, true},
			{"set wrong while serving", func(l *timeline) {
				l.mustStart()
				l.grant(hour)
				l.m.Step(step)
				l.look()
				l.stop()
				l.mustStart()
			}, true},
			{"set right while serving, then a reboot, synchronised", func(l *timeline) {
				l.m.Step(step)
				l.mustStart()
				l.grant(hour)
				l.m.Synchronise()
				l.look()
				l.stop()
				l.m.Reboot(10 * time.Minute)
				l.m.Synchronise()
				l.mustStart()
			}, true},
			{"set right, then a reboot before the step is noticed", func(l *timeline) {
				l.m.Step(step)
				l.mustStart()
				l.grant(hour)
				l.m.Synchronise()
				l.crash()
				l.m.Reboot(time.Minute)
				l.m.Synchronise()
				l.mustStart()
			}, false},
			{"set right across a reboot", func(l *timeline) {
				l.m.Step(step)
				l.mustStart()
				l.grant(hour)
				l.stop()
				l.m.Reboot(time.Minute)
				l.m.Synchronise()
				l.mustStart()
			}, false},
			{"set wrong across a reboot", func(l *timeline) {
				l.mustStart()
				l.grant(hour)
				l.stop()
				l.m.Reboot(time.Minute)
				l.m.Step(step)
				l.mustStart()
			}, false},
			{"wrong before and after a reboot, and right in the end", func(l *timeline) {
				l.m.Step(step)
				l.mustStart()
				l.grant(hour)
				l.stop()
				l.m.Reboot(time.Minute)
				l.m.Step(-step)
				l.mustStart()
				l.m.Synchronise()
				l.look()
				l.crash()
				l.mustStart()
			}, false},
			{"set wrong by hand while synchronised, then a reboot", func(l *timeline) {
				l.mustStart()
				l.grant(hour)
				l.m.Step(step)
				l.look()
				l.stop()
				l.m.Reboot(time.Minute)
				l.m.Synchronise()
				l.mustStart()
			}, false},
			{"a virtual machine that is paused", func(l *timeline) {
				l.mustStart()
				l.grant(hour)
				l.m.Pause(10 * time.Minute)
				l.look()
				l.m.Synchronise()
				l.look()
				l.stop()
				l.mustStart()
			}, false},
			{"a machine that is suspended while stopped", func(l *timeline) {
				l.mustStart()
				l.grant(hour)
				l.stop()
				l.m.Pass(40 * time.Minute)
				l.m.Step(step)
				l.mustStart()
			}, true},
			{"the mark is deleted", func(l *timeline) {
				l.m.Step(step)
				l.mustStart()
				l.grant(hour)
				l.m.Synchronise()
				l.look()
				l.stop()
				if err := os.Remove(l.file(disk.ClockName)); err != nil {
					l.t.Fatal(err)
				}
				l.mustStart()
				if !l.resumed.Lost {
					l.t.Error("a missing mark is not told")
				}
			}, false},
			{"the mark is damaged", func(l *timeline) {
				l.m.Step(step)
				l.mustStart()
				l.grant(hour)
				l.m.Synchronise()
				l.look()
				l.stop()
				l.damageMark()
				l.mustStart()
				if !l.resumed.Lost {
					l.t.Error("a damaged mark is not told")
				}
			}, false},
		} {
			kinds := []string{"journal:", "pebble:"}
			if step.Abs() != 2*hour {
				kinds = kinds[:1]
			}
			for _, kind := range kinds {
				if n++; n%stridden != 0 {
					continue
				}
				t.Run(x.name+"/"+step.String()+"/"+kind, func(t *testing.T) {
					l := newTimeline(t, kind+filepath.Join(memoryDir(t), "leases"))
					x.run(l)
					defer l.crash()
					l.check()
					for until := l.promised[1]; l.m.Truth().Before(until.Add(-700 * time.Millisecond)); {
						l.m.Pass(700 * time.Millisecond)
						if !l.inForce(1) {
							t.Fatalf("the lease ended %v before its client's", until.Sub(l.m.Truth()))
						}
					}
					l.m.Pass(10 * time.Second)
					if x.exact && l.inForce(1) {
						t.Errorf("the lease has ended for its client, and not for dhcp4d, whose clock is behind")
					}
				})
			}
		}
	}
}

// file is the path of a file of the store.
func (l *timeline) file(name string) string {
	_, dir, _ := strings.Cut(l.url, ":")
	return filepath.Join(dir, name)
}

func (l *timeline) damageMark() {
	l.t.Helper()
	name := l.file(disk.ClockName)
	text, err := os.ReadFile(name)
	if err != nil {
		l.t.Fatal(err)
	}
	text[bytes.Index(text, []byte("leases 2"))+len("leases 2")]++
	if err := os.WriteFile(name, text, 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// Whatever the clocks do, in any order, no lease ends before its client's, and dhcp4d serves.
func TestLeasesSurviveRandomClocks(t *testing.T) {
	t.Parallel()
	for i := range (60 + stridden - 1) / stridden {
		seed := uint64(i * stridden)
		r := rand.New(rand.NewPCG(seed, 1))
		l := newTimeline(t, "journal:"+filepath.Join(memoryDir(t), "leases"))
		l.mustStart()
		running := true
		for range 60 {
			amount := time.Duration(r.Int64N(int64(3 * time.Hour)))
			if r.IntN(3) == 0 {
				amount = time.Duration(r.Int64N(int64(30 * time.Second)))
			}
			switch n := r.IntN(14); {
			case n < 3:
				l.m.Pass(amount / 4)
			case n == 3:
				l.m.Step(amount)
			case n == 4:
				l.m.Step(-amount)
			case n == 5:
				l.m.Step([]time.Duration{-1, 1}[r.IntN(2)] * 20 * 365 * 24 * time.Hour)
			case n == 6:
				l.m.Pause(amount / 8)
			case n == 7:
				l.m.Synchronise()
			case n == 8:
				l.m.Lose()
			case n == 9 && running:
				l.look()
			case n == 10 && running:
				l.stop()
				running = false
			case n == 11 && running:
				l.crash()
				running = false
			case n == 12 && !running:
				l.m.Reboot(amount / 4)
			case running && len(l.promised) < 200:
				l.grant(time.Duration(1+r.Int64N(7200)) * time.Second)
			}
			if !running && r.IntN(3) == 0 {
				l.mustStart()
				running = true
			}
			if running {
				l.check()
			}
		}
		if running {
			l.crash()
		}
	}
}

// A store without a mark has the times of the wall clock.
func TestAStoreWithoutAMark(t *testing.T) {
	l := newTimeline(t, "journal:"+t.TempDir())
	o := quiet()
	o.Now = func() lease.Time { return lease.Time(epoch.Unix()) }
	s := mustOpen(t, l.url, o) // as an older dhcp4d, which kept no mark
	old := storetest.Binding(1)
	old.State, old.Start, old.Changed, old.Expires = lease.Bound, lease.Time(epoch.Unix()), lease.Time(epoch.Unix()), lease.Time(epoch.Unix()+3600)
	if _, err := s.Commit([]lease.Binding{old}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	l.m.Step(-time.Minute)
	var behind *store.ClockError
	if err := l.start(); !errors.As(err, &behind) {
		t.Fatalf("a clock behind the store: %v, want a store.ClockError", err)
	}
	l.m.Step(2 * time.Minute)
	l.mustStart()
	id := old.Addr.As4()[3]
	l.promised[id] = epoch.Add(time.Hour)
	l.check()
	// From now on the wall clock may do what it wants.
	l.m.Step(-26 * 365 * 24 * time.Hour)
	l.stop()
	l.mustStart()
	l.check()
	l.crash()
}

func TestMarkText(t *testing.T) {
	m := clock.New(clocktest.NewMachine(epoch.Add(123456789))).Mark()
	text := m.AppendText(nil)
	var got clock.Mark
	if err := got.UnmarshalText(text); err != nil || got != m {
		t.Fatalf("read %+v, want %+v (error %v)", got, m, err)
	}
	for i := range text {
		for _, bit := range []byte{1, 2, 0x10, 0x80} {
			broken := append([]byte(nil), text...)
			broken[i] ^= bit
			if err := got.UnmarshalText(broken); !errors.Is(err, clock.ErrMark) {
				t.Fatalf("octet %d changed: error %v, want ErrMark", i, err)
			}
		}
		if err := got.UnmarshalText(text[:i]); !errors.Is(err, clock.ErrMark) {
			t.Fatalf("cut to %d octets: error %v, want ErrMark", i, err)
		}
	}
	if err := got.UnmarshalText(append(text, '\n')); !errors.Is(err, clock.ErrMark) {
		t.Errorf("an octet more: error %v, want ErrMark", err)
	}
}
