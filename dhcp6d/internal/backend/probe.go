package backend

import (
	"net/netip"
	"slices"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

const (
	probeEvery = 500 * time.Millisecond
	probeOften = 100 * time.Millisecond // while a backend of ours is not up
)

// A dhcp4d that knows only plain probes drops full ones. It gets both forms until it has left
// fullTries full ones unanswered. Then it gets another full one every fullAgain, because a newer
// dhcp4d may have taken its place. A dhcp4d that answered a full probe within fullSilent gets no
// plain ones.
const (
	fullTries  = 3
	fullAgain  = time.Minute
	fullSilent = 2*probeEvery + probeOften
)

// asking is what Run knows of the full probes of a backend.
type asking struct {
	tries int   // unanswered ones
	next  int64 // when there may be another one after that
}

// sendProbes asks every backend of ours whether it is alive and able.
func (s *Set) sendProbes(now time.Time) {
	if s.probe == nil {
		return
	}
	t := s.table.Load()
	at := s.since(now)
	var probes []udp.Packet
	send := func(b *Backend, content []byte) {
		if content, ok := s.signer.AppendProbe(content, 0, b.Peer, now); ok {
			probes = append(probes, udp.Packet{Data: content, Peer: b.Addr, Local: b.Local()})
		}
	}
	for i := range t.list {
		b := &t.list[i]
		if b.Kea || (b.state.takenForKea && at < b.state.asking.next) {
			continue
		}
		targets := []*Backend{b}
		if !b.state.health.get().serves() { // it may serve at another address
			targets = append(targets, b.others...)
		}
		full := b.state.wantsFull(at, slices.ContainsFunc(targets, func(b *Backend) bool { return b.Peer.Greets() }))
		plain := !full || !b.state.answersFull(at)
		for _, to := range targets {
			if plain {
				send(to, ipc.AppendProbe(nil))
			}
			if full {
				send(to, ipc.AppendFullProbe(nil, b.state.sent.Load()))
			}
		}
	}
	if len(probes) > 0 {
		s.probe.Write(probes)
	}
}

// answersFull reports whether the backend has lately answered a full probe.
func (s *state) answersFull(at int64) bool {
	last := s.fullAt.Load()
	return last != 0 && at-last < int64(fullSilent)
}

// wantsFull reports whether the backend gets a full probe now. If it greets, it has just said that
// it knows them.
func (s *state) wantsFull(at int64, greets bool) bool {
	a := &s.asking
	switch {
	case s.takenForKea: // it gets one a minute, in case a dhcp4d takes its place
	case s.answersFull(at):
		a.tries = 0
	case greets:
	case s.health.get() != Up: // another dhcp4d may take its place
		a.tries = 1
	case a.tries < fullTries:
		a.tries++
	case at < a.next:
		return false
	}
	a.next = at + int64(fullAgain)
	return true
}

// ProbeAnswered notes that a backend has answered a probe. If that was a full one, the backend has
// read all queries that were sent before it. Local is the address of ours that the answer came to,
// if it is known.
//
// With keys, the first answer of a process brings no session yet. The next probe does, so it is
// sent at once, and only its answer is a sign of life: before, the backend could take no query.
func (s *Set) ProbeAnswered(b *Backend, local netip.Addr, r ipc.ProbeReply, now time.Time) {
	if !b.Peer.Ready() {
		s.again.Store(true)
		poke(s.wake)
		return
	}
	s.hear(b, local, now)
	at, was := s.since(now), b.state.health.get()
	b.state.probed.Store(true)
	if r.Full {
		b.state.fullAt.Store(at)
		b.state.read(r.Mark, at)
	} else {
		// A backend that knows full probes gets a plain one only in front of a full one, and
		// answers both.
		b.state.fullAt.Store(0)
	}
	changed := b.state.ability.Swap(uint32(r.Ability)) != uint32(r.Ability)
	if changed || (was != Up && was != Unable) {
		poke(s.wake)
	}
}

// hear notes that a backend has sent a datagram that was accepted, to an address of ours. If the
// datagram came from an address that is not in use, and the backend does not answer at the one in
// use, Run takes the new address. While the backend answers at the address in use, a datagram from
// another one is old.
func (s *Set) hear(b *Backend, local netip.Addr, now time.Time) {
	if b.unused {
		if b.state.health.get().serves() {
			return
		}
		b.state.better.Store(b)
		poke(s.wake)
	} else if b.state.better.Load() != nil {
		b.state.better.Store(nil) // it answers here too
	}
	b.state.heard.Store(s.since(now))
	if local.IsValid() && local != b.Local() {
		stays := new(netip.Addr) // allocated only when the address changes, not for each datagram
		*stays = local
		b.state.local.Store(stays)
	}
	// A trial ends here and not in Run: the client's next message may come sooner than Run looks.
	if b.state.health.get() == Trial && b.state.health.change(Trial, Up) {
		poke(s.wake)
	}
}

// Refused notes that the kernel has said that nobody listens at an address.
func (s *Set) Refused(addr netip.AddrPort) {
	if b := s.From(addr); b != nil && !b.unused {
		b.state.refused.Store(s.since(s.now()))
		if b.state.health.get() != Down {
			poke(s.wake)
		}
	}
}
