package main

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/pair"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/site"
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
	legacy, err := lab.Host("legacy")
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Link(netlab.End{Host: legacy, Name: "eth0"}, netlab.End{Host: s.Clients, Name: "v4"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := pair.Start(s.Server, pair.Ours, pair.Ours, site.Config(t.TempDir())); err != nil {
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
			err = p.WaitFor(t.Context(), func() error {
				if !strings.Contains(p.Output(), "msg=relaying down=v4 up=access servers=[ff02::1:2]") {
					return errors.New("it does not say that it relays")
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			c, err := netlab.In(legacy, func() (*nclient4.Client, error) {
				return nclient4.New("eth0", nclient4.WithTimeout(time.Second), nclient4.WithRetry(5))
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			lease, err := c.Request(t.Context())
			if err != nil {
				t.Fatalf("%v; the agent said:\n%s", err, p.Output())
			}
			if a, _ := netip.AddrFromSlice(lease.ACK.YourIPAddr.To4()); !site.Direct.Prefix.Contains(a) {
				t.Errorf("got %s", a)
			}
			if err := p.Stop(5 * time.Second); err != nil {
				t.Error(err)
			}
			if !strings.Contains(p.Output(), "msg=ended queries=2 replies=2 discarded=0") {
				t.Errorf("it said:\n%s", p.Output())
			}
		})
	}
	for name, test := range map[string]struct {
		args []string
		want string
		code int
	}{
		"help":                  {[]string{"-h"}, "-server", 0},
		"no interface":          {nil, "-down and -up are required", 1},
		"no such interface":     {[]string{"-down", "v4", "-up", "x"}, "finding interface x", 1},
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
