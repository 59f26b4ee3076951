package config

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// defaults are those of an empty environment.
var defaults = Defaults{Authoritative: true, LeaseTime: 3600, OfferHold: 60, DeclineTime: 86400, Peers: []string{"[::1]:6767"}}

func mustParse(t testing.TB, doc string) *network.Subnets {
	t.Helper()
	s, err := ParseSubnets([]byte(doc), defaults)
	if err != nil {
		t.Fatal(err)
	}
	if len(doc) < 1<<14 { // larger ones only repeat the same
		if err := check(t, schema(t), []byte(doc)); err != nil {
			t.Errorf("the schema refuses it: %v\n%s", err, doc)
		}
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
	l := s.ByID(2).OptionsFor(nil, -1, nil, nil)
	if v, ok := l.Lookup(3); !ok || string(v) != "\x0a\x00\x00\x01" {
		t.Error(v)
	}
}

func TestAlwaysSend(t *testing.T) {
	s := mustParse(t, `
always-send: [ntp-servers, 252]
subnets:
  - id: 1
    subnet: 10.0.0.0/24
    match: [{interface: eth0}]
    options: {252: 0x61, routers: [10.0.0.1]}
    pools: [{range: 10.0.0.16/28, always-send: [routers]}]
    classes: [{name: phones, vendor-class: "phone*", options: {150: 0x0a000001}, always-send: [150]}]
    reservations: [{hw-address: "02:00:00:00:00:01", address: 10.0.0.5, always-send: [1]}]
`)
	sub := s.ByID(1)
	phone := client{VendorClass: []byte("phone 7")}
	reserved := sub.Reservations.Of(&network.Identity{HWType: 1, HWAddr: []byte{2, 0, 0, 0, 0, 1}}, nil)
	for _, tt := range []struct {
		name   string
		layers option.Layers
		always []int
	}{
		{"outside the pool", sub.OptionsFor(client{}.classes(t, s, sub), -1, nil, nil), []int{252}},
		{"in the pool", sub.OptionsFor(client{}.classes(t, s, sub), 0, nil, nil), []int{3, 252}},
		{"of the class", sub.OptionsFor(phone.classes(t, s, sub), 0, nil, nil), []int{3, 150, 252}},
		{"reserved", sub.OptionsFor(client{}.classes(t, s, sub), -1, reserved, nil), []int{1, 252}},
	} {
		all, always := tt.layers.Configured()
		if got := always.List(); !slices.Equal(got, tt.always) {
			t.Errorf("%s: always %v, want %v", tt.name, got, tt.always)
		}
		for _, code := range all.List() {
			if v, ok := tt.layers.Lookup(byte(code)); !ok || len(v) == 0 {
				t.Errorf("%s: option %d is configured and has no value", tt.name, code)
			}
		}
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
	if one.Lease.Default != 7200 || one.Lease.Min != 7200 || one.Lease.Max != lease.Infinite || one.Limit != 4 {
		t.Errorf("%+v", one.Policy)
	}
	if two.Lease.Default != 3600 || two.Lease.Min != 3600 || two.Lease.Max != lease.Infinite || two.Limit != 0 {
		t.Errorf("%+v", two.Policy)
	}
	phone, own := client{VendorClass: []byte("phone 7")}, client{VendorClass: []byte("phone"), UserClass: []byte("x")}
	for _, c := range []struct {
		name     string
		subnet   *network.Subnet
		traits   client
		address  string
		reserved bool
		code     byte
		want     string
	}{
		{"of the top", one, client{}, "10.0.0.25", false, 12, "top"},
		{"of the subnet over the top", one, client{}, "10.0.0.25", false, 15, "subnet"},
		{"of the pool over the subnet", one, client{}, "10.0.0.15", false, 15, "pool"},
		{"of no pool", one, client{}, "10.0.0.99", false, 17, ""},
		{"of the class over the pool", one, phone, "10.0.0.15", false, 15, "class"},
		{"of the subnet's class over the top's", one, own, "10.0.0.15", false, 67, "own"},
		{"of the reservation over all", one, own, "10.0.0.15", true, 15, "reservation"},
		{"the reservation leaves the others", one, own, "10.0.0.15", true, 17, "pool"},
		{"a class of the top in another subnet", two, phone, "10.0.1.1", false, 67, "class"},
		{"subnet mask from the prefix", one, client{}, "10.0.0.25", false, 1, "\xff\xff\xff\x00"},
		{"subnet mask as configured", two, client{}, "10.0.1.1", false, 1, "\xff\xff\xff\xff"},
		{"D4-30 wait of the top", one, client{}, "10.0.0.25", false, 108, "\x00\x00\x01\x2c"},
		{"D4-30 wait of 0", two, client{}, "10.0.1.1", false, 108, "\x00\x00\x00\x00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r *network.Reservation
			if c.reserved {
				r = c.subnet.Reservations.At(addr(c.address))
			}
			in := c.traits.classes(t, s, c.subnet)
			memory := make([]*option.Set, 0, len(in))
			l := c.subnet.OptionsFor(in, c.subnet.PoolOf(addr(c.address)), r, memory)
			if got, ok := l.Lookup(c.code); string(got) != c.want || ok != (c.want != "") {
				t.Errorf("%q", got)
			}
			if n := testing.AllocsPerRun(10, func() {
				l := c.subnet.OptionsFor(in, c.subnet.PoolOf(addr(c.address)), r, memory)
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
	half := network.LeaseTimes{Renewal: network.DefaultRenewal, Rebinding: network.DefaultRebinding}
	fixed := network.LeaseTimes{Renewal: network.Timer{Seconds: 600}, Rebinding: network.Timer{Part: 900}}
	for _, c := range []struct {
		times         network.LeaseTimes
		lease, t1, t2 uint32
		ok            bool
	}{
		{half, 3600, 1800, 3150, true},
		{half, 4, 2, 3, true},
		{half, 2, 1, 1, false},
		{half, lease.Infinite, 0, 0, false},
		{half, lease.Infinite - 1, 2147483647, 3758096382, true},
		{fixed, 3600, 600, 3240, true},
		{fixed, 600, 300, 525, true}, // fixed does not fit, so the defaults count
	} {
		if t1, t2, ok := c.times.Timers(c.lease); t1 != c.t1 || t2 != c.t2 || ok != c.ok {
			t.Errorf("D4-29 a lease of %d has %d, %d, %v", c.lease, t1, t2, ok)
		}
	}
	s := mustParse(t, subnetWith("renewal-time: 10m\nrebinding-time: 0.9"))
	if l := s.All[0].Lease; !l.SendTimers || l.Renewal != (network.Timer{Seconds: 600}) || l.Rebinding != (network.Timer{Part: 900}) {
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
		id   network.Identity
		want string
	}{
		{"by client identifier", network.Identity{ClientID: []byte{0xff, 1}}, "192.0.2.100"},
		{"by client identifier before hardware address", network.Identity{ClientID: []byte{0xff, 1}, HWType: 1, HWAddr: []byte{2, 0, 0, 0, 0, 1}}, "192.0.2.100"},
		{"by hardware address though there is a client identifier", network.Identity{ClientID: []byte{0xff, 2}, HWType: 1, HWAddr: []byte{2, 0, 0, 0, 0, 1}}, "192.0.2.9"},
		{"of another hardware type", network.Identity{HWType: 6, HWAddr: []byte{2, 0, 0, 0, 0, 1}}, ""},
		{"of the hardware type", network.Identity{HWType: 6, HWAddr: []byte{2, 1}}, "192.0.2.102"},
		{"a client identifier that looks like a hardware address", network.Identity{ClientID: []byte{1, 2, 0, 0, 0, 0, 1}}, ""},
		{"by interface-id", network.Identity{InterfaceID: []byte("a")}, "192.0.2.103"},
		{"by interface-id and another link-address", network.Identity{InterfaceID: []byte("a"), LinkAddress: addr("2001:db8::2")}, "192.0.2.103"},
		{"by interface-id and link-address", network.Identity{InterfaceID: []byte("a"), LinkAddress: addr("2001:db8::1")}, "192.0.2.104"},
		{"by remote-id", network.Identity{RemoteID: remote, InterfaceID: []byte("b")}, "192.0.2.105"},
		{"by interface-id and remote-id", network.Identity{RemoteID: remote, InterfaceID: []byte("a")}, "192.0.2.106"},
		{"link-address counts more than remote-id", network.Identity{RemoteID: remote, InterfaceID: []byte("a"), LinkAddress: addr("2001:db8::1")}, "192.0.2.104"},
		{"the client before the attachment point", network.Identity{ClientID: []byte{0xff, 1}, InterfaceID: []byte("a")}, "192.0.2.100"},
		{"longer than any", network.Identity{ClientID: make([]byte, 1000), HWAddr: make([]byte, 16), InterfaceID: make([]byte, 60000), RemoteID: make([]byte, 60000)}, ""},
		{"as long as possible", network.Identity{ClientID: make([]byte, 255), InterfaceID: make([]byte, 255), RemoteID: make([]byte, 255), LinkAddress: addr("2001:db8::1")}, ""},
		{"nothing", network.Identity{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if r := sub.Reservations.Of(&c.id, nil); r != nil {
				got = r.Addr.String()
				if r.ByPoint() != (r.Addr.As4()[3] >= 103) {
					t.Error("by point: ", r.ByPoint())
				}
				if sub.Reservations.At(r.Addr) != r {
					t.Error("not found by its address")
				}
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if n := testing.AllocsPerRun(10, func() { sub.Reservations.Of(&c.id, nil) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
	if sub.Reservations.At(addr("192.0.2.77")) != nil || len(sub.Reservations.All()) != 8 {
		t.Error(sub.Reservations.All())
	}
}

// client is a client, as classes without a test see it.
type client struct{ VendorClass, UserClass, HWAddr []byte }

// evaluator returns an evaluator that has a DISCOVER of the client.
func (c client) evaluator(t testing.TB, s *network.Subnets) *expression.Evaluator {
	t.Helper()
	h := dhcp4.Header{Op: dhcp4.BootRequest, HType: 1, HLen: byte(len(c.HWAddr))}
	copy(h.CHAddr[:], c.HWAddr)
	b := dhcp4.AppendType(dhcp4.AppendHeader(nil, &h), dhcp4.Discover)
	if c.VendorClass != nil {
		b = dhcp4.AppendOption(b, 60, c.VendorClass)
	}
	if c.UserClass != nil {
		b = dhcp4.AppendOption(b, 77, c.UserClass)
	}
	m := new(dhcp4.Message)
	if why := m.Parse(dhcp4.AppendEnd(b)); why != drop.None {
		t.Fatal(why)
	}
	e := new(expression.Evaluator)
	e.Begin(expression.Query{Message: m}, s.Classes, new(expression.Membership))
	return e
}

// classes returns the names of the classes of a subnet that the client is in.
func (c client) classes(t testing.TB, s *network.Subnets, sub *network.Subnet) []*network.Class {
	t.Helper()
	return sub.AppendClasses(nil, c.evaluator(t, s))
}

func TestClasses(t *testing.T) {
	s := mustParse(t, subnetWith(`classes: [{name: a, vendor-class: "PXEClient:*", user-class: "0x6970*", hw-address: "02:00:*", options: {host-name: a}}]`))
	in := client{VendorClass: []byte("PXEClient:Arch"), UserClass: []byte("ipxe"), HWAddr: []byte{2, 0, 1}}
	for _, c := range []struct {
		name   string
		change func(*client)
		want   bool
	}{
		{"all fit", func(*client) {}, true},
		{"user class as an element of RFC 3004", func(t *client) { t.UserClass = []byte("\x01x\x03ipx") }, true},
		{"user class as a broken list", func(t *client) { t.UserClass = []byte("\x01x\x09ipx") }, false},
		{"user class as a list of nothing", func(t *client) { t.UserClass = []byte("\x00\x00") }, false},
		{"no vendor class", func(t *client) { t.VendorClass = nil }, false},
		{"another vendor class", func(t *client) { t.VendorClass = []byte("PXEClient") }, false},
		{"another hardware address", func(t *client) { t.HWAddr = []byte{2, 1, 1} }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			traits := in
			c.change(&traits)
			if got := len(traits.classes(t, s, &s.All[0])) == 1; got != c.want {
				t.Error(!c.want)
			}
		})
	}
}

// TestO4_13 checks that NUL octets at the end of a client's text do not count (RFC 2132 section 2).
func TestO4_13(t *testing.T) {
	s := mustParse(t, subnetWith(`classes: [{vendor-class: d-i}, {vendor-class: "0x642d6900"}, {user-class: d-i}, {hw-address: "02:00:00:00:00"}]`))
	for _, c := range []struct {
		name   string
		traits client
		want   []bool
	}{
		{"vendor class", client{VendorClass: []byte("d-i")}, []bool{true, false, false, false}},
		{"vendor class with a NUL", client{VendorClass: []byte("d-i\x00")}, []bool{true, true, false, false}},
		{"vendor class with several", client{VendorClass: []byte("d-i\x00\x00\x00")}, []bool{true, false, false, false}},
		{"vendor class with one inside", client{VendorClass: []byte("d-i\x00x")}, []bool{false, false, false, false}},
		{"nothing but NUL", client{VendorClass: []byte{0}, UserClass: []byte{0}}, []bool{false, false, false, false}},
		{"user class with a NUL", client{UserClass: []byte("d-i\x00")}, []bool{false, false, true, false}},
		{"an element of a user class with a NUL", client{UserClass: []byte("\x01x\x04d-i\x00")}, []bool{false, false, true, false}},
		{"octets are no text", client{HWAddr: []byte{2, 0, 0, 0, 0, 0}}, []bool{false, false, false, false}},
	} {
		t.Run("O4-13 "+c.name, func(t *testing.T) {
			e := c.traits.evaluator(t, s)
			for i := range c.want {
				if got := e.Member(i); got != c.want[i] {
					t.Errorf("class %d: %v", i, got)
				}
			}
		})
	}
}

// manySubnets returns a document with many subnets and reservations.
func manySubnets(subnets, reservations int) []byte {
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
	doc := manySubnets(10_000, 100_000)
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
	s := mustParse(b, string(manySubnets(100, 1000)))
	id := network.Identity{ClientID: []byte{0xff, 0, 0, 0, 1, 0, 3, 0, 1, 2, 0, 0, 0, 7, 5}, HWType: 1, HWAddr: make([]byte, 6), InterfaceID: []byte("port-7")}
	b.ReportAllocs()
	for b.Loop() {
		if s.All[7].Reservations.Of(&id, nil) == nil {
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

func checkInvariants(t *testing.T, s *network.Subnets, sub *network.Subnet) {
	if s.ByID(sub.ID) != sub || s.Containing(sub.Prefix.Addr()) != sub || !network.IsHost(sub.ServerID) || sub.PoolOf(sub.ServerID) >= 0 || &s.All[sub.Position] != sub {
		t.Fatalf("%+v", sub)
	}
	if l := sub.Lease; l.Min == 0 || l.Min > l.Default || l.Default > l.Max {
		t.Fatalf("%+v", l)
	}
	for i := range sub.Pools {
		for j, r := range sub.Pools[i].Ranges {
			if !sub.Prefix.Contains(r.First) || !sub.Prefix.Contains(r.Last) || r.Last.Less(r.First) ||
				(j > 0 && !sub.Pools[i].Ranges[j-1].Last.Less(r.First)) || sub.PoolOf(r.First) != i {
				t.Fatalf("%+v", sub.Pools)
			}
		}
	}
	if l := sub.OptionsFor(client{}.classes(t, s, sub), -1, nil, nil); !l.Base.Has(dhcp4.OptSubnetMask) {
		t.Fatal("no subnet mask")
	}
}

func TestSubnetsHaveNames(t *testing.T) {
	s := mustParse(t, strings.Replace(small, "id: 1", "id: 1\n  name: Süd 2, \"öst\"", 1))
	if sub := s.ByName(`Süd 2, "öst"`); sub == nil || sub.ID != 1 || sub.String() != `1 (Süd 2, "öst")` || s.ByName("") != nil {
		t.Errorf("%+v", sub)
	}
	if sub := mustParse(t, small).ByID(1); sub.Name != "" || sub.String() != "1" {
		t.Errorf("%+v", sub)
	}
}
