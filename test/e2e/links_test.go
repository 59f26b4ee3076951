package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// visited is the subnet of the interface that appears and disappears.
var visited = servers.Subnet{ID: 9, Prefix: netip.MustParsePrefix("203.0.113.0/24"), Interface: "eth7",
	First: netip.MustParseAddr("203.0.113.10"), Last: netip.MustParseAddr("203.0.113.250")}

// soon is how long a client may wait for a lease on a new interface.
const soon = 2 * time.Second

// visitor is a host with a client. Its interface is linked to the server's eth7.
type visitor struct {
	*netns.Host
	b    *bench
	mac  []byte
	made time.Time
}

// connect makes the link.
func (v *visitor) connect() {
	v.b.t.Helper()
	v.made = time.Now()
	if err := v.b.Lab.Link(netns.End{Host: v.Host, Name: "cpe", MAC: v.mac}, netns.End{Host: v.b.Server, Name: "eth7"}); err != nil {
		v.b.t.Fatal(err)
	}
}

// ask makes a new client on the link do something.
func (v *visitor) ask(server netip.Addr, r client.Retransmit, f func(*client.Client)) {
	v.b.t.Helper()
	socket, err := netns.In(v.Host, func() (*client.Socket, error) {
		return client.Listen("cpe", netip.AddrPortFrom(netns.LinkLocal(v.mac), relay.ClientPort))
	})
	if err != nil {
		v.b.t.Fatal(err)
	}
	defer socket.Close()
	c, err := client.New(socket, client.Options{HardwareAddr: v.mac, Servers: []netip.Addr{server}, Retransmit: r})
	if err != nil {
		v.b.t.Fatal(err)
	}
	f(c)
}

// served checks that a client gets a lease.
func (v *visitor) served(what string) (l *client.Lease) {
	v.b.t.Helper()
	v.ask(client.Multicast, patient, func(c *client.Client) {
		l = v.b.obtain(c)
		if !visited.Prefix.Contains(l.Address) {
			v.b.t.Errorf("%s: got %s", what, l.Address)
		}
	})
	return l
}

// change changes the server's end.
func (v *visitor) change(name string, how ...func(netlink.Link) error) {
	v.b.t.Helper()
	err := v.b.Server.Do(func() error {
		link, err := netlink.LinkByName(name)
		for _, f := range how {
			if err == nil {
				err = f(link)
			}
		}
		return err
	})
	if err != nil {
		v.b.t.Fatal(err)
	}
}

func rename(to string) func(netlink.Link) error {
	return func(l netlink.Link) error { return netlink.LinkSetName(l, to) }
}

// held returns what the process and the kernel hold for the interface.
func held(t *testing.T, h *servers.Half) string {
	t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.PID()))
	if err != nil {
		t.Fatal(err)
	}
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/igmp6", h.PID()))
	if err != nil {
		t.Fatal(err)
	}
	var members []string
	for line := range strings.Lines(string(groups)) {
		if f := strings.Fields(line); strings.HasPrefix(f[2], "ff02") && strings.HasSuffix(f[2], "00010002") {
			members = append(members, f[1]+" "+f[3])
		}
	}
	return fmt.Sprint(len(fds), " descriptors, ", strings.Count(string(groups), "\n"), " groups, ff02::1:2 on ", members)
}

func TestLinksComeAndGo(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *servers.Config) {
		c.Interfaces = []string{"core", "eth*", "!eth0"}
		c.Subnets = append(c.Subnets, visited)
	})
	host, err := b.Lab.Host("visitor")
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{Host: host, b: b, mac: topology.MAC(1)}
	t.Run("D6-6 a hundred deletions and creations of an interface leave nothing behind, and each is served at once", func(t *testing.T) {
		v.b = b.at(t)
		cycle := func(n int) {
			v.connect()
			if n%3 == 0 { // dhcp6d may not notice in between
				if err := b.Server.DeleteLink("eth7"); err != nil {
					t.Fatal(err)
				}
				v.connect()
			}
			v.served("new")
			if took := time.Since(v.made); took > soon {
				t.Errorf("lease after %v on interface %d", took, n)
			}
			if err := b.Server.DeleteLink("eth7"); err != nil {
				t.Fatal(err)
			}
		}
		cycle(0)
		before := held(t, b.six)
		for n := range 100 {
			cycle(n)
		}
		after := held(t, b.six)
		for end := time.Now().Add(5 * time.Second); after != before && time.Now().Before(end); after = held(t, b.six) {
			time.Sleep(10 * time.Millisecond) // dhcp6d may not have received the last one yet
		}
		if after != before {
			t.Errorf("before: %s\nafter:  %s", before, after)
		}
	})
	v.connect()
	t.Run("Q-34 an interface is not served while it has an excepted name", func(t *testing.T) {
		v.b = b.at(t)
		v.change("eth7", netlink.LinkSetDown, rename("eth0"), netlink.LinkSetUp)
		v.linkLocal("eth0")
		v.b.dropped(b.six, `dhcp6d_packets_dropped_total{reason="interface",socket="link"}`, func() {
			v.unicast("eth0")
		})
		v.ask(client.Multicast, short, func(c *client.Client) { silence(t, c) })
		v.change("eth0", netlink.LinkSetDown, rename("eth7"), netlink.LinkSetUp)
		v.linkLocal("eth7")
		began := time.Now()
		v.served("renamed")
		if took := time.Since(began); took > soon {
			t.Errorf("lease after %v", took)
		}
	})
	t.Run("an interface that goes down and comes up is served", func(t *testing.T) {
		v.b = b.at(t)
		v.change("eth7", netlink.LinkSetDown)
		v.change("eth7", netlink.LinkSetUp)
		v.linkLocal("eth7")
		v.served("up again")
	})
	t.Run("D6-36 an interface with new addresses answers from one of them, and receives at it", func(t *testing.T) {
		v.b = b.at(t)
		next := netip.MustParseAddr("fe80::7")
		v.change("eth7", func(l netlink.Link) error {
			old, err := netlink.AddrList(l, netlink.FAMILY_V6)
			for i := range old {
				if err == nil {
					err = netlink.AddrDel(l, &old[i])
				}
			}
			return err
		})
		if err := b.Server.AddAddress("eth7", netip.PrefixFrom(next, 64)); err != nil {
			t.Fatal(err)
		}
		if l := v.served("other address"); l.Response.From.Addr() != next {
			t.Errorf("answered from %s", l.Response.From)
		}
	})
	t.Run("an interface is served once its link-local address has passed duplicate address detection", func(t *testing.T) {
		v.b = b.at(t)
		if err := b.Server.DeleteLink("eth7"); err != nil {
			t.Fatal(err)
		}
		v.connect()
		v.change("eth7", netlink.LinkSetDown, func(l netlink.Link) error {
			return netlink.LinkSetIP6AddrGenMode(l, nl.IN6_ADDR_GEN_MODE_EUI64)
		}, netlink.LinkSetUp)
		v.served("after detection")
	})
}

// linkLocal gives an interface of the server its link-local address again.
func (v *visitor) linkLocal(name string) {
	v.b.t.Helper()
	mac, err := v.b.Server.HardwareAddr(name)
	if err != nil {
		v.b.t.Fatal(err)
	}
	if err := v.b.Server.AddAddress(name, netip.PrefixFrom(netns.LinkLocal(mac), 64)); err != nil {
		v.b.t.Fatal(err)
	}
}

// unicast sends a query to the link-local address of the server's end. The kernel delivers it even
// if the interface is not served.
func (v *visitor) unicast(name string) {
	v.b.t.Helper()
	mac, err := v.b.Server.HardwareAddr(name)
	if err != nil {
		v.b.t.Fatal(err)
	}
	v.ask(netns.LinkLocal(mac), short, func(c *client.Client) { silence(v.b.t, c) })
}
