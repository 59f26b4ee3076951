package config_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/config"
)

func TestLinkOptions(t *testing.T) {
	c, err := config.Load(environ("4O6_SERVERS=multicast", "DNS_SERVERS=2001:db8::53", "SOL_MAX_RT=60",
		"LINK_OPTIONS=eth1 DNS_SERVERS=2001:db8:1::53,2001:db8:1::54 4O6_SERVERS=none\n2001:db8:7::/64 DNS_SERVERS= NTP_SERVERS=ntp.example.org; vlan*"))
	if err != nil {
		t.Fatal(err)
	}
	multicast := addrs("ff02::1:2")
	want := []config.LinkOptions{
		{Interface: "eth1", Options: answer.Options{DNSServers: addrs("2001:db8:1::53", "2001:db8:1::54"), SolMaxRT: 60}},
		{Link: netip.MustParsePrefix("2001:db8:7::/64"), Options: answer.Options{Offer4o6: true, Servers4o6: multicast, SolMaxRT: 60,
			NTP: []answer.NTPServer{{Name: "ntp.example.org"}}}},
		{Interface: "vlan*", Options: answer.Options{Offer4o6: true, Servers4o6: multicast, DNSServers: addrs("2001:db8::53"), SolMaxRT: 60}},
	}
	if !reflect.DeepEqual(c.LinkOptions, want) {
		t.Errorf("%+v", c.LinkOptions)
	}
	for env, part := range map[string]string{
		"192.0.2.0/24 DNS_SERVERS=::1":      `"192.0.2.0/24" is no IPv6 prefix`,
		"2001:db8::1/64":                    `"2001:db8::1/64" is no IPv6 prefix`,
		"DNS_SERVERS=2001:db8::53":          "begins with neither an interface nor the prefix of a link",
		"eth0 DNS_SERVERS":                  `"DNS_SERVERS" is no VARIABLE=value`,
		"eth0 DNS_SERVERS=ff02::1":          "eth0: DNS_SERVERS: ff02::1 is no unicast IPv6 address",
		"eth0 STATE_DIR=/":                  "eth0: STATE_DIR: unknown variable",
		"eth0 INFORMATION_REFRESH_TIME=599": "eth0: INFORMATION_REFRESH_TIME: 599 seconds are too short",
	} {
		if _, err := config.Load(environ("LINK_OPTIONS=" + env)); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", env, err)
		}
	}
}
