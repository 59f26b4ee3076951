package postgrestest

import (
	"bufio"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// A Proxy carries connections to a server. It moves whole messages of PostgreSQL's protocol, each
// after a time of its own, and keeps their order. A test can hold the messages of one connection
// while others go on, and can break the client's end of a connection. The server then still gets
// what the client had sent before, as late as the test wants.
type Proxy struct {
	server   string // its socket
	listener net.Listener
	accepted chan struct{} // closed when no link is added any more
	running  sync.WaitGroup

	mu      sync.Mutex
	links   []*Link
	most    time.Duration
	refuses bool
}

// Proxy makes a proxy to s, which takes connections until the test ends.
func (s *Server) Proxy(t testing.TB, listener net.Listener) *Proxy {
	p := &Proxy{server: filepath.Join(s.dir, ".s.PGSQL.5432"), listener: listener, accepted: make(chan struct{})}
	go p.accept()
	t.Cleanup(func() {
		_ = listener.Close()
		<-p.accepted
		for _, l := range p.Links() {
			_, _ = l.client.Close(), l.server.Close()
			l.Sent.Let(All)
			l.Heard.Let(All)
		}
		p.running.Wait()
	})
	return p
}

// Delay makes each message take a random time of at most so long.
func (p *Proxy) Delay(most time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = most
}

// Refuse makes the proxy refuse new connections, or take them again.
func (p *Proxy) Refuse(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = yes
}

func (p *Proxy) delay() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.most == 0 {
		return 0
	}
	return rand.N(p.most)
}

// Links returns the connections of which an end is left, the oldest first.
func (p *Proxy) Links() []*Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.links)
}

func (p *Proxy) accept() {
	defer close(p.accepted)
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // the test has ended
		}
		p.mu.Lock()
		refuses := p.refuses
		p.mu.Unlock()
		server, err := net.Dial("unix", p.server)
		if err == nil && refuses {
			_ = server.Close()
		}
		if err != nil || refuses {
			_ = client.Close()
			continue
		}
		l := &Link{client: client, server: server, Sent: newWay(), Heard: newWay()}
		p.mu.Lock()
		p.links = append(p.links, l)
		p.mu.Unlock()
		var ways sync.WaitGroup
		ways.Go(func() { l.Sent.read(client, true, p.delay) })
		ways.Go(func() { l.Heard.read(server, false, p.delay) })
		ways.Go(func() { l.Sent.write(server) })
		ways.Go(func() { l.Heard.write(client) })
		p.running.Go(func() {
			ways.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			p.links = slices.DeleteFunc(p.links, func(other *Link) bool { return other == l })
		})
	}
}

// Link is a connection over a proxy.
type Link struct {
	client, server net.Conn
	// Sent is the way from the client to the server, Heard the way back.
	Sent, Heard *Way
}

// Break ends the connection for the client, by a RST if it is TCP. For the server it ends when the
// server has got what the client has sent.
func (l *Link) Break() {
	if c, ok := l.client.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // it may have ended
	}
	_ = l.client.Close()
}

// All messages pass.
const All = -1

// A Way is one direction of a link.
type Way struct {
	mu      sync.Mutex
	changed sync.Cond
	queue   []message
	ended   bool // nothing more comes
	left    int  // how many messages may pass, or All
}

type message struct {
	octets []byte
	kind   byte // its first octet, 0 for the first message of a client, which has none
	due    time.Time
}

func newWay() *Way {
	w := &Way{left: All}
	w.changed.L = &w.mu
	return w
}

// Ended reports whether nothing comes any more, and nothing waits.
func (w *Way) Ended() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended && len(w.queue) == 0
}

// Let makes n more messages pass, and holds those after them, or makes all pass.
func (w *Way) Let(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = n
	w.changed.Broadcast()
}

// Held returns the kinds of the messages that wait, in their order.
func (w *Way) Held() (kinds string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.queue {
		kinds += string(rune(m.kind))
	}
	return kinds
}

// read takes messages until the sender ends.
func (w *Way) read(from io.Reader, untyped bool, delay func() time.Duration) {
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended = true
		w.changed.Broadcast()
	}()
	in := bufio.NewReader(from)
	var due time.Time
	for ; ; untyped = false {
		m := message{octets: make([]byte, 4, 5)}
		if !untyped {
			m.octets = m.octets[:5]
		}
		if _, err := io.ReadFull(in, m.octets); err != nil {
			return
		}
		length := int(binary.BigEndian.Uint32(m.octets[len(m.octets)-4:])) // with itself
		if !untyped {
			m.kind = m.octets[0]
		}
		rest := make([]byte, length-4)
		if _, err := io.ReadFull(in, rest); err != nil {
			return
		}
		m.octets = append(m.octets, rest...)
		if m.due = time.Now().Add(delay()); m.due.Before(due) {
			m.due = due // one that is later does not overtake
		}
		due = m.due
		w.mu.Lock()
		w.queue = append(w.queue, m)
		w.changed.Broadcast()
		w.mu.Unlock()
	}
}

// write delivers messages until no more come, and then ends the connection.
func (w *Way) write(to net.Conn) {
	defer func() { _ = to.Close() }() // the other end may have ended first
	for {
		m, ok := w.next()
		if !ok {
			return
		}
		time.Sleep(time.Until(m.due))
		_, _ = to.Write(m.octets) // it may have ended
	}
}

// next returns the next message when it may pass.
func (w *Way) next() (m message, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for (len(w.queue) == 0 && !w.ended) || w.left == 0 {
		w.changed.Wait()
	}
	if len(w.queue) == 0 {
		return m, false
	}
	if w.left > 0 {
		w.left--
	}
	m, w.queue = w.queue[0], w.queue[1:]
	return m, true
}
