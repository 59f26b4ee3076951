package backend

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// trouble is why a backend cannot serve, as far as we can know it.
type trouble uint8

const (
	none        trouble = iota
	refuses             // the kernel says that nobody listens there
	silent              // nothing comes back
	unauthentic         // what comes back is not authentic
	elsewhere           // something comes back, from an address that is no backend's
	noProbes            // it answers queries and no probes
	unable              // it says so itself
)

const (
	// fresh is how long evidence counts. Refusals come more seldom than what was refused, because
	// kernels limit them.
	fresh        = 3 * time.Second
	freshRefusal = 10 * time.Second
	// unheardFor is how long a backend may be silent at the start before that is logged.
	unheardFor = 3 * time.Second
	// logTroubles is the least time between two log lines about one backend.
	logTroubles = 10 * time.Second
	// mutedAfter is how long a backend that answers queries may leave probes unanswered before it
	// is taken for a Kea.
	mutedAfter = 2 * time.Second
)

// evidence is what the loop that receives has seen of a backend, beside what it has accepted. Times
// are those of [Set.since]; 0 is never.
type evidence struct {
	answered    atomic.Int64 // the last answer to a query
	unauthentic atomic.Int64 // the last datagram that was not authentic
}

// stranger is the sender of a datagram from an address that is no backend's.
type stranger struct {
	peer netip.AddrPort
	at   int64
}

// lastLogged is what was logged about a backend. Run owns it.
type lastLogged struct {
	from    int64 // since when the backend has an address
	trouble trouble
	at      int64 // when trouble was last logged
}

// Dropped notes a datagram that did not count, and why. It is evidence of what is wrong with a
// backend that does not answer.
func (s *Set) Dropped(in *udp.Packet, why drop.Reason, now time.Time) {
	at := s.since(now)
	switch why {
	case drop.WrongPeer:
		// One per second is enough for a log line, and costs nothing under a flood.
		if last := s.stranger.Load(); last == nil || at-last.at >= int64(time.Second) {
			s.stranger.Store(&stranger{peer: in.Peer, at: at})
		}
	case drop.Unauthentic:
		if b := s.From(in.Peer); b != nil {
			b.state.evidence.unauthentic.Store(at)
		}
	}
}

// troubleLocked returns why a backend of ours does not answer.
func (s *Set) troubleLocked(m *member, at int64) trouble {
	recent := func(t int64) bool { return t != 0 && at-t < int64(fresh) }
	refused := m.refused.Load()
	refusing := refused > m.heard.Load() && at-refused < int64(freshRefusal)
	switch other := s.stranger.Load(); {
	case recent(m.evidence.unauthentic.Load()):
		return unauthentic
	case other != nil && recent(other.at) && (other.peer.Port() == m.addr.Port() || other.peer.Addr() == m.addr.Addr()):
		return elsewhere
	case refusing:
		return refuses
	}
	return silent
}

// explain returns what the trouble is, and what to do.
func (s *Set) explain(m *member, t trouble) (why, remedy string) {
	const variable = "DHCP6D_IPC_BACKENDS"
	_, port, _ := net.SplitHostPort(m.addr.String())
	asKea := fmt.Sprintf("write %q in %s if it is a kea-dhcp4", m.written()+" kea", variable)
	switch t {
	case refuses:
		return fmt.Sprintf("nobody listens at %v", m.addr),
			"start dhcp4d there, or correct the address in " + variable
	case unauthentic:
		return fmt.Sprintf("what comes from %v is not authentic", m.addr),
			fmt.Sprintf("give DHCP6D_IPC_KEYS here and DHCP4D_IPC_KEYS there a key in common; "+
				"its DHCP4D_NAME must be %q; %s", m.Daemon, asKea)
	case elsewhere:
		peer := m.addr
		if other := s.stranger.Load(); other != nil {
			peer = other.peer
		}
		return fmt.Sprintf("nothing comes from %v, but something from %v, which is no address of a backend",
				m.addr, peer),
			fmt.Sprintf("if that is this backend, write %v in %s, or set its DHCP4D_IPC_LISTEN to %v",
				peer, variable, m.addr)
	case noProbes:
		return fmt.Sprintf("%v answers queries and no probes, so it is taken for a kea-dhcp4", m.addr),
			fmt.Sprintf("write %q in %s", m.written()+" kea", variable)
	case unable:
		return fmt.Sprintf("%v %s, so it acknowledges no lease and new clients go to others", m.addr, m.reported()),
			"look at its log and its /readyz; it is used again when it is able"
	}
	why = fmt.Sprintf("nothing comes back from %v", m.addr)
	remedy = fmt.Sprintf("look at the log of dhcp4d there: it says whose datagrams it drops, "+
		"because their address is not in its DHCP4D_IPC_PEERS or its keys are others; a firewall may drop UDP port %s",
		port)
	if !m.Kea {
		remedy += "; " + asKea
	}
	return why, remedy
}

// written returns the backend as DHCP6D_IPC_BACKENDS has it.
func (s *Spec) written() string {
	at := net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port)))
	if s.Name != at {
		at = s.Name + "@" + at
	}
	return at
}

// logTroubleLocked logs the trouble of a backend.
func (s *Set) logTroubleLocked(m *member, t trouble, at int64) {
	m.logged.trouble, m.logged.at = t, at
	why, remedy := s.explain(m, t)
	s.log.Warn("trouble with a backend", "backend", m.Name, "state", m.health.get().String(),
		"why", why, "remedy", remedy)
}

// logNewTroubleLocked logs the trouble of a backend if it is new, and again from time to time,
// because the reason may have changed.
func (s *Set) logNewTroubleLocked(m *member, t trouble, at int64) {
	if t != m.logged.trouble && (m.logged.at == 0 || at-m.logged.at >= int64(logTroubles)) {
		s.logTroubleLocked(m, t, at)
	}
}
