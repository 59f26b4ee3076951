package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/asking"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/core"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/hooks"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/server"
	"github.com/dhcp4o6/dhcp4o6/shared/consult"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/exit"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/pcapng"
	"github.com/dhcp4o6/dhcp4o6/shared/replay"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// hookTest is the command hook test. It serves the queries of a capture as dhcp4d would, with the
// configuration of the environment and a store in memory, and prints what becomes of each.
func hookTest(sys clock.System) daemon.Command {
	var asks bool
	return replay.Command{
		Daemon: "dhcp4d",
		About: "tell what the hooks and rules would do with the queries of a capture (pcap or pcapng) " +
			"of the link or of the IPC; no daemon runs",
		More:      "The store is in memory and empty at first. The hooks leaselog and run do not run.",
		Interface: "`name` of the interface of dhcp6d, for queries of a capture of the link that does not name it",
		Switch: replay.Switch{
			Name: "outside", On: &asks,
			About: "ask the program of the hook outside, which must be running, else the status is 4; " +
				"without it that hook does not run",
		},
		Run: func(ctx context.Context, environ []string, capture *replay.Capture) error {
			c, err := config.Load(environ)
			if err != nil {
				return err
			}
			r := &replayer{capture: capture, asks: asks, woken: make(chan struct{}, 1)}
			return r.run(ctx, c, clock.New(sys))
		},
	}.Command()
}

// effects are the hooks that do something outside dhcp4d. They do not run.
var effects = []string{"leaselog", "run"}

// replayed is the address of the dhcp6d from which every query of a capture seems to come.
var replayed = netip.MustParseAddrPort("[::1]:6767")

// replayer is the reader from which a server gets the queries of a capture, one by one. It returns
// the next query when it has printed what became of the one before.
type replayer struct {
	capture *replay.Capture
	asks    bool // the program of the hook outside
	woken   chan struct{}

	watch *trace.Watch
	open  bool // the trace record of a query is still to come
	frame []byte
	seen  ipc.Query
	link  dhcp6.Packet
	at    [1]udp.Packet
}

// run serves the queries of the capture.
func (r *replayer) run(ctx context.Context, c config.Config, now *clock.Clock) error {
	log := slog.New(slog.DiscardHandler)
	rt := daemon.NewRuntime(drop.DHCP4D, log, prometheus.NewRegistry())
	host := hook.NewHost(rt.Registry, drop.DHCP4D, rt.Panics, log, hooks.All())
	defer host.Close()
	without := effects
	if !r.asks {
		without = append(without, "outside")
	} else if err := askable(c.Hooks); err != nil {
		return err
	}
	made, err := host.Make(hook.Without(c.Hooks, without...))
	if err != nil {
		return err
	}
	host.Use(made)
	asker := asking.Part.Of(made)
	if asker != nil && !greeted(ctx, asker.Link) {
		return exit.CannotAsk(errors.New("hook test -outside: the program outside takes the connection and says no " +
			"hello (docs/outside.md)"))
	}
	book, err := core.Open(ctx, core.Options{
		Runtime: rt, Clock: now, URL: "memory:", MetricsSubnets: c.MetricsSubnets,
		Config: coreConfig(c, made),
	})
	if err != nil {
		return err
	}
	defer book.Close()
	hub := new(trace.Hub)
	r.watch = hub.All()
	defer r.watch.Close()
	end := ipc.NewEnd(drop.DHCP4D, ipc.Keys{}, true)
	var peers atomic.Pointer[server.Peers]
	peers.Store(&server.Peers{replayed: {Name: c.IPCPeers[0].Name}})
	parts := book.Serve(core.Link{
		Peers: &peers, Auth: server.Auth{Name: c.Name, Opener: end.NewOpener(end.Begin(ctx)), Signer: end.NewSigner()},
		IPC: r, Wake: r.wake, StopReading: func() {}, Replies: nowhere{}, Acks: nowhere{}, Notices: nowhere{},
		SignerOfAcks: end.NewSigner(), SignerOfNotices: end.NewSigner(), Trace: hub, Local: replayed,
		GroupSize: groupSize,
	})
	defer book.Finish()
	for _, p := range parts {
		if p.Name() == "server" {
			return p.Run(ctx)
		}
	}
	return nil
}

// askable returns an error if there is no program outside that can be asked.
func askable(configured []hook.Configured) error {
	run := hook.Only(configured, "outside")
	if len(run) == 0 {
		return errors.New("hook test -outside: " + config.Prefix + "HOOKS does not list outside")
	}
	if missing := hook.Missing(config.Prefix, run); len(missing) > 0 {
		return exit.CannotAsk(errors.New("hook test -outside: " + missing[0]))
	}
	return nil
}

// greeted waits until the program has said hello.
func greeted(ctx context.Context, link *consult.Link) bool {
	for end := time.Now().Add(consult.HelloWithin); link.Away() > 0; {
		if time.Now().After(end) || ctx.Err() != nil {
			return false
		}
		time.Sleep(time.Millisecond)
	}
	return true
}

// nowhere is a writer that discards the answers.
type nowhere struct{}

func (nowhere) Write(ps []udp.Packet) int { return len(ps) }

// wake ends the wait of Read.
func (r *replayer) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// Read implements udp.Reader.
func (r *replayer) Read() ([]udp.Packet, error) {
	if r.open {
		select {
		case record := <-r.watch.Records():
			r.open = false
			r.tell(record)
		case <-r.woken: // the query is parked, and there is an answer, or no time is left for one
			return nil, nil
		}
	}
	for p := r.capture.Next(); p != nil; p = r.capture.Next() {
		if r.query(p) {
			r.capture.Begin(p)
			r.open = true
			r.at[0] = udp.Packet{Data: r.frame, Peer: replayed, Local: replayed.Addr()}
			return r.at[:], nil
		}
	}
	return nil, net.ErrClosed
}

// tell prints what became of a query. It leaves out the first step, how the query came, because the
// capture says that better. If the query was answered, it prints the answer in place of the last
// step, which says only that an answer has left.
func (r *replayer) tell(record *trace.Record) {
	steps := record.Steps[1:]
	var answer dhcp4.Message
	answered := len(record.Reply) > 0 && answer.Parse(record.Reply) == drop.None
	if answered {
		steps = steps[:len(steps)-1]
	}
	for _, step := range steps {
		r.capture.Print("    %s\n", step)
	}
	if answered {
		r.capture.Print("    answer: %s\n", trace.Describe(&answer))
	}
}

// query reports whether a datagram is a query. It then makes the frame that dhcp4d gets: the frame
// of the IPC without its signature, or what dhcp6d would make of a query on the link.
func (r *replayer) query(p *pcapng.Packet) bool {
	r.frame = append(r.frame[:0], ipc.Content(p.Payload)...)
	if r.seen.Parse(r.frame) == drop.None {
		return true
	}
	if r.link.Parse(p.Payload) != drop.None || r.link.Message().Type() != dhcp6.DHCPv4Query {
		return false
	}
	name, ok := r.capture.InterfaceOf(p, "a query")
	if !ok {
		return false
	}
	back := ipc.Context{Interface: []byte(name), Source: p.From}
	if !p.To.Addr().IsMulticast() {
		back.Local = p.To.Addr()
	}
	var why drop.Reason
	if r.frame, why = ipc.AppendQuery(r.frame[:0], &r.link, back); why != drop.None {
		r.capture.Note("is dropped by dhcp6d (%s): %s", why.Label(), why.Meaning())
		return false
	}
	return true
}
