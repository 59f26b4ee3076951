package e2e

import (
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/load"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// A street is a link with many subscribers, of which one floods it, and a relay with many more.
// Kernels do the forwarding, which is faster than any sender here.
type street struct {
	*bench
	subscribers, neighbour, flooder, relay *netns.Host

	socket *client.Socket // of the subscribers, see onLink
}

// Addresses of the street, beside those of the network.
var (
	flooderMAC = topology.MAC(666)
	relayToo   = netip.MustParseAddr("2001:db8:c::3") // of the relay, for a second chain
	relayFlood = netip.MustParseAddr("2001:db8:c::4") // of the relay, for the flood
)

func newStreet(t *testing.T, env ...string) *street {
	t.Helper()
	lab := netnstest.Lab(t)
	for _, name := range []string{"dhcp6d", "dhcp4d"} {
		if _, err := servers.Find(name); err != nil {
			netnstest.Skip(t, err.Error())
		}
	}
	s := &street{bench: &bench{Network: &topology.Network{Lab: lab}, t: t, config: topology.Config(t.TempDir())}}
	hosts := map[string]**netns.Host{"server": &s.Server, "subscribers": &s.subscribers,
		"neighbour": &s.neighbour, "flooder": &s.flooder, "relay": &s.relay}
	for name, host := range hosts {
		var err error
		if *host, err = lab.Host(name); err != nil {
			t.Fatal(err)
		}
	}
	in := func(addrs ...netip.Addr) (all []netip.Prefix) {
		for _, a := range addrs {
			all = append(all, netip.PrefixFrom(a, 64))
		}
		return all
	}
	err := lab.Segment(netns.End{Host: s.Server, Name: "access", Addresses: in(topology.Server)},
		netns.End{Host: s.subscribers, Name: "eth0"},
		netns.End{Host: s.neighbour, Name: "eth0", Addresses: in(topology.Address(topology.AccessPrefix, 1))},
		netns.End{Host: s.flooder, Name: "eth0", MAC: flooderMAC})
	if err != nil {
		t.Fatal(err)
	}
	err = lab.Link(netns.End{Host: s.Server, Name: "core", Addresses: in(topology.ServerCore)},
		netns.End{Host: s.relay, Name: "up", Addresses: in(topology.Relay1Core, relayToo, relayFlood)})
	if err != nil {
		t.Fatal(err)
	}
	direct, relayed := topology.Direct, topology.Relayed
	direct.Prefix, direct.First, direct.Last = netip.MustParsePrefix("10.0.0.0/9"), netip.MustParseAddr("10.0.1.0"), netip.MustParseAddr("10.0.255.255")
	relayed.Prefix, relayed.First, relayed.Last = netip.MustParsePrefix("10.128.0.0/9"), netip.MustParseAddr("10.128.1.0"), netip.MustParseAddr("10.128.255.255")
	s.config.Subnets = []servers.Subnet{direct, relayed}
	s.config.Quiet, s.config.Env = true, env
	s.start4()
	s.start6()
	t.Cleanup(func() {
		settled(t, s.six, "dhcp6d")
		settled(t, s.four, "dhcp4d")
		if t.Failed() {
			t.Logf("dhcp6d said:\n%s\ndhcp4d said:\n%s", tailOf(s.six.Output()), tailOf(s.four.Output()))
		}
	})
	return s
}

// A group of subscribers makes exchanges for a while, at a moderate rate and without
// retransmission.
type group struct {
	name   string
	host   *netns.Host
	config load.Config
}

// others are the groups that a flood must not disturb.
func (s *street) others(length time.Duration) []group {
	c := load.Config{Duration: length, Timeout: 4 * time.Second, Clients: 4000, Require: []byte{1}}
	direct, one, two, unicast := c, c, c, c
	direct.Interface, direct.Seed, direct.Rate, direct.Sources = "eth0", 1, 400, 400
	one.Interface, one.Seed, one.Rate, one.Local = "up", 2, 400, topology.Relay1Core
	one.Server, one.Relays, one.Link = topology.ServerCore, 1, topology.Relay1Lan
	two.Interface, two.Seed, two.Rate, two.Local = "up", 3, 400, relayToo
	two.Server, two.Relays, two.Link = topology.ServerCore, 2, topology.Relay2Lan
	// This is below the rate limit for the prefix of the source.
	unicast.Interface, unicast.Seed, unicast.Rate, unicast.Local = "eth0", 4, 4, topology.Address(topology.AccessPrefix, 1)
	unicast.Server = topology.Server
	return []group{{"by multicast", s.subscribers, direct}, {"behind a relay", s.relay, one},
		{"behind two relays", s.relay, two}, {"by unicast", s.neighbour, unicast}}
}

// run makes the exchanges from the group's host.
func (g group) run(t *testing.T) <-chan load.Report {
	done := make(chan load.Report, 1)
	go func() {
		r, err := loaded(t.Context(), g.host, g.config)
		if err != nil {
			t.Errorf("%s: %v", g.name, err)
		}
		done <- r
	}()
	return done
}

// A flood sends messages in turn, again and again.
type flood struct {
	host     *netns.Host
	from     netip.AddrPort
	via      string // interface
	to       netip.Addr
	messages [][]byte
}

// send sends perSecond messages a second, or as many as the kernel can if that is 0, until stop is
// closed or the total is reached.
func (f flood) send(t *testing.T, perSecond, inAll int, stop <-chan struct{}) (sent int) {
	t.Helper()
	conn, err := netns.In(f.host, func() (*udp.Conn, error) {
		return udp.Listen(udp.Options{Address: f.from, SendBuffer: 4 << 20})
	})
	if err != nil {
		t.Error(err)
		return 0
	}
	defer conn.Close()
	index, err := f.host.InterfaceIndex(f.via)
	if err != nil {
		t.Error(err)
		return 0
	}
	const batch = 64
	w, packets := conn.NewWriter(batch), make([]udp.Packet, batch)
	for i := range packets {
		packets[i] = udp.Packet{Peer: netip.AddrPortFrom(f.to, relay.ServerPort), Interface: index}
	}
	for begun := time.Now(); inAll == 0 || sent < inAll; {
		select {
		case <-stop:
			return sent
		default:
		}
		if perSecond > 0 && sent > int(time.Since(begun).Seconds()*float64(perSecond)) {
			time.Sleep(time.Millisecond)
			continue
		}
		for i := range packets {
			packets[i].Data = f.messages[(sent+i)%len(f.messages)]
		}
		sent += w.Write(packets)
	}
	return sent
}

// subscriber is the client that floods.
func (f flood) subscriber(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	o.HardwareAddr, o.Servers, o.Retransmit = flooderMAC, []netip.Addr{f.to}, patient
	from := f.from
	from = netip.AddrPortFrom(from.Addr().WithZone(""), from.Port())
	socket, err := netns.In(f.host, func() (*client.Socket, error) { return client.Listen(f.via, from) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	c, err := client.New(socket, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// floods are a subscriber's floods, directly and behind the relay that others use.
func (s *street) floods(t *testing.T) map[string]struct {
	flood
	options client.Options
} {
	t.Helper()
	levels := relay.Chain(1, topology.Relay1Lan, netns.LinkLocal(flooderMAC))
	levels[0].InterfaceID = []byte("port666")
	behind := client.Options{Relays: levels}
	type all = struct {
		flood
		options client.Options
	}
	floods := map[string]all{
		"direct": {flood: flood{host: s.flooder, via: "eth0", to: client.Multicast,
			from: netip.AddrPortFrom(netns.LinkLocal(flooderMAC).WithZone("eth0"), relay.ClientPort)}},
		"relayed": {flood: flood{host: s.relay, via: "up", to: topology.ServerCore,
			from: netip.AddrPortFrom(relayFlood, relay.ServerPort)}, options: behind},
	}
	for name, f := range floods {
		o := f.options
		o.HardwareAddr, o.Servers = flooderMAC, []netip.Addr{f.to}
		c, err := client.New(nil, o)
		if err != nil {
			t.Fatal(err)
		}
		f.messages = [][]byte{c.Query(c.Message(dhcpv4.MessageTypeDiscover).ToBytes(), false)}
		floods[name] = f
	}
	return floods
}

const (
	limited     = `dhcp6d_packets_dropped_total{reason="rate_limited",socket="link"}`
	kernelDrops = `dhcp6d_socket_drops_total{socket="link"}`
)

// TestFloodOfOneSubscriber checks that with the hook ratelimit and its defaults a subscriber's
// flood disturbs nobody else.
func TestFloodOfOneSubscriber(t *testing.T) {
	const (
		length    = 3 * time.Second
		perSecond = 20_000 // the limit is 10
		burst     = 20
	)
	s := newStreet(t, "DHCP6D_HOOKS=ratelimit")
	for name, f := range s.floods(t) {
		t.Run(name, func(t *testing.T) {
			before, err := s.six.Metrics()
			if err != nil {
				t.Fatal(err)
			}
			stop, flooded := make(chan struct{}), make(chan int, 1)
			begun := time.Now()
			go func() { flooded <- f.send(t, perSecond, 0, stop) }()
			others := s.others(length)
			var running []<-chan load.Report
			for _, g := range others {
				running = append(running, g.run(t))
			}
			var started, completed uint64
			for i, done := range running {
				r := <-done
				started, completed = started+r.Started, completed+r.Completed
				if r.Failed() || r.Started == 0 || float64(r.Completed) < 0.999*float64(r.Started) {
					t.Errorf("%s: %d of %d exchanges succeeded, faults %v", others[i].name, r.Completed, r.Started, r.Faults)
				}
			}
			close(stop)
			sent := <-flooded
			flooding := time.Since(begun)
			settled(t, s.six, "dhcp6d")
			after, err := s.six.Metrics()
			if err != nil {
				t.Fatal(err)
			}
			grown := func(series string) float64 { return after[series] - before[series] }
			t.Logf("%d of %d exchanges succeeded during a flood of %d messages in %v, of which %v were over the limit and %v came to a full socket",
				completed, started, sent, flooding.Round(time.Millisecond), grown(limited), grown(kernelDrops))
			if sent < 1000*burst {
				t.Errorf("only %d messages were sent, which is no flood", sent)
			}
			allowance := burst + 10*(flooding.Seconds()+1)
			if over := grown(limited); over > float64(sent) || over+grown(kernelDrops) < float64(sent)-allowance {
				t.Errorf("of %d messages %v were over the limit and %v met a full socket; %v are allowed",
					sent, over, grown(kernelDrops), allowance)
			}
			c := f.subscriber(t, f.options)
			l, err := c.Obtain(t.Context())
			if err != nil {
				t.Fatalf("the subscriber afterwards: %v", err)
			}
			if err := c.Release(l); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestKernelDropsAreSeen checks that a series counts the datagrams that the kernel drops because
// dhcp6d does not read. dhcp6d drops datagrams that have waited in the socket for too long.
func TestKernelDropsAreSeen(t *testing.T) {
	s := newStreet(t)
	f := s.floods(t)["direct"]
	before, err := s.six.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.six.Freeze(); err != nil {
		t.Fatal(err)
	}
	sent := f.send(t, 0, 40_000, nil)
	time.Sleep(1100 * time.Millisecond) // a little more than DHCP6D_MAX_WAIT
	s.six.Thaw()
	var after map[string]float64
	grown := func(series string) float64 { return servers.Sum(after, series) - servers.Sum(before, series) }
	const received, stale = "dhcp6d_packets_received_total", `dhcp6d_packets_dropped_total{reason="stale",socket="link"}`
	await(t, "an account of all that was sent", func() bool {
		if after, err = s.six.Metrics(); err != nil {
			t.Fatal(err)
		}
		return grown(received)+grown(kernelDrops) >= float64(sent)
	})
	t.Logf("of %d messages the kernel dropped %v, and %v had waited too long", sent, grown(kernelDrops), grown(stale))
	if grown(kernelDrops) == 0 || grown(stale) == 0 || grown(stale) != grown(received) || grown(received)+grown(kernelDrops) != float64(sent) {
		t.Errorf("of %d messages the kernel dropped %v, %v were received, and %v had waited too long",
			sent, grown(kernelDrops), grown(received), grown(stale))
	}
	if _, err := f.subscriber(t, client.Options{}).Obtain(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestSilenceIsNoLoad checks that dhcp4d does not count as overloaded while it leaves many
// DISCOVERs unanswered, because it has no free address. Clients of other subnets are served. The
// cases run beside each other, but beside no other test: one takes a seventh of a processor.
func TestSilenceIsNoLoad(t *testing.T) {
	for _, c := range []struct {
		name, subnet string
		served       uint64 // of the clients before the flood
	}{
		{"whose subnet is full", "pools: [10.128.1.0]", 1},
		{"whose limit is reached", `limit: 1, limit-by: "'all'", pools: [10.128.1.0-10.128.255.255]`, 1},
		{"whose subnet is drained", "state: drain, pools: [10.128.1.0-10.128.255.255]", 0},
		{"whose pool is refused", "pools: [{range: 10.128.1.0-10.128.255.255, refuse: silent}]", 0},
		{"whose class is refused", `classes: [{name: all, test: "'a' == 'a'", refuse: silent}], pools: [10.128.1.0-10.128.255.255]`, 0},
		{"who are in no subnet", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			document := `[{id: 1, subnet: 10.0.0.0/9, server-id: 10.0.0.1, pools: [10.0.1.0-10.0.255.255],
				match: [{interface: access}], options: {routers: [10.0.0.1]}}`
			if c.subnet != "" {
				document += `, {id: 2, subnet: 10.128.0.0/9, server-id: 10.128.0.1, match: [{link-address: "` +
					topology.Lan1Prefix.String() + `"}], ` + c.subnet + `}`
			}
			silenceIsNoLoad(t, "DHCP4D_SUBNETS="+document+"]", c.served)
		})
	}
}

func silenceIsNoLoad(t *testing.T, document string, served uint64) {
	s := newStreet(t, document)
	silent := group{"who get no answer", s.relay, load.Config{Interface: "up", Local: topology.Relay1Core, Server: topology.ServerCore,
		Relays: 1, Link: topology.Relay1Lan, Seed: 1, Rate: 3000, Count: 12_000, Clients: 50_000}}
	first := silent
	first.config.Rate, first.config.InFlight, first.config.Count = 0, 1, 1
	if r := <-first.run(t); r.Completed != served {
		t.Fatalf("the client before the flood: %v", r)
	}
	silent.config.Seed = 2
	flood := silent.run(t)
	// On a busy machine their datagrams may be lost in a full socket, so they retransmit.
	for n := range 20 {
		if _, err := s.onLink(t, n).Obtain(t.Context()); err != nil {
			t.Errorf("client %d of another subnet: %v", n, err)
		}
	}
	if r := <-flood; r.Started != uint64(silent.config.Count) || r.Completed > 0 {
		t.Errorf("%d exchanges were started and %d succeeded where there is no address", r.Started, r.Completed)
	}
	all, err := s.six.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := all[`dhcp6d_packets_dropped_total{reason="queue_full",socket="link"}`]; !ok || n > 0 {
		t.Errorf("%v queries were dropped as if dhcp4d were overloaded", n)
	}
}
