package simulation

import (
	"cmp"

	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path"
	"slices"
	"strings"

	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/core"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

const (
	// maxDelay is the longest time that a datagram is on its way.
	maxDelay = 3 * time.Second
	// notice is how long dhcp4d may acknowledge leases after its store was deleted.
	notice = 10 * time.Second
	// settle is how long after the end of all faults every client must be served again.
	settle = 3 * time.Minute
	// spaceBound is how many octets a store of a few dozen leases may take: segments have 64 KiB
	// here, and the probe of the disk has 1 MiB.
	spaceBound = 1<<20 + 20*(64<<10)
	// slack is how much lease times may differ, because they are whole seconds.
	slack = 2 * time.Second
	// drift is the share of a lease time by which leases may overlap: the boot clock may be fast.
	drift = 250e-6
)

// invariant is a rule that no run may break.
type invariant string

const (
	doubled   invariant = "doubled"   // an address is promised to two clients at the same time
	forgotten invariant = "forgotten" // an acknowledged lease is not known after a start
	denied    invariant = "denied"    // a client that may keep its lease is refused
	silent    invariant = "silent"    // a client is not served although all faults have ended
	unclear   invariant = "unclear"   // a start is refused without a clear reason
	space     invariant = "space"     // the store grows beyond its bound
	lost      invariant = "lost"      // leases are acknowledged after the store was deleted
)

// world is one run: dhcp4d, its surroundings, and the events to come.
type world struct {
	stage
	rng    *rand.Rand // for the faults
	disk   *disk
	clocks *clocks

	witness *client // a new client at the end, on a link with enough addresses

	p         *process
	launched  int
	wanted    bool     // dhcp4d should run
	stopping  *process // the process whose end stop or storm waits for
	served    *process // the last one that was seen serving
	portTaken bool
	pausedTo  time.Duration
	variant   int // the configuration in effect
	undo      []func()
	takenAll  time.Duration                // when a deleted store was given up
	taken     map[netip.Addr]time.Duration // when the promise of an address last ended without its client
	takenFrom map[netip.Addr]*client       // whose it was
	repaired  time.Duration                // when the store was last repaired
	deletedAt time.Duration                // when the store was deleted, 0 if it is there
	hangsTo   time.Duration                // when calls of the disk return again
	putBack   func()

	ordered []netip.Addr // guarded by mu; addresses whose release by the operator has returned
}

// stats are the counts of a run.
type stats struct {
	acks, naks, starts, refusals, repairs, resets int
	duration                                      time.Duration
}

func (s *stats) add(o *stats) {
	s.acks, s.naks, s.starts, s.refusals, s.resets = s.acks+o.acks, s.naks+o.naks, s.starts+o.starts, s.refusals+o.refusals, s.resets+o.resets
	s.repairs += o.repairs
	s.duration += o.duration
}

func (s *stats) String() string {
	return fmt.Sprintf("%d ACKs, %d NAKs of leases, %d starts, %d refused, %d repairs, %d clocks reset", s.acks, s.naks, s.starts, s.refusals, s.repairs, s.resets)
}

func newWorld(p plan, checks map[invariant]bool) *world {
	w := &world{rng: rand.New(rand.NewPCG(p.Seed, 2)), taken: map[netip.Addr]time.Duration{}, takenFrom: map[netip.Addr]*client{}}
	w.stage = newStage(p, checks, w)
	w.disk = newDisk(p.Seed)
	w.clocks = newClocks(w.begin)
	w.clocks.ntp = p.ntp
	if p.plant == fastClock {
		w.clocks.bootRate = 1
	}
	w.disk.noSync = p.plant == noSync
	if p.wallOff != 0 {
		w.clocks.change(func() { w.clocks.wall = w.clocks.wall.Add(p.wallOff) })
	}
	for n := 1; n <= p.clients; n++ {
		w.add(newClient(&w.stage, n, w.somewhere(rand.New(rand.NewPCG(p.Seed, uint64(n)<<32)))), 20*time.Second)
	}
	w.witness = newClient(&w.stage, 250, place{9, 1})
	w.witness.mute = true
	w.byHW[250] = w.witness
	return w
}

// subnets returns the subnets in effect.
func (w *world) subnets() *network.Subnets {
	n := w.plan.pool
	moves := "follow"
	if w.plan.refuse {
		moves = "refuse"
	}
	time1, first := w.plan.lease, 10
	switch w.variant % 4 {
	case 1: // fewer addresses
		n = max(1, n/2)
	case 2: // others
		first = 12
	case 3:
		if !w.plan.repairs { // a recovery waits for the lease time of the configuration in effect
			time1 *= 2
		}
	}
	document := fmt.Sprintf(`
moves: %s
min-lease-time: 20s
max-lease-time: %ds
subnets:
- {id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.%d-192.0.2.%d], match: [{link-address: "2001:db8:1::/64"}]}
- {id: 2, subnet: 198.51.100.0/24, pools: [198.51.100.%d-198.51.100.%d], match: [{interface: eth2}]}
- {id: 9, subnet: 203.0.113.0/28, pools: [203.0.113.2-203.0.113.14], match: [{link-address: "2001:db8:9::/64"}]}
`, moves, int(2*time1/time.Second), first, first+n-1, first, first+n-1)
	if w.plan.plant == otherLinks && w.launched > 1 {
		document = strings.NewReplacer("192.0.2.", "198.51.100.", "198.51.100.", "192.0.2.").Replace(document)
	}
	s, err := config.ParseSubnets([]byte(document), config.Defaults{
		Authoritative: true, LeaseTime: uint32(time1 / time.Second), OfferHold: 15, DeclineTime: 60,
	})
	if err != nil {
		panic(err)
	}
	return s
}

// configuration returns the configuration in effect, for the core.
func (w *world) configuration() core.Config {
	return core.Config{Subnets: w.subnets(), Hooks: new(event.Hooks)}
}

// run runs the plan and returns the violation, nil if there is none.
func (w *world) run() *violation {
	for i := range w.plan.faults {
		f := &w.plan.faults[i]
		w.at(f.at, func() { w.happen(f) })
	}
	w.wanted = true
	w.p = w.launch()
	w.at(w.plan.lifetime, w.calmDown)
	calm := settle
	if w.plan.repairs { // no new client is served before the store has recovered
		calm += 2*w.plan.lease + 30*time.Second
	}
	end := w.plan.lifetime + calm + time.Minute
	w.at(w.plan.lifetime+calm, w.last)
	for w.found == nil && w.now() < end {
		w.step()
	}
	w.stats.duration = w.now()
	w.end()
	return w.found
}

// look handles what dhcp4d has done since the last look.
func (w *world) look() {
	w.mu.Lock()
	outs, ordered := w.outs, w.ordered
	w.outs, w.ordered = nil, nil
	w.mu.Unlock()
	for _, a := range ordered {
		w.takeAway(a)
	}
	slices.SortFunc(outs, func(a, b out) int {
		return cmp.Or(cmp.Compare(a.at, b.at), slices.Compare(a.data, b.data))
	})
	for _, o := range outs {
		w.response(o)
	}
	w.disk.mu.Lock()
	used := w.disk.used()
	w.disk.mu.Unlock()
	if used > spaceBound {
		w.fail(space, netip.Addr{}, "the store takes %d KiB; %d leases are known", used>>10, len(w.clients))
	}
	p := w.p
	if p == nil {
		return
	}
	if p.serving.Load() && w.served != p {
		w.served = p
		w.stats.starts++
		w.undo = nil // it starts in spite of the damage
		w.say(netip.Addr{}, "dhcp4d %d serves", p.nth)
		w.checkServed()
	}
	if p.exited() && p != w.stopping {
		w.p = nil
		if p.err != nil && !errors.Is(p.err, context.Canceled) {
			w.startRefused(p)
		}
		if w.wanted {
			w.at(w.now()+5*time.Second, w.start)
		}
	}
}

// start starts dhcp4d if it should run and does not.
func (w *world) start() {
	if w.wanted && w.p == nil && !w.portTaken {
		if w.plan.plant == litters {
			w.disk.litter()
		}
		w.p = w.launch()
	}
}

// startRefused checks why dhcp4d does not start. If a file was damaged, it undoes the damage or
// repairs the store.
func (w *world) startRefused(p *process) {
	w.stats.refusals++
	text := p.err.Error()
	if w.plan.plant == mumbles {
		text = "EOF"
	}
	w.say(netip.Addr{}, "dhcp4d %d does not start: %s", p.nth, text)
	if !strings.Contains(text, directory) || len(text) < 30 {
		if !w.portTaken {
			w.fail(unclear, netip.Addr{}, "the start is refused with %q", text)
		}
	}
	if w.plan.repairs && strings.Contains(text, "dhcp4d store repair") && w.repair(p) {
		return
	}
	if len(w.undo) > 0 {
		w.at(w.now()+2*time.Second, func() {
			if len(w.undo) > 0 {
				w.say(netip.Addr{}, "the damage is undone")
				for _, u := range slices.Backward(w.undo) {
					u()
				}
				w.undo = nil
			}
		})
		return
	}
	if w.disk.faults.errors == 0 && w.disk.faults.reads == 0 && !w.disk.faults.full && w.disk.faults.files < 0 && strings.Contains(text, "damaged") {
		w.fail(forgotten, netip.Addr{}, "nobody has damaged the store, but: %s", text)
	}
}

// repair repairs the store, as an operator without a backup does, and reports whether it succeeds.
// Records that cannot be read are lost, and their clients do not know.
func (w *world) repair(p *process) (done bool) {
	disk, _ := w.disk.process()
	url, o := "journal:"+directory, engine.Options{Log: p.rt.Log, Now: clock.New(w.clocks).Now, FS: disk, Small: true}
	r, err := engine.Repair(url, o, true)
	if err != nil {
		w.say(netip.Addr{}, "it cannot be repaired: %v", err)
		if w.disk.says("repaired", directory+"/dhcp4d-store") { // it had begun to change the store
			w.unsure()
		}
		return false
	}
	w.say(netip.Addr{}, "the operator repairs the store: %d leases, %d batches lost", r.Leases, r.Lost)
	w.stats.repairs++
	w.undo = nil
	w.unsure()
	return true
}

// unsure notes that a repair may have lost each lease.
func (w *world) unsure() {
	w.repaired = w.now()
	for _, c := range w.clients {
		c.held.unsure = true
	}
}

// checkServed checks after a start that dhcp4d knows the leases that clients believe to have.
func (w *world) checkServed() {
	now := w.now()
	for _, c := range w.clients {
		h := &c.held
		if h.void || h.unsure || !h.holds(now+slack) {
			continue
		}
		b, serverNow, known := w.p.binding(h.addr)
		mine := known && string(b.Client) == string(c.key)
		if mine && b.State == lease.Bound && b.Expires > serverNow {
			continue
		}
		state := "nothing"
		if known {
			state = fmt.Sprintf("%v, of %x, until %d, which is %d s from now", b.State, b.Client, b.Expires, b.Expires-serverNow)
		}
		w.fail(forgotten, h.addr, "%v has %v for another %v, but the server knows %s", c, h.addr, round(h.until-now), state)
	}
}

// query sends a client's datagram to dhcp4d.
func (w *world) query(c *client, data []byte) {
	w.carry(fmt.Sprintf("up %d %d", c.n, c.sent), func() {
		if w.p != nil && w.p.serving.Load() && w.now() >= w.pausedTo && (w.plan.plant != deaf || !w.calm) {
			w.p.port.deliver(data)
		}
	})
}

// acked checks that nothing is acknowledged long after the store was deleted.
func (w *world) acked(o out, m *dhcp4.Message, c *client) {
	// While no call returns, nobody can notice.
	if w.deletedAt != 0 && o.at > max(w.deletedAt, w.hangsTo)+notice {
		w.fail(lost, m.YIAddr(), "%v is acknowledged to %v, %v after the store was deleted", m.YIAddr(), c, round(o.at-w.deletedAt))
	}
}

// takenSince reports whether the operator has taken an address away, or given up the store, after
// an ACK was sent.
func (w *world) takenSince(a netip.Addr, sent time.Duration) bool {
	taken, ok := w.taken[a]
	return (ok && sent <= taken) || sent < w.takenAll
}

// promised checks, with every ACK that a client takes, that no other client has the address.
func (w *world) promised(c *client, how string) {
	now, h := w.now(), &c.held
	w.say(h.addr, "%v (%v) %s %v until %.3fs", c, c.at, how, h.addr, h.until.Seconds())
	if !h.holds(now) {
		return
	}
	for _, o := range w.clients {
		fast := time.Duration(drift * float64(o.held.until-o.held.since))
		if o != c && o.held.addr == h.addr && o.held.holds(now+fast) && !o.held.void && !w.orderLost(c, o) {
			w.fail(doubled, h.addr, "%v is %v's, but %v has it until %.3fs, for another %v",
				h.addr, c, o, o.held.until.Seconds(), round(o.held.until-now))
		}
	}
}

// orderLost reports whether the operator has released the address of c, or given up the store with
// its lease, and whether a repair may have lost the lease that o got after that. Then nobody can
// know it: c was not told, and renews.
func (w *world) orderLost(c, o *client) bool {
	a := c.held.addr
	at, ok := w.taken[a]
	return ok && w.takenFrom[a] == c && o.held.unsure && at <= o.held.since && at <= w.repaired
}

// refused checks, with every NAK, that the client may not keep its lease.
func (w *world) refused(c *client, why string) {
	w.stats.naks++
	h := &c.held
	if h.void || h.unsure || !h.holds(w.now()+slack) || w.variant != 0 || h.place != c.at {
		return
	}
	w.fail(denied, h.addr, "%v has %v for another %v and is refused: %s", c, h.addr, round(h.until-w.now()), why)
}

// happen makes a fault happen.
func (w *world) happen(f *fault) {
	if w.calm {
		return
	}
	nobody := netip.Addr{}
	end := func(undo func()) {
		w.at(w.now()+f.span, func() {
			undo()
			w.say(nobody, "%v ends", f.kind)
		})
	}
	faults := &w.disk.faults
	w.say(nobody, "fault: %v", f)
	switch f.kind {
	case clockStep:
		w.clocks.change(func() { w.clocks.wall = w.clocks.wall.Add(f.by) })
	case clockRight:
		w.clocks.right()
	case clockDrift:
		w.clocks.change(func() { w.clocks.wallRate = f.part })
	case bootDrift:
		w.clocks.change(func() { w.clocks.bootRate = f.part })
	case pause:
		if w.pausedTo != 0 || w.p == nil {
			return
		}
		w.pausedTo = w.now() + f.span
		w.disk.mu.Lock()
		faults.stopped = time.Now().Add(f.span)
		w.disk.mu.Unlock()
		w.clocks.freeze(true)
		w.at(w.pausedTo, func() {
			w.clocks.freeze(false)
			w.pausedTo = 0
		})
	case diskErrors:
		w.onDisk(func() { faults.errors = f.part })
		end(func() { w.onDisk(func() { faults.errors = 0 }) })
	case diskReads:
		w.onDisk(func() { faults.reads = f.part })
		end(func() { w.onDisk(func() { faults.reads = 0 }) })
	case diskFull:
		w.onDisk(func() { faults.full = true })
		end(func() { w.onDisk(func() { faults.full = false }) })
	case diskFiles:
		w.onDisk(func() { faults.files, faults.limit = f.n, w.disk.open+f.n })
		end(func() { w.onDisk(func() { faults.files = -1 }) })
	case diskSlow:
		w.onDisk(func() { faults.slow = f.by })
		end(func() { w.onDisk(func() { faults.slow = 0 }) })
	case diskStops:
		w.hangsTo = w.now() + f.span
		w.onDisk(func() { faults.stopped = time.Now().Add(f.span) })
	case kill:
		w.down(f.span, func() {})
	case powerCut:
		w.down(f.span, func() {
			w.disk.powerCut(w.rng)
			w.clocks.reboot(f.by)
		})
	case restart:
		w.stop(func() { w.at(w.now()+f.span, w.start) })
	case restarts:
		w.storm(f.n, false)
	case failStart:
		w.storm(f.n, true)
	case damage:
		w.stop(func() {
			w.damage(f)
			w.at(w.now()+time.Second, w.start)
		})
	case deleted:
		w.deleteStore(f)
	case netLoss:
		w.lossy, w.lag = f.part, time.Duration(f.part*float64(maxDelay))
		end(func() { w.lossy, w.lag = 0, 0 })
	case reload:
		w.variant = f.n%3 + 1
		if w.p != nil && w.p.serving.Load() {
			w.p.reload()
		}
	case release, reserve:
		w.order(f)
	}
}

func (w *world) onDisk(fn func()) {
	w.disk.mu.Lock()
	defer w.disk.mu.Unlock()
	fn()
}

// down kills dhcp4d, calls meanwhile, and starts dhcp4d after span.
func (w *world) down(span time.Duration, meanwhile func()) {
	if w.p != nil {
		w.p.kill()
		w.bury(w.p)
	}
	meanwhile()
	w.at(w.now()+span, w.start)
}

// bury waits for the goroutines of a dead process.
func (w *world) bury(p *process) {
	w.wanted, w.stopping = false, nil
	w.p = nil
	w.onDisk(func() { w.disk.faults.stopped = time.Time{} })
	<-p.done
	w.mu.Lock()
	w.outs = slices.DeleteFunc(w.outs, func(o out) bool { return o.at >= w.now() })
	w.mu.Unlock()
	w.wanted = true
}

// stop ends dhcp4d as SIGTERM does, and calls then when it has ended.
func (w *world) stop(then func()) {
	p := w.p
	if p == nil {
		then()
		return
	}
	w.wanted, w.stopping = false, p
	p.stop()
	deadline := w.now() + 20*time.Second
	var poll func()
	poll = func() {
		switch {
		case w.p != p: // another fault has ended it
			return
		case p.exited():
			w.p, w.wanted, w.stopping = nil, true, nil
			then()
			return
		case w.now() > deadline:
			w.say(netip.Addr{}, "dhcp4d %d does not stop and is killed", p.nth)
			p.kill()
			w.bury(p)
			then()
			return
		}
		w.at(w.now()+10*time.Millisecond, poll)
	}
	poll()
}

// storm starts dhcp4d n times, and stops it each time as soon as it serves or fails. With taken its
// port is in use.
func (w *world) storm(n int, taken bool) {
	w.stop(func() {
		if n == 0 || w.calm {
			w.portTaken = false
			w.at(w.now()+10*time.Millisecond, w.start)
			return
		}
		w.portTaken = taken
		p := w.launch()
		w.p, w.wanted, w.stopping = p, false, p
		var poll func()
		poll = func() {
			if w.p != p {
				return
			}
			if p.serving.Load() || p.exited() || p.clockWrong() != "" || w.calm {
				w.storm(n-1, taken)
				return
			}
			w.at(w.now()+10*time.Millisecond, poll)
		}
		poll()
	})
}

// damage breaks a file of the stopped store.
func (w *world) damage(f *fault) {
	names := slices.DeleteFunc(w.disk.files(directory), func(name string) bool { return name == "LOCK" || strings.HasSuffix(name, ".tmp") })
	if len(names) == 0 {
		return
	}
	// Newer files are damaged more often: they matter more.
	back := 0
	for back < len(names)-1 && f.n>>back&1 == 1 {
		back++
	}
	name := path.Join(directory, names[len(names)-1-back])
	where := f.part
	how := [...]string{"is deleted", "is cut", "is emptied", "is zeroed", "ends in zeros", "has a bit turned", "is overwritten"}
	which := f.n >> 8 % len(how)
	w.say(netip.Addr{}, "%s %s", path.Base(name), how[which])
	if which == 0 {
		w.undo = append(w.undo, w.disk.unlink(name))
		return
	}
	w.undo = append(w.undo, w.disk.damage(name, func(b []byte) []byte {
		at := int(where * float64(len(b)))
		if len(b) == 0 {
			return []byte("x")
		}
		switch which {
		case 1:
			return b[:at]
		case 2:
			return b[:0]
		case 3:
			clear(b)
		case 4:
			clear(b[at:])
		case 5:
			// Find an octet that is not 0: most of a segment is empty.
			for i := range b {
				if j := (at + i) % len(b); b[j] != 0 {
					b[j] ^= 1 << (f.n % 8)
					break
				}
			}
		case 6:
			for i := range b[at:] {
				b[at+i] = byte(hashOf(w.plan.Seed, "noise", uint64(i/8)) >> (i % 8 * 8))
			}
		}
		return b
	}))
}

// deleteStore deletes the directory of a running dhcp4d.
func (w *world) deleteStore(f *fault) {
	if w.deletedAt != 0 || len(w.disk.files(directory)) == 0 || w.p == nil || !w.p.serving.Load() {
		return
	}
	w.disk.ghost = w.plan.plant == ghosts
	back := w.disk.unlink(directory)
	deleted := w.now()
	w.deletedAt = deleted
	w.putBack = func() {
		if w.deletedAt == deleted { // this one was not given up, and no later one was deleted
			w.restore(f, back)
		}
	}
	w.at(w.now()+max(f.span, 2*notice), w.putBack)
}

// restore puts the directory back, while dhcp4d runs or after it was stopped.
func (w *world) restore(f *fault, back func()) {
	if w.deletedAt == 0 {
		return
	}
	if f.n%2 == 0 {
		w.say(netip.Addr{}, "the directory is put back while dhcp4d runs")
		back()
		w.deletedAt = 0
		return
	}
	w.stop(func() {
		if w.deletedAt == 0 {
			w.at(w.now()+time.Second, w.start)
			return
		}
		w.say(netip.Addr{}, "the directory is put back")
		back()
		w.deletedAt = 0
		w.at(w.now()+time.Second, w.start)
	})
}

// order is a release or a reservation by the operator.
func (w *world) order(f *fault) {
	p := w.p
	if p == nil || !p.serving.Load() {
		return
	}
	c := w.clients[f.n%len(w.clients)]
	a := c.held.addr
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	if f.kind == release {
		if !a.IsValid() {
			cancel()
			return
		}
		w.say(a, "the operator releases %v", a)
		w.takeAway(a)
		go func() {
			defer cancel()
			_, _ = p.orders.Release(ctx, lease.ID{Addr: a}, "somebody")
			w.mu.Lock()
			w.ordered = append(w.ordered, a)
			w.mu.Unlock()
			w.wakeUp()
		}()
		return
	}
	s := w.subnets().All[c.at.link-1]
	a = s.Pools[0].Ranges[0].First
	for range f.n % w.plan.pool {
		a = a.Next()
	}
	w.say(a, "the operator reserves %v for %v", a, c)
	go func() {
		defer cancel()
		_, err := p.orders.Reserve(ctx, &leases.Assignment{Address: a, Client: c.key, ClientID: c.id, HWType: 1, HWAddr: c.hw[:6], Time: 120}, "somebody")
		if err == nil {
			w.say(a, "the operator has reserved %v for %v", a, c)
		}
	}()
}

// takeAway ends all promises of an address.
func (w *world) takeAway(a netip.Addr) {
	w.taken[a] = w.now()
	for _, c := range w.clients {
		if c.held.addr == a {
			w.void(c)
		}
	}
}

// takeAllAway ends all promises.
func (w *world) takeAllAway() {
	w.takenAll = w.now()
	for _, c := range w.clients {
		w.void(c)
	}
}

// void ends the promise of a client, which is not told.
func (w *world) void(c *client) {
	c.held.void = true
	if a := c.held.addr; c.held.holds(w.now()) {
		w.taken[a], w.takenFrom[a] = w.now(), c
	}
}

// calmDown ends all faults.
func (w *world) calmDown() {
	w.say(netip.Addr{}, "all faults end")
	w.calm, w.portTaken, w.lossy, w.lag, w.pausedTo = true, false, 0, 0, 0
	w.onDisk(func() {
		w.disk.faults = diskFaults{files: -1}
	})
	w.clocks.freeze(false)
	w.clocks.right()
	if w.plan.plant == nothing {
		w.clocks.change(func() { w.clocks.wallRate, w.clocks.bootRate = 0, 0 })
	}
	if w.deletedAt != 0 {
		w.putBack()
	}
	w.at(w.now(), w.witness.begin)
	for _, c := range w.clients {
		c.mute = true
		if c.state == bound || c.state == renewing || c.state == away {
			c.become(bound)
			c.after(c.between(0, 20*time.Second), c.renew)
		}
	}
	w.wanted = true
	w.at(w.now()+time.Second, w.start)
	w.at(w.now()+settle/3, w.remedy)
}

// remedy resets the clock of the store, as an operator does who reads that a right clock is behind
// the store.
func (w *world) remedy() {
	p := w.p
	if p == nil || p.clockWrong() == "" {
		return
	}
	w.fail(silent, netip.Addr{}, "the clock is right, but: %s", p.clockWrong())
	w.stats.resets++
	w.say(netip.Addr{}, "the operator runs reset-clock")
	p.kill()
	w.bury(p)
	w.wanted = false
	disk, _ := w.disk.process()
	_, err := engine.ResetClock("journal:"+directory, engine.Options{Log: p.rt.Log, Now: clock.New(w.clocks).Now, FS: disk, Small: true})
	if err != nil {
		w.fail(silent, netip.Addr{}, "reset-clock: %v", err)
	}
	w.wanted = true
	w.at(w.now()+time.Second, w.start)
}

// last checks that all clients are served some time after all faults have ended.
func (w *world) last() {
	now := w.now()
	if !w.witness.held.holds(now) {
		why := "it runs and does not answer"
		if w.p == nil {
			why = "it does not run"
		}
		w.fail(silent, netip.Addr{}, "no new client is served %v after the end of all faults: %s", now-w.plan.lifetime, why)
	}
	for _, c := range w.clients {
		if h := &c.held; h.holds(now) && !h.void && !h.unsure && h.place == c.at && c.heard < w.plan.lifetime {
			w.fail(silent, h.addr, "%v has %v and got no answer for %v", c, h.addr, round(now-c.heard))
		}
	}
	w.stop(func() { w.at(w.now()+time.Second, w.start) })
}

// end ends all goroutines, because a bubble must end with them.
func (w *world) end() {
	if w.p != nil {
		w.p.kill()
		<-w.p.done
	}
	time.Sleep(time.Hour) // until the operator's calls have timed out
}
