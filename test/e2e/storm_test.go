package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

const (
	stormSize   = 6000
	stormRate   = 3000 // per second
	stormHosts  = 2000 // the senders of a storm, in turn
	stormMemory = 24 << 20
)

// A victim is a client whose lease the messages of others name.
type victim struct {
	*client.Client
	held *client.Lease
}

// TestStorms sends many messages without a lease, or about the lease of another client. Each
// message has its fate, and that client keeps its lease. Meanwhile other clients are served, no
// address is used up, and the daemons take no more memory. The storms run beside each other, but
// beside no other test: one takes a tenth of a processor.
func TestStorms(t *testing.T) {
	// asked builds a message about the victim's address, as host n would send it. Without a server
	// it names the one that the lease is of.
	asked := func(kind dhcpv4.MessageType, server net.IP, v victim, c *client.Client, n int) []byte {
		if server == nil {
			server = v.held.Server.AsSlice()
		}
		m := c.Message(kind, dhcpv4.OptServerIdentifier(server))
		m.ClientHWAddr = topology.MAC(n)
		if kind == dhcpv4.MessageTypeRelease {
			m.ClientIPAddr = v.held.Address.AsSlice()
		} else {
			m.UpdateOption(dhcpv4.OptRequestedIPAddress(v.held.Address.AsSlice()))
		}
		return c.Query(m.ToBytes(), kind == dhcpv4.MessageTypeRelease)
	}
	type maker = func(v victim, c *client.Client, n int) []byte
	addressed := func(kind dhcpv4.MessageType, server net.IP) maker {
		return func(v victim, c *client.Client, n int) []byte { return asked(kind, server, v, c, n) }
	}
	// The victim's identifier with the hardware address of another host.
	inItsName := func(kind dhcpv4.MessageType, server net.IP) maker {
		return func(v victim, _ *client.Client, n int) []byte { return asked(kind, server, v, v.Client, n) }
	}
	var ours net.IP // the server of the victim's lease
	another := net.IPv4(203, 0, 113, 9)
	information := func(code dhcpv6.OptionCode) maker {
		return func(victim, *client.Client, int) []byte {
			return message(dhcpv6.MessageTypeInformationRequest, clientID, dhcpv6.OptRequestedOption(code))
		}
	}
	const silent4, silent6 = `dhcp4d_queries_silent_total{reason="`, `dhcp6d_packets_silent_total{reason="`
	for _, storm := range []struct {
		name string
		make maker
		fate string // the start of the series that counts them
	}{
		{"INFORM", func(_ victim, c *client.Client, _ int) []byte {
			m := c.Message(dhcpv4.MessageTypeInform)
			m.ClientIPAddr = net.IPv4(10, 1, 2, 3)
			return c.Query(m.ToBytes(), false)
		}, `dhcp4d_responses_sent_total{type="ack"`},
		{"REQUEST that names another server", addressed(dhcpv4.MessageTypeRequest, another), silent4 + "chose_other_server"},
		{"RELEASE of a foreign lease", addressed(dhcpv4.MessageTypeRelease, ours), silent4 + "not_holder"},
		{"RELEASE in another's name", inItsName(dhcpv4.MessageTypeRelease, ours), silent4 + "not_holder"},
		{"DECLINE of a foreign lease", addressed(dhcpv4.MessageTypeDecline, ours), silent4 + "not_holder"},
		{"DECLINE in another's name", inItsName(dhcpv4.MessageTypeDecline, ours), silent4 + "not_holder"},
		{"RELEASE that names another server", addressed(dhcpv4.MessageTypeRelease, another), silent4 + "names_other_server"},
		{"Information-request", information(dhcpv6.OptionDHCP4oDHCP6Server), "dhcp6d_packets_answered_total"},
		{"Information-request for what is not offered", information(dhcpv6.OptionDNSRecursiveNameServer), silent6 + "nothing_to_offer"},
	} {
		t.Run(storm.name, func(t *testing.T) {
			t.Parallel()
			s := newStreet(t)
			v := victim{Client: s.onLink(t, 1)}
			v.held = s.obtain(v.Client)
			var messages [][]byte
			for i := range stormHosts {
				c, err := client.New(nil, client.Options{HardwareAddr: topology.MAC(2000 + i)})
				if err != nil {
					t.Fatal(err)
				}
				messages = append(messages, storm.make(v, c, 2000+i))
			}
			f := s.floods(t)["direct"].flood
			f.messages = messages
			f.send(t, stormRate, stormSize/3, nil) // so that buffers have their final size
			s.settled(t)
			before, memory := s.series(t), s.memory(t)
			sent := make(chan int, 1)
			go func() { sent <- f.send(t, stormRate, stormSize, nil) }()
			for n := range 5 {
				c := s.onLink(t, 10+n)
				l, err := c.Obtain(t.Context())
				if err != nil {
					t.Errorf("client %d meanwhile: %v", n, err)
				} else if err := c.Release(l); err != nil {
					t.Error(err)
				}
			}
			all := float64(<-sent)
			var fates, drops float64
			await(t, "a fate of each message", func() bool {
				fates, drops = 0, 0
				for series, n := range s.series(t) {
					switch grown := n - before[series]; {
					case strings.HasPrefix(series, storm.fate):
						fates += grown
					case strings.Contains(series, "_packets_dropped_total{"), strings.Contains(series, "_socket_drops_total{"):
						drops += grown
					}
				}
				return fates+drops >= all
			})
			s.settled(t)
			t.Logf("of %v messages %v have their fate, and %v were dropped", all, fates, drops)
			if fates == 0 || (strings.Contains(storm.fate, "silent") && fates > all) {
				t.Errorf("of %v messages %v have the fate %s", all, fates, storm.fate)
			}
			for daemon, now := range s.memory(t) {
				if now > memory[daemon]+stormMemory {
					t.Errorf("%s has %d octets of memory more, and %d now", daemon, now-memory[daemon], now)
				}
			}
			if n := s.leases(t, "declined"); n != 0 {
				t.Errorf("%v addresses are in quarantine", n)
			}
			if _, err := v.Renew(t.Context(), v.held); err != nil {
				t.Fatalf("the victim's renewal: %v", err)
			}
			await(t, "the lease that they name, and no other", func() bool { return s.leases(t, "bound") == 1 })
		})
	}
}

// TestDeclinesOfOneClient checks that a client which declines every address does not empty a pool:
// at most a tenth of it is in quarantine, and other clients get the rest.
func TestDeclinesOfOneClient(t *testing.T) {
	t.Parallel()
	const size, declines = 100, 60
	s := newStreet(t, `DHCP4D_SUBNETS=[{id: 1, subnet: 10.0.0.0/9, server-id: 10.0.0.1, pools: [10.0.1.1-10.0.1.100], match: [{interface: access}]}]`)
	bad := s.onLink(t, 1)
	got := map[netip.Addr]bool{}
	for n := range declines {
		l, err := bad.Obtain(t.Context())
		if err != nil {
			t.Fatalf("after %d declines: %v", n, err)
		}
		got[l.Address] = true
		if err := bad.Decline(l); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the last decline", func() bool {
		return s.series(t)[`dhcp4d_queries_silent_total{reason="declined"}`] == declines
	})
	if n := s.leases(t, "declined"); n != size/10 {
		t.Errorf("%v of %d addresses are in quarantine after %d declines", n, size, declines)
	}
	if len(got) < size/10 {
		t.Errorf("the client got only %d addresses", len(got))
	}
	owners := map[netip.Addr]int{}
	for n := range size * 9 / 10 {
		l, err := s.onLink(t, 10+n).Obtain(t.Context())
		if err != nil {
			t.Fatalf("client %d: %v", n, err)
		}
		if other, twice := owners[l.Address]; twice {
			t.Errorf("%s was given to clients %d and %d", l.Address, other, n)
		}
		owners[l.Address] = n
	}
	s.settled(t)
}

// onLink returns client n on the link of the street.
func (s *street) onLink(t *testing.T, n int) *client.Client {
	t.Helper()
	if s.socket == nil {
		socket, err := netns.In(s.subscribers, func() (*client.Socket, error) { return client.Listen("eth0", netip.AddrPort{}) })
		if err != nil {
			t.Fatal(err)
		}
		s.t.Cleanup(func() { socket.Close() })
		s.socket = socket
	}
	c, err := client.New(s.socket, client.Options{HardwareAddr: topology.MAC(100 + n), Servers: []netip.Addr{client.Multicast}, Retransmit: patient})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// settled checks the accounts of both daemons.
func (s *street) settled(t *testing.T) {
	t.Helper()
	settled(t, s.six, "dhcp6d")
	settled(t, s.four, "dhcp4d")
}

// series returns the series of both daemons.
func (s *street) series(t *testing.T) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for _, half := range []*servers.Half{s.six, s.four} {
		series, err := half.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		for name, n := range series {
			if strings.HasPrefix(name, "dhcp") {
				all[name] = n
			}
		}
	}
	return all
}

// leases returns the number of leases of subnet 1 in a state.
func (s *street) leases(t *testing.T, state string) float64 {
	t.Helper()
	n, ok := s.series(t)[fmt.Sprintf(`dhcp4d_leases{state=%q,subnet="1"}`, state)]
	if !ok {
		t.Fatalf("no series of the leases in state %s", state)
	}
	return n
}

// memory returns the resident memory of both daemons, in octets.
func (s *street) memory(t *testing.T) map[string]int {
	t.Helper()
	all := map[string]int{}
	for daemon, half := range map[string]*servers.Half{"dhcp6d": s.six, "dhcp4d": s.four} {
		all[daemon] = resident(t, half)
	}
	return all
}
