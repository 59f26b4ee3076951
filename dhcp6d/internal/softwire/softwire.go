// Package softwire is what dhcp6d knows of IPv4 as a service: DS-Lite, MAP-E, MAP-T and lw4o6. It
// owns the DHCPv6 options that configure them, octet for octet, and the arithmetic behind: what a
// rule gives to which CE, and which rules cannot be right.
//
// A container (RFC 7598 section 5) is an option of options:
//
//	94 MAP-E   one or more 89 (rule), one or more 90 (border relay)
//	95 MAP-T   one or more 89 (rule), one 91 (default mapping rule)
//	96 lw4o6   one or more 90 (border relay), at most one 92 (binding)
//
//	89  flags 1, EA length 1, IPv4 prefix length 1, IPv4 prefix 4, IPv6 prefix, then 93 or nothing
//	90  IPv6 address 16
//	91  IPv6 prefix
//	92  IPv4 address 4, IPv6 prefix, then 93 or nothing
//	93  PSID offset 1, PSID length 1, PSID 2, which is aligned to the left
//
// Two options configure the softwire of a client whose IPv4 address comes by 4o6 (RFC 8539). They
// are in no container, and the first is there once for each border relay:
//
//	90   IPv6 address 16
//	137  IPv6 prefix
//
// An IPv6 prefix is its length in one octet and as many octets as that needs. The rest of the last
// octet is zero.
//
// The 16 bits of a port are, from the left, offset bits that are not all zero, the PSID, and bits
// that count within a range (RFC 7597 section 5.1).
package softwire

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
)

// DefaultOffset is the PSID offset of MAP where none is given (RFC 7597 section 5.1). It keeps the
// ports below 1024 free.
const DefaultOffset = 6

// maxEA is the most EA bits of a rule (RFC 7598 section 4.1).
const maxEA = 48

// maxDMR is the longest prefix of a default mapping rule (RFC 7598 erratum 4865): an IPv4 address
// follows it.
const maxDMR = 96

// Ports are the port parameters of a rule or binding (option 93). The zero value is as if the
// option were not there.
type Ports struct {
	Given  bool
	Offset uint8
	Length uint8  // 0: the PSID comes from the EA bits, or the address is not shared
	PSID   uint16 // its lowest Length bits
}

// Rule is a mapping rule of MAP (option 89).
type Rule struct {
	Forwarding bool // CEs also send to each other by it
	EABits     uint8
	IPv4       netip.Prefix
	IPv6       netip.Prefix
	Ports      Ports
}

// MAPE configures MAP-E (option 94, RFC 7597).
type MAPE struct {
	Rules        []Rule
	BorderRelays []netip.Addr
}

// MAPT configures MAP-T (option 95, RFC 7599).
type MAPT struct {
	Rules   []Rule
	Default netip.Prefix // option 91
}

// Binding is the address of one CE in lw4o6 (option 92).
type Binding struct {
	IPv4  netip.Addr
	IPv6  netip.Prefix
	Ports Ports
}

// LW4o6 configures lw4o6 (option 96, RFC 7596).
type LW4o6 struct {
	BorderRelays []netip.Addr
	Binding      *Binding // nil: the CE gets its address in another way, such as by 4o6
}

// Softwire configures the softwire of a client whose IPv4 address comes by 4o6 (RFC 8539).
type Softwire struct {
	BorderRelays []netip.Addr // option 90, one each
	Bind         netip.Prefix // option 137; the zero Prefix: the client chooses its address freely
}

// Mechanism is a way to get IPv4, as the code of its option: what option 111 orders (RFC 8026).
type Mechanism dhcp6.Code

// The mechanisms.
const (
	DSLite   = Mechanism(dhcp6.OptAFTRName)
	FourOSix = Mechanism(dhcp6.Opt4o6Server)
	ByMAPE   = Mechanism(dhcp6.OptS46ContMAPE)
	ByMAPT   = Mechanism(dhcp6.OptS46ContMAPT)
	ByLW4o6  = Mechanism(dhcp6.OptS46ContLW)
)

// mechanisms are their names in the configuration.
var mechanisms = []struct {
	name string
	is   Mechanism
}{{"map-e", ByMAPE}, {"map-t", ByMAPT}, {"lw4o6", ByLW4o6}, {"ds-lite", DSLite}, {"4o6", FourOSix}}

// ParseMechanism returns the mechanism of a name.
func ParseMechanism(name string) (Mechanism, bool) {
	for _, m := range mechanisms {
		if m.name == name {
			return m.is, true
		}
	}
	return 0, false
}

// Mechanisms returns all names.
func Mechanisms() (names []string) {
	for _, m := range mechanisms {
		names = append(names, m.name)
	}
	return names
}

// String is the name in the configuration.
func (m Mechanism) String() string {
	for _, other := range mechanisms {
		if other.is == m {
			return other.name
		}
	}
	return "unknown"
}
