package load

import (
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// A Histogram counts durations in buckets a thirty-second apart per doubling,
// so a percentile is off by at most 3 %. The zero value is empty.
type Histogram struct {
	counts [64 * sub]uint64
	total  uint64
	max    time.Duration
}

const sub = 32

func bucket(d time.Duration) int {
	n := uint64(max(d, 1))
	if n < sub {
		return int(n)
	}
	shift := bits.Len64(n) - 6 // keeps 6 bits, of which the first is always 1
	return (shift+1)*sub + int(n>>shift) - sub
}

// upper is the end of a bucket.
func upper(i int) time.Duration {
	if i < sub {
		return time.Duration(i)
	}
	shift := i/sub - 1
	return time.Duration((uint64(i%sub+sub)+1)<<shift - 1)
}

// Add counts one duration.
func (h *Histogram) Add(d time.Duration) {
	h.counts[bucket(d)]++
	h.total++
	h.max = max(h.max, d)
}

// Percentile is the duration that p percent do not exceed.
func (h *Histogram) Percentile(p float64) time.Duration {
	rank := uint64(math.Ceil(float64(h.total) * p / 100))
	var n uint64
	for i, c := range h.counts {
		if n += c; n >= rank && c > 0 {
			return min(upper(i), h.max)
		}
	}
	return h.max
}

// Latency is a histogram in figures, seconds.
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
	return Latency{h.total, h.Percentile(50).Seconds(), h.Percentile(90).Seconds(), h.Percentile(99).Seconds(), h.Percentile(99.9).Seconds(), h.max.Seconds()}
}

// A Report is what came of a run, or of it so far.
type Report struct {
	Seconds   float64          `json:"seconds"`
	Started   uint64           `json:"started"`
	Completed uint64           `json:"completed"`
	Renewed   uint64           `json:"renewed"` // of those completed
	Lost      uint64           `json:"lost"`    // no answer in time
	Late      uint64           `json:"late"`    // answers to what was lost, second copies
	Unsent    uint64           `json:"unsent"`  // refused by our own kernel
	Addresses int              `json:"addresses_held"`
	Rate      float64          `json:"exchanges_per_second"`
	Faults    map[Fault]uint64 `json:"faults"`
	Exchange  Latency          `json:"exchange_seconds"`
	Offer     Latency          `json:"discover_to_offer_seconds"`
	Ack       Latency          `json:"request_to_ack_seconds"`
	// CPU is seconds of processor time by process id, and its sum per
	// completed exchange; filled by the program.
	CPU            map[int]float64 `json:"cpu_seconds,omitempty"`
	CPUPerExchange float64         `json:"cpu_seconds_per_exchange,omitempty"`
}

// Failed says that the server did something wrong.
func (r Report) Failed() bool { return len(r.Faults) > 0 }

func (e *engine) report(now time.Time) Report {
	seconds := now.Sub(e.start).Seconds()
	return Report{Seconds: seconds, Started: e.started, Completed: e.completed, Renewed: e.renewed, Lost: e.lost, Late: e.late,
		Unsent: e.unsent, Addresses: len(e.owners), Rate: float64(e.completed) / seconds, Faults: maps.Clone(e.faults),
		Exchange: e.exchange.latency(), Offer: e.first.latency(), Ack: e.second.latency()}
}

// String is the report for people.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d exchanges completed in %.2f s: %.0f per second\n", r.Completed, r.Seconds, r.Rate)
	fmt.Fprintf(&b, "started %d, renewals among them %d, lost %d, late or doubled answers %d, not sent %d, addresses held %d\n",
		r.Started, r.Renewed, r.Lost, r.Late, r.Unsent, r.Addresses)
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
	if !r.Failed() {
		b.WriteString("no fault\n")
	}
	for _, f := range slices.Sorted(maps.Keys(r.Faults)) {
		fmt.Fprintf(&b, "FAULT %s: %d\n", f, r.Faults[f])
	}
	return b.String()
}
