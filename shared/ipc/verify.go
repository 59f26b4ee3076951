package ipc

import (
	"crypto/subtle"
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

const (
	// maxAge is how far the clocks of two hosts, and a datagram's time on
	// the way, may be apart, in seconds.
	maxAge = 30
	// window is how many sequence numbers of a sender are remembered, in
	// the order of which the network may deliver.
	window = 4096
	// maxSenders bounds the senders remembered. Each start of a goroutine
	// that signs is one.
	maxSenders = 64
)

// Verifier opens the signed datagrams of one direction. One goroutine opens;
// SetKeys may be called from anywhere.
//
// A datagram is taken once. Of a sender that we know, the window over its
// sequence numbers makes sure. Of what was sent before we knew it, nothing is
// taken that is as old as the floor: our start, when an earlier process of ours
// may have taken it, and the newest datagram of any sender that we have
// forgotten, when we may have.
type Verifier struct {
	direction Direction
	macs      atomic.Pointer[[]mac]
	floor     uint32 // Unix time
	senders   []sender
}

// sender is what is remembered of one sender id.
type sender struct {
	id      uint64
	highest uint64 // sequence number accepted
	newest  uint32 // Unix time accepted
	floor   uint32 // the verifier's when the sender was met
	seen    [window / 64]uint64
}

// NewVerifier makes a verifier that takes nothing signed before start, which
// is best one that [Keys.Start] returned. Without keys it takes everything as
// it is.
func NewVerifier(d Direction, keys Keys, start time.Time) *Verifier {
	// A datagram's time has whole seconds: start is rounded up. Otherwise what
	// was signed in its second, and taken by a process before us, would be
	// taken once more.
	first := start.Add(time.Second - time.Nanosecond).Unix()
	v := &Verifier{direction: d, floor: uint32(first - 1), senders: make([]sender, 0, maxSenders)}
	v.SetKeys(keys)
	return v
}

// SetKeys changes the keys and keeps what is known of the senders.
func (v *Verifier) SetKeys(keys Keys) {
	macs := newMACs(keys)
	v.macs.Store(&macs)
}

// Open verifies a datagram exchanged with the backend of that name and returns
// it without its Authentication option. [drop.Unauthentic] is the reason for
// one that is unsigned or signed with no key of ours, for another backend, in
// the other direction, too long ago, before our start, or seen already.
// Without keys it returns the datagram as it came.
func (v *Verifier) Open(datagram []byte, backend string, now time.Time) ([]byte, drop.Reason) {
	macs := *v.macs.Load()
	if len(macs) == 0 {
		return datagram, drop.None
	}
	end := len(datagram) - authLen
	if end < 0 {
		return nil, drop.Unauthentic
	}
	auth := datagram[end:]
	if string(auth[:len(authHeader)]) != authHeader {
		return nil, drop.Unauthentic
	}
	at := binary.BigEndian.Uint32(auth[authTime:])
	if age := since(at, uint32(now.Unix())); age > maxAge || age < -maxAge {
		return nil, drop.Unauthentic
	}
	if !authentic(macs, datagram, backend, v.direction) {
		return nil, drop.Unauthentic
	}
	// Only now: nobody without a key moves a window.
	id := binary.BigEndian.Uint64(auth[authSender:])
	if !v.fresh(id, binary.BigEndian.Uint64(auth[authSequence:]), at) {
		return nil, drop.Unauthentic
	}
	return datagram[:end:end], drop.None
}

func authentic(macs []mac, datagram []byte, backend string, d Direction) bool {
	auth := datagram[len(datagram)-authLen:]
	id := binary.BigEndian.Uint32(auth[authKey:])
	for i := range macs {
		if macs[i].id == id {
			return subtle.ConstantTimeCompare(macs[i].of(datagram, backend, d), auth[authMAC:]) == 1
		}
	}
	return false
}

// fresh tells whether a sender's sequence number is new, and remembers it.
func (v *Verifier) fresh(id, sequence uint64, at uint32) bool {
	for i := range v.senders {
		if s := &v.senders[i]; s.id == id {
			return s.fresh(sequence, at)
		}
	}
	if since(v.floor, at) <= 0 {
		return false
	}
	s := v.add()
	*s = sender{id: id, highest: sequence, newest: at, floor: v.floor}
	return s.fresh(sequence, at)
}

// add makes room for a sender. When there is none the stalest goes and raises
// the floor: none of its datagrams can come again.
func (v *Verifier) add() *sender {
	if len(v.senders) < maxSenders {
		v.senders = append(v.senders, sender{})
		return &v.senders[len(v.senders)-1]
	}
	stalest := &v.senders[0]
	for i := range v.senders {
		if s := &v.senders[i]; since(s.newest, stalest.newest) > 0 {
			stalest = s
		}
	}
	if since(v.floor, stalest.newest) > 0 {
		v.floor = stalest.newest
	}
	return stalest
}

func (s *sender) fresh(sequence uint64, at uint32) bool {
	if since(s.floor, at) <= 0 {
		return false
	}
	if sequence > s.highest {
		// What enters the window was not seen.
		for n := min(sequence-s.highest, window); n > 0; n-- {
			*s.word(sequence - n + 1) &^= 1 << ((sequence - n + 1) % 64)
		}
		s.highest = sequence
	} else if s.highest-sequence >= window {
		return false
	}
	word, bit := s.word(sequence), uint64(1)<<(sequence%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	if since(s.newest, at) > 0 {
		s.newest = at
	}
	return true
}

func (s *sender) word(sequence uint64) *uint64 { return &s.seen[sequence%window/64] }

// since is the time from a to b in seconds, by wrapping clocks of 32 bits.
func since(a, b uint32) int32 { return int32(b - a) }
