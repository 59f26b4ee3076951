// Dhcp4o6-client is a DHCPv4-over-DHCPv6 client (RFC 7341) for labs. It does what a CPE does: it
// learns the servers from option 88 and asks for it again in time, obtains a lease, renews and
// rebinds it, and starts again when it is refused. At the end it gives the lease back. It prints a
// line of text or JSON for each change. With -configure it also configures an interface.
//
//	dhcp4o6-client -i eth0                    runs until SIGINT or SIGTERM
//	dhcp4o6-client -i eth0 -once -json        one lease, kept
//	dhcp4o6-client -i eth0 -state lease.json  asks for its former address after a restart
//	dhcp4o6-client -i eth0 -configure eth0    and uses it there
//	dhcp4o6-client -i eth0 -relays 2 -source 2001:db8::9 -link 2001:db8:1::1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/program"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/shared/manual"
)

func main() {
	program.Main("dhcp4o6-client", func(ctx context.Context, args []string) error { return run(ctx, args, os.Stdout) })
}

// description is what the manual says beside the flags.
func description() manual.Program {
	return manual.Program{
		About: "a DHCPv4-over-DHCPv6 client for labs",
		Description: []string{
			"It does what a CPE does: it learns the servers from option 88 and asks for it again in time, obtains a " +
				"lease, renews and rebinds it, and starts again when it is refused. At the end it gives the lease " +
				"back. It prints a line of text or JSON for each change. With -configure it also configures an " +
				"interface.",
		},
		Statuses: []manual.Status{{Code: 0, About: "Success"}, {Code: 1, About: "Any error"}},
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var name, servers, mac, configure string
	var source, link netip.Addr
	var iaid, metric uint
	var relays, decline int
	var verbose, prefix bool
	var s client.Session
	r := reporter{out: out}
	flags := flag.NewFlagSet("dhcp4o6-client", flag.ContinueOnError)
	flags.StringVar(&name, "i", "", "interface (required)")
	flags.StringVar(&servers, "server", "", "servers, separated by commas; by default those of option 88")
	flags.TextVar(&source, "source", netip.Addr{}, "our IPv6 address; by default the kernel chooses")
	flags.StringVar(&mac, "mac", "", "hardware address to present; by default the interface's")
	flags.UintVar(&iaid, "iaid", 1, "IAID of the client identifier (RFC 4361)")
	flags.BoolVar(&s.Once, "once", false, "obtain a lease, print it, and exit without releasing it")
	flags.BoolVar(&r.json, "json", false, "print JSON")
	flags.StringVar(&r.state, "state", "", "`file` that keeps the lease across a restart")
	flags.BoolVar(&s.Release, "release", true, "release the lease at the end; with -state the default is false")
	flags.StringVar(&configure, "configure", "",
		"interface that gets the address and the routes of the lease (needs CAP_NET_ADMIN)")
	flags.UintVar(&metric, "metric", 0, "metric of those routes")
	flags.DurationVar(&s.Refresh, "refresh", 0,
		"ask for option 88 at least this often; by default when the server says, or once a day")
	flags.IntVar(&decline, "decline", 0, "number of addresses to decline, as if another host used them")
	flags.IntVar(&relays, "relays", 0, "levels of Relay-forward around each message, 0 to 9; "+
		"the client acts as its own relays, so -source must be an address that the server accepts relays from")
	flags.TextVar(&link, "link", netip.IPv6Unspecified(), "link-address of the innermost relay")
	flags.BoolVar(&prefix, "prefix", false,
		"first obtain an IPv6 prefix from a DHCPv6 server, and print it; it is not renewed")
	flags.BoolVar(&verbose, "v", false, "log every message")
	if done, err := manual.Parse(description(), flags, args, out); done {
		return err
	}
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if r.state != "" && !given["release"] {
		s.Release = false
	}
	if name == "" {
		return errors.New("-i is required")
	}
	if relays < 0 || relays > relay.HopCountLimit+1 {
		return fmt.Errorf("-relays %d: want 0 to %d", relays, relay.HopCountLimit+1)
	}
	o, err := options(name, mac, servers)
	if err != nil {
		return err
	}
	o.IAID = uint32(iaid)
	if verbose {
		o.Log = program.Log(verbose)
	}
	var local netip.AddrPort
	if source.IsValid() {
		local = netip.AddrPortFrom(source, relay.ClientPort)
	}
	if relays > 0 {
		if !source.IsValid() {
			return errors.New("-relays needs -source: a relay has an address that the server knows")
		}
		local = netip.AddrPortFrom(source, relay.ServerPort)
		o.Relays = relay.Chain(relays, link, source)
	}
	if s.InUse = nil; decline > 0 {
		s.InUse = func(*client.Lease) bool { decline--; return decline >= 0 }
	}
	if configure != "" {
		if r.configurer, err = newConfigurer(configure, int(metric)); err != nil {
			return err
		}
	}
	if s.Former, err = r.load(); err != nil {
		return err
	}
	socket, err := client.Listen(name, local)
	if err != nil {
		return err
	}
	defer socket.Close()
	if s.Client, err = client.New(socket, o); err != nil {
		return err
	}
	r.client, s.Changed = s.Client, r.changed
	if prefix {
		if err := r.delegated(ctx); err != nil {
			return err
		}
	}
	err = s.Run(ctx)
	if r.configurer != nil && !s.Once {
		err = errors.Join(err, r.configurer.remove())
	}
	return err
}

// options returns who the client is and which servers it asks.
func options(name, mac, servers string) (o client.Options, err error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return o, fmt.Errorf("finding interface %s: %w", name, err)
	}
	o.HardwareAddr = link.HardwareAddr
	if mac != "" {
		if o.HardwareAddr, err = net.ParseMAC(mac); err != nil {
			return o, fmt.Errorf("-mac: %w", err)
		}
	}
	o.Servers, err = program.Addresses("-server", servers)
	return o, err
}

// A line is what is printed for one change.
type line struct {
	Time    time.Time    `json:"time"`
	Event   client.Event `json:"event"`
	Address netip.Addr   `json:"address,omitzero"`
	Mask    int          `json:"mask,omitempty"`
	Server  netip.Addr   `json:"server,omitzero"`
	From    netip.Addr   `json:"from,omitzero"`
	Seconds int64        `json:"lease_seconds,omitempty"`
	T1      int64        `json:"t1_seconds,omitempty"`
	T2      int64        `json:"t2_seconds,omitempty"`
	Routers []net.IP     `json:"routers,omitempty"`
	DNS     []net.IP     `json:"dns,omitempty"`
	Domain  string       `json:"domain,omitempty"`
	// Servers are those of option 88, if the client has just learned them.
	Servers []netip.Addr `json:"servers,omitempty"`
	// Prefix is one that a DHCPv6 server has just delegated.
	Prefix netip.Prefix `json:"prefix,omitzero"`
}

func newLine(e client.Event, l *client.Lease, servers []netip.Addr) line {
	x := line{Time: time.Now().Round(time.Millisecond), Event: e}
	if e == client.Learned {
		x.Servers = servers
	}
	if l == nil || e == client.Learned {
		return x
	}
	m := l.Response.DHCPv4
	x.Address, x.Mask, x.Server, x.From = l.Address, l.Mask, l.Server, l.Response.From.Addr()
	x.Seconds, x.T1, x.T2 = seconds(l.Duration), seconds(l.T1), seconds(l.T2)
	x.Routers, x.DNS, x.Domain = m.Router(), m.DNS(), m.DomainName()
	return x
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func (x line) String() string {
	switch {
	case x.Prefix.IsValid():
		return fmt.Sprintf("%s IPv6 prefix %v", x.Event, x.Prefix)
	case len(x.Servers) > 0:
		return fmt.Sprintf("%s 4o6 servers %v", x.Event, x.Servers)
	case !x.Address.IsValid():
		return fmt.Sprintf("%s option 88: no 4o6 here", x.Event)
	}
	return fmt.Sprintf("%s %s/%d for %s from server %s at %s, routers %v, DNS %v", x.Event, x.Address, x.Mask,
		time.Duration(x.Seconds)*time.Second, x.Server, x.From, x.Routers, x.DNS)
}
