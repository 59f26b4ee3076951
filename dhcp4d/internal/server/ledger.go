package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
	"github.com/dhcp4o6/dhcp4o6/shared/silence"
)

// fate is what has become of a datagram.
type fate uint8

const (
	dropped   fate = iota // for a reason
	answered              // leaves with the batch
	waiting               // leaves when its commit group is durable
	silent                // understood, no answer by a rule
	probe                 // a probe of a dhcp6d
	undecided             // read and not yet served
	parked                // waits for what a hook has asked, and is then read again
)

// Ledger counts the datagrams of the IPC's socket, so that
//
//	received = sent + silent + probes + dropped (+ what waits for the disk, + what is parked)
//
// The server's goroutine and the committer's each have a Ledger of their own over the same series.
type Ledger struct {
	received *metric.Tally[dhcp4.MessageType]
	sentBy   *metric.Tally[dhcp4.MessageType]
	silent   *metric.Tally[silence.Reason]
	probes   *metric.Tally[int]
	leftOut  *metric.Tally[int]
	drops    *metric.Tally[drop.Reason]
}

// Series are the series of the account.
type Series struct {
	received, sent  *prometheus.CounterVec
	probes, leftOut prometheus.Counter
	silences        *metric.Silences
	drops           *metric.Drops
}

// NewSeries registers the series.
func NewSeries(reg prometheus.Registerer) *Series {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "dhcp4d", Name: name, Help: help}
	}
	s := &Series{
		received: prometheus.NewCounterVec(opts("queries_received_total",
			"Datagrams received from the IPC before any check, by DHCPv4 message type, without probes."),
			[]string{"type"}),
		sent: prometheus.NewCounterVec(opts("responses_sent_total",
			"Responses handed to the IPC, by DHCPv4 message type."), []string{"type"}),
		silences: metric.NewSilences(reg, drop.DHCP4D, "queries_silent_total",
			"Queries that were understood and get no answer, by the rule that says so."),
		probes: prometheus.NewCounter(opts("ipc_probes_total",
			"Probes of dhcp6d.")),
		leftOut: prometheus.NewCounter(opts("replies_incomplete_total",
			"Replies that lack an option for the client, because they had no room for it.")),
		drops: metric.NewDrops(reg, drop.DHCP4D, "ipc"),
	}
	reg.MustRegister(s.received, s.sent, s.probes, s.leftOut)
	return s
}

// NewLedger returns the account for one goroutine, every series at zero.
func (s *Series) NewLedger() *Ledger {
	one := func(c prometheus.Counter) *metric.Tally[int] { return metric.NewTally[int]([]prometheus.Counter{c}) }
	l := &Ledger{
		received: byType(s.received, dhcp4.MessageTypes()...),
		sentBy:   byType(s.sent, dhcp4.Offer, dhcp4.ACK, dhcp4.NAK),
		silent:   s.silences.Tally(),
		probes:   one(s.probes),
		leftOut:  one(s.leftOut),
		drops:    s.drops.Tally("ipc"),
	}
	return l
}

// byType returns a tally by message type. If the first of the types is one that clients send, all
// types that are not listed count as "other".
func byType(vec *prometheus.CounterVec, types ...dhcp4.MessageType) *metric.Tally[dhcp4.MessageType] {
	counters := make([]prometheus.Counter, len(dhcp4.MessageTypes())+2)
	for _, t := range types {
		counters[t] = vec.WithLabelValues(t.String())
	}
	if types[0].FromClient() {
		other := vec.WithLabelValues(dhcp4.OtherType)
		counters[0], counters[len(counters)-1] = other, other
	}
	return metric.NewTally[dhcp4.MessageType](counters)
}

// settle counts a received datagram of the given type, and its fate. An answer counts when it is
// sent. A query that was parked, or is decided again, was counted as received before.
func (l *Ledger) settle(kind dhcp4.MessageType, f fate, why drop.Reason, rule silence.Reason, again bool) {
	if f == probe {
		l.probes.Add(0, 1)
		return
	}
	if !again {
		l.received.Add(kind, 1)
	}
	switch f {
	case dropped:
		l.drops.Add(why, 1)
	case silent:
		l.silent.Add(rule, 1)
	}
}

// sent counts what a writer has sent, and ends a batch.
func (l *Ledger) sent(o *outgoing) {
	for i := range o.packets {
		switch {
		case o.infos[i].kind == 0: // answers to probes are not counted
		case o.packets[i].Err != nil:
			l.drops.Add(drop.SendError, 1)
		default:
			l.sentBy.Add(o.infos[i].kind, 1)
		}
	}
	l.flush()
}

// failed counts replies that were dropped because their group failed.
func (l *Ledger) failed(n int) {
	l.drops.Add(drop.StoreError, n)
	l.flush()
}

// withheld counts an answer that was dropped because what it rests on no longer holds.
func (l *Ledger) withheld(why drop.Reason) { l.drops.Add(why, 1) }

func (l *Ledger) flush() {
	l.received.Flush()
	l.sentBy.Flush()
	l.silent.Flush()
	l.probes.Flush()
	l.leftOut.Flush()
	l.drops.Flush()
}
