package server

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
	"github.com/dhcp4o6/dhcp4o6/shared/trace/tracetest"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// What becomes of a query, and why, is told to who follows its subscriber.
func TestASubscriberIsTraced(t *testing.T) {
	b := newBench(t)
	b.server.Trace = new(trace.Hub)
	patched := func(m []byte, at int, v ...byte) []byte { m = bytes.Clone(m); copy(m[at:], v); return m }
	requested := func(kind dhcp4.MessageType, client byte, address, server string) []byte {
		return message(kind, client, addrOption(dhcp4.OptRequestedAddress, address), addrOption(dhcp4.OptServerIdentifier, server))
	}
	from := func(source string, carried []byte) []byte {
		return frameOn(t, "eth9", query(carried), netip.MustParseAddrPort(source))
	}
	home := func(carried []byte) []byte { return frame(t, query(carried), direct) }
	ask := func(t *testing.T, w *trace.Watch, data []byte, parts ...string) *trace.Record {
		t.Helper()
		b.server.batch([]udp.Packet{{Data: data, Peer: sixd}})
		r := nextRecord(t, w)
		text := strings.Join(r.Steps, "\n")
		for _, p := range parts {
			if !strings.Contains(text, p) {
				t.Errorf("does not say %q:\n%s", p, text)
			}
		}
		if r.Exchange == "" || len(r.Message) == 0 || r.In == nil || r.In.Length == 0 {
			t.Errorf("lacks something: %+v", r)
		}
		return r
	}
	w, err := b.server.Trace.Watch(trace.Subscriber{HWAddr: []byte{2, 0, 0, 0, 0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r := ask(t, w, home(message(dhcp4.Discover, 1)), "received from dhcp6d", "DISCOVER", "subnet 1, 192.0.2.0/24, by", "decision: OFFER of 192.0.2.", "sent to dhcp6d at "+sixd.String())
	b.server.batch([]udp.Packet{{Data: home(message(dhcp4.Discover, 99)), Peer: sixd}}) // another's
	if len(r.Reply) == 0 {
		t.Error("the OFFER is not in the record")
	}
	ask(t, w, home(requested(dhcp4.Request, 1, "192.0.2.10", "192.0.2.1")), "requested address 192.0.2.10", "server identifier 192.0.2.1", "decision: ACK of 192.0.2.10", "allocated", "committed", "sent to")
	for name, c := range map[string]struct {
		data  []byte
		parts []string
	}{
		"wrong subnet":              {home(message(dhcp4.Request, 1, addrOption(dhcp4.OptRequestedAddress, "10.0.0.1"))), []string{"10.0.0.1 is not in 192.0.2.0/24", "decision: NAK: address of another subnet", "sent to"}},
		"no subnet":                 {from("[2001:db8:9::1]:546", message(dhcp4.Discover, 1)), []string{"no match entry", "dropped (no_subnet)"}},
		"draining":                  {from("[2001:db8:3::1]:546", message(dhcp4.Discover, 1)), []string{"subnet 3", "dropped (draining)"}},
		"dropped by a hook":         {home(patched(message(dhcp4.Discover, 1), 44, 'D')), []string{"does not let it pass", "dropped (hook)"}},
		"another server":            {home(requested(dhcp4.Request, 1, "192.0.2.10", "192.0.2.9")), []string{"no answer (chose_other_server)"}},
		"no record":                 {from("[2001:db8:70::1]:546", message(dhcp4.Request, 1, addrOption(dhcp4.OptRequestedAddress, "192.0.0.10"))), []string{"subnet 7", "no answer (no_record)"}},
		"an INFORM with no address": {home(message(dhcp4.Inform, 1)), []string{"decision: ACK with options and no lease", "sent to"}},
		"not a client's message":    {home(message(dhcp4.Offer, 1)), []string{"dropped (not_for_server)"}},
	} {
		t.Run(name, func(t *testing.T) { ask(t, w, c.data, c.parts...) })
	}
	t.Run("not a peer", func(t *testing.T) {
		b.server.batch([]udp.Packet{{Data: home(message(dhcp4.Discover, 1)), Peer: netip.MustParseAddrPort("[::1]:9999")}})
		if text := strings.Join(nextRecord(t, w).Steps, "\n"); !strings.Contains(text, "dropped (wrong_peer)") || strings.Contains(text, "subnet") {
			t.Error(text)
		}
	})
	t.Run("the kernel refuses to send", func(t *testing.T) {
		b.ipc.Refuse(func(udp.Packet) error { return unix.EHOSTUNREACH })
		defer b.ipc.Refuse(nil)
		ask(t, w, home(message(dhcp4.Discover, 1)), "dropped (send_error)", "no route to host")
	})
	t.Run("the store fails", func(t *testing.T) {
		b.store.broken.Store(true)
		defer b.store.broken.Store(false)
		ask(t, w, from("[2001:db8:5::1]:546", requested(dhcp4.Request, 1, "11.0.0.10", "11.0.0.1")), "dropped (store_error)")
	})
	if len(w.Records()) != 0 {
		t.Error("more is told than there was")
	}
}

// A subscriber whose answer does not leave, because another dhcp4d has the address, is told so.
func TestASubscriberIsTracedWhoseQueryIsDecidedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		room  int
		tells [][]string // by record
	}{
		"there is room": {9, [][]string{
			{"decision: ACK", "not sent: another dhcp4d has changed the lease meanwhile; the query is decided again"},
			{"decided again, by what another dhcp4d has changed", "decision: NAK", "no other dhcp4d has changed the lease", "sent to"},
		}},
		"there is none": {0, [][]string{{"decision: ACK", "dropped (lease_refused)"}}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			s := b.several(t)
			b.again(c.room)
			b.server.Trace = new(trace.Hub)
			_, queries := b.taken(t, s)
			w, err := b.server.Trace.Watch(trace.Subscriber{HWAddr: []byte{2, 0, 0, 0, 0, 1}})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			b.server.batch(queries)
			for i, parts := range c.tells {
				if i > 0 {
					b.waits(t, 2)
					b.server.batch(nil)
				}
				text := strings.Join(nextRecord(t, w).Steps, "\n")
				for _, p := range parts {
					if !strings.Contains(text, p) {
						t.Errorf("record %d does not say %q:\n%s", i, p, text)
					}
				}
			}
		})
	}
}

// nextRecord returns what is told next.
func nextRecord(t *testing.T, w *trace.Watch) *trace.Record {
	t.Helper()
	select {
	case r := <-w.Records():
		return r
	case <-time.After(time.Minute):
		t.Fatal("nothing is told")
		return nil
	}
}

// While nobody follows a subscriber, tracing makes no allocation.
func TestTracingThatIsOffAllocatesNothing(t *testing.T) {
	b := newBench(t)
	b.server.Replies = discard{}
	in := []udp.Packet{{Peer: sixd}}
	data := frame(t, query(message(dhcp4.Discover, 1)), direct)
	serve := func() { in[0].Data = data; b.server.batch(in) }
	serve()
	without := testing.AllocsPerRun(100, serve)
	b.server.Trace = new(trace.Hub)
	if with := testing.AllocsPerRun(100, serve); with > without {
		t.Errorf("%v allocations per query with a hub, %v without", with, without)
	}
	w, err := b.server.Trace.Watch(trace.Subscriber{HWAddr: []byte{9}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if with := testing.AllocsPerRun(100, serve); with > without {
		t.Errorf("%v allocations per query while another client is followed, %v without", with, without)
	}
}

// BenchmarkTrace measures what tracing costs a batch of queries.
func BenchmarkTrace(b *testing.B) {
	tracetest.Benchmark(b, func(b *testing.B, hub *trace.Hub) func() {
		bench := newBench(b)
		bench.server.Replies, bench.server.Trace = discard{}, hub
		in := make([]udp.Packet, tracetest.BatchSize)
		data := frame(b, query(message(dhcp4.Discover, 1)), direct)
		return func() {
			for i := range in {
				in[i] = udp.Packet{Data: data, Peer: sixd}
			}
			bench.server.batch(in)
		}
	})
}

type discard struct{}

func (discard) Write(ps []udp.Packet) int { return len(ps) }
