// Bench-compare measures our pair, Kea's and a bare pair side by side on this machine, in network
// namespaces. It reports the cost of ours as a multiple of the bare one's:
//
//	bench-compare                                 # some minutes
//	bench-compare -sources 256 -subjects ours,bare
//	bench-compare -relays 1 -subnets 10000 -windows 64 -rates ""
//	bench-compare -before /tmp/last -subjects ours   # does a change pay?
//	bench-compare -held 10000000 -renew 1 -subjects ours+journal,bare -windows 64 -rates ""
//	bench-compare -windows 1 -rates ""               # a single client in flight
//	bench-compare -subjects ours -windows 64,256 -rates "" -overload 1,3 -confine   # overload
//	bench-compare -subjects ours,ours+asked,ours+known -windows 64 -rates 3000   # a program outside
//
// It needs dhcp6d, dhcp4d and dhcp4o6-perf beside it (make bench-compare builds them), a C compiler
// for the bare pair, and for a comparison with Kea its servers.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/bench/compare"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
)

func main() {
	os.Exit(netns.Main(func() int {
		err := run(context.Background(), os.Args[1:])
		switch {
		case errors.Is(err, flag.ErrHelp):
			return 0
		case err != nil:
			fmt.Fprintln(os.Stderr, "bench-compare:", err)
			return 1
		}
		return 0
	}))
}

func run(ctx context.Context, args []string) error {
	o := compare.Options{Subjects: []string{compare.Ours, compare.OursKeys, compare.Kea, compare.Bare},
		Windows: []int{16, 64, 256}, Rates: []int{1000, 3000, 5000}}
	var out, commit string
	flags := flag.NewFlagSet("bench-compare", flag.ContinueOnError)
	flags.Func("subjects", "what to measure: any of ours, ours+keys, ours+journal, ours+pebble, ours+postgres, "+
		"ours+2postgres (two dhcp4d), ours+asked (a program outside is asked about every query), "+
		"ours+known (its verdicts are kept), ours+rules (a rule at each of three points), kea, kea+postgres, bare, "+
		"bare+offload (default ours,ours+keys,kea,bare)", func(s string) error {
		o.Subjects = strings.Split(s, ",")
		return nil
	})
	flags.Func("windows", "exchanges in flight, closed loop (default 16,64,256)", numbers(&o.Windows))
	flags.Func("rates", "exchanges per second, open loop (default 1000,3000,5000)", numbers(&o.Rates))
	flags.IntVar(&o.Rounds, "rounds", 5, "number of rounds; the results are medians")
	flags.IntVar(&o.Exchanges, "n", 20000,
		"exchanges of a closed-loop run, at most 2000 for each one in flight; Kea makes a quarter of them")
	flags.DurationVar(&o.OpenFor, "t", 2*time.Second, "how long an open-loop run takes")
	flags.StringVar(&o.Dir, "dir", os.TempDir(), "directory for the leases; it must be on a disk")
	flags.StringVar(&o.Bin, "bin", "", "directory of our dhcp6d and dhcp4d (default beside this program, or bin/)")
	flags.StringVar(&o.Before, "before", "", "directory of other builds of dhcp6d and dhcp4d, measured beside these "+
		"as \"before\", with hooks as \"before+asked\", and so on")
	flags.StringVar(&o.KeaOther, "kea", "", "directory of other builds of kea-dhcp4 and kea-dhcp6, "+
		"measured beside these as \"kea+other\", queries by multicast")
	flags.IntVar(&o.Backends, "backends", 1, "dhcp4d behind each dhcp6d of ours, each with a part of the addresses")
	flags.BoolVar(&o.Trains, "trains", false, "let the clients' datagrams move in trains instead of one by one")
	flags.IntVar(&o.Sources, "sources", 1, "number of source addresses that all clients share")
	flags.IntVar(&o.Relays, "relays", 0, "levels of Relay-forward around each query")
	flags.Float64Var(&o.Renew, "renew", 0, "share of exchanges that are renewals, 0 to 1")
	flags.IntVar(&o.Subnets, "subnets", 1, "number of subnets; all clients are in the last one")
	flags.IntVar(&o.Held, "held", 0, "number of leases that are imported before the run; clients request theirs "+
		"again, or with -renew 1 renew them, in random order")
	flags.Func("overload", "open-loop rates, as multiples of the highest rate that the pair has reached in the round "+
		"so far", func(s string) error {
		o.Overload = nil
		for part := range strings.SplitSeq(s, ",") {
			n, err := strconv.ParseFloat(part, 64)
			if err != nil || n <= 0 {
				return fmt.Errorf("%q is no number above 0", part)
			}
			o.Overload = append(o.Overload, n)
		}
		return nil
	})
	flags.BoolVar(&o.Confine, "confine", false, "keep the daemons to one processor and the load generator to another")
	flags.Float64Var(&o.Share, "share", 0,
		"share of one processor's time that the two daemons of a pair get together, 0 to 1; 0 is no limit")
	flags.StringVar(&o.Store, "store", "", "our store, pebble or journal (default that of the tests)")
	flags.StringVar(&o.Postgres, "postgres", "", "URL of empty databases with the tables of dhcp4d, or of Kea; "+
		"{} in it stands for postgres, 2postgres or keapostgres")
	flags.IntVar(&o.PostgresPID, "postgres-pid", 0,
		"process of the PostgreSQL server on this machine, to measure its processor time too")
	flags.BoolVar(&o.NoOffload, "no-offload", false, "switch off checksum and segmentation offload of the link")
	flags.Func("env", "a variable for our daemons, as NAME=VALUE; may be repeated", func(s string) error {
		o.Env = append(o.Env, s)
		return nil
	})
	flags.StringVar(&o.Profile, "profile", "", "write flame graphs of our first run to NAME-dhcp6d.svg and "+
		"NAME-dhcp4d.svg; needs perf, root, and daemons built with symbols")
	flags.StringVar(&out, "out", "", "write the results to NAME.txt, NAME.json and NAME.svg")
	flags.StringVar(&commit, "commit", "unknown", "what was built, for the report")
	if err := flags.Parse(args); err != nil {
		return err
	}
	result, err := compare.Measure(ctx, o, func(s string) { fmt.Fprintln(os.Stderr, s) })
	result.Commit = commit
	return report(&result, err, os.Stdout, out)
}

// report reports what was measured, even if the measurement has failed, and returns why it has.
func report(r *compare.Result, failed error, to io.Writer, out string) error {
	if len(r.Runs) == 0 {
		return failed
	}
	if failed != nil {
		r.Failed, _, _ = strings.Cut(failed.Error(), "\n") // what the daemons said may follow
	}
	r.Summarise()
	err := r.Table(to)
	if out != "" {
		err = errors.Join(err, write(out, r))
	}
	return errors.Join(failed, err)
}

// numbers parses a list that may be empty.
func numbers(to *[]int) func(string) error {
	return func(s string) error {
		*to = nil
		for part := range strings.SplitSeq(s, ",") {
			if part == "" {
				continue
			}
			n, err := strconv.Atoi(part)
			if err != nil || n < 1 {
				return fmt.Errorf("%q is no number above 0", part)
			}
			*to = append(*to, n)
		}
		return nil
	}
}

func write(name string, r *compare.Result) error {
	for suffix, fill := range map[string]func(*os.File) error{
		".txt": func(f *os.File) error { return r.Table(f) },
		".svg": func(f *os.File) error { return r.Plot(f) },
		".json": func(f *os.File) error {
			e := json.NewEncoder(f)
			e.SetIndent("", " ")
			return e.Encode(r)
		},
	} {
		f, err := os.Create(name + suffix)
		if err != nil {
			return fmt.Errorf("writing the results: %w", err)
		}
		if err := errors.Join(fill(f), f.Close()); err != nil {
			return fmt.Errorf("writing the results: %w", err)
		}
	}
	return nil
}
