package e2e

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/load"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// The two daemons are on hosts of their own, each with several addresses of both families:
//
//	clients              six                     four
//	  access ─────────── access
//	                     back ────────────────── back
var (
	sixBack  = []string{"2001:db8:b::1/64", "2001:db8:b::11/64", "10.9.0.1/24", "10.9.0.11/24"}
	fourBack = []string{"2001:db8:b::4/64", "2001:db8:b::44/64", "2001:db8:b::444/64", "10.9.0.4/24", "10.9.0.44/24"}
)

// startApart starts the daemons on their hosts, with variables for each. changes may change how
// they are started.
func startApart(t *testing.T, six, four []string, changes ...func(*servers.Config)) *bench {
	t.Helper()
	lab := netnstest.Lab(t)
	for _, name := range []string{"dhcp6d", "dhcp4d"} {
		if _, err := servers.Find(name); err != nil {
			netnstest.Skip(t, err.Error())
		}
	}
	hosts := map[string]*netns.Host{}
	for _, name := range []string{"clients", "six", "four"} {
		var err error
		if hosts[name], err = lab.Host(name); err != nil {
			t.Fatal(err)
		}
	}
	back := func(host string, addresses []string) netns.End {
		e := netns.End{Host: hosts[host], Name: "back"}
		for _, a := range addresses {
			e.Addresses = append(e.Addresses, netip.MustParsePrefix(a))
		}
		return e
	}
	if err := errors.Join(
		lab.Link(netns.End{Host: hosts["clients"], Name: "access"}, netns.End{Host: hosts["six"], Name: "access"}),
		lab.Link(back("six", sixBack), back("four", fourBack))); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, Network: &topology.Network{Lab: lab, Clients: hosts["clients"], Server: hosts["four"]}}
	t.Cleanup(b.Close)
	config := topology.Config(t.TempDir())
	config.Env = append([]string{"DHCP4D_IPC_KEYS=" + firstKey,
		`DHCP4D_SUBNETS=[{id: 1, subnet: 10.0.0.0/16, server-id: 10.0.0.1, pools: [10.0.1.0-10.0.200.255], match: [{interface: access}], options: {routers: [10.0.0.1]}}]`}, four...)
	for _, change := range changes {
		change(&config)
	}
	var err error
	if b.four, err = servers.StartV4(hosts["four"], servers.Ours, config); err != nil {
		t.Fatal(err)
	}
	config = topology.Config(t.TempDir())
	config.Interfaces, config.Relays, config.LDRA = []string{"access"}, nil, nil
	config.Env = append([]string{"DHCP6D_IPC_KEYS=" + firstKey, "DHCP6D_DNS_SERVERS=2001:db8::53"}, six...)
	for _, change := range changes {
		change(&config)
	}
	if b.six, err = servers.StartV6(hosts["six"], servers.Ours, config, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("dhcp6d said:\n%s\ndhcp4d said:\n%s", tailOf(b.six.Output()), tailOf(b.four.Output()))
		}
	})
	return b
}

func TestAnswersFromTheAddressThatWasAsked(t *testing.T) {
	t.Parallel()
	const all6, all4 = "[2001:db8:b::1]:6767,[2001:db8:b::11]:6767", "10.9.0.1:6767,10.9.0.11:6767"
	for name, tt := range map[string]struct{ listen4, asked, listen6, peers string }{
		"IPC-30 the first IPv6 address":                     {"[::]:6768", "[2001:db8:b::4]:6768", "[2001:db8:b::1]:6767", "[2001:db8:b::1]:6767"},
		"IPC-30 the second":                                 {"[::]:6768", "[2001:db8:b::44]:6768", "[2001:db8:b::1]:6767", "[2001:db8:b::1]:6767"},
		"IPC-30 the third":                                  {"[::]:6768", "[2001:db8:b::444]:6768", "[2001:db8:b::1]:6767", "[2001:db8:b::1]:6767"},
		"IPC-30 the third, by a dhcp6d on a wildcard":       {"[::]:6768", "[2001:db8:b::444]:6768", "[::]:6767", all6},
		"IPC-30 the second IPv4 address":                    {"0.0.0.0:6768", "10.9.0.44:6768", "10.9.0.11:6767", "10.9.0.11:6767"},
		"IPC-30 the second IPv4 address, both on wildcards": {"0.0.0.0:6768", "10.9.0.44:6768", "0.0.0.0:6767", all4},
		"IPC-30 an IPv4 address of [::]":                    {"[::]:6768", "10.9.0.44:6768", "10.9.0.1:6767", "10.9.0.1:6767"},
		"IPC-30 an IPv4 address, both on [::]":              {"[::]:6768", "10.9.0.44:6768", "[::]:6767", "[::ffff:10.9.0.1]:6767,10.9.0.11:6767"},
		"IPC-30 an IPv4 address mapped into IPv6":           {"[::]:6768", "[::ffff:10.9.0.44]:6768", "[::]:6767", all6 + "," + all4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startApart(t,
				[]string{"DHCP6D_IPC_LISTEN=" + tt.listen6, "DHCP6D_IPC_BACKENDS=dhcp4d@" + tt.asked},
				[]string{"DHCP4D_IPC_LISTEN=" + tt.listen4, "DHCP4D_IPC_PEERS=" + tt.peers})
			b.series(b.six, "dhcp6d_ipc_backend_up", is(1)) // answers to probes
			c, socket, err := b.Client(topology.Multicast, 1, client.Options{Retransmit: patient})
			if err != nil {
				t.Fatal(err)
			}
			l := b.obtain(c) // OFFER and ACK
			if _, err := c.Renew(t.Context(), l); err != nil {
				t.Errorf("a renewal that writes no lease: %v", err)
			}
			if _, err := c.Reboot(t.Context(), netip.MustParseAddr("172.16.0.1")); !errors.Is(err, client.ErrNak) {
				t.Errorf("a foreign address: %v, want a NAK", err)
			}
			inform := c.Message(dhcpv4.MessageTypeInform)
			inform.ClientIPAddr = l.Address.AsSlice()
			if err := c.Send(c.Query(inform.ToBytes(), false)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.Receive(time.Now().Add(2 * time.Second)); err != nil {
				t.Errorf("an INFORM: %v", err)
			}
			socket.Close()
			// With segmentation offload many answers of one batch go to one place.
			r, err := loaded(t.Context(), b.Clients, load.Config{Interface: "access", InFlight: 32, Count: 500, Clients: 500, Seed: 1})
			if err != nil || r.Failed() || r.Completed != 500 {
				t.Errorf("the load: %v, %v", r, err)
			}
			for daemon, h := range map[string]*servers.Half{"dhcp6d": b.six, "dhcp4d": b.four} {
				b.series(h, daemon+`_packets_dropped_total{reason="wrong_peer",socket="ipc"}`, is(0))
				b.series(h, daemon+`_packets_dropped_total{reason="send_error",socket="ipc"}`, is(0))
			}
		})
	}
}

// hosts gives both daemons their own /etc/hosts, in a mount namespace.
func hosts(t *testing.T, names string) (change func(*servers.Config), set func(names string)) {
	file := filepath.Join(t.TempDir(), "hosts")
	set = func(names string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(names), 0o644); err != nil { // in place, because it is mounted
			t.Fatal(err)
		}
	}
	set(names)
	return func(c *servers.Config) {
		c.Through6 = []string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, file}
		c.Through = c.Through6
	}, set
}

func TestNamesOfPeers(t *testing.T) {
	t.Parallel()
	t.Run("IPC-33 a peer that is a name is accepted from each of its addresses, once the name resolves", func(t *testing.T) {
		t.Parallel()
		change, set := hosts(t, "")
		b := startApart(t, []string{"DHCP6D_IPC_LISTEN=[::]:6767", "DHCP6D_IPC_BACKENDS=dhcp4d@[2001:db8:b::44]:6768"},
			[]string{"DHCP4D_IPC_LISTEN=[::]:6768", "DHCP4D_IPC_PEERS=six.example:6767"}, change)
		await(t, "dhcp4d says that the name cannot be resolved", func() bool { return len(warned(b.four, "cannot be resolved")) > 0 })
		set("2001:db8:b::11 six.example\n2001:db8:b::1 six.example\n")
		b.series(b.six, "dhcp6d_ipc_backend_up", is(1))
		b.obtain(b.client(topology.Multicast, 1, client.Options{}))
		if lines := warned(b.four, "cannot be resolved"); len(lines) != 1 {
			t.Errorf("logged %d times:\n%s", len(lines), strings.Join(lines, "\n"))
		}
	})
}

func TestNamesOfBackends(t *testing.T) {
	t.Parallel()
	listen4 := []string{"DHCP4D_IPC_LISTEN=[::]:6768", "DHCP4D_IPC_PEERS=[2001:db8:b::1]:6767,[2001:db8:b::11]:6767,10.9.0.1:6767,10.9.0.11:6767"}
	for name, names := range map[string]string{
		"the first address is nobody's":       "2001:db8:b::99 four.example\n2001:db8:b::44 four.example\n",
		"nobody listens at the first address": "2001:db8:b::1 four.example\n2001:db8:b::44 four.example\n",
		"the first is of the other family":    "2001:db8:b::99 four.example\n10.9.0.44 four.example\n",
		"three of four are nobody's":          "2001:db8:b::99 four.example\n2001:db8:b::98 four.example\n10.9.0.99 four.example\n10.9.0.4 four.example\n",
	} {
		t.Run("IPC-31 "+name, func(t *testing.T) {
			t.Parallel()
			change, _ := hosts(t, names)
			b := startApart(t, []string{"DHCP6D_IPC_LISTEN=[::]:6767", "DHCP6D_IPC_BACKENDS=dhcp4d@four.example:6768"}, listen4, change)
			b.series(b.six, "dhcp6d_ipc_backend_up", is(1))
			b.obtain(b.client(topology.Multicast, 1, client.Options{}))
		})
	}
	t.Run("IPC-31 when the address in use stops answering, the next one is used", func(t *testing.T) {
		t.Parallel()
		change, _ := hosts(t, "2001:db8:b::4 four.example\n2001:db8:b::44 four.example\n10.9.0.4 four.example\n")
		b := startApart(t, []string{"DHCP6D_IPC_LISTEN=[::]:6767", "DHCP6D_IPC_BACKENDS=dhcp4d@four.example:6768", "DHCP6D_LOG_LEVEL=info"}, listen4, change)
		b.series(b.six, "dhcp6d_ipc_backend_up", is(1))
		c := b.client(topology.Multicast, 1, client.Options{})
		l := b.obtain(c)
		for _, dead := range []string{"2001:db8:b::4/64", "2001:db8:b::44/64"} {
			if err := b.Server.RemoveAddress("back", netip.MustParsePrefix(dead)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Renew(t.Context(), l); err != nil {
				t.Errorf("without %s: %v", dead, err)
			}
		}
		time.Sleep(time.Second)
		if n := strings.Count(b.six.Output(), "at another of its addresses"); n > 3 {
			t.Errorf("dhcp6d has changed the address %d times", n)
		}
	})
	t.Run("IPC-31 a name that cannot be resolved is logged once, and again when it resolves", func(t *testing.T) {
		t.Parallel()
		change, set := hosts(t, "")
		b := startApart(t, []string{"DHCP6D_IPC_LISTEN=[2001:db8:b::1]:6767", "DHCP6D_IPC_BACKENDS=dhcp4d@four.example:6768"}, listen4, change)
		time.Sleep(5 * time.Second)
		said := func(text string) int { return strings.Count(b.six.Output(), text) }
		if n := said("cannot be resolved"); n == 0 || n > 2 { // in the log, and in readiness
			t.Errorf("logged %d times", n)
		}
		set("2001:db8:b::44 four.example\n")
		b.series(b.six, "dhcp6d_ipc_backend_up", is(1))
		await(t, "it says that the name can be resolved again", func() bool { return said("can be resolved again") > 0 })
		b.obtain(b.client(topology.Multicast, 1, client.Options{}))
	})
}
