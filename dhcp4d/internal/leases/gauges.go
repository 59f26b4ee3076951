package leases

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/table"
)

// Fullest is how many pools have series of their own although their subnets do not.
const Fullest = 32

// gauges are the numbers of leases in the table, which a scrape reads. Subnets after the first most
// count together as "other", so that a large network does not overload its Prometheus. The fullest
// pools of these subnets still have series of their own, so that a full pool can be seen. They do
// not count in "other".
type gauges struct {
	book *Book
	most int

	states, size, assigned, info, orphaned *prometheus.Desc
}

// NewGauges returns the collector of leases by subnet and state, and of pools by subnet and number.
func NewGauges(b *Book, most int) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName("dhcp4d", "", name), help, labels, nil)
	}
	return &gauges{
		book: b, most: most,
		states: desc("leases", "Leases by subnet and state: offered, bound, declined (in quarantine) "+
			"and former (expired or released, still known).", "subnet", "state"),
		size: desc("pool_addresses", "Addresses that a pool has, by its number in the subnet's list.", "subnet",
			"pool"),
		assigned: desc("pool_addresses_assigned", "Addresses of a pool that are offered, bound or declined.", "subnet",
			"pool"),
		orphaned: desc("leases_orphaned",
			"Leases in force that no subnet of the configuration has: they are not renewed."),
		info: desc("subnet_info", "Always 1; joins a subnet's id with its prefix, its name and its network, "+
			"which may be empty.", "subnet", "prefix", "name", "network"),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.states, g.size, g.assigned, g.info, g.orphaned} {
		ch <- d
	}
}

// use is how many addresses a pool has, and how many of them are taken.
type use struct{ size, assigned uint32 }

// level has the numbers of one subnet.
type level struct {
	id, prefix, name, network string
	counts                    table.Counts
	pools                     []use
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(g.orphaned, float64(g.book.orphaned()))
	levels, full := g.levels()
	infos := make(map[string]fullPool) // a pool of each subnet of full
	for _, p := range full {
		gauge(g.size, float64(p.size), p.id, strconv.Itoa(p.number))
		gauge(g.assigned, float64(p.assigned), p.id, strconv.Itoa(p.number))
		infos[p.id] = p
	}
	for id, p := range infos {
		gauge(g.info, 1, id, p.prefix, p.name, p.network)
	}
	for _, l := range levels {
		gauge(g.states, float64(l.counts.Offered), l.id, "offered")
		gauge(g.states, float64(l.counts.Bound), l.id, "bound")
		gauge(g.states, float64(l.counts.Declined), l.id, "declined")
		gauge(g.states, float64(l.counts.Former), l.id, "former")
		for i, p := range l.pools {
			gauge(g.size, float64(p.size), l.id, strconv.Itoa(i))
			gauge(g.assigned, float64(p.assigned), l.id, strconv.Itoa(i))
		}
		if l.prefix != "" {
			gauge(g.info, 1, l.id, l.prefix, l.name, l.network)
		}
	}
}

// levels reads the table. It locks the table for one subnet at a time, so that no query waits long.
func (g *gauges) levels() ([]level, fullest) {
	for {
		if all, full, ok := g.levelsOf(g.book.Settings()); ok {
			return all, full
		}
	}
}

// levelsOf is not ok if s is no longer in effect.
func (g *gauges) levelsOf(s *Settings) (all []level, full fullest, ok bool) {
	ok = true
	other := level{id: "other", pools: make([]use, 1)}
	for i := range s.subnets.All {
		sub := &s.subnets.All[i]
		l := level{id: strconv.FormatUint(uint64(sub.ID), 10), prefix: sub.Prefix.String(), name: sub.Name,
			network: sub.Network}
		g.book.with(func(t *table.Table) {
			if ok = g.book.settings == s; !ok {
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
			return nil, nil, false
		}
		if i < g.most {
			all = append(all, l)
			continue
		}
		other.counts.Bound += l.counts.Bound
		other.counts.Offered += l.counts.Offered
		other.counts.Declined += l.counts.Declined
		other.counts.Former += l.counts.Former
		for n, p := range l.pools {
			out := full.add(fullPool{id: l.id, prefix: l.prefix, name: l.name, network: l.network, number: n, use: p})
			other.pools[0].size += out.size
			other.pools[0].assigned += out.assigned
		}
	}
	if len(s.subnets.All) > g.most {
		all = append(all, other)
	}
	return all, full, true
}

// fullPool is a pool of a subnet that has no series of its own.
type fullPool struct {
	id, prefix, name, network string
	number                    int
	use
}

// fullest are the fullest pools that were added, at most Fullest of them, the fullest first.
type fullest []fullPool

// add adds a pool if it is among the fullest. It returns the use of the pool that it leaves out:
// the new one or one that it replaces.
func (f *fullest) add(p fullPool) (out use) {
	if p.size == 0 {
		return out
	}
	at, _ := slices.BinarySearchFunc(*f, p, func(a, b fullPool) int {
		// Order by falling assigned/size, without a division. A new pool comes behind one that is
		// as full.
		l, r := uint64(a.assigned)*uint64(b.size), uint64(b.assigned)*uint64(a.size)
		return cmp.Or(cmp.Compare(r, l), -1)
	})
	if at == Fullest {
		return p.use
	}
	if len(*f) == Fullest {
		out = (*f)[Fullest-1].use
		*f = (*f)[:Fullest-1]
	}
	*f = slices.Insert(*f, at, p)
	return out
}
