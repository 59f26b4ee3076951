// Package leaselog is the hook that writes one JSON line for every change of a
// lease: who got which address, where, and until when.
//
// A change is logged when it is on stable storage, in the order in which that
// happened. Logging never makes a client wait: lines gather in a bounded
// buffer that a goroutine of the log writes out, and where the file cannot
// take them as fast as they come, lines are lost and counted.
package leaselog

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// Name is the configured name of the hook.
const Name = "leaselog"

// maxBuffer bounds what waits to be written, in octets: about ten thousand
// lines.
const maxBuffer = 4 << 20

// Log is an open lease log.
type Log struct {
	log  *slog.Logger
	out  io.WriteCloser
	lost prometheus.Counter

	mu      sync.Mutex
	more    sync.Cond
	buf     []byte
	closed  bool
	warned  time.Time
	written sync.WaitGroup
}

// Open opens the file, to be appended to, and starts the writer. "stdout" and
// "stderr" are what they say.
func Open(path string, log *slog.Logger, reg prometheus.Registerer) (*Log, error) {
	out, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the lease log: %w; make it writable or name another in DHCP4D_LEASELOG_PATH", err)
	}
	lost := prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "dhcp4d", Name: "leaselog_lost_lines_total",
		Help: "Lines of the lease log that could not be written.",
	})
	reg.MustRegister(lost)
	return start(out, log, lost), nil
}

func open(path string) (io.WriteCloser, error) {
	switch path {
	case "stdout":
		return keepOpen{os.Stdout}, nil
	case "stderr":
		return keepOpen{os.Stderr}, nil
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
}

type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }

func start(out io.WriteCloser, log *slog.Logger, lost prometheus.Counter) *Log {
	l := &Log{log: log, out: out, lost: lost}
	l.more.L = &l.mu
	l.written.Go(l.write)
	return l
}

// Observer makes the hook for the point leases4_committed. It may be used by
// several goroutines.
func (l *Log) Observer() hook.Observer[event.Lease] {
	return hook.Observer[event.Lease]{Name: Name, Run: l.add}
}

// Close writes what has gathered and closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.more.Signal()
	l.written.Wait()
	return l.out.Close()
}

// Line is a line of the log. Times are RFC 3339 in UTC; identifiers are
// hexadecimal.
type Line struct {
	Time      time.Time  `json:"time"`
	Event     string     `json:"event"`
	By        string     `json:"by,omitempty"` // who ordered it, if not the client
	Address   netip.Addr `json:"address"`
	Subnet    uint32     `json:"subnet"`
	ClientID  string     `json:"client_id,omitempty"`
	HWType    byte       `json:"hw_type"`
	HWAddress string     `json:"hw_address,omitempty"`
	Source    netip.Addr `json:"ipv6_source"`
	Interface string     `json:"interface,omitempty"`
	Relays    []Relay    `json:"relays,omitempty"` // the outermost first
	Start     time.Time  `json:"start"`
	Expires   *time.Time `json:"expires"` // null: never
}

// Relay is one relay level of the query.
type Relay struct {
	LinkAddress netip.Addr `json:"link_address"`
	PeerAddress netip.Addr `json:"peer_address"`
	InterfaceID string     `json:"interface_id,omitempty"`
	RemoteID    string     `json:"remote_id,omitempty"`
}

func (l *Log) add(e *event.Lease) {
	line, err := json.Marshal(newLine(e))
	if err != nil {
		panic("lease log: " + err.Error()) // nothing in a Line can fail to be encoded
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.buf)+len(line) > maxBuffer {
		l.loseLocked(1, "the file cannot be written as fast as leases change")
		return
	}
	l.buf = append(append(l.buf, line...), '\n')
	l.more.Signal()
}

func newLine(e *event.Lease) *Line {
	b := &e.Binding
	line := &Line{
		Time: e.Time.UTC(), Event: e.Event.String(), By: e.By, Address: b.Addr, Subnet: b.Subnet,
		ClientID: colons(identifier(b.Client)), HWType: b.HWType, HWAddress: colons(b.HWAddr),
		Source: b.Source, Interface: e.Interface, Start: moment(b.Start),
	}
	if b.Expires != lease.Never {
		t := moment(b.Expires)
		line.Expires = &t
	}
	for _, r := range e.Relays {
		line.Relays = append(line.Relays, Relay{r.LinkAddress, r.PeerAddress, colons(r.InterfaceID), colons(r.RemoteID)})
	}
	return line
}

func moment(t lease.Time) time.Time { return time.Unix(int64(t), 0).UTC() }

// identifier is the client identifier in a client's key, nil where the key is a
// hardware address.
func identifier(key []byte) []byte {
	if len(key) == 0 || key[0] != dhcp4.KeyClientID {
		return nil
	}
	return key[1:]
}

// colons is b in hexadecimal, the octets separated by colons.
func colons(b []byte) string {
	const digits = "0123456789abcdef"
	s := make([]byte, 0, 3*len(b))
	for i, c := range b {
		if i > 0 {
			s = append(s, ':')
		}
		s = append(s, digits[c>>4], digits[c&15])
	}
	return string(s)
}

// write is the writer's goroutine: it takes all that has gathered at once.
func (l *Log) write() {
	var lines []byte
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for len(l.buf) == 0 && !l.closed {
			l.more.Wait()
		}
		if len(l.buf) == 0 {
			return
		}
		lines, l.buf = l.buf, lines[:0]
		l.mu.Unlock()
		_, err := l.out.Write(lines)
		l.mu.Lock()
		if err != nil {
			l.loseLocked(count(lines), err.Error())
		}
	}
}

func count(lines []byte) (n int) {
	for _, c := range lines {
		if c == '\n' {
			n++
		}
	}
	return n
}

// loseLocked counts lost lines and says so, at most once a minute.
func (l *Log) loseLocked(n int, why string) {
	l.lost.Add(float64(n))
	if now := time.Now(); now.Sub(l.warned) >= time.Minute {
		l.warned = now
		l.log.Warn("lines of the lease log are lost", "reason", why)
	}
}
