package metric

import (
	"math"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Durations is a histogram of durations, with classic and native buckets. An observation costs two
// additions, far less than with a general histogram, so a packet loop can observe each packet. Any
// goroutine may observe and collect. Native buckets need a scrape by protobuf; classic ones work
// everywhere.
type Durations struct {
	buckets     Buckets
	cells       *cells
	observed    []atomic.Uint64 // by cell
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

// cells divide all durations at the ends of the classic and of the native buckets. So a cell is in
// one bucket of each kind, and an observation counts once for both.
type cells struct {
	all []cell
	// first has the cell where the search for a duration begins, by the octave of the duration and
	// the part of the octave.
	first [64 * perOctave]uint16
}

type cell struct {
	last            time.Duration // the longest one
	classic, native uint16        // buckets
}

func newCells(b Buckets) *cells {
	var bounds, ends []time.Duration
	for _, bound := range b {
		bounds = append(bounds, time.Duration(math.Round(bound*float64(time.Second))))
	}
	for i := range nativeBuckets - 1 {
		end := time.Duration(math.Exp2(float64(firstBucket+i)/perOctave) * float64(time.Second))
		for nativeIndex(end+1) <= i { // by the inaccuracy of floats
			end++
		}
		for nativeIndex(end) > i {
			end--
		}
		ends = append(ends, end)
	}
	ends = append(slices.Concat(ends, bounds), math.MaxInt64)
	slices.Sort(ends)
	c := new(cells)
	for _, end := range slices.Compact(ends) {
		classic, _ := slices.BinarySearch(bounds, end)
		c.all = append(c.all, cell{end, uint16(classic), uint16(nativeIndex(end))})
	}
	for i := range c.first {
		shortest := uint64(perOctave+i%perOctave) << (63 - schema) >> (64 - i/perOctave)
		c.first[i] = uint16(slices.IndexFunc(c.all, func(c cell) bool { return uint64(c.last) >= shortest }))
	}
	return c
}

// of returns the cell of a duration.
func (c *cells) of(d time.Duration) int {
	octave := bits.Len64(uint64(d))
	i := int(c.first[octave*perOctave+int(uint64(d)<<(64-octave)>>(63-schema))%perOctave])
	for d > c.all[i].last {
		i++
	}
	return i
}

// nativeIndex returns the index of a duration in the native buckets.
func nativeIndex(d time.Duration) int {
	if d < 1 {
		return 0
	}
	fraction, exponent := math.Frexp(d.Seconds())
	i := 0
	for i < perOctave && fraction > math.Exp2(float64(i)/perOctave-1) {
		i++
	}
	return min(max((exponent-1)*perOctave+i-firstBucket, 0), nativeBuckets-1)
}

// NewDurations makes an empty histogram with these classic buckets.
func NewDurations(b Buckets) *Durations { return newDurations(b, newCells(b)) }

func newDurations(b Buckets, c *cells) *Durations {
	return &Durations{buckets: b, cells: c, observed: make([]atomic.Uint64, len(c.all))}
}

// Observe notes a duration.
func (h *Durations) Observe(d time.Duration) { h.ObserveTimes(1, d) }

// ObserveTimes notes a duration n times.
func (h *Durations) ObserveTimes(n uint64, d time.Duration) {
	h.nanoseconds.Add(int64(n) * int64(d))
	h.observed[h.cells.of(max(d, 1))].Add(n)
}

// Metric returns what was observed. The count is that of the buckets, because Prometheus refuses a
// histogram whose native buckets have not as many observations as it says.
func (h *Durations) Metric(desc *prometheus.Desc, labels ...string) prometheus.Metric {
	native, classic := make([]uint64, nativeBuckets), make([]uint64, len(h.buckets)+1)
	total := uint64(0)
	for i, c := range h.cells.all {
		n := h.observed[i].Load()
		native[c.native] += n
		classic[c.classic] += n
		total += n
	}
	values := &dto.Histogram{
		SampleCount: &total, Schema: new(int32(schema)), ZeroThreshold: new(zeroThreshold), ZeroCount: new(uint64(0)),
	}
	values.SampleSum = new(time.Duration(h.nanoseconds.Load()).Seconds())
	below := uint64(0)
	for i, bound := range h.buckets {
		below += classic[i]
		values.Bucket = append(values.Bucket, &dto.Bucket{
			UpperBound: &bound, CumulativeCount: new(below),
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
	cells   *cells
	mu      sync.Mutex
	made    []labelled // guarded by mu
}

type labelled struct {
	labels []string
	*Durations
}

// NewDurationsVec makes a vector without histograms. Name lacks the daemon's prefix.
func NewDurationsVec(d drop.Daemon, name, help string, b Buckets, labels ...string) *DurationsVec {
	return &DurationsVec{desc: prometheus.NewDesc(Namespace(d)+"_"+name, help, labels, nil), buckets: b,
		cells: newCells(b)}
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
	h := newDurations(v.buckets, v.cells)
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
