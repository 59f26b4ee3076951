package interop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// The addresses of two backends with a store each.
const (
	firstHalf, secondHalf = "192.0.2.10-192.0.2.127", "192.0.2.128-192.0.2.250"
	ownership             = "DHCP6D_IPC_RANGES=a:192.0.2.0-192.0.2.127,b:192.0.2.128-192.0.2.255"
)

func half(a netip.Addr) string {
	if a.Less(netip.MustParseAddr("192.0.2.128")) {
		return "a"
	}
	return "b"
}

// keaOf returns a configuration for a Kea with a pool.
func keaOf(t *testing.T, dir, pool string) servers.Config {
	first, last, _ := strings.Cut(pool, "-")
	c := topology.Config(dir)
	c.Interfaces, c.Quiet = []string{"access"}, true
	subnet := topology.Direct
	subnet.First, subnet.Last = netip.MustParseAddr(first), netip.MustParseAddr(last)
	c.Subnets = []servers.Subnet{subnet}
	return c
}

// backends are dhcp6d and two backends: a is a Kea, b another server.
type backends struct {
	*topology.Network
	t       *testing.T
	six     *servers.Half
	halves  map[string]*servers.Half
	restart func(name string)
}

// besideOurs makes a dhcp4d backend b.
func besideOurs(t *testing.T) *backends {
	s := network(t, servers.Ours, servers.Kea)
	b := &backends{Network: s, t: t, halves: map[string]*servers.Half{}}
	kea, ours := keaOf(t, t.TempDir(), firstHalf), topology.Config(t.TempDir())
	ours.Quiet = true
	ours.Env = []string{"DHCP4D_NAME=b", "DHCP4D_IPC_LISTEN=[::1]:6769", "DHCP4D_PEER_SERVER_IDS=192.0.2.1",
		fmt.Sprintf(`DHCP4D_SUBNETS=[{id: 1, subnet: 192.0.2.0/24, server-id: 192.0.2.2, pools: [%s], match: [{interface: access}]}]`, secondHalf)}
	b.restart = func(name string) {
		kind, config := servers.Kea, kea
		if name == "b" {
			kind, config = servers.Ours, ours
		}
		b.start(s.Server, name, kind, config)
	}
	b.begin("b@[::1]:6769")
	return b
}

// besideKea makes a second Kea backend b. Kea uses consecutive ports on the loopback interface, so
// the second one is on a host of its own, and the test carries its datagrams.
func besideKea(t *testing.T) *backends {
	s := network(t, servers.Ours, servers.Kea)
	b := &backends{Network: s, t: t, halves: map[string]*servers.Half{}}
	far, err := s.Lab.Host("second")
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := s.Lab.Host("nobody")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Lab.Link(netns.End{Host: far, Name: "access"}, netns.End{Host: nobody, Name: "access"}); err != nil {
		t.Fatal(err)
	}
	if err := far.AddAddress("access", netip.MustParsePrefix("192.0.2.2/24")); err != nil { // Kea's server identifier
		t.Fatal(err)
	}
	carry(t, s.Server, 6868, 6767, far, 6767, 6768)
	first, second := keaOf(t, t.TempDir(), firstHalf), keaOf(t, t.TempDir(), secondHalf)
	b.restart = func(name string) {
		host, config := s.Server, first
		if name == "b" {
			host, config = far, second
		}
		b.start(host, name, servers.Kea, config)
	}
	b.begin("b@[::1]:6868 kea")
	return b
}

// carry joins the loopback interfaces of two hosts: it takes datagrams at a port of one, and sends
// them on from the port of the other to its peer there.
func carry(t *testing.T, left *netns.Host, leftPort, leftPeer uint16, right *netns.Host, rightPort, rightPeer uint16) {
	at := func(h *netns.Host, port uint16) *net.UDPConn {
		conn, err := netns.In(h, func() (*net.UDPConn, error) {
			return net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv6Loopback(), port)))
		})
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	a, b := at(left, leftPort), at(right, rightPort)
	var both sync.WaitGroup
	pass := func(from, to *net.UDPConn, peer uint16) {
		buf := make([]byte, 1<<16)
		for {
			n, _, err := from.ReadFromUDPAddrPort(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil { // an error says that nobody listens there
				_, _ = to.WriteToUDPAddrPort(buf[:n], netip.AddrPortFrom(netip.IPv6Loopback(), peer))
			}
		}
	}
	both.Go(func() { pass(a, b, rightPeer) })
	both.Go(func() { pass(b, a, leftPeer) })
	t.Cleanup(func() { a.Close(); b.Close(); both.Wait() })
}

func (b *backends) start(h *netns.Host, name string, kind servers.Kind, c servers.Config) {
	b.t.Helper()
	var err error
	if b.halves[name], err = servers.StartV4(h, kind, c); err != nil {
		b.t.Fatal(err)
	}
}

// begin starts all of them. second is the entry of b in DHCP6D_IPC_BACKENDS.
func (b *backends) begin(second string) {
	b.t.Helper()
	b.restart("a")
	b.restart("b")
	c := topology.Config(b.t.TempDir())
	c.Quiet = true
	c.Env = []string{"DHCP6D_IPC_BACKENDS=a@[::1]:6768 kea," + second, ownership, "DHCP6D_LOG_LEVEL=info"}
	var err error
	if b.six, err = servers.StartV6(b.Server, servers.Ours, c, false); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if b.t.Failed() {
			b.t.Logf("dhcp6d:\n%s", b.six.Output())
		}
	})
	b.until(`dhcp6d_ipc_backend_up`, 2)
}

// value returns the sum of the series of a name.
func (b *backends) value(series string) float64 {
	b.t.Helper()
	all, err := b.six.Metrics()
	if err != nil {
		b.t.Fatal(err)
	}
	return servers.Sum(all, series)
}

// until waits for a value, and returns how long that took.
func (b *backends) until(series string, want float64) time.Duration {
	b.t.Helper()
	start := time.Now()
	for time.Since(start) < 30*time.Second {
		if b.value(series) == want {
			return time.Since(start)
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.t.Fatalf("%s is %v, want %v", series, b.value(series), want)
	return 0
}

// member returns client n.
func (b *backends) member(n int, r client.Retransmit) *client.Client {
	b.t.Helper()
	c, socket, err := b.Client(topology.Multicast, n, client.Options{Retransmit: r, Random: rand.New(rand.NewPCG(uint64(n), 4))})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { socket.Close() })
	return c
}

// A crowd is clients that obtain and release leases again and again. Once strict is set, no
// exchange that begins after it may need more than one retransmission.
type crowd struct {
	strict    atomic.Int64 // Unix time in nanoseconds
	exchanges atomic.Int64
	twice     atomic.Int64 // exchanges with a retransmission since strict
}

func (c *crowd) watch(on bool) {
	at := int64(0)
	if on {
		at = time.Now().UnixNano()
	}
	c.strict.Store(at)
}

// come runs clients first to first+n-1 as a crowd until ctx ends.
func (b *backends) come(ctx context.Context, all *sync.WaitGroup, first, n int) *crowd {
	// Clients retransmit after a second, not after three to five as in RFC 2131, so that the test
	// is short.
	const patience = 1500 * time.Millisecond
	c := new(crowd)
	for i := range n {
		m := b.member(first+i, client.Retransmit{First: patience, Max: patience, Tries: 2})
		all.Go(func() {
			for ctx.Err() == nil {
				start := time.Now()
				l, err := m.Obtain(ctx)
				strict := c.strict.Load()
				counts := strict != 0 && start.UnixNano() > strict
				switch {
				case err == nil:
					c.exchanges.Add(1)
					if counts && time.Since(start) > patience {
						c.twice.Add(1)
					}
					err = m.Release(l)
				case !counts:
					err = nil
				}
				if err != nil && ctx.Err() == nil {
					b.t.Errorf("client %d of the crowd: %v", first+i, err)
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	return c
}

// bound are clients that renew their lease all the time.
type bound struct {
	clients []*client.Client
	leases  []*client.Lease
	renewed []atomic.Int64
}

func (b *backends) bind(first, n int) *bound {
	b.t.Helper()
	o := &bound{renewed: make([]atomic.Int64, n)}
	at := map[string]int{}
	for i := range n {
		c := b.member(first+i, client.Retransmit{First: 500 * time.Millisecond, Max: 500 * time.Millisecond, Tries: 1})
		l, err := c.Obtain(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		o.clients, o.leases = append(o.clients, c), append(o.leases, l)
		at[half(l.Address)]++
	}
	if len(at) != 2 {
		b.t.Fatalf("all bound clients are at one backend: %v", at)
	}
	return o
}

// renew renews the leases until ctx ends. An answer may be lost, but each client must keep its
// address.
func (o *bound) renew(ctx context.Context, t *testing.T, all *sync.WaitGroup) {
	for i, c := range o.clients {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				extend := (*client.Client).Renew
				if n%2 == 1 {
					extend = (*client.Client).Rebind
				}
				l, err := extend(c, ctx, o.leases[i])
				switch {
				case err == nil && l.Address == o.leases[i].Address:
					o.renewed[i].Add(1)
				case errors.Is(err, client.ErrNoAnswer), ctx.Err() != nil:
				default:
					t.Errorf("renewal of %s: %+v, %v", o.leases[i].Address, l, err)
				}
				time.Sleep(200 * time.Millisecond)
			}
		})
	}
}

// progress waits until each client of the named halves has renewed once more.
func (o *bound) progress(t *testing.T, which ...string) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for i := range o.clients {
		if !strings.Contains(strings.Join(which, " "), half(o.leases[i].Address)) {
			continue
		}
		for before := o.renewed[i].Load(); o.renewed[i].Load() == before; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("%s is not renewed", o.leases[i].Address)
				break
			}
		}
	}
}

// TestKeaOut kills or stops a Kea behind dhcp6d while clients arrive and renew, and starts it
// again.
func TestKeaOut(t *testing.T) {
	for _, test := range []struct {
		name   string
		start  func(*testing.T) *backends
		victim string
		kill   bool
		within time.Duration // the longest time until dhcp6d takes it out
	}{
		// A DISCOVER counts as unanswered after two seconds, and twenty such DISCOVERs take it out.
		{"killed, beside a dhcp4d", besideOurs, "a", true, 2 * time.Second},
		{"frozen, beside a dhcp4d", besideOurs, "a", false, 10 * time.Second},
		{"killed, beside another Kea", besideKea, "a", true, 2 * time.Second},
		{"frozen, beside another Kea", besideKea, "b", false, 10 * time.Second},
	} {
		t.Run(test.name+": a new client asks twice at most, a bound one keeps its lease", func(t *testing.T) {
			b := test.start(t)
			other := map[string]string{"a": "b", "b": "a"}[test.victim]
			up := func(name string) string { return `dhcp6d_ipc_backend_up{backend="` + name + `"}` }
			bound := b.bind(1, 10)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var all sync.WaitGroup
			defer all.Wait()
			defer cancel()
			bound.renew(ctx, t, &all)
			crowd := b.come(ctx, &all, 100, 24)
			bound.progress(t, "a", "b")

			if test.kill {
				b.halves[test.victim].Kill()
			} else {
				if err := b.halves[test.victim].Freeze(); err != nil {
					t.Fatal(err)
				}
			}
			took := b.until(up(test.victim), 0)
			if took > test.within {
				t.Errorf("the Kea was taken out after %v, want at most %v", took, test.within)
			}
			crowd.watch(true)
			before := crowd.exchanges.Load()
			bound.progress(t, other)
			time.Sleep(14 * time.Second) // for several trials
			crowd.watch(false)
			t.Logf("taken out after %v; %d exchanges while it was out, %d with a retransmission", took.Round(time.Millisecond), crowd.exchanges.Load()-before, crowd.twice.Load())
			if v := b.value(up(other)); v != 1 {
				t.Errorf("%s was taken out, too", other)
			}
			if test.kill {
				b.restart(test.victim)
			} else {
				b.halves[test.victim].Thaw()
			}
			took = b.until(up(test.victim), 1)
			t.Logf("in again after %v", took.Round(time.Millisecond))
			crowd.watch(true)
			bound.progress(t, "a", "b")
			time.Sleep(time.Second)
		})
	}
	t.Run("both, one after the other: the last is never out, and the first to return serves all", func(t *testing.T) {
		b := besideKea(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var all sync.WaitGroup
		defer all.Wait()
		defer cancel()
		crowd := b.come(ctx, &all, 100, 24)
		if err := b.halves["b"].Freeze(); err != nil {
			t.Fatal(err)
		}
		b.until(`dhcp6d_ipc_backend_up{backend="b"}`, 0)
		b.halves["a"].Kill()
		for range 50 {
			if b.value("dhcp6d_ipc_backend_up") == 0 {
				t.Fatal("both backends are out")
			}
			time.Sleep(100 * time.Millisecond)
		}
		b.halves["b"].Thaw()
		b.until(`dhcp6d_ipc_backend_up{backend="b"}`, 1)
		b.until(`dhcp6d_ipc_backend_up{backend="a"}`, 0)
		crowd.watch(true)
		before := crowd.exchanges.Load()
		time.Sleep(5 * time.Second)
		if crowd.exchanges.Load() == before {
			t.Error("nobody is served")
		}
	})
}
