package e2e

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/ackcheck"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// counting counts what a client sends.
type counting struct {
	client.Transport
	sent int
}

func (c *counting) Send(b []byte, to netip.Addr) error {
	c.sent++
	return c.Transport.Send(b, to)
}

// A newcomer is a new client that retransmits as in RFC 2131. It counts the messages for its lease.
type newcomer struct {
	*client.Client
	counts              *counting
	discovers, requests int // the most of one exchange
	refused             int // REQUESTs that got a NAK; then it began again
	asked               time.Time
	err                 error
}

func (b *bench) newcomer(n int) *newcomer {
	b.t.Helper()
	_, socket, err := b.Client(topology.Multicast, n, client.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	counts := &counting{Transport: socket}
	c, err := client.New(counts, client.Options{HardwareAddr: topology.MAC(n), Servers: []netip.Addr{client.Multicast},
		Random: rand.New(rand.NewPCG(uint64(n), 5))})
	if err != nil {
		b.t.Fatal(err)
	}
	return &newcomer{Client: c, counts: counts}
}

// obtain gets a lease, with a pause between OFFER and REQUEST.
func (c *newcomer) obtain(ctx context.Context, pause time.Duration) {
	c.asked = time.Now()
	for range 3 {
		c.counts.sent = 0
		offer, err := c.Discover(ctx)
		c.discovers = max(c.discovers, c.counts.sent)
		if c.err = err; err != nil {
			return
		}
		time.Sleep(pause)
		c.counts.sent = 0
		_, c.err = c.Select(ctx, offer)
		c.requests = max(c.requests, c.counts.sent)
		if !errors.Is(c.err, client.ErrNak) {
			return
		}
		c.refused++
		pause = 0
	}
}

// crowd are bound clients behind relay1. They renew again as soon as they have an answer, and
// remember the leases that were acknowledged to them.
func (b *bench) crowd(clients int) (w *ackcheck.Crowd, stop func()) {
	b.t.Helper()
	socket, err := netns.In(b.Relay1, func() (*client.Socket, error) {
		return client.Listen("up", netip.AddrPortFrom(topology.Relay1Core, relay.ServerPort))
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { socket.Close() })
	w, err = ackcheck.New(ackcheck.Config{Socket: socket, Server: topology.ServerCore, Link: topology.Relay1Lan, Clients: clients, Window: 16, Keep: true, Seed: 3})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); err != nil {
			b.t.Error(err)
		}
	})
	return w, func() { cancel(); running.Wait() }
}

// await waits until a condition is true.
func await(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestBackendsUnderLoad takes one of two backends away, brings it back, and adds a third one, while
// bound clients renew and new ones arrive.
func TestBackendsUnderLoad(t *testing.T) {
	for _, how := range []string{"killed", "frozen"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel() // most of its time is waiting
			b, halves, start4 := two(t, true)
			dir := t.TempDir()
			backends, ranges := filepath.Join(dir, "backends"), filepath.Join(dir, "ranges")
			const listed, owned = "a@[::1]:6768\nb@[::1]:6769", "a:192.0.2.10-192.0.2.127\nb:192.0.2.128-192.0.2.250\n" +
				"a:198.51.100.10-198.51.100.127\nb:198.51.100.128-198.51.100.250"
			write(t, backends, listed)
			write(t, ranges, owned)
			if err := b.six.Stop(10 * time.Second); err != nil {
				t.Fatal(err)
			}
			b.config.Quiet = true
			b.config.Env = []string{"DHCP6D_IPC_BACKENDS=", "DHCP6D_IPC_BACKENDS_FILE=" + backends, "DHCP6D_IPC_RANGES=",
				"DHCP6D_IPC_RANGES_FILE=" + ranges, "DHCP6D_IPC_KEYS=" + firstKey}
			b.start6()
			b.series(b.six, "dhcp6d_ipc_backend_up", is(2))
			w, stop := b.crowd(60)
			stopped := false
			defer func() {
				if !stopped {
					stop()
				}
			}()
			await(t, "a thousand ACKs", func() bool { return w.Acks.Load() > 1000 })

			// Newcomers arrive before, during and after the outage. Every other one pauses between
			// OFFER and REQUEST.
			const newcomers, apart = 30, 100 * time.Millisecond
			var all sync.WaitGroup
			var list []*newcomer
			for n := range newcomers {
				list = append(list, b.newcomer(n+1))
			}
			var gone time.Time
			for n, c := range list {
				all.Go(func() { c.obtain(t.Context(), time.Duration(n%2)*1500*time.Millisecond) })
				if n == newcomers/3 {
					gone = time.Now()
					if how == "killed" {
						halves["a"].Kill()
					} else {
						if err := halves["a"].Freeze(); err != nil {
							t.Fatal(err)
						}
					}
				}
				time.Sleep(apart)
			}
			all.Wait()
			again, fresh := 0, 0
			for n, c := range list {
				// At most one retransmission, whether the backend or a kernel has lost a datagram.
				if c.err != nil || c.discovers > 2 || c.requests > 2 || c.refused > 1 {
					t.Errorf("newcomer %d, which came %v after the backend went: %d DISCOVERs, %d REQUESTs, refused %d times, %v",
						n, c.asked.Sub(gone).Round(time.Millisecond), c.discovers, c.requests, c.refused, c.err)
				}
				again, fresh = again+max(c.discovers, c.requests)-1, fresh+c.refused
			}
			t.Logf("%d of %d newcomers retransmitted, %d began again", again, newcomers, fresh)
			if again == 0 || fresh == 0 {
				t.Error("nobody noticed that the backend went")
			}

			// The backend is back, and a third one is added.
			if how == "killed" {
				start4("a")
			} else {
				halves["a"].Thaw()
			}
			b.series(b.six, "dhcp6d_ipc_backend_up", is(2))
			some := func(v float64) bool { return v > 0 }
			b.series(b.six, `dhcp6d_ipc_timeouts_total{backend="a"}`, some)
			if how == "frozen" { // it then answers old queries, too late
				b.series(b.six, `dhcp6d_ipc_late_responses_total{backend="a"}`, some)
			}
			b.series(b.six, `dhcp6d_ipc_round_trip_seconds_count{backend="a",result="response"}`, some)
			b.series(b.six, `dhcp6d_ipc_round_trip_seconds_count{backend="b",result="response"}`, some)
			before := w.Acks.Load()
			await(t, "ACKs after its return", func() bool { return w.Acks.Load() > before+500 })
			start4("c")
			write(t, backends, listed+"\nc@[::1]:6770")
			write(t, ranges, owned+"\nc:192.0.2.4-192.0.2.9\nc:198.51.100.4-198.51.100.9")
			b.six.Signal(syscall.SIGHUP)
			b.series(b.six, "dhcp6d_ipc_backend_up", is(3))
			before = w.Acks.Load()
			await(t, "ACKs beside a third", func() bool { return w.Acks.Load() > before+500 })
			stop()
			stopped = true
			if faults := w.Faults(); len(faults) > 0 {
				t.Errorf("%d times a bound client was refused or given another address: %q", len(faults), faults)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if checked, lost, err := w.Verify(ctx); err != nil || len(lost) > 0 || checked != 60 {
				t.Errorf("of %d leases %q are lost, %v", checked, lost, err)
			}
			settled(t, halves["c"], "dhcp4d")
		})
	}
}

// TestBackendThatIsSlow checks that at most a window of queries waits at a backend. Further ones
// must be dropped with the right reason.
func TestBackendThatIsSlow(t *testing.T) {
	const window = 8192
	b, halves, _ := two(t, false)
	if err := b.six.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	halves["b"].Kill()
	host, err := b.Lab.Host("many")
	if err != nil {
		t.Fatal(err)
	}
	mac := topology.MAC(2)
	if err := b.Lab.Link(netns.End{Host: host, Name: "cpe", MAC: mac}, netns.End{Host: b.Server, Name: "many"}); err != nil {
		t.Fatal(err)
	}
	many, err := netns.In(host, func() (*client.Socket, error) {
		return client.Listen("cpe", netip.AddrPortFrom(netns.LinkLocal(mac), relay.ClientPort))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { many.Close() })
	b.config.Interfaces = append(b.config.Interfaces, "many")
	b.config.Quiet = true
	b.config.Env = []string{"DHCP6D_IPC_BACKENDS=a@[::1]:6768", "DHCP6D_IPC_KEYS=" + firstKey}
	b.start6()
	c := b.client(topology.Multicast, 1, client.Options{})
	lease := b.obtain(c)
	before, err := b.six.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	if err := halves["a"].Freeze(); err != nil {
		t.Fatal(err)
	}
	frozen := time.Now()
	renewal := c.Message(dhcpv4.MessageTypeRequest)
	renewal.ClientIPAddr = lease.Address.AsSlice()
	message := c.Query(renewal.ToBytes(), true)
	for time.Since(frozen) < time.Second {
		for range 500 {
			if err := many.Send(message, client.Multicast); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	halves["a"].Thaw()
	b.series(b.six, `dhcp6d_packets_dropped_total{reason="queue_full",socket="link"}`, func(v float64) bool { return v > 0 })
	after, err := b.six.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	if n := servers.Sum(after, "dhcp6d_queries_forwarded_total") - servers.Sum(before, "dhcp6d_queries_forwarded_total"); n > window+1 {
		t.Errorf("%v queries were sent to a backend that reads none", n)
	}
	b.series(b.six, "dhcp6d_ipc_backend_up", is(1))
	if l, err := c.Renew(t.Context(), lease); err != nil || l.Address != lease.Address {
		t.Errorf("after the backend has caught up: %+v, %v", l, err)
	}
}
