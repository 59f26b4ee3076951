package e2e

import (
	"net"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// The metrics of both daemons contain nothing about a client: neither its addresses nor its
// identifiers (security.md, "The process").
func TestMetricsNameNoClient(t *testing.T) {
	t.Parallel()
	b := start(t)
	for i, via := range topology.Ways {
		mac := net.HardwareAddr{2, 0, 0x5e, 0xc1, 0x1e, byte(0xa0 + i)}
		c := b.client(via, i+1, client.Options{HardwareAddr: mac})
		l := b.obtain(c)
		if _, err := c.Renew(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		for name, half := range map[string]*servers.Half{"dhcp6d": b.six, "dhcp4d": b.four} {
			text, err := half.Exposition()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(text, name+"_") {
				t.Fatalf("%s has no metrics", name)
			}
			plain := strings.NewReplacer(":", "", "-", "", ".", "").Replace(strings.ToLower(text))
			for what, secret := range map[string]string{
				"the hardware address": strings.ReplaceAll(mac.String(), ":", ""),
				"the leased address":   `"` + strings.ReplaceAll(l.Address.String(), ".", "") + `"`,
				"a link-local address": "fe80",
			} {
				if at := strings.Index(plain, secret); at >= 0 {
					t.Errorf("by %s: the metrics of %s have %s: %s", via, name, what, plain[max(0, at-60):min(len(plain), at+60)])
				}
			}
		}
	}
}
