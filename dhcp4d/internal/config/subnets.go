package config

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
)

// Infinite is the lease time that never ends (RFC 2131 section 3.3).
const Infinite = 0xffffffff

// Subnets is a compiled subnets document.
type Subnets struct {
	All []Subnet // in the order of the document
}

// ByID returns the subnet with an id, nil if there is none.
func (s *Subnets) ByID(id uint32) *Subnet { return nil }

// Containing returns the subnet that an IPv4 address lies in, nil if none.
func (s *Subnets) Containing(a netip.Addr) *Subnet { return nil }

// Subnet is one subnet with all that decides about its leases. Times are
// seconds. Everything is filled in: defaults, the document's top level and
// the environment are merged.
type Subnet struct {
	ID            uint32
	Prefix        netip.Prefix
	ServerID      netip.Addr // option 54, in no pool (D4-6)
	Authoritative bool       // D4-21, D4-22
	Drain         bool       // renewals only
	PadTo300      bool       // D4-38

	Limit       uint32 // leases, offers and quarantine per attachment point, 0 = no limit
	OfferHold   uint32 // how long an OFFER holds its address (D4-15)
	DeclineTime uint32 // how long a declined address is kept back (D4-23)
	Lease       LeaseTimes

	NextServer     netip.Addr // siaddr, 0.0.0.0 if not set
	ServerHostname string     // sname, at most 63 octets
	BootFileName   string     // file, at most 127 octets

	Pools []Pool
	Match []Match

	options      *option.Set // global, laid over by the subnet's
	reservations reservations
}

// LeaseTimes are the times of a lease (D4-28, D4-29).
type LeaseTimes struct {
	Default, Min, Max uint32
	SendTimers        bool // 58 and 59 also to clients that did not ask
	Renewal           Timer
	Rebinding         Timer
}

// Timer is T1 or T2: a fixed time, or a part of the lease time.
type Timer struct {
	Seconds uint32 // 0: by Part
	Part    uint32 // in thousandths of the lease time
}

// Timers returns T1 and T2 (options 58, 59) for a lease of the given seconds,
// T1 < T2 < lease; ok is false when the lease is infinite or too short for
// them.
func (t *LeaseTimes) Timers(lease uint32) (t1, t2 uint32, ok bool) { return 0, 0, false }

// Pool is a set of addresses to hand out: its ranges ascend, do not overlap,
// and hold neither exclusions nor server identifiers. Reserved addresses are
// not cut out: see [Subnet.Reserved].
type Pool struct {
	Ranges  []Range
	Size    uint64 // number of addresses in Ranges
	Options *option.Set
}

// Range is a run of IPv4 addresses, both ends included.
type Range struct{ First, Last netip.Addr }

// Match is one entry of a subnet's match list: all keys that are set must
// hold. Zero values are keys that are not there.
type Match struct {
	Prefix       netip.Prefix // of the IPv6 source address
	Interface    string
	InterfaceID  []byte
	RemoteID     []byte // enterprise number and identifier, as in option 37
	SubscriberID []byte
	LinkAddress  netip.Prefix
	Peer         string // name of a dhcp6d
	TrustInner   bool   // D4-12 steps 1 to 3 count for these queries and this subnet
}

// Reservation is an address kept for one client or attachment point.
type Reservation struct {
	Addr    netip.Addr
	Options *option.Set // own options only, nil if none
}

type reservations struct{}

// Identity is what a query tells about its client, for [Subnet.Reservation].
type Identity struct {
	ClientID    []byte     // option 61, nil if absent
	HWType      byte       // htype
	HWAddr      []byte     // chaddr[:hlen]
	LinkAddress netip.Addr // as in subnet.Facts
	InterfaceID []byte     // of the innermost relay level
	RemoteID    []byte     // of the innermost relay level, with enterprise number
}

// Reservation returns the client's reservation, nil if it has none. The most
// specific wins: by client identifier, hardware address, then attachment point.
// It does not allocate.
func (s *Subnet) Reservation(id *Identity) *Reservation { return nil }

// Reserved returns the reservation of an address, nil if it is not reserved.
func (s *Subnet) Reserved(a netip.Addr) *Reservation { return nil }

// PoolOf returns the index of the pool that holds an address, -1 if none does.
func (s *Subnet) PoolOf(a netip.Addr) int { return -1 }

// Traits are what classes look at. Nil values are absent.
type Traits struct {
	VendorClass []byte // option 60
	UserClass   []byte // option 77
	HWAddr      []byte // chaddr[:hlen]
}

// Options returns what a client sees, without allocation: global < subnet <
// pool < classes < reservation. Pool is an index or -1, r may be nil.
func (s *Subnet) Options(t *Traits, pool int, r *Reservation) option.Layers {
	return option.Layers{Base: s.options}
}

// Defaults are what the environment says for subnets that do not say it
// themselves.
type Defaults struct {
	ServerID      netip.Addr   // zero: first usable address of each subnet
	PeerServerIDs []netip.Addr // never handed out
	Authoritative bool
	LeaseTime     uint32
	OfferHold     uint32
	DeclineTime   uint32
	Peers         []string // names a match entry's peer may have
}

// ParseSubnets compiles a subnets document. The error, if any, joins every
// mistake of the document.
func ParseSubnets(doc []byte, d Defaults) (*Subnets, error) { return &Subnets{}, nil }
