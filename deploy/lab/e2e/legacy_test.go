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
			if queries, replies, _ := agent.Counts(); queries != 2 || replies != 2 {
				t.Errorf("the agent sent %d queries and brought %d replies", queries, replies)
			}
		})
	}
}

// TestLegacyRenewal: what a legacy client sends by unicast to the server
// identifier reaches the agent, because its host has that address, and keeps U.
func TestLegacyRenewal(t *testing.T) {
	t.Run("RA-5, RA-7 a renewal by unicast to the server identifier goes through the 4o6 relay agent with U=1", func(t *testing.T) {
		b := start(t)
		legacy := b.legacy(t)
		if err := b.Clients.AddAddress("v4", netip.PrefixFrom(site.Direct.Server(), site.Direct.Prefix.Bits())); err != nil {
			t.Fatal(err)
		}
		b.agent(t, "access")
		var mu sync.Mutex
		flags := make(map[string][]byte) // of the queries, by what they carry
		b.Access.SetRule(func(d wire.Datagram) wire.Action {
			if payload, ok := relay.Payload(d.Payload); ok && d.From == wire.Left {
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
			return wire.Pass
		})
		c := ipv4Only(t, legacy)
		lease, err := c.Request(t.Context())
		c.Close()
		if err != nil {
			t.Fatal(err)
		}
		got, _ := netip.AddrFromSlice(lease.ACK.YourIPAddr.To4())
		if err := legacy.AddAddress("eth0", netip.PrefixFrom(got, site.Direct.Prefix.Bits())); err != nil {
			t.Fatal(err)
		}
		renewal, err := dhcpv4.NewRenewFromAck(lease.ACK)
		if err != nil {
			t.Fatal(err)
		}
		ack, err := unicast(legacy, got, site.Direct.Server(), renewal.ToBytes())
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
				t.Errorf("%s went with flags % x, want one with %x", what, flags[what], want)
			}
		}
	})
}

// unicast sends a message from port 68 of a host that has an address, as the
// kernel would, and returns the reply.
func unicast(h *netlab.Host, from, to netip.Addr, message []byte) (*dhcpv4.DHCPv4, error) {
	conn, err := netlab.In(h, func() (*net.UDPConn, error) {
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

// TestSameAddress: a link-local address says nothing about the link.
func TestSameAddress(t *testing.T) {
	t.Run("D6-36 two links with the same client link-local address: each gets its own answers", func(t *testing.T) {
		b := network(t, "dhcp6d", "dhcp4d")
		twin, err := b.Lab.Host("twin")
		if err != nil {
			t.Fatal(err)
		}
		mac := site.MAC(1)
		if err := b.Lab.Link(netlab.End{Host: twin, Name: "eth0", MAC: mac}, netlab.End{Host: b.Server, Name: "second"}); err != nil {
			t.Fatal(err)
		}
		second := port7
		second.InterfaceID, second.Interface = "", "second"
		b.config.Interfaces = append(b.config.Interfaces, "second")
		b.config.Subnets = append(b.config.Subnets, second)
		b.start4()
		b.start6()
		first := b.client(site.Multicast, 1, client.Options{}) // from the link-local address of site.MAC(1)
		socket, err := netlab.In(twin, func() (*client.Socket, error) {
			return client.Listen("eth0", netip.AddrPortFrom(netlab.LinkLocal(mac), relay.ClientPort))
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
		for c, subnet := range map[*client.Client]pair.Subnet{first: site.Direct, other: second} {
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

// agent is a 4o6 relay agent at work between the legacy clients and an
// interface.
func (b *bench) agent(t *testing.T, up string) *relay.V4Agent {
	t.Helper()
	agent, err := netlab.In(b.Clients, func() (*relay.V4Agent, error) {
		return relay.OpenV4(relay.V4Config{Down: "v4", Up: up, Servers: []netip.Addr{client.Multicast}})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { agent.Close() })
	go agent.Serve()
	return agent
}

// ipv4Only is a DHCPv4 client that knows nothing else.
func ipv4Only(t *testing.T, host *netlab.Host) *nclient4.Client {
	t.Helper()
	c, err := netlab.In(host, func() (*nclient4.Client, error) {
		return nclient4.New("eth0", nclient4.WithTimeout(time.Second), nclient4.WithRetry(5))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
