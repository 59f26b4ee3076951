package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
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

// A fourth is the test's own v4 half, which sees the octets that dhcp6d sends.
type fourth struct {
	t    *testing.T
	conn *net.UDPConn
	peer netip.AddrPort
}

// withoutFour starts dhcp6d alone. The test is its v4 half. dhcp6d takes it for a Kea, so it sends
// no probes.
func withoutFour(t *testing.T) (*bench, *fourth) {
	t.Helper()
	b := network(t, "dhcp6d")
	conn, err := netns.In(b.Server, func() (*net.UDPConn, error) {
		return net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback, Port: 6768})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	b.config.V4 = servers.Kea
	if b.six, err = servers.StartV6(b.Server, servers.Ours, b.config, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		settled(t, b.six, "dhcp6d")
		if t.Failed() {
			t.Logf("dhcp6d said:\n%s", b.six.Output())
		}
	})
	if err := b.StartRelays(0, nil); err != nil {
		t.Fatal(err)
	}
	return b, &fourth{t: t, conn: conn}
}

// receive returns the next frame.
func (f *fourth) receive() []byte {
	f.t.Helper()
	if err := f.conn.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
		f.t.Fatal(err)
	}
	b := make([]byte, 1<<16)
	n, from, err := f.conn.ReadFromUDPAddrPort(b)
	if err != nil {
		f.t.Fatal(err)
	}
	f.peer = from
	return b[:n]
}

// answer makes the response frame for a query frame. It mirrors the chain, returns the context, and
// carries the payload.
func (f *fourth) answer(query, payload []byte) {
	f.t.Helper()
	response, err := respond(query, payload)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.conn.WriteToUDPAddrPort(response, f.peer); err != nil {
		f.t.Fatal(err)
	}
}

func respond(query, payload []byte) ([]byte, error) {
	if dhcpv6.MessageType(query[0]) == dhcpv6.MessageTypeRelayForward {
		level, err := relay.ParseLevel(query)
		if err != nil {
			return nil, err
		}
		message, err := respond(level.Message, payload)
		if err != nil {
			return nil, err
		}
		m := dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayReply, HopCount: level.HopCount,
			LinkAddr: level.LinkAddress.AsSlice(), PeerAddr: level.PeerAddress.AsSlice()}
		for _, code := range []dhcpv6.OptionCode{dhcpv6.OptionInterfaceID, dhcpv6.OptionRelayPort} {
			if o := level.Options.GetOne(code); o != nil {
				m.AddOption(o)
			}
		}
		m.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRelayMsg, OptionData: message})
		return m.ToBytes(), nil
	}
	options, err := relay.ParseOptions(query[4:])
	if err != nil {
		return nil, err
	}
	context := options.GetOne(dhcpv6.OptionVendorOpts)
	if context == nil {
		return nil, fmt.Errorf("no context in %x", query)
	}
	m := dhcpv6.Message{MessageType: dhcpv6.MessageTypeDHCPv4Response}
	m.AddOption(context)
	m.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionDHCPv4Msg, OptionData: payload})
	return m.ToBytes(), nil
}

// odd is a DHCPv4 message as some real clients write it: options unsorted, pads between them, no
// end option.
func odd(op byte, xid uint32, t dhcpv4.MessageType) []byte {
	m := make([]byte, 240)
	m[0], m[1], m[2] = op, 1, 6
	binary.BigEndian.PutUint32(m[4:], xid)
	copy(m[28:], topology.MAC(1))
	copy(m[236:], []byte{0x63, 0x82, 0x53, 0x63})
	m = append(m, 61, 7, 0xff, 0, 0, 0, 1, 9, 9)
	m = append(m, 0, 0, 53, 1, byte(t), 0)
	m = append(m, 12, 3, 'c', 'p', 'e')
	return append(m, 55, 4, 6, 3, 1, 15)
}

func TestCarriedOctets(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(33, 33))
	payloads := map[string]func(op byte, xid uint32, m dhcpv4.MessageType) []byte{
		"unsorted options, pads, no end option": odd,
		"random octets after the header": func(op byte, xid uint32, m dhcpv4.MessageType) []byte {
			b := odd(op, xid, m)[:240]
			b = append(b, 53, 1, byte(m), 255)
			for range 100 + random.IntN(400) {
				b = append(b, byte(random.Uint32()))
			}
			return b
		},
	}
	for name, payload := range payloads {
		for _, via := range topology.Ways {
			t.Run("Q-33, IPC-19, IPC-20 "+name+" pass through dhcp6d unchanged in both directions, by "+string(via), func(t *testing.T) {
				b, four := withoutFour(t)
				c := b.client(via, 1, client.Options{})
				query, reply := payload(1, 7, dhcpv4.MessageTypeDiscover), payload(2, 7, dhcpv4.MessageTypeOffer)
				if err := c.Send(c.Query(query, false)); err != nil {
					t.Fatal(err)
				}
				frame := four.receive()
				if got, ok := relay.Payload(frame); !ok || !bytes.Equal(got, query) {
					t.Errorf("on the IPC: %x, the client sent %x", got, query)
				}
				four.answer(frame, reply)
				datagram, _, err := c.Receive(time.Now().Add(3 * time.Second))
				if err != nil {
					t.Fatal(err)
				}
				if got, ok := relay.Payload(datagram); !ok || !bytes.Equal(got, reply) {
					t.Errorf("at the client: %x, the v4 half sent %x", got, reply)
				}
				if message, err := relay.Innermost(datagram); err != nil || !bytes.Equal(message[:4], []byte{21, 0, 0, 0}) {
					t.Errorf("IPC-20 the response begins with %x", message)
				} else if options, err := relay.ParseOptions(message[4:]); err != nil || len(options) != 1 {
					t.Errorf("IPC-19 the response's options are %v, %v, want 87 alone", relay.Codes(options), err)
				}
			})
		}
	}
}

func TestTransactions(t *testing.T) {
	t.Parallel()
	t.Run("Q-6 clients whose octets 1 to 3 are equal, at the same time, each get their own answer", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		var mu sync.Mutex
		given := make(map[netip.Addr]int)
		var all sync.WaitGroup
		for n := range 16 {
			c := b.client(topology.Ways[n%len(topology.Ways)], n+1, client.Options{})
			all.Go(func() {
				l, err := c.Obtain(t.Context()) // checks xid, chaddr and client identifier of every answer
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if given[l.Address]++; given[l.Address] > 1 {
					t.Errorf("%s was given twice", l.Address)
				}
			})
		}
		all.Wait()
	})
	t.Run("Q-5 the answer to a query with U set has zero flags", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		c := b.client(topology.Multicast, 1, client.Options{})
		l := b.obtain(c)
		renewed, err := c.Renew(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		if m := renewed.Response.Message; !bytes.Equal(m[:4], []byte{21, 0, 0, 0}) {
			t.Errorf("the response begins with %x", m[:4])
		}
	})
	t.Run("D6-5 a query from another source port is answered to port 546", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		c := b.client(topology.Multicast, 1, client.Options{})
		from := netip.AddrPortFrom(netns.LinkLocal(topology.MAC(1)), 5000)
		strange, err := netns.In(b.Clients, func() (*client.Socket, error) { return client.Listen("access", from) })
		if err != nil {
			t.Fatal(err)
		}
		defer strange.Close()
		m := c.Message(dhcpv4.MessageTypeDiscover)
		if err := strange.Send(c.Query(m.ToBytes(), false), client.Multicast); err != nil {
			t.Fatal(err)
		}
		if r := b.next(c); r.DHCPv4.TransactionID != m.TransactionID {
			t.Errorf("received %v", r.DHCPv4)
		}
	})
	t.Run("IPC-28 a query to a secondary address is answered from it", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		for n, server := range []netip.Addr{topology.ServerSecond, topology.Server} {
			c := b.client(topology.Unicast, n+1, client.Options{Servers: []netip.Addr{server}})
			l := b.obtain(c)
			if from := l.Response.From; from != netip.AddrPortFrom(server, relay.ServerPort) {
				t.Errorf("a query to %s is answered by %s", server, from)
			}
		}
	})
}

func TestRelayChains(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.StopRelays()
	peer := netip.MustParseAddr("fe80::1")
	// through makes client n act as the relays of its chain.
	through := func(t *testing.T, n int, port uint16, r client.Retransmit, levels []relay.Level) (*client.Lease, error) {
		t.Helper()
		c, socket, err := b.Relay(port, client.Options{HardwareAddr: topology.MAC(n), Relays: levels, Retransmit: r})
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		return c.Obtain(t.Context())
	}
	for n := 1; n <= 9; n++ {
		t.Run(fmt.Sprintf("RL-3, RL-8, RL-9, D6-37 a chain of %d is answered to where it came from, and mirrored", n), func(t *testing.T) {
			l, err := through(t, n, relay.ServerPort, patient, relay.Chain(n, topology.Relay1Lan, peer))
			if err != nil {
				t.Fatal(err)
			}
			if !topology.Relayed.Prefix.Contains(l.Address) {
				t.Errorf("the client got %s", l.Address)
			}
		})
	}
	t.Run("RL-4 a chain of 10 is dropped", func(t *testing.T) {
		b.at(t).dropped(b.six, drops6, func() {
			if _, err := through(t, 20, relay.ServerPort, short, relay.Chain(10, topology.Relay1Lan, peer)); !errors.Is(err, client.ErrNoAnswer) {
				t.Errorf("want silence, got %v", err)
			}
		})
	})
	t.Run("RL-10, RL-12 only Interface-Id and Relay Port come back, in this order", func(t *testing.T) {
		port := uint16(0)
		levels := []relay.Level{{LinkAddress: topology.Relay1Lan, PeerAddress: peer, InterfaceID: []byte{}, RelayPort: &port,
			RemoteID: &dhcpv6.OptRemoteID{EnterpriseNumber: 9, RemoteID: []byte("r")},
			Options: []dhcpv6.Option{&dhcpv6.OptionGeneric{OptionCode: 38, OptionData: []byte("s")},
				&dhcpv6.OptionGeneric{OptionCode: 79, OptionData: []byte{0, 1, 2, 3, 4, 5, 6, 7}}}}}
		l, err := through(t, 21, relay.ServerPort, patient, levels)
		if err != nil {
			t.Fatal(err)
		}
		level, err := relay.ParseLevel(l.Response.Datagram)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(relay.Codes(level.Options)); got != fmt.Sprint([]dhcpv6.OptionCode{18, 135, 9}) {
			t.Errorf("options %s", got)
		}
	})
	zero, some := uint16(0), uint16(4711)
	t.Run("RL-13, RL-14 with Relay Port in the outermost level the answer goes to the source port, whatever its value", func(t *testing.T) {
		for i, value := range []*uint16{&zero, &some} {
			levels := relay.Chain(2, topology.Relay1Lan, peer)
			levels[0].RelayPort = value
			if _, err := through(t, 30+i, 10547, patient, levels); err != nil {
				t.Errorf("value %d: %v", *value, err)
			}
		}
	})
	t.Run("RL-13 with Relay Port in an inner level only, the answer goes to port 547", func(t *testing.T) {
		levels := relay.Chain(2, topology.Relay1Lan, peer)
		levels[1].RelayPort = &some
		c, socket, err := b.Relay(10547, client.Options{HardwareAddr: topology.MAC(40), Relays: levels})
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		_, standard, err := b.Relay(relay.ServerPort, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer standard.Close()
		if err := c.Send(c.Query(c.Message(dhcpv4.MessageTypeDiscover).ToBytes(), false)); err != nil {
			t.Fatal(err)
		}
		datagram, from, err := standard.Receive(time.Now().Add(3 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Parse(datagram, from); err != nil {
			t.Error(err)
		}
		if _, _, err := socket.Receive(time.Now().Add(100 * time.Millisecond)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("an answer came to the source port: %v", err)
		}
	})
	t.Run("RL-13 agents that use another port serve clients through two relays", func(t *testing.T) {
		b := b.at(t)
		if err := b.StartRelays(10547, nil); err != nil {
			t.Fatal(err)
		}
		b.obtain(b.client(topology.TwoRelays, 41, client.Options{}))
		b.StopRelays()
	})
	t.Run("IPC-12 a context that a client writes does not choose where the answer goes", func(t *testing.T) {
		b := b.at(t)
		spoof := &dhcpv6.OptVendorOpts{EnterpriseNumber: 2495, VendorOpts: dhcpv6.Options{
			&dhcpv6.OptionGeneric{OptionCode: 60000, OptionData: []byte("core")},
			&dhcpv6.OptionGeneric{OptionCode: 60001, OptionData: topology.Relay1Core.AsSlice()},
			&dhcpv6.OptionGeneric{OptionCode: 60002, OptionData: []byte{0x13, 0x88}}}}
		c := b.client(topology.Multicast, 42, client.Options{Query: []dhcpv6.Option{spoof}})
		if l := b.obtain(c); !topology.Direct.Prefix.Contains(l.Address) {
			t.Errorf("the client got %s", l.Address)
		}
	})
}

func TestLDRA(t *testing.T) {
	t.Parallel()
	t.Run("RL-17, RA-4 a client behind a light-weight relay is served, and its answers have the Interface-Id", func(t *testing.T) {
		t.Parallel()
		b := start(t, func(c *servers.Config) {
			c.Subnets = append(c.Subnets, port7)
		})
		b.BridgeAddsInterfaceID(port7.InterfaceID)
		c := b.client(topology.Multicast, 1, client.Options{})
		l := b.obtain(c)
		if !port7.Prefix.Contains(l.Address) {
			t.Errorf("got %s, want an address of the port's subnet", l.Address)
		}
		if _, err := c.Renew(t.Context(), l); err != nil {
			t.Error(err)
		}
	})
	t.Run("Q-34 a Relay-forward from a link-local source is dropped where no light-weight relay is listed", func(t *testing.T) {
		t.Parallel()
		b := start(t, func(c *servers.Config) { c.LDRA = nil })
		b.BridgeAddsInterfaceID(port7.InterfaceID)
		b.dropped(b.six, drops6, func() { silence(t, b.client(topology.Multicast, 1, client.Options{Retransmit: short})) })
	})
}
