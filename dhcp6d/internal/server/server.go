// Package server takes a packet through dhcp6d. It is the only package that knows the order of the
// steps. Hook points are in capitals.
//
//	Up    link → not stale, from an interface that is served → BUFFER6_RECEIVE → parse
//	      → levels that are believed, source and destination → validate → PKT6_RECEIVE
//	      → a DHCPV4-QUERY: choose a dhcp4d → add the context → sign → IPC
//	      → any other message: answer → PKT6_SEND → BUFFER6_SEND → link
//	      → one that another DHCPv6 server is to answer: Relay-forward → that server
//	    a Relay-reply of such a server, not stale → its context is ours → parse → interface and
//	      destination from the context → BUFFER6_SEND → link
//
//	Down  IPC → from a backend → verify → parse → interface and destination from the context
//	      → strip the context → BUFFER6_SEND → link
//
// Each half is one loop on one goroutine: it reads a batch, handles every datagram, and writes the
// batch. It takes no lock and keeps nothing of a datagram after its batch. Each datagram has one
// fate, and a dropped one also has one drop.Reason. The ledgers count both: the number received is
// the sum of the fates.
package server

import (
	"context"
	"log/slog"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/silence"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// fate is what has become of a datagram.
type fate uint8

const (
	dropped   fate = iota // for a reason
	forwarded             // to a dhcp4d
	answered              // by ourselves
	silent                // understood, no answer by a rule
	relayedOn             // an answer of a dhcp4d, sent on to its client or relay
	probe                 // an answer to a probe of ours
	passed                // to the DHCPv6 servers
	returned              // a message of a DHCPv6 server, sent on to its client or relay
)

// path is how a query came. Its answer goes back the same way.
type path struct {
	relayed, unicast bool
	probe            bool // no query, but a probe of ours
}

func pathOf(p *dhcp6.Packet, in *udp.Packet) path {
	return path{relayed: p.Relays() > 0, unicast: !in.Local.IsMulticast()}
}

// outgoing holds the datagrams that a batch sends through one writer.
type outgoing struct {
	packets []udp.Packet
	paths   []path
}

func (o *outgoing) reset() { o.packets, o.paths = o.packets[:0], o.paths[:0] }

func (o *outgoing) add(p udp.Packet, by path) {
	o.packets = append(o.packets, p)
	o.paths = append(o.paths, by)
}

// logSilent logs at debug level a datagram that gets no answer, and by which rule.
func logSilent(log *slog.Logger, in *udp.Packet, why silence.Reason) {
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	log.Debug("message not answered, by rule", "reason", why.Label(), "meaning", why.Meaning(), "peer", in.Peer,
		"local", in.Local, "interface", in.Interface)
}

// logDrop logs a dropped datagram at debug level.
func logDrop(log *slog.Logger, in *udp.Packet, why drop.Reason) {
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	log.Debug("datagram dropped", "reason", why.Label(), "peer", in.Peer, "local", in.Local,
		"interface", in.Interface, "octets", len(in.Data))
}
