// Package ipc is the link between dhcp6d and dhcp4d: bytes only, no socket.
//
// One UDP datagram is one DHCPv6 message. Towards dhcp4d it is the DHCPV4-QUERY as it was received,
// its relay chain included. Back comes a DHCPV4-RESPONSE in as many Relay-reply levels. Neither
// daemon keeps anything about a query. What dhcp6d needs to deliver the answer is the return
// context: it travels in a Vendor-specific Information option of the innermost message, and comes
// back in the same. The bytes are those of Kea's kea-dhcp6 and kea-dhcp4, so that either of our
// daemons works with Kea's other half.
//
// This is the option with nothing but the context in it, where n is the length of the interface
// name:
//
//	0      2   option code, 17
//	2      2   length: 34+n, and what the last three suboptions take
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
//	58+n   2   suboption, 60016: relay levels that are not believed
//	60+n   2   length, 1
//	62+n   1   number of them, from the innermost (package attachment)
//	63+n   2   suboption, 60017: options for the response
//	65+n   2   length, at most 512
//	67+n   …   options 90 and 137 (RFC 8539)
//
// The last three suboptions are ours, and Kea is not sent them. 60003 is left out for a query by
// multicast, 60016 where all levels are believed, 60017 where the client asks for no such options
// or dhcp6d has none. If the client's query has an option 17 of that enterprise, the suboptions of
// the context in it are removed, and ours go there. Else the option goes before the first option of
// a higher code: with options in ascending order the bytes are Kea's. A response holds this option
// without 60017, then option 87, then the options of 60017.
//
// A probe asks whether a dhcp4d is alive and able to serve, see [Probe].
//
// # Authentication
//
// With keys, every datagram between our daemons ends with a trailer: an Authentication option (11)
// after the last option of the outermost message, of protocol 0xfe, which is ours, and replay
// detection method 0. Its last 16 octets, the tag, authenticate everything before them. There are
// three algorithms. security.md says what they promise and why.
//
// Algorithm 2, session, is on every query, answer and notice:
//
//	0   4   option code 11, length 43
//	4   3   protocol 0xfe, algorithm 2, replay detection method 0
//	7   1   number of the sender's goroutine
//	8   7   sequence number of that goroutine, from 1
//	15  4   key id
//	19  8   session id
//	27  4   the receiver's clock as the sender heard it last, in seconds
//	31  16  tag
//
// Algorithm 3, greeting, is on full probes and their answers, from which sessions come:
//
//	0   4   option code 11, length 72
//	4   3   protocol 0xfe, algorithm 3, replay detection method 0
//	7   1   flags; bit 0: the sender has the session of the two identities
//	8   4   key id
//	12  16  identity of the sender
//	28  16  identity of the receiver, zero if the sender does not know it
//	44  8   the sender's clock, in nanoseconds, in each greeting a later time
//	52  8   the receiver's clock as the sender heard it last, in nanoseconds
//	60  16  tag
//
// Algorithm 1, HMAC, is on plain probes and their answers, and on everything else that goes to or
// comes from a daemon of a version that knows no other:
//
//	0   4   option code 11, length 43
//	4   3   protocol 0xfe, algorithm 1, replay detection method 0
//	7   8   sequence number; its first bit says that the sender knows sessions
//	15  4   key id
//	19  8   sender id, random for each goroutine that signs
//	27  4   Unix time in seconds
//	31  16  tag
//
// An identity is 16 random octets that a process draws for each peer. A clock is one that does not
// step, and counts from the start of its process.
//
// The tags, where the backend is the name of the dhcp4d of the two, in both directions, and the
// direction is the letter q towards it or r from it:
//
//	HMAC      HMAC-SHA-256 under the configured secret, of: backend, a zero octet, direction, the
//	          datagram with 16 zero octets for the tag; the first 16 octets of that
//	greeting  the same under HKDF-SHA-256(secret, no salt, "dhcp4o6 greeting", 32 octets)
//	session   AES-128 under K2 of AES-128-GMAC under K1 of: the datagram without the tag; nonce: four
//	          zero octets and the octets 7 to 14 of the trailer
//	K1, K2    HKDF-SHA-256(secret, salt: identity of dhcp6d, identity of dhcp4d,
//	          "dhcp4o6 session", a zero octet, backend, a zero octet, direction; 16 + 16 octets)
//	id        the first 8 octets of SHA-256("dhcp4o6 session", identity of dhcp6d, of dhcp4d)
package ipc
