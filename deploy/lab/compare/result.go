package compare

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A Result is all runs and what they mean.
type Result struct {
	Time       time.Time `json:"time"`
	Commit     string    `json:"commit"`
	Machine    string    `json:"machine"`
	FileSystem string    `json:"file_system"`
	Options    Options   `json:"options"`
	// ReadBack is the number of leases that our dhcp4d still had after a
	// kill -9, having been held to what clients were told.
	ReadBack int   `json:"leases_read_back"`
	Runs     []Run `json:"runs"`
	// Medians are those of every subject and load, and their Ratio to the
	// bare pair's.
	Medians []Median `json:"medians"`
}

// A Median is the median of the runs of one subject under one load, each
// figure by itself.
type Median struct {
	Run
	Runs  int     `json:"runs"`
	Ratio float64 `json:"cpu_ratio_to_bare,omitempty"`
	Pace  float64 `json:"rate_ratio_to_bare,omitempty"`
}

// Summarise fills Medians.
func (r *Result) Summarise() {
	r.Medians = nil
	for _, l := range r.Options.loads() {
		yard := r.median(Bare, l)
		for _, name := range r.Options.Subjects {
			m := r.median(name, l)
			if yard.Runs > 0 && m.Runs > 0 {
				m.Ratio, m.Pace = m.CPU/yard.CPU, m.Rate/yard.Rate
			}
			r.Medians = append(r.Medians, m)
		}
	}
}

func (r *Result) median(name string, l Load) Median {
	var runs []Run
	for _, run := range r.Runs {
		if run.Subject == name && run.Load == l {
			runs = append(runs, run)
		}
	}
	of := func(figure func(Run) float64) float64 {
		var all []float64
		for _, run := range runs {
			all = append(all, figure(run))
		}
		slices.Sort(all)
		switch n := len(all); {
		case n == 0:
			return 0
		case n%2 == 1:
			return all[n/2]
		default:
			return (all[n/2-1] + all[n/2]) / 2
		}
	}
	return Median{Runs: len(runs), Run: Run{Subject: name, Load: l,
		CPU:  of(func(r Run) float64 { return r.CPU }),
		CPU6: of(func(r Run) float64 { return r.CPU6 }), CPU4: of(func(r Run) float64 { return r.CPU4 }),
		User: of(func(r Run) float64 { return r.User }), System: of(func(r Run) float64 { return r.System }),
		Rate: of(func(r Run) float64 { return r.Rate }),
		P50:  of(func(r Run) float64 { return r.P50 }), P99: of(func(r Run) float64 { return r.P99 }),
		Lost: of(func(r Run) float64 { return r.Lost }), Switches: of(func(r Run) float64 { return r.Switches }),
		Syncs: of(func(r Run) float64 { return r.Syncs }), Written: of(func(r Run) float64 { return r.Written }),
		Resident: of(func(r Run) float64 { return r.Resident }),
	}}
}

// Table writes the medians for people.
func (r *Result) Table(w io.Writer) error {
	fmt.Fprintf(w, "%s, commit %s\n%s; leases on %s\n", r.Time.Format(time.RFC3339), r.Commit, r.Machine, r.FileSystem)
	o := r.Options
	fmt.Fprintf(w, "%d rounds; client addresses %d, relays %d, share of renewals %v, subnets %d, leases held before %d\n",
		o.Rounds, o.Sources, o.Relays, o.Renew, o.Subnets, o.Held)
	if r.ReadBack > 0 {
		fmt.Fprintf(w, "after kill -9, dhcp4d had the %d leases that clients had been told of\n", r.ReadBack)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\nload\tpair\tCPU/exchange\tof bare\tv6\tv4\tuser\tsystem\trate/s\tof bare\tp50 ms\tp99 ms\tlost\tswitches\tsyncs\tMB\t")
	for _, m := range r.Medians {
		fmt.Fprintf(t, "%v\t%s\t%.1f µs\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%s\t%.2f\t%.2f\t%s\t%.3f\t%.3f\t%.0f\t\n",
			m.Load, m.Subject, m.CPU, ratio(m.Ratio), m.CPU6, m.CPU4, m.User, m.System, m.Rate, ratio(m.Pace), m.P50, m.P99,
			share(m.Lost), m.Switches, m.Syncs, m.Resident)
	}
	return t.Flush()
}

func ratio(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", v)
}

func share(v float64) string {
	if v == 0 {
		return "0"
	}
	return strings.TrimSpace(fmt.Sprintf("%.2f %%", v*100))
}
