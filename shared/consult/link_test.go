package consult

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

// bench is a link, and the socket that its program listens on.
type bench struct {
	t     testing.TB
	on    net.Listener
	link  *Link
	m     *Metrics
	woken chan struct{}
}

func newBench(t testing.TB) *bench {
	t.Helper()
	return newBenchWith(t, time.Minute)
}

// newBenchWith is newBench with a time that one write may take. A link is patient where a test does
// not prove how long it waits, so that a machine that stalls changes nothing.
func newBenchWith(t testing.TB, write time.Duration) *bench {
	t.Helper()
	path := filepath.Join(t.TempDir(), "socket")
	on, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = on.Close() })
	b := &bench{t: t, on: on, m: NewMetrics(prometheus.NewRegistry(), drop.DHCP4D), woken: make(chan struct{}, 1)}
	b.link = newLink(Options{
		Path: path, Log: slog.New(slog.DiscardHandler), Metrics: b.m,
		Hello: outside.Hello{Daemon: "dhcp4d", Highest: outside.Version},
	}, patience{write: write, hello: time.Minute})
	b.link.Wakes(func() {
		select {
		case b.woken <- struct{}{}:
		default:
		}
	})
	t.Cleanup(b.link.Close)
	return b
}

// accept takes the next connection and reads the hello of the daemon.
func (b *bench) accept() net.Conn {
	b.t.Helper()
	c, err := b.on.Accept()
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.Close() })
	if r := b.read(c); r.Kind != outside.KindHello || r.Hello().Daemon != "dhcp4d" {
		b.t.Errorf("first comes %v, %+v", r.Kind, r.Hello())
	}
	return c
}

var hello = (&outside.Hello{Name: "test"}).Append(nil)

// meet is accept with a hello in return.
func (b *bench) meet() net.Conn {
	b.t.Helper()
	c := b.accept()
	b.send(c, hello)
	for again := false; !again; {
		<-b.woken
		_, again = b.link.Take(nil)
	}
	return c
}

func (b *bench) read(c net.Conn) outside.Record {
	b.t.Helper()
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil {
		b.t.Fatal(err)
	}
	record := append(head, make([]byte, int(head[2])<<8|int(head[3]))...)
	if _, err := io.ReadFull(c, record[4:]); err != nil {
		b.t.Fatal(err)
	}
	r, wrong := outside.Parse(record)
	if wrong != outside.None {
		b.t.Fatal(wrong)
	}
	return r
}

func (b *bench) send(c net.Conn, records ...[]byte) {
	b.t.Helper()
	if _, err := c.Write(bytes.Join(records, nil)); err != nil {
		b.t.Error(err)
	}
}

// take waits for something from the program.
func (b *bench) take() []Arrival {
	b.t.Helper()
	for {
		<-b.woken
		if got, _ := b.link.Take(nil); len(got) > 0 {
			return got
		}
	}
}

// counts waits until something wrong is counted once, and that nothing else is.
func (b *bench) counts(want outside.Wrong) {
	b.t.Helper()
	for end := time.Now().Add(time.Minute); testutil.ToFloat64(b.m.wrong[want]) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("%s is never counted", want.Label())
		}
	}
	for w := outside.Wrong(1); w < outside.WrongCount; w++ {
		if n := testutil.ToFloat64(b.m.wrong[w]); (n > 0) != (w == want) {
			b.t.Errorf("%s counts %v", w.Label(), n)
		}
	}
}

// ask puts a question and returns it as the program reads it.
func (b *bench) ask(c net.Conn, number uint64) outside.Query {
	b.t.Helper()
	q := outside.Query{Number: number, Point: "pkt4_receive", Key: []byte("key")}
	if !b.link.Ask(number, q.Append(nil)) {
		b.t.Fatal("not taken")
	}
	b.link.Flush()
	return b.read(c).Query()
}

func yes(number uint64) []byte {
	return (&outside.Answer{Number: number, Verdict: outside.Continue}).Append(nil)
}

func TestAQuestionAndItsAnswer(t *testing.T) {
	b := newBench(t)
	c := b.meet()
	if q := b.ask(c, 1<<14); q.Number != 1<<14 || string(q.Key) != "key" {
		t.Errorf("asked is %+v", q)
	}
	b.send(c, yes(1<<14))
	if got := b.take(); len(got) != 1 || got[0].Number != 1<<14 || got[0].Answer.Verdict != outside.Continue {
		t.Errorf("answered is %+v", got)
	}
	b.send(c, outside.AppendForget(nil, []byte("key")), outside.AppendForget(nil, nil))
	var got []Arrival
	for len(got) < 2 {
		got = append(got, b.take()...)
	}
	if string(got[0].Forget) != "key" || got[1].Forget != nil {
		t.Errorf("forgotten is %+v", got)
	}
}

func TestRecordsThatComeInPieces(t *testing.T) {
	b := newBench(t)
	c := b.accept()
	for _, octet := range hello {
		b.send(c, []byte{octet})
	}
	for again := false; !again; {
		<-b.woken
		_, again = b.link.Take(nil)
	}
	b.ask(c, 1<<14)
	for _, octet := range yes(1 << 14) {
		b.send(c, []byte{octet})
	}
	if got := b.take(); got[0].Number != 1<<14 {
		t.Errorf("answered is %+v", got)
	}
}

// TestWhatClosesTheConnection: each program is left, and the next one is met.
func TestWhatClosesTheConnection(t *testing.T) {
	with := func(at int, octets ...byte) []byte {
		r := yes(1)
		copy(r[at:], octets)
		return r
	}
	for _, tt := range []struct {
		want  outside.Wrong
		sends []byte
		hello bool // before
		ends  bool // the program closes
	}{
		{outside.NoHello, yes(1), false, false},
		{outside.OtherVersion, append(hello[:4:4], append([]byte{2}, hello[5:]...)...), false, false},
		{outside.TooLong, []byte("GET / HTTP/1.1\r\n"), false, false}, // as a length, GET is great
		{outside.OtherVersion, with(4, 9), true, false},
		{outside.TooLong, []byte{0, 0, 16, 0}, true, false},
		{outside.TooLong, []byte{0xff, 0xff, 0xff, 0xff}, true, false},
		{outside.Malformed, []byte{0, 0, 0, 1}, true, false},
		{outside.Malformed, with(18, 0xff), true, false},
		{outside.CutOff, yes(1)[:9], true, true},
	} {
		t.Run(tt.want.Label(), func(t *testing.T) {
			b := newBench(t)
			var c net.Conn
			if tt.hello {
				c = b.meet()
			} else {
				c = b.accept()
			}
			b.send(c, tt.sends)
			if tt.ends {
				_ = c.Close()
			} else if n, err := c.Read(make([]byte, 1)); err == nil {
				t.Errorf("the connection goes on with %d octets", n)
			}
			b.counts(tt.want)
			b.ask(b.meet(), 1<<14)
		})
	}
}

func TestWhatHasNoEffect(t *testing.T) {
	const number = 5 << 14
	answered := func(a outside.Answer) []byte { return a.Append(nil) }
	for _, tt := range []struct {
		want  outside.Wrong
		sends [][]byte
		gets  int
	}{
		{outside.UnknownKind, [][]byte{hello}, 0},
		{outside.UnknownKind, [][]byte{outside.End(outside.Begin(nil, 77, 0), 0)}, 0},
		{outside.Nobody, [][]byte{yes(0)}, 0},
		{outside.Nobody, [][]byte{yes(number + 1)}, 0},
		{outside.Nobody, [][]byte{yes(1 << 63)}, 0},
		{outside.Late, [][]byte{yes(number - 1<<14)}, 0}, // of the same place, earlier
		{outside.Twice, [][]byte{yes(number), yes(number)}, 1},
		{outside.NoVerdict, [][]byte{answered(outside.Answer{Number: number})}, 0},
		{outside.NoVerdict, [][]byte{answered(outside.Answer{Number: number, Verdict: 9})}, 0},
	} {
		t.Run(tt.want.Label(), func(t *testing.T) {
			b := newBench(t)
			c := b.meet()
			b.ask(c, number)
			b.send(c, tt.sends...)
			b.counts(tt.want)
			got := 0
			if tt.gets > 0 {
				got = len(b.take())
			}
			if got != tt.gets {
				t.Errorf("%d answers came, want %d", got, tt.gets)
			}
			b.ask(c, number+2<<14) // the same connection
			b.send(c, yes(number+2<<14))
			b.take()
		})
	}
	t.Run("an answer after its time", func(t *testing.T) {
		b := newBench(t)
		c := b.meet()
		b.ask(c, number)
		b.link.Shut(number)
		b.send(c, yes(number))
		b.counts(outside.Late)
	})
}

func TestAFloodEnds(t *testing.T) {
	b := newBench(t)
	c := b.meet()
	go func() {
		flood := bytes.Repeat(outside.AppendForget(nil, []byte("key")), 1000)
		for {
			if _, err := c.Write(flood); err != nil {
				return
			}
		}
	}()
	b.counts(outside.Flood)
	b.link.mu.Lock()
	waiting := len(b.link.arrived)
	b.link.mu.Unlock()
	if waiting > maxWaiting+1<<13 {
		t.Errorf("%d records wait for the loop", waiting)
	}
	b.ask(b.meet(), 1<<14)
}

func TestAProgramThatReadsNothing(t *testing.T) {
	b := newBenchWith(t, 100*time.Millisecond)
	b.meet()
	question := (&outside.Query{Point: "pkt4_receive", Key: []byte("key"), Message: make([]byte, 4000)}).Append(nil)
	refused := false
	for number := uint64(1 << 14); !refused && number < 1<<14+100_000; number++ {
		refused = !b.link.Ask(number, question) // does not wait
	}
	if !refused {
		t.Error("questions without end are taken")
	}
	b.link.Flush()
	b.counts(outside.Stuck)
	b.link.mu.Lock()
	if n := len(b.link.out); n > maxUnwritten {
		t.Errorf("%d octets wait", n)
	}
	b.link.mu.Unlock()
	b.ask(b.meet(), 1<<14)
}

// TestQuestionsStayWholeWhileTheSocketIsFull: what cannot be written at once leaves in its order.
func TestQuestionsStayWholeWhileTheSocketIsFull(t *testing.T) {
	b := newBench(t)
	c := b.meet()
	const questions = 800
	for i := range uint64(questions) {
		q := outside.Query{Number: i + 1, Point: "pkt4_receive", Key: []byte("key"), Message: make([]byte, 1000+i)}
		if !b.link.Ask(i+1, q.Append(nil)) {
			t.Fatal("not taken")
		}
		b.link.Flush()
	}
	for i := range uint64(questions) {
		if q := b.read(c).Query(); q.Number != i+1 || len(q.Message) != int(1000+i) {
			t.Fatalf("question %d comes as %d, of %d octets", i+1, q.Number, len(q.Message))
		}
	}
}

func TestAway(t *testing.T) {
	b := newBench(t)
	if b.link.Away() == 0 {
		t.Error("there is a program before there is one")
	}
	c := b.meet()
	if away := b.link.Away(); away != 0 {
		t.Errorf("away for %v", away)
	}
	_ = c.Close()
	for b.link.Away() == 0 {
		time.Sleep(time.Millisecond)
	}
	// What is asked meanwhile is not put to the next connection by the link: the loop does that.
	b.link.Ask(1<<14, yes(1))
	b.link.Flush()
	c = b.meet()
	if q := b.ask(c, 2<<14); q.Number != 2<<14 {
		t.Errorf("first comes question %d", q.Number)
	}
}

func TestCache(t *testing.T) {
	c := NewCache(3)
	put := func(key string) { c.Put([]byte(key), 1, outside.Answer{Reason: key}, 0) }
	has := func(key string) bool { return c.Get([]byte(key), 1) != nil }
	put("a")
	put("b")
	put("c")
	if !has("a") || c.Get([]byte("a"), 2) != nil {
		t.Error("a is not there, or for another subnet too")
	}
	put("d")
	if has("b") || !has("a") || !has("c") || !has("d") {
		t.Error("not the least recently used one has gone")
	}
	put("d")
	c.Remove([]byte("d"))
	if has("d") || c.Len() != 2 {
		t.Errorf("d is there, of %d", c.Len())
	}
	c.Put([]byte("long"), 1, outside.Answer{Reason: string(make([]byte, 3*perEntry))}, 0)
	if has("long") || c.octets > 3*perEntry {
		t.Errorf("%d octets are kept, with one verdict that is too long for all", c.octets)
	}
	for i := range 10 * steps { // all are in use, and one goes all the same
		put(string(rune('k' + i)))
		for number := uint32(1); number < c.made; number++ {
			c.at(number).used = true
		}
	}
	if c.Len() != 3 {
		t.Errorf("%d verdicts are kept, of 3", c.Len())
	}
	put("a")
	c.Forget()
	if has("a") || c.octets != 0 || c.Len() != 0 {
		t.Error("not forgotten")
	}
	put("a")
	put("b")
	c.Resize(1)
	if !has("b") || c.Len() != 1 {
		t.Error("not smaller")
	}
	key := []byte("b")
	if n := testing.AllocsPerRun(100, func() { c.Get(key, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A long key begins like a short one, and like another long one.
func TestKeysOfAnyLength(t *testing.T) {
	c := NewCache(4 * chunkSize)
	for n := range 3 * shortKey {
		for _, last := range []byte{0, 1} {
			key := append(make([]byte, n), last)
			if c.Get(key, 1) != nil {
				t.Fatalf("%d octets are known already", len(key))
			}
			c.Put(key, 1, outside.Answer{LeaseTime: uint32(2*n) + uint32(last)}, 0)
		}
	}
	for n := range 3 * shortKey {
		for _, last := range []byte{0, 1} {
			e := c.Get(append(make([]byte, n), last), 1)
			if e == nil || e.Answer.LeaseTime != uint32(2*n)+uint32(last) {
				t.Fatalf("of %d octets: %+v", n+1, e)
			}
		}
	}
}

func TestEntriesAreUsedAgain(t *testing.T) {
	c := NewCache(2 * chunkSize)
	for round := range uint32(4) {
		for i := range uint32(2 * chunkSize) {
			c.Put(binary.BigEndian.AppendUint32(nil, i), 1, outside.Answer{LeaseTime: round + i}, 0)
		}
		for i := range uint32(2 * chunkSize) {
			if e := c.Get(binary.BigEndian.AppendUint32(nil, i), 1); e == nil || e.Answer.LeaseTime != round+i {
				t.Fatalf("round %d, key %d: %+v", round, i, e)
			}
		}
		if c.made > 2*chunkSize+2 {
			t.Fatalf("%d entries have memory in round %d", c.made, round)
		}
		for i := range uint32(chunkSize) {
			c.Remove(binary.BigEndian.AppendUint32(nil, 2*i))
		}
		if c.Len() != chunkSize {
			t.Fatalf("%d are left", c.Len())
		}
	}
}

// What a look needs of an entry with a short key is in one line of a processor's cache.
func TestAnEntryIsTwoLines(t *testing.T) {
	if size := unsafe.Sizeof(Entry{}); size != 128 {
		t.Errorf("an entry has %d octets", size)
	}
	if at := unsafe.Offsetof(Entry{}.short); at > 48 {
		t.Errorf("the key begins at %d", at)
	}
}

func TestAwayIsAMetric(t *testing.T) {
	b := newBench(t)
	is := func(want float64) {
		t.Helper()
		for end := time.Now().Add(time.Minute); testutil.ToFloat64(b.m.away) != want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("away is %v, want %v", testutil.ToFloat64(b.m.away), want)
			}
		}
	}
	is(1)
	c := b.meet()
	is(0)
	_ = c.Close()
	is(1)
	b.meet()
	is(0)
	other := NewLink(Options{Path: "/nonexistent", Log: slog.New(slog.DiscardHandler), Metrics: b.m})
	is(1)
	other.Close()
	is(0)
}
