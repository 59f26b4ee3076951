package leases

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// Metrics counts what happens to leases.
type Metrics struct {
	events [lease.EventCount]prometheus.Counter
}

// NewMetrics registers the series, each at zero.
func NewMetrics(r prometheus.Registerer) *Metrics {
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "dhcp4d_lease_events_total",
		Help: "Changes of leases that are on stable storage, and leases that ended by time.",
	}, []string{"event"})
	r.MustRegister(events)
	m := new(Metrics)
	for e := range m.events {
		if e := lease.Event(e); e != lease.NoEvent {
			m.events[e] = events.WithLabelValues(e.String())
		}
	}
	return m
}
