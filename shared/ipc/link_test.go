package ipc

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

const probeEvery = 500 * time.Millisecond

// serves reports whether an exchange works after at most so many probes, the first of them now.
func serves(t *testing.T, six, four *half, now time.Time, probes int) {
	t.Helper()
	for range probes {
		greet(six, four, now)
	}
	if !exchange(six, four, now) {
		t.Errorf("IPC-27 after %d probes there is no exchange", probes)
	}
}

// TestRestart: whichever daemon starts again, two probes one after the other are enough. dhcp6d
// sends the second at once, so service is interrupted until the next probe.
func TestRestart(t *testing.T) {
	now := start.Add(time.Hour)
	t.Run("IPC-27 dhcp4d", func(t *testing.T) {
		six, _ := met(t, now, key7)
		old := six.seal("query", now)
		four := newFour(now, key7)
		if four.opens(old, now) || four.opens(six.seal("query", now), now) {
			t.Error("a restarted dhcp4d took a datagram of an earlier session")
		}
		serves(t, six, four, now.Add(probeEvery), 2)
		if four.opens(old, now) {
			t.Error("replayed after a restart")
		}
	})
	t.Run("IPC-27 dhcp6d", func(t *testing.T) {
		six, four := met(t, now, key7)
		old, probe := six.seal("query", now), six.probe(now)
		late := four.seal("answer", now)
		six = newSix(now, key7)
		if six.opens(late, now) {
			t.Error("a restarted dhcp6d took an answer of an earlier session")
		}
		serves(t, six, four, now, 2)
		if four.opens(old, now) || six.opens(late, now) {
			t.Error("replayed after a restart")
		}
		// A probe of the earlier dhcp6d is answered, as its sender might have changed back, and
		// means nothing.
		if four.answer(probe, now) == nil || four.peer.Sender() != Doubtful || !exchange(six, four, now) {
			t.Error("an earlier dhcp6d's probe was taken for fresh, or ended the session")
		}
	})
	t.Run("IPC-27 both", func(t *testing.T) {
		six, four := met(t, now, key7)
		old, late := six.seal("query", now), four.seal("answer", now)
		six, four = newSix(now, key7), newFour(now, key7)
		serves(t, six, four, now, 2)
		if four.opens(old, now) || six.opens(late, now) {
			t.Error("replayed after a restart")
		}
	})
}

// TestLostGreetings: whatever greeting is lost, the next probes make the session.
func TestLostGreetings(t *testing.T) {
	for lost := range 1 << 6 {
		six, four := newSix(start, key7), newFour(start, key7)
		now := start
		for i := range 6 {
			now = now.Add(probeEvery)
			if p := six.probe(now); lost>>i&1 == 0 {
				if a := four.answer(p, now); i%2 == 0 || lost>>(i-1)&1 == 0 {
					six.opens(a, now)
				}
			}
		}
		now = now.Add(probeEvery)
		serves(t, six, four, now, 2)
	}
}

// TestStepsOfTheClock: sessions do not look at the wall clock of either host, whichever way and
// whenever it steps, before a start or after.
func TestStepsOfTheClock(t *testing.T) {
	began := time.Now()
	const day = 24 * time.Hour
	steps := []time.Duration{-400 * day, -time.Hour, -31 * time.Second, 0, 31 * time.Second, time.Hour, 400 * day}
	for _, sixStep := range steps {
		for _, fourStep := range steps {
			t.Run(fmt.Sprintf("IPC-27 dhcp6d's by %v, dhcp4d's by %v", sixStep, fourStep), func(t *testing.T) {
				six, four := met(t, began, key7)
				at := func(d, step time.Duration) time.Time { return stepped(began.Add(d), step) }
				var heard [][]byte
				for i := range 20 {
					d := time.Duration(i) * 10 * time.Second
					s6, s4 := at(d, sixStep), at(d, fourStep)
					if i == 10 { // it starts again with a clock that is wrong
						four = newFour(s4, key7)
						if a := four.answer(six.probe(s6), s4); !six.opens(a, s6) {
							t.Fatal("no answer")
						}
					}
					a := four.answer(six.probe(s6), s4)
					if !six.opens(a, s6) {
						t.Fatalf("%v after the start: no answer to a probe", d)
					}
					q := six.seal("query", s6)
					if !four.opens(q, s4) || !six.opens(four.seal("answer", s4), s6) {
						t.Fatalf("%v after the start: no exchange", d)
					}
					heard = append(heard, q)
					for _, q := range heard {
						if four.opens(q, s4) || four.opens(q, at(d, -sixStep)) {
							t.Fatalf("%v after the start: replayed", d)
						}
					}
				}
			})
		}
	}
}

// TestPauses: a virtual machine that is paused, or a process that is stopped, goes on with the next
// probe.
func TestPauses(t *testing.T) {
	const pause = 10 * time.Hour
	t.Run("IPC-27 dhcp6d, whose clock goes on", func(t *testing.T) {
		six, four := met(t, start, key7)
		queued := six.seal("query", start)
		now := start.Add(pause)
		if four.opens(queued, now) {
			t.Error("a query of ten hours ago was taken")
		}
		if a := four.answer(six.probe(now), now); a == nil || four.peer.Sender() != Doubtful || !six.opens(a, now) {
			t.Error("the first probe tells the time, and is not fresh")
		}
		serves(t, six, four, now, 1)
	})
	t.Run("IPC-27 dhcp6d, whose clock stops", func(t *testing.T) {
		six, four := met(t, start, key7)
		now := start.Add(pause)
		six.start = six.start.Add(pause)
		greet(six, four, now)
		serves(t, six, four, now, 1)
	})
	t.Run("IPC-27 dhcp4d, whose clock goes on", func(t *testing.T) {
		six, four := met(t, start, key7)
		probes := [][]byte{six.probe(start), six.probe(start), six.probe(start)}
		now := start.Add(pause)
		for _, p := range probes {
			if a := four.answer(p, now); a == nil || four.peer.Sender() != Doubtful || six.opens(a, now) {
				t.Error("an old probe is answered, is not fresh, and its answer comes too late")
			}
		}
		greet(six, four, now)
		serves(t, six, four, now, 1)
	})
	t.Run("IPC-27 dhcp4d, whose clock stops", func(t *testing.T) {
		six, four := met(t, start, key7)
		now := start.Add(pause)
		four.start = four.start.Add(pause)
		serves(t, six, four, now, 1)
	})
}

// memory is what a half keeps of its peer, as a snapshot of a virtual machine has it.
type memory struct {
	sent, sentHMAC, clock, theirs, echoed uint64
	seen                                  [signers]window
}

func (h *half) save() memory {
	return memory{h.signer.sent, h.signer.sentHMAC, h.clock.Load(), h.peer.clock, h.peer.echoed, h.peer.session.Load().seen}
}

func (h *half) restore(m memory, by time.Duration) {
	h.signer.sent, h.signer.sentHMAC, h.peer.clock, h.peer.echoed = m.sent, m.sentHMAC, m.theirs, m.echoed
	h.clock.Store(m.clock)
	h.peer.session.Load().seen = m.seen
	h.start = h.start.Add(by)
}

// TestSnapshots: a virtual machine that is set back to an earlier state repeats its sequence
// numbers and its clock. The other side takes that for replays until dhcp6d takes a new identity.
func TestSnapshots(t *testing.T) {
	const back = time.Hour
	for _, which := range []string{"dhcp6d", "dhcp4d"} {
		t.Run("IPC-27 "+which, func(t *testing.T) {
			six, four := met(t, start, key7)
			h := map[string]*half{"dhcp6d": six, "dhcp4d": four}[which]
			saved := h.save()
			var heard [][]byte
			now := start
			for range int(back / (10 * time.Second)) {
				now = now.Add(10 * time.Second)
				greet(six, four, now)
				q := six.seal("query", now)
				if !four.opens(q, now) {
					t.Fatal("not taken")
				}
				heard = append(heard, q)
				six.opens(four.seal("answer", now), now)
			}
			h.restore(saved, back)
			restored := now
			for !exchange(six, four, now) {
				if now = now.Add(probeEvery); now.Sub(restored) > lostAfter+3*probeEvery {
					t.Fatalf("no exchange %v after it was set back", now.Sub(restored))
				}
				greet(six, four, now)
			}
			if which == "dhcp4d" {
				return // it has forgotten what it took since: see security.md
			}
			for _, q := range heard {
				if four.opens(q, now) {
					t.Fatal("replayed")
				}
			}
		})
	}
}

// TestRollingUpgrade: whichever half knows sessions first, service goes on.
func TestRollingUpgrade(t *testing.T) {
	t.Run("IPC-27 dhcp4d first", func(t *testing.T) {
		old, four := newOld(ToBackend, key7), newFour(start, key7)
		if !four.opens(old.sign(plainProbe, start), start) || !old.opens(four.plainAnswer(start)) {
			t.Fatal("no answer to a probe")
		}
		if !four.opens(old.sign("query", start), start) || !old.opens(four.seal("answer", start)) || !four.peer.Old() {
			t.Fatal("no exchange")
		}
		six := newSix(start, key7)
		if !four.opens(six.plain(start), start) {
			t.Error("dhcp6d's plain probe is not taken")
		}
		serves(t, six, four, start, 2)
		if four.peer.Old() || four.opens(old.sign("query", start), start) {
			t.Error("after the upgrade HMAC is taken")
		}
	})
	t.Run("IPC-27 dhcp6d first", func(t *testing.T) {
		old, six := newOld(FromBackend, key7), newSix(start, key7)
		if six.seal("query", start) != nil || six.peer.Ready() {
			t.Error("something is sent before the backend is known")
		}
		if old.opens(six.probe(start)) || !old.opens(six.plain(start)) || !six.opens(old.sign(plainProbeReply, start), start) {
			t.Fatal("no answer to a probe")
		}
		if !six.peer.Ready() || six.peer.Greets() || !six.peer.Old() {
			t.Error("the backend is known to be old")
		}
		if !old.opens(six.seal("query", start)) || !six.opens(old.sign("answer", start), start) {
			t.Fatal("no exchange")
		}
		// The backend is upgraded, and answers the next plain probe before a full one.
		four := newFour(start, key7)
		if four.opens(six.seal("query", start), start) {
			t.Error("a new dhcp4d took a new dhcp6d's HMAC")
		}
		if !four.opens(six.plain(start), start) || !six.opens(four.plainAnswer(start), start) || !six.peer.Greets() || six.peer.Ready() {
			t.Fatal("dhcp6d does not see that the backend knows sessions now")
		}
		serves(t, six, four, start, 2)
	})
	t.Run("IPC-27 dhcp4d goes back", func(t *testing.T) {
		six, _ := met(t, start, key7)
		old := newOld(FromBackend, key7)
		soon, later := start.Add(sessionLive-1), start.Add(sessionLive+1)
		if six.opens(old.sign("answer", soon), soon) {
			t.Error("HMAC is taken while the session lives")
		}
		if !six.opens(old.sign(plainProbeReply, later), later) || !old.opens(six.seal("query", later)) || !six.opens(old.sign("answer", later), later) {
			t.Error("no exchange with the old version")
		}
	})
	t.Run("IPC-27 dhcp6d goes back", func(t *testing.T) {
		_, four := met(t, start, key7)
		old := newOld(ToBackend, key7)
		later := start.Add(sessionLive + 1)
		if !four.opens(old.sign("query", later), later) || !old.opens(four.seal("answer", later)) {
			t.Error("no exchange with the old version")
		}
	})
	t.Run("IPC-27 old peers are not wanted", func(t *testing.T) {
		six, four := newHalf(drop.DHCP6D, start, false, key7), newHalf(drop.DHCP4D, start, false, key7)
		if six.plain(start) != nil || four.why(newOld(ToBackend, key7).sign("query", start), start) != OldMethod {
			t.Error("HMAC is sent or taken")
		}
		serves(t, six, four, start, 2)
		six, _ = met(t, start, key7)
		six.peer.old()
		six.Configure(Keys{key7}, false)
		if six.peer.Ready() || six.seal("query", start) != nil {
			t.Error("after a reload that forbids it, HMAC is sent")
		}
	})
}

// TestNoDowngrade: whoever drops greetings stops two new daemons, and does not bring them to HMAC.
func TestNoDowngrade(t *testing.T) {
	six, four := newSix(start, key7), newFour(start, key7)
	old := newOld(ToBackend, key7)
	recorded := old.sign("query", start) // before dhcp6d was upgraded, and never delivered
	now := start
	for range 100 {
		now = now.Add(probeEvery)
		six.probe(now) // dropped on its way
		if !four.opens(six.plain(now), now) || !six.opens(four.plainAnswer(now), now) {
			t.Fatal("a plain probe is not answered")
		}
		if six.seal("query", now) != nil || six.peer.Ready() {
			t.Fatal("IPC-27 a query is sent by HMAC")
		}
	}
	serves(t, six, four, now, 2)
	if four.opens(recorded, now) {
		t.Error("IPC-27 a datagram from before the upgrade is taken")
	}
}

// TestRelayedGreeting: who hears two dhcp6d cannot make one of them take the other's place.
func TestRelayedGreeting(t *testing.T) {
	four := newFour(start, key7)
	second := &half{four.End, four.End.Peer(backend), four.signer, four.opener} // the same dhcp4d, seen by another dhcp6d
	one, two := newSix(start, key7), newSix(start, key7)
	for range 2 {
		greet(one, four, start)
		greet(two, second, start)
	}
	for i := range 50 {
		now := start.Add(time.Duration(i) * probeEvery)
		probe, query := one.probe(now), one.seal("query", now)
		answer := four.answer(probe, now)
		one.opens(answer, now)
		second.opens(probe, now) // from the address of the other
		if second.peer.Sender() == Present {
			t.Fatal("IPC-27 the probe of another dhcp6d is fresh")
		}
		response := four.seal("answer", now)
		if second.opens(query, now) || two.opens(answer, now) || two.opens(response, now) {
			t.Fatal("IPC-27 a datagram for another daemon was taken")
		}
		if !four.opens(query, now) || !one.opens(response, now) || !greet(two, second, now) || !exchange(two, second, now) {
			t.Fatal("IPC-27 service is disturbed")
		}
	}
}

// TestTwoBehindOneAddress: two dhcp6d that dhcp4d sees at one address and port, as behind a
// translator of addresses, or while one takes over from the other. Each takes only what is for it,
// whatever reaches it, and whoever greeted last is served.
func TestTwoBehindOneAddress(t *testing.T) {
	random := rand.New(rand.NewPCG(28, 1))
	now := start
	four := newFour(now, key7)
	both := []*half{newSix(now, key7), newSix(now, key7)}
	served := [2]int{}
	var heard [][]byte
	for i := range 400 {
		now = now.Add(probeEvery / 2)
		which := random.IntN(2)
		six, other := both[which], both[1-which]
		if random.IntN(40) == 0 {
			six = newSix(now, key7)
			both[which] = six
		}
		if !greet(six, four, now) || four.peer.Sender() != Present || !six.peer.Ready() {
			continue // it is new, or the other's greetings were newer: the next one counts
		}
		query, answer := six.seal("query", now), four.seal("answer", now)
		if other.opens(answer, now) {
			t.Fatalf("IPC-27 round %d: an answer for one was taken by the other", i)
		}
		if late := other.seal("query", now); late != nil && four.opens(late, now) {
			t.Fatalf("IPC-27 round %d: a query of the other's session was taken", i)
		}
		if !four.opens(query, now) || !six.opens(answer, now) {
			t.Fatalf("IPC-27 round %d: who has just greeted is not served", i)
		}
		served[which]++
		for _, d := range heard {
			if six.opens(d, now) || other.opens(d, now) || four.opens(d, now) {
				t.Fatalf("IPC-27 round %d: replayed", i)
			}
		}
		heard = append(heard, query, answer)
	}
	if served[0] < 50 || served[1] < 50 {
		t.Errorf("they were served %d times", served)
	}
}

// receiver is the identity that a datagram is for.
func receiver(from *half, d []byte) Identity {
	_, trailer, algorithm := cutTrailer(d)
	s := from.peer.session.Load()
	switch {
	case algorithm == algorithmGreeting:
		g := readGreeting(trailer)
		return g.to
	case from.End.sends == ToBackend:
		return s.dhcp4d
	}
	return s.dhcp6d
}

// TestEverythingHeard plays an attacker who hears all and repeats it anywhere, in any order, over
// many restarts, pauses and steps of time, on a network that loses and reorders. Nothing that was
// taken is taken again, only the process that a datagram is for takes it, and service returns with
// two probes.
//
// The process is who drew the identity that the datagram is for, not who has the address that it
// was sent to. The attacker can send a dhcp6d's probes from another's address, and dhcp4d answers
// them there: see security.md.
func TestEverythingHeard(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(27, seed))
		now := start
		keys := []Key{key7, key8}
		sixes := []*half{newSix(now, keys...), newSix(now, keys...)}
		ends := []*half{newFour(now, keys...), newFour(now, keys...)} // the two dhcp4d
		// slots[d][s] is dhcp4d d as it sees dhcp6d s; links[s][d] the other way.
		var slots, links [2][2]*half
		join := func() {
			for d := range 2 {
				for s := range 2 {
					if slots[d][s] == nil {
						slots[d][s] = &half{ends[d].End, ends[d].End.Peer(fmt.Sprint("four", d)), ends[d].signer, ends[d].opener}
					}
					if links[s][d] == nil {
						links[s][d] = &half{sixes[s].End, sixes[s].End.Peer(fmt.Sprint("four", d)), sixes[s].signer, sixes[s].opener}
					}
				}
			}
		}
		join()
		type sent struct {
			d  []byte
			to *half
		}
		var heard []sent
		taken := map[string]bool{}
		meant := map[string]Identity{}
		drew := map[Identity]*half{}
		counts := map[string]int{}
		deliver := func(m sent) {
			content, why := m.to.opener.Open(bytes.Clone(m.d), m.to.peer, now)
			if why != drop.None {
				return
			}
			if isFull(content, m.to.End.opens) && m.to.End.opens == ToBackend && m.to.peer.Sender() != Present {
				return // answered, and means nothing
			}
			switch {
			case drew[meant[string(m.d)]] != m.to:
				t.Fatalf("IPC-27 seed %d: taken by another than it is for", seed)
			case taken[string(m.d)]:
				t.Fatalf("IPC-27 seed %d: taken twice", seed)
			}
			taken[string(m.d)] = true
			counts[string(content[:1])]++
		}
		say := func(from, to *half, d []byte) {
			if d == nil {
				return
			}
			m := sent{d, to}
			drew[from.peer.id] = from
			meant[string(d)] = receiver(from, d)
			heard = append(heard, m)
			if random.IntN(10) > 0 {
				deliver(m)
			}
		}
		for range 3000 {
			now = now.Add(time.Duration(random.IntN(200)) * time.Millisecond)
			s, d := random.IntN(2), random.IntN(2)
			six, four := links[s][d], slots[d][s]
			switch random.IntN(12) {
			case 0, 1:
				p := six.probe(now)
				say(six, four, p)
				if four.peer.opened.clock == 0 {
					continue // the first was lost
				}
				four.peer.came = algorithmGreeting
				say(four, six, four.signer.AppendProbeReply(Probe{Full: true, Mark: 9}.AppendReply(nil, Able), 0, four.peer, now))
			case 2, 3, 4:
				say(six, four, six.seal(fmt.Sprint("query", random.Uint64()), now))
			case 5, 6:
				if four.peer.session.Load() != nil {
					say(four, six, four.seal(fmt.Sprint("answer", random.Uint64()), now))
				}
			case 7:
				if random.IntN(20) == 0 {
					sixes[s] = newSix(now, keys...)
					links[s] = [2]*half{}
					join()
				}
			case 8:
				if random.IntN(20) == 0 {
					ends[d] = newFour(now, keys...)
					slots[d] = [2]*half{}
					join()
				}
			case 9:
				if random.IntN(50) == 0 {
					now = now.Add(time.Duration(random.IntN(100)) * time.Second)
				}
			}
			for range 4 {
				if len(heard) == 0 {
					continue
				}
				m := heard[random.IntN(len(heard))]
				if random.IntN(3) == 0 { // to anybody
					m.to = [4]*half{links[0][0], links[1][1], slots[0][1], slots[1][0]}[random.IntN(4)]
				}
				deliver(m)
			}
		}
		for s := range 2 {
			for d := range 2 {
				now = now.Add(time.Second)
				greet(links[s][d], slots[d][s], now)
				serves(t, links[s][d], slots[d][s], now, 2)
			}
		}
		if counts["q"] < 100 || counts["a"] < 100 || counts[plainProbe[:1]] < 100 || counts[plainProbeReply[:1]] < 50 {
			t.Fatalf("IPC-27 seed %d: too little was taken: %v", seed, counts)
		}
	}
}
