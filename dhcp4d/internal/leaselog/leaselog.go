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
	"strconv"
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
	line    []byte // the one that is made
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

func (l *Log) add(e *event.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line = appendLine(l.line[:0], e)
	if l.closed || len(l.buf)+len(l.line) > maxBuffer {
		l.loseLocked(1, "the file cannot be written as fast as leases change")
		return
	}
	l.buf = append(l.buf, l.line...)
	l.more.Signal()
}

// appendLine appends the line of a change: a JSON object with the members of
// Line in its test, which encoding/json writes alike but in memory of its own
// for each.
func appendLine(b []byte, e *event.Lease) []byte {
	v := &e.Binding
	b = appendTime(append(b, `{"time":`...), e.Time.UTC())
	b = appendText(append(b, `,"event":`...), e.Event.String())
	if e.By != "" {
		b = appendText(append(b, `,"by":`...), e.By)
	}
	b = appendAddr(append(b, `,"address":`...), v.Addr)
	b = strconv.AppendUint(append(b, `,"subnet":`...), uint64(v.Subnet), 10)
	if id := identifier(v.Client); len(id) > 0 {
		b = appendHex(append(b, `,"client_id":`...), id)
	}
	b = strconv.AppendUint(append(b, `,"hw_type":`...), uint64(v.HWType), 10)
	if len(v.HWAddr) > 0 {
		b = appendHex(append(b, `,"hw_address":`...), v.HWAddr)
	}
	b = appendAddr(append(b, `,"ipv6_source":`...), v.Source)
	if e.Interface != "" {
		b = appendText(append(b, `,"interface":`...), e.Interface)
	}
	for i := range e.Relays {
		if i == 0 {
			b = append(b, `,"relays":[`...)
		} else {
			b = append(b, ',')
		}
		b = appendRelay(b, &e.Relays[i])
	}
	if len(e.Relays) > 0 {
		b = append(b, ']')
	}
	b = appendTime(append(b, `,"start":`...), moment(v.Start))
	b = append(b, `,"expires":`...)
	if v.Expires == lease.Never {
		b = append(b, "null"...)
	} else {
		b = appendTime(b, moment(v.Expires))
	}
	return append(b, '}', '\n')
}

func appendRelay(b []byte, r *event.Relay) []byte {
	b = appendAddr(append(b, `{"link_address":`...), r.LinkAddress)
	b = appendAddr(append(b, `,"peer_address":`...), r.PeerAddress)
	if len(r.InterfaceID) > 0 {
		b = appendHex(append(b, `,"interface_id":`...), r.InterfaceID)
	}
	if len(r.RemoteID) > 0 {
		b = appendHex(append(b, `,"remote_id":`...), r.RemoteID)
	}
	return append(b, '}')
}

func moment(t lease.Time) time.Time { return time.Unix(int64(t), 0).UTC() }

// appendTime appends a time as RFC 3339 has it.
func appendTime(b []byte, t time.Time) []byte {
	return append(t.AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}

func appendAddr(b []byte, a netip.Addr) []byte {
	b = append(b, '"')
	if a.IsValid() {
		b = a.WithZone("").AppendTo(b)
	}
	return append(b, '"')
}

// appendText appends what an operator or a dhcp6d has named.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			q, err := json.Marshal(s)
			if err != nil {
				panic("lease log: " + err.Error()) // a string can always be encoded
			}
			return append(b, q...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// identifier is the client identifier in a client's key, nil where the key is a
// hardware address.
func identifier(key []byte) []byte {
	if len(key) == 0 || key[0] != dhcp4.KeyClientID {
		return nil
	}
	return key[1:]
}

// appendHex appends v in hexadecimal, the octets separated by colons.
func appendHex(b, v []byte) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for i, c := range v {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, digits[c>>4], digits[c&15])
	}
	return append(b, '"')
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
