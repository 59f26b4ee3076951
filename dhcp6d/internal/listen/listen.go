// Package listen owns the client-facing socket of dhcp6d: one UDP socket on
// the wildcard address, its group memberships on the interfaces served, and
// the table of these interfaces.
//
// It follows the kernel: an interface that appears, vanishes, is renamed or
// made again is joined or left at once. It never looks into a datagram and
// refuses none: whether the interface of a packet is served is asked of the
// table by whoever reads it.
package listen

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// The groups of RFC 9915, section 7.1.
var (
	RelayAgentsAndServers = netip.MustParseAddr("ff02::1:2") // link scope
	Servers               = netip.MustParseAddr("ff05::1:3") // site scope
)

// Options say what to serve.
type Options struct {
	// Interfaces are the names and patterns of the interfaces to serve, see
	// [ParsePatterns].
	Interfaces []string
	// Port is the server port, 547 by protocol.
	Port uint16
	// JoinSite also joins ff05::1:3.
	JoinSite bool
	// ReceiveBuffer, SendBuffer, Pace and Timestamps are as in udp.Options.
	ReceiveBuffer, SendBuffer int
	Pace                      time.Duration
	Timestamps                bool
}

// Link is the socket and the interfaces served. Its methods may be called
// from any goroutine.
type Link struct {
	conn  *udp.Conn
	log   *slog.Logger
	table atomic.Pointer[Interfaces]
}

// Open binds the socket and joins the groups on every interface that is there
// now. An interface that is named without a pattern must exist.
func Open(o Options, log *slog.Logger) (*Link, error) {
	return nil, nil
}

// Run follows the kernel's interfaces until ctx ends.
func (l *Link) Run(ctx context.Context) error { return nil }

// Conn is the socket: for readers, writers and its figures.
func (l *Link) Conn() *udp.Conn { return l.conn }

// Interfaces is the table as it is now. It never changes: take it once per
// packet or batch.
func (l *Link) Interfaces() *Interfaces { return l.table.Load() }

// Close leaves all groups and closes the socket.
func (l *Link) Close() error { return l.conn.Close() }
