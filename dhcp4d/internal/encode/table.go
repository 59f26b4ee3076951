package encode

// Definition describes one option.
type Definition struct {
	Code    byte
	Name    string
	Aliases []string // other names in use
	kind    kind
	min     uint64 // least number, for numbers
	max     uint64 // greatest number, 0: what the type holds
}

// Kind names the option's type for documentation.
func (d *Definition) Kind() string { return kinds[d.kind].name }

// Refused returns why the option cannot be configured, "" if it can.
func (d *Definition) Refused() string { return refused[d.Code] }

func (d *Definition) names() []string { return append([]string{d.Name}, d.Aliases...) }

// Definitions returns the table of options, by ascending code.
func Definitions() []Definition { return table }

// table is RFC 2132 and the common later options, with the names that IANA and Kea use.
var table = []Definition{
	{Code: 1, Name: "subnet-mask", kind: mask},
	{Code: 2, Name: "time-offset", kind: int32s},
	{Code: 3, Name: "routers", kind: hosts},
	{Code: 4, Name: "time-servers", kind: hosts},
	{Code: 5, Name: "name-servers", kind: hosts},
	{Code: 6, Name: "domain-name-servers", kind: hosts},
	{Code: 7, Name: "log-servers", kind: hosts},
	{Code: 8, Name: "cookie-servers", kind: hosts},
	{Code: 9, Name: "lpr-servers", kind: hosts},
	{Code: 10, Name: "impress-servers", kind: hosts},
	{Code: 11, Name: "resource-location-servers", kind: hosts},
	{Code: 12, Name: "host-name", kind: text},
	{Code: 13, Name: "boot-size", kind: uint16s},
	{Code: 14, Name: "merit-dump", kind: text},
	{Code: 15, Name: "domain-name", kind: text},
	{Code: 16, Name: "swap-server", kind: host},
	{Code: 17, Name: "root-path", kind: text},
	{Code: 18, Name: "extensions-path", kind: text},
	{Code: 19, Name: "ip-forwarding", kind: boolean},
	{Code: 20, Name: "non-local-source-routing", kind: boolean},
	{Code: 21, Name: "policy-filter", kind: filters},
	{Code: 22, Name: "max-dgram-reassembly", kind: uint16s, min: 576},
	{Code: 23, Name: "default-ip-ttl", kind: uint8s, min: 1},
	{Code: 24, Name: "path-mtu-aging-timeout", kind: uint32s},
	{Code: 25, Name: "path-mtu-plateau-table", kind: uint16List, min: 68},
	{Code: 26, Name: "interface-mtu", kind: uint16s, min: 68},
	{Code: 27, Name: "all-subnets-local", kind: boolean},
	{Code: 28, Name: "broadcast-address", kind: address},
	{Code: 29, Name: "perform-mask-discovery", kind: boolean},
	{Code: 30, Name: "mask-supplier", kind: boolean},
	{Code: 31, Name: "router-discovery", kind: boolean},
	{Code: 32, Name: "router-solicitation-address", kind: address},
	{Code: 33, Name: "static-routes", kind: hostRoutes},
	{Code: 34, Name: "trailer-encapsulation", kind: boolean},
	{Code: 35, Name: "arp-cache-timeout", kind: uint32s},
	{Code: 36, Name: "ieee802-3-encapsulation", kind: boolean},
	{Code: 37, Name: "default-tcp-ttl", kind: uint8s, min: 1},
	{Code: 38, Name: "tcp-keepalive-interval", kind: uint32s},
	{Code: 39, Name: "tcp-keepalive-garbage", kind: boolean},
	{Code: 40, Name: "nis-domain", kind: text},
	{Code: 41, Name: "nis-servers", kind: hosts},
	{Code: 42, Name: "ntp-servers", kind: hosts},
	{Code: 43, Name: "vendor-encapsulated-options", kind: suboptions},
	{Code: 44, Name: "netbios-name-servers", kind: hosts},
	{Code: 45, Name: "netbios-dd-server", kind: hosts},
	{Code: 46, Name: "netbios-node-type", kind: uint8s, min: 1, max: 8},
	{Code: 47, Name: "netbios-scope", kind: text},
	{Code: 48, Name: "font-servers", kind: hosts},
	{Code: 49, Name: "x-display-manager", kind: hosts},
	{Code: 50, Name: "dhcp-requested-address", kind: host},
	{Code: 51, Name: "dhcp-lease-time", kind: uint32s},
	{Code: 52, Name: "dhcp-option-overload", kind: uint8s},
	{Code: 53, Name: "dhcp-message-type", kind: uint8s},
	{Code: 54, Name: "dhcp-server-identifier", kind: host},
	{Code: 55, Name: "dhcp-parameter-request-list", kind: opaque},
	{Code: 56, Name: "dhcp-message", kind: text},
	{Code: 57, Name: "dhcp-max-message-size", kind: uint16s},
	{Code: 58, Name: "dhcp-renewal-time", kind: uint32s},
	{Code: 59, Name: "dhcp-rebinding-time", kind: uint32s},
	{Code: 60, Name: "vendor-class-identifier", kind: textOrHex},
	{Code: 61, Name: "dhcp-client-identifier", kind: opaque},
	{Code: 62, Name: "nwip-domain-name", kind: text},
	{Code: 63, Name: "nwip-suboptions", kind: suboptions},
	{Code: 64, Name: "nisplus-domain-name", kind: text},
	{Code: 65, Name: "nisplus-servers", kind: hosts},
	{Code: 66, Name: "tftp-server-name", kind: text},
	{Code: 67, Name: "boot-file-name", Aliases: []string{"bootfile-name"}, kind: text},
	{Code: 68, Name: "mobile-ip-home-agent", kind: hosts},
	{Code: 69, Name: "smtp-server", kind: hosts},
	{Code: 70, Name: "pop-server", kind: hosts},
	{Code: 71, Name: "nntp-server", kind: hosts},
	{Code: 72, Name: "www-server", kind: hosts},
	{Code: 73, Name: "finger-server", kind: hosts},
	{Code: 74, Name: "irc-server", kind: hosts},
	{Code: 75, Name: "streettalk-server", kind: hosts},
	{Code: 76, Name: "streettalk-directory-assistance-server", kind: hosts},
	{Code: 77, Name: "user-class", kind: opaque},
	{Code: 78, Name: "slp-directory-agent", kind: opaque},
	{Code: 79, Name: "slp-service-scope", kind: opaque},
	{Code: 80, Name: "rapid-commit", kind: opaque},
	{Code: 81, Name: "fqdn", kind: opaque},
	{Code: 82, Name: "dhcp-agent-options", kind: opaque},
	{Code: 85, Name: "nds-servers", kind: hosts},
	{Code: 86, Name: "nds-tree-name", kind: text},
	{Code: 87, Name: "nds-context", kind: text},
	{Code: 88, Name: "bcms-controller-names", kind: plainNames}, // RFC 4280
	{Code: 89, Name: "bcms-controller-address", kind: hosts},
	{Code: 90, Name: "authenticate", kind: opaque},
	{Code: 91, Name: "client-last-transaction-time", kind: uint32s},
	{Code: 92, Name: "associated-ip", kind: hosts},
	{Code: 93, Name: "client-system", kind: uint16List},
	{Code: 94, Name: "client-ndi", kind: opaque},
	{Code: 97, Name: "uuid-guid", kind: opaque},
	{Code: 98, Name: "uap-servers", kind: text},
	{Code: 99, Name: "geoconf-civic", kind: opaque},
	{Code: 100, Name: "pcode", Aliases: []string{"posix-timezone"}, kind: text}, // RFC 4833
	{Code: 101, Name: "tcode", Aliases: []string{"tzdb-timezone"}, kind: text},
	{Code: 108, Name: "v6-only-preferred", kind: uint32s}, // RFC 8925
	{Code: 109, Name: "dhcp4o6-s46-saddr", kind: opaque},
	{Code: 112, Name: "netinfo-server-address", kind: hosts},
	{Code: 113, Name: "netinfo-server-tag", kind: text},
	{Code: 114, Name: "v4-captive-portal", Aliases: []string{"captive-portal"}, kind: text}, // RFC 8910
	{Code: 116, Name: "auto-config", kind: uint8s, max: 1},
	{Code: 117, Name: "name-service-search", kind: uint16List},
	{Code: 118, Name: "subnet-selection", kind: host},
	{Code: 119, Name: "domain-search", kind: names},                                                         // RFC 3397
	{Code: 120, Name: "sip-servers", kind: sipServers},                                                      // RFC 3361
	{Code: 121, Name: "classless-static-route", Aliases: []string{"classless-static-routes"}, kind: routes}, // RFC 3442
	{Code: 122, Name: "cablelabs-client-configuration", Aliases: []string{"cablelabs-client-conf"}, kind: suboptions},
	{Code: 123, Name: "geoconf", kind: opaque},
	{Code: 124, Name: "vivco-suboptions", kind: vendors}, // RFC 3925
	{Code: 125, Name: "vivso-suboptions", kind: vendorOptions},
	{Code: 136, Name: "pana-agent", kind: hosts},
	{Code: 137, Name: "v4-lost", kind: plainName},
	{Code: 138, Name: "capwap-ac-v4", kind: hosts},
	{Code: 139, Name: "mos-address", kind: opaque},
	{Code: 140, Name: "mos-names", kind: opaque},
	{Code: 141, Name: "sip-ua-cs-domains", kind: plainNames},
	{Code: 142, Name: "andsf-address", kind: hosts},
	{Code: 143, Name: "v4-sztp-redirect", kind: opaque},
	{Code: 145, Name: "forcerenew-nonce-capable", kind: opaque},
	{Code: 146, Name: "rdnss-selection", kind: opaque},
	{Code: 147, Name: "v4-dots-ri", kind: plainName},
	{Code: 148, Name: "v4-dots-address", kind: hosts},
	{Code: 150, Name: "tftp-server-address", Aliases: []string{"tftp-servers"}, kind: hosts}, // RFC 5859
	{Code: 159, Name: "v4-portparams", kind: opaque},
	{Code: 161, Name: "mud-url", kind: text},
	{Code: 162, Name: "v4-dnr", kind: opaque},
	{Code: 209, Name: "pxelinux-config-file", Aliases: []string{"configfile"}, kind: text}, // RFC 5071
	{Code: 210, Name: "pxelinux-path-prefix", Aliases: []string{"pathprefix"}, kind: text},
	{Code: 211, Name: "pxelinux-reboot-time", Aliases: []string{"reboottime"}, kind: uint32s},
	{Code: 212, Name: "option-6rd", kind: opaque},
	{Code: 213, Name: "v4-access-domain", kind: plainName},
	{Code: 249, Name: "ms-classless-static-route", kind: routes},         // [MS-DHCPE] section 2.2.8
	{Code: 252, Name: "wpad", Aliases: []string{"wpad-url"}, kind: text}, // draft-ietf-wrec-wpad-01
}

// refused lists the options that are not configured as options, and why.
var refused = [256]string{
	50:  "only clients send it",
	51:  "the server writes it; use lease-time, min-lease-time and max-lease-time",
	52:  "the server writes it where it needs the space",
	53:  "the server writes it",
	54:  "the server writes it; use server-id",
	55:  "only clients send it",
	56:  "the server writes it where it has something to say",
	57:  "only clients send it",
	58:  "the server writes it; use renewal-time",
	59:  "the server writes it; use rebinding-time",
	61:  "the server returns what the client sent (RFC 6842)",
	77:  "only clients send it; to give options by user class use classes",
	80:  "a lease without the usual four messages is not offered",
	81:  "the server does not update the DNS; use host-name and domain-name",
	82:  "the server returns what the relay sent (RFC 3046)",
	90:  "authentication of DHCPv4 messages is not offered",
	91:  "it belongs to lease queries, which are not answered",
	92:  "it belongs to lease queries, which are not answered",
	93:  "only clients send it",
	94:  "only clients send it",
	97:  "only clients send it",
	109: "the server writes the address that it bound (RFC 8539)",
	116: "it tells a client whether to choose a link-local IPv4 address (RFC 2563), and behind this server is no " +
		"IPv4 link to use one on; leave it out",
	118: "only clients and relays send it",
	145: "forced renewal is not offered",
	159: "it is written with the lease of a shared address (RFC 7618)",
	161: "only clients send it",
}

var (
	byCode = indexCodes()
	byName = indexNames()
)

func indexCodes() (index [256]*Definition) {
	for i := range table {
		index[table[i].Code] = &table[i]
	}
	return index
}

func indexNames() map[string]*Definition {
	index := map[string]*Definition{}
	for i := range table {
		for _, name := range table[i].names() {
			index[name] = &table[i]
		}
	}
	return index
}

// CodeOf returns the code of an option by one of its names.
func CodeOf(name string) (code byte, ok bool) {
	if def := byName[name]; def != nil {
		return def.Code, true
	}
	return 0, false
}

// Names returns the names of all options.
func Names() (names []string) {
	for i := range table {
		names = append(names, table[i].names()...)
	}
	return names
}

// Name returns an option's name, or its code in decimal where it has none.
func Name(code byte) string {
	if def := byCode[code]; def != nil {
		return def.Name
	}
	return decimal(code)
}
