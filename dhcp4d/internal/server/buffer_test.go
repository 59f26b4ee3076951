package server

import (
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/hook/hooktest"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// rewriting has a bench change octets where queries come in, or replies leave.
func (b *bench) rewriting(t testing.TB, p hook.FilterPoint[event.Query], rewrite func(e *event.Query)) {
	set := *b.server.Settings.Load()
	hooks := *set.Hooks
	list := p.List(hooktest.Set(t, func(a *hook.Attachment) {
		p.Run(a, func(e *event.Query) drop.Reason { rewrite(e); return hook.Continue })
	}))
	if p == event.Buffer4Receive {
		hooks.Buffer4Receive = list
	} else {
		hooks.Buffer4Send = list
	}
	set.Hooks = &hooks
	b.server.Settings.Store(&set)
}

// last sets the last octet of the hardware address of the message at hand.
func last(to byte) func(e *event.Query) {
	return func(e *event.Query) { e.Data = e.Octets.Overwrite(e.Data, 28+5, []byte{to}) }
}

func TestWhatAHookMakesOfAQueryCounts(t *testing.T) {
	b := newBench(t)
	b.rewriting(t, event.Buffer4Receive, last(9))
	for client := range byte(3) {
		if m := b.ask(t, frame(t, query(message(dhcp4.Discover, client)), direct)); m.Type() != dhcp4.Offer || m.CHAddr()[5] != 9 {
			t.Errorf("%v for client %d", m.Type(), m.CHAddr()[5])
		}
	}
	b.rewriting(t, event.Buffer4Receive, func(e *event.Query) { e.Data = e.Octets.Replace(e.Data, 100, len(e.Data), nil) })
	b.server.batch([]udp.Packet{{Data: frame(t, query(message(dhcp4.Discover, 1)), direct), Peer: sixd}})
	if n := b.sum(t, "dhcp4d_packets_dropped_total", "reason="+drop.ShortMessage.Label()); n != 1 {
		t.Errorf("%v queries are dropped that hooks have cut short, want 1", n)
	}
}

// TestAParkedQueryIsWhatHooksHaveMadeOfIt: they run once, and what they have changed is not lost.
func TestAParkedQueryIsWhatHooksHaveMadeOfIt(t *testing.T) {
	q := asks(t, newBench(t), nil)
	runs := 0
	q.rewriting(t, event.Buffer4Receive, func(e *event.Query) { runs++; last(9)(e) })
	q.in(t, message(dhcp4.Discover, 1, wantsIPs))
	asked := <-q.program.asked
	if asked.Key[5] != 9 {
		t.Errorf("asked about %x", asked.Key)
	}
	q.program.answer(asked, outside.Answer{Verdict: outside.Continue, Keep: 60})
	<-q.woken
	q.until(t, "it is served", func() bool { return q.parkedNow() == 0 })
	if m := answer(t, q.ipc.Sent(1)[0]); m.Type() != dhcp4.Offer || m.CHAddr()[5] != 9 || runs != 1 {
		t.Errorf("%v for client %d after %d runs", m.Type(), m.CHAddr()[5], runs)
	}
}

func TestWhatAHookMakesOfAReply(t *testing.T) {
	name := []byte{dhcp4.OptHostName, 2, 'h', 'i'}
	for what, c := range map[string]struct {
		rewrite func(e *event.Query)
		dropped bool
	}{
		"an option more":              {func(e *event.Query) { e.Data = e.Octets.Replace(e.Data, 240, 240, name) }, false},
		"the next server":             {func(e *event.Query) { e.Data = e.Octets.Overwrite(e.Data, 20, []byte{192, 0, 2, 1}) }, false},
		"another address":             {func(e *event.Query) { e.Data = e.Octets.Overwrite(e.Data, 16, []byte{192, 0, 2, 99}) }, true},
		"another client":              {last(9), true},
		"another type":                {func(e *event.Query) { e.Data = e.Octets.Overwrite(e.Data, 242, []byte{byte(dhcp4.NAK)}) }, true},
		"no lease time and no server": {func(e *event.Query) { e.Data = e.Octets.Replace(e.Data, 243, len(e.Data)-1, nil) }, true},
		"no message":                  {func(e *event.Query) { e.Data = e.Octets.Replace(e.Data, 200, len(e.Data), nil) }, true},
		"more than the client takes":  {func(e *event.Query) { e.Data = e.Octets.Replace(e.Data, len(e.Data), len(e.Data), make([]byte, 400)) }, true},
	} {
		t.Run(what, func(t *testing.T) {
			b := newBench(t)
			b.rewriting(t, event.Buffer4Send, c.rewrite)
			b.server.batch([]udp.Packet{{Data: frame(t, query(message(dhcp4.Discover, 1)), direct), Peer: sixd}})
			if n := b.sum(t, "dhcp4d_packets_dropped_total", "reason="+drop.Hook.Label()); (n == 1) != c.dropped {
				t.Errorf("%v are dropped", n)
			}
			if c.dropped {
				return
			}
			sent := b.ipc.Sent(1)
			if m := answer(t, sent[0]); m.Type() != dhcp4.Offer || (!m.Has(dhcp4.OptHostName) && m.SIAddr().IsUnspecified()) {
				t.Errorf("the client gets %v with host-name %v, siaddr %v", m.Type(), m.Has(dhcp4.OptHostName), m.SIAddr())
			}
		})
	}
}

// TestAnACKThatHooksHaveChangedWaitsForItsLease, as any other.
func TestAnACKThatHooksHaveChangedWaitsForItsLease(t *testing.T) {
	b := newBench(t)
	b.rewriting(t, event.Buffer4Send, func(e *event.Query) { e.Data = e.Octets.Overwrite(e.Data, 20, []byte{192, 0, 2, 1}) })
	offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 1)), direct))
	m := b.ask(t, frame(t, query(requested(1, offer.YIAddr())), direct))
	if m.Type() != dhcp4.ACK || m.SIAddr().String() != "192.0.2.1" || !b.stored(t, m.YIAddr()).Addr.IsValid() {
		t.Errorf("%v with siaddr %v, stored is %+v", m.Type(), m.SIAddr(), b.stored(t, m.YIAddr()))
	}
}
