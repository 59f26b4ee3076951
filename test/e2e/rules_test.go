package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// TestOperatorsRules has both daemons follow lines in files, for clients on three ways.
func TestOperatorsRules(t *testing.T) {
	dir := t.TempDir()
	lines := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	b := start(t, func(c *servers.Config) {
		c.Env = append(c.Env,
			"DHCP6D_HOOKS=rules", "DHCP6D_RULES_REASONS=far", "DHCP6D_RULES_COUNTERS=direct",
			"DHCP6D_RULES_LINES_FILE="+lines("six", "pkt6_receive: pkt6.relays == 0 -> class direct\npkt6_receive: member('direct') -> count direct\npkt6_receive: pkt6.relays == 2 -> drop far\n"),
			"DHCP4D_HOOKS=rules", "DHCP4D_RULES_REASONS=unused", "DHCP4D_RULES_COUNTERS=behind",
			"DHCP4D_RULES_LINES_FILE="+lines("four", "pkt4_receive: pkt6.relays == 1 -> class behind\nlease4_select: member('behind') -> count behind\n"+
				"pkt4_send: member('behind') -> option host-name = 'behind-' + addrtotext(relay6[-1].linkaddr)\n"),
			`DHCP4D_SUBNETS={classes: [{name: behind, marked: true, lease-time: 2h, options: {domain-name: behind.example}, always-send: [domain-name]}], subnets: [
			  {id: 1, subnet: 192.0.2.0/24, match: [{interface: access}], pools: [192.0.2.10-192.0.2.20]},
			  {id: 2, subnet: 198.51.100.0/24, pools: [198.51.100.10-198.51.100.20], match: [{link-address: "2001:db8:1::/64"}]}]}`)
	})
	direct := b.obtain(b.client(topology.Multicast, 1, client.Options{}))
	if name := direct.Response.DHCPv4.HostName(); name != "" || direct.Duration.Hours() == 2 {
		t.Errorf("a client without a relay gets host-name %q and a lease of %v", name, direct.Duration)
	}
	behind := b.obtain(b.client(topology.OneRelay, 2, client.Options{}))
	if m := behind.Response.DHCPv4; m.HostName() != "behind-2001:db8:1::1" || m.DomainName() != "behind.example" || behind.Duration.Hours() != 2 {
		t.Errorf("a client behind a relay gets host-name %q, domain %q, a lease of %v", m.HostName(), m.DomainName(), behind.Duration)
	}
	b.dropped(b.six, `dhcp6d_rules_dropped_total{reason="far"}`, func() {
		silence(t, b.client(topology.TwoRelays, 3, client.Options{Retransmit: short}))
	})
	b.series(b.six, `dhcp6d_rules_counted_total{counter="direct"}`, is(2))
	b.series(b.four, `dhcp4d_rules_counted_total{counter="behind"}`, is(2))
	b.series(b.four, `dhcp4d_rules_dropped_total{reason="unused"}`, is(0))
}
