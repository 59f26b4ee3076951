package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc/ipctest"
	"github.com/dhcp4o6/dhcp4o6/shared/metric/metrictest"
	"github.com/dhcp4o6/dhcp4o6/shared/resolve"
	"github.com/dhcp4o6/dhcp4o6/shared/udp/udptest"
)

// bench is a set of backends with the test's own clock and socket.
type bench struct {
	*Set
	t      testing.TB
	clock  time.Time
	socket *udptest.Socket
	reg    *prometheus.Registry
	names  map[string]netip.Addr
	ready  string // what the condition was told; empty means met
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
	b.Set = New(Options{
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

// pass lets time pass in steps, in which the named backends answer probes.
func (b *bench) pass(d time.Duration, alive ...string) {
	for end := b.clock.Add(d); b.clock.Before(end); {
		b.clock = b.clock.Add(100 * time.Millisecond)
		for _, name := range alive {
			b.ProbeAnswered(b.named(name), netip.Addr{}, ipc.ProbeReply{}, b.clock)
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
	q := &Query{Path: &attachment.Path{Packet: &p, Source: netip.MustParseAddr(from)}, Message: carried}
	q.read(b.table.Load().several)
	return q
}

// sends makes a query leave for a backend, whatever Route would say.
func (b *bench) sends(to *Backend, q *Query) { b.depart(to, q, b.since(b.clock)) }

// goes returns the name of the backend that a query goes to, or the reason why it is dropped.
func (b *bench) goes(carried []byte) string {
	c, _, why := b.table.Load().choose(b.query(carried, "fe80::1"))
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
			if (before[i] != "b" && w != before[i]) || w == "b" {
				t.Fatalf("client %d went from %s to %s", i, before[i], w)
			}
		}
		three.pass(time.Second, "a", "b", "c")
		if where(three) != before {
			t.Error("it did not get them back")
		}
	})
	t.Run("a backend that is added takes clients only for itself", func(t *testing.T) {
		three.Configure(ours(4), nil)
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
		out  func(owner string) string // where it goes while the owner is down
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
		b.sends(b.named("a"), q)
		b.Answered(b.named("a"), netip.Addr{}, discover, b.clock)
		b.pass(time.Second)
		if b.ready != "" {
			t.Errorf("not ready: %s", b.ready)
		}
		b.pass(10 * time.Second) // it is taken for a Kea, which may be silent
		if b.goes(discover) != "a" || b.ready != "" {
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
		b.Refused(netip.MustParseAddrPort("[::9]:1")) // not the address of a backend
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

// A client can write relay levels of its own. They are not believed, so it remains one attachment
// point, and its unanswered DISCOVERs alone say nothing about a Kea.
func TestOneClientIsOneAttachmentPoint(t *testing.T) {
	b := newBench(t, nil, ours(2)...)
	relay, link := netip.MustParseAddr("2001:db8::547"), netip.MustParseAddr("2001:db8:1::1")
	m := message(dhcp4.Discover, 1, 1)
	points := func(believed int) map[uint16]bool {
		found := make(map[uint16]bool)
		for i := range byte(20) {
			data := dhcp6.AppendOption(dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{}), dhcp6.OptDHCPv4Msg, m)
			data = dhcp6.AppendRelayForward(nil, 0, link, netip.MustParseAddr("fe80::1"), dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte{i}), data)
			data = dhcp6.AppendRelayForward(nil, 1, link, netip.MustParseAddr("fe80::1"), nil, data)
			var p dhcp6.Packet
			if why := p.Parse(data); why != drop.None {
				t.Fatal(why)
			}
			q := &Query{Path: &attachment.Path{Packet: &p, Believed: believed, Source: relay}, Message: m}
			q.read(b.table.Load().several)
			found[q.point] = true
		}
		return found
	}
	if n := len(points(1)); n != 1 {
		t.Errorf("a client that invents relay levels is %d points", n)
	}
	if n := len(points(2)); n < 19 {
		t.Errorf("20 ports of a believed relay are %d points", n)
	}
}

func TestLifeOfAKea(t *testing.T) {
	keas := ours(2)
	keas[0].Kea, keas[1].Kea = true, true
	// ask sends DISCOVERs from this many points to a Kea, and lets them time out.
	ask := func(b *bench, name string, n, points int) {
		for i := range n {
			m := message(dhcp4.Discover, uint32(i), i)
			b.sends(b.named(name), b.query(m, fmt.Sprintf("fe80::%d", i%points+1)))
		}
		b.pass(timeout + 100*time.Millisecond)
	}
	isOut := func(b *bench, name string) bool { return b.named(name).state.health.get() == Down }
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
			b.hear(b.named("a"), netip.Addr{}, b.clock)
			ask(b, "a", 10, 5)
		}, false},
		{"REQUESTs say nothing", keas, func(b *bench) {
			for i := range 40 {
				b.sends(b.named("a"), b.query(message(dhcp4.Request, uint32(i), i), fmt.Sprintf("fe80::%d", i+1)))
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
			b.hear(b.named("a"), netip.Addr{}, b.clock)
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

// TestTrialOfAKea: finding out whether a Kea is back costs little.
func TestTrialOfAKea(t *testing.T) {
	ranges := []Range{{"a", netip.MustParseAddr("192.0.2.0"), netip.MustParseAddr("192.0.2.127")}}
	start := func(t *testing.T) (b *bench, mine func(n int) []byte) {
		specs := ours(2)
		specs[0].Kea = true
		b = newBench(t, ranges, specs...)
		b.pass(time.Second, "b")
		var clients []int // those whose first choice is a
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
		c, why := b.Route(q, MaxWait{}, b.clock)
		if why != drop.None {
			return why.Label()
		}
		return c.Name
	}
	silence := func(b *bench) {
		for i := range silentDiscovers {
			b.sends(b.named("a"), b.query(message(dhcp4.Discover, uint32(i), i), fmt.Sprintf("fe80::%d", i)))
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
		b.Answered(b.named("a"), netip.Addr{}, m, b.clock)
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
		b.hear(b.named("a"), netip.Addr{}, b.clock)
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
	// probes sends one round of probes. It returns what each backend gets: "f" for a full one, "p"
	// for a plain one.
	probes := func() map[string]string {
		b.sendProbes(b.clock)
		got := map[string]string{}
		for _, p := range b.socket.Sent(2) {
			name := string(rune('a' + p.Peer.Port() - 1000))
			q, ok := ipc.ParseProbe(p.Data)
			if name == "b" || !ok {
				t.Fatalf("IPC-26 probe of %s: %x", name, p.Data)
			}
			if q.Full {
				got[name] += "f"
			} else {
				got[name] += "p"
			}
		}
		return got
	}
	a, c := b.named("a"), b.named("c")
	for round := range 5 {
		b.clock = b.clock.Add(probeEvery)
		want := map[string]string{"a": "f", "c": "pf"}
		switch {
		case round == 0:
			want["a"] = "pf" // nothing is known of it
		case round > fullTries-1:
			want["c"] = "p"
		}
		if got := probes(); !maps.Equal(got, want) {
			t.Errorf("IPC-29 round %d: %v, want %v", round, got, want)
		}
		b.ProbeAnswered(a, netip.Addr{}, ipc.ProbeReply{Full: true}, b.clock)
		b.ProbeAnswered(c, netip.Addr{}, ipc.ProbeReply{}, b.clock)
		b.judge(b.clock)
	}
	b.pass(fullAgain, "a", "c") // by plain answers
	if got := probes(); got["a"] != "pf" || got["c"] != "pf" {
		t.Errorf("IPC-29 a minute later: %v", got)
	}
	b.pass(time.Minute/2, "a")
	if got := probes(); got["c"] != "pf" {
		t.Errorf("IPC-29 one that is out: %v", got)
	}
}

// TestProbesMakeSessions: with keys, a backend is up with the second probe, which follows the first
// answer at once. So is a backend that has restarted.
func TestProbesMakeSessions(t *testing.T) {
	key := ipc.Key{ID: 1, Secret: []byte("0123456789abcdef")}
	b := newBench(t, nil)
	end := ipc.NewEnd(drop.DHCP6D, ipc.Keys{key}, true)
	opener := end.NewOpener(b.clock)
	b.end, b.signer = end, end.NewSigner()
	b.Configure(ours(1), nil)
	a := b.named("a")
	var four *ipctest.Half
	start := func() {
		four = ipctest.New(t, drop.DHCP4D, "a", key)
		four.Now = func() time.Time { return b.clock }
		four.Opener = four.End.NewOpener(b.clock)
	}
	start()
	// round sends the probes and delivers the answers to the full ones.
	round := func() (full, plain int) {
		b.sendProbes(b.clock)
		for _, p := range b.socket.Sent(1) {
			content := four.Open(p.Data)
			q, _ := ipc.ParseProbe(content)
			if !q.Full {
				plain++
				continue
			}
			full++
			d := four.Signer.AppendProbeReply(q.AppendReply(nil, ipc.Able), 0, four.Peer, b.clock)
			content, why := opener.Open(d, a.Peer, b.clock)
			r, ok := ipc.ParseProbeReply(content)
			if why != drop.None || !ok {
				t.Fatalf("%v", why)
			}
			b.ProbeAnswered(a, netip.Addr{}, r, b.clock)
			b.judge(b.clock)
		}
		return full, plain
	}
	for _, when := range []string{"at the start", "after dhcp4d has started again"} {
		b.clock = b.clock.Add(probeEvery)
		round()
		if a.Peer.Ready() || !b.again.Swap(false) {
			t.Errorf("IPC-27 %s: the first answer must have the next probe sent at once, and be no session", when)
		}
		if when == "at the start" && a.state.health.get() == Up {
			t.Error("IPC-27 a backend without a session is up")
		}
		round()
		if !a.Peer.Ready() || b.again.Load() || a.state.health.get() != Up {
			t.Errorf("IPC-27 %s: the second answer makes the session", when)
		}
		b.clock = b.clock.Add(probeEvery)
		if full, plain := round(); full != 1 || plain != 0 {
			t.Errorf("IPC-27 %s: %d full probes and %d plain ones", when, full, plain)
		}
		start()
	}
}

// say makes backends answer full probes.
func (b *bench) say(d time.Duration, abilities map[string]ipc.Ability) {
	for end := b.clock.Add(d); b.clock.Before(end); {
		b.clock = b.clock.Add(100 * time.Millisecond)
		for name, a := range abilities {
			b.ProbeAnswered(b.named(name), netip.Addr{}, ipc.ProbeReply{Full: true, Mark: b.named(name).state.sent.Load(), Ability: a}, b.clock)
		}
		b.judge(b.clock)
	}
}

type say = map[string]ipc.Ability

func TestABackendThatCannotAcknowledge(t *testing.T) {
	ranges := []Range{
		{"a", netip.MustParseAddr("192.0.2.0"), netip.MustParseAddr("192.0.2.127")},
		{"b", netip.MustParseAddr("192.0.2.128"), netip.MustParseAddr("192.0.2.255")},
	}
	b := newBench(t, ranges, ours(2)...)
	b.say(time.Second, say{"a": ipc.Able, "b": ipc.Able})
	mine := 0 // a client whose first choice is a
	for b.goes(message(dhcp4.Discover, 1, mine)) != "a" {
		mine++
	}
	queries := map[string][]byte{
		"DISCOVER":                message(dhcp4.Discover, 1, mine),
		"DISCOVER with a wish":    message(dhcp4.Discover, 1, mine, requested("192.0.2.5")),
		"REQUEST after its OFFER": message(dhcp4.Request, 1, mine, requested("192.0.2.5"), server("192.0.2.1")),
		"renewal of its address":  renewing(mine, "192.0.2.5"),
		"renewal of b's address":  renewing(mine, "192.0.2.205"),
	}
	expect := func(when string, want map[string]string) {
		t.Helper()
		for name, where := range want {
			if got := b.goes(queries[name]); got != where {
				t.Errorf("IPC-29 %s: a %s goes to %s, want %s", when, name, got, where)
			}
		}
	}
	well := map[string]string{"DISCOVER": "a", "DISCOVER with a wish": "a", "REQUEST after its OFFER": "a", "renewal of its address": "a", "renewal of b's address": "b"}
	ill := map[string]string{"DISCOVER": "b", "DISCOVER with a wish": "b", "REQUEST after its OFFER": "b", "renewal of its address": "a", "renewal of b's address": "b"}
	expect("before", well)
	b.say(100*time.Millisecond, say{"a": ipc.StoreFailed, "b": ipc.Able})
	expect("while the store of a has failed", ill)
	if b.ready != "" {
		t.Errorf("not ready: %s", b.ready)
	}
	if err := testutil.GatherAndCompare(b.reg, strings.NewReader(`
# HELP dhcp6d_ipc_backend_up Whether new clients are sent to the backend (1) or not (0), because it does not answer or says that it cannot acknowledge leases; a Kea backend cannot be probed and is up until its silence is noticed.
# TYPE dhcp6d_ipc_backend_up gauge
dhcp6d_ipc_backend_up{backend="a"} 0
dhcp6d_ipc_backend_up{backend="b"} 1
# HELP dhcp6d_ipc_backend_state State of the backend, 1 for the one that it is in: up, trial (a Kea that was down), unheard (it has not answered yet), unable (it answers and says that it cannot acknowledge leases), down.
# TYPE dhcp6d_ipc_backend_state gauge
dhcp6d_ipc_backend_state{backend="a",state="down"} 0
dhcp6d_ipc_backend_state{backend="a",state="trial"} 0
dhcp6d_ipc_backend_state{backend="a",state="unable"} 1
dhcp6d_ipc_backend_state{backend="a",state="unheard"} 0
dhcp6d_ipc_backend_state{backend="a",state="up"} 0
dhcp6d_ipc_backend_state{backend="b",state="down"} 0
dhcp6d_ipc_backend_state{backend="b",state="trial"} 0
dhcp6d_ipc_backend_state{backend="b",state="unable"} 0
dhcp6d_ipc_backend_state{backend="b",state="unheard"} 0
dhcp6d_ipc_backend_state{backend="b",state="up"} 1
`), "dhcp6d_ipc_backend_up", "dhcp6d_ipc_backend_state"); err != nil {
		t.Error(err)
	}
	b.say(firstHold/2, say{"a": ipc.Able, "b": ipc.Able})
	expect("half a second after it is back", ill)
	b.say(firstHold, say{"a": ipc.Able, "b": ipc.Able})
	expect("when it has been back for a while", well)
	b.say(time.Second, say{"a": ipc.StoreHangs, "b": ipc.Able})
	b.say(firstHold, say{"a": ipc.Able, "b": ipc.Able})
	expect("a second after it was unable again", ill)
	b.say(firstHold, say{"a": ipc.Able, "b": ipc.Able})
	expect("two seconds after it was unable again", well)
	for range 10 {
		b.say(time.Second, say{"a": ipc.StoreFailed, "b": ipc.Able})
		b.say(longHold-time.Second, say{"a": ipc.Able, "b": ipc.Able})
		b.say(time.Second+100*time.Millisecond, say{"a": ipc.Able, "b": ipc.Able})
	}
	expect("ten seconds after it was unable, however often before", well)

	b.say(time.Second, say{"a": 99, "b": ipc.StoreFailed})
	expect("when none is able", map[string]string{"DISCOVER": "a", "renewal of its address": "a", "renewal of b's address": "b"})
	if b.ready == "" {
		t.Error("ready although no backend can acknowledge a lease")
	}
	b.say(3*time.Second, say{"b": ipc.StoreFailed}) // a falls silent
	expect("when the other is out", map[string]string{"DISCOVER": "b", "renewal of its address": "owner_down"})
	b.say(time.Second, say{"a": ipc.Able, "b": ipc.Leaving})
	expect("when the one is back and the other leaves", map[string]string{"DISCOVER": "a", "renewal of b's address": "b"})
	if b.ready != "" {
		t.Errorf("not ready: %s", b.ready)
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

// resolverFunc is a resolve.Resolver.
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

// TestANameServerThatIsSilent: probes continue while a name server does not answer. Otherwise a
// frozen backend would be noticed too late.
func TestANameServerThatIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
		b.ProbeAnswered(c, netip.Addr{}, ipc.ProbeReply{}, time.Now())
		began := time.Now()
		for asked.Load() < 2 || c.state.health.get() != Up {
			time.Sleep(time.Millisecond)
		}
		for c.state.health.get() != Down { // it is frozen
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(began); took >= 3*time.Second { // when the first client asks again
			t.Errorf("out after %v", took)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestNamesAreResolvedAgain tests the goroutine: it resolves names at once when they are
// configured, and again from time to time.
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
		for end := time.Now().Add(time.Minute); b.From(at) == nil; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("never at %v", at)
			}
		}
	}
	b.Configure([]Spec{{Name: "x", Host: "four.example", Port: 6768}}, nil)
	arrives(first)
	second := set("2001:db8::2")
	clock.Add(int64(resolve.Every))
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
	b.sends(a, b.query(discover, "fe80::1"))
	c := Spec{Name: "c", Host: "::1", Port: 3000}
	b.Configure([]Spec{c, ours(1)[0]}, nil)
	if b.From(netip.MustParseAddrPort("[::1]:1001")) != nil {
		t.Error("IPC-24 a backend that was removed is still listened to")
	}
	b.Answered(b.From(a.Addr), netip.Addr{}, discover, b.clock)
	if n := b.named("a").state.series.unmatched.Load(); n != 0 || b.named("a").state.health.get() != Up {
		t.Errorf("a backend that stays has lost what was known of it (%d)", n)
	}
	if b.named("a").state.id.Load() == b.named("c").state.id.Load() {
		t.Error("two have one number")
	}
}

func TestABackendThatIsAddedTakesNothingOver(t *testing.T) {
	b := newBench(t, nil, ours(2)...)
	b.pass(time.Second, "a", "b")
	b.sends(b.named("b"), b.query(message(dhcp4.Discover, 5, 5), "fe80::1"))
	for i := range 300 { // more often than there are ids
		one := Spec{Name: fmt.Sprint("c", i), Host: "::1", Port: uint16(3000 + i)}
		b.Configure(append(ours(1), one), nil)
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
	for c.state.health.get() != Up {
		b.ProbeAnswered(c, netip.Addr{}, ipc.ProbeReply{}, time.Now())
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

// newPath returns the way of a DHCPV4-QUERY that a client sent directly.
func newPath(t testing.TB) *attachment.Path {
	p := &attachment.Path{Packet: new(dhcp6.Packet), Source: netip.MustParseAddr("fe80::1"), Interface: []byte("eth0")}
	data := dhcp6.AppendOption(dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{}), dhcp6.OptDHCPv4Msg, message(dhcp4.Discover, 1, 1))
	if why := p.Packet.Parse(data); why != drop.None {
		t.Fatal(why)
	}
	return p
}

func TestIPC_30_TheAddressThatABackendAnswersStays(t *testing.T) {
	b := newBench(t, nil, ours(1)...)
	a := b.named("a")
	one, two := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	probed := func() netip.Addr {
		t.Helper()
		b.clock = b.clock.Add(probeEvery)
		b.sendProbes(b.clock)
		return b.socket.Sent(1)[0].Local
	}
	if got := probed(); got.IsValid() {
		t.Errorf("before it has answered, %v is our address", got)
	}
	b.ProbeAnswered(a, one, ipc.ProbeReply{Full: true}, b.clock)
	b.judge(b.clock)
	if got := probed(); got != one || a.Local() != one {
		t.Errorf("probed from %v, asked from %v", got, a.Local())
	}
	m := message(dhcp4.Discover, 1, 1)
	b.sends(a, b.query(m, "fe80::1"))
	b.Answered(a, two, m, b.clock)
	if a.Local() != two {
		t.Errorf("it has answered another address, and is asked from %v", a.Local())
	}
	b.Answered(a, netip.Addr{}, m, b.clock)
	if a.Local() != two {
		t.Error("an address that is not known counts")
	}
	b.pass(3 * time.Second)
	if got := probed(); got.IsValid() {
		t.Errorf("when it is down, %v is our address", got)
	}
}

// resolving is a resolver of one name.
func resolving(addrs ...string) resolverFunc {
	return func(context.Context, string, string) ([]netip.Addr, error) {
		var found []netip.Addr
		for _, a := range addrs {
			found = append(found, netip.MustParseAddr(a))
		}
		return found, nil
	}
}

func TestIPC_31_ABackendIsFoundAtAnyOfItsAddresses(t *testing.T) {
	b := newBench(t, nil, Spec{Name: "x", Daemon: "x", Host: "four.example", Port: 6768})
	at := func(a string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(a), 6768) }
	b.resolver = resolving("2001:db8::1", "2001:db8::2", "192.0.2.3")
	b.resolve(t.Context())
	// round makes the addresses that are alive answer, and returns where the others were probed.
	round := func(alive ...string) (probed []netip.AddrPort) {
		t.Helper()
		b.clock = b.clock.Add(100 * time.Millisecond)
		b.sendProbes(b.clock)
		for _, p := range b.socket.Sent(1) {
			if slices.ContainsFunc(alive, func(a string) bool { return at(a) == p.Peer }) {
				b.ProbeAnswered(b.From(p.Peer), netip.Addr{}, ipc.ProbeReply{Full: true}, b.clock)
			} else if !slices.Contains(probed, p.Peer) {
				probed = append(probed, p.Peer)
			}
		}
		b.judge(b.clock)
		return probed
	}
	rounds := func(n int, alive ...string) {
		for range n {
			round(alive...)
		}
	}
	inUse := func(when, want string) {
		t.Helper()
		if got := b.named("x").Addr; got != at(want) {
			t.Errorf("%s: %v is in use, want %v", when, got, want)
		}
	}
	if probed := round(); len(probed) != 3 {
		t.Errorf("before anything is heard %v are probed", probed)
	}
	inUse("nothing answers", "2001:db8::1")
	round("192.0.2.3")
	inUse("the third answers", "192.0.2.3")
	if b.ready != "" {
		t.Errorf("not ready: %s", b.ready)
	}
	rounds(20, "2001:db8::1", "2001:db8::2", "192.0.2.3")
	inUse("all answer, and it stays", "192.0.2.3")
	if probed := round(); len(probed) != 1 {
		t.Errorf("while one answers %v are probed", probed)
	}
	b.Refused(at("2001:db8::1"))
	rounds(5)
	inUse("another refuses, the one in use falls silent", "192.0.2.3")
	rounds(20, "2001:db8::2")
	inUse("it is silent, the second answers", "2001:db8::2")
	if b.ready != "" || b.goes(message(dhcp4.Discover, 1, 1)) != "x" {
		t.Errorf("not ready: %s", b.ready)
	}
	b.resolver = resolving("192.0.2.3", "2001:db8::2", "2001:db8::1")
	b.resolve(t.Context())
	inUse("the name server has another order", "2001:db8::2")
	b.resolver = resolving("192.0.2.3", "2001:db8::1")
	b.resolve(t.Context())
	inUse("its address is gone from the name", "192.0.2.3")
	if b.From(at("2001:db8::2")) != nil {
		t.Error("IPC-24 an address that is gone is still listened to")
	}
}

func TestIPC_31_AKeaIsTriedAtAllOfItsAddresses(t *testing.T) {
	for name, how := range map[string]func(b *bench){
		"nobody listens": func(b *bench) { b.clock = b.clock.Add(1); b.Refused(b.named("x").Addr); b.judge(b.clock) },
		"nothing comes back": func(b *bench) {
			b.sends(b.named("x"), b.query(message(dhcp4.Discover, 1, 1), "fe80::1"))
			b.pass(timeout + time.Second)
		},
	} {
		b := newBench(t, nil, Spec{Name: "x", Host: "four.example", Port: 6768, Kea: true})
		b.resolver = resolving("2001:db8::1", "2001:db8::2", "2001:db8::3")
		b.resolve(t.Context())
		for _, want := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::1"} {
			if got := b.named("x").Addr.Addr().String(); got != want {
				t.Errorf("%s: it is tried at %s, want %s", name, got, want)
			}
			how(b)
		}
		m := message(dhcp4.Discover, 2, 2)
		b.sends(b.named("x"), b.query(m, "fe80::1"))
		b.Answered(b.named("x"), netip.Addr{}, m, b.clock)
		b.pass(time.Second)
		how(b) // one DISCOVER without an answer does not matter for a Kea that answers
		if got := b.named("x").Addr.Addr().String(); name == "nothing comes back" && got != "2001:db8::2" {
			t.Errorf("%s: where it answered it is left for %s", name, got)
		}
	}
}

func TestIPC_31_AnUnresolvableNameIsSaidOnce(t *testing.T) {
	var log strings.Builder
	b := newBench(t, nil, Spec{Name: "x", Host: "four.example", Port: 6768})
	b.log = slog.New(slog.NewTextHandler(&log, nil))
	times := func(text string, want int) {
		t.Helper()
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%q is said %d times, want %d:\n%s", text, got, want, log.String())
		}
	}
	for range 100 {
		b.resolve(t.Context())
		b.clock = b.clock.Add(time.Second)
	}
	times("cannot be resolved", 1)
	if !strings.Contains(b.ready, "resolved") {
		t.Errorf("ready: %q", b.ready)
	}
	b.clock = b.clock.Add(resolve.LogAgain)
	b.resolve(t.Context())
	times("cannot be resolved", 2)
	b.names["four.example"] = netip.MustParseAddr("2001:db8::1")
	b.resolve(t.Context())
	b.resolve(t.Context())
	times("can be resolved again", 1)
	delete(b.names, "four.example")
	b.resolve(t.Context())
	times("cannot be resolved", 3)
}
