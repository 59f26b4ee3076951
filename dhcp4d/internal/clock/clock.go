// Package clock tells the time that leases go by.
//
// # The time of leases
//
// Leases go by a time line of the store ([lease.Time]), not by the wall clock. A new store's time
// begins as the wall clock's. While dhcp4d runs, it advances by the boot clock ([Machine]), which
// counts suspend and which nobody can set or slew. So a step of the wall clock, in either direction
// and at any moment, neither ends a lease nor extends one.
//
// The store keeps a [Mark]: one moment on both clocks and on the time line. The next start goes on
// from the mark ([Clock.Resume]):
//
//   - In the same boot of the machine, by the boot clock. What the wall clock did does not matter.
//   - In another boot, by the wall clock, if it was synchronised both at the mark and now. The
//     kernel takes that state away when somebody sets the clock.
//   - In another boot, when one of both was not synchronised, nobody can say how much time has
//     passed. The time of leases then goes on as if none had: each lease lasts longer than its
//     client believes, by as long as dhcp4d was stopped.
//
// The time of leases is therefore never ahead of the time that has passed, and no client's address
// is given away before the client's lease has ended. It may be behind; that costs only that some
// addresses are free later. It follows that an old mark is as safe as a new one, and a mark that
// could not be written is no reason to stop serving.
//
// Everything that people see is the wall clock: [Clock.Shown] converts.
package clock

import (
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// Reading is one look at the clocks of a machine.
type Reading struct {
	// Wall is the time of day. It can be wrong, and it steps when somebody sets it right.
	Wall time.Time
	// Boot is the time since the machine was started, suspend included. It never steps, and nobody
	// slews it.
	Boot time.Duration
}

// System is the clocks of a machine. Any goroutine may call it.
type System interface {
	// Read reads both clocks at one moment.
	Read() Reading
	// Boot names the run of the machine in which Reading.Boot counts. Readings of two boots cannot
	// be compared. It is empty where the machine does not tell.
	Boot() string
	// Synchronised reports whether the wall clock is kept right, as by NTP.
	Synchronised() bool
}

// Clock is the time that leases go by. Any goroutine may call its methods.
type Clock struct {
	sys    System
	anchor atomic.Int64 // nanoseconds from the boot clock to the time of leases
	wall   atomic.Int64 // nanoseconds from the boot clock to the wall clock, as people are shown it
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

// Read returns the time of day and the time that leases go by.
func (c *Clock) Read() (time.Time, lease.Time) {
	r := c.sys.Read()
	return r.Wall, c.at(r)
}

func (c *Clock) at(r Reading) lease.Time {
	return lease.Time((c.anchor.Load() + int64(r.Boot)) / int64(time.Second))
}

// Now is the time that leases go by.
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

// Wall is the time of day.
func (c *Clock) Wall() time.Time { return c.sys.Read().Wall }

// Ahead is how many seconds the wall clock is ahead of the time of leases: what
// [lease.Binding.Moved] adds to the times of a binding for people to see, and takes away from times
// that they give.
func (c *Clock) Ahead() lease.Time {
	return lease.Time(time.Duration(c.wall.Load()-c.anchor.Load()).Round(time.Second) / time.Second)
}

// Shown is the time of leases of now as people see it.
func (c *Clock) Shown() lease.Time { return c.Now() + c.Ahead() }

// leastStep is the least change of the wall clock from one look to the next that counts as a step.
// Slewing is none: it takes a second to change the clock by so little.
const leastStep = 500 * time.Millisecond

// Stepped returns by how much the wall clock has been set since it was last asked, which is about
// once a second, and zero for not at all.
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

// toWall is the nanoseconds from the boot clock to the wall clock.
func toWall(r Reading) int64 { return r.Wall.UnixNano() - int64(r.Boot) }
