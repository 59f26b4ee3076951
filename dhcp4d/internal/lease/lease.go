// Package lease decides which answer and which lease a DHCPv4 client gets: the rules of RFC 2131
// section 4.3, for a server that only RFC 7341 reaches.
//
// [Decide] is a pure function. It takes the message as plain values ([Query]), the settings of the
// operator ([Policy]), what the table knows ([Facts]) and the time. It returns the answer and the
// one change to make ([Decision]). It uses no clock, no lock, no disk, and does not allocate. Its
// caller looks up the facts before and applies the change after it, under one lock.
package lease

import (
	"math"
	"net/netip"
)

// Time is a moment in seconds on the time line of the store: see package clock. The time line
// begins as Unix time. For people and for files it is converted to Unix time: there a Time is that
// of the wall clock.
type Time int64

// Never is the end of an infinite lease: later than any clock.
const Never Time = math.MaxInt64

// Infinite is a lease time without end (RFC 2131 section 3.3).
const Infinite uint32 = math.MaxUint32

// After returns the moment that is seconds after t, Never for [Infinite].
func (t Time) After(seconds uint32) Time {
	if seconds == Infinite {
		return Never
	}
	return t + Time(seconds)
}

// PortSet is the part of an address's ports that a binding covers (RFC 7618). Zero means all ports.
// No other value is given out yet.
type PortSet uint32

// AllPorts is the port set of a binding that does not share its address.
const AllPorts PortSet = 0

// ID is the identity of a lease: an IPv4 address and the part of its ports that the lease covers.
// No two clients hold the same ID. It is comparable.
type ID struct {
	Addr  netip.Addr
	Ports PortSet
}

// State is the state in a binding's record.
type State uint8

// The states. A bound binding whose Expires has passed is expired. It has no state of its own, so
// that a lease ends without a write.
const (
	NoState  State = iota
	Offered        // held in memory for a client that was sent an OFFER; never on disk
	Bound          // acknowledged
	Released       // given back by its client, which may have it again
	Declined       // in quarantine until Expires, because its client found it in use
)

// String returns the state as in logs and in the API.
func (s State) String() string {
	switch s {
	case Offered:
		return "offered"
	case Bound:
		return "bound"
	case Released:
		return "released"
	case Declined:
		return "declined"
	}
	return "none"
}

// Binding is the record of one identity. Subnet is the configured id. The byte slices belong to the
// code that made the binding.
type Binding struct {
	ID
	Subnet uint32
	State  State
	// Client is the key of the client: see [AppendKey].
	Client []byte
	// HWType and HWAddr are htype and chaddr[:hlen] of the last message.
	HWType byte
	HWAddr []byte
	// Point is the attachment point (package attachment). It is empty if it is not known: in a
	// lease from another server or from the operator, until the client's first query.
	Point []byte
	// RemoteID is the Remote-Id that the lease keeps beside Point: see [BesidePoint]. It is that of
	// the query that bound the lease or last renewed it.
	RemoteID []byte
	// Source is the IPv6 address of the client, as seen by the relay nearest to it, or by dhcp6d if
	// there is no relay.
	Source netip.Addr
	// Start is when the client got the address, Changed when the record was last written, and
	// Expires when the binding or the quarantine ends.
	Start, Changed, Expires Time
}

// Over returns the time to compare with Expires at the time t: a binding is over if it expires at
// Over or before. A binding lasts through the second in which it expires, because Time has no
// fractions, and a client counts its lease from a moment up to a second after Changed.
func (t Time) Over() Time { return t - 1 }

// Moved returns b with all its times moved by so many seconds, such as from the time of leases to
// the wall clock. An infinite lease stays infinite.
func (b Binding) Moved(by Time) Binding {
	b.Start, b.Changed = b.Start+by, b.Changed+by
	if b.Expires != Never {
		b.Expires += by
	}
	return b
}

// Batch has the records of one commit group and owns their bytes. The zero value is ready for use.
// Reset empties it and keeps the memory.
type Batch struct {
	Records []Binding
	bytes   []byte
}

// Add appends a copy of b.
func (g *Batch) Add(b *Binding) {
	r := *b
	r.Client = g.keep(b.Client)
	r.HWAddr = g.keep(b.HWAddr)
	r.Point = g.keep(b.Point)
	r.RemoteID = g.keep(b.RemoteID)
	g.Records = append(g.Records, r)
}

// Reset forgets the records. Their slices are invalid from then on.
func (g *Batch) Reset() {
	g.Records = g.Records[:0]
	g.bytes = g.bytes[:0]
}

// keep returns a copy of p. When bytes moves to a larger array, earlier records keep the old one.
func (g *Batch) keep(p []byte) []byte {
	n := len(g.bytes)
	g.bytes = append(g.bytes, p...)
	return g.bytes[n:len(g.bytes):len(g.bytes)]
}
