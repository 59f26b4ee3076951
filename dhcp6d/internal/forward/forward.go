// Package forward knows the dhcp4d behind this dhcp6d: where each one is,
// whether it is alive, which of them a query goes to, and how long they take.
//
// It reads no socket: the loop that reads the IPC tells it whom it heard
// ([Backends.Heard], [Backends.ProbeAnswered], [Backends.Answered]), and its
// own goroutines ([Backends.Run]) resolve names again, send probes and take
// backends in and out. What the packet loops call takes no lock and allocates
// nothing.
//
// A query goes by rendezvous hashing of its client's identity over the names
// of the backends that are in: a client stays with its backend, and a backend
// that leaves or joins moves only its own clients. Where addresses have
// owners, a query about such an address goes to its owner and to nobody else:
// another would refuse the address, and the client would give up a lease that
// is good. See choose.go.
//
// A backend of ours is in while it answers probes or queries. It is out when
// the kernel says that nobody listens there, or when one that has answered
// probes no longer does. One that we have not heard of yet is neither: it gets
// queries when no other is in. A Kea knows no probe; watch.go says when it is
// out, which the last backend never is for that reason.
package forward

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Spec names one backend as the operator wrote it.
type Spec struct {
	Name string // for metrics, logs, ranges and the hash; unique
	// Daemon is the name that the backend has for itself, which signatures
	// cover.
	Daemon string
	Host   string // an IP address or a name to resolve
	Port   uint16
	Kea    bool // speaks Kea's IPC only: no probe, no local address, no keys
}

// Range is addresses that only one backend serves.
type Range struct {
	Backend     string
	First, Last netip.Addr
}

// Options are what the set is made of.
type Options struct {
	Log      *slog.Logger
	Specs    []Spec
	Ranges   []Range // ascending, without overlap
	Resolver Resolver
	IPv4     bool // names stand for IPv4 addresses
	// Probes leave by Probe, signed by Signer; nobody else may use either.
	// Without a Probe none are sent.
	Probe   udp.Writer
	Signer  *ipc.Signer
	Metrics *Metrics
	// Now is the clock; nil stands for time.Now.
	Now func() time.Time
}

// Resolver turns a name into addresses; net.DefaultResolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Condition is told whether a backend is in.
type Condition interface {
	Met()
	Unmet(reason string)
}

// Backend is one dhcp4d at one address.
type Backend struct {
	Name   string
	Daemon string
	Addr   netip.AddrPort
	Kea    bool

	state *state
	seed  uint64 // hash of Name
}

// member is a backend as the goroutine that watches knows it.
type member struct {
	Spec
	*state
	addr netip.AddrPort // invalid until resolved
}

// Backends is the set of backends. Choose, Late and Sent are for the loop that
// sends, ProbeAnswered and Answered for the one that receives; everything else
// may be called from any goroutine.
type Backends struct {
	log      *slog.Logger
	resolver Resolver
	probe    udp.Writer
	signer   *ipc.Signer
	metrics  *Metrics
	now      func() time.Time
	start    time.Time
	trips    trips
	table    atomic.Pointer[table]
	wake     chan struct{} // Run has something to do at once
	renamed  chan struct{} // the resolver has
	network  string
	lastID   uint32 // of a member

	mu      sync.Mutex
	members []*member // replaced, not changed, when the configuration is
	ranges  []Range
	ready   Condition
}

// New makes the set. Addresses that need no resolution can be chosen at once,
// the others once [Backends.Run] has resolved them.
func New(o Options) *Backends {
	b := &Backends{log: o.Log, resolver: o.Resolver, probe: o.Probe, signer: o.Signer, metrics: o.Metrics,
		now: o.Now, wake: make(chan struct{}, 1), renamed: make(chan struct{}, 1), network: "ip6"}
	if o.IPv4 {
		b.network = "ip4"
	}
	if b.now == nil {
		b.now = time.Now
	}
	b.start = b.now()
	b.metrics.trips.Store(&b.trips)
	b.Set(o.Specs, o.Ranges)
	return b
}

// Set replaces the configuration. What is known of a backend that stays at
// its place is kept.
func (b *Backends) Set(specs []Spec, ranges []Range) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.members
	b.members, b.ranges = nil, slices.Clone(ranges)
	for _, s := range specs {
		m := &member{Spec: s}
		for _, o := range old {
			if o.Spec == s {
				m.state, m.addr = o.state, o.addr
			}
		}
		if m.state == nil {
			m.state = &state{series: b.metrics.series()}
			if s.Kea {
				m.life.Store(in)
			}
			if a, err := netip.ParseAddr(s.Host); err == nil {
				m.addr = s.at(a)
			}
		}
		b.members = append(b.members, m)
	}
	b.numberLocked()
	b.metrics.set(b.members)
	b.publishLocked()
	poke(b.wake)
	poke(b.renamed)
}

// numberLocked gives the new members numbers that no other has, nor one that
// has just left: queries are on their way under them. They have eight bits.
func (b *Backends) numberLocked() {
	taken := map[uint32]bool{0: true}
	for _, m := range b.members {
		taken[m.id.Load()] = true
	}
	for _, m := range b.members {
		if m.id.Load() != 0 {
			continue
		}
		for b.lastID = (b.lastID + 1) % 256; taken[b.lastID]; b.lastID = (b.lastID + 1) % 256 {
		}
		m.id.Store(b.lastID)
		taken[b.lastID] = true
	}
}

func (s *Spec) at(a netip.Addr) netip.AddrPort {
	return netip.AddrPortFrom(a.Unmap().WithZone(""), s.Port)
}

// poke makes whoever waits at a channel look at once.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// publishLocked makes the table that the packet loops see.
func (b *Backends) publishLocked() {
	t := &table{several: len(b.members) > 1, from: make(map[netip.AddrPort]int)}
	place := make(map[string]int)
	for _, m := range b.members {
		if !m.addr.IsValid() {
			continue
		}
		place[m.Name] = len(t.list)
		t.from[m.addr] = len(t.list)
		t.list = append(t.list, Backend{Name: m.Name, Daemon: m.Daemon, Addr: m.addr, Kea: m.Kea,
			state: m.state, seed: hash([]byte(m.Name))})
	}
	for _, r := range b.ranges {
		owner, there := place[r.Backend]
		if !there {
			owner = nobody
		}
		t.owned = append(t.owned, owned{r.First, r.Last, owner})
	}
	b.table.Store(t)
}

// Watch has c told from now on whether a backend is in.
func (b *Backends) Watch(c Condition) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready = c
	b.reportLocked()
}

func (b *Backends) reportLocked() {
	if b.ready == nil {
		return
	}
	if len(b.table.Load().list) == 0 {
		b.ready.Unmet("no backend's name could be resolved")
		return
	}
	if slices.ContainsFunc(b.members, func(m *member) bool { return m.life.Load() == in }) {
		b.ready.Met()
		return
	}
	b.ready.Unmet("no backend answers")
}

// From returns the backend that sends from addr, nil when none does
// (protocol rule: an IPC datagram counts only from a configured peer).
func (b *Backends) From(addr netip.AddrPort) *Backend {
	t := b.table.Load()
	if i, ok := t.from[addr]; ok {
		return &t.list[i]
	}
	return nil
}

// since is a time on our monotonic clock, which begins at 1.
func (b *Backends) since(now time.Time) int64 { return max(1, int64(now.Sub(b.start))) }

// Heard notes a sign of life: any datagram of the backend's that was accepted.
func (b *Backends) Heard(c *Backend, now time.Time) {
	c.state.heard.Store(b.since(now))
	// The exchange that this is the answer of goes on at once, maybe sooner
	// than Run looks.
	if c.state.life.Load() == tried && c.state.life.CompareAndSwap(tried, in) {
		poke(b.wake)
	}
}

// ProbeAnswered notes that the backend has answered a probe, and so has taken
// every query that was sent before it.
func (b *Backends) ProbeAnswered(c *Backend, now time.Time) {
	b.Heard(c, now)
	c.state.probed.Store(true)
	life := c.state.life.Load()
	if taken, some := c.state.probes.answered(life == out); some {
		c.state.caughtUp(taken, b.since(now))
	}
	if life != in {
		poke(b.wake)
	}
}

// Refused notes that the kernel knows of nobody at an address to which
// something was sent.
func (b *Backends) Refused(addr netip.AddrPort) {
	if c := b.From(addr); c != nil {
		c.state.refused.Store(b.since(b.now()))
		if c.state.life.Load() != out {
			poke(b.wake)
		}
	}
}

// Drain waits until no query waits for its answer, no longer than limit.
func (b *Backends) Drain(limit time.Duration) {
	for end := time.Now().Add(limit); b.trips.inFlight() > 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
}
