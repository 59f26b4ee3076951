package hooks

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// arrives returns a message that is received at a time, from a source, or from a client behind a
// relay that adds an Interface-Id.
func arrives(t testing.TB, at time.Time, source, client, id string) *event.Datagram {
	t.Helper()
	message := dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{})
	if client != "" {
		message = dhcp6.AppendRelayForward(nil, 0, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr(client),
			dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte(id)), message)
	}
	p := new(dhcp6.Packet)
	if why := p.Parse(message); why != drop.None {
		t.Fatal(why)
	}
	return datagram(at, p, source)
}

// datagram returns a datagram whose relay levels are all believed.
func datagram(at time.Time, p *dhcp6.Packet, source string) *event.Datagram {
	peer := netip.AddrPortFrom(netip.MustParseAddr(source), 546)
	return &event.Datagram{Received: at, Index: 3, Peer: peer, Packet: p,
		Path: &attachment.Path{Packet: p, Believed: p.Relays(), Source: peer.Addr(), Interface: []byte("eth0")}}
}

// behind returns a message of a client behind a relay. All relays use the same names for their
// ports.
func behind(t testing.TB, at time.Time, relay, link, client string) *event.Datagram {
	t.Helper()
	p := new(dhcp6.Packet)
	if why := p.Parse(dhcp6.AppendRelayForward(nil, 0, netip.MustParseAddr(link), netip.MustParseAddr(client),
		dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte("ge-0/0/1")), dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{}))); why != drop.None {
		t.Fatal(why)
	}
	return datagram(at, p, relay)
}

func TestRateLimit(t *testing.T) {
	start := time.Now()
	const relay = "2001:db8:2::1"
	tests := []struct {
		name  string
		limit rateLimitVariables
		event func(i int) *event.Datagram
		n     int
		taken int
	}{
		{"one direct client gets its burst", rateLimitVariables{Rate: 1, Burst: 5},
			func(int) *event.Datagram { return arrives(t, start, "fe80::1", "", "") }, 100, 5},
		{"and then its rate", rateLimitVariables{Rate: 10, Burst: 5},
			func(i int) *event.Datagram {
				return arrives(t, start.Add(time.Duration(i)*time.Millisecond), "fe80::1", "", "")
			}, 1001, 15},
		{"neighbours have buckets of their own", rateLimitVariables{Rate: 1, Burst: 5},
			func(i int) *event.Datagram { return arrives(t, start, fmt.Sprintf("fe80::%d", i%20), "", "") }, 100, 100},
		{"a /64 is one subscriber, however many addresses it uses", rateLimitVariables{Rate: 1, Burst: 5},
			func(i int) *event.Datagram { return arrives(t, start, fmt.Sprintf("2001:db8:1::%d", i+1), "", "") }, 100, 5},
		{"clients behind one relay are told apart by their address", rateLimitVariables{Rate: 1, Burst: 5},
			func(i int) *event.Datagram { return arrives(t, start, relay, fmt.Sprintf("fe80::%d", i%20), "port") }, 100, 100},
		{"and by their Interface-Id", rateLimitVariables{Rate: 1, Burst: 5},
			func(i int) *event.Datagram { return arrives(t, start, relay, "fe80::1", fmt.Sprint("port", i%20)) }, 100, 100},
		{"one client behind a relay", rateLimitVariables{Rate: 1, Burst: 5},
			func(int) *event.Datagram { return arrives(t, start, relay, "fe80::1", "port") }, 100, 5},
		{"RL-21 equal ports and clients of relays on several links", rateLimitVariables{Rate: 1, Burst: 5},
			func(i int) *event.Datagram {
				return behind(t, start, relay, fmt.Sprintf("2001:db8:%d::1", 100+i%20), "fe80::1")
			}, 100, 100},
		{"RL-21 equal ports and clients of relays with one link-local link-address", rateLimitVariables{Rate: 1, Burst: 5},
			func(i int) *event.Datagram {
				return behind(t, start, fmt.Sprintf("2001:db8:2::%d", 1+i%20), "fe80::1", "fe80::1")
			}, 100, 100},
		{"Q-37 addresses of one /64 behind a relay are one client", rateLimitVariables{Rate: 1, Burst: 5},
			func(i int) *event.Datagram {
				return behind(t, start, relay, "2001:db8:7::1", fmt.Sprintf("2001:db8:7::%d", 1+i%20))
			}, 100, 5},
		{"all together", rateLimitVariables{TotalRate: 1, TotalBurst: 30},
			func(i int) *event.Datagram { return arrives(t, start, fmt.Sprintf("fe80::%d", i), "", "") }, 100, 30},
		{"no limit", rateLimitVariables{},
			func(int) *event.Datagram { return arrives(t, start, "fe80::1", "", "") }, 100, 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, taken := limiterOf(t, tt.limit, nil), 0
			for i := range tt.n {
				e := tt.event(i)
				if e.Received.Equal(start) {
					e.Received = start.Add(time.Hour) // the hook was made after start
				} else {
					e.Received = e.Received.Add(time.Hour)
				}
				switch why := f.run(e); why {
				case drop.None:
					taken++
				case drop.RateLimited:
				default:
					t.Fatal(why)
				}
			}
			if taken != tt.taken {
				t.Errorf("%d of %d were taken, want %d", taken, tt.n, tt.taken)
			}
		})
	}
}

func limiterOf(t testing.TB, v rateLimitVariables, before *limiter) *limiter {
	t.Helper()
	l, err := newRateLimit(&v, hook.Env{}, before)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestReloadGivesNothingBack(t *testing.T) {
	now := time.Now()
	var running *limiter
	taken := func(limit rateLimitVariables) (n int) {
		running = limiterOf(t, limit, running)
		for range 20 {
			if running.run(arrives(t, now, "fe80::1", "", "")) == drop.None {
				n++
			}
		}
		return n
	}
	five, seven := rateLimitVariables{Rate: 1, Burst: 5}, rateLimitVariables{Rate: 1, Burst: 7}
	for i, reload := range []struct {
		limit rateLimitVariables
		want  int
	}{{five, 5}, {five, 0}, {seven, 7}, {seven, 0}} {
		if n := taken(reload.limit); n != reload.want {
			t.Errorf("load %d: %d taken, want %d", i, n, reload.want)
		}
	}
}

func TestAFloodTakesNothingFromOthers(t *testing.T) {
	f := limiterOf(t, rateLimitVariables{Rate: 10, Burst: 20, TotalRate: 1000, TotalBurst: 100}, nil)
	now, refused := time.Now().Add(time.Second), 0
	for i := range 20_000 { // 20 s; one floods with 1000 per second, 50 others send 2 in 10 s each
		now = now.Add(time.Millisecond)
		_ = f.run(arrives(t, now, "fe80::bad", "", ""))
		if i%100 == 0 {
			if f.run(arrives(t, now, fmt.Sprintf("fe80::%d", i/100%50), "", "")) != drop.None {
				refused++
			}
		}
	}
	if refused != 0 {
		t.Errorf("%d of 200 messages of others were refused", refused)
	}
}

func TestRateLimitIsBounded(t *testing.T) {
	f := limiterOf(t, rateLimitVariables{Rate: 1, Burst: 2}, nil)
	now := time.Now().Add(time.Second)
	e := arrives(t, now, "fe80::1", "", "")
	for i := range 300_000 {
		e.Path.Source = netip.AddrFrom16([16]byte{0xfe, 0x80, 15: byte(i), 14: byte(i >> 8), 13: byte(i >> 16)})
		if f.run(e) != drop.None {
			t.Fatal("a newcomer was refused")
		}
	}
	if n := testing.AllocsPerRun(1000, func() { f.run(e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRateLimit(b *testing.B) {
	f := limiterOf(b, rateLimitVariables{Rate: 1_000_000, Burst: 1000, TotalRate: 1_000_000_000, TotalBurst: 1000}, nil)
	e := arrives(b, time.Now(), "2001:db8:2::1", "fe80::1", "port7")
	b.ReportAllocs()
	for b.Loop() {
		f.run(e)
	}
}
