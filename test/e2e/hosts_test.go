package e2e

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/vishvananda/netlink"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// TestInterfacesOfTheHost checks interfaces that are missing, that have long names, and that become
// ports of a bridge.
func TestInterfacesOfTheHost(t *testing.T) {
	t.Parallel()
	const long = "the-one-by-which-customers-come"
	b := start(t, func(c *servers.Config) {
		c.Interfaces = []string{"core", long, "eth7", "ppp0"}
		c.Subnets = append(c.Subnets, visited)
	})
	host, err := b.Lab.Host("visitor")
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{Host: host, b: b, mac: topology.MAC(1)}
	link := func(name string, do func(netlink.Link) error) {
		t.Helper()
		if err := b.Server.Do(func() error {
			l, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			return do(l)
		}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("D6-43 missing interfaces are logged, and the others are served", func(t *testing.T) {
		b := b.at(t)
		for _, name := range []string{long, "eth7", "ppp0"} {
			await(t, "a warning of "+name, func() bool { return len(warned(b.six, `"interface":"`+name+`"`)) > 0 })
		}
		b.obtain(b.client(topology.OneRelay, 2, client.Options{}))
		silence(t, b.client(topology.Multicast, 3, client.Options{Retransmit: short}))
	})
	t.Run("D6-43 an interface can be configured by its alternative name", func(t *testing.T) {
		b := b.at(t)
		link("access", func(l netlink.Link) error { return netlink.LinkAddAltName(l, long) })
		b.obtain(b.client(topology.Multicast, 4, client.Options{}))
	})
	t.Run("D6-43 an interface is served when it comes", func(t *testing.T) {
		v.b = b.at(t)
		v.connect()
		v.served("new")
	})
	t.Run("D6-43 a port of a bridge is logged, and served once it leaves the bridge", func(t *testing.T) {
		b := b.at(t)
		v.b = b
		bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br7"}}
		if err := b.Server.Do(func() error { return netlink.LinkAdd(bridge) }); err != nil {
			t.Fatal(err)
		}
		link("eth7", func(l netlink.Link) error { return netlink.LinkSetMaster(l, bridge) })
		await(t, "a warning", func() bool { return len(warned(b.six, "it is a port of a bridge")) > 0 })
		link("eth7", netlink.LinkSetNoMaster)
		v.served("a port no more")
	})
	t.Run("D6-6 the site's group is joined where relays are", func(t *testing.T) {
		groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/igmp6", b.six.PID()))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"core", "access", "eth7"} {
			if joined := joined(string(groups), name, "ff050000000000000000000000010003"); !joined {
				t.Errorf("%s has not joined ff05::1:3:\n%s", name, groups)
			}
		}
	})
}

// joined reports whether /proc/net/igmp6 has a group on an interface.
func joined(groups, name, group string) bool {
	for line := range strings.Lines(groups) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == name && f[2] == group {
			return true
		}
	}
	return false
}

// TestOptionsOfRelays checks that a relay gets the options that it asks for, in its own level.
func TestOptionsOfRelays(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.StopRelays()
	level := relay.Chain(1, topology.Relay1Lan, netip.MustParseAddr("fe80::1"))
	level[0].RemoteID = &dhcpv6.OptRemoteID{EnterpriseNumber: 9, RemoteID: []byte("line")}
	level[0].Options = []dhcpv6.Option{raw(38, []byte("subscriber")...), raw(43, 0, 37, 0, 38)}
	c, socket, err := b.Relay(relay.ServerPort, client.Options{Relays: level})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	request := (&dhcpv6.Message{MessageType: dhcpv6.MessageTypeInformationRequest, TransactionID: dhcpv6.TransactionID{1, 2, 3},
		Options: dhcpv6.MessageOptions{Options: dhcpv6.Options{dhcpv6.OptRequestedOption(88)}}}).ToBytes()
	for name, m := range map[string][]byte{
		"RL-11 around a DHCPV4-RESPONSE": c.Query(c.Message(dhcpv4.MessageTypeDiscover).ToBytes(), false),
		"RL-11 around a Reply":           relay.Wrap(level, request),
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.Send(m); err != nil {
				t.Fatal(err)
			}
			datagram, _, err := socket.Receive(time.Now().Add(5 * time.Second))
			if err != nil {
				t.Fatal(err)
			}
			got, err := relay.ParseLevel(datagram)
			if err != nil {
				t.Fatal(err)
			}
			if id := got.Options.GetOne(37); id == nil || !bytes.Equal(id.ToBytes(), []byte("\x00\x00\x00\x09line")) {
				t.Errorf("Remote-Id is %v", id)
			}
			if id := got.Options.GetOne(38); id == nil || string(id.ToBytes()) != "subscriber" {
				t.Errorf("Subscriber-Id is %v", id)
			}
		})
	}
}

// TestOnlyServer checks that dhcp6d can be the only server that answers an Information-request.
func TestOnlyServer(t *testing.T) {
	t.Parallel()
	for only, answered := range map[string]bool{"false": false, "true": true} {
		t.Run("D6-41 ONLY_SERVER="+only, func(t *testing.T) {
			t.Parallel()
			b := start(t, func(c *servers.Config) { c.Option88, c.Env = "", append(c.Env, "DHCP6D_ONLY_SERVER="+only) })
			for _, via := range []topology.Via{topology.Multicast, topology.TwoRelays} {
				c := b.client(via, 1, client.Options{Retransmit: short})
				if info, err := c.Information(t.Context(), dhcpv6.OptionSNTPServerList); (err == nil) != answered || (err == nil && info.Offered) {
					t.Errorf("by %s: %+v, %v", via, info, err)
				}
			}
		})
	}
}

// TestDUIDFiles checks that dhcp6d reads Kea's DUID file, and does not start with an empty one: its
// message says what to do.
func TestDUIDFiles(t *testing.T) {
	t.Parallel()
	b := network(t, "dhcp6d")
	for name, tt := range map[string]struct{ file, content, want string }{
		"empty":                  {"duid", "", "is empty"},
		"empty, of Kea":          {"kea-dhcp6-serverid", "", "is empty"},
		"a line end":             {"duid", "\n", "is empty"},
		"of NUL":                 {"duid", string(make([]byte, 32)), "zero octets only"},
		"cut":                    {"duid", "00:03", "has 3 to 130"},
		"no hex":                 {"duid", "my duid", "hexadecimal digits"},
		"of Kea":                 {"kea-dhcp6-serverid", "00:01:00:01:2e:3a:4b:5c:02:c1:1e:00:00:07\n", ""},
		"of Kea, short octets":   {"kea-dhcp6-serverid", "0:1:0:1:2e:3a:4b:5c:2:c1:1e:0:0:7", ""},
		"without the line's end": {"duid", "000100012e3a4b5c02c11e000007", ""},
	} {
		t.Run("D6-8 "+name, func(t *testing.T) {
			config := b.config
			config.Dir, config.V4 = t.TempDir(), servers.Kea
			dir := filepath.Join(config.Dir, "dhcp6d")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, tt.file), tt.content)
			six, err := servers.StartV6(b.Server, servers.Ours, config, true)
			switch {
			case err == nil:
				if err := six.Stop(10 * time.Second); err != nil {
					t.Error(err)
				}
				if tt.want != "" {
					t.Errorf("dhcp6d starts with the DUID file %q", tt.content)
				}
			case tt.want == "" || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), filepath.Join(dir, tt.file)):
				t.Errorf("dhcp6d says %v", err)
			}
		})
	}
}
