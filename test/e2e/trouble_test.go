package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// warned returns the WARN lines of a daemon that contain a text.
func warned(h *servers.Half, text string) (lines []string) {
	for line := range strings.SplitSeq(h.Output(), "\n") {
		if strings.Contains(line, `"level":"WARN"`) && strings.Contains(strings.ReplaceAll(line, `\"`, `"`), text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// Both ends log a wrong set-up of the IPC, once, with the address and what to do. Readiness says
// whether clients can be answered.
func TestAnIPCThatIsSetUpWrong(t *testing.T) {
	t.Parallel()
	const right6, right4 = "DHCP6D_IPC_LISTEN=[2001:db8:b::1]:6767", "DHCP4D_IPC_LISTEN=[2001:db8:b::4]:6768"
	const named, peer = "DHCP6D_IPC_BACKENDS=dhcp4d@[2001:db8:b::4]:6768", "DHCP4D_IPC_PEERS=[2001:db8:b::1]:6767"
	for name, tt := range map[string]struct {
		six, four     []string
		said6, said4  string // all parts are in one warning
		remedy6, fix4 string // all parts are in the same warning
	}{
		"IPC-32 dhcp4d does not know the address of dhcp6d": {
			[]string{right6, named}, []string{right4, "DHCP4D_IPC_PEERS=[2001:db8:b::7]:6767"},
			"nothing comes back from [2001:db8:b::4]:6768", "datagrams from an address that is no dhcp6d of ours are dropped", "DHCP4D_IPC_PEERS", "add [2001:db8:b::1]:6767 to DHCP4D_IPC_PEERS"},
		"IPC-32 other keys": {
			[]string{right6, named, "DHCP6D_IPC_KEYS=" + secondKey}, []string{right4, peer},
			"nothing comes back from [2001:db8:b::4]:6768", "datagrams of a dhcp6d are not authentic", "keys", "DHCP4D_IPC_KEYS"},
		"IPC-32 another name": {
			[]string{right6, "DHCP6D_IPC_BACKENDS=a@[2001:db8:b::4]:6768"}, []string{right4, peer},
			"nothing comes back from [2001:db8:b::4]:6768", "datagrams of a dhcp6d are not authentic", "look at the log", "DHCP4D_NAME"},
		"IPC-32 a black hole": {
			[]string{right6, "DHCP6D_IPC_BACKENDS=dhcp4d@[2001:db8:b::99]:6768"}, []string{right4, peer},
			"nothing comes back from [2001:db8:b::99]:6768", "no probe has come from a dhcp6d", "firewall", "[2001:db8:b::1]:6767"},
		"IPC-32 nobody listens": {
			[]string{right6, "DHCP6D_IPC_BACKENDS=dhcp4d@[2001:db8:b::44]:6768"}, []string{right4, peer},
			"nobody listens at [2001:db8:b::44]:6768", "no probe has come from a dhcp6d", "correct the address", "DHCP6D_IPC_BACKENDS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startApart(t, tt.six, tt.four)
			b.series(b.six, "dhcp6d_ready", is(0))
			for _, end := range []struct {
				daemon       string
				half         *servers.Half
				said, remedy string
			}{{"dhcp6d", b.six, tt.said6, tt.remedy6}, {"dhcp4d", b.four, tt.said4, tt.fix4}} {
				await(t, end.daemon+" says it", func() bool { return len(warned(end.half, end.said)) > 0 })
				time.Sleep(time.Second)
				if lines := warned(end.half, end.said); len(lines) != 1 || !strings.Contains(lines[0], end.remedy) {
					t.Errorf("%s says\n%s\nwant %q once", end.daemon, strings.Join(lines, "\n"), end.remedy)
				}
			}
			b.series(b.six, "dhcp6d_ready", is(0))
			silence(t, b.client(topology.Multicast, 1, client.Options{Retransmit: short}))
		})
	}
}
