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

// check looks at where a datagram came from and what it was sent to.
func (a *Access) check(in *udp.Packet, ifc *listen.Interface, p *dhcp6.Packet) drop.Reason {
	from := in.Peer.Addr()
	if from.IsUnspecified() || from.IsMulticast() || from.IsLoopback() || from.Is4In6() || in.Peer.Port() == 0 {
		return drop.Source // no answer could reach it
	}
	relayed := p.Relays() > 0
	// RFC 9915 section 7.1: only relays use the site-scoped group.
	if in.Local.IsMulticast() && in.Local != listen.RelayAgentsAndServers && (!relayed || in.Local != listen.Servers) {
		return drop.Destination
	}
	if relayed && !a.relay(from, ifc.Name) {
		return drop.RelayForbidden
	}
	return drop.None
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
