package hooks

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// configured reads the variables of the hooks as the daemon does.
func configured(environ string) ([]hook.Configured, error) {
	var own []string
	for e := range strings.FieldsSeq(environ) {
		own = append(own, "DHCP4D_"+e)
	}
	l := config.New("DHCP4D_", own)
	c := hook.Configure(l, "DHCP4D_", All())
	return c, l.Err()
}

func TestMistakes(t *testing.T) {
	for environ, want := range map[string]string{
		"HOOKS=acl":                  "DHCP4D_HOOKS: there is no hook acl; there are: leaselog, run, rules, outside, packetlog",
		"HOOKS=run":                  `DHCP4D_RUN_COMMAND: "" is no path that begins with /; name the program that the hook run is to run`,
		"HOOKS=run RUN_COMMAND=prog": `DHCP4D_RUN_COMMAND: "prog" is no path that begins with /; name the program that the hook run is to run`,
		"HOOKS=run RUN_COMMAND=/x":   "",
		"RUN_COMMAND=/x":             "DHCP4D_HOOKS: the hook run is configured and not listed; add run, or unset DHCP4D_RUN_COMMAND",
		"LEASELOG_PATH=/x":           "DHCP4D_HOOKS: the hook leaselog is configured and not listed; add leaselog, or unset DHCP4D_LEASELOG_PATH",
		"HOOKS=run RUN_COMMAND=/x RUN_TIMEOUT=0s RUN_WORKERS=0 RUN_QUEUE=0": `DHCP4D_RUN_TIMEOUT: "0s" is not a duration in whole seconds, from one second to 100 years, such as 3600, 90s, 1h30m or 7d; give a duration such as 90s, 1h or 7d` +
			"\nDHCP4D_RUN_WORKERS: 0 programs at the same time; give 1 to 256\nDHCP4D_RUN_QUEUE: 0 changes; give 1 to 1048576",
		"HOOKS=leaselog LEASELOG_PATH=/x LEASELOG_ROTATE_SIZE=100M LEASELOG_ROTATE_DAILY=true LEASELOG_COMPRESS=false LEASELOG_KEEP=180d": "",
		"HOOKS=leaselog LEASELOG_ROTATE_DAILY=true":                        "DHCP4D_LEASELOG_PATH: stdout cannot be rotated; name a file, or unset DHCP4D_LEASELOG_ROTATE_SIZE and DHCP4D_LEASELOG_ROTATE_DAILY",
		"HOOKS=leaselog LEASELOG_PATH=/x LEASELOG_ROTATE_SIZE=1K":          `DHCP4D_LEASELOG_ROTATE_SIZE: "1K" is not a size of 64K or more, such as 100M or 1G; give a size such as 100M or 1G`,
		"HOOKS=leaselog LEASELOG_PATH=/x LEASELOG_ROTATE_SIZE=9999999999G": `DHCP4D_LEASELOG_ROTATE_SIZE: "9999999999G" is not a size of 64K or more, such as 100M or 1G; give a size such as 100M or 1G`,
		"HOOKS=leaselog LEASELOG_PATH=/x LEASELOG_COMPRESS=false LEASELOG_KEEP=7d": "DHCP4D_LEASELOG_COMPRESS: has no effect, because the lease log is not rotated; set DHCP4D_LEASELOG_ROTATE_SIZE or DHCP4D_LEASELOG_ROTATE_DAILY, or unset it" +
			"\nDHCP4D_LEASELOG_KEEP: has no effect, because the lease log is not rotated; set DHCP4D_LEASELOG_ROTATE_SIZE or DHCP4D_LEASELOG_ROTATE_DAILY, or unset it",
		"HOOKS=packetlog PACKETLOG_POINTS=leases4_committed,lease4_expire": "DHCP4D_PACKETLOG_POINTS: there is no point lease4_expire; there are: buffer4_receive, pkt4_receive, subnet4_select, lease4_select, lease4_renew, lease4_release, lease4_decline, pkt4_send, buffer4_send, leases4_committed",
	} {
		got := ""
		if _, err := configured(environ); err != nil {
			got = strings.TrimPrefix(err.Error(), "configuration: ")
		}
		if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", environ, got, want)
		}
	}
}

func TestPacketLog(t *testing.T) {
	c, err := configured("HOOKS=packetlog PACKETLOG_POINTS=lease4_select,leases4_committed PACKETLOG_RATE=3")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	host := hook.NewHost(prometheus.NewRegistry(), drop.DHCP4D, prometheus.NewCounter(prometheus.CounterOpts{Name: "panics"}), slog.New(slog.NewTextHandler(&out, nil)), All())
	set, err := host.Make(c)
	if err != nil {
		t.Fatal(err)
	}
	h := event.NewHooks(set)
	if !h.Pkt4Receive.Empty() || !h.Lease4Renew.Empty() || h.Lease4Select.Empty() || h.Leases4Committed.Empty() {
		t.Error("it does not run exactly where it is to run")
	}
	now := time.Unix(1_800_000_000, 0)
	message := make([]byte, 240)
	message[0], message[1], message[2] = 1, 1, 6
	copy(message[28:], []byte{2, 0, 0, 0, 0, 7})
	copy(message[236:], []byte{0x63, 0x82, 0x53, 0x63})
	message = append(message, 53, 1, byte(dhcp4.Discover), 255)
	q := &event.Query{Received: now, DHCP6D: netip.MustParseAddrPort("[::1]:6767"), Data: message, Subnet: &network.Subnet{ID: 7}, Address: netip.MustParseAddr("192.0.2.9")}
	if h.Lease4Select.Run(q) != hook.Continue {
		t.Error("a packet is dropped")
	}
	h.Leases4Committed.Run(&event.Lease{Event: lease.EventAllocated, Time: now, Interface: "eth1",
		Binding: lease.Binding{ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.9")}, Subnet: 7}})
	q.Data = message[:200]
	for range 4 {
		h.Lease4Select.Run(q)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines, want 3:\n%s", len(lines), out.String())
	}
	for i, want := range [][]string{
		{"hook=packetlog", "point=lease4_select", "dhcp6d=[::1]:6767", "octets=244", "subnet=7", "address=192.0.2.9", "DISCOVER", "02:00:00:00:00:07"},
		{"point=leases4_committed", "event=allocated", "address=192.0.2.9", "subnet=7", "interface=eth1"},
		{"point=lease4_select", "cannot be decoded", "error="},
	} {
		for _, part := range want {
			if !strings.Contains(lines[i], part) {
				t.Errorf("line %d lacks %q: %s", i, part, lines[i])
			}
		}
	}
}
