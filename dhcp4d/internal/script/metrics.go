package script

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	ok, failed, timeout, notStarted prometheus.Counter
	lost                            prometheus.Counter
	took                            prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, waiting func() int) *metrics {
	runs := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "dhcp4d", Name: "run_programs_total",
		Help: "Programs that the hook run has run, by how they ended: ok, failed (another status than 0), timeout (killed), not_started.",
	}, []string{"result"})
	m := &metrics{
		ok: runs.WithLabelValues("ok"), failed: runs.WithLabelValues("failed"),
		timeout: runs.WithLabelValues("timeout"), notStarted: runs.WithLabelValues("not_started"),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "dhcp4d", Name: "run_lost_events_total",
			Help: "Changes of leases for which the hook run ran no program, because too many waited.",
		}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "dhcp4d", Name: "run_duration_seconds", Buckets: prometheus.ExponentialBuckets(1e-3, 4, 8),
			Help: "How long the programs of the hook run took.",
		}),
	}
	reg.MustRegister(runs, m.lost, m.took, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "dhcp4d", Name: "run_queue_events",
		Help: "Changes of leases that wait for a program of the hook run.",
	}, func() float64 { return float64(waiting()) }))
	return m
}
