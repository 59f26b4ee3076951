package server

import (
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/table"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

var (
	first  = netip.MustParseAddr("192.0.2.10")
	behind = netip.MustParseAddrPort("[2001:db8:2::1]:547")
)

// reload puts another document into effect.
func (b *bench) reload(t testing.TB, document string) {
	t.Helper()
	subnets, err := config.ParseSubnets([]byte(document), config.Defaults{Authoritative: true, LeaseTime: 3600, OfferHold: 60, DeclineTime: 3600})
	if err != nil {
		t.Fatal(err)
	}
	b.server.Leases.Reconfigure(NewRunning(subnets, nil), b.server.Running)
}

// bind gets a client a lease.
func (b *bench) bind(t testing.TB, client byte) netip.Addr {
	t.Helper()
	offer := b.ask(t, frame(t, query(message(dhcp4.Discover, client)), direct))
	ack := b.ask(t, frame(t, query(requested(client, offer.YIAddr())), direct))
	if ack.Type() != dhcp4.ACK {
		t.Fatalf("client %d gets %v", client, ack.Type())
	}
	return ack.YIAddr()
}

// has tells whether the table knows a lease.
func (b *bench) has(a netip.Addr) (known bool) {
	b.server.Leases.With(func(t *table.Table) { known = t.Get(a, new(lease.Binding)) })
	return known
}

func TestReload(t *testing.T) {
	t.Run("an OFFER of before is acknowledged after", func(t *testing.T) {
		b := newBench(t)
		offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 1)), direct))
		b.reload(t, strings.Replace(document, "192.0.2.250", "192.0.2.200", 1))
		if ack := b.ask(t, frame(t, query(requested(1, offer.YIAddr())), direct)); ack.Type() != dhcp4.ACK || ack.YIAddr() != offer.YIAddr() {
			t.Errorf("got %v of %v", ack.Type(), ack.YIAddr())
		}
	})
	t.Run("a lease outside the pools is confirmed for what remains of it, and its client then moves", func(t *testing.T) {
		b := newBench(t)
		a := b.bind(t, 1)
		b.reload(t, strings.Replace(document, "192.0.2.10-", "192.0.2.20-", 1))
		b.server.Leases.With(func(tb *table.Table) { // half an hour later
			var l lease.Binding
			var own lease.Batch
			tb.Get(a, &l)
			own.Add(&l)
			l = own.Records[0]
			l.Expires -= 1800
			if err := tb.Load(&l, l.Start); err != nil {
				t.Fatal(err)
			}
		})
		ack := b.ask(t, frame(t, query(with(a, message(dhcp4.Request, 1))), direct))
		if left, _ := ack.Uint32(dhcp4.OptLeaseTime); ack.Type() != dhcp4.ACK || left > 1800 || left < 1790 {
			t.Errorf("got %v for %d s, want an ACK for the 1800 s that remain", ack.Type(), left)
		}
		if offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 1)), direct)); offer.YIAddr() != netip.MustParseAddr("192.0.2.20") {
			t.Errorf("offered %v, want one of the new pool", offer.YIAddr())
		}
	})
	t.Run("a lease of a subnet that is gone is kept and not renewed", func(t *testing.T) {
		b := newBench(t)
		a := b.bind(t, 1)
		b.reload(t, `[{id: 2, subnet: 198.51.100.0/24, pools: [198.51.100.10-198.51.100.250], match: [{link-address: "2001:db8:7::/64"}]}]`)
		b.server.batch([]udp.Packet{{Data: frame(t, query(with(a, message(dhcp4.Request, 1))), direct), Peer: sixd}})
		if n := b.sum(t, "dhcp4d_packets_dropped_total", "reason=no_subnet"); n != 1 || !b.has(a) {
			t.Errorf("%v queries without subnet; the lease is known: %v", n, b.has(a))
		}
		if offer := b.ask(t, frame(t, relayed(query(message(dhcp4.Discover, 2)), 1), behind)); offer.YIAddr() != netip.MustParseAddr("198.51.100.10") {
			t.Errorf("the subnet that stays offers %v", offer.YIAddr())
		}
		b.reload(t, document)
		if ack := b.ask(t, frame(t, query(with(a, message(dhcp4.Request, 1))), direct)); ack.Type() != dhcp4.ACK {
			t.Errorf("when the subnet is back the lease is renewed: %v", ack.Type())
		}
	})
	t.Run("while the store is loaded again", func(t *testing.T) {
		b := newBench(t)
		a := b.bind(t, 1)
		old := b.server.Running.Load()
		b.reload(t, strings.Replace(document, "192.0.2.10-", "192.0.2.20-", 1))
		if err := b.server.Leases.Load(b.store, old, commit.NewMetrics(prometheus.NewRegistry(), b.store)); err != nil {
			t.Fatal(err)
		}
		if offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 2)), direct)); offer.YIAddr() != netip.MustParseAddr("192.0.2.20") || !b.has(a) {
			t.Errorf("offered %v, want one of the new pool; the lease is known: %v", offer.YIAddr(), b.has(a))
		}
	})
	t.Run("under load no query is lost", func(t *testing.T) {
		b := newBench(t)
		var all sync.WaitGroup
		all.Go(func() {
			for i := range 50 {
				if i%2 == 0 {
					b.reload(t, strings.Replace(document, "- {id: 1,", `- {id: 9, subnet: 10.0.0.0/8, pools: [10.0.0.10-10.0.0.250], match: [{interface: eth7}]}`+"\n- {id: 1,", 1))
				} else {
					b.reload(t, document)
				}
				gather(t, b)
			}
		})
		for i := range byte(200) {
			if a := b.bind(t, i); !netip.MustParsePrefix("192.0.2.0/24").Contains(a) {
				t.Errorf("client %d has %v", i, a)
			}
		}
		all.Wait()
	})
}

// gather reads the gauges, as a scrape does.
func gather(t testing.TB, b *bench) {
	ch := make(chan prometheus.Metric, 1000)
	NewGauges(b.server.Leases, b.server.Running, 10).Collect(ch)
	if len(ch) == 0 {
		t.Error("no gauges")
	}
}

func TestRecovery(t *testing.T) {
	b := newBench(t)
	b.bind(t, 1)
	_, now := b.server.Leases.Clock.Read()
	r := b.server.Running.Load()
	r.Recover(now)
	if r.RecoverTill() != now+3600 {
		t.Errorf("till %d, want %d", r.RecoverTill(), now+3600)
	}
	refused := func() float64 { return b.sum(t, "dhcp4d_packets_dropped_total", "reason=draining") }
	t.Run("no new address is given out", func(t *testing.T) {
		before := refused()
		b.server.batch([]udp.Packet{{Data: frame(t, query(message(dhcp4.Discover, 2)), direct), Peer: sixd}})
		if refused() != before+1 {
			t.Error("a new client is not refused")
		}
	})
	t.Run("a lease that is known is renewed", func(t *testing.T) {
		if ack := b.ask(t, frame(t, query(with(first, message(dhcp4.Request, 1))), direct)); ack.Type() != dhcp4.ACK {
			t.Errorf("got %v", ack.Type())
		}
	})
	t.Run("a lease that the backup does not know is taken up by its renewal", func(t *testing.T) {
		if ack := b.ask(t, frame(t, query(with(netip.MustParseAddr("192.0.2.77"), message(dhcp4.Request, 7))), direct)); ack.Type() != dhcp4.ACK {
			t.Errorf("got %v", ack.Type())
		}
	})
	t.Run("a client that reboots with a lease that the backup does not know may go on with it", func(t *testing.T) {
		before := b.sum(t, "dhcp4d_queries_silent_total")
		b.server.batch([]udp.Packet{{Data: frame(t, query(message(dhcp4.Request, 8, addrOption(dhcp4.OptRequestedAddress, "192.0.2.78"))), direct), Peer: sixd}})
		if b.sum(t, "dhcp4d_queries_silent_total") != before+1 {
			t.Error("it is answered")
		}
	})
	t.Run("a reservation is given", func(t *testing.T) {
		if offer := b.ask(t, frame(t, relayed(query(message(dhcp4.Discover, 0xaa)), 1), behind)); offer.Type() != dhcp4.Offer {
			t.Errorf("got %v", offer.Type())
		}
	})
	t.Run("after one lease time everything is as always", func(t *testing.T) {
		r.Recover(now - 3601)
		if offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 2)), direct)); offer.Type() != dhcp4.Offer {
			t.Errorf("got %v", offer.Type())
		}
	})
}
