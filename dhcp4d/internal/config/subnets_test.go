package config

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
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

var addr = netip.MustParseAddr

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
	if sub == nil || sub != s.Containing(addr("192.0.2.77")) || s.ByID(2) != nil || s.Containing(addr("192.0.3.1")) != nil {
		t.Fatalf("%+v", s)
	}
	if sub.ServerID != addr("192.0.2.1") || sub.Limit != 16 || !sub.Authoritative || sub.Lease.Default != 3600 || sub.Drain {
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

func TestJSONIsRead(t *testing.T) {
	s := mustParse(t, `{"lease-time": "2h", "subnets": [{"id": 7, "subnet": "10.0.0.0/8", "pools": ["10.0.0.0/16"], "match": [{"interface": "eth0"}], "options": {"routers": ["10.0.0.1"]}}]}`)
	if s.ByID(7).Lease.Default != 7200 {
		t.Errorf("%+v", s.ByID(7))
	}
}

func TestAnchorsAreRead(t *testing.T) {
	s := mustParse(t, `
- {id: 1, subnet: 10.0.0.0/24, pools: [], match: [], options: &o {routers: [10.0.0.1]}}
- {id: 2, subnet: 10.0.1.0/24, pools: [], match: [], options: *o}
`)
	l := s.ByID(2).Options(&Traits{}, -1, nil)
	if v, ok := l.Lookup(3); !ok || string(v) != "\x0a\x00\x00\x01" {
		t.Error(v)
	}
}

func TestAllMistakesAreReportedInOrder(t *testing.T) {
	_, err := ParseSubnets([]byte(`
lease-time: never
options: {routers: nowhere}
subnets:
  - id: 1
    subnet: 192.0.2.0/24
    pools: [192.0.3.0/24]
    match: [{prefix: 2001:db8::/64, colour: red}]
  - id: 1
    subnet: 192.0.2.128/25
    pools: [{range: 192.0.2.0/25}]
    match: [{interface-id: 0xx}]
    options: {interface-mtu: 1, domain-name: ""}
    reservations: [{address: 1.2.3.4, client-id: 01:02}, {}]
`), defaults)
	want := []string{
		"line 2, column 13: lease-time:", "line 3, column 20: options.routers:",
		"line 7, column 13: subnets[0].pools[0]:", "line 8, column 37: subnets[0].match[0].colour:",
		"line 9, column 5: subnets[1]: the id 1", "line 10, column 13: subnets[1].subnet:",
		"line 11, column 21: subnets[1].pools[0].range:", "line 12, column 28: subnets[1].match[0].interface-id:",
		"line 13, column 30: subnets[1].options.interface-mtu:", "line 13, column 46: subnets[1].options.domain-name:",
		"line 14, column 30: subnets[1].reservations[0].address:", "line 14, column 58: subnets[1].reservations[1]:",
	}
	lines := strings.Split(fmt.Sprint(err), "\n")
	for i, line := range lines {
		if i >= len(want) || !strings.HasPrefix(line, want[i]) {
			t.Errorf("unexpected: %s", line)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("%d mistakes, want %d", len(lines), len(want))
	}
}

func TestLevels(t *testing.T) {
	s := mustParse(t, `
lease-time: 2h
max-lease-time: infinite
limit: 4
options: {domain-name: top, ntp-servers: [10.0.0.9], host-name: top}
classes: [{vendor-class: "phone*", options: {domain-name: class, boot-file-name: class}}]
v6-only-wait: 300
subnets:
  - id: 1
    subnet: 10.0.0.0/24
    match: []
    pools: [{range: 10.0.0.10-10.0.0.19, options: {domain-name: pool, host-name: pool, root-path: pool}}, 10.0.0.20-10.0.0.29]
    options: {domain-name: subnet}
    classes: [{user-class: x, options: {boot-file-name: own}}]
    reservations: [{hw-address: 02:00:00:00:00:01, address: 10.0.0.15, options: {domain-name: reservation}}]
  - {id: 2, subnet: 10.0.1.0/24, pools: [], match: [], lease-time: 1h, limit: 0, v6-only-wait: 0, options: {subnet-mask: 255.255.255.255}}
`)
	one, two := s.ByID(1), s.ByID(2)
	if one.Lease.Default != 7200 || one.Lease.Min != 7200 || one.Lease.Max != Infinite || one.Limit != 4 {
		t.Errorf("%+v", one.Policy)
	}
	if two.Lease.Default != 3600 || two.Lease.Min != 3600 || two.Lease.Max != Infinite || two.Limit != 0 {
		t.Errorf("%+v", two.Policy)
	}
	phone, own := &Traits{VendorClass: []byte("phone 7")}, &Traits{VendorClass: []byte("phone"), UserClass: []byte("x")}
	for _, c := range []struct {
		name     string
		subnet   *Subnet
		traits   *Traits
		address  string
		reserved bool
		code     byte
		want     string
	}{
		{"of the top", one, &Traits{}, "10.0.0.25", false, 12, "top"},
		{"of the subnet over the top", one, &Traits{}, "10.0.0.25", false, 15, "subnet"},
		{"of the pool over the subnet", one, &Traits{}, "10.0.0.15", false, 15, "pool"},
		{"of no pool", one, &Traits{}, "10.0.0.99", false, 17, ""},
		{"of the class over the pool", one, phone, "10.0.0.15", false, 15, "class"},
		{"of the subnet's class over the top's", one, own, "10.0.0.15", false, 67, "own"},
		{"of the reservation over all", one, own, "10.0.0.15", true, 15, "reservation"},
		{"the reservation leaves the others", one, own, "10.0.0.15", true, 17, "pool"},
		{"a class of the top in another subnet", two, phone, "10.0.1.1", false, 67, "class"},
		{"subnet mask from the prefix", one, &Traits{}, "10.0.0.25", false, 1, "\xff\xff\xff\x00"},
		{"subnet mask as configured", two, &Traits{}, "10.0.1.1", false, 1, "\xff\xff\xff\xff"},
		{"D4-30 wait of the top", one, &Traits{}, "10.0.0.25", false, 108, "\x00\x00\x01\x2c"},
		{"D4-30 wait of 0", two, &Traits{}, "10.0.1.1", false, 108, "\x00\x00\x00\x00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r *Reservation
			if c.reserved {
				r = c.subnet.Reserved(addr(c.address))
			}
			l := c.subnet.Options(c.traits, c.subnet.PoolOf(addr(c.address)), r)
			if got, ok := l.Lookup(c.code); string(got) != c.want || ok != (c.want != "") {
				t.Errorf("%q", got)
			}
			if n := testing.AllocsPerRun(10, func() {
				l := c.subnet.Options(c.traits, c.subnet.PoolOf(addr(c.address)), r)
				l.Lookup(c.code)
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func TestPools(t *testing.T) {
	for _, c := range []struct{ name, keys, want string }{
		{"D4-6 the default server identifier is the first usable address and in no pool", "pools: [192.0.2.0/24]", "server 192.0.2.1 pool 192.0.2.2-192.0.2.254"},
		{"RA-7 the server identifier is configurable per subnet", "pools: [192.0.2.0/29]\nserver-id: 192.0.2.5", "server 192.0.2.5 pool 192.0.2.1-192.0.2.4 192.0.2.6-192.0.2.7"},
		{"D4-6 the server identifier need not be in the subnet", "pools: [192.0.2.0/29]\nserver-id: 10.0.0.1", "server 10.0.0.1 pool 192.0.2.1-192.0.2.7"},
		{"a peer's server identifier is in no pool", "pools: [192.0.2.6-192.0.2.8]\nserver-id: 10.0.0.1", "server 10.0.0.1 pool 192.0.2.6 192.0.2.8"},
		{"exclusions", "pools: [{range: 192.0.2.10-192.0.2.20, exclude: [192.0.2.10, 192.0.2.12-192.0.2.13]}]\nexclude: [192.0.2.16/28]", "server 192.0.2.1 pool 192.0.2.11 192.0.2.14-192.0.2.15"},
		{"a subnet of two addresses", "subnet: 192.0.2.2/31\npools: [192.0.2.2/31]", "server 192.0.2.2 pool 192.0.2.3"},
		{"a subnet of one address", "subnet: 192.0.2.2/32\npools: [192.0.2.2/32]\nserver-id: 10.0.0.1", "server 10.0.0.1 pool 192.0.2.2"},
		{"the last address there is", "subnet: 223.255.255.255/32\npools: [223.255.255.255]\nserver-id: 10.0.0.1", "server 10.0.0.1 pool 223.255.255.255"},
		{"several pools", "pools: [192.0.2.20-192.0.2.29, 192.0.2.10 - 192.0.2.19]", "server 192.0.2.1 pool 192.0.2.20-192.0.2.29 pool 192.0.2.10-192.0.2.19"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := defaults
			d.PeerServerIDs = []netip.Addr{addr("192.0.2.7")}
			if !strings.Contains(c.want, "server 10.0.0.1 pool 192.0.2.6 ") {
				d.PeerServerIDs = nil
			}
			s, err := ParseSubnets([]byte(subnetWith(c.keys)), d)
			if err != nil {
				t.Fatal(err)
			}
			sub := &s.All[0]
			got := "server " + sub.ServerID.String()
			for i, p := range sub.Pools {
				got += " pool"
				size := uint64(0)
				for _, r := range p.Ranges {
					got += " " + span{number4(r.First), number4(r.Last)}.String()
					size += uint64(number4(r.Last)-number4(r.First)) + 1
					if sub.PoolOf(r.First) != i || sub.PoolOf(r.Last) != i {
						t.Errorf("%v is not in its pool", r)
					}
				}
				if size != p.Size {
					t.Errorf("size %d, want %d", p.Size, size)
				}
			}
			if got != c.want {
				t.Error(got)
			}
			if sub.PoolOf(sub.ServerID) >= 0 {
				t.Error("the server identifier is in a pool")
			}
		})
	}
}

func TestD4_29Timers(t *testing.T) {
	half := LeaseTimes{Renewal: defaultRenewal, Rebinding: defaultRebinding}
	fixed := LeaseTimes{Renewal: Timer{Seconds: 600}, Rebinding: Timer{Part: 900}}
	for _, c := range []struct {
		times         LeaseTimes
		lease, t1, t2 uint32
		ok            bool
	}{
		{half, 3600, 1800, 3150, true},
		{half, 4, 2, 3, true},
		{half, 2, 1, 1, false},
		{half, Infinite, 0, 0, false},
		{half, Infinite - 1, 2147483647, 3758096382, true},
		{fixed, 3600, 600, 3240, true},
		{fixed, 600, 300, 525, true}, // does not fit: the defaults
	} {
		if t1, t2, ok := c.times.Timers(c.lease); t1 != c.t1 || t2 != c.t2 || ok != c.ok {
			t.Errorf("D4-29 a lease of %d has %d, %d, %v", c.lease, t1, t2, ok)
		}
	}
	s := mustParse(t, subnetWith("renewal-time: 10m\nrebinding-time: 0.9"))
	if l := s.All[0].Lease; !l.SendTimers || l.Renewal != (Timer{Seconds: 600}) || l.Rebinding != (Timer{Part: 900}) {
		t.Errorf("%+v", l)
	}
}

func TestReservation(t *testing.T) {
	s := mustParse(t, reserve(`{client-id: "ff:01", address: 192.0.2.100}, {hw-address: "02:00:00:00:00:01", address: 192.0.2.9},
    {hw-address: "0201", hw-type: 6, address: 192.0.2.102}, {interface-id: a, address: 192.0.2.103},
    {interface-id: a, link-address: "2001:db8::1", address: 192.0.2.104}, {remote-id: "9:x", address: 192.0.2.105},
    {interface-id: a, remote-id: "9:x", address: 192.0.2.106}, {interface-id: "a\tb", address: 192.0.2.107}`))
	sub := &s.All[0]
	remote := []byte("\x00\x00\x00\x09x")
	for _, c := range []struct {
		name string
		id   Identity
		want string
	}{
		{"by client identifier", Identity{ClientID: []byte{0xff, 1}}, "192.0.2.100"},
		{"by client identifier before hardware address", Identity{ClientID: []byte{0xff, 1}, HWType: 1, HWAddr: []byte{2, 0, 0, 0, 0, 1}}, "192.0.2.100"},
		{"by hardware address though there is a client identifier", Identity{ClientID: []byte{0xff, 2}, HWType: 1, HWAddr: []byte{2, 0, 0, 0, 0, 1}}, "192.0.2.9"},
		{"of another hardware type", Identity{HWType: 6, HWAddr: []byte{2, 0, 0, 0, 0, 1}}, ""},
		{"of the hardware type", Identity{HWType: 6, HWAddr: []byte{2, 1}}, "192.0.2.102"},
		{"a client identifier that looks like a hardware address", Identity{ClientID: []byte{1, 2, 0, 0, 0, 0, 1}}, ""},
		{"by interface-id", Identity{InterfaceID: []byte("a")}, "192.0.2.103"},
		{"by interface-id and another link-address", Identity{InterfaceID: []byte("a"), LinkAddress: addr("2001:db8::2")}, "192.0.2.103"},
		{"by interface-id and link-address", Identity{InterfaceID: []byte("a"), LinkAddress: addr("2001:db8::1")}, "192.0.2.104"},
		{"by remote-id", Identity{RemoteID: remote, InterfaceID: []byte("b")}, "192.0.2.105"},
		{"by interface-id and remote-id", Identity{RemoteID: remote, InterfaceID: []byte("a")}, "192.0.2.106"},
		{"link-address counts more than remote-id", Identity{RemoteID: remote, InterfaceID: []byte("a"), LinkAddress: addr("2001:db8::1")}, "192.0.2.104"},
		{"the client before the attachment point", Identity{ClientID: []byte{0xff, 1}, InterfaceID: []byte("a")}, "192.0.2.100"},
		{"longer than any", Identity{ClientID: make([]byte, 1000), HWAddr: make([]byte, 16), InterfaceID: make([]byte, 60000), RemoteID: make([]byte, 60000)}, ""},
		{"as long as possible", Identity{ClientID: make([]byte, 255), InterfaceID: make([]byte, 255), RemoteID: make([]byte, 255), LinkAddress: addr("2001:db8::1")}, ""},
		{"nothing", Identity{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if r := sub.Reservation(&c.id); r != nil {
				got = r.Addr.String()
				if r.ByPoint != (r.Addr.As4()[3] >= 103) {
					t.Error("by point: ", r.ByPoint)
				}
				if sub.Reserved(r.Addr) != r {
					t.Error("not found by its address")
				}
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if n := testing.AllocsPerRun(10, func() { sub.Reservation(&c.id) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
	if sub.Reserved(addr("192.0.2.77")) != nil || len(sub.Reservations()) != 8 {
		t.Error(sub.Reservations())
	}
}

func TestClasses(t *testing.T) {
	s := mustParse(t, subnetWith(`classes: [{name: a, vendor-class: "PXEClient:*", user-class: "0x6970*", hw-address: "02:00:*", options: {host-name: a}}]`))
	class := &s.All[0].classes[0]
	in := Traits{VendorClass: []byte("PXEClient:Arch"), UserClass: []byte("ipxe"), HWAddr: []byte{2, 0, 1}}
	for _, c := range []struct {
		name   string
		change func(*Traits)
		want   bool
	}{
		{"all fit", func(*Traits) {}, true},
		{"user class as an element of RFC 3004", func(t *Traits) { t.UserClass = []byte("\x01x\x03ipx") }, true},
		{"user class as a broken list", func(t *Traits) { t.UserClass = []byte("\x01x\x09ipx") }, false},
		{"user class as a list of nothing", func(t *Traits) { t.UserClass = []byte("\x00\x00") }, false},
		{"no vendor class", func(t *Traits) { t.VendorClass = nil }, false},
		{"another vendor class", func(t *Traits) { t.VendorClass = []byte("PXEClient") }, false},
		{"another hardware address", func(t *Traits) { t.HWAddr = []byte{2, 1, 1} }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			traits := in
			c.change(&traits)
			if class.Matches(&traits) != c.want {
				t.Error(!c.want)
			}
		})
	}
}

// network is a document of many subnets and reservations.
func network(subnets, reservations int) []byte {
	var b strings.Builder
	for i := range subnets {
		net := fmt.Sprintf("10.%d.%d", i/256, i%256)
		fmt.Fprintf(&b, "- id: %d\n  subnet: %s.0/24\n  pools: [%s.10-%s.250]\n  match: [{prefix: 2001:db8:%x::/64}]\n  options: {routers: [%s.1], domain-name-servers: [192.0.2.53, 192.0.2.54]}\n  reservations:\n",
			i+1, net, net, net, i, net)
		for j := range reservations / subnets {
			fmt.Fprintf(&b, "    - {client-id: \"ff:00:00:00:01:00:03:00:01:02:00:00:%02x:%02x:%02x\", address: %s.%d}\n", i/256, i%256, j, net, j+20)
		}
	}
	return []byte(b.String())
}

func BenchmarkLoad10000Subnets100000Reservations(b *testing.B) {
	doc := network(10_000, 100_000)
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		s, err := ParseSubnets(doc, defaults)
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(s)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB-kept")
	b.ReportMetric(float64(len(doc))/1e6, "MB-document")
}

func BenchmarkReservation(b *testing.B) {
	s := mustParse(b, string(network(100, 1000)))
	id := Identity{ClientID: []byte{0xff, 0, 0, 0, 1, 0, 3, 0, 1, 2, 0, 0, 0, 7, 5}, HWType: 1, HWAddr: make([]byte, 6), InterfaceID: []byte("port-7")}
	b.ReportAllocs()
	for b.Loop() {
		if s.All[7].Reservation(&id) == nil {
			b.Fatal("not found")
		}
	}
}

func FuzzParseSubnets(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(`{"subnets": [{"id": 7, "subnet": "10.0.0.0/8", "pools": ["10.0.0.0/16"], "match": []}]}`))
	f.Add([]byte("subnets:\n- {id: 1, subnet: 10.0.0.0/31, pools: [{range: 10.0.0.1, exclude: []}], match: [{remote-id: '9:x', trust-inner: true}], classes: [{hw-address: '02*'}]}"))
	f.Add([]byte("- &a {id: 1, <<: *a, options: {121: 0x00}}"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		s, err := ParseSubnets(doc, defaults)
		if (err == nil) == (s == nil) {
			t.Fatal(s, err)
		}
		if err != nil {
			if err.Error() == "" {
				t.Fatal("a mistake without words")
			}
			return
		}
		for i := range s.All {
			checkInvariants(t, s, &s.All[i])
		}
	})
}

func checkInvariants(t *testing.T, s *Subnets, sub *Subnet) {
	if s.ByID(sub.ID) != sub || s.Containing(sub.Prefix.Addr()) != sub || !isHost(sub.ServerID) || sub.PoolOf(sub.ServerID) >= 0 || &s.All[sub.Position] != sub {
		t.Fatalf("%+v", sub)
	}
	if l := sub.Lease; l.Min == 0 || l.Min > l.Default || l.Default > l.Max {
		t.Fatalf("%+v", l)
	}
	for i := range sub.Pools {
		for j, r := range sub.Pools[i].Ranges {
			if !sub.Prefix.Contains(r.First) || !sub.Prefix.Contains(r.Last) || r.Last.Less(r.First) ||
				j > 0 && !sub.Pools[i].Ranges[j-1].Last.Less(r.First) || sub.PoolOf(r.First) != i {
				t.Fatalf("%+v", sub.Pools)
			}
		}
	}
	if l := sub.Options(&Traits{}, -1, nil); !l.Base.Has(option.CodeSubnetMask) {
		t.Fatal("no subnet mask")
	}
}
