package e2e

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
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
