package lease

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// Query is a client's message in the terms of the rules. The broadcast flag and the U flag of the
// DHCPV4-QUERY are not in it, because no answer depends on them.
type Query struct {
	Type   dhcp4.MessageType
	Subnet int // position of the selected subnet in the configuration in effect

	CIAddr    netip.Addr // 0.0.0.0 or invalid: none
	Requested netip.Addr // option 50, invalid: absent
	ServerID  netip.Addr // option 54, invalid: absent
	Wish      uint32     // option 51 in seconds, meaningless without HasWish
	HasWish   bool
	V6Only    bool // option 108 is in the parameter request list
	// Times, if not zero, replace the lease times of the pool and of the policy for this client.
	Times Times
	// Groups are those of the subnet's pools whose addresses the client may get, ascending. Nil is
	// all of them.
	Groups []int32

	// Reservation is the address that the configuration reserves for this client. It is invalid if
	// there is none. ByPoint means that it is reserved for the attachment point, for any client
	// there. ByHardware means that it is reserved for a hardware address, with any client
	// identifier. ByFlex means that it is reserved for the value of an expression, with any client
	// identifier.
	Reservation                 netip.Addr
	ByPoint, ByHardware, ByFlex bool
	// Ordered means that hooks have chosen Reservation: the client gets that address or none.
	Ordered bool
	// Shared means that other processes use the store too. A record of this binding may wait in one
	// of them. So a renewal that changes nothing is written as well, and the store judges it.
	Shared bool

	// The client and where it is. The binding keeps this.
	Client []byte
	// Alias, if not nil, is another key by which leases of the client may be known: that of its
	// client identifier, where the hardware address is the client. While a lease of that key and of
	// the same hardware address is in force, the table knows the client by it, and puts it into
	// Client.
	Alias  []byte
	HWType byte
	HWAddr []byte
	Point  []byte
	// RemoteID is kept with the binding, see [BesidePoint].
	RemoteID []byte
	Source   netip.Addr
}

// Named returns the address that the message is about: ciaddr if it is set and has a meaning in
// this message, else option 50. It is invalid if there is neither. A DECLINE has it in option 50
// (RFC 2131 table 5), else in ciaddr. A RELEASE has it in ciaddr, else in option 50.
func (q *Query) Named() netip.Addr {
	switch q.Type {
	case dhcp4.Request, dhcp4.Release:
		if isSet(q.CIAddr) {
			return q.CIAddr
		}
	case dhcp4.Decline:
		if !isSet(q.Requested) {
			return q.CIAddr
		}
	}
	return q.Requested
}

// Times are lease times in seconds: the default for clients that do not ask for one, and the bounds
// for those that do. The zero value means that none are given.
type Times struct{ Default, Min, Max uint32 }

// Policy has the operator's settings for one subnet. Times are in seconds.
type Policy struct {
	ServerID      netip.Addr   // option 54 of our answers
	Peers         []netip.Addr // option 54 of other dhcp4d whose clients may come here
	Authoritative bool

	Times // a lease is infinite only if one of them is
	// T2 returns when a client begins to rebind, in seconds from its last renewal.
	T2         func(leaseTime uint32) uint32
	Hold       uint32 // how long an OFFER holds its address
	Quarantine uint32 // how long a declined address stays in quarantine

	Limit       int   // most leases, offers and quarantines at an attachment point, 0 = no limit
	Moves       Moves // of clients to another attachment point
	V6Mostly    bool  // option 108 is sent to clients that ask for it
	Drain       bool  // leases are renewed, but no new ones are given
	RecoverTill Time  // no new address is given out before this time (DHCP4D_RECOVERY)
	// RecoverFrom is when dhcp4d started to recover. What was written until then may be outdated.
	RecoverFrom Time
}

// Moves is the policy for a client identifier that appears at another attachment point than its
// lease. Anyone who knows the identifier of a client can send it from anywhere.
type Moves uint8

// The policies. With MoveWhenSilent, the lease follows only if its client has not renewed it by T2:
// a client that is still there has had the time since T1 to renew. Before T2, a client with the
// same identifier elsewhere is served like a new client, with another address. So a client that
// really moved has an address at once, and a thief cannot get the client's address.
const (
	MoveWhenSilent Moves = iota
	MoveAtOnce           // the lease follows the identifier at once
	MoveNever            // the identifier gets no answer elsewhere
)

// Standing is the relation of an address to the client of a query.
type Standing uint8

// The standings. All but Unnamed and Outside lie in the subnet's prefix, or belong to a binding of
// the subnet.
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

// Address is what the table knows about one address, in relation to the client of a query.
type Address struct {
	ID
	Standing Standing
	InSubnet bool   // the subnet's prefix covers it
	InPool   bool   // a pool of the subnet covers it
	ForOther bool   // reserved, and not for this client
	Barred   bool   // the pool is none that the client may get an address of
	Times    Times  // of the pool, zero if it says none
	Known    bool   // its last record is this client's (Former, Mine, and Held where it had the address before)
	Expires  Time   // end of the binding (Mine, Taken), else 0
	Changed  Time   // when the binding was last written (Mine, Taken), else 0
	After    uint64 // commit group that makes the binding durable; 0: it is durable

	// How its holder (Held to Taken) compares with the client of the query. The fields after Place
	// are set only where they matter: where hosts share the place, and SameHW also for a
	// reservation by hardware address.
	Place      attachment.Relation // of the attachment points; SamePort if the holder's is not known
	SameHW     bool                // hardware type and address
	SameSource bool                // IPv6 address
}

// Rank orders the addresses of one client: a binding that can be renewed, an offer, a binding that
// cannot be renewed, a former one. 0 is none of these.
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
	given := a.InPool && (!a.Barred || a.renewedBy(q))
	return a.InSubnet && !a.ForOther && (given || reserved)
}

// renewedBy reports whether q renews the binding a. Its client keeps the address, whatever pools it
// could get a new one of now: a renewal may say less of the client than its first messages did.
func (a *Address) renewedBy(q *Query) bool {
	return a.Standing == Mine && q.Type == dhcp4.Request && isSet(q.CIAddr)
}

// Here reports whether the holder of a is where the query comes from. On a link that hosts share,
// the holder must also have the same hardware address or the same IPv6 address.
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

// mayEnd reports whether the query may end the lease of a's holder. On a link that hosts share, the
// hardware address must agree: IPv6 addresses come and go (RFC 8981).
func (a *Address) mayEnd() bool { return a.Here() && (a.SameHW || a.Place == attachment.SamePort) }

// Facts are what the table knows for one query.
type Facts struct {
	// Own is the client's address where the query comes from, or the last one that it had anywhere
	// in the subnet: the first by Rank. Away is the binding, and AwayOffer the offer, of its
	// identifier at another attachment point.
	Own, Away, AwayOffer Address
	Named                Address // Query.Named
	Reserved             Address // Query.Reservation
	// Next is the address that a new client would get. It is invalid if none is free, or if the
	// query is no DISCOVER.
	Next      ID
	NextTimes Times // of its pool
	// AtPoint counts the leases, offers and quarantined addresses of the query's attachment point.
	AtPoint int
	// Crowd counts the bindings and offers that other hosts of the same link have under the
	// client's identifier.
	Crowd int
}

// isSet reports whether a header field has an address.
func isSet(a netip.Addr) bool { return a.IsValid() && !a.IsUnspecified() }
