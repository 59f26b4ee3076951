package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/load"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/pair"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/relay"
)

func TestMain(m *testing.M) { os.Exit(netlab.MainProgram(m, main)) }

var (
	server  = netip.MustParsePrefix("2001:db8:a::1/64")
	source  = netip.MustParsePrefix("2001:db8:a::100/64")
	clients = netip.MustParsePrefix("2001:db8:f::/48") // routed to the generator
	subnet  = pair.Subnet{ID: 1, Prefix: netip.MustParsePrefix("10.0.0.0/16"), First: netip.MustParseAddr("10.0.1.0"),
		Last: netip.MustParseAddr("10.0.255.250"), Interface: "access", Sources: []netip.Prefix{server.Masked(), clients},
		Links: []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/48")}}
)

// loaded is two hosts on a link, with both daemons on one.
func loaded(t *testing.T) (generator *netlab.Host, pids string) {
	t.Helper()
	lab := netlab.Test(t)
	for _, name := range []string{"dhcp6d", "dhcp4d"} {
		if _, err := pair.Find(name); err != nil {
			netlab.Skip(t, err.Error())
		}
	}
	generator, servers := hosts(t, lab)
	if err := servers.AddRoute(clients, source.Addr()); err != nil {
		t.Fatal(err)
	}
	six, four, err := pair.Start(servers, pair.Ours, pair.Ours, pair.Config{Dir: t.TempDir(), Interfaces: []string{"access"},
		Relays: []netip.Prefix{server.Masked(), clients}, LDRA: []string{"access"}, Subnets: []pair.Subnet{subnet}, Quiet: true})
	if err != nil {
		t.Fatal(err)
	}
	return generator, fmt.Sprintf("%d,%d", six.PID(), four.PID())
}

func hosts(t *testing.T, lab *netlab.Lab) (generator, servers *netlab.Host) {
	t.Helper()
	var err error
	if generator, err = lab.Host("generator"); err != nil {
		t.Fatal(err)
	}
	if servers, err = lab.Host("servers"); err != nil {
		t.Fatal(err)
	}
	if err := lab.Link(netlab.End{Host: generator, Name: "eth0", Addresses: []netip.Prefix{source}},
		netlab.End{Host: servers, Name: "access", Addresses: []netip.Prefix{server}}); err != nil {
		t.Fatal(err)
	}
	return generator, servers
}

func TestProgram(t *testing.T) {
	generator, pids := loaded(t)
	unicast := []string{"-server", server.Addr().String(), "-source", source.Addr().String()}
	for _, test := range []struct {
		name string
		args []string
	}{
		{"multicast", []string{"-n", "1000"}},
		{"unicast", append([]string{"-n", "1000"}, unicast...)},
		{"open loop for a time, renewals", append([]string{"-rate", "500", "-t", "1s", "-clients", "100", "-renew", "0.8"}, unicast...)},
		{"a mix", append([]string{"-n", "2000", "-clients", "300", "-renew", "0.3", "-inform", "0.2", "-release", "0.3", "-decline", "0.05", "-require", "1,3,6", "-expect", "10.0.0.0/16"}, unicast...)},
		{"addresses on the interface, added for the run", append([]string{"-n", "600", "-sources", "50"}, unicast...)},
		{"link-local addresses and multicast", []string{"-n", "600", "-sources", "50"}},
		{"an address of its own per client", []string{"-n", "2000", "-prefix", "2001:db8:f:1::/64", "-server", server.Addr().String()}},
		{"nine relays, many interface-ids and link-addresses", append([]string{"-n", "600", "-relays", "9", "-ports", "7", "-links", "5", "-link", "2001:db8:1::1"}, unicast...)},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{"-i", "eth0", "-json", "-timeout", "5s", "-pid", pids, "-seed", fmt.Sprint(len(test.name))}, test.args...)
			p, err := generator.StartSelf(nil, args...)
			if err != nil {
				t.Fatal(err)
			}
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
		addrs, err := netlab.In(generator, func() ([]net.Addr, error) {
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

// TestStatus: what a script sees.
func TestStatus(t *testing.T) {
	generator, servers := hosts(t, netlab.Test(t))
	conn, err := netlab.In(servers, func() (*net.UDPConn, error) {
		return relay.Listen("access", netip.MustParseAddrPort("[::]:547"), relay.AllAgentsAndServers)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { // turns each query into a response, which is no answer
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
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"0 for help":                           {[]string{"-h"}, 0, "-in-flight"},
		"1 for a fault":                        {[]string{"-i", "eth0", "-n", "1", "-in-flight", "1", "-timeout", "300ms"}, 1, "FAULT malformed: 1"},
		"1 for no answer at all":               {[]string{"-i", "eth0", "-n", "1", "-in-flight", "1", "-timeout", "300ms", "-server", "2001:db8:a::99"}, 1, "lost 1"},
		"2 for a mistake: no interface":        {nil, 2, "-i is required"},
		"2 for a mistake: no end":              {[]string{"-i", "eth0"}, 2, "neither a number"},
		"2 for a mistake: ten relays":          {[]string{"-i", "eth0", "-n", "100", "-relays", "10"}, 2, "want 0 to 9"},
		"2 for a mistake: more than all":       {[]string{"-i", "eth0", "-n", "100", "-renew", "0.7", "-inform", "0.7"}, 2, "a share of 1.4"},
		"2 for a mistake: prefix by multicast": {[]string{"-i", "eth0", "-n", "100", "-prefix", "2001:db8::/64"}, 2, "link-local"},
		"2 for a mistake: an option":           {[]string{"-i", "eth0", "-n", "100", "-require", "x"}, 2, "no option number"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := generator.StartSelf(nil, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			if code, err := p.Wait(t.Context()); err != nil || code != test.code || !strings.Contains(p.Output(), test.want) {
				t.Errorf("status %d, %v:\n%s", code, err, p.Output())
			}
		})
	}
}

func TestLine(t *testing.T) {
	last := load.Report{Seconds: 1, Completed: 1000}
	got := line(last, load.Report{Seconds: 2, Completed: 1500, Lost: 3, Faults: map[string]uint64{"refused": 2, "malformed": 1}})
	if want := "    2 s       1500 exchanges      500/s  lost 3  faults 3  p99 0.00 ms  "; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
