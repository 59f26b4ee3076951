package compare

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A usage is what a process has used so far, by the kernel's account.
type usage struct {
	cpu          float64 // seconds, exact to the nanosecond
	user, system float64 // seconds, exact to the hundredth
	switches     float64 // of all threads, voluntary or not
	resident     float64 // octets
}

// use reads the account of a process. The time of its threads is from schedstat, which is exact.
// The split into user and system time is from stat.
func use(pid int) (usage, error) {
	var u usage
	dir := fmt.Sprintf("/proc/%d", pid)
	tasks, err := filepath.Glob(dir + "/task/*")
	if err != nil || len(tasks) == 0 {
		return u, fmt.Errorf("process %d is gone", pid)
	}
	for _, task := range tasks {
		b, err := os.ReadFile(task + "/schedstat")
		if err != nil {
			return u, fmt.Errorf("reading the CPU time of a thread: %w", err)
		}
		ran, _, _ := strings.Cut(string(b), " ")
		ns, err := strconv.ParseUint(ran, 10, 64)
		if err != nil {
			return u, fmt.Errorf("reading %s: %w", task, err)
		}
		u.cpu += float64(ns) / 1e9
		status, err := os.ReadFile(task + "/status")
		if err != nil {
			return u, fmt.Errorf("reading the account of a thread: %w", err)
		}
		u.switches += field(status, "voluntary_ctxt_switches:") + field(status, "nonvoluntary_ctxt_switches:")
	}
	b, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return u, fmt.Errorf("reading CPU time: %w", err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // from field 3 on
	var ticks [2]float64
	for i := range ticks {
		if ticks[i], err = strconv.ParseFloat(fields[11+i], 64); err != nil {
			return u, fmt.Errorf("reading CPU time: %w", err)
		}
	}
	u.user, u.system = ticks[0]/100, ticks[1]/100
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return u, fmt.Errorf("reading memory: %w", err)
	}
	u.resident = field(status, "VmRSS:") * 1024
	return u, nil
}

// useWithChildren reads the account of a process and of its children that run.
func useWithChildren(pid int) (usage, error) {
	u, err := use(pid)
	if err != nil {
		return u, err
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return u, fmt.Errorf("reading the children of process %d: %w", pid, err)
	}
	for child := range strings.FieldsSeq(string(children)) {
		n, err := strconv.Atoi(child)
		if err != nil {
			return u, fmt.Errorf("the children of process %d: %w", pid, err)
		}
		if c, err := use(n); err == nil { // it may be gone
			u = u.plus(c)
		}
	}
	return u, nil
}

// field returns a number of /proc/pid/status, 0 if it is not there.
func field(status []byte, name string) float64 {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			var v float64
			_, _ = fmt.Sscan(string(rest), &v) // the kernel wrote it
			return v
		}
	}
	return 0
}

func (u usage) plus(v usage) usage {
	return usage{u.cpu + v.cpu, u.user + v.user, u.system + v.system, u.switches + v.switches, u.resident + v.resident}
}

func (u usage) minus(v usage) usage {
	return usage{u.cpu - v.cpu, u.user - v.user, u.system - v.system, u.switches - v.switches, u.resident}
}
