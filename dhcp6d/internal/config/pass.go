package config

import (
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
)

// MaxDHCPv6Servers is the most servers that a message is passed on to.
const MaxDHCPv6Servers = 8

// DHCPv6Server is where a DHCPv6 server listens.
type DHCPv6Server struct {
	Addr netip.AddrPort // invalid if it is given by name
	Name string
	Port uint16 // of a name
}

// String is the server as it may be written in the environment.
func (s DHCPv6Server) String() string {
	if s.Addr.IsValid() {
		return s.Addr.String()
	}
	return net.JoinHostPort(s.Name, strconv.Itoa(int(s.Port)))
}

// IsDHCPv6Server reports whether a DHCPv6 server that messages are passed on to can have an
// address.
func IsDHCPv6Server(a netip.Addr) bool {
	return (a.IsGlobalUnicast() || a.IsLoopback()) && a.Is6() && !a.Is4In6() && a.Zone() == ""
}

// UnmarshalText parses "[address]:port" or "name:port". Without a port it is 547.
func (s *DHCPv6Server) UnmarshalText(text []byte) error {
	address, err := netip.ParseAddrPort(string(text))
	if err != nil {
		a, err := netip.ParseAddr(strings.Trim(string(text), "[]"))
		if err != nil {
			return s.named(string(text))
		}
		address = netip.AddrPortFrom(a, dhcp6.ServerPort)
	}
	if !IsDHCPv6Server(address.Addr()) {
		return fmt.Errorf("%v is no global or unique local IPv6 address of a server, without zone", address.Addr())
	}
	if address.Port() == 0 {
		return fmt.Errorf("%q has no port from 1 to 65535", text)
	}
	*s = DHCPv6Server{Addr: address}
	return nil
}

// named parses "name:port" or "name".
func (s *DHCPv6Server) named(text string) error {
	name, port, hasPort := strings.Cut(text, ":")
	number := uint64(dhcp6.ServerPort)
	if hasPort {
		var err error
		if number, err = strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
			return fmt.Errorf("%q is neither [address]:port nor name:port", text)
		}
	}
	last := name[strings.LastIndexByte(strings.TrimSuffix(name, "."), '.')+1:]
	if checkDomain(name) != nil || strings.Trim(last, "0123456789.") == "" || strings.ContainsAny(name, "[]%") {
		return fmt.Errorf("%q is neither the IPv6 address nor the name of a server", name)
	}
	*s = DHCPv6Server{Name: strings.ToLower(name), Port: uint16(number)}
	return nil
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
	if n := len(c.DHCPv6Servers); n > MaxDHCPv6Servers {
		l.Mistake("DHCPV6_SERVERS", fmt.Sprintf("%d servers", n), fmt.Sprintf("give at most %d", MaxDHCPv6Servers))
	}
	for i, s := range c.DHCPv6Servers {
		if slices.Contains(c.DHCPv6Servers[:i], s) {
			l.Mistake("DHCPV6_SERVERS", s.String()+" is listed twice", "remove one of them")
		}
		if a := s.Addr; a.Addr().IsLoopback() && a.Port() == c.ServerPort {
			l.Mistake("DHCPV6_SERVERS", s.String()+" is dhcp6d itself",
				"give the port that the server of this host has, or give it a network namespace of its own")
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
		l.Mistake("DHCPV6_INFORMATION", "no server is listed to pass Information-requests on to",
			"set "+Prefix+"DHCPV6_SERVERS")
	}
}

// checkSupply checks the codes of options that the servers get.
func (c *Config) checkSupply(l *config.Loader, supply []uint16) {
	for i, code := range supply {
		onLink := func(o LinkOptions) bool { return o.Options.Offers(code) }
		bySome := func(s Service) bool { return s.offers(code) }
		offered := c.Options.Offers(code) || slices.ContainsFunc(c.LinkOptions, onLink) ||
			slices.ContainsFunc(c.Services.List, bySome)
		switch {
		case !offered:
			l.Mistake("DHCPV6_SUPPLY", fmt.Sprintf("option %d is offered on no link", code),
				"configure it, such as with "+Prefix+"4O6_SERVERS, "+Prefix+"OPTIONS or "+Prefix+"LINKS")
		case slices.Contains(supply[:i], code):
			l.Mistake("DHCPV6_SUPPLY", fmt.Sprintf("option %d is listed twice", code), "remove one of them")
		}
	}
}
