package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
	"github.com/dhcp4o6/dhcp4o6/test/tshark"
)

// rich is a chain of nine levels with all options that a relay may add: an Interface-Id, a
// Remote-Id and a Subscriber-Id on each, Relay Port on every second one, the client's link-layer
// address on the innermost.
func rich(remote string) []relay.Level {
	levels := relay.Chain(relay.HopCountLimit+1, topology.Relay1Lan, netip.MustParseAddr("fe80::1"))
	for i := range levels {
		inner := len(levels) - 1 - i
		levels[i].RemoteID = &dhcpv6.OptRemoteID{EnterpriseNumber: 9, RemoteID: fmt.Appendf(nil, "%s%d", remote, inner)}
		levels[i].Options = []dhcpv6.Option{raw(38, fmt.Appendf(nil, "subscriber%d", inner)...)}
		if i%2 == 0 {
			port := uint16(1000 + i)
			levels[i].RelayPort = &port
		}
		if inner == 0 {
			levels[i].Options = append(levels[i].Options, raw(79, 0, 1, 2, 0, 0, 0, 0, 7))
		}
	}
	return levels
}

func TestNestedRelays(t *testing.T) {
	t.Parallel()
	t.Run("RL-3, RL-9, RL-12, IPC-9 nine levels with all their options reach dhcp4d unchanged, and the answer goes back through them", func(t *testing.T) {
		b, four := withoutFour(t)
		b.StopRelays()
		levels := rich("line")
		c, socket, err := b.Relay(10547, client.Options{Relays: levels})
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		sent := c.Query(odd(1, 7, dhcpv4.MessageTypeDiscover), false)
		if err := c.Send(sent); err != nil {
			t.Fatal(err)
		}
		frame := four.receive()
		outer, inner := sent, frame
		for i := range levels {
			was, err := relay.ParseLevel(outer)
			if err != nil {
				t.Fatal(err)
			}
			is, err := relay.ParseLevel(inner)
			if err != nil {
				t.Fatalf("level %d on the IPC: %v", i, err)
			}
			if was.HopCount != is.HopCount || was.LinkAddress != is.LinkAddress || was.PeerAddress != is.PeerAddress || len(was.Options) != len(is.Options) {
				t.Errorf("level %d was %+v and is %+v", i, was, is)
			}
			for n, o := range was.Options {
				if p := is.Options[n]; o.Code() != p.Code() || (o.Code() != dhcpv6.OptionRelayMsg && !bytes.Equal(o.ToBytes(), p.ToBytes())) {
					t.Errorf("level %d: option %d is %x, then option %d %x", i, o.Code(), o.ToBytes(), p.Code(), p.ToBytes())
				}
			}
			outer, inner = was.Message, is.Message
		}
		four.answer(frame, append(odd(2, 7, dhcpv4.MessageTypeOffer), 255))
		datagram, from, err := socket.Receive(time.Now().Add(3 * time.Second))
		if err != nil {
			t.Fatalf("RL-13 no answer at the port that the outermost relay used: %v", err)
		}
		if _, err := c.Parse(datagram, from); err != nil { // the chain is mirrored
			t.Error(err)
		}
	})
	t.Run("RL-16 a subnet can match the Remote-Id of the innermost of nine levels, and the hook acl that of each", func(t *testing.T) {
		t.Parallel()
		b := start(t, func(c *servers.Config) {
			c.Env = []string{"DHCP6D_HOOKS=acl", "DHCP6D_ACL_DENY=remote-id=9:bad4",
				`DHCP4D_SUBNETS=[{id: 2, subnet: 198.51.100.0/24, pools: [198.51.100.10-198.51.100.20], match: [{link-address: "` + topology.Lan1Prefix.String() + `"}]},
					{id: 7, subnet: 203.0.113.0/24, pools: [203.0.113.10-203.0.113.20], match: [{remote-id: "9:line0", link-address: "` + topology.Lan1Prefix.String() + `"}]}]`}
		})
		b.StopRelays()
		obtain := func(n int, remote string, r client.Retransmit) (*client.Lease, error) {
			t.Helper()
			c, socket, err := b.Relay(10547, client.Options{HardwareAddr: topology.MAC(n), Relays: rich(remote), Retransmit: r})
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			return c.Obtain(t.Context())
		}
		if l, err := obtain(1, "line", patient); err != nil || !port7.Prefix.Contains(l.Address) {
			t.Errorf("%+v, %v, want an address of the subnet of the Remote-Id", l, err)
		}
		if l, err := obtain(2, "other", patient); err != nil || !topology.Relayed.Prefix.Contains(l.Address) {
			t.Errorf("%+v, %v, want an address of the subnet of the link", l, err)
		}
		b.dropped(b.six, `dhcp6d_packets_dropped_total{reason="hook",socket="link"}`, func() {
			if l, err := obtain(3, "bad", short); !errors.Is(err, client.ErrNoAnswer) {
				t.Errorf("denied by the Remote-Id of the fifth level, and got %+v, %v", l, err)
			}
		})
	})
	t.Run("RL-18 an LDRA below a relay", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		b.StopRelays()
		levels := relay.Chain(2, netip.IPv6Unspecified(), netip.MustParseAddr("fe80::1")) // the innermost is the LDRA
		levels[0].LinkAddress, levels[0].PeerAddress = topology.Relay1Lan, netip.MustParseAddr("fe80::1")
		c, socket, err := b.Relay(relay.ServerPort, client.Options{Relays: levels, Retransmit: patient})
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		if l := b.obtain(c); !topology.Relayed.Prefix.Contains(l.Address) {
			t.Errorf("got %s, want an address of the relay's link", l.Address)
		}
	})
}

// TestRelayedCaptures lets tshark check captures of relays, LDRAs and 4o6 relay agents.
func TestRelayedCaptures(t *testing.T) {
	t.Parallel()
	var all []byte // all captures as one, because starting tshark takes time
	check := func(t *testing.T, hosts []*netns.Host, names []string, least int, f func()) {
		t.Helper()
		var captures []*netns.Capture
		var files []string
		for i, host := range hosts {
			file := filepath.Join(t.TempDir(), "link.pcap")
			capture, err := host.Capture(names[i], file)
			if err != nil {
				t.Fatal(err)
			}
			captures, files = append(captures, capture), append(files, file)
		}
		f()
		for i, file := range files {
			frames, err := captures[i].Flush()
			if err = errors.Join(err, captures[i].Close()); err != nil || frames < least {
				t.Errorf("%s: %d frames, %v, want %d at least", names[i], frames, err, least)
			}
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(all) > 0 {
				content = content[pcapHeader:]
			}
			all = append(all, content...)
		}
	}
	t.Run("RL-3 nine levels, DHCPV4-QUERY and Information-request", func(t *testing.T) {
		b := start(t)
		b.StopRelays()
		check(t, []*netns.Host{b.Server}, []string{"core"}, 6, func() {
			c, socket, err := b.Relay(10547, client.Options{Relays: rich("line"), Retransmit: patient})
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			b.obtain(c)
			if info, err := c.Information(t.Context()); err != nil || !info.Offered {
				t.Errorf("an Information-request: %+v, %v", info, err)
			}
		})
	})
	t.Run("RL-17 an LDRA", func(t *testing.T) {
		b := start(t, func(c *servers.Config) { c.Subnets = append(c.Subnets, port7) })
		b.BridgeAddsInterfaceID(port7.InterfaceID)
		check(t, []*netns.Host{b.Server, b.Clients}, []string{"access", "access"}, 6, func() {
			c := b.client(topology.Multicast, 1, client.Options{})
			b.obtain(c)
			if info, err := c.Information(t.Context()); err != nil || !info.Offered {
				t.Errorf("an Information-request: %+v, %v", info, err)
			}
		})
	})
	for _, ldra := range []bool{false, true} {
		t.Run(fmt.Sprintf("RA-2, RA-4 a DHCPv4 client behind a 4o6 relay agent, with an LDRA: %v", ldra), func(t *testing.T) {
			b := start(t, func(c *servers.Config) { c.Subnets = append(c.Subnets, port7) })
			if ldra {
				b.BridgeAddsInterfaceID(port7.InterfaceID)
			}
			legacy := b.legacy(t)
			b.agent(t, "access")
			check(t, []*netns.Host{b.Server, b.Clients}, []string{"access", "v4"}, 4, func() {
				c := ipv4Only(t, legacy)
				lease, err := c.Request(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if a, _ := netip.AddrFromSlice(lease.ACK.YourIPAddr.To4()); ldra != port7.Prefix.Contains(a) {
					t.Errorf("the client got %s", a)
				}
			})
		})
	}
	file := filepath.Join(t.TempDir(), "all.pcap")
	if err := os.WriteFile(file, all, 0o600); err != nil {
		t.Fatal(err)
	}
	faults, packets, err := tshark.Check(file)
	if errors.Is(err, tshark.ErrMissing) {
		netnstest.Skip(t, err.Error())
	}
	if err != nil || packets < 30 || len(faults) > 0 {
		t.Errorf("%d packets, %v\n%s", packets, err, strings.Join(faults, "\n"))
	}
}

// pcapHeader is the beginning of a capture's file.
const pcapHeader = 24
