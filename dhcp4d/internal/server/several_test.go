package server

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/refusals"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// several is a store that tells what other dhcp4d have changed.
type several struct {
	store.Store
	mu      sync.Mutex
	changed []lease.Binding // guarded by mu
	err     error           // guarded by mu
	holder  lease.Binding   // guarded by mu
}

func (s *several) Foreign([]lease.ID) ([]lease.Binding, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	changed := s.changed
	s.changed = nil
	return changed, nil
}

func (s *several) Share() store.Share { return store.Share{Index: 0, Of: 1} }

// change has another dhcp4d change a lease, or not answer.
func (s *several) change(err error, changed ...lease.Binding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed, s.err = changed, err
}

// Commit refuses what the client of another dhcp4d holds.
func (s *several) Commit(records []lease.Binding) ([]store.Refusal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var refused []store.Refusal
	for i := range records {
		if records[i].ID == s.holder.ID && !bytes.Equal(records[i].Client, s.holder.Client) {
			refused = append(refused, store.Refusal{Record: i, Holder: s.holder})
		}
	}
	return refused, nil
}

// several has the bench use a store together with others.
func (b *bench) several(t *testing.T) *several {
	t.Helper()
	s := &several{Store: b.store}
	b.commits.Close()
	b.commits = NewCommitter(Commits{
		Store: s, Limit: 8, Log: slog.New(slog.DiscardHandler), Metrics: commit.NewMetrics(prometheus.NewRegistry(), b.store),
	}, b.book, b.done)
	b.server.Commits = b.commits
	return s
}

// bound is a lease that a client of the bench has from another dhcp4d.
func (b *bench) bound(a netip.Addr, client byte) lease.Binding {
	l := b.known(a)
	now := b.clock.Now()
	key, _ := parsed(message(dhcp4.Request, client)).AppendClientKey(nil)
	l.ID, l.Subnet, l.State, l.Client = lease.ID{Addr: a}, 1, lease.Bound, key
	l.Start, l.Changed, l.Expires = now, now, now+3600
	return l
}

func parsed(m []byte) *dhcp4.Message {
	var p dhcp4.Message
	p.Parse(m)
	return &p
}

func TestDB_9_ANAKWaitsUntilNoOtherDhcp4dHasChangedItsLease(t *testing.T) {
	b := newBench(t)
	s := b.several(t)
	address := netip.MustParseAddr("192.0.2.70")
	var made func() // what happens when a reply is made, in this goroutine
	b.hook(t, func(a *hook.Attachment) {
		event.Buffer4Send.Run(a, func(*event.Query) drop.Reason {
			made()
			return hook.Continue
		})
	})
	recent := new(refusals.Recent)
	b.server.Refusals, b.done.Refusals = recent, recent
	reboot := func() udp.Packet {
		return udp.Packet{Data: frame(t, query(message(dhcp4.Request, 7, addrOption(dhcp4.OptRequestedAddress, address.String()))), direct), Peer: sixd}
	}
	naks := 0
	dropped := func() float64 { return b.sum(t, "dhcp4d_packets_dropped_total", "reason=lease_changed") }
	for _, c := range []struct {
		name    string
		changed []lease.Binding
		err     error
		dropped float64
	}{
		{"nothing has changed", nil, nil, 0},
		{"a lease of somebody else has changed", []lease.Binding{b.bound(netip.MustParseAddr("192.0.2.71"), 8)}, nil, 0},
		{"nobody can say", nil, errors.New("the database is away"), 1},
		{"the client got another address", []lease.Binding{b.bound(netip.MustParseAddr("192.0.2.72"), 7)}, nil, 1},
		{"the client got the address", []lease.Binding{b.bound(address, 7)}, nil, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := dropped()
			made = func() { s.change(c.err, c.changed...) }
			b.server.batch([]udp.Packet{reboot()})
			if c.dropped == 0 {
				if m := answer(t, b.ipc.Sent(1)[0]); m.Type() != dhcp4.NAK {
					t.Errorf("the answer is %v, want a NAK", m.Type())
				}
			}
			eventually(t, "the NAK is settled", func() bool { return dropped() == before+c.dropped })
			noted := 2 // those of the first two cases, which are sent
			if c.dropped == 0 {
				naks++
				noted = naks
			}
			if n := len(recent.Last(9)); n != noted {
				t.Errorf("%d refusals are noted, want %d", n, noted)
			}
			s.change(nil)
		})
	}
	made = func() {}
	if m := b.ask(t, reboot().Data); m.Type() != dhcp4.ACK || m.YIAddr() != address {
		t.Errorf("the client that asks again gets %v of %v", m.Type(), m.YIAddr())
	}
}

// TestDB_9_NoNAKForTheHolderOfARefusedRecord has a client renew a lease that this dhcp4d has just
// given to another one, as it does not know of it. The store refuses that.
func TestDB_9_NoNAKForTheHolderOfARefusedRecord(t *testing.T) {
	b := newBench(t)
	s := b.several(t)
	offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 1)), direct))
	address := offer.YIAddr()
	s.mu.Lock()
	s.holder = b.bound(address, 9)
	s.mu.Unlock()
	renewal := frame(t, query(with(address, message(dhcp4.Request, 9))), direct)
	b.server.batch([]udp.Packet{
		{Data: frame(t, query(requested(1, address)), direct), Peer: sixd},
		{Data: bytes.Clone(renewal), Peer: sixd},
	})
	eventually(t, "ACK and NAK are dropped", func() bool { return b.refusedACKs(t) == 2 })
	if m := b.ask(t, renewal); m.Type() != dhcp4.ACK || m.YIAddr() != address {
		t.Errorf("the holder who asks again gets %v of %v", m.Type(), m.YIAddr())
	}
}
