package simulation

import (
	"strconv"
	"sync"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
)

// trueStart is the time of day at the start of every run.
var trueStart = time.Unix(1_800_000_000, 0)

// clocks are the clocks of the machine that dhcp4d runs on: the time of day and the boot clock.
// Faults make them differ from true time, which is the bubble's. It implements clock.System.
type clocks struct {
	mu    sync.Mutex
	begin time.Time // the start of the run, by the bubble's clock

	at       time.Duration // true time of the next two values
	wall     time.Time
	boot     time.Duration
	wallRate float64 // seconds that the clock gains in a true second
	bootRate float64
	boots    int
	stopped  bool // the machine is paused
	ntp      bool // NTP runs: the kernel says whether the wall clock is right
}

func newClocks(begin time.Time) *clocks {
	return &clocks{begin: begin, wall: trueStart, boot: 100 * time.Second, boots: 1, ntp: true}
}

func (c *clocks) true() time.Duration { return time.Since(c.begin) }

// now moves the clocks to the present. The caller holds mu.
func (c *clocks) now() {
	t := c.true()
	passed := t - c.at
	c.at = t
	if c.stopped {
		return
	}
	c.wall = c.wall.Add(passed + time.Duration(c.wallRate*float64(passed)))
	c.boot += passed + time.Duration(c.bootRate*float64(passed))
}

// change moves the clocks to the present and calls fn, which may change them.
func (c *clocks) change(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now()
	fn()
}

// off returns how far the wall clock is ahead of true time. The caller holds mu.
func (c *clocks) off() time.Duration { return c.wall.Sub(trueStart.Add(c.at)) }

func (c *clocks) right() { c.change(func() { c.wall = trueStart.Add(c.at) }) }

// freeze stops both clocks or lets them go on.
func (c *clocks) freeze(stopped bool) { c.change(func() { c.stopped = stopped }) }

// reboot resets the boot clock, and sets how far the wall clock is off.
func (c *clocks) reboot(off time.Duration) {
	c.change(func() {
		c.boot, c.wall = 10*time.Second, trueStart.Add(c.at+off)
		c.boots++
	})
}

// Read implements clock.System.
func (c *clocks) Read() (r clock.Reading) {
	c.change(func() { r = clock.Reading{Wall: c.wall, Boot: c.boot} })
	return r
}

// Boot implements clock.System.
func (c *clocks) Boot() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return "boot-" + strconv.Itoa(c.boots)
}

// Synchronised implements clock.System.
func (c *clocks) Synchronised() (yes bool) {
	c.change(func() { yes = c.ntp && c.off().Abs() < time.Second })
	return yes
}
