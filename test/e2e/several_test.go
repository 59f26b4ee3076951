package e2e

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/load"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// several are two dhcp6d on one link, with one dhcp4d behind both:
//
//	clients                one, two                  four
//	  access ─── bridge ─── access
//	                        back ─────── bridge ─── back
type several struct {
	*bench
	one, two *servers.Half // bench.six is the first one
}

// start2 starts all of them. The link may have another name on the second dhcp6d.
func start2(t *testing.T, second string) *several {
	lab := netnstest.Lab(t)
	for _, name := range []string{"dhcp6d", "dhcp4d"} {
		if _, err := servers.Find(name); err != nil {
			netnstest.Skip(t, err.Error())
		}
	}
	hosts := map[string]*netns.Host{}
	for _, name := range []string{"clients", "one", "two", "four"} {
		var err error
		if hosts[name], err = lab.Host(name); err != nil {
			t.Fatal(err)
		}
	}
	back := func(name, address string) netns.End {
		return netns.End{Host: hosts[name], Name: "back", Addresses: []netip.Prefix{netip.MustParsePrefix(address + "/64")}}
	}
	err := errors.Join(
		lab.Segment(netns.End{Host: hosts["clients"], Name: "access"}, netns.End{Host: hosts["one"], Name: "access"}, netns.End{Host: hosts["two"], Name: second}),
		lab.Segment(back("one", "2001:db8:b::1"), back("two", "2001:db8:b::2"), back("four", "2001:db8:b::4")))
	if err != nil {
		t.Fatal(err)
	}
	s := &several{bench: &bench{t: t, Network: &topology.Network{Lab: lab, Clients: hosts["clients"], Server: hosts["four"]}}}
	t.Cleanup(s.Close)
	config := topology.Config(t.TempDir())
	match := "{interface: access}"
	if second != "access" {
		match += ", {interface: " + second + "}"
	}
	config.Env = []string{"DHCP4D_IPC_LISTEN=[2001:db8:b::4]:6768", "DHCP4D_IPC_PEERS=[2001:db8:b::1]:6767,[2001:db8:b::2]:6767",
		"DHCP4D_IPC_KEYS=" + firstKey, `DHCP4D_SUBNETS=[{id: 1, subnet: 10.0.0.0/16, server-id: 10.0.0.1, ` +
			`pools: [10.0.1.0-10.0.200.255], match: [` + match + `], options: {routers: [10.0.0.1]}}]`}
	if s.four, err = servers.StartV4(hosts["four"], servers.Ours, config); err != nil {
		t.Fatal(err)
	}
	for _, six := range []struct {
		half                *(*servers.Half)
		host, link, address string
	}{{&s.one, "one", "access", "2001:db8:b::1"}, {&s.two, "two", second, "2001:db8:b::2"}} {
		config := topology.Config(t.TempDir())
		config.Interfaces, config.Relays, config.LDRA = []string{six.link}, nil, nil
		config.Env = []string{"DHCP6D_IPC_LISTEN=[" + six.address + "]:6767", "DHCP6D_IPC_BACKENDS=dhcp4d@[2001:db8:b::4]:6768",
			"DHCP6D_IPC_KEYS=" + firstKey, "DHCP6D_DNS_SERVERS=2001:db8::53"}
		if *six.half, err = servers.StartV6(hosts[six.host], servers.Ours, config, false); err != nil {
			t.Fatal(err)
		}
	}
	s.six = s.one
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the first dhcp6d said:\n%s\nthe second:\n%s\ndhcp4d:\n%s", tailOf(s.one.Output()), tailOf(s.two.Output()), tailOf(s.four.Output()))
		}
	})
	return s
}

// both sends a query and returns the answers. Their number must be want.
func (s *several) both(c *client.Client, m *dhcpv4.DHCPv4, unicast bool, want int) (answers [][]byte) {
	s.t.Helper()
	if err := c.Send(c.Query(m.ToBytes(), unicast)); err != nil {
		s.t.Fatal(err)
	}
	deadline := time.Now().Add(3 * time.Second)
	if want == 0 {
		deadline = time.Now().Add(300 * time.Millisecond)
	}
	for len(answers) < max(want, 1) {
		b, from, err := c.Receive(deadline)
		if err != nil {
			break
		}
		r, err := c.Parse(b, from)
		if err != nil || r.DHCPv4.TransactionID != m.TransactionID {
			s.t.Fatalf("an answer is %x: %v", b, err)
		}
		answers = append(answers, r.Carried)
	}
	if len(answers) != want {
		s.t.Fatalf("%d answers to a %s, want %d", len(answers), m.MessageType(), want)
	}
	return answers
}

// sum returns a series of a daemon, zero if there is none yet.
func (s *several) sum(h *servers.Half, series ...string) (v float64) {
	s.t.Helper()
	all, err := h.Metrics()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range series {
		v += servers.Sum(all, name)
	}
	return v
}

// addUp waits until no datagram is on its way, and checks the accounts of all three daemons. It
// returns how many datagrams each of them has received.
func (s *several) addUp() (one, two, four float64) {
	s.t.Helper()
	balanced := func(h *servers.Half, received string, fates ...string) float64 {
		s.t.Helper()
		var in, out float64
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if in, out = s.sum(h, received), s.sum(h, fates...); in == out {
				return in
			}
		}
		s.t.Errorf("%s is %v, and the sum of the fates is %v", received, in, out)
		return in
	}
	for _, h := range []*servers.Half{s.one, s.two} {
		balanced(h, "dhcp6d_packets_received_total", "dhcp6d_queries_forwarded_total", "dhcp6d_packets_answered_total",
			"dhcp6d_packets_silent_total", "dhcp6d_packets_dropped_total")
	}
	four = balanced(s.four, "dhcp4d_queries_received_total", "dhcp4d_responses_sent_total", "dhcp4d_queries_silent_total", "dhcp4d_packets_dropped_total")
	return s.sum(s.one, "dhcp6d_queries_forwarded_total"), s.sum(s.two, "dhcp6d_queries_forwarded_total"), four
}

func TestSeveralDhcp6d(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]string{"": "access", ", who have different names for it": "eth7"} {
		t.Run("two dhcp6d on one link"+name+": every query arrives twice, and there is one lease and equal answers", func(t *testing.T) {
			t.Parallel()
			s := start2(t, second)
			c := s.client(topology.Multicast, 1, client.Options{})
			equal := func(m *dhcpv4.DHCPv4, unicast bool) *dhcpv4.DHCPv4 {
				t.Helper()
				a := s.both(c, m, unicast, 2)
				if !bytes.Equal(a[0], a[1]) {
					t.Errorf("%s is answered by\n%x and\n%x", m.MessageType(), a[0], a[1])
				}
				r, err := dhcpv4.FromBytes(a[0])
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			offer := equal(c.Message(dhcpv4.MessageTypeDiscover), false)
			request := c.Message(dhcpv4.MessageTypeRequest, dhcpv4.OptRequestedIPAddress(offer.YourIPAddr), dhcpv4.OptServerIdentifier(offer.ServerIdentifier()))
			ack := equal(request, false)
			renewal := c.Message(dhcpv4.MessageTypeRequest)
			renewal.ClientIPAddr = ack.YourIPAddr
			if again := equal(renewal, true); !again.YourIPAddr.Equal(offer.YourIPAddr) {
				t.Errorf("offered %s, renewed %s", offer.YourIPAddr, again.YourIPAddr)
			}
			reboot := c.Message(dhcpv4.MessageTypeRequest, dhcpv4.OptRequestedIPAddress(ack.YourIPAddr))
			equal(reboot, false)
			inform := c.Message(dhcpv4.MessageTypeInform)
			inform.ClientIPAddr = ack.YourIPAddr
			equal(inform, false)
			if nak := equal(c.Message(dhcpv4.MessageTypeRequest, dhcpv4.OptRequestedIPAddress([]byte{172, 16, 0, 1})), false); nak.MessageType() != dhcpv4.MessageTypeNak {
				t.Errorf("a foreign address got %s", nak.MessageType())
			}
			if v := s.sum(s.four, "dhcp4d_leases"); v != 1 {
				t.Errorf("dhcp4d has %v leases", v)
			}
			release := c.Message(dhcpv4.MessageTypeRelease, dhcpv4.OptServerIdentifier(ack.ServerIdentifier()))
			release.ClientIPAddr = ack.YourIPAddr
			s.both(c, release, true, 0)
			s.series(s.four, `dhcp4d_leases{state="bound",subnet="1"}`, is(0))
			again := equal(c.Message(dhcpv4.MessageTypeDiscover), false)
			if !again.YourIPAddr.Equal(ack.YourIPAddr) {
				t.Errorf("D4-24 after its release the client is offered %s, it had %s", again.YourIPAddr, ack.YourIPAddr)
			}
			decline := c.Message(dhcpv4.MessageTypeDecline, dhcpv4.OptServerIdentifier(ack.ServerIdentifier()), dhcpv4.OptRequestedIPAddress(again.YourIPAddr))
			s.both(c, decline, false, 0)
			if one, two, four := s.addUp(); one != 9 || two != 9 || four != 18 {
				t.Errorf("the dhcp6d forwarded %v and %v, and dhcp4d received %v", one, two, four)
			}
		})
	}
	t.Run("two dhcp6d on one link: clients learn their addresses from either, and are served as by one", func(t *testing.T) {
		t.Parallel()
		s := start2(t, "access")
		servers := map[string]bool{}
		for n := range 12 {
			c := s.client(topology.Multicast, n+1, client.Options{Servers: []netip.Addr{}})
			info, err := c.Information(t.Context(), dhcpv6.OptionDNSRecursiveNameServer)
			if err != nil || !info.Offered {
				t.Fatalf("an Information-request: %+v, %v", info, err)
			}
			servers[string(info.Reply.GetOneOption(dhcpv6.OptionServerID).ToBytes())] = true
			l := s.obtain(c)
			for range 3 {
				if _, err := c.Renew(t.Context(), l); err != nil {
					t.Error(err)
				}
			}
			if _, err := c.Reboot(t.Context(), l.Address); err != nil {
				t.Error(err)
			}
		}
		s.series(s.four, `dhcp4d_leases{state="bound",subnet="1"}`, is(12))
		if a, b := s.sum(s.one, "dhcp6d_packets_answered_total"), s.sum(s.two, "dhcp6d_packets_answered_total"); a != 12 || b != 12 {
			t.Errorf("Information-requests answered: %v and %v", a, b)
		}
		s.addUp()
	})
	for name, kill := range map[string]bool{"under load": false, "under load, one of them killed meanwhile": true} {
		t.Run("two dhcp6d on one link "+name+": no fault, no address twice, the counters add up", func(t *testing.T) {
			t.Parallel()
			s := start2(t, "access")
			if kill {
				time.AfterFunc(time.Second, s.two.Kill)
			}
			r := s.load(load.Config{Interface: "access", InFlight: 16, Duration: 3 * time.Second, Clients: 2000, Renew: 0.3, Inform: 0.1, Release: 0.1, Seed: 1,
				Expect: netip.MustParsePrefix("10.0.0.0/16"), Require: []byte{1, 3}})
			t.Logf("%s", r)
			if r.Failed() || r.Completed < 100 || r.Lost*100 > r.Completed || (!kill && r.Late == 0) {
				t.Error("a fault, nothing done, or much lost")
			}
			if kill {
				<-s.two.Ended()
				s.two = s.one // the second has ended, and has no account
			}
			s.addUp()
			// dhcp4d may have more leases than the clients: those whose ACK was lost. Each dhcp6d
			// keeps the order of a client's messages, so its last one decides, unless a dhcp6d ends
			// between a REQUEST and its RELEASE.
			leases, between := s.sum(s.four, `dhcp4d_leases{state="bound",subnet="1"}`), 0.0
			if kill {
				between = 16
			}
			if held := float64(r.Addresses); leases < held-between || leases > held+between+float64(r.Lost) {
				t.Errorf("dhcp4d has %v leases, the clients %v, and %d answers were lost", leases, held, r.Lost)
			}
		})
	}
}

// load makes exchanges from the clients' host.
func (s *several) load(c load.Config) load.Report {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	r, err := loaded(ctx, s.Clients, c)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}
