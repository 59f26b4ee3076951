package clock

import (
	"testing"
	"time"
)

// The boot clock follows the raw clock when the monotonic clock is slewed, and never goes back.
func TestTheBootClockIsNotSlewed(t *testing.T) {
	for _, c := range []struct {
		name  string
		slew  float64 // how much faster the monotonic clock is
		every time.Duration
	}{
		{"chrony makes it fast", 0.083, 100 * time.Millisecond},
		{"and nobody reads it for long", 0.083, time.Hour},
		{"chrony makes it slow", -0.083, 100 * time.Millisecond},
		{"it runs alike", 0, 300 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			last, told := new(look), time.Duration(0)
			for raw := time.Duration(0); raw < 1000*c.every; raw += c.every {
				mono := raw + time.Duration(c.slew*float64(raw))
				if last.due(mono) {
					next := &look{mono: mono, boot: raw}
					next.after(last)
					last = next
				}
				now := last.at(mono)
				if now < told {
					t.Fatalf("after %v it goes back from %v to %v", raw, told, now)
				}
				if off := now - raw; off.Abs() > 100*time.Millisecond {
					t.Fatalf("after %v it is off by %v", raw, off)
				}
				told = now
			}
		})
	}
}
