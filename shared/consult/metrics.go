package consult

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

// By is what has decided about a query.
type By uint8

// What decides. The last three are the policy, where there is no verdict.
const (
	ByCache By = iota
	ByAnswer
	ByOpen
	ByStale
	ByDrop

	byCount = iota
)

var bys = [byCount]string{"cache", "answer", "policy_open", "policy_stale", "policy_drop"}

// Metrics are the series of a link. They outlive a reload.
type Metrics struct {
	asked, late, connections prometheus.Counter
	parked, away, entries    prometheus.Gauge
	waited                   *metric.Durations
	decided                  *metric.Tally[By] // of the loop
	wrong                    [outside.WrongCount]prometheus.Counter
}

// NewMetrics declares the series of a daemon in reg, or returns those that are there.
func NewMetrics(reg prometheus.Registerer, d drop.Daemon) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return metric.Once(reg,
			prometheus.NewCounter(prometheus.CounterOpts{Namespace: metric.Namespace(d), Name: name, Help: help}))
	}
	gauge := func(name, help string) prometheus.Gauge {
		return metric.Once(reg,
			prometheus.NewGauge(prometheus.GaugeOpts{Namespace: metric.Namespace(d), Name: name, Help: help}))
	}
	decided := metric.Once(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metric.Namespace(d), Name: "outside_decided_total",
		Help: "Queries that needed a verdict of the program outside, by what has decided: a kept verdict, " +
			"an answer, or the policy because there was no answer.",
	}, []string{"by"}))
	wrong := metric.Once(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metric.Namespace(d), Name: "outside_wrong_total",
		Help: "Records of the program outside that were not accepted, by what is wrong with them.",
	}, []string{"reason"}))
	m := &Metrics{
		asked: counter("outside_questions_total", "Questions put to the program outside, without repetitions."),
		late:  counter("outside_timeouts_total", "Questions without an answer in time."),
		connections: counter("outside_connections_total",
			"Connections to the program outside on which it has sent its hello."),
		parked: gauge("outside_parked_queries", "Queries that wait for an answer of the program outside."),
		away: gauge("outside_away",
			"Whether the program outside is away: 1 if there is no connection to it, else 0."),
		entries: gauge("outside_verdicts",
			"Verdicts of the program outside that are kept, also those whose time is over."),
		waited: metric.Once(reg, metric.NewDurationsVec(d, "outside_wait_seconds", "How long queries were parked.",
			prometheus.ExponentialBuckets(100e-6, 4, 8))).With(),
	}
	var counters [byCount]prometheus.Counter
	for by := range counters {
		counters[by] = decided.WithLabelValues(bys[by])
	}
	m.decided = metric.NewTally[By](counters[:])
	for w := 1; w < outside.WrongCount; w++ {
		m.wrong[w] = wrong.WithLabelValues(outside.Wrong(w).Label())
	}
	return m
}

// Wrong counts something that was not taken.
func (m *Metrics) Wrong(w outside.Wrong) {
	if w != outside.None {
		m.wrong[w].Inc()
	}
}

// Decided counts a query, from the next End on.
func (m *Metrics) Decided(by By) { m.decided.Add(by, 1) }

// Asked counts a question.
func (m *Metrics) Asked() { m.asked.Inc() }

// Late counts a question without an answer in time.
func (m *Metrics) Late() { m.late.Inc() }

// Left notes how long a query has waited.
func (m *Metrics) Left(waited time.Duration) { m.waited.Observe(waited) }

// End ends a batch of the loop: it sets the gauges, and the series of Decided.
func (m *Metrics) End(parked, verdicts int) {
	m.parked.Set(float64(parked))
	m.entries.Set(float64(verdicts))
	m.decided.Flush()
}
