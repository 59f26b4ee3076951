package interop

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// shortLife are members of Kea's Dhcp6 that make clients renew after three seconds, and rebind
// after six.
const shortLife = `"renew-timer": 3, "rebind-timer": 6, "preferred-lifetime": 100, "valid-lifetime": 120, `

// says waits until a process has printed a text this number of times.
func says(t *testing.T, p *netns.Process, what string, times int) {
	t.Helper()
	pattern := regexp.MustCompile(what)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := p.WaitFor(ctx, func() error {
		if n := len(pattern.FindAllString(p.Output(), -1)); n < times {
			return fmt.Errorf("it has printed %s %d times, want %d", what, n, times)
		}
		return nil
	}); err != nil {
		t.Fatalf("%v:\n%s", err, p.Output())
	}
}

// TestRL30_RL31LifeOfDHClient runs ISC's client behind dhcp6d, directly and through relays. It gets
// an address and a prefix by Rapid Commit, renews them, rebinds them while Kea is silent, releases
// them, and declines an address. Meanwhile it has an IPv4 lease of dhcp4d.
func TestRL30_RL31LifeOfDHClient(t *testing.T) {
	dhclient := find(t, "dhclient", "isc-dhcp-client")
	for i, link := range []struct {
		via    topology.Via
		name   string
		prefix netip.Prefix
	}{{topology.Multicast, "access", topology.AccessPrefix}, {topology.TwoRelays, "lan2", topology.Lan2Prefix}} {
		t.Run(string(link.via), func(t *testing.T) {
			b := newPassing(t, "2001:db8:5::2")
			kea := b.kea(b.theirs, shortLife+perLink("eth1/2001:db8:5::2"))
			if err := b.Clients.AddAddress(link.name, netip.PrefixFrom(netns.LinkLocal(topology.MAC(i+1)), 64)); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			file := func(name, content string, mode os.FileMode) string {
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, []byte(content), mode); err != nil {
					t.Fatal(err)
				}
				return path
			}
			config := file("config", "send dhcp6.rapid-commit;\n", 0o600)
			run := func(name, script string, more ...string) *netns.Process {
				args := append([]string{dhclient, "-6", "-d", "-v", "-N", "-P", "-sf", script, "-cf", config,
					"-lf", filepath.Join(dir, name), "-pf", filepath.Join(dir, name+".pid")}, more...)
				p, err := b.Clients.Start(nil, append(args, link.name)...)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(p.Kill)
				return p
			}
			p := run("leases", "/bin/true")
			b.waitFor(t, p, filepath.Join(dir, "leases"), link.prefix)
			if said := p.Output(); strings.Contains(said, "XMT: Request") {
				t.Errorf("Rapid Commit takes a Request:\n%s", said)
			}
			says(t, p, "XMT: Renew", 1)
			says(t, p, "RCV: Reply", 2)

			// The same client gets its IPv4 lease.
			c, socket, err := b.Client(link.via, i+11, client.Options{Retransmit: quick, HardwareAddr: topology.MAC(i + 1)})
			if err != nil {
				t.Fatal(err)
			}
			l, err := c.Obtain(t.Context())
			if err != nil {
				t.Fatal(err)
			}

			kea.Signal(syscall.SIGSTOP)
			says(t, p, "XMT: Rebind", 1)
			if _, err := c.Renew(t.Context(), l); err != nil {
				t.Errorf("4o6 while Kea is silent: %v", err)
			}
			before := strings.Count(p.Output(), "RCV: Reply")
			kea.Signal(syscall.SIGCONT)
			says(t, p, "RCV: Reply", before+1)
			// dhclient may use any link-local address of the link, with the port of DHCPv6 clients.
			p.Kill()
			if err := socket.Close(); err != nil {
				t.Fatal(err)
			}
			p = run("leases", "/bin/true", "-r")
			select {
			case <-p.Ended(): // as soon as it has its Reply
			case <-time.After(time.Minute):
			}
			if said := p.Output(); !strings.Contains(said, "XMT: Release") {
				t.Errorf("dhclient does not release its leases:\n%s", said)
			}
			says(t, kea.Process, `DHCP6_RELEASE_NA .*`, 1)
			says(t, kea.Process, `DHCP6_RELEASE_PD .*`, 1)

			p.Kill()

			// With status 3 a client script says that another host has the address.
			script := file("script", "#!/bin/sh\ncase $reason in BOUND6) exit 3 ;; esac\nexit 0\n", 0o700)
			says(t, run("declined", script), "XMT: Decline", 1)
			says(t, kea.Process, `DHCP6_DECLINE_LEASE .*`, 1)

			all, err := b.six.Metrics()
			if err != nil {
				t.Fatal(err)
			}
			if n := servers.Sum(all, "dhcp6d_packets_dropped_total"); n != 0 {
				t.Errorf("dhcp6d dropped %v datagrams", n)
			}
		})
	}
}

// TestRL30_RL31LifeOfRealClients runs dhcpcd and systemd-networkd behind dhcp6d. They renew their
// address and prefix, and rebind them while Kea is silent. dhcpcd releases them; networkd of Debian
// 12 cannot.
func TestRL30_RL31LifeOfRealClients(t *testing.T) {
	for _, tt := range realClients {
		t.Run(tt.name, func(t *testing.T) {
			program := find(t, tt.program, tt.pkg)
			b := newPassing(t, "2001:db8:5::2")
			kea := b.kea(b.theirs, `"renew-timer": 3, "rebind-timer": 15, "preferred-lifetime": 100, "valid-lifetime": 120, `+perLink("eth1/2001:db8:5::2"))
			p := b.realClient(t, &tt, program)
			says(t, p, tt.renew, 1)
			says(t, kea.Process, `DHCP6_PD_LEASE_RENEW .*`, 1)
			kea.Signal(syscall.SIGSTOP)
			says(t, p, tt.rebind, 1)
			before := strings.Count(kea.Output(), "DHCP6_PD_LEASE_RENEW")
			kea.Signal(syscall.SIGCONT)
			says(t, kea.Process, `DHCP6_PD_LEASE_RENEW .*`, before+1)

			child, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.PID()))
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(child)))
			if err != nil {
				t.Fatal(err)
			}
			if tt.release == nil {
				return
			}
			// In the mount namespace of the client, where its sockets are.
			inside := []string{"/usr/bin/nsenter", "-m", "-p", "-t", strconv.Itoa(pid), program}
			order, err := b.Clients.Start(nil, slices.Concat(inside, tt.release)...)
			if err != nil {
				t.Fatal(err)
			}
			defer order.Kill()
			says(t, kea.Process, `DHCP6_RELEASE_NA .*`, 1)
			says(t, kea.Process, `DHCP6_RELEASE_PD .*`, 1)
		})
	}
}
