package interop

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// passing is the network of package topology with a DHCPv6 server behind dhcp6d, to which dhcp6d
// passes messages on:
//
//	clients ─ relays ─ server ═ behind 2001:db8:5::/64 ═ theirs
//	                     ::1                             ::2
type passing struct {
	*topology.Network
	t         *testing.T
	theirs    *netns.Host
	six, four *servers.Half
	rapid     bool // the server takes Rapid Commit
}

// newPassing starts the daemons. dhcp6d passes messages on to a server, and offers option 88.
func newPassing(t *testing.T, server string, env ...string) *passing {
	s := network(t, servers.Ours, servers.Ours)
	b := &passing{t: t, Network: s}
	var err error
	if b.theirs, err = s.Lab.Host("theirs"); err != nil {
		t.Fatal(err)
	}
	on := func(h *netns.Host, name, address string) netns.End {
		return netns.End{Host: h, Name: name, Addresses: []netip.Prefix{netip.MustParsePrefix(address)}}
	}
	if err := s.Lab.Link(on(s.Server, "behind", "2001:db8:5::1/64"), on(b.theirs, "eth1", "2001:db8:5::2/64")); err != nil {
		t.Fatal(err)
	}
	config := topology.Config(t.TempDir())
	config.Env = append(env, "DHCP6D_DHCPV6_SERVERS="+server)
	if b.six, b.four, err = servers.Start(s.Server, servers.Ours, servers.Ours, config); err != nil {
		t.Fatal(err)
	}
	if err := s.StartRelays(0, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			out := b.six.Output()
			t.Logf("dhcp6d:\n%s", out[max(0, len(out)-4000):])
		}
	})
	return b
}

// links are the prefixes of the clients' links, by number.
var links = []netip.Prefix{topology.AccessPrefix, topology.Lan1Prefix, topology.Lan2Prefix}

// perLink are members of Kea's Dhcp6: a subnet and a pool of prefixes for each link.
func perLink(iface string) string {
	var subnets []string
	for i, p := range links {
		first := strings.TrimSuffix(p.Addr().String(), "::")
		subnets = append(subnets, fmt.Sprintf(`{"id": %d, "subnet": %q, "rapid-commit": true, "pools": [{"pool": "%s::1000 - %s::1fff"}],
			"pd-pools": [{"prefix": "2001:db8:%d00::", "prefix-len": 40, "delegated-len": 56}]}`, i+1, p, first, first, i+1))
	}
	return fmt.Sprintf(`"interfaces-config": {"interfaces": [%q]}, "subnet6": [%s]`, iface, strings.Join(subnets, ","))
}

// kea starts a kea-dhcp6 on a host, with members of its Dhcp6.
func (b *passing) kea(h *netns.Host, members string, args ...string) *servers.Half {
	b.t.Helper()
	k, err := servers.StartKeaDHCPv6(h, b.t.TempDir(), `{"Dhcp6": {
		"lease-database": {"type": "memfile", "persist": false},
		"server-id": {"type": "EN", "enterprise-id": 2495, "identifier": "4f36", "persist": false},
		"option-data": [{"name": "dns-servers", "data": "2001:db8:a::53"}],
		"loggers": [{"name": "kea-dhcp6", "severity": "INFO", "output_options": [{"output": "stderr", "flush": true}]}],
		`+members+`}}`, args...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if b.t.Failed() {
			b.t.Logf("Kea:\n%s", k.Output())
		}
	})
	return k
}

// wide starts WIDE's dhcp6s, which knows client 1.
func (b *passing) wide() {
	b.t.Helper()
	path := find(b.t, "dhcp6s", "wide-dhcpv6-server")
	dir := b.t.TempDir()
	file := filepath.Join(dir, "dhcp6s.conf")
	id := &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: topology.MAC(1)}
	var duid []string
	for _, octet := range id.ToBytes() {
		duid = append(duid, fmt.Sprintf("%02x", octet))
	}
	config := "option domain-name-servers 2001:db8:a::53;\ninterface eth1 { allow rapid-commit; };\n" +
		"host one { duid " + strings.Join(duid, ":") + "; address 2001:db8:a::1000 3600; prefix 2001:db8:100::/56 3600; };\n"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		b.t.Fatal(err)
	}
	// It has a directory of its own for its DUID.
	p, err := b.theirs.Start([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, "/usr/bin/unshare", "-m", "-p", "-f", "--kill-child", "/bin/sh", "-c",
		`mkdir -p /var/lib/dhcpv6 && mount -t tmpfs lib /var/lib/dhcpv6 && exec "$0" -f -D -c "$1" -P "$2" eth1`, path, file, filepath.Join(dir, "pid"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		p.Kill()
		if b.t.Failed() {
			b.t.Logf("dhcp6s:\n%s", p.Output())
		}
	})
	if err := p.WaitFor(b.t.Context(), func() error {
		sockets, err := netns.In(b.theirs, func() ([]byte, error) { return os.ReadFile("/proc/thread-self/net/udp6") })
		if err == nil && !strings.Contains(string(sockets), ":0223 ") { // 547
			err = errors.New("it has no socket yet")
		}
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
}

// ranges are lines for dnsmasq: a range of addresses for each link. dnsmasq delegates no prefixes.
func ranges() string {
	lines := "interface=eth1\n"
	for _, p := range links {
		first := strings.TrimSuffix(p.Addr().String(), "::")
		lines += fmt.Sprintf("dhcp-range=%s::1000,%s::1fff,64,1h\n", first, first)
	}
	return lines
}

// dnsmasq starts a dnsmasq with lines of its configuration.
func (b *passing) dnsmasq(lines string) {
	b.t.Helper()
	path, err := exec.LookPath("dnsmasq")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/dnsmasq"); err != nil {
			netnstest.Skip(b.t, "dnsmasq is not installed (Debian: apt-get install dnsmasq-base)")
		}
	}
	dir := b.t.TempDir()
	own := "port=0\nkeep-in-foreground\nlog-facility=-\nuser=root\npid-file=\nbind-interfaces\nlog-dhcp\ndhcp-authoritative\n" +
		"dhcp-option=option6:dns-server,[2001:db8:a::53]\ndhcp-leasefile=" + filepath.Join(dir, "leases") + "\n"
	file := filepath.Join(dir, "dnsmasq.conf")
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
		if strings.Count(p.Output(), "DHCPv6, IP range") < strings.Count(lines, "dhcp-range") {
			return errors.New("it does not serve yet")
		}
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
}

// stateful is a client that gets IPv6 addresses by DHCPv6, and an IPv4 lease by 4o6.
type stateful struct {
	b  *passing
	t  *testing.T
	c  *client.Client
	id *dhcpv6.DUIDLL
}

func (b *passing) stateful(t *testing.T, via topology.Via, n int) *stateful {
	t.Helper()
	c, _, err := b.Client(via, n, client.Options{Retransmit: quick})
	if err != nil {
		t.Fatal(err)
	}
	return &stateful{b, t, c, &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: topology.MAC(n)}}
}

// ask sends a message until an answer comes, and returns the answer.
func (s *stateful) ask(m *dhcpv6.Message) *dhcpv6.Message {
	s.t.Helper()
	for range 5 {
		if err := s.c.Send(m.ToBytes()); err != nil {
			s.t.Fatal(err)
		}
		for deadline := time.Now().Add(2 * time.Second); ; {
			raw, _, err := s.c.Receive(deadline)
			if err != nil {
				break
			}
			r, err := dhcpv6.MessageFromBytes(raw)
			if err != nil {
				s.t.Fatal(err)
			}
			if r.TransactionID == m.TransactionID {
				return r
			}
		}
	}
	s.t.Fatalf("no answer to %s", m)
	return nil
}

// message returns a message of a type about the client's address and prefix.
func (s *stateful) message(kind dhcpv6.MessageType, options ...dhcpv6.Option) *dhcpv6.Message {
	s.t.Helper()
	m, err := dhcpv6.NewMessage(dhcpv6.WithClientID(s.id), dhcpv6.WithRequestedOptions(dhcpv6.OptionDNSRecursiveNameServer))
	if err != nil {
		s.t.Fatal(err)
	}
	m.MessageType = kind
	m.AddOption(dhcpv6.OptElapsedTime(0))
	for _, o := range options {
		m.AddOption(o)
	}
	return m
}

// given returns the address and the prefix in a message, and checks that they belong to the link.
// With prefixes false the message must have no prefix.
func (s *stateful) given(m *dhcpv6.Message, link netip.Prefix, prefixes bool) (na, pd dhcpv6.Option) {
	s.t.Helper()
	ia := m.Options.OneIANA()
	if ia == nil || ia.Options.OneAddress() == nil {
		s.t.Fatalf("no address in %s", m.Summary())
	}
	a, _ := netip.AddrFromSlice(ia.Options.OneAddress().IPv6Addr)
	if !link.Contains(a) {
		s.t.Errorf("the address %v is not of the link %v", a, link)
	}
	if !prefixes {
		return ia, nil
	}
	p := m.Options.OneIAPD()
	if p == nil || len(p.Options.Prefixes()) == 0 {
		s.t.Fatalf("no prefix in %s", m.Summary())
	}
	return ia, p
}

// status returns the status code of a Reply.
func status(m *dhcpv6.Message) iana.StatusCode {
	if s := m.Options.Status(); s != nil {
		return s.StatusCode
	}
	return iana.StatusSuccess
}

// life takes an IPv6 lease from Solicit to Decline.
func (s *stateful) life(link netip.Prefix, prefixes bool) {
	s.t.Helper()
	na := &dhcpv6.OptIANA{IaId: [4]byte{0, 0, 0, 1}}
	wishes := []dhcpv6.Option{na}
	if prefixes {
		wishes = append(wishes, &dhcpv6.OptIAPD{IaId: [4]byte{0, 0, 0, 2}})
	}
	rapid := s.ask(s.message(dhcpv6.MessageTypeSolicit, append(wishes, &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit})...))
	if want := map[bool]dhcpv6.MessageType{true: dhcpv6.MessageTypeReply, false: dhcpv6.MessageTypeAdvertise}[s.b.rapid]; rapid.MessageType != want {
		s.t.Errorf("a Solicit with Rapid Commit is answered by %s", rapid.Summary())
	}
	advertise := s.ask(s.message(dhcpv6.MessageTypeSolicit, wishes...))
	if advertise.MessageType != dhcpv6.MessageTypeAdvertise {
		s.t.Fatalf("a Solicit is answered by %s", advertise.Summary())
	}
	server := dhcpv6.OptServerID(advertise.Options.ServerID())
	have := func(m *dhcpv6.Message) []dhcpv6.Option {
		s.t.Helper()
		na, pd := s.given(m, link, prefixes)
		if pd == nil {
			return []dhcpv6.Option{na}
		}
		return []dhcpv6.Option{na, pd}
	}
	reply := s.ask(s.message(dhcpv6.MessageTypeRequest, append(have(advertise), server)...))
	if dns := reply.Options.DNS(); len(dns) != 1 || !dns[0].Equal(net.ParseIP("2001:db8:a::53")) {
		s.t.Errorf("DNS servers %v", dns)
	}
	leased := have(reply)
	for kind, options := range map[dhcpv6.MessageType][]dhcpv6.Option{
		dhcpv6.MessageTypeRenew:  append(leased, server),
		dhcpv6.MessageTypeRebind: leased,
	} {
		if again := have(s.ask(s.message(kind, options...))); fmt.Sprint(again[0].(*dhcpv6.OptIANA).Options.OneAddress().IPv6Addr) != fmt.Sprint(leased[0].(*dhcpv6.OptIANA).Options.OneAddress().IPv6Addr) {
			s.t.Errorf("%s gives %v, before %v", kind, again, leased)
		}
	}
	for _, m := range []*dhcpv6.Message{
		s.message(dhcpv6.MessageTypeConfirm, leased[0]),
		s.message(dhcpv6.MessageTypeRelease, append(leased[1:], server)...),
		s.message(dhcpv6.MessageTypeDecline, leased[0], server),
	} {
		if m.MessageType == dhcpv6.MessageTypeRelease && !prefixes {
			continue
		}
		if r := s.ask(m); r.MessageType != dhcpv6.MessageTypeReply || status(r) != iana.StatusSuccess {
			s.t.Errorf("a %s is answered by %s", m.MessageType, r.Summary())
		}
	}
}

// ipv4 gets an IPv4 lease for the same client, and releases it.
func (s *stateful) ipv4() {
	s.t.Helper()
	l, err := s.c.Obtain(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.c.Renew(s.t.Context(), l); err != nil {
		s.t.Error(err)
	}
}

// information asks for options by Information-request, and reports whether dhcp6d answered.
func (s *stateful) information(codes ...dhcpv6.OptionCode) (ours bool) {
	s.t.Helper()
	m := s.message(dhcpv6.MessageTypeInformationRequest)
	m.UpdateOption(dhcpv6.OptRequestedOption(codes...))
	return isOurs(string(s.ask(m).Options.ServerID().ToBytes()))
}

// TestRL30_RL31PassedOn checks that a client gets its IPv6 address and prefix from a server behind
// dhcp6d, and its IPv4 lease from dhcp4d, directly and through relays.
func TestRL30_RL31PassedOn(t *testing.T) {
	for _, tt := range []struct {
		name, server string
		prefixes     bool
		rapid        bool
		links        int
		start        func(*passing)
	}{
		{"Kea on another host", "2001:db8:5::2", true, true, 3, func(b *passing) { b.kea(b.theirs, perLink("eth1/2001:db8:5::2")) }},
		{"Kea on the same host, on another port", "[2001:db8:5::1]:1547", true, true, 3, func(b *passing) { b.kea(b.Server, perLink("behind/2001:db8:5::1"), "-p", "1547") }},
		{"dnsmasq on another host", "[2001:db8:5::2]:547", false, true, 3, func(b *passing) { b.dnsmasq(ranges()) }},
		{"WIDE's dhcp6s on another host", "[2001:db8:5::2]:547", true, true, 1, func(b *passing) { b.wide() }},
		{"Kea as in the manual", "[2001:db8:5::2]:547", true, false, 1, func(b *passing) { b.kea(b.theirs, snippet(b.t, "json kea behind")) }},
		{"dnsmasq as in the manual", "[2001:db8:5::2]:547", false, true, 1, func(b *passing) { b.dnsmasq(snippet(b.t, "ini dnsmasq behind")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newPassing(t, tt.server)
			b.rapid = tt.rapid
			tt.start(b)
			for i, via := range []topology.Via{topology.Multicast, topology.OneRelay, topology.TwoRelays}[:tt.links] {
				t.Run(string(via), func(t *testing.T) {
					s := b.stateful(t, via, i+1)
					s.life(links[i], tt.prefixes)
					s.ipv4()
					if !s.information(dhcpv6.OptionDHCP4oDHCP6Server) || s.information(dhcpv6.OptionDNSRecursiveNameServer) {
						t.Error("an Information-request is answered by the wrong server")
					}
				})
			}
			all, err := b.six.Metrics()
			if err != nil {
				t.Fatal(err)
			}
			on, back := servers.Sum(all, "dhcp6d_messages_passed_total"), servers.Sum(all, "dhcp6d_messages_returned_total")
			if n := servers.Sum(all, "dhcp6d_packets_dropped_total"); n != 0 || on == 0 || on != back {
				t.Errorf("%v dropped, %v passed on, %v came back", n, on, back)
			}
		})
	}
}

// TestRL40KeaSuppliesOption88 checks that a Kea without option 88 gives it to clients of dhcp6d
// that ask for it, and to no others.
func TestRL40KeaSuppliesOption88(t *testing.T) {
	b := newPassing(t, "2001:db8:5::2", "DHCP6D_DHCPV6_SUPPLY=88")
	b.kea(b.theirs, `"relay-supplied-options": ["88"], `+perLink("eth1/2001:db8:5::2"))
	for i, via := range []topology.Via{topology.Multicast, topology.OneRelay} {
		t.Run(string(via), func(t *testing.T) {
			s := b.stateful(t, via, i+1)
			m := s.message(dhcpv6.MessageTypeSolicit, &dhcpv6.OptIANA{})
			if o := option88(t, s.ask(m)); o != nil {
				t.Errorf("option 88 for a client that does not ask for it: %v", o)
			}
			m.UpdateOption(dhcpv6.OptRequestedOption(dhcpv6.OptionDHCP4oDHCP6Server))
			if o := option88(t, s.ask(m)); len(o) != 1 || o[0] != client.Multicast {
				t.Errorf("option 88 is %v", o)
			}
		})
	}
}
