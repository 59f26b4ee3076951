package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

const (
	readAtOnce   = 4 * outside.MaxFromDaemon
	writeTimeout = 10 * time.Second // a daemon that does not read for so long has hung
	helloWithin  = 5 * time.Second  // who says no hello for so long is no daemon
	maxUnsent    = 1 << 24          // octets
	maxWaiting   = 1 << 14          // questions that wait for a worker; others get no answer
)

// connection is a connection to one daemon.
type connection struct {
	program *Program
	conn    net.Conn
	log     *slog.Logger

	mu      sync.Mutex
	unsent  []byte
	spare   []byte // memory for unsent
	sending bool

	// Of the goroutine that reads.
	greeted   bool
	patience  time.Duration // for which the daemon waits for an answer; 0: not known
	questions chan question // for the workers; nil: the reader itself decides
	answers   []byte        // of the reader, which it sends when it has read all records that came together
	events    *events       // nil: the program is not told of any
	running   sync.WaitGroup
}

// question waits for a worker.
type question struct {
	record   []byte
	asked    time.Time
	patience time.Duration // of the daemon
}

// run reads records until the connection ends.
func (c *connection) run(ctx context.Context) error {
	defer c.running.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer c.conn.Close() //nolint:errcheck // there is nobody to tell
	if n := c.program.Workers; n > 0 && c.program.Decide != nil {
		c.startWorkers(n)
		defer close(c.questions)
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(helloWithin)); err != nil {
		return err
	}
	for buf, fill := make([]byte, readAtOnce), 0; ; {
		n, err := c.conn.Read(buf[fill:])
		rest, wrong := c.takeAll(ctx, buf[:fill+n])
		if wrong != nil {
			return wrong
		}
		c.send(c.answers)
		c.answers = c.answers[:0]
		fill = copy(buf, rest)
		switch {
		case errors.Is(err, io.EOF) && fill > 0:
			return outside.CutOff
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// startWorkers starts the goroutines that decide. They end when the channel of questions is closed.
func (c *connection) startWorkers(n int) {
	c.questions = make(chan question, maxWaiting)
	for range n {
		c.running.Go(func() {
			for q := range c.questions {
				if q.patience == 0 || time.Since(q.asked) < q.patience {
					c.send(c.decide(nil, q.record))
				}
			}
		})
	}
}

// takeAll takes all records that are whole, and returns the rest.
func (c *connection) takeAll(ctx context.Context, octets []byte) (rest []byte, err error) {
	for {
		record, whole, wrong := outside.Next(octets, outside.MaxFromDaemon)
		if wrong != outside.None {
			return nil, wrong
		}
		if !whole {
			return octets, nil
		}
		octets = octets[len(record):]
		if err := c.take(ctx, record); err != nil {
			return nil, err
		}
	}
}

// take does what a record asks for.
func (c *connection) take(ctx context.Context, record []byte) error {
	r, wrong := outside.Parse(record)
	switch {
	case wrong != outside.None:
		return wrong
	case !c.greeted && r.Kind != outside.KindHello:
		return outside.NoHello
	case r.Kind == outside.KindHello:
		return c.hello(ctx, r.Hello())
	case r.Kind == outside.KindQuery && c.questions != nil:
		select {
		case c.questions <- question{bytes.Clone(record), time.Now(), c.patience}:
		default: // the reader must not wait: the daemon would take us for stuck
		}
	case r.Kind == outside.KindQuery && c.program.Decide != nil:
		c.answers = c.decide(c.answers, record)
	case r.Kind == outside.KindEvent && c.events != nil:
		c.events.add(bytes.Clone(record))
	}
	return nil
}

// hello answers the hello of the daemon. The first one also begins the events.
func (c *connection) hello(ctx context.Context, theirs outside.Hello) error {
	c.greeted = true
	if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	c.patience = time.Duration(theirs.Timeout) * time.Millisecond
	c.log = c.log.With("daemon", theirs.Daemon+" "+theirs.Name)
	ours := outside.Hello{Name: c.program.Name}
	if c.program.Told != nil && c.events == nil {
		c.events = newEvents(c, theirs.Name)
		ours.Events, ours.Cursor = c.events.wants()
		c.running.Go(func() { c.events.run(ctx) })
	}
	c.send(ours.Append(nil))
	if c.program.ForgetAll {
		c.send(outside.AppendForget(nil, nil))
	}
	return nil
}

// decide appends the answer to the question in a record, if there is one.
func (c *connection) decide(dst, record []byte) (answer []byte) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("Decide has panicked, its query gets no answer", "panic", p, "stack", string(debug.Stack()))
			answer = dst
		}
	}()
	r, wrong := outside.Parse(record)
	if wrong != outside.None {
		return dst
	}
	q := r.Query()
	a := c.program.Decide(&q)
	if a.Verdict == 0 {
		return dst
	}
	a.Number = q.Number
	start := len(dst)
	if answer = a.Append(dst); len(answer)-start > outside.MaxFromProgram {
		c.log.Error("an answer is too long and is not sent", "octets", len(answer)-start, "most",
			outside.MaxFromProgram)
		return dst
	}
	return answer
}

// send sends records. Whoever comes while others are being sent leaves its own to the one who
// sends.
func (c *connection) send(records []byte) {
	if len(records) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unsent = append(c.unsent, records...); c.sending {
		if len(c.unsent) > maxUnsent {
			_ = c.conn.Close() // the daemon reads nothing; run returns the error
		}
		return
	}
	c.sending = true
	for len(c.unsent) > 0 {
		out := c.unsent
		c.unsent, c.spare = c.spare[:0], out
		c.mu.Unlock()
		err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err == nil {
			_, err = c.conn.Write(out)
		}
		if err != nil {
			_ = c.conn.Close()
		}
		c.mu.Lock()
	}
	c.sending = false
}

// told calls Told, and turns a panic into an error.
func (p *Program) told(e *outside.Event) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	p.telling.Lock()
	defer p.telling.Unlock()
	return p.Told(e)
}
