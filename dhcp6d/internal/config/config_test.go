package config_test

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/config"
	shared "github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/config/configtest"
)

func environ(pairs ...string) []string {
	e := []string{"DHCP6D_INTERFACES=eth*"}
	for _, p := range pairs {
		e = append(e, "DHCP6D_"+p)
	}
	return e
}

func TestIPC1_Defaults(t *testing.T) {
	c, err := config.Load(environ())
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case c.ServerPort != 547 || c.ClientPort != 0 || c.Source.IsValid():
		t.Errorf("link: %+v", c)
	case c.IPCListen != netip.MustParseAddrPort("[::1]:6767"):
		t.Errorf("ipc: %v", c.IPCListen)
	case !slices.Equal(c.Backends, []config.Backend{{Name: "[::1]:6768", Host: "::1", Port: 6768}}):
		t.Errorf("backends: %+v", c.Backends)
	case c.Options.Any():
		t.Errorf("offered: %+v", c.Options)
	case c.Settings().MetricsListen != ":9566" || c.StateDir != "/var/lib/dhcp6d":
		t.Errorf("settings: %+v", c.Settings())
	case len(c.Warnings()) != 0:
		t.Errorf("warnings: %q", c.Warnings())
	}
}

func TestQ35OptionIsNotOfferedUnlessConfigured(t *testing.T) {
	for value, want := range map[string]answer.Options{
		"":                           {},
		"none":                       {},
		"empty":                      {Offer4o6: true},
		"multicast":                  {Offer4o6: true, Servers4o6: addrs("ff02::1:2")},
		"2001:db8::1, multicast":     {Offer4o6: true, Servers4o6: addrs("2001:db8::1", "ff02::1:2")},
		"2001:db8::1\n2001:db8::2\n": {Offer4o6: true, Servers4o6: addrs("2001:db8::1", "2001:db8::2")},
	} {
		c, err := config.Load(environ("4O6_SERVERS=" + value))
		if err != nil || !reflect.DeepEqual(c.Options, want) {
			t.Errorf("Q-35 %q: %+v, %v", value, c.Options, err)
		}
	}
}

func TestEverything(t *testing.T) {
	c, err := config.Load(environ(
		"INTERFACES=eth*, !eth1,br-lan", "JOIN_SITE=true", "RELAYS=2001:db8:1::/64,fd00::/8", "LDRA_INTERFACES=eth2",
		"SERVER_PORT=10547", "CLIENT_PORT=10546", "SOURCE=2001:db8::5",
		"IPC_LISTEN=[::]:7000", "IPC_BACKENDS=a@dhcp4d:6768, [2001:db8::9]:6768 kea", "IPC_INSECURE=true",
		"DNS_SERVERS=2001:db8::53", "DOMAIN_SEARCH=example.org,lan.", "NTP_SERVERS=2001:db8::7,ff05::101,ntp.example.org",
		"INFORMATION_REFRESH_TIME=1h", "SOL_MAX_RT=60", "INF_MAX_RT=24h", "OPTIONS=17:000009bf0001000101,59:68,17:0000000100010000",
		"STATE_DIR=/s", "HOOKS=acl", "ACL_ALLOW=prefix=2001:db8::/32,interface-id=port-7", "ACL_DENY=remote-id=2495:0xff",
		"METRICS_LISTEN=[::1]:1", "DEBUG_LISTEN=[::1]:2", "LOG_LEVEL=debug", "LOG_FORMAT=text",
	))
	if err != nil {
		t.Fatal(err)
	}
	backends := []config.Backend{{Name: "a", Host: "dhcp4d", Port: 6768}, {Name: "[2001:db8::9]:6768", Host: "2001:db8::9", Port: 6768, Kea: true}}
	offered := answer.Options{
		DNSServers: addrs("2001:db8::53"), DomainSearch: []string{"example.org", "lan."},
		NTP:         []answer.NTPServer{{Unicast: addrs("2001:db8::7")[0]}, {Multicast: addrs("ff05::101")[0]}, {Name: "ntp.example.org"}},
		RefreshTime: 3600, SolMaxRT: 60, InfMaxRT: 86400,
		Others: []answer.Option{
			{Code: 17, Data: []byte{0, 0, 9, 0xbf, 0, 1, 0, 1, 1}}, {Code: 59, Data: []byte{0x68}}, {Code: 17, Data: []byte{0, 0, 0, 1, 0, 1, 0, 0}},
		},
	}
	switch {
	case !slices.Equal(c.Interfaces, []string{"eth*", "!eth1", "br-lan"}) || !c.JoinSite || len(c.Relays) != 2:
		t.Errorf("link: %+v", c)
	case !slices.Equal(c.Backends, backends):
		t.Errorf("backends: %+v", c.Backends)
	case !reflect.DeepEqual(c.Options, offered):
		t.Errorf("options: %+v", c.Options)
	case len(c.Hooks) != 1 || c.Hooks[0].Name() != "acl":
		t.Errorf("hooks: %+v", c.Hooks)
	}
	if got := c.Backends[1].String(); got != "[2001:db8::9]:6768 kea" {
		t.Errorf("backend written as %q", got)
	}
	if got := c.Backends[0].String(); got != "a@dhcp4d:6768" {
		t.Errorf("backend written as %q", got)
	}
}

func TestRL36WhereMessagesArePassedOn(t *testing.T) {
	c, err := config.Load(environ("INTERFACES=eth0", "DHCPV6_SERVERS=2001:db8::1, [fd00::2]:1547,[::1]:1547,[2001:db8::3],Kea.example.org:1547",
		"DHCPV6_LINK_ADDRESSES=eth*=2001:db8:a::1,br0=fd00:1::1", "DHCPV6_INFORMATION=true"))
	if err != nil {
		t.Fatal(err)
	}
	links := []config.LinkAddress{{Interface: "eth*", Address: addrs("2001:db8:a::1")[0]}, {Interface: "br0", Address: addrs("fd00:1::1")[0]}}
	if fmt.Sprint(c.DHCPv6Servers) != "[[2001:db8::1]:547 [fd00::2]:1547 [::1]:1547 [2001:db8::3]:547 kea.example.org:1547]" || !slices.Equal(c.DHCPv6Links, links) || !c.DHCPv6Information {
		t.Errorf("%v, %v, %v", c.DHCPv6Servers, c.DHCPv6Links, c.DHCPv6Information)
	}
}

func TestRL40WhatIsSupplied(t *testing.T) {
	const servers, link = "DHCPV6_SERVERS=2001:db8::1", "LINK_OPTIONS=eth0 DNS_SERVERS=2001:db8::53"
	c, err := config.Load(environ("INTERFACES=eth0", servers, "4O6_SERVERS=multicast", link, "DHCPV6_SUPPLY=88,23"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []uint16{88, 23}; !slices.Equal(c.Options.Supply, want) || !slices.Equal(c.LinkOptions[0].Options.Supply, want) {
		t.Errorf("%v, %v", c.Options.Supply, c.LinkOptions[0].Options.Supply)
	}
	for supply, want := range map[string]string{
		"DHCPV6_SUPPLY=24":    "DHCP6D_DHCPV6_SUPPLY: option 24 is offered on no link; configure it, such as with DHCP6D_4O6_SERVERS, DHCP6D_OPTIONS or DHCP6D_LINKS",
		"DHCPV6_SUPPLY=88,88": "DHCP6D_DHCPV6_SUPPLY: option 88 is listed twice; remove one of them",
	} {
		if _, err := config.Load(environ("INTERFACES=eth0", servers, "4O6_SERVERS=multicast", link, supply)); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", supply, err)
		}
	}
}

func TestJoinSite(t *testing.T) {
	for env, want := range map[string]bool{
		"": false, "RELAYS=2001:db8::/64": true, "JOIN_SITE=true": true,
		"JOIN_SITE=false RELAYS=2001:db8::/64": false, "JOIN_SITE=auto RELAYS=::/0": true,
	} {
		c, err := config.Load(environ(append(strings.Fields(env), "INTERFACES=eth0")...))
		if err != nil || c.JoinSite != want {
			t.Errorf("%q: join %v, %v; want %v", env, c.JoinSite, err, want)
		}
	}
}

// Each row is one mistake and the complete message about it.
func TestMistakes(t *testing.T) {
	const remedy = "; keep it on the loopback interface, set DHCP6D_IPC_KEYS, or set DHCP6D_IPC_INSECURE=true if the network between is yours alone"
	const kea = "; give list of [name@]host:port[ kea]"
	const patterns = "; give list of names and patterns, such as eth0 or eth*,!eth1"
	const passTo = "; give list of [address]:port or name:port"
	const ranges = "; give list of name:prefix or name:first-last"
	const ofLinks = "; give lines of a link and VARIABLE=value, with blanks between"
	const offers = "; give none, empty, or list of IPv6 addresses and multicast"
	tests := []struct{ name, env, want string }{
		{"no interface but exceptions", "INTERFACES=!eth0", `INTERFACES: "!eth0" takes no interface, it only excepts` + patterns},
		{"bad pattern", "INTERFACES=eth[0", `INTERFACES: "eth[0" is no pattern: a bracket or backslash lacks its end` + patterns},
		{"name too long", "INTERFACES=" + strings.Repeat("a", 128), `INTERFACES: "` + strings.Repeat("a", 128) + `" is longer than the 127 characters of an interface name` + patterns},
		{"name with a slash", "INTERFACES=eth/0,a b", `INTERFACES: "eth/0" is no name of an interface, "a b" is no name of an interface` + patterns},
		{"join site", "JOIN_SITE=maybe", `JOIN_SITE: "maybe" is none of true, false, auto; give true, false or auto`},
		{"D6-42 relay prefix of link-local addresses", "RELAYS=fe80::/10", "RELAYS: fe80::/10 holds link-local addresses only, which name no relay beyond its link; a relay with such an address is taken on the interfaces in DHCP6D_LDRA_INTERFACES"},
		{"D6-42 relay prefix within fe80::/10", "RELAYS=fe80::1/128", "RELAYS: fe80::1/128 holds link-local addresses only, which name no relay beyond its link; a relay with such an address is taken on the interfaces in DHCP6D_LDRA_INTERFACES"},
		{"D6-42 relay prefix multicast", "RELAYS=ff00::/8", "RELAYS: ff00::/8 holds no address that a datagram can come from; give the prefixes of the relays' own addresses"},
		{"D6-42 relay prefix unspecified", "RELAYS=::/128", "RELAYS: ::/128 holds no address that a datagram can come from; give the prefixes of the relays' own addresses"},
		{"relay prefix of IPv4", "RELAYS=192.0.2.0/24", "RELAYS: 192.0.2.0/24 is no IPv6 prefix; DHCPv6 relays have IPv6 addresses"},
		{"relay prefix with host bits", "RELAYS=2001:db8::1/64", "RELAYS: 2001:db8::1/64 has bits set after its length; did you mean 2001:db8::/64?"},
		{"relay without length", "RELAYS=2001:db8::1", "RELAYS: 2001:db8::1 is an address and no prefix; write 2001:db8::1/128 for it alone"},
		{"server port 0", "SERVER_PORT=0", "SERVER_PORT: 0 is no port; leave it unset for 547"},
		{"client port too high", "CLIENT_PORT=65536", `CLIENT_PORT: "65536": value out of range; give a port`},
		{"source of IPv4", "SOURCE=192.0.2.1", "SOURCE: 192.0.2.1 cannot be the source of an answer; give a unicast IPv6 address of this host, without zone"},
		{"D6-42 source multicast", "SOURCE=ff02::1", "SOURCE: ff02::1 cannot be the source of an answer; give a unicast IPv6 address of this host, without zone"},
		{"ipc listen off loopback", "IPC_LISTEN=[::]:6767", "IPC_LISTEN: [::]:6767 can be reached from other hosts and nothing authenticates them" + remedy},
		{"ipc listen without port", "IPC_LISTEN=localhost", `IPC_LISTEN: "localhost": not an ip:port; give address:port`},
		{"backend off loopback", "IPC_BACKENDS=dhcp4d:6768", "IPC_BACKENDS: dhcp4d is on another host and nothing authenticates it" + remedy},
		{"backend of another family", "IPC_BACKENDS=127.0.0.1:6768", "IPC_BACKENDS: 127.0.0.1:6768 cannot be reached from [::1]:6767, where IPC_LISTEN binds; give both the same address family"},
		{"backend without port", "IPC_BACKENDS=::1", `IPC_BACKENDS: "::1" is no host:port (IPv6 addresses need brackets)` + kea},
		{"backend with port 0", "IPC_BACKENDS=[::1]:0", `IPC_BACKENDS: "[::1]:0" has no port from 1 to 65535` + kea},
		{"backend with an unknown mark", "IPC_BACKENDS=[::1]:1 isc", `IPC_BACKENDS: "[::1]:1 isc" has something after its port that is not kea` + kea},
		{"backend with an empty name", "IPC_BACKENDS=@[::1]:1", `IPC_BACKENDS: "@[::1]:1" has no usable name before its @` + kea},
		{"backend name twice", "IPC_BACKENDS=a@[::1]:1,a@[::1]:2", "IPC_BACKENDS: two backends have the name a; names must differ"},
		{"backend twice", "IPC_BACKENDS=a@[::1]:1,b@[::1]:1", "IPC_BACKENDS: [::1]:1 is listed twice; remove one of them"},
		{"D6-42 backend everywhere", "IPC_BACKENDS=[::]:1", `IPC_BACKENDS: "::" is no unicast address without zone` + kea},
		{"D6-42 backend of a group", "IPC_BACKENDS=[ff02::1]:1", `IPC_BACKENDS: "ff02::1" is no unicast address without zone` + kea},
		{"D6-42 backend with a zone", "IPC_BACKENDS=[fe80::1%eth0]:1", `IPC_BACKENDS: "fe80::1%eth0" is no unicast address without zone` + kea},
		{"D6-42 link of a link-local prefix", "LINK_OPTIONS=fe80::/10 DNS_SERVERS=2001:db8::1", `LINK_OPTIONS: "fe80::/10" names no link, because no relay names one by such an address; for clients whose link no relay names give the interface` + ofLinks},
		{"D6-42 link of a group", "LINK_OPTIONS=ff00::/8 DNS_SERVERS=2001:db8::1", `LINK_OPTIONS: "ff00::/8" names no link, because no relay names one by such an address; for clients whose link no relay names give the interface` + ofLinks},
		{"insecure", "IPC_INSECURE=perhaps", `IPC_INSECURE: "perhaps": invalid syntax; give true or false`},
		{"4o6 server of IPv4", "4O6_SERVERS=192.0.2.1", `4O6_SERVERS: "192.0.2.1" is no IPv6 address that a client could send to` + offers},
		{"4o6 server unspecified", "4O6_SERVERS=::", `4O6_SERVERS: "::" is no IPv6 address that a client could send to` + offers},
		{"4o6 server twice", "4O6_SERVERS=multicast,ff02::1:2", `4O6_SERVERS: "multicast,ff02::1:2": ff02::1:2 is listed twice` + offers},
		{"4o6 none in a list", "4O6_SERVERS=none,multicast", `4O6_SERVERS: "none,multicast": none stands alone, not in a list` + offers},
		{"D6-42 dns server multicast", "DNS_SERVERS=ff02::fb", "DNS_SERVERS: ff02::fb is no unicast IPv6 address; give addresses of DNS servers, without zone"},
		{"dns server no address", "DNS_SERVERS=x", `DNS_SERVERS: "x": unable to parse IP; give list of IPv6 addresses`},
		{"domain with empty label", "DOMAIN_SEARCH=a..b", `DOMAIN_SEARCH: "a..b" is no domain name; give names such as example.org`},
		{"ntp server of IPv4", "NTP_SERVERS=192.0.2.1", "NTP_SERVERS: 192.0.2.1 is no IPv6 address of a server; give IPv6 addresses without zone"},
		{"ntp server no name", "NTP_SERVERS=a b", `NTP_SERVERS: "a b" is no domain name; give IPv6 addresses or names such as ntp.example.org`},
		{"D6-32 refresh time of 599", "INFORMATION_REFRESH_TIME=599", "INFORMATION_REFRESH_TIME: 599 seconds are too short; clients refuse less than 600"},
		{"refresh time of 0", "INFORMATION_REFRESH_TIME=0", `INFORMATION_REFRESH_TIME: "0": 0 seconds are too short; give seconds or a duration, 600s at least`},
		{"refresh time no time", "INFORMATION_REFRESH_TIME=1h0.5s", `INFORMATION_REFRESH_TIME: "1h0.5s" is no number of whole seconds; give seconds or a duration, 600s at least`},
		{"D6-29 sol max rt of 59", "SOL_MAX_RT=59", "SOL_MAX_RT: 59 seconds are out of range; give 60 to 86400"},
		{"D6-29 inf max rt of 86401", "INF_MAX_RT=86401", "INF_MAX_RT: 86401 seconds are out of range; give 60 to 86400"},
		{"RL-42 DHCPv6 server of no name", "DHCPV6_SERVERS=a b", `DHCPV6_SERVERS: "a b" is neither the IPv6 address nor the name of a server` + passTo},
		{"RL-42 DHCPv6 server of half an address", "DHCPV6_SERVERS=192.0.2", `DHCPV6_SERVERS: "192.0.2" is neither the IPv6 address nor the name of a server` + passTo},
		{"RL-42 DHCPv6 server by name with port 0", "DHCPV6_SERVERS=kea:0", `DHCPV6_SERVERS: "kea:0" is neither [address]:port nor name:port` + passTo},
		{"RL-42 DHCPv6 server by name twice", "DHCPV6_SERVERS=kea,kea:547", "DHCPV6_SERVERS: kea:547 is listed twice; remove one of them"},
		{"DHCPv6 server of a group", "DHCPV6_SERVERS=ff05::1:3", `DHCPV6_SERVERS: "ff05::1:3": ff05::1:3 is no global or unique local IPv6 address of a server, without zone` + passTo},
		{"DHCPv6 server that is link-local", "DHCPV6_SERVERS=[fe80::1%eth0]:547", `DHCPV6_SERVERS: "[fe80::1%eth0]:547": fe80::1%eth0 is no global or unique local IPv6 address of a server, without zone` + passTo},
		{"DHCPv6 server of IPv4", "DHCPV6_SERVERS=192.0.2.1:547", `DHCPV6_SERVERS: "192.0.2.1:547": 192.0.2.1 is no global or unique local IPv6 address of a server, without zone` + passTo},
		{"DHCPv6 server with port 0", "DHCPV6_SERVERS=[2001:db8::1]:0", `DHCPV6_SERVERS: "[2001:db8::1]:0" has no port from 1 to 65535` + passTo},
		{"DHCPv6 server twice", "DHCPV6_SERVERS=2001:db8::1,[2001:db8::1]:547", "DHCPV6_SERVERS: [2001:db8::1]:547 is listed twice; remove one of them"},
		{"DHCPv6 server that is dhcp6d", "DHCPV6_SERVERS=[::1]:547", "DHCPV6_SERVERS: [::1]:547 is dhcp6d itself; give the port that the server of this host has, or give it a network namespace of its own"},
		{"nine DHCPv6 servers", "DHCPV6_SERVERS=fd00::1,fd00::2,fd00::3,fd00::4,fd00::5,fd00::6,fd00::7,fd00::8,fd00::9", "DHCPV6_SERVERS: 9 servers; give at most 8"},
		{"link-address without interface", "DHCPV6_LINK_ADDRESSES=2001:db8::1", `DHCPV6_LINK_ADDRESSES: "2001:db8::1" is no interface=address; give list of interface=address`},
		{"link-address that is link-local", "DHCPV6_LINK_ADDRESSES=eth0=fe80::1", `DHCPV6_LINK_ADDRESSES: "fe80::1" is no global or unique local IPv6 address; give list of interface=address`},
		{"link-address without a server", "DHCPV6_LINK_ADDRESSES=eth0=2001:db8::1", "DHCPV6_LINK_ADDRESSES: no server is listed that would get them; set DHCP6D_DHCPV6_SERVERS"},
		{"Information-requests passed on to nobody", "DHCPV6_INFORMATION=true", "DHCPV6_INFORMATION: no server is listed to pass Information-requests on to; set DHCP6D_DHCPV6_SERVERS"},
		{"option to supply without a server", "DHCPV6_SUPPLY=88", "DHCPV6_SUPPLY: no server is listed that would get the options; set DHCP6D_DHCPV6_SERVERS"},
		{"option without colon", "OPTIONS=59", `OPTIONS: "59" has no colon after its code; give list of code:hex`},
		{"option code", "OPTIONS=0:00", `OPTIONS: "0" is no option code from 1 to 65535; give list of code:hex`},
		{"option not hex", "OPTIONS=59:xy", `OPTIONS: option 59: "xy" is not hexadecimal; give list of code:hex`},
		{"option twice", "OPTIONS=59:00,59:01", "OPTIONS: option 59 is listed twice"},
		{"D6-30 vendor option of one enterprise twice", "OPTIONS=17:0000000100010000,17:0000000100020000", "OPTIONS: option 17 is listed twice"},
		{"vendor option without enterprise", "OPTIONS=17:00", "OPTIONS: option 17 lacks its enterprise number"},
		{"option with a variable", "OPTIONS=23:00,88:", "OPTIONS: option 23 has a variable of its own, option 88 has a variable of its own"},
		{"D6-28 option that is never asked for", "OPTIONS=3:00", "OPTIONS: option 3 cannot be asked for by clients"},
		{"option of relays", "OPTIONS=37:00", "OPTIONS: option 37 is for relays only"},
		{"option of RFC 7341", "OPTIONS=87:00", "OPTIONS: option 87 is for DHCPV4-QUERY and DHCPV4-RESPONSE only"},
		{"option too long", "OPTIONS=59:" + strings.Repeat("00", 16385), "OPTIONS: option 59 is too long"},
		{"options too long together", "OPTIONS=59:" + strings.Repeat("00", 9000) + ",60:" + strings.Repeat("00", 9000), "OPTIONS: 2 options of 18008 octets do not fit into an answer, at most 64 of 16384 do"},
		{"unknown hook", "HOOKS=frob", "HOOKS: there is no hook frob; there are: acl, ratelimit, rules, packetlog"},
		{"ratelimit not listed", "RATELIMIT_RATE=5", "HOOKS: the hook ratelimit is configured and not listed; add ratelimit, or unset DHCP6D_RATELIMIT_RATE"},
		{"negative wait", "MAX_WAIT=-1s", "MAX_WAIT: a time below 0; give 0s for no limit"},
		{"acl without list", "HOOKS=acl", "HOOKS: the hook acl has nothing to do; set DHCP6D_ACL_ALLOW or DHCP6D_ACL_DENY"},
		{"acl not listed", "ACL_DENY=prefix=::/0", "HOOKS: the hook acl is configured and not listed; add acl, or unset DHCP6D_ACL_DENY"},
		{"metrics", "METRICS_LISTEN=9566", `METRICS_LISTEN: "9566" is no listen address; give [address]:port`},
		{"unknown variable", "INTERFACE=eth0", "INTERFACE: unknown variable; did you mean DHCP6D_INTERFACES?"},
		{"variable of a later version", "IPC_WINDOW=1", "IPC_WINDOW: unknown variable; remove it, -h lists all variables"},
		{"IPC-27 key that is not base64 is not shown", "IPC_KEYS=1:secret!", "IPC_KEYS: key 1: id 1: secret is not base64, from its character 7 on (the value is secret and not shown); give list of id:base64"},
		{"range of nobody", "IPC_RANGES=a:192.0.2.0/24", "IPC_RANGES: no backend has the name a; use the names in DHCP6D_IPC_BACKENDS"},
		{"range without name", "IPC_RANGES=192.0.2.0/24", `IPC_RANGES: "192.0.2.0/24" has no name of a backend and colon before its addresses` + ranges},
		{"range of IPv6", "IPC_RANGES=a:2001:db8::/64", `IPC_RANGES: "/64" is neither an IPv4 prefix nor a range of IPv4 addresses` + ranges},
		{"range backwards", "IPC_RANGES=a:192.0.2.9-192.0.2.1", `IPC_RANGES: "192.0.2.9-192.0.2.1" is neither an IPv4 prefix nor a range of IPv4 addresses` + ranges},
		{"range with host bits", "IPC_RANGES=a:192.0.2.1/24", `IPC_RANGES: "192.0.2.1/24" has bits set after its length (192.0.2.0/24?)` + ranges},
		{"ranges that overlap", "IPC_RANGES=[::1]:6768:192.0.2.0/24,[::1]:6768:192.0.2.255", "IPC_RANGES: [::1]:6768:192.0.2.0-192.0.2.255 and [::1]:6768:192.0.2.255-192.0.2.255 overlap; an address has one owner"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Load(environ(tt.env))
			var mistakes shared.Mistakes
			if !errors.As(err, &mistakes) {
				t.Fatalf("error %v", err)
			}
			if got := mistakes.Error(); got != "DHCP6D_"+tt.want {
				t.Errorf("got\n\t%s\nwant\n\t%s", got, "DHCP6D_"+tt.want)
			}
		})
	}
}

func TestABackendOnALink(t *testing.T) {
	for listen, want := range map[string]string{
		"[::1]:6767":          "nothing says on which",
		"[::]:6767":           "nothing says on which",
		"[fe80::1]:6767":      "nothing says on which",
		"[fe80::1%eth0]:6767": "",
	} {
		t.Run("D6-42 from "+listen, func(t *testing.T) {
			_, err := config.Load(environ("IPC_INSECURE=true", "IPC_BACKENDS=[fe80::4]:6768", "IPC_LISTEN="+listen))
			if (want == "" && err != nil) || (want != "" && (err == nil || !strings.Contains(err.Error(), want))) {
				t.Errorf("error %v, want %q", err, want)
			}
		})
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	_, err := config.Load([]string{"DHCP6D_RELAYS=x", "DHCP6D_SERVER_PORT=0", "DHCP6D_IPC_LISTEN=[::]:1", "DHCP6D_HOOKS=acl,acl,x", "DHCP6D_X=1"})
	var mistakes shared.Mistakes
	if !errors.As(err, &mistakes) || len(mistakes) != 8 {
		t.Errorf("%d mistakes, want 8:\n%v", len(mistakes), mistakes)
	}
}

func TestHelpIsCompleteWithoutAnEnvironment(t *testing.T) {
	c, err := config.Load(nil)
	if err == nil {
		t.Error("nothing is required")
	}
	for _, v := range c.Variables() {
		if v.Meaning == "" || v.Kind == "" || !strings.HasPrefix(v.Name, config.Prefix) || strings.HasSuffix(v.Meaning, ".") {
			t.Errorf("variable %+v", v)
		}
	}
}

func TestAnswersWithoutDNSServersAreWarnedOf(t *testing.T) {
	const all, link = "Information-requests are answered without DNS servers", "Information-requests on eth1 (DHCP6D_LINK_OPTIONS) are answered without DNS servers"
	for _, tt := range []struct {
		env  []string
		want []string
	}{
		{[]string{"4O6_SERVERS=multicast"}, []string{all}},
		{[]string{"4O6_SERVERS=none"}, nil},
		{[]string{"4O6_SERVERS=multicast", "DNS_SERVERS=2001:db8::53"}, nil},
		{[]string{"NTP_SERVERS=2001:db8::123"}, []string{all}},
		{[]string{"INFORMATION_REFRESH_TIME=1h", "SOL_MAX_RT=60", "INF_MAX_RT=60"}, nil}, // no content, no answer
		{[]string{"LINK_OPTIONS=eth1 4O6_SERVERS=multicast"}, []string{link}},
		{[]string{"DNS_SERVERS=2001:db8::53", "LINK_OPTIONS=eth1 4O6_SERVERS=multicast; eth2 DNS_SERVERS="}, nil},
		{[]string{"4O6_SERVERS=empty", "DNS_SERVERS=2001:db8::53", "LINK_OPTIONS=eth1 DNS_SERVERS="}, []string{link}},
		{[]string{"4O6_SERVERS=empty", "LINK_OPTIONS=eth1 DNS_SERVERS=2001:db8::53; eth2 4O6_SERVERS=none"}, []string{all}},
	} {
		c, err := config.Load(environ(tt.env...))
		got := c.Warnings()
		if err != nil || len(got) != len(tt.want) {
			t.Errorf("%s: %v, warnings %q, want %q", tt.env, err, got, tt.want)
			continue
		}
		for i, w := range tt.want {
			if !strings.HasPrefix(got[i], w) {
				t.Errorf("%s: %q, want %q", tt.env, got[i], w)
			}
		}
	}
}

func TestBackendsWithoutRangesAreWarnedOf(t *testing.T) {
	for _, tt := range []struct {
		env  []string
		want int
	}{
		{[]string{"IPC_BACKENDS=a@[::1]:1"}, 0},
		{[]string{"IPC_BACKENDS=a@[::1]:1,b@[::1]:2"}, 2},
		{[]string{"IPC_BACKENDS=a@[::1]:1 kea,b@[::1]:2 kea"}, 0},
		{[]string{"IPC_BACKENDS=a@[::1]:1,b@[::1]:2", "IPC_RANGES=a:192.0.2.0/24"}, 1},
		{[]string{"IPC_BACKENDS=a@[::1]:1,b@[::1]:2", "IPC_RANGES=a:192.0.2.0/24,b:198.51.100.0/24"}, 0},
	} {
		c, err := config.Load(environ(tt.env...))
		if err != nil || len(c.Warnings()) != tt.want {
			t.Errorf("%v: %q, %v", tt.env, c.Warnings(), err)
		}
	}
}

func FuzzBackend(f *testing.F) {
	for _, s := range []string{"[::1]:6768", "a@dhcp4d:6768 kea", "[::1]:06768", "a@b@c:1", " x:1  kea "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var b, again config.Backend
		if b.UnmarshalText([]byte(s)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(b.String())); err != nil || again != b {
			t.Errorf("%q is %+v, written %q and read again %+v, %v", s, b, b.String(), again, err)
		}
	})
}

// Load names the mistake in a variable, or accepts the value. An accepted value can be offered.
func FuzzLoad(f *testing.F) {
	for _, v := range []string{"INTERFACES", "RELAYS", "4O6_SERVERS", "DOMAIN_SEARCH", "NTP_SERVERS", "INFORMATION_REFRESH_TIME", "OPTIONS", "IPC_BACKENDS", "ACL_DENY"} {
		f.Add(v, "a,b:1")
	}
	f.Add("NTP_SERVERS", "ff05::101,ntp.example.org")
	f.Add("OPTIONS", "17:000009bf,59:00")
	f.Add("4O6_SERVERS", "multicast,2001:db8::1")
	f.Fuzz(func(t *testing.T, variable, value string) {
		if strings.HasSuffix(variable, "_FILE") {
			return // it would read whatever file the fuzzer names
		}
		c, err := config.Load(environ(variable + "=" + value))
		if err == nil {
			_ = answer.New([]byte{0, 4, 1}, c.Options)
			if err := c.Options.Check(); err != nil {
				t.Errorf("%s=%q is taken and then %v", variable, value, err)
			}
		}
	})
}

var update = flag.Bool("update", false, "write the table of variables into the documentation instead of comparing it")

func TestDocumentation(t *testing.T) {
	c, _ := config.Load(nil)
	configtest.Document(t, "../../../docs/configuration.md", "dhcp6d", c.Variables(), *update)
}

func addrs(list ...string) (as []netip.Addr) {
	for _, s := range list {
		as = append(as, netip.MustParseAddr(s))
	}
	return as
}

func TestKeysAndTheLoopback(t *testing.T) {
	const key = "IPC_KEYS=1:MDEyMzQ1Njc4OWFiY2RlZg=="
	tests := []struct {
		name string
		env  []string
		ok   bool
	}{
		{"IPC-24 nothing leaves the host without keys", []string{"IPC_LISTEN=[::]:6767", "IPC_BACKENDS=a@dhcp4d:6768"}, false},
		{"IPC-27 keys let it", []string{"IPC_LISTEN=[::]:6767", "IPC_BACKENDS=a@dhcp4d:6768", key}, true},
		{"IPC-27 keys are of no use to Kea", []string{"IPC_LISTEN=[::]:6767", "IPC_BACKENDS=a@dhcp4d:6768 kea", key}, false},
		{"IPC-27 and a Kea on this host does not mind them", []string{"IPC_LISTEN=[::]:6767", "IPC_BACKENDS=a@dhcp4d:6768,[::1]:6768 kea", key}, true},
		{"IPC-27 it may be said that it is meant", []string{"IPC_LISTEN=[::]:6767", "IPC_BACKENDS=a@dhcp4d:6768 kea", "IPC_INSECURE=true"}, true},
		{"IPC-27 one backend needs no name", []string{key}, true},
		{"IPC-27 two backends must be told apart", []string{"IPC_BACKENDS=[::1]:6768,[::1]:6769", key}, false},
		{"IPC-27 two backends with names", []string{"IPC_BACKENDS=a@[::1]:6768,b@[::1]:6769", key}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Load(environ(tt.env...))
			if (err == nil) != tt.ok {
				t.Errorf("%v", err)
			}
			if err == nil && slices.ContainsFunc(c.Variables(), func(v shared.Variable) bool { return v.Name == "DHCP6D_IPC_KEYS" && !v.Secret }) {
				t.Error("keys are not secret")
			}
		})
	}
}

func TestReloadReadsFilesAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("1:MDEyMzQ1Njc4OWFiY2RlZg==\n")
	c, err := config.Load(environ("IPC_KEYS_FILE=" + path))
	if err != nil || len(c.IPCKeys) != 1 {
		t.Fatalf("%+v, %v", c.IPCKeys, err)
	}
	write("1:MDEyMzQ1Njc4OWFiY2RlZg==,2:MDEyMzQ1Njc4OWFiY2RlZh==\n")
	if c, err = c.Reload(); err != nil || len(c.IPCKeys) != 2 {
		t.Fatalf("IPC-27 %+v, %v", c.IPCKeys, err)
	}
	write("2 of them")
	if _, err = c.Reload(); err == nil {
		t.Error("bad keys are taken")
	}
}
