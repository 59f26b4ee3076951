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

	"github.com/dhcp4o6/dhcp4o6/bench/baseline"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

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
	measured := o.Subjects
	o.Subjects = slices.Clone(measured)
	also := func(name string) {
		if !slices.Contains(o.Subjects, name) {
			o.Subjects = append(o.Subjects, name)
		}
	}
	if o.Before != "" {
		also(Before)
		for _, name := range hooked {
			if slices.Contains(measured, name) {
				also(asBefore(name))
			}
		}
	}
	if o.KeaOther != "" {
		also(KeaOther)
	}
	return o
}

// mostRuns is how many runs a pair can make: each has clients of its own, whose identifiers have
// the number of the run in one octet.
const mostRuns = 255

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
	if n := o.Rounds * (len(o.Windows) + len(o.Rates) + len(o.Overload)); o.Held == 0 && n > mostRuns {
		return fmt.Errorf("each pair would make %d runs, and can make %d: -rounds, -windows and -rates say how many", n, mostRuns)
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
