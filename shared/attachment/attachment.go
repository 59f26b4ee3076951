// Package attachment finds where the client of a datagram is: which relay levels are believed,
// which link the client is on, and what its attachment point is. It is the only code in the two
// daemons that decides this.
//
// # Which relay levels are believed
//
// A relay wraps what it receives into a level, so the outermost level is the one of the datagram's
// sender, and the writer of each further level inwards is the node that the level around it names
// in peer-address. A client can send a Relay-forward too. After its relay has wrapped that, it
// looks like the work of two relays, and the client controls the inner level. So levels are read
// from the outside in, and reading ends at the first level whose writer is not trusted:
//
//   - a writer with a global address is trusted if [Trust.Relays] has it;
//   - a writer with a link-local address, which a lightweight relay agent (RFC 6221) or a relay
//     that sends by multicast may have, is trusted on links that are said to have such agents: as
//     the sender of the datagram on [Trust.Interfaces], further inwards where the link-address
//     around it is in [Trust.Links].
//
// An agent that leaves the link-address unset, as lightweight ones do, names no link. So no
// link-local writer is trusted behind it: two such agents in a row look the same as one agent and a
// client that pretends to be the other.
//
// A level that is not believed stays in the datagram, because the answer needs it to find its way.
// It is not used for anything else: its sender counts as the client.
//
// # The link
//
// The client's link is named by the link-address of the innermost believed level that has a usable
// one. Unspecified and link-local addresses name no link; then the next level outwards counts (RFC
// 9915 section 19.1.1, RFC 7969 section 3.2, RFC 6221 section 7). If no level names it, the link is
// the one that the datagram arrived on.
//
// # The attachment point
//
// Leases are counted by attachment point, and a client must be at that of its lease to end the
// lease. An attachment point has a place and, if several hosts share the place, an identifier of
// the host.
//
// The place of a datagram without believed levels is the interface of the dhcp6d that received it.
// The place of a relayed datagram is the relay next to the client, and the port that this relay
// names by Interface-Id, else Remote-Id, else Subscriber-Id. An identifier means something only
// together with the relay that wrote it (RFC 9915 section 21.18). The relay is identified by its
// link-address. If that names no link, it is identified by the address that it sent from, and if
// that is link-local, together with the place where it was seen. A lightweight relay agent sends
// from the address of its client, so it is identified by the place alone.
//
// Several hosts share a place that is an interface, or a relay without a port identifier. The
// source address identifies the host: its /64, because a host may use any number of addresses of
// its prefix (RFC 8981), or a whole link-local address. It is used for counting hosts (limit,
// ratelimit). It is not used to recognise a host again (RELEASE, DECLINE, moves), because addresses
// come and go. There only the place counts, and the caller also compares hardware addresses: see
// [Compare].
//
// A point is a string of octets: equal points have equal octets. See [Path.AppendPoint] for their
// order.
package attachment

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
)

// Trust is the configuration of whose relay levels are believed. The zero value believes none.
type Trust struct {
	// Relays are the global addresses of relay agents.
	Relays Prefixes
	// Interfaces reports whether Relay-forward is taken from link-local sources on an interface of
	// dhcp6d.
	Interfaces func(name string) bool
	// Links are the link-addresses of links behind relays where link-local agents are trusted.
	Links Prefixes
}

// Levels returns how many relay levels of p are believed, counted from the outermost. It is 0 for a
// relayed datagram that may not be taken at all: its sender is no trusted relay.
func (t *Trust) Levels(p *dhcp6.Packet, source netip.Addr, ifc string) int {
	n := 0
	for ; n < p.Relays(); n++ {
		writer := source
		if n > 0 {
			writer = p.Relay(n - 1).PeerAddress()
		}
		var trusted bool
		switch {
		case !writer.IsLinkLocalUnicast():
			trusted = t.Relays.writer(writer)
		case n == 0:
			trusted = t.Interfaces != nil && t.Interfaces(ifc)
		default:
			trusted = t.Links.writer(p.Relay(n - 1).LinkAddress())
		}
		if !trusted {
			break
		}
	}
	return n
}

// namesLink reports whether a link-address identifies a link, or an address a node, by itself.
func namesLink(a netip.Addr) bool { return a.IsGlobalUnicast() }

// Path is the way that a datagram took, as far as it is believed. It refers to the caller's memory.
type Path struct {
	Packet *dhcp6.Packet
	// Believed is how many relay levels are believed, from the outermost.
	Believed int
	// Source is where the datagram came from, without zone.
	Source netip.Addr
	// Interface is the interface of dhcp6d that received it.
	Interface []byte
	// Server is the name of that dhcp6d, empty if there is only one.
	Server string
}

// Relay returns the believed level next to the client. It is not ok if there is none.
func (p *Path) Relay() (r dhcp6.Relay, ok bool) {
	if p.Believed == 0 {
		return r, false
	}
	return p.Packet.Relay(p.Believed - 1), true
}

// Link returns the address that names the client's link. If it is invalid, the link is that of
// Interface.
func (p *Path) Link() netip.Addr {
	for i := p.Believed - 1; i >= 0; i-- {
		if a := p.Packet.Relay(i).LinkAddress(); namesLink(a) {
			return a
		}
	}
	return netip.Addr{}
}

// Client returns the client's address as the believed relay next to it, or dhcp6d, saw it.
func (p *Path) Client() netip.Addr { return p.writer(p.Believed) }

// writer returns the address that level i was sent from. The message inside of the last level
// counts as one more level.
func (p *Path) writer(i int) netip.Addr {
	if i == 0 {
		return p.Source
	}
	return p.Packet.Relay(i - 1).PeerAddress()
}
