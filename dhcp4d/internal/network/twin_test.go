package network

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

var addr = netip.MustParseAddr

// twin applies the list literally: it walks all entries of all subnets for
// each step.
func twin(subnets []Subnet, f *Facts) (subnet, entry int, step Step) {
	trusted := false
	for i := range subnets {
		for j := range subnets[i].Match {
			m := &subnets[i].Match[j]
			anywhere := twinStep(m) == Interface && m.Interface != "" && !f.Relayed && !f.Source.IsLinkLocalUnicast()
			trusted = trusted || (m.TrustInner && m.Claims() && twinFits(m, f) && !anywhere)
		}
	}
	if trusted {
		inner := func(a netip.Addr) int {
			for i := range subnets {
				for j := range subnets[i].Match {
					if subnets[i].Match[j].TrustInner && subnets[i].Prefix.Contains(a) {
						return i
					}
				}
			}
			return -1
		}
		if f.LinkSelection.IsValid() {
			return inner(f.LinkSelection), -1, LinkSelection
		}
		if i := inner(f.SubnetSelection); i >= 0 {
			return i, -1, SubnetSelection
		}
		if i := inner(f.GIAddr); i >= 0 {
			return i, -1, GIAddr
		}
	}
	for step := LinkAndID; step <= Kind; step++ {
		subnet, entry = -1, -1
		for i := range subnets {
			for j := range subnets[i].Match {
				m := &subnets[i].Match[j]
				if twinStep(m) != step || !twinFits(m, f) {
					continue
				}
				if subnet < 0 || twinMoreSpecific(m, &subnets[subnet].Match[entry]) {
					subnet, entry = i, j
				}
			}
		}
		if subnet >= 0 {
			return subnet, entry, step
		}
	}
	return -1, -1, None
}

func twinStep(m *Match) Step {
	id := m.InterfaceID != nil || m.RemoteID != nil || m.SubscriberID != nil
	switch {
	case !m.Claims():
		return None
	case id && (m.LinkAddress.IsValid() || m.Peer != ""):
		return LinkAndID
	case m.LinkAddress.IsValid():
		return Link
	case id:
		return ID
	case m.Prefix.IsValid():
		return Source
	case m.Interface == "" && m.Peer == "":
		return Kind
	}
	return Interface
}

// someClasses has the classes a and b; twinClasses says which of them a query is in.
var twinClasses = map[string]bool{}

func someClasses() *expression.Classes {
	classes := new(expression.Classes)
	scope := classes.Scope()
	for _, name := range []string{"a", "b"} {
		if _, err := scope.Add(name, nil, func(*expression.Evaluator) bool { return twinClasses[name] }); err != nil {
			panic(err)
		}
	}
	return classes
}

func twinFits(m *Match, f *Facts) bool {
	same := func(want, have []byte) bool {
		return want == nil || (have != nil && string(want) == string(have))
	}
	if m.Prefix.IsValid() && !m.Prefix.Contains(f.Source) {
		return false
	}
	if m.LinkAddress.IsValid() && !m.LinkAddress.Contains(f.LinkAddress) {
		return false
	}
	if m.Interface != "" && m.Interface != string(f.Interface) {
		return false
	}
	if m.Peer != "" && m.Peer != f.Peer {
		return false
	}
	if m.Class != "" && !twinClasses[m.Class] {
		return false
	}
	return same(m.InterfaceID, f.InterfaceID) && same(m.RemoteID, f.RemoteID) && same(m.SubscriberID, f.SubscriberID)
}

// twinMoreSpecific compares two entries of one step.
func twinMoreSpecific(a, b *Match) bool {
	has := func(given bool) int {
		if given {
			return 1
		}
		return 0
	}
	order := func(m *Match) [8]int {
		return [8]int{
			m.LinkAddress.Bits(), has(m.InterfaceID != nil), has(m.RemoteID != nil), has(m.SubscriberID != nil),
			m.Prefix.Bits(), has(m.Peer != ""), has(m.Interface != ""), has(m.Class != ""),
		}
	}
	x, y := order(a), order(b)
	for i := range x {
		if x[i] != y[i] {
			return x[i] > y[i]
		}
	}
	return false
}

// Values are drawn from few, so that entries and queries meet.
var (
	someAddrs = rapid.SampledFrom([]netip.Addr{
		{}, addr("2001:db8::1"), addr("2001:db8:0:1::1"), addr("2001:db8:1::1"), addr("fe80::1"), addr("2001:db8:0:1::2"),
	})
	somePrefixes = rapid.SampledFrom([]netip.Prefix{
		{}, {}, {}, netip.MustParsePrefix("::/0"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2001:db8::/47"),
		netip.MustParsePrefix("2001:db8:0:1::/64"), netip.MustParsePrefix("2001:db8:0:1::1/128"), netip.MustParsePrefix("fe80::/10"),
	})
	someIDs   = rapid.SampledFrom([][]byte{nil, nil, nil, []byte("a"), []byte("ab")})
	someNames = rapid.SampledFrom([]string{"", "", "", "x", "y"})
	someInner = rapid.SampledFrom([]netip.Addr{
		{}, {}, {}, netip.IPv4Unspecified(), addr("10.0.0.1"), addr("10.0.1.1"), addr("10.0.2.1"), addr("10.9.0.1"),
	})
)

func drawMatch(t *rapid.T) Match {
	m := Match{
		Prefix: somePrefixes.Draw(t, "prefix"), Interface: someNames.Draw(t, "interface"),
		InterfaceID: someIDs.Draw(t, "interface-id"), RemoteID: someIDs.Draw(t, "remote-id"), SubscriberID: someIDs.Draw(t, "subscriber-id"),
		LinkAddress: somePrefixes.Draw(t, "link-address"), Peer: someNames.Draw(t, "peer"),
		TrustInner: rapid.IntRange(0, 5).Draw(t, "trust") == 0,
	}
	if class := rapid.IntRange(-5, 1).Draw(t, "class"); class >= 0 {
		m.Class, m.ClassNumber = []string{"a", "b"}[class], class
	}
	return m
}

func drawFacts(t *rapid.T) Facts {
	return Facts{
		LinkSelection: someInner.Draw(t, "link selection"), SubnetSelection: someInner.Draw(t, "118"), GIAddr: someInner.Draw(t, "giaddr"),
		Relayed: rapid.Bool().Draw(t, "relayed"), LinkAddress: someAddrs.Draw(t, "link"),
		InterfaceID: someIDs.Draw(t, "iid"), RemoteID: someIDs.Draw(t, "rid"), SubscriberID: someIDs.Draw(t, "sid"),
		Source: someAddrs.Draw(t, "source"), Interface: []byte(someNames.Draw(t, "if")), Peer: someNames.Draw(t, "from"),
	}
}

// aim changes the facts so that an entry of the subnet fits, as far as those
// before allow it to say.
func aim(f *Facts, s Subnet, t *rapid.T) {
	if len(s.Match) == 0 {
		return
	}
	m := rapid.SampledFrom(s.Match).Draw(t, "entry")
	if m.Prefix.IsValid() && !m.Prefix.Contains(f.Source) {
		f.Source = m.Prefix.Addr()
	}
	if m.LinkAddress.IsValid() && !m.LinkAddress.Contains(f.LinkAddress) {
		f.LinkAddress = m.LinkAddress.Addr()
	}
	if m.InterfaceID != nil {
		f.InterfaceID = m.InterfaceID
	}
	if m.RemoteID != nil {
		f.RemoteID = m.RemoteID
	}
	if m.SubscriberID != nil {
		f.SubscriberID = m.SubscriberID
	}
	if m.Interface != "" {
		f.Interface = []byte(m.Interface)
	}
	if m.Peer != "" {
		f.Peer = m.Peer
	}
}

func TestD4_12SelectorAgreesWithTheListAppliedLiterally(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		subnets := &Subnets{}
		claims := map[string]bool{}
		for i := range rapid.IntRange(1, 6).Draw(t, "subnets") {
			s := Subnet{ID: uint32(i + 1), Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 0}), 24)}
			for range rapid.IntRange(0, 10).Draw(t, "entries") {
				m := drawMatch(t)
				claim := m
				claim.TrustInner = false
				if (!m.Claims() && !m.TrustInner) || (m.Claims() && claims[claim.String()]) {
					continue // the configuration refuses these
				}
				claims[claim.String()] = true
				s.Match = append(s.Match, m)
			}
			subnets.All = append(subnets.All, s)
		}
		sel := NewSelector(subnets)
		e := new(expression.Evaluator)
		for range 16 {
			f := drawFacts(t)
			twinClasses["a"], twinClasses["b"] = rapid.Bool().Draw(t, "in a"), rapid.Bool().Draw(t, "in b")
			e.Begin(expression.Query{}, someClasses(), new(expression.Membership))
			f.Classes = e
			for range rapid.IntRange(0, 3).Draw(t, "aims") {
				aim(&f, rapid.SampledFrom(subnets.All).Draw(t, "at"), t)
			}
			r := sel.Select(&f)
			subnet, entry, step := twin(subnets.All, &f)
			got := -1
			if r.Subnet != nil {
				got = int(r.Subnet.ID) - 1
			}
			if got != subnet || r.Entry != entry || r.Step != step {
				t.Fatalf("subnet %d entry %d by %v, the twin says subnet %d entry %d by %v\n%+v", got, r.Entry, r.Step, subnet, entry, step, f)
			}
			sel.Explain(&f)
		}
	})
}
