// Package topology builds the network that the demonstration and the tests share: a host with
// clients, two relays and a server host, with only IPv6 between them.
//
//	clients                                                server
//	  access ═════════════ fault link ════════════════════ access
//	  lan1 ───┐
//	        bridge ─── down │relay1│ up ═ fault link ════════ core
//	  lan2    └─────── up │relay2│ down
//	    └────────────────────────────┘
//
//	access 2001:db8:a::/64   clients ::100…   server ::1, ::2
//	lan1   2001:db8:1::/64   clients ::100…   relay1 ::1, relay2 ::2
//	lan2   2001:db8:2::/64   clients ::100…   relay2 ::1
//	core   2001:db8:c::/64   relay1 ::2       server ::1
//
// The package builds the network and makes clients on it. Package servers starts the servers.
package topology

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/faultlink"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// Addresses of the network.
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

	// Relay2Up is the address that relay2 sends from, on lan1.
	Relay2Up = netip.MustParseAddr("2001:db8:1::2")
	// chain are the addresses of the relays that relay.Chain makes.
	chain = netip.MustParsePrefix("2001:db8::f00/120")
)

// Direct and Relayed are the subnets of clients on access and behind relays.
var (
	Direct = servers.Subnet{ID: 1, Prefix: netip.MustParsePrefix("192.0.2.0/24"),
		First: netip.MustParseAddr("192.0.2.10"), Last: netip.MustParseAddr("192.0.2.250"),
		Interface: "access", Sources: []netip.Prefix{AccessPrefix}}
	Relayed = servers.Subnet{ID: 2, Prefix: netip.MustParsePrefix("198.51.100.0/24"),
		First: netip.MustParseAddr("198.51.100.10"), Last: netip.MustParseAddr("198.51.100.250"),
		Interface: "core", Links: []netip.Prefix{Lan1Prefix, Lan2Prefix}}
)

// Via is a path from a client to the server.
type Via string

// The paths.
const (
	Multicast Via = "multicast"  // ff02::1:2 on access
	Unicast   Via = "unicast"    // the server's address on access
	OneRelay  Via = "one relay"  // relay1
	TwoRelays Via = "two relays" // relay2, then relay1
)

// Ways lists all paths.
var Ways = []Via{Multicast, Unicast, OneRelay, TwoRelays}

// A Network is the hosts and links, without servers and relay agents.
type Network struct {
	Lab                             *netns.Lab
	Clients, Relay1, Relay2, Server *netns.Host
	// Access and Core are the links to the server, which is at the right side of both.
	Access, Core *faultlink.Link

	agents  []*relay.Agent
	sockets []*client.Socket
}

// New builds the network in a lab. Close ends clients and agents.
func New(l *netns.Lab) (*Network, error) {
	s := &Network{Lab: l}
	for _, h := range []struct {
		name string
		host **netns.Host
	}{{"clients", &s.Clients}, {"relay1", &s.Relay1}, {"relay2", &s.Relay2}, {"server", &s.Server}} {
		var err error
		if *h.host, err = l.Host(h.name); err != nil {
			return nil, err
		}
	}
	var err error
	s.Access, err = l.FaultLink(netns.End{Host: s.Clients, Name: "access"},
		end(s.Server, "access", netip.PrefixFrom(Server, 64), netip.PrefixFrom(ServerSecond, 64)))
	if err != nil {
		return nil, err
	}
	s.Core, err = l.FaultLink(end(s.Relay1, "up", netip.PrefixFrom(Relay1Core, 64)),
		end(s.Server, "core", netip.PrefixFrom(ServerCore, 64)))
	if err != nil {
		return nil, err
	}
	err = l.Segment(netns.End{Host: s.Clients, Name: "lan1"}, end(s.Relay1, "down", netip.PrefixFrom(Relay1Lan, 64)),
		end(s.Relay2, "up", netip.PrefixFrom(Relay2Up, 64)))
	if err != nil {
		return nil, err
	}
	if err := l.Link(netns.End{Host: s.Clients, Name: "lan2"},
		end(s.Relay2, "down", netip.PrefixFrom(Relay2Lan, 64))); err != nil {
		return nil, err
	}
	return s, nil
}

func end(h *netns.Host, name string, addresses ...netip.Prefix) netns.End {
	return netns.End{Host: h, Name: name, Addresses: addresses}
}

// Config returns what both halves need to serve the network.
func Config(dir string) servers.Config {
	return servers.Config{
		Dir:        dir,
		Interfaces: []string{"access", "core"},
		Relays:     []netip.Prefix{CorePrefix, netip.PrefixFrom(Relay2Up, 128), chain},
		LDRA:       []string{"access"},
		Unicast:    []string{"access/" + Server.String(), "access/" + ServerSecond.String(), "core/" + ServerCore.String()},
		Option88:   "multicast",
		Subnets:    []servers.Subnet{Direct, Relayed},
	}
}

// GiveIPv4 gives the server's interfaces the server identifiers as addresses, because Kea takes
// them from there.
func (s *Network) GiveIPv4() error {
	for _, n := range []servers.Subnet{Direct, Relayed} {
		if err := s.Server.AddAddress(n.Interface, netip.PrefixFrom(n.Server(), n.Prefix.Bits())); err != nil {
			return err
		}
	}
	return nil
}

// StartRelays starts both relay agents. They send from UDP port 547, or from another port with the
// Relay Port option (RFC 8357).
func (s *Network) StartRelays(port uint16, log *slog.Logger) error {
	for _, r := range []struct {
		host   *netns.Host
		config relay.Config
	}{
		{s.Relay1, relay.Config{LinkAddress: Relay1Lan, InterfaceID: []byte("lan1"), Servers: []netip.Addr{ServerCore},
			Trusted: []netip.Prefix{netip.PrefixFrom(Relay2Up, 128)}}},
		{s.Relay2, relay.Config{LinkAddress: Relay2Lan, InterfaceID: []byte("lan2"), Servers: []netip.Addr{Relay1Lan}}},
	} {
		r.config.Down, r.config.Up, r.config.Port, r.config.Log = "down", "up", port, log
		agent, err := netns.In(r.host, func() (*relay.Agent, error) { return relay.Open(r.config) })
		if err != nil {
			return fmt.Errorf("%s: %w", r.host.Name, err)
		}
		s.agents = append(s.agents, agent)
	}
	return nil
}

// StopRelays ends the relay agents.
func (s *Network) StopRelays() {
	for _, a := range s.agents {
		a.Close()
	}
	s.agents = nil
}

// Close ends agents and clients, but not the lab.
func (s *Network) Close() {
	s.StopRelays()
	for _, c := range s.sockets {
		c.Close()
	}
}

// Client returns client n (1 to 65000) on a path, with its own IPv6 addresses. If o has no servers
// or hardware address, it fills them in. A number may be used again once its socket is closed, and
// on another path at any time.
func (s *Network) Client(via Via, n int, o client.Options) (*client.Client, *client.Socket, error) {
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
	local := netns.LinkLocal(mac)
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
	socket, err := netns.In(s.Clients, func() (*client.Socket, error) {
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

// Relay returns a client on relay1's host. It acts as the outermost of the relays in o.Relays
// itself, and sends from relay1's address on core and the given port. No agent may use that port
// meanwhile.
func (s *Network) Relay(port uint16, o client.Options) (*client.Client, *client.Socket, error) {
	if o.HardwareAddr == nil {
		o.HardwareAddr = MAC(1)
	}
	if o.Servers == nil {
		o.Servers = []netip.Addr{ServerCore}
	}
	socket, err := netns.In(s.Relay1, func() (*client.Socket, error) {
		return client.Listen("up", netip.AddrPortFrom(Relay1Core, port))
	})
	if err != nil {
		return nil, nil, err
	}
	s.sockets = append(s.sockets, socket)
	c, err := client.New(socket, o)
	return c, socket, err
}

// BridgeAddsInterfaceID makes the bridge before the server's access interface a
// Lightweight DHCPv6 Relay Agent (RFC 6221) until the link's Rewrite is replaced.
func (s *Network) BridgeAddsInterfaceID(id string) {
	agent := relay.LDRA{InterfaceID: []byte(id)}
	s.Access.SetRewrite(func(from faultlink.Side, frame []byte) ([][]byte, bool) {
		return agent.Rewrite(from == faultlink.Left, frame)
	})
}

// addOnce gives the clients' interface an address, unless it has it.
func (s *Network) addOnce(name string, a netip.Addr) error {
	has, err := netns.In(s.Clients, func() (bool, error) {
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

// MAC returns the hardware address of client number n.
func MAC(n int) net.HardwareAddr {
	return net.HardwareAddr{0x02, 0xc1, 0x1e, 0, byte(n >> 8), byte(n)}
}

// Address returns the address of client number n in a prefix of the network.
func Address(p netip.Prefix, n int) netip.Addr {
	a := p.Masked().Addr().As16()
	a[13], a[14], a[15] = 1, byte(n>>8), byte(n)
	return netip.AddrFrom16(a)
}
