// Package e2e tests both daemons together, in network namespaces, with the project's client, relay
// agents and links with faults. The daemons are the binaries of make build.
package e2e

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/load"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/faultlink"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

func TestMain(m *testing.M) { os.Exit(netnstest.Main(m)) }

// A bench is the network with both daemons running.
type bench struct {
	*topology.Network
	t         *testing.T
	config    servers.Config
	six, four *servers.Half
}

// network builds the network without daemons. It skips the test, with the reason, if the named
// daemons cannot run.
func network(t *testing.T, daemons ...string) *bench {
	t.Helper()
	lab := netnstest.Lab(t)
	for _, name := range daemons {
		if _, err := servers.Find(name); err != nil {
			netnstest.Skip(t, err.Error())
		}
	}
	s, err := topology.New(lab)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &bench{Network: s, t: t, config: topology.Config(t.TempDir())}
}

// start builds the network with both daemons and relays. Changes are applied to the configuration
// first.
func start(t *testing.T, changes ...func(*servers.Config)) *bench {
	t.Helper()
	b := network(t, "dhcp6d", "dhcp4d")
	for _, change := range changes {
		change(&b.config)
	}
	b.start4()
	b.start6()
	if err := b.StartRelays(0, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		settled(t, b.six, "dhcp6d")
		settled(t, b.four, "dhcp4d")
		if t.Failed() {
			t.Logf("dhcp6d said:\n%s\ndhcp4d said:\n%s", b.six.Output(), b.four.Output())
		}
	})
	return b
}

// at returns the bench for a subtest.
func (b *bench) at(t *testing.T) *bench {
	one := *b
	one.t = t
	return &one
}

func (b *bench) start4() {
	b.t.Helper()
	four, err := servers.StartV4(b.Server, servers.Ours, b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	b.four = four
}

func (b *bench) start6() {
	b.t.Helper()
	six, err := servers.StartV6(b.Server, servers.Ours, b.config, false)
	if err != nil {
		b.t.Fatal(err)
	}
	b.six = six
}

// patient retransmits early and often, for tests that lose datagrams or wait for a daemon.
var patient = client.Retransmit{First: 200 * time.Millisecond, Max: 400 * time.Millisecond, Jitter: 50 * time.Millisecond, Tries: 40}

// short gives up soon, for tests that expect no answer.
var short = client.Retransmit{First: 300 * time.Millisecond, Max: 300 * time.Millisecond, Tries: 2}

// client returns client n on a path.
func (b *bench) client(via topology.Via, n int, o client.Options) *client.Client {
	b.t.Helper()
	if o.Retransmit == (client.Retransmit{}) {
		o.Retransmit = patient
	}
	o.Random = rand.New(rand.NewPCG(uint64(n), 4))
	c, socket, err := b.Client(via, n, o)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { socket.Close() })
	return c
}

func (b *bench) obtain(c *client.Client) *client.Lease {
	b.t.Helper()
	l, err := c.Obtain(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return l
}

// silence checks that there is no offer.
func silence(t *testing.T, c *client.Client) {
	t.Helper()
	if l, err := c.Discover(t.Context()); !errors.Is(err, client.ErrNoAnswer) {
		t.Errorf("DISCOVER got %+v, %v, want silence", l, err)
	}
}

// dropped calls f, and checks that a series of a daemon, such as drops of a reason, grows soon
// after that.
func (b *bench) dropped(h *servers.Half, series string, f func()) {
	b.t.Helper()
	before, err := h.Metrics()
	if err != nil {
		b.t.Fatal(err)
	}
	f()
	b.series(h, series, func(v float64) bool { return v > servers.Sum(before, series) })
}

// carries returns a function that matches datagrams with a DHCPv4 message of a type.
func carries(want dhcpv4.MessageType) func(faultlink.Datagram) bool {
	return func(d faultlink.Datagram) bool {
		payload, ok := relay.Payload(d.Payload)
		if !ok {
			return false
		}
		m, err := dhcpv4.FromBytes(payload)
		return err == nil && m.MessageType() == want
	}
}

func TestLease(t *testing.T) {
	t.Parallel()
	b := start(t)
	given := make(map[netip.Addr]bool)
	for i, via := range topology.Ways {
		t.Run("Q-20, Q-28, Q-31 obtain, renew, rebind, reboot, inform and release by "+string(via), func(t *testing.T) {
			subnet := topology.Direct
			if via == topology.OneRelay || via == topology.TwoRelays {
				subnet = topology.Relayed
			}
			b := b.at(t)
			c := b.client(via, i+1, client.Options{})
			l := b.obtain(c)
			if !subnet.Prefix.Contains(l.Address) || l.Server != subnet.Server() || l.Mask != subnet.Prefix.Bits() || l.Duration != time.Hour {
				t.Errorf("lease %+v is not of subnet %+v", l, subnet)
			}
			if given[l.Address] {
				t.Errorf("%s was given twice", l.Address)
			}
			given[l.Address] = true
			if _, err := c.Renew(t.Context(), l); err != nil {
				t.Errorf("renew: %v", err)
			}
			if _, err := c.Rebind(t.Context(), l); err != nil {
				t.Errorf("rebind: %v", err)
			}
			if _, err := c.Reboot(t.Context(), l.Address); err != nil {
				t.Errorf("init-reboot: %v", err)
			}
			if r, err := c.Inform(t.Context(), l.Address); err != nil || !r.DHCPv4.YourIPAddr.IsUnspecified() {
				t.Errorf("inform: %v, %v", r, err)
			}
			if _, err := c.Reboot(t.Context(), netip.MustParseAddr("10.0.0.1")); !errors.Is(err, client.ErrNak) {
				t.Errorf("init-reboot with a foreign address: %v, want a NAK", err)
			}
			if err := c.Release(l); err != nil {
				t.Error(err)
			}
			if again := b.obtain(c); again.Address != l.Address {
				t.Errorf("after its release the client got %s instead of %s (D4-24)", again.Address, l.Address)
			}
		})
	}
}

func TestInformation(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, option string
		want         []netip.Addr
	}{
		{"Q-11 multicast", "multicast", []netip.Addr{client.Multicast}},
		{"Q-9 empty means multicast", "empty", []netip.Addr{client.Multicast}},
		{"Q-10 a list, each address once", "2001:db8:a::1", []netip.Addr{topology.Server}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, func(c *servers.Config) { c.Option88 = test.option })
			c := b.client(topology.Multicast, 1, client.Options{Servers: []netip.Addr{}})
			if _, err := c.Discover(t.Context()); !errors.Is(err, client.ErrNoServers) {
				t.Errorf("Q-12 a query before option 88: %v", err)
			}
			info, err := c.Information(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !info.Offered || len(info.Servers) != len(test.want) || info.Servers[0] != test.want[0] {
				t.Fatalf("learned %+v, want %v", info, test.want)
			}
			if info.Servers[0] != client.Multicast { // a unicast server gets queries from a global address
				c = b.client(topology.Unicast, 2, client.Options{Servers: info.Servers})
			}
			b.obtain(c)
		})
	}
	t.Run("Q-35 nothing is offered unless configured", func(t *testing.T) {
		t.Parallel()
		b := start(t, func(c *servers.Config) { c.Option88 = "" })
		c := b.client(topology.Multicast, 1, client.Options{Servers: []netip.Addr{}, Retransmit: short})
		if info, err := c.Information(t.Context()); err == nil && info.Offered {
			t.Errorf("learned %+v", info)
		}
	})
}

// loaded runs the load generator on a host.
func loaded(ctx context.Context, h *netns.Host, c load.Config) (r load.Report, err error) {
	done := make(chan struct{})
	go func() { // the goroutine's thread ends with it
		defer close(done)
		runtime.LockOSThread()
		if err = h.Enter(); err == nil {
			r, err = load.Run(ctx, c, nil)
		}
	}()
	<-done
	return r, err
}
