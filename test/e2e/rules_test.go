package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// TestOperatorsRules checks rules in files of both daemons, for clients on three paths.
func TestOperatorsRules(t *testing.T) {
	t.Parallel()
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

// TestRulesAboutOctets checks rules of both daemons that change received and sent messages, and
// rules that count changes of leases.
func TestRulesAboutOctets(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *servers.Config) {
		c.Env = append(c.Env,
			"DHCP6D_HOOKS=rules", "DHCP6D_RULES_REASONS=banned", "DHCP6D_RULES_COUNTERS=queries,tagged",
			"DHCP6D_RULES_LINES=buffer6_receive: substring(pkt.hex, 0, 1) == 0x14 -> count queries\n"+
				"buffer6_receive: pkt6.msgtype == 20 -> option 16 = 0x00000de9 + 0x0003 + 'tag'\n"+
				"buffer6_receive: pkt6.msgtype == 1 -> drop banned\n"+
				"pkt6_receive: option[16].exists -> count tagged\n"+
				"buffer6_send: pkt6.msgtype == 21 -> option 59 = 'http://boot.example/'\n",
			"DHCP4D_HOOKS=rules", "DHCP4D_RULES_REASONS=unused", "DHCP4D_RULES_COUNTERS=arrived,given,given_back",
			"DHCP4D_RULES_LINES=buffer4_receive: relay6[-1].option[18].exists and not option[60].exists -> option vendor-class-identifier = 'behind a relay'\n"+
				"buffer4_receive: not option[60].exists -> octets 10 = 0x8000\n"+
				"pkt4_receive: option[60].hex == 'behind a relay' and pkt6.option[16].exists -> count arrived\n"+
				"buffer4_send: option[60].exists -> option host-name = option[60].hex\n"+
				"buffer4_send: substring(pkt.hex, 0, 1) == 0x02 -> octets 20 = 192.0.2.53\n"+
				"leases4_committed: lease.event == 'allocated' -> count given\n"+
				"leases4_committed: lease.event == 'released' and lease.subnet == 1 -> count given_back\n",
		)
	})
	direct := b.obtain(b.client(topology.Multicast, 1, client.Options{}))
	if m := direct.Response.DHCPv4; m.HostName() != "" || m.ServerIPAddr.String() != "192.0.2.53" || !m.IsBroadcast() {
		t.Errorf("a client without a relay gets host-name %q, siaddr %v, broadcast %v", m.HostName(), m.ServerIPAddr, m.IsBroadcast())
	}
	lease := b.obtain(b.client(topology.OneRelay, 2, client.Options{}))
	m := lease.Response.DHCPv4
	if m.HostName() != "behind a relay" || m.ServerIPAddr.String() != "192.0.2.53" || m.IsBroadcast() {
		t.Errorf("a client behind a relay gets host-name %q, siaddr %v, broadcast %v", m.HostName(), m.ServerIPAddr, m.IsBroadcast())
	}
	if !bytes.Contains(lease.Response.Message, []byte("\x00\x3b\x00\x14http://boot.example/")) {
		t.Errorf("its DHCPV4-RESPONSE has no option 59: %x", lease.Response.Message)
	}
	first := b.client(topology.Multicast, 3, client.Options{})
	if err := first.Release(b.obtain(first)); err != nil {
		t.Fatal(err)
	}
	b.series(b.six, `dhcp6d_rules_counted_total{counter="queries"}`, is(5)) // the queries without a relay
	b.series(b.six, `dhcp6d_rules_counted_total{counter="tagged"}`, is(7))
	b.series(b.four, `dhcp4d_rules_counted_total{counter="arrived"}`, is(2))
	b.series(b.four, `dhcp4d_rules_counted_total{counter="given"}`, is(3))
	b.series(b.four, `dhcp4d_rules_counted_total{counter="given_back"}`, is(1))
}
