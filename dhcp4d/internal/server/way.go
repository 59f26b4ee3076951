package server

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// way is how an answer goes: to the dhcp6d that has asked, from the address
// that it has asked. A host may have several, and dhcp6d takes answers from
// the one that it knows only.
type way struct {
	to   netip.AddrPort
	from netip.Addr // invalid: the socket is bound to one address
	ifc  int        // of a link-local destination, else 0
}

// wayBack is the way of the answer to a datagram.
func wayBack(in *udp.Packet) way {
	w := way{to: in.Peer}
	if !in.Local.IsMulticast() { // no source of a datagram
		w.from = in.Local
	}
	if in.Peer.Addr().IsLinkLocalUnicast() {
		w.ifc = in.Interface
	}
	return w
}

func (w way) packet(data []byte) udp.Packet {
	return udp.Packet{Data: data, Peer: w.to, Local: w.from, Interface: w.ifc}
}
