package network_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

var defaults = config.Defaults{LeaseTime: 3600, OfferHold: 60, DeclineTime: 86400, Peers: []string{"east", "west"}}

func selector(t testing.TB, doc string) *network.Selector {
	t.Helper()
	s, err := config.ParseSubnets([]byte(doc), defaults)
	if err != nil {
		t.Fatal(err)
	}
	return network.NewSelector(s)
}

var addr = netip.MustParseAddr

// steps has one subnet for each step of the list, by its number.
const steps = `
- {id: 1, subnet: 10.0.1.0/24, pools: [], match: [{trust-inner: true}]}
- {id: 2, subnet: 10.0.2.0/24, pools: [], match: [{trust-inner: true}]}
- {id: 3, subnet: 10.0.3.0/24, pools: [], match: [{trust-inner: true}]}
- {id: 4, subnet: 10.0.4.0/24, pools: [], match: [{link-address: "2001:db8:a::/48", interface-id: port-1}]}
- {id: 5, subnet: 10.0.5.0/24, pools: [], match: [{link-address: "2001:db8:a:1::/64"}]}
- {id: 6, subnet: 10.0.6.0/24, pools: [], match: [{interface-id: port-1}]}
- {id: 7, subnet: 10.0.7.0/24, pools: [], match: [{prefix: "2001:db8:5::/48", trust-inner: true}]}
- {id: 8, subnet: 10.0.8.0/24, pools: [], match: [{interface: eth0}]}
- {id: 9, subnet: 10.0.9.0/24, pools: [], match: [{prefix: "2001:db8:9::/48"}]}
`

// all has every fact that the entries of steps look at.
func all() network.Facts {
	return network.Facts{
		LinkSelection: addr("10.0.1.0"), SubnetSelection: addr("10.0.2.0"), GIAddr: addr("10.0.3.1"),
		Relayed: true, LinkAddress: addr("2001:db8:a:1::1"), InterfaceID: []byte("port-1"),
		Source: addr("2001:db8:5::1"), Interface: []byte("eth0"), Peer: "east",
	}
}

func TestD4_12Order(t *testing.T) {
	sel := selector(t, steps)
	f := all()
	forget := []func(){
		func() { f.LinkSelection = netip.Addr{} },
		func() { f.SubnetSelection = netip.Addr{} },
		func() { f.GIAddr = netip.IPv4Unspecified() },
		func() { f.LinkAddress = addr("2001:db8:a:1::1"); f.InterfaceID = []byte("port-2") },
		func() { f.LinkAddress = netip.Addr{}; f.InterfaceID = []byte("port-1") },
		func() { f.InterfaceID = nil },
		func() { f.Source = addr("2001:db8:6::1") },
		func() { f.Interface = []byte("eth1") },
	}
	for step := network.LinkSelection; step <= network.Interface; step++ {
		t.Run(fmt.Sprintf("D4-12 step %d wins over the later ones", step), func(t *testing.T) {
			r := sel.Select(&f)
			if r.Subnet == nil || r.Subnet.ID != uint32(step) || r.Step != step {
				t.Errorf("%+v by %v", r.Subnet, r.Step)
			}
		})
		forget[step-1]()
	}
	t.Run("D4-12 an unmatched query has no subnet", func(t *testing.T) {
		if r := sel.Select(&f); r.Subnet != nil || r.Step != network.None || r.Entry != -1 {
			t.Errorf("%+v", r)
		}
	})
}

func TestSelect(t *testing.T) {
	const doc = steps + `
- {id: 20, subnet: 10.0.20.0/24, pools: [], match: [{link-address: "2001:db8:b::/48"}, {link-address: "2001:db8:b::/48", remote-id: "9:x"}]}
- {id: 21, subnet: 10.0.21.0/24, pools: [], match: [{link-address: "2001:db8:b:1::/64"}, {peer: west, interface-id: port-1}]}
- {id: 22, subnet: 10.0.22.0/24, pools: [], match: [{prefix: "fe80::/10", interface: eth2}, {peer: west}, {prefix: "2001:db8:c::/48", peer: west}]}
- {id: 23, subnet: 10.0.23.0/24, pools: [], match: [{subscriber-id: "0x00ff"}, {link-address: "2001:db8:b::/48", interface: eth7}, {prefix: "2001:db8:c::/48", interface: eth7}]}
- {id: 24, subnet: 10.0.24.0/24, pools: [], match: [{prefix: "2001:db8:9:1::/64"}]}
`
	sel := selector(t, doc)
	for _, c := range []struct {
		name   string
		facts  network.Facts
		subnet uint32 // 0: none
	}{
		{"D4-12 inner octets count for nothing without trust-inner",
			network.Facts{LinkSelection: addr("10.0.1.0"), SubnetSelection: addr("10.0.2.0"), GIAddr: addr("10.0.3.1"), Source: addr("2001:db8:9::1")}, 9},
		{"D4-12 trusted octets lead only to subnets so marked",
			network.Facts{GIAddr: addr("10.0.9.1"), Source: addr("2001:db8:5::1")}, 7},
		{"D4-12 option 118 to an unknown subnet leaves the choice to the later steps",
			network.Facts{SubnetSelection: addr("10.9.9.0"), GIAddr: addr("10.0.3.1"), Source: addr("2001:db8:5::1")}, 3},
		{"RA-6 giaddr of a trusted relay agent selects the subnet",
			network.Facts{GIAddr: addr("10.0.3.1"), Source: addr("2001:db8:5::1")}, 3},
		{"RA-4 two relay agents behind different interface-ids have different pools, the first",
			network.Facts{Relayed: true, InterfaceID: []byte("port-1"), Source: addr("2001:db8:77::1")}, 6},
		{"RA-4 two relay agents behind different interface-ids have different pools, the second",
			network.Facts{Relayed: true, SubscriberID: []byte{0, 0xff}, Source: addr("2001:db8:77::1")}, 23},
		{"D4-14 link selection to an unknown subnet: none",
			network.Facts{LinkSelection: addr("10.9.9.0"), SubnetSelection: addr("10.0.2.0"), Source: addr("2001:db8:5::1")}, 0},
		{"D4-14 link selection to a subnet without trust-inner: none",
			network.Facts{LinkSelection: addr("10.0.9.0"), Source: addr("2001:db8:5::1")}, 0},
		{"Q-26 a relayed query goes by link-address",
			network.Facts{Relayed: true, LinkAddress: addr("2001:db8:a:1::9"), Source: addr("2001:db8:9::1")}, 5},
		{"Q-26 a direct query goes by source address",
			network.Facts{Source: addr("2001:db8:9::1"), Interface: []byte("eth0")}, 9},
		{"Q-26 a direct query from a link-local source goes by interface",
			network.Facts{Source: addr("fe80::1"), Interface: []byte("eth0")}, 8},
		{"D4-80 the interface alone claims a direct query from a global source",
			network.Facts{Source: addr("2001:db8:77::1"), Interface: []byte("eth0")}, 8},
		{"D4-80 and from a unique local one",
			network.Facts{Source: addr("fd00::1"), Interface: []byte("eth0")}, 8},
		{"D4-80 but not one that came in by another interface",
			network.Facts{Source: addr("2001:db8:77::1"), Interface: []byte("eth9")}, 0},
		{"D4-80 a prefix of the source goes first",
			network.Facts{Source: addr("2001:db8:9::1"), Interface: []byte("eth0")}, 9},
		{"D4-80 link-local sources alone are asked for by prefix",
			network.Facts{Source: addr("2001:db8:77::1"), Interface: []byte("eth2")}, 0},
		{"D4-12 the interface claims a relayed query from any source",
			network.Facts{Relayed: true, Source: addr("2001:db8:77::1"), Interface: []byte("eth0")}, 8},
		{"D4-12 the longest link-address wins", network.Facts{Relayed: true, LinkAddress: addr("2001:db8:b:1::1")}, 21},
		{"D4-12 the shorter link-address where the longer does not fit", network.Facts{Relayed: true, LinkAddress: addr("2001:db8:b:2::1")}, 20},
		{"D4-12 the longest source prefix wins", network.Facts{Source: addr("2001:db8:9:1::1")}, 24},
		{"D4-12 a further key does not lift an entry over a longer prefix",
			network.Facts{Relayed: true, LinkAddress: addr("2001:db8:b:1::1"), Interface: []byte("eth7")}, 21},
		{"D4-12 of equal prefixes the entry with a further key wins",
			network.Facts{Relayed: true, LinkAddress: addr("2001:db8:b:2::1"), Interface: []byte("eth7")}, 23},
		{"D4-12 remote-id together with link-address",
			network.Facts{Relayed: true, LinkAddress: addr("2001:db8:b:1::1"), RemoteID: []byte("\x00\x00\x00\x09x")}, 20},
		{"D4-12 peer together with interface-id wins over interface-id", network.Facts{Relayed: true, InterfaceID: []byte("port-1"), Peer: "west"}, 21},
		{"D4-12 link-address with interface-id wins over peer with interface-id",
			network.Facts{Relayed: true, LinkAddress: addr("2001:db8:a::1"), InterfaceID: []byte("port-1"), Peer: "west"}, 4},
		{"D4-12 all keys of an entry must fit", network.Facts{Source: addr("fe80::1"), Interface: []byte("eth2")}, 22},
		{"D4-12 of equal prefixes the entry with peer wins over the one with interface", network.Facts{Source: addr("2001:db8:c::1"), Interface: []byte("eth7"), Peer: "west"}, 22},
		{"D4-12 a peer alone is the weakest claim", network.Facts{Relayed: true, Source: addr("2001:db8:77::1"), Interface: []byte("eth9"), Peer: "west"}, 22},
		{"an interface-id longer than any entry's matches nothing", network.Facts{Relayed: true, InterfaceID: make([]byte, 4000)}, 0},
		{"an empty interface-id is not an absent one", network.Facts{Relayed: true, InterfaceID: []byte{}}, 0},
		{"nothing known", network.Facts{}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := sel.Select(&c.facts)
			var got uint32
			if r.Subnet != nil {
				got = r.Subnet.ID
			}
			if got != c.subnet {
				t.Errorf("subnet %d by %v, want %d\n%s", got, r.Step, c.subnet, strings.Join(sel.Explain(&c.facts), "\n"))
			}
			if lines := sel.Explain(&c.facts); got != 0 && !strings.Contains(lines[len(lines)-1], fmt.Sprintf("result: subnet %d,", got)) {
				t.Errorf("explained otherwise:\n%s", strings.Join(lines, "\n"))
			}
		})
	}
}

// TestRL20Locate: what package attachment says is what the selector goes by.
func TestRL20Locate(t *testing.T) {
	message := dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{})
	for i, level := range []struct{ link, id string }{{"fe80::1", "port-1"}, {"::", "uplink"}, {"2001:db8::1", "core"}, {"2001:db8::2", ""}} {
		message = dhcp6.AppendRelayForward(nil, uint8(i), addr(level.link), addr("fe80::9"), dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte(level.id)), message)
	}
	var p dhcp6.Packet
	if why := p.Parse(message); why != drop.None {
		t.Fatal(why)
	}
	for _, c := range []struct {
		name     string
		believed int
		link     netip.Addr
		id       string
	}{
		{"RL-20 the innermost usable link-address", 4, addr("2001:db8::1"), "port-1"},
		{"RL-22 as far as the levels are believed", 2, addr("2001:db8::1"), "core"},
		{"RL-22 the outermost alone", 1, addr("2001:db8::2"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f network.Facts
			f.Locate(&attachment.Path{Packet: &p, Believed: c.believed, Source: addr("2001:db8::9"), Interface: []byte("eth0"), Server: "east"})
			if f.LinkAddress != c.link || string(f.InterfaceID) != c.id || !f.Relayed || f.Source != addr("2001:db8::9") || string(f.Interface) != "eth0" || f.Peer != "east" {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestRA_6TrustIsReported(t *testing.T) {
	sel := selector(t, steps)
	if r := sel.Select(&network.Facts{Source: addr("2001:db8:5::1")}); !r.Trusted || r.Subnet.ID != 7 || r.Entry != 0 {
		t.Errorf("%+v", r)
	}
	if r := sel.Select(&network.Facts{Source: addr("2001:db8:9::1")}); r.Trusted {
		t.Errorf("%+v", r)
	}
}

// TestD4_80Trust: a query that a router may have brought to an interface is served by that alone,
// and not believed by that alone.
func TestD4_80Trust(t *testing.T) {
	sel := selector(t, `
- {id: 1, subnet: 10.0.1.0/24, pools: [], match: [{interface: eth0, trust-inner: true}]}
- {id: 2, subnet: 10.0.2.0/24, pools: [], match: [{trust-inner: true}]}
- {id: 3, subnet: 10.0.3.0/24, pools: [], match: [{interface: eth0, prefix: "2001:db8:5::/64", trust-inner: true}]}
`)
	for _, c := range []struct {
		name, source string
		relayed      bool
		subnet       uint32
	}{
		{"a link-local source is believed", "fe80::1", false, 2},
		{"a relay too", "2001:db8::1", true, 2},
		{"a global source is not", "2001:db8::1", false, 1},
		{"unless its prefix is named", "2001:db8:5::1", false, 2},
	} {
		t.Run("D4-80 "+c.name, func(t *testing.T) {
			f := network.Facts{Relayed: c.relayed, GIAddr: addr("10.0.2.1"), Source: addr(c.source), Interface: []byte("eth0")}
			r, lines := sel.Select(&f), strings.Join(sel.Explain(&f), "\n")
			if r.Subnet == nil || r.Subnet.ID != c.subnet || strings.Contains(lines, "link-local sources only") != (c.subnet == 1) {
				t.Errorf("%+v\n%s", r, lines)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	sel := selector(t, steps)
	f := all()
	f.LinkSelection, f.SubnetSelection = netip.Addr{}, addr("10.0.9.0")
	f.GIAddr = addr("172.16.0.1")
	got := strings.Join(sel.Explain(&f), "\n")
	want := `query: relayed, option 118 10.0.9.0, giaddr 172.16.0.1, link-address 2001:db8:a:1::1, interface-id port-1, source 2001:db8:5::1, interface eth0, peer east
step 1, link selection (option 82): not in the query
step 2, subnet selection (option 118): 10.0.9.0 is in subnet 9, which has no match entry with trust-inner
step 3, giaddr: 172.16.0.1 is in no subnet
step 4, link-address or peer with an identifier: fits subnet 4 {link-address: 2001:db8:a::/48, interface-id: port-1}
step 5, link-address: fits subnet 5 {link-address: 2001:db8:a:1::/64}, but an earlier step decided
step 6, identifier: fits subnet 6 {interface-id: port-1}, but an earlier step decided
step 7, source address: fits subnet 7 {prefix: 2001:db8:5::/48, trust-inner: true}, but an earlier step decided
step 8, interface or peer: fits subnet 8 {interface: eth0}, but an earlier step decided
result: subnet 4, 10.0.4.0/24, by link-address or peer with an identifier`
	if got != want {
		t.Error(got)
	}
}
