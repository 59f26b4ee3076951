package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// TestAccessByTest checks that expressions can say whom the hook acl serves.
func TestAccessByTest(t *testing.T) {
	t.Parallel()
	direct, relayed := "pkt.iface == 'access' and not relay6[0].linkaddr == "+topology.Relay1Lan.String(), "relay6[0].linkaddr == "+topology.Relay1Lan.String()
	for _, c := range []struct {
		name, allow, deny string
		direct, relayed   bool // is served
	}{
		{"D6-44 only what a test allows", relayed, "", false, true},
		{"D6-44 not what a test denies", "", relayed, true, false},
		{"D6-44 what a test denies, whatever another allows", "pkt6.msgtype == 20", direct, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, func(s *servers.Config) {
				s.Env = append(s.Env, "DHCP6D_HOOKS=acl")
				for name, test := range map[string]string{"ALLOW": c.allow, "DENY": c.deny} {
					if test != "" {
						s.Env = append(s.Env, fmt.Sprintf("DHCP6D_ACL_%s_TEST=%s", name, test))
					}
				}
			})
			for i, way := range []struct {
				via    topology.Via
				served bool
			}{{topology.Multicast, c.direct}, {topology.OneRelay, c.relayed}} {
				if way.served {
					b.obtain(b.client(way.via, 1+i, client.Options{}))
					continue
				}
				b.dropped(b.six, `dhcp6d_packets_dropped_total{reason="hook",socket="link"}`, func() {
					if l, err := b.client(way.via, 1+i, client.Options{Retransmit: short}).Discover(t.Context()); !errors.Is(err, client.ErrNoAnswer) {
						t.Errorf("%v got %+v, %v", way.via, l, err)
					}
				})
			}
		})
	}
}

// TestReservations checks reservations in a file, which a reload reads again, and reservations with
// several hardware addresses.
func TestReservations(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "reservations.csv")
	reserve := func(address string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("address,hw-address\n"+address+",02:c1:1e:00:00:01\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reserve("192.0.2.50")
	b := start(t, subnets(`[{id: 1, subnet: 192.0.2.0/24, match: [{interface: access}], pools: [192.0.2.20-192.0.2.29], reservations-file: `+file+`,
		reservations: [{hw-addresses: ["02:c1:1e:00:00:03", "02:c1:1e:00:00:04"], address: 192.0.2.60}]}]`))
	first := b.client(topology.Multicast, 1, client.Options{})
	for _, c := range []struct {
		name   string
		client *client.Client
		want   string
	}{
		{"D4-88 from a file", first, "192.0.2.50"},
		{"D4-89 the first of several hardware addresses", b.client(topology.Multicast, 3, client.Options{}), "192.0.2.60"},
		{"D4-89 the second of several hardware addresses", b.client(topology.Multicast, 4, client.Options{}), "192.0.2.20"},
	} {
		if l := b.obtain(c.client); l.Address != netip.MustParseAddr(c.want) {
			t.Errorf("%s: got %v, want %s", c.name, l.Address, c.want)
		}
	}
	reserve("192.0.2.51")
	b.four.Signal(syscall.SIGHUP)
	await(t, "the file is read again", func() bool { return strings.Contains(b.four.Output(), "configuration reloaded") })
	if strings.Contains(b.four.Output(), "the reload has changed no variable") {
		t.Error("a reload says that it can change nothing")
	}
	if l := b.obtain(first); l.Address != netip.MustParseAddr("192.0.2.51") {
		t.Errorf("D4-88 after a reload: got %v", l.Address)
	}
}

// TestClasses checks that clients get the options and lease times of classes, pools and
// reservations.
func TestClasses(t *testing.T) {
	t.Parallel()
	b := start(t, subnets(`{classes: [{name: phones, test: "option[60].hex == 'phone'"}, {test: "option[60].hex == 'boot'", ignore-client-id: true}], subnets: [{id: 1, subnet: 192.0.2.0/24,
		match: [{interface: access}], options: {domain-name: subnet}, lease-time: 1h,
		pools: [{range: 192.0.2.10-192.0.2.10, only: [phones], lease-time: 20m, no-options: [domain-name]}, 192.0.2.20-192.0.2.29],
		reservations: [{hw-address: "02:c1:1e:00:00:03", address: 192.0.2.50, lease-time: 30m, refuse: nak}]}]}`))
	phone := client.Options{Extra: []dhcpv4.Option{dhcpv4.OptClassIdentifier("phone")}}
	for i, c := range []struct {
		name    string
		options client.Options
		address string
		domain  string
		seconds float64
	}{
		{"D4-86 the pool of a class is not for others", client.Options{}, "192.0.2.20", "subnet", 3600},
		{"D4-86, D4-90, D4-83 the pool of a class, its lease time, and an option less", phone, "192.0.2.10", "", 1200},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := b.at(t)
			l := b.obtain(b.client(topology.Multicast, 1+i, c.options))
			if got := l.Response.DHCPv4.DomainName(); l.Address != netip.MustParseAddr(c.address) || got != c.domain || l.Duration.Seconds() != c.seconds {
				t.Errorf("got %v, domain %q, for %v", l.Address, got, l.Duration)
			}
		})
	}
	t.Run("D4-87 the hardware address is the client, whatever identifier it sends", func(t *testing.T) {
		b := b.at(t)
		for _, id := range [][]byte{nil, {1, 2, 3}, {0xff, 0, 0, 0, 9, 0, 3, 0, 1, 7}} {
			c, socket, err := b.Client(topology.Multicast, 4, client.Options{ClientID: id, Retransmit: patient,
				Extra: []dhcpv4.Option{dhcpv4.OptClassIdentifier("boot")}})
			if err != nil {
				t.Fatal(err)
			}
			if l := b.obtain(c); l.Address != netip.MustParseAddr("192.0.2.21") {
				t.Errorf("with the identifier %x the client gets %v", id, l.Address)
			}
			socket.Close()
		}
	})
	t.Run("D4-84 a reservation that refuses", func(t *testing.T) {
		b := b.at(t)
		b.dropped(b.four, `dhcp4d_packets_dropped_total{reason="class_refused",socket="ipc"}`, func() {
			silence(t, b.client(topology.Multicast, 3, client.Options{Retransmit: short}))
		})
	})
}
