// Package clock has the time line of leases.
//
// # The time of leases
//
// The times of leases are on a time line of the store ([lease.Time]), not on the wall clock. The
// time line of a new store begins at the wall clock. While dhcp4d runs, it advances by the boot
// clock ([Machine]), which includes suspend and cannot be set or slewed. So a step of the wall
// clock, in either direction and at any moment, neither ends a lease nor extends one.
//
// The store keeps a [Mark]: one moment on both clocks and on the time line. The next start
// continues from the mark ([Clock.Resume]):
//
//   - In the same boot of the machine, by the boot clock. The wall clock does not matter.
//   - In another boot, by the wall clock, if it was synchronised both at the mark and now. The
//     kernel takes that state away when somebody sets the clock.
//   - In another boot, if the wall clock was not synchronised at one of the two moments, nobody
//     knows how much time has passed. The time of leases then goes on as if none had: each lease
//     lasts longer than its client believes, by as long as dhcp4d was stopped.
//
// The time of leases is therefore never ahead of the time that has passed, and no client's address
// is given away before the client's lease has ended. It may be behind; then some addresses become
// free later. So an old mark is as safe as a new one, and a mark that could not be written is no
// reason to stop serving.
//
// People see times of the wall clock: [Clock.Shown] converts.
package clock

import (
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// Reading is one look at the clocks of a machine.
type Reading struct {
	// Wall is the time of day. It can be wrong, and it steps when it is set.
	Wall time.Time
	// Boot is the time since the machine was started, suspend included. It never steps and is never
	// slewed.
	Boot time.Duration
}

// System is the clocks of a machine. Any goroutine may call it.
type System interface {
	// Read reads both clocks at one moment.
	Read() Reading
	// Boot names the run of the machine in which Reading.Boot counts. Readings of two boots cannot
	// be compared. It is empty if the machine has no such name.
	Boot() string
	// Synchronised reports whether the wall clock is kept right, as by NTP.
	Synchronised() bool
}

// Clock has the time of leases. Any goroutine may call its methods.
type Clock struct {
	sys    System
	anchor atomic.Int64 // nanoseconds from the boot clock to the time of leases
	wall   atomic.Int64 // nanoseconds from the boot clock to the wall clock, as shown to people
	seen   atomic.Int64 // the same, at the last look for a step
	line   atomic.Bool  // the time is a store's own
}

// New makes a clock that starts as the wall clock of now.
func New(sys System) *Clock {
	c := &Clock{sys: sys}
	c.Restart()
	return c
}

// Restart takes the wall clock of now as the time of leases.
func (c *Clock) Restart() {
	r := c.sys.Read()
	c.wall.Store(toWall(r))
	c.seen.Store(toWall(r))
	c.anchor.Store(toWall(r))
	c.line.Store(false)
}

// Read returns the time of day and the time of leases.
func (c *Clock) Read() (time.Time, lease.Time) {
	r := c.sys.Read()
	return r.Wall, c.at(r)
}

func (c *Clock) at(r Reading) lease.Time {
	return lease.Time((c.anchor.Load() + int64(r.Boot)) / int64(time.Second))
}

// Now returns the time of leases.
func (c *Clock) Now() lease.Time { return c.at(c.sys.Read()) }

// Up is the boot clock.
func (c *Clock) Up() time.Duration { return c.sys.Read().Boot }

// At is the time that leases go by at a moment of the boot clock.
func (c *Clock) At(up time.Duration) time.Time { return time.Unix(0, c.anchor.Load()+int64(up)) }

// Follow has the time of leases be t at a moment of the boot clock. A store that several dhcp4d
// share keeps all of them at one time this way.
func (c *Clock) Follow(t time.Time, up time.Duration) {
	c.anchor.Store(t.UnixNano() - int64(up))
	c.line.Store(true)
}

// Wall returns the time of day.
func (c *Clock) Wall() time.Time { return c.sys.Read().Wall }

// Ahead returns how many seconds the wall clock is ahead of the time of leases.
// [lease.Binding.Moved] adds them to the times of a binding that people see, and subtracts them
// from times that people give.
func (c *Clock) Ahead() lease.Time {
	return lease.Time(time.Duration(c.wall.Load()-c.anchor.Load()).Round(time.Second) / time.Second)
}

// Shown returns the present time of leases as a time of the wall clock.
func (c *Clock) Shown() lease.Time { return c.Now() + c.Ahead() }

// leastStep is the least change of the wall clock from one look to the next that counts as a step.
// Slewing does not count: it changes the clock by less in a second.
const leastStep = 500 * time.Millisecond

// Stepped returns by how much the wall clock was set since the last call, zero if it was not. It is
// called about once a second.
func (c *Clock) Stepped() time.Duration {
	wall := toWall(c.sys.Read())
	if time.Duration(wall-c.wall.Load()).Abs() >= leastStep {
		c.wall.Store(wall) // by a step, or by slewing for long
	}
	step := time.Duration(wall - c.seen.Swap(wall))
	if step.Abs() < leastStep {
		return 0
	}
	return step
}

// toWall returns the nanoseconds from the boot clock to the wall clock.
func toWall(r Reading) int64 { return r.Wall.UnixNano() - int64(r.Boot) }
