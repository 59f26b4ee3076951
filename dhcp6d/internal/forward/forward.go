// Package forward knows the dhcp4d behind this dhcp6d: where each one is,
// whether it is alive, and which of them a query goes to.
//
// It reads no socket: the loop that reads the IPC tells it whom it heard
// ([Backends.Heard]), and its own goroutine ([Backends.Run]) resolves names
// again and sends probes. Choosing takes no lock and allocates nothing.
//
// A query goes by rendezvous hashing of its client's identity over the names
// of the backends that are in: a client stays with its backend, and a backend
// that leaves or joins moves only its own clients. A backend of ours is in
// while it answers probes or queries; one marked "kea" is always in, because
// Kea knows no probe. When none is in, a query goes to the one that the hash
// prefers all the same: a guess costs a datagram, silence costs the client.
package forward

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Times of the probing. A backend that has been silent for outAfter is out:
// three probes lost.
const (
	probeEvery   = time.Second
	probeOut     = 100 * time.Millisecond // while one of ours is out
	outAfter     = 3*probeEvery + probeEvery/2
	resolveEvery = 10 * time.Second
)

// Spec names one backend as the operator wrote it.
type Spec struct {
	Name string // for metrics, logs and the hash; unique
	Host string // an IP address or a name to resolve
	Port uint16
	Kea  bool // speaks Kea's IPC only: no probe, no local address
}

// Backend is one dhcp4d at one address.
type Backend struct {
	Name string
	Addr netip.AddrPort
	Kea  bool

	state *state
	seed  uint64 // hash of Name
}

// state survives a new resolution of the name.
type state struct {
	heard atomic.Int64 // last sign of life, nanoseconds on the monotonic clock; 0 = never
	in    atomic.Bool
}

// table is what the packet path sees: replaced as a whole, never changed.
type table struct {
	list []Backend
	from map[netip.AddrPort]int
}

// Resolver turns a name into addresses; net.DefaultResolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Backends is the set of backends. Choose, From and Heard may be called
// from any goroutine.
type Backends struct {
	log      *slog.Logger
	specs    []Spec
	states   []*state
	resolver Resolver
	probe    udp.Writer
	metrics  *Metrics
	start    time.Time
	ready    Condition
	table    atomic.Pointer[table]
}

// New makes the set. Addresses that need no resolution can be chosen at once,
// the others once [Backends.Run] has resolved them. Probes leave by w, which
// nobody else may use; a nil w sends none.
func New(log *slog.Logger, specs []Spec, r Resolver, w udp.Writer, m *Metrics) *Backends {
	b := &Backends{log: log, specs: specs, resolver: r, probe: w, metrics: m, start: time.Now()}
	var t table
	for _, s := range specs {
		st := &state{}
		st.in.Store(s.Kea)
		b.states = append(b.states, st)
		if a, err := netip.ParseAddr(s.Host); err == nil {
			t.add(s, st, a)
		}
	}
	b.publish(&t)
	for i, s := range specs {
		m.up(s.Name, b.states[i].in.Load())
	}
	return b
}

func (t *table) add(s Spec, st *state, a netip.Addr) {
	addr := netip.AddrPortFrom(a.Unmap().WithZone(""), s.Port)
	t.list = append(t.list, Backend{Name: s.Name, Addr: addr, Kea: s.Kea, state: st, seed: hash([]byte(s.Name))})
}

func (b *Backends) publish(t *table) {
	t.from = make(map[netip.AddrPort]int, len(t.list))
	for i := range t.list {
		t.from[t.list[i].Addr] = i
	}
	b.table.Store(t)
}

// Choose returns the backend for the client with the given identity, nil when
// no backend has an address yet.
func (b *Backends) Choose(client []byte) *Backend {
	t := b.table.Load()
	switch len(t.list) {
	case 0:
		return nil
	case 1:
		return &t.list[0]
	}
	key := hash(client)
	var best, bestIn *Backend
	var top, topIn uint64
	for i := range t.list {
		c := &t.list[i]
		w := mix(key ^ c.seed)
		if best == nil || w > top {
			best, top = c, w
		}
		if c.state.in.Load() && (bestIn == nil || w > topIn) {
			bestIn, topIn = c, w
		}
	}
	if bestIn != nil {
		return bestIn
	}
	return best
}

// Several tells whether the identity of a client matters to Choose.
func (b *Backends) Several() bool { return len(b.table.Load().list) > 1 }

// From returns the backend that sends from addr, nil when none does
// (protocol rule: an IPC datagram counts only from a configured peer).
func (b *Backends) From(addr netip.AddrPort) *Backend {
	t := b.table.Load()
	if i, ok := t.from[addr]; ok {
		return &t.list[i]
	}
	return nil
}

// Heard notes a sign of life: any datagram of the backend's that was accepted.
func (b *Backends) Heard(c *Backend, now time.Time) {
	c.state.heard.Store(max(1, int64(now.Sub(b.start))))
}

// Condition is told whether a backend is in.
type Condition interface {
	Met()
	Unmet(reason string)
}

// Watch has c told from now on. Call it before Run.
func (b *Backends) Watch(c Condition) {
	b.ready = c
	b.report()
}

func (b *Backends) report() {
	if b.ready == nil {
		return
	}
	t := b.table.Load()
	if len(t.list) == 0 {
		b.ready.Unmet("no backend's name could be resolved")
		return
	}
	for i := range t.list {
		if t.list[i].state.in.Load() {
			b.ready.Met()
			return
		}
	}
	b.ready.Unmet("no backend answers")
}

// Run resolves and probes until ctx ends.
func (b *Backends) Run(ctx context.Context) error {
	var resolved time.Time
	frame := ipc.AppendProbe(nil)
	var out []udp.Packet
	for {
		if now := time.Now(); now.Sub(resolved) >= resolveEvery || now.Sub(resolved) >= probeEvery && len(b.table.Load().list) < len(b.specs) {
			b.resolve(ctx)
			resolved = now
		}
		t := b.table.Load()
		out = out[:0]
		for i := range t.list {
			if !t.list[i].Kea {
				out = append(out, udp.Packet{Data: frame, Peer: t.list[i].Addr})
			}
		}
		if b.probe != nil && len(out) > 0 {
			b.probe.Write(out)
		}
		wait := probeEvery
		if !b.judge(time.Now()) {
			wait = probeOut
		}
		b.report()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// judge takes backends in that were heard of late, and out that were not. It
// tells whether all are in.
func (b *Backends) judge(now time.Time) (all bool) {
	all = true
	for i, s := range b.specs {
		st := b.states[i]
		if s.Kea {
			continue
		}
		heard := st.heard.Load()
		in := heard != 0 && now.Sub(b.start)-time.Duration(heard) < outAfter
		all = all && in
		if in == st.in.Swap(in) {
			continue
		}
		b.metrics.up(s.Name, in)
		if in {
			b.log.Info("backend is in", "backend", s.Name)
		} else {
			b.log.Warn("backend is out: it answers neither probes nor queries", "backend", s.Name)
		}
	}
	return all
}

// resolve looks every name up again. A name that cannot be resolved keeps the
// address it had.
func (b *Backends) resolve(ctx context.Context) {
	old := b.table.Load()
	var t table
	changed := false
	for i, s := range b.specs {
		st := b.states[i]
		before, had := netip.AddrPort{}, false
		for j := range old.list {
			if old.list[j].state == st {
				before, had = old.list[j].Addr, true
			}
		}
		a, err := netip.ParseAddr(s.Host)
		if err != nil {
			a, err = b.lookup(ctx, s.Host)
		}
		if err != nil {
			if !had {
				b.log.Warn("cannot resolve a backend's name yet", "backend", s.Name, "host", s.Host, "error", err)
				continue
			}
			a = before.Addr()
		}
		t.add(s, st, a)
		if now := t.list[len(t.list)-1].Addr; now != before {
			changed = true
			if had {
				b.log.Info("backend has moved", "backend", s.Name, "from", before, "to", now)
			}
		}
	}
	if changed {
		b.publish(&t)
	}
}

func (b *Backends) lookup(ctx context.Context, host string) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, probeEvery)
	defer cancel()
	as, err := b.resolver.LookupNetIP(ctx, "ip6", host)
	if err != nil {
		return netip.Addr{}, err
	}
	return as[0], nil
}

// hash is FNV-1a, 64 bits: short keys, no allocation, the same everywhere.
func hash(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// mix spreads a hash over all bits (the finalizer of splitmix64), so that the
// weights of one client towards several backends are independent.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
