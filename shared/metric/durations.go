package metric

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Durations is a histogram of durations, with classic and native buckets. An observation costs
// three additions, far less than with a general histogram, so a packet loop can observe each
// packet. Any goroutine may observe and collect. Native buckets need a scrape by protobuf; classic
// ones work everywhere.
type Durations struct {
	buckets     Buckets
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

// NewDurations makes an empty histogram with these classic buckets.
func NewDurations(b Buckets) *Durations {
	h := &Durations{buckets: b, classic: make([]atomic.Uint64, len(b)+1)}
	for _, bound := range b {
		h.bounds = append(h.bounds, time.Duration(math.Round(bound*float64(time.Second))))
	}
	return h
}

// Observe notes a duration.
func (h *Durations) Observe(d time.Duration) { h.ObserveTimes(1, d) }

// ObserveTimes notes a duration n times.
func (h *Durations) ObserveTimes(n uint64, d time.Duration) {
	i := 0
	for i < len(h.bounds) && d > h.bounds[i] {
		i++
	}
	h.nanoseconds.Add(int64(n) * int64(d))
	h.classic[i].Add(n)
	h.native[nativeIndex(d)].Add(n) // last: what is in here is in the others
}

// nativeIndex returns the index of a duration in the native buckets.
func nativeIndex(d time.Duration) int {
	fraction, exponent := math.Frexp(max(d, 1).Seconds())
	i := 0
	for i < perOctave && fraction > fractions[i] {
		i++
	}
	return min(max((exponent-1)*perOctave+i-firstBucket, 0), nativeBuckets-1)
}

// Metric returns what was observed. The count is that of the native buckets, because Prometheus
// refuses a histogram whose native buckets have not as many observations as it says.
func (h *Durations) Metric(desc *prometheus.Desc, labels ...string) prometheus.Metric {
	native := make([]uint64, nativeBuckets)
	total := uint64(0)
	for i := range native {
		native[i] = h.native[i].Load()
		total += native[i]
	}
	values := &dto.Histogram{
		SampleCount: &total, Schema: new(int32(schema)), ZeroThreshold: new(zeroThreshold), ZeroCount: new(uint64(0)),
	}
	values.SampleSum = new(time.Duration(h.nanoseconds.Load()).Seconds())
	below := uint64(0)
	for i, bound := range h.buckets {
		below += h.classic[i].Load()
		values.Bucket = append(values.Bucket, &dto.Bucket{
			UpperBound: &bound, CumulativeCount: new(min(below, total)),
		})
	}
	values.PositiveSpan, values.PositiveDelta = spans(native)
	return histogram{desc, prometheus.MakeLabelPairs(desc, labels), values}
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

// DurationsVec is a histogram of durations for each combination of labels that was asked for.
type DurationsVec struct {
	desc    *prometheus.Desc
	buckets Buckets
	mu      sync.Mutex
	made    []labelled // guarded by mu
}

type labelled struct {
	labels []string
	*Durations
}

// NewDurationsVec makes a vector without histograms. Name lacks the daemon's prefix.
func NewDurationsVec(d drop.Daemon, name, help string, b Buckets, labels ...string) *DurationsVec {
	return &DurationsVec{desc: prometheus.NewDesc(Namespace(d)+"_"+name, help, labels, nil), buckets: b}
}

// With returns the histogram of these values of the labels. A packet loop asks once.
func (v *DurationsVec) With(labels ...string) *Durations {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, m := range v.made {
		if slices.Equal(m.labels, labels) {
			return m.Durations
		}
	}
	h := NewDurations(v.buckets)
	v.made = append(v.made, labelled{labels, h})
	return h
}

// Describe implements prometheus.Collector.
func (v *DurationsVec) Describe(c chan<- *prometheus.Desc) { c <- v.desc }

// Collect implements prometheus.Collector.
func (v *DurationsVec) Collect(c chan<- prometheus.Metric) {
	v.mu.Lock()
	made := v.made
	v.mu.Unlock()
	for _, m := range made {
		c <- m.Metric(v.desc, m.labels...)
	}
}
