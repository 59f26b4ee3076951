// Package clocktest has the clocks of a machine that a test moves.
package clocktest

import (
	"strconv"
	"sync"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
)

// Machine is a machine whose clocks the test moves, beside the true time. It implements
// [clock.System]. Any goroutine may call it.
type Machine struct {
	mu     sync.Mutex
	truth  time.Time
	wrong  time.Duration // the wall clock is ahead of the truth by this
	boot   time.Duration
	runs   time.Time // since when time passes by itself; zero where it does not
	boots  int
	synced bool
}

// NewMachine returns a machine that was started at a time of day, and whose wall clock is right and
// synchronised. Its clocks stand still unless the test moves them.
func NewMachine(now time.Time) *Machine {
	return &Machine{truth: now.Round(0), boots: 1, synced: true}
}

// NewRunning returns a machine whose clocks run, from the time of day on.
func NewRunning() *Machine {
	m := NewMachine(time.Now())
	m.runs = time.Now()
	return m
}

// Read implements clock.System.
func (m *Machine) Read() clock.Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.run()
	return clock.Reading{Wall: m.truth.Add(m.wrong), Boot: m.boot}
}

// run moves the clocks on if they run.
func (m *Machine) run() {
	if m.runs.IsZero() {
		return
	}
	now := time.Now()
	passed := now.Sub(m.runs)
	m.truth, m.boot, m.runs = m.truth.Add(passed), m.boot+passed, now
}

// Boot implements clock.System.
func (m *Machine) Boot() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return "boot " + strconv.Itoa(m.boots)
}

// Synchronised implements clock.System.
func (m *Machine) Synchronised() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.synced
}

// Truth is the time that clocks which are right show.
func (m *Machine) Truth() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.truth
}

// Pass lets time pass, also for a machine that is suspended.
func (m *Machine) Pass(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.truth, m.boot = m.truth.Add(d), m.boot+d
}

// Pause lets time pass of which the machine knows nothing, as a virtual one does not while it is
// paused.
func (m *Machine) Pause(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.truth, m.wrong = m.truth.Add(d), m.wrong-d
}

// Step sets the wall clock by hand. As with a real kernel it is not synchronised from then on.
func (m *Machine) Step(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wrong, m.synced = m.wrong+d, false
}

// Synchronise sets the wall clock right and keeps it so, as NTP does.
func (m *Machine) Synchronise() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wrong, m.synced = 0, true
}

// Lose ends the synchronisation.
func (m *Machine) Lose() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.synced = false
}

// Reboot starts the machine anew after it was off for so long. Its wall clock goes on meanwhile,
// and is not synchronised.
func (m *Machine) Reboot(off time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.run()
	m.truth, m.boot, m.synced = m.truth.Add(off), 0, false
	m.boots++
}
