package commit

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
)

// Metrics are the series of the store.
type Metrics struct {
	commits prometheus.Histogram
	errs    *prometheus.CounterVec
	replay  prometheus.Gauge
	refused prometheus.Counter

	made  time.Time
	began atomic.Int64 // when the commit under way began, in nanoseconds after made; 0 for none

	commitErrors, checkErrors, reopenErrors, loadErrors prometheus.Counter // of errs
}

// NewMetrics registers the series. The figures of s are read at each scrape.
func NewMetrics(r prometheus.Registerer, s store.Store) *Metrics {
	errs := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "dhcp4d_store_errors_total",
		Help: "Failures of the lease store, by what was being done: commit, check, reopen, load.",
	}, []string{"op"})
	m := &Metrics{
		made: time.Now(),
		errs: errs,
		commits: prometheus.NewHistogram(metric.Histogram(drop.DHCP4D, "store_commit_seconds",
			"Time to put one group of bindings on stable storage, sync included.", metric.CommitBuckets())),
		commitErrors: errs.WithLabelValues("commit"),
		checkErrors:  errs.WithLabelValues("check"),
		reopenErrors: errs.WithLabelValues("reopen"),
		loadErrors:   errs.WithLabelValues("load"),
		replay: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dhcp4d_store_replay_seconds",
			Help: "Time that the last loading of the store took, at the start or after a failure.",
		}),
	}
	m.refused = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "dhcp4d_store_records_refused_total",
		Help: "Bindings that the lease store did not take, because another client holds the address.",
	})
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "dhcp4d_store_commit_waiting_seconds",
		Help: "How long the commit under way has been waiting for the disk, 0 if there is none.",
	}, m.waiting)
	r.MustRegister(errs, m.commits, m.replay, m.refused, waiting, figures{s})
	return m
}

// begin and end note that a commit begins and ends, because one that hangs is in no histogram.
func (m *Metrics) begin(now time.Time) { m.began.Store(int64(now.Sub(m.made))) }
func (m *Metrics) end()                { m.began.Store(0) }

// waiting returns how long the commit under way has taken until now, in seconds.
func (m *Metrics) waiting() float64 {
	if began := m.began.Load(); began > 0 {
		return (time.Since(m.made) - time.Duration(began)).Seconds()
	}
	return 0
}

// Loaded notes how long a loading took.
func (m *Metrics) Loaded(took time.Duration) { m.replay.Set(took.Seconds()) }

// figures reads store.Stats at each scrape.
type figures struct{ store store.Store }

var (
	bytesDesc       = prometheus.NewDesc("dhcp4d_store_bytes", "Size of the lease store on disk.", nil, nil)
	recordsDesc     = prometheus.NewDesc("dhcp4d_store_wal_records_total", "Bindings committed to the lease store.", nil, nil)
	compactionsDesc = prometheus.NewDesc("dhcp4d_store_compactions_total", "Pieces of the lease store that were cleared of replaced bindings: compactions of Pebble, segments of a journal.", nil, nil)
	memoryDesc      = prometheus.NewDesc("dhcp4d_store_memory_bytes", "Memory held by the lease store: the index of a journal; the cache and tables of Pebble.", nil, nil)
)

func (f figures) Describe(ch chan<- *prometheus.Desc) {
	ch <- bytesDesc
	ch <- recordsDesc
	ch <- compactionsDesc
	ch <- memoryDesc
}

func (f figures) Collect(ch chan<- prometheus.Metric) {
	s := f.store.Stats()
	gauge := func(d *prometheus.Desc, v uint64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
	counter := func(d *prometheus.Desc, v uint64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	gauge(bytesDesc, s.Bytes)
	counter(recordsDesc, s.Records)
	counter(compactionsDesc, s.Compactions)
	gauge(memoryDesc, s.Memory)
}
