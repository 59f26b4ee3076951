package metric

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"pgregory.net/rapid"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// general is a histogram of client_golang's with classic and native buckets.
func general(b Buckets) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Name: "dhcp6d_twin_seconds", Help: "A twin.", Buckets: b,
		NativeHistogramBucketFactor: 1.1}
}

// twin returns client_golang's histogram with the same buckets, and a histogram of ours. Both have
// two labels.
func twin(b Buckets) (prometheus.Observer, *Durations, func() (twin, ours prometheus.Metric)) {
	vec := NewDurationsVec(drop.DHCP6D, "twin_seconds", "A twin.", b, "backend", "result")
	twin, ours := prometheus.NewHistogram(general(b)), vec.With("four", "response")
	return twin, ours, func() (prometheus.Metric, prometheus.Metric) {
		c := make(chan prometheus.Metric, 1)
		vec.Collect(c)
		return twin, <-c
	}
}

// A histogram of ours has the buckets that client_golang's own has, classic and native.
func TestDurationsAreAsInAGeneralHistogram(t *testing.T) {
	for name, buckets := range map[string]Buckets{"request": RequestBuckets(), "hook": HookBuckets(), "commit": CommitBuckets(),
		"wait": prometheus.ExponentialBuckets(100e-6, 4, 8)} {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			general, ours, metrics := twin(buckets)
			octave := rapid.IntRange(0, 31)
			for range rapid.IntRange(0, 50).Draw(t, "durations") {
				d := max(1, time.Duration(rapid.Int64Range(1, 2<<octave.Draw(t, "octave")).Draw(t, "ns")))
				if rapid.Bool().Draw(t, "bound") {
					d = time.Duration(rapid.SampledFrom(buckets).Draw(t, "s")*1e9 + 0.5)
				}
				general.Observe(d.Seconds())
				ours.Observe(d)
			}
			compare(t, metrics)
		}))
	}
}

func TestADurationObservedManyTimesIsAsInAGeneralHistogram(t *testing.T) {
	for _, n := range []uint64{0, 1, 7} {
		general, ours, metrics := twin(RequestBuckets())
		for range n {
			general.Observe(2)
		}
		ours.ObserveTimes(n, 2*time.Second)
		compare(t, metrics)
	}
}

func compare(t interface{ Fatalf(string, ...any) }, metrics func() (twin, ours prometheus.Metric)) {
	twin, ours := metrics()
	var a, b dto.Metric
	if err := twin.Write(&a); err != nil {
		t.Fatalf("%v", err)
	}
	if err := ours.Write(&b); err != nil {
		t.Fatalf("%v", err)
	}
	if len(b.GetLabel()) != 2 {
		t.Fatalf("labels %v", b.GetLabel())
	}
	want, got := a.GetHistogram(), b.GetHistogram()
	if d := want.GetSampleSum() - got.GetSampleSum(); d > 1e-6 || d < -1e-6 {
		t.Fatalf("a sum of %v, want %v", got.GetSampleSum(), want.GetSampleSum())
	}
	want.SampleSum, got.SampleSum, want.CreatedTimestamp = nil, nil, nil
	if want.String() != got.String() {
		t.Fatalf("%v,\nwant %v", got, want)
	}
}

func TestLabelsHaveOneHistogram(t *testing.T) {
	vec := NewDurationsVec(drop.DHCP6D, "twin_seconds", "A twin.", HookBuckets(), "point", "hook")
	reg := prometheus.NewRegistry()
	reg.MustRegister(vec)
	a := vec.With("here", "a")
	if vec.With("here", "a") != a || vec.With("there", "a") == a {
		t.Error("the same labels have two histograms, or others the same one")
	}
	families, err := reg.Gather()
	if err != nil || len(families) != 1 || len(families[0].GetMetric()) != 2 {
		t.Errorf("%v, %v, want one family of two histograms", families, err)
	}
}

func TestADurationAllocatesNothing(t *testing.T) {
	h := NewDurations(RequestBuckets())
	if n := testing.AllocsPerRun(100, func() { h.Observe(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDurations(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		h := NewDurations(HookBuckets())
		for i := range b.N {
			h.Observe(time.Duration(200 + i%64))
		}
	})
	b.Run("client_golang", func(b *testing.B) {
		h := prometheus.NewHistogram(general(HookBuckets()))
		for i := range b.N {
			h.Observe(time.Duration(200 + i%64).Seconds())
		}
	})
}
