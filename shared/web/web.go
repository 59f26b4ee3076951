// Package web serves HTTP within bounds, for every listener of both daemons: metrics and health,
// profiles, and the API over leases.
//
// Whoever reaches a listener may open any number of connections, never send a request, and never
// read an answer. So the number of connections is bounded, and so is every wait for the other side.
// A connection beyond the bound takes the place of the oldest one: those that idle or hang are
// closed first, and somebody with an honest request gets in, unless requests come faster than
// [Rate]. The rates of connections and of requests are bounded too, because each takes time that
// packets need. Whoever comes too fast waits.
package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Connections is how many connections a listener has at the most. Each one costs some 20 kB,
// and as much again as the answer that its client has not read.
const Connections = 128

// Rate is how many connections a listener takes in a second at the most, and how many requests.
// One of either costs some 100 µs of a processor. After a pause a listener takes as many as in a
// second at once.
const Rate = 500

// The longest waits for a client.
const (
	readHeaderTime = 5 * time.Second  // for the head of a request
	readTime       = 10 * time.Second // for a whole request
	idleTime       = 2 * time.Minute  // for the next request
	// WriteTime is how long a client may take to read an answer, from the end of its request's
	// head. A handler with a longer answer moves its deadline on with an [http.ResponseController].
	WriteTime = 30 * time.Second
	stopTime  = time.Second // for answers under way when the server stops
)

// writeBuffer is how many octets of answers the kernel keeps for a client that does not read, and
// it takes twice as much memory for them. By itself it would take 4 MB for each connection.
const writeBuffer = 64 << 10

// maxHeader is the longest head of a request, in octets.
const maxHeader = 16 << 10

// Server serves the connections of one listener. Make it with [New].
type Server struct {
	http     http.Server
	listener *bounded
}

// New makes a server for a listener. It logs at debug level what clients do wrong.
func New(l net.Listener, h http.Handler, log *slog.Logger) *Server {
	requests := new(pace)
	return &Server{
		http: http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.wait()
				h.ServeHTTP(w, r)
			}),
			ReadHeaderTimeout: readHeaderTime,
			ReadTimeout:       readTime,
			WriteTimeout:      WriteTime,
			IdleTimeout:       idleTime,
			MaxHeaderBytes:    maxHeader,
			// The server itself does not notice that a connection is closed while it handles a
			// request with many behind it.
			ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				ctx, end := context.WithCancel(ctx)
				c.(*conn).atEnd(end)
				return ctx
			},
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
		listener: &bounded{Listener: l, max: Connections},
	}
}

// Addr is the address that the server listens at.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve serves until the context ends and the answers under way have left, or a second has gone
// by since. It returns nil then, and an error when the listener fails before.
func (s *Server) Serve(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- s.http.Serve(s.listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if s.http.Shutdown(last) != nil {
		_ = s.http.Close() // the connections are gone either way
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// bounded is a listener with at most max open connections.
type bounded struct {
	net.Listener
	max  int
	pace pace

	mu   sync.Mutex
	open []*conn // oldest first
}

// Accept waits for a connection. Where there are max already, it closes the oldest one.
func (b *bounded) Accept() (net.Conn, error) {
	c, err := b.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(writeBuffer) // it fails only for a connection that is gone
	}
	b.pace.wait()
	own := &conn{Conn: c, owner: b}
	var oldest *conn
	b.mu.Lock()
	if len(b.open) == b.max {
		oldest = b.open[0]
	}
	b.open = append(b.open, own)
	b.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close() // it takes itself off the list; the server notices by its next read or write
	}
	return own, nil
}

// conn is a connection that leaves its listener's list when it is closed.
type conn struct {
	net.Conn
	owner *bounded
	once  sync.Once
	gone  bool   // it is closed; guarded by the owner's lock
	end   func() // called when it is closed; guarded likewise
}

// atEnd sets what is called when the connection is closed, or calls it if that has happened.
func (c *conn) atEnd(end func()) {
	c.owner.mu.Lock()
	defer c.owner.mu.Unlock()
	if c.end = end; c.gone {
		end()
	}
}

func (c *conn) Close() error {
	c.once.Do(func() {
		c.owner.mu.Lock()
		defer c.owner.mu.Unlock()
		if c.gone = true; c.end != nil {
			c.end()
		}
		for i, other := range c.owner.open {
			if other == c {
				c.owner.open = append(c.owner.open[:i], c.owner.open[i+1:]...)
				return
			}
		}
	})
	return c.Conn.Close()
}

// pace lets through Rate callers a second. The zero value is ready.
type pace struct {
	mu   sync.Mutex
	next time.Time // when the next caller is due
}

// wait waits until the caller is due. At most as many wait as there are connections, so none waits
// for longer than a fraction of a second.
func (p *pace) wait() {
	now := time.Now()
	p.mu.Lock()
	if earliest := now.Add(-time.Second); p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(time.Second / Rate)
	due := p.next
	p.mu.Unlock()
	if d := due.Sub(now); d > 0 {
		time.Sleep(d)
	}
}
