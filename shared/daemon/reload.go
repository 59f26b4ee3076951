package daemon

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// reloads runs reloads and shows their results as metrics.
type reloads struct {
	successful prometheus.Gauge
	timestamp  prometheus.Gauge
}

// newReloads registers the metrics. The start counts as the first load.
func newReloads(reg prometheus.Registerer, name string) *reloads {
	r := &reloads{
		successful: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: name, Name: "config_last_reload_successful",
			Help: "1 when the last load of the configuration succeeded, 0 when it was refused.",
		}),
		timestamp: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: name, Name: "config_last_reload_timestamp_seconds",
			Help: "Time of the last successful load of the configuration.",
		}),
	}
	reg.MustRegister(r.successful, r.timestamp)
	r.succeeded()
	return r
}

func (r *reloads) succeeded() {
	r.successful.Set(1)
	r.timestamp.SetToCurrentTime()
}

func (r *reloads) run(reload func() (Settings, error), level *slog.LevelVar, log *slog.Logger) {
	s, err := reload()
	if err != nil {
		r.successful.Set(0)
		log.Error("configuration not reloaded, the old one stays", "error", err)
		return
	}
	level.Set(s.LogLevel.Level)
	r.succeeded()
	log.Info("configuration reloaded")
}
