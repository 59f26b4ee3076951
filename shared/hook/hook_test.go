package hook_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
	"github.com/dhcp4o6/dhcp4o6/shared/metric/metrictest"
)

type event struct{ seen []string }

type bench struct {
	core *hook.Core
	reg  *prometheus.Registry
	log  bytes.Buffer
}

func newBench() *bench {
	b := &bench{reg: prometheus.NewRegistry()}
	b.core = hook.NewCore(b.reg, drop.DHCP6D, metric.NewPanics(b.reg, drop.DHCP6D), slog.New(slog.NewTextHandler(&b.log, nil)))
	return b
}

func filter(name string, why drop.Reason) hook.Filter[event] {
	return hook.Filter[event]{Name: name, Run: func(e *event) drop.Reason {
		e.seen = append(e.seen, name)
		return why
	}}
}

func panics(name string) hook.Filter[event] {
	return hook.Filter[event]{Name: name, Run: func(*event) drop.Reason { panic("broken " + name) }}
}

func TestFilters(t *testing.T) {
	tests := []struct {
		name    string
		filters []hook.Filter[event]
		why     drop.Reason
		seen    string
	}{
		{"an empty list lets everything pass", nil, drop.None, ""},
		{"filters run in the order given", []hook.Filter[event]{filter("a", hook.Continue), filter("b", hook.Continue)}, drop.None, "a b"},
		{"the first drop ends the list", []hook.Filter[event]{filter("a", hook.Continue), filter("b", hook.Drop), filter("c", hook.Continue)}, drop.Hook, "a b"},
		{"a hook's own reason is kept", []hook.Filter[event]{filter("a", drop.Overload)}, drop.Overload, "a"},
		{"a panic is a drop", []hook.Filter[event]{panics("p"), filter("b", hook.Continue)}, drop.HookPanic, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := hook.Filters(newBench().core, hook.Pkt6Receive, tt.filters...)
			var e event
			if why := l.Run(&e); why != tt.why {
				t.Errorf("reason %v, want %v", why, tt.why)
			}
			if seen := strings.Join(e.seen, " "); seen != tt.seen {
				t.Errorf("hooks run: %q, want %q", seen, tt.seen)
			}
		})
	}
}

func TestObserversAllLearnAndChangeNothing(t *testing.T) {
	b := newBench()
	var seen []string
	observe := func(name string, broken bool) hook.Observer[event] {
		return hook.Observer[event]{Name: name, Run: func(*event) {
			seen = append(seen, name)
			if broken {
				panic(name)
			}
		}}
	}
	o := hook.Observe(b.core, hook.Leases4Committed, observe("a", false), observe("b", true), observe("c", false))
	o.Run(&event{})
	if got := strings.Join(seen, " "); got != "a b c" {
		t.Errorf("observers run: %q, want all three", got)
	}
	const want = `
# HELP dhcp6d_hook_results_total What hooks decided.
# TYPE dhcp6d_hook_results_total counter
dhcp6d_hook_results_total{hook="a",point="leases4_committed",result="continue"} 1
dhcp6d_hook_results_total{hook="a",point="leases4_committed",result="drop"} 0
dhcp6d_hook_results_total{hook="a",point="leases4_committed",result="panic"} 0
dhcp6d_hook_results_total{hook="b",point="leases4_committed",result="continue"} 0
dhcp6d_hook_results_total{hook="b",point="leases4_committed",result="drop"} 0
dhcp6d_hook_results_total{hook="b",point="leases4_committed",result="panic"} 1
dhcp6d_hook_results_total{hook="c",point="leases4_committed",result="continue"} 1
dhcp6d_hook_results_total{hook="c",point="leases4_committed",result="drop"} 0
dhcp6d_hook_results_total{hook="c",point="leases4_committed",result="panic"} 0
# HELP dhcp6d_panics_total Panics that were caught, each a bug to report.
# TYPE dhcp6d_panics_total counter
dhcp6d_panics_total 1
`
	if err := testutil.GatherAndCompare(b.reg, strings.NewReader(want), "dhcp6d_hook_results_total", "dhcp6d_panics_total"); err != nil {
		t.Error(err)
	}
}

func TestZeroListsAreEmpty(t *testing.T) {
	var l hook.List[event]
	var o hook.Observers[event]
	o.Run(nil)
	if why := l.Run(nil); why != drop.None {
		t.Errorf("reason %v", why)
	}
}

func TestEveryRunIsTimed(t *testing.T) {
	b := newBench()
	b.core.Declare(hook.Pkt6Receive, "unused")
	l := hook.Filters(b.core, hook.Pkt6Receive, filter("a", hook.Continue), filter("b", hook.Drop))
	for range 3 {
		l.Run(&event{})
	}
	counts := map[string]uint64{}
	families, err := b.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "dhcp6d_hook_duration_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			counts[m.GetLabel()[0].GetValue()] = m.GetHistogram().GetSampleCount()
			if n := len(m.GetHistogram().GetBucket()); n != len(metric.HookBuckets()) {
				t.Errorf("%d classic buckets", n)
			}
		}
	}
	if counts["a"] != 3 || counts["b"] != 3 || len(counts) != 3 || counts["unused"] != 0 {
		t.Errorf("observations %v, want a and b three times and unused at zero", counts)
	}
	metrictest.Lint(t, b.reg, drop.DHCP6D)
}

func TestPanicsAreLoggedAtASaneRate(t *testing.T) {
	b := newBench()
	l := hook.Filters(b.core, hook.Pkt6Receive, panics("p"))
	for range 1000 {
		l.Run(&event{})
	}
	lines := b.log.String()
	if n := strings.Count(lines, "a hook panicked"); n != 1 {
		t.Errorf("%d log lines for 1000 panics at once, want 1", n)
	}
	for _, part := range []string{"broken p", "hook=p", "point=pkt6_receive", "hook_test.go"} {
		if !strings.Contains(lines, part) {
			t.Errorf("the log lacks %q", part)
		}
	}
}

type body struct {
	name string
	list hook.List[event]
}

func bodies() []body {
	nop := func(name string) hook.Filter[event] {
		return hook.Filter[event]{Name: name, Run: func(*event) drop.Reason { return hook.Continue }}
	}
	return []body{
		{"no hook", hook.List[event]{}},
		{"one hook", hook.Filters(newBench().core, hook.Pkt6Receive, nop("a"))},
		{"three hooks", hook.Filters(newBench().core, hook.Pkt6Receive, nop("a"), nop("b"), nop("c"))},
	}
}

func TestNoAllocationPerPacket(t *testing.T) {
	for _, b := range bodies() {
		var e event
		b.list.Run(&e) // the native histogram makes its bucket
		if n := testing.AllocsPerRun(1000, func() { b.list.Run(&e) }); n >= 1 {
			t.Errorf("%s: %v allocations per packet", b.name, n)
		}
	}
}

func BenchmarkRun(b *testing.B) {
	for _, body := range bodies() {
		b.Run(body.name, func(b *testing.B) {
			b.ReportAllocs()
			var e event
			for b.Loop() {
				body.list.Run(&e)
			}
		})
	}
}
