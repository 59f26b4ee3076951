package lease

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// Query is a client's message as the rules see it. The broadcast flag and the
// U flag of the DHCPV4-QUERY are not in it: no answer depends on them.
type Query struct {
	Type   dhcp4.MessageType
	Subnet int // position of the selected subnet in the running configuration

	CIAddr    netip.Addr // 0.0.0.0 or invalid: none
	Requested netip.Addr // option 50, invalid: absent
	ServerID  netip.Addr // option 54, invalid: absent
	Wish      uint32     // option 51 in seconds, meaningless without HasWish
	HasWish   bool
	V6Only    bool // option 108 is in the parameter request list
	// Times, if not zero, are the lease times of the client instead of the policy's.
	Times Times

	// Reservation is the address that the configuration keeps for this
	// client, invalid without one. ByPoint says that it belongs to the
	// attachment point, whoever the client there is.
	// ByHardware says that it belongs to a hardware address, whatever the
	// client identifier.
	Reservation         netip.Addr
	ByPoint, ByHardware bool

	// Who asks and from where; kept in the binding.
	Client []byte
	HWType byte
	HWAddr []byte
	Point  []byte
	Source netip.Addr
}

// Named is the address that the message is about: ciaddr where it is set and
// means something, else option 50; invalid without either. A DECLINE has it in
// option 50 (RFC 2131 table 5), and if not, in ciaddr.
func (q *Query) Named() netip.Addr {
	switch q.Type {
	case dhcp4.Request:
		if isSet(q.CIAddr) {
			return q.CIAddr
		}
	case dhcp4.Release:
		return q.CIAddr
	case dhcp4.Decline:
		if !isSet(q.Requested) {
			return q.CIAddr
		}
	}
	return q.Requested
}

// Times are lease times in seconds: of clients that do not ask for one, and the bounds for those
// that do. The zero value says nothing.
type Times struct{ Default, Min, Max uint32 }

// Policy is what the operator wants in one subnet. Times are in seconds.
type Policy struct {
	ServerID      netip.Addr   // option 54 of our answers
	Peers         []netip.Addr // option 54 of other dhcp4d whose clients may come here
	Authoritative bool

	Default, Min, Max uint32 // lease time; Infinite is given only where one of them is
	// T2 is when a client of a lease of so many seconds begins to rebind, in
	// seconds from the last renewal.
	T2         func(leaseTime uint32) uint32
	Hold       uint32 // how long an OFFER holds its address
	Quarantine uint32 // how long a declined address rests

	Limit       int   // leases, offers and quarantine per attachment point, 0 = any number
	Moves       Moves // of clients to another attachment point
	V6Mostly    bool  // option 108 is given to those who ask for it
	Drain       bool  // renewals only
	RecoverTill Time  // until then no new address is given out (-recovery)
}

// Moves says what becomes of the lease of a client identifier that turns up at
// another attachment point. Whoever knows the identifier of a client can
// send it, from his own place too.
type Moves uint8

// The ways. With MoveWhenSilent the lease follows only when its client should
// have renewed it and did not, that is past T2: by then a client that is
// still there has had the time from T1 on to renew. Before that its lease is
// as safe from whoever sends its identifier elsewhere as from any other
// client, and whoever does is served like a new client, with another address.
// So a client that really moved has an address at once, and a thief gets none
// but his own.
const (
	MoveWhenSilent Moves = iota
	MoveAtOnce           // the lease follows whoever sends the identifier
	MoveNever            // who sends it from elsewhere gets no answer
)

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
	ID
	Standing Standing
	InSubnet bool   // the subnet's prefix covers it
	InPool   bool   // a pool of the subnet covers it
	ForOther bool   // reserved, and not for this client
	Known    bool   // its last record is this client's (Former, Mine, and Held where it had the address before)
	Expires  Time   // end of the binding (Mine, Taken), else 0
	Changed  Time   // when the binding was last written (Mine, Taken), else 0
	After    uint64 // commit group that makes the binding durable, 0 = is durable

	// How its holder (Held to Taken) compares with who asks. What follows Place is
	// known only where it matters: where hosts share the place, and SameHW for a
	// reservation by hardware address.
	Place      attachment.Relation // of the attachment points; SamePort where nobody knows the holder's
	SameHW     bool                // hardware type and address
	SameSource bool                // IPv6 address
}

// Rank orders the addresses of one client: the binding that can go on, the
// offer, the binding that cannot, the former one; 0 is none of them.
func (a *Address) Rank(q *Query) int {
	switch {
	case a.Standing == Mine && a.allowed(q):
		return 4
	case a.Standing == Held:
		return 3
	case a.Standing == Mine:
		return 2
	case a.Standing == Former:
		return 1
	}
	return 0
}

// allowed reports whether the configuration lets the client have a.
func (a *Address) allowed(q *Query) bool {
	reserved := q.Reservation.IsValid() && a.Addr == q.Reservation
	return a.InSubnet && !a.ForOther && (a.InPool || reserved)
}

// Here reports whether the holder of a is where the query comes from. On a
// link that hosts share it may be any of them: the one with the same hardware
// address, or with the same IPv6 address.
func (a *Address) Here() bool {
	switch a.Place {
	case attachment.SamePort:
		return true
	case attachment.SameLink:
		return a.SameHW || a.SameSource
	case attachment.SeenTwice:
		return a.SameHW && a.SameSource
	}
	return false
}

// mayEnd reports whether the holder of a may end its lease from where the
// query comes from. On a link that hosts share the hardware address must
// agree; IPv6 addresses come and go (RFC 8981).
func (a *Address) mayEnd() bool { return a.Here() && (a.SameHW || a.Place == attachment.SamePort) }

// Facts is what the table knows for one query.
type Facts struct {
	// Own is what the client has where the query comes from, or last had
	// anywhere in the subnet: a binding that can go on, an offer, a binding that
	// cannot, a former one, in this order. Away is the binding and AwayOffer
	// the offer that its identifier has elsewhere.
	Own, Away, AwayOffer Address
	Named                Address // Query.Named
	Reserved             Address // Query.Reservation
	// Next is the address that a new client would get, invalid when none is
	// free. Looked up for a DISCOVER only.
	Next ID
	// AtPoint counts the leases, offers and quarantined addresses of the
	// query's attachment point.
	AtPoint int
	// Crowd counts the bindings and offers that other hosts of the same link
	// have under the client's identifier.
	Crowd int
}

// isSet tells whether a header field names an address.
func isSet(a netip.Addr) bool { return a.IsValid() && !a.IsUnspecified() }
