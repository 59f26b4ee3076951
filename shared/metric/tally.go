package metric

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Tally counts for one loop, by a small integer, without atomics: Add costs an
// addition, and Flush, called once per batch, hands the sums to the counters
// that the rest of the process sees. One goroutine owns it.
type Tally[K ~uint8 | ~int] struct {
	pending  []uint64
	counters []prometheus.Counter
	dirty    bool
}

// NewTally returns a tally over the keys 0 to len(counters)-1. A nil counter
// discards what is counted under its key.
func NewTally[K ~uint8 | ~int](counters []prometheus.Counter) *Tally[K] {
	return &Tally[K]{pending: make([]uint64, len(counters)), counters: counters}
}

// Add counts n more under k. A key outside the tally counts under the last
// one, which vectors that take values from the network call "other".
func (t *Tally[K]) Add(k K, n int) {
	i := int(k)
	if uint(i) >= uint(len(t.pending)) {
		i = len(t.pending) - 1
	}
	t.pending[i] += uint64(n)
	t.dirty = true
}

// Flush hands over what was counted since the last Flush.
func (t *Tally[K]) Flush() {
	if !t.dirty {
		return
	}
	t.dirty = false
	for i, n := range t.pending {
		if n == 0 {
			continue
		}
		t.pending[i] = 0
		if c := t.counters[i]; c != nil {
			c.Add(float64(n))
		}
	}
}

// Drops is <daemon>_packets_dropped_total by reason and by the socket that
// received the datagram, every series at zero from the start.
type Drops struct {
	vec     *prometheus.CounterVec
	reasons []drop.Reason
}

// NewDrops registers the counters for the daemon's sockets, such as "link" and
// "ipc".
func NewDrops(reg prometheus.Registerer, d drop.Daemon, sockets ...string) *Drops {
	ds := &Drops{
		vec: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: Namespace(d), Name: "packets_dropped_total",
			Help: "Datagrams dropped, by reason and by the socket that received them.",
		}, []string{"socket", "reason"}),
		reasons: drop.Of(d),
	}
	reg.MustRegister(ds.vec)
	for _, s := range sockets {
		ds.Tally(s)
	}
	return ds
}

// Tally returns a tally for one loop that reads from the socket. [drop.None]
// and what the daemon cannot meet count for nothing.
func (ds *Drops) Tally(socket string) *Tally[drop.Reason] {
	counters := make([]prometheus.Counter, drop.Count)
	for _, r := range ds.reasons {
		counters[r] = ds.vec.WithLabelValues(socket, r.Label())
	}
	return NewTally[drop.Reason](counters)
}
