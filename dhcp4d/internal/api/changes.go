package api

import (
	"log/slog"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"
)

// The changes that the API makes.
const (
	releasing = "release"
	reserving = "reserve"
)

// The results of a change.
const (
	done    = "done"    // on stable storage
	refused = "refused" // it was not possible, or not understood
	unsure  = "failed"  // the store failed, or did not answer in time
)

// changes counts and logs what people change by the API, and what they try to change.
type changes struct {
	log    *slog.Logger
	counts *prometheus.CounterVec
}

// newChanges makes one, with all series at zero.
func newChanges(reg prometheus.Registerer, log *slog.Logger) *changes {
	c := &changes{log, prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "dhcp4d", Name: "api_changes_total",
		Help: "Changes of leases that were ordered by the API, by what became of them: done, " +
			"refused (not possible or not understood) and failed (the store failed or did not answer in time).",
	}, []string{"change", "result"})}
	for _, change := range []string{releasing, reserving} {
		for _, result := range []string{done, refused, unsure} {
			c.counts.WithLabelValues(change, result)
		}
	}
	reg.MustRegister(c.counts)
	return c
}

// note enters what became of a change. The error is nil if it was made; status is that of the
// answer.
func (c *changes) note(change, by string, a netip.Addr, status int, err error) {
	result := done
	switch {
	case err != nil && status < 500:
		result = refused
	case err != nil:
		result = unsure
	}
	c.counts.WithLabelValues(change, result).Inc()
	args := []any{"change", change, "address", a, "by", by, "result", result}
	if err != nil {
		c.log.Warn("a change of a lease was ordered by the API", append(args, "error", err)...)
		return
	}
	c.log.Info("a change of a lease was ordered by the API", args...)
}
