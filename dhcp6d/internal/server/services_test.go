package server

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/backend"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// offering is additions that can be told apart: option 94 with one octet.
func offering(id byte, supply ...uint16) *answer.Additions {
	return answer.NewAdditions([]answer.Option{{Code: 94, Data: []byte{id}}}, supply)
}

// byPort is a message that came through a relay with an Interface-Id.
func byPort(link netip.Addr, id string, m []byte) udp.Packet {
	options := dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte(id))
	return udp.Packet{Data: dhcp6.AppendRelayForward(nil, 0, link, client.Addr(), options, m), Peer: relay, Local: us, Interface: eth1.Index}
}

// newServiceBench is a bench with services for every kind of condition.
func newServiceBench(t testing.TB, supply ...uint16) *bench {
	t.Helper()
	b := newPassBench(t, nil)
	classes := new(expression.Classes)
	test, err := expression.CompileTest("option[16].exists", &expression.Vocabulary{V6: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := classes.Scope().Add("vendor", test, nil); err != nil {
		t.Fatal(err)
	}
	set := *b.up.Settings.Load()
	set.Answer = answer.New(duid, answer.Options{Offer4o6: true, DNSServers: []netip.Addr{us}, Supply: supply})
	set.Services = NewServices([]Service{
		{InterfaceID: []byte("port-7"), Link: netip.MustParsePrefix("2001:db8:8::/64"), Class: -1, Options: offering(1, supply...)},
		{Class: 0, Options: offering(2, supply...)},
		{InterfaceID: []byte("port-7"), Class: -1, Options: offering(3, supply...)},
		{Interface: "eth2", Class: -1, Options: offering(4, supply...)},
		{Link: netip.MustParsePrefix("2001:db8:7::/64"), Class: -1, Options: offering(5, supply...)},
		{InterfaceID: []byte("port-9"), Class: -1, Options: offering(6, supply...)},
	}, classes)
	b.up.Settings.Store(&set)
	return b
}

// vendored is a message whose client says what it is.
func vendored(m []byte) []byte { return with(m, dhcp6.OptVendorClass, []byte{0, 0, 0, 9, 0, 0}) }

// oroOf is a message that asks for options.
func oroOf(kind dhcp6.Type, codes ...uint16) []byte {
	var list []byte
	for _, c := range codes {
		list = binary.BigEndian.AppendUint16(list, c)
	}
	return dhcp6.AppendOption(dhcp6.AppendMessage(nil, kind, [3]byte{1, 2, 3}), dhcp6.OptORO, list)
}

func TestSW_1_TheFirstServiceThatFitsCounts(t *testing.T) {
	link7, link8, other := netip.MustParseAddr("2001:db8:7::1"), netip.MustParseAddr("2001:db8:8::1"), netip.MustParseAddr("2001:db8:9::1")
	ask := oroOf(dhcp6.InformationRequest, 94)
	for _, tt := range []struct {
		name string
		in   udp.Packet
		want byte // 0: none
	}{
		{"all conditions hold", byPort(link8, "port-7", ask), 1},
		{"the Interface-Id, on another link", byPort(other, "port-7", ask), 3},
		{"the class goes before it", byPort(other, "port-7", vendored(ask)), 2},
		{"but after what is listed before it", byPort(link8, "port-7", vendored(ask)), 1},
		{"the link, whatever the Interface-Id", byPort(link7, "port-8", ask), 5},
		{"the link, listed before the Interface-Id", byPort(link7, "port-9", ask), 5},
		{"the Interface-Id", byPort(other, "port-9", ask), 6},
		{"an interface", udp.Packet{Data: ask, Peer: client, Local: netip.MustParseAddr("ff02::1:2"), Interface: eth2.Index}, 4},
		{"another interface", from(client, ask), 0},
		{"another interface, and the class", from(client, vendored(ask)), 2},
		{"a level that is not believed has no Interface-Id", udp.Packet{Data: dhcp6.AppendRelayForward(nil, 1, other, client.Addr(), nil, byPort(other, "port-9", ask).Data),
			Peer: relay, Local: us, Interface: eth1.Index}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newServiceBench(t)
			set := *b.up.Settings.Load()
			set.Servers = nil
			b.up.Settings.Store(&set)
			b.up.batch([]udp.Packet{tt.in})
			if tt.want == 0 {
				if len(b.up.answers.packets) != 0 {
					t.Errorf("answered by %x", b.up.answers.packets[0].Data)
				}
				return
			}
			if n := b.sum(t, "dhcp6d_options_told_total", "option=94", "by=reply"); n != 1 || b.sum(t, "dhcp6d_options_told_total") != 1 {
				t.Errorf("%v options 94 in Replies are counted", n)
			}
			if len(b.up.answers.packets) != 1 || !bytes.Contains(b.up.answers.packets[0].Data, []byte{0, 94, 0, 1, tt.want}) {
				t.Errorf("answers %v, want service %d", b.up.answers.packets, tt.want)
			}
		})
	}
}

// What is offered to some clients goes to the servers as well, if it is supplied and asked for.
func TestRL40ServicesGoWithTheMessage(t *testing.T) {
	other := netip.MustParseAddr("2001:db8:9::1")
	for name, c := range map[string]struct {
		supply []uint16
		in     udp.Packet
		want   []byte
	}{
		"the service and what all are offered": {[]uint16{88, 94}, byPort(other, "port-9", oroOf(dhcp6.Solicit, 94, 88)), []byte{0, 88, 0, 0, 0, 94, 0, 1, 6}},
		"the service alone":                    {[]uint16{94}, byPort(other, "port-9", oroOf(dhcp6.Solicit, 94, 88)), []byte{0, 94, 0, 1, 6}},
		"nothing, where none fits":             {[]uint16{94}, byPort(other, "port-1", oroOf(dhcp6.Solicit, 94, 88)), nil},
		"nothing, where the client asks not":   {[]uint16{88, 94}, byPort(other, "port-9", oroOf(dhcp6.Solicit, 23)), nil},
		"nothing, where it is not supplied":    {nil, byPort(other, "port-9", oroOf(dhcp6.Solicit, 94)), nil},
	} {
		b := newServiceBench(t, c.supply...)
		var p dhcp6.Packet
		if why := p.Parse(b.passOn(t, c.in)); why != drop.None {
			t.Fatal(why)
		}
		var got []byte
		for code, data := range dhcp6.Options(p.Relay(0).Options()) {
			if code == dhcp6.OptRSOO {
				got = data
			}
		}
		if !bytes.Equal(got, c.want) {
			t.Errorf("%s: %x, want %x", name, got, c.want)
		}
		for _, code := range []string{"88", "94"} {
			number, _ := strconv.Atoi(code)
			want := float64(bytes.Count(c.want, []byte{0, byte(number), 0}))
			if n := b.sum(t, "dhcp6d_options_told_total", "option="+code, "by=supply"); n != want {
				t.Errorf("%s: %v options %s are counted, want %v", name, n, code, want)
			}
		}
	}
}

// TestSW_7TheQueryCarriesWhatTheResponseIsToHave: border relays and the bind prefix of the client's
// service, if the query asks for them. Kea gets none.
func TestSW_7TheQueryCarriesWhatTheResponseIsToHave(t *testing.T) {
	softwire := func(last byte) *answer.Additions {
		return answer.NewAdditions([]answer.Option{{Code: 90, Data: append(make([]byte, 15), last)}, {Code: 137, Data: []byte{0}}, {Code: 94, Data: []byte{last}}}, nil)
	}
	ask := with(query(dhcpv4(1, 1)), dhcp6.OptORO, []byte{0, 90, 0, 94, 0, 137})
	link := netip.MustParseAddr("2001:db8:7::1")
	octets := func(last byte) []byte {
		return append(append(append([]byte{0, 90, 0, 16}, make([]byte, 15)...), last), 0, 137, 0, 1, 0)
	}
	for name, tt := range map[string]struct {
		in   udp.Packet
		kea  bool
		want []byte
	}{
		"by Interface-Id":              {in: byPort(link, "port-7", ask), want: octets(1)},
		"by interface":                 {in: from(client, ask), want: octets(2)},
		"where nothing is asked for":   {in: from(client, query(dhcpv4(1, 1)))},
		"where other things are":       {in: from(client, with(query(dhcpv4(1, 1)), dhcp6.OptORO, []byte{0, 94, 0, 88}))},
		"where nothing fits":           {in: byPort(link, "port-8", ask)},
		"for Kea, which knows nothing": {in: from(client, ask), kea: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, backend.Spec{Name: "four", Host: "::1", Port: 6768, Kea: tt.kea})
			set := *b.up.Settings.Load()
			set.Services = NewServices([]Service{
				{InterfaceID: []byte("port-7"), Class: -1, Options: softwire(1)},
				{Interface: "eth1", Class: -1, Options: softwire(2)},
			}, new(expression.Classes))
			b.up.Settings.Store(&set)
			b.up.batch([]udp.Packet{tt.in})
			if len(b.up.queries.packets) == 0 {
				t.Fatal("the query is not forwarded")
			}
			var q ipc.Query
			if why := q.Parse(b.up.queries.packets[0].Data); why != drop.None || !bytes.Equal(q.Context().Beside, tt.want) {
				t.Errorf("%v, %x goes with the query, want %x", why, q.Context().Beside, tt.want)
			}
			var told float64
			if tt.want != nil {
				told = 1
			}
			for _, option := range []string{"90", "137"} {
				if n := b.sum(t, "dhcp6d_options_told_total", "option="+option, "by=response"); n != told {
					t.Errorf("%v options %s are counted", n, option)
				}
			}
			in := []udp.Packet{tt.in}
			allocations := math.Inf(1) // the least of several, because other goroutines' count too
			for range 5 {
				allocations = min(allocations, testing.AllocsPerRun(100, func() { b.up.batch(in) }))
			}
			if allocations > 1 { // one is that of the test's socket
				t.Errorf("a batch allocates %v times", allocations)
			}
		})
	}
}

// TestSW_1_AllocatesNothing: neither a Reply with a service nor the choice among many does.
func TestSW_1_AllocatesNothing(t *testing.T) {
	b := newServiceBench(t, 94)
	set := *b.up.Settings.Load()
	set.Hooks = event.Hooks{}
	b.up.Queries, b.up.Answers = sink{}, sink{}
	var many []Service
	for i := range 10000 {
		many = append(many, Service{InterfaceID: fmt.Appendf(nil, "olt1/%d", i), Class: -1, Options: offering(byte(i), 94)})
	}
	many = append(many, set.Services.list...)
	set.Services = NewServices(many, set.Services.classes)
	b.up.Settings.Store(&set)
	other := netip.MustParseAddr("2001:db8:9::1")
	in := []udp.Packet{byPort(other, "olt1/9999", oroOf(dhcp6.InformationRequest, 94)), byPort(other, "port-9", oroOf(dhcp6.InformationRequest, 94)),
		from(client, vendored(oroOf(dhcp6.InformationRequest, 94))), byPort(other, "olt1/5", oroOf(dhcp6.Solicit, 94))}
	b.up.batch(in)
	if len(b.up.answers.packets) != 3 || len(b.up.passed.packets) != 1 {
		t.Fatalf("%d answers, %d passed on", len(b.up.answers.packets), len(b.up.passed.packets))
	}
	if n := testing.AllocsPerRun(100, func() { b.up.batch(in) }); n != 0 {
		t.Errorf("a batch allocates %v times", n)
	}
}
