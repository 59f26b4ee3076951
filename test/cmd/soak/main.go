// Soak runs the tests that take long for a given time. It writes the result, with date and commit,
// to docs/soak.md:
//
//	go run ./test/cmd/soak -time 4h
//
// It can be done in pieces. With a directory for its state each run adds to what the runs before
// have done, and the report is about all of them:
//
//	go run ./test/cmd/soak -time 90m -state /var/tmp/soak
//
// A run begins with the steps that have had the least time, so a run that is cut short loses only
// the step at hand. To begin anew, remove the directory.
//
// A third of the time goes to fuzzing every parser, the rest to kills, attacks, full disks, damaged
// stores, a PostgreSQL server where there is one, rotated lease logs and the simulation of dhcp4d.
// It runs at the top of the repository, with the binaries of make build.
package main

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	total := flag.Duration("time", 4*time.Hour, "how long to soak, about")
	out := flag.String("out", "docs/soak.md", "where the result goes")
	state := flag.String("state", "", "directory that keeps what was done, for a soak in pieces")
	flag.Parse()
	ok, err := run(*total, *out, *state)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// A step is one go test.
type step struct {
	name string
	env  []string
	args []string
	// keep finds the parts of the output that belong in the result.
	keep *regexp.Regexp
	last bool // only the last such line
}

// A said line is one that a test logs, or one that says how to repeat a failure. A found line is
// one with the counts of a fuzzer.
var (
	said  = regexp.MustCompile(`^ +(?:\w+_test\.go:\d+: (.*)|(again: .*))`)
	found = regexp.MustCompile(`^fuzz: elapsed: .*, (execs: \d+) .*`)
)

// steps divides the time. The time of a round was measured; a slower machine needs longer.
func steps(root string, total time.Duration) ([]step, error) {
	rounds := func(share float64, each time.Duration) int { return max(1, int(share*float64(total)/float64(each))) }
	share := func(of float64) time.Duration {
		return max(time.Second, time.Duration(of*float64(total)).Round(time.Second))
	}
	again := func(name string, n int, pkg, pattern string) step {
		return step{name, nil, []string{"-count=" + strconv.Itoa(n), "-timeout=0", "-v", "-run", pattern, pkg}, said,
			false}
	}
	one := func(name, env string, n int, pkg, pattern string) step {
		return step{name, []string{fmt.Sprintf("%s=%d", env, n)},
			[]string{"-count=1", "-timeout=0", "-v", "-run", pattern, pkg}, said, false}
	}
	list := []step{
		one("two dhcp6d, three dhcp4d and a PostgreSQL server killed under load", "DHCP4O6_SEVERAL_KILLS",
			rounds(0.08, 1200*time.Millisecond), "./test/durable", "^TestSeveralKilledUnderLoad$"), // in 4 h each of nine kinds 100 times
		again("two dhcp4d that fight for the addresses of one pool", rounds(0.02, time.Minute), "./test/e2e", "^TestFullPool$|^TestChangeOfHands$"),
		one("dhcp4d killed under load", "DHCP4O6_KILLS", rounds(0.1, 1200*time.Millisecond), "./test/durable",
			"^TestKilledUnderLoad$"),
		one("the store killed while it commits", "STORE_KILLS", rounds(0.05, 150*time.Millisecond),
			"./dhcp4d/internal/store/disk", "AKilledProcess"),
		one("full disk under load", "DHCP4O6_FULL_DISKS", rounds(0.05, 30*time.Second), "./test/durable",
			"^TestFullDisk$"),
		one("files broken while dhcp4d serves", "DHCP4O6_BREAKS_SERVING", rounds(0.02, 8*time.Second), "./test/durable",
			"^TestFilesBrokenWhileServing$"),
		one("rights taken from files of the state", "DHCP4O6_DENIALS", rounds(0.01, time.Second), "./test/durable",
			"^TestRightsAtTheStart$"),
		one("attacks on dhcp4d's end of the link", "DHCP4O6_ATTACKS", rounds(0.05, 10*time.Microsecond),
			"./dhcp4d/internal/server", "^TestAttacks$"),
		one("attacks on dhcp6d's end of the link", "DHCP4O6_ATTACKS", rounds(0.05, 10*time.Microsecond),
			"./dhcp6d/internal/server", "^TestAttacks$"),
		one("an intruder on the network between the daemons", "DHCP4O6_ATTACKS", rounds(0.05, 30*time.Microsecond),
			"./test/e2e", "^TestIntruder$"),
		{"dhcp4d in simulated worlds", []string{"SIMULATION_TIME=" + share(0.2).String()},
			[]string{"-count=1", "-timeout=0", "-v", "-run", "^TestSeeds$", "./dhcp4d/internal/simulation"}, said,
			false},
		one("several dhcp4d on a database in simulated worlds", "SIMULATION_DATABASE_SEEDS",
			rounds(0.1, 50*time.Millisecond), "./dhcp4d/internal/simulation", "^TestDatabaseSeeds$"), // in 4 h some 28 000
		one("connections to a database cut at random", "STORE_SEEDS", rounds(0.03, 700*time.Millisecond),
			"./dhcp4d/internal/store/postgres", "^TestDB_4_CutAtRandom$"),
		one("connections to a database that break and stand still", "STORE_BAD_SECONDS", rounds(0.02, time.Second),
			"./dhcp4d/internal/store/postgres", "^TestDB_4_BadConnections$"),
		{"a connection to a database cut at each octet of a commit", []string{"STORE_CUTS=1"},
			[]string{"-count=1", "-timeout=0", "-v", "-run", "^TestDB_4_CutAtEachOctet$",
				"./dhcp4d/internal/store/postgres"}, said, false},
		again("a PostgreSQL server that is killed, and other faults of a database", rounds(0.05, time.Minute),
			"./dhcp4d/internal/store/postgres", "^TestDB_"),
		again("every file of a store damaged, and repaired", rounds(0.05, time.Minute), "./dhcp4d/internal/store/disk",
			"^TestEveryFileInEveryState$|^TestRepair$|^TestARepair"),
		again("the lease log while its files rotate", rounds(0.01, time.Second), "./dhcp4d/internal/hooks",
			"^TestNoLineIsLostOrTornWhileFilesRotate$"),
		again("a dhcp4d that rotates its lease log", rounds(0.01, 10*time.Second), "./dhcp4d",
			"^TestTheLeaseLogRotates$"),
		{"power cuts and disk errors at every point", nil, []string{"-count=1", "-timeout=0", "-v", "-run",
			"PowerCut|ErrorOfTheDisk", "./dhcp4d/internal/store/disk"}, said, false},
		{"system calls in order", nil, []string{"-count=1", "-timeout=0", "-v", "-run", "^TestTrace$", "./test/durable"}, said, false},
	}
	fuzzers, err := fuzzers(root)
	if err != nil {
		return nil, err
	}
	each := share(0.36 / float64(len(fuzzers)))
	for _, f := range fuzzers {
		list = append(list, step{fmt.Sprintf("%s of %s", f.name, strings.TrimPrefix(f.dir, "./")), nil,
			[]string{"-tags", "budget", "-run", "^$", "-fuzz", "^" + f.name + "$", "-fuzztime", each.String(), f.dir},
			found, true})
	}
	return list, nil
}

type fuzzer struct{ dir, name string }

var fuzzFunc = regexp.MustCompile(`(?m)^func (Fuzz\w+)`)

// fuzzers returns every fuzz test below root.
func fuzzers(root string) (list []fuzzer, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range fuzzFunc.FindAllStringSubmatch(string(text), -1) {
			list = append(list, fuzzer{"./" + filepath.Dir(path), m[1]})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for fuzz tests: %w", err)
	}
	return list, nil
}

// result is the outcome of a step.
type result struct {
	Name   string
	Took   time.Duration
	Kept   []string
	Failed string // why the step failed, "" if it did not
}

func run(total time.Duration, out, state string) (ok bool, err error) {
	list, err := steps(".", total)
	if err != nil {
		return false, err
	}
	pieces, err := readPieces(state)
	if err != nil {
		return false, err
	}
	before := sum(pieces)
	slices.SortStableFunc(list, func(a, b step) int { return cmp.Compare(before[a.name].Took, before[b.name].Took) })
	now := piece{Began: time.Now(), Commit: commit()}
	ok = true
	for i, s := range list {
		fmt.Printf("== %d of %d: %s\n", i+1, len(list), s.name)
		r := s.run(os.Stdout)
		ok = ok && r.Failed == ""
		now.Took = time.Since(now.Began)
		now.Results = append(now.Results, r)
		if err := now.write(state); err != nil {
			return ok, err
		}
		if state == "" && i < len(list)-1 {
			continue // a step that was cut short is not reported
		}
		if err := os.WriteFile(out, []byte(report(append(slices.Clip(pieces), now), names(list))), 0o644); err != nil {
			return ok, fmt.Errorf("writing the result: %w", err)
		}
	}
	return ok, nil
}

func (s step) run(log io.Writer) result {
	r := result{Name: s.name}
	cmd := exec.Command("go", append([]string{"test"}, s.args...)...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stderr = log
	began := time.Now()
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.Failed = err.Error()
		return r
	}
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		_, _ = fmt.Fprintln(log, lines.Text()) // a failure to log does not matter
		if m := s.keep.FindStringSubmatch(lines.Text()); m != nil {
			if s.last {
				r.Kept = r.Kept[:0]
			}
			r.Kept = append(r.Kept, strings.Join(m[1:], ""))
		}
		if strings.Contains(lines.Text(), "--- SKIP") && !slices.Contains(r.Kept, "skipped") {
			r.Kept = append(r.Kept, "skipped")
		}
	}
	if err := cmd.Wait(); err != nil {
		r.Failed = err.Error()
	}
	r.Took = time.Since(began)
	return r
}

// longest is the number of lines of a step that are kept.
const longest = 6

// names are the names of steps.
func names(list []step) (all []string) {
	for _, s := range list {
		all = append(all, s.name)
	}
	return all
}

// report is docs/soak.md of one or more pieces, the last of which may go on. It names the steps
// that none of them has come to.
func report(pieces []piece, steps []string) string {
	all := sum(pieces)
	verdict := "everything held"
	for _, r := range all {
		if r.Failed != "" {
			verdict = "**something failed**"
		}
	}
	missing := slices.DeleteFunc(slices.Clone(steps), func(name string) bool { _, done := all[name]; return done })
	if len(missing) > 0 {
		verdict += ", but it is not complete"
	}
	var took time.Duration
	var commits []string
	for _, p := range pieces {
		took += p.Took
		if !slices.Contains(commits, p.Commit) {
			commits = append(commits, p.Commit)
		}
	}
	last := &pieces[len(pieces)-1]
	inPieces := ""
	if len(pieces) > 1 {
		inPieces = fmt.Sprintf(", in %d pieces from %s on, their figures added up", len(pieces),
			pieces[0].Began.UTC().Format(time.DateOnly))
	}
	var w strings.Builder
	fmt.Fprintf(&w, `# The last soak

%s, commit %s, %v in total on %d processors (%s, %s)%s:
%s.

Written by `+"`make soak SOAK=4h`"+`. A third of the time goes to fuzzing every parser, the rest to longer runs
of the tests with kills, full disks, attacks, damaged stores and power cuts, and to dhcp4d in
simulated worlds, also several of them on one database ([simulation.md](simulation.md)). A soak can be
done in pieces:
`+"`make soak SOAK=90m SOAK_STATE=/var/tmp/soak`"+` adds to what earlier runs with that directory have done.

| What | Took | Result |
| --- | --- | --- |
`, last.Began.UTC().Format(time.DateOnly), strings.Join(commits, ", "), took.Round(time.Second), runtime.NumCPU(), kernel(), runtime.Version(), inPieces, verdict)
	for _, r := range inOrder(pieces) {
		kept := r.Kept
		if extra := len(kept) - longest; extra > 0 {
			kept = append(slices.Clip(kept[:longest]), fmt.Sprintf("and %d lines more", extra))
		}
		text := strings.ReplaceAll(strings.Join(kept, "<br>"), "|", `\|`)
		if text == "" {
			text = "ok"
		}
		if r.Failed != "" {
			text = "**failed**: " + text
		}
		fmt.Fprintf(&w, "| %s | %v | %s |\n", r.Name, r.Took.Round(time.Second), text)
	}
	for _, name := range missing {
		fmt.Fprintf(&w, "| %s | 0s | not run yet |\n", name)
	}
	return w.String()
}

func commit() string {
	b, err := exec.Command("git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return "Linux " + strings.TrimSpace(string(b))
}
