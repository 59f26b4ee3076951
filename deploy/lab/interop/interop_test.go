// Package interop runs every pair of v6 half and v4 half, ours and Kea's, and
// compares what they say to each other.
//
// It needs Kea's servers (2.2.0 is what Debian 12 has) and is therefore kept
// out of the ordinary tests: it runs when DHCP4O6_INTEROP=1.
package interop

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/client"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/pair"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/site"
)

// Env switches the tests of this package on.
const Env = "DHCP4O6_INTEROP"

func TestMain(m *testing.M) {
	if os.Getenv(Env) != "1" {
		fmt.Printf("interoperation with Kea is not tested here: %s=1 (make interop) does\n", Env)
		return
	}
	os.Exit(netlab.Main(m.Run))
}

// network builds the site or says why this cannot run: what v6 and v4 half
// are needs to be installed or built; empty is none.
func network(t *testing.T, v6, v4 pair.Kind) *site.Site {
	t.Helper()
	for name, kind := range map[string]pair.Kind{"dhcp6d": v6, "dhcp4d": v4} {
		var err error
		switch kind {
		case pair.Kea:
			err = pair.KeaMissing()
		case pair.Ours:
			_, err = pair.Find(name)
		}
		if err != nil {
			netlab.Skip(t, err.Error())
		}
	}
	s, err := site.New(netlab.Test(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.GiveIPv4(); err != nil {
		t.Fatal(err)
	}
	return s
}

// quick retransmission: nothing is lost here.
var quick = client.Retransmit{First: time.Second, Max: time.Second, Tries: 4}

// TestIPC25Matrix: all four pairs serve direct and relayed clients, with and
// without Relay Port.
func TestIPC25Matrix(t *testing.T) {
	for _, v6 := range []pair.Kind{pair.Ours, pair.Kea} {
		for _, v4 := range []pair.Kind{pair.Ours, pair.Kea} {
			t.Run("IPC-25 v6 half "+string(v6)+", v4 half "+string(v4), func(t *testing.T) {
				s := network(t, v6, v4)
				six, four, err := pair.Start(s.Server, v6, v4, site.Config(t.TempDir()))
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
					for _, via := range site.Ways {
						if port.port != 0 && via != site.OneRelay && via != site.TwoRelays {
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

// matrix is one pair at work.
type matrix struct {
	site  *site.Site
	v4    pair.Kind
	given map[netip.Addr]bool
}

// exchange takes a client through the life of a lease.
func (m matrix) exchange(t *testing.T, via site.Via, n int) {
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
	subnet := site.Direct
	if via == site.OneRelay || via == site.TwoRelays {
		subnet = site.Relayed
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
	// Kea forgets who had an address that was released.
	if m.v4 == pair.Ours && again.Address != lease.Address {
		t.Errorf("after the release: %s, want %s again (D4-24)", again.Address, lease.Address)
	}
	m.given[again.Address] = true
}
