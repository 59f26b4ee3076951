// Package compare measures pairs of 4o6 daemons side by side: ours, Kea's, and a bare pair that
// only moves datagrams.
//
// All pairs run at the same time, each in its own network namespaces. They take turns under the
// load generator, round after round, so that other work of the machine disturbs all of them alike.
// The result is the ratio to the bare pair's run of the same round, and of all rounds the median. A
// single figure means nothing.
package compare

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/bench/baseline"
	"github.com/dhcp4o6/dhcp4o6/clients/load"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
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

// measurement is the work of one call of Measure.
type measurement struct {
	o    Options
	say  func(string) // is told of the progress
	dir  string       // for the leases
	perf string       // the load generator
	bare string       // the program of the bare pair; empty if nothing needs it
	lab  *netns.Lab

	subjects []*subject
	result   Result
}

// Measure makes all runs. It calls say with lines about its progress. If it fails, the result has
// the runs until then.
func Measure(ctx context.Context, o Options, say func(string)) (Result, error) {
	m := measurement{o: o.withOthers(), say: say}
	if err := m.o.check(); err != nil {
		return m.result, err
	}
	var err error
	if m.perf, err = servers.Find("dhcp4o6-perf"); err != nil {
		return m.result, err
	}
	if m.o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return m.result, err
	}
	fs, err := fileSystem(m.o.Dir)
	if err != nil {
		return m.result, err
	}
	err = inDirectory(m.o.Dir, say, func(dir string) error {
		m.dir = dir
		return m.run(ctx, fs)
	})
	return m.result, err
}

// withOthers returns the options with the subjects of other builds too, if there are any.
func (o Options) withOthers() Options {
	if o.Before != "" {
		measured := o.Subjects
		o.Subjects = append(slices.Clone(measured), Before)
		for _, name := range hooked {
			if slices.Contains(measured, name) {
				o.Subjects = append(o.Subjects, asBefore(name))
			}
		}
	}
	if o.KeaOther != "" {
		o.Subjects = append(slices.Clone(o.Subjects), KeaOther)
	}
	return o
}

// check says what cannot be measured.
func (o Options) check() error {
	for _, name := range o.Subjects {
		switch {
		case !slices.Contains(subjects, likeOurs(name)):
			return fmt.Errorf("%q is nothing that can be measured: name some of %s", name, strings.Join(subjects, ", "))
		case name == KeaOther && o.KeaOther == "", name != likeOurs(name) && o.Before == "":
			return fmt.Errorf("%q needs the directory of its programs: -kea or -before", name)
		}
	}
	if o.Postgres == "" && slices.ContainsFunc(o.Subjects, onPostgres) {
		return errors.New("leases in PostgreSQL need a database: -postgres URL")
	}
	if o.Backends > 1 && o.Held > 0 {
		return errors.New("leases that are held belong to one dhcp4d: -held and -backends exclude each other")
	}
	return nil
}

// inDirectory makes a directory for leases, and removes it after work. If it cannot, it only says
// so: what was measured is worth more.
func inDirectory(parent string, say func(string), work func(dir string) error) error {
	dir, err := os.MkdirTemp(parent, "bench-")
	if err != nil {
		return fmt.Errorf("making a directory for leases: %w", err)
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			say(fmt.Sprintf("warning: the leases of this measurement stay in %s, remove them: %v", dir, err))
		}
	}()
	return work(dir)
}

// run starts all subjects and makes all runs. All processes have ended when it returns. The leases
// are on the file system fs.
func (m *measurement) run(ctx context.Context, fs string) (err error) {
	if m.lab, err = netns.New(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.lab.Close()) }()
	if err := m.buildBare(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.endPrograms()) }()
	for _, name := range m.o.Subjects {
		s, err := m.newSubject(ctx, name)
		if err != nil {
			return err
		}
		m.subjects = append(m.subjects, s)
	}
	m.result = Result{Options: m.o, FileSystem: fs, Machine: machine(), Time: time.Now().UTC().Truncate(time.Second)}
	if err := m.keaVersions(ctx); err != nil {
		return err
	}
	for round := range m.o.Rounds {
		if err := m.round(ctx, round); err != nil {
			return err
		}
		m.say(fmt.Sprintf("round %d of %d done", round+1, m.o.Rounds))
	}
	return m.readBack()
}

// buildBare builds the program of the bare pair, if that is measured.
func (m *measurement) buildBare(ctx context.Context) error {
	if !slices.ContainsFunc(m.o.Subjects, moves) {
		return nil
	}
	temp, err := m.lab.TempDir()
	if err != nil {
		return err
	}
	m.bare, err = baseline.Build(ctx, temp)
	return err
}

// endPrograms ends the programs outside.
func (m *measurement) endPrograms() error {
	var errs []error
	for _, s := range m.subjects {
		if s.answers != nil {
			errs = append(errs, s.answers())
		}
	}
	return errors.Join(errs...)
}

// keaVersions notes which Kea each subject of Kea's is.
func (m *measurement) keaVersions(ctx context.Context) error {
	for _, name := range m.o.Subjects {
		if !keas(name) {
			continue
		}
		v, err := servers.KeaVersion(ctx, map[string]string{KeaOther: m.o.KeaOther}[name])
		if err != nil {
			return err
		}
		m.result.Keas = append(m.result.Keas, name+" is "+v)
	}
	return nil
}

// round makes one run of each subject under each load.
func (m *measurement) round(ctx context.Context, round int) error {
	for _, s := range m.subjects {
		s.peak = 0
	}
	for _, l := range m.o.loads() {
		for i := range m.subjects { // a different one is first in each round
			s := m.subjects[(i+round)%len(m.subjects)]
			r, err := s.run(ctx, m.perf, m.o, l)
			if err != nil {
				return err
			}
			r.Round = round
			m.result.Runs = append(m.result.Runs, r)
		}
	}
	return nil
}

// readBack compares the leases that our daemons have with those that clients were told.
func (m *measurement) readBack() error {
	for _, s := range m.subjects {
		if s.halves == nil {
			continue
		}
		n, err := s.readBack()
		if err != nil {
			return err
		}
		m.result.ReadBack += n
	}
	return nil
}

func (o Options) loads() []Load {
	var all []Load
	for _, n := range o.Windows {
		all = append(all, Load{InFlight: n})
	}
	for _, n := range o.Rates {
		all = append(all, Load{Rate: n})
	}
	for _, n := range o.Overload {
		all = append(all, Load{Times: n})
	}
	return all
}

// fileSystem returns the name of a directory's file system. It returns an error for one in memory,
// where a sync costs nothing.
func fileSystem(dir string) (string, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "", fmt.Errorf("looking at the file system of %s: %w", dir, err)
	}
	if s.Type == unix.TMPFS_MAGIC || s.Type == unix.RAMFS_MAGIC {
		return "", fmt.Errorf("%s is in memory, where a sync costs nothing: name a directory on a disk with -dir", dir)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", fmt.Errorf("reading what is mounted: %w", err)
	}
	best, name := "", fmt.Sprintf("type %#x", s.Type)
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) > 2 && len(f[1]) >= len(best) &&
			(dir == f[1] || strings.HasPrefix(dir, strings.TrimSuffix(f[1], "/")+"/")) {
			best, name = f[1], f[2]+" on "+f[0]
		}
	}
	return name, nil
}

// machine describes the machine for the report.
func machine() string {
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail
	cpu := "processor unknown"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				cpu = strings.TrimSpace(strings.TrimLeft(name, "\t :"))
				break
			}
		}
	}
	var load unix.Sysinfo_t
	_ = unix.Sysinfo(&load)
	var set unix.CPUSet
	_ = unix.SchedGetaffinity(0, &set)
	return fmt.Sprintf("%d × %s, Linux %s, load average %.1f at the start", set.Count(), cpu,
		unix.ByteSliceToString(u.Release[:]), float64(load.Loads[0])/65536)
}

// state reports whether a series counts leases in a state.
func state(series, name string) bool {
	return strings.HasPrefix(series, "dhcp4d_leases{") && strings.Contains(series, `state="`+name+`"`)
}
