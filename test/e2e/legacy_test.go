package e2e

import (
	"bytes"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/faultlink"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// TestLegacyClients connects a DHCPv4 client that knows nothing of IPv6 (insomniacslk's nclient4)
// to a 4o6 relay agent (RFC 9928). The agent runs on the host of the clients, and its upper
// interface is "access" or "lan1".
func TestLegacyClients(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		up    string
		ldra  bool
		wants netip.Prefix
	}{
		{"RA-2, RA-6 4o6 relay agent on the server's link", "access", false, topology.Direct.Prefix},
		{"RA-4 4o6 relay agent and light-weight relay", "access", true, port7.Prefix},
		{"RA-3 4o6 relay agent behind a relay", "lan1", false, topology.Relayed.Prefix},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, func(c *servers.Config) { c.Subnets = append(c.Subnets, port7) })
			if test.ldra {
				b.BridgeAddsInterfaceID(port7.InterfaceID)
			}
			legacy := b.legacy(t)
			agent := b.agent(t, test.up)

			c := ipv4Only(t, legacy)
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
			// The client can have its ACK before the agent counts it.
			await(t, "the agent counts two replies", func() bool { _, replies, _ := agent.Counts(); return replies >= 2 })
			if queries, replies, _ := agent.Counts(); queries != 2 || replies != 2 {
				t.Errorf("the agent sent %d queries and brought %d replies", queries, replies)
			}
		})
	}
}

// TestLegacyRenewal checks a legacy client's renewal by unicast to the server identifier. The agent
// receives it, because its host has that address, and sets the U flag of the query.
func TestLegacyRenewal(t *testing.T) {
	t.Parallel()
	t.Run("RA-5, RA-7 a renewal by unicast to the server identifier goes through the 4o6 relay agent with U=1", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		legacy := b.legacy(t)
		if err := b.Clients.AddAddress("v4", netip.PrefixFrom(topology.Direct.Server(), topology.Direct.Prefix.Bits())); err != nil {
			t.Fatal(err)
		}
		b.agent(t, "access")
		var mu sync.Mutex
		flags := make(map[string][]byte) // of the queries, by the message that they carry
		b.Access.SetRule(func(d faultlink.Datagram) faultlink.Action {
			if payload, ok := relay.Payload(d.Payload); ok && d.From == faultlink.Left {
				if m, err := dhcpv4.FromBytes(payload); err == nil {
					mu.Lock()
					defer mu.Unlock()
					what := m.MessageType().String()
					if !m.ClientIPAddr.IsUnspecified() {
						what += " with ciaddr"
					}
					flags[what] = append(flags[what], d.Payload[1])
				}
			}
			return faultlink.Pass
		})
		c := ipv4Only(t, legacy)
		lease, err := c.Request(t.Context())
		c.Close()
		if err != nil {
			t.Fatal(err)
		}
		got, _ := netip.AddrFromSlice(lease.ACK.YourIPAddr.To4())
		if err := legacy.AddAddress("eth0", netip.PrefixFrom(got, topology.Direct.Prefix.Bits())); err != nil {
			t.Fatal(err)
		}
		renewal, err := dhcpv4.NewRenewFromAck(lease.ACK)
		if err != nil {
			t.Fatal(err)
		}
		ack, err := unicast(legacy, got, topology.Direct.Server(), renewal.ToBytes())
		if err != nil {
			t.Fatal(err)
		}
		if ack.MessageType() != dhcpv4.MessageTypeAck || !ack.YourIPAddr.Equal(got.AsSlice()) || ack.TransactionID != renewal.TransactionID {
			t.Errorf("the renewal got %s", ack.Summary())
		}
		mu.Lock()
		defer mu.Unlock()
		for what, want := range map[string]byte{"DISCOVER": 0, "REQUEST": 0, "REQUEST with ciaddr": 0x80} {
			if !bytes.Equal(flags[what], []byte{want}) {
				t.Errorf("%s was sent with flags % x, want one with %x", what, flags[what], want)
			}
		}
	})
}

// unicast sends a message from port 68 of a host with an address, as a kernel would, and returns
// the reply.
func unicast(h *netns.Host, from, to netip.Addr, message []byte) (*dhcpv4.DHCPv4, error) {
	conn, err := netns.In(h, func() (*net.UDPConn, error) {
		return net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 68)))
	})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.WriteToUDPAddrPort(message, netip.AddrPortFrom(to, 67)); err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	b := make([]byte, 1500)
	n, err := conn.Read(b)
	if err != nil {
		return nil, err
	}
	return dhcpv4.FromBytes(b[:n])
}

// TestSameAddress checks that a link-local address does not identify a link.
func TestSameAddress(t *testing.T) {
	t.Parallel()
	t.Run("D6-36 two links with the same client link-local address: each gets its own answers", func(t *testing.T) {
		t.Parallel()
		b := network(t, "dhcp6d", "dhcp4d")
		twin, err := b.Lab.Host("twin")
		if err != nil {
			t.Fatal(err)
		}
		mac := topology.MAC(1)
		if err := b.Lab.Link(netns.End{Host: twin, Name: "eth0", MAC: mac}, netns.End{Host: b.Server, Name: "second"}); err != nil {
			t.Fatal(err)
		}
		second := port7
		second.InterfaceID, second.Interface = "", "second"
		b.config.Interfaces = append(b.config.Interfaces, "second")
		b.config.Subnets = append(b.config.Subnets, second)
		b.start4()
		b.start6()
		first := b.client(topology.Multicast, 1, client.Options{}) // from the link-local address of topology.MAC(1)
		socket, err := netns.In(twin, func() (*client.Socket, error) {
			return client.Listen("eth0", netip.AddrPortFrom(netns.LinkLocal(mac), relay.ClientPort))
		})
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		other, err := client.New(socket, client.Options{HardwareAddr: mac, Servers: []netip.Addr{client.Multicast}, Retransmit: patient})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for c, subnet := range map[*client.Client]servers.Subnet{first: topology.Direct, other: second} {
			all.Go(func() {
				for range 20 {
					l, err := c.Obtain(t.Context())
					if err != nil || !subnet.Prefix.Contains(l.Address) {
						t.Errorf("%+v, %v, want an address of %s", l, err, subnet.Prefix)
						return
					}
				}
			})
		}
		all.Wait()
	})
}

// port7 is the subnet of clients behind the Interface-Id with this name.
var port7 = servers.Subnet{ID: 7, Prefix: netip.MustParsePrefix("203.0.113.0/24"), InterfaceID: "port7",
	First: netip.MustParseAddr("203.0.113.10"), Last: netip.MustParseAddr("203.0.113.20")}

// legacy adds a host with a link to interface v4 of the clients' host.
func (b *bench) legacy(t *testing.T) *netns.Host {
	t.Helper()
	h, err := b.Lab.Host("legacy")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Lab.Link(netns.End{Host: h, Name: "eth0"}, netns.End{Host: b.Clients, Name: "v4"}); err != nil {
		t.Fatal(err)
	}
	return h
}

// agent is a 4o6 relay agent between the legacy clients and an interface.
func (b *bench) agent(t *testing.T, up string) *relay.V4Agent {
	t.Helper()
	agent, err := netns.In(b.Clients, func() (*relay.V4Agent, error) {
		return relay.OpenV4(relay.V4Config{Down: "v4", Up: up, Servers: []netip.Addr{client.Multicast}})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { agent.Close() })
	return agent
}

// ipv4Only is a client that uses DHCPv4 only.
func ipv4Only(t *testing.T, host *netns.Host) *nclient4.Client {
	t.Helper()
	c, err := netns.In(host, func() (*nclient4.Client, error) {
		return nclient4.New("eth0", nclient4.WithTimeout(time.Second), nclient4.WithRetry(5))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
