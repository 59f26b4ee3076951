package udp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// unsentEvery is the least time between two warnings of one kind.
	unsentEvery = time.Minute
	// unsentKinds bounds how many kinds are remembered. There are few errors, and few interfaces.
	unsentKinds = 64
)

// Unsent logs the datagrams of a socket that the kernel refuses to send: each at debug level, and
// one warning per kind and minute. A kind is an error and an interface. Goroutines may share an
// Unsent.
type Unsent struct {
	log  *slog.Logger
	name func(index int) string
	now  func() time.Time

	mu    sync.Mutex
	kinds map[unsentKind]*unsentState
}

type unsentKind struct {
	err error
	ifc int
}

type unsentState struct {
	warned time.Time
	more   int // not logged since then
}

// NewUnsent returns an Unsent that writes to log, which should name the socket.
func NewUnsent(log *slog.Logger) *Unsent {
	return &Unsent{log: log, name: interfaceName, now: time.Now, kinds: make(map[unsentKind]*unsentState)}
}

// Writer returns a writer that sends by w and logs refusals. Without refusals it costs a comparison
// per batch.
func (u *Unsent) Writer(w Writer) Writer { return &tellingWriter{Writer: w, unsent: u} }

type tellingWriter struct {
	Writer
	unsent *Unsent
}

// Write implements [Writer].
func (t *tellingWriter) Write(ps []Packet) (sent int) {
	sent = t.Writer.Write(ps)
	if sent < len(ps) {
		t.unsent.tell(ps)
	}
	return sent
}

func (u *Unsent) tell(ps []Packet) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.now()
	for i := range ps {
		if p := &ps[i]; p.Err != nil && !errors.Is(p.Err, net.ErrClosed) {
			u.one(p, now)
		}
	}
}

func (u *Unsent) one(p *Packet, now time.Time) {
	kind := unsentKind{p.Err, p.Interface}
	s := u.kinds[kind]
	if s == nil {
		if len(u.kinds) == unsentKinds {
			clear(u.kinds)
		}
		s = new(unsentState)
		u.kinds[kind] = s
	}
	level := slog.LevelDebug
	if s.warned.IsZero() || now.Sub(s.warned) >= unsentEvery {
		level = slog.LevelWarn
	} else {
		s.more++
	}
	ctx := context.Background()
	if !u.log.Enabled(ctx, level) {
		return
	}
	facts := []slog.Attr{slog.Any("error", p.Err), slog.Any("to", p.Peer)}
	if p.Local.IsValid() {
		facts = append(facts, slog.Any("from", p.Local))
	}
	if p.Interface != 0 {
		facts = append(facts, slog.String("interface", u.name(p.Interface)))
	}
	if level == slog.LevelWarn {
		if remedy := remedyOf(p.Err); remedy != "" {
			facts = append(facts, slog.String("remedy", remedy))
		}
		if s.more > 0 {
			facts = append(facts, slog.Int("more_since_the_last_warning", s.more))
		}
		s.warned, s.more = now, 0
	}
	u.log.LogAttrs(ctx, level, "the kernel refuses to send a datagram", facts...)
}

// interfaceName returns the name of an interface, or a text that there is no interface of that
// index any more.
func interfaceName(index int) string {
	if ifc, err := net.InterfaceByIndex(index); err == nil {
		return ifc.Name
	}
	return "gone"
}

// remedyOf returns what to do about an error of sending, "" if the error has no usual cause.
func remedyOf(err error) string {
	errno, ok := errors.AsType[unix.Errno](err)
	if !ok {
		return ""
	}
	switch errno {
	case unix.EADDRNOTAVAIL, unix.EINVAL:
		return "give the interface a link-local address, and set a source only if this host has that address"
	case unix.EPERM, unix.EACCES:
		return "look for a rule of the firewall's output chain, or a security module, that forbids it"
	case unix.ENETUNREACH, unix.EHOSTUNREACH:
		return "add a route to the destination"
	case unix.ENETDOWN, unix.ENODEV, unix.ENXIO:
		return "bring the interface up"
	case unix.ENOBUFS, unix.ENOMEM:
		return "the interface's queue is full: look at its load"
	case unix.EMSGSIZE:
		return "raise the MTU of the way to the destination"
	case unix.EAFNOSUPPORT:
		return "the socket and the destination are of different address families: let both be IPv6, or both IPv4"
	}
	return ""
}
