package simulation

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// A plan is all that happens to a run from outside, made from a seed before
// it begins. Clients decide as they go, each with random numbers of its own,
// so that leaving out one fault or client changes nothing else by itself.
type plan struct {
	Seed     uint64
	clients  int
	pool     int // addresses of each of the two subnets
	lease    time.Duration
	limit    int     // replies in a commit group
	restless float64 // share of leases with which a client does something else than renew
	wishes   bool    // some clients wish for a lease time
	recalls  bool    // some clients ask for the address of a lease that has expired, as with a slow clock
	refuse   bool    // moves: refuse
	lifetime time.Duration
	loss     float64 // of the network, always
	double   float64
	delay    time.Duration // mostly
	wallOff  time.Duration // of the clock at the start
	ntp      bool
	repairs  bool // the operator repairs a damaged store, and does not restore it
	faults   []fault
	plant    plant // a fault of dhcp4d's own: the negative controls
}

// plant is what is wrong with dhcp4d.
type plant string

const (
	nothing    plant = ""
	fastClock  plant = "its clock runs twice as fast"
	noSync     plant = "its syncs do nothing"
	otherLinks plant = "it takes one link for the other when it is started again"
	deaf       plant = "it answers nobody once the disk has failed"
	mumbles    plant = "it says nothing when it does not start"
	litters    plant = "it leaves a file behind with each start"
	ghosts     plant = "it does not look whether its directory is there"
)

// without is the plan without its i-th fault.
func (p plan) without(i int) plan {
	p.faults = slices.Delete(slices.Clone(p.faults), i, i+1)
	return p
}

// A fault is one thing that happens.
type fault struct {
	kind kind
	at   time.Duration
	span time.Duration // how long it lasts
	by   time.Duration // how far a clock goes
	n    int
	part float64
}

type kind int

const (
	clockStep  kind = iota // the wall clock steps by by
	clockRight             // it is set right
	clockDrift             // it runs by part off
	bootDrift              // the boot clock does
	pause                  // the machine stands still for span
	diskErrors             // part of the changes fail for span
	diskReads              // part of the reads fail for span
	diskFull
	diskFiles // no more than n files can be opened besides
	diskSlow  // each call takes by longer
	diskStops // no call returns for span
	kill      // the process ends at once, and starts after span
	powerCut  // so does the machine; its clock is off by by afterwards
	restart   // SIGTERM, and a start after span
	restarts  // n times, without a client between
	failStart // n starts that find the port taken
	damage    // a file is damaged while dhcp4d does not run
	deleted   // the directory is deleted while dhcp4d runs, and put back after span
	netLoss   // part of the datagrams are lost for span, all are late
	reload    // of the configuration, to variant n
	release   // by the operator
	reserve
	kinds
)

var kindNames = [kinds]string{
	"clock-step", "clock-right", "clock-drift", "boot-drift", "pause", "disk-errors", "disk-reads", "disk-full", "disk-files",
	"disk-slow", "disk-stops", "kill", "power-cut", "restart", "restarts", "fail-start", "damage", "deleted", "network",
	"reload", "release", "reserve",
}

func (k kind) String() string { return kindNames[k] }

func (f fault) String() string {
	s := fmt.Sprintf("%v %v", round(f.at), f.kind)
	if f.span != 0 {
		s += " for " + round(f.span).String()
	}
	if f.by != 0 {
		s += " by " + round(f.by).String()
	}
	if f.part != 0 {
		s += fmt.Sprintf(" part %.5f", f.part)
	}
	if f.n != 0 {
		s += fmt.Sprintf(" n %d", f.n)
	}
	return s
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// makePlan draws a plan. Only the kinds named may happen, all if none is.
func makePlan(seed uint64, only ...kind) plan {
	rng := rand.New(rand.NewPCG(seed, 1))
	between := func(a, b time.Duration) time.Duration { return a + time.Duration(rng.Int64N(int64(b-a)+1)) }
	p := plan{
		Seed: seed, clients: 4 + rng.IntN(21), lease: between(time.Minute, 10*time.Minute).Round(time.Second),
		limit: 4 << rng.IntN(8), restless: []float64{0.05, 0.2, 0.5}[rng.IntN(3)], wishes: rng.IntN(2) == 0, refuse: rng.IntN(4) == 0,
		loss: []float64{0, 0.02, 0.1}[rng.IntN(3)], double: []float64{0, 0.05}[rng.IntN(2)], delay: between(time.Millisecond, 50*time.Millisecond),
		ntp: rng.IntN(3) > 0, repairs: rand.New(rand.NewPCG(seed, 3)).IntN(3) == 0, recalls: rand.New(rand.NewPCG(seed, 61)).IntN(2) == 0,
	}
	p.pool = max(2, p.clients*(30+rng.IntN(60))/100)
	p.lifetime = between(4*p.lease, 8*p.lease)
	// A run has some kinds of faults only: all at once hide each other.
	may := only
	if len(may) == 0 {
		for k := range kinds {
			if rng.IntN(3) == 0 {
				may = append(may, k)
			}
		}
	}
	if slices.Contains(may, clockStep) && rng.IntN(2) == 0 {
		p.wallOff = between(-2*time.Hour, 2*time.Hour)
		if rng.IntN(4) == 0 {
			p.wallOff = -50 * 365 * 24 * time.Hour
		}
	}
	short := func() time.Duration { return between(10*time.Millisecond, 2*time.Second) }
	for n := 2 + rng.IntN(10); n > 0 && len(may) > 0; n-- {
		k := may[rng.IntN(len(may))]
		f := fault{kind: k, at: between(0, p.lifetime), n: rng.IntN(1 << 20), part: rng.Float64(), span: between(time.Second, p.lease)}
		switch k {
		case clockStep:
			f.by = between(-2*p.lease, 2*p.lease)
			if rng.IntN(3) == 0 {
				f.by = between(-3*time.Hour, 3*time.Hour)
			}
		case clockDrift, bootDrift:
			f.part = (f.part - 0.5) * 400e-6
		case pause:
			f.span = between(time.Second, 2*p.lease)
		case diskErrors, diskReads:
			f.part *= f.part
		case diskFiles:
			f.n %= 4
		case diskSlow:
			f.by = short()/100 + time.Duration(f.n%1000)
		case diskStops:
			f.span = between(time.Second, 20*time.Second)
		case kill, restart, powerCut:
			f.span = between(10*time.Millisecond, 5*time.Second)
			if rng.IntN(4) == 0 {
				f.span = between(time.Second, p.lease)
			}
			if k == powerCut && rng.IntN(3) == 0 {
				f.by = between(-2*time.Hour, 2*time.Hour)
			}
		case restarts, failStart:
			f.n = 5 + f.n%40
		}
		p.faults = append(p.faults, f)
	}
	slices.SortStableFunc(p.faults, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	return p
}
