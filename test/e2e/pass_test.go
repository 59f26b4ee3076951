package e2e

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// A dhcpv6Server is a server behind dhcp6d, on relay1's host. A test decides what it sends.
type dhcpv6Server struct {
	t    *testing.T
	conn *net.UDPConn
	// asked is the sender of the last message.
	asked *net.UDPAddr
}

const (
	serverPlace = "[2001:db8:c::2]:1547"
	deadPlace   = "[2001:db8:c::2]:1548" // nobody listens there
)

func (b *bench) dhcpv6Server(place string) *dhcpv6Server {
	b.t.Helper()
	conn, err := netns.In(b.Relay1, func() (*net.UDPConn, error) {
		return net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(place)))
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	return &dhcpv6Server{t: b.t, conn: conn}
}

// next returns the next Relay-forward.
func (s *dhcpv6Server) next(t *testing.T) *dhcpv6.RelayMessage {
	t.Helper()
	buf := make([]byte, 1<<16)
	if err := s.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, from, err := s.conn.ReadFromUDP(buf)
	if err != nil {
		t.Fatal(err)
	}
	s.asked = from
	m, err := dhcpv6.RelayMessageFromBytes(buf[:n])
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// reply sends a message of a type as the answer to a Relay-forward, after a change.
func (s *dhcpv6Server) reply(t *testing.T, forward *dhcpv6.RelayMessage, kind dhcpv6.MessageType, change func([]byte)) {
	t.Helper()
	m, err := dhcpv6.MessageFromBytes(message(kind, clientID, raw(dhcpv6.OptionServerID, 0, 3, 0, 1, 9, 9, 9, 9, 9, 9)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := dhcpv6.NewRelayReplFromRelayForw(forward, m)
	if err != nil {
		t.Fatal(err)
	}
	b := r.ToBytes()
	if change != nil {
		change(b)
	}
	if _, err := s.conn.WriteToUDP(b, s.asked); err != nil {
		t.Fatal(err)
	}
}

// received checks that a client gets a message of a type.
func received(t *testing.T, c *client.Client, kind dhcpv6.MessageType) {
	t.Helper()
	datagram, _, err := c.Receive(time.Now().Add(10 * time.Second))
	if err != nil || len(datagram) < 4 || dhcpv6.MessageType(datagram[0]) != kind {
		t.Fatalf("got %x, %v, want %s", datagram, err, kind)
	}
}

func TestPassedOn(t *testing.T) {
	t.Parallel()
	f := reloadable(t, map[string]string{"DHCPV6_SERVERS": serverPlace + "," + deadPlace})
	b := f.b
	server := b.dhcpv6Server(serverPlace)
	solicit := message(dhcpv6.MessageTypeSolicit, clientID)
	var direct *dhcpv6.RelayMessage
	clients := map[topology.Via]*client.Client{}
	for i, tt := range []struct {
		via        topology.Via
		link, peer string
		hops       uint8
	}{
		{topology.Multicast, topology.Server.String(), netns.LinkLocal(topology.MAC(1)).String(), 0},
		{topology.OneRelay, "::", topology.Relay1Core.String(), 1},
		{topology.TwoRelays, "::", topology.Relay1Core.String(), 2},
	} {
		t.Run("RL-30, RL-31, RL-32, RL-33 by "+string(tt.via)+", and IPv4 for the same client", func(t *testing.T) {
			c := b.client(tt.via, i+1, client.Options{}) // the next test uses it, too
			clients[tt.via] = c
			if err := c.Send(solicit); err != nil {
				t.Fatal(err)
			}
			forward := server.next(t)
			if forward.LinkAddr.String() != tt.link || forward.PeerAddr.String() != tt.peer || forward.HopCount != tt.hops {
				t.Errorf("the server received %s", forward)
			}
			if inner, err := forward.GetInnerMessage(); err != nil || !bytes.Equal(inner.ToBytes(), solicit) {
				t.Errorf("the server received %s, %v", inner, err)
			}
			server.reply(t, forward, dhcpv6.MessageTypeAdvertise, nil)
			received(t, c, dhcpv6.MessageTypeAdvertise)
			b.at(t).obtain(c)
			if tt.via == topology.Multicast {
				direct = forward
			}
		})
	}
	c := clients[topology.Multicast]
	for _, tt := range []struct {
		name, reason string
		kind         dhcpv6.MessageType
		change       func([]byte)
	}{
		{"RL-39 an answer with another peer-address", "reply_context", dhcpv6.MessageTypeReply, func(b []byte) { b[33]++ }},
		{"RL-39 an answer with another interface", "reply_context", dhcpv6.MessageTypeReply, func(b []byte) { copy(b[bytes.Index(b, []byte("access")):], "core\x00\x00") }},
		{"RL-39 an answer that is a question", "reply_message", dhcpv6.MessageTypeSolicit, nil},
		{"RL-39 an answer that is cut", "malformed", dhcpv6.MessageTypeReply, func(b []byte) { b[37] = 0xff }},
	} {
		t.Run(tt.name+" is dropped, and the next comes through", func(t *testing.T) {
			b := b.at(t)
			b.dropped(b.six, `dhcp6d_packets_dropped_total{reason="`+tt.reason+`",socket="link"}`, func() { server.reply(t, direct, tt.kind, tt.change) })
			server.reply(t, direct, dhcpv6.MessageTypeAdvertise, nil)
			received(t, c, dhcpv6.MessageTypeAdvertise)
		})
	}
	t.Run("RL-39 an answer from an address that is no server is dropped", func(t *testing.T) {
		b := b.at(t)
		other := *server
		conn, err := netns.In(b.Server, func() (*net.UDPConn, error) {
			return net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(topology.ServerCore, 0)))
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		other.conn = conn
		b.dropped(b.six, `dhcp6d_packets_dropped_total{reason="reply_source",socket="link"}`, func() { other.reply(t, direct, dhcpv6.MessageTypeAdvertise, nil) })
	})
	t.Run("RL-38 a Reconfigure reaches its client after a restart of dhcp6d", func(t *testing.T) {
		b.six.Kill()
		b.start6()
		server.reply(t, direct, dhcpv6.MessageTypeReconfigure, nil)
		received(t, c, dhcpv6.MessageTypeReconfigure)
	})
	t.Run("RL-37 a dead server does not affect others", func(t *testing.T) {
		b := b.at(t)
		b.series(b.six, `dhcp6d_dhcpv6_server_messages_sent_total{server="`+deadPlace+`"}`, is(0))
		if err := c.Send(solicit); err != nil {
			t.Fatal(err)
		}
		server.reply(t, server.next(t), dhcpv6.MessageTypeAdvertise, nil)
		received(t, c, dhcpv6.MessageTypeAdvertise)
		b.series(b.six, `dhcp6d_dhcpv6_server_messages_sent_total{server="`+deadPlace+`"}`, is(1))
		b.series(b.six, `dhcp6d_dhcpv6_server_messages_received_total{server="`+deadPlace+`"}`, is(0))
	})
	t.Run("RL-36 a reload ends and begins passing on", func(t *testing.T) {
		f.refused(t, "DHCPV6_SERVERS", "ff02::1:2")
		f.set(t, "DHCPV6_SERVERS", "")
		b := b.at(t)
		b.dropped(b.six, `dhcp6d_packets_dropped_total{reason="address_assignment",socket="link"}`, func() {
			if err := c.Send(solicit); err != nil {
				t.Fatal(err)
			}
		})
		b.dropped(b.six, `dhcp6d_packets_dropped_total{reason="server_message",socket="link"}`, func() { server.reply(t, direct, dhcpv6.MessageTypeAdvertise, nil) })
		f.set(t, "DHCPV6_SERVERS", serverPlace)
		server.reply(t, direct, dhcpv6.MessageTypeAdvertise, nil)
		received(t, c, dhcpv6.MessageTypeAdvertise)
	})
}

func TestPassedInformationRequests(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *servers.Config) {
		c.Env = []string{"DHCP6D_DHCPV6_SERVERS=" + serverPlace, "DHCP6D_DHCPV6_INFORMATION=true", "DHCP6D_DHCPV6_SUPPLY=88", "DHCP6D_DHCPV6_LINK_ADDRESSES=core=2001:db8::1,acc*=2001:db8:a::ffff"}
	})
	server := b.dhcpv6Server(serverPlace)
	c := b.client(topology.Multicast, 1, client.Options{})
	t.Run("RL-32, RL-36, RL-40 the Relay-forward has the configured link-address and options", func(t *testing.T) {
		if err := c.Send(message(dhcpv6.MessageTypeInformationRequest, clientID, dhcpv6.OptRequestedOption(dhcpv6.OptionDHCP4oDHCP6Server))); err != nil {
			t.Fatal(err)
		}
		forward := server.next(t)
		if forward.LinkAddr.String() != "2001:db8:a::ffff" {
			t.Errorf("the server received %s", forward)
		}
		supplied := forward.GetOneOption(dhcpv6.OptionRSOO)
		if want := append([]byte{0, 88, 0, 16}, client.Multicast.AsSlice()...); supplied == nil || !bytes.Equal(supplied.ToBytes(), want) {
			t.Errorf("supplied are %v, want %x", supplied, want)
		}
		server.reply(t, forward, dhcpv6.MessageTypeReply, nil)
		received(t, c, dhcpv6.MessageTypeReply)
	})
}

// TestRL42AServerByName checks a server that is configured by name and moves to another address.
func TestRL42AServerByName(t *testing.T) {
	t.Parallel()
	change, set := hosts(t, "2001:db8:c::2 kea.example.org\n")
	b := start(t, func(c *servers.Config) {
		change(c)
		c.Env = []string{"DHCP6D_DHCPV6_SERVERS=kea.example.org:1547"}
	})
	c := b.client(topology.Multicast, 1, client.Options{})
	server := b.dhcpv6Server(serverPlace)
	if err := c.Send(message(dhcpv6.MessageTypeSolicit, clientID)); err != nil {
		t.Fatal(err)
	}
	server.reply(t, server.next(t), dhcpv6.MessageTypeAdvertise, nil)
	received(t, c, dhcpv6.MessageTypeAdvertise)

	const second = "2001:db8:c::3"
	if err := b.Relay1.AddAddress("up", netip.MustParsePrefix(second+"/64")); err != nil {
		t.Fatal(err)
	}
	moved := b.dhcpv6Server("[" + second + "]:1547")
	set(second + " kea.example.org\n")
	await(t, "dhcp6d has the other server", func() bool {
		all, err := b.six.Metrics()
		_, found := all[`dhcp6d_dhcpv6_server_messages_sent_total{server="[`+second+`]:1547"}`]
		return err == nil && found
	})
	if err := c.Send(message(dhcpv6.MessageTypeSolicit, clientID)); err != nil {
		t.Fatal(err)
	}
	moved.reply(t, moved.next(t), dhcpv6.MessageTypeAdvertise, nil)
	received(t, c, dhcpv6.MessageTypeAdvertise)
}

// TestRL41FloodOfSolicits floods dhcp6d with Solicits, and ends and restarts the server that
// answers them. No 4o6 exchange may lose a datagram. After a kill of dhcp6d, both kinds of clients
// are served again.
func TestRL41FloodOfSolicits(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *servers.Config) {
		c.Env = []string{"DHCP6D_DHCPV6_SERVERS=" + serverPlace}
		c.Quiet = true
	})
	server := b.dhcpv6Server(serverPlace)
	advertise, err := dhcpv6.MessageFromBytes(message(dhcpv6.MessageTypeAdvertise, clientID, raw(dhcpv6.OptionServerID, 0, 3, 0, 1, 9, 9, 9, 9, 9, 9)))
	if err != nil {
		t.Fatal(err)
	}
	serve := func(s *dhcpv6Server) { // until its socket is closed
		buf := make([]byte, 1<<16)
		for {
			n, from, err := s.conn.ReadFromUDP(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			var r dhcpv6.DHCPv6
			m, err := dhcpv6.RelayMessageFromBytes(buf[:n])
			if err == nil {
				r, err = dhcpv6.NewRelayReplFromRelayForw(m, advertise)
			}
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := s.conn.WriteToUDP(r.ToBytes(), from); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		}
	}
	var running sync.WaitGroup
	running.Go(func() { serve(server) })

	solicit := message(dhcpv6.MessageTypeSolicit, clientID)
	var sent atomic.Int64
	done := make(chan struct{})
	flooder := b.client(topology.Multicast, 1, client.Options{})
	running.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			for range 20 {
				// While dhcp6d is dead, the kernel may report that nobody listens.
				if flooder.Send(solicit) == nil {
					sent.Add(1)
				}
			}
		}
	})
	running.Go(func() { // read the answers, so that they fill no buffer
		for {
			if _, _, err := flooder.Receive(time.Now().Add(100 * time.Millisecond)); err != nil {
				select {
				case <-done:
					return
				default:
				}
			}
		}
	})
	some := func(v float64) bool { return v > 100 }
	b.series(b.six, "dhcp6d_messages_returned_total", some)
	const each = 20
	repeated := 0 // how many clients had to ask again
	exchange := func(first int) {
		t.Helper()
		for n := range each {
			c := b.newcomer(first + n)
			c.obtain(t.Context(), 0)
			if c.err != nil || c.refused != 0 {
				t.Errorf("client %d: refused %d times, %v", first+n, c.refused, c.err)
			}
			if c.discovers != 1 || c.requests != 1 {
				repeated++
				t.Logf("client %d: %d DISCOVERs, %d REQUESTs", first+n, c.discovers, c.requests)
			}
		}
	}
	exchange(2)
	server.conn.Close() // it dies
	exchange(2 + each)
	again := b.dhcpv6Server(serverPlace)
	running.Go(func() { serve(again) })
	all, err := b.six.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	before := servers.Sum(all, "dhcp6d_messages_returned_total")
	b.series(b.six, "dhcp6d_messages_returned_total", func(v float64) bool { return v > before+100 })
	exchange(2 + 2*each)
	for _, dropped := range []string{"malformed", "reply_source", "reply_context"} {
		b.series(b.six, `dhcp6d_packets_dropped_total{reason="`+dropped+`",socket="link"}`, is(0))
	}
	b.six.Kill()
	b.start6()
	b.series(b.six, "dhcp6d_messages_returned_total", some)
	exchange(2 + 3*each)
	close(done)
	again.conn.Close()
	running.Wait()
	t.Logf("%d Solicits during %d exchanges", sent.Load(), 4*each)
	// A machine that stalls lets the flood fill the socket's buffer, which may cost a query. A
	// flood that takes the place of queries costs more than two.
	if repeated > 2 {
		t.Errorf("%d of %d clients had to ask again", repeated, 4*each)
	}
}
