package hooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// runVariables are the variables of the hook run.
type runVariables struct {
	Command string         `env:"COMMAND" kind:"path of a program" desc:"hook run: the program that is run for every change of a lease, with the hook point as its argument and the facts in its environment, named as Kea's run_script hook names them"`
	Timeout config.Seconds `env:"TIMEOUT" envDefault:"10s" kind:"a duration such as 90s, 1h or 7d" desc:"hook run: how long a program may run before it is killed; what a program has started ends with it in any case"`
	Workers uint16         `env:"WORKERS" envDefault:"4" reload:"false" desc:"hook run: how many programs run at the same time"`
	Queue   uint32         `env:"QUEUE" envDefault:"1024" reload:"false" desc:"hook run: how many changes may wait for a program; more are lost and counted"`
}

// Check implements hook.Checker.
func (v *runVariables) Check(c *hook.Check) {
	if !filepath.IsAbs(v.Command) {
		c.Mistake("COMMAND", fmt.Sprintf("%q is no path that begins with /", v.Command),
			"name the program that the hook run is to run")
	}
	if v.Workers == 0 || v.Workers > 256 {
		c.Mistake("WORKERS", fmt.Sprintf("%d programs at the same time", v.Workers), "give 1 to 256")
	}
	if v.Queue == 0 || v.Queue > 1<<20 {
		c.Mistake("QUEUE", fmt.Sprintf("%d changes", v.Queue), "give 1 to 1048576")
	}
}

// Needs implements hook.Needer.
func (v *runVariables) Needs() (variable, missing string) {
	return "COMMAND", config.MissingProgram(v.Command)
}

// run is the hook that runs a program for every change of a lease.
//
// A program runs after the change is durable and its answer has left, so no client waits for it.
// Changes queue for a fixed number of workers. Those of one address go to the same worker, so they
// stay in order. The queues are bounded: if programs are too slow, changes are lost and counted. A
// program that runs too long is killed. When a program ends, the processes that it started are
// killed.
//
// [runFacts] lists the environment of a program.
type run struct {
	command string
	timeout time.Duration
	pool    *runPool // shared with the hook before a reload
}

// newRun shares the workers of the hook before, so that a reload loses no change that waits. A
// reload changes neither their number nor the length of their queues.
func newRun(v *runVariables, env hook.Env, before *run) (*run, error) {
	command, timeout := v.Command, v.Timeout.Duration()
	if before != nil && before.command == command && before.timeout == timeout {
		return before, nil
	}
	if _, err := exec.LookPath(command); err != nil {
		return nil, fmt.Errorf("%w; name an executable program in DHCP4D_RUN_COMMAND", err)
	}
	r := &run{command: command, timeout: timeout}
	if before != nil {
		r.pool = before.pool
		r.pool.users.Add(1)
	} else {
		pool, err := newRunPool(int(v.Workers), int(v.Queue), env)
		if err != nil {
			return nil, err
		}
		r.pool = pool
	}
	return r, nil
}

// Attach implements hook.Hook.
func (r *run) Attach(a *hook.Attachment) { event.Leases4Committed.Run(a, r.add) }

// add may be called by several goroutines.
func (r *run) add(e *event.Lease) {
	p := r.pool
	jobs := p.workers[workerOf(e.Binding.Addr, len(p.workers))]
	if len(jobs) < cap(jobs) && !p.closing.Load() { // no work for a change that is lost
		p.m.waiting.Inc()
		select {
		case jobs <- job{r, runPoint(e.Event), runFacts(e)}:
			return
		default:
			p.m.waiting.Dec()
		}
	}
	p.m.lost.Inc()
	p.warn("changes of leases are lost for the hook run: programs are slower than leases change", r.command, nil)
}

// Close ends the workers if no other hook has taken them over.
func (r *run) Close() error {
	if r.pool.users.Add(-1) == 0 {
		r.pool.close()
	}
	return nil
}

// closeGrace is how long a program may still run after Close. Only tests change it.
var closeGrace = 3 * time.Second

// runPool is the workers and their queues.
type runPool struct {
	log *slog.Logger
	m   *runMetrics

	descendants *descendants

	users   atomic.Int32 // hooks that use it
	workers []chan job
	closing atomic.Bool
	stop    chan struct{}   // closed: start no more programs
	kill    context.Context // done: running programs are killed
	end     context.CancelFunc
	all     sync.WaitGroup

	mu     sync.Mutex // guards warned
	warned time.Time
}

// job is one run of a program, with its argument and environment.
type job struct {
	hook    *run
	point   string
	environ []string
}

func newRunPool(workers, queue int, env hook.Env) (*runPool, error) {
	d, err := newDescendants()
	if err != nil {
		return nil, err
	}
	p := &runPool{log: env.Log, m: newRunMetrics(env.Registry), stop: make(chan struct{}), descendants: d}
	p.users.Store(1)
	p.kill, p.end = context.WithCancel(context.Background())
	for range workers {
		jobs := make(chan job, max(queue/workers, 1))
		p.workers = append(p.workers, jobs)
		p.all.Go(func() { p.work(jobs) })
	}
	return p, nil
}

// close starts no more programs, and waits for those that run. The changes that wait are lost and
// counted.
func (p *runPool) close() {
	p.closing.Store(true)
	close(p.stop)
	defer time.AfterFunc(closeGrace, p.end).Stop()
	p.all.Wait()
	p.end()
	for _, jobs := range p.workers {
		n := float64(len(jobs))
		p.m.lost.Add(n)
		p.m.waiting.Sub(n)
	}
}

// workerOf returns the number of the worker for an address.
func workerOf(a netip.Addr, workers int) int {
	b := a.As16()
	return int(b[15]) % workers
}

func (p *runPool) work(jobs chan job) {
	for {
		select {
		case <-p.stop:
			return
		default:
		}
		select {
		case <-p.stop:
			return
		case j := <-jobs:
			p.m.waiting.Dec()
			began := time.Now()
			err := p.run(j)
			p.m.took.Observe(time.Since(began).Seconds())
			p.count(j.hook.command, err)
		}
	}
}

// errTimeout is the cause of a program's end.
var errTimeout = errors.New("it ran for too long and was killed")

// run runs one program to its end.
func (p *runPool) run(j job) error {
	ctx, cancel := context.WithTimeoutCause(p.kill, j.hook.timeout, errTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, j.hook.command, j.point)
	cmd.Env = append(j.environ, "PATH="+os.Getenv("PATH"))
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	err := p.descendants.run(cmd)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (p *runPool) count(command string, err error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		p.m.ok.Inc()
		return
	case errors.Is(err, errTimeout), errors.Is(err, context.Canceled):
		p.m.timeout.Inc()
	case errors.As(err, &exit):
		p.m.failed.Inc()
	default:
		p.m.notStarted.Inc()
	}
	p.warn("a program of the hook run has failed", command, err)
}

// warn logs a warning, at most one a minute.
func (p *runPool) warn(message, command string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.warned) >= time.Minute {
		p.warned = now
		p.log.Warn("trouble with programs", "what", message, "program", command, "error", err)
	}
}

// runMetrics are kept across reloads.
type runMetrics struct {
	ok, failed, timeout, notStarted prometheus.Counter
	lost                            prometheus.Counter
	waiting                         prometheus.Gauge
	took                            prometheus.Histogram
}

func newRunMetrics(reg prometheus.Registerer) *runMetrics {
	runs := metric.Once(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "dhcp4d", Name: "run_programs_total",
		Help: "Programs that the hook run has run, by how they ended: ok, failed (another status than 0), " +
			"timeout (killed), not_started.",
	}, []string{"result"}))
	return &runMetrics{
		ok: runs.WithLabelValues("ok"), failed: runs.WithLabelValues("failed"),
		timeout: runs.WithLabelValues("timeout"), notStarted: runs.WithLabelValues("not_started"),
		lost: metric.Once(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "dhcp4d", Name: "run_lost_events_total",
			Help: "Changes of leases for which the hook run ran no program, because too many waited.",
		})),
		waiting: metric.Once(reg, prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "dhcp4d", Name: "run_queue_events",
			Help: "Changes of leases that wait for a program of the hook run.",
		})),
		took: metric.Once(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "dhcp4d", Name: "run_duration_seconds", Buckets: prometheus.ExponentialBuckets(1e-3, 4, 8),
			Help: "How long the programs of the hook run took.",
		})),
	}
}

// runPoint returns the only argument of a program: the name of Kea's hook point for such a change.
// A renewed lease is lease4_renew only.
func runPoint(e lease.Event) string {
	switch e {
	case lease.EventRenewed:
		return "lease4_renew"
	case lease.EventReleased:
		return "lease4_release"
	case lease.EventDeclined:
		return "lease4_decline"
	case lease.EventExpired:
		return "lease4_expire"
	case lease.EventReclaimed:
		return "lease4_recover"
	}
	return "leases4_committed" // allocated, or its own again
}

// runFacts returns the environment of a program. Facts that Kea's run_script hook has too have
// Kea's names and forms:
//
//	LEASE4_ADDRESS          192.0.2.10
//	LEASE4_HWADDR           02:00:00:00:00:01
//	LEASE4_HWADDR_TYPE      1
//	LEASE4_CLIENT_ID        ff:00:00:00:01:…, empty without one
//	LEASE4_STATE            default, declined, expired-reclaimed or released
//	LEASE4_SUBNET_ID        1
//	LEASE4_CLTT             Unix seconds of the last message
//	LEASE4_VALID_LIFETIME   seconds from then
//	LEASES4_SIZE            1, at leases4_committed; with LEASES4_AT0_ADDRESS and so on
//	QUERY4_IFACE_NAME       interface of dhcp6d, empty where no query caused the change
//	QUERY4_REMOTE_ADDR      IPv6 address of the client
//
// and those that Kea does not have:
//
//	LEASE4_EVENT            as in the lease log
//	LEASE4_START            Unix seconds since when the client has the address
//	LEASE4_EXPIRES          Unix seconds, or never
//	LEASE4_REMOTE_ID        of the query that bound the lease or last renewed it, empty without one
//	RELAYS6_SIZE            relay levels of the query, the outermost is 0:
//	RELAYS6_AT0_LINK_ADDRESS, _PEER_ADDRESS, _INTERFACE_ID, _REMOTE_ID
func runFacts(e *event.Lease) []string {
	b := &e.Binding
	id := ""
	if len(b.Client) > 0 && b.Client[0] == lease.KeyIdentifier {
		id = hexadecimal(b.Client[1:])
	}
	expires, lifetime := "never", strconv.FormatUint(uint64(lease.Infinite), 10)
	if b.Expires != lease.Never {
		expires, lifetime = number(int64(b.Expires)), number(int64(max(b.Expires-b.Changed, 0)))
	}
	source := ""
	if b.Source.IsValid() {
		source = b.Source.String()
	}
	facts := [][2]string{
		{"ADDRESS", b.Addr.String()},
		{"HWADDR", hexadecimal(b.HWAddr)},
		{"HWADDR_TYPE", number(int64(b.HWType))},
		{"CLIENT_ID", id},
		{"STATE", runState(e)},
		{"SUBNET_ID", number(int64(b.Subnet))},
		{"CLTT", number(int64(b.Changed))},
		{"VALID_LIFETIME", lifetime},
	}
	environ := make([]string, 0, 2*len(facts)+8+4*len(e.Relays))
	for _, f := range facts {
		environ = append(environ, "LEASE4_"+f[0]+"="+f[1])
	}
	if runPoint(e.Event) == "leases4_committed" {
		environ = append(environ, "LEASES4_SIZE=1", "DELETED_LEASES4_SIZE=0")
		for _, f := range facts {
			environ = append(environ, "LEASES4_AT0_"+f[0]+"="+f[1])
		}
	}
	environ = append(environ,
		"LEASE4_EVENT="+e.Event.String(),
		"LEASE4_START="+number(int64(b.Start)),
		"LEASE4_EXPIRES="+expires,
		"LEASE4_REMOTE_ID="+hexadecimal(b.Remote()),
		"QUERY4_IFACE_NAME="+clean(e.Interface),
		"QUERY4_REMOTE_ADDR="+source,
		"RELAYS6_SIZE="+strconv.Itoa(len(e.Relays)),
	)
	for i, r := range e.Relays {
		at := fmt.Sprintf("RELAYS6_AT%d_", i)
		environ = append(environ, at+"LINK_ADDRESS="+r.LinkAddress.String(), at+"PEER_ADDRESS="+r.PeerAddress.String(),
			at+"INTERFACE_ID="+hexadecimal(r.InterfaceID), at+"REMOTE_ID="+hexadecimal(r.RemoteID))
	}
	return environ
}

// runState returns the state as Kea writes it.
func runState(e *event.Lease) string {
	switch {
	case e.Binding.State == lease.Declined:
		return "declined"
	case e.Event == lease.EventExpired || e.Event == lease.EventReclaimed:
		return "expired-reclaimed"
	case e.Binding.State == lease.Released:
		return "released"
	}
	return "default"
}

func hexadecimal(b []byte) string { return string(octets.AppendHex(nil, b)) }

func number(n int64) string { return strconv.FormatInt(n, 10) }

// clean returns a name without the octets that an environment cannot hold.
func clean(name string) string { return strings.ReplaceAll(name, "\x00", "") }
