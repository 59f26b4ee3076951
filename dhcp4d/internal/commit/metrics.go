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

	made  time.Time
	since atomic.Int64 // when the commit at hand began, in nanoseconds after made; 0 for none

	commitErrors, reopenErrors, loadErrors prometheus.Counter // of errs
}

// NewMetrics registers the series; the figures of s are read at each scrape.
func NewMetrics(r prometheus.Registerer, s store.Store) *Metrics {
	errs := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "dhcp4d_store_errors_total",
		Help: "Failures of the lease store, by what was being done: commit, reopen, load.",
	}, []string{"op"})
	m := &Metrics{
		made: time.Now(),
		errs: errs,
		commits: prometheus.NewHistogram(metric.Histogram(drop.DHCP4D, "store_commit_seconds",
			"Time to put one group of bindings on stable storage, sync included.", metric.CommitBuckets())),
		commitErrors: errs.WithLabelValues("commit"),
		reopenErrors: errs.WithLabelValues("reopen"),
		loadErrors:   errs.WithLabelValues("load"),
		replay: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dhcp4d_store_replay_seconds",
			Help: "Time that the last loading of the store took, at the start or after a failure.",
		}),
	}
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "dhcp4d_store_commit_waiting_seconds",
		Help: "How long the commit at hand has been waiting for the disk, 0 if there is none.",
	}, m.waiting)
	r.MustRegister(errs, m.commits, m.replay, waiting, figures{s})
	return m
}

// begin and end tell of a commit. One that hangs is in no histogram.
func (m *Metrics) begin(now time.Time) { m.since.Store(int64(now.Sub(m.made))) }
func (m *Metrics) end()                { m.since.Store(0) }

func (m *Metrics) waiting() float64 {
	if since := m.since.Load(); since > 0 {
		return (time.Since(m.made) - time.Duration(since)).Seconds()
	}
	return 0
}

// Loaded notes how long a loading took.
func (m *Metrics) Loaded(took time.Duration) { m.replay.Set(took.Seconds()) }

// figures reads store.Stats once per scrape.
type figures struct{ store store.Store }

var (
	bytesDesc       = prometheus.NewDesc("dhcp4d_store_bytes", "Size of the lease store on disk.", nil, nil)
	walBytesDesc    = prometheus.NewDesc("dhcp4d_store_wal_bytes", "Size of its write-ahead log.", nil, nil)
	recordsDesc     = prometheus.NewDesc("dhcp4d_store_wal_records_total", "Bindings written to the write-ahead log.", nil, nil)
	compactionsDesc = prometheus.NewDesc("dhcp4d_store_compactions_total", "Compactions of the lease store.", nil, nil)
	memoryDesc      = prometheus.NewDesc("dhcp4d_store_memory_bytes", "Memory held by the lease store's cache and tables.", nil, nil)
)

func (f figures) Describe(ch chan<- *prometheus.Desc) {
	ch <- bytesDesc
	ch <- walBytesDesc
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
	gauge(walBytesDesc, s.WALBytes)
	counter(recordsDesc, s.WALRecords)
	counter(compactionsDesc, s.Compactions)
	gauge(memoryDesc, s.Memory)
}
