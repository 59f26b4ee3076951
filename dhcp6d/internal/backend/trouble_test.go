package backend

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// logged is a bench whose log can be read.
func logged(t *testing.T, specs ...Spec) (*bench, *strings.Builder) {
	log := new(strings.Builder)
	b := newBench(t, nil, specs...)
	b.log = slog.New(slog.NewTextHandler(log, nil))
	return b, log
}

// warnings returns the WARN lines of a log.
func warnings(log *strings.Builder) (lines []string) {
	for line := range strings.SplitSeq(log.String(), "\n") {
		if strings.Contains(line, "level=WARN") {
			lines = append(lines, line)
		}
	}
	return lines
}

// A wrong set-up of the IPC is logged once, with the address and what to do, and readiness says it
// too.
func TestIPC_32_TroubleIsSaidInWords(t *testing.T) {
	ours, kea := ours(1), ours(1)
	kea[0].Kea = true
	dropped := func(b *bench, from string, why drop.Reason) {
		b.Dropped(&udp.Packet{Peer: netip.MustParseAddrPort(from)}, why, b.clock)
	}
	refuse := func(b *bench) { b.clock = b.clock.Add(1); b.Refused(b.named("a").Addr) }
	ask := func(b *bench) {
		b.sends(b.named("a"), b.query(message(dhcp4.Discover, uint32(b.clock.UnixMilli()), 1), "fe80::1"))
	}
	tests := []struct {
		name  string
		specs []Spec
		each  func(b *bench) // each 100 ms
		want  []string       // in the one warning
		ready []string
	}{
		{"nothing comes back", ours, func(*bench) {},
			[]string{"nothing comes back from [::1]:1000", "DHCP4D_IPC_PEERS", "keys", "UDP port 1000", `a@[::1]:1000 kea`}, []string{"a: nothing comes back from [::1]:1000"}},
		{"nobody listens", ours, refuse,
			[]string{"nobody listens at [::1]:1000", "start dhcp4d"}, []string{"a: nobody listens at [::1]:1000"}},
		{"other keys", ours, func(b *bench) { dropped(b, "[::1]:1000", drop.Unauthentic) },
			[]string{"what comes from [::1]:1000 is not authentic", "DHCP6D_IPC_KEYS", "DHCP4D_IPC_KEYS", "DHCP4D_NAME", `a@[::1]:1000 kea`}, []string{"is not authentic"}},
		{"it answers from another address", ours, func(b *bench) { dropped(b, "[2001:db8::9]:1000", drop.WrongPeer) },
			[]string{"something from [2001:db8::9]:1000", "write [2001:db8::9]:1000 in DHCP6D_IPC_BACKENDS", "DHCP4D_IPC_LISTEN"}, []string{"something from [2001:db8::9]:1000"}},
		{"somebody else sends something", ours, func(b *bench) { dropped(b, "[2001:db8::9]:53", drop.WrongPeer) },
			[]string{"nothing comes back from [::1]:1000"}, []string{"nothing comes back"}},
		{"it cannot acknowledge", ours, func(b *bench) {
			b.ProbeAnswered(b.named("a"), netip.Addr{}, ipc.ProbeReply{Full: true, Ability: ipc.StoreFailed}, b.clock)
		}, []string{"acknowledges no lease", "[::1]:1000 cannot write its lease store", "/readyz"}, []string{"cannot write its lease store"}},
		{"a Kea at which nobody listens", kea, func(b *bench) { ask(b); refuse(b) },
			[]string{"nobody listens at [::1]:1000"}, []string{"nobody listens"}},
		{"a Kea that never answers", kea, ask,
			[]string{"nothing comes back from [::1]:1000"}, []string{"nothing comes back"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, log := logged(t, tt.specs...)
			for range 100 {
				tt.each(b)
				b.clock = b.clock.Add(100 * time.Millisecond)
				b.judge(b.clock)
			}
			said := warnings(log)
			if len(said) != 1 {
				t.Fatalf("%d warnings in ten seconds:\n%s", len(said), strings.Join(said, "\n"))
			}
			plain := strings.ReplaceAll(said[0], `\"`, `"`)
			for _, want := range append(tt.want, "backend=a", "remedy=") {
				if !strings.Contains(plain, want) {
					t.Errorf("%q is not in\n%s", want, plain)
				}
			}
			for _, want := range tt.ready {
				if !strings.Contains(b.ready, want) {
					t.Errorf("readiness says %q, not %q", b.ready, want)
				}
			}
		})
	}
}

// The present trouble is reported: a backend at which nobody listened is up later, and its answers
// are dropped.
func TestIPC_32_TheLastWordIsTrue(t *testing.T) {
	b, log := logged(t, ours(1)...)
	step := func(n int, each func()) {
		for range n {
			b.clock = b.clock.Add(100 * time.Millisecond)
			each()
			b.judge(b.clock)
		}
	}
	last := func(want string) {
		t.Helper()
		all := warnings(log)
		if len(all) == 0 || !strings.Contains(all[len(all)-1], want) || !strings.Contains(b.ready, want) {
			t.Errorf("want %q, the last words are %q, readiness says %q", want, all, b.ready)
		}
	}
	step(50, func() { b.Refused(b.named("a").Addr) })
	last("nobody listens")
	step(150, func() { b.Dropped(&udp.Packet{Peer: b.named("a").Addr}, drop.Unauthentic, b.clock) })
	last("not authentic")
	step(150, func() {
		b.Dropped(&udp.Packet{Peer: netip.MustParseAddrPort("[2001:db8::9]:1000")}, drop.WrongPeer, b.clock)
	})
	last("something from [2001:db8::9]:1000")
	step(150, func() {})
	last("nothing comes back")
	step(10, func() { b.ProbeAnswered(b.named("a"), netip.Addr{}, ipc.ProbeReply{}, b.clock) })
	if b.ready != "" || !strings.Contains(log.String(), "backend is up") {
		t.Errorf("ready: %q", b.ready)
	}
	if n := len(warnings(log)); n > 6 {
		t.Errorf("%d warnings", n)
	}
}

// A kea-dhcp4 that is not marked answers queries and no probes. It does not flap, and the log says
// what to write.
func TestIPC_32_AKeaWithoutItsMark(t *testing.T) {
	for name, others := range map[string]int{"alone": 0, "beside a dhcp4d": 1} {
		t.Run(name, func(t *testing.T) {
			b, log := logged(t, ours(1+others)...)
			var alive []string
			for i := range others {
				alive = append(alive, string(rune('b'+i)))
			}
			for i := range 300 { // a client each second
				if i%10 == 0 {
					m := message(dhcp4.Discover, uint32(i), i)
					b.sends(b.named("a"), b.query(m, fmt.Sprintf("fe80::%d", i)))
					b.Answered(b.named("a"), netip.Addr{}, m, b.clock)
				}
				b.pass(100*time.Millisecond, alive...)
			}
			said := warnings(log)
			if len(said) != 1 || !strings.Contains(strings.ReplaceAll(said[0], `\"`, `"`), `write "a@[::1]:1000 kea" in DHCP6D_IPC_BACKENDS`) {
				t.Errorf("the warnings are\n%s", strings.Join(said, "\n"))
			}
			if n := strings.Count(log.String(), `"backend is up" backend=a`); n > 1 {
				t.Errorf("it is up %d times", n)
			}
			if b.ready != "" || b.named("a").state.health.get() != Up {
				t.Errorf("ready: %q, %v", b.ready, b.named("a").state.health.get())
			}
			b.pass(time.Minute, alive...) // without a client
			if got := b.named("a").state.health.get(); got != Up {
				t.Errorf("a minute without a client: %v", got)
			}
			b.socket.Sent(0)
			for range 30 { // minutes
				b.clock = b.clock.Add(10 * time.Second)
				b.sendProbes(b.clock)
			}
			probed := 0
			for _, p := range b.socket.Sent(0) {
				if p.Peer == b.named("a").Addr {
					probed++
				}
			}
			if probed == 0 || probed > 12 {
				t.Errorf("in five minutes it gets %d probes, which it drops", probed)
			}
			b.ProbeAnswered(b.named("a"), netip.Addr{}, ipc.ProbeReply{Full: true}, b.clock)
			b.judge(b.clock)
			b.pass(3*time.Second, alive...)
			if got := b.named("a").state.health.get(); got != Down {
				t.Errorf("a dhcp4d in its place that falls silent is %v", got)
			}
		})
	}
}

// A flood of datagrams from strangers costs nothing.
func TestDroppedAllocatesNothing(t *testing.T) {
	b := newBench(t, nil, ours(1)...)
	in := udp.Packet{Peer: netip.MustParseAddrPort("[2001:db8::9]:1000")}
	if n := testing.AllocsPerRun(1000, func() { b.Dropped(&in, drop.WrongPeer, b.clock) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
