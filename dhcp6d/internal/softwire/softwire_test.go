package softwire

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var (
	prefix = netip.MustParsePrefix
	addr   = netip.MustParseAddr
	// rfc is the rule of the examples in RFC 7597 appendix A and RFC 7599 appendix A.
	rfc = Rule{EABits: 16, IPv4: prefix("192.0.2.0/24"), IPv6: prefix("2001:db8::/40")}
)

func octets(t testing.TB, text string) []byte {
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples of RFC 7597 and RFC 7599 appendix A, in octets by RFC 7598 section 4. Example 5 of
// RFC 7599 is as erratum 5324 corrects it. RFC 7596 has no example: those of lw4o6 have the values
// of the others.
func TestSW_2_GoldenOctets(t *testing.T) {
	explicit := rfc
	explicit.Ports = Ports{Given: true, Offset: 6, Length: 8}
	whole := Rule{Forwarding: true, IPv4: prefix("192.0.2.18/32"), IPv6: prefix("2001:db8:12:3400::/56")}
	single := whole
	single.Ports = Ports{Given: true, Offset: 6, Length: 8, PSID: 0x34}
	relays := []netip.Addr{addr("2001:db8:ffff::1")}
	const relay = "005a0010 20010db8ffff00000000000000000001"
	for _, c := range []struct {
		name  string
		value interface{ AppendData([]byte) []byte }
		want  string
	}{
		{"example 1, MAP-E", MAPE{[]Rule{rfc}, relays}, "0059000d 00 10 18 c0000200 28 20010db800" + relay},
		{"example 1, the ports given", MAPE{[]Rule{explicit}, relays}, "00590015 00 10 18 c0000200 28 20010db800 005d0004 06 08 0000" + relay},
		{"example 4, no EA bits, no sharing", MAPE{[]Rule{whole}, relays}, "0059000f 01 00 20 c0000212 38 20010db8001234" + relay},
		{"example 5, no EA bits, PSID 0x34", MAPE{[]Rule{single}, relays}, "00590017 01 00 20 c0000212 38 20010db8001234 005d0004 06 08 3400" + relay},
		{"MAP-T, example 4, no EA bits, no sharing", MAPT{[]Rule{whole}, prefix("2001:db8:ffff::/64")}, "0059000f 01 00 20 c0000212 38 20010db8001234 005b0009 40 20010db8ffff0000"},
		{"MAP-T, example 5, no EA bits, PSID 0x34", MAPT{[]Rule{single}, prefix("2001:db8:ffff::/64")},
			"00590017 01 00 20 c0000212 38 20010db8001234 005d0004 06 08 3400 005b0009 40 20010db8ffff0000"},
		{"MAP-T, example 1", MAPT{[]Rule{rfc}, prefix("2001:db8:ffff::/64")}, "0059000d 00 10 18 c0000200 28 20010db800 005b0009 40 20010db8ffff0000"},
		{"lw4o6 with a shared address", LW4o6{relays, &Binding{addr("192.0.2.18"), prefix("2001:db8:12:3400::/56"), Ports{true, 0, 8, 0x34}}},
			relay + "005c0014 c0000212 38 20010db8001234 005d0004 00 08 3400"},
		{"lw4o6 without an address", LW4o6{BorderRelays: append(relays, addr("2001:db8:ffff::2"))}, relay + "005a0010 20010db8ffff00000000000000000002"},
		{"a prefix of 41 bits has 6 octets", MAPT{[]Rule{{EABits: 8, IPv4: prefix("198.51.100.0/24"), IPv6: prefix("2001:db8:0:8000::/41")}}, prefix("64:ff9b::/96")},
			"0059000e 00 08 18 c6336400 29 20010db80000 005b000d 60 0064ff9b0000000000000000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.value.AppendData(nil)
			if !bytes.Equal(got, octets(t, c.want)) {
				t.Errorf("%x\nwant %s", got, c.want)
			}
			var again any
			var err error
			switch c.value.(type) {
			case MAPE:
				again, err = ParseMAPE(got)
			case MAPT:
				again, err = ParseMAPT(got)
			case LW4o6:
				again, err = ParseLW4o6(got)
			}
			if err != nil || !reflect.DeepEqual(normal(again), normal(c.value)) {
				t.Errorf("parsed as %+v, %v", again, err)
			}
		})
	}
	if got := AppendName(nil, "aftr.example.net"); string(got) != "\x04aftr\x07example\x03net\x00" {
		t.Errorf("%q", got)
	}
	if got := AppendPriority(nil, []Mechanism{ByMAPT, DSLite}); !bytes.Equal(got, []byte{0, 95, 0, 64}) {
		t.Errorf("%x", got)
	}
	if a, err := ParseRelay(octets(t, relay)[4:]); err != nil || a != relays[0] {
		t.Errorf("border relay %v, %v", a, err)
	}
	if got := AppendBindPrefix(nil, prefix("2001:db8:1:2::/64")); !bytes.Equal(got, octets(t, "40 20010db800010002")) {
		t.Errorf("%x", got)
	}
}

// normal is a value whose prefixes are masked.
func normal(v any) any {
	mask := func(rules []Rule) []Rule {
		rules = slices.Clone(rules)
		for i := range rules {
			rules[i].IPv6 = rules[i].IPv6.Masked()
		}
		return rules
	}
	switch v := v.(type) {
	case MAPE:
		return MAPE{mask(v.Rules), v.BorderRelays}
	case MAPT:
		return MAPT{mask(v.Rules), v.Default}
	}
	return v
}

// The examples of RFC 7597 appendix A, and the same ones of RFC 7599: what a CE has.
func TestSW_3_WhatACEHas(t *testing.T) {
	end := prefix("2001:db8:12:3400::/56")
	first, last := Range{1232, 1235}, Range{64720, 64723}
	for _, c := range []struct {
		name    string
		rule    Rule
		ipv4    string
		address string
		ranges  int
		ports   PortSet
	}{
		{"example 1", rfc, "192.0.2.18/32", "2001:db8:12:3400:0:c000:212:34", 63, PortSet{6, 8, 0x34}},
		{"example 4, no EA bits, no sharing", Rule{IPv4: prefix("192.0.2.18/32"), IPv6: end}, "192.0.2.18/32", "2001:db8:12:3400:0:c000:212:0", 1, PortSet{}},
		{"example 5, no EA bits, PSID 0x34", Rule{IPv4: prefix("192.0.2.18/32"), IPv6: end, Ports: Ports{true, 6, 8, 0x34}},
			"192.0.2.18/32", "2001:db8:12:3400:0:c000:212:34", 63, PortSet{6, 8, 0x34}},
		{"an IPv4 prefix", Rule{EABits: 8, IPv4: prefix("192.0.0.0/16"), IPv6: prefix("2001:db8::/48")}, "192.0.52.0/24", "2001:db8:0:3400:0:c000:3400:0", 1, PortSet{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if wrong := c.rule.Check(); len(wrong) > 0 {
				t.Fatal(wrong)
			}
			end := end
			if c.rule.IPv6.Bits() == 48 {
				end = prefix("2001:db8:0:3400::/56")
			}
			ce := c.rule.CE(end)
			ranges := ce.Ports.Ranges()
			if ce.IPv4.String() != c.ipv4 || ce.Address.String() != c.address || ce.Ports != c.ports || len(ranges) != c.ranges {
				t.Errorf("%+v, %d ranges", ce, len(ranges))
			}
			if c.ranges == 63 && (ranges[0] != first || ranges[62] != last) {
				t.Errorf("%v", ranges)
			}
		})
	}
	b := Binding{addr("192.0.2.18"), end, Ports{true, 0, 8, 0x34}}
	if ce := b.CE(end); ce.Address.String() != "2001:db8:12:3400:0:c000:212:34" || !slices.Equal(ce.Ports.Ranges(), []Range{{13312, 13567}}) {
		t.Errorf("%+v", ce)
	}
	if got := (PortSet{4, 8, 0xff}).Ranges(); got[0] != (Range{8176, 8191}) || got[14] != (Range{65520, 65535}) || len(got) != 15 {
		t.Errorf("%v", got)
	}
	// A prefix longer than 64 bits covers the left part of the interface identifier.
	if got := softwireAddress(prefix("2001:db8:1:2:ff00::/72"), addr("192.0.2.18"), 0x34).String(); got != "2001:db8:1:2:ff00:c000:212:34" {
		t.Error(got)
	}
}

func TestSW_3_TheLongestRuleIsTheBasicOne(t *testing.T) {
	rules := []Rule{rfc, {EABits: 8, IPv4: prefix("198.51.100.0/24"), IPv6: prefix("2001:db8:12::/48")}, {EABits: 32, IPv4: prefix("10.0.0.0/8"), IPv6: prefix("2001:db8::/32")}}
	for end, want := range map[string]int{
		"2001:db8:12:3400::/56": 1, "2001:db8:13:3400::/56": 0, "2001:db8:13:3400::/64": 0, "2001:db8:13::/48": -1, "2001:db8:113::/64": 2, "2001:db9::/56": -1,
	} {
		if got := Basic(rules, prefix(end)); got != want {
			t.Errorf("%s: %d, want %d", end, got, want)
		}
	}
}

// ports is the twin of PortSet: every port is asked.
func ports(s PortSet) (has [65536]bool) {
	for p := range has {
		if s.Length == 0 {
			has[p] = true
			continue
		}
		psid := p >> (16 - s.Offset - s.Length) & (1<<s.Length - 1)
		has[p] = psid == int(s.PSID) && (s.Offset == 0 || p>>(16-s.Offset) != 0)
	}
	return has
}

func drawSet(t *rapid.T, name string) PortSet {
	offset := rapid.Uint8Range(0, 15).Draw(t, name+" offset")
	length := rapid.Uint8Range(0, 16-offset).Draw(t, name+" length")
	return PortSet{offset, length, uint16(rapid.IntRange(0, 1<<length-1).Draw(t, name+" psid"))}
}

func TestSW_3_PortSetsAreThoseOfTheTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSet(t, "a"), drawSet(t, "b")
		inA, inB := ports(a), ports(b)
		var listed [65536]bool
		for _, r := range a.Ranges() {
			for p := int(r.First); p <= int(r.Last); p++ {
				listed[p] = true
			}
		}
		if listed != inA {
			t.Fatalf("ranges of %+v: %v", a, a.Ranges())
		}
		both := false
		for p := range inA {
			both = both || (inA[p] && inB[p])
		}
		if a.Overlaps(b) != both || b.Overlaps(a) != both {
			t.Fatalf("%+v and %+v overlap: %v, want %v", a, b, a.Overlaps(b), both)
		}
	})
}

// Whatever rule passes the check: no two CEs of it have a port of an address in common.
func TestSW_3_NoTwoCEsShareAPort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(16, 120).Draw(t, "ipv6 bits")
		r := Rule{
			EABits: rapid.Uint8Range(0, 48).Draw(t, "ea"),
			IPv4:   netip.PrefixFrom(addr("192.0.2.0"), rapid.IntRange(0, 32).Draw(t, "ipv4 bits")).Masked(),
			IPv6:   netip.PrefixFrom(addr("2001:db8::"), n).Masked(),
		}
		if rapid.Bool().Draw(t, "ports") {
			r.Ports = Ports{Given: true, Offset: rapid.Uint8Range(0, 16).Draw(t, "offset")}
		}
		if len(r.Check()) > 0 {
			return
		}
		ea := func(name string) netip.Prefix {
			a := r.IPv6.Addr().As16()
			for i := range int(r.EABits) {
				if rapid.Bool().Draw(t, name) {
					a[(n+i)/8] |= 0x80 >> ((n + i) % 8)
				}
			}
			return netip.PrefixFrom(netip.AddrFrom16(a), n+int(r.EABits))
		}
		x, y := ea("x"), ea("y")
		a, b := r.CE(x), r.CE(y)
		if !r.IPv4.Contains(a.IPv4.Addr()) {
			t.Fatalf("%v is not of %v", a.IPv4, r.IPv4)
		}
		if x != y && a.IPv4.Overlaps(b.IPv4) && a.Ports.Overlaps(b.Ports) {
			t.Fatalf("%v and %v have %+v and %+v", x, y, a, b)
		}
	})
}

func TestSW_4_WhatCannotBeRight(t *testing.T) {
	for _, c := range []struct {
		name string
		rule Rule
		want string
	}{
		{"too many EA bits", Rule{EABits: 49, IPv4: prefix("192.0.2.0/24"), IPv6: prefix("2001:db8::/40")}, "49 EA bits are more than the 48"},
		{"an end-user prefix that is too long", Rule{EABits: 16, IPv4: prefix("192.0.2.0/24"), IPv6: prefix("2001:db8::/120")}, "make an end-user prefix of 136 bits; give at most 8"},
		{"a PSID that is too long", Rule{EABits: 32, IPv4: prefix("192.0.2.0/24"), IPv6: prefix("2001:db8::/40")}, "leave 24 bits for the PSID; give at most 24,"},
		{"offset and PSID too long", Rule{EABits: 19, IPv4: prefix("192.0.2.0/24"), IPv6: prefix("2001:db8::/40")}, "an offset of 6 and the 11 bits of PSID that 19 EA bits leave are more than the 16 bits of a port; give an offset of at most 5"},
		{"another PSID length", Rule{EABits: 16, IPv4: prefix("192.0.2.0/24"), IPv6: prefix("2001:db8::/40"), Ports: Ports{true, 6, 7, 0}}, "leave 8 bits for the PSID, not 7"},
		{"a PSID beside EA bits", Rule{EABits: 16, IPv4: prefix("192.0.2.0/24"), IPv6: prefix("2001:db8::/40"), Ports: Ports{true, 6, 8, 5}}, "leave psid out"},
		{"a PSID length, and no sharing", Rule{EABits: 8, IPv4: prefix("192.0.2.0/24"), IPv6: prefix("2001:db8::/40"), Ports: Ports{true, 6, 8, 0}}, "make no shared address of 192.0.2.0/24; give at least 9"},
		{"a PSID of a prefix", Rule{IPv4: prefix("192.0.2.0/24"), IPv6: prefix("2001:db8::/40"), Ports: Ports{true, 6, 8, 1}}, "is no single address"},
		{"a PSID that does not fit", Rule{IPv4: prefix("192.0.2.1/32"), IPv6: prefix("2001:db8::/40"), Ports: Ports{true, 6, 8, 256}}, "PSID 256 does not fit into 8 bits; give at most 255"},
		{"a PSID behind the port's end", Rule{IPv4: prefix("192.0.2.1/32"), IPv6: prefix("2001:db8::/40"), Ports: Ports{true, 6, 11, 1}}, "give a PSID of at most 10 bits"},
		{"an offset of 16", Rule{EABits: 16, IPv4: prefix("192.0.2.0/24"), IPv6: prefix("2001:db8::/40"), Ports: Ports{true, 16, 0, 0}}, "give 0 to 15"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wrong := c.rule.Check()
			if len(wrong) != 1 || !strings.Contains(wrong[0].Text, c.want) {
				t.Errorf("%v, want %s", wrong, c.want)
			}
		})
	}
}

// conflicts is the twin of Conflicts.
func conflicts(claims []Claim) (all []Conflict) {
	for i := range claims {
		for j := range i {
			if claims[i].overlaps(claims[j]) {
				all = append(all, Conflict{j, i})
				break
			}
		}
	}
	return all
}

func TestSW_4_RulesThatOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		claims := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Claim {
			bits := rapid.IntRange(24, 32).Draw(t, "bits")
			last := rapid.Uint8().Draw(t, "last") & 0x0f
			c := Claim{ipv4: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, last}), bits).Masked(),
				ipv6: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, rapid.Uint8Range(0, 1).Draw(t, "ipv6")}), 40)}
			if bits == 32 {
				length := rapid.Uint8Range(2, 3).Draw(t, "length")
				c.ports = PortSet{rapid.SampledFrom([]uint8{0, 6}).Draw(t, "offset"), length,
					rapid.Uint16Range(0, 1<<length-1).Draw(t, "psid")}
			}
			return c
		}), 0, 12).Draw(t, "claims")
		if got, want := Conflicts(claims), conflicts(claims); !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

func TestSW_2_WhatACEWouldIgnoreIsNotTaken(t *testing.T) {
	mape := func(b []byte) error { _, err := ParseMAPE(b); return err }
	mapt := func(b []byte) error { _, err := ParseMAPT(b); return err }
	lw := func(b []byte) error { _, err := ParseLW4o6(b); return err }
	const rule, relay, dmr = "0059000d 00 10 18 c0000200 28 20010db800", "005a0010 20010db8ffff00000000000000000001", "005b0009 40 20010db8ffff0000"
	for _, c := range []struct {
		name  string
		parse func([]byte) error
		data  string
	}{
		{"nothing", mape, ""},
		{"MAP-E without a border relay", mape, rule},
		{"MAP-E without a rule", mape, relay},
		{"MAP-E with a default rule", mape, rule + relay + dmr},
		{"MAP-T with a border relay", mapt, rule + relay + dmr},
		{"MAP-T with two default rules", mapt, rule + dmr + dmr},
		{"MAP-T without one", mapt, rule},
		{"MAP-T with one of 97 bits", mapt, rule + "005b000e 61 20010db8ffff00000000000000"},
		{"lw4o6 with a rule", lw, relay + rule},
		{"lw4o6 without a border relay", lw, "005c000c c0000212 38 20010db8001234"},
		{"an option that is cut off", mape, rule + relay + "005a"},
		{"a border relay of 15 octets", mape, rule + "005a000f 20010db8ffff000000000000000000"},
		{"a rule with an IPv6 prefix of 129 bits", mape, "00590019 00 10 18 c0000200 81 20010db8000000000000000000000000 00" + relay},
		{"a rule with bits behind its IPv6 prefix", mape, "0059000d 00 10 18 c0000200 27 20010db801" + relay},
		{"a rule with bits behind its IPv4 prefix", mape, "0059000d 00 10 17 c0000301 28 20010db800" + relay},
		{"a rule with 49 EA bits", mape, "0059000d 00 31 18 c0000200 28 20010db800" + relay},
		{"a rule with two port parameters", mape, "0059001d 00 10 18 c0000200 28 20010db800 005d0004 06 08 0000 005d0004 06 08 0000" + relay},
		{"port parameters of 17 bits", mape, "00590015 00 10 18 c0000200 28 20010db800 005d0004 09 08 0000" + relay},
		{"a PSID beyond its length", mape, "00590015 00 10 18 c0000200 28 20010db800 005d0004 06 08 0001" + relay},
	} {
		if c.parse(octets(t, c.data)) == nil {
			t.Errorf("%s is taken", c.name)
		}
	}
	for _, name := range []string{"", "\x00", "\x04aftr", "\x04aftr\x00x", "\x40" + strings.Repeat("a", 64) + "\x00", "\x03a.b\x00", strings.Repeat("\x01a", 128) + "\x00"} {
		if got, err := ParseName([]byte(name)); err == nil {
			t.Errorf("%q is the name %q", name, got)
		}
	}
	for _, p := range []string{"", "\x00", "\x00\x3f", "\x00\x3f\x00\x40"} {
		if got, err := ParsePriority([]byte(p)); err == nil {
			t.Errorf("%q is %v", p, got)
		}
	}
}

// FuzzContainers: what is taken is appended octet for octet, and nothing panics.
func FuzzContainers(f *testing.F) {
	f.Add(byte(0), MAPE{[]Rule{rfc}, []netip.Addr{addr("2001:db8:ffff::1")}}.AppendData(nil))
	f.Add(byte(1), MAPT{[]Rule{rfc}, prefix("2001:db8:ffff::/64")}.AppendData(nil))
	f.Add(byte(2), LW4o6{[]netip.Addr{addr("2001:db8:ffff::1")}, &Binding{addr("192.0.2.18"), prefix("2001:db8:12:3400::/56"), Ports{true, 0, 8, 0x34}}}.AppendData(nil))
	f.Add(byte(3), AppendName(nil, "aftr.example.net"))
	f.Add(byte(4), AppendPriority(nil, []Mechanism{ByMAPT, DSLite}))
	f.Add(byte(5), AppendBindPrefix(nil, prefix("2001:db8::/41")))
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		var again []byte
		var err error
		var rules []Rule
		switch kind % 6 {
		case 0:
			var m MAPE
			m, err = ParseMAPE(data)
			again, rules = m.AppendData(nil), m.Rules
		case 1:
			var m MAPT
			if m, err = ParseMAPT(data); err == nil {
				again, rules = m.AppendData(nil), m.Rules
			}
		case 2:
			var l LW4o6
			l, err = ParseLW4o6(data)
			again = l.AppendData(nil)
		case 3:
			var name string
			name, err = ParseName(data)
			again = AppendName(nil, name)
		case 4:
			var order []Mechanism
			order, err = ParsePriority(data)
			again = AppendPriority(nil, order)
		case 5:
			var p netip.Prefix
			if p, err = ParseBindPrefix(data); err == nil {
				again = AppendBindPrefix(nil, p)
			}
		}
		if err == nil && !bytes.Equal(again, data) {
			t.Errorf("%x is appended as %x", data, again)
		}
		if err != nil {
			return
		}
		for _, r := range rules {
			if len(r.Check()) > 0 {
				continue
			}
			end := netip.PrefixFrom(r.IPv6.Addr(), r.IPv6.Bits()+int(r.EABits))
			if ce := r.CE(end); !r.IPv4.Contains(ce.IPv4.Addr()) {
				t.Errorf("%+v gives %v", r, ce)
			}
		}
	})
}
