package filter_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/filter"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// arrives is a message at a time: of a source, or of a client behind a relay that
// gives it an Interface-Id.
func arrives(t testing.TB, at time.Time, source, client, id string) *filter.Event {
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
	return &filter.Event{Received: at, Index: 3, Peer: netip.AddrPortFrom(netip.MustParseAddr(source), 546), Packet: p}
}

func TestRateLimit(t *testing.T) {
	start := time.Now()
	const relay = "2001:db8:2::1"
	tests := []struct {
		name  string
		limit filter.RateLimit
		event func(i int) *filter.Event
		n     int
		taken int
	}{
		{"one direct client gets its burst", filter.RateLimit{Rate: 1, Burst: 5},
			func(int) *filter.Event { return arrives(t, start, "fe80::1", "", "") }, 100, 5},
		{"and then its rate", filter.RateLimit{Rate: 10, Burst: 5},
			func(i int) *filter.Event {
				return arrives(t, start.Add(time.Duration(i)*time.Millisecond), "fe80::1", "", "")
			}, 1001, 15},
		{"neighbours have buckets of their own", filter.RateLimit{Rate: 1, Burst: 5},
			func(i int) *filter.Event { return arrives(t, start, fmt.Sprintf("fe80::%d", i%20), "", "") }, 100, 100},
		{"a /64 is one subscriber, however many addresses it uses", filter.RateLimit{Rate: 1, Burst: 5},
			func(i int) *filter.Event { return arrives(t, start, fmt.Sprintf("2001:db8:1::%d", i+1), "", "") }, 100, 5},
		{"clients behind one relay are told apart by their address", filter.RateLimit{Rate: 1, Burst: 5},
			func(i int) *filter.Event { return arrives(t, start, relay, fmt.Sprintf("fe80::%d", i%20), "port") }, 100, 100},
		{"and by their Interface-Id", filter.RateLimit{Rate: 1, Burst: 5},
			func(i int) *filter.Event { return arrives(t, start, relay, "fe80::1", fmt.Sprint("port", i%20)) }, 100, 100},
		{"one client behind a relay", filter.RateLimit{Rate: 1, Burst: 5},
			func(int) *filter.Event { return arrives(t, start, relay, "fe80::1", "port") }, 100, 5},
		{"all together", filter.RateLimit{TotalRate: 1, TotalBurst: 30},
			func(i int) *filter.Event { return arrives(t, start, fmt.Sprintf("fe80::%d", i), "", "") }, 100, 30},
		{"no limit", filter.RateLimit{},
			func(int) *filter.Event { return arrives(t, start, "fe80::1", "", "") }, 100, 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, taken := tt.limit.Filter(), 0
			for i := range tt.n {
				e := tt.event(i)
				if e.Received.Equal(start) {
					e.Received = start.Add(time.Hour) // the filter was made after start
				} else {
					e.Received = e.Received.Add(time.Hour)
				}
				switch why := f.Run(e); why {
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

func TestReloadGivesNothingBack(t *testing.T) {
	now := time.Now()
	var running filter.Running
	taken := func(limit filter.RateLimit) (n int) {
		run := running.Filter(limit).Run
		for range 20 {
			if run(arrives(t, now, "fe80::1", "", "")) == drop.None {
				n++
			}
		}
		return n
	}
	five, seven := filter.RateLimit{Rate: 1, Burst: 5}, filter.RateLimit{Rate: 1, Burst: 7}
	for i, reload := range []struct {
		limit filter.RateLimit
		want  int
	}{{five, 5}, {five, 0}, {seven, 7}, {seven, 0}} {
		if n := taken(reload.limit); n != reload.want {
			t.Errorf("load %d: %d taken, want %d", i, n, reload.want)
		}
	}
}

func TestAFloodTakesNothingFromOthers(t *testing.T) {
	f := filter.RateLimit{Rate: 10, Burst: 20, TotalRate: 1000, TotalBurst: 100}.Filter()
	now, refused := time.Now().Add(time.Second), 0
	for i := range 20_000 { // 20 s; one floods with 1000 per second, 50 others send 2 in 10 s each
		now = now.Add(time.Millisecond)
		_ = f.Run(arrives(t, now, "fe80::bad", "", ""))
		if i%100 == 0 {
			if f.Run(arrives(t, now, fmt.Sprintf("fe80::%d", i/100%50), "", "")) != drop.None {
				refused++
			}
		}
	}
	if refused != 0 {
		t.Errorf("%d of 200 messages of others were refused", refused)
	}
}

func TestRateLimitIsBounded(t *testing.T) {
	f := filter.RateLimit{Rate: 1, Burst: 2}.Filter()
	now := time.Now().Add(time.Second)
	e := arrives(t, now, "fe80::1", "", "")
	for i := range 300_000 {
		e.Peer = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0xfe, 0x80, 15: byte(i), 14: byte(i >> 8), 13: byte(i >> 16)}), 546)
		if f.Run(e) != drop.None {
			t.Fatal("a newcomer was refused")
		}
	}
	if n := testing.AllocsPerRun(1000, func() { f.Run(e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRateLimit(b *testing.B) {
	f := filter.RateLimit{Rate: 1_000_000, Burst: 1000, TotalRate: 1_000_000_000, TotalBurst: 1000}.Filter()
	e := arrives(b, time.Now(), "2001:db8:2::1", "fe80::1", "port7")
	b.ReportAllocs()
	for b.Loop() {
		f.Run(e)
	}
}
