package simulation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/core"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/operator"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/server"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// directory is where the store is.
const directory = "/leases"

var dhcp6d = netip.MustParseAddrPort("[::1]:6767")

// A process is one run of dhcp4d: the core, on the disk, the clocks and the network of a world.
type process struct {
	w    *world
	nth  int
	disk *handle
	who  *caller
	rt   *daemon.Runtime

	port   *port
	cancel context.CancelFunc
	done   chan struct{} // closed at the end
	err    error         // why it did not start; set before done is closed

	// Set before serving becomes true.
	serving atomic.Bool
	core    *core.Core
	orders  *operator.Orders[*server.Replies]
}

// launch starts a process. It does not wait for it.
func (w *world) launch() *process {
	if w.deletedAt != 0 {
		w.say(netip.Addr{}, "dhcp4d starts without the deleted store, which is not put back now")
		w.deletedAt = 0
		w.takeAllAway()
	}
	disk, who := w.disk.process()
	ctx, cancel := context.WithCancel(context.Background())
	w.launched++
	p := &process{w: w, nth: w.launched, disk: disk, who: who, cancel: cancel, done: make(chan struct{})}
	p.port = newPort(w.answered)
	p.rt = daemon.NewRuntime(drop.DHCP4D, slog.New(&logger{w: w, p: p}), prometheus.NewRegistry())
	go func() {
		defer close(p.done)
		p.err = p.serve(ctx)
		w.wakeUp()
	}()
	return p
}

// serve does what main's function of that name does for the core.
func (p *process) serve(ctx context.Context) error {
	c, err := core.Open(ctx, core.Options{
		Runtime: p.rt, Clock: clock.New(p.w.clocks), URL: "journal:" + directory,
		Store: engine.Options{FS: p.disk, Small: true}, Config: p.w.configuration(), MetricsSubnets: 1024,
	})
	if err != nil {
		return err
	}
	defer c.Close()
	if p.w.portTaken {
		return errors.New("opening the IPC (DHCP4D_IPC_LISTEN): address already in use")
	}
	end := ipc.NewEnd(drop.DHCP4D, nil, false)
	peers := new(atomic.Pointer[server.Peers])
	peers.Store(&server.Peers{dhcp6d: {Name: "six", Kea: true}})
	parts := c.Serve(core.Link{
		Peers: peers, Auth: server.Auth{Name: "dhcp4d", Opener: end.NewOpener(end.Begin(ctx)), Signer: end.NewSigner()},
		IPC: p.port, StopReading: p.port.stopReading, Replies: p.port, Acks: p.port, Notices: p.port,
		SignerOfAcks: end.NewSigner(), SignerOfNotices: end.NewSigner(), GroupSize: p.w.plan.limit,
	})
	defer c.Finish()
	p.core, p.orders = c, c.Orders()
	p.serving.Store(true)
	defer p.serving.Store(false)
	p.w.wakeUp()
	return p.rt.Run(ctx, parts...)
}

// clockWrong returns why the process waits for the clock, "" if it does not.
func (p *process) clockWrong() string {
	_, report := p.rt.Ready.Report()
	for line := range strings.Lines(report) {
		if why, ok := strings.CutPrefix(line, "clock: "); ok && why != "ok\n" && why != "not looked at yet\n" {
			return strings.TrimSpace(why)
		}
	}
	return ""
}

// stop ends the process as SIGTERM does. done is closed when it has ended.
func (p *process) stop() { p.cancel() }

// kill ends the process at once: from now on it reaches neither the disk nor the network.
func (p *process) kill() {
	p.w.disk.mu.Lock()
	p.who.dead = true
	p.w.disk.open = 0
	p.w.disk.mu.Unlock()
	p.port.kill()
	p.cancel()
}

// exited reports whether the process has ended.
func (p *process) exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// binding returns the binding that a serving process has for an address, and its time.
func (p *process) binding(a netip.Addr) (b lease.Binding, now lease.Time, known bool) {
	var batch lease.Batch
	p.core.Book().Get(a, &batch)
	if len(batch.Records) == 0 {
		return b, p.core.Book().Now(), false
	}
	return batch.Records[0], p.core.Book().Now(), true
}

// reload reloads the configuration as SIGHUP does.
func (p *process) reload() { p.core.Reconfigure(p.w.configuration()) }

// logger writes the log of a process into the history.
type logger struct {
	w *world
	p *process
}

func (l *logger) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (l *logger) Handle(_ context.Context, r slog.Record) error {
	if l.p.who.dead {
		return nil
	}
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	l.w.say(netip.Addr{}, "dhcp4d %d says: %s", l.p.nth, strings.ReplaceAll(text, "\n", "; "))
	return nil
}

func (l *logger) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *logger) WithGroup(string) slog.Handler      { return l }
