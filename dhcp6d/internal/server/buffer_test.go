package server

import (
	"bytes"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/hook/hooktest"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// rewriting has a bench change octets at both buffer points.
func (b *bench) rewriting(t testing.TB, received, sent func(e *event.Datagram)) {
	t.Helper()
	set := *b.up.Settings.Load()
	set.Hooks = event.NewHooks(hooktest.Set(t, func(a *hook.Attachment) {
		event.Buffer6Receive.Run(a, func(e *event.Datagram) drop.Reason { received(e); return hook.Continue })
		event.Buffer6Send.Run(a, func(e *event.Datagram) drop.Reason { sent(e); return hook.Continue })
	}))
	b.up.Settings.Store(&set)
}

var url = dhcp6.AppendOption(nil, 59, []byte("http://boot.example/"))

// more appends an option to a datagram without relays.
func more(e *event.Datagram) { e.Data = e.View.Octets.Replace(e.Data, len(e.Data), len(e.Data), url) }

// TestWhatHooksMakeOfADatagram: what is in it after the hooks goes on, each with its own changes in
// a batch of several.
func TestWhatHooksMakeOfADatagram(t *testing.T) {
	b := newBench(t)
	b.rewriting(t, more, more)
	b.up.batch([]udp.Packet{from(client, query(dhcpv4(1, 1))), from(client, query(dhcpv4(1, 3)))})
	var responses []udp.Packet
	for _, forwarded := range b.ipc.Sent(2) {
		if !bytes.Contains(forwarded.Data, []byte("http://boot.example/")) {
			t.Errorf("what was forwarded has no option 59: %x", forwarded.Data)
		}
		responses = append(responses, udp.Packet{Data: back(t, forwarded.Data), Peer: fourd})
	}
	b.down.batch(responses)
	for i, sent := range b.link.Sent(2) {
		var p dhcp6.Packet
		if why := p.ParseReply(sent.Data); why != drop.None {
			t.Fatal(why)
		}
		if got, _ := p.Message().Option(59); string(got) != "http://boot.example/" {
			t.Errorf("answer %d has option 59 %q", i, got)
		}
	}
}

func TestWhatHooksBreakIsDropped(t *testing.T) {
	b := newBench(t)
	cut := func(e *event.Datagram) { e.Data = e.View.Octets.Replace(e.Data, 3, len(e.Data), nil) }
	b.rewriting(t, cut, cut)
	b.up.batch([]udp.Packet{from(client, query(dhcpv4(1, 1)))})
	if n := b.sum(t, "dhcp6d_packets_dropped_total", "reason="+drop.Malformed.Label()); n != 1 {
		t.Errorf("%v are dropped that hooks at buffer6_receive have broken, want 1", n)
	}
	b.rewriting(t, func(*event.Datagram) {}, cut)
	b.up.batch([]udp.Packet{from(client, query(dhcpv4(1, 1)))})
	b.down.batch([]udp.Packet{{Data: back(t, b.ipc.Sent(1)[0].Data), Peer: fourd}})
	if n := b.sum(t, "dhcp6d_packets_dropped_total", "reason="+drop.Hook.Label()); n != 1 {
		t.Errorf("%v are dropped that hooks at buffer6_send have broken, want 1", n)
	}
}

// TestChangedDatagramsAllocateNothing: a loop uses the memory of one batch for the next.
func TestChangedDatagramsAllocateNothing(t *testing.T) {
	v, e := new(event.View), new(event.Datagram)
	set := &Settings{Hooks: event.NewHooks(hooktest.Set(t, func(a *hook.Attachment) {
		event.Buffer6Send.Run(a, func(e *event.Datagram) drop.Reason { e.Look(true); more(e); return hook.Continue })
	}))}
	var buf []byte
	m := query(dhcpv4(1, 1))
	run := func() {
		var out udp.Packet
		e.Data = m
		if buf, _ = set.atBuffer6Send(e, v, buf[:0], &out); len(out.Data) != len(m)+24 {
			t.Fatalf("%d octets leave", len(out.Data))
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
