package commit

import (
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

	commitErrors, reopenErrors, loadErrors prometheus.Counter // of errs
}

// NewMetrics registers the series; the figures of s are read at each scrape.
func NewMetrics(r prometheus.Registerer, s store.Store) *Metrics {
	errs := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "dhcp4d_store_errors_total",
		Help: "Failures of the lease store, by what was being done: commit, reopen, load.",
	}, []string{"op"})
	m := &Metrics{
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
	r.MustRegister(errs, m.commits, m.replay, figures{s})
	return m
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
