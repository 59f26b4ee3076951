package server

import (
	"fmt"
	"net/netip"
	gopath "path"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// isOn is the obvious way to say whether an entry is for a link.
func isOn(ifc string, prefix netip.Prefix, on *listen.Interface, link netip.Addr) bool {
	matches := func(name string) bool { ok, _ := gopath.Match(ifc, name); return ok }
	if ifc != "" && (link.IsValid() || !slices.ContainsFunc(on.Names, matches)) {
		return false
	}
	return !prefix.IsValid() || prefix.Contains(link)
}

// someClasses are classes whose tests compare values, and others.
func someClasses(t interface{ Fatal(...any) }) *expression.Classes {
	classes := new(expression.Classes)
	for i, text := range []string{"option[16].hex == 0x01", "option[16].exists", "option[17].hex == 0x01 and option[16].exists",
		"0x02 == option[16].hex", "option[17].hex == 0x02", "option[16].hex == 0x01"} {
		test, err := expression.CompileTest(text, &expression.Vocabulary{V6: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := classes.Scope().Add(fmt.Sprint("class", i), test, nil); err != nil {
			t.Fatal(err)
		}
	}
	return classes
}

var (
	somePrefixes = []netip.Prefix{{}, {}, netip.MustParsePrefix("2001:db8:7::/64"), netip.MustParsePrefix("2001:db8:7::/48"), netip.MustParsePrefix("2001:db8::/32"),
		netip.MustParsePrefix("2001:db8:7::1/128"), netip.MustParsePrefix("2001:db8:8::/64")}
	somePatterns = []string{"", "", "eth1", "eth2", "eth*", "e*", "eth[12]", "*", "uplink", "up?ink", "eth1.*"}
	someIDs      = [][]byte{nil, nil, []byte("port-7"), []byte("port-8")}
)

// TestSW_1_TheFirstEntryOfTheListCounts compares what is chosen with a walk over the list, for any
// entries and any client.
func TestSW_1_TheFirstEntryOfTheListCounts(t *testing.T) {
	classes := someClasses(t)
	chosen, fell := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var list []Service
		var answers []LinkAnswer
		for range rapid.IntRange(1, 30).Draw(t, "entries") {
			one := Service{Interface: rapid.SampledFrom(somePatterns).Draw(t, "interface"), Link: rapid.SampledFrom(somePrefixes).Draw(t, "link"),
				InterfaceID: rapid.SampledFrom(someIDs).Draw(t, "interface-id"), Class: rapid.IntRange(-1, classes.Len()-1).Draw(t, "class"), Options: new(answer.Additions)}
			list = append(list, one)
			if (one.Interface == "") != !one.Link.IsValid() { // either
				answers = append(answers, LinkAnswer{Interface: one.Interface, Link: one.Link, Answer: new(answer.Server)})
			}
		}
		ask := oroOf(dhcp6.InformationRequest, 94)
		for _, code := range []dhcp6.Code{16, 17} {
			if b := rapid.SliceOfN(rapid.ByteRange(1, 3), 0, 1).Draw(t, "option"); len(b) > 0 {
				ask = with(ask, code, b)
			}
		}
		ifc := rapid.SampledFrom([]listen.Interface{{Name: "eth1"}, {Name: "eth2"}, {Name: "eth1.5", Names: []string{"eth1.5", "uplink"}}, {Name: "ppp0"}}).Draw(t, "on")
		if ifc.Names == nil {
			ifc.Names = []string{ifc.Name}
		}
		in := udp.Packet{Data: ask, Peer: client, Local: netip.MustParseAddr("ff02::1:2")}
		link := rapid.SampledFrom([]string{"::", "::", "2001:db8:7::1", "2001:db8:7:1::1", "2001:db8:9::1", "2001:db9::1"}).Draw(t, "relayed")
		if link != "::" || rapid.Bool().Draw(t, "agent") {
			in = byPort(netip.MustParseAddr(link), string(rapid.SampledFrom(someIDs[1:]).Draw(t, "port")), ask)
		}
		u := &Up{set: &Settings{Services: NewServices(list, classes), Links: NewLinks(answers), Answer: new(answer.Server)}}
		if why := u.packet.Parse(in.Data); why != drop.None {
			t.Fatal(why)
		}
		u.path = attachment.Path{Packet: &u.packet, Believed: u.packet.Relays(), Source: in.Peer.Addr(), Interface: []byte(ifc.Name)}

		var want *answer.Additions
		var port []byte
		if r, ok := u.path.Relay(); ok {
			port = r.InterfaceID()
		}
		var eval expression.Evaluator
		eval.Begin(expression.Query{Path: &u.path}, classes, new(expression.Membership))
		for _, one := range list {
			if isOn(one.Interface, one.Link, &ifc, u.path.Link()) && (one.InterfaceID == nil || (port != nil && string(one.InterfaceID) == string(port))) &&
				(one.Class < 0 || eval.Member(one.Class)) {
				want = one.Options
				break
			}
		}
		if got := u.service(&in, &ifc); got != want {
			t.Fatalf("another service than the first that fits")
		}
		from := u.set.Answer
		for _, one := range answers {
			if isOn(one.Interface, one.Link, &ifc, u.path.Link()) {
				from = one.Answer
				fell++
				break
			}
		}
		if u.answerOn(&ifc) != from {
			t.Fatalf("another answer than the first that fits")
		}
		if want != nil {
			chosen++
		}
	})
	if chosen == 0 || fell == 0 {
		t.Errorf("%d services and %d answers were chosen", chosen, fell)
	}
}

// manyLinks gives a bench services and answers for n links of each kind. It returns messages for
// the last of each.
func manyLinks(b *bench, n int) []udp.Packet {
	classes := new(expression.Classes)
	scope := classes.Scope()
	test, err := expression.CompileTest("option[17].exists", &expression.Vocabulary{V6: true})
	if err != nil {
		panic(err)
	}
	absent, err := scope.Add("absent", test, nil)
	if err != nil {
		panic(err)
	}
	var list []Service
	var answers []LinkAnswer
	for i := range n {
		test, err := expression.CompileTest(fmt.Sprintf("option[16].hex == 0x%04x", i), &expression.Vocabulary{V6: true})
		if err != nil {
			panic(err)
		}
		class, err := scope.Add(fmt.Sprint("class", i), test, nil)
		if err != nil {
			panic(err)
		}
		prefix := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(i >> 8), byte(i)}), 64)
		for _, one := range []Service{{Link: prefix, Class: -1}, {Interface: fmt.Sprintf("eth1.%d", i), Class: -1}, {Interface: fmt.Sprintf("ppp%d*", i), Class: -1},
			{InterfaceID: fmt.Append(nil, i), Class: -1}, {InterfaceID: []byte("port"), Link: prefix, Class: -1}, {Class: class}, {Class: absent}} {
			one.Options = offering(94)
			list = append(list, one)
		}
		answers = append(answers, LinkAnswer{Link: prefix, Answer: answer.New(duid, answer.Options{})},
			LinkAnswer{Interface: fmt.Sprintf("eth1.%d", i), Answer: answer.New(duid, answer.Options{})})
	}
	set := *b.up.Settings.Load()
	set.Services, set.Links = NewServices(list, classes), NewLinks(answers)
	b.up.Settings.Store(&set)
	last := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte((n - 1) >> 8), byte(n - 1), 15: 1})
	ask := oroOf(dhcp6.InformationRequest, 94)
	other := netip.MustParseAddr("2001:db9::1")
	return []udp.Packet{
		byPort(last, "x", ask), byPort(last, "port", ask), byPort(other, fmt.Sprint(n-1), ask), byPort(other, "x", ask), from(client, ask),
		from(client, with(ask, 16, []byte{byte((n - 1) >> 8), byte(n - 1)})),
	}
}

// A message costs no allocation, however many links there are.
func TestSW_1_ManyLinksAllocateNothing(t *testing.T) {
	b := newServiceBench(t, 94)
	set := *b.up.Settings.Load()
	set.Hooks, set.Servers = b.up.Settings.Load().Hooks, nil
	b.up.Settings.Store(&set)
	b.up.Queries, b.up.Answers = sink{}, sink{}
	in := manyLinks(b, 1000)
	b.up.batch(in)
	if n := len(b.up.answers.packets); n != 4 {
		t.Fatalf("%d of %d messages are answered", n, len(in))
	}
	if n := testing.AllocsPerRun(100, func() { b.up.batch(in) }); n != 0 {
		t.Errorf("a batch allocates %v times", n)
	}
}

func BenchmarkManyLinks(bb *testing.B) {
	for _, n := range []int{10, 10_000} {
		bb.Run(fmt.Sprint(n, " links"), func(bb *testing.B) {
			b := newServiceBench(bb)
			b.up.Queries, b.up.Answers = sink{}, sink{}
			in := manyLinks(b, n)
			for bb.Loop() {
				b.up.batch(in)
			}
		})
	}
}
