package e2e

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// once does not retransmit, so a lost datagram is a lost exchange.
var once = client.Retransmit{First: 5 * time.Second, Max: 5 * time.Second, Tries: 1}

// ended checks that a daemon ends on SIGTERM, with status 0.
func ended(t *testing.T, h *servers.Half) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if status, err := h.Wait(ctx); err != nil || status != 0 {
		t.Errorf("status %d, %v", status, err)
	}
}

// TestDrain ends a daemon while some queries are in its socket and others wait for their answers.
func TestDrain(t *testing.T) {
	t.Parallel()
	const queries = 40
	t.Run("dhcp6d on SIGTERM forwards the queries that have arrived and delivers their answers", func(t *testing.T) {
		b, four := withoutFour(t)
		c := b.client(topology.Multicast, 1, client.Options{})
		send := func(n int) {
			for range n {
				if err := c.Send(c.Query(c.Message(dhcpv4.MessageTypeDiscover).ToBytes(), false)); err != nil {
					t.Fatal(err)
				}
			}
		}
		var waiting [][]byte
		send(queries / 2)
		for range queries / 2 {
			waiting = append(waiting, four.receive())
		}
		if err := b.six.Freeze(); err != nil {
			t.Fatal(err)
		}
		before := b.Access.Counts().Passed
		send(queries / 2)
		for b.Access.Counts().Passed < before+queries/2 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(20 * time.Millisecond) // the link counts datagrams before it writes them
		b.six.Signal(syscall.SIGTERM)
		b.six.Thaw()
		for range queries / 2 {
			waiting = append(waiting, four.receive())
		}
		time.Sleep(200 * time.Millisecond) // within the time limit for answers
		for _, frame := range waiting {
			query, ok := relay.Payload(frame)
			if !ok {
				t.Fatalf("frame %x", frame)
			}
			reply := odd(2, 0, dhcpv4.MessageTypeOffer)
			copy(reply[4:8], query[4:8])
			four.answer(frame, reply)
		}
		for n := range waiting {
			if _, _, err := c.Receive(time.Now().Add(2 * time.Second)); err != nil {
				t.Fatalf("%d of %d answers came: %v", n, len(waiting), err)
			}
		}
		ended(t, b.six)
	})
	t.Run("dhcp4d on SIGTERM serves the queries that have arrived, also those whose ACKs wait for the disk", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		var clients []*client.Client
		var offers []*client.Lease
		for n := range queries {
			c := b.client(topology.Ways[n%len(topology.Ways)], n+1, client.Options{Retransmit: once})
			offer, err := c.Discover(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			clients, offers = append(clients, c), append(offers, offer)
		}
		forwarded, err := b.six.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		if err := b.four.Freeze(); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		leases := make([]*client.Lease, queries)
		for n, c := range clients {
			all.Go(func() {
				var err error
				if leases[n], err = c.Select(t.Context(), offers[n]); err != nil {
					t.Error(err)
				}
			})
		}
		b.series(b.six, "dhcp6d_queries_forwarded_total", is(servers.Sum(forwarded, "dhcp6d_queries_forwarded_total")+queries))
		b.four.Signal(syscall.SIGTERM)
		b.four.Thaw()
		all.Wait()
		ended(t, b.four)
		if t.Failed() {
			return
		}
		b.start4()
		b.series(b.six, "dhcp6d_ipc_backend_up", is(1))
		for n, c := range clients {
			if l, err := c.Renew(t.Context(), leases[n]); err != nil || l.Address != leases[n].Address {
				t.Errorf("a lease of the dhcp4d that took over: %+v, %v", l, err)
			}
		}
	})
}
