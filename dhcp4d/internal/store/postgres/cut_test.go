package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
)

// A wire carries the connections of one process to its database. It cuts them where it is told to,
// after so many octets one way.
type wire struct {
	mu          sync.Mutex
	sent, heard way
	cuts        int // how often it has cut
}

// way is one direction of a wire.
type way struct {
	octets int // so far, of all connections
	cut    int // the connection breaks when so many have passed; -1 is never
}

func (w *way) room(n int) (room int, breaks bool) {
	if left := w.cut - w.octets; w.cut >= 0 && left < n {
		return max(left, 0), true
	}
	return n, false
}

func newWire(p *Store) *wire {
	w := &wire{}
	w.mend()
	dial := p.config.DialFunc
	p.config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &cutConn{c, w}, nil
	}
	return w
}

// mend makes the wire whole.
func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent.cut, w.heard.cut = -1, -1
}

// breakAfter makes the wire cut after the next n octets that are sent, or that are heard.
func (w *wire) breakAfter(n int, heard bool) {
	w.mend()
	w.mu.Lock()
	defer w.mu.Unlock()
	if heard {
		w.heard.cut = w.heard.octets + n
	} else {
		w.sent.cut = w.sent.octets + n
	}
}

// passed returns how many octets were sent and heard, and how often the wire has cut.
func (w *wire) passed() (sent, heard, cuts int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent.octets, w.heard.octets, w.cuts
}

// cutConn is a connection over a wire.
type cutConn struct {
	net.Conn
	wire *wire
}

func (c *cutConn) Write(b []byte) (int, error) {
	return c.pass(b, &c.wire.sent, c.Conn.Write)
}

func (c *cutConn) Read(b []byte) (int, error) {
	return c.pass(b, &c.wire.heard, c.Conn.Read)
}

// pass moves octets one way, up to where the wire is cut.
func (c *cutConn) pass(b []byte, w *way, move func([]byte) (int, error)) (n int, err error) {
	c.wire.mu.Lock()
	room, breaks := w.room(len(b))
	c.wire.mu.Unlock()
	if room > 0 {
		n, err = move(b[:room])
	}
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	w.octets += n
	if breaks && n == room {
		// The server works on with what it has.
		c.wire.sent.cut, c.wire.heard.cut = -1, -1
		c.wire.cuts++
		_ = c.Conn.Close()
		return n, fmt.Errorf("cut: %w", net.ErrClosed)
	}
	return n, err
}

// some8 returns records of few addresses and clients, so that they meet.
func some8(r *rand.Rand, n int) []lease.Binding {
	var records []lease.Binding
	for range n {
		b := bindingOf(fmt.Sprintf("192.0.2.%d", r.IntN(8)), strconv.Itoa(r.IntN(6)))
		switch r.IntN(8) {
		case 0:
			b.State = lease.Released
		case 1:
			b.Expires = b.Start - 100_000
		case 2:
			b = lease.Binding{ID: b.ID}
		}
		records = append(records, b)
	}
	return records
}

// TestDB_4_CutAtEachOctet breaks the connection of a commit at each octet of what is sent and of
// what is heard. Whatever has happened in the database, the commit counts once, and says what it
// has refused. STORE_CUTS=1 takes each octet, 7 each seventh.
func TestDB_4_CutAtEachOctet(t *testing.T) {
	s := migrated(t)
	p := openDatabase(t, s.URL())
	defer p.Close()
	other := openDatabase(t, s.URL())
	defer other.Close()
	twin := newJudge()
	w := newWire(p)
	commit := func(by *Store, records []lease.Binding) {
		t.Helper()
		committed(t, by, twin, records)
	}
	// The group stores one record, has one refused, and removes one.
	step := func() []lease.Binding {
		r := rand.New(rand.NewPCG(5, 5))
		commit(other, []lease.Binding{bindingOf("192.0.2.1", "another"), bindingOf("192.0.2.3", "gone")})
		return append(some8(r, 3), bindingOf("192.0.2.1", "refused"), lease.Binding{ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.3")}})
	}
	drop(&p.conn)
	commit(p, step()) // over the wire from now on
	sent0, heard0, _ := w.passed()
	commit(p, step())
	sent, heard, _ := w.passed()
	sent, heard = sent-sent0, heard-heard0
	stride := number(t, "STORE_CUTS", 23)
	for _, way := range []struct {
		name   string
		octets int
		heard  bool
	}{{"sent", sent, false}, {"heard", heard, true}} {
		for n := 0; n < way.octets; n += stride {
			records := step()
			_, _, before := w.passed()
			seq := p.mine.wseq
			w.breakAfter(n, way.heard)
			commit(p, records)
			if _, _, cuts := w.passed(); cuts != before+1 {
				t.Fatalf("%d octets %s: %d cuts", n, way.name, cuts-before)
			}
			// An empty commit may follow one whose answer was lost.
			if made := p.mine.wseq - seq; made < 1 || made > 2 {
				t.Fatalf("%d octets %s: %d commits count", n, way.name, made)
			}
			w.mend()
		}
	}
	sameAs(t, p, twin)
	t.Logf("a commit of %d octets sent and %d heard, cut at each %dth", sent, heard, stride)
}

// TestDB_4_CutAtRandom has three processes commit in turn over wires that are cut at random, while
// a commit is made and while what others have changed is read. One of them leaves and another one
// comes. A twin says what the database must refuse and hold, and what each process must have heard
// of. STORE_SEEDS is the number of runs.
func TestDB_4_CutAtRandom(t *testing.T) {
	s := migrated(t)
	first := rand.Uint64()
	if v := os.Getenv("STORE_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first = n
	}
	cuts := 0
	seeds := number(t, "STORE_SEEDS", 6)
	for i := range seeds {
		seed := first + uint64(i)
		cuts += cutAtRandom(t, s.URL(), seed)
		if t.Failed() {
			t.Logf("again: STORE_SEED=%d STORE_SEEDS=1", seed)
			return
		}
	}
	t.Logf("%d runs, %d cuts", seeds, cuts)
}

// process is a dhcp4d with what it knows of the database.
type process struct {
	*Store
	wire  *wire
	knows map[string]lease.Binding
}

func cutAtRandom(t *testing.T, url string, seed uint64) (cuts int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 4))
	twin := newJudge()
	start := func() *process {
		p := openDatabase(t, url)
		one := &process{p, newWire(p), storetest.Contents(t, p)}
		drop(&p.conn) // the next connection is over the wire
		return one
	}
	var all []*process
	for range 3 {
		all = append(all, start())
	}
	defer func() {
		for _, p := range all {
			_, _, n := p.wire.passed()
			cuts += n
			_ = p.Close()
		}
	}()
	for _, b := range all[0].knows { // of the runs before
		if _, err := twin.Store.Commit([]lease.Binding{b}); err != nil {
			t.Fatal(err)
		}
	}
	for step := range 40 {
		i := r.IntN(len(all))
		p := all[i]
		if r.IntN(2) == 0 {
			p.wire.breakAfter(r.IntN(3000), r.IntN(2) == 0)
		}
		switch r.IntN(12) {
		case 0:
			p.wire.mend()
			if err := p.Close(); err != nil {
				t.Errorf("step %d: %v", step, err)
			}
			_, _, n := p.wire.passed()
			cuts += n
			all[i] = start()
		case 1, 2, 3:
			heard(t, p, twin, step)
		default:
			records := some8(r, 1+r.IntN(6))
			committed(t, p.Store, twin, records)
			rows := storetest.Contents(t, twin)
			for j := range records {
				if b, ok := rows[storetest.Key(&records[j])]; ok {
					p.knows[storetest.Key(&b)] = b
				} else {
					delete(p.knows, storetest.Key(&records[j]))
				}
			}
		}
		if t.Failed() {
			return cuts
		}
	}
	for _, p := range all {
		p.wire.mend()
		heard(t, p, twin, -1)
		if err := p.connected(); err != nil { // it may have made no commit
			t.Fatal(err)
		}
		sameAs(t, p, twin)
	}
	return cuts
}

// heard has a process read what others have changed, until it can. Then it must know everything.
func heard(t *testing.T, p *process, twin store.Store, step int) {
	t.Helper()
	for began := time.Now(); ; {
		found, err := p.Foreign(nil)
		for i := range found {
			if b := clone(&found[i]); b.State == lease.NoState {
				delete(p.knows, storetest.Key(&b))
			} else {
				p.knows[storetest.Key(&b)] = b
			}
		}
		if err == nil {
			break
		}
		if time.Since(began) > time.Minute {
			t.Fatal(err)
		}
	}
	want := storetest.Contents(t, twin)
	for k, b := range want {
		if got := p.knows[k]; fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", b) {
			t.Errorf("step %d: a process knows of %s\n%+v, want\n%+v", step, k, got, b)
		}
	}
	if len(p.knows) != len(want) {
		t.Errorf("step %d: a process knows of %d leases, want %d", step, len(p.knows), len(want))
	}
}

// number returns the number that an environment variable gives, or the usual one.
func number(t *testing.T, variable string, usual int) int {
	t.Helper()
	v := os.Getenv(variable)
	if v == "" {
		return usual
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		t.Fatalf("%s: %q is no number from 1 on", variable, v)
	}
	return n
}
