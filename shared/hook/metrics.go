package hook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
)

type metrics struct {
	duration *metric.DurationsVec
	results  *prometheus.CounterVec
}

// series is what is kept about one hook at one point.
type series struct {
	point string
	hook  string

	duration                         *metric.Durations
	continued, dropped, parked, died prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, d drop.Daemon) *metrics {
	m := &metrics{
		duration: metric.NewDurationsVec(d, "hook_duration_seconds",
			"Time that a hook took for one event.", metric.HookBuckets(), "point", "hook"),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: metric.Namespace(d), Name: "hook_results_total",
			Help: "Calls of hooks, by what they decided.",
		}, []string{"point", "hook", "result"}),
	}
	reg.MustRegister(m.duration, m.results)
	return m
}

// of resolves the labels of one hook, so all its series start at zero.
func (m *metrics) of(p string, hook string) *series {
	return &series{
		point: p, hook: hook,
		duration:  m.duration.With(p, hook),
		continued: m.results.WithLabelValues(p, hook, "continue"),
		dropped:   m.results.WithLabelValues(p, hook, "drop"),
		died:      m.results.WithLabelValues(p, hook, "panic"),
	}
}

// ofLast is of for a hook that runs last, and so may park.
func (m *metrics) ofLast(p string, hook string) *series {
	s := m.of(p, hook)
	s.parked = m.results.WithLabelValues(p, hook, "park")
	return s
}

func (s *series) observe(d time.Duration, why drop.Reason) {
	s.duration.Observe(d)
	switch why {
	case Continue:
		s.continued.Inc()
	case drop.HookPanic:
		s.died.Inc()
	default:
		s.dropped.Inc()
	}
}

func (s *series) observeLast(d time.Duration, r Result) {
	if r == Park {
		s.duration.Observe(d)
		s.parked.Inc()
		return
	}
	s.observe(d, r.Reason())
}
