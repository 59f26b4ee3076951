package simulation

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// A plan is the configuration and the faults of a run, drawn from a seed before the run begins.
// Each client draws its decisions during the run from random numbers of its own. So the rest of a
// run stays as it is if a fault or a client is left out.
type plan struct {
	Seed     uint64
	clients  int
	pool     int // addresses of each of the two subnets
	lease    time.Duration
	limit    int     // replies in a commit group
	restless float64 // share of the leases whose clients do something else than renew
	wishes   bool    // some clients ask for a lease time
	recalls  bool    // some clients ask for the address of a lease that has expired, as with a slow clock
	refuse   bool    // moves: refuse
	lifetime time.Duration
	loss     float64 // share of the datagrams that are lost
	double   float64
	delay    time.Duration // of most datagrams, at most
	wallOff  time.Duration // how far the wall clock is off at the start
	ntp      bool
	repairs  bool // the operator repairs a damaged store instead of restoring it
	faults   []fault
	plant    plant // a planted fault of dhcp4d, for the tests of the invariants
}

// plant is a fault that a test plants in dhcp4d.
type plant string

const (
	nothing    plant = ""
	fastClock  plant = "its clock runs twice as fast"
	noSync     plant = "its syncs do nothing"
	otherLinks plant = "it confuses two links after a restart"
	deaf       plant = "it answers nobody once the faults have ended"
	mumbles    plant = "it does not say why it does not start"
	litters    plant = "it leaves a file behind with each start"
	ghosts     plant = "it does not notice that its directory was deleted"
)

// without returns the plan without fault i.
func (p plan) without(i int) plan {
	p.faults = slices.Delete(slices.Clone(p.faults), i, i+1)
	return p
}

// A fault is one event from outside.
type fault struct {
	kind kind
	at   time.Duration
	span time.Duration // how long it lasts
	by   time.Duration // how far a clock steps, or how much longer a call takes
	n    int
	part float64
}

type kind int

const (
	clockStep  kind = iota // the wall clock steps (by)
	clockRight             // the wall clock is set right
	clockDrift             // the wall clock runs fast or slow (part)
	bootDrift              // the boot clock runs fast or slow (part)
	pause                  // the machine is paused (span)
	diskErrors             // some changes fail (part, span)
	diskReads              // some reads fail (part, span)
	diskFull               // no file can grow (span)
	diskFiles              // only n more files can be open (span)
	diskSlow               // each call takes longer (by, span)
	diskStops              // no call returns (span)
	kill                   // the process is killed, and started later (span)
	powerCut               // the machine loses power; then its wall clock is off (by)
	restart                // SIGTERM, and a start later (span)
	restarts               // n restarts in a row, without a client between them
	failStart              // n starts that find the port taken
	damage                 // a file is damaged while dhcp4d does not run
	deleted                // the directory is deleted while dhcp4d runs, and put back later (span)
	netLoss                // some datagrams are lost (part, span), all are late
	reload                 // the configuration is reloaded, as variant n
	release                // the operator releases an address
	reserve                // the operator reserves an address
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

// makePlan draws a plan from a seed. Without kinds all kinds of faults may happen.
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
	// A run has only some kinds of faults: one kind can hide the effect of another.
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
