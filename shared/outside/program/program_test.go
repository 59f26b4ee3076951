package program_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/outside/program"
)

// within bounds what must happen, on a machine that has other things to do.
const within = time.Minute

// daemon is the daemon's end of a connection.
type daemon struct {
	t      testing.TB
	conn   net.Conn
	buf    []byte
	number uint64
}

// dial connects to a program as soon as it listens, and says hello.
func dial(t testing.TB, socket, name string) (d *daemon, hello outside.Hello) {
	t.Helper()
	d = &daemon{t: t}
	var err error
	for deadline := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		if d.conn, err = net.Dial("unix", socket); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = d.conn.Close() })
	if err := d.conn.SetDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	d.write((&outside.Hello{Daemon: "dhcp4d", Name: name, Highest: outside.Version, Timeout: 300, Points: []string{"subnet4_select"}}).Append(nil))
	r := d.next()
	if r.Kind != outside.KindHello {
		t.Fatalf("the program begins with a record of kind %v", r.Kind)
	}
	return d, r.Hello()
}

func (d *daemon) write(b []byte) {
	d.t.Helper()
	if _, err := d.conn.Write(b); err != nil {
		d.t.Fatal(err)
	}
}

// next returns the next record of the program.
func (d *daemon) next() outside.Record {
	d.t.Helper()
	chunk := make([]byte, 4096)
	for {
		record, whole, wrong := outside.Next(d.buf, outside.MaxFromProgram)
		if wrong != outside.None {
			d.t.Fatal(wrong)
		}
		if whole {
			d.buf = d.buf[len(record):]
			r, wrong := outside.Parse(record)
			if wrong != outside.None {
				d.t.Fatal(wrong)
			}
			return r
		}
		n, err := d.conn.Read(chunk)
		if err != nil {
			d.t.Fatal(err)
		}
		d.buf = append(d.buf, chunk[:n]...)
	}
}

// ask puts a question and returns the answer to it.
func (d *daemon) ask(q outside.Query) outside.Answer {
	d.t.Helper()
	d.number++
	q.Number = d.number
	d.write(q.Append(nil))
	r := d.next()
	if r.Kind != outside.KindAnswer || r.Number != d.number {
		d.t.Fatalf("the answer to question %d is %v %d", d.number, r.Kind, r.Number)
	}
	return r.Answer()
}

// tell tells of events with the cursors 1 to n.
func (d *daemon) tell(from, to int) {
	d.t.Helper()
	var b []byte
	for i := from; i <= to; i++ {
		b = (&outside.Event{Cursor: fmt.Append(nil, i), Event: "allocated", Time: uint64(i)}).Append(b)
	}
	d.write(b)
}

// doneTo waits until the program is done with events up to a cursor.
func (d *daemon) doneTo(n int) {
	d.t.Helper()
	for {
		if r := d.next(); r.Kind == outside.KindDone && string(cursorOf(r)) == fmt.Sprint(n) {
			return
		}
	}
}

func cursorOf(r outside.Record) []byte {
	for code, value := range r.Fields() {
		if code == outside.FieldCursor {
			return value
		}
	}
	return nil
}

// start runs a program until the test ends.
func start(t testing.TB, p *program.Program) (stop func()) {
	t.Helper()
	if p.Socket == "" {
		p.Socket = filepath.Join(t.TempDir(), "socket")
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// allow drops what is not from port-7.
func allow(q *outside.Query) outside.Answer {
	switch string(q.InterfaceID) {
	case "port-7":
		return outside.Answer{Verdict: outside.Continue, Keep: 60, Classes: []string{"paid"}}
	case "panic":
		panic("poisoned")
	case "none":
		return outside.Answer{}
	case "long":
		return outside.Answer{Verdict: outside.Continue, Options: []outside.Option{{Code: 43, Value: make([]byte, 5000)}}}
	}
	return outside.Answer{Verdict: outside.Drop, Reason: "unpaid"}
}

func TestQuestionsAreAnswered(t *testing.T) {
	for _, workers := range []int{0, 4} {
		t.Run(fmt.Sprintf("with %d workers", workers), func(t *testing.T) {
			p := &program.Program{Name: "allow", Decide: allow, Workers: workers}
			start(t, p)
			d, hello := dial(t, p.Socket, "")
			if hello.Name != "allow" || hello.Events != outside.NoEvents {
				t.Errorf("its hello is %+v", hello)
			}
			if a := d.ask(outside.Query{InterfaceID: []byte("port-7")}); a.Verdict != outside.Continue || a.Keep != 60 || len(a.Classes) != 1 {
				t.Errorf("port-7: %+v", a)
			}
			for i, id := range []string{"panic", "none", "long"} { // none of these is answered
				d.write((&outside.Query{Number: 1000 + uint64(i), InterfaceID: []byte(id)}).Append(nil))
			}
			if a := d.ask(outside.Query{InterfaceID: []byte("port-8")}); a.Verdict != outside.Drop || a.Reason != "unpaid" {
				t.Errorf("port-8: %+v", a)
			}
			// Many in one write, cut anywhere.
			var many []byte
			for i := range uint64(500) {
				many = (&outside.Query{Number: 5000 + i, InterfaceID: []byte("port-7")}).Append(many)
			}
			d.write(many[:1001])
			d.write(many[1001:])
			seen := map[uint64]bool{}
			for range 500 {
				seen[d.next().Number] = true
			}
			if len(seen) != 500 || !seen[5000] || !seen[5499] {
				t.Errorf("%d of 500 questions are answered", len(seen))
			}
			d.write(outside.AppendField(outside.Begin(nil, 99, 0), 99, nil)[:16]) // a kind of a later version, which it skips
		})
	}
}

// TestWhatNobodyWaitsForIsNotDecided: while the workers are busy, the program reads on, and what
// has waited for longer than dhcp4d does is left out.
func TestWhatNobodyWaitsForIsNotDecided(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{}, 64)
	var decided atomic.Int64
	p := &program.Program{Workers: 1, Decide: func(q *outside.Query) outside.Answer {
		decided.Add(1)
		if string(q.Key) == "hold" {
			held <- struct{}{}
			<-hold
		}
		return outside.Answer{Verdict: outside.Continue}
	}}
	start(t, p)
	d, _ := dial(t, p.Socket, "") // which says that it waits for 300 ms
	d.write((&outside.Query{Number: 1, Key: []byte("hold")}).Append(nil))
	<-held
	var many []byte
	for i := range uint64(20_000) { // more than are kept
		many = (&outside.Query{Number: 100 + i, Message: make([]byte, 300)}).Append(many)
	}
	// The answer to another hello says that all of them have been read.
	d.write((&outside.Hello{Daemon: "dhcp4d", Timeout: 300}).Append(many))
	if r := d.next(); r.Kind != outside.KindHello {
		t.Fatalf("%v %d comes before the hello", r.Kind, r.Number)
	}
	time.Sleep(400 * time.Millisecond) // longer than the daemon waits
	close(hold)
	if r := d.next(); r.Number != 1 {
		t.Errorf("the first answer is %d", r.Number)
	}
	asked := uint64(50_000)
	for deadline := time.Now().Add(within); ; asked++ {
		d.write((&outside.Query{Number: asked}).Append(nil))
		if err := d.conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := d.conn.Read(make([]byte, 4096)); err == nil && n > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a new question is not answered")
		}
	}
	if n, most := decided.Load(), int64(asked-50_000)+2; n > most {
		t.Errorf("%d questions were decided, want at most %d", n, most)
	}
}

func TestAProgramIsReplacedWhileItRuns(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	named := func(name string) *program.Program { return &program.Program{Socket: socket, Name: name, Decide: allow} }
	stop := start(t, named("old"))
	old, hello := dial(t, socket, "")
	if hello.Name != "old" {
		t.Fatalf("%+v", hello)
	}
	start(t, named("new"))
	for deadline := time.Now().Add(within); ; {
		if _, hello := dial(t, socket, ""); hello.Name == "new" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the new program does not take the place of the socket")
		}
	}
	if a := old.ask(outside.Query{InterfaceID: []byte("port-7")}); a.Verdict != outside.Continue {
		t.Errorf("the old one answers %+v", a)
	}
	stop()
	if _, err := old.conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the old one is stopped, and its connection gives %v", err)
	}
	if _, hello := dial(t, socket, ""); hello.Name != "new" {
		t.Errorf("after the end of the old one, %q listens", hello.Name)
	}
}

func TestWrongRecordsEndTheirConnectionOnly(t *testing.T) {
	p := &program.Program{Decide: allow}
	start(t, p)
	healthy, _ := dial(t, p.Socket, "")
	hello := (&outside.Hello{Daemon: "dhcp4d"}).Append(nil)
	later := bytes.Clone(hello)
	later[4] = 2
	for name, octets := range map[string][]byte{
		"no hello":             (&outside.Query{Number: 1}).Append(nil),
		"another version":      later,
		"too long":             {0xff, 0xff, 0xff, 0xff},
		"lengths do not agree": append(bytes.Clone(hello[:16]), 0, 1, 0xff, 0xff),
	} {
		conn, err := net.Dial("unix", p.Socket)
		if err != nil {
			t.Fatal(err)
		}
		if name == "lengths do not agree" {
			octets[3] = byte(len(octets) - 4)
		}
		if err := errors.Join(conn.SetDeadline(time.Now().Add(within)), write(conn, octets)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, net.ErrClosed) && errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection stays: %v", name, err)
		}
		_ = conn.Close()
	}
	if a := healthy.ask(outside.Query{InterfaceID: []byte("port-7")}); a.Verdict != outside.Continue {
		t.Errorf("the other connection gets %+v", a)
	}
}

func write(w io.Writer, b []byte) error {
	_, err := w.Write(b)
	return err
}

func TestForget(t *testing.T) {
	p := &program.Program{Decide: allow}
	start(t, p)
	d, _ := dial(t, p.Socket, "")
	p.Forget([]byte("port-7"))
	if r := d.next(); r.Kind != outside.KindForget {
		t.Errorf("%v", r.Kind)
	}
}

func TestEventsComeInOrderAndAreKeptInMind(t *testing.T) {
	var mu sync.Mutex
	var told []uint64
	fails := 2
	cursor := filepath.Join(t.TempDir(), "cursor")
	fresh := func() *program.Program {
		return &program.Program{Socket: filepath.Join(filepath.Dir(cursor), "socket"), Cursor: cursor, Told: func(e *outside.Event) error {
			mu.Lock()
			defer mu.Unlock()
			if e.Time == 3 && fails > 0 {
				if fails--; fails == 0 {
					panic("once")
				}
				return errors.New("not now")
			}
			told = append(told, e.Time)
			return nil
		}}
	}
	first := fresh()
	stop := start(t, first)
	d, hello := dial(t, first.Socket, "north")
	if hello.Events != outside.AllEvents || hello.Cursor != nil {
		t.Errorf("at first its hello is %+v", hello)
	}
	d.tell(1, 600)
	d.doneTo(600)
	stop()
	second := fresh()
	start(t, second)
	d, hello = dial(t, second.Socket, "north")
	if hello.Events != outside.AllEvents || string(hello.Cursor) != "600" {
		t.Errorf("after a restart its hello is %+v", hello)
	}
	if _, hello := dial(t, second.Socket, "south"); hello.Cursor != nil {
		t.Errorf("to another daemon its hello is %+v", hello)
	}
	d.tell(601, 601)
	d.doneTo(601)
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 601 {
		t.Fatalf("%d events are told", len(told))
	}
	for i, n := range told {
		if n != uint64(i+1) {
			t.Fatalf("event %d is told in place of %d", n, i+1)
		}
	}
}

func TestMoreEventsThanAProgramTakesComeAgain(t *testing.T) {
	hold := make(chan struct{})
	p := &program.Program{Cursor: filepath.Join(t.TempDir(), "cursor"), Decide: allow, Told: func(*outside.Event) error {
		<-hold
		return nil
	}}
	start(t, p)
	d, _ := dial(t, p.Socket, "")
	const most = 1<<14 + 1 // the queue, and the one in hand
	d.tell(1, most+5000)
	if a := d.ask(outside.Query{InterfaceID: []byte("port-7")}); a.Verdict != outside.Continue {
		t.Errorf("meanwhile a question gets %+v", a)
	}
	close(hold)
	if _, err := io.Copy(io.Discard, d.conn); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Fatalf("the connection is not closed: %v", err)
	}
	_, hello := dial(t, p.Socket, "")
	if got := string(hello.Cursor); got != fmt.Sprint(most) && got != fmt.Sprint(most-1) {
		t.Errorf("the next hello has the cursor %q, want %d", got, most)
	}
}

func BenchmarkAnswers(b *testing.B) {
	p := &program.Program{Decide: allow}
	start(b, p)
	d, _ := dial(b, p.Socket, "")
	_ = d.conn.SetDeadline(time.Time{})
	const together = 64
	var many []byte
	for i := range uint64(together) {
		many = (&outside.Query{Number: i, InterfaceID: []byte("port-7"), Message: make([]byte, 300)}).Append(many)
	}
	b.ReportAllocs()
	for b.Loop() {
		d.write(many)
		for range together {
			d.next()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/together, "ns/question")
}
