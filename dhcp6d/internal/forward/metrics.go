package forward

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/metric"
)

// Metrics are the series of this package. Their label is the configured names
// of the backends, which a reload may change; so they are collected from what
// the backends know. An observation costs two additions, not what a general
// histogram costs, and so every answer is observed.
type Metrics struct {
	members atomic.Pointer[[]*member]
	trips   atomic.Pointer[trips]
	bounds  []float64
}

var (
	descUp = prometheus.NewDesc("dhcp6d_ipc_backend_up",
		"Whether the backend answers probes or queries (1) or not (0); a Kea backend cannot be probed and is up until its silence is noticed.", []string{"backend"}, nil)
	descTrip = prometheus.NewDesc("dhcp6d_ipc_round_trip_seconds",
		"Time from a query handed to the IPC to its answer, of every answer; those without one count as a timeout after 2 s. DHCPRELEASE and DHCPDECLINE have no answer and are not among them.", []string{"backend", "result"}, nil)
	descInFlight = prometheus.NewDesc("dhcp6d_ipc_in_flight",
		"Queries that wait for their answer.", nil, nil)
	descTimeouts = prometheus.NewDesc("dhcp6d_ipc_timeouts_total",
		"Queries without an answer after 2 s; some have none by the rules.", []string{"backend"}, nil)
	descLate = prometheus.NewDesc("dhcp6d_ipc_late_responses_total",
		"Answers that came after their query had timed out.", []string{"backend"}, nil)
	descUnmatched = prometheus.NewDesc("dhcp6d_ipc_unmatched_responses_total",
		"Answers to no query that is remembered: doubled, very late, or after more queries than the table of 16384 holds.", []string{"backend"}, nil)
)

// series is the figures of one backend.
type series struct {
	buckets                   []atomic.Uint64 // by bound, the last one above all
	nanoseconds               atomic.Int64
	timeouts, late, unmatched atomic.Uint64
	bounds                    []time.Duration
}

// NewMetrics declares the series of this package in reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{bounds: metric.RequestBuckets()}
	m.members.Store(new([]*member))
	reg.MustRegister(m)
	return m
}

func (m *Metrics) series() *series {
	s := &series{buckets: make([]atomic.Uint64, len(m.bounds)+1)}
	for _, b := range m.bounds {
		s.bounds = append(s.bounds, time.Duration(b*float64(time.Second)))
	}
	return s
}

func (m *Metrics) set(members []*member) { m.members.Store(&members) }

func (s *series) observe(d time.Duration) {
	i := 0
	for i < len(s.bounds) && d > s.bounds[i] {
		i++
	}
	s.buckets[i].Add(1)
	s.nanoseconds.Add(int64(d))
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descUp, descTrip, descInFlight, descTimeouts, descLate, descUnmatched} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(c chan<- prometheus.Metric) {
	inFlight := 0
	if t := m.trips.Load(); t != nil {
		inFlight = t.inFlight()
	}
	c <- prometheus.MustNewConstMetric(descInFlight, prometheus.GaugeValue, float64(inFlight))
	for _, b := range *m.members.Load() {
		s, up := b.series, 0.0
		if b.life.Load() == in {
			up = 1
		}
		c <- prometheus.MustNewConstMetric(descUp, prometheus.GaugeValue, up, b.Name)
		for desc, n := range map[*prometheus.Desc]*atomic.Uint64{descTimeouts: &s.timeouts, descLate: &s.late, descUnmatched: &s.unmatched} {
			c <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n.Load()), b.Name)
		}
		count, answers, timeouts := uint64(0), map[float64]uint64{}, map[float64]uint64{}
		lost := s.timeouts.Load()
		for i, bound := range m.bounds {
			count += s.buckets[i].Load()
			answers[bound], timeouts[bound] = count, 0
			if bound >= timeout.Seconds() {
				timeouts[bound] = lost
			}
		}
		count += s.buckets[len(m.bounds)].Load()
		c <- prometheus.MustNewConstHistogram(descTrip, count, time.Duration(s.nanoseconds.Load()).Seconds(), answers, b.Name, "response")
		c <- prometheus.MustNewConstHistogram(descTrip, lost, float64(lost)*timeout.Seconds(), timeouts, b.Name, "timeout")
	}
}
