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
	"os"
	"os/signal"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/clients/load"
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

func run(ctx context.Context, args []string) (failed bool, err error) {
	var s settings
	if done, err := s.parse(args); done {
		return false, err
	}
	before, err := cpuTimes(s.pids)
	if err != nil {
		return false, err
	}
	report, err := load.Run(ctx, s.load, progress())
	if err != nil {
		return false, err
	}
	after, err := cpuTimes(s.pids)
	if err != nil {
		return false, err
	}
	addCPU(&report, before, after)
	if s.json {
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

// addCPU adds the CPU time of the run to its report.
func addCPU(r *load.Report, before, after map[int]float64) {
	var sum float64
	for pid := range after {
		after[pid] -= before[pid]
		sum += after[pid]
	}
	r.CPU = after
	if r.Completed > 0 {
		r.CPUPerExchange = sum / float64(r.Completed)
	}
}
