package relay

import (
	"bytes"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/ethernet"
)

// LDRA is a Lightweight DHCPv6 Relay Agent (RFC 6221): a bridge that adds an Interface-Id, and
// nothing of its own. Frames keep their Ethernet and IPv6 addresses, only the DHCPv6 message
// changes.
//
// It forwards only what RFC 6221 §6.2 allows of Relay-reply: with Interface-Id, from and to
// link-local addresses, for the peer it is sent to.
type LDRA struct {
	InterfaceID []byte
}

// Rewrite returns the frames to forward in place of one that came from the clients' side or from
// the other. False leaves the frame unchanged. True without frames drops it.
func (l LDRA) Rewrite(fromClients bool, frame []byte) ([][]byte, bool) {
	d, ok := ethernet.Decode(frame)
	if !ok || d.Destination.Port() != ServerPort || len(d.Payload) == 0 {
		return nil, false
	}
	if fromClients {
		return l.fromClient(d)
	}
	if dhcpv6.MessageType(d.Payload[0]) == dhcpv6.MessageTypeRelayReply {
		return l.fromServer(d)
	}
	return nil, false
}

func (l LDRA) fromClient(d ethernet.Datagram) ([][]byte, bool) {
	if d.Destination.Addr() != AllAgentsAndServers {
		return nil, false // §6.1: only messages to the group are intercepted
	}
	switch dhcpv6.MessageType(d.Payload[0]) {
	case dhcpv6.MessageTypeAdvertise, dhcpv6.MessageTypeReply, dhcpv6.MessageTypeReconfigure,
		dhcpv6.MessageTypeRelayReply, dhcpv6.MessageTypeRelayForward, dhcpv6.MessageTypeDHCPv4Response:
		return nil, true // only servers and relays send these
	}
	level := Level{PeerAddress: d.Source.Addr(), InterfaceID: l.InterfaceID}
	d.Payload = level.wrap(dhcpv6.MessageTypeRelayForward, d.Payload)
	d.Source = netip.AddrPortFrom(d.Source.Addr(), ServerPort)
	return [][]byte{d.Encode()}, true
}

func (l LDRA) fromServer(d ethernet.Datagram) ([][]byte, bool) {
	level, err := ParseLevel(d.Payload)
	if err != nil {
		return nil, true
	}
	id, ok := level.Option(dhcpv6.OptionInterfaceID)
	if !ok || !bytes.Equal(id, l.InterfaceID) || !level.LinkAddress.IsUnspecified() ||
		!d.Source.Addr().IsLinkLocalUnicast() || !d.Destination.Addr().IsLinkLocalUnicast() ||
		level.PeerAddress != d.Destination.Addr() {
		return nil, true
	}
	port := uint16(ClientPort)
	if len(level.Message) > 0 && dhcpv6.MessageType(level.Message[0]) == dhcpv6.MessageTypeRelayReply {
		port = ServerPort
	}
	d.Payload = level.Message
	d.Destination = netip.AddrPortFrom(level.PeerAddress, port)
	return [][]byte{d.Encode()}, true
}
