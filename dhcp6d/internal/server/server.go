// Package server is a packet's way through dhcp6d, and the only package that
// knows its order.
//
//	Up    link → parse → validate → hooks → context → IPC
//	                                     └→ answer → link
//	Down  IPC → parse → strip → hooks → link
//
// Each half is one loop on one goroutine: read a batch, run every datagram to
// its end, write the batch. It keeps nothing of a datagram when the batch is
// done, and takes no lock. What becomes of each datagram is a fate, and if it
// is dropped one drop.Reason; the ledgers count both, so that what was
// received is the sum of what became of it.
package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// readPause is the pause after a read that failed.
const readPause = 100 * time.Millisecond

// fate is what becomes of a datagram.
type fate uint8

const (
	dropped   fate = iota // with a reason
	forwarded             // to a dhcp4d
	answered              // by ourselves
	silent                // understood, nothing to say
	relayedOn             // an answer of a dhcp4d, sent on to its client or relay
	probe                 // an answer to a probe of ours
)

// path is how a query came, which is how its answer goes back.
type path struct{ relayed, unicast bool }

func pathOf(p *dhcp6.Packet, in *udp.Packet) path {
	return path{relayed: p.Relays() > 0, unicast: !in.Local.IsMulticast()}
}

// outgoing is the datagrams that a batch sends through one writer.
type outgoing struct {
	packets []udp.Packet
	paths   []path
}

func (o *outgoing) reset() { o.packets, o.paths = o.packets[:0], o.paths[:0] }

func (o *outgoing) add(p udp.Packet, by path) {
	o.packets = append(o.packets, p)
	o.paths = append(o.paths, by)
}

// logDrop tells at debug level, and only there, whose datagram was dropped.
func logDrop(log *slog.Logger, in *udp.Packet, why drop.Reason) {
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	log.Debug("datagram dropped", "reason", why.Label(), "peer", in.Peer, "local", in.Local,
		"interface", in.Interface, "octets", len(in.Data))
}
