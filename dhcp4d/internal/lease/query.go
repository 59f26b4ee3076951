package lease

import "net/netip"

// The values of option 53 that a server takes (RFC 2132 section 9.6).
const (
	TypeDiscover byte = 1
	TypeRequest  byte = 3
	TypeDecline  byte = 4
	TypeRelease  byte = 7
	TypeInform   byte = 8
)

// Query is a client's message as the rules see it. The broadcast flag and the
// U flag of the DHCPV4-QUERY are not in it: no answer depends on them.
type Query struct {
	Type   byte // option 53
	Subnet int  // position of the selected subnet in the running configuration

	CIAddr    netip.Addr // 0.0.0.0 or invalid: none
	Requested netip.Addr // option 50, invalid: absent
	ServerID  netip.Addr // option 54, invalid: absent
	Wish      uint32     // option 51 in seconds, meaningless without HasWish
	HasWish   bool
	V6Only    bool // option 108 is in the parameter request list

	// Reservation is the address that the configuration keeps for this
	// client, invalid without one. ByPoint says that it belongs to the
	// attachment point, whoever the client there is.
	Reservation netip.Addr
	ByPoint     bool

	// Who asks and from where; kept in the binding.
	Client []byte
	HWType byte
	HWAddr []byte
	Point  []byte
	Source netip.Addr
}

// Named is the address that the message is about: ciaddr where it is set and
// means something, else option 50; invalid without either.
func (q *Query) Named() netip.Addr {
	switch q.Type {
	case TypeRequest:
		if isSet(q.CIAddr) {
			return q.CIAddr
		}
	case TypeRelease:
		return q.CIAddr
	}
	return q.Requested
}

// Policy is what the operator wants in one subnet. Times are in seconds.
type Policy struct {
	ServerID      netip.Addr   // option 54 of our answers
	Peers         []netip.Addr // option 54 of other dhcp4d whose clients may come here
	Authoritative bool

	Default, Min, Max uint32 // lease time; Infinite is given only where one of them is
	Hold              uint32 // how long an OFFER holds its address
	Quarantine        uint32 // how long a declined address rests

	Limit       int  // leases, offers and quarantine per attachment point, 0 = any number
	RefuseMoves bool // a known client at another attachment point gets no answer
	V6Mostly    bool // option 108 is given to those who ask for it
	Drain       bool // renewals only
	RecoverTill Time // until then no new address is given out (-recovery)
}

// Standing is how an address stands to the client who asks.
type Standing uint8

// The standings. All but Unnamed and Outside lie in the subnet's prefix, or
// belong to a binding of the subnet.
const (
	Unnamed     Standing = iota // there is no address
	Outside                     // not in the subnet
	Free                        // nobody's
	Former                      // nobody's, and this client had it last
	Held                        // offered to this client
	Mine                        // bound to this client
	OfferedAway                 // offered to another client
	Taken                       // bound to another client
	Quarantined                 // declined
)

// Address is what the table knows of one address, seen by the client who
// asks.
type Address struct {
	Addr      netip.Addr
	Standing  Standing
	InSubnet  bool   // the subnet's prefix covers it
	InPool    bool   // a pool of the subnet covers it
	ForOther  bool   // reserved, and not for this client
	Known     bool   // its last record is this client's (Former, Mine, and Held where it had the address before)
	SamePoint bool   // its holder (Held to Taken) got it at the query's attachment point, or nobody knows where
	Expires   Time   // end of the binding (Mine, Taken), else 0
	After     uint64 // commit group that makes the binding durable, 0 = is durable
}

// Facts is what the table knows for one query.
type Facts struct {
	// Own is what the client has, or last had, in the subnet: a binding that
	// can go on, an offer, a binding that cannot, a former one, in this order.
	Own      Address
	Named    Address // Query.Named
	Reserved Address // Query.Reservation
	// Next is the address that a new client would get, invalid when none is
	// free. Looked up for a DISCOVER only.
	Next netip.Addr
	// AtPoint counts the leases, offers and quarantined addresses of the
	// query's attachment point.
	AtPoint int
}

// isSet tells whether a header field names an address.
func isSet(a netip.Addr) bool { return a.IsValid() && !a.IsUnspecified() }
