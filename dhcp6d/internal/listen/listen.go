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
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// The groups of RFC 9915, section 7.1.
var (
	RelayAgentsAndServers = netip.MustParseAddr("ff02::1:2") // link scope
	Servers               = netip.MustParseAddr("ff05::1:3") // site scope
)

// retry is how long after a failure the kernel is asked again.
const retry = time.Second

// Options say what to serve.
type Options struct {
	// Interfaces are the names and patterns of the interfaces to serve, see
	// [ParsePatterns].
	Interfaces []string
	// Port is the server port, 547 by protocol.
	Port uint16
	// JoinSite also joins ff05::1:3.
	JoinSite bool
	// ReceiveBuffer, SendBuffer and Timestamps are as in udp.Options.
	ReceiveBuffer, SendBuffer int
	Timestamps                bool
}

// Link is the socket and the interfaces served. Its methods may be called
// from any goroutine.
type Link struct {
	// Set once.
	conn    *udp.Conn
	monitor *monitor
	log     *slog.Logger

	table atomic.Pointer[Interfaces]

	mu       sync.Mutex
	patterns Patterns
	groups   []netip.Addr
	// members are the memberships that the kernel holds for the socket. It
	// keeps their records when the interface is gone, so each must be left.
	members map[membership]struct{}
	failed  map[int]struct{} // interfaces whose failure to join was logged
}

type membership struct {
	index int
	group netip.Addr
}

// Open binds the socket and joins the groups on every interface that is there
// now. An interface that is named without a pattern must exist.
func Open(o Options, log *slog.Logger) (*Link, error) {
	patterns, err := ParsePatterns(o.Interfaces)
	if err != nil {
		return nil, err
	}
	l := &Link{
		groups:   groups(o.JoinSite),
		log:      log,
		patterns: patterns,
		members:  make(map[membership]struct{}),
		failed:   make(map[int]struct{}),
	}
	l.table.Store(NewInterfaces())
	// The monitor comes before the first look, so that no change falls
	// between them.
	if l.monitor, err = newMonitor(); err != nil {
		return nil, err
	}
	l.conn, err = udp.Listen(udp.Options{
		Address:       netip.AddrPortFrom(netip.IPv6Unspecified(), o.Port),
		PacketInfo:    true,
		OnlyJoined:    true,
		Coalesce:      true,
		Timestamps:    o.Timestamps,
		ReceiveBuffer: o.ReceiveBuffer,
		SendBuffer:    o.SendBuffer,
	})
	if err != nil {
		_ = l.monitor.close()
		return nil, err
	}
	if err := l.start(); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// start takes the first look, which unlike later ones may fail.
func (l *Link) start() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, err := interfaces()
	if err != nil {
		return err
	}
	if err := l.patterns.missing(found); err != nil {
		return err
	}
	l.adoptLocked(found)
	if l.table.Load().Len() == 0 {
		l.log.Warn("no interface matches yet", "there_are", strings.Join(names(found), ", "))
	}
	return nil
}

// Conn is the socket: for readers, writers and its figures.
func (l *Link) Conn() *udp.Conn { return l.conn }

// Interfaces is the table as it is now. It never changes: take it once per
// packet or batch.
func (l *Link) Interfaces() *Interfaces { return l.table.Load() }

// groups are those to be a member of.
func groups(site bool) []netip.Addr {
	if site {
		return []netip.Addr{RelayAgentsAndServers, Servers}
	}
	return []netip.Addr{RelayAgentsAndServers}
}

// Close closes the socket, which ends its memberships. Run must have ended or
// ends with an error.
func (l *Link) Close() error { return errors.Join(l.conn.Close(), l.monitor.close()) }

// Serve replaces the names and patterns of the interfaces served, and the
// groups joined on them. An interface that does not exist is no mistake here:
// it is served once it does.
func (l *Link) Serve(list []string, joinSite bool) error {
	patterns, err := ParsePatterns(list)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	found, err := interfaces()
	if err != nil {
		return err
	}
	l.patterns, l.groups = patterns, groups(joinSite)
	l.adoptLocked(found)
	return nil
}

// Run follows the kernel's interfaces until ctx ends, which is no error.
func (l *Link) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { l.monitor.deadline(time.Unix(0, 1)) })
	defer stop()
	for done := true; ; {
		var again time.Time // zero is never
		if !done {
			again = time.Now().Add(retry)
		}
		l.monitor.deadline(again)
		if ctx.Err() != nil { // asked after setting a deadline that may have replaced AfterFunc's
			return nil
		}
		news, err := l.monitor.wait()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			return fmt.Errorf("follow the interfaces: %w", err)
		}
		done = l.update(news)
	}
}

// update brings memberships and table in line after news; false when
// something is left to be tried again.
func (l *Link) update(n news) (done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// First leave what is gone: an interface made again with the same index
	// would look as if it were joined.
	for m := range l.members {
		if _, gone := n.gone[m.index]; gone || n.lost {
			l.leaveLocked(m)
		}
	}
	found, err := interfaces()
	if err != nil {
		l.log.Error("cannot list the interfaces, trying again", "error", err)
		return false
	}
	return l.adoptLocked(found)
}

// adoptLocked makes what was found the state to be in: leaves, joins,
// publishes the table. False when a group could not be joined.
func (l *Link) adoptLocked(found []system) (done bool) {
	served := make(map[int]*system)
	for i := range found {
		if s := &found[i]; l.patterns.Match(s.Name, s.loopback) {
			served[s.Index] = s
		}
	}
	for m := range l.members {
		if s := served[m.index]; s == nil || !s.ipv6() || !slices.Contains(l.groups, m.group) {
			l.leaveLocked(m)
		}
	}
	done = true
	table := make([]Interface, 0, len(served))
	for _, s := range served {
		if s.ipv6() { // otherwise there is news when it gets it
			s.Joined = l.joinLocked(&s.Interface)
			done = done && s.Joined
		}
		table = append(table, s.Interface)
	}
	l.publishLocked(NewInterfaces(table...))
	return done
}

// joinLocked joins the groups that are not joined yet.
func (l *Link) joinLocked(i *Interface) bool {
	for _, g := range l.groups {
		m := membership{i.Index, g}
		if _, ok := l.members[m]; ok {
			continue
		}
		if err := l.conn.Join(g, i.Index); err != nil {
			_, logged := l.failed[i.Index]
			if !logged && !errors.Is(err, unix.ENODEV) { // gone since it was found: no failure
				l.failed[i.Index] = struct{}{}
				l.log.Warn("cannot join, trying again", "interface", i.Name, "error", err)
			}
			return false
		}
		l.members[m] = struct{}{}
	}
	delete(l.failed, i.Index)
	return true
}

func (l *Link) leaveLocked(m membership) {
	delete(l.members, m)
	if err := l.conn.Leave(m.group, m.index); err != nil {
		l.log.Warn("cannot leave", "error", err)
	}
}

// publishLocked replaces the table and tells what is different.
func (l *Link) publishLocked(next *Interfaces) {
	last := l.table.Swap(next)
	for _, i := range last.All() {
		if n := next.ByIndex(i.Index); n == nil {
			delete(l.failed, i.Index)
			l.log.Info("interface no longer served", "interface", i.Name, "index", i.Index)
		}
	}
	for _, i := range next.All() {
		switch p := last.ByIndex(i.Index); {
		case p == nil:
			l.log.Info("interface served", "interface", i.Name, "index", i.Index, "up", i.Up, "joined", i.Joined)
		case p.Name != i.Name:
			l.log.Info("interface renamed", "interface", i.Name, "was", p.Name)
		case p.Up != i.Up || p.Joined != i.Joined:
			l.log.Info("interface changed", "interface", i.Name, "up", i.Up, "joined", i.Joined)
		}
	}
}
