package programs

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// served is a network with both daemons.
type served struct {
	*topology.Network
	config    servers.Config
	six, four *servers.Half
}

func serve(t *testing.T, leaseTime time.Duration) *served {
	t.Helper()
	s := &served{Network: network(t), config: topology.Config(t.TempDir())}
	s.config.LeaseTime = leaseTime
	s.config.Env = []string{"DHCP6D_DNS_SERVERS=2001:db8::53"} // so that there is an answer without option 88
	s.start(t)
	return s
}

func (s *served) start(t *testing.T) {
	t.Helper()
	var err error
	if s.six, s.four, err = servers.Start(s.Server, servers.Ours, servers.Ours, s.config); err != nil {
		t.Fatal(err)
	}
}

// restart6 restarts dhcp6d with another option 88.
func (s *served) restart6(t *testing.T, option88 string) {
	t.Helper()
	s.six.Kill()
	s.config.Option88 = option88
	var err error
	if s.six, err = servers.StartV6(s.Server, servers.Ours, s.config, false); err != nil {
		t.Fatal(err)
	}
}

// client starts the program on the clients' host. It prints JSON.
func (s *served) client(t *testing.T, args ...string) *netns.Process {
	t.Helper()
	return start(t, s.Clients, "dhcp4o6-client", append([]string{"-i", "access", "-json"}, args...)...)
}

// report is what the tests read from a line of JSON.
type report struct {
	Event   client.Event
	Address netip.Addr
	Mask    int
	DNS     []netip.Addr
}

// ended waits for the end of a client, after a signal unless it is 0, and returns its output.
func ended(t *testing.T, p *netns.Process, signal syscall.Signal) (all []report) {
	t.Helper()
	if signal != 0 {
		p.Signal(signal)
	}
	if status, err := p.Wait(t.Context()); err != nil || status != 0 {
		t.Fatalf("status %d, %v:\n%s", status, err, p.Output())
	}
	for text := range strings.Lines(p.Output()) {
		var r report
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		all = append(all, r)
	}
	return all
}

// events lists the events, except those that say that there is still no option 88.
func events(all []report) string {
	var got []string
	for _, r := range all {
		if r.Event != client.Missing {
			got = append(got, string(r.Event))
		}
	}
	return strings.Join(got, " ")
}

// event returns an event as it looks in the output.
func event(e client.Event) string { return `"event":"` + string(e) + `"` }

func TestClient(t *testing.T) {
	t.Parallel()
	t.Run("keeps its address over a restart", func(t *testing.T) {
		t.Parallel()
		s := serve(t, time.Hour)
		state := filepath.Join(t.TempDir(), "lease")
		first := ended(t, s.client(t, "-once", "-state", state), 0)
		second := ended(t, s.client(t, "-once", "-state", state), 0)
		if events(first) != "obtained" || events(second) != "confirmed" || first[0].Address != second[0].Address ||
			!topology.Direct.Prefix.Contains(first[0].Address) || first[0].Mask != 24 || len(first[0].DNS) != 1 {
			t.Errorf("first %+v, then %+v", first, second)
		}
	})
	t.Run("renews at T1 and releases when it ends", func(t *testing.T) {
		t.Parallel()
		p := serve(t, 4*time.Second).client(t)
		says(t, p, event(client.Renewed))
		if got := events(ended(t, p, unix.SIGTERM)); got != "learned obtained renewed released" {
			t.Errorf("reported %s", got)
		}
	})
	t.Run("Q-13 stops and removes the address when option 88 vanishes, and starts again when it is back", func(t *testing.T) {
		t.Parallel()
		s := serve(t, time.Hour)
		p := s.client(t, "-refresh", "1s", "-configure", "access")
		says(t, p, event(client.Obtained))
		s.restart6(t, "")
		says(t, p, event(client.Stopped))
		if address, _ := s.configured(t); address != "" {
			t.Errorf("address %s without option 88", address)
		}
		s.restart6(t, "multicast")
		says(t, p, event(client.Stopped), event(client.Confirmed))
		if got := events(ended(t, p, unix.SIGINT)); got != "learned obtained stopped learned confirmed released" {
			t.Errorf("reported %s", p.Output())
		}
	})
	t.Run("keeps its lease over a restart of both daemons by rebinding", func(t *testing.T) {
		t.Parallel()
		s := serve(t, 8*time.Second)
		p := s.client(t)
		says(t, p, event(client.Obtained))
		s.six.Kill()
		s.four.Kill()
		time.Sleep(4500 * time.Millisecond) // longer than T1
		s.start(t)
		says(t, p, event(client.Rebound))
		all := ended(t, p, unix.SIGTERM)
		if got := events(all); got != "learned obtained rebound released" || all[1].Address != all[2].Address {
			t.Errorf("reported %s", p.Output())
		}
	})
	t.Run("declines, waits for ten seconds (RFC 2131), then takes another address", func(t *testing.T) {
		t.Parallel()
		p := serve(t, time.Hour).client(t, "-decline", "1", "-release=false")
		says(t, p, event(client.Declined), event(client.Obtained))
		all := ended(t, p, unix.SIGTERM)
		if got := events(all); got != "learned declined obtained kept" || all[1].Address == all[2].Address {
			t.Errorf("reported %s", p.Output())
		}
	})
	t.Run("plays its own relays", func(t *testing.T) {
		t.Parallel()
		p := start(t, serve(t, time.Hour).Relay1, "dhcp4o6-client", "-i", "up", "-once", "-relays", "3",
			"-source", topology.Relay1Core.String(), "-link", topology.Relay1Lan.String(),
			"-mac", "02:00:00:00:00:09", "-server", topology.ServerCore.String())
		if status, err := p.Wait(t.Context()); err != nil || status != 0 || !strings.HasPrefix(p.Output(), "obtained 198.51.100.") {
			t.Errorf("status %d, %v:\n%s", status, err, p.Output())
		}
	})
	t.Run("configures an interface while it has a lease", func(t *testing.T) {
		t.Parallel()
		s := serve(t, time.Hour)
		p := start(t, s.Clients, "dhcp4o6-client", "-i", "access", "-configure", "access")
		says(t, p, "obtained 192.0.2.")
		var address string
		var routes []string
		for range 100 { // it prints the event before it configures the interface
			if address, routes = s.configured(t); len(routes) > 0 {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if !strings.HasPrefix(address, "192.0.2.") || !strings.HasSuffix(address, "/24") || !slices.Equal(routes, []string{"0.0.0.0/0 192.0.2.1"}) {
			t.Errorf("address %s, routes %v", address, routes)
		}
		if err := p.Stop(10 * time.Second); err != nil {
			t.Error(err)
		}
		if address, routes := s.configured(t); address != "" || len(routes) > 0 {
			t.Errorf("after its end the interface has the address %s, routes %v", address, routes)
		}
		if !strings.Contains(p.Output(), "released 192.0.2.") {
			t.Errorf("reported %s", p.Output())
		}
	})
}

// configured returns the IPv4 address of the clients' interface, and its routes through a router,
// as "destination router".
func (s *served) configured(t *testing.T) (address string, routes []string) {
	t.Helper()
	err := s.Clients.Do(func() error {
		link, err := netlink.LinkByName("access")
		if err != nil {
			return err
		}
		addrs, err1 := netlink.AddrList(link, unix.AF_INET)
		list, err2 := netlink.RouteList(link, unix.AF_INET)
		for _, a := range addrs {
			if address = a.IPNet.String(); a.ValidLft < 3500 || a.ValidLft > 3600 {
				t.Errorf("the address is valid for %d s", a.ValidLft)
			}
		}
		for _, r := range list {
			if r.Gw != nil {
				routes = append(routes, r.Dst.String()+" "+r.Gw.String())
			}
		}
		return errors.Join(err1, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	return address, routes
}

func TestClientMistakes(t *testing.T) {
	t.Parallel()
	noLease := filepath.Join(t.TempDir(), "no-lease")
	if err := os.WriteFile(noLease, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	ends(t, network(t).Clients, "dhcp4o6-client", []call{
		{"help", []string{"-h"}, 0, "-server"},
		{"no interface", nil, 1, "-i is required"},
		{"no such interface", []string{"-i", "nothere"}, 1, "finding interface"},
		{"a server that is none", []string{"-i", "lo", "-server", "x"}, 1, "-server"},
		{"a hardware address that is none", []string{"-i", "lo", "-mac", "x"}, 1, "-mac"},
		{"ten relays", []string{"-i", "lo", "-relays", "10"}, 1, "-relays 10"},
		{"relays without a source", []string{"-i", "lo", "-relays", "1"}, 1, "-relays needs"},
		{"a state file without a lease", []string{"-i", "lo", "-mac", "02:00:00:00:00:01", "-state", noLease}, 1, "delete it to start"},
		{"an unknown flag", []string{"-nonsense"}, 1, "flag provided but no"},
	})
}
