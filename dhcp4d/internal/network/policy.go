package network

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// Policy has the settings that the document's top gives for all subnets, and each subnet may
// change. Times are in seconds.
type Policy struct {
	ServerID      netip.Addr  // option 54, in no pool
	Authoritative bool        // whether clients are refused that another server may know
	PadTo300      bool        // replies are filled up to 300 octets
	IgnoreID      bool        // the hardware address alone is the client
	SkipEnds      bool        // no pool hands out an address that ends in .0 or .255
	Moves         lease.Moves // of clients to another attachment point

	Limit       uint32            // leases, offers and quarantine per attachment point, 0 = no limit
	LimitBy     *expression.Value // what the limit counts by in place of the attachment point; nil: by that
	OfferHold   uint32            // how long an OFFER holds its address
	DeclineTime uint32            // how long a declined address stays in quarantine
	Lease       LeaseTimes

	NextServer     netip.Addr // siaddr, 0.0.0.0 if not set
	ServerHostname string     // sname, at most 63 octets
	BootFileName   string     // file, at most 127 octets
}

// IsHost reports whether an address can be the IPv4 address of a host: neither "this network", nor
// multicast, reserved or broadcast.
func IsHost(a netip.Addr) bool {
	return a.Is4() && a.As4()[0] != 0 && a.As4()[0] < 224
}

// LeaseTimes are the times of a lease, [lease.Infinite] for one without end.
type LeaseTimes struct {
	lease.Times
	SendTimers bool // options 58 and 59 also to clients that did not ask for them
	Renewal    Timer
	Rebinding  Timer
}

// Timer is T1 or T2: a fixed time, or a part of the lease time.
type Timer struct {
	Seconds uint32 // 0: Part counts
	Part    uint32 // thousandths of the lease time
}

// The parts of RFC 2131 section 4.4.5.
var (
	DefaultRenewal   = Timer{Part: 500}
	DefaultRebinding = Timer{Part: 875}
)

// Of returns the timer of a lease, in seconds.
func (t Timer) Of(leaseTime uint32) uint32 {
	if t.Seconds != 0 {
		return t.Seconds
	}
	return uint32(uint64(leaseTime) * uint64(t.Part) / 1000)
}

// Timers returns T1 and T2 (options 58, 59) for a lease of the given seconds: 0 < T1 < T2 < lease.
// Fixed times that do not fit a short lease give way to the defaults. It is not ok if the lease has
// no end or is too short.
func (t *LeaseTimes) Timers(leaseTime uint32) (t1, t2 uint32, ok bool) {
	if leaseTime == lease.Infinite {
		return 0, 0, false
	}
	ascend := func() bool { return 0 < t1 && t1 < t2 && t2 < leaseTime }
	t1, t2 = t.Renewal.Of(leaseTime), t.Rebinding.Of(leaseTime)
	if !ascend() {
		t1, t2 = DefaultRenewal.Of(leaseTime), DefaultRebinding.Of(leaseTime)
	}
	return t1, t2, ascend()
}

// T2 returns when a client of a lease of the given seconds begins to rebind. It
// is the end of a lease that is too short for that.
func (t *LeaseTimes) T2(leaseTime uint32) uint32 {
	if _, t2, ok := t.Timers(leaseTime); ok {
		return t2
	}
	return leaseTime
}
