package clock

import (
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// Mark is one moment, on the time line of a store and on the clocks of the machine.
type Mark struct {
	Store        string        // whose time line it is, filled in by the store
	Leases       time.Time     // on the time line
	Wall         time.Time     // the time of day
	Boot         string        // System.Boot
	Up           time.Duration // the boot clock
	Synchronised bool          // the wall clock was
}

// Mark is the mark of now.
func (c *Clock) Mark() Mark {
	r := c.sys.Read()
	return Mark{
		Leases: time.Unix(0, c.anchor.Load()+int64(r.Boot)).UTC(), Wall: r.Wall.Round(0).UTC(),
		Boot: c.sys.Boot(), Up: r.Boot, Synchronised: c.sys.Synchronised(),
	}
}

// Basis is what tells how much time has passed since a mark.
type Basis uint8

// What can tell.
const (
	ByBoot   Basis = iota // the boot clock: it is the same boot
	ByWall                // the wall clock: it is and was synchronised
	Standing              // nothing: no time is taken to have passed
)

// margin is taken off what two synchronised wall clocks say, which differ by less.
const margin = 5 * time.Second

// Resume goes on with the time line of a store from its mark.
func (c *Clock) Resume(m Mark) Basis {
	r := c.sys.Read()
	basis, passed := c.since(m, r)
	c.wall.Store(toWall(r))
	c.seen.Store(toWall(r))
	c.anchor.Store(m.Leases.UnixNano() + int64(passed) - int64(r.Boot))
	c.line.Store(true)
	return basis
}

// Since is how much time has passed since m, at the least.
func (c *Clock) Since(m Mark) (Basis, time.Duration) { return c.since(m, c.sys.Read()) }

// since is the same at a reading.
func (c *Clock) since(m Mark, r Reading) (Basis, time.Duration) {
	switch boot := c.sys.Boot(); {
	case boot != "" && boot == m.Boot && r.Boot >= m.Up:
		return ByBoot, r.Boot - m.Up
	case m.Synchronised && c.sys.Synchronised() && r.Wall.After(m.Wall):
		return ByWall, max(r.Wall.Sub(m.Wall)-margin, 0)
	}
	return Standing, 0
}

// Own reports whether the time is the store's own, and not yet the wall clock.
func (c *Clock) Own() bool { return c.line.Load() }

// Begin makes the time of now, which is the wall clock's, the store's own.
func (c *Clock) Begin() { c.line.Store(true) }

// Set makes the time of leases t. A store that has been written at t takes it there, at the least.
func (c *Clock) Set(t lease.Time) {
	c.anchor.Store(int64(t)*int64(time.Second) - int64(c.sys.Read().Boot))
	c.line.Store(true)
}

// A mark as text. The last line is the CRC-32C of the others.
const (
	markText = "dhcp4d clock, format 1\nstore %q\nleases %s\nwall %s\nboot %q\nup %d\nsynchronised %t\n"
	markSum  = "crc %08x\n"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrMark says that a text is no mark.
var ErrMark = errors.New("the clock mark is damaged")

// AppendText appends m as text, for [Mark.UnmarshalText].
func (m Mark) AppendText(b []byte) []byte {
	start := len(b)
	b = fmt.Appendf(b, markText, m.Store, m.Leases.UTC().Format(time.RFC3339Nano),
		m.Wall.UTC().Format(time.RFC3339Nano), m.Boot, m.Up, m.Synchronised)
	return fmt.Appendf(b, markSum, crc32.Checksum(b[start:], castagnoli))
}

// UnmarshalText reads what AppendText has written. Anything else is [ErrMark].
func (m *Mark) UnmarshalText(text []byte) error {
	var leases, wall string
	var n Mark
	var sum uint32
	_, err := fmt.Sscanf(string(text), markText+markSum,
		&n.Store, &leases, &wall, &n.Boot, &n.Up, &n.Synchronised, &sum)
	if err != nil {
		return ErrMark
	}
	if n.Leases, err = time.Parse(time.RFC3339Nano, leases); err != nil {
		return ErrMark
	}
	if n.Wall, err = time.Parse(time.RFC3339Nano, wall); err != nil {
		return ErrMark
	}
	if string(n.AppendText(nil)) != string(text) {
		return ErrMark
	}
	*m = n
	return nil
}
