package page

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/silence"
)

// Count is how many packets met a fate.
type Count struct {
	Reason, Meaning string
	Count           uint64
}

// fresh is how long what was gathered counts as new. Many open pages cost no more than one.
const fresh = time.Second

// Metrics are the metrics of the daemon, gathered at most once a second.
type Metrics struct {
	from prometheus.Gatherer

	mu       sync.Mutex
	at       time.Time
	families []*dto.MetricFamily
}

// NewMetrics makes the metrics of a registry.
func NewMetrics(from prometheus.Gatherer) *Metrics { return &Metrics{from: from} }

// Family is the series with a name. They must not be changed.
func (m *Metrics) Family(name string) []*dto.Metric {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); now.Sub(m.at) > fresh || m.at.After(now) {
		// What can be gathered counts.
		m.families, _ = m.from.Gather()
		m.at = now
	}
	for _, f := range m.families {
		if f.GetName() == name {
			return f.GetMetric()
		}
	}
	return nil
}

// Label is the value of a label of a series.
func Label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// ByReason are the counters of a family by the label reason, the largest first, without those that
// are zero.
func (m *Metrics) ByReason(name string, meanings map[string]string) (all []Count) {
	sums := map[string]uint64{}
	for _, s := range m.Family(name) {
		sums[Label(s, "reason")] += uint64(s.GetCounter().GetValue())
	}
	for reason, n := range sums {
		if n > 0 {
			all = append(all, Count{reason, meanings[reason], n})
		}
	}
	slices.SortFunc(all,
		func(a, b Count) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason)) })
	return all
}

// DropMeanings are what the reasons of a daemon's drops mean.
func DropMeanings(d drop.Daemon) map[string]string {
	all := map[string]string{}
	for _, r := range drop.Of(d) {
		all[r.Label()] = r.Meaning()
	}
	return all
}

// SilenceMeanings are what the rules of a daemon's silences mean.
func SilenceMeanings(d drop.Daemon) map[string]string {
	all := map[string]string{}
	for _, r := range silence.Of(d) {
		all[r.Label()] = r.Meaning()
	}
	return all
}
