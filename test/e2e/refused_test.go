package e2e

import (
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

const (
	drops6 = "dhcp6d_packets_dropped_total"
	drops4 = "dhcp4d_packets_dropped_total"
)

func TestRefused(t *testing.T) {
	t.Parallel()
	t.Run("Q-34 a query on an interface that is not served is dropped", func(t *testing.T) {
		t.Parallel()
		b := start(t, func(c *servers.Config) { c.Interfaces, c.LDRA = []string{"core"}, nil })
		silence(t, b.client(topology.Multicast, 1, client.Options{Retransmit: short}))
		b.dropped(b.six, drops6, func() { silence(t, b.client(topology.Unicast, 2, client.Options{Retransmit: short})) })
		b.obtain(b.client(topology.OneRelay, 3, client.Options{}))
	})
	t.Run("Q-34 a Relay-forward from an unlisted relay is dropped", func(t *testing.T) {
		t.Parallel()
		b := start(t, func(c *servers.Config) { c.Relays = []netip.Prefix{netip.MustParsePrefix("2001:db8:dead::/48")} })
		b.dropped(b.six, drops6, func() { silence(t, b.client(topology.OneRelay, 1, client.Options{Retransmit: short})) })
		b.obtain(b.client(topology.Multicast, 2, client.Options{}))
	})
	t.Run("D4-16 a client on an unknown subnet gets silence", func(t *testing.T) {
		t.Parallel()
		b := start(t, func(c *servers.Config) { c.Subnets = []servers.Subnet{topology.Relayed} })
		b.dropped(b.four, drops4, func() { silence(t, b.client(topology.Multicast, 1, client.Options{Retransmit: short})) })
		b.obtain(b.client(topology.TwoRelays, 2, client.Options{}))
	})
	t.Run("D4-16 with an empty pool there is no answer, and a released address is given out", func(t *testing.T) {
		t.Parallel()
		b := start(t, func(c *servers.Config) {
			tiny := topology.Direct
			tiny.Last = tiny.First.Next()
			c.Subnets = []servers.Subnet{tiny, topology.Relayed}
		})
		first := b.client(topology.Multicast, 1, client.Options{})
		held := b.obtain(first)
		b.obtain(b.client(topology.Multicast, 2, client.Options{}))
		late := b.client(topology.Multicast, 3, client.Options{Retransmit: short})
		b.dropped(b.four, drops4, func() { silence(t, late) })
		b.obtain(b.client(topology.OneRelay, 4, client.Options{}))
		if err := first.Release(held); err != nil {
			t.Fatal(err)
		}
		if l := b.obtain(late); l.Address != held.Address {
			t.Errorf("got %s, the only free address is %s", l.Address, held.Address)
		}
	})
	t.Run("D4-23 a declined address is not given out again", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		c := b.client(topology.Multicast, 1, client.Options{})
		l := b.obtain(c)
		if err := c.Decline(l); err != nil {
			t.Fatal(err)
		}
		if again := b.obtain(c); again.Address == l.Address {
			t.Errorf("%s was declined and given out again", l.Address)
		}
	})
}
