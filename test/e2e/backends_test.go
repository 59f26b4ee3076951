package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

const (
	firstKey  = "1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	secondKey = "2:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
)

// write replaces a file atomically, as an operator should.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// series waits until a series has a wanted value.
func (b *bench) series(h *servers.Half, name string, wanted func(float64) bool) {
	b.t.Helper()
	var got float64
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		all, err := h.Metrics()
		if err != nil {
			continue
		}
		if got = servers.Sum(all, name); wanted(got) {
			return
		}
	}
	b.t.Fatalf("%s is %v", name, got)
}

func is(want float64) func(float64) bool { return func(v float64) bool { return v == want } }

func TestKeys(t *testing.T) {
	t.Parallel()
	t.Run("IPC-27 with a wrong key there is no answer, and drops are counted", func(t *testing.T) {
		t.Parallel()
		b := network(t, "dhcp6d", "dhcp4d")
		b.config.Env = []string{"DHCP6D_IPC_KEYS=" + firstKey, "DHCP4D_IPC_KEYS=" + secondKey}
		b.start4()
		var err error
		if b.six, err = servers.StartV6(b.Server, servers.Ours, b.config, true); err != nil {
			t.Fatal(err)
		}
		b.dropped(b.four, `dhcp4d_packets_dropped_total{reason="unauthentic",socket="ipc"}`, func() {
			silence(t, b.client(topology.Multicast, 1, client.Options{Retransmit: short}))
		})
	})
	t.Run("IPC-27 keys are changed under load and no exchange is lost", func(t *testing.T) {
		dir := t.TempDir()
		six, four := filepath.Join(dir, "six"), filepath.Join(dir, "four")
		write(t, six, firstKey)
		write(t, four, firstKey)
		b := start(t, func(c *servers.Config) {
			c.Env = []string{"DHCP6D_IPC_KEYS_FILE=" + six, "DHCP4D_IPC_KEYS_FILE=" + four}
		})
		stop, done := make(chan struct{}), sync.WaitGroup{}
		var exchanges atomic.Int64
		for n := range 4 {
			// Clients do not retransmit, so a lost datagram is a lost exchange.
			c := b.client(topology.Ways[n], n+1, client.Options{Retransmit: client.Retransmit{First: 5 * time.Second, Max: 5 * time.Second, Tries: 1}})
			done.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					offer, err := c.Discover(t.Context())
					if err == nil {
						_, err = c.Select(t.Context(), offer)
					}
					if err != nil {
						t.Error(err)
						return
					}
					exchanges.Add(1)
				}
			})
		}
		reload := func(h *servers.Half, path, keys string) {
			write(t, path, keys)
			time.Sleep(200 * time.Millisecond)
			h.Signal(syscall.SIGHUP)
			time.Sleep(300 * time.Millisecond)
		}
		reload(b.four, four, firstKey+"\n"+secondKey) // a line end separates keys as a comma does
		reload(b.six, six, firstKey+","+secondKey)
		reload(b.four, four, secondKey+","+firstKey)
		reload(b.six, six, secondKey+","+firstKey)
		reload(b.four, four, secondKey)
		reload(b.six, six, secondKey)
		reload(b.six, six, "") // refused: an empty file must not switch authentication off
		reload(b.six, six, "nonsense")
		close(stop)
		done.Wait()
		t.Logf("%d exchanges", exchanges.Load())
		for h, daemon := range map[*servers.Half]string{b.six: "dhcp6d", b.four: "dhcp4d"} {
			b.series(h, daemon+`_packets_dropped_total{reason="unauthentic",socket="ipc"}`, is(0))
		}
		b.series(b.six, "dhcp6d_config_last_reload_successful", is(0))
		b.series(b.four, "dhcp4d_config_last_reload_successful", is(1))
	})
	t.Run("a weak key is logged at the start and at a reload, and with an empty file dhcp6d does not start", func(t *testing.T) {
		dir := t.TempDir()
		six, four := filepath.Join(dir, "six"), filepath.Join(dir, "four")
		write(t, six, firstKey)
		write(t, four, firstKey)
		b := start(t, func(c *servers.Config) {
			c.Env = []string{"DHCP6D_IPC_KEYS_FILE=" + six, "DHCP4D_IPC_KEYS_FILE=" + four}
		})
		const weak, warning = "9:c2hvcnQ=", "key 9 of"
		for path, h := range map[string]*servers.Half{six: b.six, four: b.four} {
			if strings.Contains(h.Output(), warning) {
				t.Fatalf("warned too early:\n%s", h.Output())
			}
			write(t, path, firstKey+","+weak)
			h.Signal(syscall.SIGHUP)
			for end := time.Now().Add(5 * time.Second); !strings.Contains(h.Output(), warning); time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("no warning of a weak key:\n%s", h.Output())
				}
			}
		}
		b.six.Stop(5 * time.Second)
		write(t, six, "\n")
		h, err := servers.StartV6(b.Server, servers.Ours, b.config, true)
		if err == nil {
			h.Stop(5 * time.Second)
			t.Fatal("dhcp6d starts with an empty key file")
		}
		if want := "DHCP6D_IPC_KEYS_FILE: " + six + " is empty"; !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	})
}

// two starts dhcp6d and two backends, the dhcp4d a and b, each with a store and half of the
// addresses of both subnets. A third one, c, can be started; its addresses are below a's. Changes
// are applied to the configuration of each dhcp4d, and to that of dhcp6d under the name six.
func two(t *testing.T, ranges bool, changes ...func(name string, c *servers.Config)) (b *bench, halves map[string]*servers.Half, start4 func(name string)) {
	b = network(t, "dhcp6d", "dhcp4d")
	dir := t.TempDir()
	subnets := func(id, first, last int) string {
		return fmt.Sprintf(`DHCP4D_SUBNETS=[{id: 1, subnet: 192.0.2.0/24, server-id: 192.0.2.%d, pools: [192.0.2.%d-192.0.2.%d], match: [{interface: access}, {prefix: "%s"}]},
			{id: 2, subnet: 198.51.100.0/24, server-id: 198.51.100.%d, pools: [198.51.100.%d-198.51.100.%d], match: [{link-address: "%s"}]}]`,
			id, first, last, topology.AccessPrefix, id, first, last, topology.Lan1Prefix)
	}
	peers := func(ids ...int) string {
		var list []string
		for _, id := range ids {
			list = append(list, fmt.Sprintf("192.0.2.%d,198.51.100.%d", id, id))
		}
		return "DHCP4D_PEER_SERVER_IDS=" + strings.Join(list, ",")
	}
	config := map[string][]string{
		"a": {"DHCP4D_IPC_LISTEN=[::1]:6768", "DHCP4D_METRICS_LISTEN=[::1]:9567", subnets(1, 10, 127), peers(2, 3)},
		"b": {"DHCP4D_IPC_LISTEN=[::1]:6769", "DHCP4D_METRICS_LISTEN=[::1]:9667", subnets(2, 128, 250), peers(1, 3)},
		"c": {"DHCP4D_IPC_LISTEN=[::1]:6770", "DHCP4D_METRICS_LISTEN=[::1]:9767", subnets(3, 4, 9), peers(1, 2)},
	}
	halves = map[string]*servers.Half{}
	start4 = func(name string) {
		t.Helper()
		one := b.config
		one.Env = append(config[name], "DHCP4D_NAME="+name, "DHCP4D_API_LISTEN=off", "DHCP4D_IPC_KEYS="+firstKey,
			"DHCP4D_STORE=pebble:"+filepath.Join(dir, name))
		for _, change := range changes {
			change(name, &one)
		}
		h, err := servers.StartV4(b.Server, servers.Ours, one)
		if err != nil {
			t.Fatal(err)
		}
		halves[name] = h
		if b.six != nil && name != "c" {
			b.series(b.six, `dhcp6d_ipc_backend_up{backend="`+name+`"}`, is(1))
		}
	}
	start4("a")
	start4("b")
	b.config.Env = []string{"DHCP6D_IPC_BACKENDS=a@[::1]:6768,b@[::1]:6769", "DHCP6D_IPC_KEYS=" + firstKey}
	if ranges {
		b.config.Env = append(b.config.Env, "DHCP6D_IPC_RANGES=a:192.0.2.0-192.0.2.127,b:192.0.2.128-192.0.2.255")
	}
	for _, change := range changes {
		change("six", &b.config)
	}
	b.start6()
	b.series(b.six, "dhcp6d_ipc_backend_up", is(2))
	t.Cleanup(func() {
		settled(t, b.six, "dhcp6d")
		for _, h := range halves {
			settled(t, h, "dhcp4d")
		}
		if t.Failed() {
			if b.six != nil {
				t.Logf("dhcp6d said:\n%s", tailOf(b.six.Output()))
			}
			for name, h := range halves {
				t.Logf("%s said:\n%s", name, tailOf(h.Output()))
			}
		}
	})
	return b, halves, start4
}

// tailOf returns the end of a log.
func tailOf(s string) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// ownerOf returns the backend that serves an address.
func ownerOf(a netip.Addr) string {
	if a.Less(netip.MustParseAddr("192.0.2.128")) {
		return "a"
	}
	return "b"
}

func TestTwoBackends(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"killed", "frozen"} {
		t.Run("a backend is "+how+": a new client waits for one retransmission at most, a bound one keeps its lease", func(t *testing.T) {
			t.Parallel()
			b, halves, start4 := two(t, true)
			var clients []*client.Client
			var leases []*client.Lease
			hit := map[string]int{}
			for n := range 12 {
				c := b.client(topology.Multicast, n+1, client.Options{Retransmit: client.Retransmit{First: 400 * time.Millisecond, Max: 400 * time.Millisecond, Tries: 2}})
				l := b.obtain(c)
				clients, leases = append(clients, c), append(leases, l)
				hit[ownerOf(l.Address)]++
			}
			if len(hit) != 2 {
				t.Fatalf("all clients are at one backend: %v", hit)
			}
			gone := ownerOf(leases[0].Address)
			// One exchange is between OFFER and REQUEST at this moment.
			var caught *client.Client
			var offer *client.Lease
			for n := 100; offer == nil || ownerOf(offer.Address) != gone; n++ {
				caught = b.client(topology.Multicast, n, client.Options{})
				var err error
				if offer, err = caught.Discover(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if how == "killed" {
				halves[gone].Kill()
			} else {
				if err := halves[gone].Freeze(); err != nil {
					t.Fatal(err)
				}
			}
			b.series(b.six, `dhcp6d_ipc_backend_up{backend="`+gone+`"}`, is(0))
			if _, err := caught.Select(t.Context(), offer); !errors.Is(err, client.ErrNak) {
				t.Errorf("D4-19 the client between OFFER and REQUEST: %v, want a NAK", err)
			}
			for n := 200; n < 206; n++ {
				l := b.obtain(b.client(topology.Multicast, n, client.Options{}))
				if ownerOf(l.Address) == gone {
					t.Errorf("%s was given by a backend that is out", l.Address)
				}
			}
			for i, l := range leases {
				_, err := clients[i].Renew(t.Context(), l)
				if here := ownerOf(l.Address) != gone; (here && err != nil) || (!here && !errors.Is(err, client.ErrNoAnswer)) {
					t.Errorf("renewal of %s: %v", l.Address, err)
				}
			}
			b.series(b.six, `dhcp6d_packets_dropped_total{reason="owner_down",socket="link"}`, func(v float64) bool { return v > 0 })
			if how == "killed" {
				start4(gone)
			} else {
				halves[gone].Thaw()
			}
			b.series(b.six, "dhcp6d_ipc_backend_up", is(2))
			for i, l := range leases {
				if again, err := clients[i].Renew(t.Context(), l); err != nil || again.Address != l.Address {
					t.Errorf("after the backend is back, renewal of %s: %+v, %v", l.Address, again, err)
				}
			}
		})
	}
	t.Run("without a backend queries are dropped under a reason, and dhcp6d is not ready", func(t *testing.T) {
		t.Parallel()
		b, halves, start4 := two(t, false)
		halves["a"].Kill()
		halves["b"].Kill()
		b.series(b.six, "dhcp6d_ipc_backend_up", is(0))
		b.series(b.six, "dhcp6d_ready", is(0))
		b.dropped(b.six, `dhcp6d_packets_dropped_total{reason="no_backend",socket="link"}`, func() {
			silence(t, b.client(topology.Multicast, 1, client.Options{Retransmit: short}))
		})
		start4("a")
		b.obtain(b.client(topology.Multicast, 2, client.Options{}))
	})
	t.Run("backends are added and removed by reload", func(t *testing.T) {
		t.Parallel()
		b, _, _ := two(t, false)
		_ = b.six.Stop(5 * time.Second)
		list := filepath.Join(t.TempDir(), "backends")
		write(t, list, "a@[::1]:6768")
		b.config.Env = []string{"DHCP6D_IPC_BACKENDS=", "DHCP6D_IPC_BACKENDS_FILE=" + list, "DHCP6D_IPC_KEYS=" + firstKey}
		b.start6()
		l := b.obtain(b.client(topology.Multicast, 1, client.Options{}))
		write(t, list, "b@[::1]:6769\na@[::1]:6768")
		b.six.Signal(syscall.SIGHUP)
		b.series(b.six, "dhcp6d_ipc_backend_up", is(2))
		write(t, list, "b@[::1]:6769")
		b.six.Signal(syscall.SIGHUP)
		b.series(b.six, `dhcp6d_ipc_backend_up{backend="b"}`, is(1))
		b.series(b.six, "dhcp6d_ipc_backend_up", is(1))
		if l2 := b.obtain(b.client(topology.Multicast, 2, client.Options{})); ownerOf(l2.Address) != "b" || ownerOf(l.Address) != "a" {
			t.Errorf("the clients got %s, then %s", l.Address, l2.Address)
		}
	})
}
