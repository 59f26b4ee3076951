package config

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// reservationDoc is a reservation as it stands in the document.
type reservationDoc struct {
	network.Identity
	at, addrAt *value
	addr       netip.Addr
	hwType     uint32
	several    [][]byte // hardware addresses
	pools      []string
	poolsAt    *value
	className  string
	classAt    *value
	refused    network.Refusal
	carriedDoc
}

var reservationFields = append([]field[reservationDoc]{
	{"address", "IPv4 address", "the address; in the subnet, inside or outside the pools; " +
		"without it the client gets one of the pools, and the rest of what the reservation says",
		func(r *reader, v *value, d *reservationDoc) {
			r.addr4(v, &d.addr)
			d.addrAt = v
		}},
	{"client-id", "hex", "the client's option 61 as a whole, such as ff:00:00:00:01:00:03:00:01:02:00:00:00:00:01",
		func(r *reader, v *value, d *reservationDoc) {
			if r.identifier(v, hexKind, octets.ParseHex, &d.ClientID) && len(d.ClientID) < 2 { // RFC 2132 section 9.14
				r.Fail(v, "a client identifier has at least two octets")
			}
		}},
	{"hw-address", "hex", "the client's hardware address, also of clients with a client identifier",
		func(r *reader, v *value, d *reservationDoc) {
			if r.identifier(v, hexKind, octets.ParseHex, &d.HWAddr) && len(d.HWAddr) > 16 {
				r.Fail(v, "has %d octets; a hardware address has at most 16", len(d.HWAddr))
			}
		}},
	{"hw-addresses", "list of hex", "several hardware addresses, of which one at a time has the address: the first " +
		"that asks while it is free", func(r *reader, v *value, d *reservationDoc) {
		for _, item := range r.List(v, "hardware addresses") {
			var hw []byte
			if r.identifier(item, hexKind, octets.ParseHex, &hw) && len(hw) > 16 {
				r.Fail(item, "has %d octets; a hardware address has at most 16", len(hw))
			}
			d.several = append(d.several, hw)
		}
	}},
	{"hw-type", "number", "hardware type of hw-address; 1, Ethernet, if not given",
		func(r *reader, v *value, d *reservationDoc) { r.number(v, 0, 255, &d.hwType) }},
	{"interface-id", "text, or 0x and hex", "attachment point: option 18 of the relay nearest to the client",
		func(r *reader, v *value, d *reservationDoc) {
			r.identifier(v, octetsKind, octets.Parse, &d.InterfaceID)
		}},
	{"remote-id", "enterprise:text, enterprise:0x and hex, or 0x and the whole option in hex",
		"attachment point: option 37 of the relay nearest to the client", func(r *reader, v *value, d *reservationDoc) {
			r.identifier(v, octets.RemoteIDKind, octets.ParseRemoteID, &d.RemoteID)
		}},
	{"link-address", "IPv6 address", "narrows interface-id or remote-id to relays with this link-address",
		func(r *reader, v *value, d *reservationDoc) {
			var p netip.Prefix
			if !r.prefix6(v, &p) {
				return
			}
			switch {
			case p.Bits() != 128:
				r.Fail(v, "%s must be an address, not a prefix", p)
				return
			case config.LinkLocal(p):
				r.Fail(v, "%s is link-local; such link-addresses tell nothing and are passed over", p.Addr())
				return
			}
			d.LinkAddress = p.Addr()
		}},
	{"circuit-id", "text, or 0x and hex", "attachment point: Circuit ID (sub-option 1) of option 82, " +
		"of queries that trust-inner holds for", func(r *reader, v *value, d *reservationDoc) {
		r.identifier(v, octetsKind, octets.Parse, &d.Agent.CircuitID)
	}},
	{"agent-remote-id", "text, or 0x and hex", "attachment point: Remote ID (sub-option 2) of option 82, likewise",
		func(r *reader, v *value, d *reservationDoc) {
			r.identifier(v, octetsKind, octets.Parse, &d.Agent.RemoteID)
		}},
	{"link-selection", "IPv4 address", "narrows circuit-id or agent-remote-id to this link selection (sub-option 5)",
		func(r *reader, v *value, d *reservationDoc) {
			if s, ok := r.Scalar(v, "an IPv4 address"); ok {
				a, err := netip.ParseAddr(s)
				if err != nil || !a.Is4() {
					r.Fail(v, "%q is no IPv4 address", s)
				}
				d.Agent.Link = a
			}
		}},
	{"flex-id", octetsKind, "value of the subnet's flex-id; whoever has it has the address",
		func(r *reader, v *value, d *reservationDoc) {
			r.identifier(v, octetsKind, octets.Parse, &d.Flex)
		}},
	{"class", "text", "name of a class; one of its clients at a time has the address: the first that asks while " +
		"it is free", func(r *reader, v *value, d *reservationDoc) {
		r.text(v, 63, &d.className)
		d.classAt = v
	}},
	{"pools", "list of texts", "names of the pools that the client gets its address of, " +
		"in place of those that its classes name", func(r *reader, v *value, d *reservationDoc) {
		d.poolsAt = v
		r.names(v, &d.pools)
	}},
	{"refuse", "silent or nak", refusalMeaning, func(r *reader, v *value, d *reservationDoc) { r.refusal(v, &d.refused) }},
}, carriedFields(func(d *reservationDoc) *carriedDoc { return &d.carriedDoc })...)

// identify checks that a reservation names its client in one way.
func (r *reader) identify(d *reservationDoc) bool {
	point := d.InterfaceID != nil || d.RemoteID != nil
	if d.LinkAddress.IsValid() && !point {
		r.Fail(d.at, "link-address names no client by itself; give interface-id or remote-id with it")
		return false
	}
	agent := d.Agent.CircuitID != nil || d.Agent.RemoteID != nil
	if d.Agent.Link.IsValid() && !agent {
		r.Fail(d.at, "link-selection names no client by itself; give circuit-id or agent-remote-id with it")
		return false
	}
	ways := 0
	for _, given := range [...]bool{d.ClientID != nil, d.HWAddr != nil, d.several != nil, point, agent, d.Flex != nil,
		d.className != ""} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		r.Fail(d.at, "must name its client in one way: by client-id, by hw-address or hw-addresses, "+
			"by interface-id or remote-id, by circuit-id or agent-remote-id, by flex-id, or by class")
		return false
	}
	if d.HWType = byte(d.hwType); len(d.several) > 0 {
		d.HWAddr = d.several[0]
	}
	return true
}

// reserver compiles the reservations of a subnet.
type reserver struct {
	*reader
	subnet *subnetDoc
	whole  span
	never  []netip.Addr
	in     *interner
	list   []network.Reservation
	byAddr map[netip.Addr]int  // where each stands: see at
	byKey  map[network.Key]int // likewise
	top    *level
	asked  []network.Class // classes that reservations name
	file   int             // number of the file that is read; 0 is the document
}

// at returns one number for line and file of a reservation, for reports of mistakes.
func (r *reserver) at(line int) int { return line<<8 | r.file }

func (r *reserver) said(at int) string {
	if file := at & 0xff; file != 0 {
		return fmt.Sprintf("line %d of its file", at>>8)
	}
	return fmt.Sprintf("line %d", at>>8)
}

// compileReservations checks and compiles the reservations of a subnet.
func (r *reader) compileReservations(s *subnetDoc, top *level, never []netip.Addr, in *interner) network.Reservations {
	c := &reserver{reader: r, subnet: s, whole: prefixSpan(s.prefix), never: never, in: in, top: top,
		byAddr: map[netip.Addr]int{}, byKey: map[network.Key]int{}}
	if s.reservations != nil {
		for _, item := range r.List(s.reservations, "reservations") {
			d := reservationDoc{at: item, hwType: 1}
			before := len(r.Mistakes)
			if mapping(r, item, "a reservation", reservationFields, &d) && len(r.Mistakes) == before {
				c.add(&d)
			}
		}
	}
	if s.reservationsFile != nil {
		c.file = 1
		c.readFile(s.reservationsFile)
	}
	return network.NewReservations(c.list, s.flex, c.asked)
}

// class finds the class that a reservation is for. It says who has the reservation, so its test
// must not depend on whether the client has one.
func (r *reserver) class(d *reservationDoc) bool {
	number, ok := r.subnet.scope.Lookup(d.className)
	if !ok {
		r.Fail(d.classAt, "no class %s is defined here; %s", d.className,
			expression.Suggest(d.className, r.subnet.scope.Names()))
		return false
	}
	if r.subnet.scope.UsesKnown(number) {
		r.Fail(d.classAt, "the class %s depends on whether the client has a reservation, and that depends on the class",
			d.className)
		return false
	}
	for _, l := range [...]*classList{&r.top.classes, &r.subnet.classes} {
		for i := range l.all {
			if l.all[i].Number == number {
				d.Class = &l.all[i]
			}
		}
	}
	return true
}

// add checks a reservation and adds it.
func (r *reserver) add(d *reservationDoc) {
	before := len(r.Mistakes)
	if r.complete(&d.carriedDoc); len(r.Mistakes) > before {
		return
	}
	if !r.checkGifts(d) || !r.checkClient(d) {
		return
	}
	keys := []network.Key{d.Key()}
	for _, hw := range d.several[min(1, len(d.several)):] {
		also := network.Identity{HWType: d.HWType, HWAddr: hw}
		keys = append(keys, also.Key())
	}
	if !r.checkAddress(d) || !r.claim(d, keys) || !r.checkPools(d) {
		return
	}
	reserved := network.Reservation{Addr: d.addr, Pools: d.pools, For: keys[0], Refused: d.refused}
	if len(keys) > 1 {
		reserved.Also = keys[1:]
	}
	if d.Options = r.in.set(r.set(&d.options, r.subnet.scope)); d.IsSet() {
		carried := d.Carried
		reserved.Carried = &carried
	}
	r.checkRouting(d.options.over(r.subnet.options.routing))
	r.list = append(r.list, reserved)
	if d.Class != nil {
		r.asked = append(r.asked, *d.Class)
	}
}

// checkGifts checks that a reservation gives its client something.
func (r *reserver) checkGifts(d *reservationDoc) bool {
	switch {
	case d.addrAt != nil && d.poolsAt != nil:
		r.Fail(d.poolsAt, "says of which pools the address is, and the reservation has one; leave one out")
		return false
	case d.addrAt == nil && d.poolsAt == nil && d.refused == network.NotRefused && !d.gives():
		r.Fail(d.at, "gives its client nothing; give it an address, pools, or options")
		return false
	}
	return true
}

// checkClient checks that a reservation names its client, and in a way that the subnet knows.
func (r *reserver) checkClient(d *reservationDoc) bool {
	switch {
	case !r.identify(d):
		return false
	case r.subnet.IgnoreID && d.ClientID != nil:
		r.Fail(d.at, "names its client by client-id, which the subnet ignores (ignore-client-id); give hw-address")
		return false
	case d.Flex != nil && r.subnet.flexAt == nil:
		r.Fail(d.at, "gives flex-id, and the subnet says by no flex-id what that is; give it the expression")
		return false
	}
	return d.className == "" || r.class(d)
}

// checkAddress checks that the address of a reservation can be given to a client of the subnet.
func (r *reserver) checkAddress(d *reservationDoc) bool {
	prefix := r.subnet.prefix
	switch {
	case d.addrAt == nil:
		return true
	case !prefix.Contains(d.addr):
		r.Fail(d.addrAt, "%s is not in the subnet %s", d.addr, prefix)
	case prefix.Bits() <= 30 && (number4(d.addr) == r.whole.first || number4(d.addr) == r.whole.last):
		r.Fail(d.addrAt, "%s is the network's own or the broadcast address", d.addr)
	case slices.Contains(r.never, d.addr):
		r.Fail(d.addrAt, "%s is the server identifier of this server or of a peer; no client can have it; "+
			"reserve another address, or give another server-id", d.addr)
	case r.byAddr[d.addr] != 0:
		r.Fail(d.addrAt, "%s is reserved already in %s", d.addr, r.said(r.byAddr[d.addr]))
	default:
		return true
	}
	return false
}

// claim notes that the clients, and the address, have a reservation. Each can have only one.
func (r *reserver) claim(d *reservationDoc, clients []network.Key) bool {
	for _, key := range clients {
		if at := r.byKey[key]; at != 0 {
			r.Fail(d.at, "the same client or attachment point has a reservation already in %s", r.said(at))
			return false
		}
		r.byKey[key] = r.at(d.at.Line)
	}
	if d.addrAt != nil {
		r.byAddr[d.addr] = r.at(d.at.Line)
	}
	return true
}

// checkPools checks that the subnet has the pools that a reservation names.
func (r *reserver) checkPools(d *reservationDoc) bool {
	for _, name := range d.pools {
		if !slices.ContainsFunc(r.subnet.pools, func(p poolDoc) bool { return p.name == name }) {
			r.Fail(d.poolsAt, "no pool of the subnet has the name %s; give it to one", name)
			return false
		}
	}
	return true
}
