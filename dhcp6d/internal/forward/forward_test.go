package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/metric/metrictest"
	"github.com/dhcp4o6/dhcp4o6/shared/udp/udptest"
)

// bench is a set of backends with a clock and a socket of the test's.
type bench struct {
	*Backends
	t      testing.TB
	clock  time.Time
	socket *udptest.Socket
	reg    *prometheus.Registry
	names  map[string]netip.Addr
	ready  string // what the condition was told; empty is met
}

func (b *bench) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a, ok := b.names[host]; ok {
		return []netip.Addr{a}, nil
	}
	return nil, errors.New("no such host")
}

func (b *bench) Met()                { b.ready = "" }
func (b *bench) Unmet(reason string) { b.ready = reason }

func newBench(t testing.TB, ranges []Range, specs ...Spec) *bench {
	b := &bench{t: t, clock: time.Unix(1_800_000_000, 0), reg: prometheus.NewRegistry(), names: map[string]netip.Addr{},
		socket: udptest.New(netip.MustParseAddrPort("[::1]:6767"))}
	b.Backends = New(Options{
		Log: slog.New(slog.DiscardHandler), Specs: specs, Ranges: ranges, Resolver: b,
		Probe: b.socket.NewWriter(8), Metrics: NewMetrics(b.reg), Now: func() time.Time { return b.clock },
	})
	b.Watch(b)
	b.clock = b.clock.Add(time.Second)
	return b
}

// ours are n backends a, b, … at consecutive ports.
func ours(n int) (specs []Spec) {
	for i := range n {
		specs = append(specs, Spec{Name: string(rune('a' + i)), Daemon: string(rune('a' + i)), Host: "::1", Port: uint16(1000 + i)})
	}
	return specs
}

func (b *bench) named(name string) *Backend {
	for i := range b.table.Load().list {
		if c := &b.table.Load().list[i]; c.Name == name {
			return c
		}
	}
	b.t.Fatalf("no backend %s", name)
	return nil
}

// pass lets time go by in steps, in which those named answer probes.
func (b *bench) pass(d time.Duration, alive ...string) {
	for end := b.clock.Add(d); b.clock.Before(end); {
		b.clock = b.clock.Add(100 * time.Millisecond)
		for _, name := range alive {
			b.ProbeAnswered(b.named(name), b.clock)
		}
		b.judge(b.clock)
	}
}

func message(kind dhcp4.MessageType, xid uint32, client int, options ...[]byte) []byte {
	m := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6, Xid: dhcp4.Xid(xid), CHAddr: [16]byte{2, 4: byte(client >> 8), 5: byte(client)}})
	m = dhcp4.AppendType(m, kind)
	for _, o := range options {
		m = append(m, o...)
	}
	return dhcp4.AppendEnd(m)
}

func requested(a string) []byte {
	return dhcp4.AppendAddr(nil, dhcp4.OptRequestedAddress, netip.MustParseAddr(a))
}

func server(a string) []byte {
	return dhcp4.AppendAddr(nil, dhcp4.OptServerIdentifier, netip.MustParseAddr(a))
}

func renewing(client int, ciaddr string) []byte {
	m := message(dhcp4.Request, 1, client)
	a := netip.MustParseAddr(ciaddr).As4()
	copy(m[12:], a[:])
	return m
}

func (b *bench) query(carried []byte, from string) *Query {
	b.t.Helper()
	var p dhcp6.Packet
	if why := p.Parse(dhcp6.AppendOption(dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{}), dhcp6.OptDHCPv4Msg, carried)); why != drop.None {
		b.t.Fatal(why)
	}
	q := new(Query)
	b.Read(q, &p, netip.MustParseAddr(from), carried)
	return q
}

// goes is the name of the backend that a query goes to, or the reason.
func (b *bench) goes(carried []byte) string {
	c, why := b.Choose(b.query(carried, "fe80::1"), b.clock)
	if why != drop.None {
		return why.Label()
	}
	return c.Name
}

func TestAClientStaysWithItsBackend(t *testing.T) {
	const clients = 3000
	where := func(b *bench) (w [clients]string) {
		for i := range clients {
			w[i] = b.goes(message(dhcp4.Discover, uint32(i), i))
		}
		return w
	}
	three := newBench(t, nil, ours(3)...)
	three.pass(time.Second, "a", "b", "c")
	before := where(three)
	share := map[string]int{}
	for _, w := range before {
		share[w]++
	}
	for name, n := range share {
		if n < clients/3*8/10 || n > clients/3*12/10 {
			t.Errorf("%s has %d of %d clients", name, n, clients)
		}
	}
	t.Run("other processes choose alike, in whatever order the backends are listed", func(t *testing.T) {
		s := ours(3)
		other := newBench(t, nil, s[2], s[0], s[1])
		if where(other) != before {
			t.Error("they do not")
		}
	})
	t.Run("a backend that goes out moves only its own clients, and gets them back", func(t *testing.T) {
		three.pass(5*time.Second, "a", "c")
		for i, w := range where(three) {
			if before[i] != "b" && w != before[i] || w == "b" {
				t.Fatalf("client %d went from %s to %s", i, before[i], w)
			}
		}
		three.pass(time.Second, "a", "b", "c")
		if where(three) != before {
			t.Error("it did not get them back")
		}
	})
	t.Run("a backend that is added takes clients only for itself", func(t *testing.T) {
		three.Set(ours(4), nil)
		three.pass(time.Second, "a", "b", "c", "d")
		moved := 0
		for i, w := range where(three) {
			if w != before[i] {
				moved++
				if w != "d" {
					t.Fatalf("client %d went from %s to %s", i, before[i], w)
				}
			}
		}
		if moved < clients/4*8/10 || moved > clients/4*12/10 {
			t.Errorf("%d of %d clients moved", moved, clients)
		}
	})
}

func TestOwnedAddresses(t *testing.T) {
	ranges := []Range{
		{"a", netip.MustParseAddr("192.0.2.0"), netip.MustParseAddr("192.0.2.127")},
		{"b", netip.MustParseAddr("192.0.2.128"), netip.MustParseAddr("192.0.2.255")},
		{"c", netip.MustParseAddr("198.51.100.5"), netip.MustParseAddr("198.51.100.5")},
	}
	b := newBench(t, ranges, append(ours(2), Spec{Name: "c", Host: "nowhere.example", Port: 1})...)
	b.pass(time.Second, "a", "b")
	hashed := b.goes(message(dhcp4.Discover, 1, 7))
	other := map[string]string{"a": "b", "b": "a"}
	owned := map[string][]string{"a": {"192.0.2.0", "192.0.2.127"}, "b": {"192.0.2.128", "192.0.2.255"}}
	tests := []struct {
		name string
		m    func(address string) []byte
		out  func(owner string) string // where it goes while the owner is out
	}{
		{"renewal", func(a string) []byte { return renewing(7, a) }, func(string) string { return "owner_down" }},
		{"INIT-REBOOT", func(a string) []byte { return message(dhcp4.Request, 1, 7, requested(a)) }, func(string) string { return "owner_down" }},
		{"RELEASE", func(a string) []byte { m := renewing(7, a); m[242] = byte(dhcp4.Release); return m }, func(string) string { return "owner_down" }},
		{"DECLINE", func(a string) []byte { return message(dhcp4.Decline, 1, 7, requested(a), server("192.0.2.1"))[:] }, func(o string) string { return other[o] }},
		{"REQUEST after an OFFER", func(a string) []byte { return message(dhcp4.Request, 1, 7, requested(a), server("192.0.2.1")) }, func(o string) string { return other[o] }},
		{"DISCOVER with a wish", func(a string) []byte { return message(dhcp4.Discover, 1, 7, requested(a)) }, func(o string) string { return other[o] }},
	}
	for _, tt := range tests {
		for owner, addresses := range owned {
			for _, a := range addresses {
				t.Run(fmt.Sprintf("%s of %s goes to its owner", tt.name, a), func(t *testing.T) {
					b.pass(time.Second, "a", "b")
					if got := b.goes(tt.m(a)); got != owner {
						t.Errorf("%s", got)
					}
					b.pass(5*time.Second, other[owner])
					if got := b.goes(tt.m(a)); got != tt.out(owner) {
						t.Errorf("while the owner is out: %s, want %s", got, tt.out(owner))
					}
				})
			}
		}
	}
	b.pass(time.Second, "a", "b")
	for name, tt := range map[string]struct {
		m    []byte
		want string
	}{
		"an address without an owner goes by hash":  {renewing(7, "198.51.100.4"), hashed},
		"above all ranges too":                      {renewing(7, "203.0.113.1"), hashed},
		"below all ranges too":                      {renewing(7, "10.0.0.1"), hashed},
		"the owner's name is not resolved yet":      {renewing(7, "198.51.100.5"), "owner_down"},
		"what is no DHCPv4 goes by hash of nothing": {append(make([]byte, 236), 0x63, 0x82, 0x53, 0x63), b.goes(append(make([]byte, 236), 0x63, 0x82, 0x53, 0x63))},
	} {
		if got := b.goes(tt.m); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestLifeOfABackendOfOurs(t *testing.T) {
	discover := message(dhcp4.Discover, 1, 1)
	t.Run("IPC-26 not heard of yet it is not in, and is tried all the same", func(t *testing.T) {
		b := newBench(t, nil, ours(1)...)
		b.pass(10 * time.Second)
		if b.goes(discover) != "a" || b.ready == "" {
			t.Errorf("%s, ready: %q", b.goes(discover), b.ready)
		}
	})
	t.Run("IPC-26 in while it answers probes, out three probes later, in again at once", func(t *testing.T) {
		b := newBench(t, nil, ours(1)...)
		b.pass(time.Second, "a")
		if b.ready != "" {
			t.Errorf("not ready: %s", b.ready)
		}
		b.pass(outAfter - 200*time.Millisecond)
		if b.goes(discover) != "a" {
			t.Error("out too soon")
		}
		b.pass(400 * time.Millisecond)
		if got := b.goes(discover); got != "no_backend" || b.ready == "" {
			t.Errorf("%s, ready: %q", got, b.ready)
		}
		b.pass(100*time.Millisecond, "a")
		if b.goes(discover) != "a" || b.ready != "" {
			t.Errorf("%s, ready: %q", b.goes(discover), b.ready)
		}
	})
	t.Run("IPC-26 one that answers queries and no probes is never out for good", func(t *testing.T) {
		b := newBench(t, nil, ours(1)...)
		q := b.query(discover, "fe80::1")
		b.Sent(b.named("a"), q, b.clock)
		b.Answered(b.named("a"), discover, b.clock)
		b.pass(time.Second)
		if b.ready != "" {
			t.Errorf("not ready: %s", b.ready)
		}
		b.pass(10 * time.Second)
		if b.goes(discover) != "a" || b.ready == "" {
			t.Errorf("%s, ready: %q", b.goes(discover), b.ready)
		}
	})
	t.Run("out soon when nobody listens, and not because somebody says so", func(t *testing.T) {
		b := newBench(t, nil, ours(2)...)
		b.pass(time.Second, "a", "b")
		first := b.goes(discover)
		b.clock = b.clock.Add(time.Millisecond)
		b.Refused(b.named(first).Addr)
		b.pass(2*time.Second, "a", "b")
		if got := b.goes(discover); got != first {
			t.Errorf("it answers and %s is asked", got)
		}
		b.clock = b.clock.Add(time.Millisecond)
		b.Refused(b.named(first).Addr)
		b.pass(refusedAfter + 100*time.Millisecond)
		if got := b.goes(discover); got == first {
			t.Errorf("still %s", got)
		}
		b.Refused(netip.MustParseAddrPort("[::9]:1")) // nobody's
		b.pass(100*time.Millisecond, "a", "b")
		if b.goes(discover) != first {
			t.Error("not in again")
		}
	})
	t.Run("IPC-26 the last is out too", func(t *testing.T) {
		b := newBench(t, nil, ours(1)...)
		b.Refused(b.named("a").Addr)
		b.judge(b.clock)
		if got := b.goes(discover); got != "no_backend" {
			t.Error(got)
		}
	})
}

func TestLifeOfAKea(t *testing.T) {
	keas := ours(2)
	keas[0].Kea, keas[1].Kea = true, true
	// ask sends DISCOVERs of so many points to a Kea and lets them time out.
	ask := func(b *bench, name string, n, points int) {
		for i := range n {
			m := message(dhcp4.Discover, uint32(i), i)
			b.Sent(b.named(name), b.query(m, fmt.Sprintf("fe80::%d", i%points+1)), b.clock)
		}
		b.pass(timeout + 100*time.Millisecond)
	}
	isOut := func(b *bench, name string) bool { return b.named(name).state.life.Load() == out }
	tests := []struct {
		name    string
		specs   []Spec
		do      func(b *bench)
		wantOut bool
	}{
		{"in from the start", keas, func(*bench) {}, false},
		{"20 DISCOVERs of five points unanswered", keas, func(b *bench) { ask(b, "a", 20, 5) }, true},
		{"19 are too few", keas, func(b *bench) { ask(b, "a", 19, 5) }, false},
		{"four points are too few: they may have no subnet", keas, func(b *bench) { ask(b, "a", 40, 4) }, false},
		{"not within ten seconds", keas, func(b *bench) { ask(b, "a", 10, 5); b.pass(9 * time.Second); ask(b, "a", 10, 5) }, false},
		{"one was answered meanwhile", keas, func(b *bench) {
			ask(b, "a", 10, 5)
			b.Heard(b.named("a"), b.clock)
			ask(b, "a", 10, 5)
		}, false},
		{"REQUESTs say nothing", keas, func(b *bench) {
			for i := range 40 {
				b.Sent(b.named("a"), b.query(message(dhcp4.Request, uint32(i), i), fmt.Sprintf("fe80::%d", i+1)), b.clock)
			}
			b.pass(5 * time.Second)
		}, false},
		{"never the last one", keas[:1], func(b *bench) { ask(b, "a", 40, 10); b.Refused(b.named("a").Addr); b.judge(b.clock) }, false},
		{"nobody listens", keas, func(b *bench) { b.clock = b.clock.Add(1); b.Refused(b.named("a").Addr); b.judge(b.clock) }, true},
		{"on trial after a while", keas, func(b *bench) { ask(b, "a", 20, 5); b.pass(trialAfter) }, false},
		{"on trial, one more", keas, func(b *bench) { ask(b, "a", 20, 5); b.pass(trialAfter); ask(b, "a", 1, 1) }, true},
		{"on trial, it answers", keas, func(b *bench) {
			ask(b, "a", 20, 5)
			b.pass(trialAfter)
			b.Heard(b.named("a"), b.clock)
			b.pass(time.Second)
			ask(b, "a", 3, 1)
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, nil, tt.specs...)
			tt.do(b)
			if got := isOut(b, "a"); got != tt.wantOut {
				t.Errorf("out: %v, want %v", got, tt.wantOut)
			}
		})
	}
}

// TestTrialOfAKea: a Kea that was out is found out about at little cost.
func TestTrialOfAKea(t *testing.T) {
	ranges := []Range{{"a", netip.MustParseAddr("192.0.2.0"), netip.MustParseAddr("192.0.2.127")}}
	start := func(t *testing.T) (b *bench, mine func(n int) []byte) {
		specs := ours(2)
		specs[0].Kea = true
		b = newBench(t, ranges, specs...)
		b.pass(time.Second, "b")
		var clients []int // those that a is the first choice of
		for i := 0; len(clients) < 20; i++ {
			if b.goes(message(dhcp4.Discover, 1, i)) == "a" {
				clients = append(clients, i)
			}
		}
		return b, func(n int) []byte { return message(dhcp4.Discover, 1, clients[n]) }
	}
	// discover sends a DISCOVER where it goes.
	discover := func(b *bench, m []byte) string {
		q := b.query(m, "fe80::1")
		c, why := b.Choose(q, b.clock)
		if why != drop.None {
			return why.Label()
		}
		b.Sent(c, q, b.clock)
		return c.Name
	}
	silence := func(b *bench) {
		for i := range silentDiscovers {
			b.Sent(b.named("a"), b.query(message(dhcp4.Discover, uint32(i), i), fmt.Sprintf("fe80::%d", i)), b.clock)
		}
		b.pass(timeout+100*time.Millisecond, "b")
	}
	refuse := func(b *bench) {
		b.clock = b.clock.Add(1)
		b.Refused(b.named("a").Addr)
		b.judge(b.clock)
	}
	renewal := renewing(7, "192.0.2.1")
	expect := func(t *testing.T, what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	t.Run("no client is asked to wait for it twice, and few once", func(t *testing.T) {
		b, mine := start(t)
		silence(b)
		expect(t, "while it is out", discover(b, mine(0)), "b")
		b.pass(trialAfter, "b")
		for i := range trialDiscovers {
			expect(t, "a test", discover(b, mine(i)), "a")
			expect(t, "whoever asks again", discover(b, mine(i)), "b")
		}
		expect(t, "whoever comes after them", discover(b, mine(trialDiscovers)), "b")
		b.pass(timeout+100*time.Millisecond, "b")
		expect(t, "after the test", discover(b, mine(9)), "b")
		b.pass(trialAfter-timeout, "b")
		expect(t, "before the next", discover(b, mine(9)), "b")
		b.pass(timeout, "b")
		expect(t, "at the next", discover(b, mine(0)), "a")
	})
	t.Run("it gets what only it can serve, as long as that may be", func(t *testing.T) {
		b, mine := start(t)
		silence(b)
		expect(t, "while it is out", b.goes(renewal), "owner_down")
		b.pass(trialAfter, "b")
		for range 5 {
			expect(t, "a renewal", b.goes(renewal), "a")
			b.pass(time.Second, "b")
		}
		expect(t, "a test", discover(b, mine(0)), "a")
		expect(t, "a renewal meanwhile", b.goes(renewal), "a")
		b.pass(timeout+100*time.Millisecond, "b")
		expect(t, "after the test", b.goes(renewal), "owner_down")
	})
	t.Run("whoever is offered something can have it at once", func(t *testing.T) {
		b, mine := start(t)
		silence(b)
		b.pass(trialAfter, "b")
		m := mine(0)
		expect(t, "the test", discover(b, m), "a")
		b.Answered(b.named("a"), m, b.clock)
		m[242] = byte(dhcp4.Request)
		expect(t, "the REQUEST", b.goes(m), "a")
		expect(t, "another client", discover(b, mine(1)), "a")
		b.pass(timeout+time.Second, "b")
		expect(t, "one DISCOVER of it that has no answer", discover(b, mine(2)), "a")
	})
	t.Run("what it says late counts", func(t *testing.T) {
		b, mine := start(t)
		silence(b)
		b.pass(time.Second, "b")
		b.Heard(b.named("a"), b.clock)
		b.judge(b.clock)
		expect(t, "a DISCOVER", discover(b, mine(0)), "a")
	})
	t.Run("where nobody listens the pauses grow to ten seconds", func(t *testing.T) {
		b, mine := start(t)
		refuse(b)
		var at []int
		for second := range 60 {
			if discover(b, mine(0)) == "a" {
				at = append(at, second)
				refuse(b)
			}
			b.pass(time.Second, "b")
		}
		if want := []int{1, 3, 7, 15, 25, 35, 45, 55}; !slices.Equal(at, want) {
			t.Errorf("tried at %v, want %v", at, want)
		}
	})
	t.Run("it is in when no other is left", func(t *testing.T) {
		b, mine := start(t)
		silence(b)
		b.pass(outAfter + 100*time.Millisecond) // b falls silent too
		for i := range 20 {
			expect(t, "a DISCOVER", discover(b, mine(i)), "a")
		}
		if b.ready != "" {
			t.Errorf("not ready: %s", b.ready)
		}
		b.pass(time.Second, "b")
		expect(t, "when b is back", b.goes(mine(0)), "a")
	})
}

func TestProbes(t *testing.T) {
	specs := ours(3)
	specs[1].Kea = true
	b := newBench(t, nil, specs...)
	key := ipc.Key{ID: 1, Secret: []byte("secret")}
	b.signer = ipc.NewSigner(ipc.ToBackend, ipc.Keys{key})
	b.sendProbes(b.clock)
	sent := b.socket.Sent(2)
	if len(sent) != 2 || sent[0].Peer.Port() != 1000 || sent[1].Peer.Port() != 1002 {
		t.Fatalf("IPC-26 a Kea is not probed: %+v", sent)
	}
	for i, name := range []string{"a", "c"} {
		d, why := ipc.NewVerifier(ipc.ToBackend, ipc.Keys{key}, b.clock).Open(sent[i].Data, name, b.clock)
		if why != drop.None || !ipc.IsProbe(d) {
			t.Errorf("IPC-26, IPC-27 probe of %s: %x, %v", name, d, why)
		}
	}
}

func TestResolution(t *testing.T) {
	b := newBench(t, nil, Spec{Name: "x", Host: "four.example", Port: 6768})
	discover := message(dhcp4.Discover, 1, 1)
	b.resolve(t.Context())
	if got := b.goes(discover); got != "no_backend" || b.ready == "" {
		t.Errorf("not resolved: %s, ready: %q", got, b.ready)
	}
	first, second := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	b.names["four.example"] = first
	b.resolve(t.Context())
	at := netip.AddrPortFrom(first, 6768)
	if b.goes(discover) != "x" || b.From(at) == nil {
		t.Error("resolved and not there")
	}
	delete(b.names, "four.example")
	b.resolve(t.Context())
	if b.From(at) == nil {
		t.Error("a name that cannot be resolved lost its address")
	}
	b.names["four.example"] = second
	b.resolve(t.Context())
	if b.From(at) != nil || b.From(netip.AddrPortFrom(second, 6768)) == nil {
		t.Error("IPC-24 it moved, and only the new address counts")
	}
}

// resolverFunc is a Resolver.
type resolverFunc func(ctx context.Context, network, host string) ([]netip.Addr, error)

func (f resolverFunc) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return f(ctx, network, host)
}

func TestResolutionOfSeveralAddresses(t *testing.T) {
	b := newBench(t, nil, Spec{Name: "x", Host: "four.example", Port: 6768})
	one, two, three := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("2001:db8::3")
	for _, step := range []struct {
		answer []netip.Addr
		want   netip.Addr
	}{
		{[]netip.Addr{one, two}, one},
		{[]netip.Addr{two, one}, one}, // as name servers do
		{[]netip.Addr{two, three}, two},
	} {
		b.resolver = resolverFunc(func(_ context.Context, network, _ string) ([]netip.Addr, error) {
			if network != "ip6" {
				t.Errorf("asked for %s", network)
			}
			return step.answer, nil
		})
		b.resolve(t.Context())
		if b.From(netip.AddrPortFrom(step.want, 6768)) == nil {
			t.Errorf("%v: it is at %v, want %v", step.answer, b.named("x").Addr, step.want)
		}
	}
	b.network, b.resolver = "ip4", resolverFunc(func(_ context.Context, network, _ string) ([]netip.Addr, error) {
		if network != "ip4" {
			t.Errorf("asked for %s where the IPC is IPv4", network)
		}
		return nil, errors.New("no such host")
	})
	b.resolve(t.Context())
}

// TestANameServerThatIsSilent must keep no backend from being probed: one that
// froze would be noticed too late.
func TestANameServerThatIsSilent(t *testing.T) {
	var asked atomic.Int64
	b := New(Options{Log: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
		Specs: append(ours(1), Spec{Name: "x", Host: "four.example", Port: 1}, Spec{Name: "y", Host: "five.example", Port: 1}),
		Resolver: resolverFunc(func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
			asked.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
		})})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	c := b.From(netip.MustParseAddrPort("[::1]:1000"))
	b.ProbeAnswered(c, time.Now())
	began := time.Now()
	for asked.Load() < 2 || c.state.life.Load() != in {
		time.Sleep(time.Millisecond)
	}
	for c.state.life.Load() != out { // it has frozen
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(began); took >= 3*time.Second { // when the first client asks again
		t.Errorf("out after %v", took)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestNamesAreResolvedAgain is the goroutine: at once when configured anew,
// and from time to time.
func TestNamesAreResolvedAgain(t *testing.T) {
	var clock atomic.Int64
	var address atomic.Pointer[netip.Addr]
	start := time.Unix(1_800_000_000, 0)
	set := func(s string) netip.AddrPort {
		a := netip.MustParseAddr(s)
		address.Store(&a)
		return netip.AddrPortFrom(a, 6768)
	}
	first := set("2001:db8::1")
	b := New(Options{Log: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
		Now: func() time.Time { return start.Add(time.Duration(clock.Load())) },
		Resolver: resolverFunc(func(context.Context, string, string) ([]netip.Addr, error) {
			return []netip.Addr{*address.Load()}, nil
		})})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	arrives := func(at netip.AddrPort) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); b.From(at) == nil; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("never at %v", at)
			}
		}
	}
	b.Set([]Spec{{Name: "x", Host: "four.example", Port: 6768}}, nil)
	arrives(first)
	second := set("2001:db8::2")
	clock.Add(int64(resolveEvery))
	arrives(second)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestReload(t *testing.T) {
	b := newBench(t, nil, ours(2)...)
	b.pass(time.Second, "a", "b")
	discover := message(dhcp4.Discover, 5, 5)
	a := b.named("a")
	b.Sent(a, b.query(discover, "fe80::1"), b.clock)
	c := Spec{Name: "c", Host: "::1", Port: 3000}
	b.Set([]Spec{c, ours(1)[0]}, nil)
	if b.From(netip.MustParseAddrPort("[::1]:1001")) != nil {
		t.Error("IPC-24 a backend that was removed is still listened to")
	}
	b.Answered(b.From(a.Addr), discover, b.clock)
	if n := b.named("a").state.series.unmatched.Load(); n != 0 || b.named("a").state.life.Load() != in {
		t.Errorf("a backend that stays has lost what was known of it (%d)", n)
	}
	if b.named("a").state.id.Load() == b.named("c").state.id.Load() {
		t.Error("two have one number")
	}
}

func TestABackendThatIsAddedTakesNothingOver(t *testing.T) {
	b := newBench(t, nil, ours(2)...)
	b.pass(time.Second, "a", "b")
	b.Sent(b.named("b"), b.query(message(dhcp4.Discover, 5, 5), "fe80::1"), b.clock)
	for i := range 300 { // more often than there are numbers
		one := Spec{Name: fmt.Sprint("c", i), Host: "::1", Port: uint16(3000 + i)}
		b.Set(append(ours(1), one), nil)
		if i == 0 {
			b.pass(timeout+time.Second, "a")
		}
		if n := b.named(one.Name).state.series.timeouts.Load(); n != 0 {
			t.Errorf("%d timeouts of a backend that is gone", n)
		}
		if id := b.named(one.Name).state.id.Load(); id == 0 || id > 255 || id == b.named("a").state.id.Load() {
			t.Fatalf("number %d", id)
		}
	}
}

func TestRunEndsAndWakes(t *testing.T) {
	b := New(Options{Log: slog.New(slog.DiscardHandler), Specs: ours(1), Metrics: NewMetrics(prometheus.NewRegistry())})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	c := b.From(netip.MustParseAddrPort("[::1]:1000"))
	for c.state.life.Load() != in {
		b.ProbeAnswered(c, time.Now())
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSeries(t *testing.T) {
	b := newBench(t, nil, ours(2)...)
	metrictest.Lint(t, b.reg, drop.DHCP6D)
}

// queryPacket is a parsed DHCPV4-QUERY and where it came from.
type queryPacket struct {
	dhcp6.Packet
	source netip.Addr
}

func newQueryPacket(t testing.TB, b *bench) *queryPacket {
	p := &queryPacket{source: netip.MustParseAddr("fe80::1")}
	data := dhcp6.AppendOption(dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{}), dhcp6.OptDHCPv4Msg, message(dhcp4.Discover, 1, 1))
	if why := p.Packet.Parse(data); why != drop.None {
		t.Fatal(why)
	}
	return p
}
