// Package compare measures pairs of 4o6 daemons side by side: ours, Kea's, and a bare pair that
// only moves datagrams.
//
// All pairs run at the same time, each in its own network namespaces. They take turns under the
// load generator, round after round, so that other work of the machine disturbs all of them alike.
// The result is the ratio to the bare pair's run of the same round, and of all rounds the median. A
// single figure means nothing.
package compare

import (
	"fmt"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/load"
)

// Options say what to measure.
type Options struct {
	Subjects []string
	Bin      string // directory of our daemons; by default where package servers finds them
	Before   string // directory of other builds of our daemons, which are measured too
	KeaOther string `json:"-"` // directory of other builds of Kea's servers, which are measured too
	Store    string // our store, pebble or journal; by default that of package servers
	// Postgres is the URL of migrated, empty databases of a PostgreSQL server. In it "{}" stands
	// for the part of the subject's name behind "ours+".
	Postgres string
	// PostgresPID is the process of that server, if it runs here. Then its processor time is
	// measured too.
	PostgresPID int    `json:"-"`
	Dir         string // directory for leases, on a real file system
	Rounds      int
	Exchanges   int           // of a closed-loop run; Kea makes a quarter of them
	Windows     []int         // exchanges in flight, closed loop
	Rates       []int         // exchanges per second, open loop
	OpenFor     time.Duration // how long an open-loop run takes
	Trains      bool          // the clients' datagrams move in trains instead of one by one
	Sources     int           // source addresses that all clients share
	Relays      int           // levels of Relay-forward around every query
	Renew       float64       // share of renewals
	Subnets     int           // the clients are in the last one
	Backends    int           // dhcp4d behind each dhcp6d of ours
	Held        int           // leases that exist before the run; clients request theirs again in random order
	NoOffload   bool          // switch off checksum and segmentation offload of the link
	Env         []string      // additional variables for our daemons
	Profile     string        `json:",omitempty"` // begins the names of the flame graphs of our first run
	// Overload are open-loop rates too, as multiples of the pair's peak: the most exchanges per
	// second that it has completed in the round so far.
	Overload []float64
	// Confine keeps all daemons on one processor and the load generator on another. Then the work
	// of the generator does not limit what a pair can do.
	Confine bool
	// Share is the part of one processor's time that both daemons of a pair get together; 0 is no
	// limit. It makes the pair so much slower than the generator that the generator can produce any
	// overload.
	Share float64
}

// A Load is what a pair is asked to do in one run. Exactly one field is set.
type Load struct {
	InFlight int `json:"in_flight,omitempty"`
	Rate     int `json:"rate,omitempty"`
	// Times is a multiple of the pair's peak.
	Times float64 `json:"times_peak,omitempty"`
}

func (l Load) String() string {
	switch {
	case l.Times > 0:
		return fmt.Sprintf("%g × peak", l.Times)
	case l.Rate > 0:
		return fmt.Sprintf("%d/s", l.Rate)
	}
	return fmt.Sprintf("%d in flight", l.InFlight)
}

// A Run holds the figures of one run, per exchange.
type Run struct {
	Subject  string  `json:"subject"`
	Load     Load    `json:"load"`
	Round    int     `json:"round"`
	CPU      float64 `json:"cpu_us"` // of both halves, per exchange
	CPU6     float64 `json:"cpu_v6_us"`
	CPU4     float64 `json:"cpu_v4_us"`
	Database float64 `json:"cpu_database_us,omitempty"`
	User     float64 `json:"user_us"`
	System   float64 `json:"system_us"`
	Rate     float64 `json:"exchanges_per_second"`
	Goodput  float64 `json:"goodput_per_second"` // in the time in which exchanges were started
	OfPeak   float64 `json:"goodput_of_peak,omitempty"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	Lost     float64 `json:"lost_share"`
	Offered  float64 `json:"offered_per_second"`
	Overrun  float64 `json:"overrun_share"`    // answers that the generator was too slow for, per exchange started
	Switches float64 `json:"context_switches"` // per exchange
	Syncs    float64 `json:"syncs"`            // per exchange
	Written  float64 `json:"leases_written"`   // per exchange
	Allocs   float64 `json:"allocations"`      // of both halves, per exchange
	Resident float64 `json:"resident_mb"`      // of both halves, at the end
	// PerLease is the additional resident memory of the v4 half, compared with no leases, in octets
	// per lease held.
	PerLease float64 `json:"octets_per_lease,omitempty"`
	// Drops are the datagrams dropped by our daemons, or by the kernel in front of them, by series
	// and per exchange completed. Series that are zero are left out.
	Drops map[string]float64 `json:"drops,omitempty"`
}

func newRun(name string, l Load, r load.Report, before, after account) Run {
	six, four := after.six.minus(before.six), after.four.minus(before.four)
	each := 1 / float64(r.Completed)
	drops := make(map[string]float64)
	for series, n := range after.drops {
		if n -= before.drops[series]; n > 0 {
			drops[series] = n * each
		}
	}
	return Run{
		Subject: name, Load: l, Drops: drops,
		CPU: (six.cpu + four.cpu) * each * 1e6, CPU6: six.cpu * each * 1e6, CPU4: four.cpu * each * 1e6,
		Database: max(0, after.database.minus(before.database).cpu) * each * 1e6,
		User:     (six.user + four.user) * each * 1e6, System: (six.system + four.system) * each * 1e6,
		Rate: r.Rate, Goodput: r.Goodput, P50: r.Exchange.P50 * 1e3, P99: r.Exchange.P99 * 1e3,
		Lost:    float64(r.Lost+r.Unsent) / float64(r.Started),
		Offered: r.Offered, Overrun: float64(r.Overrun) / float64(r.Started),
		Switches: (six.switches + four.switches) * each,
		Syncs:    (after.commits - before.commits) * each, Written: (after.writes - before.writes) * each,
		// The scrape after a run counts itself, and the one before the run did too.
		Allocs:   max(0, after.allocs-before.allocs-before.scrape) * each,
		Resident: (six.resident + four.resident) / 1e6,
	}
}

// state reports whether a series counts leases in a state.
func state(series, name string) bool {
	return strings.HasPrefix(series, "dhcp4d_leases{") && strings.Contains(series, `state="`+name+`"`)
}
