package config

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
)

// maxDHCPv6Servers is the most servers that a message is passed on to.
const maxDHCPv6Servers = 8

// dhcpv6Server is where a DHCPv6 server listens.
type dhcpv6Server netip.AddrPort

// UnmarshalText parses "[address]:port" or "address", which has port 547.
func (s *dhcpv6Server) UnmarshalText(text []byte) error {
	place, err := netip.ParseAddrPort(string(text))
	if err != nil {
		a, err := netip.ParseAddr(strings.Trim(string(text), "[]"))
		if err != nil {
			return fmt.Errorf("%q is neither [address]:port nor an IPv6 address", text)
		}
		place = netip.AddrPortFrom(a, dhcp6.ServerPort)
	}
	if a := place.Addr(); (!a.IsGlobalUnicast() && !a.IsLoopback()) || !a.Is6() || a.Is4In6() || a.Zone() != "" {
		return fmt.Errorf("%v is no global or unique local IPv6 address of a server, without zone", a)
	}
	if place.Port() == 0 {
		return fmt.Errorf("%q has no port from 1 to 65535", text)
	}
	*s = dhcpv6Server(place)
	return nil
}

// addresses returns where servers listen.
func addresses(servers []dhcpv6Server) (at []netip.AddrPort) {
	for _, s := range servers {
		at = append(at, netip.AddrPort(s))
	}
	return at
}

// LinkAddress is the link-address of an interface.
type LinkAddress struct {
	// Interface is a name or pattern.
	Interface string
	Address   netip.Addr
}

// UnmarshalText parses "interface=address".
func (a *LinkAddress) UnmarshalText(text []byte) error {
	name, address, found := strings.Cut(string(text), "=")
	if _, err := path.Match(name, ""); err != nil || !found || name == "" || strings.ContainsAny(name, "/! \t") {
		return fmt.Errorf("%q is no interface=address", text)
	}
	parsed, err := netip.ParseAddr(address)
	if err != nil || !parsed.Is6() || parsed.Is4In6() || parsed.Zone() != "" || !parsed.IsGlobalUnicast() {
		return fmt.Errorf("%q is no global or unique local IPv6 address", address)
	}
	*a = LinkAddress{name, parsed}
	return nil
}

// checkPass checks where messages are passed on to, and supplies the options of these codes.
func (c *Config) checkPass(l *config.Loader, supply []uint16) {
	c.Options.Supply = supply
	for i := range c.LinkOptions {
		c.LinkOptions[i].Options.Supply = supply
	}
	if n := len(c.DHCPv6Servers); n > maxDHCPv6Servers {
		l.Mistake("DHCPV6_SERVERS", fmt.Sprintf("%d servers", n), fmt.Sprintf("give at most %d", maxDHCPv6Servers))
	}
	for i, s := range c.DHCPv6Servers {
		if slices.Contains(c.DHCPv6Servers[:i], s) {
			l.Mistake("DHCPV6_SERVERS", s.String()+" is listed twice", "remove one of them")
		}
		if s.Addr().IsLoopback() && s.Port() == c.ServerPort {
			l.Mistake("DHCPV6_SERVERS", s.String()+" is dhcp6d itself", "give the port that the server of this host has, or give it a network namespace of its own")
		}
	}
	if len(c.DHCPv6Servers) > 0 {
		c.checkSupply(l, supply)
		return
	}
	if len(c.DHCPv6Links) > 0 {
		l.Mistake("DHCPV6_LINK_ADDRESSES", "no server is listed that would get them", "set "+Prefix+"DHCPV6_SERVERS")
	}
	if len(supply) > 0 {
		l.Mistake("DHCPV6_SUPPLY", "no server is listed that would get the options", "set "+Prefix+"DHCPV6_SERVERS")
	}
	if c.DHCPv6Information {
		l.Mistake("DHCPV6_INFORMATION", "no server is listed to pass Information-requests on to", "set "+Prefix+"DHCPV6_SERVERS")
	}
}

// checkSupply checks the codes of options that the servers get.
func (c *Config) checkSupply(l *config.Loader, supply []uint16) {
	for i, code := range supply {
		onLink := func(o LinkOptions) bool { return o.Options.Offers(code) }
		bySome := func(s Service) bool { return s.offers(code) }
		offered := c.Options.Offers(code) || slices.ContainsFunc(c.LinkOptions, onLink) || slices.ContainsFunc(c.Services.List, bySome)
		switch {
		case !offered:
			l.Mistake("DHCPV6_SUPPLY", fmt.Sprintf("option %d is offered on no link", code), "configure it, such as with "+Prefix+"4O6_SERVERS, "+Prefix+"OPTIONS or "+Prefix+"LINKS")
		case slices.Contains(supply[:i], code):
			l.Mistake("DHCPV6_SUPPLY", fmt.Sprintf("option %d is listed twice", code), "remove one of them")
		}
	}
}
