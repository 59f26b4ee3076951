package e2e

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/load"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// caller makes requests of the APIs on the host of the daemons. It follows no redirection.
func (b *bench) caller() *http.Client {
	dial := func(_ context.Context, network, address string) (net.Conn, error) {
		return b.Server.Dial(network, address)
	}
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DialContext: dial},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// open requests a page of a daemon on its host, with the token.
func (b *bench) open(t *testing.T, at, path string) io.Reader {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+traceToken)
	answer, err := b.caller().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, answer.Status)
	}
	return answer.Body
}

// reads requests a page until it has all parts.
func reads(t *testing.T, page io.Reader, parts ...string) {
	t.Helper()
	var text strings.Builder
	for s := bufio.NewScanner(page); s.Scan(); {
		text.WriteString(s.Text() + "\n")
		missing := false
		for _, p := range parts {
			missing = missing || !strings.Contains(text.String(), p)
		}
		if !missing {
			return
		}
	}
	t.Errorf("the page does not have all of %q:\n%s", parts, &text)
}

// The page shows a client that is refused: at once, in its subnet, and with the reason.
func TestThePageShowsWhoIsRefused(t *testing.T) {
	t.Parallel()
	b := start(t, tokens, func(c *servers.Config) {
		c.Env = append(c.Env, `DHCP4D_SUBNETS=[{id: 1, name: north, subnet: 192.0.2.0/24, pools: [192.0.2.10], match: [{interface: access}]}]`)
	})
	const four, six = "[::1]:9568", "[::1]:9548"
	one, _ := mac(2)
	other, dotted := mac(1)
	b.obtain(b.client(topology.Multicast, 2, client.Options{HardwareAddr: one, Retransmit: short}))
	live := b.open(t, four, "/trace?kind=hw_address&value="+dotted)
	reads(t, live, "Following "+dotted)
	silence(t, b.client(topology.Multicast, 1, client.Options{HardwareAddr: other, Retransmit: short}))
	reads(t, live, "dropped (no_address)")
	reads(t, b.open(t, four, "/"), "1 north", "100 %", other.String(), "every address that the client may have is taken")
	reads(t, b.open(t, four, "/drops"), "no_address")
	reads(t, b.open(t, four, "/leases?q="+one.String()), "/leases/192.0.2.10")
	reads(t, b.open(t, six, "/"), ">up<", "access", "served")
	reads(t, b.open(t, six, "/drops"), "Drops and silences")
}

// pageLeases is how many leases are behind the page: -page.leases 1000000 measures what
// performance.md tells.
var pageLeases = flag.Int("page.leases", 30_000, "how many leases are behind the pages that are open")

// A hundred live traces of all clients are open, which nobody reads, and eight people search for
// what is not there. Clients get their leases all the same, and the memory stays bounded.
func TestPagesCostPacketsNothing(t *testing.T) {
	t.Parallel()
	b := network(t, "dhcp6d", "dhcp4d")
	tokens(&b.config)
	b.config.Subnets = append(b.config.Subnets, servers.Subnet{ID: 3, Prefix: netip.MustParsePrefix("10.0.0.0/8"), First: netip.MustParseAddr("10.0.0.1"),
		Last: netip.MustParseAddr("10.255.255.254"), Interface: "far", Links: []netip.Prefix{netip.MustParsePrefix("2001:db8:7::/64")}})
	file := filepath.Join(t.TempDir(), "leases.ndjson")
	var text bytes.Buffer
	end := time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)
	for i := 1; i <= *pageLeases; i++ {
		fmt.Fprintf(&text, `{"address":"10.%[1]d.%[2]d.%[3]d","subnet":3,"state":"bound","client_id":"ff:%02[1]x:%02[2]x:%02[3]x",`+
			`"hw_type":1,"hw_address":"02:00:5e:%02[1]x:%02[2]x:%02[3]x",`+
			`"ipv6_source":"fe80::5eff:fe00:1","attachment_point":{"kind":"interface-id","address":"2001:db8:7::1","id":"port-%[4]d","digest":false,"within":""},`+
			`"start":"2026-01-01T00:00:00Z","changed":"2026-01-01T00:00:00Z","expires":%[5]q}`+"\n", i>>16&255, i>>8&255, i&255, i, end)
	}
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := servers.Import(t.Context(), b.Server, b.config, file); err != nil {
		t.Fatal(err)
	}
	b.start4()
	b.start6()
	clients := func(d time.Duration) load.Report {
		t.Helper()
		r, err := loaded(t.Context(), b.Clients, load.Config{Interface: "access", InFlight: 4, Duration: d, Timeout: 20 * time.Second, Clients: 50, Release: 1, Seed: 1})
		if err != nil || r.Failed() || r.Lost > 0 || r.Completed == 0 {
			t.Fatalf("%v; %+v", err, r)
		}
		return r
	}
	alone := clients(3 * time.Second)
	before := resident(t, b.four)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ask := func(path string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://[::1]:9568"+path, nil)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", "Bearer "+traceToken)
		return b.caller().Do(r)
	}
	for i := range 100 {
		answer, err := ask("/trace?kind=source&value=fe80::/10")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("live trace %d: %s", i, answer.Status)
		}
	}
	traced := clients(3 * time.Second)
	highest := resident(t, b.four)
	var all sync.WaitGroup
	var mu sync.Mutex
	var longest time.Duration
	searches := 0
	for i := range 8 {
		all.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				answer, err := ask([]string{"/leases?q=ff:99:99:99:99", "/leases?q=not+there", "/leases?q=2001:db8:99::1", "/leases?q=02:99:99"}[i%4])
				if err != nil {
					if ctx.Err() == nil {
						t.Error(err)
					}
					return
				}
				_, err = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
				if (err != nil && ctx.Err() == nil) || answer.StatusCode != http.StatusOK {
					t.Errorf("%s, %v", answer.Status, err)
				}
				mu.Lock()
				searches, longest = searches+1, max(longest, time.Since(began))
				mu.Unlock()
			}
		})
	}
	searched := clients(4 * time.Second)
	highest = max(highest, resident(t, b.four))
	cancel()
	all.Wait()
	t.Logf("%d leases; dhcp4d has %d MiB, with the pages %d MiB at most; %d pages took %v at most", *pageLeases, before>>20, highest>>20, searches, longest)
	for name, r := range map[string]load.Report{"alone": alone, "with a hundred live traces": traced, "and with eight who search": searched} {
		t.Logf("%s: %.0f exchanges per second, %+v", name, r.Goodput, r.Exchange)
	}
	if highest > before+64<<20 {
		t.Errorf("the pages cost %d MiB", (highest-before)>>20)
	}
	if searches < 8 || longest > 20*time.Second {
		t.Errorf("%d pages were served, and one took %v", searches, longest)
	}
}

// resident is the resident memory of a daemon, in octets.
func resident(t *testing.T, half *servers.Half) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", half.PID()))
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
