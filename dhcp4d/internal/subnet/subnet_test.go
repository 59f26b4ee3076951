package subnet

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
)

var defaults = config.Defaults{LeaseTime: 3600, OfferHold: 60, DeclineTime: 86400, Peers: []string{"east", "west"}}

func selector(t testing.TB, doc string) *Selector {
	t.Helper()
	s, err := config.ParseSubnets([]byte(doc), defaults)
	if err != nil {
		t.Fatal(err)
	}
	return New(s)
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
func all() Facts {
	return Facts{
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
	for step := LinkSelection; step <= Interface; step++ {
		t.Run(fmt.Sprintf("D4-12 step %d wins over the later ones", step), func(t *testing.T) {
			r := sel.Select(&f)
			if r.Subnet == nil || r.Subnet.ID != uint32(step) || r.Step != step {
				t.Errorf("%+v by %v", r.Subnet, r.Step)
			}
		})
		forget[step-1]()
	}
	t.Run("D4-12 an unmatched query has no subnet", func(t *testing.T) {
		if r := sel.Select(&f); r.Subnet != nil || r.Step != None || r.Entry != -1 {
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
		facts  Facts
		subnet uint32 // 0: none
	}{
		{"D4-12 inner octets count for nothing without trust-inner",
			Facts{LinkSelection: addr("10.0.1.0"), SubnetSelection: addr("10.0.2.0"), GIAddr: addr("10.0.3.1"), Source: addr("2001:db8:9::1")}, 9},
		{"D4-12 trusted octets lead only to subnets so marked",
			Facts{GIAddr: addr("10.0.9.1"), Source: addr("2001:db8:5::1")}, 7},
		{"D4-12 option 118 to an unknown subnet leaves the choice to the later steps",
			Facts{SubnetSelection: addr("10.9.9.0"), GIAddr: addr("10.0.3.1"), Source: addr("2001:db8:5::1")}, 3},
		{"RA-6 giaddr of a trusted relay agent selects the subnet",
			Facts{GIAddr: addr("10.0.3.1"), Source: addr("2001:db8:5::1")}, 3},
		{"RA-4 two relay agents behind different interface-ids have different pools, the first",
			Facts{Relayed: true, InterfaceID: []byte("port-1"), Source: addr("2001:db8:77::1")}, 6},
		{"RA-4 two relay agents behind different interface-ids have different pools, the second",
			Facts{Relayed: true, SubscriberID: []byte{0, 0xff}, Source: addr("2001:db8:77::1")}, 23},
		{"D4-14 link selection to an unknown subnet: none",
			Facts{LinkSelection: addr("10.9.9.0"), SubnetSelection: addr("10.0.2.0"), Source: addr("2001:db8:5::1")}, 0},
		{"D4-14 link selection to a subnet without trust-inner: none",
			Facts{LinkSelection: addr("10.0.9.0"), Source: addr("2001:db8:5::1")}, 0},
		{"Q-26 a relayed query goes by link-address",
			Facts{Relayed: true, LinkAddress: addr("2001:db8:a:1::9"), Source: addr("2001:db8:9::1")}, 5},
		{"Q-26 a direct query goes by source address",
			Facts{Source: addr("2001:db8:9::1"), Interface: []byte("eth0")}, 9},
		{"Q-26 a direct query from a link-local source goes by interface",
			Facts{Source: addr("fe80::1"), Interface: []byte("eth0")}, 8},
		{"D4-12 the interface alone does not claim a direct query from another source",
			Facts{Source: addr("2001:db8:77::1"), Interface: []byte("eth0")}, 0},
		{"D4-12 the interface claims a relayed query from any source",
			Facts{Relayed: true, Source: addr("2001:db8:77::1"), Interface: []byte("eth0")}, 8},
		{"D4-12 the longest link-address wins", Facts{Relayed: true, LinkAddress: addr("2001:db8:b:1::1")}, 21},
		{"D4-12 the shorter link-address where the longer does not fit", Facts{Relayed: true, LinkAddress: addr("2001:db8:b:2::1")}, 20},
		{"D4-12 the longest source prefix wins", Facts{Source: addr("2001:db8:9:1::1")}, 24},
		{"D4-12 a further key does not lift an entry over a longer prefix",
			Facts{Relayed: true, LinkAddress: addr("2001:db8:b:1::1"), Interface: []byte("eth7")}, 21},
		{"D4-12 of equal prefixes the entry with a further key wins",
			Facts{Relayed: true, LinkAddress: addr("2001:db8:b:2::1"), Interface: []byte("eth7")}, 23},
		{"D4-12 remote-id together with link-address",
			Facts{Relayed: true, LinkAddress: addr("2001:db8:b:1::1"), RemoteID: []byte("\x00\x00\x00\x09x")}, 20},
		{"D4-12 peer together with interface-id wins over interface-id", Facts{Relayed: true, InterfaceID: []byte("port-1"), Peer: "west"}, 21},
		{"D4-12 link-address with interface-id wins over peer with interface-id",
			Facts{Relayed: true, LinkAddress: addr("2001:db8:a::1"), InterfaceID: []byte("port-1"), Peer: "west"}, 4},
		{"D4-12 all keys of an entry must fit", Facts{Source: addr("fe80::1"), Interface: []byte("eth2")}, 22},
		{"D4-12 of equal prefixes the entry with peer wins over the one with interface", Facts{Source: addr("2001:db8:c::1"), Interface: []byte("eth7"), Peer: "west"}, 22},
		{"D4-12 a peer alone is the weakest claim", Facts{Relayed: true, Source: addr("2001:db8:77::1"), Interface: []byte("eth9"), Peer: "west"}, 22},
		{"an interface-id longer than any entry's matches nothing", Facts{Relayed: true, InterfaceID: make([]byte, 4000)}, 0},
		{"an empty interface-id is not an absent one", Facts{Relayed: true, InterfaceID: []byte{}}, 0},
		{"nothing known", Facts{}, 0},
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

func TestD4_12LevelTakesTheInnermostUsableLinkAddress(t *testing.T) {
	var f Facts
	for _, link := range []string{"::", "fe80::1", "2001:db8::1", "2001:db8::2"} {
		f.Level(addr(link))
	}
	if f.LinkAddress != addr("2001:db8::1") {
		t.Error(f.LinkAddress)
	}
}

func TestRA_6TrustIsReported(t *testing.T) {
	sel := selector(t, steps)
	if r := sel.Select(&Facts{Source: addr("2001:db8:5::1")}); !r.Trusted || r.Subnet.ID != 7 || r.Entry != 0 {
		t.Errorf("%+v", r)
	}
	if r := sel.Select(&Facts{Source: addr("2001:db8:9::1")}); r.Trusted {
		t.Errorf("%+v", r)
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

func TestParseFacts(t *testing.T) {
	f, err := ParseFacts([]string{
		"source=2001:db8:5::1", "interface=eth0", "peer=east", "link-address=fe80::1", "link-address=2001:db8:a:1::1", "link-address=2001:db8::9",
		"interface-id=port-1", "remote-id=9:0x0a", "subscriber-id=0x00", "link-selection=10.0.1.0", "subnet-selection=10.0.2.0", "giaddr=10.0.3.1",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := all()
	want.RemoteID, want.SubscriberID = []byte("\x00\x00\x00\x09\x0a"), []byte{0}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("%+v", f)
	}
	if f, err := ParseFacts([]string{"source=fe80::1", "relayed"}); err != nil || !f.Relayed {
		t.Errorf("%+v %v", f, err)
	}
	_, err = ParseFacts([]string{"source=192.0.2.1", "giaddr=::", "relayed=1", "foo=1", "interface-id=", "remote-id=x", "peer=a"})
	if lines := strings.Split(fmt.Sprint(err), "\n"); len(lines) != 6 {
		t.Error(err)
	}
	for line := range strings.SplitSeq(FactsHelp, "\n") {
		key, _, _ := strings.Cut(strings.Fields(line)[0], "=")
		if _, err := ParseFacts([]string{key + "="}); err != nil && strings.Contains(err.Error(), "not known") {
			t.Errorf("the help names %s", key)
		}
	}
}
