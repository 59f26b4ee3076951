package server

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/backend"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
	"github.com/dhcp4o6/dhcp4o6/shared/trace/tracetest"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// traceOn lets a bench tell what becomes of packets.
func (b *bench) traceOn() *trace.Hub {
	on := Tracing{Hub: new(trace.Hub), Link: netip.MustParseAddrPort("[::]:547"), IPC: netip.MustParseAddrPort("[::1]:6767")}
	b.up.Trace, b.down.Trace = on, on
	return on.Hub
}

// told returns the only record that a watch has.
func told(t *testing.T, w *trace.Watch) *trace.Record {
	t.Helper()
	if n := len(w.Records()); n != 1 {
		t.Fatalf("%d records are told, want 1", n)
	}
	return <-w.Records()
}

func says(t *testing.T, r *trace.Record, parts ...string) {
	t.Helper()
	text := strings.Join(r.Steps, "\n")
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("does not say %q:\n%s", p, text)
		}
	}
}

// ofClient is a DHCPv4 message of a client with a hardware address and a client identifier.
func ofClient(op, kind, n byte) []byte {
	m := dhcpv4(op, kind)
	copy(m[4:], []byte{0xaa, 0, 0, n})
	copy(m[28:], []byte{2, 0, 0, 0, 0, n})
	m = dhcp4.AppendOption(m[:len(m)-1], dhcp4.OptClientIdentifier, []byte{0xff, n})
	return append(m, 255)
}

// What becomes of a datagram, and why, is told to who follows its subscriber.
func TestASubscriberIsTraced(t *testing.T) {
	b := newBench(t)
	hub := b.traceOn()
	w, err := hub.Watch(trace.Subscriber{HWAddr: []byte{2, 0, 0, 0, 0, 7}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	mine := query(ofClient(1, dhcp4Discover, 7))
	poisoned := func(mark byte) []byte { m := ofClient(1, dhcp4Discover, 7); m[nameAt] = mark; return query(m) }
	b.up.batch([]udp.Packet{from(client, query(ofClient(1, dhcp4Discover, 8))), from(client, mine)})
	r := told(t, w)
	says(t, r, "received by eth1 from "+client.String()+", sent to ff02::1:2", "DHCPV4-QUERY with DISCOVER, xid 0xaa000007",
		"hooks at buffer6_receive let it pass: poison", "hooks at pkt6_receive let it pass: see",
		"goes to the dhcp4d four at [::1]:6768: it is the only backend", "sent to the dhcp4d four")
	if r.Exchange != "xid 0xaa000007, client ff07" || r.In == nil || r.Out == nil ||
		r.In.Socket != trace.Link || !bytes.Equal(r.In.Data, mine) || r.In.To != netip.MustParseAddrPort("[ff02::1:2]:547") ||
		r.Out.Socket != trace.IPC || r.Out.From != netip.MustParseAddrPort("[::1]:6767") || r.Out.To != fourd {
		t.Errorf("%+v\nin %+v\nout %+v", r, r.In, r.Out)
	}
	t.Run("through relays", func(t *testing.T) {
		b.up.batch([]udp.Packet{from(relay, relayed(mine, 2))})
		says(t, told(t, w), "relay 1: link-address 2001:db8:7::1, peer-address fe80::a00:27ff:fe12:3456, Interface-Id 0x706f727437", "relay 2: ")
	})
	for name, c := range map[string]struct {
		in    udp.Packet
		parts []string
	}{
		"a hook drops it":         {from(client, poisoned(dropMe)), []string{"hook poison at buffer6_receive does not let it pass", "dropped (hook)"}},
		"a hook limits it":        {from(client, poisoned(limitMe)), []string{"hook poison at buffer6_receive", "dropped (rate_limited)"}},
		"a hook panics":           {from(client, poisoned(panicMe)), []string{"hook poison at buffer6_receive", "dropped (hook_panic)"}},
		"an interface not served": {udp.Packet{Data: mine, Peer: client, Interface: 9}, []string{"interface 9, which is not served", "dropped (interface)"}},
		"a relay not trusted":     {from(netip.MustParseAddrPort("[2001:db8:99::1]:547"), relayed(mine, 1)), []string{"dropped (relay_forbidden)"}},
		"a port that is none":     {from(netip.AddrPortFrom(client.Addr(), 0), mine), []string{"dropped (source)"}},
		"it waited for too long": {func() udp.Packet {
			p := from(client, mine)
			p.Received = b.now.Add(-3 * time.Hour).UnixNano()
			return p
		}(), []string{"it had waited for 3h", "dropped (stale)"}},
	} {
		t.Run(name, func(t *testing.T) {
			b.up.batch([]udp.Packet{c.in})
			says(t, told(t, w), c.parts...)
		})
	}
	t.Run("the kernel refuses to send", func(t *testing.T) {
		b.ipc.Refuse(func(udp.Packet) error { return unix.EPERM })
		defer b.ipc.Refuse(nil)
		b.up.batch([]udp.Packet{from(client, mine)})
		says(t, told(t, w), "dropped (send_error)", "operation not permitted")
	})
	answer := func(t *testing.T, hwaddr byte, peer netip.AddrPort) []udp.Packet {
		t.Helper()
		b.up.batch([]udp.Packet{from(client, query(ofClient(1, dhcp4Discover, hwaddr)))})
		var q ipc.Query
		if why := q.Parse(b.up.queries.packets[0].Data); why != 0 {
			t.Fatal(why)
		}
		frame, mark := ipc.BeginResponse(nil, &q)
		m := dhcpv4(2, 2) // without a client identifier, as of a server before RFC 6842
		copy(m[4:], q.DHCPv4()[4:8])
		copy(m[28:], q.DHCPv4()[28:44])
		frame, why := mark.End(append(frame, m...))
		if why != 0 {
			t.Fatal(why)
		}
		return []udp.Packet{{Data: frame, Peer: peer}}
	}
	t.Run("the answer", func(t *testing.T) {
		in := answer(t, 7, fourd)
		said := told(t, w)
		b.down.batch(in)
		r := told(t, w)
		says(t, r, "answer received from the dhcp4d four at [::1]:6768", "DHCPV4-RESPONSE with OFFER", "its query came by eth1 from "+client.String(),
			"hooks at buffer6_send let it pass: poison", "sent to the client at "+client.String()+" by eth1")
		if r.In.Socket != trace.IPC || r.Out.Socket != trace.Link || r.Out.Interface != "eth1" || len(r.Reply) == 0 || bytes.Contains(r.Out.Data, []byte{0xea, 0x60}) {
			t.Errorf("in %+v\nout %+v", r.In, r.Out)
		}
		if !strings.HasPrefix(said.Exchange, "xid 0xaa000007,") || !strings.HasPrefix(r.Exchange, "xid 0xaa000007,") {
			t.Errorf("%s, %s", said.Exchange, r.Exchange)
		}
	})
	t.Run("an answer of nobody", func(t *testing.T) {
		in := answer(t, 7, netip.MustParseAddrPort("[::1]:9999"))
		told(t, w)
		b.down.batch(in)
		says(t, told(t, w), "which is no backend", "dropped (wrong_peer)")
	})
	t.Run("another's answer", func(t *testing.T) {
		b.down.batch(answer(t, 8, fourd))
		if n := len(w.Records()); n != 0 {
			t.Errorf("%d records", n)
		}
	})
	t.Run("no backend", func(t *testing.T) {
		none := newBench(t, backend.Spec{Name: "west", Host: "west.invalid", Port: 6768})
		w, err := none.traceOn().Watch(trace.Subscriber{Source: netip.PrefixFrom(client.Addr(), 128)})
		if err != nil {
			t.Fatal(err)
		}
		none.up.batch([]udp.Packet{from(client, mine)})
		says(t, told(t, w), "backends: none has an address yet", "dropped (no_backend)")
	})
}

const dhcp4Discover = byte(dhcp4.Discover)

// An answer is followed whose query was, also if only the query has what is looked for.
func TestAnAnswerIsFollowedBecauseOfItsQuery(t *testing.T) {
	b := newBench(t)
	w, err := b.traceOn().Watch(trace.Subscriber{RemoteID: []byte{0, 0, 0, 9, 'x'}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	options := dhcp6.AppendOption(nil, dhcp6.OptRemoteID, []byte{0, 0, 0, 9, 'x'})
	chain := dhcp6.AppendRelayForward(nil, 0, netip.MustParseAddr("2001:db8:7::1"), client.Addr(), options, query(dhcpv4(1, dhcp4Discover)))
	b.up.batch([]udp.Packet{from(relay, chain)})
	says(t, told(t, w), "Remote-Id 0x0000000978", "sent to the dhcp4d four")
	b.down.batch([]udp.Packet{{Data: back(t, b.up.queries.packets[0].Data), Peer: fourd}})
	says(t, told(t, w), "sent to the relay at "+relay.String())
}

// While nobody follows a subscriber, or somebody another one, tracing makes no allocation.
func TestTracingOfOthersAllocatesNothing(t *testing.T) {
	for name, of := range map[string]*trace.Subscriber{"off": nil, "another is followed": {HWAddr: []byte{9}}} {
		t.Run(name, func(t *testing.T) {
			hub := new(trace.Hub)
			if of != nil {
				w, err := hub.Watch(*of)
				if err != nil {
					t.Fatal(err)
				}
				defer w.Close()
			}
			up, down := loopsWith(t, 64, hub)
			if n := testing.AllocsPerRun(100, up); n != 0 {
				t.Errorf("a batch of queries allocates %v times", n)
			}
			if n := testing.AllocsPerRun(100, down); n != 0 {
				t.Errorf("a batch of responses allocates %v times", n)
			}
		})
	}
}

// BenchmarkTrace measures what tracing costs a batch of queries.
func BenchmarkTrace(b *testing.B) {
	tracetest.Benchmark(b, func(b *testing.B, hub *trace.Hub) func() {
		up, _ := loopsWith(b, tracetest.BatchSize, hub)
		return up
	})
}
