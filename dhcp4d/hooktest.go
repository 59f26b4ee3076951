package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/core"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/hooks"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/server"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/manual"
	"github.com/dhcp4o6/dhcp4o6/shared/pcapng"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// hookTest is the command hook test. It serves the queries of a capture as dhcp4d would, with the
// configuration of the environment and a store in memory, and prints what becomes of each.
func hookTest(sys clock.System) daemon.Command {
	about := manual.Command{
		Words: "hook test", Arguments: "[-interface NAME] [-outside] CAPTURE",
		About: "tell what the hooks and rules would do with the queries of a capture (pcap or pcapng) " +
			"of the link or of the IPC; no daemon runs",
		More: "The store is in memory and empty at first. The hooks leaselog and run do not run.",
	}
	return daemon.Command{
		Name: "hook", About: about.About, Actions: []string{"test"},
		Run: func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
			f := manual.Flags("dhcp4d", about, stderr)
			name := f.String("interface", "",
				"`name` of the interface of dhcp6d, for queries of a capture of the link that does not name it")
			ask := f.Bool("outside", false,
				"ask the program of the hook outside, which must be running; without it that hook does not run")
			if len(args) > 0 && args[0] == "test" {
				args = args[1:]
			} else if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
				return fmt.Errorf("hook: say what to do: dhcp4d %s %s", about.Words, about.Arguments)
			}
			if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
				return nil
			} else if err != nil {
				return err
			}
			if f.NArg() != 1 {
				return fmt.Errorf("hook test takes one file: a capture in the format pcap or pcapng")
			}
			c, err := config.Load(environ)
			if err != nil {
				return err
			}
			file, err := os.Open(f.Arg(0))
			if err != nil {
				return err
			}
			defer file.Close() //nolint:errcheck // it is only read
			capture, err := pcapng.NewReader(file)
			if err != nil {
				return fmt.Errorf("reading %s: %w", f.Arg(0), err)
			}
			r := &replay{capture: capture, ifc: *name, out: stdout, asks: *ask, woken: make(chan struct{}, 1)}
			if err := r.run(ctx, c, clock.New(sys)); err != nil {
				return err
			}
			return r.err
		},
	}
}

// effects are the hooks that do something outside dhcp4d. They do not run.
var effects = []string{"leaselog", "run"}

// replayed is the address of the dhcp6d from which every query of a capture seems to come.
var replayed = netip.MustParseAddrPort("[::1]:6767")

// replay is the reader from which a server gets the queries of a capture, one by one. It returns
// the next query when it has printed what became of the one before.
type replay struct {
	capture *pcapng.Reader
	ifc     string
	asks    bool // the program of the hook outside
	woken   chan struct{}
	out     io.Writer
	err     error // of the capture, or of writing

	watch *trace.Watch
	open  bool // the trace record of a query is still to come
	count int  // of datagrams
	frame []byte
	seen  ipc.Query
	link  dhcp6.Packet
	at    [1]udp.Packet
}

// run serves the queries of the capture.
func (r *replay) run(ctx context.Context, c config.Config, now *clock.Clock) error {
	log := slog.New(slog.DiscardHandler)
	rt := daemon.NewRuntime(drop.DHCP4D, log, prometheus.NewRegistry())
	host := hook.NewHost(rt.Registry, drop.DHCP4D, rt.Panics, log, hooks.All())
	defer host.Close()
	without := effects
	if !r.asks {
		without = append(without, "outside")
	}
	made, err := host.Make(hook.Without(c.Hooks, without...))
	if err != nil {
		return err
	}
	host.Use(made)
	book, err := core.Open(ctx, core.Options{
		Runtime: rt, Clock: now, URL: "memory:", MetricsSubnets: c.MetricsSubnets,
		Config: core.Config{Subnets: c.Subnets, Peers: c.PeerServerIDs, Hooks: event.NewHooks(made)},
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

// nowhere is a writer that discards the answers.
type nowhere struct{}

func (nowhere) Write(ps []udp.Packet) int { return len(ps) }

// wake ends the wait of Read.
func (r *replay) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// Read implements udp.Reader.
func (r *replay) Read() ([]udp.Packet, error) {
	if r.open {
		select {
		case record := <-r.watch.Records():
			r.open = false
			r.tell(record)
		case <-r.woken: // the query is parked, and there is an answer, or no time is left for one
			return nil, nil
		}
	}
	for r.err == nil {
		p, err := r.capture.Next()
		if errors.Is(err, io.EOF) {
			r.say("%d datagrams, %d other frames\n", r.count, r.capture.Skipped())
			break
		}
		if err != nil {
			r.err = fmt.Errorf("reading the capture: %w", err)
			break
		}
		r.count++
		if r.query(p) {
			r.say("%d %s from %v to %v\n", r.count, p.Time.UTC().Format("2006-01-02T15:04:05.000Z"), p.From, p.To)
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
func (r *replay) tell(record *trace.Record) {
	steps := record.Steps[1:]
	var answer dhcp4.Message
	answered := len(record.Reply) > 0 && answer.Parse(record.Reply) == drop.None
	if answered {
		steps = steps[:len(steps)-1]
	}
	for _, step := range steps {
		r.say("    %s\n", step)
	}
	if answered {
		r.say("    answer: %s\n", trace.Describe(&answer))
	}
}

func (r *replay) say(format string, args ...any) {
	if _, err := fmt.Fprintf(r.out, format, args...); err != nil && r.err == nil {
		r.err = err
	}
}

// query reports whether a datagram is a query. It then makes the frame that dhcp4d gets: the frame
// of the IPC without its signature, or what dhcp6d would make of a query on the link.
func (r *replay) query(p *pcapng.Packet) bool {
	r.frame = append(r.frame[:0], ipc.Content(p.Payload)...)
	if r.seen.Parse(r.frame) == drop.None {
		return true
	}
	if r.link.Parse(p.Payload) != drop.None || r.link.Message().Type() != dhcp6.DHCPv4Query {
		return false
	}
	back := ipc.Context{Interface: []byte(r.ifc), Source: p.From}
	if p.Interface != "" && r.ifc == "" {
		back.Interface = []byte(p.Interface)
	}
	if len(back.Interface) == 0 {
		r.say("%d is a query, but the capture does not say by which interface it came; give -interface\n", r.count)
		return false
	}
	if !p.To.Addr().IsMulticast() {
		back.Local = p.To.Addr()
	}
	var why drop.Reason
	if r.frame, why = ipc.AppendQuery(r.frame[:0], &r.link, back); why != drop.None {
		r.say("%d is dropped by dhcp6d (%s): %s\n", r.count, why.Label(), why.Meaning())
		return false
	}
	return true
}
