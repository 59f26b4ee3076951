// Dhcp6-relay is a small DHCPv6 relay agent (RFC 9915 §19) for labs.
//
//	dhcp6-relay -down eth1 -up eth0 -link 2001:db8:1::1 -server 2001:db8::547
//
// An interface may also be given by the prefix of one of its addresses. That is for containers, in
// which the names depend on the order of the networks.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/program"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/shared/manual"
)

func main() { program.Main("dhcp6-relay", run) }

// description is what the manual says beside the flags.
func description() manual.Program {
	return manual.Program{
		About: "a DHCPv6 relay agent for labs",
		Description: []string{
			"It forwards between clients on one interface and servers behind another (RFC 9915 section 19). An " +
				"interface may also be given by the prefix of one of its addresses. That is for containers, in which " +
				"the names depend on the order of the networks.",
		},
		Statuses: []manual.Status{{Code: 0, About: "Success"}, {Code: 1, About: "Any error"}},
	}
}

func run(ctx context.Context, args []string) error {
	var c relay.Config
	var link, servers, trusted, interfaceID, remoteID string
	var port, enterprise uint
	var verbose bool
	flags := flag.NewFlagSet("dhcp6-relay", flag.ContinueOnError)
	flags.StringVar(&c.Down, "down", "", "interface where the clients are, or its prefix (required)")
	flags.StringVar(&c.Up, "up", "", "interface that leads to the servers, or its prefix (required)")
	flags.StringVar(&link, "link", "", "our address on the clients' link, the link-address")
	flags.StringVar(&servers, "server", "ff05::1:3", "servers, separated by commas")
	flags.StringVar(&trusted, "trust", "",
		"addresses or prefixes of relay agents below, separated by commas: only they may send Relay-forward")
	flags.StringVar(&interfaceID, "interface-id", "",
		"Interface-Id to add; by default the name of the clients' interface")
	flags.StringVar(&remoteID, "remote-id", "", "Remote-Id to add")
	flags.UintVar(&enterprise, "enterprise", 2495, "enterprise number of the Remote-Id")
	flags.UintVar(&port, "port", relay.ServerPort,
		"UDP source port towards the servers; another than 547 adds Relay Port (RFC 8357)")
	flags.BoolVar(&verbose, "v", false, "log every datagram")
	if done, err := manual.Parse(description(), flags, args, os.Stdout); done {
		return err
	}
	if c.Down == "" || c.Up == "" {
		return errors.New("-down and -up are required")
	}
	if port == 0 || port > 65535 {
		return fmt.Errorf("-port %d is no UDP port", port)
	}
	c.Port = uint16(port)
	var err error
	if c.Down, err = interfaceOf(c.Down); err != nil {
		return fmt.Errorf("-down: %w", err)
	}
	if c.Up, err = interfaceOf(c.Up); err != nil {
		return fmt.Errorf("-up: %w", err)
	}
	if link != "" {
		if c.LinkAddress, err = netip.ParseAddr(link); err != nil {
			return fmt.Errorf("-link: %w", err)
		}
	}
	if c.Servers, err = program.Addresses("-server", servers); err != nil {
		return err
	}
	if len(c.Servers) == 0 {
		return errors.New("-server names no server")
	}
	if c.Trusted, err = prefixes(trusted); err != nil {
		return fmt.Errorf("-trust: %w", err)
	}
	if interfaceID == "" {
		interfaceID = c.Down
	}
	c.InterfaceID = []byte(interfaceID)
	if remoteID != "" {
		c.RemoteID = &dhcpv6.OptRemoteID{EnterpriseNumber: uint32(enterprise), RemoteID: []byte(remoteID)}
	}
	c.Log = program.Log(verbose)

	agent, err := relay.Open(c)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { agent.Close() })
	c.Log.Info("relaying", "down", c.Down, "up", c.Up, "servers", c.Servers)
	agent.Wait()
	forwarded, replied, discarded := agent.Counts()
	c.Log.Info("ended", "forwarded", forwarded, "replied", replied, "discarded", discarded)
	return nil
}

// prefixes parses a list of prefixes and addresses.
func prefixes(list string) (all []netip.Prefix, err error) {
	for text := range strings.SplitSeq(list, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		p, err := netip.ParsePrefix(text)
		if a, isAddress := netip.ParseAddr(text); isAddress == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a prefix", text)
		}
		all = append(all, p)
	}
	return all, nil
}

// interfaceOf returns the name of the interface that has an address in the given prefix. A text
// that is no prefix is returned as a name.
func interfaceOf(text string) (string, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return text, nil //nolint:nilerr // a name
	}
	links, err := net.Interfaces()
	if err != nil {
		return "", fmt.Errorf("listing interfaces: %w", err)
	}
	for _, link := range links {
		addresses, err := link.Addrs()
		if err != nil {
			return "", fmt.Errorf("reading the addresses of %s: %w", link.Name, err)
		}
		for _, a := range addresses {
			if own, err := netip.ParsePrefix(a.String()); err == nil && p.Contains(own.Addr()) {
				return link.Name, nil
			}
		}
	}
	return "", fmt.Errorf("no interface has an address of %s", p)
}
