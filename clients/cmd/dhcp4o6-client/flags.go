package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/program"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/shared/manual"
)

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

// settings are what the flags say. Some of them are fields of the session and of the reporter.
type settings struct {
	session client.Session
	report  reporter

	name, servers, mac string
	source, link       netip.Addr
	iaid               uint
	relays             int
	configure          string // interface
	metric             uint   // of the routes there
	decline            int
	verbose, prefix    bool
}

// parse reads the arguments. It reports done if there is nothing to run.
func (s *settings) parse(args []string) (done bool, err error) {
	flags := s.flags()
	if done, err = manual.Parse(description(), flags, args, s.report.out); done {
		return true, err
	}
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if s.report.state != "" && !given["release"] {
		s.session.Release = false
	}
	if s.decline > 0 {
		s.session.InUse = func(*client.Lease) bool { s.decline--; return s.decline >= 0 }
	}
	switch {
	case s.name == "":
		err = errors.New("-i is required")
	case s.relays < 0 || s.relays > relay.HopCountLimit+1:
		err = fmt.Errorf("-relays %d: want 0 to %d", s.relays, relay.HopCountLimit+1)
	}
	return err != nil, err
}

func (s *settings) flags() *flag.FlagSet {
	flags := flag.NewFlagSet("dhcp4o6-client", flag.ContinueOnError)
	flags.StringVar(&s.name, "i", "", "interface (required)")
	flags.StringVar(&s.servers, "server", "", "servers, separated by commas; by default those of option 88")
	flags.TextVar(&s.source, "source", netip.Addr{}, "our IPv6 address; by default the kernel chooses")
	flags.StringVar(&s.mac, "mac", "", "hardware address to present; by default the interface's")
	flags.UintVar(&s.iaid, "iaid", 1, "IAID of the client identifier (RFC 4361)")
	flags.BoolVar(&s.session.Once, "once", false, "obtain a lease, print it, and exit without releasing it")
	flags.BoolVar(&s.report.json, "json", false, "print JSON")
	flags.StringVar(&s.report.state, "state", "", "`file` that keeps the lease across a restart")
	flags.BoolVar(&s.session.Release, "release", true, "release the lease at the end; with -state the default is false")
	flags.StringVar(&s.configure, "configure", "",
		"interface that gets the address and the routes of the lease (needs CAP_NET_ADMIN)")
	flags.UintVar(&s.metric, "metric", 0, "metric of those routes")
	flags.DurationVar(&s.session.Refresh, "refresh", 0,
		"ask for option 88 at least this often; by default when the server says, or once a day")
	flags.IntVar(&s.decline, "decline", 0, "number of addresses to decline, as if another host used them")
	flags.IntVar(&s.relays, "relays", 0, "levels of Relay-forward around each message, 0 to 9; "+
		"the client acts as its own relays, so -source must be an address that the server accepts relays from")
	flags.TextVar(&s.link, "link", netip.IPv6Unspecified(), "link-address of the innermost relay")
	flags.BoolVar(&s.prefix, "prefix", false,
		"first obtain an IPv6 prefix from a DHCPv6 server, and print it; it is not renewed")
	flags.BoolVar(&s.verbose, "v", false, "log every message")
	return flags
}

// options returns who the client is, which servers it asks, and the relays that it plays itself.
func (s *settings) options() (o client.Options, err error) {
	link, err := net.InterfaceByName(s.name)
	if err != nil {
		return o, fmt.Errorf("finding interface %s: %w", s.name, err)
	}
	o.IAID, o.HardwareAddr = uint32(s.iaid), link.HardwareAddr
	if s.mac != "" {
		if o.HardwareAddr, err = net.ParseMAC(s.mac); err != nil {
			return o, fmt.Errorf("-mac: %w", err)
		}
	}
	if o.Servers, err = program.Addresses("-server", s.servers); err != nil {
		return o, err
	}
	if s.verbose {
		o.Log = program.Log(true)
	}
	if s.relays > 0 {
		if !s.source.IsValid() {
			return o, errors.New("-relays needs -source: a relay has an address that the server knows")
		}
		o.Relays = relay.Chain(s.relays, s.link, s.source)
	}
	return o, nil
}

// local returns the address and port to send from. The zero value leaves them to the socket.
func (s *settings) local() netip.AddrPort {
	switch {
	case !s.source.IsValid():
		return netip.AddrPort{}
	case s.relays > 0:
		return netip.AddrPortFrom(s.source, relay.ServerPort)
	}
	return netip.AddrPortFrom(s.source, relay.ClientPort)
}
