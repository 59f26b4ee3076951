package interop

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// A step is one query frame for a v4 half. The steps are sent in their order.
type step struct {
	name    string
	message dhcpv4.MessageType
	options []dhcpv4.Option
	ciaddr  string
	relays  []relay.Level
	iface   string
	unicast bool // the U flag
}

func ip(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

var (
	// It requests all options that both sides configure, lease times too.
	asks = dhcpv4.OptParameterRequestList(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer,
		dhcpv4.OptionDomainName, dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue)
	behind = []relay.Level{
		{HopCount: 1, PeerAddress: netip.MustParseAddr("2001:db8:1::2"), InterfaceID: []byte("lan1")},
		{LinkAddress: topology.Relay2Lan, PeerAddress: netip.MustParseAddr("fe80::1"), InterfaceID: []byte("lan2"), RelayPort: new(uint16)},
	}
	steps = []step{
		{name: "direct DISCOVER for an address", message: dhcpv4.MessageTypeDiscover, iface: "access",
			options: []dhcpv4.Option{asks, dhcpv4.OptRequestedIPAddress(ip("192.0.2.100"))}},
		{name: "direct REQUEST, selecting", message: dhcpv4.MessageTypeRequest, iface: "access",
			options: []dhcpv4.Option{asks, dhcpv4.OptRequestedIPAddress(ip("192.0.2.100")), dhcpv4.OptServerIdentifier(ip("192.0.2.1"))}},
		{name: "direct REQUEST, renewing with U set", message: dhcpv4.MessageTypeRequest, iface: "access", ciaddr: "192.0.2.100",
			options: []dhcpv4.Option{asks}, unicast: true},
		{name: "direct REQUEST, init-reboot", message: dhcpv4.MessageTypeRequest, iface: "access",
			options: []dhcpv4.Option{asks, dhcpv4.OptRequestedIPAddress(ip("192.0.2.100"))}},
		{name: "direct REQUEST for an address of another subnet", message: dhcpv4.MessageTypeRequest, iface: "access",
			options: []dhcpv4.Option{asks, dhcpv4.OptRequestedIPAddress(ip("10.0.0.1"))}},
		// Without the subnet mask: Kea sends that with leases only.
		{name: "direct INFORM", message: dhcpv4.MessageTypeInform, iface: "access", ciaddr: "192.0.2.100",
			options: []dhcpv4.Option{dhcpv4.OptParameterRequestList(dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionDomainName)}},
		{name: "relayed DISCOVER for an address", message: dhcpv4.MessageTypeDiscover, iface: "core", relays: behind,
			options: []dhcpv4.Option{asks, dhcpv4.OptRequestedIPAddress(ip("198.51.100.100"))}},
		{name: "relayed REQUEST, selecting", message: dhcpv4.MessageTypeRequest, iface: "core", relays: behind,
			options: []dhcpv4.Option{asks, dhcpv4.OptRequestedIPAddress(ip("198.51.100.100")), dhcpv4.OptServerIdentifier(ip("198.51.100.1"))}},
	}
)

// TestIPC16Response compares what dhcp4d and kea-dhcp4 answer to the same
// frames. The test is the v6 half. All octets must be equal but these:
//   - the order of the inner options: ours is the client's (D4-33, O4-11),
//     Kea's is ascending, so the test sorts them first;
//   - the flags of a response, which Kea copies and we clear;
//   - option 56, a text for people, which Kea does not send in a NAK;
//   - the subnet mask in the answer to an INFORM: dhcp4d sends it with the
//     routers (D4-75), Kea only with leases.
func TestIPC16Response(t *testing.T) {
	kea := responses(t, servers.Kea)
	ours := responses(t, servers.Ours)
	for _, s := range steps {
		if s.message == dhcpv4.MessageTypeInform {
			mask := []byte{dhcpv4.OptionSubnetMask.Code(), 4, 255, 255, 255, 0}
			if !bytes.Contains(ours[s.name], mask) {
				t.Errorf("%s: routers without a mask", s.name)
			}
			ours[s.name] = bytes.Replace(ours[s.name], mask, nil, 1)
		}
		t.Run("IPC-16, IPC-17 same answer: "+s.name, func(t *testing.T) {
			if kea[s.name] == nil || !bytes.Equal(kea[s.name], ours[s.name]) {
				t.Errorf("answers differ\nkea  %x\nours %x", kea[s.name], ours[s.name])
			}
		})
	}
}

// responses sends all steps to a v4 half and returns its answers, after [determined].
func responses(t *testing.T, kind servers.Kind) map[string][]byte {
	t.Helper()
	s := network(t, "", kind)
	defer s.Lab.Close()
	v6 := ipcEnd(t, s, 6767)
	config := topology.Config(t.TempDir())
	config.V6 = servers.Kea
	if _, err := servers.StartV4(s.Server, kind, config); err != nil {
		t.Fatal(err)
	}
	answers := make(map[string][]byte)
	for i, st := range steps {
		frame, err := st.frame(uint32(i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v6.WriteToUDPAddrPort(frame, netip.AddrPortFrom(netip.IPv6Loopback(), 6768)); err != nil {
			t.Fatal(err)
		}
		answer, err := next(v6, 2*time.Second)
		if err == nil {
			answers[st.name], err = determined(answer)
		}
		if err != nil {
			t.Errorf("%s v4 half, %s: %v", kind, st.name, err)
		}
	}
	return answers
}

// frame builds the query as a v6 half sends it.
func (s step) frame(xid uint32) ([]byte, error) {
	c, err := client.New(nil, client.Options{HardwareAddr: topology.MAC(1)})
	if err != nil {
		return nil, err
	}
	m := c.Message(s.message, s.options...)
	binary.BigEndian.PutUint32(m.TransactionID[:], xid)
	if s.ciaddr != "" {
		m.ClientIPAddr = ip(s.ciaddr)
	}
	source := netip.MustParseAddrPort("[fe80::1]:546")
	if s.relays != nil {
		source = netip.AddrPortFrom(topology.Relay1Core, relay.ServerPort)
	}
	query := dhcpv6.Message{MessageType: dhcpv6.MessageTypeDHCPv4Query}
	if s.unicast {
		query.TransactionID[0] = 0x80
	}
	query.AddOption(&dhcpv6.OptVendorOpts{EnterpriseNumber: isc, VendorOpts: dhcpv6.Options{
		&dhcpv6.OptionGeneric{OptionCode: 60000, OptionData: []byte(s.iface)},
		&dhcpv6.OptionGeneric{OptionCode: 60001, OptionData: source.Addr().AsSlice()},
		&dhcpv6.OptionGeneric{OptionCode: 60002, OptionData: binary.BigEndian.AppendUint16(nil, source.Port())},
	}})
	query.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionDHCPv4Msg, OptionData: m.ToBytes()})
	return relay.Wrap(s.relays, query.ToBytes()), nil
}

// determined sorts the inner options of a response and removes what may differ. It keeps the relay
// levels apart, so only lengths of the innermost message change.
func determined(frame []byte) ([]byte, error) {
	inner, err := relay.Innermost(frame)
	if err != nil {
		return nil, err
	}
	carried, ok := relay.Payload(frame)
	if !ok {
		return nil, fmt.Errorf("no DHCPv4 message in %x", frame)
	}
	at := bytes.LastIndex(inner, carried)
	var out []byte
	for b := frame; len(b) > len(inner); {
		level, err := relay.ParseLevel(b)
		if err != nil {
			return nil, err
		}
		out = append(out, b[:len(b)-len(level.Message)-2]...) // all but the length of option 9
		b = level.Message
	}
	out = append(out, inner[0], 0, 0, 0)
	out = append(out, inner[4:at-2]...) // all but the length of option 87
	header, options, err := split(carried)
	if err != nil {
		return nil, err
	}
	out = append(out, header...)
	for _, o := range options {
		out = append(out, o...)
	}
	return out, nil
}

// split returns the header with cookie, and the sorted options without 56.
func split(m []byte) (header []byte, options [][]byte, err error) {
	const fixed = 240
	if len(m) < fixed {
		return nil, nil, fmt.Errorf("DHCPv4 message of %d octets", len(m))
	}
	for b := m[fixed:]; ; {
		switch {
		case len(b) == 0:
			return nil, nil, fmt.Errorf("no end option in %x", m)
		case b[0] == 255:
			slices.SortStableFunc(options, func(x, y []byte) int { return int(x[0]) - int(y[0]) })
			return m[:fixed], options, nil
		case b[0] == 0:
			b = b[1:]
		case len(b) < 2 || len(b) < 2+int(b[1]):
			return nil, nil, fmt.Errorf("option cut short in %x", m)
		default:
			if b[0] != dhcpv4.OptionMessage.Code() {
				options = append(options, b[:2+int(b[1])])
			}
			b = b[2+int(b[1]):]
		}
	}
}
