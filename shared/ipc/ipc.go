// Package ipc is the link between dhcp6d and dhcp4d: bytes only, no socket.
//
// One UDP datagram is one DHCPv6 message. Towards dhcp4d it is the
// DHCPV4-QUERY as it was received, its relay chain included; back comes a
// DHCPV4-RESPONSE in as many Relay-reply levels. Neither daemon keeps anything
// about a query: what dhcp6d needs to deliver the answer, the return context,
// travels in a Vendor-specific Information option of the innermost message and
// comes back in the same. The bytes are those of Kea's kea-dhcp6 and
// kea-dhcp4, so that either of our daemons works with Kea's other half.
//
// The option, where n is the length of the interface name and nothing but the
// context is in it:
//
//	0      2   option code, 17
//	2      2   length, 34+n (54+n with the local address)
//	4      4   enterprise, 2495 (ISC)
//	8      2   suboption, 60000: interface that received the query
//	10     2   length, n
//	12     n   name, ASCII without NUL
//	12+n   2   suboption, 60001: source address of the query
//	14+n   2   length, 16
//	16+n   16  address, of the outermost relay or else of the client
//	32+n   2   suboption, 60002: source port of the query
//	34+n   2   length, 2
//	36+n   2   port
//	38+n   2   suboption, 60003: destination of a unicast query
//	40+n   2   length, 16
//	42+n   16  address
//
// The last suboption is ours; Kea is not sent it. In a query the option goes
// into the client's own option 17 of that enterprise when there is one (less
// any of these suboptions that it contains), else before the first option of a
// higher code: with options in ascending order the bytes are Kea's. A response
// holds this option and then option 87, nothing else.
//
// A probe is the four octets 14 00 00 00, its answer 15 00 00 00.
//
// With keys, every datagram between our daemons, probes included, ends with an
// Authentication option after the last option of the outermost message:
//
//	0   2   option code, 11
//	2   2   length, 43
//	4   1   protocol, 0xfe
//	5   1   algorithm, 1: the first 16 octets of HMAC-SHA256
//	6   1   replay detection method, 0
//	7   8   sequence number, increasing per sender id
//	15  4   key id
//	19  8   sender id, random at each start
//	27  4   Unix time in seconds
//	31  16  HMAC
//
// The HMAC is over the backend's name, a zero octet, the direction ('q'
// towards the backend, 'r' from it) and the whole datagram, its last 16 octets
// taken as zero. The backend is the dhcp4d of the two, in both directions.
package ipc
