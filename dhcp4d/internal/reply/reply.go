// Package reply turns a decision into the octets of a DHCPv4 reply.
//
// It owns which fields and options a reply carries (RFC 2131 table 3), their
// order, and what is left out when they do not fit. It never decides what to
// answer, knows no lease and no subnet, and allocates nothing.
//
// Options leave in this order: 53, 54, 51, 58, 59, 52 if the reply is
// overloaded, what the client requested in its own order, what is always
// sent, 56, 61, 108, 118, 82, end.
package reply

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Options is what is configured for a client.
type Options interface {
	// Lookup returns the value of an option as it goes into the message,
	// never empty, and whether it is configured. The value is only read. A
	// value above 255 octets is given whole.
	Lookup(code byte) (value []byte, ok bool)
}

// Reply is the decision, in plain values.
type Reply struct {
	// Type is Offer, ACK or NAK. An ACK to an INFORM is told by the query.
	Type dhcp4.MessageType
	// YIAddr is the address offered or assigned; not used for INFORM and NAK.
	YIAddr netip.Addr
	// ServerID is option 54.
	ServerID netip.Addr
	// LeaseTime, T1 and T2 are seconds (options 51, 58, 59). T1 and T2 are
	// sent if the client requests one of them or SendTimes is set, and then
	// both.
	LeaseTime, T1, T2 uint32
	SendTimes         bool
	// SIAddr, SName and File are the next server of a boot and what it
	// serves; usually not set.
	SIAddr      netip.Addr
	SName, File string
	// Message is text for a person (option 56), usually the reason of a NAK.
	Message string
	// IPv6Only says that the subnet can do without IPv4; V6OnlyWait is the
	// time in seconds (option 108, RFC 8925), sent to clients that request it.
	IPv6Only   bool
	V6OnlyWait uint32
	// EchoSubnetSelection says that option 118 chose the subnet.
	EchoSubnetSelection bool
	// Options are the configured options; nil for none. Of the codes that the
	// protocol itself governs none is ever taken from here.
	Options Options
	// Always lists codes that are sent although the client did not request
	// them, if they are configured and fit.
	Always []byte
	// Room is how many octets the response datagram leaves for the reply,
	// see [Room].
	Room int
	// Pad fills the reply with zeros up to 300 octets.
	Pad bool
}

// RoomDirect is the room of a reply to a client without a relay: an IPv6
// packet of 1280 octets less the headers of IPv6, UDP, DHCPV4-RESPONSE and
// option 87.
const RoomDirect = 1280 - 40 - 8 - 4 - 4

// Room returns the room for a reply in a response whose Relay-reply levels
// take chain octets together: for each level 38 octets, which are its header
// and the header of its Relay Message option, and the options beside that.
func Room(chain int) int { return RoomDirect - chain }

// Append appends the reply to a query that passed CheckRequest. The reasons:
// ReplyTooBig if not even what must be sent fits; dst is then returned as it
// was.
func Append(dst []byte, q *dhcp4.Message, r *Reply) ([]byte, drop.Reason) {
	return dst, drop.ReplyTooBig
}
