package expression

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/spelling"
)

// field is a field of a packet or of a relay level.
type field uint8

const (
	pktInterface field = iota
	pktSource
	pktDestination
	pktLength
	pktOctets
	pkt4Hardware
	pkt4HLen
	pkt4HType
	pkt4CIAddr
	pkt4GIAddr
	pkt4YIAddr
	pkt4SIAddr
	pkt4Type
	pkt4Xid
	pkt6Type
	pkt6Xid
	pkt6Client
	pkt6Link
	pkt6Relays
	pkt6Server
	leaseEvent
	leaseAddress
	leaseSubnet
	leaseHardware
	leaseInterface
)

// fieldNames has the fields by their names. The part before the dot says of which packet.
var fieldNames = [...]string{
	pktInterface: "pkt.iface", pktSource: "pkt.src", pktDestination: "pkt.dst", pktLength: "pkt.len", pktOctets: "pkt.hex",
	pkt4Hardware: "pkt4.mac", pkt4HLen: "pkt4.hlen", pkt4HType: "pkt4.htype", pkt4CIAddr: "pkt4.ciaddr",
	pkt4GIAddr: "pkt4.giaddr", pkt4YIAddr: "pkt4.yiaddr", pkt4SIAddr: "pkt4.siaddr", pkt4Type: "pkt4.msgtype", pkt4Xid: "pkt4.transid",
	pkt6Type: "pkt6.msgtype", pkt6Xid: "pkt6.transid", pkt6Client: "pkt6.client", pkt6Link: "pkt6.link",
	pkt6Relays: "pkt6.relays", pkt6Server: "pkt6.dhcp6d",
	leaseEvent: "lease.event", leaseAddress: "lease.address", leaseSubnet: "lease.subnet", leaseHardware: "lease.mac", leaseInterface: "lease.iface",
}

// The fields of a relay level.
const (
	relayPeer field = iota
	relayLink
)

var relayFieldNames = [...]string{relayPeer: "peeraddr", relayLink: "linkaddr"}

// conversion is from a number or an address to text.
type conversion uint8

const (
	fromAddress conversion = iota
	fromInt8
	fromInt16
	fromInt32
	fromUint8
	fromUint16
	fromUint32
)

var conversions = [...]struct {
	name   string
	octets int // of the value; an address has 4 or 16
	signed bool
}{
	fromAddress: {"addrtotext", 0, false},
	fromInt8:    {"int8totext", 1, true},
	fromInt16:   {"int16totext", 2, true},
	fromInt32:   {"int32totext", 4, true},
	fromUint8:   {"uint8totext", 1, false},
	fromUint16:  {"uint16totext", 2, false},
	fromUint32:  {"uint32totext", 4, false},
}

// Classes that are always there.
const (
	all         = "ALL"
	known       = "KNOWN"
	unknown     = "UNKNOWN"
	vendorClass = "VENDOR_CLASS_"
)

// hookClasses are the beginnings of names of classes that only Kea's hooks put queries into.
var hookClasses = []string{"AFTER_", "EXTERNAL_", "HA_", "SPAWN_"}

// leaders are the words that an expression or a part of it may begin with.
var leaders = []string{
	"option", "relay4", "relay6", "pkt", "pkt4", "pkt6", "lease", "vendor", "vendor-class", "member", "known", "unknown", "not", "match",
	"substring", "concat", "ifelse", "hexstring", "lcase", "ucase", "split",
	"addrtotext", "int8totext", "int16totext", "int32totext", "uint8totext", "uint16totext", "uint32totext",
}

// textOptions are the DHCPv4 options that Kea takes for text. Zero octets at the end of the value
// do not count, and an option that has nothing else is absent.
var textOptions = [...]byte{12, 14, 15, 17, 18, 40, 47, 56, 60, 62, 64, 66, 67, 86, 87, 98, 100, 101, 113, 114}

// textOptions6 are those of DHCPv6.
var textOptions6 = [...]uint16{41, 42, 59, 103}

// options6 has the DHCPv6 options by Kea's names.
var options6 = map[string]uint16{
	"clientid": 1, "serverid": 2, "ia-na": 3, "ia-ta": 4, "iaaddr": 5, "oro": 6, "preference": 7, "elapsed-time": 8, "relay-msg": 9,
	"auth": 11, "unicast": 12, "status-code": 13, "rapid-commit": 14, "user-class": 15, "vendor-class": 16, "vendor-opts": 17,
	"interface-id": 18, "reconf-msg": 19, "reconf-accept": 20, "ia-pd": 25, "iaprefix": 26, "information-refresh-time": 32,
	"geoconf-civic": 36, "remote-id": 37, "subscriber-id": 38, "client-fqdn": 39, "new-posix-timezone": 41, "new-tzdb-timezone": 42,
	"ero": 43, "lq-query": 44, "client-data": 45, "clt-time": 46, "lq-relay-data": 47, "lq-client-link": 48, "relay-id": 53,
	"bootfile-url": 59, "bootfile-param": 60, "client-arch-type": 61, "nii": 62, "rsoo": 66, "client-linklayer-addr": 79,
	"link-address": 80, "dhcpv4-message": 87, "dhcp4o6-server-addr": 88, "v6-captive-portal": 103, "relay-source-port": 135,
}

// OptionCode6 returns the code of a DHCPv6 option by its name in expressions.
func OptionCode6(name string) (code uint16, ok bool) {
	code, ok = options6[name]
	return code, ok
}

// suboptions6 has the offset of the options inside a DHCPv6 option. Other options have none inside.
var suboptions6 = map[uint16]int{3: 12, 4: 4, 5: 24, 17: 4, 25: 12, 26: 25}

func options6Names() []string {
	names := make([]string, 0, len(options6))
	for name := range options6 {
		names = append(names, name)
	}
	return names
}

// suggest returns a question for the name that was most likely meant, "" if none is near.
func suggest(word string, names []string) string {
	plain := strings.ReplaceAll(strings.ToLower(word), "_", "-")
	names = slices.Sorted(slices.Values(names))
	lower := make([]string, len(names))
	for i, name := range names {
		lower[i] = strings.ToLower(name)
		if len(plain) > 2 && strings.HasPrefix(lower[i], plain) {
			return "did you mean " + name + "?"
		}
	}
	near := spelling.Nearest(plain, lower, max(2, len(word)/3))
	if near == "" {
		return ""
	}
	return "did you mean " + names[slices.Index(lower, near)] + "?"
}

// shownNames is how many names Suggest lists. A document with thousands of classes may name as many
// that are not there.
const shownNames = 50

// Suggest returns a question for the name that was most likely meant, or else lists the names, the
// first ones if there are very many.
func Suggest(word string, names []string) string {
	names = slices.Sorted(slices.Values(names))
	switch {
	case len(names) == 0:
		return "there are none"
	case len(names) > shownNames:
		most := fmt.Sprintf("there are %d, such as %s", len(names),
			strings.Join(names[:3], ", "))
		return cmp.Or(suggest(word, names), most)
	}
	return hint(word, names)
}

// hint returns a question for the name that was most likely meant, or else lists the names.
func hint(word string, names []string) string {
	return cmp.Or(suggest(word, names), "there are "+strings.Join(names, ", "))
}

// isBuiltIn reports whether a class of that name is always there.
func isBuiltIn(name string) bool {
	return name == all || name == known || name == unknown || strings.HasPrefix(name, vendorClass)
}
