// Package drop is the closed list of reasons for which a datagram is discarded.
//
// A function that discards a datagram returns a [Reason], and the loop that read the datagram
// counts it. A reason costs no allocation and holds nothing of the packet. Parsers return it in
// place of an error, and it is one.
//
// To add a reason: add the constant and its row in table, in the same order, and a datagram
// that meets it to TestAccount of its daemon's server package. docs/metrics.md follows by
// go test ./test/monitoring -run AsListed -update.
package drop

// Reason is why a datagram was discarded. The zero value, [None], means that it was not.
type Reason uint8

// The reasons, in the order in which a datagram meets the checks. The table below says what each
// means.
const (
	None Reason = iota

	// Either socket of either daemon.
	Truncated
	Malformed
	UnknownType
	ServerMessage
	RelayMessage
	RelayDepth
	HopLimit
	NoMessage
	ManyMessages
	ShortMessage
	LongMessage
	ManyOptions
	NoCookie
	Hook
	HookPanic
	HookTimeout
	HookFull
	HookVerdict
	SendError

	// dhcp6d, link.
	Interface
	Source
	Destination
	UnicastForbidden
	RelayForbidden
	Identifier
	ForeignServer
	AddressAssignment
	ForbiddenOption
	RateLimited
	Stale
	NoBackend
	OwnerDown
	Oversize
	NoSession
	ReplySource
	ReplyContext
	ReplyMessage
	ReplyInterface

	// IPC, both daemons.
	WrongPeer
	Unauthentic
	Context
	IPCType
	IPCInterface
	IPCDestination

	// dhcp4d.
	NotDHCPv4
	NoMessageType
	NotForServer
	NoClient
	NoSubnet
	ClassRefused
	NoAddress
	PointLimit
	Draining
	StoreError
	LeaseRefused
	LeaseChanged
	QueueFull
	ReplyTooBig

	count
)

var table = Table[Reason]{
	None:              {"none", 0, "not dropped"},
	Truncated:         {"truncated", both, "longer than the receive buffer"},
	Malformed:         {"malformed", both, "an option or header runs past its container"},
	UnknownType:       {"unknown_type", DHCP6D, "unknown DHCPv6 message type"},
	ServerMessage:     {"server_message", DHCP6D, "message type that only servers send"},
	RelayMessage:      {"relay_message", both, "relay level without exactly one usable Relay Message option"},
	RelayDepth:        {"relay_depth", both, "more than nine relay levels"},
	HopLimit:          {"hop_limit", both, "hop-count above eight, or one of eight in a message to pass on"},
	NoMessage:         {"no_dhcpv4_msg", both, "DHCPV4-QUERY without option 87"},
	ManyMessages:      {"multiple_dhcpv4_msg", both, "several options 87"},
	ShortMessage:      {"dhcpv4_msg_too_short", both, "option 87 shorter than 240 octets"},
	LongMessage:       {"dhcpv4_msg_too_long", both, "option 87 longer than 4096 octets"},
	ManyOptions:       {"too_many_options", both, "more than 255 options in the DHCPv6 message or in a relay level"},
	NoCookie:          {"no_cookie", both, "option 87 without the DHCPv4 magic cookie"},
	Hook:              {"hook", both, "dropped by a hook"},
	HookPanic:         {"hook_panic", both, "a hook panicked"},
	HookTimeout:       {"hook_timeout", DHCP4D, "the program outside has given no verdict in time, and without one the query is dropped"},
	HookFull:          {"hook_full", DHCP4D, "too many queries wait for the program outside: of the client, of its attachment point, or in all"},
	HookVerdict:       {"hook_verdict", DHCP4D, "the verdict of the program outside gives an address or a pool that the client cannot have"},
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
	NoSession:         {"no_session", DHCP6D, "the dhcp4d, or dhcp6d, has just started and they have no session yet"},
	ReplySource:       {"reply_source", DHCP6D, "Relay-reply from an address of no configured DHCPv6 server"},
	ReplyContext:      {"reply_context", DHCP6D, "Relay-reply for a client or relay that dhcp6d never passed a message on for"},
	ReplyMessage:      {"reply_message", DHCP6D, "Relay-reply with a message that no DHCPv6 server sends there"},
	ReplyInterface:    {"reply_interface", DHCP6D, "Relay-reply for an interface that is not served"},
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
	NoSubnet:          {"no_subnet", DHCP4D, "no subnet claims the client"},
	ClassRefused:      {"class_refused", DHCP4D, "the client's class, reservation or pool turns it away"},
	NoAddress:         {"no_address", DHCP4D, "every address that the client may have is taken"},
	PointLimit:        {"point_limit", DHCP4D, "the attachment point holds as many addresses as it may"},
	Draining:          {"draining", DHCP4D, "the subnet takes no new client"},
	StoreError:        {"store_error", DHCP4D, "the lease could not be put on stable storage"},
	LeaseRefused:      {"lease_refused", DHCP4D, "the lease store has the address for another client, who came first"},
	LeaseChanged:      {"lease_changed", DHCP4D, "another dhcp4d has changed the lease, or could not be asked, while a NAK was made; the client asks again"},
	QueueFull:         {"queue_full", both, "more work in flight than is allowed"},
	ReplyTooBig:       {"reply_too_big", both, "the mandatory options do not fit into the reply"},
}

// Label returns the name of the reason in metrics and logs.
func (r Reason) Label() string { return table.Label(r) }

// Meaning returns one line for a person.
func (r Reason) Meaning() string { return table.Meaning(r) }

// String returns the label.
func (r Reason) String() string { return r.Label() }

// Error returns the meaning: a Reason is an error outside packet loops. Never convert [None].
func (r Reason) Error() string { return r.Meaning() }

// Of returns the reasons that a daemon can meet, in table order.
func Of(d Daemon) []Reason { return table.Of(d) }

// Count is the number of reasons with [None]: the length of an array indexed by Reason.
const Count = int(count)
