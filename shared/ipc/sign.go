package ipc

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// Signer authenticates what one goroutine sends.
//
// It counts what it signs over all sessions together, so that it uses a sequence number once in the
// life of the process.
type Signer struct {
	end    *End
	number uint64 // of ours, among the signers of the process
	sent   uint64
	memory sealing

	macs
	sender   uint64 // who we are to peers that know HMAC only
	sentHMAC uint64
}

// NewSigner makes the signer of one goroutine. A process has at most four.
func (e *End) NewSigner() *Signer {
	number := e.numbers.Add(1) - 1
	if number >= signers {
		panic(fmt.Sprintf("ipc: more than %d signers", signers))
	}
	var id [8]byte
	rand.Read(id[:]) // never fails
	return &Signer{end: e, number: number, sender: binary.BigEndian.Uint64(id[:])}
}

// Append authenticates the datagram dst[start:] for a peer. It reports false, and returns dst as it
// was, if there is no session with the peer yet; for dhcp4d that cannot be once it has opened
// something from the peer. The result may exceed [dhcp6.MaxDatagram]; sending it then fails.
func (s *Signer) Append(dst []byte, start int, to *Peer, now time.Time) ([]byte, bool) {
	keys := s.keysFor(to)
	budget.Spend(len(dst) - start)
	switch {
	case keys == nil:
		return dst, true
	case to.speaks.Load() == speaksHMAC:
		return s.appendHMAC(dst, start, to, keys, now)
	}
	session := to.session.Load()
	if session == nil || (s.end.sends == ToBackend && !session.ready.Load()) {
		return dst, false
	}
	key := &session.use(keys).list[0]
	s.sent++
	t := short{sequence: s.number<<counterBits | s.sent, key: key.id, sender: session.id, time: session.heard.Load()}
	dst = t.append(dst, headSession)
	return s.memory.appendTag(dst, start, key.direction(s.end.sends), t.sequence), true
}

// AppendProbe authenticates the probe dst[start:]. A full one gets a greeting. A plain one is for a
// peer that may know no sessions; it gets an HMAC, and false is reported where such peers are not
// talked to.
func (s *Signer) AppendProbe(dst []byte, start int, to *Peer, now time.Time) ([]byte, bool) {
	keys := s.keysFor(to)
	switch {
	case keys == nil:
		return dst, true
	case isPlain(dst[start:], ToBackend):
		return s.appendHMAC(dst, start, to, keys, now)
	}
	return s.appendGreeting(dst, start, to, keys, now), true
}

// AppendProbeReply authenticates the answer dst[start:] to the probe that was opened last, in the
// way that the probe was. The goroutine that opens calls it.
func (s *Signer) AppendProbeReply(dst []byte, start int, to *Peer, now time.Time) []byte {
	keys := s.keysFor(to)
	if keys == nil {
		return dst
	}
	switch to.came {
	case algorithmGreeting:
		return s.appendGreeting(dst, start, to, keys, now)
	case algorithmHMAC:
		dst, _ = s.appendHMAC(dst, start, to, keys, now)
	default:
		dst, _ = s.Append(dst, start, to, now)
	}
	return dst
}

func (s *Signer) appendGreeting(dst []byte, start int, to *Peer, keys *keySet, now time.Time) []byte {
	s.use(keys)
	m := &s.greetings[0]
	g := to.greet(m.id, now)
	return m.appendTag(g.append(dst), start, to.backend, s.end.sends)
}

// keysFor returns the keys, nil if there are none or the peer knows none.
func (s *Signer) keysFor(to *Peer) *keySet {
	if to == nil {
		return nil
	}
	if keys := s.end.keys.Load(); len(keys.keys) > 0 {
		return keys
	}
	return nil
}

func (s *Signer) appendHMAC(dst []byte, start int, to *Peer, keys *keySet, now time.Time) ([]byte, bool) {
	if !keys.old && s.end.sends == ToBackend { // dhcp4d answers what it has opened
		return dst, false
	}
	s.use(keys)
	m := &s.datagrams[0]
	s.sentHMAC++
	t := short{sequence: newer | s.sentHMAC, key: m.id, sender: s.sender, time: uint32(now.Unix())}
	return m.appendTag(t.append(dst, headHMAC), start, to.backend, s.end.sends), true
}

// isFull reports whether a datagram that goes in a direction is a full probe, or the answer to one.
func isFull(content []byte, d Direction) bool {
	if d == ToBackend {
		p, ok := ParseProbe(content)
		return ok && p.Full
	}
	r, ok := ParseProbeReply(content)
	return ok && r.Full
}

// isPlain reports whether a datagram that goes in a direction is a plain probe, or the answer to
// one.
func isPlain(content []byte, d Direction) bool {
	if d == ToBackend {
		return string(content) == plainProbe
	}
	return string(content) == plainProbeReply
}
