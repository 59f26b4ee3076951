package server

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

func TestIPC_32_WhoIsDroppedIsSaidOnce(t *testing.T) {
	var log strings.Builder
	b := newBench(t, ipc.Key{ID: 1, Secret: []byte("0123456789abcdef")})
	b.server.Log = slog.New(slog.NewTextHandler(&log, nil))
	stranger := netip.MustParseAddrPort("[2001:db8::7]:6767")
	for range 1000 {
		b.server.batch([]udp.Packet{{Data: ipc.AppendProbe(nil), Peer: stranger}, {Data: ipc.AppendProbe(nil), Peer: sixd}})
	}
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(log.String(), `\"`, `"`)), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines for 2000 datagrams:\n%s", len(lines), log.String())
	}
	for i, want := range [][]string{
		{"level=WARN", "peer=[2001:db8::7]:6767", "add [2001:db8::7]:6767 to DHCP4D_IPC_PEERS", "DHCP6D_IPC_LISTEN"},
		{"level=WARN", "peer=" + sixd.String(), "DHCP4D_IPC_KEYS", "DHCP6D_IPC_KEYS", `name us "dhcp4d"`, `write "` + sixd.String() + ` kea" in DHCP4D_IPC_PEERS`},
	} {
		for _, w := range want {
			if !strings.Contains(lines[i], w) {
				t.Errorf("%q is not in\n%s", w, lines[i])
			}
		}
	}
}

func TestComplaintsAreFew(t *testing.T) {
	var c complaints
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	now := time.Now()
	for i := range 100_000 { // for 1000 s, from addresses that nobody has
		peer := netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i%50_000)), 6767)
		c.about(logger, "dhcp4d", peer, drop.WrongPeer, now)
		now = now.Add(10 * time.Millisecond)
	}
	if n := strings.Count(log.String(), "\n"); n < 15 || n > 17 {
		t.Errorf("%d lines in 1000 s", n)
	}
	log.Reset()
	for range 100_000 {
		c.about(logger, "dhcp4d", sixd, drop.WrongPeer, now)
		now = now.Add(10 * time.Millisecond)
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d lines in 1000 s about one peer", n)
	}
	if n := testing.AllocsPerRun(1000, func() { c.about(logger, "dhcp4d", sixd, drop.WrongPeer, now) }); n != 0 {
		t.Errorf("%v allocations for a datagram that is dropped", n)
	}
}

func TestIPC_32_ADhcp6dThatNeverProbesIsSaid(t *testing.T) {
	var log strings.Builder
	first, second, kea := netip.MustParseAddrPort("[::1]:1"), netip.MustParseAddrPort("[::1]:2"), netip.MustParseAddrPort("[::1]:3")
	peers := new(atomic.Pointer[Peers])
	peers.Store(&Peers{first: {Name: "one"}, second: {Name: "two"}, kea: {Name: "kea", Kea: true}})
	a := &Ability{Store: new(disk), Ready: &ready{}, Peers: peers, Log: slog.New(slog.NewTextHandler(&log, nil))}
	now := time.Now()
	pass := func(d time.Duration) {
		for end := now.Add(d); now.Before(end); now = now.Add(100 * time.Millisecond) {
			a.look(now)
		}
	}
	pass(time.Second)
	a.heard(first)
	a.heard(netip.MustParseAddrPort("[::1]:9"))
	pass(probeWithin - 2*time.Second)
	if log.Len() > 0 {
		t.Errorf("too soon: %s", log.String())
	}
	pass(time.Hour)
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "peer=[::1]:2") || !strings.Contains(log.String(), "[::1]:2 kea") {
		t.Errorf("%s", log.String())
	}
	third := netip.MustParseAddrPort("[::1]:4")
	peers.Store(&Peers{first: {Name: "one"}, third: {Name: "three"}}) // a reload
	log.Reset()
	pass(time.Hour)
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "peer=[::1]:4") {
		t.Errorf("%s", log.String())
	}
}
