// Dhcp6d serves DHCPv4 over DHCPv6 (RFC 7341) on a link. It sends the DHCPV4-QUERY messages of
// clients and relays to a DHCPv4 server behind it, and brings back the DHCPV4-RESPONSEs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/backend"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/hooks"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/page"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/pass"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/server"
	"github.com/dhcp4o6/dhcp4o6/shared/access"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	shared "github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/follow"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
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
		Host:    host,
		Commands: []daemon.Command{
			{Name: "trace", About: follow.About + " a running dhcp6d", Run: func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
				return follow.Command(ctx, args, func() (access.Config, error) { return config.LoadAPI(environ) }, stdout, stderr)
			}},
		},
	}.Run(ctx, args, environ, stdout, stderr)
}

// host returns warnings about what this host lacks of what a configuration needs.
func host(c config.Config) (warnings []string) {
	named := map[string][]string{"INTERFACES": c.Interfaces, "LDRA_INTERFACES": c.LDRAInterfaces}
	for _, l := range c.LinkOptions {
		if l.Interface != "" {
			named["LINK_OPTIONS"] = append(named["LINK_OPTIONS"], l.Interface)
		}
	}
	for _, l := range c.DHCPv6Links {
		named["DHCPV6_LINK_ADDRESSES"] = append(named["DHCPV6_LINK_ADDRESSES"], l.Interface)
	}
	for _, variable := range slices.Sorted(maps.Keys(named)) {
		if len(named[variable]) == 0 {
			continue
		}
		missing, there, err := listen.MissingNames(named[variable])
		if err == nil && len(missing) > 0 {
			warnings = append(warnings, fmt.Sprintf("%s%s: %s fits no interface now (there are: %s); correct the name, or dhcp6d serves it as soon as it exists",
				config.Prefix, variable, strings.Join(missing, ", "), strings.Join(there, ", ")))
		}
	}
	for _, w := range []string{
		daemon.HasAddress(config.Prefix+"SOURCE", c.Source), daemon.HasAddress(config.Prefix+"IPC_LISTEN", c.IPCListen.Addr()),
		daemon.Listens(config.Prefix+"API_LISTEN", shared.Listen(c.API.Listen)),
	} {
		if w != "" {
			warnings = append(warnings, w)
		}
	}
	return append(warnings, hook.Missing(config.Prefix, c.Hooks)...)
}

const (
	batch  = 256     // datagrams read and written at once
	buffer = 4 << 20 // octets that the kernel may queue before
	// drain is the time limit for the answers to queries on their way before we exit.
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
	rt.Registry.MustRegister(link.Gauges())
	interfaces := rt.Ready.Condition("interfaces", "not looked at yet")
	link.Watch(func(ok bool, why string) {
		if ok {
			interfaces.Met()
		} else {
			interfaces.Unmet(why)
		}
	})
	var backends atomic.Pointer[backend.Set]
	socket, err := udp.Listen(udp.Options{
		Address: c.IPCListen, BothFamilies: true, PacketInfo: c.IPCListen.Addr().IsUnspecified(),
		Coalesce: true, ReceiveBuffer: buffer, SendBuffer: buffer,
		Refused: func(a netip.AddrPort) { backends.Load().Refused(a) },
	})
	if err != nil {
		return fmt.Errorf("opening the IPC (DHCP6D_IPC_LISTEN): %w", err)
	}
	defer socket.Close() //nolint:errcheck // the loops that read it have ended

	unsent := func(name string, s *udp.Conn) func() udp.Writer {
		u := udp.NewUnsent(rt.Log.With("package", "udp", "socket", name))
		return func() udp.Writer { return u.Writer(s.NewWriter(batch)) }
	}
	toLink, toIPC := unsent("link", link.Conn()), unsent("ipc", socket)

	reg := rt.Registry
	metric.WatchSocket(reg, drop.DHCP6D, "link", link.Conn())
	metric.WatchSocket(reg, drop.DHCP6D, "ipc", socket)
	end := ipc.NewEnd(drop.DHCP6D, c.IPCKeys, c.IPCOldPeers)
	backends.Store(backend.New(backend.Options{
		Log: rt.Log.With("package", "backend"), Specs: specs(c.Backends), Ranges: ranges(c.Ranges),
		Resolver: net.DefaultResolver, Listen: c.IPCListen.Addr(), End: end, Probe: toIPC(), Signer: end.NewSigner(), Metrics: backend.NewMetrics(reg),
	}))
	backends.Load().Watch(rt.Ready.Condition("backend", "no backend has answered yet"))

	host := hook.NewHost(reg, drop.DHCP6D, rt.Panics, rt.Log, hooks.All())
	defer host.Close()
	passed := pass.NewMetrics(reg)
	prepare := func(c config.Config) (*server.Settings, *hook.Set, error) {
		made, err := host.Make(c.Hooks)
		if err != nil {
			return nil, nil, err
		}
		set, err := settings(c, duid, link.Interfaces, event.NewHooks(made), passed)
		if err != nil {
			host.Discard(made)
		}
		return set, made, err
	}
	var running atomic.Pointer[server.Settings]
	set, made, err := prepare(c)
	if err != nil {
		return err
	}
	running.Store(set)
	passed.Keep(c.DHCPv6Servers)
	host.Use(made)
	upLedger, downLedger := server.NewLedgers(reg)
	log := rt.Log.With("package", "server")
	tracing := server.Tracing{Hub: new(trace.Hub), Link: link.Conn().LocalAddr(), IPC: socket.LocalAddr()}
	up := &server.Up{
		Log:        log,
		Link:       link.Conn().NewReader(batch),
		Answers:    toLink(),
		Queries:    toIPC(),
		Interfaces: link.Interfaces,
		Settings:   &running,
		Backends:   backends.Load(),
		Signer:     end.NewSigner(),
		Ledger:     upLedger,
		Trace:      tracing,
	}
	down := &server.Down{
		Log:        log,
		IPC:        socket.NewReader(batch),
		Link:       toLink(),
		Interfaces: link.Interfaces,
		Settings:   &running,
		Backends:   backends.Load(),
		Opener:     end.NewOpener(end.Begin(ctx)),
		Ledger:     downLedger,
		Trace:      tracing,
	}
	metric.WatchLink(reg, drop.DHCP6D, metric.Link{
		Causes: ipc.Refusals(), Refused: down.Opener.Refused, OldPeers: backends.Load().OldPeers,
	})
	change := func(next config.Config) error {
		if end.Keyed() != (len(next.IPCKeys) > 0) {
			// A file that is empty by accident must not switch authentication off. Datagrams that
			// were never verified may be replayed.
			return errors.New("DHCP6D_IPC_KEYS can be changed while we run, but not be set or unset: restart for that")
		}
		set, made, err := prepare(next)
		if err != nil {
			return err
		}
		if err := link.Serve(next.Interfaces, next.JoinSite); err != nil {
			host.Discard(made)
			return err
		}
		running.Store(set)
		passed.Keep(next.DHCPv6Servers)
		host.Use(made)
		end.Configure(next.IPCKeys, next.IPCOldPeers)
		backends.Load().Configure(specs(next.Backends), ranges(next.Ranges))
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
		shared.Warn(rt.Log, next.Warnings())
		shared.WarnFixed(rt.Log, c.Variables(), next.Variables())
		shared.WarnNoFiles(rt.Log, next.Variables())
		c = next
		return c.Settings(), nil
	})
	apiLog := rt.Log.With("package", "api")
	api, err := c.API.Open(follow.NewHandler(tracing.Hub), page.New(page.Options{
		Backends: backends.Load().Status, Interfaces: link.Interfaces, Trace: tracing.Hub, Metrics: reg, Version: version, Links: c.API.Pages,
	}), access.NewRefused(reg, metric.Namespace(drop.DHCP6D), apiLog), apiLog)
	if err != nil {
		return err
	}
	upEnded, downEnded := make(chan struct{}), make(chan struct{})
	parts := []daemon.Component{ending(up, upEnded), ending(down, downEnded),
		daemon.Func("listen", link.Run),
		daemon.Func("backends", backends.Load().Run),
		daemon.Func("sockets", func(ctx context.Context) error {
			<-ctx.Done()
			// First everything that has arrived is sent to a backend, then the answers of the
			// backends are delivered.
			link.Conn().StopReading()
			<-upEnded
			backends.Load().Drain(drain)
			socket.StopReading()
			<-downEnded
			_ = link.Close() // there is nobody to tell
			_ = socket.Close()
			return nil
		})}
	if api != nil {
		parts = append(parts, api)
	}
	return rt.Run(ctx, parts...)
}

// ending closes ended when the component has ended.
func ending(c daemon.Component, ended chan<- struct{}) daemon.Component {
	return daemon.Func(c.Name(), func(ctx context.Context) error {
		defer close(ended)
		return c.Run(ctx)
	})
}

// settings returns the part of the configuration that a reload may change.
func settings(c config.Config, duid []byte, interfaces func() *listen.Interfaces, at event.Hooks, passed *pass.Metrics) (*server.Settings, error) {
	ldra := func(string) bool { return false }
	if len(c.LDRAInterfaces) > 0 {
		patterns, err := listen.ParsePatterns(c.LDRAInterfaces)
		if err != nil {
			return nil, fmt.Errorf("reading DHCP6D_LDRA_INTERFACES: %w", err)
		}
		ldra = func(name string) bool { return interfaces().Matches(name, patterns) }
	}
	var links []server.LinkAnswer
	for _, l := range c.LinkOptions {
		one := server.LinkAnswer{Link: l.Link, Answer: answer.New(duid, l.Options)}
		if l.Interface != "" {
			patterns, err := listen.ParsePatterns([]string{l.Interface})
			if err != nil {
				return nil, fmt.Errorf("reading DHCP6D_LINK_OPTIONS: %w", err)
			}
			one.Interface = func(name string) bool { return interfaces().Matches(name, patterns) }
		}
		links = append(links, one)
	}
	servers, err := passTo(c, interfaces, passed)
	if err != nil {
		return nil, err
	}
	return &server.Settings{
		Servers:  servers,
		Access:   server.Access{Trust: attachment.Trust{Relays: c.Relays, Interfaces: ldra, Links: c.LDRALinks}},
		Delivery: server.Delivery{ClientPort: c.ClientPort, Source: c.Source},
		Answer:   answer.New(duid, c.Options),
		Links:    links,
		Hooks:    at,
		MaxWait:  backend.MaxWait{Query: c.MaxWait, Discover: c.DiscoverMaxWait},
	}, nil
}

// passTo returns the DHCPv6 servers that messages are passed on to, nil if there are none.
func passTo(c config.Config, interfaces func() *listen.Interfaces, metrics *pass.Metrics) (*pass.Servers, error) {
	if len(c.DHCPv6Servers) == 0 {
		return nil, nil
	}
	o := pass.Options{Servers: c.DHCPv6Servers, Information: c.DHCPv6Information, Port: c.ServerPort, Metrics: metrics}
	for _, l := range c.DHCPv6Links {
		patterns, err := listen.ParsePatterns([]string{l.Interface})
		if err != nil {
			return nil, fmt.Errorf("reading DHCP6D_DHCPV6_LINK_ADDRESSES: %w", err)
		}
		o.Links = append(o.Links, pass.Link{Address: l.Address,
			Interface: func(name []byte) bool { return interfaces().MatchesBytes(name, patterns) }})
	}
	var err error
	if o.Key, err = pass.ReadKey(c.StateDir); err != nil {
		return nil, err
	}
	return pass.New(o), nil
}

func specs(backends []config.Backend) []backend.Spec {
	var s []backend.Spec
	for _, b := range backends {
		s = append(s, backend.Spec{Name: b.Name, Daemon: b.Daemon(), Host: b.Host, Port: b.Port, Kea: b.Kea})
	}
	return s
}

func ranges(configured []config.Range) []backend.Range {
	var r []backend.Range
	for _, c := range configured {
		r = append(r, backend.Range(c))
	}
	return r
}
