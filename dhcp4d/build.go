package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/api"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/asking"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/core"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/hooks"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/page"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/refusals"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/server"
	"github.com/dhcp4o6/dhcp4o6/shared/access"
	shared "github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

const (
	batchSize  = 256     // datagrams read and written at once
	bufferSize = 4 << 20 // octets that the kernel may queue before
	groupSize  = 4096    // ACKs that may wait for one sync
)

// instance is a dhcp4d that runs.
type instance struct {
	rt       *daemon.Runtime
	config   config.Config // in effect
	hooks    *hook.Host
	link     *link
	core     *core.Core
	trace    trace.Hub
	refusals refusals.Recent
	// leaseLog is the path of the lease log, empty if there is none in a file.
	leaseLog atomic.Pointer[string]
}

// setLeaseLog notes where the lease log of a configuration is.
func (d *instance) setLeaseLog(c config.Config) {
	path := ""
	for _, h := range c.Hooks {
		if h.Name() == "leaselog" {
			path = c.LeaseLog()
		}
	}
	d.leaseLog.Store(&path)
}

// serve builds the daemon from its configuration and runs it.
func serve(ctx context.Context, rt *daemon.Runtime, c config.Config, now *clock.Clock) error {
	d := &instance{rt: rt, config: c, hooks: hook.NewHost(rt.Registry, drop.DHCP4D, rt.Panics, rt.Log, hooks.All())}
	d.hooks.Name = c.Name
	defer d.hooks.Close()
	made, err := d.hooks.Make(c.Hooks)
	if err != nil {
		return err
	}
	d.hooks.Use(made)

	// What is known: the store, and the book that is loaded from it.
	d.core, err = core.Open(ctx, core.Options{
		Runtime: rt, Clock: now, URL: c.Store.URL(), Config: coreConfig(c, made), Recovery: c.Recovery,
		MetricsSubnets: c.MetricsSubnets,
	})
	if err != nil {
		return err
	}
	defer d.core.Close()

	// The way of a query: from the IPC through the server, and an ACK with its commit group.
	socket, err := listen(c)
	if err != nil {
		return err
	}
	defer socket.Close() //nolint:errcheck // the loop that reads it has ended
	d.openLink(ctx, socket)
	parts := d.core.Serve(d.coreLink(socket))
	defer d.core.Finish()
	d.core.CatchUp(event.Behind.Of(made))
	rt.OnReload(d.reload)
	parts = append(parts, daemon.Func("names", d.link.runNames))

	// What people and programs ask.
	web, err := d.openAPI(c)
	if err != nil {
		return err
	}
	if web != nil {
		parts = append(parts, web)
	}
	return rt.Run(ctx, parts...)
}

// listen opens the socket of the IPC.
func listen(c config.Config) (*udp.Conn, error) {
	socket, err := udp.Listen(udp.Options{
		Address: c.IPCListen, BothFamilies: true, PacketInfo: c.IPCListen.Addr().IsUnspecified(),
		Coalesce: true, ReceiveBuffer: bufferSize, SendBuffer: bufferSize,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the IPC (DHCP4D_IPC_LISTEN): %w", err)
	}
	return socket, nil
}

// openLink makes our end of the IPC, and looks up the names of peers for the first time.
func (d *instance) openLink(ctx context.Context, socket *udp.Conn) {
	metric.WatchSocket(d.rt.Registry, drop.DHCP4D, "ipc", socket)
	end := newEnd(d.config)
	d.link = newLink(d.config, end, end.Begin(ctx), d.rt.Log.With("package", "link"))
	d.link.resolve(ctx, time.Now())
	metric.WatchLink(d.rt.Registry, drop.DHCP4D, metric.Link{
		Causes: ipc.Refusals(), Refused: d.link.opener.Refused, OldPeers: d.link.oldPeers,
	})
}

// coreLink returns what the core needs of the IPC.
func (d *instance) coreLink(socket *udp.Conn) core.Link {
	unsent := udp.NewUnsent(d.rt.Log.With("package", "udp", "socket", "ipc"))
	writer := func() udp.Writer { return unsent.Writer(socket.NewWriter(batchSize)) }
	return core.Link{
		Trace:           &d.trace,
		Refusals:        &d.refusals,
		Local:           socket.LocalAddr(),
		Peers:           &d.link.peers,
		Auth:            server.Auth{Name: d.config.Name, Opener: d.link.opener, Signer: d.link.replies},
		IPC:             socket.NewReader(batchSize),
		StopReading:     socket.StopReading,
		Wake:            socket.Wake,
		Replies:         writer(),
		Acks:            writer(),
		Notices:         writer(),
		SignerOfAcks:    d.link.acks,
		SignerOfNotices: d.link.notices,
		GroupSize:       groupSize,
	}
}

// openAPI opens the API and the pages. It returns nil if they are switched off. A reload may change
// d.config meanwhile.
func (d *instance) openAPI(c config.Config) (*access.Server, error) {
	log := d.rt.Log.With("package", "api")
	handler := api.NewHandler(api.Options{
		Leases: d.core.Book(), Orders: d.core.Orders(), Trace: &d.trace, Registry: d.rt.Registry, Log: log,
	})
	d.setLeaseLog(c)
	pages := page.New(page.Options{
		Leases: d.core.Book(), Refusals: &d.refusals, Trace: &d.trace, Metrics: d.rt.Registry, Version: version,
		Links: c.API.Pages, LeaseLog: func() string { return *d.leaseLog.Load() },
	})
	refused := access.NewRefused(d.rt.Registry, metric.Namespace(drop.DHCP4D), log)
	return c.API.Open(handler, pages, refused, log)
}

// reload puts what the environment's files say now into effect, or returns all mistakes in them.
func (d *instance) reload() (daemon.Settings, error) {
	next, err := d.config.Reload()
	if err != nil {
		return daemon.Settings{}, err
	}
	made, err := d.hooks.Make(next.Hooks)
	if err != nil {
		return daemon.Settings{}, err
	}
	if err := d.link.set(next); err != nil {
		d.hooks.Discard(made)
		return daemon.Settings{}, err
	}
	d.core.Reconfigure(coreConfig(next, made))
	d.hooks.Use(made)
	shared.Warn(d.rt.Log, next.Warnings())
	shared.WarnFixed(d.rt.Log, d.config.Variables(), next.Variables())
	if !next.Subnets.Files {
		shared.WarnNoFiles(d.rt.Log, next.Variables())
	}
	d.config = next
	d.setLeaseLog(next)
	return next.Settings(), nil
}

// coreConfig is what the core wants to know of a configuration.
func coreConfig(c config.Config, made *hook.Set) core.Config {
	return core.Config{Subnets: c.Subnets, Peers: c.PeerServerIDs, Hooks: event.NewHooks(made),
		Asker: asking.Part.Of(made)}
}
