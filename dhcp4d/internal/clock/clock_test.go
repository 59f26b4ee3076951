package clock_test

import (
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock/clocktest"
)

func TestAStepOfTheWallClockMovesNoLease(t *testing.T) {
	m := clocktest.NewMachine(time.Unix(1_700_000_000, 0))
	c := clock.New(m)
	want := c.Now()
	for _, d := range []time.Duration{7 * time.Hour, -7 * time.Hour, 400 * 24 * time.Hour} {
		m.Step(d)
		if got := c.Now(); got != want {
			t.Errorf("after a step of %v the time of leases is %d, was %d", d, got, want)
		}
		m.Pass(time.Hour)
		want += 3600
		if got := c.Now(); got != want {
			t.Errorf("an hour after a step of %v it is %d, want %d", d, got, want)
		}
	}
}

func TestMachine(t *testing.T) {
	m, err := clock.NewMachine()
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	a := m.Read()
	b := m.Read()
	after := time.Now()
	if a.Wall.Before(before) || b.Wall.After(after) {
		t.Errorf("the wall clock is %v and %v, between %v and %v", a.Wall, b.Wall, before, after)
	}
	if a.Boot <= 0 || b.Boot < a.Boot {
		t.Errorf("the boot clock is %v, then %v", a.Boot, b.Boot)
	}
	if id := m.Boot(); id == "" || id != m.Boot() {
		t.Errorf("the boot is %q, then %q", id, m.Boot())
	}
}

func BenchmarkMachine(b *testing.B) {
	m, err := clock.NewMachine()
	if err != nil {
		b.Fatal(err)
	}
	for range b.N {
		m.Read()
	}
}

func BenchmarkTimeNow(b *testing.B) {
	for range b.N {
		_ = time.Now()
	}
}
