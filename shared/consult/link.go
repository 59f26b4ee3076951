// Package consult is the way between the packet loop of a daemon and a program of the operator's,
// which package outside describes: the connection ([Link]), and the verdicts that are known
// ([Cache]).
//
// The loop never waits for the program. It writes questions to the socket as far as that takes them
// at once. It leaves the rest in memory, and a goroutine of the link writes that. Another goroutine
// reads answers into memory, and the loop takes them from there. The lock of these memories is held
// only to exchange them, and while the loop writes, which does not wait.
//
// # What a program can cost
//
// A question has a number, and [Link.Ask] notes it. The goroutine that reads compares the number of
// each answer with these notes, without a lock. So whatever a program sends, the loop sees at most
// one answer for each question of its own, and a bounded number of records that take verdicts back.
package consult

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/parking"
	"github.com/dhcp4o6/dhcp4o6/shared/spool"
)

const (
	// maxUnwritten is the most octets of questions that wait to be written.
	maxUnwritten = 4 << 20
	// stuckAfter is how long one write may take.
	stuckAfter = 2 * time.Second
	// HelloWithin is how long the program may take for its hello.
	HelloWithin = 5 * time.Second
	// maxUnasked is the most records a second that are no answer to a question of ours.
	maxUnasked = 10_000
	// maxWaiting is the most records that wait for the loop.
	maxWaiting = 2 * parking.Slots
	// The pause before the next connection, doubled each time, is between firstPause and lastPause;
	// after a record for which we close, it is at least wrongPause.
	firstPause = 10 * time.Millisecond
	lastPause  = time.Second
	wrongPause = time.Second
)

// began is the start of all measurements of time, which no clock of the wall moves.
var began = time.Now()

// Now is the time that the package goes by.
func Now() time.Duration { return time.Since(began) }

// Options are what a link is made from.
type Options struct {
	Path    string        // of the program's socket
	Hello   outside.Hello // ours
	Log     *slog.Logger
	Metrics *Metrics
	Events  *spool.Spool // nil: none are told
}

// Arrival is what has come from the program.
type Arrival struct {
	Number uint64 // of the question; 0: a verdict is taken back
	Answer outside.Answer
	Forget []byte // the key; nil: all
}

// The states of a question, in the lowest bits of its note.
const (
	open = 1 + iota
	answered
	shut
	states = 2 // bits
)

// Link is the connection to the program. It connects again whenever the connection has ended.
type Link struct {
	o        Options
	patience patience
	ctx      context.Context
	cancel   context.CancelFunc
	ended    sync.WaitGroup

	unnotify func() // of events; nil: there are none

	wake atomic.Pointer[func()]
	down atomic.Int64 // Now when there was no connection any more; 0: there is one

	// Questions by slot: number<<states | state. The loop sets them, the reader compares.
	notes [parking.Slots]atomic.Uint64
	asked atomic.Uint64 // the highest number

	unsent []byte // of the loop, since the last Flush

	mu      sync.Mutex
	direct  *direct       // for the loop to write to the connection at hand; nil: there is none
	writing bool          // the goroutine that writes has something in hand
	out     []byte        // to be written to the connection at hand
	write   chan struct{} // 1: there is something
	events  chan struct{} // 1: there may be events to tell
	arrived []Arrival
	met     bool // the program has said hello since the loop last asked
}

// NewLink makes a link and begins to connect.
func NewLink(o Options) *Link { return newLink(o, patience{write: stuckAfter, hello: HelloWithin}) }

// patience is how long the program may take. Tests that do not test it have more of it.
type patience struct{ write, hello time.Duration }

func newLink(o Options, p patience) *Link {
	l := &Link{o: o, patience: p, write: make(chan struct{}, 1), events: make(chan struct{}, 1)}
	if o.Events != nil {
		l.unnotify = o.Events.Notify(l.more)
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.down.Store(int64(max(Now(), 1)))
	o.Metrics.away.Inc() // a reload may have another link end meanwhile, with the same metrics
	l.ended.Go(l.run)
	return l
}

// Close ends the connection for good.
func (l *Link) Close() {
	l.cancel()
	l.ended.Wait()
	if l.unnotify != nil {
		l.unnotify()
	}
	l.o.Metrics.away.Dec() // nobody is missed any more
}

// more has the goroutine that writes look for events.
func (l *Link) more() {
	select {
	case l.events <- struct{}{}:
	default:
	}
}

// Wakes sets what wakes the loop when there is something for it.
func (l *Link) Wakes(wake func()) { l.wake.Store(&wake) }

// Away returns how long there has been no program to ask, 0 if there is one.
func (l *Link) Away() time.Duration {
	down := l.down.Load()
	if down == 0 {
		return 0
	}
	return max(Now()-time.Duration(down), 1)
}

// Ask puts a question, the record of which has this number. It returns false if the program is so
// far behind that no more questions can wait. Without a connection it only notes the number: the
// question is put again when there is one.
func (l *Link) Ask(number uint64, question []byte) bool {
	if len(l.unsent)+len(question) > maxUnwritten {
		return false
	}
	l.notes[number%parking.Slots].Store(number<<states | open)
	l.asked.Store(max(l.asked.Load(), number))
	l.unsent = append(l.unsent, question...)
	return true
}

// Shut notes that an answer would come too late.
func (l *Link) Shut(number uint64) {
	l.notes[number%parking.Slots].CompareAndSwap(number<<states|open, number<<states|shut)
}

// Flush sends the questions: at once, or as soon as the goroutine that writes can.
func (l *Link) Flush() {
	if len(l.unsent) == 0 {
		return
	}
	l.mu.Lock()
	rest := l.unsent
	if l.direct != nil && !l.writing && len(l.out) == 0 {
		rest = rest[l.direct.write(rest):]
	}
	later := len(rest) > 0 && l.direct != nil && len(l.out)+len(rest) <= maxUnwritten
	if later {
		l.out = append(l.out, rest...)
	}
	l.mu.Unlock()
	l.unsent = l.unsent[:0]
	if !later {
		return
	}
	select {
	case l.write <- struct{}{}:
	default:
	}
}

// direct writes to a connection without waiting.
type direct struct {
	raw    syscall.RawConn
	octets []byte
	n      int
	send   func(fd uintptr) // built once: a closure per call would allocate
}

func newDirect(c *net.UnixConn) (*direct, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	d := &direct{raw: raw}
	d.send = func(fd uintptr) {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&d.octets[0])),
			uintptr(len(d.octets)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno == 0 { // else the goroutine that writes meets the error
			d.n = int(n)
		}
	}
	return d, nil
}

// write returns how many octets the socket has taken.
func (d *direct) write(octets []byte) int {
	d.octets, d.n = octets, 0
	_ = d.raw.Control(d.send)
	d.octets = nil
	return d.n
}

// Take appends what has come, and reports whether there is a new connection, to which all questions
// without an answer must be put again.
func (l *Link) Take(to []Arrival) (_ []Arrival, again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	to = append(to, l.arrived...)
	clear(l.arrived)
	l.arrived, again, l.met = l.arrived[:0], l.met, false
	return to, again
}

// tell wakes the loop.
func (l *Link) tell() {
	if wake := l.wake.Load(); wake != nil {
		(*wake)()
	}
}

// run connects again and again.
func (l *Link) run() {
	pause := firstPause
	said := ""
	for l.ctx.Err() == nil {
		met, err := l.connection()
		if l.ctx.Err() != nil {
			return
		}
		var wrong outside.Wrong
		if errors.As(err, &wrong) {
			l.o.Metrics.Wrong(wrong)
		}
		if met {
			pause = firstPause
		}
		if wrong.Closes() {
			pause = max(pause, wrongPause)
		}
		if met || said != err.Error() {
			said = err.Error()
			l.o.Log.Warn("the program outside is away, connecting again", "socket", l.o.Path, "error", err)
		}
		select {
		case <-l.ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// connection makes one connection and returns why it has ended, and whether the program has said
// hello.
func (l *Link) connection() (met bool, err error) {
	var d net.Dialer
	made, err := d.DialContext(l.ctx, "unix", l.o.Path)
	if err != nil {
		return false, err
	}
	c := made.(*net.UnixConn)
	stop := context.AfterFunc(l.ctx, func() { _ = c.Close() })
	defer stop()
	over := make(chan struct{})
	var writer sync.WaitGroup
	r := reader{link: l, conn: c}
	_ = c.SetDeadline(time.Now().Add(l.patience.hello))
	if _, err = c.Write(l.o.Hello.Append(nil)); err == nil {
		err = r.hello()
	}
	var direct *direct
	if err == nil {
		direct, err = newDirect(c)
	}
	if err != nil {
		_ = c.Close()
		return false, err
	}
	_ = c.SetDeadline(time.Time{})
	l.mu.Lock()
	l.out, l.met, l.direct, l.writing = l.out[:0], true, direct, false
	l.down.Store(0)
	l.mu.Unlock()
	l.o.Metrics.connections.Inc()
	l.o.Metrics.away.Dec()
	l.o.Log.Info("the program outside is there", "socket", l.o.Path, "program", r.name)
	l.tell()

	var stuck atomic.Bool
	writer.Go(func() {
		if l.writeTo(c, over, r.feed) {
			stuck.Store(true)
		}
		_ = c.Close()
	})
	err = r.run()
	l.mu.Lock()
	l.down.Store(int64(Now()))
	l.direct = nil
	l.mu.Unlock()
	l.o.Metrics.away.Inc()
	close(over)
	_ = c.Close()
	writer.Wait()
	if stuck.Load() {
		err = outside.Stuck
	}
	return true, err
}

// writeTo writes what the loop leaves to it, and events, until the connection is over. It reports
// whether the program does not read.
func (l *Link) writeTo(c net.Conn, over chan struct{}, events *feed) (stuck bool) {
	write := func(octets []byte) error {
		if len(octets) == 0 {
			return nil
		}
		_ = c.SetWriteDeadline(time.Now().Add(l.patience.write))
		_, err := c.Write(octets)
		return err
	}
	var octets []byte
	l.more()
	for {
		tell := false
		select {
		case <-over:
			return false
		case <-l.events:
			tell = events != nil
		case <-l.write:
		}
		l.mu.Lock()
		octets, l.out, l.writing = l.out, octets[:0], true
		l.mu.Unlock()
		err := write(octets) // first, as it may begin in the middle of a record
		if tell && err == nil {
			records := l.nextEvents(events)
			if len(records) > 0 {
				l.more()
			}
			err = write(records)
		}
		if err != nil {
			return errors.Is(err, os.ErrDeadlineExceeded)
		}
		l.mu.Lock()
		l.writing = false
		l.mu.Unlock()
	}
}

// reader reads the records of one connection.
type reader struct {
	link *Link
	conn net.Conn
	name string
	feed *feed // nil: the program wants no events
	buf  []byte
	some []Arrival // to be handed over after a read

	second  time.Duration
	unasked int
}

// more reads once.
func (r *reader) more() error {
	if r.buf == nil {
		r.buf = make([]byte, 0, 64<<10)
	}
	n, err := r.conn.Read(r.buf[len(r.buf):cap(r.buf)])
	r.buf = r.buf[:len(r.buf)+n]
	if n > 0 {
		return nil
	}
	// A program that ends without having read all leaves a reset in place of an end.
	if ended := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET); ended && len(r.buf) > 0 {
		return outside.CutOff
	}
	return err
}

// hello waits for the program's hello.
func (r *reader) hello() error {
	for {
		record, whole, wrong := outside.Next(r.buf, outside.MaxFromProgram)
		if wrong != outside.None {
			return wrong
		}
		if whole {
			read, wrong := outside.Parse(record)
			switch {
			case wrong != outside.None:
				return wrong
			case read.Kind != outside.KindHello:
				return outside.NoHello
			}
			hello := read.Hello()
			r.name, r.feed = hello.Name, r.link.feedFor(&hello)
			r.keep(len(record))
			return nil
		}
		if err := r.more(); errors.Is(err, os.ErrDeadlineExceeded) {
			return outside.NoHello
		} else if err != nil {
			return err
		}
	}
}

// keep removes the first n octets of the buffer.
func (r *reader) keep(n int) { r.buf = r.buf[:copy(r.buf, r.buf[n:])] }

// run reads until the connection ends.
func (r *reader) run() error {
	for {
		at := 0
		for {
			record, whole, wrong := outside.Next(r.buf[at:], outside.MaxFromProgram)
			if wrong == outside.None && whole {
				wrong = r.take(record)
			}
			if wrong.Closes() {
				r.deliver()
				return wrong
			}
			if !whole {
				break
			}
			if wrong != outside.None {
				r.link.o.Metrics.Wrong(wrong)
			}
			at += len(record)
		}
		r.keep(at)
		if !r.deliver() {
			return outside.Flood
		}
		if err := r.more(); err != nil {
			return err
		}
	}
}

// take takes one record.
func (r *reader) take(record []byte) outside.Wrong {
	read, wrong := outside.Parse(record)
	if wrong != outside.None {
		return wrong
	}
	switch read.Kind {
	case outside.KindAnswer:
		if wrong = r.answer(read); wrong == outside.None || wrong == outside.Late {
			return wrong
		}
	case outside.KindForget:
		r.some = append(r.some, Arrival{Forget: keyOf(read)})
	case outside.KindDone:
		told, first := r.link.done(r.feed, read)
		if first {
			return outside.None
		}
		if !told {
			wrong = outside.Nobody
		}
	default:
		wrong = outside.UnknownKind
	}
	if now := Now(); now-r.second >= time.Second {
		r.second, r.unasked = now, 0
	}
	if r.unasked++; r.unasked > maxUnasked {
		return outside.Flood
	}
	return wrong
}

// keyOf returns a copy of the key of a record, nil if it has none.
func keyOf(r outside.Record) (key []byte) {
	for code, value := range r.Fields() {
		if code == outside.FieldKey {
			key = append([]byte{}, value...)
		}
	}
	return key
}

// answer takes an answer, if its question waits for one.
func (r *reader) answer(read outside.Record) outside.Wrong {
	note := &r.link.notes[read.Number%parking.Slots]
	switch at := note.Load(); {
	case read.Number == 0 || read.Number > r.link.asked.Load() || at == 0:
		return outside.Nobody
	case at>>states < read.Number:
		return outside.Nobody
	case at>>states > read.Number, at&(1<<states-1) == shut:
		return outside.Late
	case at&(1<<states-1) == answered:
		return outside.Twice
	}
	a := read.Answer()
	if a.Verdict != outside.Continue && a.Verdict != outside.Drop {
		return outside.NoVerdict
	}
	if !note.CompareAndSwap(read.Number<<states|open, read.Number<<states|answered) {
		return outside.Late
	}
	for i := range a.Options { // the answer outlives the buffer
		a.Options[i].Value = append([]byte{}, a.Options[i].Value...)
	}
	r.some = append(r.some, Arrival{Number: read.Number, Answer: a})
	return outside.None
}

// deliver hands over what has been read. It returns false if the loop has not taken far more than
// the answers to all questions that can be open.
func (r *reader) deliver() bool {
	if len(r.some) == 0 {
		return true
	}
	r.link.mu.Lock()
	r.link.arrived = append(r.link.arrived, r.some...)
	waiting := len(r.link.arrived)
	r.link.mu.Unlock()
	clear(r.some)
	r.some = r.some[:0]
	r.link.tell()
	return waiting < maxWaiting
}
