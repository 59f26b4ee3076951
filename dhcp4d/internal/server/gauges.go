package server

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/table"
)

// gauges are the levels of the table, read when they are scraped. Subnets
// after the first most count together as "other", so that a large network
// does not drown its Prometheus.
type gauges struct {
	leases  *Leases
	running *atomic.Pointer[Running]
	most    int

	states, size, assigned, info *prometheus.Desc
}

// NewGauges makes the collector of leases by subnet and state, and of pools by
// subnet and number.
func NewGauges(l *Leases, running *atomic.Pointer[Running], most int) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName("dhcp4d", "", name), help, labels, nil)
	}
	return &gauges{
		leases: l, running: running, most: most,
		states: desc("leases", "Leases by subnet and state: offered, active, declined (in quarantine) "+
			"and former (ended or released, still known).", "subnet", "state"),
		size:     desc("pool_addresses", "Addresses that a pool has, by its place in the subnet's list.", "subnet", "pool"),
		assigned: desc("pool_addresses_assigned", "Addresses of a pool that are offered, active or in quarantine.", "subnet", "pool"),
		info:     desc("subnet_info", "Always 1; joins a subnet's id with its prefix.", "subnet", "prefix"),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.states, g.size, g.assigned, g.info} {
		ch <- d
	}
}

// use is how much of a pool is taken.
type use struct{ size, assigned uint32 }

// level is what one subnet has.
type level struct {
	id, prefix string
	counts     table.Counts
	pools      []use
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, l := range g.levels() {
		gauge(g.states, float64(l.counts.Offered), l.id, "offered")
		gauge(g.states, float64(l.counts.Bound), l.id, "active")
		gauge(g.states, float64(l.counts.Declined), l.id, "declined")
		gauge(g.states, float64(l.counts.Former), l.id, "former")
		for i, p := range l.pools {
			gauge(g.size, float64(p.size), l.id, strconv.Itoa(i))
			gauge(g.assigned, float64(p.assigned), l.id, strconv.Itoa(i))
		}
		if l.prefix != "" {
			gauge(g.info, 1, l.id, l.prefix)
		}
	}
}

// levels reads the table, a subnet at a time so that no query waits long.
func (g *gauges) levels() []level {
	for {
		r := g.running.Load()
		if all, ok := g.levelsOf(r); ok {
			return all
		}
	}
}

// levelsOf fails when r is not what runs any more.
func (g *gauges) levelsOf(r *Running) (all []level, ok bool) {
	ok = true
	other := level{id: "other", pools: make([]use, 1)}
	for i := range r.subnets.All {
		sub := &r.subnets.All[i]
		l := level{id: strconv.FormatUint(uint64(sub.ID), 10), prefix: sub.Prefix.String()}
		g.leases.With(func(t *table.Table) {
			if ok = g.leases.running == r; !ok {
				return
			}
			l.counts = t.Counts(i)
			piece := 0
			for p := range sub.Pools {
				var u use
				for range sub.Pools[p].Ranges {
					size, free := t.Pool(i, piece)
					u.size, u.assigned = u.size+size, u.assigned+size-free
					piece++
				}
				l.pools = append(l.pools, u)
			}
		})
		if !ok {
			return nil, false
		}
		if i < g.most {
			all = append(all, l)
			continue
		}
		other.counts.Bound += l.counts.Bound
		other.counts.Offered += l.counts.Offered
		other.counts.Declined += l.counts.Declined
		other.counts.Former += l.counts.Former
		for _, p := range l.pools {
			other.pools[0].size += p.size
			other.pools[0].assigned += p.assigned
		}
	}
	if len(r.subnets.All) > g.most {
		all = append(all, other)
	}
	return all, true
}
