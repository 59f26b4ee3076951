// Package script is the hook that runs a program for every change of a lease.
//
// A change is told when it is on stable storage and its answer has left, so no
// client ever waits for a program. Changes queue for a fixed number of
// workers, those of one address for the same worker, in their order. The queue
// is bounded: where programs do not keep up, changes are lost and counted. A
// program that runs for too long is killed with everything that it started.
//
// What a program is told stands in [Facts].
package script

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// Name is the configured name of the hook.
const Name = "run"

// Config of the hook. All of it is required.
type Config struct {
	Command string        // path of the program
	Timeout time.Duration // a program may run
	Workers int           // programs at the same time
	Queue   int           // changes that may wait
}

// closeGrace is how long programs may go on when dhcp4d stops.
const closeGrace = 3 * time.Second

// Runner runs the programs.
type Runner struct {
	config Config
	log    *slog.Logger
	m      *metrics

	workers []chan job
	closing atomic.Bool
	stop    chan struct{}   // closed: begin no program any more
	kill    context.Context // done: those that run are ended
	end     context.CancelFunc
	all     sync.WaitGroup

	mu     sync.Mutex // guards warned
	warned time.Time
}

// job is one run: the program's argument and environment.
type job struct {
	point   string
	environ []string
}

// Open starts the workers, after a look at the program.
func Open(c Config, log *slog.Logger, reg prometheus.Registerer) (*Runner, error) {
	if _, err := exec.LookPath(c.Command); err != nil {
		return nil, fmt.Errorf("hook run: %w; name an executable program in DHCP4D_RUN_COMMAND", err)
	}
	return start(c, log, reg), nil
}

func start(c Config, log *slog.Logger, reg prometheus.Registerer) *Runner {
	r := &Runner{config: c, log: log, stop: make(chan struct{})}
	r.m = newMetrics(reg, r.waiting)
	r.kill, r.end = context.WithCancel(context.Background())
	for range c.Workers {
		jobs := make(chan job, max(c.Queue/c.Workers, 1))
		r.workers = append(r.workers, jobs)
		r.all.Go(func() { r.work(jobs) })
	}
	return r
}

// Observer makes the hook for the point leases4_committed. It may be used by
// several goroutines.
func (r *Runner) Observer() hook.Observer[event.Lease] {
	return hook.Observer[event.Lease]{Name: Name, Run: r.add}
}

// Close begins no program any more, and waits for those that run; the changes
// that wait are lost and counted. No change is told after it.
func (r *Runner) Close() {
	r.closing.Store(true)
	close(r.stop)
	defer time.AfterFunc(closeGrace, r.end).Stop()
	r.all.Wait()
	r.end()
	for _, jobs := range r.workers {
		r.m.lost.Add(float64(len(jobs)))
	}
}

func (r *Runner) waiting() (n int) {
	for _, jobs := range r.workers {
		n += len(jobs)
	}
	return n
}

func (r *Runner) add(e *event.Lease) {
	jobs := r.workers[worker(e.Binding.Addr, len(r.workers))]
	if len(jobs) < cap(jobs) && !r.closing.Load() { // what is lost costs nothing
		select {
		case jobs <- job{Point(e.Event), Facts(e)}:
			return
		default:
		}
	}
	r.m.lost.Inc()
	r.warn("changes of leases are lost for the hook run: programs are slower than leases change", nil)
}

// worker is who runs the programs of an address.
func worker(a netip.Addr, workers int) int {
	b := a.As16()
	return int(b[15]) % workers
}

func (r *Runner) work(jobs chan job) {
	for {
		select {
		case <-r.stop:
			return
		default:
		}
		select {
		case <-r.stop:
			return
		case j := <-jobs:
			began := time.Now()
			err := r.run(j)
			r.m.took.Observe(time.Since(began).Seconds())
			r.count(err)
		}
	}
}

// errTimeout is the cause of a program's end.
var errTimeout = errors.New("it ran for too long and was killed")

// run runs one program to its end.
func (r *Runner) run(j job) error {
	ctx, cancel := context.WithTimeoutCause(r.kill, r.config.Timeout, errTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.config.Command, j.point)
	cmd.Env = append(j.environ, "PATH="+os.Getenv("PATH"))
	// A group of its own, so that what it started ends with it, and signals
	// for us do not reach it.
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	err := cmd.Run()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (r *Runner) count(err error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		r.m.ok.Inc()
		return
	case errors.Is(err, errTimeout), errors.Is(err, context.Canceled):
		r.m.timeout.Inc()
	case errors.As(err, &exit):
		r.m.failed.Inc()
	default:
		r.m.notStarted.Inc()
	}
	r.warn("a program of the hook run has failed", err)
}

// warn logs at most once a minute.
func (r *Runner) warn(message string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.warned) >= time.Minute {
		r.warned = now
		r.log.Warn("trouble with programs", "what", message, "program", r.config.Command, "error", err)
	}
}
