// Package backend knows the dhcp4d behind this dhcp6d: where each one is, whether it can serve,
// which of them gets a query, and how long they take.
//
// Four goroutines use a [Set], and none of them waits for another:
//
//   - The loop that sends calls [Set.Route] for each query.
//   - The loop that receives calls [Set.From] for each datagram, and [Set.Answered] or
//     [Set.ProbeAnswered] for what it has accepted.
//   - [Set.Run] sends probes and decides about the health of each backend.
//   - One that Run begins resolves names (resolve.go).
//
// What the two loops call takes no lock and allocates nothing. The package reads no socket.
//
// Rendezvous hashing of the client's identity over the names of the backends that are up chooses
// the backend of a query. So a client stays with its backend, and a backend that leaves or joins
// moves only its own clients. If addresses have owners, a query about an address goes to its owner
// only: another backend would refuse the address, and the client would give up a good lease.
//
// health.go says when a backend is up, route.go where a query goes, inflight.go which queries have
// no answer yet, overload.go which ones are dropped because a backend does not keep up, and
// resolve.go how names become addresses.
package backend

import (
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/resolve"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Spec is one backend as the operator configured it.
type Spec struct {
	Name string // in metrics, logs and ranges; unique
	// Daemon is the name that the backend has for itself. Keys are derived from it.
	Daemon string
	Host   string // an IP address, or a name to resolve
	Port   uint16
	Kea    bool // a kea-dhcp4, which knows no probe, no local address and no keys
}

// Range is a range of IPv4 addresses that only one backend serves.
type Range struct {
	Backend     string
	First, Last netip.Addr
}

// Options are what a [Set] is made of.
type Options struct {
	Log      *slog.Logger
	Specs    []Spec
	Ranges   []Range // ascending, without overlap
	Resolver resolve.Resolver
	// Listen is where the IPC's socket is bound. Names stand for addresses that it can send to.
	Listen netip.Addr
	// End is our end of the link. Probe sends probes, and Signer authenticates them; the Set owns
	// both. If Probe is nil, no probes are sent.
	End     *ipc.End
	Probe   udp.Writer
	Signer  *ipc.Signer
	Metrics *Metrics
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Condition is a condition of the daemon's readiness.
type Condition interface {
	Met()
	Unmet(reason string)
}

// Set is the backends behind this dhcp6d. The package comment says which goroutine calls what;
// every method that it does not name may be called from any goroutine.
type Set struct {
	// Set once, by New.
	log      *slog.Logger
	resolver resolve.Resolver
	network  string // which addresses of a name are used: "ip4", "ip6" or "ip" for both
	end      *ipc.End
	probe    udp.Writer
	signer   *ipc.Signer
	metrics  *Metrics
	now      func() time.Time
	start    time.Time

	// Shared between the loops and Run, without a lock.
	flights flights
	table   atomic.Pointer[table] // replaced as a whole
	wake    chan struct{}         // holds a token when Run has something to do at once
	again   atomic.Bool           // Run sends probes at once
	// stranger is the last datagram from an address that is no backend's.
	stranger atomic.Pointer[stranger]
	renamed  chan struct{} // the resolver has something to do at once

	mu      sync.Mutex
	members []*member // guarded by mu; a new slice for each configuration
	ranges  []Range   // guarded by mu
	ready   Condition // guarded by mu
	lastID  uint32    // guarded by mu: the last id given to a member
}

// member is a backend as Run knows it.
type member struct {
	Spec
	*state
	addrs []netip.AddrPort // those that the host stands for; none until the name is resolved
	addr  netip.AddrPort   // the one in use; invalid if there is none
}

// use gives a member these addresses. The address in use stays if it is one of them.
func (m *member) use(addrs []netip.AddrPort) {
	m.addrs = addrs
	if !slices.Contains(addrs, m.addr) {
		m.addr = addrs[0]
	}
}

// state is what is known of a backend. It outlives a change of the backend's address.
type state struct {
	id     atomic.Uint32 // 1 to 255; flights know the backend by it
	series *series
	health health

	// Written by the loop that sends.
	sent  atomic.Uint32 // queries sent; the number of the last one
	queue queue
	trial trial

	// Written by the loop that receives. Times are those of [Set.since].
	taken   atomic.Uint32              // the backend has read the queries up to this number
	takenAt atomic.Int64               // when we learned that
	heard   atomic.Int64               // when it last sent something; 0 is never
	probed  atomic.Bool                // it has answered a probe
	lag     atomic.Int64               // how long the last answered query had waited for its answer
	lagAt   atomic.Int64               // when we learned that
	fullAt  atomic.Int64               // when it last answered a full probe; 0 is never
	local   atomic.Pointer[netip.Addr] // the address of ours that it sends to; nil is not known
	better  atomic.Pointer[Backend]    // it has answered at this address, and not at the one in use
	ability atomic.Uint32              // an ipc.Ability, from the last answer to a probe

	evidence evidence

	// Written by whichever loop meets an error of the socket.
	refused atomic.Int64 // when the kernel last said that nobody listens there; 0 is never

	// Owned by Run, under the lock of the Set.
	silence     silence
	retry       retry
	asking      asking
	peers       map[netip.AddrPort]*ipc.Peer // by address; empty for a Kea
	hold        hold
	logged      lastLogged
	takenForKea bool  // it answers queries and no probes, so it is taken for a Kea
	silentAt    int64 // when the last Kea that is left was found to be silent; 0 if it is not

	trouble resolve.Trouble // with its name; owned by the resolver, under the lock of the Set
}

// reported returns the ability that the backend last reported.
func (s *state) reported() ipc.Ability { return ipc.Ability(s.ability.Load()) }

// New makes a set. A backend whose host is an address can get queries at once, any other one when
// [Set.Run] has resolved its name.
func New(o Options) *Set {
	s := &Set{log: o.Log, resolver: o.Resolver, end: o.End, probe: o.Probe, signer: o.Signer, metrics: o.Metrics,
		now: o.Now, wake: make(chan struct{}, 1), renamed: make(chan struct{}, 1), network: "ip6"}
	switch {
	case o.Listen.Is4():
		s.network = "ip4"
	case o.Listen == netip.IPv6Unspecified():
		s.network = "ip"
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.start = s.now()
	s.metrics.flights.Store(&s.flights)
	s.Configure(o.Specs, o.Ranges)
	return s
}

// Configure replaces the configuration. What is known of a backend whose Spec stays the same is
// kept.
func (s *Set) Configure(specs []Spec, ranges []Range) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.members
	s.members, s.ranges = nil, slices.Clone(ranges)
	for _, spec := range specs {
		i := slices.IndexFunc(old, func(m *member) bool { return m.Spec == spec })
		if i >= 0 {
			s.members = append(s.members, &member{
				Spec: spec, state: old[i].state, addrs: old[i].addrs, addr: old[i].addr,
			})
			continue
		}
		m := &member{Spec: spec, state: &state{series: s.metrics.series()}}
		if spec.Kea {
			m.health.set(Up)
		}
		if a, err := netip.ParseAddr(spec.Host); err == nil {
			m.use([]netip.AddrPort{spec.at(a)})
			m.logged.from = s.since(s.now())
		}
		s.members = append(s.members, m)
	}
	s.numberLocked()
	s.metrics.set(s.members)
	s.publishLocked()
	poke(s.wake)
	poke(s.renamed)
}

// numberLocked gives each new member an id. It avoids the ids of the other members, and those of
// members that have just left: queries may still be in flight under them.
func (s *Set) numberLocked() {
	taken := map[uint32]bool{0: true}
	for _, m := range s.members {
		taken[m.id.Load()] = true
	}
	for _, m := range s.members {
		if m.id.Load() != 0 {
			continue
		}
		for s.lastID = (s.lastID + 1) % 256; taken[s.lastID]; s.lastID = (s.lastID + 1) % 256 {
		}
		m.id.Store(s.lastID)
		taken[s.lastID] = true
	}
}

// at returns the backend's end of the IPC if it has the address a.
func (s *Spec) at(a netip.Addr) netip.AddrPort {
	return netip.AddrPortFrom(a.Unmap().WithZone(""), s.Port)
}

// poke wakes the goroutine that waits for c.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// publishLocked makes the table that the packet loops use from now on.
func (s *Set) publishLocked() {
	t := &table{several: len(s.members) > 1, from: make(map[netip.AddrPort]*Backend)}
	index := make(map[string]int)
	for _, m := range s.members {
		if !m.addr.IsValid() {
			continue
		}
		index[m.Name] = len(t.list)
		b := Backend{
			Name: m.Name, Addr: m.addr, Kea: m.Kea, state: m.state, seed: hash([]byte(m.Name)),
			Peer: s.peerLocked(m, m.addr),
		}
		for _, a := range m.addrs {
			if a != m.addr {
				other := b
				other.Addr, other.Peer, other.unused = a, s.peerLocked(m, a), true
				t.from[a] = &other
				b.others = append(b.others, &other)
			}
		}
		maps.DeleteFunc(m.peers, func(a netip.AddrPort, _ *ipc.Peer) bool { return !slices.Contains(m.addrs, a) })
		t.list = append(t.list, b)
	}
	for i := range t.list {
		t.from[t.list[i].Addr] = &t.list[i]
	}
	for _, r := range s.ranges {
		owner, resolved := index[r.Backend]
		if !resolved {
			owner = nobody
		}
		t.owned = append(t.owned, owned{r.First, r.Last, owner})
	}
	s.table.Store(t)
}

// peerLocked returns how a backend is authenticated at an address. Each address has a session of
// its own, because another process may be behind it, and we may send to it from another address of
// ours.
func (s *Set) peerLocked(m *member, a netip.AddrPort) *ipc.Peer {
	if m.Kea {
		return nil
	}
	if m.peers[a] == nil {
		if m.peers == nil {
			m.peers = make(map[netip.AddrPort]*ipc.Peer)
		}
		m.peers[a] = s.end.Peer(m.Daemon)
	}
	return m.peers[a]
}

// OldPeers returns how many backends authenticate by HMAC alone.
func (s *Set) OldPeers() (n int) {
	for i := range s.table.Load().list {
		if s.table.Load().list[i].Peer.Old() {
			n++
		}
	}
	return n
}

// Watch keeps c met while any backend can serve.
func (s *Set) Watch(c Condition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = c
	s.reportLocked()
}

// From returns the backend that sends from addr, or nil. A datagram counts only if it comes from an
// address of a backend, in use or not.
func (s *Set) From(addr netip.AddrPort) *Backend { return s.table.Load().from[addr] }

// since converts to our monotonic clock, in nanoseconds. It starts at 1, so that 0 can mean never.
func (s *Set) since(now time.Time) int64 { return max(1, int64(now.Sub(s.start))) }

// Drain waits until every query has its answer, but not longer than limit.
func (s *Set) Drain(limit time.Duration) {
	for end := time.Now().Add(limit); s.flights.count() > 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
}
