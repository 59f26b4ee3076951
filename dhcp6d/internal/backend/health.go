package backend

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// Health says whether a backend can serve. It decides what the backend gets; see route.go.
type Health uint32

// A backend of ours is Unheard, then Up while it answers probes or queries. It is Unable while its
// answers to probes say that it cannot acknowledge leases. It is Down when it answers no probe any
// more, or when the kernel says that nobody listens there.
//
// A Kea cannot be probed. It is Up, then Down when it leaves many DISCOVERs unanswered or when the
// kernel says that nobody listens there. From time to time it is on Trial: it gets a few DISCOVERs,
// and is Up as soon as it answers anything. While no other backend is Up, a Kea is not Down: a
// server may be silent by rule, and the queries have nowhere else to go.
const (
	Unheard Health = iota
	Up
	Trial
	Unable
	Down
)

// healths are the labels of metrics.
var healths = [...]string{Unheard: "unheard", Up: "up", Trial: "trial", Unable: "unable", Down: "down"}

// String is the label of the health in metrics.
func (h Health) String() string { return healths[h] }

// serves reports whether a backend answers at the address in use.
func (h Health) serves() bool { return h == Up || h == Unable }

// health is a Health that several goroutines read. Run writes it; only the end of a Trial is
// written by the loop that receives.
type health struct{ value atomic.Uint32 }

func (h *health) get() Health                 { return Health(h.value.Load()) }
func (h *health) set(to Health)               { h.value.Store(uint32(to)) }
func (h *health) swap(to Health) (was Health) { return Health(h.value.Swap(uint32(to))) }
func (h *health) change(from, to Health) bool {
	return h.value.CompareAndSwap(uint32(from), uint32(to))
}

const (
	// A backend of ours that has been silent for outAfter is Down: three probes are lost. That is
	// less than a client waits before it asks again (4 s, less 1 s of jitter: RFC 2131 section
	// 4.1), so a backend that freezes costs a client one retransmission at most.
	outAfter = 3*probeEvery + probeEvery/2
	// Anyone can forge an ICMP port-unreachable. A refusal counts only after this much silence, in
	// which the next probe was not answered either.
	refusedAfter = probeEvery + probeOften
)

// A Kea is Down when it left silentDiscovers DISCOVERs, from silentPoints attachment points,
// unanswered within silentFor, and sent nothing else meanwhile. It is also Down when the kernel
// says that nobody listens there.
//
// After a pause it is on Trial. The pause is trialAfter, or after a port-unreachable refusedTrial,
// doubled each time. A Kea on Trial gets what only it can serve, and the DISCOVERs of
// trialDiscovers clients. It is Down again when one of these has no answer in time; the client's
// retransmission goes to another backend. So a dead Kea costs each of a few clients one
// retransmission, and none of them two.
const (
	silentDiscovers = 20
	silentPoints    = 5
	silentFor       = 10 * time.Second
	trialDiscovers  = 3
	trialAfter      = 10 * time.Second
	refusedTrial    = time.Second
	// If the last Kea that is left has never answered anything, neverHeard unanswered DISCOVERs are
	// logged as its silence.
	neverHeard = 3
)

// A backend that was Unable is Up again when it has been able for a hold time. That is firstHold.
// If the backend becomes Unable again within relapse, the next hold is twice as long, up to
// longHold. So a disk that fails at each use costs few clients an exchange.
const (
	firstHold = time.Second
	longHold  = 10 * time.Second
	relapse   = 30 * time.Second
)

// hold is what Run knows of a backend that is or was Unable.
type hold struct {
	length time.Duration
	until  int64 // not Up before
	ended  int64 // when it was Up again
}

// silence is what Run knows of the DISCOVERs that a Kea left unanswered.
type silence struct {
	since  int64 // when the first of them left
	count  int
	points []uint16 // different attachment points among them
}

func (s *silence) reset(since int64) { s.since, s.count, s.points = since, 0, s.points[:0] }

// retry is what Run knows of the trials of a Kea.
type retry struct {
	trying bool  // it is on Trial, or its last Trial failed
	since  int64 // when the trial began
	next   int64 // when the next one begins
	pause  time.Duration
	// arrived is when the address in use was taken because another one was silent; 0 is never.
	arrived int64
}

// trial limits the DISCOVERs that a Kea on Trial gets to one for each of a few clients. The loop
// that sends adds clients; Run forgets them when a trial begins.
type trial struct {
	count   atomic.Int32
	clients [trialDiscovers]atomic.Uint64
}

// takes reports whether the query may be risked: it is the first DISCOVER of its client in this
// trial, and there are not too many yet.
func (t *trial) takes(q *Query) bool {
	n := t.count.Load()
	if !q.opens() || n >= trialDiscovers {
		return false
	}
	for i := range n {
		if t.clients[i].Load() == q.client {
			return false
		}
	}
	return true
}

// add notes that the query was sent.
func (t *trial) add(q *Query) {
	if n := t.count.Load(); n < trialDiscovers {
		t.clients[n].Store(q.client)
		t.count.Store(n + 1)
	}
}

// Run sends probes and decides about the health of all backends until ctx ends.
func (s *Set) Run(ctx context.Context) error {
	var resolver sync.WaitGroup
	defer resolver.Wait()
	resolver.Go(func() { s.runResolver(ctx) })
	var probed time.Time
	for {
		now := s.now()
		wait := s.judge(now)
		if s.again.Swap(false) || now.Sub(probed) >= wait {
			s.sendProbes(now)
			probed = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-time.After(wait):
		}
	}
}

// judge decides about the health of all backends, and returns how soon to look again.
func (s *Set) judge(now time.Time) (wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.since(now)
	missed := s.timeOutLocked(at)
	s.moveLocked()
	wait = probeEvery
	for _, m := range s.members {
		s.judgeMuteLocked(m, at)
		if m.probeless() {
			continue
		}
		s.judgeOursLocked(m, at)
		if m.health.get() != Up || m.refused.Load() > m.heard.Load() {
			wait = probeOften
		}
	}
	// Keas come after the others, because the last backend that is left is treated differently.
	for _, m := range s.members {
		if m.probeless() {
			s.judgeKeaLocked(m, at, slices.Contains(missed, m))
		}
	}
	s.reportLocked()
	return wait
}

// moveLocked takes into use the addresses at which backends have answered.
func (s *Set) moveLocked() {
	moved := false
	for _, m := range s.members {
		b := m.better.Swap(nil)
		if b == nil || b.Addr == m.addr || !slices.Contains(m.addrs, b.Addr) || m.health.get().serves() {
			continue
		}
		s.log.Info("backend answers at another of its addresses", "backend", m.Name, "from", m.addr, "to", b.Addr)
		m.addr, moved = b.Addr, true
	}
	if moved {
		s.publishLocked()
	}
}

// nextLocked takes into use the address of a Kea that comes after the one that does not answer.
func (s *Set) nextLocked(m *member, at int64) {
	if len(m.addrs) < 2 {
		return
	}
	old := m.addr
	m.addr = m.addrs[(slices.Index(m.addrs, old)+1)%len(m.addrs)]
	m.retry.arrived = at
	m.local.Store(nil)
	s.publishLocked()
	s.log.Info("backend does not answer, its next address is tried", "backend", m.Name, "from", old, "to", m.addr)
}

// timeOutLocked counts the queries that got no answer in time, and returns each Kea that left too
// many unanswered.
func (s *Set) timeOutLocked(at int64) (missed []*member) {
	s.flights.sweep(at, func(id uint32, discover bool, point uint16, left int64) {
		i := slices.IndexFunc(s.members, func(m *member) bool { return m.id.Load() == id })
		if i < 0 {
			return // it was removed meanwhile
		}
		m := s.members[i]
		m.series.timeouts.Add(1)
		if m.probeless() && discover && (m.unanswered(left, point) || m.atSilentAddress(left)) {
			missed = append(missed, m)
		}
	})
	return missed
}

// unanswered counts a DISCOVER, sent at left, that had no answer. It reports whether the Kea counts
// as silent now.
func (s *state) unanswered(left int64, point uint16) bool {
	if s.health.get() == Trial {
		return left >= s.retry.since && s.heard.Load() <= left
	}
	w := &s.silence
	if s.heard.Load() > w.since || left-w.since > int64(silentFor) || w.count == 0 {
		w.reset(left)
	}
	w.count++
	if len(w.points) < silentPoints && !slices.Contains(w.points, point) {
		w.points = append(w.points, point)
	}
	if s.heard.Load() > left {
		w.count = 0
		return false
	}
	return w.count >= silentDiscovers && len(w.points) >= silentPoints
}

// atSilentAddress reports whether a DISCOVER, sent at left, went to an address at which this Kea
// has never answered, although its host has other addresses.
func (m *member) atSilentAddress(left int64) bool {
	return len(m.addrs) > 1 && left >= m.retry.arrived && m.heard.Load() < max(1, m.retry.arrived)
}

// probeless reports whether a backend is judged as a Kea, by its answers to queries.
func (m *member) probeless() bool { return m.Kea || m.takenForKea }

// judgeMuteLocked finds out whether a backend is a Kea that is not configured as one: it answers
// queries and no probes.
func (s *Set) judgeMuteLocked(m *member, at int64) {
	probed := m.probed.Load()
	switch {
	case m.takenForKea && probed:
		m.takenForKea = false
		s.log.Info("backend answers probes, so it is a dhcp4d", "backend", m.Name)
	case !m.Kea && !m.takenForKea && !probed && m.evidence.answered.Load() != 0 &&
		at-m.logged.from >= int64(mutedAfter):
		m.takenForKea = true
		s.logTroubleLocked(m, noProbes, at)
		m.health.set(Up)
	}
}

// judgeOursLocked decides about a backend of ours by what it has sent.
func (s *Set) judgeOursLocked(m *member, at int64) {
	heard, refused := m.heard.Load(), m.refused.Load()
	quiet := time.Duration(at - heard)
	switch {
	case refused > heard && (heard == 0 || quiet > refusedAfter):
		s.changeLocked(m, Down, s.troubleLocked(m, at), at)
	case heard != 0 && quiet < outAfter:
		s.judgeAbilityLocked(m, at)
	case m.probed.Load():
		s.changeLocked(m, Down, s.troubleLocked(m, at), at)
	case at-m.logged.from >= int64(unheardFor) && m.addr.IsValid():
		s.logNewTroubleLocked(m, s.troubleLocked(m, at), at)
	}
}

// judgeAbilityLocked decides about a backend of ours that answers.
func (s *Set) judgeAbilityLocked(m *member, at int64) {
	was := m.health.get()
	switch {
	case m.reported() != ipc.Able:
		if was != Unable {
			m.hold.length = min(2*m.hold.length, longHold)
			if m.hold.length == 0 || at-m.hold.ended > int64(relapse) {
				m.hold.length = firstHold
			}
		}
		m.hold.until = at + int64(m.hold.length)
		s.changeLocked(m, Unable, unable, at)
	case was == Unable && at < m.hold.until:
	default:
		if was == Unable {
			m.hold.ended = at
		}
		s.changeLocked(m, Up, none, at)
	}
}

// judgeKeaLocked decides about a Kea. Missed says that it has left one DISCOVER too many
// unanswered.
func (s *Set) judgeKeaLocked(m *member, at int64, missed bool) {
	last := s.lastLocked(m)
	refused := m.refused.Load() > max(m.heard.Load(), m.retry.next)
	switch was := m.health.get(); {
	case was != Up && last:
		m.silence.reset(at)
		m.retry.trying, m.retry.next = false, at
		s.changeLocked(m, Up, none, at)
	case was == Down:
		s.judgeDownLocked(m, at)
	case last && (missed || refused || (m.heard.Load() == 0 && m.silence.count >= neverHeard)):
		s.lastIsSilentLocked(m, at, refused)
	case refused:
		s.downLocked(m, at, min(max(refusedTrial, 2*m.retry.pause), trialAfter), refuses)
	case missed:
		s.downLocked(m, at, trialAfter, silent)
	case was == Up && m.heard.Load() >= m.silence.since:
		s.keaAnswersLocked(m)
	}
}

// judgeDownLocked sets a Kea that is Down to Up if it was heard, or begins its next trial.
func (s *Set) judgeDownLocked(m *member, at int64) {
	switch {
	case m.heard.Load() > max(m.refused.Load(), m.silence.since):
		s.changeLocked(m, Up, none, at)
	case at >= m.retry.next:
		m.retry.trying, m.retry.since, m.retry.next = true, at, at
		m.trial.count.Store(0)
		s.nextLocked(m, at)
		m.health.set(Trial)
	}
}

// lastIsSilentLocked notes that the last Kea that is left does not answer. It stays Up, and its
// next address is tried.
func (s *Set) lastIsSilentLocked(m *member, at int64, refused bool) {
	m.silence.reset(at)
	m.silentAt = at
	why := silent
	if refused {
		why = refuses
	}
	s.logNewTroubleLocked(m, why, at)
	if len(m.addrs) > 1 {
		m.retry.next = at // a refusal from before says nothing of the next address
		s.nextLocked(m, at)
	}
}

// keaAnswersLocked notes that a Kea that is Up answers. It ends a trial.
func (s *Set) keaAnswersLocked(m *member) {
	if m.retry.trying || (m.silentAt != 0 && m.heard.Load() > m.silentAt) {
		m.silentAt, m.logged.trouble = 0, none
		s.log.Info("backend is up", "backend", m.Name)
	}
	m.retry.trying, m.retry.pause = false, 0
}

// downLocked takes a Kea down until its next trial. The end of a trial that failed is not logged.
func (s *Set) downLocked(m *member, at int64, pause time.Duration, t trouble) {
	m.retry.pause, m.retry.next = pause, at+int64(pause)
	m.silence.reset(at)
	if m.retry.trying {
		m.health.change(Trial, Down) // unless it was heard meanwhile
		return
	}
	s.changeLocked(m, Down, t, at)
}

// lastLocked reports whether no other backend is up.
func (s *Set) lastLocked(m *member) bool {
	return !slices.ContainsFunc(s.members, func(o *member) bool { return o != m && o.health.get() == Up })
}

// changeLocked sets a backend's health, and logs a change.
func (s *Set) changeLocked(m *member, to Health, t trouble, at int64) {
	switch was := m.health.swap(to); {
	case was == to && to == Up:
	case was == to:
		s.logNewTroubleLocked(m, t, at)
	case to == Up:
		m.logged.trouble = none
		s.log.Info("backend is up", "backend", m.Name)
	default:
		if to == Down {
			m.local.Store(nil) // the kernel may know a better one
		}
		s.logTroubleLocked(m, t, at)
	}
}

// reportLocked says in the daemon's readiness whether clients can be answered, and if not why.
func (s *Set) reportLocked() {
	if s.ready == nil {
		return
	}
	at := s.since(s.now())
	var troubles []string
	for _, m := range s.members {
		t := m.logged.trouble
		switch h := m.health.get(); {
		case !m.addr.IsValid():
			troubles = append(troubles, m.Name+": its name cannot be resolved")
			continue
		case h == Up && (m.silentAt == 0 || m.heard.Load() > m.silentAt):
			s.ready.Met()
			return
		case h == Unheard && at-m.logged.from < int64(unheardFor):
			troubles = append(troubles, m.Name+": it has not answered yet")
			continue
		case h == Trial, t == none, t == noProbes:
			t = silent
		}
		why, _ := s.explain(m, t)
		troubles = append(troubles, m.Name+": "+why)
	}
	s.ready.Unmet("no backend can serve: " + strings.Join(troubles, "; "))
}
