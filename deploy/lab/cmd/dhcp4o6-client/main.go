// Dhcp4o6-client is a DHCPv4-over-DHCPv6 client (RFC 7341) for labs: it learns
// the servers from option 88, obtains a lease, renews and rebinds it when due,
// and releases it when it is told to end. It reports each change as a line of
// text or JSON and configures no interface.
//
//	dhcp4o6-client -i eth0                    runs until SIGINT or SIGTERM
//	dhcp4o6-client -i eth0 -once -json        one lease, kept
//	dhcp4o6-client -i eth0 -state lease.json  asks for its former address after a restart
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/client"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "dhcp4o6-client:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var name, servers, mac string
	var source netip.Addr
	var iaid uint
	var verbose bool
	r := runner{out: out}
	flags := flag.NewFlagSet("dhcp4o6-client", flag.ContinueOnError)
	flags.StringVar(&name, "i", "", "interface (required)")
	flags.StringVar(&servers, "server", "", "servers, separated by commas; by default those of option 88")
	flags.TextVar(&source, "source", netip.Addr{}, "our IPv6 address; by default the kernel chooses")
	flags.StringVar(&mac, "mac", "", "hardware address to present; by default the interface's")
	flags.UintVar(&iaid, "iaid", 1, "IAID of the client identifier (RFC 4361)")
	flags.BoolVar(&r.once, "once", false, "obtain a lease, report it, end without releasing it")
	flags.BoolVar(&r.json, "json", false, "report as JSON")
	flags.StringVar(&r.state, "state", "", "file that keeps the lease over a restart; then it is not released at the end")
	flags.BoolVar(&verbose, "v", false, "log every message")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if name == "" {
		return errors.New("-i is required")
	}
	link, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("finding interface %s: %w", name, err)
	}
	o := client.Options{HardwareAddr: link.HardwareAddr, IAID: uint32(iaid)}
	if mac != "" {
		if o.HardwareAddr, err = net.ParseMAC(mac); err != nil {
			return fmt.Errorf("-mac: %w", err)
		}
	}
	if servers != "" {
		for s := range strings.SplitSeq(servers, ",") {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return fmt.Errorf("-server: %w", err)
			}
			o.Servers = append(o.Servers, a)
		}
	}
	if verbose {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	var local netip.AddrPort
	if source.IsValid() {
		local = netip.AddrPortFrom(source, 546)
	}
	socket, err := client.Listen(name, local)
	if err != nil {
		return err
	}
	defer socket.Close()
	if r.client, err = client.New(socket, o); err != nil {
		return err
	}
	return r.run(ctx)
}

type runner struct {
	client     *client.Client
	out        io.Writer
	once, json bool
	state      string
}

// run is the state machine of RFC 2131 §4.4, Figure 5.
func (r *runner) run(ctx context.Context) error {
	if len(r.client.Servers()) == 0 {
		if _, err := r.client.Information(ctx); err != nil {
			return unlessEnded(ctx, fmt.Errorf("asking for option 88: %w", err))
		}
	}
	lease, err := r.first(ctx)
	for ; err == nil && !r.once; lease, err = r.next(ctx, lease) {
		if !sleep(ctx, lease.Obtained.Add(lease.T1)) {
			return r.end(lease)
		}
	}
	return unlessEnded(ctx, err)
}

// unlessEnded is err, but for what a signal caused.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// first asks for the former lease if there is one (INIT-REBOOT), else for any.
func (r *runner) first(ctx context.Context) (*client.Lease, error) {
	if former := r.load(); former.IsValid() {
		lease, err := r.client.Reboot(ctx, former)
		if err == nil {
			return lease, r.report("confirmed", lease)
		}
		if !errors.Is(err, client.ErrNak) && !errors.Is(err, client.ErrNoAnswer) {
			return nil, err
		}
	}
	return r.obtain(ctx)
}

func (r *runner) obtain(ctx context.Context) (*client.Lease, error) {
	for {
		lease, err := r.client.Obtain(ctx)
		if err == nil {
			return lease, r.report("obtained", lease)
		}
		if r.once || !errors.Is(err, client.ErrNoAnswer) && !errors.Is(err, client.ErrNak) {
			return nil, err
		}
	}
}

// next renews from T1, rebinds from T2, and starts again when the lease is
// refused or over. Retransmission is spread over what is left (§4.4.5).
func (r *runner) next(ctx context.Context, lease *client.Lease) (*client.Lease, error) {
	t2, end := lease.Obtained.Add(lease.T2), lease.Obtained.Add(lease.Duration)
	for time.Now().Before(end) {
		extend, what, until := r.client.Renew, "renewed", t2
		if !time.Now().Before(t2) {
			extend, what, until = r.client.Rebind, "rebound", end
		}
		attempt, cancel := context.WithDeadline(ctx, until)
		longer, err := extend(attempt, lease)
		cancel()
		if err == nil {
			return longer, r.report(what, longer)
		}
		if ctx.Err() != nil {
			return nil, errors.Join(err, r.end(lease))
		}
		if errors.Is(err, client.ErrNak) {
			break
		}
		// Half of what remains, at least a minute, but no longer than it.
		pause := max(time.Until(until)/2, time.Minute)
		if !sleep(ctx, time.Now().Add(min(pause, time.Until(until)))) {
			return nil, errors.Join(ctx.Err(), r.end(lease))
		}
	}
	if err := r.report("lost", lease); err != nil {
		return nil, err
	}
	return r.obtain(ctx)
}

// end gives the lease back, unless it is kept for the next start.
func (r *runner) end(lease *client.Lease) error {
	if r.state != "" {
		return nil
	}
	if err := r.client.Release(lease); err != nil {
		return err
	}
	return r.report("released", lease)
}

// sleep waits until then; false when the context ended first.
func sleep(ctx context.Context, then time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(then)):
		return true
	}
}

// A line is what is reported of a change, and what the state file holds.
type line struct {
	Event   string     `json:"event"`
	Address netip.Addr `json:"address"`
	Mask    int        `json:"mask"`
	Server  netip.Addr `json:"server"`
	From    netip.Addr `json:"from"`
	Seconds int64      `json:"lease_seconds"`
	Routers []net.IP   `json:"routers,omitempty"`
	DNS     []net.IP   `json:"dns,omitempty"`
}

func (r *runner) report(event string, l *client.Lease) error {
	x := line{event, l.Address, l.Mask, l.Server, l.Response.From.Addr(), int64(l.Duration / time.Second),
		l.Response.DHCPv4.Router(), l.Response.DHCPv4.DNS()}
	b, err := json.Marshal(x)
	if err != nil {
		return fmt.Errorf("writing a report: %w", err)
	}
	if r.state != "" && event != "lost" {
		if err := os.WriteFile(r.state, b, 0o600); err != nil {
			return fmt.Errorf("keeping the lease: %w", err)
		}
	}
	if r.json {
		_, err = fmt.Fprintf(r.out, "%s\n", b)
	} else {
		_, err = fmt.Fprintf(r.out, "%s %s/%d for %s from server %s at %s, routers %v, DNS %v\n", event, x.Address, x.Mask, l.Duration, x.Server, x.From, x.Routers, x.DNS)
	}
	return err
}

// load returns the address of the state file; none when there is no such file
// or it cannot be read, which only costs the wish for an address.
func (r *runner) load() netip.Addr {
	b, err := os.ReadFile(r.state)
	var x line
	if err != nil || json.Unmarshal(b, &x) != nil {
		return netip.Addr{}
	}
	return x.Address
}
