package hook_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/hook/hooktest"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
	"github.com/dhcp4o6/dhcp4o6/shared/metric/metrictest"
)

type event struct {
	hook.Culprit
	seen []string
}

const (
	here  = hook.FilterPoint[event]("pkt6_receive")
	after = hook.ObserverPoint[event]("leases4_committed")
)

type bench struct {
	reg    *prometheus.Registry
	log    bytes.Buffer
	panics prometheus.Counter
}

func newBench() *bench {
	b := &bench{reg: prometheus.NewRegistry()}
	b.panics = metric.NewPanics(b.reg, drop.DHCP6D)
	return b
}

func (b *bench) host(kinds ...hook.Kind) *hook.Host {
	return hook.NewHost(b.reg, drop.DHCP6D, b.panics, slog.New(slog.NewTextHandler(&b.log, nil)), kinds)
}

// set makes a set of hooks, all of them listed.
func (b *bench) set(t testing.TB, kinds ...hook.Kind) *hook.Set {
	t.Helper()
	s, err := b.host(kinds...).Make(configured(t, kinds))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func configured(t testing.TB, kinds []hook.Kind, environ ...string) []hook.Configured {
	t.Helper()
	var names []string
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	l := config.New("D_", append(environ, "D_HOOKS="+strings.Join(names, ",")))
	c := hook.Configure(l, "D_", kinds)
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	return c
}

func filter(name string, why drop.Reason) hook.Kind {
	return hooktest.Kind(name, func(a *hook.Attachment) {
		here.Run(a, func(e *event) drop.Reason {
			e.seen = append(e.seen, name)
			return why
		})
	}, string(here))
}

func panics(name string) hook.Kind {
	return hooktest.Kind(name, func(a *hook.Attachment) {
		here.Run(a, func(*event) drop.Reason { panic("broken " + name) })
	}, string(here))
}

func TestFilters(t *testing.T) {
	tests := []struct {
		name    string
		filters []hook.Kind
		why     drop.Reason
		seen    string
	}{
		{"an empty list lets everything pass", nil, drop.None, ""},
		{"filters run in the order given", []hook.Kind{filter("a", hook.Continue), filter("b", hook.Continue)}, drop.None, "a b"},
		{"the first drop ends the list", []hook.Kind{filter("a", hook.Continue), filter("b", hook.Drop), filter("c", hook.Continue)}, drop.Hook, "a b"},
		{"a hook's own reason is kept", []hook.Kind{filter("a", drop.QueueFull)}, drop.QueueFull, "a"},
		{"a panic is a drop", []hook.Kind{panics("p"), filter("b", hook.Continue)}, drop.HookPanic, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := here.List(newBench().set(t, tt.filters...))
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

// lasts makes a hook that runs last.
func lasts(name string, result hook.Result) hook.Kind {
	return hooktest.Kind(name, func(a *hook.Attachment) {
		here.RunLast(a, func(e *event) hook.Result {
			e.seen = append(e.seen, name)
			if name == "panics" {
				panic(name)
			}
			return result
		})
	}, string(here))
}

func TestWhatRunsLastMayPark(t *testing.T) {
	const highest = drop.Reason(drop.Count - 1)
	for _, tt := range []struct {
		name    string
		last    []hook.Kind
		want    hook.Result
		why     drop.Reason
		seen    string
		culprit string
		counted string // of the last one that ran
	}{
		{"nothing runs", nil, hook.GoOn, drop.None, "", "", ""},
		{"it goes on", []hook.Kind{lasts("a", hook.GoOn), lasts("b", hook.Decided(hook.Continue))}, hook.GoOn, drop.None, "a b", "", "continue"},
		{"it is parked, for no reason", []hook.Kind{lasts("a", hook.Park), lasts("b", hook.GoOn)}, hook.Park, drop.None, "a", "", "park"},
		{"it is dropped for the first reason of all", []hook.Kind{lasts("a", hook.Decided(drop.Truncated))}, hook.Decided(drop.Truncated), drop.Truncated, "a", "a", "drop"},
		{"it is dropped for the last reason of all", []hook.Kind{lasts("a", hook.Decided(highest)), lasts("b", hook.Park)}, hook.Decided(highest), highest, "a", "a", "drop"},
		{"a panic is a drop", []hook.Kind{lasts("panics", hook.Park)}, hook.Decided(drop.HookPanic), drop.HookPanic, "panics", "panics", "panic"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench()
			set := b.set(t, tt.last...)
			l, ordinary := here.Last(set), here.List(set)
			var e event
			got := l.Run(&e)
			if seen := strings.Join(e.seen, " "); got != tt.want || got.Reason() != tt.why || seen != tt.seen || e.Hook != tt.culprit {
				t.Errorf("result %v (%v) after %q by %q", got, got.Reason(), seen, e.Hook)
			}
			if l.Empty() != (len(tt.last) == 0) || !ordinary.Empty() {
				t.Error("what runs last does not run last only")
			}
			if tt.counted == "" {
				return
			}
			ran := e.seen[len(e.seen)-1]
			if err := testutil.GatherAndCompare(b.reg, strings.NewReader(resultsOf(tt.last, ran, tt.counted)), "dhcp6d_hook_results_total"); err != nil {
				t.Error(err)
			}
		})
	}
}

// resultsOf is the metric after the hooks up to ran have run once. All but ran let the packet go
// on.
func resultsOf(kinds []hook.Kind, ran, counted string) string {
	text := "# HELP dhcp6d_hook_results_total Calls of hooks, by what they decided.\n# TYPE dhcp6d_hook_results_total counter\n"
	before := true
	for _, k := range kinds {
		for _, result := range []string{"continue", "drop", "panic", "park"} {
			n := 0
			if (k.Name == ran && result == counted) || (k.Name != ran && before && result == "continue") {
				n = 1
			}
			text += fmt.Sprintf("dhcp6d_hook_results_total{hook=%q,point=%q,result=%q} %d\n", k.Name, here, result, n)
		}
		before = before && k.Name != ran
	}
	return text
}

func TestObserversAllLearnAndChangeNothing(t *testing.T) {
	b := newBench()
	var seen []string
	observe := func(name string, broken bool) hook.Kind {
		return hooktest.Kind(name, func(a *hook.Attachment) {
			after.Run(a, func(*event) {
				seen = append(seen, name)
				if broken {
					panic(name)
				}
			})
		})
	}
	o := after.Observers(b.set(t, observe("a", false), observe("b", true), observe("c", false)))
	o.Run(&event{})
	if got := strings.Join(seen, " "); got != "a b c" {
		t.Errorf("observers run: %q, want all three", got)
	}
	const want = `
# HELP dhcp6d_hook_results_total Calls of hooks, by what they decided.
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
	shipped := []hook.Kind{filter("a", hook.Continue), filter("b", hook.Drop), filter("unused", hook.Continue)}
	s, err := b.host(shipped...).Make(configured(t, shipped[:2]))
	if err != nil {
		t.Fatal(err)
	}
	l := here.List(s)
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
	l := here.List(b.set(t, panics("p")))
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

func bodies(t testing.TB) []body {
	nop := func(name string) hook.Kind {
		return hooktest.Kind(name, func(a *hook.Attachment) { here.Run(a, func(*event) drop.Reason { return hook.Continue }) })
	}
	return []body{
		{"no hook", hook.List[event]{}},
		{"one hook", here.List(newBench().set(t, nop("a")))},
		{"three hooks", here.List(newBench().set(t, nop("a"), nop("b"), nop("c")))},
	}
}

func TestNoAllocationPerPacket(t *testing.T) {
	for _, b := range bodies(t) {
		var e event
		if n := testing.AllocsPerRun(1000, func() { b.list.Run(&e) }); n >= 1 {
			t.Errorf("%s: %v allocations per packet", b.name, n)
		}
	}
}

func BenchmarkRun(b *testing.B) {
	for _, body := range bodies(b) {
		b.Run(body.name, func(b *testing.B) {
			b.ReportAllocs()
			var e event
			for b.Loop() {
				body.list.Run(&e)
			}
		})
	}
}
