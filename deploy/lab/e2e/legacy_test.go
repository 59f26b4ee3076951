package e2e

import (
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/client"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/pair"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/relay"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/site"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/wire"
)

// TestLegacyClients puts a DHCPv4 client that knows nothing of IPv6
// (insomniacslk's nclient4) behind a 4o6 relay agent (RFC 9928). The agent is
// on the host of the clients; "access" or "lan1" leads on.
func TestLegacyClients(t *testing.T) {
	for _, test := range []struct {
		name  string
		up    string
		ldra  bool
		wants netip.Prefix
	}{
		{"RA-2, RA-6 4o6 relay agent on the server's link", "access", false, site.Direct.Prefix},
		{"RA-4 4o6 relay agent and light-weight relay", "access", true, port7.Prefix},
		{"RA-3 4o6 relay agent behind a relay", "lan1", false, site.Relayed.Prefix},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := start(t, func(c *pair.Config) { c.Subnets = append(c.Subnets, port7) })
			if test.ldra {
				b.Access.SetRewrite(relay.LDRA{Clients: wire.Left, InterfaceID: []byte(port7.InterfaceID)}.Rewrite)
			}
			legacy := b.legacy(t)
			agent, err := netlab.In(b.Clients, func() (*relay.V4Agent, error) {
				return relay.OpenV4(relay.V4Config{Down: "v4", Up: test.up, Servers: []netip.Addr{client.Multicast}})
			})
			if err != nil {
				t.Fatal(err)
			}
			defer agent.Close()
			go agent.Serve()

			c, err := netlab.In(legacy, func() (*nclient4.Client, error) {
				return nclient4.New("eth0", nclient4.WithTimeout(time.Second), nclient4.WithRetry(5))
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			lease, err := c.Request(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got, _ := netip.AddrFromSlice(lease.ACK.YourIPAddr.To4())
			if !test.wants.Contains(got) {
				t.Errorf("got %s, want an address of %s", got, test.wants)
			}
			if id := lease.ACK.Options.Get(dhcpv4.OptionClientIdentifier); id != nil {
				t.Errorf("D4-10 option 61 %x in the answer to a client that sent none", id)
			}
			if queries, replies, _ := agent.Counts(); queries != 2 || replies != 2 {
				t.Errorf("the agent sent %d queries and brought %d replies", queries, replies)
			}
		})
	}
}

// port7 is the subnet of clients behind the Interface-Id of that name.
var port7 = pair.Subnet{ID: 7, Prefix: netip.MustParsePrefix("203.0.113.0/24"), InterfaceID: "port7",
	First: netip.MustParseAddr("203.0.113.10"), Last: netip.MustParseAddr("203.0.113.20")}

// legacy adds a host with a link to interface v4 of the clients' host.
func (b *bench) legacy(t *testing.T) *netlab.Host {
	t.Helper()
	h, err := b.Lab.Host("legacy")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Lab.Link(netlab.End{Host: h, Name: "eth0"}, netlab.End{Host: b.Clients, Name: "v4"}); err != nil {
		t.Fatal(err)
	}
	return h
}
