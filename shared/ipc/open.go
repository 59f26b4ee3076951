package ipc

import (
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Opener opens authenticated datagrams for one goroutine.
type Opener struct {
	end    *End
	memory sealing
	macs
	senders senders
	refused [refusals]atomic.Uint64
	last    Refusal // of the datagram that was refused last
}

// NewOpener makes the opener of a goroutine. Under HMAC it takes nothing that was signed before
// start, which is best one that [End.Begin] returned.
func (e *End) NewOpener(start time.Time) *Opener {
	return &Opener{end: e, senders: newSenders(start)}
}

// Refusal is why a datagram is not authentic.
type Refusal uint8

// The refusals, in the order of the checks.
const (
	accepted  Refusal = iota
	Unsigned          // it has no trailer of ours
	OldMethod         // HMAC where sessions are used, or where HMAC is not taken at all
	UnknownKey
	NoSession // of an earlier process of one of the two, or of another daemon
	Stale     // older than maxAge
	Forged    // the tag is wrong
	Replayed  // it was taken before

	refusals
)

// String names a refusal as metrics do.
func (r Refusal) String() string {
	return [refusals]string{"accepted", "unsigned", "old_method", "unknown_key", "no_session", "stale", "forged",
		"replayed"}[r]
}

// Refusals names all refusals, in their order.
func Refusals() (names []string) {
	for r := accepted + 1; r < refusals; r++ {
		names = append(names, r.String())
	}
	return names
}

// Refused returns how many datagrams had the refusal at an index of [Refusals]. Any goroutine may
// call it.
func (o *Opener) Refused(index int) uint64 { return o.refused[accepted+1+Refusal(index)].Load() }

// AfterRestart reports whether the datagram that was refused last is one that the restart of a
// daemon explains: it is of an earlier session. The goroutine that opens may call it.
func (o *Opener) AfterRestart() bool { return o.last == NoSession || o.last == Replayed }

// Open verifies a datagram from a peer and returns it without its trailer. [drop.Unauthentic] is
// the reason for one that no key of ours authenticates, that is for another daemon or another
// process, goes in the other direction, is too old or was taken before. Without keys, and from a
// nil Peer, it returns the datagram as it came.
//
// A full probe may be one that anybody has repeated, see [Peer.Sender]. Everything else has just
// been sent to us.
func (o *Opener) Open(datagram []byte, from *Peer, now time.Time) ([]byte, drop.Reason) {
	if from == nil {
		return datagram, drop.None
	}
	keys := o.end.keys.Load()
	if len(keys.keys) == 0 {
		return datagram, drop.None
	}
	budget.Spend(len(datagram))
	content, why := o.open(datagram, from, keys, now)
	if why != accepted {
		o.refuse(why)
		return nil, drop.Unauthentic
	}
	return content, drop.None
}

func (o *Opener) refuse(why Refusal) {
	o.refused[why].Add(1)
	o.last = why
}

func (o *Opener) open(datagram []byte, from *Peer, keys *keySet, now time.Time) ([]byte, Refusal) {
	content, trailer, algorithm := cutTrailer(datagram)
	from.came = algorithm
	switch algorithm {
	case algorithmSession:
		return content, o.openSession(datagram, trailer, from, keys, now)
	case algorithmGreeting:
		return content, o.openGreeting(datagram, content, trailer, from, keys, now)
	case algorithmHMAC:
		return content, o.openHMAC(datagram, content, trailer, from, keys, now)
	}
	return nil, Unsigned
}

func (o *Opener) openSession(datagram, trailer []byte, from *Peer, keys *keySet, now time.Time) Refusal {
	t := readShort(trailer)
	s := from.session.Load()
	signer := t.sequence >> counterBits
	if s == nil || s.id != t.sender || signer >= signers {
		return NoSession
	}
	key := s.use(keys).of(t.key, o.end.opens)
	if key == nil {
		return UnknownKey
	}
	if !recent(t.time, o.end.now(now)) || since(s.begun, t.time) < 0 {
		return Stale
	}
	if !o.memory.genuine(key, datagram, t.sequence) {
		return Forged
	}
	// The window comes last, so that nobody without a key can move it.
	if !s.seen[signer].take(t.sequence & (1<<counterBits - 1)) {
		return Replayed
	}
	return accepted
}

func (o *Opener) openGreeting(datagram, content, trailer []byte, from *Peer, keys *keySet, now time.Time) Refusal {
	g := readGreeting(trailer)
	if !isFull(content, o.end.opens) {
		return Unsigned // greetings authenticate nothing else
	}
	o.use(keys)
	if !hasKey(o.greetings, g.key) {
		return UnknownKey
	}
	if !genuine(o.greetings, g.key, datagram, from.backend, o.end.opens) {
		return Forged
	}
	if !from.greeted(&g, now) {
		return Replayed
	}
	if from.Sender() == Doubtful {
		o.refuse(NoSession) // though it is answered
	}
	return accepted
}

func (o *Opener) openHMAC(datagram, content, trailer []byte, from *Peer, keys *keySet, now time.Time) Refusal {
	if !keys.old {
		return OldMethod
	}
	t := readShort(trailer)
	o.use(keys)
	if !hasKey(o.datagrams, t.key) {
		return UnknownKey
	}
	if !genuine(o.datagrams, t.key, datagram, from.backend, o.end.opens) {
		return Forged
	}
	why := o.senders.take(t.sender, t.sequence, t.time, o.senders.moment(now))
	if why != accepted {
		return why
	}
	plain := isPlain(content, o.end.opens)
	switch {
	case t.sequence&newer != 0:
		if !plain {
			return OldMethod
		}
		if o.end.opens == FromBackend {
			from.speaks.Store(speaksSessions)
		}
	case !from.live(now):
		from.old()
	case !plain:
		return OldMethod
	}
	return accepted
}
