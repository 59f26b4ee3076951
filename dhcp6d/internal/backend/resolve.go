package backend

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	resolveEvery  = 10 * time.Second
	lookupTimeout = 2 * time.Second
)

// Resolver turns a name into addresses; net.DefaultResolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// naming is what the resolver knows of a backend's name.
type naming struct {
	failing bool
	said    time.Time // when it was last logged that the name cannot be resolved
}

// logAgain is how often it is logged that a name still cannot be resolved.
const logAgain = 10 * time.Minute

// runResolver resolves names until ctx ends. It is a goroutine of its own, so that backends are
// probed while a name server does not answer. A backend that has no address yet is looked up sooner
// than others, with growing pauses.
func (s *Set) runResolver(ctx context.Context) {
	pause := probeEvery
	for {
		asked := s.now() // before the answers: they are as old as the questions
		s.resolve(ctx)
		if !s.unresolved() {
			pause = probeEvery
		}
		for again := false; !again; {
			select {
			case <-ctx.Done():
				return
			case <-s.renamed:
				again, pause = true, probeEvery
			case <-time.After(probeEvery):
				since := s.now().Sub(asked)
				again = since >= resolveEvery || (s.unresolved() && since >= pause)
			}
		}
		pause = min(2*pause, resolveEvery)
	}
}

// unresolved reports whether a backend has no address yet.
func (s *Set) unresolved() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.table.Load().list) < len(s.members)
}

// resolve looks up all names at the same time. A backend whose name cannot be resolved keeps the
// addresses that it had.
func (s *Set) resolve(ctx context.Context) {
	s.mu.Lock()
	members := s.members
	s.mu.Unlock()
	found := make([][]netip.Addr, len(members))
	failed := make([]error, len(members))
	var all sync.WaitGroup
	for i, m := range members {
		if _, err := netip.ParseAddr(m.Host); err != nil {
			all.Go(func() { found[i], failed[i] = s.lookup(ctx, m.Host) })
		}
	}
	all.Wait()
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(members, s.members) {
		return // a reload has replaced the configuration
	}
	changed := false
	for i, m := range members {
		s.logResolved(m, failed[i])
		if len(found[i]) > 0 && s.takeLocked(m, found[i]) {
			changed = true
		}
	}
	if changed {
		s.publishLocked()
		poke(s.wake)
	}
	s.reportLocked()
}

// takeLocked gives a backend the addresses that its name stands for now, and reports whether they
// have changed. Name servers return several addresses in changing order, so the order of the first
// time is kept.
func (s *Set) takeLocked(m *member, found []netip.Addr) bool {
	addrs := make([]netip.AddrPort, 0, len(found))
	for _, a := range found {
		if at := m.at(a); !slices.Contains(addrs, at) {
			addrs = append(addrs, at)
		}
	}
	if len(addrs) == len(m.addrs) &&
		!slices.ContainsFunc(addrs, func(a netip.AddrPort) bool { return !slices.Contains(m.addrs, a) }) {
		return false
	}
	was := m.addr
	m.use(addrs)
	if !was.IsValid() {
		m.logged.from = s.since(s.now())
	}
	if was.IsValid() && m.addr != was {
		s.log.Info("backend has moved", "backend", m.Name, "from", was, "to", m.addr)
	}
	return true
}

// logResolved logs that a name cannot be resolved, from time to time, and that it can be again.
func (s *Set) logResolved(m *member, err error) {
	n := &m.naming
	switch now := s.now(); {
	case err == nil && n.failing:
		n.failing = false
		s.log.Info("the name of a backend can be resolved again", "backend", m.Name, "host", m.Host)
	case err != nil && (!n.failing || now.Sub(n.said) >= logAgain):
		n.failing, n.said = true, now
		s.log.Warn("the name of a backend cannot be resolved", "backend", m.Name, "host", m.Host, "error", err,
			"remedy", "correct the name in DHCP6D_IPC_BACKENDS, or the resolver of this host; "+
				"it is looked up again and again")
	}
}

// lookup returns the addresses of a host that our socket can send to.
func (s *Set) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := s.resolver.LookupNetIP(ctx, s.network, host)
	if err == nil && len(found) == 0 {
		err = errors.New("the name stands for no address")
	}
	return found, err
}
