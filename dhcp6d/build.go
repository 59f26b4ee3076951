package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
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
	"github.com/dhcp4o6/dhcp4o6/shared/resolve"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

const (
	batchSize  = 256     // datagrams read and written at once
	bufferSize = 4 << 20 // octets that the kernel may queue before
	// drainTime is the time limit for the answers to queries on their way before we exit.
	drainTime = time.Second
)

// instance is what a reload changes, and what it must know for that.
type instance struct {
	rt       *daemon.Runtime
	config   config.Config // in effect
	duid     []byte
	link     *listen.Link
	end      *ipc.End
	backends *backend.Set
	hooks    *hook.Host
	passed   *pass.Metrics
	settings atomic.Pointer[server.Settings]
	resolver resolve.Resolver

	mu    sync.Mutex        // guards config and names, and is held while settings are replaced
	names map[string]naming // of the DHCPv6 servers
}

// serve builds the daemon from its configuration and runs it.
func serve(ctx context.Context, rt *daemon.Runtime, c config.Config) error {
	d := &instance{rt: rt, config: c, resolver: net.DefaultResolver,
		end: ipc.NewEnd(drop.DHCP6D, c.IPCKeys, c.IPCOldPeers)}
	if err := d.openLink(c); err != nil {
		return err
	}
	defer d.link.Close() //nolint:errcheck // the loops that read it have ended
	socket, err := d.openIPC(c)
	if err != nil {
		return err
	}
	defer socket.Close() //nolint:errcheck // the loops that read it have ended
	toLink, toIPC := writers(rt, "link", d.link.Conn()), writers(rt, "ipc", socket)
	d.makeBackends(c, toIPC())

	d.hooks = hook.NewHost(rt.Registry, drop.DHCP6D, rt.Panics, rt.Log, hooks.All())
	defer d.hooks.Close()
	if err := d.begin(ctx, c); err != nil {
		return err
	}
	tracing := server.Tracing{Hub: new(trace.Hub), Link: d.link.Conn().LocalAddr(), IPC: socket.LocalAddr()}
	up, down := d.loops(ctx, socket, toLink, toIPC, tracing)
	parts := d.inOrder(up, down, socket)
	api, err := d.openAPI(c, tracing.Hub)
	if err != nil {
		return err
	}
	if api != nil {
		parts = append(parts, api)
	}
	return rt.Run(ctx, parts...)
}

// openLink opens the clients' side: the DUID, the socket, and the interfaces that it serves.
func (d *instance) openLink(c config.Config) (err error) {
	if d.duid, err = answer.DUID(c.StateDir); err != nil {
		return err
	}
	d.link, err = listen.Open(listen.Options{
		Interfaces: c.Interfaces, Port: c.ServerPort, JoinSite: c.JoinSite,
		ReceiveBuffer: bufferSize, SendBuffer: bufferSize, Timestamps: true,
	}, d.rt.Log.With("package", "listen"))
	if err != nil {
		return err
	}
	d.rt.Registry.MustRegister(d.link.Gauges())
	metric.WatchSocket(d.rt.Registry, drop.DHCP6D, "link", d.link.Conn())
	interfaces := d.rt.Ready.Condition("interfaces", "not looked at yet")
	d.link.Watch(func(ok bool, why string) {
		if ok {
			interfaces.Met()
		} else {
			interfaces.Unmet(why)
		}
	})
	return nil
}

// openIPC opens the socket to the backends.
func (d *instance) openIPC(c config.Config) (*udp.Conn, error) {
	socket, err := udp.Listen(udp.Options{
		Address: c.IPCListen, BothFamilies: true, PacketInfo: c.IPCListen.Addr().IsUnspecified(),
		Coalesce: true, ReceiveBuffer: bufferSize, SendBuffer: bufferSize,
		Refused: func(a netip.AddrPort) { d.backends.Refused(a) },
	})
	if err != nil {
		return nil, fmt.Errorf("opening the IPC (DHCP6D_IPC_LISTEN): %w", err)
	}
	metric.WatchSocket(d.rt.Registry, drop.DHCP6D, "ipc", socket)
	return socket, nil
}

// makeBackends makes the set of backends. Probe is its writer.
func (d *instance) makeBackends(c config.Config, probe udp.Writer) {
	d.backends = backend.New(backend.Options{
		Log:      d.rt.Log.With("package", "backend"),
		Specs:    specs(c.Backends),
		Ranges:   ranges(c.Ranges),
		Resolver: net.DefaultResolver,
		Listen:   c.IPCListen.Addr(),
		End:      d.end,
		Probe:    probe,
		Signer:   d.end.NewSigner(),
		Metrics:  backend.NewMetrics(d.rt.Registry),
	})
	d.backends.Watch(d.rt.Ready.Condition("backend", "no backend has answered yet"))
}

// begin puts into effect what a reload replaces later.
func (d *instance) begin(ctx context.Context, c config.Config) error {
	d.passed = pass.NewMetrics(d.rt.Registry)
	d.takeLocked(d.lookUp(ctx, hosts(c.DHCPv6Servers)), time.Now())
	set, made, err := d.prepare(c)
	if err != nil {
		return err
	}
	d.use(c, set, made)
	d.rt.OnReload(d.reload)
	return nil
}

// loops makes the two loops: the way of a query up, and that of its answer down.
func (d *instance) loops(ctx context.Context, socket *udp.Conn, toLink, toIPC func() udp.Writer,
	tracing server.Tracing) (*server.Up, *server.Down) {
	upLedger, downLedger := server.NewLedgers(d.rt.Registry)
	log := d.rt.Log.With("package", "server")
	up := &server.Up{
		Log:        log,
		Link:       d.link.Conn().NewReader(batchSize),
		Answers:    toLink(),
		Queries:    toIPC(),
		Interfaces: d.link.Interfaces,
		Settings:   &d.settings,
		Backends:   d.backends,
		Signer:     d.end.NewSigner(),
		Ledger:     upLedger,
		Trace:      tracing,
	}
	down := &server.Down{
		Log:        log,
		IPC:        socket.NewReader(batchSize),
		Link:       toLink(),
		Interfaces: d.link.Interfaces,
		Settings:   &d.settings,
		Backends:   d.backends,
		Opener:     d.end.NewOpener(d.end.Begin(ctx)),
		Ledger:     downLedger,
		Trace:      tracing,
	}
	metric.WatchLink(d.rt.Registry, drop.DHCP6D, metric.Link{
		Causes: ipc.Refusals(), Refused: down.Opener.Refused, OldPeers: d.backends.OldPeers,
	})
	return up, down
}

// openAPI opens the listener of the API and the page, nil if none is configured.
func (d *instance) openAPI(c config.Config, hub *trace.Hub) (*access.Server, error) {
	log := d.rt.Log.With("package", "api")
	pages := page.New(page.Options{
		Backends: d.backends.Status, Interfaces: func() page.Interfaces { return d.link.Interfaces() },
		Trace: hub, Metrics: d.rt.Registry, Version: version, Links: c.API.Pages,
	})
	refused := access.NewRefused(d.rt.Registry, metric.Namespace(drop.DHCP6D), log)
	return c.API.Open(follow.NewHandler(hub), pages, refused, log)
}

// writers returns a function that makes writers to a socket, which share one log of what the kernel
// refuses to send.
func writers(rt *daemon.Runtime, name string, socket *udp.Conn) func() udp.Writer {
	unsent := udp.NewUnsent(rt.Log.With("package", "udp", "socket", name))
	return func() udp.Writer { return unsent.Writer(socket.NewWriter(batchSize)) }
}

// inOrder returns the components, and one that stops them in order: first every query that has
// arrived is sent to a backend, then the answers of the backends are delivered.
func (d *instance) inOrder(up, down daemon.Component, socket *udp.Conn) []daemon.Component {
	upEnded, downEnded := make(chan struct{}), make(chan struct{})
	return []daemon.Component{
		ending(up, upEnded), ending(down, downEnded),
		daemon.Func("listen", d.link.Run),
		daemon.Func("backends", d.backends.Run),
		daemon.Func("names", d.runNames),
		daemon.Func("sockets", func(ctx context.Context) error {
			<-ctx.Done()
			d.link.Conn().StopReading()
			<-upEnded
			d.backends.Drain(drainTime)
			socket.StopReading()
			<-downEnded
			_ = d.link.Close() // there is nobody to tell
			_ = socket.Close()
			return nil
		}),
	}
}

// ending closes ended when the component has ended.
func ending(c daemon.Component, ended chan<- struct{}) daemon.Component {
	return daemon.Func(c.Name(), func(ctx context.Context) error {
		defer close(ended)
		return c.Run(ctx)
	})
}

// reload puts what the environment's files say now into effect, or returns all mistakes in them.
func (d *instance) reload() (daemon.Settings, error) {
	next, err := d.config.Reload()
	if err != nil {
		return daemon.Settings{}, err
	}
	if d.end.Keyed() != (len(next.IPCKeys) > 0) {
		// A file that is empty by accident must not switch authentication off. Datagrams that were
		// never verified may be replayed.
		return daemon.Settings{}, errors.New("DHCP6D_IPC_KEYS can be changed while we run, but not be set or unset: " +
			"restart for that")
	}
	found := d.lookUp(context.Background(), hosts(next.DHCPv6Servers))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.takeLocked(found, time.Now())
	set, made, err := d.prepare(next)
	if err != nil {
		return daemon.Settings{}, err
	}
	if err := d.link.Serve(next.Interfaces, next.JoinSite); err != nil {
		d.hooks.Discard(made)
		return daemon.Settings{}, err
	}
	d.use(next, set, made)
	d.end.Configure(next.IPCKeys, next.IPCOldPeers)
	d.backends.Configure(specs(next.Backends), ranges(next.Ranges))
	shared.Warn(d.rt.Log, next.Warnings())
	shared.WarnFixed(d.rt.Log, d.config.Variables(), next.Variables())
	shared.WarnNoFiles(d.rt.Log, next.Variables())
	d.config = next
	return next.Settings(), nil
}

// prepare makes what a configuration describes: the settings of a packet's way, and the hooks. It
// changes nothing that is in effect.
func (d *instance) prepare(c config.Config) (*server.Settings, *hook.Set, error) {
	made, err := d.hooks.Make(c.Hooks)
	if err != nil {
		return nil, nil, err
	}
	servers := d.serverAddressesLocked(c.DHCPv6Servers)
	set, err := settings(c, servers, d.duid, d.link.Interfaces, event.NewHooks(made), d.passed)
	if err != nil {
		d.hooks.Discard(made)
		return nil, nil, err
	}
	return set, made, nil
}

// use puts into effect what prepare has made.
func (d *instance) use(c config.Config, set *server.Settings, made *hook.Set) {
	d.settings.Store(set)
	d.passed.Keep(d.serverAddressesLocked(c.DHCPv6Servers))
	d.hooks.Use(made)
}

// settings returns the part of the configuration that a reload may change.
func settings(c config.Config, addresses []netip.AddrPort, duid []byte, interfaces func() *listen.Interfaces,
	at event.Hooks, passed *pass.Metrics) (*server.Settings, error) {
	ldra := func(string) bool { return false }
	if len(c.LDRAInterfaces) > 0 {
		patterns, err := listen.ParsePatterns(c.LDRAInterfaces)
		if err != nil {
			return nil, fmt.Errorf("reading DHCP6D_LDRA_INTERFACES: %w", err)
		}
		ldra = func(name string) bool { return interfaces().Matches(name, patterns) }
	}
	var links *server.Links
	if len(c.LinkOptions) > 0 {
		list := make([]server.LinkAnswer, 0, len(c.LinkOptions))
		for _, l := range c.LinkOptions {
			if err := checkPattern("DHCP6D_LINK_OPTIONS", l.Interface); err != nil {
				return nil, err
			}
			own := answer.New(duid, l.Options)
			list = append(list, server.LinkAnswer{Interface: l.Interface, Link: l.Link, Answer: own})
		}
		links = server.NewLinks(list)
	}
	services, err := services(c)
	if err != nil {
		return nil, err
	}
	servers, err := passTo(c, addresses, interfaces, passed)
	if err != nil {
		return nil, err
	}
	return &server.Settings{
		Servers: servers,
		Access: server.Access{Trust: attachment.Trust{Relays: attachment.NewPrefixes(c.Relays), Interfaces: ldra,
			Links: attachment.NewPrefixes(c.LDRALinks)}},
		Delivery: server.Delivery{ClientPort: c.ClientPort, Source: c.Source},
		Answer:   answer.New(duid, c.Options),
		Links:    links,
		Services: services,
		Hooks:    at,
		MaxWait:  backend.MaxWait{Query: c.MaxWait, Discover: c.DiscoverMaxWait},
	}, nil
}

// checkPattern checks the name or pattern of an interface, or an empty text, that a variable has.
func checkPattern(variable, pattern string) error {
	if pattern == "" {
		return nil
	}
	if _, err := listen.ParsePatterns([]string{pattern}); err != nil {
		return fmt.Errorf("reading %s: %w", variable, err)
	}
	return nil
}

// services returns what clients are offered beside the options of their link, nil if nothing.
func services(c config.Config) (*server.Services, error) {
	var list []server.Service
	for _, s := range c.Services.List {
		if err := checkPattern("DHCP6D_LINKS", s.Interface); err != nil {
			return nil, err
		}
		list = append(list, server.Service{
			Interface: s.Interface, Link: s.Link, InterfaceID: s.InterfaceID, Class: s.Class,
			Options: answer.NewAdditions(s.Options(), c.Options.Supply),
		})
	}
	return server.NewServices(list, c.Services.Classes), nil
}

// passTo returns the DHCPv6 servers that messages are passed on to, nil if there are none.
func passTo(c config.Config, addresses []netip.AddrPort, interfaces func() *listen.Interfaces,
	metrics *pass.Metrics) (*pass.Servers, error) {
	if len(addresses) == 0 {
		return nil, nil
	}
	o := pass.Options{Servers: addresses, Information: c.DHCPv6Information, Port: c.ServerPort, Metrics: metrics}
	if len(c.DHCPv6Links) > 0 {
		links := new(listen.Index)
		for i, l := range c.DHCPv6Links {
			if err := checkPattern("DHCP6D_DHCPV6_LINK_ADDRESSES", l.Interface); err != nil {
				return nil, err
			}
			links.Add(l.Interface, i)
		}
		o.LinkAddress = func(name []byte) (a netip.Addr, ok bool) {
			ifc := interfaces().ByName(name)
			if ifc == nil {
				return a, false
			}
			i, ok := links.First(ifc.Names...)
			if !ok {
				return a, false
			}
			return c.DHCPv6Links[i].Address, true
		}
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
