package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/ethernet"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc/ipctest"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// The ends of the IPC in this test.
var (
	ipcSix = netip.MustParseAddrPort("[2001:db8:99::6]:6767")
	ipcA   = netip.MustParseAddrPort("[2001:db8:99::a]:6768")
	ipcB   = netip.MustParseAddrPort("[2001:db8:99::b]:6768")
)

// An intruder is a host on the network of the IPC. It hears everything and can send any datagram
// from any address.
type intruder struct {
	*bench
	halves map[netip.AddrPort]*servers.Half
	hosts  map[netip.AddrPort]*netns.Host
	macs   map[netip.AddrPort][]byte
	dir    string
	port   *os.File
	mac    []byte
	random *rand.Rand

	mu    sync.Mutex
	heard []ethernet.Datagram
}

// intrude starts dhcp6d and two dhcp4d on hosts of their own, with keys, and joins the intruder to
// the network between them.
func intrude(t *testing.T) *intruder {
	t.Helper()
	b := network(t, "dhcp6d", "dhcp4d")
	i := &intruder{bench: b, halves: map[netip.AddrPort]*servers.Half{}, hosts: map[netip.AddrPort]*netns.Host{ipcSix: b.Server},
		macs: map[netip.AddrPort][]byte{}, dir: t.TempDir(), random: rand.New(rand.NewPCG(27, 27))}
	i.config.Quiet = true
	var ends []netns.End
	for at, name := range map[netip.AddrPort]string{ipcA: "a", ipcB: "b"} {
		host, err := b.Lab.Host(name)
		if err != nil {
			t.Fatal(err)
		}
		i.hosts[at] = host
	}
	for at, host := range i.hosts {
		ends = append(ends, netns.End{Host: host, Name: "ipc", Addresses: []netip.Prefix{netip.PrefixFrom(at.Addr(), 64)}})
	}
	host, err := b.Lab.Host("intruder")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Lab.Segment(append(ends, netns.End{Host: host, Name: "ipc"})...); err != nil {
		t.Fatal(err)
	}
	for at, host := range i.hosts {
		if i.macs[at], err = host.HardwareAddr("ipc"); err != nil {
			t.Fatal(err)
		}
	}
	if i.mac, err = host.HardwareAddr("ipc"); err != nil {
		t.Fatal(err)
	}
	if i.port, err = netns.In(host, func() (*os.File, error) { return ethernet.OpenPort("ipc", ethernet.Received) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.port.Close() })
	tap, err := netns.In(b.Server, func() (*os.File, error) { return ethernet.OpenPort("ipc", ethernet.BothDirections) })
	if err != nil {
		t.Fatal(err)
	}
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		i.listen(tap)
	}()
	t.Cleanup(func() { tap.Close(); <-listening })
	i.start4(ipcA)
	i.start4(ipcB)
	i.start6()
	t.Cleanup(func() {
		for at, h := range i.halves {
			settled(t, h, map[bool]string{true: "dhcp6d", false: "dhcp4d"}[at == ipcSix])
			if t.Failed() {
				t.Logf("%s said:\n%s", at, tailOf(h.Output()))
			}
		}
	})
	return i
}

// store returns DHCP4D_STORE of the dhcp4d at an address.
func (i *intruder) store(at netip.AddrPort) string {
	return "pebble:" + filepath.Join(i.dir, map[netip.AddrPort]string{ipcA: "a", ipcB: "b"}[at])
}

func (i *intruder) start4(at netip.AddrPort) {
	i.t.Helper()
	name, first, last, id, other := "a", "192.0.2.10", "192.0.2.127", "192.0.2.1", "192.0.2.2"
	if at == ipcB {
		name, first, last, id, other = "b", "192.0.2.128", "192.0.2.250", "192.0.2.2", "192.0.2.1"
	}
	c := i.config
	c.Env = []string{"DHCP4D_NAME=" + name, "DHCP4D_IPC_LISTEN=" + at.String(), "DHCP4D_IPC_PEERS=" + ipcSix.String(),
		"DHCP4D_IPC_KEYS=" + firstKey, "DHCP4D_STORE=" + i.store(at), "DHCP4D_PEER_SERVER_IDS=" + other,
		"DHCP4D_SUBNETS=" + fmt.Sprintf(`[{id: 1, subnet: 192.0.2.0/24, server-id: %s, pools: [%s-%s], match: [{interface: access}]}]`, id, first, last)}
	h, err := servers.StartV4(i.hosts[at], servers.Ours, c)
	if err != nil {
		i.t.Fatal(err)
	}
	i.halves[at] = h
}

func (i *intruder) start6() {
	i.t.Helper()
	c := i.config
	c.Env = []string{"DHCP6D_IPC_LISTEN=" + ipcSix.String(), "DHCP6D_IPC_KEYS=" + firstKey,
		"DHCP6D_IPC_BACKENDS=a@" + ipcA.String() + ",b@" + ipcB.String(),
		"DHCP6D_IPC_RANGES=a:192.0.2.0-192.0.2.127,b:192.0.2.128-192.0.2.255"}
	h, err := servers.StartV6(i.hosts[ipcSix], servers.Ours, c, false)
	if err != nil {
		i.t.Fatal(err)
	}
	i.halves[ipcSix], i.six = h, h
	i.series(h, "dhcp6d_ipc_backend_up", is(2))
}

// listen records what the daemons send to each other, without what the intruder has sent.
func (i *intruder) listen(tap *os.File) {
	frame := make([]byte, 1<<16)
	for {
		n, err := tap.Read(frame)
		if err != nil {
			return
		}
		d, ok := ethernet.Decode(bytes.Clone(frame[:n]))
		if !ok || bytes.Equal(d.SourceMAC, i.mac) || (d.Source.Port() != 6767 && d.Source.Port() != 6768) {
			continue
		}
		i.mu.Lock()
		i.heard = append(i.heard, d)
		i.mu.Unlock()
	}
}

// record returns what was heard so far.
func (i *intruder) record() []ethernet.Datagram {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.heard)
}

// export returns the leases of both dhcp4d, as an operator sees them.
func (i *intruder) export() string {
	i.t.Helper()
	program, err := servers.Find("dhcp4d")
	if err != nil {
		i.t.Fatal(err)
	}
	var all string
	for _, at := range []netip.AddrPort{ipcA, ipcB} {
		// The token of the API is in the store's directory.
		p, err := i.hosts[at].Start([]string{"DHCP4D_STORE=" + i.store(at)}, program, "leases", "export")
		if err != nil {
			i.t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(i.t.Context(), 30*time.Second)
		status, err := p.Wait(ctx)
		cancel()
		if err != nil || status != 0 {
			i.t.Fatalf("leases export: status %d, %v: %s", status, err, p.Output())
		}
		all += p.Output()
	}
	return all
}

// figures are the counters that show whether a datagram was accepted.
type figures struct{ unauthentic, lost float64 }

func (i *intruder) figures(at netip.AddrPort) figures {
	i.t.Helper()
	m, err := i.halves[at].Metrics()
	if err != nil {
		i.t.Fatal(err)
	}
	daemon := "dhcp4d"
	if at == ipcSix {
		daemon = "dhcp6d"
	}
	return figures{m[daemon+`_packets_dropped_total{reason="unauthentic",socket="ipc"}`], m[daemon+`_socket_drops_total{socket="ipc"}`]}
}

// attack sends n datagrams made by next. Each must be dropped as not authentic, or by the kernel
// because the socket was full.
func (i *intruder) attack(n int, next func() ethernet.Datagram) {
	i.t.Helper()
	before := map[netip.AddrPort]figures{}
	for at := range i.halves {
		before[at] = i.figures(at)
	}
	sent := map[netip.AddrPort]int{}
	for range n {
		d := next()
		d.SourceMAC, d.DestinationMAC = i.mac, i.macs[d.Destination]
		if _, err := i.port.Write(d.Encode()); err != nil {
			i.t.Fatal(err)
		}
		sent[d.Destination]++
	}
	for at, n := range sent {
		var got, lost float64
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			f := i.figures(at)
			if got, lost = f.unauthentic-before[at].unauthentic, f.lost-before[at].lost; got+lost >= float64(n) {
				break
			}
		}
		if got > float64(n) || got+lost < float64(n) {
			i.t.Errorf("%s: of %d datagrams %v were dropped as not authentic, %v by the kernel", at, n, got, lost)
		}
	}
}

// old is a sender of a version without sessions, for one direction between dhcp6d and a backend.
// The next datagram that it signs has the sequence number.
func old(key, backend string, direction byte, sequence uint64) *ipctest.Old {
	return &ipctest.Old{Key: ipc.Key{ID: 1, Secret: []byte(key)}, Backend: backend, From: direction, Sent: sequence - 1}
}

const (
	secret = "0123456789abcdef0123456789abcdef" // of firstKey
	guess  = "0123456789abcdef0123456789abcdeg"
)

func TestIntruder(t *testing.T) {
	t.Parallel()
	i := intrude(t)
	// Both dhcp4d have leases. One client has released its lease and got it again, so the recorded
	// RELEASE would end it.
	var clients []*client.Client
	var leases []*client.Lease
	owners := map[string]bool{}
	for n := range 12 {
		c := i.client(topology.Multicast, n+1, client.Options{})
		l := i.obtain(c)
		if err := c.Release(l); err != nil {
			t.Fatal(err)
		}
		l = i.obtain(c)
		clients, leases = append(clients, c), append(leases, l)
		owners[ownerOf(l.Address)] = true
	}
	if len(owners) != 2 {
		t.Fatal("all clients are at one backend")
	}
	before := i.export()
	heard := i.record()
	if lines := bytes.Count([]byte(before), []byte("\n")); lines < len(leases)+2 || len(heard) < 12*9 {
		t.Fatalf("the intruder recorded %d datagrams, and the export is:\n%s", len(heard), before)
	}

	// Meanwhile bound clients send requests that change no lease.
	stop, done := make(chan struct{}), sync.WaitGroup{}
	var exchanges atomic.Int64
	for n, c := range clients[:3] {
		done.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				offer, err := c.Discover(t.Context())
				if err == nil {
					_, err = c.Inform(t.Context(), leases[n].Address)
				}
				if err != nil || offer.Address != leases[n].Address {
					t.Errorf("under attack: %+v, %v", offer, err)
					return
				}
				exchanges.Add(1)
			}
		})
	}

	pick := func() ethernet.Datagram { return heard[i.random.IntN(len(heard))] }
	name := func(at netip.AddrPort) string { return map[netip.AddrPort]string{ipcA: "a", ipcB: "b"}[at] }
	// aimed is a datagram for one end, from an address that this end accepts, with the fields that
	// the signature covers.
	aimed := func() (d ethernet.Datagram, backend string, direction byte) {
		d = pick()
		if d.Destination == ipcSix {
			return d, name(d.Source), 'r'
		}
		return d, name(d.Destination), 'q'
	}
	sequence := uint64(0)
	signedAs := func(key string, at time.Duration) ethernet.Datagram {
		d, backend, direction := aimed()
		sequence++
		d.Payload = old(key, backend, direction, sequence).Sign(d.Payload[:len(d.Payload)-ipc.SignatureLen], time.Now().Add(at))
		return d
	}
	kinds := []struct {
		name string
		next func() ethernet.Datagram
	}{
		{"unsigned", func() ethernet.Datagram {
			d := pick()
			d.Payload = d.Payload[:len(d.Payload)-ipc.SignatureLen]
			return d
		}},
		{"forged with another key", func() ethernet.Datagram { return signedAs(guess, 0) }},
		{"truncated", func() ethernet.Datagram { d := pick(); d.Payload = d.Payload[:i.random.IntN(len(d.Payload))]; return d }},
		{"a bit flipped", func() ethernet.Datagram {
			d := pick()
			d.Payload = bytes.Clone(d.Payload)
			d.Payload[i.random.IntN(len(d.Payload))] ^= 1 << i.random.IntN(8)
			return d
		}},
		{"another message under a signature", func() ethernet.Datagram {
			d, other := pick(), pick()
			for bytes.Equal(d.Payload[:len(d.Payload)-ipc.SignatureLen], other.Payload[:len(other.Payload)-ipc.SignatureLen]) {
				other = pick()
			}
			d.Payload = append(bytes.Clone(other.Payload[:len(other.Payload)-ipc.SignatureLen]), d.Payload[len(d.Payload)-ipc.SignatureLen:]...)
			return d
		}},
		{"stale", func() ethernet.Datagram { return signedAs(secret, -31*time.Second) }},
		{"from the future", func() ethernet.Datagram { return signedAs(secret, 32*time.Second) }},
		{"random", func() ethernet.Datagram {
			d := pick()
			d.Payload = make([]byte, i.random.IntN(600))
			for n := range d.Payload {
				d.Payload[n] = byte(i.random.Uint32())
			}
			return d
		}},
		{"replayed", pick},
		{"replayed to the other backend", func() ethernet.Datagram {
			d := pick()
			for d.Destination == ipcSix {
				d = pick()
			}
			d.Destination = map[netip.AddrPort]netip.AddrPort{ipcA: ipcB, ipcB: ipcA}[d.Destination]
			return d
		}},
		{"replayed as if from the other backend", func() ethernet.Datagram {
			d := pick()
			for d.Source == ipcSix {
				d = pick()
			}
			d.Source = map[netip.AddrPort]netip.AddrPort{ipcA: ipcB, ipcB: ipcA}[d.Source]
			return d
		}},
		{"reflected at their sender", func() ethernet.Datagram {
			d := pick()
			d.Source, d.Destination = d.Destination, d.Source
			return d
		}},
	}
	n := ipctest.Attacks(50_000) / (len(kinds) + 3)
	for _, k := range kinds {
		t.Run("IPC-27 "+k.name, func(t *testing.T) {
			one := *i.bench
			one.t, i.bench = t, &one
			i.attack(n, k.next)
		})
	}
	close(stop)
	done.Wait()
	t.Logf("%d exchanges under attack", exchanges.Load())
	if exchanges.Load() == 0 {
		t.Error("no exchange under attack")
	}
	// Each daemon has accepted exactly the datagrams that the other one has sent.
	i.bench.t = t
	taken, sent := 0.0, 0.0
	for at, h := range i.halves {
		m, err := h.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		if at == ipcSix {
			sent = servers.Sum(m, "dhcp6d_queries_forwarded_total")
			continue
		}
		taken += servers.Sum(m, "dhcp4d_queries_received_total") - m[`dhcp4d_packets_dropped_total{reason="unauthentic",socket="ipc"}`]
	}
	if taken == 0 || taken > sent {
		t.Errorf("dhcp6d has sent %v queries, and the backends have accepted %v", sent, taken)
	}
	unchanged := func(when string) {
		t.Helper()
		if after := i.export(); after != before {
			t.Errorf("%s the leases are\n%s\nand were\n%s", when, after, before)
		}
	}
	unchanged("after the attack")

	t.Run("IPC-27 replayed after a restart of the backend", func(t *testing.T) {
		one := *i.bench
		one.t, i.bench = t, &one
		for _, at := range []netip.AddrPort{ipcA, ipcB} {
			if err := i.halves[at].Stop(10 * time.Second); err != nil {
				t.Fatal(err)
			}
		}
		all := i.record()
		for _, at := range []netip.AddrPort{ipcA, ipcB} {
			i.start4(at)
		}
		next := 0
		i.attack(n, func() ethernet.Datagram {
			for {
				d := all[len(all)-1-next%len(all)] // the newest first
				if next++; d.Destination != ipcSix {
					return d
				}
			}
		})
		i.series(i.six, "dhcp6d_ipc_backend_up", is(2))
		// Some of them it has received since its restart.
		if _, err := clients[0].Inform(t.Context(), leases[0].Address); err != nil {
			t.Error(err)
		}
		i.attack(n, func() ethernet.Datagram {
			for {
				if d := pick(); d.Destination != ipcSix {
					return d
				}
			}
		})
	})
	t.Run("IPC-27 replayed after a restart of dhcp6d", func(t *testing.T) {
		one := *i.bench
		one.t, i.bench = t, &one
		if err := i.six.Stop(10 * time.Second); err != nil {
			t.Fatal(err)
		}
		all := i.record()
		i.start6()
		next := 0
		i.attack(n, func() ethernet.Datagram {
			for {
				d := all[len(all)-1-next%len(all)]
				if next++; d.Destination == ipcSix {
					return d
				}
			}
		})
	})
	i.bench.t = t
	unchanged("after restarts and replays")
	// The daemons accept what the test signs with the right key, so the drops prove something.
	genuine := map[netip.AddrPort]figures{ipcA: i.figures(ipcA), ipcB: i.figures(ipcB)}
	for at := range genuine {
		probes := func(v float64) bool { return v > 0 }
		d := ethernet.Datagram{SourceMAC: i.mac, DestinationMAC: i.macs[at], Source: ipcSix, Destination: at,
			Payload: old(secret, name(at), 'q', 1).Sign([]byte{20, 0, 0, 0}, time.Now())}
		if _, err := i.port.Write(d.Encode()); err != nil {
			t.Fatal(err)
		}
		i.series(i.halves[at], "dhcp4d_ipc_probes_total", probes)
		if f := i.figures(at); f.unauthentic != genuine[at].unauthentic {
			t.Error("a probe that the test has signed with the key was refused")
		}
	}
	for n, c := range clients {
		if l, err := c.Renew(t.Context(), leases[n]); err != nil || l.Address != leases[n].Address {
			t.Errorf("renewal after all: %+v, %v", l, err)
		}
	}
}
