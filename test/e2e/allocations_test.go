package e2e

import (
	"bufio"
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/load"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

const (
	debug6 = "[::1]:9548"
	debug4 = "[::1]:9569"
)

// TestSteadyStateDoesNotAllocate runs exchanges through both daemons with every hook on. It reads
// from their runtimes how many objects they allocated meanwhile: less than one per hundred
// exchanges.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	for _, name := range []string{"dhcp6d", "dhcp4d"} {
		if _, err := servers.Find(name); err != nil {
			netnstest.Skip(t, err.Error())
		}
	}
	lab := netnstest.Lab(t)
	clients, err := lab.Host("clients")
	if err != nil {
		t.Fatal(err)
	}
	serverHost, err := lab.Host("servers")
	if err != nil {
		t.Fatal(err)
	}
	server, source := netip.MustParsePrefix("2001:db8:a::1/64"), netip.MustParsePrefix("2001:db8:a::100/64")
	if err := lab.Link(netns.End{Host: clients, Name: "eth0", Addresses: []netip.Prefix{source}},
		netns.End{Host: serverHost, Name: "access", Addresses: []netip.Prefix{server}}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	six, four, err := servers.Start(serverHost, servers.Ours, servers.Ours, servers.Config{
		Dir: dir, Interfaces: []string{"access"}, Quiet: true,
		Subnets: []servers.Subnet{{ID: 1, Prefix: netip.MustParsePrefix("10.0.0.0/8"), First: netip.MustParseAddr("10.0.1.0"),
			Last: netip.MustParseAddr("10.1.255.255"), Interface: "access", Sources: []netip.Prefix{server.Masked()}}},
		Env: []string{
			"DHCP6D_HOOKS=acl,ratelimit", "DHCP6D_ACL_DENY=prefix=2001:db8:dead::/48",
			"DHCP6D_RATELIMIT_RATE=1000000", "DHCP6D_RATELIMIT_BURST=1000000", "DHCP6D_RATELIMIT_TOTAL_RATE=1000000", "DHCP6D_RATELIMIT_TOTAL_BURST=1000000",
			"DHCP4D_HOOKS=leaselog", "DHCP4D_LEASELOG_PATH=" + filepath.Join(dir, "leaselog"),
			"DHCP6D_DEBUG_LISTEN=" + debug6, "DHCP4D_DEBUG_LISTEN=" + debug4,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	run := func(seed uint64, n int) load.Report {
		t.Helper()
		r, err := loaded(t.Context(), clients, load.Config{Interface: "eth0", Server: server.Addr(), Local: source.Addr(),
			InFlight: 64, Count: n, Clients: 10_000, Renew: 0.3, Seed: 1 + seed<<8, Shuffle: true})
		if err != nil {
			t.Fatal(err)
		}
		if r.Failed() || r.Completed == 0 {
			t.Fatalf("the load: %+v", r)
		}
		return r
	}
	halves := map[string]struct {
		*servers.Half
		debug string
	}{"dhcp6d": {six, debug6}, "dhcp4d": {four, debug4}}
	run(0, 30_000)                                    // so that all clients have leases, and buffers have their final size
	type count struct{ before, asking, idle float64 } // idle: in a second
	counts := make(map[string]count)
	for name, h := range halves {
		objects(t, h.Half, h.debug)
		first := objects(t, h.Half, h.debug)
		second := objects(t, h.Half, h.debug)
		const pause = 2
		time.Sleep(pause * time.Second) // for the objects that a daemon makes without exchanges
		third := objects(t, h.Half, h.debug)
		asking := second - first
		counts[name] = count{third, asking, math.Max(third-second-asking, 0) / pause}
	}
	began := time.Now()
	r := run(1, 100_000)
	took := time.Since(began).Seconds()
	for name, h := range halves {
		made := objects(t, h.Half, h.debug) - counts[name].before - counts[name].asking - took*counts[name].idle
		each := math.Max(made, 0) / float64(r.Completed)
		t.Logf("%s: %.0f objects in %d exchanges, %.5f each; reading the count takes %.0f, an idle second %.0f",
			name, made, r.Completed, each, counts[name].asking, counts[name].idle)
		if each >= 0.01 {
			t.Errorf("%s allocates %.4f objects per exchange, want less than 0.01", name, each)
		}
	}
}

// objects returns how many objects a daemon has allocated. It reads the text of the heap profile,
// for which the runtime adds the counts of all threads. The metric lacks some of them.
func objects(t *testing.T, h *servers.Half, debug string) float64 {
	t.Helper()
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(_ context.Context, network, a string) (net.Conn, error) { return h.Host.Dial(network, a) },
	}}
	response, err := client.Get("http://" + debug + "/debug/pprof/heap?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(io.LimitReader(response.Body, 8<<20)); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "# Mallocs = "); ok {
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the profile has no number of objects")
	return 0
}
