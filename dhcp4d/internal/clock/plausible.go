package clock

import (
	"fmt"
	"runtime/debug"
	"time"
)

// built is when the source of this dhcp4d was committed, in RFC 3339, set by the linker.
var built string

// written is before any dhcp4d was built that has this package.
var written = time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)

// end is when the time of leases ends, which the table keeps in 32 bits.
var end = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// buildSlack is how far the clock may be behind the build. A hardware clock that keeps local time
// is behind by up to 14 hours until the machine knows its zone.
const buildSlack = 24 * time.Hour

// Built is the time before which no clock can be right that this dhcp4d reads.
func Built() time.Time {
	if t, err := time.Parse(time.RFC3339, built); err == nil {
		return t
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if t, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
				return t
			}
		}
	}
	return written
}

// WrongError says that a wall clock cannot be right.
type WrongError struct{ Wall, Built time.Time }

func (e *WrongError) Error() string {
	wall := e.Wall.UTC().Format(time.RFC3339)
	if e.Wall.After(end) {
		return fmt.Sprintf("the clock of this machine shows %s, which is too late to be true; set the clock", wall)
	}
	return fmt.Sprintf("the clock of this machine shows %s, but this dhcp4d was built at %s; set the clock",
		wall, e.Built.UTC().Format(time.RFC3339))
}

// Still reports whether it is still so at another reading of the wall clock.
func (e *WrongError) Still(wall time.Time) bool { return Plausible(wall, e.Built) != nil }

// Plausible returns a [WrongError] for a wall clock that cannot be right, given when the program
// was built.
func Plausible(wall, built time.Time) error {
	if wall.Before(built.Add(-buildSlack)) || wall.After(end) {
		return &WrongError{wall, built}
	}
	return nil
}
