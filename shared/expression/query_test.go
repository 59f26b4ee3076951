package expression

import (
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// sample is a DISCOVER behind two relays, of which the inner one is next to the client.
func sample(t testing.TB) Query {
	t.Helper()
	b := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: dhcp4.BootRequest, HType: 1, HLen: 6, Xid: 0x01020304,
		CIAddr: netip.MustParseAddr("192.0.2.7"), GIAddr: netip.MustParseAddr("10.0.0.1"), CHAddr: [16]byte{2, 0, 0, 0, 0, 7}})
	b = dhcp4.AppendType(b, dhcp4.Discover)
	b = dhcp4.AppendOption(b, 12, []byte("Host-7\x00\x00"))
	b = dhcp4.AppendOption(b, 60, []byte("Acme-Phone/2.1"))
	b = dhcp4.AppendOption(b, 61, []byte{1, 2, 0, 0, 0, 0, 7})
	b = dhcp4.AppendOption(b, 66, []byte{0, 0})
	b = dhcp4.AppendOption(b, 82, []byte("\x01\x06port-7\x02\x03abc"))
	b = dhcp4.AppendOption(b, 43, []byte("\x00\x01\x02ab\xff\x03\x01x"))
	b = dhcp4.AppendOption(b, 93, []byte{0, 7})
	b = dhcp4.AppendOption(b, 124, []byte("\x00\x00\x0d\xe9\x05first\x00\x00\x0d\xe9\x06second"))
	b = dhcp4.AppendOption(b, 125, []byte("\x00\x00\x0d\xe9\x07\x01\x05hello"))
	b = dhcp4.AppendOption(b, 230, []byte{})
	b = dhcp4.AppendOption(b, 231, []byte("one"))
	b = dhcp4.AppendOption(b, 231, []byte("two"))
	b = dhcp4.AppendEnd(b)
	var m dhcp4.Message
	if why := m.Parse(b); why != drop.None {
		t.Fatal(why)
	}
	inner := dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{0x80, 0, 0})
	inner = dhcp6.AppendOption(inner, dhcp6.OptVendorClass, []byte("\x00\x00\x0d\xe9\x00\x03six"))
	inner = dhcp6.AppendOption(inner, dhcp6.OptVendorOpts, []byte("\x00\x00\x0d\xe9\x00\x01\x00\x02ok"))
	inner = dhcp6.AppendOption(inner, dhcp6.OptDHCPv4Msg, b)
	options := dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte("port-7"))
	options = dhcp6.AppendOption(options, dhcp6.OptRemoteID, []byte("\x00\x00\x0d\xe9line-7"))
	level := dhcp6.AppendRelayForward(nil, 0, netip.MustParseAddr("2001:db8:7::1"), netip.MustParseAddr("fe80::7"), options, inner)
	outer := dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte("trunk"))
	packet := new(dhcp6.Packet)
	if why := packet.Parse(dhcp6.AppendRelayForward(nil, 1, netip.IPv6Unspecified(), netip.MustParseAddr("2001:db8::2"), outer, level)); why != drop.None {
		t.Fatal(why)
	}
	return Query{Message: &m, Local: netip.MustParseAddr("2001:db8::547"), Path: &attachment.Path{
		Packet: packet, Believed: 2, Source: netip.MustParseAddr("2001:db8::1"), Interface: []byte("eth0"), Server: "north",
	}}
}

// names4 is a vocabulary with a few option names, and classes.
func names4(classes *Scope) *Vocabulary {
	names := map[string]byte{"host-name": 12, "vendor-class-identifier": 60, "dhcp-client-identifier": 61, "dhcp-agent-options": 82}
	return &Vocabulary{
		Option: func(name string) (byte, bool) { code, ok := names[name]; return code, ok },
		OptionNames: func() (all []string) {
			for name := range names {
				all = append(all, name)
			}
			return all
		},
		Classes: classes,
	}
}

func compileTest(t testing.TB, text string, v *Vocabulary) *Test {
	t.Helper()
	test, err := CompileTest(text, v)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return test
}
