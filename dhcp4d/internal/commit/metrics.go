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
	commits *metric.Durations
	errs    *prometheus.CounterVec
	replay  prometheus.Gauge
	refused prometheus.Counter
	foreign prometheus.Counter

	made      time.Time
	foreignAt atomic.Int64 // when the changes of others were read, in nanoseconds after made; 0 for never
	began     atomic.Int64 // when the commit under way began, in nanoseconds after made; 0 for none

	commitErrors, checkErrors, reopenErrors, loadErrors, forgotten prometheus.Counter // of errs
}

// NewMetrics registers the series. The figures of s are read at each scrape.
func NewMetrics(r prometheus.Registerer, s store.Store) *Metrics {
	errs := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "dhcp4d_store_errors_total",
		Help: "Failures of the lease store, by what failed: commit, check, reopen, load. " +
			"\"forgotten\" counts how often a database had lost commits, and dhcp4d wrote them again.",
	}, []string{"op"})
	commits := metric.NewDurationsVec(drop.DHCP4D, "store_commit_seconds",
		"Time to put one group of bindings on stable storage, sync included.", metric.CommitBuckets())
	m := &Metrics{
		made:         time.Now(),
		errs:         errs,
		commits:      commits.With(),
		commitErrors: errs.WithLabelValues("commit"),
		checkErrors:  errs.WithLabelValues("check"),
		reopenErrors: errs.WithLabelValues("reopen"),
		loadErrors:   errs.WithLabelValues("load"),
		forgotten:    errs.WithLabelValues("forgotten"),
		replay: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dhcp4d_store_replay_seconds",
			Help: "Time that the last loading of the store took, at the start or after a failure.",
		}),
	}
	m.refused = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "dhcp4d_store_records_refused_total",
		Help: "Bindings that the lease store did not take, because another client holds the address.",
	})
	m.foreign = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "dhcp4d_store_foreign_changes_total",
		Help: "Changes of leases by other dhcp4d that use the same database.",
	})
	age := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "dhcp4d_store_foreign_age_seconds",
		Help: "How long ago the changes of other dhcp4d were read, 0 for a store that one dhcp4d has to itself.",
	}, m.foreignAge)
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "dhcp4d_store_commit_waiting_seconds",
		Help: "How long the commit under way has been waiting for the disk, 0 if there is none.",
	}, m.waiting)
	r.MustRegister(errs, commits, m.replay, m.refused, m.foreign, age, waiting, figures{s})
	return m
}

// begin and end note that a commit begins and ends, because a commit that hangs is in no histogram.
func (m *Metrics) begin(now time.Time) { m.began.Store(int64(now.Sub(m.made))) }
func (m *Metrics) end()                { m.began.Store(0) }

// waiting returns how long the current commit has taken so far, in seconds.
func (m *Metrics) waiting() float64 {
	if began := m.began.Load(); began > 0 {
		return (time.Since(m.made) - time.Duration(began)).Seconds()
	}
	return 0
}

// foreignRead notes that the changes of others were read.
func (m *Metrics) foreignRead(now time.Time, n int) {
	m.foreignAt.Store(int64(now.Sub(m.made)))
	m.foreign.Add(float64(n))
}

// foreignAge returns how long ago that was, in seconds.
func (m *Metrics) foreignAge() float64 {
	seen := m.foreignAt.Load()
	if seen == 0 {
		return 0
	}
	return (time.Since(m.made) - time.Duration(seen)).Seconds()
}

// Healed notes that the store had lost commits, and that they were put back.
func (m *Metrics) Healed() { m.forgotten.Inc() }

// Loaded notes how long a loading took.
func (m *Metrics) Loaded(took time.Duration) { m.replay.Set(took.Seconds()) }

// figures reads store.Stats at each scrape.
type figures struct{ store store.Store }

var (
	bytesDesc   = prometheus.NewDesc("dhcp4d_store_bytes", "Size of the lease store on disk.", nil, nil)
	recordsDesc = prometheus.NewDesc("dhcp4d_store_wal_records_total", "Bindings committed to the lease store.",
		nil, nil)
	compactionsDesc = prometheus.NewDesc("dhcp4d_store_compactions_total",
		"Pieces of the lease store that were cleared of replaced bindings: compactions of Pebble, "+
			"segments of a journal.", nil, nil)
	memoryDesc = prometheus.NewDesc("dhcp4d_store_memory_bytes",
		"Memory held by the lease store: the index of a journal; the cache and tables of Pebble.", nil, nil)
	unknownDesc = prometheus.NewDesc("dhcp4d_store_unknown_outcomes_total",
		"Commits to a database whose answer was lost, so that dhcp4d had to ask for their outcome.", nil, nil)
	processesDesc = prometheus.NewDesc("dhcp4d_store_processes",
		"Running dhcp4d that use the database, this one among them; 0 for another store.", nil, nil)
	standbysDesc = prometheus.NewDesc("dhcp4d_store_standbys",
		"Standbys that follow the database, by whether a commit waits for them: synchronous, asynchronous, "+
			"or unknown if the user of dhcp4d may not see it.", []string{"mode"}, nil)
)

func (f figures) Describe(ch chan<- *prometheus.Desc) {
	ch <- bytesDesc
	ch <- recordsDesc
	ch <- compactionsDesc
	ch <- memoryDesc
	ch <- unknownDesc
	ch <- processesDesc
	ch <- standbysDesc
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
	counter(unknownDesc, s.Unknown)
	gauge(processesDesc, uint64(s.Processes))
	standbys := func(mode string, n int) {
		ch <- prometheus.MustNewConstMetric(standbysDesc, prometheus.GaugeValue, float64(n), mode)
	}
	standbys("synchronous", s.Standbys.Synchronous)
	standbys("asynchronous", s.Standbys.Asynchronous)
	standbys("unknown", s.Standbys.Unknown)
}
