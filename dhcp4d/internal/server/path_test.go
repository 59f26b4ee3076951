package server

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

var (
	ourID    = addrOption(dhcp4.OptServerIdentifier, "192.0.2.1")
	wantsIPs = dhcp4.AppendOption(nil, dhcp4.OptParameterRequestList, []byte{dhcp4.OptSubnetMask, dhcp4.OptRouter, dhcp4.OptDomainNameServer})
)

// requested is a REQUEST in SELECTING for an address that was offered.
func requested(client byte, a netip.Addr) []byte {
	return message(dhcp4.Request, client, addrOption(dhcp4.OptRequestedAddress, a.String()), ourID, wantsIPs)
}

// with sets ciaddr.
func with(ciaddr netip.Addr, m []byte) []byte {
	copy(m[12:16], ciaddr.AsSlice())
	return m
}

func TestALeaseFromDiscoverToRelease(t *testing.T) {
	b := newBench(t)
	offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 1, wantsIPs)), direct))
	if offer.Type() != dhcp4.Offer || offer.YIAddr() != netip.MustParseAddr("192.0.2.10") {
		t.Fatalf("the answer is %v of %v, want an offer of 192.0.2.10", offer.Type(), offer.YIAddr())
	}
	ack := b.ask(t, frame(t, query(requested(1, offer.YIAddr())), direct))
	for code, want := range map[byte]string{
		dhcp4.OptServerIdentifier: "\xc0\x00\x02\x01", dhcp4.OptLeaseTime: "\x00\x00\x0e\x10", dhcp4.OptSubnetMask: "\xff\xff\xff\x00",
		dhcp4.OptRouter: "\xc0\x00\x02\x01", dhcp4.OptDomainNameServer: "\xc0\x00\x02\x35", dhcp4.OptClientIdentifier: "\xff\x01",
	} {
		if got, _ := ack.Option(code); string(got) != want {
			t.Errorf("option %d is %x, want %x", code, got, want)
		}
	}
	renewed := b.ask(t, frame(t, query(with(ack.YIAddr(), message(dhcp4.Request, 1))), direct))
	if renewed.Type() != dhcp4.ACK || renewed.YIAddr() != ack.YIAddr() || renewed.CIAddr() != ack.YIAddr() {
		t.Errorf("the renewal is answered by %v of %v", renewed.Type(), renewed.YIAddr())
	}
	b.server.batch([]udp.Packet{{Data: frame(t, query(with(ack.YIAddr(), message(dhcp4.Release, 1, ourID))), direct), Peer: sixd}})
	var told []lease.Event
	eventually(t, "the release is durable", func() bool { return b.sum(t, "dhcp4d_lease_events_total", "event=released") == 1 })
	for _, e := range b.heard(t) {
		told = append(told, e.Event)
		if e.Binding.Addr != ack.YIAddr() || e.Interface != "eth1" || e.Binding.Source != direct.Addr() {
			t.Errorf("%v: observers are told of %v at %q from %v", e.Event, e.Binding.Addr, e.Interface, e.Binding.Source)
		}
	}
	if len(told) == 0 || told[0] != lease.EventAllocated || told[len(told)-1] != lease.EventReleased {
		t.Errorf("observers are told %v, want allocated first and released last", told)
	}
}

func TestRA4RelayedClientsGetTheSubnetOfTheirLink(t *testing.T) {
	b := newBench(t)
	relay := netip.MustParseAddrPort("[2001:db8:2::1]:547")
	discover := message(dhcp4.Discover, 1)
	offer := b.ask(t, frame(t, relayed(query(discover), 2), relay))
	if offer.YIAddr() != netip.MustParseAddr("198.51.100.10") {
		t.Errorf("offered %v, want an address of subnet 2", offer.YIAddr())
	}
	reserved := b.ask(t, frame(t, relayed(query(message(dhcp4.Discover, 0xaa)), 1), relay))
	if reserved.YIAddr() != netip.MustParseAddr("198.51.100.99") {
		t.Errorf("offered %v, want the reservation", reserved.YIAddr())
	}
	b.ask(t, frame(t, relayed(query(message(dhcp4.Request, 1, addrOption(dhcp4.OptRequestedAddress, "198.51.100.10"), addrOption(dhcp4.OptServerIdentifier, "198.51.100.1"))), 2), relay))
	eventually(t, "the lease is told", func() bool { return b.sum(t, "dhcp4d_lease_events_total") == 1 })
	relays := b.heard(t)[0].Relays
	if len(relays) != 2 || string(relays[1].InterfaceID) != "port7" {
		t.Errorf("observers are told of %d relays, %+v", len(relays), relays)
	}
}

// held is a store whose commits wait to be let go.
type held struct {
	store.Store
	began, let chan struct{}
}

func (h *held) Commit(records []lease.Binding) ([]store.Refusal, error) {
	h.began <- struct{}{}
	<-h.let
	return h.Store.Commit(records)
}

func TestD4_26NoACKBeforeItsLeaseIsDurable(t *testing.T) {
	b := newBench(t)
	h := &held{Store: b.store.Store, began: make(chan struct{}, 9), let: make(chan struct{}, 9)}
	b.store.Store = h
	offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 1)), direct))
	request := udp.Packet{Data: frame(t, query(requested(1, offer.YIAddr())), direct), Peer: sixd}
	again := udp.Packet{Data: bytes.Clone(request.Data), Peer: sixd}
	b.server.batch([]udp.Packet{request})
	<-h.began
	// A duplicate changes nothing, and must wait all the same; an OFFER does not.
	b.server.batch([]udp.Packet{again})
	second := b.ask(t, frame(t, query(message(dhcp4.Discover, 2)), direct))
	if second.Type() != dhcp4.Offer {
		t.Fatalf("the first to leave is %v, want the OFFER", second.Type())
	}
	if n := b.sum(t, "dhcp4d_responses_sent_total", "type=ack"); n != 0 {
		t.Fatalf("%v ACKs left before the sync", n)
	}
	h.let <- struct{}{}
	h.let <- struct{}{}
	for n := 0; n < 2; {
		for _, p := range b.ipc.Sent(1) {
			if m := answer(t, p); m.Type() != dhcp4.ACK || m.YIAddr() != offer.YIAddr() {
				t.Errorf("after the sync comes %v of %v", m.Type(), m.YIAddr())
			}
			n++
		}
	}
	var stored int
	if _, err := h.Load(func(l *lease.Binding) error { stored++; return nil }); err != nil || stored != 1 {
		t.Errorf("the store holds %d leases (error %v), want 1", stored, err)
	}
}

func TestD4_26AfterAFailureTheAddressIsWhatTheDiskSays(t *testing.T) {
	b := newBench(t)
	offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 1)), direct))
	b.store.broken.Store(true)
	b.server.batch([]udp.Packet{{Data: frame(t, query(requested(1, offer.YIAddr())), direct), Peer: sixd}})
	eventually(t, "the failure is noticed", b.commits.Failed)
	b.store.broken.Store(false)
	eventually(t, "the store is back", func() bool { return !b.commits.Failed() })
	if n := len(b.all(t)); n != 0 {
		t.Errorf("the book holds %d leases that the disk does not", n)
	}
	if ack := b.ask(t, frame(t, query(requested(1, offer.YIAddr())), direct)); ack.Type() != dhcp4.ACK {
		t.Errorf("D4-20: the client that asks again is told %v", ack.Type())
	}
}

func TestQ32NothingInTheMessageChangesWhereTheAnswerGoes(t *testing.T) {
	b := newBench(t)
	m := message(dhcp4.Discover, 1)
	m[10] = 0x80                           // B flag
	copy(m[24:28], []byte{203, 0, 113, 5}) // giaddr
	copy(m[12:16], []byte{203, 0, 113, 6}) // ciaddr
	b.server.batch([]udp.Packet{{Data: frame(t, query(m), direct), Peer: sixd}})
	p := b.ipc.Sent(1)[0]
	var r ipc.Response
	if why := r.Parse(p.Data); why != drop.None {
		t.Fatal(why)
	}
	if p.Peer != sixd || r.Context().Source != direct || string(r.Context().Interface) != "eth1" {
		t.Errorf("the answer goes to %v for %v on %q", p.Peer, r.Context().Source, r.Context().Interface)
	}
}

func TestAHookAtLease4SelectChoosesAnAddressThatIsStored(t *testing.T) {
	b := newBench(t)
	chosen := netip.MustParseAddr("192.0.2.77")
	told := make(chan netip.Addr, 8)
	b.hook(t, func(a *hook.Attachment) {
		event.Lease4Select.Run(a, func(e *event.Query) drop.Reason {
			if e.Decision == nil || e.Subnet == nil || e.Message == nil {
				t.Errorf("lease4_select sees %+v", e)
			}
			e.Address = chosen
			return hook.Continue
		})
		event.Leases4Committed.Run(a, func(e *event.Lease) { told <- e.Binding.Addr })
	})
	offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 1)), direct))
	ack := b.ask(t, frame(t, query(requested(1, offer.YIAddr())), direct))
	if offer.YIAddr() != chosen || ack.Type() != dhcp4.ACK || ack.YIAddr() != chosen {
		t.Errorf("offered %v, then %v of %v; want %v", offer.YIAddr(), ack.Type(), ack.YIAddr(), chosen)
	}
	eventually(t, "it is stored", func() bool { return b.sum(t, "dhcp4d_lease_events_total", "event=allocated") == 1 })
	if stored := <-told; stored != chosen {
		t.Errorf("stored is %v", stored)
	}
}

// null is a store that keeps nothing.
type null struct{ store.Store }

func (null) Commit([]lease.Binding) ([]store.Refusal, error) { return nil, nil }

// sink takes packets and keeps nothing.
type sink struct{}

func (sink) Write(ps []udp.Packet) int { return len(ps) }

// steady is a server in steady state and a batch of what it then gets: half
// DISCOVERs, half renewals that move the end of their lease. It may have another document, whose
// clients on eth1 get addresses of 192.0.2.0/24.
func steady(t testing.TB, n int, document ...string) (b *bench, batch func()) {
	b = newBench(t)
	for _, d := range document {
		b.reload(t, d)
	}
	b.store.Store = null{b.store.Store}
	b.server.Replies = sink{}
	b.hooks(new(event.Hooks))
	b.server.Commits = NewCommitter(Commits{
		Store: b.store, Limit: 1 << 16, Log: b.server.Log, Metrics: commit.NewMetrics(prometheus.NewRegistry(), b.store),
	}, b.book, &Acks{
		Writer: sink{}, Signer: b.server.Auth.Signer,
		Ledger: NewSeries(prometheus.NewRegistry()).NewLedger(), Notifier: b.book.NewNotifier(), Clock: b.clock,
	})
	t.Cleanup(b.server.Commits.Close)
	var bind, in []udp.Packet
	for i := range byte(n) {
		a := netip.AddrFrom4([4]byte{192, 0, 2, 10 + i})
		if i%2 == 0 {
			in = append(in, udp.Packet{Data: frame(t, query(message(dhcp4.Discover, i)), direct), Peer: sixd})
			continue
		}
		bind = append(bind, udp.Packet{Data: frame(t, query(requested(i, a)), direct), Peer: sixd})
		in = append(in, udp.Packet{Data: frame(t, query(with(a, message(dhcp4.Request, i))), direct), Peer: sixd})
	}
	b.server.batch(bind)
	return b, func() {
		b.clocks.Pass(1) // nothing is ever quite the same
		b.server.batch(in)
	}
}

func TestALoopAllocatesNothing(t *testing.T) {
	for _, c := range []struct {
		name      string
		documents []string
	}{
		{"plain subnets", nil},
		{"subnets that share a link", []string{`
limit: 200
classes: [{name: phones, test: "option[60].exists"}]
subnets:
  - {id: 1, subnet: 192.0.2.0/24, network: home, match: [{interface: eth1}], pools: [192.0.2.10-192.0.2.250]}
  - {id: 2, subnet: 198.51.100.0/24, network: home, ignore-client-id: true, pools: [{range: 198.51.100.0/24, only: [phones]}]}
  - {id: 3, subnet: 203.0.113.0/24, network: home, pools: [203.0.113.0/24]}
`}},
		{"a limit by expression", []string{`
limit: 100
limit-by: "hexstring(pkt4.mac, ':')"
subnets:
  - {id: 1, subnet: 192.0.2.0/24, match: [{interface: eth1}], pools: [192.0.2.10-192.0.2.250]}
`}},
		{"reservations by expressions", []string{`
flex-id: "concat(pkt.iface, hexstring(pkt4.mac, ':'))"
classes: [{name: a, test: "option[61].hex == 0xff07"}, {name: b, test: "option[60].exists"}]
subnets:
  - {id: 1, subnet: 192.0.2.0/24, match: [{interface: eth1}], pools: [192.0.2.10-192.0.2.250],
     reservations: [{flex-id: "eth102:00:00:00:00:08", address: 192.0.2.251}, {class: a, address: 192.0.2.252}, {class: b, address: 192.0.2.253}]}
`}},
		{"values from the query", []string{`
options: {host-name: {expr: "'h-' + hexstring(pkt4.mac, '-')"}, domain-name: {expr: "option[200].hex"}, root-path: {expr: "pkt.iface"}}
subnets:
  - {id: 1, subnet: 192.0.2.0/24, match: [{interface: eth1}], pools: [{range: 192.0.2.10-192.0.2.250, options: {merit-dump: {expr: "option[61].hex"}}}]}
`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, batch := steady(t, 64, c.documents...)
			for range 100 {
				batch() // groups and tables grow to their size
			}
			if n := testing.AllocsPerRun(50, batch); n != 0 {
				t.Errorf("a batch of 64 queries allocates %v times", n)
			}
		})
	}
}

func BenchmarkQueries(b *testing.B) {
	_, batch := steady(b, 64)
	b.ReportAllocs()
	for range b.N {
		batch()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(64*b.N), "ns/query")
}
