package netns

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Confine keeps processes that are started on the host from now on to some of the processors that
// this program may use, counted from 0.
func (h *Host) Confine(processors ...int) error {
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &may); err != nil {
		return fmt.Errorf("host %s: %w", h.Name, os.NewSyscallError("sched_getaffinity", err))
	}
	var set unix.CPUSet
	for cpu, n := 0, 0; n < may.Count(); cpu++ {
		if may.IsSet(cpu) {
			if slices.Contains(processors, n) {
				set.Set(cpu)
			}
			n++
		}
	}
	if set.Count() != len(processors) {
		return fmt.Errorf("host %s: processors %v are wanted, and there are %d", h.Name, processors, may.Count())
	}
	// The thread is the host's own, and child processes inherit from it.
	return h.Do(func() error {
		return os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &set))
	})
}

const (
	// quotaTick is the time between two looks at the processes. A process that has run too long in
	// between is stopped for longer afterwards.
	quotaTick = 500 * time.Microsecond
	// quotaPeriod is the time whose share is given at once. Shorter periods would change what is
	// measured: a process does more at a time if more work waits for it.
	quotaPeriod = 20 * time.Millisecond
)

// A quota stops and continues processes, so that together they use a share of one processor's time.
type quota struct {
	share     float64
	processes []*Process
	stop      chan struct{}
	ending    sync.Once
	ended     sync.WaitGroup
}

// Quota limits processes to a share of one processor's time, together, until the returned function
// is called or the lab ends. It does what a control group does for a container, without a
// privilege: it stops the processes (SIGSTOP) while they have used too much. So their maximum speed
// is known, whatever else the machine does.
func (l *Lab) Quota(share float64, processes ...*Process) (end func()) {
	q := &quota{share: share, processes: processes, stop: make(chan struct{})}
	q.ended.Go(q.run)
	l.closeLater(closerFunc(func() error { q.end(); return nil }))
	return q.end
}

func (q *quota) end() {
	q.ending.Do(func() { close(q.stop) })
	q.ended.Wait()
}

func (q *quota) run() {
	defer q.signal(unix.SIGCONT)
	last, used := time.Now(), q.used()
	var saved time.Duration // negative: they have used too much
	most := time.Duration(q.share * float64(quotaPeriod))
	running := true
	for {
		select {
		case <-q.stop:
			return
		case <-time.After(quotaTick):
		}
		now, total := time.Now(), q.used()
		saved += time.Duration(q.share*float64(now.Sub(last))) - (total - used)
		saved = min(saved, most)
		last, used = now, total
		switch {
		case running && saved <= 0:
			running = false
			q.signal(unix.SIGSTOP)
		case !running && saved == most:
			running = true
			q.signal(unix.SIGCONT)
		}
	}
}

func (q *quota) signal(s unix.Signal) {
	for _, p := range q.processes {
		p.Signal(s)
	}
}

// used returns the processor time that the processes have used. One that has ended does not count.
func (q *quota) used() (sum time.Duration) {
	for _, p := range q.processes {
		d, err := cpuTime(p.PID())
		if err != nil && !errors.Is(err, unix.EINVAL) {
			panic(err) // the clock exists, or its process does not
		}
		sum += d
	}
	return sum
}

// cpuTime reads a process's clock of processor time. Its number is made as clock_getcpuclockid(3)
// does it.
func cpuTime(pid int) (time.Duration, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(int32(^pid<<3|2), &ts)
	return time.Duration(ts.Nano()), err
}
