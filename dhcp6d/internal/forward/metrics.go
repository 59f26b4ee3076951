package forward

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the series of this package: labels are the configured names of
// the backends, at most as many as the operator wrote.
type Metrics struct {
	backendUp *prometheus.GaugeVec
}

// NewMetrics declares the series of this package in reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{backendUp: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "dhcp6d_ipc_backend_up",
		Help: "Whether the backend answers probes or queries (1) or not (0); a Kea backend cannot be probed and counts as up.",
	}, []string{"backend"})}
	reg.MustRegister(m.backendUp)
	return m
}

func (m *Metrics) up(backend string, in bool) {
	v := 0.0
	if in {
		v = 1
	}
	m.backendUp.WithLabelValues(backend).Set(v)
}
