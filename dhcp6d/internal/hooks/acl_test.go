package hooks

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

func rules(t testing.TB, list ...string) (rs []aclRule) {
	t.Helper()
	for _, s := range list {
		var r aclRule
		if err := r.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	return rs
}

// level is one relay level of a test packet, innermost first.
type level struct {
	link, peer            string
	interfaceID, remoteID string
}

func packet(t testing.TB, source string, levels ...level) *event.Datagram {
	t.Helper()
	b := dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{})
	for i, l := range levels {
		var options []byte
		if l.interfaceID != "" {
			options = dhcp6.AppendOption(options, dhcp6.OptInterfaceID, []byte(l.interfaceID))
		}
		if l.remoteID != "" {
			options = dhcp6.AppendOption(options, dhcp6.OptRemoteID, append(binary.BigEndian.AppendUint32(nil, 2495), l.remoteID...))
		}
		b = dhcp6.AppendRelayForward(nil, uint8(i), netip.MustParseAddr(l.link), netip.MustParseAddr(l.peer), options, b)
	}
	e := &event.Datagram{Peer: netip.AddrPortFrom(netip.MustParseAddr(source), 547), Data: b, Packet: new(dhcp6.Packet)}
	if why := e.Packet.Parse(b); why != drop.None {
		t.Fatal(why)
	}
	e.Path = &attachment.Path{Packet: e.Packet, Believed: len(levels), Source: e.Peer.Addr(), Interface: []byte("eth0")}
	return e
}

func TestACL(t *testing.T) {
	direct := packet(t, "fe80::1")
	relayed := packet(t, "2001:db8::547", level{"2001:db8:7::1", "fe80::7", "port-7", "box"})
	stacked := packet(t, "2001:db8::547", level{"::", "fe80::7", "port-7", "box"}, level{"2001:db8:7::1", "fe80::99", "uplink", ""})
	forged := packet(t, "2001:db8::547", level{"2001:db8:9::1", "fe80::7", "vip", "box"}, level{"2001:db8:7::1", "fe80::66", "port-66", ""})
	forged.Path.Believed = 1
	silent := packet(t, "2001:db8::547", level{"fe80::1", "fe80::7", "port-7", "box"}, level{"2001:db8:7::1", "fe80::99", "uplink", ""})
	tests := []struct {
		name        string
		allow, deny string
		event       *event.Datagram
		pass        bool
	}{
		{"no list lets everybody pass", "", "", direct, true},
		{"deny by source prefix", "", "prefix=fe80::/10", direct, false},
		{"deny another prefix", "", "prefix=2001:db8::/32", direct, true},
		{"deny an address", "", "prefix=fe80::1", direct, false},
		{"deny the relay's address", "", "prefix=2001:db8::547", relayed, false},
		{"deny the client's link", "", "prefix=2001:db8:7::/64", relayed, false},
		{"deny the client's link above an LDRA", "", "prefix=2001:db8:7::/64", stacked, false},
		{"deny the client's own address", "", "prefix=fe80::7", relayed, false},
		{"deny by interface-id", "", "interface-id=port-7", relayed, false},
		{"deny by interface-id in hex", "", "interface-id=0x706f72742d37", relayed, false},
		{"a part of an interface-id is another one", "", "interface-id=port", relayed, true},
		{"deny by remote-id", "", "remote-id=2495:box", relayed, false},
		{"RL-16 a remote-id of another enterprise is another one", "", "remote-id=2496:box", relayed, true},
		{"an identifier denies at any level", "", "interface-id=uplink", stacked, false},
		{"a level of the client's own does not hide it", "", "interface-id=port-66", forged, false},
		{"RL-22 a level that is not believed does not allow", "interface-id=vip", "", forged, false},
		{"RL-22 nor does its link", "prefix=2001:db8:9::/64", "", forged, false},
		{"RL-22 nor the client that it names", "prefix=fe80::7", "", forged, false},
		{"RL-22 the level around it does", "interface-id=port-66", "", forged, true},
		{"RL-22 its sender is the client", "", "prefix=fe80::66", forged, false},
		{"RL-20 a link-local link-address names no link", "", "prefix=2001:db8:7::/64", silent, false},
		{"RL-20 and allows nobody", "prefix=fe80::1", "", silent, false},
		{"an identifier allows at the innermost level", "interface-id=port-7", "", stacked, true},
		{"an identifier does not allow at an outer level", "interface-id=uplink", "", stacked, false},
		{"who is not on the allow list is dropped", "prefix=2001:db8:8::/64", "", relayed, false},
		{"who is, passes", "prefix=2001:db8:8::/64,remote-id=2495:box", "", relayed, true},
		{"deny beats allow", "prefix=::/0", "interface-id=port-7", relayed, false},
		{"identifiers of relays do not allow direct clients", "interface-id=port-7", "", direct, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			split := func(s string) []string {
				return strings.FieldsFunc(s, func(r rune) bool { return r == ',' })
			}
			f := aclOf(t, aclVariables{Allow: rules(t, split(tt.allow)...), Deny: rules(t, split(tt.deny)...)})
			want := drop.Hook
			if tt.pass {
				want = drop.None
			}
			if why := f.run(tt.event); why != want {
				t.Errorf("reason %v, want %v", why, want)
			}
		})
	}
}

func aclOf(t interface {
	Helper()
	Fatal(...any)
}, v aclVariables) *acl {
	t.Helper()
	a, err := newACL(&v, hook.Env{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestRules(t *testing.T) {
	for text, part := range map[string]string{
		"x":                          "no =",
		"mac=1":                      "none of prefix",
		"prefix=192.0.2.0/24":        "no IPv6 prefix",
		"prefix=fe80::1%eth0":        "no IPv6 prefix",
		"prefix=2001:db8::1/64":      "(2001:db8::/64?)",
		"prefix=ff00::/8":            "no address that a datagram can come from",
		"prefix=::":                  "no address that a datagram can come from",
		"interface-id=":              "empty",
		"interface-id=0x1":           "not hexadecimal",
		"remote-id=box":              "enterprise number",
		"remote-id=4294967296:box":   "enterprise number",
		"remote-id=1:":               "empty",
		"remote-id=1:0x":             "empty identifier",
		"remote-id=1:0xzz":           "not hexadecimal",
		"prefix=::ffff:192.0.2.0/96": "no IPv6 prefix",
	} {
		var r aclRule
		if err := r.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: error %v, want one with %q", text, err, part)
		}
	}
	if r := rules(t, "interface-id=0x")[0]; r.InterfaceID == nil || len(r.InterfaceID) != 0 {
		t.Errorf("an interface-id without octets: %+v", r)
	}
}

// The lookup gives the same result as a comparison with each entry.
func TestPrefixesAgreeWithSearchOneByOne(t *testing.T) {
	addr := rapid.Custom(func(t *rapid.T) netip.Addr {
		return netip.AddrFrom16([16]byte{0x20, 0x01, byte(rapid.IntRange(0, 7).Draw(t, "a")), 15: byte(rapid.IntRange(0, 7).Draw(t, "b"))})
	})
	rapid.Check(t, func(t *rapid.T) {
		var list []aclRule
		for range rapid.IntRange(0, 12).Draw(t, "rules") {
			p, _ := addr.Draw(t, "prefix").Prefix(rapid.SampledFrom([]int{0, 8, 20, 22, 24, 64, 126, 127, 128}).Draw(t, "bits"))
			list = append(list, aclRule{Prefix: p})
		}
		f := aclOf(t, aclVariables{Deny: list})
		for range 20 {
			a := addr.Draw(t, "address")
			want := drop.None
			for _, r := range list {
				if r.Prefix.Contains(a) {
					want = drop.Hook
				}
			}
			e := &event.Datagram{Packet: new(dhcp6.Packet), Path: &attachment.Path{Packet: new(dhcp6.Packet), Source: a}}
			if why := f.run(e); why != want {
				t.Fatalf("%v in %v: reason %v, want %v", a, list, why, want)
			}
		}
	})
}

// many is an access list of a large network.
func many(t testing.TB) aclVariables {
	var list []string
	for i := range 10000 {
		list = append(list, fmt.Sprintf("prefix=2001:db8:%x::/48", i), fmt.Sprintf("interface-id=port-%d", i+100), fmt.Sprintf("remote-id=2495:%d", i))
	}
	return aclVariables{Deny: rules(t, list...), Allow: rules(t, append(list, "interface-id=port-7")...)}
}

func relayedEvent(t testing.TB) *event.Datagram {
	return packet(t, "fd00::547", level{"::", "fe80::7", "port-7", "box"}, level{"fd00:7::1", "fe80::99", "uplink", ""})
}

func TestACLDoesNotAllocate(t *testing.T) {
	f, e := aclOf(t, many(t)), relayedEvent(t)
	if why := f.run(e); why != drop.None {
		t.Fatal(why)
	}
	if n := testing.AllocsPerRun(100, func() { f.run(e) }); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
}

func BenchmarkACL(b *testing.B) {
	for _, tt := range []struct {
		name string
		acl  aclVariables
	}{
		{"two rules", aclVariables{Deny: rules(b, "interface-id=x"), Allow: rules(b, "interface-id=port-7")}},
		{"60000 rules", many(b)},
	} {
		b.Run(tt.name, func(b *testing.B) {
			f, e := aclOf(b, tt.acl), relayedEvent(b)
			b.ReportAllocs()
			for b.Loop() {
				f.run(e)
			}
		})
	}
}

func FuzzRule(f *testing.F) {
	for _, s := range []string{"prefix=2001:db8::/32", "interface-id=port-7", "interface-id=0x00ff", "remote-id=2495:box", "remote-id=0:0x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var r aclRule
		if r.UnmarshalText([]byte(s)) != nil {
			return
		}
		again := fmt.Sprintf("prefix=%v", r.Prefix)
		switch {
		case r.InterfaceID != nil:
			again = fmt.Sprintf("interface-id=0x%x", r.InterfaceID)
		case r.RemoteID != nil:
			again = fmt.Sprintf("remote-id=%d:0x%x", binary.BigEndian.Uint32(r.RemoteID), r.RemoteID[4:])
		}
		var s2 aclRule
		if err := s2.UnmarshalText([]byte(again)); err != nil || fmt.Sprint(s2) != fmt.Sprint(r) {
			t.Errorf("%q reads as %+v, written again %q as %+v, %v", s, r, again, s2, err)
		}
	})
}

func TestDecodeGivesObjects(t *testing.T) {
	d, err := relayedEvent(t).Decode()
	if err != nil || !d.IsRelay() {
		t.Errorf("%v, %v", d, err)
	}
}

// TestACLExpressions: an expression allows and denies like an entry of a list.
func TestACLExpressions(t *testing.T) {
	direct := packet(t, "fe80::1")
	relayed := packet(t, "2001:db8::547", level{"2001:db8:7::1", "fe80::7", "port-7", "box"})
	for _, c := range []struct {
		name                       string
		allow, allowTest, denyTest string
		event                      *event.Datagram
		pass                       bool
	}{
		{"denied", "", "", "relay6[-1].option[18].hex == 'port-7'", relayed, false},
		{"not denied", "", "", "relay6[-1].option[18].hex == 'port-7'", direct, true},
		{"allowed", "", "pkt6.relays == 0 and pkt.iface == 'eth0'", "", direct, true},
		{"not allowed", "", "pkt6.relays == 0", "", relayed, false},
		{"denied although allowed", "prefix=2001:db8::/32", "pkt6.relays == 1", "pkt6.client == fe80::7", relayed, false},
		{"allowed by the list only", "prefix=2001:db8::/32", "pkt6.relays == 0", "", relayed, true},
		{"allowed by neither", "prefix=2001:db9::/32", "pkt6.relays == 0", "", relayed, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := &aclVariables{}
			if c.allow != "" {
				v.Allow = rules(t, c.allow)
			}
			for text, into := range map[string]*aclTest{c.allowTest: &v.AllowTest, c.denyTest: &v.DenyTest} {
				if text != "" {
					if err := into.UnmarshalText([]byte(text)); err != nil {
						t.Fatal(err)
					}
				}
			}
			a, err := newACL(v, hook.Env{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := a.run(c.event) == hook.Continue; got != c.pass {
				t.Errorf("passes: %v", got)
			}
			if n := testing.AllocsPerRun(10, func() { a.run(c.event) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
	if err := new(aclTest).UnmarshalText([]byte("pkt4.htype == 1")); err == nil {
		t.Error("a test of the DHCPv4 message is taken")
	}
}
