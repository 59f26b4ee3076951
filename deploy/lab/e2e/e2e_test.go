// Package e2e proves both daemons together, in network namespaces, with the
// lab's client, relays and wires. The daemons are the binaries of make build.
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

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/client"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/load"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/pair"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/relay"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/site"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/wire"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m.Run)) }

// A bench is the site with both daemons at work.
type bench struct {
	*site.Site
	t         *testing.T
	config    pair.Config
	six, four *pair.Half
}

// network builds the site without daemons, or says why this cannot run with
// the daemons named.
func network(t *testing.T, daemons ...string) *bench {
	t.Helper()
	lab := netlab.Test(t)
	for _, name := range daemons {
		if _, err := pair.Find(name); err != nil {
			netlab.Skip(t, err.Error())
		}
	}
	s, err := site.New(lab)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &bench{Site: s, t: t, config: site.Config(t.TempDir())}
}

// start builds the site with both daemons and relays. Changes are applied to
// the configuration before.
func start(t *testing.T, changes ...func(*pair.Config)) *bench {
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

// at is the bench for a subtest.
func (b *bench) at(t *testing.T) *bench {
	one := *b
	one.t = t
	return &one
}

func (b *bench) start4() {
	b.t.Helper()
	var err error
	if b.four, err = pair.StartV4(b.Server, pair.Ours, b.config); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) start6() {
	b.t.Helper()
	var err error
	if b.six, err = pair.StartV6(b.Server, pair.Ours, b.config, false); err != nil {
		b.t.Fatal(err)
	}
}

// patient retransmits soon and often: for tests that lose datagrams or wait
// for a daemon to come back.
var patient = client.Retransmit{First: 200 * time.Millisecond, Max: 400 * time.Millisecond, Jitter: 50 * time.Millisecond, Tries: 40}

// short gives up soon: for tests that expect silence.
var short = client.Retransmit{First: 300 * time.Millisecond, Max: 300 * time.Millisecond, Tries: 2}

// client returns client number n on that way.
func (b *bench) client(via site.Via, n int, o client.Options) *client.Client {
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

// silence expects no offer.
func silence(t *testing.T, c *client.Client) {
	t.Helper()
	if l, err := c.Discover(t.Context()); !errors.Is(err, client.ErrNoAnswer) {
		t.Errorf("DISCOVER got %+v, %v, want silence", l, err)
	}
}

// dropped expects that dhcp6d or dhcp4d counted drops for a reason while f
// ran.
func (b *bench) dropped(h *pair.Half, series string, f func()) {
	b.t.Helper()
	before, err := h.Metrics()
	if err != nil {
		b.t.Fatal(err)
	}
	f()
	after, err := h.Metrics()
	if err != nil {
		b.t.Fatal(err)
	}
	if pair.Sum(after, series) <= pair.Sum(before, series) {
		b.t.Errorf("%s did not grow: %v, then %v", series, pair.Sum(before, series), pair.Sum(after, series))
	}
}

// carries matches datagrams with a DHCPv4 message of that type.
func carries(want dhcpv4.MessageType) func(wire.Datagram) bool {
	return func(d wire.Datagram) bool {
		payload, ok := relay.Payload(d.Payload)
		if !ok {
			return false
		}
		m, err := dhcpv4.FromBytes(payload)
		return err == nil && m.MessageType() == want
	}
}

func TestLease(t *testing.T) {
	b := start(t)
	given := make(map[netip.Addr]bool)
	for i, via := range site.Ways {
		t.Run("Q-20, Q-28, Q-31 obtain, renew, rebind, reboot, inform and release by "+string(via), func(t *testing.T) {
			subnet := site.Direct
			if via == site.OneRelay || via == site.TwoRelays {
				subnet = site.Relayed
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
	for _, test := range []struct {
		name, option string
		want         []netip.Addr
	}{
		{"Q-11 multicast", "multicast", []netip.Addr{client.Multicast}},
		{"Q-9 empty means multicast", "empty", []netip.Addr{client.Multicast}},
		{"Q-10 a list, each address once", "2001:db8:a::1", []netip.Addr{site.Server}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := start(t, func(c *pair.Config) { c.Option88 = test.option })
			c := b.client(site.Multicast, 1, client.Options{Servers: []netip.Addr{}})
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
			if info.Servers[0] != client.Multicast { // a unicast server is asked from a global address
				c = b.client(site.Unicast, 2, client.Options{Servers: info.Servers})
			}
			b.obtain(c)
		})
	}
	t.Run("Q-35 nothing is offered unless configured", func(t *testing.T) {
		b := start(t, func(c *pair.Config) { c.Option88 = "" })
		c := b.client(site.Multicast, 1, client.Options{Servers: []netip.Addr{}, Retransmit: short})
		if info, err := c.Information(t.Context()); err == nil && info.Offered {
			t.Errorf("learned %+v", info)
		}
	})
}

// loaded runs the load generator on a host.
func loaded(ctx context.Context, h *netlab.Host, c load.Config) (r load.Report, err error) {
	done := make(chan struct{})
	go func() { // its thread ends with it
		defer close(done)
		runtime.LockOSThread()
		if err = h.Enter(); err == nil {
			r, err = load.Run(ctx, c, nil)
		}
	}()
	<-done
	return r, err
}
