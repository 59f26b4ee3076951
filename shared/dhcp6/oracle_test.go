package dhcp6_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"pgregory.net/rapid"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// drawOptions draws options that any parser takes: known ones with content of
// the right form, unknown ones with any.
func drawOptions(t *rapid.T, codes ...dhcp6.Code) []byte {
	var b []byte
	for range rapid.IntRange(0, 5).Draw(t, "options") {
		c := rapid.SampledFrom(codes).Draw(t, "code")
		data := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "data")
		switch c {
		case dhcp6.OptClientID, dhcp6.OptServerID:
			data = append([]byte{0, 2}, "\x00\x00\x09\xbfname"...)
		case dhcp6.OptORO:
			data = []byte{0, 88, 0, 23}
		case dhcp6.OptVendorOpts:
			data = append([]byte{0, 0, 0x7d, 0}, option(dhcp6.Code(len(data)), string(data))...)
		case dhcp6.OptRemoteID, dhcp6.OptClientLinkLayer:
			data = append([]byte{0, 1, 0, 1, 5}, data...)
		case dhcp6.OptRelayPort:
			data = []byte{0x27, 0x53}
		}
		b = dhcp6.AppendOption(b, c, data)
	}
	return b
}

func drawAddr(t *rapid.T, label string) netip.Addr {
	return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label)))
}

func TestOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := dhcp6.AppendMessage(nil, rapid.SampledFrom([]dhcp6.Type{11, 20, 21, 1}).Draw(t, "type"), [3]byte{1, 2, 3})
		b = append(b, drawOptions(t, 1, 2, 6, 17, 4711, 65535)...)
		levels := rapid.IntRange(0, dhcp6.MaxRelays).Draw(t, "levels")
		for hops := range levels {
			before, after := drawOptions(t, 18, 37, 79, 135, 4711), drawOptions(t, 18, 37, 79, 135, 4711)
			b = dhcp6.AppendRelayForward(nil, uint8(hops), drawAddr(t, "link"), drawAddr(t, "peer"), before, b)
			b = append(b, after...)
		}
		var p dhcp6.Packet
		if why := p.Parse(b); why != drop.None {
			t.Fatalf("Parse = %v", why)
		}
		decoded, err := dhcpv6.FromBytes(b)
		if err != nil {
			t.Fatalf("the oracle does not take it: %v", err)
		}
		for i := range p.Relays() {
			r, want := p.Relay(i), decoded.(*dhcpv6.RelayMessage)
			link, _ := netip.AddrFromSlice(want.LinkAddr)
			peer, _ := netip.AddrFromSlice(want.PeerAddr)
			if r.HopCount() != want.HopCount || r.LinkAddress() != link || r.PeerAddress() != peer {
				t.Errorf("level %d: %d %v %v, want %d %v %v", i, r.HopCount(), r.LinkAddress(), r.PeerAddress(), want.HopCount, link, peer)
			}
			sameOptions(t, r.Options(), want.Options.Options)
			for c, got := range map[dhcpv6.OptionCode][]byte{18: r.InterfaceID(), 37: r.RemoteID()} {
				o := want.GetOneOption(c)
				if (o == nil) != (got == nil) || (o != nil && !bytes.Equal(o.ToBytes(), got)) {
					t.Errorf("level %d option %d: %x, want %v", i, c, got, o)
				}
			}
			if port, ok := r.RelayPort(); ok != (want.Options.RelayPort() != nil) || (ok && port != want.Options.RelayPort().DownstreamSourcePort) {
				t.Errorf("level %d: relay port %d, %v", i, port, ok)
			}
			decoded = want.Options.RelayMessage()
		}
		m, want := p.Message(), decoded.(*dhcpv6.Message)
		if byte(m.Type()) != byte(want.Type()) || m.TransactionID() != want.TransactionID {
			t.Errorf("message %v %x, want %v", m.Type(), m.TransactionID(), want)
		}
		sameOptions(t, m.Options(), want.Options.Options)
	})
}

func sameOptions(t *rapid.T, b []byte, want dhcpv6.Options) {
	t.Helper()
	i := 0
	for c, d := range dhcp6.Options(b) {
		if i == len(want) || uint16(c) != uint16(want[i].Code()) || !bytes.Equal(d, want[i].ToBytes()) {
			t.Fatalf("option %d is %d %x, want one of %v", i, c, d, want)
		}
		i++
	}
	if i != len(want) {
		t.Fatalf("%d options, want %v", i, want)
	}
}
