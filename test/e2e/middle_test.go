package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// A middle is an attacker on the only way between dhcp6d and dhcp4d. Each takes it for the other.
// It hears every datagram, and delivers it, keeps it or repeats it. It has no key.
type middle struct {
	*bench
	// With these sockets it talks to the daemons.
	toSix, toFour *net.UDPConn
	running       sync.WaitGroup

	mu    sync.Mutex
	keeps func(m passing) bool // nil: delivers everything
	heard []passing
	kept  []passing

	answered []time.Time // when answers to probes came by
}

// passing is a datagram on its way.
type passing struct {
	up       bool // to dhcp4d
	datagram []byte
}

// isGreeting reports whether a datagram is a full probe or the answer to one.
func (p passing) isGreeting() bool {
	content := ipc.Content(p.datagram)
	if p.up {
		probe, ok := ipc.ParseProbe(content)
		return ok && probe.Full
	}
	reply, ok := ipc.ParseProbeReply(content)
	return ok && reply.Full
}

// isProbe reports whether a datagram is a probe or the answer to one.
func (p passing) isProbe() bool {
	content := ipc.Content(p.datagram)
	if p.up {
		_, ok := ipc.ParseProbe(content)
		return ok
	}
	_, ok := ipc.ParseProbeReply(content)
	return ok
}

var (
	middleSix   = netip.MustParseAddrPort("[::1]:7768") // as dhcp6d sees dhcp4d
	middleFour  = netip.MustParseAddrPort("[::1]:7767") // as dhcp4d sees dhcp6d
	middlesFour = netip.MustParseAddrPort("[::1]:6768")
	middlesSix  = netip.MustParseAddrPort("[::1]:6767")
)

// between starts both daemons with keys, and the attacker between them. He keeps what the function
// says from the first datagram on. If alone is true, dhcp6d need not find its dhcp4d. Further
// variables are for both daemons.
func between(t *testing.T, alone bool, keeps func(passing) bool, env ...string) *middle {
	t.Helper()
	m := &middle{bench: network(t, "dhcp6d", "dhcp4d"), keeps: keeps}
	listen := func(at netip.AddrPort) *net.UDPConn {
		c, err := netns.In(m.Server, func() (*net.UDPConn, error) { return net.ListenUDP("udp6", net.UDPAddrFromAddrPort(at)) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	m.toSix, m.toFour = listen(middleSix), listen(middleFour)
	m.running.Go(func() { m.carry(true, m.toSix) })
	m.running.Go(func() { m.carry(false, m.toFour) })
	m.config.Env = append([]string{"DHCP6D_IPC_KEYS=" + firstKey, "DHCP4D_IPC_KEYS=" + firstKey,
		"DHCP6D_IPC_BACKENDS=" + middleSix.String(), "DHCP4D_IPC_PEERS=" + middleFour.String()}, env...)
	m.start4()
	var err error
	if m.six, err = servers.StartV6(m.Server, servers.Ours, m.config, alone); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		settled(t, m.six, "dhcp6d")
		settled(t, m.four, "dhcp4d")
		if t.Failed() {
			t.Logf("dhcp6d said:\n%s\ndhcp4d said:\n%s", tailOf(m.six.Output()), tailOf(m.four.Output()))
		}
	})
	return m
}

// carry takes what one daemon sends, until the socket is closed.
func (m *middle) carry(up bool, from *net.UDPConn) {
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // a daemon does not run
		}
		p := passing{up, bytes.Clone(buf[:n])}
		m.mu.Lock()
		m.heard = append(m.heard, p)
		if !up && p.isProbe() {
			m.answered = append(m.answered, time.Now())
		}
		keep := m.keeps != nil && m.keeps(p)
		if keep {
			m.kept = append(m.kept, p)
		}
		m.mu.Unlock()
		if !keep {
			m.deliver(p)
		}
	}
}

// deliver sends a datagram to the daemon that it is for.
func (m *middle) deliver(p passing) {
	if p.up {
		_, _ = m.toFour.WriteToUDPAddrPort(p.datagram, middlesFour)
	} else {
		_, _ = m.toSix.WriteToUDPAddrPort(p.datagram, middlesSix)
	}
}

// keep sets what is kept from now on.
func (m *middle) keep(keeps func(passing) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keeps = keeps
}

// take returns what has been kept.
func (m *middle) take() []passing {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.kept
	m.kept = nil
	return kept
}

// silence returns the longest time between answers to probes since a time, and until now.
func (m *middle) silence(since time.Time) (longest time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var last time.Time
	for _, at := range append(slices.Clone(m.answered), time.Now()) {
		if at.After(since) && !last.IsZero() {
			longest = max(longest, at.Sub(last))
		}
		last = at
	}
	return longest
}

func (m *middle) value(h *servers.Half, series string) float64 {
	m.t.Helper()
	all, err := h.Metrics()
	if err != nil {
		m.t.Fatal(err)
	}
	return servers.Sum(all, series)
}

// TestLateDatagrams: what was on its way for longer than 30 seconds is dropped, in both directions,
// although both daemons have gone on to greet each other. So is what waited in the socket of a
// process that was stopped for so long.
func TestLateDatagrams(t *testing.T) {
	t.Parallel()
	const late = 33 * time.Second
	t.Run("IPC-27 held on their way", func(t *testing.T) {
		t.Parallel()
		m := between(t, false, nil)
		c, other := m.client(topology.Multicast, 1, client.Options{}), m.client(topology.Multicast, 2, client.Options{Retransmit: short})
		lease := m.obtain(c)
		m.keep(func(p passing) bool { return !p.isProbe() && p.up })
		if err := c.Release(lease); err != nil {
			t.Fatal(err)
		}
		m.series(m.six, "dhcp6d_queries_forwarded_total", func(float64) bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.kept) > 0 })
		m.keep(func(p passing) bool { return !p.isProbe() && !p.up })
		silence(t, other)
		m.keep(nil)
		kept := m.take()
		if len(kept) < 2 || !kept[0].up || kept[len(kept)-1].up {
			t.Fatalf("kept %v", kept)
		}
		time.Sleep(late)
		for _, p := range kept {
			m.deliver(p)
		}
		m.series(m.four, `dhcp4d_ipc_refused_total{cause="stale"}`, is(1))
		m.series(m.six, `dhcp6d_ipc_refused_total{cause="stale"}`, is(float64(len(kept)-1)))
		if l, err := c.Renew(t.Context(), lease); err != nil || l.Address != lease.Address {
			t.Errorf("the lease that a late RELEASE is for: %v, %v", l, err)
		}
	})
	t.Run("IPC-27 in the socket of a dhcp4d that is stopped", func(t *testing.T) {
		t.Parallel()
		m := between(t, false, nil)
		c := m.client(topology.Multicast, 1, client.Options{})
		lease := m.obtain(c)
		if err := m.four.Freeze(); err != nil {
			t.Fatal(err)
		}
		if err := c.Release(lease); err != nil {
			t.Fatal(err)
		}
		time.Sleep(late)
		m.four.Thaw()
		m.series(m.four, `dhcp4d_ipc_refused_total{cause="stale"}`, func(n float64) bool { return n > 0 })
		m.series(m.six, "dhcp6d_ipc_backend_up", is(1))
		if l, err := c.Renew(t.Context(), lease); err != nil || l.Address != lease.Address {
			t.Errorf("the lease that a RELEASE before the pause is for: %v, %v", l, err)
		}
	})
	t.Run("IPC-27 in the socket of a dhcp6d that is stopped", func(t *testing.T) {
		t.Parallel()
		m := between(t, false, func(p passing) bool { return !p.isProbe() && !p.up })
		c := m.client(topology.Multicast, 1, client.Options{Retransmit: short})
		silence(t, c)
		m.keep(nil)
		kept := m.take()
		if err := m.six.Freeze(); err != nil {
			t.Fatal(err)
		}
		for _, p := range kept {
			m.deliver(p)
		}
		time.Sleep(late)
		m.six.Thaw()
		m.series(m.six, `dhcp6d_ipc_refused_total{cause="stale"}`, func(n float64) bool { return n >= float64(len(kept)) })
		m.obtain(m.client(topology.Multicast, 2, client.Options{}))
	})
}

// TestGreetingsThatAreDropped: without greetings two daemons do not use an older method.
func TestGreetingsThatAreDropped(t *testing.T) {
	t.Parallel()
	for name, keeps := range map[string]func(passing) bool{
		"both ways":                       func(p passing) bool { return p.isGreeting() },
		"those up":                        func(p passing) bool { return p.up && p.isGreeting() },
		"those down":                      func(p passing) bool { return !p.up && p.isGreeting() },
		"all that is up but plain probes": func(p passing) bool { return p.up && string(ipc.Content(p.datagram)) != "\x14\x00\x00\x00" },
	} {
		t.Run("IPC-27 "+name, func(t *testing.T) {
			t.Parallel()
			m := between(t, true, keeps)
			c := m.client(topology.Multicast, 1, client.Options{Retransmit: short})
			for range 4 {
				silence(t, c)
			}
			m.mu.Lock()
			for _, p := range m.heard {
				if !p.isProbe() {
					t.Errorf("without a session a datagram is sent: %x", p.datagram)
				}
			}
			m.mu.Unlock()
			for h, daemon := range map[*servers.Half]string{m.six: "dhcp6d", m.four: "dhcp4d"} {
				if n := m.value(h, daemon+"_ipc_old_peers"); n != 0 {
					t.Errorf("%s takes the other for an old one", daemon)
				}
			}
			m.keep(nil)
			m.obtain(m.client(topology.Multicast, 2, client.Options{}))
		})
	}
}

// icmp returns an ICMPv6 message about a datagram from a socket of a daemon.
func icmp(kind, code byte, value uint32, from, to netip.AddrPort) []byte {
	const length = 40
	b := binary.BigEndian.AppendUint32([]byte{kind, code, 0, 0}, value)
	b = append(b, 0x60, 0, 0, 0, 0, 8+length, 17, 64)
	b = append(append(b, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	for _, n := range []uint16{from.Port(), to.Port(), 8 + length, 0} {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	return append(b, make([]byte, length)...)
}

// TestForgedClaimsThatABackendIsGone: ICMP messages, which need no key, take no backend out that
// answers, and cost no exchange. The claims are about both daemons.
func TestForgedClaimsThatABackendIsGone(t *testing.T) {
	t.Parallel()
	m := between(t, false, nil)
	raw, err := netns.In(m.Server, func() (net.PacketConn, error) { return net.ListenPacket("ip6:ipv6-icmp", "::1") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	var claims [][]byte
	for _, way := range [][2]netip.AddrPort{{middlesSix, middleSix}, {middlesFour, middleFour}} {
		for code := range byte(7) {
			claims = append(claims, icmp(1, code, 0, way[0], way[1])) // destination unreachable; 4 is the port
		}
		claims = append(claims, icmp(2, 0, 1280, way[0], way[1]), icmp(2, 0, 0, way[0], way[1]), icmp(3, 0, 0, way[0], way[1]), icmp(4, 1, 40, way[0], way[1]))
	}
	stop, done := make(chan struct{}), sync.WaitGroup{}
	var sent atomic.Int64
	done.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := raw.WriteTo(claims[i%len(claims)], &net.IPAddr{IP: net.IPv6loopback}); err != nil {
				t.Errorf("sending ICMP: %v", err)
				return
			}
			if sent.Add(1); i%50 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	})
	// A lost datagram is a lost exchange.
	c := m.client(topology.Multicast, 1, client.Options{Retransmit: client.Retransmit{First: 5 * time.Second, Max: 5 * time.Second, Tries: 1}})
	lease := m.obtain(c)
	// wrong says what has gone wrong within four seconds.
	wrong := func() string {
		for end := time.Now().Add(4 * time.Second); time.Now().Before(end); {
			if _, err := c.Renew(t.Context(), lease); err != nil {
				return err.Error()
			}
			if up := m.value(m.six, "dhcp6d_ipc_backend_up"); up != 1 {
				return fmt.Sprint("backend_up is ", up)
			}
		}
		return ""
	}
	// On a machine that stalls, a probe has no answer in time, and the backend is rightly out. Then
	// the four seconds have proven nothing, and others follow.
	const probeEvery, slack = 500 * time.Millisecond, 50 * time.Millisecond
	for end := time.Now().Add(time.Minute); ; {
		began := time.Now()
		what := wrong()
		if what == "" {
			break
		}
		silent := m.silence(began)
		if silent <= probeEvery+slack || time.Now().After(end) {
			t.Errorf("under forged ICMP: %s; answers to probes were at most %v apart", what, silent)
			break
		}
		t.Logf("%s; the machine stalled, so that there was no answer to a probe for %v", what, silent)
		m.series(m.six, "dhcp6d_ipc_backend_up", is(1))
	}
	close(stop)
	done.Wait()
	if n := sent.Load(); n < 1000 {
		t.Errorf("only %d ICMP messages were sent", n)
	}
	for h, series := range map[*servers.Half]string{m.six: `dhcp6d_packets_dropped_total{reason="send_error"}`, m.four: `dhcp4d_packets_dropped_total{reason="send_error"}`} {
		if n := m.value(h, series); n != 0 {
			t.Errorf("%s is %v", series, n)
		}
	}
	// The claim counts where the backend leaves the next probe unanswered.
	m.keep(func(passing) bool { return true })
	m.series(m.six, "dhcp6d_ipc_backend_up", is(0))
	m.keep(nil)
	m.series(m.six, "dhcp6d_ipc_backend_up", is(1))
}
