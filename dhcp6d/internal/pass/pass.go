// Package pass is dhcp6d as a relay agent (RFC 9915 section 19). It wraps a message that another
// DHCPv6 server is to answer into a Relay-forward, and finds out which client or relay gets a
// Relay-reply.
//
// It remembers nothing about a message. What it needs to deliver the answer travels in the
// Interface-Id option, which every server returns unchanged (RFC 9915 section 21.18):
//
//	0    n   name of the interface that received the message, 1 to 15 octets
//	n    1   0
//	n+1  1   flags: 1 means that a relay sent the message
//	n+2  2   UDP port that the answer goes to
//	n+4  16  the unicast address of ours that the message was sent to, or ::
//	n+20 8   the first octets of HMAC-SHA-256 over the above and the peer-address
//
// The key is in the state directory, so nobody else can make a context. An answer also finds its
// way after a restart, and a Reconfigure at any later time.
package pass

import (
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Options say where messages go.
type Options struct {
	// Servers all get every message, as a relay agent sends it (RFC 9915 section 19.1).
	Servers []netip.AddrPort
	// LinkAddress returns the link-address of an interface. If it has none, or if LinkAddress is
	// nil, the link-address is the lowest global address of the interface.
	LinkAddress func(ifc []byte) (netip.Addr, bool)
	// Information passes every Information-request on, also those that dhcp6d could answer.
	Information bool
	// Port is our own port, to which servers answer.
	Port    uint16
	Key     Key
	Metrics *Metrics
}

// Servers are the DHCPv6 servers that messages are passed on to, and which messages these are. It
// never changes.
type Servers struct {
	list        []server
	link        func(ifc []byte) (netip.Addr, bool)
	information bool
	port        uint16
	key         Key
}

type server struct {
	address        netip.AddrPort
	sent, received prometheus.Counter
}

// New returns the servers of valid options, nil if there are none.
func New(o Options) *Servers {
	if len(o.Servers) == 0 {
		return nil
	}
	s := &Servers{link: o.LinkAddress, information: o.Information, port: o.Port, key: o.Key}
	for _, a := range o.Servers {
		s.list = append(s.list,
			server{a, o.Metrics.sent.WithLabelValues(a.String()), o.Metrics.received.WithLabelValues(a.String())})
	}
	return s
}

// Len returns the number of servers.
func (s *Servers) Len() int { return len(s.list) }

// Address returns where server i is.
func (s *Servers) Address(i int) netip.AddrPort { return s.list[i].address }

// Sent counts a message that the kernel took for server i.
func (s *Servers) Sent(i int) { s.list[i].sent.Inc() }

// Received counts a Relay-reply. It returns false if no server has the address that it came from. A
// server may send from another port than it listens on. So the port counts only if two servers have
// the same address.
func (s *Servers) Received(from netip.AddrPort) bool {
	found := -1
	for i := range s.list {
		if s.list[i].address == from {
			found = i
			break
		}
		if found < 0 && s.list[i].address.Addr() == from.Addr() {
			found = i
		}
	}
	if found < 0 {
		return false
	}
	s.list[found].received.Inc()
	return true
}

// Takes reports whether a message of a client is passed on for which validation has returned why.
// It is passed on if it is for another server, or of an unknown type, because a relay agent passes
// these on too (RFC 7283). A message that is wrong for every server is not.
func (s *Servers) Takes(why drop.Reason) bool {
	return why == drop.AddressAssignment || why == drop.ForeignServer || why == drop.UnknownType
}

// TakesAll reports whether every message of a type is passed on, whoever could answer it.
func (s *Servers) TakesAll(t dhcp6.Type) bool { return s.information && t == dhcp6.InformationRequest }

// linkAddress returns the address that names the link of an interface with addresses of its own to
// the servers, :: if there is none. A link-local address would name no link.
func (s *Servers) linkAddress(ifc []byte, own []netip.Addr) netip.Addr {
	if s.link != nil {
		if a, ok := s.link(ifc); ok {
			return a
		}
	}
	lowest := netip.IPv6Unspecified()
	for _, a := range own { // in no fixed order
		if a.IsGlobalUnicast() && (lowest.IsUnspecified() || a.Less(lowest)) {
			lowest = a
		}
	}
	return lowest
}
