package programs

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/clients/load"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

var (
	server  = netip.MustParsePrefix("2001:db8:a::1/64")
	source  = netip.MustParsePrefix("2001:db8:a::100/64")
	clients = netip.MustParsePrefix("2001:db8:f::/48") // routed to the generator
	subnet  = servers.Subnet{ID: 1, Prefix: netip.MustParsePrefix("10.0.0.0/16"), First: netip.MustParseAddr("10.0.1.0"),
		Last: netip.MustParseAddr("10.0.255.250"), Interface: "access", Sources: []netip.Prefix{server.Masked(), clients},
		Links: []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/48")}}
)

// loaded is two hosts on a link. Both daemons run on one of them.
func loaded(t *testing.T) (generator *netns.Host, pids string) {
	t.Helper()
	daemons(t)
	generator, serverHost := hosts(t, netnstest.Lab(t))
	if err := serverHost.AddRoute(clients, source.Addr()); err != nil {
		t.Fatal(err)
	}
	six, four, err := servers.Start(serverHost, servers.Ours, servers.Ours, servers.Config{Dir: t.TempDir(), Interfaces: []string{"access"},
		Relays: []netip.Prefix{server.Masked(), clients}, LDRA: []string{"access"}, Subnets: []servers.Subnet{subnet}, Quiet: true})
	if err != nil {
		t.Fatal(err)
	}
	return generator, fmt.Sprintf("%d,%d", six.PID(), four.PID())
}

func hosts(t *testing.T, lab *netns.Lab) (generator, serverHost *netns.Host) {
	t.Helper()
	var err error
	if generator, err = lab.Host("generator"); err != nil {
		t.Fatal(err)
	}
	if serverHost, err = lab.Host("servers"); err != nil {
		t.Fatal(err)
	}
	if err := lab.Link(netns.End{Host: generator, Name: "eth0", Addresses: []netip.Prefix{source}},
		netns.End{Host: serverHost, Name: "access", Addresses: []netip.Prefix{server}}); err != nil {
		t.Fatal(err)
	}
	return generator, serverHost
}

func TestPerf(t *testing.T) {
	t.Parallel()
	generator, pids := loaded(t)
	unicast := []string{"-server", server.Addr().String(), "-source", source.Addr().String()}
	for _, test := range []struct {
		name string
		args []string
	}{
		{"multicast", []string{"-n", "1000"}},
		{"unicast", append([]string{"-n", "1000"}, unicast...)},
		{"trains", append([]string{"-n", "1000", "-trains"}, unicast...)},
		{"open loop, trains", append([]string{"-rate", "500", "-t", "1s", "-trains"}, unicast...)},
		{"open loop for a time, renewals", append([]string{"-rate", "500", "-t", "1s", "-clients", "100", "-renew", "0.8"}, unicast...)},
		{"a mix", append([]string{"-n", "2000", "-clients", "300", "-renew", "0.3", "-inform", "0.2", "-release", "0.3", "-decline", "0.05", "-require", "1,3,6", "-expect", "10.0.0.0/16"}, unicast...)},
		{"addresses on the interface, added for the run", append([]string{"-n", "600", "-sources", "50"}, unicast...)},
		{"link-local addresses and multicast", []string{"-n", "600", "-sources", "50"}},
		{"an address of its own per client", []string{"-n", "2000", "-prefix", "2001:db8:f:1::/64", "-server", server.Addr().String()}},
		{"nine relays, many interface-ids and link-addresses", append([]string{"-n", "600", "-relays", "9", "-ports", "7", "-links", "5", "-link", "2001:db8:1::1"}, unicast...)},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{"-i", "eth0", "-json", "-timeout", "5s", "-pid", pids, "-seed", fmt.Sprint(len(test.name))}, test.args...)
			p := start(t, generator, "dhcp4o6-perf", args...)
			code, err := p.Wait(t.Context())
			var r load.Report
			if err == nil {
				err = json.Unmarshal([]byte(p.Output()), &r)
			}
			if err != nil || code != 0 || r.Completed == 0 || r.Completed+r.Lost != r.Started || r.Lost > r.Started/100 || len(r.CPU) != 2 {
				t.Errorf("status %d, %v:\n%s", code, err, p.Output())
			}
		})
	}
	t.Run("gives back what it added", func(t *testing.T) {
		addrs, err := netns.In(generator, func() ([]net.Addr, error) {
			link, err := net.InterfaceByName("eth0")
			if err != nil {
				return nil, err
			}
			return link.Addrs()
		})
		if err != nil || len(addrs) != 2 {
			t.Errorf("%v, %v, want the two of before", addrs, err)
		}
	})
}

// TestPerfStatus tests the exit status, which scripts use.
func TestPerfStatus(t *testing.T) {
	t.Parallel()
	generator, serverHost := hosts(t, netnstest.Lab(t))
	conn, err := netns.In(serverHost, func() (*net.UDPConn, error) {
		return relay.Listen("access", netip.MustParseAddrPort("[::]:547"), relay.AllAgentsAndServers)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { // answers each query with a response that carries no valid reply
		b := make([]byte, 2000)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			b[0] = 21
			if _, err := conn.WriteToUDPAddrPort(b[:n], from); err != nil {
				return
			}
		}
	}()
	ends(t, generator, "dhcp4o6-perf", []call{
		{"0 for help", []string{"-h"}, 0, "-in-flight"},
		{"1 for a fault", []string{"-i", "eth0", "-n", "1", "-in-flight", "1", "-timeout", "300ms"}, 1, "FAULT malformed: 1"},
		{"1 for no answer at all", []string{"-i", "eth0", "-n", "1", "-in-flight", "1", "-timeout", "300ms", "-server", "2001:db8:a::99"}, 1, "lost 1"},
		{"2 for a mistake: no interface", nil, 2, "-i is required"},
		{"2 for a mistake: no end", []string{"-i", "eth0"}, 2, "neither a number"},
		{"2 for a mistake: ten relays", []string{"-i", "eth0", "-n", "100", "-relays", "10"}, 2, "want 0 to 9"},
		{"2 for a mistake: more than all", []string{"-i", "eth0", "-n", "100", "-renew", "0.7", "-inform", "0.7"}, 2, "a share of 1.4"},
		{"2 for a mistake: prefix by multicast", []string{"-i", "eth0", "-n", "100", "-prefix", "2001:db8::/64"}, 2, "link-local"},
		{"2 for a mistake: an option", []string{"-i", "eth0", "-n", "100", "-require", "x"}, 2, "no option number"},
	})
}
