package metric_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
	"github.com/dhcp4o6/dhcp4o6/shared/metric/metrictest"
)

func TestRegistryKeepsTheRules(t *testing.T) {
	for _, d := range []drop.Daemon{drop.DHCP6D, drop.DHCP4D} {
		reg := metric.NewRegistry(d, "v0.1.0")
		metric.NewPanics(reg, d)
		metric.NewDrops(reg, d, "link", "ipc")
		metrictest.Lint(t, reg, d)
		for _, name := range []string{"build_info", "panics_total"} {
			if n, err := testutil.GatherAndCount(reg, metric.Namespace(d)+"_"+name); n != 1 || err != nil {
				t.Errorf("%s: %d series, %v", name, n, err)
			}
		}
	}
}

func TestLintFindsWhatBreaksTheRules(t *testing.T) {
	tests := []struct {
		name string
		c    prometheus.Collector
		part string
	}{
		{"foreign prefix", prometheus.NewGauge(prometheus.GaugeOpts{Name: "leases", Help: "h"}), "prefix"},
		{"counter without _total", prometheus.NewCounter(prometheus.CounterOpts{Name: "dhcp6d_answers", Help: "h"}), "_total"},
		{"gauge with _total", prometheus.NewGauge(prometheus.GaugeOpts{Name: "dhcp6d_leases_total", Help: "h"}), "_total"},
		{"histogram without unit", prometheus.NewHistogram(prometheus.HistogramOpts{Name: "dhcp6d_hook_duration", Help: "h"}), "unit"},
		{"unbounded label", prometheus.NewGauge(prometheus.GaugeOpts{Name: "dhcp6d_up", Help: "h", ConstLabels: prometheus.Labels{"mac": "x"}}), "closed set"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			reg.MustRegister(tt.c)
			problems, err := metrictest.Problems(reg, drop.DHCP6D)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, tt.part) }) {
				t.Errorf("problems %q, want one about %q", problems, tt.part)
			}
		})
	}
}

func TestDropsAreZeroFromTheStartAndCountOncePerFlush(t *testing.T) {
	reg := prometheus.NewRegistry()
	drops := metric.NewDrops(reg, drop.DHCP6D, "link", "ipc")
	n, err := testutil.GatherAndCount(reg, "dhcp6d_packets_dropped_total")
	if want := 2 * len(drop.Of(drop.DHCP6D)); err != nil || n != want {
		t.Fatalf("%d series, want %d (%v)", n, want, err)
	}

	tally := drops.Tally("link")
	tally.Add(drop.Malformed, 2)
	tally.Add(drop.None, 1)
	if got := total(t, reg); got != 0 {
		t.Errorf("%v counted before the flush", got)
	}
	tally.Flush()
	tally.Flush()
	if got := total(t, reg); got != 2 {
		t.Errorf("%v counted, want 2", got)
	}
}

func TestKeysOutsideATallyAreItsLast(t *testing.T) {
	counters := []prometheus.Counter{
		prometheus.NewCounter(prometheus.CounterOpts{Name: "a"}), prometheus.NewCounter(prometheus.CounterOpts{Name: "other"}),
	}
	tally := metric.NewTally[int](counters)
	for _, k := range []int{0, 1, 2, -1, 200} {
		tally.Add(k, 1)
	}
	tally.Flush()
	if a, other := testutil.ToFloat64(counters[0]), testutil.ToFloat64(counters[1]); a != 1 || other != 4 {
		t.Errorf("counted %v and %v, want 1 and 4", a, other)
	}
}

func TestNoAllocationToCount(t *testing.T) {
	tally := metric.NewDrops(prometheus.NewRegistry(), drop.DHCP4D, "ipc").Tally("ipc")
	if n := testing.AllocsPerRun(100, func() { tally.Add(drop.Malformed, 1); tally.Flush() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func total(t *testing.T, g prometheus.Gatherer) (sum float64) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}

func TestOnceGoesOnWithTheCounterThatThereIs(t *testing.T) {
	reg := prometheus.NewRegistry()
	lines := func() prometheus.Counter {
		return metric.Once(reg, prometheus.NewCounter(prometheus.CounterOpts{Name: "lines_total", Help: "h"}))
	}
	lines().Inc()
	lines().Inc()
	if n := testutil.ToFloat64(lines()); n != 2 {
		t.Errorf("%v lines, want 2", n)
	}
	defer func() {
		if recover() == nil {
			t.Error("another metric of that name is taken")
		}
	}()
	metric.Once(reg, prometheus.NewGauge(prometheus.GaugeOpts{Name: "lines_total", Help: "other"}))
}
