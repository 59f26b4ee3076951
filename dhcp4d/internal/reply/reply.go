// Package reply turns a decision into the octets of a DHCPv4 reply.
//
// It owns which fields and options a reply carries (RFC 2131 table 3), their order, and what is
// left out when they do not fit. It never decides what to answer, knows no lease and no subnet, and
// allocates nothing.
//
// Options leave in this order: 53, 54, 51, 58, 59, 52 if the reply is overloaded, what the client
// requested in its own order, what is sent unasked by code, 56, 61, 108, 118, 82, end. Where not
// all of them have room, mask, routers and DNS servers come before what else the client requested.
package reply

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Options is what is configured for a client. Being called through an interface, it must be a value
// that lives longer than a packet: one made for each packet would be allocated for each packet.
type Options interface {
	// Lookup returns the value of an option as it goes into the message, never empty, and whether
	// it is configured. The value is only read. A value above 255 octets is given whole.
	Lookup(code byte) (value []byte, ok bool)
	// Configured returns the codes for which Lookup may have a value, and those among them that are
	// sent to a client that does not request them.
	Configured() (all, always option.Codes)
}

// Reply is the decision, in plain values.
type Reply struct {
	// Type is Offer, ACK or NAK. An ACK to an INFORM is told by the query.
	Type dhcp4.MessageType
	// YIAddr is the address offered or assigned; not used for INFORM and NAK.
	YIAddr netip.Addr
	// ServerID is option 54.
	ServerID netip.Addr
	// LeaseTime, T1 and T2 are seconds (options 51, 58, 59). T1 and T2 are sent if they are not 0
	// and the client requests one of them or SendTimes is set, and then both.
	LeaseTime, T1, T2 uint32
	SendTimes         bool
	// SIAddr, SName and File are the next server of a boot and what it serves; usually not set.
	// SName and File end with a zero octet if they leave space for one.
	SIAddr      netip.Addr
	SName, File []byte
	// Message is text for a person (option 56), usually the reason of a NAK.
	Message string
	// IPv6Only says that the subnet can do without IPv4; V6OnlyWait is the time in seconds (option
	// 108, RFC 8925), sent to clients that request it.
	IPv6Only   bool
	V6OnlyWait uint32
	// EchoSubnetSelection says that option 118 chose the subnet.
	EchoSubnetSelection bool
	// Options are the configured options; nil for none. A code that the protocol itself governs is
	// never taken from here.
	Options Options
	// Room is how many octets the response datagram leaves for the reply, see [Room].
	Room int
	// Pad fills the reply with zeros up to 300 octets.
	Pad bool
	// LeftOut is set by Append: the options that the client should have got and that did not fit.
	LeftOut option.Codes
}

// RoomDirect is the room of a reply to a client without a relay: an IPv6 packet of 1500 octets less
// the headers of IPv6, UDP, DHCPV4-RESPONSE and option 87. Every IPv6 host takes a packet of that
// size, if need be in fragments (RFC 8200 section 5). Only a client whose option 57 says that it
// takes long messages gets one.
const RoomDirect = 1500 - 40 - 8 - 4 - 4

// Room returns the room in octets for a reply, in a response whose Relay-reply levels take chain
// octets together. A level takes 38 octets, for its header and the header of its Relay Message
// option, and what the options beside that take.
func Room(chain int) int { return RoomDirect - chain }

// The sizes of RFC 2131 §2 and RFC 2132 §9.10: every client takes an IPv4 datagram of 576 octets,
// and option 57 counts the headers of IPv4 and UDP. Behind a 4o6 relay agent the reply becomes such
// a datagram again.
const (
	leastDatagram = 576
	ipv4Headers   = 28
)

// padded is the size that Pad fills up to, the least of BOOTP.
const padded = 300

// Limit returns the greatest length of the reply to a query.
func Limit(q *dhcp4.Message, room int) int {
	datagram, _ := q.Uint16(dhcp4.OptMaximumMessageSize)
	return min(max(leastDatagram, int(datagram))-ipv4Headers, room)
}

// Append appends the reply to a query that passed CheckRequest. Options that do not fit are left
// out and noted in r.LeftOut; ReplyTooBig says that not even what must be sent fits, and dst is
// then returned as it was. dst and the query's octets must not overlap.
func Append(dst []byte, q *dhcp4.Message, r *Reply) ([]byte, drop.Reason) {
	r.LeftOut = option.Codes{}
	has, ok := plan(q, r)
	if !ok {
		return dst, drop.ReplyTooBig
	}
	start := len(dst)
	dst = appendHeader(dst, q, r)
	dst = dhcp4.AppendType(dst, r.Type)
	dst = dhcp4.AppendAddr(dst, dhcp4.OptServerIdentifier, r.ServerID)
	if has.lease {
		dst = dhcp4.AppendUint32(dst, dhcp4.OptLeaseTime, r.LeaseTime)
	}
	if has.times {
		dst = dhcp4.AppendUint32(dst, dhcp4.OptRenewalTime, r.T1)
		dst = dhcp4.AppendUint32(dst, dhcp4.OptRebindingTime, r.T2)
	}
	spare := has.spare
	if r.Type != dhcp4.NAK && r.Options != nil {
		before := len(dst)
		dst = appendConfigured(dst, start, spare, q, r)
		spare -= len(dst) - before
	}
	if n := len(r.Message); n > 0 && dhcp4.OptionLen(n) <= spare {
		dst = dhcp4.AppendOption(dst, dhcp4.OptMessage, []byte(r.Message))
	}
	dst = q.AppendEcho(dst, dhcp4.OptClientIdentifier)
	if has.v6only {
		dst = dhcp4.AppendUint32(dst, dhcp4.OptIPv6OnlyPreferred, r.V6OnlyWait)
	}
	if has.subnet {
		dst = q.AppendEcho(dst, dhcp4.OptSubnetSelection) // RFC 3011
	}
	if has.relay {
		dst = q.AppendEcho(dst, dhcp4.OptRelayAgentInformation)
	}
	dst = dhcp4.AppendEnd(dst)
	if r.Pad {
		for n := min(padded, Limit(q, r.Room)) - (len(dst) - start); n > 0; n-- {
			dst = append(dst, dhcp4.OptPad)
		}
	}
	return dst, drop.None
}

// planned is which of the options that the protocol governs a reply has.
type planned struct {
	lease  bool // 51
	times  bool // 58 and 59
	v6only bool // 108
	subnet bool // 118
	relay  bool // 82
	spare  int  // octets that they leave for the configured options
}

// plan says which options a reply has. It reports false if not even those that must be sent fit.
func plan(q *dhcp4.Message, r *Reply) (has planned, ok bool) {
	nak := r.Type == dhcp4.NAK
	has.lease = !nak && q.Type() != dhcp4.Inform
	has.v6only = !nak && r.IPv6Only && q.Requested(dhcp4.OptIPv6OnlyPreferred) // RFC 8925 §3.3
	has.subnet = !nak && r.EchoSubnetSelection && q.Has(dhcp4.OptSubnetSelection)

	id := q.EchoLen(dhcp4.OptClientIdentifier) // RFC 6842 §3
	// All lengths count code and length octets.
	has.spare = Limit(q, r.Room) - (dhcp4.HeaderLen + typeLen + fourLen + id + endLen)
	if has.lease {
		has.spare -= fourLen
	}
	if has.v6only {
		has.spare -= fourLen
	}
	if has.subnet {
		has.spare -= q.EchoLen(dhcp4.OptSubnetSelection)
	}
	if has.spare < 0 {
		return has, false
	}
	// RFC 3046 §2.2: without option 82 rather than too long.
	if n := q.EchoLen(dhcp4.OptRelayAgentInformation); n > 0 && n <= has.spare {
		has.relay = true
		has.spare -= n
	}
	if has.lease && r.T1 > 0 && has.spare >= 2*fourLen &&
		(r.SendTimes || q.Requested(dhcp4.OptRenewalTime) || q.Requested(dhcp4.OptRebindingTime)) {
		has.times = true
		has.spare -= 2 * fourLen
	}
	return has, true
}

// Lengths of option 53, of an option of four octets, and of the end.
const (
	typeLen = 3
	fourLen = 6
	endLen  = 1
)

// appendHeader writes the fixed fields of RFC 2131 table 3.
func appendHeader(dst []byte, q *dhcp4.Message, r *Reply) []byte {
	h := q.Header()
	h.Op, h.Hops, h.Secs = dhcp4.BootReply, 0, 0
	h.YIAddr, h.SIAddr, h.SName, h.File = r.YIAddr, r.SIAddr, r.SName, r.File
	none := netip.Addr{}
	switch {
	case r.Type == dhcp4.NAK:
		h.CIAddr, h.YIAddr, h.SIAddr, h.SName, h.File = none, none, none, nil, nil
		if h.GIAddr != netip.IPv4Unspecified() {
			h.Flags |= dhcp4.FlagBroadcast // RFC 2131 §4.3.2
		}
	case r.Type == dhcp4.Offer:
		h.CIAddr = none
	case q.Type() == dhcp4.Inform:
		h.YIAddr = none
	}
	return dhcp4.AppendHeader(dst, &h)
}
