package simulation

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/core"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/server"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/postgres"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/postgres/pgtest"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

const databaseURL = "postgres://dhcp4d@/dhcp4d?host=/pgtest&sslmode=disable"

// The invariants of a database, beside those of every world.
const (
	unbacked  invariant = "unbacked"  // an ACK is sent for a lease that was never durable
	unhealed  invariant = "unhealed"  // a failover has lost commits, and nobody has noticed
	disagrees invariant = "disagrees" // the memory of a dhcp4d differs from the table at the end
)

// A databasePlan is a plan of several dhcp4d that share a database.
type databasePlan struct {
	plan
	processes int
	spread    float64 // share of the datagrams that go to any dhcp4d, instead of the client's own
	standby   bool    // commits wait for a standby
	cuts      float64 // share of the messages in which a connection breaks
	silent    float64 // share of the breaks that nobody hears of
	splits    float64
	slow      float64 // share of the messages that are late
	fails     float64 // share of the steps of the server that fail
	doubts    float64 // share of the waits for a standby that are cancelled
	blows     []blow
	faulty    bool // the server does not check who has an address
}

// A blow is one fault of the server or of a dhcp4d.
type blow struct {
	kind blowKind
	at   time.Duration
	span time.Duration
	n    int // which dhcp4d, or how many commits
	part float64
	by   time.Duration
}

type blowKind int

const (
	serverKill  blowKind = iota // the server is killed, and started later
	failover                    // its standby takes over, with all that is acknowledged
	lossy                       // its standby takes over, without the last acknowledged commits
	freeze                      // the server does not answer
	stall                       // the standby does not answer
	setClock                    // the clock of the server is set
	processKill                 // a dhcp4d is killed, and started later
	processStop                 // a dhcp4d is stopped, and started later
	partition                   // a dhcp4d is cut off from the server
	blowKinds
)

var blowNames = [blowKinds]string{"server-kill", "failover", "lossy-failover", "freeze", "stall", "set-clock", "kill", "restart", "partition"}

func (b blow) String() string {
	return fmt.Sprintf("%v %s for %v n %d part %.3f by %v", round(b.at), blowNames[b.kind], round(b.span), b.n, b.part, b.by)
}

// makeDatabasePlan draws a plan from a seed.
func makeDatabasePlan(seed uint64) databasePlan {
	rng := rand.New(rand.NewPCG(seed, 21))
	between := func(a, b time.Duration) time.Duration { return a + time.Duration(rng.Int64N(int64(b-a)+1)) }
	some := func(list ...float64) float64 { return list[rng.IntN(len(list))] }
	p := databasePlan{
		plan: plan{
			Seed: seed, clients: 3 + rng.IntN(8), lease: between(20*time.Second, 40*time.Second).Round(time.Second), limit: 4 << rng.IntN(7),
			restless: some(0.2, 0.5, 0.8), wishes: rng.IntN(3) == 0, recalls: rng.IntN(2) == 0, loss: some(0, 0, 0.05),
			double: some(0, 0.05, 0.3), delay: between(time.Millisecond, 30*time.Millisecond), lifetime: between(15*time.Second, 30*time.Second),
		},
		processes: 2 + rng.IntN(4)/3, spread: some(0, 0.1, 0.6), standby: rng.IntN(2) == 0,
		cuts: some(0, 0, 0.002, 0.02), silent: some(0, 0.3), splits: some(0, 0.02), slow: some(0, 0.01, 0.05), fails: some(0, 0, 0.002, 0.02),
		doubts: some(0, 0.02),
	}
	p.pool = max(2, p.clients*(50+rng.IntN(80))/100)
	for range rng.IntN(6) {
		b := blow{kind: blowKind(rng.IntN(int(blowKinds))), at: between(time.Second, p.lifetime), n: rng.IntN(1 << 10), part: rng.Float64(),
			span: between(10*time.Millisecond, time.Second)}
		if rng.IntN(3) == 0 {
			b.span = between(time.Second, 9*time.Second)
		}
		if b.kind == setClock {
			b.by = between(3*time.Second, time.Hour)
			if rng.IntN(2) == 0 {
				b.by = -b.by
			}
		}
		p.blows = append(p.blows, b)
	}
	slices.SortStableFunc(p.blows, func(a, b blow) int { return cmp.Compare(a.at, b.at) })
	return p
}

// weather is the fate of a database: what happens to messages and to steps of the server. Each
// decision is drawn from the seed and the name of the message, not in the order of the decisions.
type weather struct {
	plan  databasePlan
	begin time.Time

	mu      sync.Mutex
	calm    bool
	cutOff  map[string]time.Duration // until when a process is cut off
	stalled time.Duration            // until when the standby does not answer
	trace   uint64                   // of everything that was decided
	cut     int                      // connections that broke
	failed  int                      // steps that failed
}

// draw returns random numbers for a message or a step.
func (f *weather) draw(what uint64, c *pgtest.Conn, n int) *rand.Rand {
	at := uint64(0)
	if c.For == "" || c.For == "cancel" {
		at = uint64(c.Made.Sub(f.begin))
	}
	h := hashOf(f.plan.Seed, c.By, what) ^ at
	return rand.New(rand.NewPCG(hashOf(h, c.For, uint64(c.Nth)), uint64(n)))
}

// note adds a decision to the trace. The order of the decisions of one moment does not matter.
func (f *weather) note(values ...uint64) {
	h := uint64(time.Since(f.begin))
	for _, v := range values {
		h = (h^v)*0x9e3779b97f4a7c15 ^ h>>29
	}
	f.trace += h
}

// Message implements pgtest.Fate.
func (f *weather) Message(m pgtest.Message) pgtest.Way {
	f.mu.Lock()
	defer f.mu.Unlock()
	what := uint64(1)
	if m.Up {
		what = 2
	}
	r := f.draw(what, m.Conn, m.Nth)
	way := pgtest.Way{Delay: time.Duration(20_000 + r.IntN(300_000)), Cut: -1}
	now := time.Since(f.begin)
	if f.calm {
		return way
	}
	if r.Float64() < f.plan.slow {
		way.Delay = time.Duration(r.Int64N(int64(200 * time.Millisecond)))
		if r.IntN(10) == 0 {
			way.Delay *= 20
		}
	}
	if r.Float64() < f.plan.cuts {
		f.cut++
		way.Cut, way.Silent = r.IntN(m.Len+1), r.Float64() < f.plan.silent
	}
	if r.Float64() < f.plan.splits {
		way.Split, way.Late = r.IntN(m.Len+1), time.Duration(r.Int64N(int64(time.Second)))
	}
	way.Delay += max(0, f.cutOff[m.Conn.By]-now)
	f.note(what, uint64(m.Len), uint64(way.Delay), uint64(way.Cut+1))
	return way
}

// codes are the errors with which steps fail: of a transaction, of a lock, of an operator, of
// resources.
var codes = []string{"40001", "40P01", "55P03", "57014", "57P01", "53200", "53300"}

// Step implements pgtest.Fate.
func (f *weather) Step(p pgtest.Step) (o pgtest.Outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.draw(3, p.Conn, p.Nth)
	if p.Kind == pgtest.Durable {
		o.Wait = time.Duration(50_000 + r.IntN(500_000))
		if !f.calm {
			o.Wait += max(0, f.stalled-time.Since(f.begin))
			o.Doubt = r.Float64() < f.plan.doubts
		}
	}
	if f.calm {
		return o
	}
	if r.Float64() < f.plan.fails {
		f.failed++
		switch {
		case r.IntN(3) == 0:
			o.Ends = true // the server ends the connection, after a commit
		default:
			o.Code = codes[r.IntN(len(codes))]
			o.Ends = o.Code == "57P01"
		}
	}
	f.note(3, uint64(p.Kind), uint64(o.Wait), uint64(len(o.Code)))
	return o
}

// A databaseWorld is a run of several dhcp4d on one database.
type databaseWorld struct {
	stage
	plan     databasePlan
	weather  *weather
	server   *pgtest.Server
	down     bool // the server does not run
	members  []*member
	witness  *client
	lostAt   map[netip.Addr]time.Duration // when a failover has lost the last change of an address
	mustHeal map[string]bool              // which runs of dhcp4d have lost commits
	heals    atomic.Int32                 // how often leases were put back
}

// A member is one of the dhcp4d, run after run.
type member struct {
	w      *databaseWorld
	name   string
	clocks *clocks
	nth    int
	run    *memberRun
	wanted bool
}

// A memberRun is one run of a member.
type memberRun struct {
	*member
	by       string
	port     *port
	dialer   *pgtest.Dialer
	rt       *daemon.Runtime
	cancel   context.CancelFunc
	done     chan struct{}
	err      error
	dead     atomic.Bool
	serving  atomic.Bool
	core     *core.Core
	healed   atomic.Int32
	began    time.Duration
	recovers atomic.Bool
}

func newDatabaseWorld(p databasePlan, checks map[invariant]bool) *databaseWorld {
	w := &databaseWorld{plan: p, lostAt: map[netip.Addr]time.Duration{}, mustHeal: map[string]bool{}}
	w.stage = newStage(p.plan, checks, w)
	w.weather = &weather{plan: p, begin: w.begin, cutOff: map[string]time.Duration{}}
	w.server = pgtest.New(w.weather, func() time.Time { return trueStart.Add(time.Since(w.begin)) })
	w.server.Synchronous(p.standby)
	w.server.Faulty = p.faulty
	for n := 1; n <= p.clients; n++ {
		w.add(newClient(&w.stage, n, w.somewhere(rand.New(rand.NewPCG(p.Seed, uint64(n)<<32)))), 3*time.Second)
	}
	w.witness = newClient(&w.stage, 250, place{9, 1})
	w.witness.mute = true
	w.byHW[250] = w.witness
	for i := range p.processes {
		m := &member{w: w, name: string(rune('a' + i)), clocks: newClocks(w.begin), wanted: true}
		m.clocks.change(func() { m.clocks.bootRate = (rand.New(rand.NewPCG(p.Seed, 70+uint64(i))).Float64() - 0.5) * 100e-6 })
		w.members = append(w.members, m)
		w.at(time.Duration(i)*37*time.Millisecond, m.start)
	}
	return w
}

// subnets returns the subnets of all dhcp4d.
func (w *databaseWorld) subnets() *network.Subnets {
	s, err := config.ParseSubnets(fmt.Appendf(nil, `
moves: follow
min-lease-time: 15s
max-lease-time: %ds
subnets:
- {id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.%d], match: [{link-address: "2001:db8:1::/64"}]}
- {id: 2, subnet: 198.51.100.0/24, pools: [198.51.100.10-198.51.100.%d], match: [{interface: eth2}]}
- {id: 9, subnet: 203.0.113.0/28, pools: [203.0.113.2-203.0.113.14], match: [{link-address: "2001:db8:9::/64"}]}
`, int(2*w.plan.lease/time.Second), 9+w.plan.pool, 9+w.plan.pool), config.Defaults{
		Authoritative: true, LeaseTime: uint32(w.plan.lease / time.Second), OfferHold: 5, DeclineTime: 30,
	})
	if err != nil {
		panic(err)
	}
	return s
}

// start starts a dhcp4d that should run and does not.
func (m *member) start() {
	if !m.wanted || m.run != nil {
		return
	}
	m.nth++
	ctx, cancel := context.WithCancel(context.Background())
	r := &memberRun{member: m, by: fmt.Sprintf("%s%d", m.name, m.nth), began: m.w.now(), cancel: cancel, done: make(chan struct{})}
	r.port = newPort(m.w.answered)
	r.dialer = &pgtest.Dialer{By: r.by, Server: m.w.server}
	r.rt = daemon.NewRuntime(drop.DHCP4D, slog.New(&memberLog{r}), prometheus.NewRegistry())
	m.run = r
	m.w.stats.starts++
	go func() {
		defer close(r.done)
		r.err = r.serve(ctx)
		m.w.wakeUp()
	}()
}

// serve does what main's function of that name does for the core.
func (r *memberRun) serve(ctx context.Context) error {
	var names [32]byte
	binary.BigEndian.PutUint64(names[:], hashOf(r.w.plan.Seed, r.by, 5))
	c, err := core.Open(ctx, core.Options{
		Runtime: r.rt, Clock: clock.New(r.clocks), URL: databaseURL,
		Store:  engine.Options{Database: postgres.Outside{Dial: r.dialer.Dial, Random: rand.NewChaCha8(names)}},
		Config: core.Config{Subnets: r.w.subnets(), Hooks: new(event.Hooks)}, MetricsSubnets: 1024,
	})
	if err != nil {
		return err
	}
	defer c.Close()
	end := ipc.NewEnd(drop.DHCP4D, nil, false)
	peers := new(atomic.Pointer[server.Peers])
	peers.Store(&server.Peers{dhcp6d: {Name: "six", Kea: true}})
	parts := c.Serve(core.Link{
		Peers: peers, Auth: server.Auth{Name: "dhcp4d", Opener: end.NewOpener(end.Begin(ctx)), Signer: end.NewSigner()},
		IPC: r.port, StopReading: r.port.stopReading, Wake: r.port.wake, Replies: r.port, Acks: r.port, Notices: r.port,
		SignerOfAcks: end.NewSigner(), SignerOfNotices: end.NewSigner(), GroupSize: r.w.plan.limit,
	})
	defer c.Finish()
	r.core = c
	r.serving.Store(true)
	defer r.serving.Store(false)
	for i, part := range parts {
		// They begin one after the other. Otherwise their clocks would strike at the same moment,
		// and the order in which they take a lock would not always be the same.
		parts[i] = daemon.Func(part.Name(), func(ctx context.Context) error {
			time.Sleep(time.Duration(i) * 1_234_567)
			return part.Run(ctx)
		})
	}
	return r.rt.Run(ctx, parts...)
}

// kill ends the run at once: it reaches neither the database nor the network any more.
func (m *member) kill() {
	r := m.run
	if r == nil {
		return
	}
	r.dead.Store(true)
	r.port.kill()
	r.dialer.Kill()
	r.cancel()
	<-r.done
	m.run = nil
}

// memberLog writes the log of a run into the history.
type memberLog struct{ r *memberRun }

func (l *memberLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (l *memberLog) Handle(_ context.Context, r slog.Record) error {
	if l.r.dead.Load() {
		return nil
	}
	if strings.Contains(r.Message, "has written them again from memory") {
		l.r.healed.Add(1)
		l.r.w.heals.Add(1)
	}
	if strings.Contains(r.Message, "dhcp4d recovers, as with -recovery") {
		l.r.recovers.Store(true)
	}
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	l.r.w.say(netip.Addr{}, "dhcp4d %s says: %s", l.r.by, strings.ReplaceAll(text, "\n", "; "))
	return nil
}

func (l *memberLog) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *memberLog) WithGroup(string) slog.Handler      { return l }

// healed returns how often a dhcp4d has put back what a failover had lost.
func (w *databaseWorld) healed() int { return int(w.heals.Load()) }

// run runs the plan and returns the violation, nil if there is none.
func (w *databaseWorld) run() *violation {
	for i := range w.plan.blows {
		b := &w.plan.blows[i]
		w.at(b.at, func() { w.strike(b) })
	}
	w.at(w.plan.lifetime, w.calmDown)
	over, waited := false, false
	var end func()
	end = func() {
		switch {
		case w.recovering():
			waited = true
			w.at(w.now()+5*time.Second, end)
		case waited:
			waited = false
			w.askAgain()
			w.at(w.now()+11*time.Second, end)
		default:
			w.last()
			w.at(w.now()+2*time.Second, func() { w.compare(); over = true })
		}
	}
	w.at(w.plan.lifetime+settleDatabase, w.askAgain)
	w.at(w.plan.lifetime+2*settleDatabase, end)
	for w.found == nil && !over && w.server.Err() == nil {
		w.step()
	}
	w.stats.duration = w.now()
	for _, m := range w.members {
		m.wanted = false
		m.kill()
	}
	time.Sleep(time.Minute) // until pgx has given up its connections
	return w.found
}

// look implements rules.
func (w *databaseWorld) look() {
	w.mu.Lock()
	outs := w.outs
	w.outs = nil
	w.mu.Unlock()
	slices.SortFunc(outs, func(a, b out) int { return cmp.Or(cmp.Compare(a.at, b.at), bytes.Compare(a.data, b.data)) })
	for _, o := range outs {
		w.response(o)
	}
	for _, m := range w.members {
		r := m.run
		if r == nil {
			continue
		}
		select {
		case <-r.done:
			if r.err != nil && !errors.Is(r.err, context.Canceled) {
				w.stats.refusals++
				w.say(netip.Addr{}, "dhcp4d %s ends: %v", r.by, r.err)
			}
			m.run = nil
			w.at(w.now()+time.Second, m.start)
		default:
		}
	}
}

// query implements rules. A client has a dhcp4d of its own, and another one while that is away.
func (w *databaseWorld) query(c *client, data []byte) {
	name := fmt.Sprintf("up %d %d", c.n, c.sent)
	times := uint64(0)
	w.carry(name, func() {
		r := rand.New(rand.NewPCG(hashOf(w.plan.Seed, name, 9), times))
		times++
		first := c.n
		if r.Float64() < w.plan.spread {
			first = r.IntN(len(w.members))
		}
		for i := range w.members {
			if run := w.members[(first+i)%len(w.members)].run; run != nil && run.serving.Load() && run.port.deliver(data) {
				return
			}
		}
	})
}

// acked implements rules: the lease of every ACK is, or was, durable.
func (w *databaseWorld) acked(o out, m *dhcp4.Message, c *client) {
	a := m.YIAddr()
	seconds, _ := m.Uint32(dhcp4.OptLeaseTime)
	until := w.begin.Add(o.at).Add(time.Duration(seconds) * time.Second)
	for _, l := range w.server.EverDurable(numberOf(a), 0) {
		// Its time was read before it became durable, and the ACK may have waited for other leases.
		ends := l.At.Add(time.Duration(l.Expires-l.Changed) * time.Second)
		if l.State == int16(lease.Bound) && bytes.Equal(l.Client, c.key) && ends.Add(12*time.Second).After(until) {
			return
		}
	}
	w.fail(unbacked, a, "%v is acknowledged to %v for %d s, and no such lease was ever durable", a, c, seconds)
}

func numberOf(a netip.Addr) int64 {
	b := a.As4()
	return int64(binary.BigEndian.Uint32(b[:]))
}

// takenSince implements rules: a failover may have lost the lease while its ACK was on its way.
func (w *databaseWorld) takenSince(a netip.Addr, sent time.Duration) bool {
	at, ok := w.lostAt[a]
	return ok && sent <= at
}

// promised implements rules: no other client has the address.
func (w *databaseWorld) promised(c *client, how string) {
	now, h := w.now(), &c.held
	w.say(h.addr, "%v (%v) %s %v until %.3fs", c, c.at, how, h.addr, h.until.Seconds())
	if !h.holds(now) || h.void {
		return
	}
	for _, o := range w.clients {
		fast := time.Duration(drift * float64(o.held.until-o.held.since))
		if o != c && o.held.addr == h.addr && o.held.holds(now+fast) && !o.held.void {
			w.fail(doubled, h.addr, "%v is %v's, but %v has it until %.3fs, for another %v",
				h.addr, c, o, o.held.until.Seconds(), round(o.held.until-now))
		}
	}
}

// refused implements rules: no client is refused the lease that it has.
func (w *databaseWorld) refused(c *client, why string) {
	w.stats.naks++
	h := &c.held
	if h.void || !h.holds(w.now()+slack) || h.place != c.at {
		return
	}
	w.fail(denied, h.addr, "%v has %v for another %v and is refused: %s", c, h.addr, round(h.until-w.now()), why)
}

// strike makes a blow happen.
func (w *databaseWorld) strike(b *blow) {
	if w.calm {
		return
	}
	w.say(netip.Addr{}, "blow: %v", b)
	m := w.members[b.n%len(w.members)]
	silent := b.n%3 == 0
	switch b.kind {
	case serverKill, failover, lossy:
		if w.down {
			return
		}
		w.down = true
		switch b.kind {
		case serverKill:
			w.server.Stop(silent)
		case failover:
			w.server.Failover(0, b.part, silent)
		default:
			w.lose(w.server.Failover(1+b.n%20, b.part, silent))
		}
		w.at(w.now()+b.span, w.serverUp)
	case freeze:
		w.server.Freeze(true)
		w.at(w.now()+b.span, func() { w.server.Freeze(false) })
	case stall:
		w.weather.mu.Lock()
		w.weather.stalled = w.now() + b.span
		w.weather.mu.Unlock()
	case setClock:
		w.server.SetClock(b.by)
	case processKill:
		m.kill()
		w.at(w.now()+b.span, m.start)
	case processStop:
		if m.run != nil {
			m.run.cancel() // look starts it again
		}
	case partition:
		if m.run == nil {
			return
		}
		w.weather.mu.Lock()
		w.weather.cutOff[m.run.by] = w.now() + b.span
		w.weather.mu.Unlock()
	}
}

func (w *databaseWorld) serverUp() {
	if w.down {
		w.down = false
		w.server.Start()
		w.say(netip.Addr{}, "the server is up")
	}
}

// lose notes what a failover has lost. The clients do not know.
func (w *databaseWorld) lose(addrs map[int64]bool, by map[string]int) {
	for _, c := range w.clients {
		if a := c.held.addr; a.IsValid() && addrs[numberOf(a)] {
			c.held.void = true
		}
	}
	for n := range addrs {
		w.lostAt[addressOf(n)] = w.now()
	}
	for _, m := range w.members {
		// The answer of the last commit may have been lost with it.
		if m.run != nil && by[m.run.by] > 1 && m.run.serving.Load() {
			w.mustHeal[m.run.by] = true
		}
	}
	w.say(netip.Addr{}, "the changes of %d addresses are lost, by %d dhcp4d", len(addrs), len(by))
}

// calmDown ends all faults.
func (w *databaseWorld) calmDown() {
	w.say(netip.Addr{}, "all faults end")
	w.calm = true
	w.weather.mu.Lock()
	w.weather.calm = true
	w.weather.mu.Unlock()
	w.server.Freeze(false)
	w.serverUp()
	for _, c := range w.clients {
		c.mute = true
		if c.state == bound || c.state == away {
			c.become(bound)
			c.after(c.between(0, 5*time.Second), c.renew)
		}
	}
	for _, m := range w.members {
		w.at(w.now(), m.start)
	}
}

// settleDatabase is how long after the end of all faults every dhcp4d must serve again: it may wait
// for an answer that never comes, and then again.
const settleDatabase = 11 * time.Second

// askAgain has all clients ask again that wait for an answer, and a new one. Otherwise some would
// wait for too long before they do.
func (w *databaseWorld) askAgain() {
	if !w.witness.held.holds(w.now()) {
		w.witness.begin()
	}
	for _, c := range w.clients {
		if c.state == renewing || c.state == bound {
			c.become(bound)
			c.after(c.between(0, 5*time.Second), c.renew)
		}
	}
}

// recovering reports whether a dhcp4d gives nobody a new address, because it was started when
// leases were missing.
func (w *databaseWorld) recovering() bool {
	return slices.ContainsFunc(w.members, func(m *member) bool {
		return m.run != nil && m.run.recovers.Load() && w.now() < m.run.began+3*w.plan.lease
	})
}

// last checks that all clients are served some time after all faults have ended, and that their
// leases are in the table.
func (w *databaseWorld) last() {
	now := w.now()
	if !w.witness.held.holds(now) {
		w.fail(silent, netip.Addr{}, "no new client is served %v after the end of all faults", now-w.plan.lifetime)
	}
	for _, c := range w.clients {
		h := &c.held
		if !h.holds(now) || h.void || h.place != c.at {
			continue
		}
		if c.heard < w.plan.lifetime {
			w.fail(silent, h.addr, "%v has %v and got no answer for %v", c, h.addr, round(now-c.heard))
		}
		l := w.server.Lease(numberOf(h.addr), 0)
		if l == nil || l.State != int16(lease.Bound) || !bytes.Equal(l.Client, c.key) {
			w.fail(forgotten, h.addr, "%v has %v for another %v, but the table has %+v", c, h.addr, round(h.until-now), l)
		}
	}
	for _, m := range w.members {
		if r := m.run; r != nil && w.mustHeal[r.by] && r.healed.Load() == 0 {
			w.fail(unhealed, netip.Addr{}, "a failover has lost commits of dhcp4d %s, which has not noticed", r.by)
		}
	}
	for _, c := range append(slices.Clone(w.clients), w.witness) {
		c.become(idle) // it does nothing more
	}
}

// compare checks that every dhcp4d knows what the table has.
func (w *databaseWorld) compare() {
	now := int64(w.server.Time())
	rows := w.server.Leases()
	for _, m := range w.members {
		if m.run == nil || !m.run.serving.Load() {
			w.fail(silent, netip.Addr{}, "dhcp4d %s does not run", m.name)
			return
		}
		knows := map[int64]lease.Binding{}
		_ = m.run.core.Book().Each(func(b *lease.Binding) error {
			c := *b
			c.Client = bytes.Clone(b.Client)
			knows[numberOf(b.Addr)] = c
			return nil
		})
		for _, l := range rows {
			if l.State != int16(lease.Bound) || l.Expires <= now+2 {
				continue
			}
			b, ok := knows[l.Addr]
			if !ok || b.State != lease.Bound || !bytes.Equal(b.Client, l.Client) || int64(b.Expires) != l.Expires || int64(b.Changed) != l.Changed {
				a := addressOf(l.Addr)
				w.fail(disagrees, a, "dhcp4d %s has %v for %x, %v until %d; the table has it for %x until %d, now is %d",
					m.run.by, a, b.Client, b.State, b.Expires, l.Client, l.Expires, now)
			}
		}
	}
}

func addressOf(n int64) netip.Addr {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	return netip.AddrFrom4([4]byte(b[4:]))
}
