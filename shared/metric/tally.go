package metric

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/silence"
)

// Tally counts for one goroutine, by a small integer, without atomics. Add costs an addition.
// Flush, called once per batch, adds the sums to the counters that a scrape sees.
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

// Add counts n more under k. A key outside the tally counts under the last key, which is "other"
// where keys come from the network.
func (t *Tally[K]) Add(k K, n int) {
	i := int(k)
	if uint(i) >= uint(len(t.pending)) {
		i = len(t.pending) - 1
	}
	t.pending[i] += uint64(n)
	t.dirty = true
}

// Flush adds what was counted since the last Flush to the counters.
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

// Drops is <daemon>_packets_dropped_total, by reason and by the socket that received the datagram.
// Every series is there from the start, at zero.
type Drops struct {
	vec     *prometheus.CounterVec
	reasons []drop.Reason
}

// NewDrops registers the counters for the daemon's sockets, such as "link" and "ipc".
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

// Tally returns a tally for one loop that reads from the socket. It ignores [drop.None] and reasons
// that the daemon cannot meet.
func (ds *Drops) Tally(socket string) *Tally[drop.Reason] {
	return byReason(ds.vec, ds.reasons, drop.Count, socket)
}

// Silences is the counter of messages that get no answer by rule. Every series is there from the
// start, at zero.
type Silences struct {
	vec     *prometheus.CounterVec
	reasons []silence.Reason
}

// NewSilences registers <daemon>_<name> with the labels, and reason behind them.
func NewSilences(reg prometheus.Registerer, d drop.Daemon, name, help string, labels ...string) *Silences {
	s := &Silences{
		vec: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: Namespace(d), Name: name, Help: help},
			append(slices.Clip(labels), "reason")),
		reasons: silence.Of(d),
	}
	reg.MustRegister(s.vec)
	return s
}

// Tally returns a tally for one loop, with a value for each label. It ignores [silence.None].
func (s *Silences) Tally(labels ...string) *Tally[silence.Reason] {
	return byReason(s.vec, s.reasons, silence.Count, labels...)
}

// byReason returns a tally over reasons, whose label comes behind the others. Count is the number
// of all reasons with None.
func byReason[R interface {
	~uint8
	Label() string
}](vec *prometheus.CounterVec, reasons []R, count int, labels ...string) *Tally[R] {
	counters := make([]prometheus.Counter, count)
	for _, r := range reasons {
		counters[r] = vec.WithLabelValues(append(slices.Clip(labels), r.Label())...)
	}
	return NewTally[R](counters)
}
