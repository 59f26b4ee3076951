// Dhcp6d serves DHCPv4 over DHCPv6 (RFC 7341) on a link: it hands the
// DHCPV4-QUERY messages of clients and relays to a DHCPv4 server behind it and
// brings the DHCPV4-RESPONSEs back.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/filter"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/forward"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/server"
	shared "github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// version is set by the linker.
var version = "devel"

func main() { daemon.Main(run) }

func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	return daemon.Program[config.Config]{
		Daemon:  drop.DHCP6D,
		Version: version,
		About:   "the link's half of DHCPv4 over DHCPv6",
		Load:    config.Load,
		Serve:   serve,
	}.Run(ctx, args, environ, stdout, stderr)
}

const (
	batch  = 256     // datagrams read and written at once
	buffer = 4 << 20 // octets that the kernel may queue before
	// drain is how long the queries on their way have before we exit.
	drain = time.Second
)

// serve builds the daemon from its configuration and runs it.
func serve(ctx context.Context, rt *daemon.Runtime, c config.Config) error {
	duid, err := answer.DUID(c.StateDir)
	if err != nil {
		return err
	}
	link, err := listen.Open(listen.Options{
		Interfaces: c.Interfaces, Port: c.ServerPort, JoinSite: c.JoinSite,
		ReceiveBuffer: buffer, SendBuffer: buffer, Timestamps: true,
	}, rt.Log.With("package", "listen"))
	if err != nil {
		return err
	}
	defer link.Close() //nolint:errcheck // the loops that read it have ended
	var backends atomic.Pointer[forward.Backends]
	socket, err := udp.Listen(udp.Options{
		Address: c.IPCListen, Coalesce: true, ReceiveBuffer: buffer, SendBuffer: buffer,
		Refused: func(a netip.AddrPort) { backends.Load().Refused(a) },
	})
	if err != nil {
		return fmt.Errorf("opening the IPC (DHCP6D_IPC_LISTEN): %w", err)
	}
	defer socket.Close() //nolint:errcheck // the loops that read it have ended

	reg := rt.Registry
	metric.WatchSocket(reg, drop.DHCP6D, "link", link.Conn())
	metric.WatchSocket(reg, drop.DHCP6D, "ipc", socket)
	probes, queries := ipc.NewSigner(ipc.ToBackend, c.IPCKeys), ipc.NewSigner(ipc.ToBackend, c.IPCKeys)
	backends.Store(forward.New(forward.Options{
		Log: rt.Log.With("package", "forward"), Specs: specs(c.Backends), Ranges: ranges(c.Ranges),
		Resolver: net.DefaultResolver, IPv4: c.IPCListen.Addr().Is4(), Probe: socket.NewWriter(batch), Signer: probes, Metrics: forward.NewMetrics(reg),
	}))
	backends.Load().Watch(rt.Ready.Condition("backend", "no backend has answered yet"))

	core := hook.NewCore(reg, drop.DHCP6D, rt.Panics, rt.Log)
	core.Declare(hook.Pkt6Receive, filter.ACLName)
	core.Declare(hook.Pkt6Receive, filter.RateLimitName)
	var running atomic.Pointer[server.Settings]
	var limit filter.Running
	set, err := settings(c, duid, core, &limit)
	if err != nil {
		return err
	}
	running.Store(set)
	upLedger, downLedger := server.NewLedgers(reg)
	log := rt.Log.With("package", "server")
	up := &server.Up{
		Log:        log,
		Link:       link.Conn().NewReader(batch),
		Answers:    link.Conn().NewWriter(batch),
		Queries:    socket.NewWriter(batch),
		Interfaces: link.Interfaces,
		Settings:   &running,
		Backends:   backends.Load(),
		Signer:     queries,
		Ledger:     upLedger,
	}
	down := &server.Down{
		Log:        log,
		IPC:        socket.NewReader(batch),
		Link:       link.Conn().NewWriter(batch),
		Interfaces: link.Interfaces,
		Settings:   &running,
		Backends:   backends.Load(),
		Verifier:   ipc.NewVerifier(ipc.FromBackend, c.IPCKeys, c.IPCKeys.Start(ctx)),
		Ledger:     downLedger,
	}
	change := func(next config.Config) error {
		if (len(c.IPCKeys) > 0) != (len(next.IPCKeys) > 0) {
			// A file that is empty by accident must not open the door, and
			// what was never verified may be replayed.
			return errors.New("DHCP6D_IPC_KEYS can be changed while we run, but not be set or unset: restart for that")
		}
		set, err := settings(next, duid, core, &limit)
		if err != nil {
			return err
		}
		if err := link.Serve(next.Interfaces, next.JoinSite); err != nil {
			return err
		}
		running.Store(set)
		down.Verifier.SetKeys(next.IPCKeys)
		queries.SetKeys(next.IPCKeys)
		probes.SetKeys(next.IPCKeys)
		backends.Load().Set(specs(next.Backends), ranges(next.Ranges))
		return nil
	}
	rt.OnReload(func() (daemon.Settings, error) {
		next, err := c.Reload()
		if err == nil {
			err = change(next)
		}
		if err != nil {
			return daemon.Settings{}, err
		}
		shared.WarnFixed(rt.Log, c.Variables(), next.Variables())
		c = next
		return c.Settings(), nil
	})
	upEnded, downEnded := make(chan struct{}), make(chan struct{})
	return rt.Run(ctx, ending(up, upEnded), ending(down, downEnded),
		daemon.Func("listen", link.Run),
		daemon.Func("backends", backends.Load().Run),
		daemon.Func("sockets", func(ctx context.Context) error {
			<-ctx.Done()
			// One after the other: what has arrived is sent to a backend, and
			// what the backends answer is delivered.
			link.Conn().StopReading()
			<-upEnded
			backends.Load().Drain(drain)
			socket.StopReading()
			<-downEnded
			_ = link.Close() // there is nobody to tell
			_ = socket.Close()
			return nil
		}))
}

// ending closes ended when the component has ended.
func ending(c daemon.Component, ended chan<- struct{}) daemon.Component {
	return daemon.Func(c.Name(), func(ctx context.Context) error {
		defer close(ended)
		return c.Run(ctx)
	})
}

// settings are what a reload may change of a packet's way.
func settings(c config.Config, duid []byte, core *hook.Core, limit *filter.Running) (*server.Settings, error) {
	ldra := func(string) bool { return false }
	if len(c.LDRAInterfaces) > 0 {
		patterns, err := listen.ParsePatterns(c.LDRAInterfaces)
		if err != nil {
			return nil, fmt.Errorf("reading DHCP6D_LDRA_INTERFACES: %w", err)
		}
		ldra = func(name string) bool { return patterns.Match(name, false) }
	}
	var links []server.LinkAnswer
	for _, l := range c.LinkOptions {
		one := server.LinkAnswer{Link: l.Link, Answer: answer.New(duid, l.Options)}
		if l.Interface != "" {
			patterns, err := listen.ParsePatterns([]string{l.Interface})
			if err != nil {
				return nil, fmt.Errorf("reading DHCP6D_LINK_OPTIONS: %w", err)
			}
			one.Interface = func(name string) bool { return patterns.Match(name, false) }
		}
		links = append(links, one)
	}
	var filters []hook.Filter[filter.Event]
	for _, name := range c.Hooks {
		switch name {
		case filter.ACLName:
			filters = append(filters, c.ACL.Filter())
		case filter.RateLimitName:
			filters = append(filters, limit.Filter(c.RateLimit))
		}
	}
	return &server.Settings{
		Access:   server.Access{Relays: c.Relays, LDRA: ldra},
		Delivery: server.Delivery{ClientPort: c.ClientPort, Source: c.Source},
		Answer:   answer.New(duid, c.Options),
		Links:    links,
		Hooks:    server.UpHooks{Pkt6Receive: hook.Filters(core, hook.Pkt6Receive, filters...)},
		Patience: forward.Patience{Query: c.MaxWait, Discover: c.DiscoverMaxWait},
	}, nil
}

func specs(backends []config.Backend) []forward.Spec {
	var s []forward.Spec
	for _, b := range backends {
		s = append(s, forward.Spec{Name: b.Name, Daemon: b.Daemon(), Host: b.Host, Port: b.Port, Kea: b.Kea})
	}
	return s
}

func ranges(configured []config.Range) []forward.Range {
	var r []forward.Range
	for _, c := range configured {
		r = append(r, forward.Range(c))
	}
	return r
}
