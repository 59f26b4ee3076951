// Package site is the network that demonstration and tests share: a host with
// clients, two relays and a server host, with nothing but IPv6 between them.
//
//	clients                                                server
//	  access ═════════════════ wire ══════════════════════ access
//	  lan1 ───┐
//	        bridge ─── down │relay1│ up ═══ wire ═════════ core
//	  lan2    └─────── up │relay2│ down
//	    └────────────────────────────┘
//
//	access 2001:db8:a::/64   clients ::100…   server ::1, ::2
//	lan1   2001:db8:1::/64   clients ::100…   relay1 ::1, relay2 ::2
//	lan2   2001:db8:2::/64   clients ::100…   relay2 ::1
//	core   2001:db8:c::/64   relay1 ::2       server ::1
//
// It owns the topology and hands out clients on it; what serves them is the
// business of package pair.
package site

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/client"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/pair"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/relay"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/wire"
)

// Addresses of the site.
var (
	AccessPrefix = netip.MustParsePrefix("2001:db8:a::/64")
	Lan1Prefix   = netip.MustParsePrefix("2001:db8:1::/64")
	Lan2Prefix   = netip.MustParsePrefix("2001:db8:2::/64")
	CorePrefix   = netip.MustParsePrefix("2001:db8:c::/64")

	// Server and ServerSecond are the server's addresses on access.
	Server       = netip.MustParseAddr("2001:db8:a::1")
	ServerSecond = netip.MustParseAddr("2001:db8:a::2")
	// ServerCore is the server's address on core, Relay1Core relay1's.
	ServerCore = netip.MustParseAddr("2001:db8:c::1")
	Relay1Core = netip.MustParseAddr("2001:db8:c::2")
	// Relay1Lan and Relay2Lan are the link-addresses of the relays.
	Relay1Lan = netip.MustParseAddr("2001:db8:1::1")
	Relay2Lan = netip.MustParseAddr("2001:db8:2::1")

	relay2Up = netip.MustParseAddr("2001:db8:1::2")
)

// Direct and Relayed are the subnets of clients on access and behind relays.
var (
	Direct = pair.Subnet{ID: 1, Prefix: netip.MustParsePrefix("192.0.2.0/24"),
		First: netip.MustParseAddr("192.0.2.10"), Last: netip.MustParseAddr("192.0.2.250"),
		Interface: "access", Sources: []netip.Prefix{AccessPrefix}}
	Relayed = pair.Subnet{ID: 2, Prefix: netip.MustParsePrefix("198.51.100.0/24"),
		First: netip.MustParseAddr("198.51.100.10"), Last: netip.MustParseAddr("198.51.100.250"),
		Interface: "core", Links: []netip.Prefix{Lan1Prefix, Lan2Prefix}}
)

// Via is the way from a client to the server.
type Via string

// The ways.
const (
	Multicast Via = "multicast"  // ff02::1:2 on access
	Unicast   Via = "unicast"    // the server's address on access
	OneRelay  Via = "one relay"  // relay1
	TwoRelays Via = "two relays" // relay2, then relay1
)

// Ways lists all of them.
var Ways = []Via{Multicast, Unicast, OneRelay, TwoRelays}

// Site is the network, without servers and relay agents.
type Site struct {
	Lab                             *netlab.Lab
	Clients, Relay1, Relay2, Server *netlab.Host
	// Access and Core are the wires that lead to the server; it is on the
	// right side of both.
	Access, Core *wire.Wire

	agents  []*relay.Agent
	sockets []*client.Socket
}

// New builds the site in a lab. Clients and agents end with Close.
func New(l *netlab.Lab) (*Site, error) {
	s := &Site{Lab: l}
	for _, h := range []struct {
		name string
		host **netlab.Host
	}{{"clients", &s.Clients}, {"relay1", &s.Relay1}, {"relay2", &s.Relay2}, {"server", &s.Server}} {
		var err error
		if *h.host, err = l.Host(h.name); err != nil {
			return nil, err
		}
	}
	var err error
	s.Access, err = l.Wire(netlab.End{Host: s.Clients, Name: "access"},
		end(s.Server, "access", netip.PrefixFrom(Server, 64), netip.PrefixFrom(ServerSecond, 64)))
	if err != nil {
		return nil, err
	}
	s.Core, err = l.Wire(end(s.Relay1, "up", netip.PrefixFrom(Relay1Core, 64)), end(s.Server, "core", netip.PrefixFrom(ServerCore, 64)))
	if err != nil {
		return nil, err
	}
	err = l.Segment(netlab.End{Host: s.Clients, Name: "lan1"}, end(s.Relay1, "down", netip.PrefixFrom(Relay1Lan, 64)),
		end(s.Relay2, "up", netip.PrefixFrom(relay2Up, 64)))
	if err != nil {
		return nil, err
	}
	if err := l.Link(netlab.End{Host: s.Clients, Name: "lan2"}, end(s.Relay2, "down", netip.PrefixFrom(Relay2Lan, 64))); err != nil {
		return nil, err
	}
	return s, nil
}

func end(h *netlab.Host, name string, addresses ...netip.Prefix) netlab.End {
	return netlab.End{Host: h, Name: name, Addresses: addresses}
}

// Config is what both halves need to know to serve the site.
func Config(dir string) pair.Config {
	return pair.Config{
		Dir:        dir,
		Interfaces: []string{"access", "core"},
		Relays:     []netip.Prefix{CorePrefix},
		LDRA:       []string{"access"},
		Unicast:    []string{"access/" + Server.String(), "access/" + ServerSecond.String(), "core/" + ServerCore.String()},
		Option88:   "multicast",
		Subnets:    []pair.Subnet{Direct, Relayed},
	}
}

// GiveIPv4 gives the server's interfaces the server identifiers as addresses,
// which Kea takes them from.
func (s *Site) GiveIPv4() error {
	for _, n := range []pair.Subnet{Direct, Relayed} {
		if err := s.Server.AddAddress(n.Interface, netip.PrefixFrom(n.Server(), n.Prefix.Bits())); err != nil {
			return err
		}
	}
	return nil
}

// StartRelays starts both relay agents, which send from UDP port 547, or from
// another with the Relay Port option (RFC 8357).
func (s *Site) StartRelays(port uint16, log *slog.Logger) error {
	for _, r := range []struct {
		host   *netlab.Host
		config relay.Config
	}{
		{s.Relay1, relay.Config{LinkAddress: Relay1Lan, InterfaceID: []byte("lan1"), Servers: []netip.Addr{ServerCore}}},
		{s.Relay2, relay.Config{LinkAddress: Relay2Lan, InterfaceID: []byte("lan2"), Servers: []netip.Addr{Relay1Lan}}},
	} {
		r.config.Down, r.config.Up, r.config.Port, r.config.Log = "down", "up", port, log
		agent, err := netlab.In(r.host, func() (*relay.Agent, error) { return relay.Open(r.config) })
		if err != nil {
			return fmt.Errorf("%s: %w", r.host.Name, err)
		}
		s.agents = append(s.agents, agent)
		go agent.Serve()
	}
	return nil
}

// StopRelays ends the relay agents.
func (s *Site) StopRelays() {
	for _, a := range s.agents {
		a.Close()
	}
	s.agents = nil
}

// Close ends agents and clients. The lab is its owner's.
func (s *Site) Close() {
	s.StopRelays()
	for _, c := range s.sockets {
		c.Close()
	}
}

// Client returns the client number n (1 to 65000) that reaches the server in
// that way, with IPv6 addresses of its own. Servers and hardware address are
// filled in when o has none. A number may be used again after its socket was
// closed, on another way at any time.
func (s *Site) Client(via Via, n int, o client.Options) (*client.Client, *client.Socket, error) {
	name, prefix, servers := "access", AccessPrefix, []netip.Addr{client.Multicast}
	switch via {
	case Unicast:
		servers = []netip.Addr{Server}
	case OneRelay:
		name, prefix = "lan1", Lan1Prefix
	case TwoRelays:
		name, prefix = "lan2", Lan2Prefix
	}
	mac := MAC(n)
	local := netlab.LinkLocal(mac)
	if via == Unicast {
		local = Address(prefix, n)
	}
	if err := s.addOnce(name, local); err != nil {
		return nil, nil, err
	}
	port := uint16(relay.ClientPort)
	if len(o.Relays) > 0 {
		port = relay.ServerPort
	}
	socket, err := netlab.In(s.Clients, func() (*client.Socket, error) {
		return client.Listen(name, netip.AddrPortFrom(local, port))
	})
	if err != nil {
		return nil, nil, err
	}
	s.sockets = append(s.sockets, socket)
	if o.Servers == nil {
		o.Servers = servers
	}
	if o.HardwareAddr == nil {
		o.HardwareAddr = mac
	}
	c, err := client.New(socket, o)
	return c, socket, err
}

// Relay returns a client at relay1's place: it plays the outermost of the
// relays in o.Relays itself, sending from relay1's address on core and the
// port given. No agent may use that port of relay1 meanwhile.
func (s *Site) Relay(port uint16, o client.Options) (*client.Client, *client.Socket, error) {
	if o.HardwareAddr == nil {
		o.HardwareAddr = MAC(1)
	}
	if o.Servers == nil {
		o.Servers = []netip.Addr{ServerCore}
	}
	socket, err := netlab.In(s.Relay1, func() (*client.Socket, error) {
		return client.Listen("up", netip.AddrPortFrom(Relay1Core, port))
	})
	if err != nil {
		return nil, nil, err
	}
	s.sockets = append(s.sockets, socket)
	c, err := client.New(socket, o)
	return c, socket, err
}

// addOnce gives the clients' interface an address unless it has it.
func (s *Site) addOnce(name string, a netip.Addr) error {
	has, err := netlab.In(s.Clients, func() (bool, error) {
		link, err := net.InterfaceByName(name)
		if err != nil {
			return false, err
		}
		addrs, err := link.Addrs()
		if err != nil {
			return false, err
		}
		for _, x := range addrs {
			if p, ok := x.(*net.IPNet); ok && p.IP.Equal(a.AsSlice()) {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil || has {
		return err
	}
	return s.Clients.AddAddress(name, netip.PrefixFrom(a, 64))
}

// MAC is the hardware address of client number n.
func MAC(n int) net.HardwareAddr {
	return net.HardwareAddr{0x02, 0xc1, 0x1e, 0, byte(n >> 8), byte(n)}
}

// Address is client number n's address in a prefix of the site.
func Address(p netip.Prefix, n int) netip.Addr {
	a := p.Masked().Addr().As16()
	a[13], a[14], a[15] = 1, byte(n>>8), byte(n)
	return netip.AddrFrom16(a)
}
