package ipc

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Direction is which way a datagram goes. Tags cover it, so that no datagram can be sent back to
// where it came from.
type Direction byte

// The directions: from dhcp6d to dhcp4d, and back.
const (
	ToBackend   Direction = 'q'
	FromBackend Direction = 'r'
)

// End is our end of the link: this process, with its keys. Any goroutine may use it.
type End struct {
	sends, opens Direction
	start        time.Time
	keys         atomic.Pointer[keySet]
	clock        atomic.Uint64 // the time in the last greeting
	numbers      atomic.Uint64 // of signers made so far
}

// keySet is the configured keys. It never changes.
type keySet struct {
	keys Keys
	old  bool // talk to daemons that know no sessions
}

// NewEnd makes the end of a daemon. Without keys it leaves datagrams as they are. With old,
// datagrams under HMAC are exchanged with peers that know no sessions.
func NewEnd(d drop.Daemon, keys Keys, old bool) *End {
	e := &End{sends: ToBackend, opens: FromBackend, start: time.Now()}
	if d == drop.DHCP4D {
		e.sends, e.opens = FromBackend, ToBackend
	}
	e.Configure(keys, old)
	return e
}

// Configure changes the keys, and whether old peers are allowed. It takes effect with the next
// datagram. Sessions continue.
func (e *End) Configure(keys Keys, old bool) { e.keys.Store(&keySet{keys, old}) }

// Keyed reports whether there are keys.
func (e *End) Keyed() bool { return len(e.keys.Load().keys) > 0 }

// Begin returns the time from which on an [Opener] that starts now takes datagrams under HMAC: the
// next full second. It waits until then, so that a peer that learns later that we are ready is not
// refused. The socket must be bound before, so that no other process takes datagrams after that
// time. Without old peers, or without keys, it does not wait.
func (e *End) Begin(ctx context.Context) time.Time {
	now := time.Now()
	if keys := e.keys.Load(); len(keys.keys) == 0 || !keys.old {
		return now
	}
	wait := now.Truncate(time.Second).Add(time.Second).Sub(now)
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
	return now.Add(wait)
}

// tick returns our clock for a greeting: nanoseconds since our start, and never a value twice.
func (e *End) tick(now time.Time) uint64 {
	t := uint64(max(1, now.Sub(e.start)))
	for {
		last := e.clock.Load()
		next := max(t, last+1)
		if e.clock.CompareAndSwap(last, next) {
			return next
		}
	}
}

// seconds is the part of our clock that each datagram of a session returns.
func seconds(clock uint64) uint32 { return uint32(clock / uint64(time.Second)) }

// now is our clock in seconds.
func (e *End) now(now time.Time) uint32 { return seconds(uint64(max(0, now.Sub(e.start)))) }

// recent reports whether a time of our clock, in seconds, is at most maxAge ago.
func recent(then, now uint32) bool {
	age := since(then, now)
	return age >= -1 && age <= maxAge // -1: now was read before another goroutine told its time
}

// Peer is the daemon at the other side of the link, through all of its restarts. A nil Peer is a
// Kea, which knows no keys: its datagrams are left unchanged.
type Peer struct {
	end     *End
	backend string // name of the dhcp4d of the two

	session atomic.Pointer[session] // the latest; nil before the first
	speaks  atomic.Uint32
	seen    atomic.Int64 // when a greeting was fresh last, in nanoseconds since our start; 0 never

	// came is the algorithm of the datagram that was opened last; it belongs to the goroutine that
	// opens, which in dhcp4d also answers probes.
	came byte

	// Guarded by mu, which is held for greetings only.
	mu     sync.Mutex
	id     Identity // ours, towards this peer
	them   Identity // of the latest session
	clock  uint64   // theirs, in the latest greeting
	echoed uint64   // ours, in the latest fresh greeting
	opened greeting // of dhcp4d: the greeting that was opened last
	sender Sender   // of that greeting
	since  uint64   // of dhcp6d: our clock in the first greeting that has no answer yet; 0: none
	// former are the sessions that others have replaced a moment ago, the oldest first. The process
	// of one may be back. A new session with it would have the same keys, and would take again what
	// the former has taken.
	former []*session
}

// What a peer speaks.
const (
	speaksUnknown = iota
	speaksHMAC    // it knows no sessions
	speaksSessions
)

// Peer makes a peer, towards which we have a random identity. Backend is the name of the dhcp4d of
// the two: of the peer, or our own.
//
// A nil End, for tests, gives a nil Peer.
func (e *End) Peer(backend string) *Peer {
	if e == nil {
		return nil
	}
	p := &Peer{end: e, backend: backend}
	rand.Read(p.id[:]) // never fails
	return p
}

// Ready reports whether a datagram for the peer can be authenticated: there is a session that the
// peer has too, or the peer knows no sessions. Without keys, every peer is ready.
func (p *Peer) Ready() bool {
	if p == nil || !p.end.Keyed() {
		return true
	}
	if p.speaks.Load() == speaksHMAC {
		return p.end.keys.Load().old
	}
	s := p.session.Load()
	return s != nil && s.ready.Load()
}

// Greets reports whether the peer is known to understand greetings, which full probes bring, and
// has yet to exchange one.
func (p *Peer) Greets() bool {
	return p != nil && p.speaks.Load() == speaksSessions && !p.Ready()
}

// Old reports whether the peer is authenticated by HMAC, because it knows no sessions.
func (p *Peer) Old() bool {
	return p != nil && p.end.Keyed() && p.speaks.Load() == speaksHMAC
}

// Sender is what is known about the sender of a full probe.
type Sender uint8

// The senders. A probe from a doubtful sender, or from a stranger, is answered, so that it can
// prove itself with the next one. Such a probe has no other effect.
const (
	// Present has just sent the probe.
	Present Sender = iota
	// Stranger does not know our identity yet.
	Stranger
	// Doubtful names an earlier process of ours, or comes late. It may be a replay.
	Doubtful
)

// Sender returns who sent the probe that was opened last. The goroutine that opens may call it.
func (p *Peer) Sender() Sender {
	if p == nil || p.came != algorithmGreeting {
		return Present
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sender
}

// old notes that the peer knows no sessions, as after a downgrade.
func (p *Peer) old() {
	p.speaks.Store(speaksHMAC)
	if s := p.session.Load(); s != nil {
		s.ready.Store(false)
	}
}

// sessionLive is how long after a fresh greeting nothing but sessions is taken from a peer. It is
// about as long as dhcp6d needs to see that a backend is gone.
const sessionLive = 2 * time.Second

// live reports whether a greeting was fresh a moment ago.
func (p *Peer) live(now time.Time) bool {
	seen := p.seen.Load()
	return seen != 0 && int64(now.Sub(p.end.start))-seen < int64(sessionLive)
}

// greeted handles a genuine greeting. It reports whether the greeting must be answered, or was an
// answer to us. It returns false for a replay.
//
// A greeting is fresh if it has our identity, which no other process and no other peer of ours has,
// and returns a time that we sent at most maxAge ago. Only a fresh greeting changes anything: it
// begins a session, or shows that the session's peer is alive.
func (p *Peer) greeted(g *greeting, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opened, p.sender = *g, Doubtful
	if g.to == (Identity{}) {
		p.sender = Stranger
	}
	known := g.from == p.them
	if known && g.clock <= p.clock {
		return false
	}
	if known {
		p.clock = g.clock
	}
	forUs := g.to == p.id && recent(seconds(g.echo), p.end.now(now))
	newEcho, sameEcho := g.echo > p.echoed, known && g.echo == p.echoed
	if p.end.opens == FromBackend && !(forUs && newEcho) {
		return false // each probe of ours has one answer
	}
	if !forUs || (!newEcho && !sameEcho) {
		return true
	}
	p.sender = Present
	s := p.session.Load()
	if !known || s == nil {
		if s = p.meetLocked(g.from, now); s == nil {
			p.sender = Doubtful
			return p.end.opens == ToBackend
		}
		p.them, p.clock = g.from, g.clock
	}
	p.echoed, p.since = g.echo, 0
	s.heard.Store(seconds(g.clock))
	// dhcp4d has the session now. The dhcp6d has had it since our answer.
	s.ready.Store(g.ready || p.end.opens == ToBackend)
	p.speaks.Store(speaksSessions)
	p.seen.Store(max(1, int64(now.Sub(p.end.start))))
	return true
}

// maxFormer is how many former sessions are kept. Only an attacker who relays the greetings of as
// many processes makes more within two seconds; the next one has to wait.
const maxFormer = 8

// meetLocked begins a session with a process, or continues the one that another process has
// replaced a moment ago. It returns nil if there are too many of these.
func (p *Peer) meetLocked(them Identity, now time.Time) *session {
	dhcp6d, dhcp4d := p.id, them
	if p.end.opens == ToBackend {
		dhcp6d, dhcp4d = them, p.id
	}
	clock := p.end.now(now)
	// A session that begins now refuses everything from before, so it needs no memory of those that
	// were left more than a second ago.
	p.former = slices.DeleteFunc(p.former, func(s *session) bool { return since(s.left, clock) > 1 })
	i := slices.IndexFunc(p.former, func(s *session) bool { return s.dhcp6d == dhcp6d && s.dhcp4d == dhcp4d })
	var s *session
	switch {
	case i >= 0:
		s = p.former[i]
		p.former = slices.Delete(p.former, i, i+1)
	case len(p.former) == maxFormer:
		return nil
	default:
		s = newSession(dhcp6d, dhcp4d, p.backend, p.end.keys.Load(), clock)
	}
	if old := p.session.Load(); old != nil {
		old.left = clock
		p.former = append(p.former, old)
	}
	p.session.Store(s)
	return s
}

// lostAfter is how long greetings may be without an answer before dhcp6d takes a new identity.
const lostAfter = 10 * time.Second

// greet makes a greeting for the peer. An answer names the sender of the greeting that was opened
// last.
//
// After a virtual machine was reset to an earlier state, its clock and its sequence numbers repeat
// and look like replays. Its greetings get no answer then, and it needs a new identity.
func (p *Peer) greet(key uint32, now time.Time) greeting {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := greeting{key: key, clock: p.end.tick(now)}
	if p.end.opens == ToBackend {
		g.from, g.to, g.echo = p.id, p.opened.from, p.opened.clock
		g.ready = p.opened.from == p.them && p.session.Load() != nil
		return g
	}
	switch {
	case p.since == 0:
		p.since = g.clock
	case g.clock-p.since > uint64(lostAfter):
		rand.Read(p.id[:]) // never fails
		p.them, p.clock, p.since = Identity{}, 0, g.clock
		if s := p.session.Load(); s != nil {
			s.ready.Store(false)
		}
	}
	g.from, g.to, g.echo = p.id, p.them, p.clock
	return g
}
