// Soak runs the proofs that take long for as long as it is given, and writes
// what came of it, with date and commit, to docs/soak.md:
//
//	go run ./deploy/lab/cmd/soak -time 4h
//
// Half of the time goes to fuzzing every parser, the rest to kills, attacks
// and full disks. It runs at the top of the repository, on binaries that make
// build has built.
package main

import (
	"bufio"
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
	"strings"
	"time"
)

func main() {
	total := flag.Duration("time", 4*time.Hour, "how long to soak, about")
	out := flag.String("out", "docs/soak.md", "where the result goes")
	flag.Parse()
	ok, err := run(*total, *out)
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
	// keep finds what is worth keeping in a line of the output.
	keep *regexp.Regexp
	last bool // only the last such line
}

// Said is what a test logs, found what a fuzzer counts.
var (
	said  = regexp.MustCompile(`^ +\w+_test\.go:\d+: (.*)`)
	found = regexp.MustCompile(`^fuzz: elapsed: .*, (execs: \d+) .*`)
)

// steps divides the time. How long a round takes was measured; the machine may
// be slower.
func steps(root string, total time.Duration) ([]step, error) {
	rounds := func(share float64, each time.Duration) int { return max(1, int(share*float64(total)/float64(each))) }
	one := func(name, env string, n int, pkg, pattern string) step {
		return step{name, []string{fmt.Sprintf("%s=%d", env, n)},
			[]string{"-count=1", "-timeout=0", "-v", "-run", pattern, pkg}, said, false}
	}
	list := []step{
		one("dhcp4d killed under load", "DHCP4O6_KILLS", rounds(0.25, 1200*time.Millisecond), "./deploy/lab/durable", "^TestKilledUnderLoad$"),
		one("the store killed while it commits", "STORE_KILLS", rounds(0.05, 150*time.Millisecond), "./dhcp4d/internal/store", "AKilledProcess"),
		one("full disk under load", "DHCP4O6_FULL_DISKS", rounds(0.1, 30*time.Second), "./deploy/lab/durable", "^TestFullDisk$"),
		one("attacks on dhcp4d's end of the link", "DHCP4O6_ATTACKS", rounds(0.05, 10*time.Microsecond), "./dhcp4d/internal/server", "^TestAttacks$"),
		one("attacks on dhcp6d's end of the link", "DHCP4O6_ATTACKS", rounds(0.05, 10*time.Microsecond), "./dhcp6d/internal/server", "^TestAttacks$"),
		one("an intruder on the network between the daemons", "DHCP4O6_ATTACKS", rounds(0.05, 30*time.Microsecond), "./deploy/lab/e2e", "^TestIntruder$"),
		{"power cuts and disk errors at every point", nil, []string{"-count=1", "-timeout=0", "-v", "-run", "PowerCut|ErrorOfTheDisk", "./dhcp4d/internal/store"}, said, false},
		{"system calls in order", nil, []string{"-count=1", "-timeout=0", "-v", "-run", "^TestTrace$", "./deploy/lab/durable"}, said, false},
	}
	fuzzers, err := fuzzers(root)
	if err != nil {
		return nil, err
	}
	each := max(time.Second, (total / 2 / time.Duration(len(fuzzers))).Round(time.Second))
	for _, f := range fuzzers {
		list = append(list, step{fmt.Sprintf("%s of %s, %v", f.name, strings.TrimPrefix(f.dir, "./"), each), nil,
			[]string{"-run", "^$", "-fuzz", "^" + f.name + "$", "-fuzztime", each.String(), f.dir}, found, true})
	}
	return list, nil
}

type fuzzer struct{ dir, name string }

var fuzzFunc = regexp.MustCompile(`(?m)^func (Fuzz\w+)`)

// fuzzers finds every fuzz test below root.
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

// result is what came of a step.
type result struct {
	step
	took time.Duration
	kept []string
	err  error
}

func run(total time.Duration, out string) (ok bool, err error) {
	list, err := steps(".", total)
	if err != nil {
		return false, err
	}
	began, of := time.Now(), commit()
	var results []result
	ok = true
	for i, s := range list {
		fmt.Printf("== %d of %d: %s\n", i+1, len(list), s.name)
		r := s.run(os.Stdout)
		ok = ok && r.err == nil
		results = append(results, r)
	}
	if err := os.WriteFile(out, []byte(report(began, of, results)), 0o644); err != nil {
		return ok, fmt.Errorf("writing the result: %w", err)
	}
	return ok, nil
}

func (s step) run(log io.Writer) result {
	r := result{step: s}
	cmd := exec.Command("go", append([]string{"test"}, s.args...)...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stderr = log
	began := time.Now()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		r.err = err
		return r
	}
	if r.err = cmd.Start(); r.err != nil {
		return r
	}
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		_, _ = fmt.Fprintln(log, lines.Text()) // the result is what counts
		if m := s.keep.FindStringSubmatch(lines.Text()); m != nil {
			if s.last {
				r.kept = r.kept[:0]
			}
			r.kept = append(r.kept, m[1])
		}
		if strings.Contains(lines.Text(), "--- SKIP") {
			r.kept = append(r.kept, "skipped")
		}
	}
	r.err = cmd.Wait()
	r.took = time.Since(began)
	return r
}

// longest is how many lines of a step are kept.
const longest = 6

func report(began time.Time, of string, results []result) string {
	failed := slices.ContainsFunc(results, func(r result) bool { return r.err != nil })
	verdict := "everything held"
	if failed {
		verdict = "**something failed**"
	}
	var w strings.Builder
	fmt.Fprintf(&w, `# The last soak

%s, commit %s, %v on %d processors (%s, %s): %s.

Written by `+"`make soak`"+`. Half of the time goes to fuzzing every parser, the rest to the proofs that a test run does in short:
kills, full disks, attacks, power cuts.

| What | Took | Result |
| --- | --- | --- |
`, began.UTC().Format(time.DateOnly), of, time.Since(began).Round(time.Second), runtime.NumCPU(), kernel(), runtime.Version(), verdict)
	for _, r := range results {
		kept := r.kept
		if extra := len(kept) - longest; extra > 0 {
			kept = append(slices.Clip(kept[:longest]), fmt.Sprintf("and %d lines more", extra))
		}
		text := strings.ReplaceAll(strings.Join(kept, "<br>"), "|", `\|`)
		if text == "" {
			text = "ok"
		}
		if r.err != nil {
			text = "**failed**: " + text
		}
		fmt.Fprintf(&w, "| %s | %v | %s |\n", r.name, r.took.Round(time.Second), text)
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
