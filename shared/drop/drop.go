// Package drop is the closed list of reasons for which a datagram is
// discarded.
//
// It owns the list and nothing else: whoever discards returns a [Reason],
// the loop that read the datagram counts it. A reason costs no allocation and
// carries no text of its own packet, so it can be returned from the fastest
// path. Parsers return it in place of an error; it is one.
//
// To add a reason: add the constant and its row in table, in the same place
// of both. The metrics, the documentation and the tests that reach every
// reason read the table.
package drop

import "fmt"

// Reason says why a datagram was discarded. The zero value, [None], says that
// it was not.
type Reason uint8

// The reasons, in the order in which a datagram meets the checks.
const (
	None Reason = iota

	// Either socket of either daemon.
	Truncated     // longer than the receive buffer
	Malformed     // an option or header runs past its container
	UnknownType   // a DHCPv6 message type that nobody defined for us
	ServerMessage // a type that only servers send
	RelayMessage  // a relay level without exactly one usable Relay Message
	RelayDepth    // more relay levels than the protocol allows
	HopLimit      // a hop-count above the protocol's limit
	NoMessage     // DHCPV4-QUERY without option 87
	ManyMessages  // several options 87
	ShortMessage  // option 87 shorter than a DHCPv4 header and cookie
	NoCookie      // option 87 without the DHCPv4 magic cookie
	Hook          // a hook said so
	HookPanic     // a hook panicked
	SendError     // the kernel refused to send

	// dhcp6d, link.
	Interface         // came in by an interface that is not served
	Source            // source address or port that cannot be answered
	Destination       // destination address that the rules exclude
	UnicastForbidden  // a message that must be multicast was not
	RelayForbidden    // Relay-forward from a source that is not listed
	Identifier        // client-id or server-id missing, repeated or of bad length
	ForeignServer     // names another server's identifier
	AddressAssignment // Solicit and the like, another server's business
	ForbiddenOption   // an option that the message type must not carry
	RateLimited       // more of them than one attachment point, or all, may send
	Stale             // waited in a socket, or would, until its client has given up on it
	NoBackend         // no dhcp4d is there to take it
	OwnerDown         // the one dhcp4d that has the address is out
	Oversize          // too long once the context is added

	// IPC, both daemons.
	WrongPeer      // not from a configured peer
	Unauthentic    // signature missing, wrong, stale or replayed
	Context        // no return context, or an incomplete one
	IPCType        // a message type that does not belong in this direction
	IPCInterface   // answer for an interface that is not served
	IPCDestination // answer to an address that no client has

	// dhcp4d.
	NotDHCPv4     // the carried message breaks RFC 2131's format
	NoMessageType // no option 53: BOOTP
	NotForServer  // a DHCPv4 type that servers do not take
	NoClient      // neither client identifier nor hardware address
	Contradiction // fields that no client state allows together
	NoSubnet      // no subnet claims the client
	NoAddress     // every address that the client may have is taken
	PointLimit    // the attachment point holds as many as it may
	Draining      // the subnet takes no new client
	StoreError    // the lease could not be put on stable storage
	Overload      // more work in flight than is allowed
	ReplyTooBig   // even the mandatory options do not fit

	count
)

// Daemon tells which of the two daemons can meet a reason.
type Daemon uint8

// The daemons; a reason may belong to both.
const (
	DHCP6D Daemon = 1 << iota
	DHCP4D

	both = DHCP6D | DHCP4D
)

type row struct {
	label   string
	daemons Daemon
	meaning string
}

var table = [count]row{
	None:              {"none", 0, "not dropped"},
	Truncated:         {"truncated", both, "longer than the receive buffer"},
	Malformed:         {"malformed", both, "an option or header runs past its container"},
	UnknownType:       {"unknown_type", DHCP6D, "unknown DHCPv6 message type"},
	ServerMessage:     {"server_message", DHCP6D, "message type that only servers send"},
	RelayMessage:      {"relay_message", both, "relay level without exactly one usable Relay Message option"},
	RelayDepth:        {"relay_depth", both, "more than nine relay levels"},
	HopLimit:          {"hop_limit", both, "hop-count above eight"},
	NoMessage:         {"no_dhcpv4_msg", both, "DHCPV4-QUERY without option 87"},
	ManyMessages:      {"multiple_dhcpv4_msg", both, "several options 87"},
	ShortMessage:      {"dhcpv4_msg_too_short", both, "option 87 shorter than 240 octets"},
	NoCookie:          {"no_cookie", both, "option 87 without the DHCPv4 magic cookie"},
	Hook:              {"hook", both, "dropped by a hook"},
	HookPanic:         {"hook_panic", both, "a hook panicked"},
	SendError:         {"send_error", both, "the kernel refused to send"},
	Interface:         {"interface", DHCP6D, "received by an interface that is not served"},
	Source:            {"source", DHCP6D, "source address or port that cannot be answered"},
	Destination:       {"destination", DHCP6D, "destination address that the rules exclude"},
	UnicastForbidden:  {"unicast_forbidden", DHCP6D, "a message that must be multicast came by unicast"},
	RelayForbidden:    {"relay_forbidden", DHCP6D, "Relay-forward from a source that is not listed"},
	Identifier:        {"identifier", DHCP6D, "client or server identifier missing, repeated or of bad length"},
	ForeignServer:     {"foreign_server", DHCP6D, "names another server's identifier"},
	AddressAssignment: {"address_assignment", DHCP6D, "DHCPv6 address assignment, left to another server"},
	ForbiddenOption:   {"forbidden_option", DHCP6D, "an option that the message type must not carry"},
	RateLimited:       {"rate_limited", DHCP6D, "more than the attachment point, or all together, may send"},
	Stale:             {"stale", DHCP6D, "waited, or would have, until it was of no use to its client"},
	NoBackend:         {"no_backend", DHCP6D, "no dhcp4d is there to take the query"},
	OwnerDown:         {"owner_down", DHCP6D, "the one dhcp4d that has the address is out"},
	Oversize:          {"ipc_oversize", DHCP6D, "too long once the return context is added"},
	WrongPeer:         {"wrong_peer", both, "IPC datagram from an address that is not a configured peer"},
	Unauthentic:       {"unauthentic", both, "IPC datagram unsigned, forged, stale or replayed"},
	Context:           {"ipc_context", both, "IPC datagram without a complete return context"},
	IPCType:           {"ipc_type", both, "message type that does not belong in this direction of the IPC"},
	IPCInterface:      {"ipc_interface", DHCP6D, "answer for an interface that is not served"},
	IPCDestination:    {"ipc_destination", DHCP6D, "answer to an address that no client has"},
	NotDHCPv4:         {"not_dhcpv4", DHCP4D, "the carried message breaks the DHCPv4 format"},
	NoMessageType:     {"no_message_type", DHCP4D, "no DHCP message type: BOOTP"},
	NotForServer:      {"not_for_server", DHCP4D, "DHCPv4 message type that a server does not take"},
	NoClient:          {"no_client", DHCP4D, "neither client identifier nor hardware address"},
	Contradiction:     {"contradiction", DHCP4D, "fields that no client state allows together"},
	NoSubnet:          {"no_subnet", DHCP4D, "no subnet claims the client"},
	NoAddress:         {"no_address", DHCP4D, "every address that the client may have is taken"},
	PointLimit:        {"point_limit", DHCP4D, "the attachment point holds as many addresses as it may"},
	Draining:          {"draining", DHCP4D, "the subnet takes no new client"},
	StoreError:        {"store_error", DHCP4D, "the lease could not be put on stable storage"},
	Overload:          {"queue_full", both, "more work in flight than is allowed"},
	ReplyTooBig:       {"reply_too_big", both, "the mandatory options do not fit into the reply"},
}

// Label is the reason as metrics and logs name it.
func (r Reason) Label() string {
	if r >= count {
		return fmt.Sprintf("reason_%d", uint8(r))
	}
	return table[r].label
}

// Meaning is one line for a person.
func (r Reason) Meaning() string {
	if r >= count {
		return "unknown reason"
	}
	return table[r].meaning
}

// String is the label.
func (r Reason) String() string { return r.Label() }

// Error makes a Reason an error for those who parse outside a packet loop.
// Never convert [None].
func (r Reason) Error() string { return r.Meaning() }

// Of lists the reasons that a daemon can meet, in table order.
func Of(d Daemon) []Reason {
	var rs []Reason
	for r := None + 1; r < count; r++ {
		if table[r].daemons&d != 0 {
			rs = append(rs, r)
		}
	}
	return rs
}

// Count is the number of reasons, [None] included: the length of an array
// indexed by Reason.
const Count = int(count)
