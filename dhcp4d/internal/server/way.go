package server

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// way has the addresses of an answer: to the dhcp6d that sent the query, from the address that it
// sent the query to. A host may have several addresses, and dhcp6d takes answers only from the one
// that it knows.
type way struct {
	to   netip.AddrPort
	from netip.Addr // invalid: the socket is bound to one address
	ifc  int        // interface of a link-local destination, else 0
}

// wayBack returns the way of the answer to a datagram.
func wayBack(in *udp.Packet) way {
	w := way{to: in.Peer}
	if !in.Local.IsMulticast() { // a multicast address cannot be a source
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
