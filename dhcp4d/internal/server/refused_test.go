package server

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// shared is a store that another dhcp4d uses too. It refuses the records of addresses that clients
// of the other one hold.
type shared struct {
	store.Store
	mu      sync.Mutex
	holders map[lease.ID]lease.Binding // guarded by mu
	began   chan struct{}              // each commit says that it has begun, if there is room
	let     chan struct{}              // and waits for this, unless nil
}

func (s *shared) Commit(records []lease.Binding) ([]store.Refusal, error) {
	if s.let != nil {
		s.began <- struct{}{}
		<-s.let
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var refused []store.Refusal
	var taken []lease.Binding
	for i := range records {
		if h, ok := s.holders[records[i].ID]; ok && !bytes.Equal(h.Client, records[i].Client) {
			refused = append(refused, store.Refusal{Record: i, Holder: h})
			continue
		}
		taken = append(taken, records[i])
	}
	_, err := s.Store.Commit(taken)
	return refused, err
}

// give lets a client of the other dhcp4d hold an address.
func (s *shared) give(b *bench, a netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := b.clock.Now()
	s.holders[lease.ID{Addr: a}] = lease.Binding{
		ID: lease.ID{Addr: a}, Subnet: 1, State: lease.Bound, Client: []byte("\x01foreign"),
		Start: now, Changed: now, Expires: now + 3600,
	}
}

// share has the bench use a store together with another dhcp4d.
func (b *bench) share() *shared {
	s := &shared{Store: b.store.Store, holders: map[lease.ID]lease.Binding{}, began: make(chan struct{}, 9)}
	b.store.Store = s
	return s
}

// offered returns the address that a client is offered.
func (b *bench) offered(t *testing.T, client byte) netip.Addr {
	t.Helper()
	offer := b.ask(t, frame(t, query(message(dhcp4.Discover, client)), direct))
	return offer.YIAddr()
}

// known returns what the book knows of an address.
func (b *bench) known(a netip.Addr) lease.Binding {
	var found lease.Batch
	if b.book.Get(a, &found); len(found.Records) == 0 {
		return lease.Binding{}
	}
	return found.Records[0]
}

func (b *bench) refusedACKs(t *testing.T) float64 {
	return b.sum(t, "dhcp4d_packets_dropped_total", "reason=lease_refused")
}

func TestD4_26NoACKForALeaseThatAnotherServersClientHas(t *testing.T) {
	b := newBench(t)
	other := b.share()
	loser, winner := b.offered(t, 1), b.offered(t, 2)
	other.give(b, loser)
	request := udp.Packet{Data: frame(t, query(requested(1, loser)), direct), Peer: sixd}
	again := udp.Packet{Data: bytes.Clone(request.Data), Peer: sixd}
	renewal := udp.Packet{Data: frame(t, query(with(loser, message(dhcp4.Request, 1))), direct), Peer: sixd}
	b.server.batch([]udp.Packet{request, again, {Data: frame(t, query(requested(2, winner)), direct), Peer: sixd}, renewal})
	if m := answer(t, b.ipc.Sent(1)[0]); m.Type() != dhcp4.ACK || m.YIAddr() != winner {
		t.Errorf("the record that was stored is answered by %v of %v", m.Type(), m.YIAddr())
	}
	eventually(t, "the other replies of the loser are dropped", func() bool { return b.refusedACKs(t) == 3 })
	if n := b.sum(t, "dhcp4d_store_records_refused_total"); n == 0 {
		t.Error("the refused records are not counted")
	}
	eventually(t, "the winner is told", func() bool { return b.sum(t, "dhcp4d_lease_events_total") == 1 })
	if told := b.heard(t); len(told) != 1 || told[0].Binding.Addr != winner {
		t.Errorf("observers are told %+v", told)
	}
	if l := b.known(loser); string(l.Client) != "\x01foreign" || l.State != lease.Bound {
		t.Errorf("the book has %+v, want the lease of the other client", l)
	}
	// The client asks again, as nothing has come.
	if m := b.ask(t, frame(t, query(requested(1, loser)), direct)); m.Type() != dhcp4.NAK {
		t.Errorf("D4-20: asking again is answered by %v, want a NAK", m.Type())
	}
	offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 1)), direct))
	ack := b.ask(t, frame(t, query(requested(1, offer.YIAddr())), direct))
	if offer.YIAddr() == loser || ack.Type() != dhcp4.ACK {
		t.Errorf("then it is offered %v and told %v", offer.YIAddr(), ack.Type())
	}
}

// A duplicate that changes nothing waits in the next group for a record of the one that is written.
func TestD4_26ADuplicateOfARefusedRequestIsDropped(t *testing.T) {
	b := newBench(t)
	other := b.share()
	other.let = make(chan struct{}, 9)
	a := b.offered(t, 1)
	other.give(b, a)
	request := udp.Packet{Data: frame(t, query(requested(1, a)), direct), Peer: sixd}
	again := udp.Packet{Data: bytes.Clone(request.Data), Peer: sixd}
	b.server.batch([]udp.Packet{request})
	<-other.began
	b.server.batch([]udp.Packet{again})
	other.let <- struct{}{}
	eventually(t, "both are dropped", func() bool { return b.refusedACKs(t) == 2 })
	if n := b.sum(t, "dhcp4d_responses_sent_total", "type=ack"); n != 0 {
		t.Errorf("%v ACKs were sent", n)
	}
}

// A client whose lease lies outside of the pools takes another one: the end of the first is written
// in front of the second.
func TestALeaseThatReplacesAnother(t *testing.T) {
	for _, refused := range []bool{false, true} {
		b := newBench(t)
		other := b.share()
		former := b.bind(t, 1)
		b.reload(t, strings.Replace(document, "192.0.2.10-", "192.0.2.20-", 1))
		offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 1)), direct))
		a := offer.YIAddr()
		if refused {
			other.give(b, a)
		}
		b.server.batch([]udp.Packet{{Data: frame(t, query(requested(1, a)), direct), Peer: sixd}})
		eventually(t, "it is settled", func() bool {
			return b.refusedACKs(t)+b.sum(t, "dhcp4d_responses_sent_total", "type=ack") == 2 && b.sum(t, "dhcp4d_lease_events_total", "event=released") == 1
		})
		if b.refusedACKs(t) == 1 != refused || b.stored(t, former).State == lease.Bound {
			t.Errorf("refused %v: %v ACKs are dropped, and the former lease is %v", refused, b.refusedACKs(t), b.stored(t, former).State)
		}
		told := make(map[lease.Event][]netip.Addr)
		for _, e := range b.heard(t) {
			told[e.Event] = append(told[e.Event], e.Binding.Addr)
		}
		allocated := []netip.Addr{former, a}
		if refused {
			allocated = allocated[:1]
		}
		if !slices.Equal(told[lease.EventAllocated], allocated) || !slices.Equal(told[lease.EventReleased], []netip.Addr{former}) {
			t.Errorf("refused %v: observers are told %v", refused, told)
		}
	}
}

func TestAnOperatorsLeaseThatTheStoreRefusesIsAConflict(t *testing.T) {
	b := newBench(t)
	other := b.share()
	a := netip.MustParseAddr("192.0.2.99")
	other.give(b, a)
	if l, err := b.orders().Reserve(t.Context(), wanted("192.0.2.99", 5), "api ::1"); !errors.Is(err, leases.ErrConflict) {
		t.Errorf("%+v, %v", l, err)
	}
	if l := b.known(a); string(l.Client) != "\x01foreign" {
		t.Errorf("the book has %+v", l)
	}
	if n := b.sum(t, "dhcp4d_lease_events_total"); n != 0 {
		t.Errorf("%v events are counted", n)
	}
}
