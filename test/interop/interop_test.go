// Package interop runs every pair of v6 half and v4 half, ours and Kea's, and compares their
// messages.
//
// It needs Kea's servers (Debian 12 has 2.2.0), so it is not part of the ordinary tests. It runs
// with DHCP4O6_INTEROP=1.
package interop

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// Env switches the tests of this package on.
const Env = "DHCP4O6_INTEROP"

func TestMain(m *testing.M) {
	if os.Getenv(Env) != "1" {
		fmt.Printf("interoperation with Kea is not tested here: %s=1 (make interop) does\n", Env)
		return
	}
	os.Exit(netnstest.Main(m))
}

// network builds the network, or skips the test if a half is neither installed nor built. An empty
// name stands for no half.
func network(t *testing.T, v6, v4 servers.Kind) *topology.Network {
	t.Helper()
	for name, kind := range map[string]servers.Kind{"dhcp6d": v6, "dhcp4d": v4} {
		var err error
		switch kind {
		case servers.Kea:
			err = servers.KeaMissing()
		case servers.Ours:
			_, err = servers.Find(name)
		}
		if err != nil {
			netnstest.Skip(t, err.Error())
		}
	}
	s, err := topology.New(netnstest.Lab(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.GiveIPv4(); err != nil {
		t.Fatal(err)
	}
	return s
}

// quick retransmits early and gives up soon: no datagram is lost here.
var quick = client.Retransmit{First: time.Second, Max: time.Second, Tries: 4}

// TestIPC25Matrix checks that all four pairs serve direct and relayed clients, with and without
// Relay Port.
func TestIPC25Matrix(t *testing.T) {
	for _, v6 := range []servers.Kind{servers.Ours, servers.Kea} {
		for _, v4 := range []servers.Kind{servers.Ours, servers.Kea} {
			t.Run("IPC-25 v6 half "+string(v6)+", v4 half "+string(v4), func(t *testing.T) {
				s := network(t, v6, v4)
				six, four, err := servers.Start(s.Server, v6, v4, topology.Config(t.TempDir()))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if t.Failed() {
						t.Logf("v6 half:\n%s\nv4 half:\n%s", six.Output(), four.Output())
					}
				})
				m := matrix{site: s, v4: v4, given: make(map[netip.Addr]bool)}
				n := 0
				for _, port := range []struct {
					name string
					port uint16
				}{{"", 0}, {" with Relay Port (RL-13)", 10547}} {
					if err := s.StartRelays(port.port, nil); err != nil {
						t.Fatal(err)
					}
					for _, via := range topology.Ways {
						if port.port != 0 && via != topology.OneRelay && via != topology.TwoRelays {
							continue
						}
						n++
						t.Run(string(via)+port.name, func(t *testing.T) { m.exchange(t, via, n) })
					}
					s.StopRelays()
				}
			})
		}
	}
}

// matrix is one pair with its network.
type matrix struct {
	site  *topology.Network
	v4    servers.Kind
	given map[netip.Addr]bool
}

// exchange takes a client through all messages of a lease, from DISCOVER to RELEASE.
func (m matrix) exchange(t *testing.T, via topology.Via, n int) {
	c, socket, err := m.site.Client(via, n, client.Options{Retransmit: quick})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	ctx := t.Context()
	lease, err := c.Obtain(ctx)
	if err != nil {
		t.Fatal(err)
	}
	subnet := topology.Direct
	if via == topology.OneRelay || via == topology.TwoRelays {
		subnet = topology.Relayed
	}
	if !subnet.Prefix.Contains(lease.Address) || lease.Server != subnet.Server() || lease.Mask != subnet.Prefix.Bits() || lease.Duration != time.Hour {
		t.Errorf("lease %+v is not of subnet %+v", lease, subnet)
	}
	if m.given[lease.Address] {
		t.Errorf("%s was given twice", lease.Address)
	}
	m.given[lease.Address] = true

	if _, err := c.Renew(ctx, lease); err != nil {
		t.Errorf("renew: %v", err)
	}
	if _, err := c.Rebind(ctx, lease); err != nil {
		t.Errorf("rebind: %v", err)
	}
	if _, err := c.Reboot(ctx, lease.Address); err != nil {
		t.Errorf("init-reboot: %v", err)
	}
	if _, err := c.Inform(ctx, lease.Address); err != nil {
		t.Errorf("inform: %v", err)
	}
	if _, err := c.Reboot(ctx, netip.MustParseAddr("10.0.0.1")); !errors.Is(err, client.ErrNak) {
		t.Errorf("init-reboot with an address of another subnet: %v, want a NAK", err)
	}
	if err := c.Release(lease); err != nil {
		t.Error(err)
	}
	again, err := c.Obtain(ctx)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	// Kea forgets which client had a released address.
	if m.v4 == servers.Ours && again.Address != lease.Address {
		t.Errorf("after the release: %s, want %s again (D4-24)", again.Address, lease.Address)
	}
	m.given[again.Address] = true
}
