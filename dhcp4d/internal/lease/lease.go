// Package lease decides what a DHCPv4 client may have: the rules of RFC 2131
// section 4.3 for a server that is reached through RFC 7341 only.
//
// [Decide] is a pure function. It gets the message as plain values ([Query]),
// what the operator wants ([Policy]), what the table knows ([Facts]) and the
// time, and returns the answer and the one change to be made ([Decision]).
// There is no clock here, no lock, no disk and no allocation; whoever calls
// it looks up the facts before and applies the change after, under one lock.
package lease

import (
	"math"
	"net/netip"
)

// Time is a moment in seconds, on the time line of the store: see package clock. It begins as Unix
// time. What people see, and what files hold, is converted to Unix time: there Time is the wall
// clock.
type Time int64

// Never is the end of an infinite lease: later than any clock.
const Never Time = math.MaxInt64

// Infinite is a lease time without end (RFC 2131 section 3.3).
const Infinite uint32 = math.MaxUint32

// After is the moment that lies seconds after t, Never for [Infinite].
func (t Time) After(seconds uint32) Time {
	if seconds == Infinite {
		return Never
	}
	return t + Time(seconds)
}

// PortSet is the part of an address's ports that a binding covers
// (RFC 7618). Zero is all of them. Nothing else is given out yet.
type PortSet uint32

// AllPorts is the set of a binding that shares its address with nobody.
const AllPorts PortSet = 0

// ID is the identity of a lease: an IPv4 address, and the part of its ports that the lease is of. A
// client holds an ID, no two clients hold the same one. It is comparable.
type ID struct {
	Addr  netip.Addr
	Ports PortSet
}

// State is what a binding's record says.
type State uint8

// The states. A bound binding whose Expires has passed is expired; there is
// no state of its own for it, so that a lease ends without a write.
const (
	NoState  State = iota
	Offered        // held in memory for a client that was sent an OFFER; never on disk
	Bound          // acknowledged
	Released       // given back by its client, which may have it again
	Declined       // in quarantine until Expires, since its client met it in use
)

// String is the state as logs and the API show it.
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

// Binding is the record of one identity. Subnet is the configured id. Its byte slices belong to
// whoever made it.
type Binding struct {
	ID
	Subnet uint32
	State  State
	// Client is the key of the client: see [AppendKey].
	Client []byte
	// HWType and HWAddr are htype and chaddr[:hlen] of the last message.
	HWType byte
	HWAddr []byte
	// Point is the attachment point (package attachment). It is empty where it
	// is not known, in a lease that came from another server or from the
	// operator; the first query of the client then tells it.
	Point []byte
	// Source is the IPv6 address of the client as the relay nearest to it,
	// or dhcp6d where there is none, saw it.
	Source netip.Addr
	// Start is when the client was given the address, Changed when the
	// record was last written, Expires when the binding or the quarantine
	// ends.
	Start, Changed, Expires Time
}

// Over is the time by which what has ended by then is over, at the time now. A binding lasts
// through the second in which it expires: Time has no fractions, and a client counts its lease from
// a moment up to a second later than Changed says.
func (t Time) Over() Time { return t - 1 }

// Moved is b with its times moved on by seconds, as from the time of leases to the wall clock. An
// infinite lease stays infinite.
func (b Binding) Moved(by Time) Binding {
	b.Start, b.Changed = b.Start+by, b.Changed+by
	if b.Expires != Never {
		b.Expires += by
	}
	return b
}

// Batch gathers the records of one commit group and owns their bytes.
// The zero value is ready; Reset makes it empty and keeps the memory.
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
	g.Records = append(g.Records, r)
}

// Reset forgets the records; slices that they held are invalid.
func (g *Batch) Reset() {
	g.Records = g.Records[:0]
	g.bytes = g.bytes[:0]
}

// keep copies p. When bytes moves to a larger array the records made before
// keep the old one.
func (g *Batch) keep(p []byte) []byte {
	n := len(g.bytes)
	g.bytes = append(g.bytes, p...)
	return g.bytes[n:len(g.bytes):len(g.bytes)]
}
