// Dhcp4o6-perf puts load on a DHCPv4-over-DHCPv6 server and checks every answer. It is to 4o6 what
// perfdhcp is to DHCP.
//
//	dhcp4o6-perf -i eth0 -clients 10000 -n 100000 -in-flight 64
//	dhcp4o6-perf -i eth0 -server 2001:db8::1 -rate 5000 -t 30s -renew 0.8 -json
//
// It uses a port of its own. With -relays it must run where the server accepts relays. The exit
// status is 1 if the server made any mistake, or answered nothing.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/clients/load"
	"github.com/dhcp4o6/dhcp4o6/shared/manual"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	failed, err := run(ctx, os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "dhcp4o6-perf:", err)
		os.Exit(2)
	case failed:
		os.Exit(1)
	}
}

// description is what the manual says beside the flags.
func description() manual.Program {
	return manual.Program{
		About: "load for a DHCPv4-over-DHCPv6 server, with every answer checked",
		Description: []string{
			"It is to DHCPv4 over DHCPv6 what perfdhcp is to DHCP. It uses a port of its own. With -relays it must " +
				"run where the server accepts relays.",
		},
		Statuses: []manual.Status{{Code: 0, About: "Success"},
			{Code: 1, About: "The server made a mistake, or answered nothing"}, {Code: 2, About: "Any other error"}},
	}
}

func run(ctx context.Context, args []string) (failed bool, err error) {
	var c load.Config
	var pids, prefix, expect, require string
	var asJSON bool
	flags := flag.NewFlagSet("dhcp4o6-perf", flag.ContinueOnError)
	flags.StringVar(&c.Interface, "i", "", "interface to use (required)")
	flags.TextVar(&c.Server, "server", netip.MustParseAddr("ff02::1:2"), "server address")
	flags.TextVar(&c.Local, "source", netip.Addr{}, "source address; by default the interface's link-local one")
	flags.IntVar(&c.Sources, "sources", 1, "number of source addresses, from -source on, that clients use in turn; "+
		"missing ones are added to the interface for the run")
	flags.StringVar(&prefix, "prefix", "", "prefix that is routed to this host and gives each client a source "+
		"address of its own; the whole prefix is local during the run")
	flags.IntVar(&c.InFlight, "in-flight", 0,
		"exchanges in flight at the same time (closed loop; default 64 unless -rate is given)")
	flags.Float64Var(&c.Rate, "rate", 0, "exchanges started per second (open loop)")
	flags.BoolVar(&c.Shared, "shared", false, "several servers share the addresses: an offer may be of an address "+
		"that another client has just got, and its REQUEST is then refused")
	flags.BoolVar(&c.Trains, "trains", false,
		"send and receive datagrams in trains instead of one by one: cheaper for both sides than real clients are")
	flags.IntVar(&c.Count, "n", 0, "number of exchanges")
	flags.DurationVar(&c.Duration, "t", 0, "how long the run takes")
	flags.DurationVar(&c.Timeout, "timeout", time.Second, "how long to wait for an answer before it counts as lost")
	flags.IntVar(&c.Clients, "clients", 0, "number of clients, used in turn; by default as many as exchanges")
	flags.IntVar(&c.Stride, "stride", 1, "distance between the numbers of clients that follow each other")
	flags.BoolVar(&c.Shuffle, "shuffle", false, "choose clients at random instead of in turn")
	flags.TextVar(&c.Held, "held", netip.Addr{},
		"address that the first client holds from the beginning; those after it hold the next ones")
	flags.Float64Var(&c.Renew, "renew", 0, "share of exchanges in which a client renews its lease, 0 to 1")
	flags.Float64Var(&c.Inform, "inform", 0,
		"share of exchanges in which a client with an address sends an INFORM, 0 to 1")
	flags.Float64Var(&c.Release, "release", 0, "share of leases that are released at once, 0 to 1")
	flags.Float64Var(&c.Decline, "decline", 0,
		"share of new leases that are declined, 0 to 1; the server must not give these addresses to other clients")
	flags.IntVar(&c.Relays, "relays", 0, "levels of Relay-forward around each query, 0 to 9")
	flags.IntVar(&c.Ports, "ports", 0, "number of different Interface-Ids; by default one per client")
	flags.TextVar(&c.Link, "link", netip.IPv6Unspecified(), "link-address of the innermost relay")
	flags.IntVar(&c.Links, "links", 1,
		"number of different link-addresses: consecutive /64 prefixes from that of -link on")
	flags.StringVar(&require, "require", "1",
		"numbers of the DHCPv4 options that every OFFER and ACK must have, separated by commas")
	flags.StringVar(&expect, "expect", "", "prefix that every leased address must be in")
	flags.BoolVar(&c.Bare, "bare", false,
		"accept answers without server identifier, lease time and the options of -require")
	flags.Uint64Var(&c.Seed, "seed", 1,
		"what clients and choices are made from; its low octet is in the hardware addresses")
	flags.StringVar(&pids, "pid", "", "ids of processes whose CPU time is reported, separated by commas")
	flags.BoolVar(&asJSON, "json", false, "print the report as JSON")
	if done, err := manual.Parse(description(), flags, args, os.Stdout); done {
		return false, err
	}
	if c.Interface == "" {
		return false, errors.New("-i is required")
	}
	if c.InFlight == 0 && c.Rate == 0 {
		c.InFlight = 64
	}
	if c.Prefix, err = parsePrefix("-prefix", prefix); err != nil {
		return false, err
	}
	if c.Expect, err = parsePrefix("-expect", expect); err != nil {
		return false, err
	}
	if c.Require, err = parseCodes(require); err != nil {
		return false, err
	}
	if c.Bare {
		c.Require = nil
	}
	before, err := cpuTimes(pids)
	if err != nil {
		return false, err
	}
	report, err := load.Run(ctx, c, progress())
	if err != nil {
		return false, err
	}
	after, err := cpuTimes(pids)
	if err != nil {
		return false, err
	}
	var sum float64
	for pid := range after {
		after[pid] -= before[pid]
		sum += after[pid]
	}
	report.CPU = after
	if report.Completed > 0 {
		report.CPUPerExchange = sum / float64(report.Completed)
	}
	if asJSON {
		err = json.NewEncoder(os.Stdout).Encode(report)
	} else {
		_, err = fmt.Print(report)
	}
	return report.Failed() || report.Completed == 0, err
}

// progress rewrites one line, if it writes to a terminal. The rate is that of the last second, all
// other figures are those of the whole run.
func progress() func(load.Report) {
	if _, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS); err != nil {
		return nil
	}
	var last load.Report
	return func(r load.Report) {
		fmt.Fprint(os.Stderr, "\r"+line(last, r))
		last = r
	}
}

func line(last, r load.Report) string {
	var faults uint64
	for _, n := range r.Faults {
		faults += n
	}
	rate := float64(r.Completed-last.Completed) / (r.Seconds - last.Seconds)
	return fmt.Sprintf("%5.0f s  %9d exchanges  %7.0f/s  lost %d  faults %d  p99 %.2f ms  ", r.Seconds, r.Completed,
		rate, r.Lost, faults, r.Exchange.P99*1e3)
}

func parsePrefix(name, text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func parseCodes(text string) (codes []byte, err error) {
	for s := range strings.SplitSeq(text, ",") {
		if s == "" {
			continue
		}
		n, err := strconv.ParseUint(s, 10, 8)
		if err != nil {
			return nil, fmt.Errorf("-require: %q is no option number", s)
		}
		codes = append(codes, byte(n))
	}
	return codes, nil
}

// cpuTimes reads user and system time of processes, in seconds, from /proc/pid/stat (fields 14 and
// 15, in hundredths of a second).
func cpuTimes(pids string) (map[int]float64, error) {
	times := make(map[int]float64)
	if pids == "" {
		return times, nil
	}
	for s := range strings.SplitSeq(pids, ",") {
		pid, err := strconv.Atoi(s)
		if err != nil {
			return nil, fmt.Errorf("-pid: %q is no process id", s)
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return nil, fmt.Errorf("reading CPU time: %w", err)
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // from field 3 on
		user, err1 := strconv.ParseFloat(fields[11], 64)
		system, err2 := strconv.ParseFloat(fields[12], 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("reading CPU time of process %d: %w", pid, err)
		}
		times[pid] = (user + system) / 100
	}
	return times, nil
}
