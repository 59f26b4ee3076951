package interop

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// isc is the enterprise number of the IPC's context.
const isc = 2495

// vendor is option 17 with one sub-option.
func vendor(enterprise uint32, code dhcpv6.OptionCode, data string) dhcpv6.Option {
	return &dhcpv6.OptVendorOpts{EnterpriseNumber: enterprise,
		VendorOpts: dhcpv6.Options{&dhcpv6.OptionGeneric{OptionCode: code, OptionData: []byte(data)}}}
}

// queries are sent to both v6 halves. Their options are in ascending order, because Kea sorts the
// options of a message that it forwards.
var queries = []struct {
	name      string
	via       topology.Via
	simulated bool // the client acts as the relays itself
	port      uint16
	unicast   bool // the U flag
	options   client.Options
}{
	{name: "multicast", via: topology.Multicast},
	{name: "multicast, U set", via: topology.Multicast, unicast: true},
	{name: "unicast from a global address", via: topology.Unicast},
	{name: "with an ORO and a client identifier", via: topology.Multicast, options: client.Options{Query: []dhcpv6.Option{
		&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionClientID, OptionData: []byte{0, 3, 0, 1, 2, 0xc1, 0x1e, 0, 0, 1}},
		dhcpv6.OptRequestedOption(90, 137)}}},
	{name: "with an option 17 of ISC (IPC-11)", via: topology.Multicast, options: client.Options{Query: []dhcpv6.Option{vendor(isc, 100, "kept")}}},
	{name: "with an option that means nothing here", via: topology.Multicast, options: client.Options{Query: []dhcpv6.Option{
		dhcpv6.OptElapsedTime(0)}}},
	{name: "one relay", via: topology.OneRelay},
	{name: "two relays", via: topology.TwoRelays},
	{name: "one relay with Relay Port", via: topology.OneRelay, port: 10547},
	{name: "two relays with Relay Port", via: topology.TwoRelays, port: 10547},
	{name: "nine relays", simulated: true, options: client.Options{Relays: relay.Chain(9, topology.Relay1Lan, netip.MustParseAddr("fe80::1"))}},
	{name: "all relay options", simulated: true, options: client.Options{Relays: []relay.Level{{
		LinkAddress: topology.Relay1Lan, PeerAddress: netip.MustParseAddr("fe80::1"), InterfaceID: bytes.Repeat([]byte("x"), 300),
		RemoteID: &dhcpv6.OptRemoteID{EnterpriseNumber: 9, RemoteID: []byte("remote")},
		Options: []dhcpv6.Option{
			&dhcpv6.OptionGeneric{OptionCode: 38, OptionData: []byte("subscriber")},
			&dhcpv6.OptionGeneric{OptionCode: 79, OptionData: []byte{0, 1, 2, 0xc1, 0x1e, 0, 0, 1}}}}}}},
}

// TestIPC9Query compares, octet for octet, what dhcp6d and kea-dhcp6 send to the v4 half for the
// same queries. The test is the v4 half.
func TestIPC9Query(t *testing.T) {
	kea := queryFrames(t, servers.Kea)
	ours := queryFrames(t, servers.Ours)
	for _, q := range queries {
		t.Run("IPC-9, IPC-10 same frame: "+q.name, func(t *testing.T) {
			if kea[q.name] == nil || !bytes.Equal(kea[q.name], ours[q.name]) {
				t.Errorf("frames differ\nkea  %x\nours %x", kea[q.name], ours[q.name])
			}
		})
	}
}

// queryFrames sends all queries to a v6 half and returns what it sent to the v4 half.
func queryFrames(t *testing.T, kind servers.Kind) map[string][]byte {
	t.Helper()
	s := network(t, kind, "")
	defer s.Lab.Close()
	config := topology.Config(t.TempDir())
	config.V4 = servers.Kea // without the parts of the context that Kea does not know
	v4 := ipcEnd(t, s, 6768)
	if _, err := servers.StartV6(s.Server, kind, config, true); err != nil {
		t.Fatal(err)
	}
	frames := make(map[string][]byte)
	for i, q := range queries {
		q.options.Random = rand.New(rand.NewPCG(1, uint64(i)))
		var c *client.Client
		var socket *client.Socket
		var err error
		if q.simulated {
			c, socket, err = s.Relay(relay.ServerPort, q.options)
		} else {
			if err := s.StartRelays(q.port, nil); err != nil {
				t.Fatal(err)
			}
			c, socket, err = s.Client(q.via, 1, q.options)
		}
		if err != nil {
			t.Fatal(err)
		}
		m := c.Message(dhcpv4.MessageTypeDiscover)
		if err := c.Send(c.Query(m.ToBytes(), q.unicast)); err != nil {
			t.Fatal(err)
		}
		frame, err := next(v4, 2*time.Second)
		if err != nil {
			t.Errorf("%s v6 half, %s: nothing came on the IPC: %v", kind, q.name, err)
		}
		frames[q.name] = frame
		s.StopRelays()
		socket.Close()
	}
	return frames
}

// ipcEnd is one end of the IPC.
func ipcEnd(t *testing.T, s *topology.Network, port uint16) *net.UDPConn {
	t.Helper()
	conn, err := netns.In(s.Server, func() (*net.UDPConn, error) {
		return net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv6Loopback(), port)))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// next returns the next frame that is not a probe (IPC-26, 4 octets).
func next(conn *net.UDPConn, patience time.Duration) ([]byte, error) {
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	b := make([]byte, 1<<16)
	for {
		n, _, err := conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, os.ErrDeadlineExceeded) || n > 4 {
			return b[:n], err
		}
	}
}
