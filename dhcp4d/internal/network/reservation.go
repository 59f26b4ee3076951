package network

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// Reservation is an address kept for one client or attachment point, or only what is carried.
type Reservation struct {
	Addr  netip.Addr // invalid: the client gets an address of the pools
	Pools []string   // names of the pools that it gets that of; nil says nothing
	For   Key
	Also  []Key // other hardware addresses that may have the address while nobody else has it
	*Carried
	Refused Refusal
}

// nothing is what most reservations carry.
var nothing Carried

// ByPoint reports whether the address is for any client at an attachment point.
func (r *Reservation) ByPoint() bool { return r.For[0]&(kindPoint|kindAgent) != 0 }

// ByFlex reports whether the address is for the value of the subnet's flexible identifier.
func (r *Reservation) ByFlex() bool { return r.For[0] == kindFlex }

// ByClass reports whether the address is for any client of a class.
func (r *Reservation) ByClass() bool { return r.For[0] == kindClass }

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
	Flex        []byte // the value of the subnet's flexible identifier
	Class       *Class // whose clients the reservation is for
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
	kindAgent      // any point that option 82 tells: link, circuit and remote-id in this order
	kindFlex       // the value of an expression
	maxIdentityKey = 1 + 16 + 2 + 2*octets.Max + 2

	// kindClass is the number of a class. It is no bit: such keys are not looked up.
	kindClass = 0
)

// pointKinds are the ways to name an attachment point, the most specific first.
var pointKinds = [...]uint8{
	kindLink | kindInterface | kindRemote, kindLink | kindInterface, kindLink | kindRemote,
	kindInterface | kindRemote, kindInterface, kindRemote,
}

// Key returns the key of an identity that names its client in one way: by
// client identifier, by hardware address, by flexible identifier, by class, or by attachment point.
func (id *Identity) Key() Key {
	switch {
	case id.ClientID != nil:
		return Key(append([]byte{kindClient}, id.ClientID...))
	case id.HWAddr != nil:
		return Key(appendHardware(nil, id.HWType, id.HWAddr))
	case id.Flex != nil:
		return Key(append([]byte{kindFlex}, id.Flex...))
	case id.Class != nil:
		return Key(binary.BigEndian.AppendUint32([]byte{kindClass}, uint32(id.Class.Number)))
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
	list  []Reservation // by address, first those without one
	byKey map[Key]int32
	kinds uint8

	flex    *expression.Value // the flexible identifier, if some reservation is for a value of it
	classes *ClassList        // of those that are for a class; nil if none is
}

// NewReservations makes the indexes over reservations whose addresses and keys are distinct. It
// keeps list, and sorts it. Flex is the subnet's flexible identifier, if there is one, and classes
// are those that reservations are for.
func NewReservations(list []Reservation, flex *expression.Value, classes []Class) Reservations {
	slices.SortFunc(list, func(a, b Reservation) int { return a.Addr.Compare(b.Addr) })
	rs := Reservations{list: list, byKey: make(map[Key]int32, len(list))}
	if len(classes) > 0 {
		rs.classes = newClassList(classes, 0, 0)
	}
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
	if rs.kinds&kindFlex != 0 {
		rs.flex = flex
	}
	return rs
}

// Asks reports whether some reservation depends on expressions, so that Of needs an evaluator.
func (rs *Reservations) Asks() bool { return rs.flex != nil || rs.classes != nil }

// All returns the reservations by ascending address.
func (rs *Reservations) All() []Reservation { return rs.list }

// At returns the reservation of an address, nil if it is not reserved.
func (rs *Reservations) At(a netip.Addr) *Reservation {
	if !a.IsValid() {
		return nil
	}
	i, found := slices.BinarySearchFunc(rs.list, a, func(r Reservation, a netip.Addr) int {
		budget.Spend(1)
		return r.Addr.Compare(a)
	})
	if !found {
		return nil
	}
	return &rs.list[i]
}

// Of returns the client's reservation, nil if it has none. The client identifier comes before the
// hardware address, then come the flexible identifier and the attachment point, first by option 82
// and then by DHCPv6, and at last the classes, the later ones first. The query is that of e; if
// that is nil, flexible identifiers and classes do not count. It does not allocate.
func (rs *Reservations) Of(id *Identity, e *expression.Evaluator) *Reservation {
	if r := rs.of(id, e); r != nil || rs.classes == nil || e == nil {
		return r
	}
	last := rs.classes.last(e)
	if last == nil {
		return nil
	}
	var scratch [maxIdentityKey]byte
	return rs.get(binary.BigEndian.AppendUint32(append(scratch[:0], kindClass), uint32(last.Number)))
}

func (rs *Reservations) of(id *Identity, e *expression.Evaluator) *Reservation {
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
	if rs.flex != nil && e != nil {
		if value, ok := rs.flex.Octets(e); ok && len(value) > 0 && len(value) <= octets.Max {
			if r := rs.get(append(append(scratch[:0], kindFlex), value...)); r != nil {
				return r
			}
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
	budget.Spend(len(key))
	if i, ok := rs.byKey[Key(key)]; ok {
		return &rs.list[i]
	}
	return nil
}
