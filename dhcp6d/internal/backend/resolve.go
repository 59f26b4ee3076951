package backend

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/resolve"
)

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
				again = since >= resolve.Every || (s.unresolved() && since >= pause)
			}
		}
		pause = min(2*pause, resolve.Every)
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
	var hosts []string
	for _, m := range members {
		if _, err := netip.ParseAddr(m.Host); err != nil && !slices.Contains(hosts, m.Host) {
			hosts = append(hosts, m.Host)
		}
	}
	found := resolve.Lookup{Resolver: s.resolver, Network: s.network, Wanted: "no address"}.All(ctx, hosts)
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(members, s.members) {
		return // a reload has replaced the configuration
	}
	changed := false
	for _, m := range members {
		answer := found[m.Host] // nothing for an address
		s.logResolved(m, answer.Err)
		if len(answer.Addrs) > 0 && s.takeLocked(m, answer.Addrs) {
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
	switch m.trouble.Note(err, s.now()) {
	case resolve.Recovers:
		s.log.Info("the name of a backend can be resolved again", "backend", m.Name, "host", m.Host)
	case resolve.Fails:
		s.log.Warn("the name of a backend cannot be resolved", "backend", m.Name, "host", m.Host, "error", err,
			"remedy", "correct the name in DHCP6D_IPC_BACKENDS, or the resolver of this host; "+
				"it is looked up again and again")
	}
}
