package e2e

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/faultlink"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

func TestKilled(t *testing.T) {
	t.Parallel()
	t.Run("D4-20 a dhcp4d that is killed between OFFER and REQUEST acknowledges the offered address", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		c := b.client(topology.Multicast, 1, client.Options{})
		// Another client has the first address, so the offered one cannot come again by chance.
		b.obtain(b.client(topology.Multicast, 2, client.Options{}))
		offer, err := c.Discover(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b.four.Kill()
		b.start4()
		lease, err := c.Select(t.Context(), offer)
		if err != nil || lease.Address != offer.Address {
			t.Errorf("%s was offered, then %+v, %v", offer.Address, lease, err)
		}
	})
	t.Run("a kill of dhcp6d between OFFER and REQUEST changes nothing: it has no state", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		c := b.client(topology.OneRelay, 1, client.Options{})
		offer, err := c.Discover(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b.six.Kill()
		b.start6()
		lease, err := c.Select(t.Context(), offer)
		if err != nil || lease.Address != offer.Address {
			t.Errorf("%s was offered, then %+v, %v", offer.Address, lease, err)
		}
	})
	t.Run("D4-26 a lease is on disk when its ACK arrives: dhcp4d knows it after a kill at once", func(t *testing.T) {
		t.Parallel()
		// Not authoritative: dhcp4d is silent about addresses that it does not know (D4-22).
		b := start(t, func(c *servers.Config) { c.Env = []string{"DHCP4D_AUTHORITATIVE=false"} })
		var leases []*client.Lease
		var clients []*client.Client
		for n := range 8 {
			c := b.client(topology.Multicast, n+1, client.Options{})
			leases = append(leases, b.obtain(c))
			clients = append(clients, c)
			b.four.Kill()
			b.start4()
		}
		for i, c := range clients {
			if _, err := c.Reboot(t.Context(), leases[i].Address); err != nil {
				t.Errorf("%s is not known after the restart: %v", leases[i].Address, err)
			}
		}
	})
	t.Run("IPC-3 a renewal is answered after each daemon was restarted, in either order", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		c := b.client(topology.Multicast, 1, client.Options{})
		lease := b.obtain(c)
		for _, h := range []*servers.Half{b.four, b.six} {
			if err := h.Stop(10 * time.Second); err != nil {
				t.Error(err)
			}
		}
		b.start4()
		b.start6()
		if _, err := c.Renew(t.Context(), lease); err != nil {
			t.Errorf("after a restart, dhcp4d first: %v", err)
		}
		b.six.Kill()
		b.four.Kill()
		six, err := servers.StartV6(b.Server, servers.Ours, b.config, true)
		if err != nil {
			t.Fatal(err)
		}
		b.six = six
		b.start4()
		if _, err := c.Renew(t.Context(), lease); err != nil {
			t.Errorf("after a restart, dhcp6d first: %v", err)
		}
	})
	t.Run("IPC-2 a query is lost while dhcp4d is down, and the client's next one is served", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		c := b.client(topology.Unicast, 1, client.Options{})
		lease := b.obtain(c)
		b.four.Kill()
		var renewal sync.WaitGroup
		renewal.Go(func() {
			if _, err := c.Renew(t.Context(), lease); err != nil {
				t.Errorf("renewal over the restart: %v", err)
			}
		})
		time.Sleep(500 * time.Millisecond)
		b.start4()
		renewal.Wait()
	})
}

func TestLossyLink(t *testing.T) {
	t.Parallel()
	for _, message := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeOffer,
		dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeAck} {
		t.Run("D4-27, Q-24 the first two "+message.String()+" are lost, the retransmission is served", func(t *testing.T) {
			t.Parallel()
			b := start(t)
			b.Access.SetRule(faultlink.First(2, faultlink.Drop, carries(message)))
			c := b.client(topology.Multicast, 1, client.Options{})
			lease := b.obtain(c)
			if got := b.Access.Counts().Dropped; got != 2 {
				t.Errorf("the link dropped %d datagrams, want 2", got)
			}
			if l, err := c.Renew(t.Context(), lease); err != nil || l.Address != lease.Address {
				t.Errorf("renew: %+v, %v", l, err)
			}
		})
	}
	t.Run("D4-15 clients on a link that loses, doubles and reorders all get an address of their own", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		b.Access.SetRule(faultlink.Random(7, 0.2, 0.2, 0.2))
		b.Core.SetRule(faultlink.Random(8, 0.2, 0.2, 0.2))
		var mu sync.Mutex
		given := make(map[netip.Addr]int)
		var all sync.WaitGroup
		for n := range 24 {
			c := b.client(topology.Ways[n%len(topology.Ways)], n+1, client.Options{})
			all.Go(func() {
				l, err := c.Obtain(t.Context())
				if err == nil {
					_, err = c.Renew(t.Context(), l)
				}
				if err != nil {
					t.Errorf("client %d: %v", n+1, err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				given[l.Address]++
			})
		}
		all.Wait()
		for a, times := range given {
			if times > 1 {
				t.Errorf("%s was given %d times", a, times)
			}
		}
		for name, w := range map[string]*faultlink.Link{"access": b.Access, "core": b.Core} {
			if c := w.Counts(); c.Dropped == 0 || c.Duplicated == 0 || c.Reordered == 0 {
				t.Errorf("the link %s lost, doubled or reordered too little: %+v", name, c)
			}
		}
	})
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	t.Run("D4-27 each query arrives twice: one lease, equal answers", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		b.Access.SetRule(func(d faultlink.Datagram) faultlink.Action {
			if d.From == faultlink.Left {
				return faultlink.Duplicate
			}
			return faultlink.Pass
		})
		c := b.client(topology.Multicast, 1, client.Options{})
		m := c.Message(dhcpv4.MessageTypeDiscover)
		if err := c.Send(c.Query(m.ToBytes(), false)); err != nil {
			t.Fatal(err)
		}
		first, second := b.next(c), b.next(c)
		if !first.DHCPv4.YourIPAddr.Equal(second.DHCPv4.YourIPAddr) {
			t.Errorf("two offers for one client: %s and %s", first.DHCPv4.YourIPAddr, second.DHCPv4.YourIPAddr)
		}
		lease := b.obtain(c)
		if !first.DHCPv4.YourIPAddr.Equal(lease.Address.AsSlice()) {
			t.Errorf("%s was offered, %s given", first.DHCPv4.YourIPAddr, lease.Address)
		}
		if b.Access.Counts().Duplicated == 0 {
			t.Error("the wire duplicated nothing")
		}
		other := b.obtain(b.client(topology.Multicast, 2, client.Options{}))
		if other.Address == lease.Address {
			t.Errorf("%s was given twice", lease.Address)
		}
	})
}

// next returns the next response to the client.
func (b *bench) next(c *client.Client) *client.Response {
	b.t.Helper()
	datagram, from, err := c.Receive(time.Now().Add(2 * time.Second))
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := c.Parse(datagram, from)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}
