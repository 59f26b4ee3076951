package programs

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/faultlink"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

func TestV4Relay(t *testing.T) {
	t.Parallel()
	s := network(t)
	mac, err := s.Clients.HardwareAddr("access")
	if err != nil {
		t.Fatal(err)
	}
	legacy, err := s.Lab.Host("legacy")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Lab.Link(netns.End{Host: legacy, Name: "eth0"}, netns.End{Host: s.Clients, Name: "v4"}); err != nil {
		t.Fatal(err)
	}
	option88 := filepath.Join(t.TempDir(), "option88")
	offer(t, option88, "multicast")
	config := topology.Config(t.TempDir())
	config.Env = []string{"DHCP6D_4O6_SERVERS=", "DHCP6D_4O6_SERVERS_FILE=" + option88, "DHCP6D_DNS_SERVERS=2001:db8:a::53"}
	six, _, err := servers.Start(s.Server, servers.Ours, servers.Ours, config)
	if err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"RA-1 servers of option 88": nil,
		"servers given":             {"-server", "ff02::1:2", "-v"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, s.Clients, "dhcp4o6-relay", append([]string{"-down", "v4", "-up", "access"}, args...)...)
			says(t, p, "msg=relaying down=v4 up=access servers=[ff02::1:2]")
			if a, err := obtain(t, legacy, 5); err != nil || !topology.Direct.Prefix.Contains(a) {
				t.Errorf("got %s, %v; the agent said:\n%s", a, err, p.Output())
			}
			if err := p.Stop(5 * time.Second); err != nil {
				t.Error(err)
			}
			if !strings.Contains(p.Output(), "msg=ended queries=2 replies=2 discarded=0") {
				t.Errorf("it said:\n%s", p.Output())
			}
		})
	}
	t.Run("RA-1, Q-13 4o6 begins with option 88, ends without it, and begins again", func(t *testing.T) {
		set := func(value string) {
			offer(t, option88, value)
			six.Signal(syscall.SIGHUP)
		}
		set("none")
		time.Sleep(500 * time.Millisecond) // until the change is in effect
		p := start(t, s.Clients, "dhcp4o6-relay", "-down", "v4", "-up", "access", "-refresh", "100ms", "-source", netns.LinkLocal(mac).String())
		const relays, relaysNot = "msg=relaying down=v4 up=access servers=[", `msg="not relaying`
		says(t, p, relaysNot)
		if a, err := obtain(t, legacy, 1); err == nil {
			t.Errorf("without option 88: %s", a)
		}
		set("multicast")
		says(t, p, relays+"ff02::1:2]")
		if a, err := obtain(t, legacy, 5); err != nil {
			t.Errorf("the client got %s, %v", a, err)
		}
		set("none")
		says(t, p, relays, relaysNot)
		if a, err := obtain(t, legacy, 1); err == nil {
			t.Errorf("after option 88 has gone: %s", a)
		}
		set(topology.Server.String())
		says(t, p, relays+topology.Server.String()+"]")
		if err := p.Stop(5 * time.Second); err != nil || strings.Contains(p.Output(), "discarded=0") {
			t.Errorf("%v; it said:\n%s", err, p.Output())
		}
	})
	t.Run("Q-14 a configured source is used for unicast only", func(t *testing.T) {
		ours := topology.Address(topology.AccessPrefix, 1)
		if err := s.Clients.AddAddress("access", netip.PrefixFrom(ours, 64)); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		sources := make(map[netip.Addr]netip.Addr) // by destination
		s.Access.SetRule(func(d faultlink.Datagram) faultlink.Action {
			if _, ok := relay.Payload(d.Payload); ok && d.From == faultlink.Left {
				mu.Lock()
				defer mu.Unlock()
				sources[d.Destination.Addr()] = d.Source.Addr()
			}
			return faultlink.Pass
		})
		p := start(t, s.Clients, "dhcp4o6-relay", "-down", "v4", "-up", "access", "-source", ours.String(), "-server", "ff02::1:2,"+topology.Server.String())
		says(t, p, "msg=relaying")
		if a, err := obtain(t, legacy, 5); err != nil {
			t.Errorf("the client got %s, %v", a, err)
		}
		p.Kill()
		mu.Lock()
		defer mu.Unlock()
		if want := map[netip.Addr]netip.Addr{client.Multicast: netns.LinkLocal(mac), topology.Server: ours}; !maps.Equal(sources, want) {
			t.Errorf("sources by destination %v, want %v", sources, want)
		}
	})
	ends(t, s.Clients, "dhcp4o6-relay", []call{
		{"help", []string{"-h"}, 0, "-server"},
		{"no interface", nil, 1, "-down and -up are required"},
		{"no such interface", []string{"-down", "v4", "-up", "x"}, 1, "finding interface x"},
		{"a source not ours", []string{"-down", "v4", "-up", "access", "-source", "2001:db8::9"}, 1, "listening on [2001:db8::9]"},
		{"a server that is none", []string{"-down", "v4", "-up", "access", "-server", "x"}, 1, "-server"},
	})
}

// offer writes another content of option 88 into the file.
func offer(t *testing.T, path, value string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// obtain returns the address that an unmodified DHCPv4 client gets.
func obtain(t *testing.T, h *netns.Host, retries int) (netip.Addr, error) {
	t.Helper()
	c, err := netns.In(h, func() (*nclient4.Client, error) {
		return nclient4.New("eth0", nclient4.WithTimeout(time.Second), nclient4.WithRetry(retries))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	lease, err := c.Request(t.Context())
	if err != nil {
		return netip.Addr{}, err
	}
	a, _ := netip.AddrFromSlice(lease.ACK.YourIPAddr.To4())
	return a, nil
}
