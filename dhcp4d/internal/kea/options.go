package kea

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// definition says how the value of an option is written in Kea's configuration (option-def).
type definition struct {
	space       string
	code        uint32
	name        string
	kind        string   // uint8, ipv4-address, record and so on
	array       bool     // several values; of a record, several of its last field
	fields      []string // of a record
	encapsulate string   // the space of its sub-options
}

// The spaces of options.
const (
	dhcp4Space  = "dhcp4"
	vendorSpace = "vendor-" // and an enterprise number: the sub-options of option 125
)

// standard has the options that Kea 2.2 to 3.0 know, as space, code, name, type, and the space of
// sub-options after >. An array has a *, the fields of a record are in parentheses.
const standard = `
dhcp4 1 subnet-mask ipv4-address
dhcp4 2 time-offset int32
dhcp4 3 routers ipv4-address*
dhcp4 4 time-servers ipv4-address*
dhcp4 5 name-servers ipv4-address*
dhcp4 6 domain-name-servers ipv4-address*
dhcp4 7 log-servers ipv4-address*
dhcp4 8 cookie-servers ipv4-address*
dhcp4 9 lpr-servers ipv4-address*
dhcp4 10 impress-servers ipv4-address*
dhcp4 11 resource-location-servers ipv4-address*
dhcp4 12 host-name string
dhcp4 13 boot-size uint16
dhcp4 14 merit-dump string
dhcp4 15 domain-name string
dhcp4 16 swap-server ipv4-address
dhcp4 17 root-path string
dhcp4 18 extensions-path string
dhcp4 19 ip-forwarding boolean
dhcp4 20 non-local-source-routing boolean
dhcp4 21 policy-filter ipv4-address*
dhcp4 22 max-dgram-reassembly uint16
dhcp4 23 default-ip-ttl uint8
dhcp4 24 path-mtu-aging-timeout uint32
dhcp4 25 path-mtu-plateau-table uint16*
dhcp4 26 interface-mtu uint16
dhcp4 27 all-subnets-local boolean
dhcp4 28 broadcast-address ipv4-address
dhcp4 29 perform-mask-discovery boolean
dhcp4 30 mask-supplier boolean
dhcp4 31 router-discovery boolean
dhcp4 32 router-solicitation-address ipv4-address
dhcp4 33 static-routes ipv4-address*
dhcp4 34 trailer-encapsulation boolean
dhcp4 35 arp-cache-timeout uint32
dhcp4 36 ieee802-3-encapsulation boolean
dhcp4 37 default-tcp-ttl uint8
dhcp4 38 tcp-keepalive-interval uint32
dhcp4 39 tcp-keepalive-garbage boolean
dhcp4 40 nis-domain string
dhcp4 41 nis-servers ipv4-address*
dhcp4 42 ntp-servers ipv4-address*
dhcp4 43 vendor-encapsulated-options empty>vendor-encapsulated-options-space
dhcp4 44 netbios-name-servers ipv4-address*
dhcp4 45 netbios-dd-server ipv4-address*
dhcp4 46 netbios-node-type uint8
dhcp4 47 netbios-scope string
dhcp4 48 font-servers ipv4-address*
dhcp4 49 x-display-manager ipv4-address*
dhcp4 50 dhcp-requested-address ipv4-address
dhcp4 51 dhcp-lease-time uint32
dhcp4 52 dhcp-option-overload uint8
dhcp4 53 dhcp-message-type uint8
dhcp4 54 dhcp-server-identifier ipv4-address
dhcp4 55 dhcp-parameter-request-list uint8*
dhcp4 56 dhcp-message string
dhcp4 57 dhcp-max-message-size uint16
dhcp4 58 dhcp-renewal-time uint32
dhcp4 59 dhcp-rebinding-time uint32
dhcp4 60 vendor-class-identifier string
dhcp4 61 dhcp-client-identifier binary
dhcp4 62 nwip-domain-name string
dhcp4 63 nwip-suboptions binary
dhcp4 64 nisplus-domain-name string
dhcp4 65 nisplus-servers ipv4-address*
dhcp4 66 tftp-server-name string
dhcp4 67 boot-file-name string
dhcp4 68 mobile-ip-home-agent ipv4-address*
dhcp4 69 smtp-server ipv4-address*
dhcp4 70 pop-server ipv4-address*
dhcp4 71 nntp-server ipv4-address*
dhcp4 72 www-server ipv4-address*
dhcp4 73 finger-server ipv4-address*
dhcp4 74 irc-server ipv4-address*
dhcp4 75 streettalk-server ipv4-address*
dhcp4 76 streettalk-directory-assistance-server ipv4-address*
dhcp4 77 user-class binary
dhcp4 78 slp-directory-agent (boolean,ipv4-address)*
dhcp4 79 slp-service-scope (boolean,string)
dhcp4 81 fqdn (uint8,uint8,uint8,fqdn)
dhcp4 82 dhcp-agent-options empty>dhcp-agent-options-space
dhcp4 85 nds-servers ipv4-address*
dhcp4 86 nds-tree-name string
dhcp4 87 nds-context string
dhcp4 88 bcms-controller-names fqdn*
dhcp4 89 bcms-controller-address ipv4-address*
dhcp4 90 authenticate binary
dhcp4 91 client-last-transaction-time uint32
dhcp4 92 associated-ip ipv4-address*
dhcp4 93 client-system uint16*
dhcp4 94 client-ndi (uint8,uint8,uint8)
dhcp4 97 uuid-guid (uint8,binary)
dhcp4 98 uap-servers string
dhcp4 99 geoconf-civic binary
dhcp4 100 pcode string
dhcp4 101 tcode string
dhcp4 108 v6-only-preferred uint32
dhcp4 112 netinfo-server-address ipv4-address*
dhcp4 113 netinfo-server-tag string
dhcp4 114 v4-captive-portal string
dhcp4 116 auto-config uint8
dhcp4 117 name-service-search uint16*
dhcp4 118 subnet-selection ipv4-address
dhcp4 119 domain-search fqdn*
dhcp4 121 classless-static-route internal
dhcp4 122 cablelabs-client-conf empty>cablelabs-client-conf
dhcp4 124 vivco-suboptions (uint32,binary)
dhcp4 125 vivso-suboptions uint32
dhcp4 136 pana-agent ipv4-address*
dhcp4 137 v4-lost fqdn
dhcp4 138 capwap-ac-v4 ipv4-address*
dhcp4 141 sip-ua-cs-domains fqdn*
dhcp4 143 v4-sztp-redirect tuple*
dhcp4 146 rdnss-selection (uint8,ipv4-address,ipv4-address,fqdn)*
dhcp4 151 status-code (uint8,string)
dhcp4 152 base-time uint32
dhcp4 153 start-time-of-state uint32
dhcp4 154 query-start-time uint32
dhcp4 155 query-end-time uint32
dhcp4 156 dhcp-state uint8
dhcp4 157 data-source uint8
dhcp4 159 v4-portparams (uint8,psid)
dhcp4 162 v4-dnr internal
dhcp4 212 option-6rd (uint8,uint8,ipv6-address,ipv4-address)*
dhcp4 213 v4-access-domain fqdn
dhcp-agent-options-space 1 circuit-id binary
dhcp-agent-options-space 2 remote-id binary
dhcp-agent-options-space 5 link-selection ipv4-address
dhcp-agent-options-space 6 subscriber-id string
cablelabs-client-conf 1 tsp-primary-server ipv4-address
cablelabs-client-conf 2 tsp-secondary-server ipv4-address
cablelabs-client-conf 4 tsp-as-parameters (uint32,uint32,uint32)
cablelabs-client-conf 5 tsp-ap-parameters (uint32,uint32,uint32)
cablelabs-client-conf 6 tsp-realm fqdn
cablelabs-client-conf 7 tsp-use-tgt boolean
cablelabs-client-conf 8 tsp-provisioning-timer uint8
cablelabs-client-conf 9 tsp-sct uint16
cablelabs-client-conf 10 kdc-server ipv4-address*
vendor-4491 1 oro uint8*
vendor-4491 2 tftp-servers ipv4-address*
`

// standardDefinitions reads the table above.
func standardDefinitions() (all []*definition) {
	for line := range strings.Lines(strings.TrimSpace(standard)) {
		f := strings.Fields(line)
		code, err := strconv.ParseUint(f[1], 10, 8)
		if err != nil {
			panic(err)
		}
		d := &definition{space: f[0], code: uint32(code), name: f[2]}
		d.kind, d.encapsulate, _ = strings.Cut(f[3], ">")
		d.kind, d.array = strings.CutSuffix(d.kind, "*")
		if fields, ok := strings.CutPrefix(d.kind, "("); ok {
			d.kind, d.fields = "record", strings.Split(strings.TrimSuffix(fields, ")"), ",")
		}
		all = append(all, d)
	}
	return all
}

// definitions are those that hold in a scope: its own before those around it.
type definitions struct {
	own    map[definitionKey]*definition
	around *definitions
}

// definitionKey is a space, and a code or a name in it.
type definitionKey struct {
	space string
	code  int64 // -1: the name counts
	name  string
}

// newDefinitions returns definitions, of which the first with a code or a name counts.
func newDefinitions(own []*definition, around *definitions) *definitions {
	ds := &definitions{map[definitionKey]*definition{}, around}
	for _, d := range own {
		for _, key := range []definitionKey{{d.space, int64(d.code), ""}, {d.space, -1, d.name}} {
			if ds.own[key] == nil {
				ds.own[key] = d
			}
		}
	}
	return ds
}

// find finds a definition by code, or by name.
func (ds *definitions) find(space string, code *uint32, name string) *definition {
	key := definitionKey{space, -1, name}
	if code != nil {
		key.code, key.name = int64(*code), ""
	}
	for ; ds != nil; ds = ds.around {
		if d := ds.own[key]; d != nil {
			return d
		}
	}
	return nil
}

// csv encodes a value that is written as comma-separated values.
func (d *definition) csv(data string) ([]byte, error) {
	tokens := split(data)
	switch {
	case d.kind == "internal" && d.code == 121:
		return routes(tokens)
	case d.kind == "internal":
		return nil, fmt.Errorf("the notation of option %s is not read; write its octets in hex, with csv-format false",
			d.name)
	case d.kind == "empty":
		if strings.TrimSpace(data) != "" {
			return nil, errors.New("the option is defined as empty, and has data")
		}
		return nil, nil
	case d.kind == "record":
		if len(tokens) < len(d.fields) {
			return nil, fmt.Errorf("it has %d values, and the option has %d fields", len(tokens), len(d.fields))
		}
		kinds := slices.Clone(d.fields)
		for d.array && len(kinds) < len(tokens) {
			kinds = append(kinds, d.fields[len(d.fields)-1])
		}
		return d.octets(kinds, tokens)
	case len(tokens) == 0:
		return nil, errors.New("it has no value")
	case d.array:
		kinds := make([]string, len(tokens))
		for i := range kinds {
			kinds[i] = d.kind
		}
		return d.octets(kinds, tokens)
	}
	return d.octets([]string{d.kind}, tokens)
}

// ignored reports whether Kea takes only a part of the data: of an option that is one text, a comma
// ends it.
func (d *definition) ignored(data string) bool {
	n := len(split(data))
	return d.kind != "internal" && !d.array && n > max(1, len(d.fields))
}

func (d *definition) octets(kinds, tokens []string) (wire []byte, err error) {
	for i, kind := range kinds {
		b, err := encodeField(kind, strings.Trim(tokens[i], " \t\n\r"), d.space == dhcp4Space && d.code == 143)
		if err != nil {
			return nil, err
		}
		wire = append(wire, b...)
	}
	return wire, nil
}

// split splits comma-separated values as Kea does: a backslash keeps a comma in its value, and
// empty values do not count.
func split(data string) (tokens []string) {
	var b strings.Builder
	escaped := false
	end := func() {
		if b.Len() > 0 {
			tokens = append(tokens, b.String())
		}
		b.Reset()
	}
	for _, c := range []byte(data) {
		switch {
		case escaped:
			if c != ',' && c != '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
			escaped = false
		case c == '\\':
			escaped = true
		case c == ',':
			end()
		default:
			b.WriteByte(c)
		}
	}
	if escaped {
		b.WriteByte('\\')
	}
	end()
	return tokens
}

// encodeField encodes one value. A long tuple has two octets of length.
func encodeField(kind, s string, long bool) ([]byte, error) {
	switch kind {
	case "binary":
		if len(s)%2 != 0 {
			s = "0" + s
		}
		b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
		if err != nil {
			return nil, fmt.Errorf("%q is not hex", s)
		}
		return b, nil
	case "boolean":
		switch s {
		case "true", "1":
			return []byte{1}, nil
		case "false", "0":
			return []byte{0}, nil
		}
		return nil, fmt.Errorf("%q is neither true nor false", s)
	case "string":
		return []byte(s), nil
	case "fqdn":
		return name(s)
	case "tuple":
		if long {
			return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...), nil
		}
		if len(s) > 255 {
			return nil, fmt.Errorf("%q is longer than 255 octets", s)
		}
		return append([]byte{byte(len(s))}, s...), nil
	case "ipv4-address", "ipv6-address":
		a, err := netip.ParseAddr(s)
		if err != nil || a.Is4() != (kind == "ipv4-address") {
			return nil, fmt.Errorf("%q is no %s", s, kind)
		}
		return a.AsSlice(), nil
	case "ipv6-prefix":
		p, err := netip.ParsePrefix(strings.ReplaceAll(s, " ", ""))
		if err != nil || !p.Addr().Is6() {
			return nil, fmt.Errorf("%q is no IPv6 prefix", s)
		}
		return append([]byte{byte(p.Bits())}, p.Masked().Addr().AsSlice()[:(p.Bits()+7)/8]...), nil
	case "psid":
		id, length, _ := strings.Cut(strings.ReplaceAll(s, " ", ""), "/")
		n, err1 := strconv.ParseUint(id, 10, 16)
		bits, err2 := strconv.ParseUint(length, 10, 8)
		if err1 != nil || err2 != nil || bits > 16 || (bits > 0 && n>>bits != 0) {
			return nil, fmt.Errorf("%q is no port set, which is written as number/length", s)
		}
		return binary.BigEndian.AppendUint16([]byte{byte(bits)}, uint16(n<<(16-bits))), nil
	}
	signed, bits, ok := integer(kind)
	if !ok {
		return nil, fmt.Errorf("values of the type %q are not read", kind)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		n, err = strconv.ParseInt(strings.TrimPrefix(s, "0x"), 16, 64)
	}
	least, most := int64(0), int64(1)<<bits-1
	if signed {
		least, most = -1<<(bits-1), 1<<(bits-1)-1
	}
	if err != nil || n < least || n > most {
		return nil, fmt.Errorf("%q is no number from %d to %d", s, least, most)
	}
	return binary.BigEndian.AppendUint64(nil, uint64(n))[8-bits/8:], nil
}

// integer tells what an integer type is.
func integer(kind string) (signed bool, bits int, ok bool) {
	digits, unsigned := strings.CutPrefix(kind, "uint")
	if !unsigned {
		if digits, ok = strings.CutPrefix(kind, "int"); !ok {
			return false, 0, false
		}
	}
	switch digits {
	case "8", "16", "32":
		bits, _ = strconv.Atoi(digits)
		return !unsigned, bits, true
	}
	return false, 0, false
}

// name encodes a domain name as labels.
func name(s string) (wire []byte, err error) {
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 {
			return nil, fmt.Errorf("%q is no domain name", s)
		}
		wire = append(append(wire, byte(len(label))), label...)
	}
	if wire = append(wire, 0); len(wire) > 255 {
		return nil, fmt.Errorf("%q is no domain name: it is too long", s)
	}
	return wire, nil
}

// routes encodes option 121 as Kea 2.4 and later write it: `10.0.0.0/8 - 192.0.2.1`.
func routes(tokens []string) (wire []byte, err error) {
	for _, t := range tokens {
		to, by, found := strings.Cut(t, "-")
		p, err1 := netip.ParsePrefix(strings.TrimSpace(to))
		a, err2 := netip.ParseAddr(strings.TrimSpace(by))
		if !found || err1 != nil || err2 != nil || !p.Addr().Is4() || !a.Is4() {
			return nil, fmt.Errorf("%q is no route, which is written as 10.0.0.0/8 - 192.0.2.1", strings.TrimSpace(t))
		}
		wire = append(append(wire, byte(p.Bits())), p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
		wire = append(wire, a.AsSlice()...)
	}
	if wire == nil {
		return nil, errors.New("it has no value")
	}
	return wire, nil
}

// plain reads octets as Kea does where there is no CSV: text in single quotes, or hex with colons,
// with blanks, or with neither.
func plain(s string) ([]byte, error) {
	if t := strings.TrimSpace(s); len(t) > 1 && t[0] == '\'' && t[len(t)-1] == '\'' {
		if b := []byte(strings.TrimSpace(t[1 : len(t)-1])); len(b) > 0 {
			return b, nil
		}
	}
	separator := ":"
	if !strings.Contains(s, ":") {
		separator = " "
	}
	if !strings.Contains(s, separator) {
		digits := strings.TrimPrefix(s, "0x")
		if len(digits)%2 != 0 {
			digits = "0" + digits
		}
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, fmt.Errorf("%q is neither hex nor text in single quotes", s)
		}
		return b, nil
	}
	var b []byte
	for part := range strings.SplitSeq(s, separator) {
		n, err := strconv.ParseUint(part, 16, 8)
		if err != nil || len(part) > 2 {
			return nil, fmt.Errorf("%q is neither hex nor text in single quotes", s)
		}
		b = append(b, byte(n))
	}
	return b, nil
}
