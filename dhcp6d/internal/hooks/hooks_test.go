package hooks

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// run makes the hooks of an environment, as the daemon does.
func run(t testing.TB, log *slog.Logger, environ ...string) event.Hooks {
	t.Helper()
	var own []string
	for _, e := range environ {
		own = append(own, "DHCP6D_"+e)
	}
	l := config.New("DHCP6D_", own)
	configured := hook.Configure(l, "DHCP6D_", All())
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	host := hook.NewHost(prometheus.NewRegistry(), drop.DHCP6D, prometheus.NewCounter(prometheus.CounterOpts{Name: "panics"}), log, All())
	set, err := host.Make(configured)
	if err != nil {
		t.Fatal(err)
	}
	return event.NewHooks(set)
}

func TestVariables(t *testing.T) {
	deny := filepath.Join(t.TempDir(), "deny")
	if err := os.WriteFile(deny, []byte("prefix=fe80::bad/128\nprefix=fe80::bed/128\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := run(t, slog.New(slog.DiscardHandler), "HOOKS=acl,ratelimit", "ACL_DENY_FILE="+deny, "RATELIMIT_BURST=2")
	now := time.Now()
	for i, want := range []struct {
		source string
		why    drop.Reason
	}{
		{"fe80::1", drop.None}, {"fe80::bad", drop.Hook}, {"fe80::bed", drop.Hook},
		{"fe80::1", drop.None}, {"fe80::1", drop.RateLimited}, {"fe80::2", drop.None},
	} {
		if why := h.Pkt6Receive.Run(arrives(t, now, want.source, "", "")); why != want.why {
			t.Errorf("datagram %d, from %s: %v, want %v", i, want.source, why, want.why)
		}
	}
}

func TestMistakes(t *testing.T) {
	for environ, want := range map[string]string{
		"HOOKS=ratelimit RATELIMIT_RATE=0":                        "DHCP6D_HOOKS: the hook ratelimit has nothing to do; set DHCP6D_RATELIMIT_RATE or DHCP6D_RATELIMIT_TOTAL_RATE",
		"HOOKS=ratelimit RATELIMIT_RATE=0 RATELIMIT_TOTAL_RATE=1": "",
		"HOOKS=ratelimit RATELIMIT_BURST=0":                       "DHCP6D_RATELIMIT_BURST: 0 lets nobody send anything; give 2 or more: an exchange is two messages",
		"HOOKS=ratelimit RATELIMIT_TOTAL_RATE=1000001":            "DHCP6D_RATELIMIT_RATE: more than 1000000 per second is no limit; give 0 for none",
		"HOOKS=acl":                 "DHCP6D_HOOKS: the hook acl has nothing to do; set DHCP6D_ACL_ALLOW or DHCP6D_ACL_DENY",
		"HOOKS=acl ACL_DENY=::/0":   `DHCP6D_ACL_DENY: "::/0" has no = between what to compare and the value; give list as for ALLOW`,
		"HOOKS=acl ACL_ALLOW=mac=x": `DHCP6D_ACL_ALLOW: "mac" is none of prefix, interface-id and remote-id; give list of prefix=…, interface-id=…, remote-id=enterprise:…; an id is text or 0x and hex`,
		"HOOKS=packetlog PACKETLOG_POINTS=pkt6_receive,pkt6_receives":     "DHCP6D_PACKETLOG_POINTS: there is no point pkt6_receives; did you mean pkt6_receive?",
		"HOOKS=acl,ratelimit,packetlog ACL_ALLOW=prefix=::/0":             "",
		"HOOKS=packetlog PACKETLOG_RATE=1 PACKETLOG_POINTS=pkt6_receive ": "",
	} {
		var own []string
		for e := range strings.FieldsSeq(environ) {
			own = append(own, "DHCP6D_"+e)
		}
		l := config.New("DHCP6D_", own)
		hook.Configure(l, "DHCP6D_", All())
		got := ""
		if err := l.Err(); err != nil {
			got = strings.TrimPrefix(err.Error(), "configuration: ")
		}
		if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", environ, got, want)
		}
	}
}

func TestPacketLog(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	h := run(t, log, "HOOKS=packetlog", "PACKETLOG_POINTS=buffer6_receive,pkt6_send", "PACKETLOG_RATE=3")
	if !h.Pkt6Receive.Empty() || !h.Buffer6Send.Empty() {
		t.Error("it runs at a point that is not listed")
	}
	message := dhcp6.AppendMessage(nil, dhcp6.InformationRequest, [3]byte{1, 2, 3})
	message = dhcp6.AppendOption(message, dhcp6.OptClientID, []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 1})
	now := time.Unix(1_800_000_000, 0)
	e := &event.Datagram{Received: now, Interface: "eth1", Peer: netip.MustParseAddrPort("[fe80::1]:546"), Data: message}
	for range 5 {
		if h.Buffer6Receive.Run(e) != hook.Continue {
			t.Fatal("a packet is dropped")
		}
	}
	e.Received, e.Data = now.Add(time.Second), message[:7]
	h.Pkt6Send.Run(e)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines, want 3 of the first second and 1 of the next:\n%s", len(lines), out.String())
	}
	for _, want := range []string{"hook=packetlog", "point=buffer6_receive", "interface=eth1", "peer=[fe80::1]:546", "octets=18", "INFORMATION-REQUEST", "02:00:00:00:00:01"} {
		if !strings.Contains(lines[0], want) {
			t.Errorf("the line lacks %q: %s", want, lines[0])
		}
	}
	for _, want := range []string{"cannot be decoded", "point=pkt6_send", "unlogged=2"} {
		if !strings.Contains(lines[3], want) {
			t.Errorf("the line lacks %q: %s", want, lines[3])
		}
	}
}

func BenchmarkPacketLog(b *testing.B) {
	h := run(b, slog.New(slog.DiscardHandler), "HOOKS=packetlog", "PACKETLOG_RATE=0")
	e := relayedEvent(b)
	b.ReportAllocs()
	for b.Loop() {
		h.Pkt6Receive.Run(e)
	}
}
