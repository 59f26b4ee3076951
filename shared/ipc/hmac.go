package ipc

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"time"
)

// mac computes the HMACs of one key. One goroutine uses it at a time.
type mac struct {
	id   uint32
	hash hash.Hash
	// These are fields, because anything passed to a hash.Hash would otherwise be allocated.
	prefix []byte
	sum    [sha256.Size]byte
}

var zeroTag [tagLen]byte

// tag returns the tag of a datagram. It ignores the last octets of the datagram, which are the
// place of the tag. The result is valid until the next call.
func (m *mac) tag(datagram []byte, backend string, d Direction) []byte {
	m.prefix = append(append(m.prefix[:0], backend...), 0, byte(d))
	m.hash.Reset()
	m.hash.Write(m.prefix)
	m.hash.Write(datagram[:len(datagram)-tagLen])
	m.hash.Write(zeroTag[:])
	return m.hash.Sum(m.sum[:0])[:tagLen]
}

// appendTag appends the tag of dst[start:].
func (m *mac) appendTag(dst []byte, start int, backend string, d Direction) []byte {
	dst = append(dst, zeroTag[:]...)
	copy(dst[len(dst)-tagLen:], m.tag(dst[start:], backend, d))
	return dst
}

// macs are the HMACs of all configured keys, for one goroutine.
type macs struct {
	from      *keySet
	datagrams []mac // of the algorithm HMAC
	greetings []mac // under a key derived from the configured one
}

// use makes the HMACs of a set of keys, unless they are there.
func (m *macs) use(keys *keySet) {
	if m.from == keys {
		return
	}
	m.from, m.datagrams, m.greetings = keys, nil, nil
	for _, k := range keys.keys {
		greet, err := hkdf.Key(sha256.New, k.Secret, nil, "dhcp4o6 greeting", sha256.Size)
		if err != nil {
			panic("ipc: " + err.Error())
		}
		m.datagrams = append(m.datagrams, mac{id: k.ID, hash: hmac.New(sha256.New, k.Secret)})
		m.greetings = append(m.greetings, mac{id: k.ID, hash: hmac.New(sha256.New, greet)})
	}
}

// hasKey reports whether a key is among those of a list.
func hasKey(list []mac, id uint32) bool {
	for i := range list {
		if list[i].id == id {
			return true
		}
	}
	return false
}

// genuine reports whether a datagram's last octets are the tag by the key of that id.
func genuine(list []mac, id uint32, datagram []byte, backend string, d Direction) bool {
	for i := range list {
		if list[i].id == id {
			return subtle.ConstantTimeCompare(list[i].tag(datagram, backend, d), datagram[len(datagram)-tagLen:]) == 1
		}
	}
	return false
}

// newer is set in the sequence numbers of a daemon that knows sessions. Another one that knows them
// takes nothing but plain probes with such a number. So an attacker on the way cannot keep two such
// daemons at HMAC by dropping their greetings.
const newer = 1 << 63

const (
	// maxAge is how old a datagram may be, and with HMAC how far the clocks of two hosts may be
	// apart, in seconds.
	maxAge = 30
	// maxSenders bounds the senders remembered. Each start of a goroutine that signs is one.
	maxSenders = 64
)

// senders are those whose datagrams came with the algorithm HMAC, which knows no session.
//
// A datagram is taken once. For a known sender the window over its sequence numbers ensures that,
// whatever the clocks say. A datagram from before we met its sender may have been taken already: by
// an earlier process of ours, or before we forgot the sender. So the floor applies to the datagrams
// of unknown senders, and to those whose number is lower than the one by which we met their sender:
// none is taken that is as old as the floor. The floor is the time of our start, or that of the
// newest datagram of any sender that we have forgotten, whichever is later.
//
// A step of our wall clock does not stop a known sender, see take. While the wall clock is behind
// the floor, unknown senders are not taken: their datagrams could be recordings from the first time
// that the clock showed this time. The same holds across a restart, where this needs a clock that
// is not set back. Sessions need no such thing.
type senders struct {
	start time.Time
	floor uint32 // Unix time
	list  []sender
}

// sender is what is remembered of one sender id.
type sender struct {
	id     uint64
	first  uint64 // sequence number by which we met it
	newest uint32 // Unix time accepted
	floor  uint32 // the floor of senders when this one was met
	lead   uint32 // the sender's Unix time less our monotonic clock, in seconds
	window window
}

// moment is one time on both clocks of this host.
type moment struct {
	wall uint32 // Unix time; may step
	mono uint32 // seconds since start; cannot step
}

// newSenders returns an empty memory that takes nothing signed before start. A datagram's time has
// whole seconds, so start is rounded up: what was signed in its second may have been taken by an
// earlier process.
func newSenders(start time.Time) senders {
	first := start.Add(time.Second - time.Nanosecond).Unix()
	return senders{start: start, floor: uint32(first - 1), list: make([]sender, 0, maxSenders)}
}

func (ss *senders) moment(now time.Time) moment {
	return moment{uint32(now.Unix()), uint32(int64(now.Sub(ss.start) / time.Second))}
}

// take takes a datagram that is at most maxAge old and whose sequence number is new, and remembers
// the number. At is when the sender says that it was signed.
//
// The age of a known sender's datagram goes by our wall clock, or by our monotonic clock and what
// the sender's clock showed when the wall clocks agreed last. So a step of our wall clock alone
// changes nothing, nor does a step of both. A sender whose wall clock alone steps is not taken
// until they agree.
func (ss *senders) take(id, sequence uint64, at uint32, now moment) Refusal {
	for i := range ss.list {
		s := &ss.list[i]
		if s.id != id {
			continue
		}
		agree := near(at, now.wall)
		if !agree && !near(at, now.mono+s.lead) {
			return Stale
		}
		if !s.take(sequence, at) {
			return Replayed
		}
		if agree { // a refused datagram may be a replay, so it changes nothing
			s.lead = at - now.mono
		}
		return accepted
	}
	if !near(at, now.wall) {
		return Stale
	}
	if since(ss.floor, at) <= 0 {
		return Replayed // perhaps: an earlier process may have taken it
	}
	s := ss.add()
	*s = sender{id: id, first: sequence, newest: at, floor: ss.floor, lead: at - now.mono,
		window: window{highest: sequence}}
	s.take(sequence, at)
	return accepted
}

// add makes room for a sender. If there is none, it forgets the sender that was silent longest, and
// raises the floor, so that none of that sender's datagrams is taken again.
func (ss *senders) add() *sender {
	if len(ss.list) < maxSenders {
		ss.list = append(ss.list, sender{})
		return &ss.list[len(ss.list)-1]
	}
	stalest := &ss.list[0]
	for i := range ss.list {
		if s := &ss.list[i]; since(s.newest, stalest.newest) > 0 {
			stalest = s
		}
	}
	if since(ss.floor, stalest.newest) > 0 {
		ss.floor = stalest.newest
	}
	return stalest
}

func (s *sender) take(sequence uint64, at uint32) bool {
	if sequence < s.first && since(s.floor, at) <= 0 {
		return false
	}
	if !s.window.take(sequence) {
		return false
	}
	if since(s.newest, at) > 0 {
		s.newest = at
	}
	return true
}

// near reports whether two times are at most maxAge apart.
func near(a, b uint32) bool {
	d := since(a, b)
	return d <= maxAge && d >= -maxAge
}

// since is the time from a to b in seconds, by wrapping clocks of 32 bits.
func since(a, b uint32) int32 { return int32(b - a) }
