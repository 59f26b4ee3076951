// Package filter is the hooks that dhcp6d ships and the event that every hook
// of dhcp6d gets.
//
// It owns the hooks' configuration and their decisions. It never sends, never
// changes a packet and keeps nothing of an event.
//
// To add a hook: its settings and a constructor that returns a hook.Filter
// here, its variables in package config, its name in the list of hooks there,
// its place among the points in main.
package filter

import (
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
)

// Event is a datagram at a hook point and all that is known about it. It and
// what it points to are valid until the hook returns.
type Event struct {
	// Received is when the batch with the datagram was read.
	Received time.Time
	// Interface and Index name the interface that received, or that will send.
	Interface string
	Index     int
	// Peer is the source of a received datagram, the destination of one that
	// is about to leave.
	Peer netip.AddrPort
	// Local is the destination of a received datagram; on the way out the
	// source, if it is fixed.
	Local netip.Addr
	// Data is the whole datagram.
	Data []byte
	// Packet is the parsed view of Data at pkt6_receive, nil elsewhere.
	Packet *dhcp6.Packet
}

// Decode makes objects of the datagram. It allocates; a hook that needs only
// a few fields reads Packet.
func (e *Event) Decode() (dhcpv6.DHCPv6, error) { return dhcpv6.FromBytes(e.Data) }
