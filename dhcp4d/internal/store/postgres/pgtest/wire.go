package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// keepalive is how long a server needs to notice that the other end of a connection is gone, with
// the settings of package database.
const keepalive = 5 * time.Second

// Dialer is a machine that makes connections to the server.
type Dialer struct {
	By     string // its name
	Server *Server

	mu    sync.Mutex
	conns map[*Conn]bool
	dead  bool
}

// Conn is the client's end of a connection.
type Conn struct {
	By   string // the name of the machine
	For  string // what it is for, as its first statement says: "commits", "feed", "side"; "cancel"; ""
	Nth  int    // of the connections of this machine for that
	Made time.Time

	s       *Server
	dialer  *Dialer
	session *session
	up      lane
	down    lane

	mu       sync.Mutex
	changed  sync.Cond
	in       []byte
	err      error // after in
	closed   bool
	deadline time.Time
	alarm    *time.Timer
}

// lane is one direction of a connection. Guarded by Server.mu.
type lane struct {
	nth  int
	last time.Time // when the last octets arrive
	cut  bool
}

// name tells connections apart.
func (c *Conn) name() string { return fmt.Sprintf("%s/%s/%d", c.By, c.For, c.Nth) }

var (
	errRefused = errors.New("connection refused")
	errReset   = errors.New("connection reset by peer")
)

// Dial makes a connection. Its address does not matter.
func (d *Dialer) Dial(context.Context, string, string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.Server
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.dead || !s.up {
		return nil, &net.OpError{Op: "dial", Net: "unix", Err: errRefused}
	}
	c := &Conn{By: d.By, s: s, dialer: d, Made: time.Now()}
	c.changed.L = &c.mu
	s.pids++
	c.session = &session{s: s, conn: c, pid: s.pids, prepared: map[string]*statement{}}
	s.session[c.session] = true
	if d.conns == nil {
		d.conns = map[*Conn]bool{}
	}
	d.conns[c] = true
	return c, nil
}

// Kill ends the machine's process: it can send and hear nothing more. What it has sent arrives.
func (d *Dialer) Kill() {
	d.mu.Lock()
	d.dead = true
	conns := d.conns
	d.conns = nil
	d.mu.Unlock()
	for c := range conns {
		_ = c.Close()
	}
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	err := c.err
	if c.closed {
		err = net.ErrClosed
	}
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.carry(c, &c.up, append([]byte(nil), b...), true)
	return len(b), nil
}

// carry brings octets to the other end, as the fate decides. The caller holds mu.
func (s *Server) carry(c *Conn, l *lane, b []byte, up bool) {
	if l.cut {
		return
	}
	if up && c.For == "" && len(b) == cancelLen {
		c.For = "cancel"
	}
	way := s.fate.Message(Message{Conn: c, Nth: l.nth, Up: up, Len: len(b)})
	l.nth++
	at := l.arrival(way.Delay)
	if way.Cut >= 0 {
		b = b[:min(way.Cut, len(b))]
		c.up.cut, c.down.cut = true, true
		s.at(at, func() {
			c.arrive(b, up)
			c.breaks(way.Silent)
		})
		return
	}
	if split := way.Split; way.Late > 0 && split > 0 && split < len(b) {
		first, rest := b[:split], b[split:]
		s.at(at, func() { c.arrive(first, up) })
		s.at(l.arrival(way.Delay+way.Late), func() { c.arrive(rest, up) })
		return
	}
	s.at(at, func() { c.arrive(b, up) })
}

// arrival returns when what is sent now arrives: after what was sent before.
func (l *lane) arrival(delay time.Duration) time.Time {
	at := time.Now().Add(delay)
	if !at.After(l.last) {
		at = l.last.Add(1)
	}
	l.last = at
	return at
}

// at calls fn at a moment, under mu.
func (s *Server) at(t time.Time, fn func()) {
	time.AfterFunc(time.Until(t), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		fn()
	})
}

// arrive takes octets at the other end.
func (c *Conn) arrive(b []byte, up bool) {
	if up {
		c.session.arrive(b)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.in = append(c.in, b...)
		c.changed.Broadcast()
	}
}

// breaks ends a connection. If it is silent, the server notices by its probes, and the client when
// it waits no longer.
func (c *Conn) breaks(silent bool) {
	if silent {
		c.s.at(time.Now().Add(keepalive), c.session.hangUp)
		return
	}
	c.session.hangUp()
	c.fail(errReset)
}

// fail ends the client's end.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	c.changed.Broadcast()
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case len(c.in) > 0:
			n := copy(b, c.in)
			c.in = c.in[n:]
			return n, nil
		case c.err != nil:
			return 0, c.err
		case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
			return 0, os.ErrDeadlineExceeded
		}
		c.changed.Wait()
	}
}

// Close implements net.Conn. The server notices after what was sent before.
func (c *Conn) Close() error {
	c.mu.Lock()
	was := c.closed
	c.closed = true
	if c.alarm != nil {
		c.alarm.Stop()
	}
	c.changed.Broadcast()
	c.mu.Unlock()
	if was {
		return net.ErrClosed
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if !c.up.cut {
		c.s.at(c.up.arrival(0), c.session.hangUp)
		c.up.cut, c.down.cut = true, true
	}
	return nil
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if c.alarm != nil {
		c.alarm.Stop()
		c.alarm = nil
	}
	if !t.IsZero() {
		c.alarm = time.AfterFunc(time.Until(t), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.changed.Broadcast()
		})
	}
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.SetDeadline(t) }

// SetWriteDeadline implements net.Conn. Write never waits.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return address{} }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return address{} }

type address struct{}

func (address) Network() string { return "unix" }
func (address) String() string  { return "/pgtest/.s.PGSQL.5432" }
