package network

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// Reservation is an address kept for one client or attachment point.
type Reservation struct {
	Addr netip.Addr
	For  Key
	Also []Key // other hardware addresses that may have the address while nobody else has it
	*Carried
	Refused Refusal
}

// nothing is what most reservations carry.
var nothing Carried

// ByPoint reports whether the address is for any client at an attachment point.
func (r *Reservation) ByPoint() bool { return r.For[0]&(kindPoint|kindAgent) != 0 }

// ByHardware reports whether the address is for a hardware address, with any client identifier.
func (r *Reservation) ByHardware() bool { return r.For[0]&kindHardware != 0 && !r.ByPoint() }

// Identity is what a query says about its client and its attachment point. Nil and zero values are
// absent.
type Identity struct {
	ClientID    []byte     // option 61
	HWType      byte       // htype
	HWAddr      []byte     // chaddr[:hlen]
	LinkAddress netip.Addr // of the client's link
	InterfaceID []byte     // option 18 of the relay next to the client
	RemoteID    []byte     // option 37 of it, with enterprise number
	Agent       Agent
}

// Agent is what option 82 tells of where a client is attached, if who wrote it is trusted.
type Agent struct {
	CircuitID []byte     // sub-option 1
	RemoteID  []byte     // sub-option 2
	Link      netip.Addr // sub-option 5
}

// Key identifies the holder of a reservation: a kind, and the octets of the identity for that kind.
// It is comparable, and never empty.
type Key string

// The kinds of key are bits, so that a query pays only for the kinds that a
// subnet has.
const (
	kindClient     = 1 << iota
	kindHardware   // octets: htype, address
	kindLink       // a point: link-address, and
	kindInterface  // interface-id with its length, and
	kindRemote     // remote-id, as far as given
	kindPoint      // any point
	kindAgent      // any point that option 82 tells: link, circuit and remote-id in their places
	maxIdentityKey = 1 + 16 + 2 + 2*octets.Max + 2
)

// pointKinds are the ways to name an attachment point, the most specific first.
var pointKinds = [...]uint8{
	kindLink | kindInterface | kindRemote, kindLink | kindInterface, kindLink | kindRemote,
	kindInterface | kindRemote, kindInterface, kindRemote,
}

// Key returns the key of an identity that names its client in one way: by
// client identifier, by hardware address, or by attachment point.
func (id *Identity) Key() Key {
	switch {
	case id.ClientID != nil:
		return Key(append([]byte{kindClient}, id.ClientID...))
	case id.HWAddr != nil:
		return Key(appendHardware(nil, id.HWType, id.HWAddr))
	case id.Agent.CircuitID != nil || id.Agent.RemoteID != nil:
		var kind uint8 = kindAgent
		at := id.Agent.point()
		return Key(appendPoint(nil, kind|at.pointKind(), &at))
	}
	return Key(appendPoint(nil, kindPoint|id.pointKind(), id))
}

// point is an attachment point that option 82 tells, in the terms of one that DHCPv6 tells.
func (a *Agent) point() Identity {
	return Identity{LinkAddress: a.Link, InterfaceID: a.CircuitID, RemoteID: a.RemoteID}
}

// pointKind returns the kinds of what is known of an attachment point.
func (id *Identity) pointKind() (kind uint8) {
	if id.LinkAddress.IsValid() {
		kind |= kindLink
	}
	if id.InterfaceID != nil {
		kind |= kindInterface
	}
	if id.RemoteID != nil {
		kind |= kindRemote
	}
	return kind
}

// appendPoint appends the key of an attachment point. Its length is at most
// maxIdentityKey when the identifiers have at most octets.Max.
func appendPoint(b []byte, kind uint8, id *Identity) []byte {
	b = append(b, kind)
	if kind&kindLink != 0 {
		link := id.LinkAddress.As16()
		b = append(b, link[:]...)
	}
	if kind&kindInterface != 0 {
		b = binary.BigEndian.AppendUint16(b, uint16(len(id.InterfaceID)))
		b = append(b, id.InterfaceID...)
	}
	if kind&kindRemote != 0 {
		b = append(b, id.RemoteID...)
	}
	return b
}

func appendHardware(b []byte, hwType byte, hwAddr []byte) []byte {
	return append(append(b, kindHardware, hwType), hwAddr...)
}

// Reservations are the reservations of a subnet. The zero value has none.
type Reservations struct {
	list  []Reservation // by address
	byKey map[Key]int32
	kinds uint8
}

// NewReservations makes the indexes over reservations whose addresses and keys
// are distinct. It keeps list, and sorts it.
func NewReservations(list []Reservation) Reservations {
	slices.SortFunc(list, func(a, b Reservation) int { return a.Addr.Compare(b.Addr) })
	rs := Reservations{list: list, byKey: make(map[Key]int32, len(list))}
	for i := range list {
		rs.byKey[list[i].For] = int32(i)
		for _, also := range list[i].Also {
			rs.byKey[also] = int32(i)
		}
		rs.kinds |= list[i].For[0]
		if list[i].Carried == nil {
			list[i].Carried = &nothing
		}
	}
	return rs
}

// All returns the reservations by ascending address.
func (rs *Reservations) All() []Reservation { return rs.list }

// At returns the reservation of an address, nil if it is not reserved.
func (rs *Reservations) At(a netip.Addr) *Reservation {
	i, found := slices.BinarySearchFunc(rs.list, a, func(r Reservation, a netip.Addr) int { return r.Addr.Compare(a) })
	if !found {
		return nil
	}
	return &rs.list[i]
}

// Of returns the client's reservation, nil if it has none. The client identifier comes before the
// hardware address, and that before the attachment point, first by option 82 and then by DHCPv6. It
// does not allocate.
func (rs *Reservations) Of(id *Identity) *Reservation {
	if rs.kinds == 0 {
		return nil
	}
	var scratch [maxIdentityKey]byte
	if rs.kinds&kindClient != 0 && id.ClientID != nil && len(id.ClientID) <= octets.Max {
		if r := rs.get(append(append(scratch[:0], kindClient), id.ClientID...)); r != nil {
			return r
		}
	}
	if rs.kinds&kindHardware != 0 && len(id.HWAddr) > 0 && len(id.HWAddr) <= octets.Max {
		if r := rs.get(appendHardware(scratch[:0], id.HWType, id.HWAddr)); r != nil {
			return r
		}
	}
	if rs.kinds&kindAgent != 0 {
		at := id.Agent.point()
		if r := rs.ofPoint(kindAgent, &at, &scratch); r != nil {
			return r
		}
	}
	if rs.kinds&kindPoint != 0 {
		return rs.ofPoint(kindPoint, id, &scratch)
	}
	return nil
}

// ofPoint returns the reservation of an attachment point, nil if it has none.
func (rs *Reservations) ofPoint(of uint8, id *Identity, scratch *[maxIdentityKey]byte) *Reservation {
	known := id.pointKind()
	if len(id.InterfaceID) > octets.Max {
		known &^= kindInterface
	}
	if len(id.RemoteID) > octets.Max {
		known &^= kindRemote
	}
	for _, kind := range pointKinds {
		if kind&^(known&rs.kinds) == 0 {
			if r := rs.get(appendPoint(scratch[:0], of|kind, id)); r != nil {
				return r
			}
		}
	}
	return nil
}

func (rs *Reservations) get(key []byte) *Reservation {
	if i, ok := rs.byKey[Key(key)]; ok {
		return &rs.list[i]
	}
	return nil
}
