package server

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
)

// The fixed destination ports (RFC 9915 section 7.2).
const (
	clientPort = 546
	serverPort = 547
)

// Delivery says where answers go, beside what the protocol says.
type Delivery struct {
	// ClientPort replaces the protocol's port of clients; 0 does not.
	ClientPort uint16
	// Source is the source address where the query does not give one; the
	// zero Addr lets the kernel choose.
	Source netip.Addr
}

// port applies ClientPort to the destination of a response.
func (d Delivery) port(to netip.AddrPort, relayed bool) netip.AddrPort {
	if relayed || d.ClientPort == 0 {
		return to
	}
	return netip.AddrPortFrom(to.Addr(), d.ClientPort)
}

// source is the source address of an answer to a query that was sent to local,
// which is the zero Addr for a query by multicast.
func (d Delivery) source(local netip.Addr) netip.Addr {
	if local.IsValid() {
		return local
	}
	return d.Source
}

// toSource is where our own answer to a message from peer goes: always to the
// datagram's source (RFC 9915 section 18.3.10), a relay at the port it used if
// the outermost level carries the Relay Port option (RFC 8357 section 5.2).
func (d Delivery) toSource(p *dhcp6.Packet, peer netip.AddrPort) netip.AddrPort {
	switch {
	case p.HasRelayPort():
		return peer
	case p.Relays() > 0:
		return netip.AddrPortFrom(peer.Addr(), serverPort)
	}
	return d.port(netip.AddrPortFrom(peer.Addr(), clientPort), false)
}

// unicast is the address of ours that a datagram was sent to, the zero Addr if
// it was sent to a group.
func unicast(local netip.Addr) netip.Addr {
	if local.IsMulticast() {
		return netip.Addr{}
	}
	return local
}
