package backend

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/metric"
)

// Metrics are the series of this package. Their label is the configured name of the backend. A
// reload may change the names, so the series are made from the members at each scrape.
type Metrics struct {
	members atomic.Pointer[[]*member]
	flights atomic.Pointer[flights]
}

var (
	descUp = prometheus.NewDesc("dhcp6d_ipc_backend_up",
		"Whether new clients are sent to the backend (1) or not (0), because it does not answer or says that "+
			"it cannot acknowledge leases; a Kea backend cannot be probed and is up until its silence is noticed.",
		[]string{"backend"}, nil)
	descState = prometheus.NewDesc("dhcp6d_ipc_backend_state",
		"State of the backend, 1 for the one that it is in: up, trial (a Kea that was down), "+
			"unheard (it has not answered yet), unable (it answers and says that it cannot acknowledge leases), down.",
		[]string{"backend", "state"}, nil)
	descTrip = prometheus.NewDesc("dhcp6d_ipc_round_trip_seconds",
		"Time from handing a query to the IPC to its answer. A query without an answer counts as a timeout "+
			"after 2 s. DHCPRELEASE and DHCPDECLINE have no answer and do not count.",
		[]string{"backend", "result"}, nil)
	descInFlight = prometheus.NewDesc("dhcp6d_ipc_in_flight",
		"Queries that wait for their answer.", nil, nil)
	descTimeouts = prometheus.NewDesc("dhcp6d_ipc_timeouts_total",
		"Queries without an answer after 2 s; some have none by the rules.", []string{"backend"}, nil)
	descLate = prometheus.NewDesc("dhcp6d_ipc_late_responses_total",
		"Answers that came after their query had timed out.", []string{"backend"}, nil)
	descUnmatched = prometheus.NewDesc("dhcp6d_ipc_unmatched_responses_total",
		"Answers without a query in the table: doubled, very late, or after 16384 further queries.",
		[]string{"backend"}, nil)
)

// series are the figures of one backend.
type series struct {
	trips                     *metric.Durations
	timeouts, late, unmatched atomic.Uint64
}

// NewMetrics declares the series of this package in reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := new(Metrics)
	m.members.Store(new([]*member))
	reg.MustRegister(m)
	return m
}

func (m *Metrics) series() *series {
	return &series{trips: metric.NewDurations(metric.RequestBuckets())}
}

func (m *Metrics) set(members []*member) { m.members.Store(&members) }

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descUp, descState, descTrip, descInFlight, descTimeouts, descLate, descUnmatched,
	} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(c chan<- prometheus.Metric) {
	inFlight := 0
	if f := m.flights.Load(); f != nil {
		inFlight = f.count()
	}
	c <- prometheus.MustNewConstMetric(descInFlight, prometheus.GaugeValue, float64(inFlight))
	for _, b := range *m.members.Load() {
		s, health := b.series, b.health.get()
		c <- prometheus.MustNewConstMetric(descUp, prometheus.GaugeValue, truth(health == Up), b.Name)
		for one, label := range healths {
			c <- prometheus.MustNewConstMetric(descState, prometheus.GaugeValue,
				truth(health == Health(one)), b.Name, label)
		}
		for desc, n := range map[*prometheus.Desc]*atomic.Uint64{
			descTimeouts: &s.timeouts, descLate: &s.late, descUnmatched: &s.unmatched,
		} {
			c <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n.Load()), b.Name)
		}
		c <- s.trips.Metric(descTrip, b.Name, "response")
		lost := metric.NewDurations(metric.RequestBuckets())
		lost.ObserveTimes(s.timeouts.Load(), timeout)
		c <- lost.Metric(descTrip, b.Name, "timeout")
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
