package backend

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"pgregory.net/rapid"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
)

// The histogram of round trips has the buckets that client_golang's own has, classic and native.
func TestTripsAreAsInAGeneralHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		options := metric.Histogram(drop.DHCP6D, "twin_seconds", "A twin.", metric.RequestBuckets())
		options.NativeHistogramMaxBucketNumber = 0 // it must not merge buckets
		twin, ours := prometheus.NewHistogram(options), newTrips(metric.RequestBuckets())
		octave := rapid.IntRange(0, 31)
		for range rapid.IntRange(0, 50).Draw(t, "trips") {
			d := max(1, time.Duration(rapid.Int64Range(1, 2<<octave.Draw(t, "octave")).Draw(t, "ns")))
			if rapid.Bool().Draw(t, "bound") {
				d = time.Duration(rapid.SampledFrom(metric.RequestBuckets()).Draw(t, "s") * float64(time.Second))
			}
			twin.Observe(d.Seconds())
			ours.observe(d)
		}
		compare(t, twin, ours.metric(descTrip, "four", "response"))
	})
}

func TestQueriesWithoutAnAnswerAreAsInAGeneralHistogram(t *testing.T) {
	for _, n := range []uint64{0, 1, 7} {
		twin := prometheus.NewHistogram(metric.Histogram(drop.DHCP6D, "twin_seconds", "A twin.", metric.RequestBuckets()))
		for range n {
			twin.Observe(timeout.Seconds())
		}
		compare(t, twin, lost(descTrip, metric.RequestBuckets(), n, timeout, "four", "timeout"))
	}
}

func compare(t interface{ Fatalf(string, ...any) }, twin, ours prometheus.Metric) {
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

func TestATripAllocatesNothing(t *testing.T) {
	trips := newTrips(metric.RequestBuckets())
	if n := testing.AllocsPerRun(100, func() { trips.observe(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTrips(b *testing.B) {
	trips := newTrips(metric.RequestBuckets())
	b.ReportAllocs()
	for i := range b.N {
		trips.observe(time.Duration(i % 1_000_000))
	}
}
