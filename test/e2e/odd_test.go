package e2e

import (
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// subnets replaces the subnets document.
func subnets(document string) func(*servers.Config) {
	return func(c *servers.Config) { c.Env = append(c.Env, "DHCP4D_SUBNETS="+document) }
}

// TestOddClients checks that unusual but valid messages get the same leases as others.
func TestOddClients(t *testing.T) {
	t.Parallel()
	const onAccess = `[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.100-192.0.2.199], match: [{interface: access}], reservations: [{hw-address: "02:c1:1e:00:00:03", address: 192.0.2.50}]}]`
	b := start(t, subnets(onAccess))
	t.Run("D4-80 an interface alone serves clients with global addresses", func(t *testing.T) {
		b := b.at(t)
		for i, via := range []topology.Via{topology.Multicast, topology.Unicast} {
			b.obtain(b.client(via, 1+i, client.Options{}))
		}
	})
	t.Run("D4-85 a reserved address stays with the hardware address when the client identifier changes", func(t *testing.T) {
		b := b.at(t)
		for _, id := range [][]byte{nil, {}, {1, 2, 3}, {0xff, 0, 0, 0, 9, 0, 3, 0, 1, 7}} {
			c, socket, err := b.Client(topology.Multicast, 3, client.Options{ClientID: id, Retransmit: patient})
			if err != nil {
				t.Fatal(err)
			}
			if l := b.obtain(c); l.Address != netip.MustParseAddr("192.0.2.50") {
				t.Errorf("with the identifier %x the client gets %v", id, l.Address)
			}
			socket.Close()
		}
	})
	generic := func(code dhcpv6.OptionCode, n int) dhcpv6.Option {
		return &dhcpv6.OptionGeneric{OptionCode: code, OptionData: make([]byte, n)}
	}
	for i, c := range []struct {
		name    string
		options client.Options
	}{
		{"Q-2 two DHCPv6 client identifiers", client.Options{Query: []dhcpv6.Option{generic(dhcpv6.OptionClientID, 0), generic(dhcpv6.OptionClientID, 131)}}},
		{"Q-2 the identifier of another server", client.Options{Query: []dhcpv6.Option{generic(dhcpv6.OptionServerID, 10)}}},
		{"Q-2 a vendor option that is cut", client.Options{Query: []dhcpv6.Option{&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionVendorOpts, OptionData: []byte{0, 0, 0x09, 0xbf, 0xea, 0x61, 0}}}}},
		{"O4-12 empty options", client.Options{Extra: []dhcpv4.Option{dhcpv4.OptGeneric(dhcpv4.OptionHostName, nil), dhcpv4.OptGeneric(dhcpv4.OptionClassIdentifier, nil), dhcpv4.OptGeneric(dhcpv4.OptionUserClassInformation, nil)}}},
		{"D4-9 a client identifier of one octet", client.Options{ClientID: []byte{}, Extra: []dhcpv4.Option{dhcpv4.OptGeneric(dhcpv4.OptionClientIdentifier, []byte{7})}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := b.at(t)
			b.obtain(b.client(topology.Multicast, 10+i, c.options))
			b.obtain(b.client(topology.Unicast, 10+i, c.options))
		})
	}
}
