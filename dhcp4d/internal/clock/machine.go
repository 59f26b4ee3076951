package clock

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is the clocks of the machine that we run on. Its boot clock is CLOCK_MONOTONIC_RAW and
// the time that the machine was suspended.
//
// CLOCK_BOOTTIME counts both too, but NTP slews it to correct the wall clock: ntpd by up to 0.05 %,
// chrony by up to 8 % and for as long as it takes. A clock that is 8 % fast ends a lease of an hour
// five minutes before its client does. The raw clock is wrong by what the hardware is, which is
// some millionths.
//
// How long the machine was suspended is the difference of CLOCK_BOOTTIME and CLOCK_MONOTONIC, which
// are slewed alike.
//
// Reading these clocks takes system calls, which the monotonic clock and the wall clock do not. So
// Machine looks at them once a second, or when a suspend or a step of the wall clock has changed
// the difference of the wall clock and the monotonic clock. From one look to the next it counts by
// the monotonic clock.
type Machine struct {
	start     time.Time // when it was made, with a monotonic reading
	namespace offsets
	boot      string
	last      atomic.Pointer[look]

	looking   sync.Mutex
	suspended time.Duration // guarded by looking: since the machine was started
}

// look is what was seen at one moment.
type look struct {
	mono  time.Duration // since Machine.start, by the monotonic clock
	gap   time.Duration // of the wall clock to that
	boot  time.Duration // the boot clock
	least time.Duration // the boot clock that was returned before; it never goes back
}

// at returns the boot clock at a later moment.
func (l *look) at(mono time.Duration) time.Duration { return max(l.least, l.boot+mono-l.mono) }

// due reports whether the look is too old to compute the boot clock.
func (l *look) due(mono time.Duration) bool { return mono-l.mono > lookEvery }

// after makes sure that l returns no less than the look before.
func (l *look) after(before *look) { l.least = before.at(min(l.mono, before.mono+lookEvery)) }

// NewMachine looks at the clocks for the first time.
func NewMachine() (*Machine, error) {
	m := &Machine{start: time.Now(), namespace: readOffsets("/proc/self/timens_offsets")}
	for _, id := range []int32{unix.CLOCK_BOOTTIME, unix.CLOCK_MONOTONIC, unix.CLOCK_MONOTONIC_RAW} {
		var t unix.Timespec
		if err := unix.ClockGettime(id, &t); err != nil {
			return nil, fmt.Errorf("reading clock %d of the kernel: %w", id, err)
		}
	}
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil { // Linux draws one for each boot
		// Marks of a dhcp4d that went by CLOCK_BOOTTIME have the id alone: they are of another
		// clock.
		m.boot = strings.TrimSpace(string(id)) + " raw"
	}
	m.last.Store(new(look))
	m.look()
	return m, nil
}

const (
	// jitter is what the wall clock and the monotonic clock, read one after the other, may differ
	// by without a step.
	jitter = time.Millisecond
	// lookEvery bounds how long the monotonic clock is believed, which may be 8 % fast.
	lookEvery = time.Second
)

// Read implements [System]. Wall has a monotonic reading.
func (m *Machine) Read() Reading {
	now, mono, gap := m.read()
	l := m.last.Load()
	if (gap-l.gap).Abs() > jitter || l.due(mono) {
		now, mono, l = m.look()
	}
	return Reading{Wall: now, Boot: l.at(mono)}
}

// read returns the wall clock, the monotonic clock, and how far they are apart.
func (m *Machine) read() (now time.Time, mono, gap time.Duration) {
	now = time.Now()
	mono = now.Sub(m.start)
	return now, mono, time.Duration(now.UnixNano()) - mono
}

// look reads all clocks. It repeats that if it may have lost the processor between two readings.
//
// If it did, the boot clock is behind until the next look, which does no harm: see the package
// comment.
func (m *Machine) look() (time.Time, time.Duration, *look) {
	m.looking.Lock()
	defer m.looking.Unlock()
	const attempts = 10
	l := new(look)
	var now time.Time
	for range attempts {
		_, before, gap := m.read()
		boot := nanoseconds(unix.CLOCK_BOOTTIME) - m.namespace.boottime
		// Suspended time does not become less.
		m.suspended = max(m.suspended, boot-(nanoseconds(unix.CLOCK_MONOTONIC)-m.namespace.monotonic))
		l.boot = nanoseconds(unix.CLOCK_MONOTONIC_RAW) - m.namespace.monotonic + m.suspended
		now, l.mono, l.gap = m.read()
		if l.mono-before < jitter && (l.gap-gap).Abs() < jitter {
			break
		}
	}
	l.after(m.last.Load())
	m.last.Store(l)
	return now, l.mono, l
}

// nanoseconds reads a clock of the kernel. NewMachine has seen that it works.
func nanoseconds(id int32) time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(id, &t)
	return time.Duration(t.Nano())
}

// Boot implements [System].
func (m *Machine) Boot() string { return m.boot }

// Synchronised implements [System].
func (*Machine) Synchronised() bool {
	var t unix.Timex
	_, err := unix.Adjtimex(&t)
	return err == nil && t.Status&unix.STA_UNSYNC == 0
}

// offsets are what our time namespace adds to CLOCK_BOOTTIME, and to CLOCK_MONOTONIC and
// CLOCK_MONOTONIC_RAW. They are taken off, because all namespaces of a machine have the same boot
// id (time_namespaces(7)): a dhcp4d that is started in another one must find the same boot clock.
type offsets struct{ boottime, monotonic time.Duration }

// readOffsets reads them from a file of the kernel's. They are 0 where it knows no time namespaces.
func readOffsets(file string) (o offsets) {
	text, err := os.ReadFile(file)
	if err != nil {
		return o
	}
	for line := range strings.Lines(string(text)) {
		var clock string
		var seconds, nanoseconds time.Duration
		if _, err := fmt.Sscan(line, &clock, &seconds, &nanoseconds); err != nil {
			continue
		}
		switch offset := seconds*time.Second + nanoseconds; clock {
		case "boottime":
			o.boottime = offset
		case "monotonic":
			o.monotonic = offset
		}
	}
	return o
}
