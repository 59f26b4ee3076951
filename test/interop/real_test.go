package interop

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
	"github.com/dhcp4o6/dhcp4o6/test/tshark"
)

// find returns the path of a client program, or skips the test with the reason.
func find(t *testing.T, name, pkg string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(path); err == nil {
			return path
		}
	}
	netnstest.Skip(t, name+" is not installed (Debian: apt-get install "+pkg+")")
	return ""
}

// TestRL30_RL31DHClient checks that ISC's client gets its address and prefix from Kea, directly and
// through two relays, and that dhcp4d serves IPv4 on the same links.
func TestRL30_RL31DHClient(t *testing.T) {
	dhclient := find(t, "dhclient", "isc-dhcp-client")
	b := newPassing(t, "2001:db8:5::2")
	b.kea(b.theirs, perLink("eth1/2001:db8:5::2"))
	for i, link := range []struct {
		via    topology.Via
		name   string
		prefix netip.Prefix
	}{{topology.Multicast, "access", topology.AccessPrefix}, {topology.TwoRelays, "lan2", topology.Lan2Prefix}} {
		own := netns.LinkLocal(topology.MAC(i + 1))
		if err := b.Clients.AddAddress(link.name, netip.PrefixFrom(own, 64)); err != nil {
			t.Fatal(err)
		}
		t.Run("dhclient by "+string(link.via), func(t *testing.T) {
			dir := t.TempDir()
			leases := filepath.Join(dir, "leases")
			p, err := b.Clients.Start(nil, dhclient, "-6", "-1", "-d", "-v", "-N", "-P", "-sf", "/bin/true", "-lf", leases, "-pf", filepath.Join(dir, "pid"), "-cf", "/dev/null", link.name)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Kill()
			b.waitFor(t, p, leases, link.prefix)
		})
		t.Run("and IPv4 by "+string(link.via), func(t *testing.T) { b.stateful(t, link.via, i+11).ipv4() })
	}
	all, err := b.six.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	if n := servers.Sum(all, "dhcp6d_packets_dropped_total"); n != 0 {
		t.Errorf("dhcp6d dropped %v datagrams", n)
	}
}

// Patterns for the lease file of dhclient.
var (
	iaaddr   = regexp.MustCompile(`iaaddr ([0-9a-f:]+)`)
	iaprefix = regexp.MustCompile(`iaprefix ([0-9a-f:]+/[0-9]+)`)
)

// waitFor waits until the leases in a file have a prefix, and an address of the link.
func (b *passing) waitFor(t *testing.T, p *netns.Process, file string, link netip.Prefix) {
	t.Helper()
	if err := p.WaitFor(t.Context(), func() error {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		na, pd := iaaddr.FindSubmatch(text), iaprefix.FindSubmatch(text)
		if na == nil || pd == nil {
			return errors.New("it has no address and prefix yet")
		}
		a, err := netip.ParseAddr(string(na[1]))
		if err != nil {
			return err
		}
		if d, err := netip.ParsePrefix(string(pd[1])); err != nil || d.Bits() != 56 || !link.Contains(a) {
			t.Errorf("it has %v and %v on the link %v, %v", a, d, link, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// realClient is a DHCPv6 client of Debian.
type realClient struct {
	name, program, pkg string
	config, script     string
	says               []string
	renew, rebind      string   // what it prints then
	release            []string // arguments that make it release its leases
}

var realClients = []realClient{
	{
		// It asks at once, because there are no router advertisements here.
		name: "dhcpcd", program: "dhcpcd", pkg: "dhcpcd-base",
		config:  "duid\nnoipv4\nnoipv6rs\nnoarp\nallowinterfaces access\ninterface access\nia_na 1\nia_pd 2 -\n",
		script:  `mount -t tmpfs lib /var/lib/dhcpcd && exec "$0" -B -d -f "$1" --script /bin/true access`,
		renew:   "broadcasting RENEW6",
		rebind:  "broadcasting REBIND6",
		release: []string{"-k", "access"},
		says:    []string{`adding address 2001:db8:a::1[0-9a-f]{3}`, `delegated prefix 2001:db8:1[0-9a-f]{2}:[0-9a-f:]*/56`},
	},
	{
		// With a read-only /sys it uses links that udev does not know.
		name: "systemd-networkd", program: "/lib/systemd/systemd-networkd", pkg: "systemd",
		config: "[Match]\nName=access\n[Network]\nDHCP=ipv6\nIPv6AcceptRA=no\nLinkLocalAddressing=ipv6\n[DHCPv6]\nWithoutRA=solicit\n",
		script: `mount -t sysfs -o ro sysfs /sys && mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp &&
			chown -R systemd-network /run/systemd/netif && cp "$1" /run/systemd/network/10-access.network && chmod 644 /run/systemd/network/* &&
			SYSTEMD_LOG_LEVEL=debug SYSTEMD_LOG_TARGET=console exec "$0"`,
		renew:  "Sent Renew",
		rebind: "Sent Rebind",
		says:   []string{`DHCPv6 address 2001:db8:a::1[0-9a-f]{3}/128`, `2001:db8:1[0-9a-f]{2}:[0-9a-f:]*/56`},
	},
}

// TestRL30_RL31RealClients checks that dhcpcd and systemd-networkd get their address and prefix
// from Kea through dhcp6d, which also serves IPv4. tshark reads the packets on both sides of
// dhcp6d.
func TestRL30_RL31RealClients(t *testing.T) {
	for _, tt := range realClients {
		t.Run(tt.name, func(t *testing.T) {
			program := find(t, tt.program, tt.pkg)
			b := newPassing(t, "2001:db8:5::2")
			b.kea(b.theirs, perLink("eth1/2001:db8:5::2"))
			dir := t.TempDir()
			captures := map[string]*netns.Capture{}
			for _, side := range []string{"access", "behind"} {
				var err error
				if captures[side], err = b.Server.Capture(side, filepath.Join(dir, side)); err != nil {
					t.Fatal(err)
				}
			}
			p := b.realClient(t, &tt, program)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			for _, what := range tt.says {
				if err := p.WaitFor(ctx, func() error {
					if !regexp.MustCompile(what).MatchString(p.Output()) {
						return fmt.Errorf("it has not printed %s", what)
					}
					return nil
				}); err != nil {
					t.Fatalf("%v:\n%s", err, p.Output())
				}
			}
			b.stateful(t, topology.OneRelay, 11).ipv4() // not on dhcpcd's link, where it has port 546 of all addresses
			for side, c := range captures {
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				faults, packets, err := tshark.Check(filepath.Join(dir, side))
				if errors.Is(err, tshark.ErrMissing) {
					netnstest.Skip(t, err.Error())
				}
				if err != nil || packets < 4 || len(faults) > 0 {
					t.Errorf("%s: %d packets, %v\n%s", side, packets, err, strings.Join(faults, "\n"))
				}
			}
		})
	}
}

// realClient starts a client on the link access.
func (b *passing) realClient(t *testing.T, c *realClient, program string) *netns.Process {
	t.Helper()
	if err := b.Clients.AddAddress("access", netip.PrefixFrom(netns.LinkLocal(topology.MAC(1)), 64)); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, []byte(c.config), 0o600); err != nil {
		t.Fatal(err)
	}
	// It has its own /run, so that it does not see another one's files. Its children end with it.
	p, err := b.Clients.Start([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, "/usr/bin/unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc",
		"/bin/sh", "-c", "mount -t tmpfs run /run && "+c.script, program, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}
