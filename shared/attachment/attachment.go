// Package attachment says where the client of a datagram is: which relay levels
// are believed, which link the client is on, and what its attachment point is.
// Nothing else in the two daemons says so; everybody asks here.
//
// # Which relay levels are believed
//
// A relay wraps what it receives into a level, so the outermost level is the
// one of the datagram's sender, and the writer of each further level inwards
// is the node that the level around it names in peer-address. A client can
// send a Relay-forward too. What its relay makes of that looks like the work
// of two relays, and the inner level says whatever the client likes. So levels
// are read from the outside in, and reading ends at the first whose writer is
// not trusted:
//
//   - a writer with a global address is trusted if [Trust.Relays] has it;
//   - a writer with a link-local address, which a lightweight relay agent (RFC
//     6221) or a relay that sends by multicast may have, is trusted on links
//     that are said to have such agents: as the sender of the datagram on
//     [Trust.Interfaces], further inwards where the link-address around it is
//     in [Trust.Links].
//
// An agent that leaves the link-address unset, as lightweight ones do, names no
// link, so nobody link-local is trusted behind it: two of them in a row cannot
// be told from one and a client that plays the other.
//
// A level that is not believed stays in the datagram, because the answer needs
// it to find its way, and tells nothing: its sender is the client.
//
// # The link
//
// The client's link is named by the link-address of the innermost believed
// level that has a usable one: unspecified and link-local addresses name no
// link, the next level outwards does (RFC 9915 section 19.1.1, RFC 7969 section
// 3.2, RFC 6221 section 7). Where no level names it, the link is the one that
// the datagram arrived by.
//
// # The attachment point
//
// An attachment point is what leases are counted by and where a client must be
// to end its lease. It has a place and, where several hosts share the place,
// what tells them apart.
//
// The place is, of a datagram without believed levels, the interface of the
// dhcp6d that received it. Of a relayed one it is the relay next to the client
// and the port that this relay names by Interface-Id, else Remote-Id, else
// Subscriber-Id. An identifier means something only together with the relay
// that wrote it (RFC 9915 section 21.18). The relay is known by its
// link-address; where that names no link, by the address that it sent from; and
// where that is link-local, by it together with the place that it was seen at.
// A lightweight relay agent sends from the address of its client, so it is
// known by the place alone.
//
// Several hosts share a place that is an interface or a relay without an
// identifier. What tells them apart is the source address: the /64, because a
// host may use any number of addresses of its prefix (RFC 8981), or a link-local
// address whole. It counts where hosts are counted (limit, ratelimit). Where it
// matters who a host is (RELEASE, DECLINE, moves) its addresses come and go, so
// only the place counts, and the caller compares hardware addresses besides:
// see [Compare].
//
// A point is a string of octets: equal points have equal octets. See
// [Path.AppendPoint] for their order.
package attachment

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
)

// Trust says whose relay levels are believed. The zero value believes nobody.
type Trust struct {
	// Relays are the global addresses of relay agents.
	Relays []netip.Prefix
	// Interfaces reports whether Relay-forward is taken from link-local
	// sources on an interface of dhcp6d.
	Interfaces func(name string) bool
	// Links are the link-addresses of links behind relays where link-local
	// agents are trusted.
	Links []netip.Prefix
}

// Levels returns how many relay levels of p are believed, counted from the
// outermost. It is 0 for a relayed datagram that may not be taken at all: its
// sender is no trusted relay.
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
			trusted = contains(t.Relays, writer)
		case n == 0:
			trusted = t.Interfaces != nil && t.Interfaces(ifc)
		default:
			trusted = contains(t.Links, p.Relay(n-1).LinkAddress())
		}
		if !trusted {
			break
		}
	}
	return n
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		// A relay may run on this host: then its address is listed as such.
		local := a.IsLoopback() && p.IsSingleIP()
		if (namesLink(a) || local) && p.Contains(a) {
			return true
		}
	}
	return false
}

// namesLink reports whether a link-address tells a link, or an address a node,
// by itself.
func namesLink(a netip.Addr) bool { return a.IsGlobalUnicast() }

// Path is the way that a datagram took, as far as it is believed. It keeps
// what it is given.
type Path struct {
	Packet *dhcp6.Packet
	// Believed is how many relay levels are believed, from the outermost.
	Believed int
	// Source is where the datagram came from, without zone.
	Source netip.Addr
	// Interface is the interface of dhcp6d that received it.
	Interface []byte
	// Server is the name of that dhcp6d, empty where there is no other to
	// tell it from.
	Server string
}

// Relay returns the believed level next to the client, and false where there
// is none.
func (p *Path) Relay() (r dhcp6.Relay, ok bool) {
	if p.Believed == 0 {
		return r, false
	}
	return p.Packet.Relay(p.Believed - 1), true
}

// Link returns the address that names the client's link, invalid where none
// does: then it is the link of Interface.
func (p *Path) Link() netip.Addr {
	for i := p.Believed - 1; i >= 0; i-- {
		if a := p.Packet.Relay(i).LinkAddress(); namesLink(a) {
			return a
		}
	}
	return netip.Addr{}
}

// Client returns the client's address as the believed relay next to it, or
// dhcp6d, saw it.
func (p *Path) Client() netip.Addr { return p.writer(p.Believed) }

// writer returns the address that level i was sent from; what is inside of the
// last level counts as one more.
func (p *Path) writer(i int) netip.Addr {
	if i == 0 {
		return p.Source
	}
	return p.Packet.Relay(i - 1).PeerAddress()
}
