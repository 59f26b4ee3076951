package server

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

var (
	first  = netip.MustParseAddr("192.0.2.10")
	behind = netip.MustParseAddrPort("[2001:db8:2::1]:547")
)

// reload puts another document into effect.
// orphaned reports whether no subnet has an address.
func (b *bench) orphaned(a netip.Addr) bool {
	_, ok := b.book.Subnet(a)
	return !ok
}

func (b *bench) reload(t testing.TB, document string) {
	t.Helper()
	subnets, err := config.ParseSubnets([]byte(document), config.Defaults{Authoritative: true, LeaseTime: 3600, OfferHold: 60, DeclineTime: 3600})
	if err != nil {
		t.Fatal(err)
	}
	set := NewSettings(subnets, nil, b.server.Settings.Load().Hooks, nil)
	b.book.Reconfigure(set.Leases, func() { b.server.Settings.Store(set) })
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

// has tells whether a lease is known.
func (b *bench) has(a netip.Addr) bool {
	var found lease.Batch
	b.book.Get(a, &found)
	return len(found.Records) > 0
}

// meanwhile is a store that something happens to while it is loaded.
type meanwhile struct {
	store.Store
	what func()
}

func (m meanwhile) Load(fn func(*lease.Binding) error) (store.Loaded, error) {
	m.what()
	return m.Store.Load(fn)
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
		b.clocks.Pass(30 * time.Minute)
		ack := b.ask(t, frame(t, query(with(a, message(dhcp4.Request, 1))), direct))
		if left, _ := ack.Uint32(dhcp4.OptLeaseTime); ack.Type() != dhcp4.ACK || left > 1800 || left < 1790 {
			t.Errorf("got %v for %d s, want an ACK for the 1800 s that remain", ack.Type(), left)
		}
		if offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 1)), direct)); offer.YIAddr() != netip.MustParseAddr("192.0.2.20") {
			t.Errorf("offered %v, want one of the new pool", offer.YIAddr())
		}
	})
	t.Run("observers are told of the lease that a client takes, and of the one that it leaves", func(t *testing.T) {
		b := newBench(t)
		left := b.bind(t, 1)
		b.reload(t, strings.Replace(document, "192.0.2.10-", "192.0.2.20-", 1))
		taken := b.bind(t, 1)
		eventually(t, "both are told", func() bool {
			return b.sum(t, "dhcp4d_lease_events_total", "event=allocated") == 2 && b.sum(t, "dhcp4d_lease_events_total", "event=released") == 1
		})
		told := b.heard(t)
		told = told[len(told)-2:]
		for i, want := range []struct {
			event lease.Event
			addr  netip.Addr
		}{{lease.EventReleased, left}, {lease.EventAllocated, taken}} {
			if got := told[i]; got.Event != want.event || got.Binding.Addr != want.addr {
				t.Errorf("told of %v %v, want %v %v", got.Binding.Addr, got.Event, want.addr, want.event)
			}
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
	t.Run("D4-79 a lease belongs to the subnet that has its address", func(t *testing.T) {
		const (
			two   = `[{id: 2, subnet: 192.0.2.0/24, pools: [192.0.2.100-192.0.2.109], match: [{interface: eth1}]}]`
			one   = `[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.100-192.0.2.109], match: [{interface: eth1}]}]`
			split = `[{id: 7, subnet: 192.0.2.64/26, pools: [192.0.2.100-192.0.2.104], match: [{interface: eth7}]},` +
				`{id: 2, subnet: 192.0.2.96/27, pools: [192.0.2.100-192.0.2.109], match: [{interface: eth1}]}]`
			wide = `[{id: 3, subnet: 192.0.0.0/16, pools: [192.0.2.100-192.0.2.109], match: [{interface: eth1}]}]`
		)
		for _, restart := range []bool{false, true} {
			for name, after := range map[string]string{"another id": one, "merged into a wider one": wide, "cut to a part of it": strings.Replace(split, "192.0.2.64/26, pools: [192.0.2.100-192.0.2.104]", "192.0.2.128/26, pools: []", 1)} {
				t.Run(fmt.Sprintf("%s, restart %v", name, restart), func(t *testing.T) {
					b := newBench(t)
					b.reload(t, two)
					addresses := make(map[byte]netip.Addr)
					for client := byte(1); client <= 10; client++ {
						addresses[client] = b.bind(t, client)
					}
					b.reload(t, after)
					if restart {
						if _, err := b.book.Load(b.store); err != nil {
							t.Fatal(err)
						}
					}
					for client, a := range addresses {
						if ack := b.ask(t, frame(t, query(with(a, message(dhcp4.Request, client))), direct)); ack.Type() != dhcp4.ACK || ack.YIAddr() != a {
							t.Errorf("the renewal of %v gets %v of %v", a, ack.Type(), ack.YIAddr())
						}
					}
					// The pool is full: nobody else gets one of the ten.
					b.server.batch([]udp.Packet{{Data: frame(t, query(message(dhcp4.Discover, 11)), direct), Peer: sixd}})
					if n := b.sum(t, "dhcp4d_packets_dropped_total", "reason=no_address"); n != 1 {
						t.Errorf("%v DISCOVERs without address, want 1", n)
					}
					for i, sub := range b.book.Subnets() {
						if sub.Prefix.Contains(addresses[1]) && (sub.Bound != 10 || sub.Free != 0) {
							t.Errorf("subnet %d: %d bound, %d free", i, sub.Bound, sub.Free)
						}
					}
					if n := b.book.Unrenewed(); n != (leases.Unrenewed{}) {
						t.Errorf("not renewed are %+v", n)
					}
				})
			}
		}
		t.Run("leases that are not renewed are counted", func(t *testing.T) {
			b := newBench(t)
			b.reload(t, two)
			a := b.bind(t, 1)
			b.reload(t, strings.Replace(two, a.String()+"-", "192.0.2.105-", 1))
			if n := b.book.Unrenewed(); n != (leases.Unrenewed{NoPool: 1}) {
				t.Errorf("not renewed are %+v, want one without pool", n)
			}
			b.registry.MustRegister(leases.NewGauges(b.book, 10))
			if n := b.sum(t, "dhcp4d_leases_orphaned"); n != 0 {
				t.Errorf("%v leases are orphaned, want 0", n)
			}
			b.reload(t, `[{id: 2, subnet: 198.51.100.0/24, pools: [], match: [{interface: eth1}]}]`)
			if n := b.book.Unrenewed(); n != (leases.Unrenewed{NoSubnet: 1}) {
				t.Errorf("not renewed are %+v, want one without subnet", n)
			}
			if n := b.sum(t, "dhcp4d_leases_orphaned"); n != 1 || !b.orphaned(a) {
				t.Errorf("%v leases are orphaned, want 1", n)
			}
			b.reload(t, one)
			if ack := b.ask(t, frame(t, query(with(a, message(dhcp4.Request, 1))), direct)); ack.Type() != dhcp4.ACK || b.book.Unrenewed() != (leases.Unrenewed{}) {
				t.Errorf("back under another id: %v, %+v", ack.Type(), b.book.Unrenewed())
			}
		})
	})
	t.Run("while the store is loaded again", func(t *testing.T) {
		b := newBench(t)
		a := b.bind(t, 1)
		if _, err := b.book.Load(meanwhile{b.store, func() {
			b.reload(t, strings.Replace(document, "192.0.2.10-", "192.0.2.20-", 1))
		}}); err != nil {
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
	leases.NewGauges(b.book, 10).Collect(ch)
	if len(ch) == 0 {
		t.Error("no gauges")
	}
}

func TestRecovery(t *testing.T) {
	b := newBench(t)
	b.bind(t, 1)
	now := b.clock.Now()
	r := b.server.Settings.Load().Leases
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
	t.Run("a client that begins anew may have lost its old lease to another", func(t *testing.T) {
		before := refused()
		b.server.batch([]udp.Packet{{Data: frame(t, query(message(dhcp4.Discover, 1)), direct), Peer: sixd}})
		if refused() != before+1 {
			t.Error("it is not refused")
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

// Metrics tell few subnets apart, and a full pool of another subnet is seen all the same.
func TestTheFullestPoolOfTheOtherSubnetsHasItsSeries(t *testing.T) {
	b := newBench(t)
	b.registry.MustRegister(leases.NewGauges(b.book, 1))
	for i, source := range []string{"[2001:db8:4::1]:546", "[2001:db8:4:2::1]:546"} { // both addresses of subnet 4
		b.ask(t, frameOn(t, "eth9", query(message(dhcp4.Discover, byte(i))), netip.MustParseAddrPort(source)))
	}
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	value := func(name, subnet string) (v float64, found bool) {
		for _, f := range families {
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if f.GetName() == name && l.GetName() == "subnet" && l.GetValue() == subnet {
						v, found = v+m.GetGauge().GetValue(), true
					}
				}
			}
		}
		return v, found
	}
	for _, name := range []string{"dhcp4d_pool_addresses", "dhcp4d_pool_addresses_assigned"} {
		if n, found := value(name, "4"); n != 2 || !found {
			t.Errorf("%s of subnet 4: %v, %v", name, n, found)
		}
	}
	if _, found := value("dhcp4d_subnet_info", "4"); !found {
		t.Error("nothing joins subnet 4 with its prefix")
	}
	if n, _ := value("dhcp4d_leases", "other"); n != 2 {
		t.Errorf("%v leases in the other subnets", n)
	}
}
