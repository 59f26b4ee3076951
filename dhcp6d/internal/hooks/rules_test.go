package hooks

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

const sixRules = `# lines of an operator
pkt6_receive: pkt.src == fe80::bad -> drop banned
pkt6_receive: relay6[-1].option[18].hex == 'port-7' or pkt.src == fe80::7 -> class seven
pkt6_receive: member('seven') -> count seven
pkt6_send: member('seven') -> drop unpaid
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
		answer := &event.Datagram{Received: now, Data: e.Data}
		if why := h.Pkt6Send.Run(answer); why != want.send || answer.Because != want.later {
			t.Errorf("to %s: %v because of %q, want %v, %q", want.source, why, answer.Because, want.send, want.later)
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
		{"HOOKS=rules RULES_REASONS=x", "buffer6_receive: member('ALL') -> drop x", "DHCP6D_RULES_LINES: line 1, column 1: at buffer6_receive no rule runs: there are only bytes; use pkt6_receive, or pkt6_send for dhcp6d's own answers"},
		{"HOOKS=rules", "pkt6_receive: known -> class a b", "DHCP6D_RULES_LINES: line 1, column 15: depends on whether the client has a reservation: dhcp6d has none; ask in a rule of dhcp4d"},
		{"HOOKS=rules", "pkt6_receive: member('ALL') -> class a b\npkt6_send: member('c') -> class c", "DHCP6D_RULES_LINES: line 1, column 38: is no name of a class; give one without blanks and quotes" +
			"\nDHCP6D_RULES_LINES: line 2, column 19: no class c is defined before this one; define it, and above"},
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
