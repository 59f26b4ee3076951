package load

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// A runner moves datagrams between an engine and a socket.
type runner struct {
	conn  *udp.Conn
	start time.Time
	over  atomic.Bool

	mu     sync.Mutex // guards the fields below
	engine *engine
	writer udp.Writer
	out    []udp.Packet
}

func newRunner(e *engine, conn *udp.Conn, index int) *runner {
	together := 1
	if e.config.Trains {
		together = batch
	}
	r := &runner{engine: e, conn: conn, writer: conn.NewWriter(together), out: make([]udp.Packet, 0, int(kinds)*batch)}
	for k := range e.out {
		for i := range e.out[k].packets {
			p := &e.out[k].packets[i]
			p.Peer, p.Interface = netip.AddrPortFrom(e.config.Server, relay.ServerPort), index
		}
	}
	e.flush = r.flush
	return r
}

func (r *runner) run(ctx context.Context, progress func(Report)) Report {
	own := ownCPU()
	r.start = time.Now()
	r.step()
	var reading sync.WaitGroup
	reading.Go(r.read)
	if r.engine.config.Rate > 0 && !r.engine.config.Trains {
		reading.Go(r.pace)
	}
	every := 10 * time.Millisecond // for overdue answers
	if r.engine.config.Rate > 0 {
		every = time.Millisecond // and for exchanges that are due
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	second := r.start
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case now := <-tick.C:
			done = r.step()
			if progress != nil && now.Sub(second) >= time.Second {
				second = now
				progress(r.report())
			}
		}
	}
	report := r.report()
	if stats, err := r.conn.Stats(); err == nil { // it is still open
		report.Overrun = uint64(stats.Drops)
	}
	r.over.Store(true)
	r.conn.Close()
	reading.Wait()
	report.Own = ownCPU() - own
	return report
}

// step starts what is due and gives up what is overdue. It returns true when the run is over.
func (r *runner) step() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.engine.tick(time.Since(r.start))
	r.flush()
	return r.engine.done()
}

// pace starts each exchange of an open loop when it is due. The runtime's timers are not exact
// enough for that: they may wait for a millisecond.
func (r *runner) pace() {
	for !r.over.Load() {
		t := unix.NsecToTimespec(int64(r.begin()))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &t, nil) // if a signal ends it, nothing is due
	}
}

// begin starts what is due, and returns how long the next start is away.
func (r *runner) begin() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.engine.tick(time.Since(r.start))
	r.flush()
	next := time.Duration(float64(r.engine.started) / r.engine.config.Rate * float64(time.Second))
	return min(max(next-time.Since(r.start), 20*time.Microsecond), 10*time.Millisecond)
}

func (r *runner) report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.engine.report(time.Since(r.start))
}

func (r *runner) read() {
	reader := r.conn.NewReader(batch)
	for {
		packets, err := reader.Read()
		if err != nil {
			return // the socket is closed
		}
		r.take(packets)
	}
}

// take handles one batch: it judges all datagrams, then sends the messages that follow.
func (r *runner) take(packets []udp.Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Since(r.start)
	for i := range packets {
		r.engine.receive(packets[i].Data, packets[i].Local, now)
	}
	r.flush()
}

// flush sends what the engine has queued. Messages of a kind go together.
func (r *runner) flush() {
	r.out = r.out[:0]
	for k := range r.engine.out {
		q := &r.engine.out[k]
		r.out = append(r.out, q.packets[:q.n]...)
		q.n = 0
	}
	if len(r.out) > 0 {
		r.engine.unsent += uint64(len(r.out) - r.writer.Write(r.out))
	}
}

// ownCPU returns the processor time that this process has used, in seconds.
func ownCPU() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
