package server

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/asking"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/hook/hooktest"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// again has the bench decide again what cannot leave. Room is for how many queries.
func (b *bench) again(room int) {
	b.done.Again = &Again{queue: make(chan *keptQuery, room)}
	b.server.Again = b.done.Again
}

// waits waits until n queries are to be decided again.
func (b *bench) waits(t *testing.T, n int) {
	t.Helper()
	eventually(t, "queries are to be decided again", func() bool { return len(b.server.Again.queue) == n })
}

func TestD4_26TheClientOfARefusedRecordIsToldSoAtOnce(t *testing.T) {
	for _, room := range []int{0, 1, 9} {
		b := newBench(t)
		s := b.several(t)
		b.again(room)
		address := b.offered(t, 1)
		s.mu.Lock()
		s.holder = b.bound(address, 9)
		s.mu.Unlock()
		received := b.sum(t, "dhcp4d_queries_received_total")
		renewal := frame(t, query(with(address, message(dhcp4.Request, 9))), direct)
		b.server.batch([]udp.Packet{
			{Data: frame(t, query(requested(1, address)), direct), Peer: sixd},
			{Data: bytes.Clone(renewal), Peer: sixd},
		})
		b.waits(t, min(room, 2))
		eventually(t, "the others are dropped", func() bool { return b.refusedACKs(t) == float64(max(2-room, 0)) })
		b.server.batch(nil)
		var sent []udp.Packet
		if room > 0 {
			sent = b.ipc.Sent(min(room, 2))
			if m := answer(t, sent[0]); m.Type() != dhcp4.NAK || m.CHAddr()[5] != 1 {
				t.Errorf("the client whose record was refused gets a %v", m.Type())
			}
		}
		if room > 1 {
			if m := answer(t, sent[1]); m.Type() != dhcp4.ACK || m.YIAddr() != address || m.CHAddr()[5] != 9 {
				t.Errorf("the client who has the address gets a %v of %v", m.Type(), m.YIAddr())
			}
		}
		if n := b.sum(t, "dhcp4d_queries_received_total") - received; n != 2 {
			t.Errorf("%v queries count as received", n)
		}
	}
}

func TestDB_9_AQueryIsDecidedAgainAFewTimes(t *testing.T) {
	b := newBench(t)
	s := b.several(t)
	b.again(9)
	address := netip.MustParseAddr("192.0.2.70")
	changed := b.bound(address, 8)
	b.hook(t, func(a *hook.Attachment) {
		event.Buffer4Send.Run(a, func(*event.Query) drop.Reason {
			s.change(nil, changed) // as soon as a reply is made
			return hook.Continue
		})
	})
	b.server.batch([]udp.Packet{{Data: frame(t, query(message(dhcp4.Request, 7, addrOption(dhcp4.OptRequestedAddress, address.String()))), direct), Peer: sixd}})
	for range mostTimes {
		b.waits(t, 1)
		b.server.batch(nil)
	}
	eventually(t, "the last answer is dropped", func() bool {
		return b.sum(t, "dhcp4d_packets_dropped_total", "reason=lease_changed") == 1
	})
	b.waits(t, 0)
}

// taken has another dhcp4d give an address to client 9, before client 1 asks for it here. Client 9
// renews its lease in the same commit group. Both are to be decided again.
func (b *bench) taken(t *testing.T, s *several) (address netip.Addr, queries []udp.Packet) {
	t.Helper()
	address = b.offered(t, 1)
	s.mu.Lock()
	s.holder = b.bound(address, 9)
	s.mu.Unlock()
	return address, []udp.Packet{
		{Data: frame(t, query(requested(1, address)), direct), Peer: sixd},
		{Data: frame(t, query(with(address, message(dhcp4.Request, 9))), direct), Peer: sixd},
	}
}

func TestDB_9AQueryThatIsDecidedAgainPassesNoHookTwiceThatSeesItArrive(t *testing.T) {
	b := newBench(t)
	s := b.several(t)
	b.again(9)
	address, queries := b.taken(t, s)
	var seen []string
	b.hooks(event.NewHooks(hooktest.Set(t, func(a *hook.Attachment) {
		for _, p := range []hook.FilterPoint[event.Query]{event.Pkt4Receive, event.Subnet4Select, event.Lease4Renew} {
			p.Run(a, func(e *event.Query) drop.Reason {
				seen = append(seen, fmt.Sprintf("%s %d", p, e.Message.CHAddr()[5]))
				if p == event.Subnet4Select {
					e.LeaseTime = 777
				}
				return hook.Continue
			})
		}
		event.Buffer4Receive.Run(a, func(e *event.Query) drop.Reason {
			client := e.Data[28+5]
			seen = append(seen, fmt.Sprintf("%s %d", event.Buffer4Receive, client))
			if client != 1 {
				e.Data = e.Octets.Overwrite(e.Data, 28+5, []byte{client + 10})
				e.Data = e.Octets.Overwrite(e.Data, 28+4, []byte{e.Data[28+4] + 1})
			}
			return hook.Continue
		})
	})))
	b.server.batch(queries)
	b.waits(t, 2)
	b.server.batch(nil)
	sent := b.ipc.Sent(2)
	if m := answer(t, sent[0]); m.Type() != dhcp4.NAK || m.CHAddr()[5] != 1 {
		t.Errorf("the client whose record was refused gets a %v", m.Type())
	}
	m := answer(t, sent[1])
	lasting, _ := m.Uint32(dhcp4.OptLeaseTime)
	if m.Type() != dhcp4.ACK || m.YIAddr() != address || m.CHAddr()[4] != 1 || m.CHAddr()[5] != 19 || lasting != 777 {
		t.Errorf("the client who has the address gets a %v of %v for %d s, chaddr %x", m.Type(), m.YIAddr(), lasting, m.CHAddr())
	}
	want := []string{
		"buffer4_receive 1", "pkt4_receive 1", "subnet4_select 1", "buffer4_receive 9", "pkt4_receive 19", "subnet4_select 19",
		"lease4_renew 19",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("hooks saw\n%q, want\n%q", seen, want)
	}
}

// A verdict counts for the second decision too, although it is kept for no other query.
func TestDB_9AQueryThatIsDecidedAgainIsAskedAboutOnce(t *testing.T) {
	b := newBench(t)
	s := b.several(t)
	b.again(9)
	address, queries := b.taken(t, s)
	q := asks(t, b, nil)
	answered := q.sum(t, "dhcp4d_responses_sent_total")
	q.server.batch(queries)
	for range queries {
		asked := <-q.program.asked
		q.program.answer(asked, outside.Answer{Verdict: outside.Continue, LeaseTime: 777,
			Options: []outside.Option{{Code: dhcp4.OptHostName, Value: []byte("seven")}}})
	}
	q.until(t, "both are answered", func() bool { return q.sum(t, "dhcp4d_responses_sent_total") == answered+2 })
	sent := q.ipc.Sent(2)
	slices.SortFunc(sent, func(a, b udp.Packet) int {
		one, two := answer(t, a), answer(t, b)
		return bytes.Compare(one.CHAddr(), two.CHAddr())
	})
	if m := answer(t, sent[0]); m.Type() != dhcp4.NAK {
		t.Errorf("the client whose record was refused gets a %v", m.Type())
	}
	m := answer(t, sent[1])
	lasting, _ := m.Uint32(dhcp4.OptLeaseTime)
	host, _ := m.Option(dhcp4.OptHostName)
	if m.Type() != dhcp4.ACK || m.YIAddr() != address || lasting != 777 || string(host) != "seven" {
		t.Errorf("the client who has the address gets a %v of %v for %d s, host name %q", m.Type(), m.YIAddr(), lasting, host)
	}
	if n := q.sum(t, "dhcp4d_outside_decided_total"); n != 2 {
		t.Errorf("%v queries have been decided by the program, want 2", n)
	}
}

// After a reload what hooks have made of a query counts no more, because classes may have other
// numbers.
func TestDB_9AQueryThatIsDecidedAgainPassesTheHooksOfAnotherConfiguration(t *testing.T) {
	b := newBench(t)
	s := b.several(t)
	b.again(9)
	_, queries := b.taken(t, s)
	b.server.batch(queries)
	b.waits(t, 2)
	runs := 0
	set := NewSettings(b.subnets, nil, event.NewHooks(hooktest.Set(t, func(a *hook.Attachment) {
		event.Pkt4Receive.Run(a, func(*event.Query) drop.Reason { runs++; return hook.Continue })
	})), nil)
	b.server.Settings.Store(set)
	b.server.batch(nil)
	if b.ipc.Sent(2); runs != 2 {
		t.Errorf("the new hook ran %d times", runs)
	}
}

// A stopping is a reader whose socket is closed when nothing more has arrived.
type stopping struct{ packets []udp.Packet }

func (s *stopping) Read() (p []udp.Packet, err error) {
	if p, s.packets = s.packets, nil; len(p) == 0 {
		err = net.ErrClosed
	}
	return p, err
}

// settled waits until each datagram that was received has one fate.
func (b *bench) settled(t *testing.T) {
	t.Helper()
	names := []string{"dhcp4d_queries_received_total", "dhcp4d_responses_sent_total", "dhcp4d_queries_silent_total", "dhcp4d_packets_dropped_total"}
	var n map[string]float64
	defer func() {
		if t.Failed() {
			t.Log(n)
		}
	}()
	eventually(t, "every query has a fate", func() bool {
		n = sums(t, b.account, names)
		return n[names[0]] == n[names[1]]+n[names[2]]+n[names[3]]
	})
}

func TestEveryQueryHasAFateWhenTheServerEnds(t *testing.T) {
	t.Run("one that is to be decided again is decided", func(t *testing.T) {
		b := newBench(t)
		s := b.several(t)
		b.again(9)
		_, queries := b.taken(t, s)
		b.server.batch(queries)
		b.waits(t, 2)
		b.server.IPC = &stopping{}
		if err := b.server.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		sent := b.ipc.Sent(2)
		for i, want := range []dhcp4.MessageType{dhcp4.NAK, dhcp4.ACK} {
			if m := answer(t, sent[i]); m.Type() != want {
				t.Errorf("answer %d is a %v, want a %v", i, m.Type(), want)
			}
		}
		b.settled(t)
	})
	t.Run("one whose record is refused later is dropped", func(t *testing.T) {
		b := newBench(t)
		s := b.several(t)
		b.again(9)
		address, queries := b.taken(t, s)
		s.mu.Lock() // no commit ends
		b.server.IPC = &stopping{queries}
		err := b.server.Run(t.Context())
		s.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "both are dropped", func() bool { return b.refusedACKs(t) == 2 })
		if l := b.known(address); !bytes.Equal(l.Client, s.holder.Client) {
			t.Errorf("the book has %x", l.Client)
		}
		b.settled(t)
	})
	for policy, want := range map[asking.Policy]string{asking.Drop: "hook_timeout", asking.Open: ""} {
		t.Run("one that waits for a program: policy "+asking.Policies[policy], func(t *testing.T) {
			q := asks(t, newBench(t), func(c *asking.Config) { c.Policy = policy })
			q.in(t, message(dhcp4.Discover, 1, wantsIPs))
			q.in(t, message(dhcp4.Discover, 1, wantsIPs)) // waits behind it
			q.in(t, message(dhcp4.Discover, 2, wantsIPs))
			if q.parkedNow() != 3 {
				t.Fatalf("%d are parked", q.parkedNow())
			}
			q.server.IPC = &stopping{}
			if err := q.server.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if want == "" {
				for _, p := range q.ipc.Sent(3) {
					if m := answer(t, p); m.Type() != dhcp4.Offer {
						t.Errorf("the answer is a %v", m.Type())
					}
				}
			} else if n := q.sum(t, "dhcp4d_packets_dropped_total", "reason="+want); n != 3 {
				t.Errorf("%v are dropped", n)
			}
			q.settled(t)
		})
	}
}
