package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/backend"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/hooks"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/pass"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/server"
	shared "github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/pcapng"
	"github.com/dhcp4o6/dhcp4o6/shared/replay"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// hookTest is the command hook test: it takes the datagrams of a capture the way of a packet, with
// the configuration of the environment, and tells what becomes of each.
func hookTest() daemon.Command {
	return replay.Command{
		Daemon: "dhcp6d",
		About: "tell what the hooks and rules would do with the datagrams of a capture (pcap or pcapng) " +
			"of the link or of the IPC; no daemon runs",
		More:      "Every query finds a dhcp4d. The DUID is that of the state directory, if it can be read.",
		Interface: "`name` of the interface, for datagrams of a capture of the link that does not name it",
		Run: func(ctx context.Context, environ []string, capture *replay.Capture) error {
			c, err := config.Load(environ)
			if err != nil {
				return err
			}
			r := &replayer{capture: capture}
			return r.run(ctx, c)
		},
	}.Command()
}

// fourd is where every query goes, and every answer on the IPC comes from. As a Kea it needs no
// session.
var fourd = backend.Spec{Name: "of the capture", Host: "::1", Port: 6768, Kea: true}

// replayer hands the datagrams of a capture to both halves of dhcp6d, one by one.
type replayer struct {
	capture *replay.Capture

	backends backend.Options
	up       server.Up
	down     server.Down
	watch    *trace.Watch
	served   listen.Interfaces
	all      []listen.Interface
	now      time.Time // of the datagram at hand

	queries, toLink kept
	frame           []byte
	response        ipc.Response
	query           ipc.Query
}

// kept is a writer that keeps the last datagram.
type kept struct {
	data []byte
	some bool
}

// Write implements udp.Writer.
func (k *kept) Write(ps []udp.Packet) int {
	for i := range ps {
		k.data, k.some = append(k.data[:0], ps[i].Data...), true
	}
	return len(ps)
}

// one is a reader that has one datagram.
type one struct{ packets []udp.Packet }

// Read implements udp.Reader.
func (o *one) Read() ([]udp.Packet, error) {
	p := o.packets
	if o.packets = nil; p == nil {
		return nil, net.ErrClosed
	}
	return p, nil
}

// run takes the datagrams of the capture to their ends.
func (r *replayer) run(ctx context.Context, c config.Config) error {
	state, err := os.MkdirTemp("", "dhcp6d-hook-test-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(state) //nolint:errcheck // it is in the directory for temporary files
	for _, name := range []string{"duid", "kea-dhcp6-serverid"} {
		if content, err := shared.ReadFile(filepath.Join(c.StateDir, name)); err == nil {
			if err := os.WriteFile(filepath.Join(state, name), content, 0o600); err != nil {
				return err
			}
		}
	}
	c.StateDir = state
	duid, err := answer.DUID(state)
	if err != nil {
		return err
	}
	patterns, err := listen.ParsePatterns(c.Interfaces)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	rt := daemon.NewRuntime(drop.DHCP6D, log, prometheus.NewRegistry())
	host := hook.NewHost(rt.Registry, drop.DHCP6D, rt.Panics, log, hooks.All())
	defer host.Close()
	made, err := host.Make(c.Hooks)
	if err != nil {
		return err
	}
	host.Use(made)
	interfaces := func() *listen.Interfaces { return &r.served }
	servers := new(instance).serverAddressesLocked(c.DHCPv6Servers)
	set, err := settings(c, servers, duid, interfaces, event.NewHooks(made), pass.NewMetrics(rt.Registry))
	if err != nil {
		return err
	}
	set.MaxWait = backend.MaxWait{} // nothing waits in a socket
	var running atomic.Pointer[server.Settings]
	running.Store(set)
	end := ipc.NewEnd(drop.DHCP6D, ipc.Keys{}, true)
	r.backends = backend.Options{Log: log, Specs: []backend.Spec{fourd}, End: end, Signer: end.NewSigner(),
		Metrics: backend.NewMetrics(rt.Registry)}
	hub := new(trace.Hub)
	r.watch = hub.All()
	defer r.watch.Close()
	upLedger, downLedger := server.NewLedgers(rt.Registry)
	tracing, now := server.Tracing{Hub: hub}, func() time.Time { return r.now }
	r.up = server.Up{
		Log: log, Answers: &r.toLink, Queries: &r.queries, Interfaces: interfaces, Settings: &running,
		Signer: end.NewSigner(), Ledger: upLedger, Trace: tracing, Now: now,
	}
	r.down = server.Down{
		Log: log, Link: &r.toLink, Interfaces: interfaces, Settings: &running,
		Opener: end.NewOpener(end.Begin(ctx)), Ledger: downLedger, Trace: tracing, Now: now,
	}
	for p := r.capture.Next(); p != nil; p = r.capture.Next() {
		r.now = p.Time
		if err := r.take(ctx, p, patterns, c.ServerPort); err != nil {
			return err
		}
	}
	return nil
}

// take takes a datagram to its end, if it is one that dhcp6d would receive: from the link, or an
// answer on the IPC. A query on the IPC has been one on the link.
func (r *replayer) take(ctx context.Context, p *pcapng.Packet, patterns listen.Patterns, port uint16) error {
	r.frame = append(r.frame[:0], ipc.Content(p.Payload)...)
	in := udp.Packet{Data: p.Payload, Peer: p.From, Local: p.To.Addr()}
	var name string
	switch {
	case r.response.Parse(r.frame) == drop.None:
		r.begin(p)
		r.serve(string(r.response.Context().Interface), patterns)
		addr, err := netip.ParseAddr(fourd.Host)
		if err != nil {
			return err
		}
		in.Data, in.Peer = r.frame, netip.AddrPortFrom(addr, fourd.Port)
		r.down.Backends = backend.New(r.backends)
		r.down.IPC = &one{[]udp.Packet{in}}
		err = r.down.Run(ctx)
		r.tell(false)
		return err
	case r.query.Parse(r.frame) == drop.None:
		back := *r.query.Context()
		name = string(back.Interface)
		in.Peer, in.Local = back.Source, back.Local
		if !back.Local.IsValid() {
			in.Local = allServers
		}
		in.Data = r.query.Strip()
	case p.To.Port() != port:
		return nil
	default:
		var ok bool
		if name, ok = r.capture.InterfaceOf(p, "for dhcp6d"); !ok {
			return nil
		}
	}
	r.begin(p)
	in.Interface = r.serve(name, patterns)
	r.up.Backends = backend.New(r.backends) // what was sent before is answered
	r.up.Link = &one{[]udp.Packet{in}}
	err := r.up.Run(ctx)
	r.tell(true)
	return err
}

var allServers = netip.MustParseAddr("ff02::1:2")

// begin begins what is told of a datagram.
func (r *replayer) begin(p *pcapng.Packet) {
	r.capture.Begin(p)
	r.queries.some, r.toLink.some = false, false
}

// serve adds an interface to those that are served, if the configuration has it, and returns its
// index.
func (r *replayer) serve(name string, patterns listen.Patterns) int {
	if i := r.served.ByName([]byte(name)); i != nil {
		return i.Index
	}
	index := len(r.all) + 1
	if patterns.Match(false, name) {
		r.all = append(r.all, listen.Interface{Index: index, Name: name, Up: true, Joined: true})
		r.served = *listen.NewInterfaces(r.all...)
	}
	return index
}

// tell tells what became of a datagram.
func (r *replayer) tell(fromLink bool) {
	var record *trace.Record
	select {
	case record = <-r.watch.Records():
	default:
		r.capture.Print("    is nothing that dhcp6d takes\n") // the ledger counts it, a trace shows nothing
		return
	}
	steps := record.Steps
	if fromLink && r.queries.some {
		steps = steps[:len(steps)-2] // they name a dhcp4d that there is not
	}
	for _, step := range steps {
		r.capture.Print("    %s\n", step)
	}
	switch {
	case r.queries.some:
		r.capture.Print("    goes to a dhcp4d\n")
	case r.toLink.some && fromLink:
		if m, err := (&event.Datagram{Data: r.toLink.data}).Decode(); err == nil {
			r.capture.Print("    %s\n", oneLine(m))
		}
	}
}

func oneLine(m dhcpv6.DHCPv6) string {
	return fmt.Sprintf("%v: %s", dhcp6.Type(m.Type()), strings.Join(strings.Fields(m.Summary()), " "))
}
