package server

import (
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Access says from whom Relay-forward is accepted, and which of its levels are believed. A trusted
// sender can claim any link and Interface-Id (RFC 7341 section 12), so by default nobody is
// trusted.
type Access struct{ Trust attachment.Trust }

// check checks the source and the destination of a datagram. It returns how many relay levels are
// believed.
func (a *Access) check(in *udp.Packet, ifc *listen.Interface, p *dhcp6.Packet) (levels int, why drop.Reason) {
	from := in.Peer.Addr()
	relayed := p.Relays() > 0
	// An answer to this host goes to port 547, which is ours, or to port 546, which nobody here
	// has. Only a relay with a port of its own can get one.
	unreachable := from.IsLoopback() && !p.HasRelayPort()
	if from.IsUnspecified() || from.IsMulticast() || unreachable || from.Is4In6() || in.Peer.Port() == 0 {
		return 0, drop.Source // no answer could reach it
	}
	// RFC 9915 section 7.1: only relays use the site-scoped group.
	if in.Local.IsMulticast() && in.Local != listen.RelayAgentsAndServers && (!relayed || in.Local != listen.Servers) {
		return 0, drop.Destination
	}
	levels = a.Trust.Levels(p, from, ifc.Name)
	if relayed && levels == 0 {
		return 0, drop.RelayForbidden
	}
	return levels, drop.None
}
