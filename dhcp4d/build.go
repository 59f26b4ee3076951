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

// instance is what a reload changes, and what it must know for that.
type instance struct {
	rt     *daemon.Runtime
	config config.Config // in effect
	hooks  *hook.Host
	link   *link
	core   *core.Core
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
	socket, err := udp.Listen(udp.Options{
		Address: c.IPCListen, BothFamilies: true, PacketInfo: c.IPCListen.Addr().IsUnspecified(),
		Coalesce: true, ReceiveBuffer: bufferSize, SendBuffer: bufferSize,
	})
	if err != nil {
		return fmt.Errorf("opening the IPC (DHCP4D_IPC_LISTEN): %w", err)
	}
	defer socket.Close() //nolint:errcheck // the loop that reads it has ended
	unsent := udp.NewUnsent(rt.Log.With("package", "udp", "socket", "ipc"))
	writer := func() udp.Writer { return unsent.Writer(socket.NewWriter(batchSize)) }
	metric.WatchSocket(rt.Registry, drop.DHCP4D, "ipc", socket)
	end := newEnd(c)
	d.link = newLink(c, end, end.Begin(ctx), rt.Log.With("package", "link"))
	d.link.resolve(ctx, time.Now())
	metric.WatchLink(rt.Registry, drop.DHCP4D, metric.Link{
		Causes: ipc.Refusals(), Refused: d.link.opener.Refused, OldPeers: d.link.oldPeers,
	})
	hub, refused := new(trace.Hub), new(refusals.Recent)
	parts := d.core.Serve(core.Link{
		Trace:           hub,
		Refusals:        refused,
		Local:           socket.LocalAddr(),
		Peers:           &d.link.peers,
		Auth:            server.Auth{Name: c.Name, Opener: d.link.opener, Signer: d.link.replies},
		IPC:             socket.NewReader(batchSize),
		StopReading:     socket.StopReading,
		Wake:            socket.Wake,
		Replies:         writer(),
		Acks:            writer(),
		Notices:         writer(),
		SignerOfAcks:    d.link.acks,
		SignerOfNotices: d.link.notices,
		GroupSize:       groupSize,
	})
	defer d.core.Finish()
	d.core.CatchUp(event.Behind.Of(made))
	rt.OnReload(d.reload)

	parts = append(parts, daemon.Func("names", d.link.runNames))
	log := rt.Log.With("package", "api")
	handler := api.NewHandler(api.Options{Leases: d.core.Book(), Orders: d.core.Orders(), Trace: hub, Registry: rt.Registry, Log: log})
	d.setLeaseLog(c)
	pages := page.New(page.Options{
		Leases: d.core.Book(), Refusals: refused, Trace: hub, Metrics: rt.Registry, Version: version,
		Links: c.API.Pages, LeaseLog: func() string { return *d.leaseLog.Load() },
	})
	web, err := c.API.Open(handler, pages, access.NewRefused(rt.Registry, metric.Namespace(drop.DHCP4D), log), log)
	if err != nil {
		return err
	}
	if web != nil {
		parts = append(parts, web)
	}
	return rt.Run(ctx, parts...)
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
