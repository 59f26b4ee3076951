package backend

import (
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// trips is a histogram of round trips, with classic and native buckets. An answer costs three
// additions, far less than with a general histogram, so every answer is observed. One goroutine
// observes; any may collect.
type trips struct {
	bounds      []time.Duration // of the classic buckets, ascending
	classic     []atomic.Uint64 // by bound, the last one above all
	native      [nativeBuckets]atomic.Uint64
	nanoseconds atomic.Int64
}

// The native buckets are those of schema 3, eight to each power of two, as client_golang makes them
// for a factor of 1.1. Bucket k of a native histogram ends at 2 to the power of k/8 seconds. There
// are nativeBuckets of them from 1 ns on. The last one counts everything that is longer.
const (
	schema        = 3
	perOctave     = 1 << schema
	firstBucket   = -30 * perOctave // its end is below 1 ns
	nativeBuckets = 33 * perOctave
	zeroThreshold = prometheus.DefNativeHistogramZeroThreshold
)

// fractions are the ends of the buckets within an octave, for the fractions of math.Frexp.
var fractions = func() (f [perOctave]float64) {
	for i := range f {
		f[i] = math.Exp2(float64(i)/perOctave - 1)
	}
	return f
}()

func newTrips(bounds []float64) *trips {
	t := &trips{classic: make([]atomic.Uint64, len(bounds)+1)}
	for _, b := range bounds {
		t.bounds = append(t.bounds, time.Duration(b*float64(time.Second)))
	}
	return t
}

// observe notes a round trip.
func (t *trips) observe(d time.Duration) {
	i := 0
	for i < len(t.bounds) && d > t.bounds[i] {
		i++
	}
	t.nanoseconds.Add(int64(d))
	t.classic[i].Add(1)
	t.native[nativeIndex(d)].Add(1) // last: what is in here is in the others
}

// nativeIndex returns the place of a round trip in the native buckets.
func nativeIndex(d time.Duration) int {
	fraction, exponent := math.Frexp(max(d, 1).Seconds())
	i := 0
	for i < perOctave && fraction > fractions[i] {
		i++
	}
	return min(max((exponent-1)*perOctave+i-firstBucket, 0), nativeBuckets-1)
}

// metric returns what was observed. The count is that of the native buckets, because Prometheus
// refuses a histogram whose native buckets have not as many observations as it says.
func (t *trips) metric(desc *prometheus.Desc, labels ...string) prometheus.Metric {
	native := make([]uint64, nativeBuckets)
	total := uint64(0)
	for i := range native {
		native[i] = t.native[i].Load()
		total += native[i]
	}
	h := &dto.Histogram{
		SampleCount: &total, Schema: new(int32(schema)), ZeroThreshold: new(zeroThreshold), ZeroCount: new(uint64(0)),
	}
	h.SampleSum = new(time.Duration(t.nanoseconds.Load()).Seconds())
	below := uint64(0)
	for i, bound := range t.bounds {
		below += t.classic[i].Load()
		h.Bucket = append(h.Bucket, &dto.Bucket{
			UpperBound: new(bound.Seconds()), CumulativeCount: new(min(below, total)),
		})
	}
	h.PositiveSpan, h.PositiveDelta = spans(native)
	return histogram{desc, prometheus.MakeLabelPairs(desc, labels), h}
}

// spans returns runs of buckets, and the difference of each bucket to the one before. A run ends
// where more than two buckets are empty.
func spans(native []uint64) (runs []*dto.BucketSpan, deltas []int64) {
	next, before := -firstBucket, int64(0) // the first offset counts from bucket 0
	add := func(n int64) {
		*runs[len(runs)-1].Length++
		deltas = append(deltas, n-before)
		before = n
	}
	for i, n := range native {
		if n == 0 {
			continue
		}
		if len(runs) == 0 || i > next+2 {
			runs = append(runs, &dto.BucketSpan{Offset: new(int32(i - next)), Length: new(uint32(0))})
			next = i
		}
		for ; next < i; next++ {
			add(0)
		}
		add(int64(n))
		next = i + 1
	}
	return runs, deltas
}

// lost returns the histogram of n queries, each of which has waited for the time long in vain.
func lost(desc *prometheus.Desc, bounds []float64, n uint64, long time.Duration, labels ...string) prometheus.Metric {
	t := newTrips(bounds)
	i, _ := slices.BinarySearch(t.bounds, long)
	t.classic[i].Store(n)
	t.native[nativeIndex(long)].Store(n)
	t.nanoseconds.Store(int64(n) * int64(long))
	return t.metric(desc, labels...)
}

// histogram is a histogram with its values.
type histogram struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair
	values *dto.Histogram
}

// Desc implements prometheus.Metric.
func (h histogram) Desc() *prometheus.Desc { return h.desc }

// Write implements prometheus.Metric.
func (h histogram) Write(m *dto.Metric) error {
	m.Label, m.Histogram = h.labels, h.values
	return nil
}
