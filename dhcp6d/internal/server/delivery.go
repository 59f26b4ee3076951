package server

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Delivery is what the configuration says about the way of answers.
type Delivery struct {
	// ClientPort replaces the protocol's port 546 of clients, unless it is 0.
	ClientPort uint16
	// Source is the source address of answers to queries by multicast; the zero Addr lets the
	// kernel choose.
	Source netip.Addr
}

// packet returns an answer without its bytes: its destination, source and interface. Local is the
// address that the query was sent to (the zero Addr for a group), index the interface that it came
// in by.
//
// An answer to a relay follows the routes: a query may come in by one interface and its relay be
// reached by another (RFC 9915 section 19.3). A link-local address means nothing without its
// interface, and a client that asked directly is on that link.
func (d Delivery) packet(to netip.AddrPort, relayed bool, local netip.Addr, index int) udp.Packet {
	p := udp.Packet{Peer: to, Local: d.source(local), Interface: index}
	switch {
	case relayed && !to.Addr().IsLinkLocalUnicast():
		p.Interface = 0
		if p.Local.IsLinkLocalUnicast() {
			p.Local = netip.Addr{} // it could not be reached from beyond its link
		}
	case !relayed && d.ClientPort != 0:
		p.Peer = netip.AddrPortFrom(to.Addr(), d.ClientPort)
	}
	return p
}

// source returns the source address of an answer. Local is the address that the query was sent to,
// the zero Addr for a query by multicast.
func (d Delivery) source(local netip.Addr) netip.Addr {
	if local.IsValid() {
		return local
	}
	return d.Source
}

// toSource returns the destination of our own answer to a message from peer: the datagram's source
// (RFC 9915 section 18.3.10), and for a relay whose level has the Relay Port option the port that
// it used (RFC 8357 section 5.2).
func toSource(p *dhcp6.Packet, peer netip.AddrPort) netip.AddrPort {
	switch {
	case p.HasRelayPort():
		return peer
	case p.Relays() > 0:
		return netip.AddrPortFrom(peer.Addr(), dhcp6.ServerPort)
	}
	return netip.AddrPortFrom(peer.Addr(), dhcp6.ClientPort)
}

// unicast returns the address that a datagram was sent to, the zero Addr if that is a group.
func unicast(local netip.Addr) netip.Addr {
	if local.IsMulticast() {
		return netip.Addr{}
	}
	return local
}
