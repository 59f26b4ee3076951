package config

import (
	"net/netip"
	"strings"
	"testing"
)

// defaults are those of an environment that says nothing.
var defaults = Defaults{Authoritative: true, LeaseTime: 3600, OfferHold: 60, DeclineTime: 86400, Peers: []string{"[::1]:6767"}}

func mustParse(t testing.TB, doc string) *Subnets {
	t.Helper()
	s, err := ParseSubnets([]byte(doc), defaults)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const small = `
- id: 1
  subnet: 192.0.2.0/24
  pools: [192.0.2.10-192.0.2.250]
  match:                       # any entry; all keys of an entry
    - prefix: 2001:db8:1::/64
    - {link-address: 2001:db8:7::/64, interface-id: port-7}
    - interface: eth0
  limit: 16                    # leases, offers and quarantine per attachment point, 0 = no limit
  options: {routers: [192.0.2.1], domain-name-servers: [192.0.2.53]}
  reservations: [{client-id: "ff:00:00:00:01", address: 192.0.2.99}]
`

func TestSmallDocument(t *testing.T) {
	s := mustParse(t, small)
	sub := s.ByID(1)
	if sub == nil || sub != s.Containing(netip.MustParseAddr("192.0.2.77")) || s.ByID(2) != nil || s.Containing(netip.MustParseAddr("192.0.3.1")) != nil {
		t.Fatalf("%+v", s)
	}
	if sub.ServerID != netip.MustParseAddr("192.0.2.1") || sub.Limit != 16 || !sub.Authoritative || sub.Lease.Default != 3600 {
		t.Errorf("%+v", sub.Policy)
	}
	if len(sub.Pools) != 1 || sub.Pools[0].Size != 241 {
		t.Errorf("%+v", sub.Pools)
	}
	var lines []string
	for i := range sub.Match {
		lines = append(lines, sub.Match[i].String())
	}
	if got := strings.Join(lines, " "); got != "{prefix: 2001:db8:1::/64} {link-address: 2001:db8:7::/64, interface-id: port-7} {interface: eth0}" {
		t.Error(got)
	}
}
