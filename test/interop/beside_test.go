package interop

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// manual is the document whose configurations are tested as they are.
var manual = filepath.Join("..", "..", "docs", "operating.md")

// snippet returns the code of a fenced block in the manual.
func snippet(t *testing.T, fence string) string {
	t.Helper()
	return snippetOf(t, manual, fence)
}

// snippetOf returns the code of a fenced block in another page.
func snippetOf(t *testing.T, manual, fence string) string {
	t.Helper()
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	_, code, found := strings.Cut(string(text), "\n```"+fence+"\n")
	code, _, ended := strings.Cut(code, "\n```\n")
	if !found || !ended {
		t.Fatalf("%s has no code %q", manual, fence)
	}
	return code
}

// The addresses in the manual's configurations.
var (
	dhcp6dAddress = netip.MustParseAddr("2001:db8:a::1")
	dnsAddress    = netip.MustParseAddr("2001:db8:a::53")
)

// beside is a link with dhcp6d, a dhcp4d behind it, another DHCPv6 server and clients:
//
//	clients             ours, theirs
//	  access ─ bridge ─ eth1 ::1, ::2
type beside struct {
	*topology.Network
	t         *testing.T
	theirs    *netns.Host
	six, four *servers.Half
}

// newBeside starts dhcp6d with more variables, and dhcp4d.
func newBeside(t *testing.T, options ...string) *beside {
	lab := netnstest.Lab(t)
	for _, name := range []string{"dhcp6d", "dhcp4d"} {
		if _, err := servers.Find(name); err != nil {
			netnstest.Skip(t, err.Error())
		}
	}
	if err := servers.KeaMissing(); err != nil {
		netnstest.Skip(t, err.Error())
	}
	b := &beside{t: t, Network: &topology.Network{Lab: lab}}
	for name, h := range map[string]**netns.Host{"clients": &b.Clients, "ours": &b.Server, "theirs": &b.theirs} {
		var err error
		if *h, err = lab.Host(name); err != nil {
			t.Fatal(err)
		}
	}
	on := func(h *netns.Host, address string) netns.End {
		return netns.End{Host: h, Name: "eth1", Addresses: []netip.Prefix{netip.MustParsePrefix(address + "/64")}}
	}
	if err := lab.Segment(netns.End{Host: b.Clients, Name: "access"}, on(b.Server, dhcp6dAddress.String()), on(b.theirs, "2001:db8:a::2")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	config := topology.Config(t.TempDir())
	config.Interfaces, config.Relays, config.LDRA, config.Option88 = []string{"eth1"}, nil, nil, ""
	config.Env = options
	direct := topology.Direct
	direct.Interface = "eth1"
	config.Subnets = []servers.Subnet{direct}
	var err error
	if b.six, b.four, err = servers.Start(b.Server, servers.Ours, servers.Ours, config); err != nil {
		t.Fatal(err)
	}
	return b
}

// kea starts kea-dhcp6 with members of its Dhcp6 object.
func (b *beside) kea(members string) *servers.Half {
	b.t.Helper()
	if !strings.Contains(members, `"subnet6"`) {
		members += `, "subnet6": [{"id": 1, "subnet": "2001:db8:a::/64", "interface": "eth1",
			"pools": [{"pool": "2001:db8:a::1000 - 2001:db8:a::1fff"}]}]`
	}
	h, err := servers.StartKeaDHCPv6(b.theirs, b.t.TempDir(), `{"Dhcp6": {
		"interfaces-config": {"interfaces": ["eth1"]},
		"lease-database": {"type": "memfile", "persist": false},
		"server-id": {"type": "EN", "enterprise-id": 2495, "identifier": "4f36", "persist": false},
		"loggers": [{"name": "kea-dhcp6", "severity": "DEBUG", "debuglevel": 55, "output_options": [{"output": "stderr", "flush": true}]}],
		`+members+`}}`)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if b.t.Failed() {
			out := h.Output()
			b.t.Logf("Kea:\n%s\ndhcp6d:\n%s", out[max(0, len(out)-6000):], b.six.Output())
		}
	})
	return h
}

// dnsmasq starts dnsmasq with lines of configuration.
func (b *beside) dnsmasq(lines string) *netns.Process {
	b.t.Helper()
	path, err := exec.LookPath("dnsmasq")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/dnsmasq"); err != nil {
			netnstest.Skip(b.t, "dnsmasq is not installed (Debian: apt-get install dnsmasq-base)")
		}
	}
	dir := b.t.TempDir()
	file := filepath.Join(dir, "dnsmasq.conf")
	own := "port=0\nkeep-in-foreground\nlog-facility=-\nuser=root\npid-file=\ninterface=eth1\nbind-interfaces\nlog-dhcp\ndhcp-authoritative\n" +
		"dhcp-leasefile=" + filepath.Join(dir, "leases") + "\ndhcp-range=2001:db8:a::1000,2001:db8:a::1fff,64,1h\n"
	if err := os.WriteFile(file, []byte(own+lines+"\n"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	p, err := b.theirs.Start(nil, path, "-C", file)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if b.t.Failed() {
			b.t.Logf("dnsmasq:\n%s", p.Output())
		}
	})
	if err := p.WaitFor(b.t.Context(), func() error {
		if !strings.Contains(p.Output(), "DHCPv6, IP range") {
			return errors.New("it does not serve yet")
		}
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	return p
}

// asker returns a socket of client n, and a Solicit with its identifiers.
func (b *beside) asker(n int) (*client.Socket, *dhcpv6.Message) {
	b.t.Helper()
	_, socket, err := b.Client(topology.Multicast, n, client.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	duid := &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: topology.MAC(n)} // the same for each message
	solicit, err := dhcpv6.NewSolicit(topology.MAC(n), dhcpv6.WithClientID(duid), dhcpv6.WithRequestedOptions(dhcpv6.OptionDHCP4oDHCP6Server,
		dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionInformationRefreshTime))
	if err != nil {
		b.t.Fatal(err)
	}
	return socket, solicit
}

// ask sends a message and returns the answers of the next moments, by the server's DUID.
func (b *beside) ask(s *client.Socket, m *dhcpv6.Message) map[string]*dhcpv6.Message {
	b.t.Helper()
	if err := s.Send(m.ToBytes(), client.Multicast); err != nil {
		b.t.Fatal(err)
	}
	answers := make(map[string]*dhcpv6.Message)
	for deadline := time.Now().Add(700 * time.Millisecond); ; {
		raw, from, err := s.Receive(deadline)
		if err != nil {
			return answers
		}
		r, err := dhcpv6.MessageFromBytes(raw)
		if err != nil || r.TransactionID != m.TransactionID || r.Options.ServerID() == nil {
			b.t.Fatalf("%x from %s: %v", raw, from, err)
		}
		id := string(r.Options.ServerID().ToBytes())
		if answers[id] != nil {
			b.t.Errorf("two answers of %x to one %s", id, m.MessageType)
		}
		answers[id] = r
	}
}

// only returns the only answer, which must not be dhcp6d's.
func (b *beside) only(answers map[string]*dhcpv6.Message, want dhcpv6.MessageType) *dhcpv6.Message {
	b.t.Helper()
	var all []*dhcpv6.Message
	for id, r := range answers {
		if isOurs(id) {
			b.t.Errorf("dhcp6d answered %s", r)
		}
		all = append(all, r)
	}
	if len(all) != 1 || all[0].MessageType != want {
		b.t.Fatalf("answers %v, want one %s", all, want)
	}
	return all[0]
}

// isOurs reports whether a DUID is one of dhcp6d: a DUID-UUID, which the other servers do not use.
func isOurs(id string) bool { return strings.HasPrefix(id, "\x00\x04") }

// stateful sends the Solicit and the Request of a client. It returns the address and the 4o6
// servers, nil if there is no option 88.
func (b *beside) stateful(n int) (address netip.Addr, servers []netip.Addr) {
	b.t.Helper()
	before := b.counted(`dhcp6d_packets_dropped_total{reason="address_assignment",socket="link"}`)
	socket, solicit := b.asker(n)
	defer socket.Close()
	advertise := b.only(b.ask(socket, solicit), dhcpv6.MessageTypeAdvertise)
	request, err := dhcpv6.NewRequestFromAdvertise(advertise, dhcpv6.WithRequestedOptions(dhcpv6.OptionDHCP4oDHCP6Server, dhcpv6.OptionDNSRecursiveNameServer))
	if err != nil {
		b.t.Fatal(err)
	}
	reply := b.only(b.ask(socket, request), dhcpv6.MessageTypeReply)
	ia := reply.Options.OneIANA()
	if ia == nil || ia.Options.OneAddress() == nil {
		b.t.Fatalf("no address in %s", reply)
	}
	address, _ = netip.AddrFromSlice(ia.Options.OneAddress().IPv6Addr)
	if dns := reply.Options.DNS(); len(dns) > 0 && !dns[0].Equal(dnsAddress.AsSlice()) {
		b.t.Errorf("DNS servers %v", dns)
	}
	request.MessageType = dhcpv6.MessageTypeRenew
	request.UpdateOption(ia)
	renewed := b.only(b.ask(socket, request), dhcpv6.MessageTypeReply)
	if o, p := option88(b.t, reply), option88(b.t, renewed); !slices.Equal(o, p) {
		b.t.Errorf("option 88 is %v, and after Renew %v", o, p)
	}
	if after := b.counted(`dhcp6d_packets_dropped_total{reason="address_assignment",socket="link"}`); after != before+3 {
		b.t.Errorf("dhcp6d dropped %v of three messages as address assignment", after-before)
	}
	return address, option88(b.t, reply)
}

// option88 returns the 4o6 servers in a message.
func option88(t *testing.T, m *dhcpv6.Message) []netip.Addr {
	t.Helper()
	o := m.GetOneOption(dhcpv6.OptionDHCP4oDHCP6Server)
	if o == nil {
		return nil
	}
	addrs, err := client.ServerAddresses(o.ToBytes())
	if err != nil {
		t.Fatal(err)
	}
	return addrs
}

func (b *beside) counted(series string) float64 {
	b.t.Helper()
	all, err := b.six.Metrics()
	if err != nil {
		b.t.Fatal(err)
	}
	return servers.Sum(all, series)
}

// lease obtains and renews an IPv4 lease from these servers. The source is the client's address.
// Each query must get one answer.
func (b *beside) lease(n int, from netip.Addr, servers []netip.Addr) {
	b.t.Helper()
	local := from
	if slices.ContainsFunc(servers, netip.Addr.IsMulticast) { // RFC 7341 §9
		local = netns.LinkLocal(topology.MAC(n))
	} else if err := b.Clients.AddAddress("access", netip.PrefixFrom(from, 64)); err != nil {
		b.t.Fatal(err)
	}
	socket, err := netns.In(b.Clients, func() (*client.Socket, error) {
		return client.Listen("access", netip.AddrPortFrom(local, relay.ClientPort))
	})
	if err != nil {
		b.t.Fatal(err)
	}
	defer socket.Close()
	c, err := client.New(socket, client.Options{HardwareAddr: topology.MAC(n), Servers: servers[:1], Retransmit: quick})
	if err != nil {
		b.t.Fatal(err)
	}
	l, err := c.Obtain(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := c.Renew(b.t.Context(), l); err != nil {
		b.t.Error(err)
	}
	m := c.Message(dhcpv4.MessageTypeDiscover)
	if err := c.Send(c.Query(m.ToBytes(), false)); err != nil {
		b.t.Fatal(err)
	}
	answers := 0
	for deadline := time.Now().Add(700 * time.Millisecond); ; answers++ {
		if _, _, err := c.Receive(deadline); err != nil {
			break
		}
	}
	if answers != 1 {
		b.t.Errorf("%d answers to one DISCOVER", answers)
	}
}

// TestSnippets checks the manual's configurations of other DHCPv6 servers. They tell stateful
// clients about dhcp6d, which serves them.
func TestSnippets(t *testing.T) {
	for fence, want := range map[string][]netip.Addr{
		"json kea global": {dhcp6dAddress},
		"json kea subnet": {dhcp6dAddress, client.Multicast},
		"json kea empty":  {client.Multicast},
		"ini dnsmasq":     {dhcp6dAddress},
	} {
		t.Run(fence, func(t *testing.T) {
			b := newBeside(t)
			code := snippet(t, fence)
			if strings.HasPrefix(fence, "json kea") {
				b.kea(code)
			} else {
				b.dnsmasq(code)
			}
			address, servers := b.stateful(1)
			if !slices.Equal(servers, want) {
				t.Fatalf("option 88 is %v, want %v", servers, want)
			}
			if fence == "json kea subnet" {
				b.lease(1, address, servers[:1])
				servers = servers[1:]
			}
			b.lease(1, address, servers)
			b.stateful(2) // the other server still serves
		})
	}
}

// TestBesideKea runs dhcp6d and kea-dhcp6 on one link.
func TestBesideKea(t *testing.T) {
	t.Run("Kea serves stateful clients, dhcp6d answers queries, and Kea ignores those", func(t *testing.T) {
		b := newBeside(t, "DHCP6D_4O6_SERVERS=multicast", "DHCP6D_DNS_SERVERS="+dnsAddress.String())
		kea := b.kea(`"option-data": []`)
		address, servers := b.stateful(1)
		if servers != nil {
			t.Errorf("option 88 is %v, and Kea is not configured to send it", servers)
		}
		for range 3 {
			b.lease(1, address, []netip.Addr{client.Multicast})
		}
		select {
		case <-kea.Ended():
			t.Fatal("Kea has ended")
		default:
		}
		if again, _ := b.stateful(1); again != address {
			t.Errorf("Kea gave %s before the queries and %s after them", address, again)
		}
		if n := b.counted("dhcp6d_queries_forwarded_total"); n != 12 {
			t.Errorf("%v queries, want 12", n)
		}
		if n := b.counted("dhcp6d_packets_dropped_total"); n != 6 {
			t.Errorf("%v datagrams were dropped as address assignment, want 6", n)
		}
	})
	for _, test := range []struct {
		name          string
		options       []string
		kea           string
		wantOurs, has []dhcpv6.OptionCode // of 23 and 88
	}{
		{"each has its own", []string{"DHCP6D_4O6_SERVERS=2001:db8:a::1"}, `{"name": "dns-servers", "data": "2001:db8:a::53"}`,
			[]dhcpv6.OptionCode{88}, []dhcpv6.OptionCode{23}},
		{"both have the same", []string{"DHCP6D_4O6_SERVERS=2001:db8:a::1", "DHCP6D_DNS_SERVERS=2001:db8:a::53"},
			`{"name": "dns-servers", "data": "2001:db8:a::53"}, {"name": "dhcp4o6-server-addr", "data": "2001:db8:a::1"}`,
			[]dhcpv6.OptionCode{23, 88}, []dhcpv6.OptionCode{23, 88}},
		{"dhcp6d offers nothing that is asked for and is silent", []string{"DHCP6D_NTP_SERVERS=2001:db8:a::123", "DHCP6D_INFORMATION_REFRESH_TIME=1h"}, `{"name": "dns-servers", "data": "2001:db8:a::53"}`,
			nil, []dhcpv6.OptionCode{23}},
		{"Kea offers nothing and replies", []string{"DHCP6D_4O6_SERVERS=2001:db8:a::1", "DHCP6D_DNS_SERVERS=2001:db8:a::53"}, ``,
			[]dhcpv6.OptionCode{23, 88}, []dhcpv6.OptionCode{}},
	} {
		t.Run("D6-31 Information-request of a stateless client: "+test.name, func(t *testing.T) {
			b := newBeside(t, test.options...)
			b.kea(`"option-data": [` + test.kea + `]`)
			socket, m := b.asker(1)
			m.MessageType = dhcpv6.MessageTypeInformationRequest
			m.Options.Del(dhcpv6.OptionIANA)
			replies := b.ask(socket, m)
			got := map[bool][]dhcpv6.OptionCode{}
			for id, r := range replies {
				codes := []dhcpv6.OptionCode{}
				for _, code := range []dhcpv6.OptionCode{23, 88} {
					if r.GetOneOption(code) != nil {
						codes = append(codes, code)
					}
				}
				got[isOurs(id)] = codes
			}
			want := map[bool][]dhcpv6.OptionCode{false: test.has}
			if test.wantOurs != nil {
				want[true] = test.wantOurs
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("dhcp6d and Kea reply with %v, want %v", got, want)
			}
			silent := b.counted(`dhcp6d_packets_silent_total{reason="nothing_to_offer",socket="link"}`)
			if (silent == 1) != (test.wantOurs == nil) {
				t.Errorf("datagrams that are silent by rule: %v", silent)
			}
			// Only the server answers whose identifier is in the message.
			for id, r := range replies {
				m.UpdateOption(dhcpv6.OptServerID(r.Options.ServerID()))
				if only := b.ask(socket, m); !slices.Equal(slices.Collect(maps.Keys(only)), []string{id}) {
					t.Errorf("D6-9 a message for the server %x is answered by %v", id, only)
				}
			}
			if n := b.counted(`dhcp6d_packets_dropped_total{reason="foreign_server",socket="link"}`); n != 1 {
				t.Errorf("D6-9 dhcp6d dropped %v messages for another server", n)
			}
		})
	}
}

// TestKeaWithoutPortIgnoresQueries checks that a kea-dhcp6 without a dhcp4o6-port does not answer a
// DHCPV4-QUERY.
func TestKeaWithoutPortIgnoresQueries(t *testing.T) {
	b := newBeside(t)
	kea := b.kea(`"option-data": []`)
	b.six.Kill() // so nobody else answers
	c, socket, err := b.Client(topology.Multicast, 1, client.Options{Retransmit: client.Retransmit{First: 300 * time.Millisecond, Max: 300 * time.Millisecond, Tries: 3}})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if l, err := c.Discover(t.Context()); !errors.Is(err, client.ErrNoAnswer) {
		t.Errorf("a query without dhcp6d got %+v, %v", l, err)
	}
	out := kea.Output()
	if heard, said := strings.Count(out, "DHCPV4_QUERY (type 20) received"), strings.Count(out, "DHCP6_PACKET_SEND"); heard != 3 || said != 0 {
		t.Errorf("Kea received %d queries and sent %d messages", heard, said)
	}
}
