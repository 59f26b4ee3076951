// Dhcp6d serves DHCPv4 over DHCPv6 (RFC 7341) on a link: it hands the
// DHCPV4-QUERY messages of clients and relays to a DHCPv4 server behind it and
// brings the DHCPV4-RESPONSEs back.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/filter"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/forward"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/server"
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
		Daemon:  drop.DHCP6D,
		Version: version,
		About:   "the link's half of DHCPv4 over DHCPv6",
		Load:    config.Load,
		Serve:   serve,
	}.Run(ctx, args, environ, stdout, stderr)
}

const (
	batch  = 64      // datagrams read and written at once
	buffer = 4 << 20 // octets that the kernel may queue before
	// pace is how soon a socket is read again after four or more datagrams
	// were there: more come meanwhile, also for the halves behind us, and a
	// wake-up costs more than ten datagrams. Who is alone waits for nothing.
	pace = 100 * time.Microsecond
)

// serve builds the daemon from its configuration and runs it.
func serve(ctx context.Context, rt *daemon.Runtime, c config.Config) error {
	duid, err := answer.DUID(c.StateDir)
	if err != nil {
		return err
	}
	ldra, err := listen.ParsePatterns(c.LDRAInterfaces)
	if err != nil && len(c.LDRAInterfaces) > 0 {
		return fmt.Errorf("reading DHCP6D_LDRA_INTERFACES: %w", err)
	}
	link, err := listen.Open(listen.Options{
		Interfaces: c.Interfaces, Port: c.ServerPort, JoinSite: c.JoinSite,
		ReceiveBuffer: buffer, SendBuffer: buffer, Pace: pace,
	}, rt.Log.With("package", "listen"))
	if err != nil {
		return err
	}
	defer link.Close() //nolint:errcheck // the loops that read it have ended
	ipc, err := udp.Listen(udp.Options{Address: c.IPCListen, Coalesce: true, ReceiveBuffer: buffer, SendBuffer: buffer, Pace: pace})
	if err != nil {
		return fmt.Errorf("opening the IPC (DHCP6D_IPC_LISTEN): %w", err)
	}
	defer ipc.Close() //nolint:errcheck // the loops that read it have ended

	reg := rt.Registry
	metric.WatchSocket(reg, drop.DHCP6D, "link", link.Conn())
	metric.WatchSocket(reg, drop.DHCP6D, "ipc", ipc)
	backends := forward.New(rt.Log.With("package", "forward"), specs(c.Backends), net.DefaultResolver,
		ipc.NewWriter(len(c.Backends)), forward.NewMetrics(reg))
	backends.Watch(rt.Ready.Condition("backend", "no backend has answered yet"))

	core := hook.NewCore(reg, drop.DHCP6D, rt.Panics, rt.Log)
	upLedger, downLedger := server.NewLedgers(reg)
	delivery := server.Delivery{ClientPort: c.ClientPort, Source: c.Source}
	log := rt.Log.With("package", "server")
	up := &server.Up{
		Log:        log,
		Link:       link.Conn().NewReader(batch),
		Answers:    link.Conn().NewWriter(batch),
		Queries:    ipc.NewWriter(batch),
		Interfaces: link.Interfaces,
		Access:     server.Access{Relays: c.Relays, LDRA: func(name string) bool { return ldra.Match(name, false) }},
		Answer:     answer.New(duid, c.Options),
		Delivery:   delivery,
		Backends:   backends,
		Hooks:      server.UpHooks{Pkt6Receive: pkt6Receive(core, c)},
		Ledger:     upLedger,
	}
	down := &server.Down{
		Log:        log,
		IPC:        ipc.NewReader(batch),
		Link:       link.Conn().NewWriter(batch),
		Interfaces: link.Interfaces,
		Delivery:   delivery,
		Backends:   backends,
		Ledger:     downLedger,
	}
	return rt.Run(ctx, up, down,
		daemon.Func("listen", link.Run),
		daemon.Func("backends", backends.Run),
		daemon.Func("sockets", func(ctx context.Context) error {
			<-ctx.Done()
			_ = link.Close() // makes the loops return; there is nobody to tell
			_ = ipc.Close()
			return nil
		}))
}

// pkt6Receive is the configured hooks of that point, in order.
func pkt6Receive(core *hook.Core, c config.Config) hook.List[filter.Event] {
	if !slices.Contains(c.Hooks, filter.ACLName) {
		core.Declare(hook.Pkt6Receive, filter.ACLName)
		return hook.List[filter.Event]{}
	}
	return hook.Filters(core, hook.Pkt6Receive, c.ACL.Filter())
}

func specs(backends []config.Backend) []forward.Spec {
	var s []forward.Spec
	for _, b := range backends {
		s = append(s, forward.Spec(b))
	}
	return s
}
