package encode

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// kind is the type of an option's value.
type kind uint8

const (
	host kind = iota
	hosts
	address
	mask
	boolean
	uint8s
	uint16s
	uint32s
	int32s
	uint16List
	text
	textOrHex
	opaque
	names
	plainName
	plainNames
	routes
	hostRoutes
	filters
	sipServers
	suboptions
	vendors
	vendorOptions
)

// kinds says for each kind how it is called and which lengths it has: a
// multiple of unit, exactly one unit unless it is a list.
var kinds = [...]struct {
	name string
	unit int
	list bool
}{
	host:          {"IPv4 address", 4, false},
	hosts:         {"list of IPv4 addresses", 4, true},
	address:       {"IPv4 address, also broadcast or multicast", 4, false},
	mask:          {"subnet mask", 4, false},
	boolean:       {"true or false", 1, false},
	uint8s:        {"number of 8 bits", 1, false},
	uint16s:       {"number of 16 bits", 2, false},
	uint32s:       {"number of 32 bits", 4, false},
	int32s:        {"number of 32 bits with sign", 4, false},
	uint16List:    {"list of numbers of 16 bits", 2, true},
	text:          {"text", 1, true},
	textOrHex:     {"text, or 0x and hex", 1, true},
	opaque:        {"hex", 1, true},
	names:         {"list of domain names", 1, true},
	plainName:     {"domain name", 1, true},
	plainNames:    {"list of domain names", 1, true},
	routes:        {"list of routes: `10.0.0.0/8 via 192.0.2.1`, `default via 192.0.2.1` or `10.0.0.0/8 on-link`", 1, true},
	hostRoutes:    {"list of routes to hosts: `198.51.100.7 via 192.0.2.1`", 8, true},
	filters:       {"list of IPv4 prefixes", 8, true},
	sipServers:    {"list of domain names or of IPv4 addresses", 1, true},
	suboptions:    {"mapping of sub-option code to text or 0x and hex; or all of it in hex", 1, true},
	vendors:       {"mapping of enterprise number to text or 0x and hex", 1, true},
	vendorOptions: {"mapping of enterprise number to a mapping of sub-option code to text or 0x and hex", 1, true},
}

// encoder turns nodes of the document into octets and reports what it cannot.
type encoder struct {
	report Report
}

// checkLength holds the octets of an option given by code against its type.
func (e *encoder) checkLength(at *yaml.Node, def *Definition, n int) {
	k := kinds[def.kind]
	switch {
	case !k.list && n != k.unit:
		e.report(at, "", fmt.Sprintf("has %d octets; %s has %d", n, def.Name, k.unit))
	case n%k.unit != 0:
		e.report(at, "", fmt.Sprintf("has %d octets; %s has a multiple of %d", n, def.Name, k.unit))
	}
}

// encode encodes the value of an option given by name.
func (e *encoder) encode(v *yaml.Node, def *Definition) []byte {
	switch def.kind {
	case hosts, uint16List, plainNames, routes, hostRoutes, filters:
		return e.many(v, def)
	case names:
		return e.domainSearch(v)
	case sipServers:
		return e.sip(v)
	case suboptions:
		return e.encapsulated(v, "")
	case vendors:
		return e.vendorClasses(v)
	case vendorOptions:
		return e.perVendor(v, e.encapsulated)
	}
	return e.scalar(nil, v, "", def)
}

// many encodes a list, or a scalar as a list of one.
func (e *encoder) many(v *yaml.Node, def *Definition) []byte {
	var wire []byte
	for i, item := range e.items(v) {
		wire = e.scalar(wire, item, index(v, i), def)
	}
	return wire
}

// items returns the elements of a list, a scalar counting as a list of one.
func (e *encoder) items(v *yaml.Node) []*yaml.Node {
	if v.Kind != yaml.SequenceNode {
		return []*yaml.Node{v}
	}
	if len(v.Content) == 0 {
		e.report(v, "", "is empty; give a value or leave the option out")
	}
	return v.Content
}

func index(list *yaml.Node, i int) string {
	if list.Kind != yaml.SequenceNode {
		return ""
	}
	return "[" + strconv.Itoa(i) + "]"
}

// text returns the text of a scalar that is not empty.
func (e *encoder) text(v *yaml.Node, path, want string) (string, bool) {
	switch {
	case v.Kind != yaml.ScalarNode:
		e.report(v, path, "must be "+want)
	case v.Value == "" || v.Tag == "!!null":
		e.report(v, path, "is empty; give a value or leave the option out")
	default:
		return v.Value, true
	}
	return "", false
}

// scalar appends one value of an option's kind.
func (e *encoder) scalar(wire []byte, v *yaml.Node, path string, def *Definition) []byte {
	want := strings.TrimPrefix(kinds[def.kind].name, "list of ")
	s, ok := e.text(v, path, want)
	if !ok {
		return wire
	}
	var octets []byte
	var problem string
	switch def.kind {
	case host, hosts, address, mask:
		octets, problem = addressOctets(def.kind, s)
	case boolean:
		octets, problem = booleanOctets(s)
	case uint8s, uint16s, uint32s, uint16List:
		octets, problem = unsignedOctets(def, s)
	case int32s:
		octets, problem = signedOctets(s)
	case filters:
		octets, problem = filterOctets(s)
	case text:
		octets = e.ascii(v, path, s)
	case textOrHex:
		octets = e.textOrHex(v, path, s)
	case plainName, plainNames:
		return e.name(wire, v, path, s, nil)
	case routes:
		return e.route(wire, v, path, s)
	case hostRoutes:
		return e.hostRoute(wire, v, path, s)
	default:
		octets = e.hex(v, path)
	}
	if problem != "" {
		e.report(v, path, problem)
	}
	return append(wire, octets...)
}

// The functions below return the octets of a value, or what is wrong with it.

func addressOctets(k kind, s string) (wire []byte, problem string) {
	a, err := netip.ParseAddr(s)
	switch {
	case strings.Contains(s, ",") && k == hosts:
		return nil, fmt.Sprintf("%q must be a list, such as [192.0.2.1, 192.0.2.2]", s)
	case err != nil || !a.Is4():
		return nil, fmt.Sprintf("%q is no IPv4 address", s)
	case k == mask && !isMask(a):
		return nil, fmt.Sprintf("%s is no subnet mask: its one bits are not all in front", s)
	case k == address && a.IsUnspecified():
		return nil, "0.0.0.0 names nobody"
	case (k == host || k == hosts) && !unicast(a):
		return nil, fmt.Sprintf("%s is not the address of a host", s)
	}
	return a.AsSlice(), ""
}

func booleanOctets(s string) (wire []byte, problem string) {
	switch s {
	case "true":
		return []byte{1}, ""
	case "false":
		return []byte{0}, ""
	}
	return nil, fmt.Sprintf("%q must be true or false", s)
}

func unsignedOctets(def *Definition, s string) (wire []byte, problem string) {
	unit := kinds[def.kind].unit
	most := uint64(1)<<(8*unit) - 1
	if def.max != 0 {
		most = def.max
	}
	n, err := parseNumber(s)
	if err != nil || n < def.min || n > most {
		return nil, fmt.Sprintf("%q must be a number from %d to %d", s, def.min, most)
	}
	if def.Name == "netbios-node-type" && n&(n-1) != 0 { // RFC 2132 section 8.7
		return nil, fmt.Sprintf("%q must be 1, 2, 4 or 8", s)
	}
	return binary.BigEndian.AppendUint32(nil, uint32(n))[4-unit:], ""
}

func signedOctets(s string) (wire []byte, problem string) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < math.MinInt32 || n > math.MaxInt32 {
		return nil, fmt.Sprintf("%q must be a number from %d to %d", s, math.MinInt32, math.MaxInt32)
	}
	return binary.BigEndian.AppendUint32(nil, uint32(int32(n))), ""
}

// filterOctets reads an address and its mask (RFC 2132 section 4.3).
func filterOctets(s string) (wire []byte, problem string) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() || p != p.Masked() {
		return nil, fmt.Sprintf("%q must be an IPv4 prefix such as 192.0.2.0/24", s)
	}
	return binary.BigEndian.AppendUint32(p.Addr().AsSlice(), ^uint32(0)<<(32-p.Bits())), ""
}

func unicast(a netip.Addr) bool {
	return a.Is4() && a.As4()[0] != 0 && !a.IsMulticast() && a.As4()[0] < 240
}

func isMask(a netip.Addr) bool {
	b := a.As4()
	m := binary.BigEndian.Uint32(b[:])
	return ^m&(^m+1) == 0 && m != 0
}

// ascii returns text as RFC 2132 section 2 wants it: NVT ASCII.
func (e *encoder) ascii(v *yaml.Node, path, s string) []byte {
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e {
			e.report(v, path, fmt.Sprintf("%q holds a character that is not printable ASCII", s))
			return nil
		}
	}
	return []byte(s)
}

// textOrHex returns text, or the octets after 0x.
func (e *encoder) textOrHex(v *yaml.Node, path, s string) []byte {
	if strings.HasPrefix(s, "0x") {
		return e.hex(v, path)
	}
	return e.ascii(v, path, s)
}

// hex returns octets given as 0a0b, 0x0a0b or 0a:0b.
func (e *encoder) hex(v *yaml.Node, path string) []byte {
	s, ok := e.text(v, path, "hex, such as 0x0a0b or 0a:0b")
	if !ok {
		return nil
	}
	b, err := octets.Decode(strings.TrimPrefix(s, "0x"))
	if err != nil {
		e.report(v, path, fmt.Sprintf("%q must be hex with two digits per octet, such as 0x0a0b or 0a:0b", s))
	}
	return b
}

// parseNumber reads a number in decimal, or in hex after 0x.
func parseNumber(s string) (uint64, error) {
	if digits, ok := strings.CutPrefix(s, "0x"); ok {
		return strconv.ParseUint(digits, 16, 64)
	}
	return strconv.ParseUint(s, 10, 64)
}

func decimal(n byte) string { return strconv.Itoa(int(n)) }
