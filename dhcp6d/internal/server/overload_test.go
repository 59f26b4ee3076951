package server

import (
	"net/netip"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/backend"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc/ipctest"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

func TestUnderOverloadExchangesThatHaveBegunComeFirst(t *testing.T) {
	b := newBench(t)
	settings := *b.up.Settings.Load()
	settings.MaxWait = backend.MaxWait{Query: time.Second, Discover: 50 * time.Millisecond}
	b.up.set = &settings
	start := b.now
	discover, request := query(dhcpv4(1, 1)), query(dhcpv4(1, 3))
	// at makes a datagram come out of the socket at a time, after it has waited.
	at := func(after, waited time.Duration, data []byte) string {
		b.up.now, b.up.served = start.Add(after), services
		p := from(client, data)
		p.Received = b.up.now.Add(-waited).UnixNano()
		_, why := b.up.receive(&p)
		return why.Label()
	}
	const ms = time.Millisecond
	for _, step := range []struct {
		name          string
		after, waited time.Duration
		data          []byte
		want          string
	}{
		{"no delay", 0, 0, discover, "none"},
		{"a pause of the process is no overload", 150 * ms, 140 * ms, discover, "none"},
		{"the queue is worked off", 160 * ms, 10 * ms, discover, "none"},
		{"a queue builds up", 300 * ms, 60 * ms, discover, "none"},
		{"and stands", 370 * ms, 100 * ms, discover, "stale"},
		{"the rest of an exchange is served", 371 * ms, 100 * ms, request, "none"},
		{"new ones are not", 372 * ms, 100 * ms, discover, "stale"},
		{"nor what nobody waits for", 373 * ms, 1100 * ms, request, "stale"},
		{"those that come through in time are", 400 * ms, 20 * ms, discover, "none"},
		{"others are not, as long as there are some", 500 * ms, 60 * ms, discover, "stale"},
		{"the queue has gone", 710 * ms, 20 * ms, discover, "none"},
		{"and builds up anew", 800 * ms, 60 * ms, discover, "none"},
	} {
		if got := at(step.after, step.waited, step.data); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
}

// If a dhcp4d answers none of many queries, a probe behind one of them asks how far it has read.
func TestAProbeFollowsQueriesWithoutAnswer(t *testing.T) {
	key := ipc.Key{ID: 1, Secret: []byte("0123456789abcdef")}
	for name, keys := range map[string]ipc.Keys{"": nil, ", signed": {key}} {
		b := newKeyedBench(t, keys, backend.Spec{Name: "four", Daemon: "four", Host: "::1", Port: 6768})
		four := ipctest.New(t, drop.DHCP4D, "four", keys...)
		b.meet(t, four)
		b.set.ProbeAnswered(b.set.From(fourd), netip.Addr{}, ipc.ProbeReply{Full: true}, b.now)
		b.now = b.now.Add(6 * time.Millisecond) // nothing is learned meanwhile
		var in []udp.Packet
		for range 200 {
			in = append(in, from(client, query(dhcpv4(1, 1))))
		}
		b.up.batch(in)
		sent := b.ipc.Sent(0)
		if len(sent) != len(in)+1 {
			t.Fatalf("%d datagrams for %d queries%s", len(sent), len(in), name)
		}
		for i, p := range sent {
			d := four.Open(p.Data)
			if p.Peer != fourd {
				t.Fatalf("datagram %d to %v%s", i, p.Peer, name)
			}
			if probe, ok := ipc.ParseProbe(d); ok && (!probe.Full || int(probe.Mark) != i) {
				t.Errorf("%+v behind %d queries%s", probe, i, name)
			}
		}
		if n := b.sum(t, "dhcp6d_queries_forwarded_total"); n != float64(len(in)) {
			t.Errorf("%v queries are counted as forwarded%s", n, name)
		}
	}
}
