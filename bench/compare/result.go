package compare

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A Result holds all runs and their medians.
type Result struct {
	Time       time.Time `json:"time"`
	Commit     string    `json:"commit"`
	Machine    string    `json:"machine"`
	FileSystem string    `json:"file_system"`
	Options    Options   `json:"options"`
	// Keas is the version of each Kea: "kea is 2.2.0".
	Keas []string `json:"keas,omitempty"`
	// ReadBack is the number of leases that our dhcp4d had after a kill -9. They were compared with
	// what clients were told.
	ReadBack int   `json:"leases_read_back"`
	Runs     []Run `json:"runs"`
	// Failed is why there are no more runs, or no ReadBack; empty if all went well.
	Failed string `json:"failed,omitempty"`
	// Medians has an entry for each subject and load.
	Medians []Median `json:"medians"`
}

// A Median holds the medians of one subject's runs under one load, each figure by itself.
type Median struct {
	Run
	Runs int `json:"runs"`
	// Ratio and Pace compare CPU and rate with the bare pair's. Each is the median of the ratios of
	// runs of the same round. A disturbance of the machine during a round affects both runs, so it
	// does not change their ratio. It does change the ratio of the medians, RatioOfMedians.
	Ratio          float64 `json:"cpu_ratio_to_bare,omitempty"`
	Pace           float64 `json:"rate_ratio_to_bare,omitempty"`
	RatioOfMedians float64 `json:"cpu_ratio_of_medians,omitempty"`
	// Lowest and Highest are the extremes of the ratios that Ratio is the median of.
	Lowest  float64 `json:"cpu_ratio_lowest,omitempty"`
	Highest float64 `json:"cpu_ratio_highest,omitempty"`
}

// Summarise fills Medians.
func (r *Result) Summarise() {
	r.Medians = nil
	for _, l := range r.Options.loads() {
		yard := r.of(Bare, l)
		for _, name := range r.Options.Subjects {
			runs := r.of(name, l)
			m := summary(runs)
			m.Subject, m.Load, m.Round = name, l, 0
			cpu := ratios(runs, yard, func(r Run) float64 { return r.CPU })
			if len(cpu) > 0 {
				m.Ratio, m.Lowest, m.Highest = median(cpu), slices.Min(cpu), slices.Max(cpu)
				m.Pace = median(ratios(runs, yard, func(r Run) float64 { return r.Goodput }))
				m.RatioOfMedians = m.CPU / summary(yard).CPU
			}
			r.Medians = append(r.Medians, m)
		}
	}
}

func (r *Result) of(name string, l Load) []Run {
	var runs []Run
	for _, run := range r.Runs {
		if run.Subject == name && run.Load == l {
			runs = append(runs, run)
		}
	}
	return runs
}

// ratios returns the ratios of a figure, round by round.
func ratios(runs, yard []Run, figure func(Run) float64) []float64 {
	var all []float64
	for _, a := range runs {
		for _, b := range yard {
			if a.Round == b.Round && figure(b) > 0 {
				all = append(all, figure(a)/figure(b))
			}
		}
	}
	return all
}

func median(all []float64) float64 {
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

func summary(runs []Run) Median {
	of := func(figure func(Run) float64) float64 {
		var all []float64
		for _, run := range runs {
			all = append(all, figure(run))
		}
		return median(all)
	}
	drops := make(map[string]float64)
	for _, run := range runs {
		for series := range run.Drops {
			drops[series] = of(func(r Run) float64 { return r.Drops[series] })
		}
	}
	return Median{Runs: len(runs), Run: Run{Drops: drops,
		CPU:  of(func(r Run) float64 { return r.CPU }),
		CPU6: of(func(r Run) float64 { return r.CPU6 }), CPU4: of(func(r Run) float64 { return r.CPU4 }),
		Database: of(func(r Run) float64 { return r.Database }),
		User:     of(func(r Run) float64 { return r.User }), System: of(func(r Run) float64 { return r.System }),
		Rate: of(func(r Run) float64 { return r.Rate }), Goodput: of(func(r Run) float64 { return r.Goodput }),
		Offered: of(func(r Run) float64 { return r.Offered }), Overrun: of(func(r Run) float64 { return r.Overrun }),
		OfPeak: of(func(r Run) float64 { return r.OfPeak }),
		P50:    of(func(r Run) float64 { return r.P50 }), P99: of(func(r Run) float64 { return r.P99 }),
		Lost: of(func(r Run) float64 { return r.Lost }), Switches: of(func(r Run) float64 { return r.Switches }),
		Syncs: of(func(r Run) float64 { return r.Syncs }), Written: of(func(r Run) float64 { return r.Written }),
		Allocs:   of(func(r Run) float64 { return r.Allocs }),
		Resident: of(func(r Run) float64 { return r.Resident }), PerLease: of(func(r Run) float64 { return r.PerLease }),
	}}
}

// Table writes the medians for people.
func (r *Result) Table(w io.Writer) error {
	fmt.Fprintf(w, "%s, commit %s\n%s; leases on %s\n", r.Time.Format(time.RFC3339), r.Commit, r.Machine, r.FileSystem)
	if r.Failed != "" {
		fmt.Fprintf(w, "the measurement has failed after %d runs: %s\n", len(r.Runs), r.Failed)
	}
	o := r.Options
	offload := "with the kernel's offloads"
	if o.NoOffload {
		offload = "without offloads"
	}
	moves := "one by one"
	if o.Trains {
		moves = "in trains"
	}
	fmt.Fprintf(w, "%d rounds, over a veth pair %s; clients send %s; client addresses %d, relays %d, share of "+
		"renewals %v, subnets %d, leases held before %d\n",
		o.Rounds, offload, moves, o.Sources, o.Relays, o.Renew, o.Subnets, o.Held)
	if o.Store != "" {
		fmt.Fprintf(w, "our store is %s\n", o.Store)
	}
	if len(r.Keas) > 0 {
		fmt.Fprintln(w, strings.Join(r.Keas, ", "))
	}
	if o.Backends > 1 {
		fmt.Fprintf(w, "%d dhcp4d behind each dhcp6d\n", o.Backends)
	}
	if r.ReadBack > 0 {
		fmt.Fprintf(w, "after kill -9, dhcp4d had the %d leases that clients had been told of\n", r.ReadBack)
	}
	fmt.Fprintln(w, "\"of bare\" is the median of the ratios to the bare pair's run of the same round; all else is "+
		"medians")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\nload\tpair\tCPU/exchange\tof bare\tv6\tv4\tdatabase\tuser\tsystem\t"+
		"offered/s\trate/s\tof bare\tof peak\tp50 ms\tp99 ms\tlost\toverrun\tswitches\tsyncs\tallocs\tMB\tB/lease\t")
	for _, m := range r.Medians {
		allocs, perLease, database := "-", "-", "-"
		if m.Database > 0 {
			database = fmt.Sprintf("%.1f", m.Database)
		}
		if ours(m.Subject) {
			allocs = fmt.Sprintf("%.4f", m.Allocs)
		}
		if m.PerLease > 0 {
			perLease = fmt.Sprintf("%.0f", m.PerLease)
		}
		fmt.Fprintf(t, "%v\t%s\t%.1f µs\t%s\t%.1f\t%.1f\t%s\t%.1f\t%.1f\t%.0f\t%.0f\t%s\t%s\t%.2f\t%.2f\t%s\t%s\t%.3f\t%.3f\t%s\t%.0f\t%s\t\n",
			m.Load, m.Subject, m.CPU, ratio(m.Ratio), m.CPU6, m.CPU4, database, m.User, m.System, m.Offered, m.Goodput,
			ratio(m.Pace), ratio(m.OfPeak), m.P50, m.P99,
			share(m.Lost), share(m.Overrun), m.Switches, m.Syncs, allocs, m.Resident, perLease)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, m := range r.Medians {
		for _, series := range slices.Sorted(maps.Keys(m.Drops)) {
			if n := m.Drops[series]; n >= 0.005 {
				fmt.Fprintf(w, "%v, %s: for each exchange %.2f × %s\n", m.Load, m.Subject, n, series)
			}
		}
	}
	return nil
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
