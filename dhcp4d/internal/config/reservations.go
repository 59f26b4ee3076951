package config

import (
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// reservationDoc is a reservation as it stands in the document.
type reservationDoc struct {
	network.Identity
	at, addrAt *value
	addr       netip.Addr
	hwType     uint32
	refused    network.Refusal
	carriedDoc
}

var reservationFields = append([]field[reservationDoc]{
	{"address", "IPv4 address", "the address; in the subnet, inside or outside the pools", func(r *reader, v *value, d *reservationDoc) {
		r.addr4(v, &d.addr)
		d.addrAt = v
	}},
	{"client-id", "hex", "the client's option 61 as a whole, such as ff:00:00:00:01:00:03:00:01:02:00:00:00:00:01", func(r *reader, v *value, d *reservationDoc) {
		if r.identifier(v, hexKind, octets.ParseHex, &d.ClientID) && len(d.ClientID) < 2 { // RFC 2132 section 9.14
			r.fail(v, "a client identifier has at least two octets")
		}
	}},
	{"hw-address", "hex", "the client's hardware address, also of clients with a client identifier", func(r *reader, v *value, d *reservationDoc) {
		if r.identifier(v, hexKind, octets.ParseHex, &d.HWAddr) && len(d.HWAddr) > 16 {
			r.fail(v, "has %d octets; a hardware address has at most 16", len(d.HWAddr))
		}
	}},
	{"hw-type", "number", "hardware type of hw-address; 1, Ethernet, if not given", func(r *reader, v *value, d *reservationDoc) { r.number(v, 0, 255, &d.hwType) }},
	{"interface-id", "text, or 0x and hex", "attachment point: option 18 of the relay nearest to the client", func(r *reader, v *value, d *reservationDoc) {
		r.identifier(v, octetsKind, octets.Parse, &d.InterfaceID)
	}},
	{"remote-id", "enterprise:text, enterprise:0x and hex, or 0x and the whole option in hex", "attachment point: option 37 of the relay nearest to the client", func(r *reader, v *value, d *reservationDoc) {
		r.identifier(v, octets.RemoteIDKind, octets.ParseRemoteID, &d.RemoteID)
	}},
	{"link-address", "IPv6 address", "narrows interface-id or remote-id to relays with this link-address", func(r *reader, v *value, d *reservationDoc) {
		var p netip.Prefix
		if !r.prefix6(v, &p) {
			return
		}
		switch {
		case p.Bits() != 128:
			r.fail(v, "%s must be an address, not a prefix", p)
			return
		case config.LinkLocal(p):
			r.fail(v, "%s is link-local; such link-addresses tell nothing and are passed over", p.Addr())
			return
		}
		d.LinkAddress = p.Addr()
	}},
	{"refuse", "silent or nak", refusalMeaning, func(r *reader, v *value, d *reservationDoc) { r.refusal(v, &d.refused) }},
}, carriedFields(func(d *reservationDoc) *carriedDoc { return &d.carriedDoc })...)

// identify checks that a reservation names its client in one way.
func (r *reader) identify(d *reservationDoc) bool {
	point := d.InterfaceID != nil || d.RemoteID != nil
	if d.LinkAddress.IsValid() && !point {
		r.fail(d.at, "link-address names no client by itself; give interface-id or remote-id with it")
		return false
	}
	ways := 0
	for _, given := range []bool{d.ClientID != nil, d.HWAddr != nil, point} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		r.fail(d.at, "must name its client in one way: by client-id, by hw-address, or by interface-id or remote-id")
		return false
	}
	d.HWType = byte(d.hwType)
	return true
}

// compileReservations checks and compiles the reservations of a subnet.
func (r *reader) compileReservations(s *subnetDoc, v *value, never []netip.Addr, in *interner) network.Reservations {
	items := r.list(v, "reservations")
	list := make([]network.Reservation, 0, len(items))
	byAddr := make(map[netip.Addr]int, len(items)) // line of each
	byKey := make(map[network.Key]int, len(items)) // likewise
	whole := prefixSpan(s.prefix)
	for _, item := range items {
		d := reservationDoc{at: item, hwType: 1}
		before := len(r.mistakes)
		if !mapping(r, item, "a reservation", reservationFields, &d) || len(r.mistakes) > before {
			continue
		}
		if r.complete(&d.carriedDoc); len(r.mistakes) > before {
			continue
		}
		if d.addrAt == nil {
			r.fail(item, "has no address; give it one")
			continue
		}
		if !r.identify(&d) {
			continue
		}
		if s.IgnoreID && d.ClientID != nil {
			r.fail(item, "names its client by client-id, which the subnet ignores (ignore-client-id); give hw-address")
			continue
		}
		key := d.Key()
		switch {
		case !s.prefix.Contains(d.addr):
			r.fail(d.addrAt, "%s is not in the subnet %s", d.addr, s.prefix)
		case s.prefix.Bits() <= 30 && (number4(d.addr) == whole.first || number4(d.addr) == whole.last):
			r.fail(d.addrAt, "%s is the network's own or the broadcast address", d.addr)
		case slices.Contains(never, d.addr):
			r.fail(d.addrAt, "%s is the server identifier of this server or of a peer; no client can have it; reserve another address, or give another server-id", d.addr)
		case byAddr[d.addr] != 0:
			r.fail(d.addrAt, "%s is reserved already in line %d", d.addr, byAddr[d.addr])
		case byKey[key] != 0:
			r.fail(item, "the same client or attachment point has a reservation already in line %d", byKey[key])
		default:
			byAddr[d.addr], byKey[key] = item.Line, item.Line
			r.checkRouting(d.options.over(s.options.routing))
			reserved := network.Reservation{Addr: d.addr, For: key, Refused: d.refused}
			if d.Options = in.set(d.options.Set()); d.IsSet() {
				carried := d.Carried
				reserved.Carried = &carried
			}
			list = append(list, reserved)
		}
	}
	return network.NewReservations(list)
}
