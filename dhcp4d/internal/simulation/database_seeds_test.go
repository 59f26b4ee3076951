package simulation

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// simulateDatabase runs a plan of several dhcp4d on one database.
func simulateDatabase(t *testing.T, p databasePlan, checks ...invariant) (w *databaseWorld) {
	t.Helper()
	var only map[invariant]bool
	for _, c := range checks {
		if only == nil {
			only = map[invariant]bool{}
		}
		only[c] = true
	}
	synctest.Test(t, func(*testing.T) {
		w = newDatabaseWorld(p, only)
		w.run()
	})
	if err := w.server.Err(); err != nil {
		t.Fatal(err)
	}
	return w
}

// databaseCounts are the counts of runs with a database.
type databaseCounts struct {
	seeds, acks, commits, cuts, failures, starts int
	healed                                       int
}

func (n *databaseCounts) add(w *databaseWorld) {
	n.seeds++
	n.acks += w.stats.acks
	n.commits += w.server.Commits()
	n.cuts += w.weather.cut
	n.failures += w.weather.failed
	n.starts += w.stats.starts
	n.healed += w.healed()
}

func (n *databaseCounts) String() string {
	return fmt.Sprintf("%d seeds, %d ACKs, %d commits, %d connections cut, %d steps failed, %d starts, %d times put back", n.seeds,
		n.acks, n.commits, n.cuts, n.failures, n.starts, n.healed)
}

// TestDatabaseSeeds runs seeds of several dhcp4d on one database. None may break an invariant.
// SIMULATION_DATABASE_SEEDS runs so many fresh seeds.
func TestDatabaseSeeds(t *testing.T) {
	from, n := *flagFrom, cmp.Or(*flagSeeds, ordinaryDatabase)
	if *flagSeed != 0 {
		from, n = *flagSeed, 1
	}
	if text := os.Getenv("SIMULATION_DATABASE_SEEDS"); text != "" {
		many, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("SIMULATION_DATABASE_SEEDS: %v", err)
		}
		from, n = uint64(time.Now().UnixNano())&^0xfffff, many
	}
	var mu sync.Mutex
	var sum databaseCounts
	broken := map[invariant]int{}
	next := atomic.Uint64{}
	t.Run("workers", func(t *testing.T) {
		for i := range 2 {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				for {
					nth := next.Add(1) - 1
					if nth >= uint64(n) {
						return
					}
					w := simulateDatabase(t, makeDatabasePlan(from+nth))
					mu.Lock()
					sum.add(w)
					if w.found != nil {
						broken[w.found.what]++
						if broken[w.found.what] <= 3 {
							t.Errorf("%sagain: go test ./dhcp4d/internal/simulation -run 'TestDatabaseSeeds$' -args -seed %d", w.tell(), from+nth)
						}
					}
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("%v", &sum)
	if len(broken) > 0 {
		t.Errorf("seeds that broke an invariant: %v", broken)
	}
}

// TestDatabaseSeedsThatFailed runs seeds that once broke an invariant.
func TestDatabaseSeedsThatFailed(t *testing.T) {
	for _, c := range []struct {
		seed uint64
		why  string
	}{
		{1796075574733570683, "after a failover, a record whose commit had failed took the address of an acknowledged lease"},
		{1796075574733572660, "after a failover, such a record ended a renewal that another dhcp4d had acknowledged"},
		{1796075574733574715, "after a failover, such a record ended a lease that was not lost"},
	} {
		t.Run(strconv.FormatUint(c.seed, 10), func(t *testing.T) {
			if w := simulateDatabase(t, makeDatabasePlan(c.seed)); w.found != nil {
				t.Errorf("%s: %s", c.why, w.tell())
			}
		})
	}
}

// TestADatabaseSeedIsRepeatable compares two runs of a seed: what was decided about each message
// and each step, and when, and the history. The time limits of a dhcp4d's connections and its
// clocks may strike at the same nanosecond. Then Go's scheduler decides which goroutine is first.
// So a few seeds may differ.
func TestADatabaseSeedIsRepeatable(t *testing.T) {
	const seeds = ordinaryDatabase / 10
	differ := 0
	for seed := range uint64(seeds) {
		p := makeDatabasePlan(seed)
		a, b := simulateDatabase(t, p), simulateDatabase(t, p)
		same := a.trace == b.trace && a.weather.trace == b.weather.trace && len(a.history) == len(b.history)
		for i := range a.history {
			same = same && a.history[i].String() == b.history[i].String()
		}
		if !same {
			differ++
			t.Logf("seed %d: two runs differ", seed)
		}
	}
	if differ > 1+seeds/10 {
		t.Errorf("%d of %d seeds differ", differ, seeds)
	}
}

// TestADatabaseThatChecksNothingIsCaught has a server that stores a lease although another client
// has the address.
func TestADatabaseThatChecksNothingIsCaught(t *testing.T) {
	for seed := range uint64(100) {
		p := makeDatabasePlan(seed)
		p.faulty, p.spread = true, 0.6
		if w := simulateDatabase(t, p, doubled); w.found != nil {
			t.Logf("seed %d: %s", seed, w.found.text)
			return
		}
	}
	t.Errorf("no seed finds it")
}
