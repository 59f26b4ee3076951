package simulation

import (
	"cmp"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// A stage is what every world has: clients, the network between them and dhcp4d, the events to
// come, and the history.
type stage struct {
	rules   rules
	plan    plan
	begin   time.Time
	events  events
	count   uint64
	clients []*client
	byHW    map[byte]*client
	calm    bool    // all faults have ended
	lossy   float64 // more datagrams are lost
	lag     time.Duration

	mu      sync.Mutex
	history []line
	outs    []out
	wake    chan struct{}
	trace   uint64

	checks map[invariant]bool // nil for all
	found  *violation
	stats  stats
}

// rules are what a world has beside its stage.
type rules interface {
	// look handles what dhcp4d has done since the last look.
	look()
	// query carries a datagram of a client to dhcp4d.
	query(c *client, data []byte)
	// acked is called with every ACK that dhcp4d sends.
	acked(o out, m *dhcp4.Message, c *client)
	// promised is called with every ACK that a client takes, refused with every NAK.
	promised(c *client, how string)
	refused(c *client, why string)
	// takenSince reports whether the operator has taken an address away after an ACK was sent.
	takenSince(a netip.Addr, sent time.Duration) bool
}

func newStage(p plan, checks map[invariant]bool, r rules) stage {
	return stage{rules: r, plan: p, begin: time.Now(), wake: make(chan struct{}, 1), byHW: map[byte]*client{}, checks: checks}
}

// violation says how a run broke an invariant.
type violation struct {
	what invariant
	addr netip.Addr
	at   time.Duration
	text string
}

// moment is a call at a moment of true time.
type moment struct {
	at  time.Duration
	nth uint64 // the order of calls at the same moment
	run func()
}

type events []moment

func (e events) Len() int { return len(e) }

func (e events) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(e[i].at, e[j].at), cmp.Compare(e[i].nth, e[j].nth)) < 0
}

func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

func (e *events) Push(x any) { *e = append(*e, x.(moment)) }

func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// line is a line of the history.
type line struct {
	at     time.Duration
	addr   netip.Addr // the address that it is about, if any
	format string
	args   []any
}

// says returns the message of a log line of dhcp4d without the error, "" for other lines.
func (l *line) says() string {
	if len(l.args) == 0 || !(strings.Contains(l.format, "says") || strings.Contains(l.format, "serves")) {
		return ""
	}
	message, _, _ := strings.Cut(fmt.Sprint(l.args[1:]), " err=")
	return message
}

func (l *line) String() string {
	return fmt.Sprintf("%11.3fs  %s", l.at.Seconds(), fmt.Sprintf(l.format, l.args...))
}

type out struct {
	at   time.Duration
	data []byte
}

func (w *stage) add(c *client, within time.Duration) {
	w.clients = append(w.clients, c)
	w.byHW[byte(c.n)] = c
	w.at(c.between(0, within), c.begin)
}

// somewhere returns a random place for a client.
func (w *stage) somewhere(rng *rand.Rand) place {
	if rng.IntN(3) == 0 {
		return place{2, 0}
	}
	return place{1, 1 + rng.IntN(40)}
}

func (w *stage) now() time.Duration { return time.Since(w.begin) }

// at makes the loop call fn at a moment, or now if that is over.
func (w *stage) at(t time.Duration, fn func()) {
	w.count++
	heap.Push(&w.events, moment{max(t, w.now()), w.count, fn})
}

// say adds a line to the history.
func (w *stage) say(a netip.Addr, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history = append(w.history, line{w.now(), a, format, args})
}

// fail ends the run with a violation. Only the first call counts.
func (w *stage) fail(what invariant, a netip.Addr, format string, args ...any) {
	if w.found != nil || (w.checks != nil && !w.checks[what]) {
		return
	}
	w.found = &violation{what, a, w.now(), fmt.Sprintf(format, args...)}
	w.say(a, "VIOLATION (%s): %s", what, w.found.text)
}

// wakeUp makes the loop look at dhcp4d.
func (w *stage) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// answered takes a datagram from dhcp4d.
func (w *stage) answered(data []byte) {
	w.mu.Lock()
	w.outs = append(w.outs, out{w.now(), slices.Clone(data)})
	w.mu.Unlock()
	w.wakeUp()
}

// step waits for the next event and runs it.
func (w *stage) step() {
	wait := time.Minute
	if len(w.events) > 0 {
		wait = w.events[0].at - w.now()
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-w.wake:
			timer.Stop()
		}
	}
	synctest.Wait()
	w.rules.look()
	if len(w.events) > 0 && w.events[0].at <= w.now() {
		e := heap.Pop(&w.events).(moment)
		w.trace = w.trace*0x100000001b3 ^ uint64(e.at)
		e.run()
	}
}

// carry loses, doubles and delays a datagram. The name and the seed decide which of these it does.
func (w *stage) carry(name string, arrive func()) {
	chance := func(what string) float64 { return float64(hashOf(w.plan.Seed, name+what, 0)>>11) / (1 << 53) }
	if !w.calm && chance("lost") < w.plan.loss+w.lossy {
		return
	}
	delay := w.plan.delay + w.lag
	first := time.Duration(chance("delay") * float64(delay))
	if !w.calm && chance("late") < 0.03 {
		first = time.Duration(chance("delay") * float64(maxDelay))
	}
	w.at(w.now()+min(first, maxDelay), arrive)
	if !w.calm && chance("double") < w.plan.double {
		w.at(w.now()+time.Duration(chance("again")*float64(maxDelay)), arrive)
	}
}

// response sends a datagram of dhcp4d to its client.
func (w *stage) response(o out) {
	var r ipc.Response
	if why := r.Parse(o.data); why != drop.None {
		panic(why.Label())
	}
	inner, why := r.Packet().Message().DHCPv4()
	if why != drop.None {
		panic(why.Label())
	}
	m := new(dhcp4.Message)
	if why := m.Parse(inner); why != drop.None {
		panic(why.Label())
	}
	c := w.byHW[m.CHAddr()[5]]
	if m.Type() == dhcp4.ACK {
		w.stats.acks++
		w.rules.acked(o, m, c)
	}
	w.carry(fmt.Sprintf("down %d %d %d", c.n, m.Xid(), o.at), func() { c.take(m, o.at) })
}

// tell returns the violation and the lines of the history about its address.
func (w *stage) tell() string {
	var b strings.Builder
	v := w.found
	fmt.Fprintf(&b, "seed %d: %s: %s\n", w.plan.Seed, v.what, v.text)
	fmt.Fprintf(&b, "  %d clients, %d addresses each in two subnets, lease time %v", w.plan.clients, w.plan.pool, w.plan.lease)
	if off := w.plan.wallOff; off != 0 {
		fmt.Fprintf(&b, ", at the start the time of day is wrong by %v", round(off))
	}
	b.WriteByte('\n')
	var lines []line
	for _, l := range w.history {
		if l.addr == v.addr || !l.addr.IsValid() {
			lines = append(lines, l)
		}
	}
	lines = slices.CompactFunc(lines, func(a, b line) bool { return a.says() != "" && a.says() == b.says() })
	const most = 40
	if n := len(lines); n > most {
		fmt.Fprintf(&b, "  (%d lines before)\n", n-most)
		lines = lines[n-most:]
	}
	for i := range lines {
		fmt.Fprintf(&b, "  %s\n", lines[i].String())
	}
	return b.String()
}
