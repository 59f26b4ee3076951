package server

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Access says whose Relay-forward is taken. Whoever may send one can claim any
// link and Interface-Id (RFC 7341 section 12), so the lists start empty.
type Access struct {
	Relays []netip.Prefix    // sources with a scope wider than the link
	LDRA   func(string) bool // interfaces where link-local sources may
}

// validate checks everything about a parsed datagram but its identifiers and
// options: where it came from, what it was sent to, and whether its type is
// for us.
func (a *Access) validate(in *udp.Packet, ifc *listen.Interface, p *dhcp6.Packet) drop.Reason {
	from := in.Peer.Addr()
	if from.IsUnspecified() || from.IsMulticast() || from.IsLoopback() || from.Is4In6() || in.Peer.Port() == 0 {
		return drop.Source // no answer could reach it
	}
	relayed := p.Relays() > 0
	// RFC 9915 section 7.1: clients use the link-scoped group only.
	multicast := in.Local.IsMulticast()
	if multicast && in.Local != listen.RelayAgentsAndServers && (!relayed || in.Local != listen.Servers) {
		return drop.Destination
	}
	if relayed && !a.relay(from, ifc.Name) {
		return drop.RelayForbidden
	}
	switch p.Message().Type() {
	case dhcp6.DHCPv4Query:
		// By multicast or unicast: RFC 9915 section 16 binds its own
		// messages only.
		return drop.None
	case dhcp6.InformationRequest:
		if !relayed && !multicast {
			return drop.UnicastForbidden // RFC 9915 section 16
		}
		return drop.None
	case dhcp6.Solicit, dhcp6.Request, dhcp6.Confirm, dhcp6.Renew, dhcp6.Rebind, dhcp6.Release, dhcp6.Decline:
		if !relayed && !multicast {
			return drop.UnicastForbidden
		}
		return drop.AddressAssignment
	case dhcp6.Advertise, dhcp6.Reply, dhcp6.Reconfigure, dhcp6.RelayReply, dhcp6.DHCPv4Response:
		return drop.ServerMessage // RFC 9915 section 16, RFC 7341 section 6.1
	}
	return drop.UnknownType // RFC 7283 section 4
}

// relay tells whether Relay-forward is taken from this source.
func (a *Access) relay(from netip.Addr, ifc string) bool {
	if from.IsLinkLocalUnicast() {
		return a.LDRA(ifc)
	}
	for _, p := range a.Relays {
		if p.Contains(from) {
			return true
		}
	}
	return false
}
