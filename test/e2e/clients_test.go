package e2e

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

// A dialogue is the two daemons, and messages of clients with the result that each must have.
type dialogue struct {
	*bench
	document string // the file of the subnets document
	sockets  map[netip.Addr]*client.Socket
	known    map[string]float64 // the last result of fates
}

// converse starts both daemons with a subnets document in a file, and with more variables. Each
// daemon gets those with its prefix.
func converse(t *testing.T, document string, env ...string) *dialogue {
	t.Helper()
	d := &dialogue{document: filepath.Join(t.TempDir(), "subnets.yaml"), sockets: map[netip.Addr]*client.Socket{}, known: map[string]float64{}}
	write(t, d.document, document)
	t.Cleanup(func() {
		for _, s := range d.sockets {
			s.Close()
		}
	})
	d.bench = start(t, func(c *servers.Config) {
		c.Env = append(append(c.Env, "DHCP4D_SUBNETS=", "DHCP4D_SUBNETS_FILE="+d.document), env...)
	})
	return d
}

func (d *dialogue) at(t *testing.T) *dialogue {
	return &dialogue{bench: d.bench.at(t), document: d.document, sockets: d.sockets, known: d.known}
}

// reload replaces the document and waits until it is in effect, or until it is refused.
func (d *dialogue) reload(document string) {
	d.t.Helper()
	write(d.t, d.document, document)
	before, err := d.four.Metrics()
	if err != nil {
		d.t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // the time of the last reload has a resolution of milliseconds
	const at = "dhcp4d_config_last_reload_timestamp_seconds"
	d.four.Signal(syscall.SIGHUP)
	d.series(d.four, at, func(v float64) bool { return v > before[at] })
}

// host is a client with a hardware address, behind an address of the access link. Several clients
// may be behind one address.
func (d *dialogue) host(from netip.Addr, mac int, o client.Options) *client.Client {
	d.t.Helper()
	if o.Servers = []netip.Addr{topology.Server}; from.IsLinkLocalUnicast() {
		o.Servers = []netip.Addr{client.Multicast}
	}
	return d.behind(d.Clients, "access", netip.AddrPortFrom(from, relay.ClientPort), mac, o)
}

// relayed is a client behind the relay levels of its options. The outermost relay sends from an
// address of core.
func (d *dialogue) relayed(from netip.Addr, mac int, levels ...relay.Level) *client.Client {
	d.t.Helper()
	return d.behind(d.Relay1, "up", netip.AddrPortFrom(from, relay.ServerPort), mac, client.Options{Relays: levels, Servers: []netip.Addr{topology.ServerCore}})
}

func (d *dialogue) behind(h *netns.Host, name string, from netip.AddrPort, mac int, o client.Options) *client.Client {
	d.t.Helper()
	if o.HardwareAddr == nil {
		o.HardwareAddr = topology.MAC(mac)
	}
	socket := d.sockets[from.Addr()]
	if socket == nil {
		if err := h.AddAddress(name, netip.PrefixFrom(from.Addr(), 64)); err != nil && !errors.Is(err, syscall.EEXIST) {
			d.t.Fatal(err)
		}
		var err error
		if socket, err = netns.In(h, func() (*client.Socket, error) { return client.Listen(name, from) }); err != nil {
			d.t.Fatal(err)
		}
		d.sockets[from.Addr()] = socket
	}
	c, err := client.New(socket, o)
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

// fates returns the series of all queries that the daemons leave unanswered.
func (d *dialogue) fates() map[string]float64 {
	d.t.Helper()
	all := map[string]float64{}
	for _, h := range []*servers.Half{d.six, d.four} {
		series, err := h.Metrics()
		if err != nil {
			d.t.Fatal(err)
		}
		maps.Copy(all, series)
	}
	maps.DeleteFunc(all, func(name string, _ float64) bool {
		return !strings.Contains(name, "_silent_total{") && !strings.Contains(name, "_dropped_total{")
	})
	return all
}

// note remembers how many messages the daemons have left unanswered, for the next say.
func (d *dialogue) note() {
	d.t.Helper()
	settled(d.t, d.six, "dhcp6d")
	settled(d.t, d.four, "dhcp4d")
	clear(d.known)
	maps.Copy(d.known, d.fates())
}

// flood sends a message many times, and waits until each has its fate. It does not read the
// answers.
func (d *dialogue) flood(c *client.Client, n int, m func() *dhcpv4.DHCPv4) {
	d.t.Helper()
	const received = "dhcp6d_packets_received_total"
	before, err := d.six.Metrics()
	if err != nil {
		d.t.Fatal(err)
	}
	for range n {
		if err := c.Send(c.Query(m().ToBytes(), false)); err != nil {
			d.t.Fatal(err)
		}
	}
	d.series(d.six, received, func(v float64) bool { return v >= servers.Sum(before, received)+float64(n) })
	d.note()
}

// restart4 ends dhcp4d and starts it again.
func (d *dialogue) restart4() {
	d.t.Helper()
	if err := d.four.Stop(10 * time.Second); err != nil {
		d.t.Fatal(err)
	}
	d.start4()
	d.series(d.six, "dhcp6d_ipc_backend_up", is(1))
	d.note()
}

// say sends a message and returns the result: the reply's type and address, or the reason why there
// is no reply. Nobody else may send at the same time.
func (d *dialogue) say(c *client.Client, m *dhcpv4.DHCPv4) (fate string, reply *dhcpv4.DHCPv4) {
	d.t.Helper()
	if err := c.Send(c.Query(m.ToBytes(), false)); err != nil {
		d.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		datagram, from, err := c.Receive(time.Now().Add(50 * time.Millisecond))
		if err == nil {
			r, err := c.Parse(datagram, from)
			if err != nil {
				d.t.Fatal(err)
			}
			if r.DHCPv4.TransactionID != m.TransactionID {
				continue
			}
			return strings.TrimSpace(r.DHCPv4.MessageType().String() + " " + given(r.DHCPv4)), r.DHCPv4
		}
		for name, v := range d.fates() {
			if v > d.known[name] {
				d.known[name] = v
				_, name, _ = strings.Cut(name, `reason="`)
				name, _, _ = strings.Cut(name, `"`)
				return name, nil
			}
		}
	}
	d.t.Fatalf("a %s has neither an answer nor a fate", m.MessageType())
	return "", nil
}

// given returns the address in a reply.
func given(m *dhcpv4.DHCPv4) string {
	if m.YourIPAddr.IsUnspecified() {
		return ""
	}
	return m.YourIPAddr.String()
}

// expect sends a message and checks the result.
func (d *dialogue) expect(want string, c *client.Client, m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	d.t.Helper()
	got, reply := d.say(c, m)
	if got != want {
		d.t.Errorf("%s gets %q, want %q", m.Summary(), got, want)
	}
	return reply
}

// Messages of a client. ciaddr is none if it is empty.
func said(c *client.Client, kind dhcpv4.MessageType, ciaddr string, options ...dhcpv4.Option) *dhcpv4.DHCPv4 {
	m := c.Message(kind, options...)
	if ciaddr != "" {
		m.ClientIPAddr = net.ParseIP(ciaddr)
	}
	return m
}

func wish(a string) dhcpv4.Option     { return dhcpv4.OptRequestedIPAddress(net.ParseIP(a)) }
func serverID(a string) dhcpv4.Option { return dhcpv4.OptServerIdentifier(net.ParseIP(a)) }

const (
	discover = dhcpv4.MessageTypeDiscover
	request  = dhcpv4.MessageTypeRequest
	decline  = dhcpv4.MessageTypeDecline
	release  = dhcpv4.MessageTypeRelease
	inform   = dhcpv4.MessageTypeInform
)

// bind makes a lease, and checks its address unless want is empty.
func (d *dialogue) bind(c *client.Client, want string) string {
	d.t.Helper()
	_, offer := d.say(c, said(c, discover, ""))
	if offer == nil || offer.MessageType() != dhcpv4.MessageTypeOffer {
		d.t.Fatalf("no offer: %v", offer)
	}
	a := offer.YourIPAddr.String()
	if want != "" && a != want {
		d.t.Errorf("offered %s, want %s", a, want)
	}
	d.expect("ACK "+a, c, said(c, request, "", wish(a), serverID(offer.ServerIdentifier().String())))
	return a
}

// dhcp4d runs a command of dhcp4d in the environment of the one that runs.
func (d *dialogue) dhcp4d(arguments ...string) (output string, status int) {
	d.t.Helper()
	path, err := servers.Find("dhcp4d")
	if err != nil {
		d.t.Fatal(err)
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", d.four.PID()))
	if err != nil {
		d.t.Fatal(err)
	}
	p, err := d.Server.Start(strings.Split(strings.TrimSuffix(string(environ), "\x00"), "\x00"), append([]string{path}, arguments...)...)
	if err != nil {
		d.t.Fatal(err)
	}
	status, err = p.Wait(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return p.Output(), status
}

const base = `[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.100-192.0.2.199], match: [{interface: access}], options: {routers: [192.0.2.1], domain-name-servers: [192.0.2.53]}}]`

func TestSubnetsThatChange(t *testing.T) {
	t.Parallel()
	const ten = `{id: %d, subnet: %s, pools: [%s], match: [{interface: access}]}`
	doc := func(s ...string) string { return "[" + strings.Join(s, ", ") + "]" }
	one := func(id int) string { return doc(fmt.Sprintf(ten, id, "192.0.2.0/24", "192.0.2.100-192.0.2.109")) }
	d := converse(t, one(2))
	var clients []*client.Client
	var leases []string
	for n := range 10 {
		c := d.client(topology.Multicast, n+1, client.Options{})
		clients, leases = append(clients, c), append(leases, d.bind(c, ""))
	}
	renewed := func(t *testing.T) {
		t.Helper()
		d := d.at(t)
		for n, c := range clients {
			d.expect("ACK "+leases[n], c, said(c, request, leases[n]))
			d.expect("ACK "+leases[n], c, said(c, request, "", wish(leases[n])))
			d.expect("OFFER "+leases[n], c, said(c, discover, ""))
		}
	}
	for _, step := range []struct {
		name, document string
		bound          string // series with the leases
	}{
		{"D4-79 another id", one(1), `dhcp4d_leases{state="bound",subnet="1"}`},
		{"D4-79 another prefix, split: the lower half has the leases", doc(fmt.Sprintf(ten, 7, "192.0.2.0/25", "192.0.2.100-192.0.2.126"),
			`{id: 8, subnet: 192.0.2.128/25, pools: [192.0.2.130-192.0.2.140], match: [{interface: core}]}`), `dhcp4d_leases{state="bound",subnet="7"}`},
		{"D4-79 merged into a greater one", doc(fmt.Sprintf(ten, 9, "192.0.2.0/23", "192.0.2.100-192.0.3.109")), `dhcp4d_leases{state="bound",subnet="9"}`},
	} {
		t.Run(step.name, func(t *testing.T) {
			d.at(t).reload(step.document)
			renewed(t)
			d.at(t).series(d.four, step.bound, is(10))
		})
	}
	t.Run("D4-79 a subnet with another id after a restart", func(t *testing.T) {
		write(t, d.document, one(3))
		d.bench.t = t
		d.restart4()
		renewed(t)
	})
	t.Run("D4-79 the number of leases outside all subnets is printed", func(t *testing.T) {
		all, d := d, d.at(t)
		write(t, d.document, doc(fmt.Sprintf(ten, 4, "198.18.0.0/24", "198.18.0.100-198.18.0.109")))
		out, status := d.dhcp4d("-check")
		if status != 0 || !strings.Contains(out, "leases in no subnet of DHCP4D_SUBNETS: 10 (") {
			t.Errorf("-check ends with %d and says\n%s", status, out)
		}
		d.reload(doc(fmt.Sprintf(ten, 4, "198.18.0.0/24", "198.18.0.100-198.18.0.109")))
		d.expect("NAK", clients[0], said(clients[0], request, leases[0]))
		await(t, "the reload says it", func() bool { return strings.Contains(d.four.Output(), "no subnet") })
		d.series(d.four, "dhcp4d_leases_orphaned", is(10))
		out, _ = d.dhcp4d("leases", "list")
		if strings.Count(out, "none, was") != 10 {
			t.Errorf("the list says\n%s", out)
		}
		all.bench.t = t
		all.restart4()
		await(t, "the start says it", func() bool { return len(warned(all.four, `"leases":10`)) > 0 })
	})
}

func TestWhatClientsAskFor(t *testing.T) {
	t.Parallel()
	const reserved = `[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.100-192.0.2.199], match: [{interface: access}],
		reservations: [{hw-address: "02:c1:1e:00:00:03", address: 192.0.2.30}]}]`
	t.Run("outside the pools", func(t *testing.T) {
		t.Parallel()
		d := converse(t, reserved)
		c := d.client(topology.Multicast, 3, client.Options{})
		d.bind(c, "192.0.2.30")
		stranger := d.client(topology.Multicast, 4, client.Options{})
		bound := d.client(topology.Multicast, 5, client.Options{})
		has := d.bind(bound, "")
		for _, a := range []string{"192.0.2.20", "192.0.2.77", "192.0.2.250", "192.0.2.255"} {
			t.Run("D4-21, D4-22 "+a, func(t *testing.T) {
				d := d.at(t)
				for _, c := range []*client.Client{c, stranger, bound} {
					d.expect("NAK", c, said(c, request, "", wish(a)))
					d.expect("NAK", c, said(c, request, a))
					d.expect("NAK", c, said(c, request, "", wish(a), serverID("192.0.2.1")))
				}
			})
		}
		d.expect("ACK 192.0.2.30", c, said(c, request, "192.0.2.30"))
		d.expect("ACK "+has, bound, said(bound, request, has))
		t.Run("D4-21 a reservation that moved", func(t *testing.T) {
			d := d.at(t)
			d.reload(strings.ReplaceAll(reserved, "192.0.2.30", "192.0.2.31"))
			d.expect("NAK", c, said(c, request, "192.0.2.30"))
			d.bind(c, "192.0.2.31")
		})
		t.Run("D4-21 a pool that shrank", func(t *testing.T) {
			d := d.at(t)
			d.reload(strings.ReplaceAll(reserved, "192.0.2.100-", "192.0.2.150-"))
			d.expect("ACK "+has, bound, said(bound, request, has)) // until its lease ends
			if next := d.bind(bound, ""); next < "192.0.2.150" {
				t.Errorf("then the client gets %s", next)
			}
			d.expect("NAK", stranger, said(stranger, request, "", wish("192.0.2.120")))
		})
	})
	t.Run("D4-21 with another server for the subnet, dhcp4d is silent about its addresses", func(t *testing.T) {
		t.Parallel()
		for _, env := range []string{"DHCP4D_PEER_SERVER_IDS=192.0.2.2", "DHCP4D_AUTHORITATIVE=false"} {
			d := converse(t, reserved, env)
			c := d.client(topology.Multicast, 3, client.Options{})
			d.bind(c, "192.0.2.30")
			stranger := d.client(topology.Multicast, 4, client.Options{})
			d.expect("not_our_pool", stranger, said(stranger, request, "", wish("192.0.2.77")))
			d.expect("NAK", c, said(c, request, "", wish("192.0.2.77"))) // it has a reservation here
		}
	})
	t.Run("D4-16, D4-18, D4-23, D4-24, D4-25 a server identifier or an address that is missing, 0.0.0.0, or foreign", func(t *testing.T) {
		t.Parallel()
		d := converse(t, base)
		c := d.client(topology.Multicast, 1, client.Options{})
		other := d.client(topology.Multicast, 2, client.Options{})
		for _, without := range [][]dhcpv4.Option{nil, {serverID("0.0.0.0")}} {
			a := d.bind(c, "")
			d.expect("not_holder", other, said(other, decline, "", append(without, wish(a))...))
			d.expect("not_holder", other, said(other, release, a, without...))
			d.expect("names_other_server", c, said(c, decline, "", wish(a), serverID("192.0.2.9")))
			d.expect("declined", c, said(c, decline, "", append(without, wish(a))...))
			b := d.bind(c, "")
			if a == b {
				t.Errorf("D4-23 %s was declined and is given out again", a)
			}
			d.expect("declined", c, said(c, decline, b, without...)) // in ciaddr
			b = d.bind(c, "")
			d.expect("released", c, said(c, release, b, without...))
			_, offer := d.say(c, said(c, discover, ""))
			d.expect("declined", c, said(c, decline, "", append(without, wish(given(offer)))...)) // offered only
			b = d.bind(c, "")
			// Fault 5.
			d.expect("ACK "+b, c, said(c, request, "", serverID("192.0.2.1")))
			d.expect("ACK "+b, c, said(c, request, b, wish(b)))
			d.expect("ACK "+b, c, said(c, request, b, wish("192.0.2.150")))
			d.expect("ACK "+b, c, said(c, request, b, serverID("0.0.0.0")))
			d.expect("ACK "+b, c, said(c, request, b, serverID("192.0.2.9")))
			d.expect("ACK "+b, c, said(c, request, b, serverID("192.0.2.1"), wish(b)))
			d.expect("ACK "+b, c, said(c, request, "", serverID("0.0.0.0"), wish(b)))
			d.expect("NAK", c, said(c, request, ""))
			d.expect("NAK", c, said(c, request, "", serverID("0.0.0.0")))
			d.expect("ACK "+b, c, said(c, request, "", wish("0.0.0.0"), serverID("192.0.2.1")))
			d.expect("NAK", c, said(c, request, "", wish("0.0.0.0")))
			d.expect("NAK", other, said(other, request, "", serverID("192.0.2.1")))
			_, offer = d.say(other, said(other, discover, ""))
			d.expect("ACK "+given(offer), other, said(other, request, "", serverID("192.0.2.1")))
			d.expect("released", other, said(other, release, given(offer)))
			for _, server := range []string{"192.0.2.1", "192.0.2.9", "0.0.0.0"} {
				d.expect("OFFER "+b, c, said(c, discover, "", serverID(server)))
			}
			d.expect("OFFER "+b, c, said(c, discover, b))
			for _, a := range []string{"", b, "10.9.9.9"} {
				if ack := d.expect("ACK", c, said(c, inform, a)); ack.IPAddressLeaseTime(0) != 0 || ack.Router() == nil {
					t.Errorf("D4-25 an INFORM from %q gets %s", a, ack.Summary())
				}
			}
			d.expect("not_holder", other, said(other, release, "", append(without, wish(b))...))
			d.expect("not_holder", c, said(c, release, "", without...))
			d.expect("released", c, said(c, release, "", append(without, wish(b))...))
		}
	})
	t.Run("D4-23 the operator ends a quarantine", func(t *testing.T) {
		t.Parallel()
		d := converse(t, `[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.100], match: [{interface: access}]}]`)
		c := d.client(topology.Multicast, 1, client.Options{})
		d.bind(c, "192.0.2.100")
		d.expect("declined", c, said(c, decline, "", wish("192.0.2.100")))
		d.expect("no_address", c, said(c, discover, ""))
		if out, status := d.dhcp4d("leases", "release", "192.0.2.100"); status != 0 {
			t.Errorf("status %d: %s", status, out)
		}
		d.bind(c, "192.0.2.100")
	})
}

// Prefixes of the addresses of hosts on access.
func linkLocal(n int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("fe80::%x", n)) }
func global(n int) netip.Addr    { return netip.MustParseAddr(fmt.Sprintf("2001:db8:a::%x", n)) }

// TestHostsOfOneLink checks hosts that send from any of their addresses (RFC 8981).
func TestHostsOfOneLink(t *testing.T) {
	t.Parallel()
	for _, moves := range []string{"when-silent", "refuse", "follow"} {
		t.Run("Q-37 moves: "+moves, func(t *testing.T) {
			t.Parallel()
			d := converse(t, strings.Replace(base, "options:", "moves: "+moves+", options:", 1))
			from1, from2 := d.host(global(0x100), 1, client.Options{}), d.host(global(0x200), 1, client.Options{})
			from3, fromLocal := d.host(global(0x300), 1, client.Options{}), d.host(linkLocal(0x100), 1, client.Options{})
			// Another host claims to be this client.
			thief := d.host(global(0x400), 2, client.Options{DUID: []byte{0, 3, 0, 1, 2, 0xc1, 0x1e, 0, 0, 1}})
			for _, ends := range []*client.Client{from3, fromLocal} {
				a := d.bind(from1, "")
				for _, c := range []*client.Client{from2, from3, fromLocal, from1} {
					d.expect("ACK "+a, c, said(c, request, a))
					d.expect("ACK "+a, c, said(c, request, "", wish(a)))
					d.expect("OFFER "+a, c, said(c, discover, ""))
				}
				d.expect("not_holder", thief, said(thief, release, a))
				d.expect("not_holder", thief, said(thief, decline, "", wish(a)))
				d.expect("released", ends, said(ends, release, a))
				a = d.bind(fromLocal, "")
				d.expect("declined", ends, said(ends, decline, "", wish(a)))
			}
		})
	}
	t.Run("Q-37 a rate limit counts the host's /64, and its link-local address", func(t *testing.T) {
		t.Parallel()
		d := converse(t, base, "DHCP6D_HOOKS=ratelimit", "DHCP6D_RATELIMIT_RATE=1", "DHCP6D_RATELIMIT_BURST=20")
		far := netip.MustParseAddr("2001:db8:a:1::1")
		begun := time.Now()
		const each = 40 // more than the burst
		for n := range 2 {
			c := d.host(global(0x100*(n+1)), 1+n, client.Options{})
			d.flood(c, each, func() *dhcpv4.DHCPv4 { return said(c, discover, "") })
		}
		all, err := d.six.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		most := 21 + time.Since(begun).Seconds()
		if n := servers.Sum(all, "dhcp6d_queries_forwarded_total"); n > most {
			t.Errorf("%v queries of a /64 were accepted, want at most %v", n, most)
		}
		d.bind(d.host(linkLocal(0x100), 3, client.Options{}), "")
		d.bind(d.host(linkLocal(0x200), 4, client.Options{}), "")
		if err := d.Server.AddRoute(netip.PrefixFrom(far, 64).Masked(), global(0x100)); err != nil {
			t.Fatal(err)
		}
		d.bind(d.host(far, 5, client.Options{}), "") // in another /64
	})
	t.Run("Q-36, Q-37 a limit counts the host's /64, and its link-local address", func(t *testing.T) {
		t.Parallel()
		d := converse(t, strings.Replace(base, "options:", "limit: 2, options:", 1))
		for n := range 2 {
			d.bind(d.host(global(0x100+n), 10+n, client.Options{}), "")
			d.bind(d.host(linkLocal(0x100), 20+n, client.Options{ClientID: []byte{7, 7, byte(n)}}), "")
		}
		for n := range 3 {
			c := d.host(global(0x200+n), 30+n, client.Options{})
			d.expect("point_limit", c, said(c, discover, ""))
		}
		c := d.host(linkLocal(0x100), 40, client.Options{})
		d.expect("point_limit", c, said(c, discover, ""))
		d.bind(d.host(linkLocal(0x101), 41, client.Options{}), "")
	})
}

// The relays: two hosts on core, and the links behind them.
var (
	relayA = netip.MustParseAddr("2001:db8:c::a")
	relayB = netip.MustParseAddr("2001:db8:c::b")
	linkA  = netip.MustParseAddr("2001:db8:11::1")
	linkB  = netip.MustParseAddr("2001:db8:12::1")
	near   = netip.MustParseAddr("fe80::1:1")
)

// port is a relay level with an Interface-Id.
func port(link netip.Addr, peer netip.Addr, id string) relay.Level {
	l := relay.Level{LinkAddress: link, PeerAddress: peer}
	if id != "" {
		l.InterfaceID = []byte(id)
	}
	return l
}

// over adds an outer level to others.
func over(outer relay.Level, inner ...relay.Level) []relay.Level {
	outer.HopCount = inner[0].HopCount + 1
	return append([]relay.Level{outer}, inner...)
}

const twoLinks = `[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.100-192.0.2.199], match: [{link-address: "2001:db8:11::/64"}]},
	{id: 2, subnet: 198.51.100.0/24, pools: [198.51.100.100-198.51.100.199], match: [{link-address: "2001:db8:12::/64"}]}]`

func TestPortsAndTheirRelays(t *testing.T) {
	t.Parallel()
	quiet := func(t *testing.T, document string, env ...string) *dialogue {
		d := converse(t, document, env...)
		d.StopRelays()
		return d
	}
	const joined = `[{id: 1, subnet: 192.0.2.0/24, limit: 1, pools: [192.0.2.100-192.0.2.199], match: [{link-address: "2001:db8:11::/64"}, {link-address: "2001:db8:12::/64"}, {prefix: "2001:db8:c::/64"}]}]`
	local := linkLocal(1)
	for name, by := range map[string][2][]relay.Level{
		"two link-addresses":                        {{port(linkA, near, "ge-0/0/1")}, {port(linkB, near, "ge-0/0/1")}},
		"the same link-local link-address":          {{port(local, near, "ge-0/0/1")}, {port(local, near, "ge-0/0/1")}},
		"no link-address":                           {{port(netip.IPv6Unspecified(), near, "ge-0/0/1")}, {port(netip.IPv6Unspecified(), near, "ge-0/0/1")}},
		"lightweight relay agents below two relays": {over(port(linkA, near, ""), port(netip.IPv6Unspecified(), near, "ge-0/0/1")), over(port(linkB, near, ""), port(netip.IPv6Unspecified(), near, "ge-0/0/1"))},
	} {
		t.Run("RL-21 "+name, func(t *testing.T) {
			t.Parallel()
			d := quiet(t, joined, "DHCP6D_LDRA_LINKS=2001:db8:11::/64,2001:db8:12::/64", "DHCP6D_HOOKS=ratelimit", "DHCP6D_RATELIMIT_RATE=1", "DHCP6D_RATELIMIT_BURST=20")
			one, two := d.relayed(relayA, 1, by[0]...), d.relayed(relayB, 2, by[1]...)
			a := d.bind(one, "")
			b := d.bind(two, "") // the limit is 1 for each
			same := d.relayed(relayB, 1, by[1]...)
			d.expect("not_holder", same, said(same, release, a))
			d.expect("ACK "+a, one, said(one, request, a))
			d.flood(one, 40, func() *dhcpv4.DHCPv4 { return said(one, request, a) }) // more than the burst
			d.series(d.six, `dhcp6d_packets_dropped_total{reason="rate_limited",socket="link"}`, func(v float64) bool { return v > 0 })
			d.expect("ACK "+b, two, said(two, request, b))
		})
	}
	t.Run("RL-20 a link-local link-address names no link", func(t *testing.T) {
		t.Parallel()
		const reserved = `[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.100-192.0.2.199], match: [{interface: core, link-address: "2001:db8:99::/64"}]},
			{id: 7, subnet: 198.51.100.0/24, pools: [198.51.100.100-198.51.100.199], match: [{link-address: "2001:db8:11::/64"}],
			reservations: [{interface-id: port9, link-address: "2001:db8:11::1", address: 198.51.100.9}]}]`
		d := quiet(t, reserved, "DHCP6D_LDRA_LINKS=2001:db8:11::/64", "DHCP6D_HOOKS=acl", "DHCP6D_ACL_ALLOW=prefix=2001:db8:11::/64",
			"DHCP6D_DNS_SERVERS=2001:db8::53", "DHCP6D_LINK_OPTIONS=2001:db8:11::/64 DNS_SERVERS=2001:db8:11::53")
		for n, link := range []netip.Addr{netip.MustParseAddr("fe80::250:56ff:feaa:bb70"), netip.IPv6Unspecified()} {
			c := d.relayed(relayA, 10+n, over(port(linkA, near, ""), port(link, local, "port8"))...)
			if a := d.bind(c, ""); !strings.HasPrefix(a, "198.51.100.1") {
				t.Errorf("behind %s: %s", link, a)
			}
			info, err := c.Information(t.Context(), dhcpv6.OptionDNSRecursiveNameServer)
			if err != nil {
				t.Fatalf("behind %s: %v", link, err)
			}
			if dns := info.Reply.Options.DNS(); len(dns) != 1 || !dns[0].Equal(net.ParseIP("2001:db8:11::53")) {
				t.Errorf("behind %s the DNS servers are %v", link, dns)
			}
			c = d.relayed(relayA, 20+n, over(port(linkA, near, ""), port(link, local, "port9"))...)
			a := d.bind(c, "198.51.100.9")
			d.expect("released", c, said(c, release, a))
		}
	})
	t.Run("RL-22 a relay level that a client wrote is not believed", func(t *testing.T) {
		t.Parallel()
		d := quiet(t, strings.ReplaceAll(twoLinks, "pools:", "limit: 2, pools:"))
		victim := d.relayed(relayB, 1, port(linkB, near, "port1"))
		a := d.bind(victim, "")
		forged := over(port(linkA, netip.MustParseAddr("fe80::bad"), "port6"), port(linkB, near, "port1"))
		thief := d.relayed(relayA, 1, forged...)
		d.expect("not_holder", thief, said(thief, release, a))
		d.expect("not_holder", thief, said(thief, decline, "", wish(a)))
		d.expect("NAK", thief, said(thief, request, a))
		if got := d.bind(thief, ""); !strings.HasPrefix(got, "192.0.2.1") {
			t.Errorf("a client that writes a level itself gets %s, from the link in that level", got)
		}
		d.expect("ACK "+a, victim, said(victim, request, a))
		// The limit counts it by its relay's level, whatever ports it writes itself.
		d.bind(d.relayed(relayA, 2, over(port(linkA, netip.MustParseAddr("fe80::bad"), "port6"), port(linkB, near, "port2"))...), "")
		third := d.relayed(relayA, 3, over(port(linkA, netip.MustParseAddr("fe80::bad"), "port6"), port(linkB, near, "port3"))...)
		d.expect("point_limit", third, said(third, discover, ""))
		d.series(d.six, "dhcp6d_packets_relay_unbelieved_total", func(v float64) bool { return v > 5 })
	})
	t.Run("D4-85 a reservation by hardware address holds whatever the client identifier", func(t *testing.T) {
		t.Parallel()
		d := quiet(t, `[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.100-192.0.2.199], match: [{link-address: "2001:db8:11::/64"}, {interface: access}],
			reservations: [{hw-address: "02:c1:1e:00:00:03", address: 192.0.2.50}]}]`)
		for _, id := range [][]byte{nil, {}, {1, 2, 0xc1, 0x1e, 0, 0, 3}, {0xff, 0, 0, 0, 9, 0, 3, 0, 1, 7}, {0, 'p', 'x', 'e'}} {
			direct := d.host(global(0x300), 3, client.Options{ClientID: id})
			d.bind(direct, "192.0.2.50")
			d.expect("ACK 192.0.2.50", direct, said(direct, request, "192.0.2.50"))
			d.expect("ACK 192.0.2.50", direct, said(direct, request, "", wish("192.0.2.50")))
		}
		d.series(d.four, `dhcp4d_leases{state="bound",subnet="1"}`, is(1))
		await(t, "the log says it", func() bool { return strings.Contains(d.four.Output(), "client identifier") })
	})
}

// routed is a socket whose datagrams follow the routes. It is bound to no interface.
type routed struct{ *net.UDPConn }

func (r routed) Send(b []byte, to netip.Addr) error {
	_, err := r.WriteToUDPAddrPort(b, netip.AddrPortFrom(to, relay.ServerPort))
	return err
}

func (r routed) Receive(deadline time.Time) ([]byte, netip.AddrPort, error) {
	b := make([]byte, 1<<16)
	if err := r.SetReadDeadline(deadline); err != nil {
		return nil, netip.AddrPort{}, err
	}
	n, from, err := r.ReadFromUDPAddrPort(b)
	return b[:n], from, err
}

// TestWaysBack checks queries that arrive on one interface of the server while the route to their
// sender uses another one.
func TestWaysBack(t *testing.T) {
	t.Parallel()
	d := converse(t, `[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.100-192.0.2.199], match: [{link-address: "2001:db8:11::/64"}, {prefix: "2001:db8:5::/64"}]}]`,
		"DHCP6D_INTERFACES=core,back,access", "DHCP6D_RELAYS=2001:db8:5::/64", "DHCP6D_4O6_SERVERS=multicast")
	d.StopRelays()
	link := func(h *netns.Host, name, address string) netns.End {
		return netns.End{Host: h, Name: name, Addresses: []netip.Prefix{netip.MustParsePrefix(address)}}
	}
	if err := d.Lab.Link(link(d.Relay1, "back", "2001:db8:d::2/64"), link(d.Server, "back", "2001:db8:d::1/64")); err != nil {
		t.Fatal(err)
	}
	// The sender's address is on no link of the server, and the route to it uses back.
	sender := netip.MustParseAddr("2001:db8:5::1")
	if err := errors.Join(d.Relay1.AddAddress("lo", netip.PrefixFrom(sender, 128)),
		d.Server.AddRoute(netip.PrefixFrom(sender, 64).Masked(), netip.MustParseAddr("2001:db8:d::2"))); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		port   uint16
		levels []relay.Level
	}{
		{"D6-40 of a relay", relay.ServerPort, []relay.Level{port(linkA, near, "port1")}},
		{"D6-40 of two relays", relay.ServerPort, over(relay.Level{PeerAddress: sender}, port(linkA, near, "port1"))},
		{"Q-28 of a client", relay.ClientPort, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := d.at(t)
			conn, err := netns.In(d.Relay1, func() (*net.UDPConn, error) {
				return net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(sender, c.port)))
			})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			who, err := client.New(routed{conn}, client.Options{HardwareAddr: topology.MAC(1), Relays: c.levels, Servers: []netip.Addr{topology.ServerCore}, Retransmit: patient})
			if err != nil {
				t.Fatal(err)
			}
			d.bind(who, "")
			if c.port == relay.ClientPort {
				return // an Information-request comes from the link, by multicast
			}
			if info, err := who.Information(t.Context()); err != nil || !info.Offered {
				t.Errorf("an Information-request: %+v, %v", info, err)
			}
		})
	}
	d.series(d.six, `dhcp6d_packets_dropped_total{reason="send_error",socket="ipc"}`, is(0))
}

// TestWhatRepliesHold checks that a reply has the options that the client asks for, as long as they
// fit.
func TestWhatRepliesHold(t *testing.T) {
	t.Parallel()
	const document = `
options: {domain-name: example.org, 224: "0x010203"}
classes: [{name: phones, vendor-class: "phone*", options: {tftp-server-name: tftp.example}}]
subnets:
  - id: 1
    subnet: 192.0.2.0/24
    pools: [{range: 192.0.2.100-192.0.2.149, options: {252: "0x687474703a2f2f77706164"}}, 192.0.2.150-192.0.2.199]
    match: [{interface: access}, {link-address: "2001:db8:11::/64"}]
    options:
      routers: [192.0.2.1]
      domain-name-servers: [192.0.2.53]
      ntp-servers: [192.0.2.123]
      boot-file-name: some/file
      tftp-server-name: 192.0.2.69
      domain-search: [%s]
      classless-static-routes: [%s]
      v6-only-preferred: 1800
    always-send: [ntp-servers]
    reservations: [{hw-address: "02:c1:1e:00:00:09", address: 192.0.2.9, options: {host-name: nine}}]
`
	var domains, routes []string
	for n := range 6 {
		domains = append(domains, fmt.Sprintf("department-%d.of-example-%d.org", n, n))
	}
	for n := range 21 {
		routes = append(routes, fmt.Sprintf("10.%d.0.0/17 via 192.0.2.1", n))
	}
	d := converse(t, fmt.Sprintf(document, strings.Join(domains, ", "), strings.Join(routes, ", ")))
	d.StopRelays()
	list := func(codes ...uint8) dhcpv4.Option {
		o := make(dhcpv4.OptionCodeList, len(codes))
		for i, c := range codes {
			o[i] = dhcpv4.GenericOptionCode(c)
		}
		return dhcpv4.OptParameterRequestList(o...)
	}
	has := func(t *testing.T, m *dhcpv4.DHCPv4, want []uint8, not ...uint8) {
		t.Helper()
		for _, c := range want {
			if !m.Options.Has(dhcpv4.GenericOptionCode(c)) {
				t.Errorf("option %d is missing in %s", c, m.Summary())
			}
		}
		for _, c := range not {
			if m.Options.Has(dhcpv4.GenericOptionCode(c)) {
				t.Errorf("option %d is in %s", c, m.Summary())
			}
		}
	}
	all := []uint8{1, 3, 6, 15, 42, 66, 67, 224}
	maxSize := func(n uint16) dhcpv4.Option { return dhcpv4.OptMaxMessageSize(n) }
	phone := dhcpv4.OptClassIdentifier("phone 7")
	for name, c := range map[string]struct {
		options []dhcpv4.Option
		want    []uint8
		not     []uint8
	}{
		"D4-74 no request list":             {[]dhcpv4.Option{maxSize(1500)}, append([]uint8{119, 121, 252}, all...), nil},
		"D4-74 an empty request list":       {[]dhcpv4.Option{maxSize(1500), dhcpv4.OptGeneric(dhcpv4.OptionParameterRequestList, nil)}, append([]uint8{119, 121}, all...), nil},
		"D4-75, D4-76 routers alone":        {[]dhcpv4.Option{list(3)}, []uint8{1, 3, 42}, []uint8{6, 15, 66}},
		"D4-75 classless routes alone":      {[]dhcpv4.Option{list(121)}, []uint8{1, 121, 42}, []uint8{3}},
		"D4-77 no option 57":                {[]dhcpv4.Option{list(121, 119, 1, 3, 15, 6, 66, 67)}, []uint8{1, 6, 15, 51, 54, 66, 67}, []uint8{3}},
		"D4-77 in the small room of 576":    {[]dhcpv4.Option{list(121, 119, 1, 3, 15, 6, 66, 67), maxSize(576)}, []uint8{1, 6, 15, 51, 54, 66, 67}, nil},
		"D4-37 what 1500 octets hold":       {[]dhcpv4.Option{list(121, 119, 1, 3, 15, 6, 66, 67), maxSize(1500)}, []uint8{1, 6, 15, 66, 67, 119, 121}, nil},
		"D4-74 what its class has, no list": {[]dhcpv4.Option{maxSize(1500), phone}, append([]uint8{119, 121}, all...), nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := d.at(t)
			who := d.host(linkLocal(0x100), 1, client.Options{})
			for _, m := range []*dhcpv4.DHCPv4{said(who, discover, "", c.options...), said(who, inform, "192.0.2.101", c.options...)} {
				if _, reply := d.say(who, m); reply == nil {
					t.Errorf("no answer to %s", m.Summary())
				} else if m.MessageType() == inform {
					has(t, reply, without(c.want, 51), append(c.not, 51)...)
				} else {
					has(t, reply, append(c.want, 51, 54), c.not...)
				}
			}
		})
	}
	t.Run("D4-77 options that are left out are counted and logged", func(t *testing.T) {
		d := d.at(t)
		d.series(d.four, "dhcp4d_replies_incomplete_total", func(v float64) bool { return v > 0 })
		if len(warned(d.four, "options left out of a reply")) == 0 {
			t.Error("the log says nothing")
		}
	})
	t.Run("D4-74 reservation, class and pool", func(t *testing.T) {
		d := d.at(t)
		nine := d.host(linkLocal(0x100), 9, client.Options{})
		_, offer := d.say(nine, said(nine, discover, "", maxSize(1500), phone))
		ack := d.expect("ACK", nine, said(nine, inform, "192.0.2.9", maxSize(1500), phone))
		for _, m := range []*dhcpv4.DHCPv4{offer, ack} {
			has(t, m, append([]uint8{12}, all...), 252)
			if got := string(m.Options.Get(dhcpv4.OptionTFTPServerName)); got != "tftp.example" {
				t.Errorf("option 66 is %q", got)
			}
		}
	})
	t.Run("D4-78 INFORM from an address in a pool, and from another", func(t *testing.T) {
		d := d.at(t)
		c := d.host(linkLocal(0x100), 1, client.Options{})
		has(t, d.expect("ACK", c, said(c, inform, "192.0.2.101", list(252))), []uint8{252})
		has(t, d.expect("ACK", c, said(c, inform, "192.0.2.151", list(252))), nil, 252)
	})
	t.Run("D4-77 behind nine levels", func(t *testing.T) {
		d := d.at(t)
		levels := relay.Chain(9, linkA, near)
		c := d.relayed(relayA, 1, levels...)
		_, offer := d.say(c, said(c, discover, "", list(121, 119, 1, 3, 15, 6, 66, 67), maxSize(1500)))
		has(t, offer, []uint8{1, 6, 15, 66, 67})
	})
}

func without(list []uint8, code uint8) (rest []uint8) {
	for _, c := range list {
		if c != code && c != 54 {
			rest = append(rest, c)
		}
	}
	return rest
}

// TestListOfLeases checks how the list shows offers, ports, and a quarantine that was ended.
func TestListOfLeases(t *testing.T) {
	t.Parallel()
	d := converse(t, `[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.100-192.0.2.199], match: [{interface: access}, {link-address: "2001:db8:11::/64"}]}]`)
	d.StopRelays()
	c := d.client(topology.Multicast, 1, client.Options{})
	_, offer := d.say(c, said(c, discover, ""))
	d.bind(d.relayed(relayA, 2, port(linkA, near, "slot 1 port 7")), "")
	d.bind(d.relayed(relayA, 3, port(linkA, near, "port\x00\x07")), "")
	list, _ := d.dhcp4d("leases", "list")
	show, _ := d.dhcp4d("leases", "show", given(offer))
	for _, c := range []struct{ name, in, has, not string }{
		{"OP-3 a port with blanks is text", list, `interface-id "slot 1 port 7" at 2001:db8:11::1`, ""},
		{"OP-3 a port that is no text is octets", list, "interface-id 0x706f72740007 at 2001:db8:11::1", ""},
		{"OP-3 an offer is offered", list, "offered", "1970"},
		{"OP-3 an offer has no start", show, "not yet", "1970"},
		{"OP-3 a host on a link of dhcp6d", list, "direct access", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(c.in, c.has) || (c.not != "" && strings.Contains(c.in, c.not)) {
				t.Errorf("want %q and not %q in\n%s", c.has, c.not, c.in)
			}
		})
	}
}

// TestARelayOnTheSameHost needs a port of its own, as the server has 547 (RFC 8357).
func TestARelayOnTheSameHost(t *testing.T) {
	t.Parallel()
	d := converse(t, twoLinks, "DHCP6D_INTERFACES=lo,core", "DHCP6D_RELAYS=::1/128")
	zero := uint16(0)
	level := port(linkA, near, "port1")
	level.RelayPort = &zero
	t.Run("RL-24 from the loopback address", func(t *testing.T) {
		d := d.at(t)
		c := d.behind(d.Server, "lo", netip.MustParseAddrPort("[::1]:10547"), 1, client.Options{Relays: []relay.Level{level}, Servers: []netip.Addr{netip.IPv6Loopback()}})
		a := d.bind(c, "")
		d.expect("ACK "+a, c, said(c, request, a))
		if info, err := c.Information(t.Context()); err != nil || !info.Offered {
			t.Errorf("an Information-request: %+v, %v", info, err)
		}
	})
	t.Run("RL-24, Q-34 from an address that is not listed", func(t *testing.T) {
		d := d.at(t)
		c := d.behind(d.Server, "core", netip.AddrPortFrom(topology.ServerCore, 10547), 2, client.Options{Relays: []relay.Level{level}, Servers: []netip.Addr{topology.ServerCore}})
		d.expect("relay_forbidden", c, said(c, discover, ""))
	})
}
