package main

import (
	"context"
	"errors"
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

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/client"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/manual"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/pair"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/relay"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/site"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/wire"
)

func TestMain(m *testing.M) { os.Exit(netlab.MainProgram(m, main)) }

func TestProgram(t *testing.T) {
	lab := netlab.Test(t)
	for _, name := range []string{"dhcp6d", "dhcp4d"} {
		if _, err := pair.Find(name); err != nil {
			netlab.Skip(t, err.Error())
		}
	}
	s, err := site.New(lab)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	mac, err := s.Clients.HardwareAddr("access")
	if err != nil {
		t.Fatal(err)
	}
	legacy, err := lab.Host("legacy")
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Link(netlab.End{Host: legacy, Name: "eth0"}, netlab.End{Host: s.Clients, Name: "v4"}); err != nil {
		t.Fatal(err)
	}
	option88 := filepath.Join(t.TempDir(), "option88")
	offer(t, option88, "multicast")
	config := site.Config(t.TempDir())
	config.Env = []string{"DHCP6D_4O6_SERVERS=", "DHCP6D_4O6_SERVERS_FILE=" + option88, "DHCP6D_DNS_SERVERS=2001:db8:a::53"}
	six, _, err := pair.Start(s.Server, pair.Ours, pair.Ours, config)
	if err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"RA-1 servers of option 88": nil,
		"servers given":             {"-server", "ff02::1:2", "-v"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := s.Clients.StartSelf(nil, append([]string{"-down", "v4", "-up", "access"}, args...)...)
			if err != nil {
				t.Fatal(err)
			}
			says(t, p, "msg=relaying down=v4 up=access servers=[ff02::1:2]")
			if a, err := obtain(t, legacy, 5); err != nil || !site.Direct.Prefix.Contains(a) {
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
	t.Run("RA-1, Q-13 option 88 comes, goes and comes again, and with it 4o6", func(t *testing.T) {
		set := func(value string) {
			offer(t, option88, value)
			six.Signal(syscall.SIGHUP)
		}
		set("none")
		time.Sleep(500 * time.Millisecond) // until that is in effect
		p, err := s.Clients.StartSelf(nil, "-down", "v4", "-up", "access", "-refresh", "100ms", "-source", netlab.LinkLocal(mac).String())
		if err != nil {
			t.Fatal(err)
		}
		const relays, relaysNot = "msg=relaying down=v4 up=access servers=[", `msg="not relaying`
		says(t, p, relaysNot)
		if a, err := obtain(t, legacy, 1); err == nil {
			t.Errorf("without option 88: %s", a)
		}
		set("multicast")
		says(t, p, relays+"ff02::1:2]")
		if a, err := obtain(t, legacy, 5); err != nil {
			t.Errorf("got %s, %v", a, err)
		}
		set("none")
		says(t, p, relays, relaysNot)
		if a, err := obtain(t, legacy, 1); err == nil {
			t.Errorf("after option 88 has gone: %s", a)
		}
		set(site.Server.String())
		says(t, p, relays+site.Server.String()+"]")
		if err := p.Stop(5 * time.Second); err != nil || strings.Contains(p.Output(), "discarded=0") {
			t.Errorf("%v; it said:\n%s", err, p.Output())
		}
	})
	t.Run("Q-14 a source that was given is that of unicast alone", func(t *testing.T) {
		ours := site.Address(site.AccessPrefix, 1)
		if err := s.Clients.AddAddress("access", netip.PrefixFrom(ours, 64)); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		sources := make(map[netip.Addr]netip.Addr) // by destination
		s.Access.SetRule(func(d wire.Datagram) wire.Action {
			if _, ok := relay.Payload(d.Payload); ok && d.From == wire.Left {
				mu.Lock()
				defer mu.Unlock()
				sources[d.Destination.Addr()] = d.Source.Addr()
			}
			return wire.Pass
		})
		p, err := s.Clients.StartSelf(nil, "-down", "v4", "-up", "access", "-source", ours.String(), "-server", "ff02::1:2,"+site.Server.String())
		if err != nil {
			t.Fatal(err)
		}
		says(t, p, "msg=relaying")
		if a, err := obtain(t, legacy, 5); err != nil {
			t.Errorf("got %s, %v", a, err)
		}
		p.Kill()
		mu.Lock()
		defer mu.Unlock()
		if want := map[netip.Addr]netip.Addr{client.Multicast: netlab.LinkLocal(mac), site.Server: ours}; !maps.Equal(sources, want) {
			t.Errorf("sources by destination %v, want %v", sources, want)
		}
	})
	for name, test := range map[string]struct {
		args []string
		want string
		code int
	}{
		"help":                  {[]string{"-h"}, "-server", 0},
		"no interface":          {nil, "-down and -up are required", 1},
		"no such interface":     {[]string{"-down", "v4", "-up", "x"}, "finding interface x", 1},
		"a source not ours":     {[]string{"-down", "v4", "-up", "access", "-source", "2001:db8::9"}, "listening on [2001:db8::9]", 1},
		"a server that is none": {[]string{"-down", "v4", "-up", "access", "-server", "x"}, "-server", 1},
	} {
		t.Run("ends at once: "+name, func(t *testing.T) {
			p, err := s.Clients.StartSelf(nil, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			if code, err := p.Wait(t.Context()); err != nil || code != test.code || !strings.Contains(p.Output(), test.want) {
				t.Errorf("status %d, %v:\n%s", code, err, p.Output())
			}
		})
	}
}

// offer makes a file that holds option 88 hold another.
func offer(t *testing.T, path, value string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// says waits until a process has said all of that, in this order.
func says(t *testing.T, p *netlab.Process, lines ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := p.WaitFor(ctx, func() error {
		rest, found := p.Output(), false
		for _, l := range lines {
			if _, rest, found = strings.Cut(rest, l); !found {
				return errors.New("it does not say " + l)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// obtain is the address that an unmodified DHCPv4 client gets.
func obtain(t *testing.T, h *netlab.Host, retries int) (netip.Addr, error) {
	t.Helper()
	c, err := netlab.In(h, func() (*nclient4.Client, error) {
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

func TestManual(t *testing.T) { manual.Check(t, "dhcp4o6-relay") }
