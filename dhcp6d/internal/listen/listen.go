// Package listen owns the client-facing socket of dhcp6d: one UDP socket on the wildcard address,
// its group memberships on the interfaces served, and the table of these interfaces.
//
// It follows the kernel: when an interface appears, vanishes, is renamed or made again, the socket
// joins or leaves its groups at once. The package never looks into a datagram. The reader of a
// datagram asks the table whether its interface is served.
package listen

import (
	"cmp"
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

// retry is the pause between a failure and the next attempt.
const retry = time.Second

// Options say what to serve.
type Options struct {
	// Interfaces are the names and patterns of the interfaces to serve, see [ParsePatterns].
	Interfaces []string
	// Port is the server port, 547 by protocol.
	Port uint16
	// JoinSite also joins ff05::1:3.
	JoinSite bool
	// ReceiveBuffer, SendBuffer and Timestamps are as in udp.Options.
	ReceiveBuffer, SendBuffer int
	Timestamps                bool
}

// Link is the socket and the interfaces served. Any goroutine may call its methods.
type Link struct {
	// Set once.
	conn    *udp.Conn
	monitor *monitor
	log     *slog.Logger

	table atomic.Pointer[Interfaces]

	mu       sync.Mutex
	patterns Patterns
	groups   []netip.Addr
	// members are the socket's memberships in the kernel. The kernel keeps them when the interface
	// is gone, so each must be left.
	members map[membership]struct{}
	failed  map[int]struct{} // interfaces whose failure to join was logged
	watch   watch
	ready   func(ok bool, why string) // see Watch; nil for none
}

type membership struct {
	index int
	group netip.Addr
}

// Open binds the socket and joins the groups on every interface that exists now. An interface that
// does not exist, or cannot be served, is logged, and served as soon as it can be.
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
	// The monitor is opened before the first look, so that no change is missed between them.
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

// start looks at the interfaces for the first time. Unlike later looks, this one may fail.
func (l *Link) start() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, err := interfaces()
	if err != nil {
		return err
	}
	for _, name := range l.patterns.missing(found) {
		l.log.Warn("an interface does not exist; it is served as soon as it does", "interface", name,
			"there_are", strings.Join(names(found), ", "))
	}
	l.adoptLocked(found)
	if l.table.Load().Len() == 0 {
		l.log.Warn("no interface to serve yet", "there_are", strings.Join(names(found), ", "))
	}
	return nil
}

// Watch calls ready now and after every change, with whether clients on any interface can be
// answered, and if not, why.
func (l *Link) Watch(ready func(ok bool, why string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ready = ready
	ready(l.table.Load().Ready())
}

// Conn returns the socket, for readers, writers and its figures.
func (l *Link) Conn() *udp.Conn { return l.conn }

// Interfaces returns the table as it is now. A table never changes: take it once per batch.
func (l *Link) Interfaces() *Interfaces { return l.table.Load() }

// groups returns the groups to join.
func groups(site bool) []netip.Addr {
	if site {
		return []netip.Addr{RelayAgentsAndServers, Servers}
	}
	return []netip.Addr{RelayAgentsAndServers}
}

// Close closes the socket, which ends its memberships. If Run has not returned, it returns an
// error.
func (l *Link) Close() error { return errors.Join(l.conn.Close(), l.monitor.close()) }

// Serve replaces the names and patterns of the interfaces served, and the groups joined on them. An
// interface that does not exist is served as soon as it does.
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
		again := l.troubleDue() // zero is never
		if retried := time.Now().Add(retry); !done && (again.IsZero() || retried.Before(again)) {
			again = retried
		}
		l.monitor.deadline(again)
		if ctx.Err() != nil { // checked here, because our deadline may have replaced AfterFunc's
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

// update adapts memberships and table to news. It returns false if something must be tried again.
func (l *Link) update(n news) (done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// First leave the groups of interfaces that are gone. Otherwise a new interface with the same
	// index would look joined.
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

// adoptLocked leaves and joins groups as the found interfaces require, and publishes their table.
// It reports false if a group could not be joined.
func (l *Link) adoptLocked(found []device) (done bool) {
	served := make(map[int]*device)
	for i := range found {
		if s := &found[i]; l.patterns.Match(s.loopback, s.Names...) {
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
	var status []Status
	for _, name := range l.patterns.missing(found) {
		status = append(status, Status{name, Missing})
	}
	for _, s := range served {
		if s.ipv6() { // otherwise the monitor reports when the interface gets IPv6
			s.Joined = l.joinLocked(&s.Interface)
			done = done && s.Joined
		}
		table = append(table, s.Interface)
		status = append(status, Status{s.Name, s.trouble(s.Joined)})
	}
	next := NewInterfaces(table...)
	next.status = status
	slices.SortFunc(next.status, func(a, b Status) int { return cmp.Compare(a.Name, b.Name) })
	l.publishLocked(next)
	return done
}

// troubleDue logs the troubles that last, and returns when to look again.
func (l *Link) troubleDue() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	begun, ended, next := l.watch.update(l.table.Load().Status(), time.Now())
	for _, s := range begun {
		l.log.Warn("clients on an interface get no answer", "interface", s.Name, "why", s.Trouble.String())
	}
	for _, s := range ended {
		l.log.Info("clients on an interface are answered again", "interface", s.Name)
	}
	return next
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
			if !logged && !errors.Is(err, unix.ENODEV) { // ENODEV: it has vanished since it was found
				l.failed[i.Index] = struct{}{}
				l.log.Warn("cannot join the multicast groups on an interface, trying again", "interface", i.Name,
					"error", err)
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
		l.log.Warn("cannot leave a multicast group", "error", err)
	}
}

// publishLocked replaces the table and logs the differences.
func (l *Link) publishLocked(next *Interfaces) {
	last := l.table.Swap(next)
	if l.ready != nil {
		l.ready(next.Ready())
	}
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
