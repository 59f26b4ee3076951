package server

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/operator"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

func (b *bench) orders() *operator.Orders[*Replies] {
	return &operator.Orders[*Replies]{Book: b.book, Commits: b.commits}
}

// all is every lease that is known.
func (b *bench) all(t testing.TB) []lease.Binding {
	t.Helper()
	var all lease.Batch
	if next, err := b.book.Scan(0, func(*lease.Binding) bool { return true }, &all); next != 0 || err != nil {
		t.Fatalf("scanned to %d (error %v)", next, err)
	}
	return all.Records
}

// wanted is a reservation for a client of message.
func wanted(a string, client byte) *leases.Assignment {
	id := []byte{0xff, client}
	return &leases.Assignment{Address: netip.MustParseAddr(a), Client: lease.AppendKey(nil, id, 1, nil), ClientID: id, HWType: 1, Time: 7200}
}

// stored is the record of an address in the store.
func (b *bench) stored(t testing.TB, a netip.Addr) (found lease.Binding) {
	t.Helper()
	if _, err := b.store.Load(func(l *lease.Binding) error {
		if l.Addr == a {
			var own lease.Batch
			own.Add(l)
			found = own.Records[0]
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestOperatorReleases(t *testing.T) {
	b := newBench(t)
	a := b.bind(t, 1)
	l, err := b.orders().Release(t.Context(), lease.ID{Addr: a}, "api ::1")
	if err != nil || l.State != lease.Released || l.Addr != a || b.stored(t, a).State != lease.Released {
		t.Fatalf("%+v, %v; stored as %v", l, err, b.stored(t, a).State)
	}
	eventually(t, "it is told", func() bool { return b.sum(t, "dhcp4d_lease_events_total", "event=released") == 1 })
	told := b.heard(t)
	last := told[len(told)-1]
	if last.Event != lease.EventReleased || last.By != "api ::1" || last.Binding.Addr != a {
		t.Errorf("observers are told %+v", last)
	}
	for name, c := range map[string]struct {
		a    netip.Addr
		want error
	}{"again": {a, leases.ErrConflict}, "of nobody": {netip.MustParseAddr("192.0.2.200"), leases.ErrNotFound}} {
		if _, err := b.orders().Release(t.Context(), lease.ID{Addr: c.a}, ""); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 1)), direct)); offer.YIAddr() != a {
		t.Errorf("its client is then offered %v, want what it had", offer.YIAddr())
	}
}

func TestOperatorReserves(t *testing.T) {
	b := newBench(t)
	o := b.orders()
	a := netip.MustParseAddr("192.0.2.99")
	l, err := o.Reserve(t.Context(), wanted("192.0.2.99", 5), "api ::1")
	now := b.clock.Now()
	if err != nil || l.State != lease.Bound || l.Expires < now+7190 || b.stored(t, a).State != lease.Bound || len(l.Point) != 0 {
		t.Fatalf("%+v, %v; stored as %v", l, err, b.stored(t, a).State)
	}
	eventually(t, "it is told", func() bool { return b.sum(t, "dhcp4d_lease_events_total", "event=allocated") == 1 })
	told := b.heard(t)
	if last := told[len(told)-1]; last.By != "api ::1" || last.Event != lease.EventAllocated {
		t.Errorf("observers are told %+v", last)
	}
	if again, err := o.Reserve(t.Context(), wanted("192.0.2.99", 5), ""); err != nil || again.Expires != l.Expires {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	taken := b.bind(t, 1).String()
	offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 2)), direct))
	offered := offer.YIAddr().String()
	for _, c := range []struct {
		name string
		w    *leases.Assignment
		want string
	}{
		{"taken", wanted(taken, 7), "leased to another client"},
		{"offered", wanted(offered, 7), "offered to another client"},
		{"in no subnet", wanted("10.0.0.1", 7), "in no subnet"},
		{"in no pool", wanted("192.0.2.2", 7), "in no pool"},
		{"of a client that has another", wanted("192.0.2.50", 1), "the client has " + taken},
		{"reserved by the configuration for another", wanted("198.51.100.99", 7), "reserves it for another client"},
		{"of a client with another reservation", wanted("198.51.100.50", 0xaa), "reserves 198.51.100.99 for the client"},
		{"in a subnet that drains", wanted("203.0.113.11", 7), "state: drain"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := o.Reserve(t.Context(), c.w, ""); !errors.Is(err, leases.ErrConflict) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
			if n := b.stored(t, c.w.Address); n.State == lease.Bound && string(n.Client) == string(c.w.Client) {
				t.Errorf("stored all the same: %+v", n)
			}
		})
	}
	t.Run("the client gets it and then keeps it where it is", func(t *testing.T) {
		offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 5)), direct))
		ack := b.ask(t, frame(t, query(requested(5, offer.YIAddr())), direct))
		if ack.Type() != dhcp4.ACK || ack.YIAddr() != a || len(b.stored(t, a).Point) == 0 {
			t.Errorf("got %v of %v; stored %+v", ack.Type(), ack.YIAddr(), b.stored(t, a))
		}
	})
}

func TestOperatorWithAFailedStore(t *testing.T) {
	b := newBench(t)
	a := b.bind(t, 1)
	b.store.broken.Store(true)
	if _, err := b.orders().Release(t.Context(), lease.ID{Addr: a}, ""); !errors.Is(err, operator.ErrStore) {
		t.Errorf("the one that fails: %v", err)
	}
	if _, err := b.orders().Release(t.Context(), lease.ID{Addr: a}, ""); !errors.Is(err, operator.ErrStore) {
		t.Errorf("one after it: %v", err)
	}
	b.store.broken.Store(false)
	eventually(t, "the store is back", func() bool { return !b.commits.Failed() })
	if ack := b.ask(t, frame(t, query(with(a, message(dhcp4.Request, 1))), direct)); ack.Type() != dhcp4.ACK {
		t.Errorf("the lease is not what it was: %v", ack.Type())
	}
}

func TestOperatorDoesNotWaitForEver(t *testing.T) {
	b := newBench(t)
	a := b.bind(t, 1)
	h := &held{Store: b.store.Store, began: make(chan struct{}, 9), let: make(chan struct{}, 9)}
	b.store.Store = h
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := b.orders().Release(ctx, lease.ID{Addr: a}, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	h.let <- struct{}{}
}

// Pages of a table that was loaded again are refused, and queries are served
// while everything else goes on.
func TestOperatorReadsWhileQueriesAreServed(t *testing.T) {
	b := newBench(t)
	for i := range byte(50) {
		b.bind(t, i)
	}
	all := func(*lease.Binding) bool { return true }
	var found lease.Batch
	if next, err := b.book.Scan(0, all, &found); next != 0 || err != nil || len(found.Records) != 50 {
		t.Fatalf("%d leases, then %v, %v", len(found.Records), next, err)
	}
	stale := leases.ScanPosition(1)<<32 | 7 // of the first table
	if _, err := b.book.Load(b.store); err != nil {
		t.Fatal(err)
	}
	if _, err := b.book.Scan(stale, all, &found); !errors.Is(err, leases.ErrStale) {
		t.Errorf("a position in the table before: %v", err)
	}
	subnets := strings.Count(document, "- {id:")
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			var batch lease.Batch
			for {
				select {
				case <-stop:
					return
				default:
				}
				batch.Reset()
				b.book.Scan(0, all, &batch)
				b.book.OfClient([]byte{lease.KeyIdentifier, 0xff, 3}, &batch)
				b.book.Get(first, &batch)
				if s := b.book.Subnets(); len(s) != subnets || s[0].Size == 0 || s[2].State != "drain" {
					t.Errorf("%+v", s)
				}
			}
		})
	}
	for i := range byte(50) {
		b.server.batch([]udp.Packet{{Data: frame(t, query(message(dhcp4.Discover, 100+i)), direct), Peer: sixd}})
		b.ipc.Sent(1)
	}
	close(stop)
	readers.Wait()
}
