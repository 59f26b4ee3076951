package main

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/client"
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
	if _, _, err := pair.Start(s.Server, pair.Ours, pair.Ours, site.Config(t.TempDir())); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"RL-13 interfaces by prefix, another port":       {"-down", site.Lan1Prefix.String(), "-up", site.CorePrefix.String(), "-port", "10547", "-v"},
		"interfaces by name, Interface-Id and Remote-Id": {"-down", "down", "-up", "up", "-interface-id", "lan1", "-remote-id", "r1"},
	} {
		t.Run(name, func(t *testing.T) {
			args = append(args, "-link", site.Relay1Lan.String(), "-server", site.ServerCore.String())
			p, err := s.Relay1.StartSelf(nil, args...)
			if err != nil {
				t.Fatal(err)
			}
			err = p.WaitFor(t.Context(), func() error {
				if !strings.Contains(p.Output(), "msg=relaying down=down up=up") {
					return errors.New("it does not say that it relays")
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			c, socket, err := s.Client(site.OneRelay, 1, client.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			lease, err := c.Obtain(t.Context())
			if err != nil || !site.Relayed.Prefix.Contains(lease.Address) {
				t.Fatalf("lease %+v, %v; the relay said:\n%s", lease, err, p.Output())
			}
			if err := p.Stop(5 * time.Second); err != nil {
				t.Error(err)
			}
			if !strings.Contains(p.Output(), "msg=ended forwarded=2 replied=2 discarded=0") {
				t.Errorf("it said:\n%s", p.Output())
			}
		})
	}
	for name, test := range map[string]struct {
		args []string
		want string
		code int
	}{
		"help":                  {[]string{"-h"}, "-interface-id", 0},
		"no interface":          {nil, "-down and -up are required", 1},
		"no such interface":     {[]string{"-down", "x", "-up", "up"}, "finding interface x", 1},
		"no such prefix":        {[]string{"-down", "2001:db8:77::/64", "-up", "up"}, "no interface has an address", 1},
		"a port that is none":   {[]string{"-down", "down", "-up", "up", "-port", "0"}, "no UDP port", 1},
		"a server that is none": {[]string{"-down", "down", "-up", "up", "-server", "x"}, "-server", 1},
	} {
		t.Run("ends at once: "+name, func(t *testing.T) {
			p, err := s.Relay1.StartSelf(nil, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			if code, err := p.Wait(t.Context()); err != nil || code != test.code || !strings.Contains(p.Output(), test.want) {
				t.Errorf("status %d, %v:\n%s", code, err, p.Output())
			}
		})
	}
}
