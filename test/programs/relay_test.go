package programs

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

func TestRelay(t *testing.T) {
	t.Parallel()
	s := network(t)
	if _, _, err := servers.Start(s.Server, servers.Ours, servers.Ours, topology.Config(t.TempDir())); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"RL-13 interfaces by prefix, another port":       {"-down", topology.Lan1Prefix.String(), "-up", topology.CorePrefix.String(), "-port", "10547", "-v"},
		"interfaces by name, Interface-Id and Remote-Id": {"-down", "down", "-up", "up", "-interface-id", "lan1", "-remote-id", "r1"},
	} {
		t.Run(name, func(t *testing.T) {
			args = append(args, "-link", topology.Relay1Lan.String(), "-server", topology.ServerCore.String())
			p := start(t, s.Relay1, "dhcp6-relay", args...)
			says(t, p, "msg=relaying down=down up=up")
			c, socket, err := s.Client(topology.OneRelay, 1, client.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			lease, err := c.Obtain(t.Context())
			if err != nil || !topology.Relayed.Prefix.Contains(lease.Address) {
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
	for name, tt := range map[string]struct {
		trust []string
		taken bool
		ended string
	}{
		"a Relay-forward of a client is discarded":                 {nil, false, "forwarded=0 replied=0 discarded=2"},
		"it is discarded where another relay is trusted":           {[]string{"-trust", topology.Relay2Up.String()}, false, "forwarded=0 replied=0 discarded=2"},
		"a Relay-forward of an LDRA, which is trusted, is relayed": {[]string{"-trust", "fe80::/10," + topology.Relay2Up.String()}, true, "forwarded=2 replied=2 discarded=0"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"-down", "down", "-up", "up", "-link", topology.Relay1Lan.String(), "-server", topology.ServerCore.String()}, tt.trust...)
			p := start(t, s.Relay1, "dhcp6-relay", args...)
			says(t, p, "msg=relaying down=down up=up")
			// The client claims to be another one, on another link.
			o := client.Options{Relays: relay.Chain(1, topology.Relay2Lan, netip.MustParseAddr("fe80::66")),
				Retransmit: client.Retransmit{First: 300 * time.Millisecond, Max: 300 * time.Millisecond, Tries: 2}}
			c, socket, err := s.Client(topology.OneRelay, 2, o)
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			if _, err := c.Obtain(t.Context()); (err == nil) != tt.taken {
				t.Errorf("obtaining a lease: %v, want one: %t", err, tt.taken)
			}
			if err := p.Stop(5 * time.Second); err != nil {
				t.Error(err)
			}
			if !strings.Contains(p.Output(), "msg=ended "+tt.ended) || strings.Contains(p.Output(), "level=WARN") == tt.taken {
				t.Errorf("it said:\n%s", p.Output())
			}
		})
	}
	ends(t, s.Relay1, "dhcp6-relay", []call{
		{"help", []string{"-h"}, 0, "-interface-id"},
		{"no interface", nil, 1, "-down and -up are required"},
		{"no such interface", []string{"-down", "x", "-up", "up"}, 1, "finding interface x"},
		{"no such prefix", []string{"-down", "2001:db8:77::/64", "-up", "up"}, 1, "no interface has an address"},
		{"a port that is none", []string{"-down", "down", "-up", "up", "-port", "0"}, 1, "no UDP port"},
		{"a server that is none", []string{"-down", "down", "-up", "up", "-server", "x"}, 1, "-server"},
		{"a trusted relay that is none", []string{"-down", "down", "-up", "up", "-trust", "fe80::/10,relay2"}, 1, `-trust: "relay2" is neither an address nor a prefix`},
	})
}
