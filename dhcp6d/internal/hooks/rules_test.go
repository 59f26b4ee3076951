package hooks

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"slices"
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

const sixRules = `# lines of an operator
pkt6_receive: pkt.src == fe80::bad -> drop banned
pkt6_receive: relay6[-1].option[18].hex == 'port-7' or pkt.src == fe80::7 -> class seven
pkt6_receive: member('seven') -> count seven
pkt6_send: member('seven') -> drop unpaid
pkt6_send: member('ALL') -> option 23 = 2001:db8::53 + 2001:db8::54
pkt6_send: member('ALL') -> option bootfile-url = ''
`

func TestOperatorsRules(t *testing.T) {
	h := run(t, slog.New(slog.DiscardHandler), "HOOKS=rules", "RULES_REASONS=banned,unpaid", "RULES_COUNTERS=seven", "RULES_LINES="+sixRules)
	now := time.Now()
	for _, want := range []struct {
		source         string
		why, send      drop.Reason
		because, later string
	}{
		{"fe80::1", drop.None, drop.None, "", ""},
		{"fe80::bad", drop.Hook, drop.None, "banned", ""},
		{"fe80::7", drop.None, drop.Hook, "", "unpaid"},
		{"fe80::1", drop.None, drop.None, "", ""},
	} {
		e := arrives(t, now, want.source, "", "")
		if why := h.Pkt6Receive.Run(e); why != want.why || e.Because != want.because {
			t.Errorf("from %s: %v because of %q, want %v, %q", want.source, why, e.Because, want.why, want.because)
		}
		if want.why != drop.None {
			continue
		}
		answer := &event.Datagram{Received: now, Data: e.Data, Options: new(dhcp6.Overrides)}
		if why := h.Pkt6Send.Run(answer); why != want.send || answer.Because != want.later {
			t.Errorf("to %s: %v because of %q, want %v, %q", want.source, why, answer.Because, want.send, want.later)
		}
		servers := dhcp6.AppendAddresses(nil, 23, []netip.Addr{netip.MustParseAddr("2001:db8::53"), netip.MustParseAddr("2001:db8::54")})
		if got := answer.Options.Append(nil); want.send == drop.None && (!bytes.Equal(got, servers) || !answer.Options.Has(59)) {
			t.Errorf("to %s: options %x, want %x and no option 59", want.source, got, servers)
		}
	}
	if !h.Buffer6Receive.Empty() || !h.Buffer6Send.Empty() {
		t.Error("it runs where it has no rules")
	}
}

func TestMistakesOfRules(t *testing.T) {
	for _, tt := range []struct{ environ, lines, want string }{
		{"HOOKS=rules", "", "DHCP6D_HOOKS: the hook rules has nothing to do; set DHCP6D_RULES_LINES or DHCP6D_RULES_LINES_FILE"},
		{"HOOKS=rules RULES_REASONS=Bad RULES_COUNTERS=a,a", "# none", `DHCP6D_RULES_REASONS: "Bad" is no name of a reason; give small letters, digits and _, at most 63, a letter first` +
			"\nDHCP6D_RULES_COUNTERS: a is listed twice; remove one of them"},
		{"HOOKS=rules", "buffer6_send: member('ALL') -> option dhcpv4-message = ''",
			"DHCP6D_RULES_LINES: line 1, column 39: option dhcpv4-message belongs to the exchange, to relays or to leases, and cannot be set"},
		{"HOOKS=rules", "buffer6_receive: member('ALL') -> option 9 = ''",
			"DHCP6D_RULES_LINES: line 1, column 42: option 9 belongs to the exchange, to relays or to leases, and cannot be set"},
		{"HOOKS=rules", "buffer6_send: member('ALL') -> octets 1 = 0x00", "DHCP6D_RULES_LINES: line 1, column 32: octets has no effect at buffer6_send; use it at buffer6_receive"},
		{"HOOKS=rules", "pkt6_receive: known -> class a b", "DHCP6D_RULES_LINES: line 1, column 15: depends on whether the client has a reservation: dhcp6d has none; ask in a rule of dhcp4d"},
		{"HOOKS=rules", "pkt6_receive: member('ALL') -> class a b\npkt6_send: member('c') -> class c", "DHCP6D_RULES_LINES: line 1, column 38: is no name of a class; give one without blanks and quotes" +
			"\nDHCP6D_RULES_LINES: line 2, column 19: no class c is defined before this one; define it, and above"},
		{"HOOKS=rules", "pkt6_receive: member('ALL') -> option 23 = ::1",
			"DHCP6D_RULES_LINES: line 1, column 32: option has no effect at pkt6_receive; use it at buffer6_receive or pkt6_send or buffer6_send"},
		{"HOOKS=rules", "pkt6_send: member('ALL') -> option dns = ::1", `DHCP6D_RULES_LINES: line 1, column 36: "dns" is no DHCPv6 option; give its code, such as 23, or a name of expressions, such as bootfile-url`},
		{"HOOKS=rules", "pkt6_send: member('ALL') -> option 2 = 'x'", "DHCP6D_RULES_LINES: line 1, column 36: option 2 belongs to the exchange, to relays or to leases, and cannot be set"},
		{"HOOKS=rules", "pkt6_send: member('ALL') -> option 70000 = 'x'", `DHCP6D_RULES_LINES: line 1, column 36: "70000" is no DHCPv6 option; `},
		{"HOOKS=rules", "pkt6_send: member('ALL') -> option 23 ::1", "DHCP6D_RULES_LINES: line 1, column 39: option 23 has no = and no expression behind it; write option CODE = EXPRESSION"},
		{"HOOKS=rules", "pkt6_send: member('ALL') -> option 23 = pkt.src == ::1", "DHCP6D_RULES_LINES: line 1, column 41: is true or false, and a value is asked for"},
		{"HOOKS=rules", "pkt6_receive: pkt4.mac == 0x00 -> class a", "DHCP6D_RULES_LINES: line 1, column 15: "},
		{"", "pkt6_receive: member('ALL') -> class a", "DHCP6D_HOOKS: the hook rules is configured and not listed; add rules, or unset DHCP6D_RULES_LINES"},
	} {
		var own []string
		for e := range strings.FieldsSeq(tt.environ) {
			own = append(own, "DHCP6D_"+e)
		}
		l := config.New("DHCP6D_", append(own, "DHCP6D_RULES_LINES="+tt.lines))
		hook.Configure(l, "DHCP6D_", All())
		got := ""
		if err := l.Err(); err != nil {
			got = strings.TrimPrefix(err.Error(), "configuration: ")
		}
		if !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s:\n%s\nwant\n%s", tt.environ, got, tt.want)
		}
	}
}

func BenchmarkRules(b *testing.B) {
	h := run(b, slog.New(slog.DiscardHandler), "HOOKS=rules", "RULES_REASONS=banned,unpaid", "RULES_COUNTERS=seven", "RULES_LINES="+sixRules)
	e := relayedEvent(b)
	b.ReportAllocs()
	for b.Loop() {
		h.Pkt6Receive.Run(e)
	}
}

func TestRulesCountUnderTheirNames(t *testing.T) {
	reg := prometheus.NewRegistry()
	l := config.New("DHCP6D_", []string{"DHCP6D_HOOKS=rules", "DHCP6D_RULES_REASONS=banned", "DHCP6D_RULES_LINES=pkt6_receive: member('ALL') -> drop banned"})
	configured := hook.Configure(l, "DHCP6D_", All())
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	set, err := hook.NewHost(reg, drop.DHCP6D, prometheus.NewCounter(prometheus.CounterOpts{Name: "panics"}), slog.New(slog.DiscardHandler), All()).Make(configured)
	if err != nil {
		t.Fatal(err)
	}
	h := event.NewHooks(set)
	h.Pkt6Receive.Run(arrives(t, time.Now(), "fe80::1", "", ""))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "dhcp6d_rules_dropped_total" {
			if m := f.GetMetric(); len(m) != 1 || m[0].GetLabel()[0].GetValue() != "banned" || m[0].GetCounter().GetValue() != 1 {
				t.Errorf("%v", m)
			}
			return
		}
	}
	t.Error("there is no series of drops")
}

// TestTheTableOfPoints: at each point rules may do what the table in docs/hooks.md says, and
// nothing else.
func TestTheTableOfPoints(t *testing.T) {
	page, err := os.ReadFile("../../../docs/hooks.md")
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 6 || strings.TrimSpace(cells[1]) != "dhcp6d" {
			continue
		}
		point, may := strings.TrimSpace(cells[0]), strings.Split(strings.TrimSpace(cells[5]), ", ")
		points = append(points, point)
		for action, argument := range map[string]string{"drop": "unpaid", "count": "seen", "class": "phones", "option": "23 = ::1", "octets": "1 = 0x00"} {
			l := config.New("DHCP6D_", []string{"DHCP6D_HOOKS=rules", "DHCP6D_RULES_REASONS=unpaid", "DHCP6D_RULES_COUNTERS=seen",
				"DHCP6D_RULES_LINES=" + point + ": member('ALL') -> " + action + " " + argument})
			hook.Configure(l, "DHCP6D_", All())
			if err, listed := l.Err(), slices.Contains(may, action); (err == nil) != listed {
				t.Errorf("%s at %s: in the table is %v, and compiling it says %v", action, point, listed, err)
			}
		}
	}
	var want []string
	for _, p := range event.Points() {
		want = append(want, string(p))
	}
	slices.Sort(points)
	slices.Sort(want)
	if !slices.Equal(points, want) {
		t.Errorf("the table has the points %q, want %q", points, want)
	}
}
