package forward

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Times of the probing. A backend of ours that has been silent for outAfter is
// out, three probes lost: sooner than a client asks again (4 s, less 1 s of
// jitter: RFC 2131 section 4.1), so that a backend that freezes costs nobody
// more than one retransmission.
const (
	probeEvery   = 500 * time.Millisecond
	probeOut     = 100 * time.Millisecond // while one of ours is out
	outAfter     = 3*probeEvery + probeEvery/2
	refusedAfter = probeEvery + probeOut // of silence, for a refusal to be believed
	resolveEvery = 10 * time.Second
	lookupTime   = 2 * time.Second
)

// A Kea is out when so many DISCOVERs, from so many attachment points, had no
// answer within a time in which nothing else of it was heard, or when the
// kernel says that nobody listens there.
//
// As nobody can ask it, it is tried after a while, which is short at first
// where the kernel knows: it gets what only it can serve, and a few DISCOVERs
// as if it were in. It is in with the first thing that is heard of it, and out
// again with the first of those DISCOVERs that has no answer, before its
// client asks again. So a Kea that stays away costs few clients one
// retransmission each and nobody two.
const (
	silentDiscovers = 20
	silentPoints    = 5
	silentFor       = 10 * time.Second
	trialDiscovers  = 3
	trialAfter      = 10 * time.Second
	refusedTrial    = time.Second // doubled each time up to trialAfter
)

// watching is what is known of a Kea that does not answer.
type watching struct {
	since  int64 // the first DISCOVER without an answer
	silent int
	points []uint16
	trial  bool  // it is tried, or was and nothing was said of it yet
	tried  int64 // since when
	again  int64 // when one that is out is tried
	pause  time.Duration
}

func (w *watching) reset(since int64) { w.since, w.silent, w.points = since, 0, w.points[:0] }

// unanswered counts a DISCOVER that left at a time and had no answer. It tells
// whether that was one too many.
func (s *state) unanswered(left int64, point uint16) bool {
	w := &s.watching
	if s.life.Load() == tried {
		return left >= w.tried && s.heard.Load() <= left
	}
	if s.heard.Load() > w.since || left-w.since > int64(silentFor) || w.silent == 0 {
		w.reset(left)
	}
	w.silent++
	if len(w.points) < silentPoints && !slices.Contains(w.points, point) {
		w.points = append(w.points, point)
	}
	if s.heard.Load() > left {
		w.silent = 0
		return false
	}
	return w.silent >= silentDiscovers && len(w.points) >= silentPoints
}

// Run resolves, probes and judges until ctx ends.
func (b *Backends) Run(ctx context.Context) error {
	var resolver sync.WaitGroup
	defer resolver.Wait()
	resolver.Go(func() { b.runResolver(ctx) })
	var probed time.Time
	for {
		now := b.now()
		wait := b.judge(now)
		if now.Sub(probed) >= wait {
			b.sendProbes(now)
			probed = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
		case <-time.After(wait):
		}
	}
}

// runResolver looks names up, by itself: while a name server does not answer,
// backends are probed all the same.
func (b *Backends) runResolver(ctx context.Context) {
	b.resolve(ctx)
	for resolved := b.now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-b.renamed:
		case <-time.After(probeEvery):
			if b.now().Sub(resolved) < resolveEvery && !b.unresolved() {
				continue
			}
		}
		b.resolve(ctx)
		resolved = b.now()
	}
}

func (b *Backends) unresolved() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.table.Load().list) < len(b.members)
}

// sendProbes asks every backend of ours whether it is alive.
func (b *Backends) sendProbes(now time.Time) {
	if b.probe == nil {
		return
	}
	t := b.table.Load()
	var probes []udp.Packet
	for i := range t.list {
		c := &t.list[i]
		if c.Kea {
			continue
		}
		frame := ipc.AppendProbe(nil)
		if b.signer != nil {
			frame = b.signer.Append(frame, 0, c.Daemon, now)
		}
		c.state.probes.ask(c.state.sent.Load())
		probes = append(probes, udp.Packet{Data: frame, Peer: c.Addr})
	}
	if len(probes) > 0 {
		b.probe.Write(probes)
	}
}

// judge takes backends in and out, and says how soon to look again.
func (b *Backends) judge(now time.Time) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.since(now)
	var silent []*member
	b.trips.sweep(at, func(id uint32, discover bool, point uint16, left int64) {
		i := slices.IndexFunc(b.members, func(m *member) bool { return m.id.Load() == id })
		if i < 0 {
			return // it has left meanwhile
		}
		m := b.members[i]
		m.series.timeouts.Add(1)
		if m.Kea && discover && m.unanswered(left, point) {
			silent = append(silent, m)
		}
	})
	wait = probeEvery
	for _, m := range b.members {
		if m.Kea {
			continue
		}
		b.judgeOursLocked(m, at)
		if m.life.Load() != in || m.refused.Load() > m.heard.Load() {
			wait = probeOut
		}
	}
	for _, m := range b.members { // last, as one of them may be all that is left
		if m.Kea {
			b.judgeKeaLocked(m, at, slices.Contains(silent, m))
		}
	}
	b.reportLocked()
	return wait
}

// judgeOursLocked goes by what a backend of ours has said of late. That nobody
// listens there anybody on the network can say, in an ICMP message: a backend
// that answers the next probe is not out.
func (b *Backends) judgeOursLocked(m *member, at int64) {
	heard, refused := m.heard.Load(), m.refused.Load()
	switch {
	case refused > heard && (heard == 0 || at-heard > int64(refusedAfter)):
		b.takeLocked(m, out, "nobody listens there")
	case heard != 0 && at-heard < int64(outAfter):
		b.takeLocked(m, in, "")
	case m.probed.Load():
		b.takeLocked(m, out, "it answers neither probes nor queries")
	case heard != 0: // it may know no probes
		b.takeLocked(m, unknown, "it answers no queries")
	}
}

// judgeKeaLocked goes by what a Kea has left unanswered. The last backend is
// in: it may be silent by rule.
func (b *Backends) judgeKeaLocked(m *member, at int64, silent bool) {
	last := b.lastLocked(m)
	refused := m.refused.Load() > max(m.heard.Load(), m.again)
	switch life := m.life.Load(); {
	case life != in && last:
		m.reset(at)
		m.trial, m.again = false, at
		b.takeLocked(m, in, "")
	case life == out && m.heard.Load() > max(m.refused.Load(), m.since):
		b.takeLocked(m, in, "")
	case life == out && at >= m.again:
		m.trial, m.tried, m.again = true, at, at
		m.tests.Store(0)
		m.life.Store(tried)
	case life == out:
	case (silent || refused) && last:
		m.reset(at)
	case refused:
		b.takeOutLocked(m, at, min(max(refusedTrial, 2*m.pause), trialAfter), "nobody listens there")
	case silent:
		b.takeOutLocked(m, at, trialAfter, "it answers no DISCOVER")
	case life == in && m.heard.Load() >= m.since:
		if m.trial {
			b.log.Info("backend is in", "backend", m.Name)
		}
		m.trial, m.pause = false, 0
	}
}

// takeOutLocked takes a Kea out until it is tried after a pause. That one which
// was tried is out again is no news.
func (b *Backends) takeOutLocked(m *member, at int64, pause time.Duration, why string) {
	m.pause, m.again = pause, at+int64(pause)
	m.reset(at)
	if m.trial {
		m.life.CompareAndSwap(tried, out) // unless it was heard meanwhile
		return
	}
	b.takeLocked(m, out, why)
}

// lastLocked tells whether no other backend is in.
func (b *Backends) lastLocked(m *member) bool {
	return !slices.ContainsFunc(b.members, func(o *member) bool { return o != m && o.life.Load() == in })
}

func (b *Backends) takeLocked(m *member, life int32, why string) {
	switch was := m.life.Swap(life); {
	case was == life:
	case life == in:
		b.log.Info("backend is in", "backend", m.Name)
	default:
		b.log.Warn("backend is out", "backend", m.Name, "why", why)
	}
}

// resolve looks every name up again, all at once. A name that cannot be
// resolved keeps the address it had.
func (b *Backends) resolve(ctx context.Context) {
	b.mu.Lock()
	members := b.members
	b.mu.Unlock()
	found := make([][]netip.Addr, len(members))
	var all sync.WaitGroup
	for i, m := range members {
		if _, err := netip.ParseAddr(m.Host); err == nil {
			continue // its address from the beginning
		}
		all.Go(func() {
			var err error
			if found[i], err = b.lookup(ctx, m.Host); err != nil && ctx.Err() == nil {
				b.log.Warn("cannot resolve a backend's name", "backend", m.Name, "host", m.Host, "error", err)
			}
		})
	}
	all.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(members, b.members) {
		return // configured anew meanwhile
	}
	changed := false
	for i, m := range members {
		if len(found[i]) == 0 || slices.ContainsFunc(found[i], func(a netip.Addr) bool { return m.at(a) == m.addr }) {
			continue // name servers give several addresses in turn
		}
		moved := m.at(found[i][0])
		if m.addr.IsValid() {
			b.log.Info("backend has moved", "backend", m.Name, "from", m.addr, "to", moved)
		}
		m.addr, changed = moved, true
	}
	if changed {
		b.publishLocked()
	}
}

// lookup returns the addresses of a host of the family that we can send to.
func (b *Backends) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	return b.resolver.LookupNetIP(ctx, b.network, host)
}
