package load

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Latency is a summary of a histogram, in seconds.
type Latency struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99.9"`
	Max   float64 `json:"max"`
}

func (h *Histogram) latency() Latency {
	if h.total == 0 {
		return Latency{}
	}
	return Latency{h.total, h.Percentile(50).Seconds(), h.Percentile(90).Seconds(), h.Percentile(99).Seconds(),
		h.Percentile(99.9).Seconds(), h.max.Seconds()}
}

// A Report is the result of a run, or of its part until now.
type Report struct {
	Seconds   float64 `json:"seconds"`
	Started   uint64  `json:"started"`
	Completed uint64  `json:"completed"`
	Renewed   uint64  `json:"renewed"`  // of those completed
	Informed  uint64  `json:"informed"` // of those completed
	Released  uint64  `json:"released"`
	Declined  uint64  `json:"declined"`
	Lost      uint64  `json:"lost"`    // no answer in time
	Refused   uint64  `json:"refused"` // with Config.Shared: the address of the OFFER was another client's by then
	Late      uint64  `json:"late"`    // answers to lost exchanges, and second copies
	Unsent    uint64  `json:"unsent"`  // refused by our own kernel
	Overrun   uint64  `json:"overrun"` // answers that our own kernel dropped because we were too slow
	Addresses int     `json:"addresses_held"`
	Rate      float64 `json:"exchanges_per_second"`
	// Goodput is the exchanges completed per second during the time in which new ones were started.
	// Rate also counts the time at the end in which the run waits for lost answers.
	Goodput  float64           `json:"goodput_per_second"`
	Offered  float64           `json:"offered_per_second"` // exchanges started per second, in the same time
	Faults   map[string]uint64 `json:"faults"`             // their number by kind
	Exchange Latency           `json:"exchange_seconds"`
	Offer    Latency           `json:"discover_to_offer_seconds"`
	Ack      Latency           `json:"request_to_ack_seconds"`
	// Own is the processor time of the generator itself.
	Own float64 `json:"generator_cpu_seconds"`
	// CPU is the processor time by process id, in seconds, and its sum per completed exchange. The
	// program fills it in.
	CPU            map[int]float64 `json:"cpu_seconds,omitempty"`
	CPUPerExchange float64         `json:"cpu_seconds_per_exchange,omitempty"`
}

// Failed reports whether the server made a mistake.
func (r Report) Failed() bool { return len(r.Faults) > 0 }

func (e *engine) report(now time.Duration) Report {
	r := Report{Seconds: now.Seconds(), Started: e.started, Completed: e.completed, Renewed: e.renewed,
		Informed: e.informed, Released: e.released, Declined: e.declined, Lost: e.lost, Refused: e.refused,
		Late: e.late, Unsent: e.unsent, Addresses: e.owners.count(),
		Rate: float64(e.completed) / now.Seconds(), Faults: make(map[string]uint64),
		Exchange: e.exchange.latency(), Offer: e.first.latency(), Ack: e.second.latency()}
	if e.lastStart > 0 {
		r.Goodput = float64(e.completedByThen) / e.lastStart.Seconds()
		r.Offered = float64(e.started) / e.lastStart.Seconds()
	}
	for f, n := range e.counts.faults {
		if n > 0 {
			r.Faults[faults[f].name] = n
		}
	}
	return r
}

// String returns the report for people.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d exchanges completed in %.2f s: %.0f per second, %.0f while new ones were started\n",
		r.Completed, r.Seconds, r.Rate, r.Goodput)
	fmt.Fprintf(&b, "started %d, renewals among them %d, INFORMs %d, lost %d, late or doubled answers %d, not sent "+
		"%d, dropped by our own kernel %d\n", r.Started, r.Renewed, r.Informed, r.Lost, r.Late, r.Unsent, r.Overrun)
	if r.Refused > 0 {
		fmt.Fprintf(&b, "refused %d, because another client had got the address of the OFFER\n", r.Refused)
	}
	fmt.Fprintf(&b, "leases released %d, declined %d, addresses held %d\n", r.Released, r.Declined, r.Addresses)
	for _, l := range []struct {
		name string
		Latency
	}{{"exchange", r.Exchange}, {"DISCOVER to OFFER", r.Offer}, {"REQUEST to ACK", r.Ack}} {
		fmt.Fprintf(&b, "%-18s p50 %8.3f  p90 %8.3f  p99 %8.3f  p99.9 %8.3f  max %8.3f ms\n", l.name,
			l.P50*1e3, l.P90*1e3, l.P99*1e3, l.P999*1e3, l.Max*1e3)
	}
	for _, pid := range slices.Sorted(maps.Keys(r.CPU)) {
		fmt.Fprintf(&b, "process %d used %.2f s of CPU\n", pid, r.CPU[pid])
	}
	if r.CPUPerExchange > 0 {
		fmt.Fprintf(&b, "CPU per exchange %.1f µs\n", r.CPUPerExchange*1e6)
	}
	if r.Completed > 0 {
		fmt.Fprintf(&b, "the generator's own CPU per exchange %.1f µs\n", r.Own/float64(r.Completed)*1e6)
	}
	if !r.Failed() {
		b.WriteString("no fault\n")
	}
	for _, f := range faults {
		if n := r.Faults[f.name]; n > 0 {
			fmt.Fprintf(&b, "FAULT %s: %d (%s)\n", f.name, n, f.meaning)
		}
	}
	return b.String()
}
