package server

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

const (
	// complainAgain is the least time between two lines of one kind, and complainSame the least
	// time between two about the same peer.
	complainAgain = time.Minute
	complainSame  = 10 * time.Minute
	// probeWithin is how long a configured dhcp6d may send no probe before that is logged.
	probeWithin = 15 * time.Second
)

// complaints are log lines about an IPC that is set up wrong: datagrams are dropped before they are
// known to be queries. Anyone may send such datagrams, so the number of lines does not grow with
// their number. The server's goroutine owns the complaints.
type complaints struct {
	strangers, forgers complaint
}

// complaint is one kind of line.
type complaint struct {
	peer      netip.AddrPort // of the last line
	at        time.Time      // of the last line
	datagrams int            // since the last line
}

// due counts a datagram, and reports whether a line about it is due.
func (c *complaint) due(peer netip.AddrPort, now time.Time) bool {
	c.datagrams++
	pause := complainAgain
	if peer == c.peer {
		pause = complainSame
	}
	if !c.at.IsZero() && now.Sub(c.at) < pause {
		return false
	}
	c.peer, c.at = peer, now
	return true
}

// about logs whose datagrams are dropped, and what to do. Name is our name as a backend.
func (c *complaints) about(log *slog.Logger, name string, peer netip.AddrPort, why drop.Reason, now time.Time) {
	switch {
	case why == drop.WrongPeer && c.strangers.due(peer, now):
		log.Warn("datagrams from an address that is no dhcp6d of ours are dropped", "peer", peer, "datagrams",
			c.strangers.datagrams,
			"remedy", fmt.Sprintf("if it is a dhcp6d, add %v to DHCP4D_IPC_PEERS, or have it send from an address "+
				"that is there (DHCP6D_IPC_LISTEN)", peer))
		c.strangers.datagrams = 0
	case why == drop.Unauthentic && c.forgers.due(peer, now):
		log.Warn("datagrams of a dhcp6d are not authentic and dropped", "peer", peer, "datagrams", c.forgers.datagrams,
			"remedy", fmt.Sprintf("give DHCP4D_IPC_KEYS here and DHCP6D_IPC_KEYS there a key in common; "+
				"DHCP6D_IPC_BACKENDS there must name us %q (DHCP4D_NAME); write \"%v kea\" in DHCP4D_IPC_PEERS if it "+
				"is a kea-dhcp6", name, peer))
		c.forgers.datagrams = 0
	}
}

// expected are the configured dhcp6d that have not probed yet. Every dhcp6d probes as long as it
// runs.
type expected struct {
	since map[netip.AddrPort]time.Time // when we began to wait; zero once it has probed or was logged
}

// other reports whether another address of the same name has probed or was logged: a dhcp6d sends
// from one of its addresses.
func (e *expected) other(peers Peers, at netip.AddrPort) bool {
	for a, p := range peers {
		if since, known := e.since[a]; a != at && p.Name == peers[at].Name && known && since.IsZero() {
			return true
		}
	}
	return false
}

// probed notes that a dhcp6d has probed.
func (e *expected) probed(peer netip.AddrPort) {
	if _, known := e.since[peer]; known {
		e.since[peer] = time.Time{}
	}
}

// look logs which of the peers have not probed.
func (e *expected) look(log *slog.Logger, peers Peers, now time.Time) {
	if e.since == nil {
		e.since = make(map[netip.AddrPort]time.Time)
	}
	for at, p := range peers {
		since, known := e.since[at]
		switch {
		case p.Kea:
		case !known:
			e.since[at] = now
		case !since.IsZero() && now.Sub(since) >= probeWithin:
			if e.since[at] = (time.Time{}); e.other(peers, at) {
				continue
			}
			log.Warn("no probe has come from a dhcp6d", "peer", at, "remedy",
				fmt.Sprintf("start it; name us in its DHCP6D_IPC_BACKENDS by an address that we listen at; have it "+
					"send from %v (DHCP6D_IPC_LISTEN); see whether a firewall is between; write \"%v kea\" in "+
					"DHCP4D_IPC_PEERS if it is a kea-dhcp6", at, at))
		}
	}
	for at := range e.since {
		if _, is := peers[at]; !is {
			delete(e.since, at)
		}
	}
}
