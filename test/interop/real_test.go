package interop

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
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

// TestRL30_RL31DHClient: ISC's client gets its address and prefix of Kea, directly and through two
// relays, and dhcp4d serves IPv4 on the same links.
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
		t.Errorf("%v dropped", n)
	}
}

// The leases of dhclient.
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
