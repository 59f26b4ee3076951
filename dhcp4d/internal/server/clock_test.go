package server

import (
	"testing"
	"time"
	"unsafe"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// stepped is what time.Now returns at the moment t when the wall clock has
// been set by d meanwhile: the monotonic reading is that of t. Package time
// has no way to make one, so this writes its field: from the lowest, 30 bits
// of nanoseconds, 33 of seconds, one that says that there is a monotonic
// reading.
func stepped(t time.Time, d time.Duration) time.Time {
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall += uint64(int64(d/time.Second)) << 30
	return t
}

func TestAStepOfTheWallClockMovesNoLease(t *testing.T) {
	c := NewClock()
	now := time.Now()
	want := c.at(now)
	for _, d := range []time.Duration{7 * time.Hour, -7 * time.Hour, 400 * 24 * time.Hour} {
		after := stepped(now, d)
		if got := after.Round(0).Sub(now.Round(0)); got != d {
			t.Fatalf("the test steps the wall clock by %v, want %v", got, d)
		}
		if got := c.at(after); got != want {
			t.Errorf("after a step of %v the time of leases is %d, was %d", d, got, want)
		}
		if got := c.at(stepped(now.Add(time.Hour), d)); got != want+3600 {
			t.Errorf("an hour after a step of %v it is %d, want %d", d, got, want+3600)
		}
	}
}

func TestClockErrorForgivesALittle(t *testing.T) {
	now := time.Now()
	for ahead, still := range map[int64]bool{-10: false, 0: false, clockSlack: false, clockSlack + 1: true, 86400: true} {
		e := &ClockError{Written: lease.Time(now.Unix() + ahead)}
		if got := e.Still(now); got != still {
			t.Errorf("%d s ahead: %t, want %t", ahead, got, still)
		}
	}
}
