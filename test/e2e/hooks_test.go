package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// TestEveryHookPoint switches on the hook packetlog of both daemons at every point, and sends every
// message that a client can send. As in Kea, pkt6_send runs for answers of dhcp6d's own, and
// buffer6_send for all answers.
func TestEveryHookPoint(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *servers.Config) {
		c.Env = append(c.Env,
			"DHCP6D_HOOKS=packetlog", "DHCP6D_PACKETLOG_RATE=0",
			"DHCP6D_PACKETLOG_POINTS=buffer6_receive,pkt6_receive,pkt6_send,buffer6_send",
			"DHCP4D_HOOKS=packetlog", "DHCP4D_PACKETLOG_RATE=0",
			"DHCP4D_PACKETLOG_POINTS=buffer4_receive,pkt4_receive,subnet4_select,lease4_select,lease4_renew,lease4_release,lease4_decline,pkt4_send,buffer4_send,leases4_committed",
			"DHCP6D_LOG_FORMAT=json", "DHCP4D_LOG_FORMAT=json")
	})
	first, second := b.client(topology.Multicast, 1, client.Options{}), b.client(topology.TwoRelays, 2, client.Options{})
	lease, other := b.obtain(first), b.obtain(second)
	time.Sleep(1100 * time.Millisecond) // a renewal within the same second writes nothing
	if _, err := first.Renew(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if err := first.Release(lease); err != nil {
		t.Fatal(err)
	}
	if err := second.Decline(other); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Information(t.Context(), dhcpv6.OptionDHCP4oDHCP6Server); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		half  *servers.Half
		point string
		parts []string
	}{
		{b.six, "buffer6_receive", []string{"DHCPv4-QUERY", "DISCOVER", `"interface":"access"`}},
		{b.six, "pkt6_receive", []string{"RELAY-FORW", "DECLINE", `"interface":"core"`}},
		{b.six, "pkt6_send", []string{"REPLY"}},
		{b.six, "buffer6_send", []string{"DHCPv4-RESPONSE", "ACK"}},
		{b.six, "buffer6_send", []string{"RELAY-REPL", "OFFER"}},
		{b.six, "buffer6_send", []string{"MessageType=REPLY"}},
		{b.four, "buffer4_receive", []string{"DISCOVER"}},
		{b.four, "pkt4_receive", []string{"REQUEST"}},
		{b.four, "subnet4_select", []string{`"subnet":2`}},
		{b.four, "lease4_select", []string{lease.Address.String()}},
		{b.four, "lease4_renew", []string{"REQUEST", lease.Address.String()}},
		{b.four, "lease4_release", []string{"RELEASE", lease.Address.String()}},
		{b.four, "lease4_decline", []string{"DECLINE", other.Address.String()}},
		{b.four, "pkt4_send", []string{"BootReply", "OFFER"}},
		{b.four, "buffer4_send", []string{"BootReply", "ACK"}},
		{b.four, "leases4_committed", []string{`"event":"declined"`, other.Address.String()}},
	} {
		parts := append(want.parts, `"hook":"packetlog"`, `"point":"`+want.point+`"`)
		for deadline := time.Now().Add(10 * time.Second); lines(want.half, parts...) == 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no line has %q", parts)
			}
		}
	}
	if n := lines(b.six, `"point":"pkt6_send"`); n != 1 {
		t.Errorf("pkt6_send is called %d times, want once: for the Reply and for no DHCPV4-RESPONSE", n)
	}
}

// lines counts the log lines of a daemon that contain all parts.
func lines(h *servers.Half, parts ...string) (n int) {
	for line := range strings.Lines(h.Output()) {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			n++
		}
	}
	return n
}
