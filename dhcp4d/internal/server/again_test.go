package server

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// again has the bench decide again what cannot leave. Room is for how many queries.
func (b *bench) again(room int) {
	b.done.Again = &Again{queue: make(chan *place, room), wake: func() {}}
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

func TestDB_9_AQueryIsDecidedAgainOnce(t *testing.T) {
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
	b.waits(t, 1)
	b.server.batch(nil)
	eventually(t, "the second answer is dropped", func() bool {
		return b.sum(t, "dhcp4d_packets_dropped_total", "reason=lease_changed") == 1
	})
	b.waits(t, 0)
}
