package config

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
)

// Reservation is an address kept for one client or attachment point.
type Reservation struct {
	Addr    netip.Addr
	Options *option.Set // own options only, nil if none
	ByPoint bool        // for whoever is at an attachment point
}

// Identity is what a query tells about its client and where it is attached.
// Nil and zero values are absent.
type Identity struct {
	ClientID    []byte     // option 61
	HWType      byte       // htype
	HWAddr      []byte     // chaddr[:hlen]
	LinkAddress netip.Addr // of the innermost relay level with a usable one
	InterfaceID []byte     // option 18 of the innermost relay level
	RemoteID    []byte     // option 37 of the innermost relay level, with enterprise number
}

// reservations are those of a subnet. A key is a kind and the identity's
// octets; the kinds are also bits of kinds, so that a query pays only for the
// kinds that exist.
type reservations struct {
	list  []Reservation // by address
	byKey map[string]int32
	kinds uint8
}

const (
	kindClient     = 1 << iota
	kindHardware   // octets: htype, address
	kindLink       // a point: link-address, and
	kindInterface  // interface-id with its length, and
	kindRemote     // remote-id, as far as given
	kindPoint      // any point
	maxIdentityKey = 1 + 16 + 2 + 2*MaxOctets + 2
)

// pointKinds are the ways to name an attachment point, the most specific first.
var pointKinds = [...]uint8{
	kindLink | kindInterface | kindRemote, kindLink | kindInterface, kindLink | kindRemote,
	kindInterface | kindRemote, kindInterface, kindRemote,
}

// appendPoint appends the key of an attachment point. Its length is at most
// maxIdentityKey when the identifiers have at most MaxOctets.
func appendPoint(b []byte, kind uint8, id *Identity) []byte {
	b = append(b, kindPoint|kind)
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

// Reservation returns the client's reservation, nil if it has none. The
// client identifier goes before the hardware address, and that before the
// attachment point. It does not allocate.
func (s *Subnet) Reservation(id *Identity) *Reservation {
	rs := &s.reservations
	if rs.kinds == 0 {
		return nil
	}
	var scratch [maxIdentityKey]byte
	if rs.kinds&kindClient != 0 && id.ClientID != nil && len(id.ClientID) <= MaxOctets {
		if r := rs.get(append(append(scratch[:0], kindClient), id.ClientID...)); r != nil {
			return r
		}
	}
	if rs.kinds&kindHardware != 0 && len(id.HWAddr) > 0 && len(id.HWAddr) <= MaxOctets {
		if r := rs.get(appendHardware(scratch[:0], id.HWType, id.HWAddr)); r != nil {
			return r
		}
	}
	if rs.kinds&kindPoint == 0 {
		return nil
	}
	var known uint8
	if id.LinkAddress.IsValid() {
		known |= kindLink
	}
	if id.InterfaceID != nil && len(id.InterfaceID) <= MaxOctets {
		known |= kindInterface
	}
	if id.RemoteID != nil && len(id.RemoteID) <= MaxOctets {
		known |= kindRemote
	}
	for _, kind := range pointKinds {
		if kind&^(known&rs.kinds) == 0 {
			if r := rs.get(appendPoint(scratch[:0], kind, id)); r != nil {
				return r
			}
		}
	}
	return nil
}

func (rs *reservations) get(key []byte) *Reservation {
	if i, ok := rs.byKey[string(key)]; ok {
		return &rs.list[i]
	}
	return nil
}

// Reserved returns the reservation of an address, nil if it is not reserved.
func (s *Subnet) Reserved(a netip.Addr) *Reservation {
	i, found := slices.BinarySearchFunc(s.reservations.list, a, func(r Reservation, a netip.Addr) int { return r.Addr.Compare(a) })
	if !found {
		return nil
	}
	return &s.reservations.list[i]
}

// Reservations returns all reservations of the subnet by ascending address.
func (s *Subnet) Reservations() []Reservation { return s.reservations.list }

// reservationDoc is a reservation as it stands in the document.
type reservationDoc struct {
	Identity
	at, addrAt *value
	addr       netip.Addr
	hwType     uint32
	options    option.Builder
}

var reservationFields = []field[reservationDoc]{
	{"address", "IPv4 address", "the address; in the subnet, inside or outside the pools", func(r *reader, v *value, d *reservationDoc) {
		r.addr4(v, &d.addr)
		d.addrAt = v
	}},
	{"client-id", "hex", "the client's option 61 as a whole, such as ff:00:00:00:01:00:03:00:01:02:00:00:00:00:01", func(r *reader, v *value, d *reservationDoc) {
		if r.hexOctets(v, &d.ClientID) && len(d.ClientID) < 2 { // RFC 2132 section 9.14
			r.fail(v, "a client identifier has at least two octets")
		}
	}},
	{"hw-address", "hex", "the client's hardware address, also of clients with a client identifier", func(r *reader, v *value, d *reservationDoc) {
		if r.hexOctets(v, &d.HWAddr) && len(d.HWAddr) > 16 {
			r.fail(v, "has %d octets; a hardware address has at most 16", len(d.HWAddr))
		}
	}},
	{"hw-type", "number", "hardware type of hw-address; 1, Ethernet, if not given", func(r *reader, v *value, d *reservationDoc) { r.number(v, 0, 255, &d.hwType) }},
	{"interface-id", "text, or 0x and hex", "attachment point: option 18 of the relay nearest to the client", func(r *reader, v *value, d *reservationDoc) { r.octets(v, &d.InterfaceID) }},
	{"remote-id", "enterprise:text, enterprise:0x and hex, or 0x and the whole option in hex", "attachment point: option 37 of the relay nearest to the client", func(r *reader, v *value, d *reservationDoc) { r.remoteID(v, &d.RemoteID) }},
	{"link-address", "IPv6 address", "narrows interface-id or remote-id to relays with this link-address", func(r *reader, v *value, d *reservationDoc) {
		var p netip.Prefix
		if !r.prefix6(v, &p) {
			return
		}
		if p.Bits() != 128 {
			r.fail(v, "%s must be an address, not a prefix", p)
			return
		}
		d.LinkAddress = p.Addr()
	}},
	{"options", "mapping of option name or code to value", "options of this client", func(r *reader, v *value, d *reservationDoc) { r.options(v, &d.options, true) }},
}

// key returns the kind and the key of the reservation's identity.
func (r *reader) identityKey(d *reservationDoc) (kinds uint8, key string, ok bool) {
	point := uint8(0)
	if d.InterfaceID != nil {
		point |= kindInterface
	}
	if d.RemoteID != nil {
		point |= kindRemote
	}
	if d.LinkAddress.IsValid() {
		if point == 0 {
			r.fail(d.at, "link-address names no client by itself; give interface-id or remote-id with it")
			return 0, "", false
		}
		point |= kindLink
	}
	ways := 0
	for _, given := range []bool{d.ClientID != nil, d.HWAddr != nil, point != 0} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		r.fail(d.at, "must name its client in one way: by client-id, by hw-address, or by interface-id or remote-id")
		return 0, "", false
	}
	switch {
	case d.ClientID != nil:
		return kindClient, string(append([]byte{kindClient}, d.ClientID...)), true
	case d.HWAddr != nil:
		return kindHardware, string(appendHardware(nil, byte(d.hwType), d.HWAddr)), true
	}
	return kindPoint | point, string(appendPoint(nil, point, &d.Identity)), true
}

// compileReservations checks and compiles the reservations of a subnet.
func (r *reader) compileReservations(s *subnetDoc, v *value, never []netip.Addr, in *interner) reservations {
	items := r.list(v, "reservations")
	rs := reservations{list: make([]Reservation, 0, len(items)), byKey: make(map[string]int32, len(items))}
	type owner struct {
		key  string
		line int
	}
	owners := make(map[netip.Addr]owner, len(items))
	lines := make(map[string]int, len(items))
	network := prefixSpan(s.prefix)
	for _, item := range items {
		d := reservationDoc{at: item, hwType: 1}
		before := len(r.mistakes)
		if !mapping(r, item, "a reservation", reservationFields, &d) || len(r.mistakes) > before {
			continue
		}
		if d.addrAt == nil {
			r.fail(item, "has no address; give it one")
			continue
		}
		kinds, key, ok := r.identityKey(&d)
		switch first, taken := owners[d.addr]; {
		case !ok:
		case !s.prefix.Contains(d.addr):
			r.fail(d.addrAt, "%s is not in the subnet %s", d.addr, s.prefix)
		case s.prefix.Bits() <= 30 && (number4(d.addr) == network.first || number4(d.addr) == network.last):
			r.fail(d.addrAt, "%s is the network's own or the broadcast address", d.addr)
		case slices.Contains(never, d.addr):
			r.fail(d.addrAt, "%s is the server identifier of this server or of a peer; no client can have it; reserve another address, or give another server-id", d.addr)
		case taken:
			r.fail(d.addrAt, "%s is reserved already in line %d", d.addr, first.line)
		case lines[key] != 0:
			r.fail(item, "the same client or attachment point has a reservation already in line %d", lines[key])
		default:
			owners[d.addr] = owner{key, item.Line}
			lines[key] = item.Line
			rs.kinds |= kinds
			rs.list = append(rs.list, Reservation{Addr: d.addr, Options: in.set(d.options.Set()), ByPoint: kinds&kindPoint != 0})
		}
	}
	slices.SortFunc(rs.list, func(a, b Reservation) int { return a.Addr.Compare(b.Addr) })
	for i := range rs.list {
		rs.byKey[owners[rs.list[i].Addr].key] = int32(i)
	}
	return rs
}
