package server

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

func TestOptionsOfAReply(t *testing.T) {
	b := newBench(t)
	b.reload(t, `
- id: 1
  subnet: 192.0.2.0/24
  match: [{interface: eth1}]
  pools: [{range: 192.0.2.10-192.0.2.20, options: {252: 0x687474703a2f2f70}}]
  options: {routers: [192.0.2.1], domain-search: [`+longNames+`], 200: `+longHex+`}
  always-send: [252]
`)
	has := func(m dhcp4.Message, codes ...byte) {
		t.Helper()
		for _, code := range codes {
			if !m.Has(code) {
				t.Errorf("option %d is missing", code)
			}
		}
	}
	// inform asks for option 252 from an address of 192.0.2.0/24.
	inform := func(octet byte) dhcp4.Message {
		m := message(dhcp4.Inform, 1, dhcp4.AppendOption(nil, dhcp4.OptParameterRequestList, []byte{252}))
		copy(m[12:], []byte{192, 0, 2, octet})
		return b.ask(t, frame(t, query(m), direct))
	}
	t.Run("D4-78 INFORM gets the options of the pool of ciaddr", func(t *testing.T) {
		has(inform(10), 252)
		if m := inform(99); m.Has(252) {
			t.Error("the option of a pool that ciaddr is not in")
		}
	})
	t.Run("D4-76 an option that is marked is sent unasked", func(t *testing.T) {
		has(b.ask(t, frame(t, query(message(dhcp4.Discover, 1, dhcp4.AppendOption(nil, dhcp4.OptParameterRequestList, []byte{3}))), direct)), 1, 3, 252)
	})
	t.Run("D4-77 what is left out is counted", func(t *testing.T) {
		before := b.sum(t, "dhcp4d_replies_incomplete_total")
		has(b.ask(t, frame(t, query(message(dhcp4.Discover, 1)), direct)), 1, 3, 252)
		if n := b.sum(t, "dhcp4d_replies_incomplete_total") - before; n != 1 {
			t.Errorf("%v replies counted, want 1", n)
		}
	})
}

const (
	longNames = "a-long-name-of-a-domain-that-takes-its-room.example.com, another-long-name-of-a-domain-that-does.example.net"
	longHex   = "0x" +
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff" +
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff" +
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff" +
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
)

func TestRL11EchoRequestAroundAResponse(t *testing.T) {
	b := newBench(t)
	options := dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte("port7"))
	options = dhcp6.AppendOption(options, dhcp6.OptSubscriberID, []byte("house 9"))
	options = dhcp6.AppendOption(options, dhcp6.OptRemoteID, []byte{0, 0, 0, 1, 'r'})
	options = dhcp6.AppendOption(options, dhcp6.OptERO, []byte{0, byte(dhcp6.OptSubscriberID), 0, 99})
	asked := dhcp6.AppendRelayForward(nil, 0, netip.MustParseAddr("2001:db8:7::1"), direct.Addr(), options, query(message(dhcp4.Discover, 1)))
	b.server.batch([]udp.Packet{{Data: frame(t, asked, behind), Peer: sixd}})
	var r ipc.Response
	if why := r.Parse(b.ipc.Sent(1)[0].Data); why != drop.None {
		t.Fatal(why)
	}
	var got []dhcp6.Code
	level := r.Packet().Relay(0)
	for code, data := range dhcp6.Options(level.Options()) {
		got = append(got, code)
		if code == dhcp6.OptSubscriberID && string(data) != "house 9" {
			t.Errorf("Subscriber-Id comes back as %q", data)
		}
	}
	if want := []dhcp6.Code{dhcp6.OptInterfaceID, dhcp6.OptSubscriberID, dhcp6.OptRelayMsg}; !slices.Equal(got, want) {
		t.Errorf("the level has options %v, want %v", got, want)
	}
}
