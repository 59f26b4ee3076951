package simulation

import (
	"cmp"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var (
	flagSeed    = flag.Uint64("seed", 0, "run this seed only")
	flagFrom    = flag.Uint64("from", 1, "the first seed")
	flagSeeds   = flag.Int("seeds", 0, "how many seeds to run")
	flagFaults  = flag.String("faults", "", "only these kinds of faults, separated by commas")
	flagOnly    = flag.String("invariant", "", "check only this invariant")
	flagKeep    = flag.String("keep", "", "with -seed: only its faults with these numbers, separated by commas, or none")
	flagClients = flag.Int("clients", 0, "with -seed: the number of clients")
	flagCalm    = flag.Bool("calm", false, "with -seed: a network that loses and doubles nothing")
)

// simulate runs a plan. Without checks it checks all invariants.
func simulate(t *testing.T, p plan, checks ...invariant) (w *world) {
	t.Helper()
	var only map[invariant]bool
	for _, c := range checks {
		if only == nil {
			only = map[invariant]bool{}
		}
		only[c] = true
	}
	synctest.Test(t, func(*testing.T) {
		w = newWorld(p, only)
		w.run()
	})
	return w
}

// planOf returns the plan of a seed, changed as the flags say.
func planOf(seed uint64) plan {
	var which []kind
	for name := range strings.SplitSeq(*flagFaults, ",") {
		if k := slices.Index(kindNames[:], name); k >= 0 {
			which = append(which, kind(k))
		}
	}
	p := makePlan(seed, which...)
	if *flagSeed == 0 {
		return p
	}
	if *flagClients > 0 {
		p.clients = *flagClients
	}
	if *flagCalm {
		p.loss, p.double = 0, 0
	}
	if *flagKeep != "" {
		var kept []fault
		for i := range strings.SplitSeq(*flagKeep, ",") {
			if n, err := strconv.Atoi(i); err == nil && n < len(p.faults) {
				kept = append(kept, p.faults[n])
			}
		}
		p.faults = kept
	}
	return p
}

// shrink leaves out the parts of a plan that are not needed to break an invariant. It returns the
// rest, and the flags that repeat it.
func shrink(t *testing.T, p plan, what invariant, checks []invariant) (plan, []string) {
	numbers := make([]string, len(p.faults))
	for i := range numbers {
		numbers[i] = strconv.Itoa(i)
	}
	flags := []string{fmt.Sprintf("-seed %d", p.Seed)}
	if *flagFaults != "" {
		flags = append(flags, "-faults "+*flagFaults)
	}
	if *flagOnly != "" {
		flags = append(flags, "-invariant "+*flagOnly)
	}
	breaks := func(p plan) bool {
		w := simulate(t, p, checks...)
		return w.found != nil && w.found.what == what
	}
	for i := range slices.Backward(p.faults) {
		if q := p.without(i); breaks(q) {
			p, numbers = q, slices.Delete(numbers, i, i+1)
		}
	}
	if len(numbers) == 0 {
		numbers = []string{"none"}
	}
	flags = append(flags, "-keep "+strings.Join(numbers, ","))
	calm := p
	if calm.loss, calm.double = 0, 0; breaks(calm) {
		p, flags = calm, append(flags, "-calm")
	}
	all := p.clients
	for _, n := range []int{2, 3, 4, 6, 9, 14} {
		q := p
		if q.clients = n; n < all && breaks(q) {
			p = q
			break
		}
	}
	if p.clients < all {
		flags = append(flags, fmt.Sprintf("-clients %d", p.clients))
	}
	return p, flags
}

// report returns the text of a failure: its history, and how to repeat it.
func report(t *testing.T, w *world, checks []invariant) string {
	p, flags := shrink(t, w.plan, w.found.what, checks)
	small := simulate(t, p, checks...)
	return small.tell() + "again: go test ./dhcp4d/internal/simulation -run 'TestSeeds$' -args " + strings.Join(flags, " ")
}

// TestSeeds runs seeds. None may break an invariant.
func TestSeeds(t *testing.T) {
	from, n := *flagFrom, cmp.Or(*flagSeeds, ordinary)
	if *flagSeed != 0 {
		from, n = *flagSeed, 1
	}
	end := time.Now().Add(24 * 365 * time.Hour)
	if text := os.Getenv("SIMULATION_TIME"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("SIMULATION_TIME: %v", err)
		}
		from, n, end = uint64(time.Now().UnixNano())&^0xfffff, 1<<40, time.Now().Add(d) // new seeds each time
	}
	var checks []invariant
	if *flagOnly != "" {
		checks = append(checks, invariant(*flagOnly))
	}
	var mu sync.Mutex
	var sum stats
	broken := map[invariant]int{}
	runs := 0
	next := atomic.Uint64{}
	t.Run("workers", func(t *testing.T) {
		for i := range 2 {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				for {
					nth := next.Add(1) - 1
					if nth >= uint64(n) || time.Now().After(end) {
						return
					}
					w := simulate(t, planOf(from+nth), checks...)
					mu.Lock()
					runs++
					sum.add(&w.stats)
					first := false
					if w.found != nil {
						broken[w.found.what]++
						first = broken[w.found.what] == 1
					}
					mu.Unlock()
					if first {
						t.Error(report(t, w, checks))
					}
				}
			})
		}
	})
	t.Logf("%d seeds, %d hours of true time, %v", runs, int(sum.duration.Hours()), &sum)
	if len(broken) > 0 {
		t.Errorf("seeds that broke an invariant: %v", broken)
	}
}

// TestSeedsThatFailed runs seeds that once broke an invariant.
func TestSeedsThatFailed(t *testing.T) {
	for _, c := range []struct {
		seed   uint64
		faults []int // the faults that matter, nil for all
		why    string
	}{
		{1795977497167266000, []int{2}, "a repair lost the record of a release and of the next client's lease; the former client got the address back"},
	} {
		t.Run(strconv.FormatUint(c.seed, 10), func(t *testing.T) {
			t.Parallel()
			p := makePlan(c.seed)
			var kept []fault
			for _, n := range c.faults {
				kept = append(kept, p.faults[n])
			}
			if c.faults != nil {
				p.faults = kept
			}
			if w := simulate(t, p); w.found != nil {
				t.Errorf("%s: %s", c.why, w.tell())
			}
		})
	}
}

// TestASeedIsRepeatable compares two runs of a seed, line by line.
func TestASeedIsRepeatable(t *testing.T) {
	for seed := range uint64(ordinary / 10) {
		p := makePlan(seed)
		a, b := simulate(t, p), simulate(t, p)
		for i := range a.history {
			if i >= len(b.history) || a.history[i].String() != b.history[i].String() {
				t.Fatalf("seed %d, line %d: %s", seed, i, a.history[i].String())
			}
		}
		if a.trace != b.trace || len(a.history) != len(b.history) {
			t.Fatalf("seed %d: two runs differ", seed)
		}
	}
}

// TestAFaultyServerIsCaught plants a fault in dhcp4d for each invariant, which must catch it.
func TestAFaultyServerIsCaught(t *testing.T) {
	for _, c := range []struct {
		plant  plant
		want   invariant
		faults []kind
	}{
		{fastClock, doubled, []kind{restart}},
		{noSync, forgotten, []kind{powerCut}},
		{otherLinks, denied, []kind{kill}},
		{deaf, silent, []kind{netLoss}},
		{mumbles, unclear, []kind{failStart, damage, diskReads}},
		{litters, space, []kind{kill, powerCut}},
		{ghosts, lost, []kind{deleted}},
	} {
		t.Run(string(c.plant), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(100) {
				p := makePlan(seed, c.faults...)
				p.plant = c.plant
				if w := simulate(t, p, c.want); w.found != nil {
					t.Logf("seed %d: %s", seed, w.found.text)
					return
				}
			}
			t.Errorf("no seed finds %s", c.want)
		})
	}
}

// TestAFailureIsReadable checks the text of a failure.
func TestAFailureIsReadable(t *testing.T) {
	p := makePlan(3)
	p.plant = fastClock
	for w := simulate(t, p, doubled); ; p.Seed++ {
		if w.found == nil {
			w = simulate(t, p, doubled)
			continue
		}
		text := w.tell()
		for _, want := range []string{fmt.Sprintf("seed %d: doubled: ", p.Seed), "takes " + w.found.addr.String(), "VIOLATION"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in\n%s", want, text)
			}
		}
		if n := strings.Count(text, "\n"); n > 60 {
			t.Errorf("the text has %d lines, want at most 60", n)
		}
		for other := netip.MustParseAddr("192.0.2.10"); other != netip.MustParseAddr("192.0.2.20"); other = other.Next() {
			if other != w.found.addr && strings.Contains(text, "takes "+other.String()+" ") {
				t.Errorf("the text is about %v, too", other)
			}
		}
		return
	}
}
