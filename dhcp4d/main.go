// Dhcp4d is the DHCPv4 server behind dhcp6d: it leases addresses to clients
// whose messages come through DHCPv6 (RFC 7341).
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/api"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/command"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leaselog"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/script"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/server"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	shared "github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// version is set by the linker.
var version = "devel"

func main() { daemon.Main(run) }

func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	return daemon.Program[config.Config]{
		Daemon:  drop.DHCP4D,
		Version: version,
		About:   "the address half of DHCPv4 over DHCPv6",
		Load:    config.Load,
		Serve:   serve,
		Switches: []daemon.Switch{{
			Flag: "-recovery", Variable: config.Prefix + "RECOVERY=true",
			About: "after an old backup was restored: for one lease time no client gets an address that is new to it",
		}},
		Commands: append(command.All(), resetClock),
	}.Run(ctx, args, environ, stdout, stderr)
}

const (
	batch   = 256     // datagrams read and written at once
	buffer  = 4 << 20 // octets that the kernel may queue before
	waiting = 4096    // ACKs that may wait for one sync
	labels  = 1024    // subnets that metrics tell apart
)

// serve builds the daemon from its configuration and runs it.
func serve(ctx context.Context, rt *daemon.Runtime, c config.Config) error {
	reg := rt.Registry
	clock := server.NewClock()
	leases, err := store.Open(c.Store.URL(), store.Options{
		Log: rt.Log.With("package", "store"),
		Now: func() lease.Time { _, now := clock.Read(); return now },
	})
	if err != nil {
		return err
	}
	defer leases.Close() //nolint:errcheck // everything that was promised is synced; the store has logged the rest

	var started lease.Time
	configured := func(c config.Config) *server.Running {
		r := server.NewRunning(c.Subnets, c.PeerServerIDs)
		if c.Recovery {
			r.Recover(started)
		}
		return r
	}
	running := new(atomic.Pointer[server.Running])
	stored := commit.NewMetrics(reg, leases)
	var held *server.Leases
	err = rightClock(ctx, rt, func() error {
		clock = server.NewClock()
		_, started = clock.Read()
		running.Store(configured(c))
		held = server.NewLeases(clock, running.Load())
		return held.Load(leases, running.Load(), stored)
	})
	if err != nil {
		return fmt.Errorf("loading the leases: %w", err)
	}
	logRecovery(rt.Log, running.Load())
	reg.MustRegister(server.NewGauges(held, running, labels))

	socket, err := udp.Listen(udp.Options{Address: c.IPCListen, Coalesce: true, ReceiveBuffer: buffer, SendBuffer: buffer})
	if err != nil {
		return fmt.Errorf("opening the IPC (DHCP4D_IPC_LISTEN): %w", err)
	}
	defer socket.Close() //nolint:errcheck // the loop that reads it has ended
	link := newIPC(c, c.IPCKeys.Start(ctx))
	metric.WatchSocket(reg, drop.DHCP4D, "ipc", socket)

	core := hook.NewCore(reg, drop.DHCP4D, rt.Panics, rt.Log)
	observers, closeHooks, err := committed(core, rt, c)
	if err != nil {
		return err
	}
	defer closeHooks()

	series := server.NewSeries(reg)
	// Changes are told by whoever commits, and by the expiry.
	tell := func() *server.Tell {
		return &server.Tell{
			Leases: held, Ledger: series.NewLedger(),
			Observers: hook.Observe(core, hook.Leases4Committed, observers...),
		}
	}
	done := &server.Committed{Replies: socket.NewWriter(batch), Name: c.Name, Signer: link.acks, Ledger: series.NewLedger(), Tell: tell()}
	commits := commit.New(commit.Config[*server.Waiting]{
		Store:   leases,
		Replies: func() *server.Waiting { return server.NewWaiting(len(observers) > 0) },
		Done:    done.Done,
		Rebuild: func(s store.Store) error { return held.Load(s, running.Load(), stored) },
		Limit:   waiting,
		Log:     rt.Log.With("package", "commit"),
		Metrics: stored,
	})
	defer commits.Close()

	rt.OnReload(func() (daemon.Settings, error) {
		next, err := c.Reload()
		if err == nil {
			err = link.set(next)
		}
		if err != nil {
			return daemon.Settings{}, err
		}
		held.Reconfigure(configured(next), running)
		shared.WarnFixed(rt.Log, c.Variables(), next.Variables())
		c = next
		return c.Settings(), nil
	})
	srv := &server.Server{
		Log:     rt.Log.With("package", "server"),
		IPC:     socket.NewReader(batch),
		Replies: socket.NewWriter(batch),
		Peers:   &link.peers,
		Auth:    server.Auth{Name: c.Name, Verifier: link.verifier, Signer: link.replies},
		Running: running,
		Leases:  held,
		Commits: commits,
		Ledger:  series.NewLedger(),
	}
	parts := []daemon.Component{srv, &server.Expiry{Leases: held, Tell: tell()},
		daemon.Func("socket", func(ctx context.Context) error {
			<-ctx.Done()
			socket.StopReading() // ends the server once it has served what has arrived; ACKs that wait for their sync still leave
			return nil
		})}
	web, err := api.Listen(c.API, &server.Operator{Leases: held, Commits: commits}, rt.Log.With("package", "api"))
	if err != nil {
		return err
	}
	if web != nil {
		parts = append(parts, web)
	}
	return rt.Run(ctx, parts...)
}

// committed is the configured observers of leases4_committed, in order, and
// what ends them.
func committed(core *hook.Core, rt *daemon.Runtime, c config.Config) (list []hook.Observer[event.Lease], end func(), err error) {
	for _, name := range []string{leaselog.Name, script.Name} {
		if !slices.Contains(c.Hooks, name) {
			core.Declare(hook.Leases4Committed, name)
		}
	}
	var ends []func()
	end = func() {
		for _, e := range ends {
			e()
		}
	}
	for _, name := range c.Hooks {
		log := rt.Log.With("package", name)
		switch name {
		case leaselog.Name:
			l, err := leaselog.Open(c.LeaseLog.Path, log, rt.Registry)
			if err != nil {
				end()
				return nil, nil, err
			}
			list = append(list, l.Observer())
			ends = append(ends, func() {
				if err := l.Close(); err != nil {
					log.Error("closing the lease log", "error", err)
				}
			})
		case script.Name:
			r, err := script.Open(script.Config{
				Command: c.Run.Command, Timeout: c.Run.Timeout.Duration(), Workers: int(c.Run.Workers), Queue: int(c.Run.Queue),
			}, log, rt.Registry)
			if err != nil {
				end()
				return nil, nil, err
			}
			list = append(list, r.Observer())
			ends = append(ends, r.Close)
		}
	}
	return list, end, nil
}

// logRecovery says for how long no new address is given out.
func logRecovery(log *slog.Logger, r *server.Running) {
	switch till := r.RecoverTill(); till {
	case 0:
	case lease.Never:
		log.Warn("recovering, without end in subnets whose leases never end: start without -recovery when you know that all of them are in the store")
	default:
		log.Warn("recovering: no client gets an address that is new to it", "until", time.Unix(int64(till), 0).UTC())
	}
}
