package asking

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/consult"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
)

// Metrics are the series of an asker. They outlive a reload.
type Metrics struct {
	*consult.Metrics
	dropped map[string]prometheus.Counter
}

// NewMetrics declares the series in reg, or returns those that are there. Reasons are the
// operator's.
func NewMetrics(reg prometheus.Registerer, reasons []string) *Metrics {
	dropped := metric.Once(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "dhcp4d", Name: "outside_dropped_total",
		Help: "Queries that a verdict of the program outside has dropped, by its reason; other stands for reasons " +
			"that are not in DHCP4D_OUTSIDE_REASONS.",
	}, []string{"reason"}))
	m := &Metrics{Metrics: consult.NewMetrics(reg, drop.DHCP4D), dropped: map[string]prometheus.Counter{}}
	for _, reason := range append([]string{otherReason}, reasons...) {
		m.dropped[reason] = dropped.WithLabelValues(reason)
	}
	return m
}
