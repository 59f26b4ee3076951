package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock/clocktest"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/postgres/pgtest"
)

// twinURL is the URL of a server of package pgtest.
const twinURL = "postgres://dhcp4d@/dhcp4d?host=/pgtest&sslmode=disable"

// A numbered source makes names for processes: 1, 2 and so on.
type numbered struct{ n byte }

func (r *numbered) Read(b []byte) (int, error) {
	clear(b)
	r.n++
	b[len(b)-1] = 2 * r.n // newWriter halves it
	return len(b), nil
}

// openTwin opens a store in a server in memory.
func openTwin(t *testing.T, s *pgtest.Server, names io.Reader) *Store {
	t.Helper()
	d := &pgtest.Dialer{By: "a process", Server: s}
	p, err := OpenIn(Outside{Dial: d.Dial, Random: names}, twinURL, slog.New(slog.DiscardHandler), clock.New(clocktest.NewRunning()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// calmly is the fate of a server and a network without faults.
type calmly struct{}

func (calmly) Message(pgtest.Message) pgtest.Way {
	return pgtest.Way{Delay: 100 * time.Microsecond, Cut: -1}
}
func (calmly) Step(pgtest.Step) pgtest.Outcome { return pgtest.Outcome{} }

// TestDB_1_TheTwinDoesWhatPostgreSQLDoes makes the same random commits in PostgreSQL and in its
// twin in memory. Both must refuse the same records, tell other processes the same, and hold the
// same rows. STORE_TWINS is the number of runs.
func TestDB_1_TheTwinDoesWhatPostgreSQLDoes(t *testing.T) {
	s := migrated(t)
	first := rand.Uint64()
	for seed := first; seed < first+uint64(number(t, "STORE_TWINS", 3)); seed++ {
		s.Query(t, "TRUNCATE dhcp4d.lease, dhcp4d.process, dhcp4d.change; DELETE FROM dhcp4d.meta WHERE k IN ('clock', 'repaired')")
		want := play(t, seed, func() *Store { return openDatabase(t, s.URL()) })
		var got []string
		synctest.Test(t, func(t *testing.T) {
			twin, names := pgtest.New(calmly{}, time.Now), new(numbered)
			got = play(t, seed, func() *Store { return openTwin(t, twin, names) })
			if err := twin.Err(); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute) // until all goroutines of pgx have ended
		})
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Fatalf("seed %d, line %d of %d and %d: the twin says\n%s, PostgreSQL\n%s", seed, i, len(got), len(want),
					strings.Join(got[i:min(i+1, len(got))], ""), strings.Join(want[i:min(i+1, len(want))], ""))
			}
		}
	}
}

// play has three processes do what a seed says, and returns what came of it. Times are relative to
// the present, and processes have their order in place of their random names.
func play(t *testing.T, seed uint64, open func() *Store) (lines []string) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 11))
	base := lease.Time(time.Now().Unix())
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	shown := func(b lease.Binding) string {
		for _, at := range []*lease.Time{&b.Start, &b.Changed, &b.Expires} {
			if *at != lease.Never && *at != 0 {
				*at -= base
			}
		}
		return fmt.Sprintf("%+v", b)
	}
	all := []*Store{open(), open(), open()}
	for _, p := range all {
		if _, err := p.Load(func(*lease.Binding) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for step := range 60 {
		i := r.IntN(len(all))
		p := all[i]
		switch kind := r.IntN(12); kind {
		case 0:
			err := p.Reopen()
			say("%d: %d reopens: %v", step, i, err)
		case 1:
			say("%d: %d checks: %v", step, i, p.Check())
		case 2: // a number that is wrong
			p.group.fill(someOf(r, base, 2))
			_, err := p.attempt(p.mine.wseq+int64(r.IntN(2))*2, &p.group)
			say("%d: %d commits under a wrong number: %v", step, i, errors.Is(err, errNotHeld))
		case 3:
			records := someOf(r, base, 1+r.IntN(8))
			n, err := p.Heal(func(take store.Take) error {
				for _, b := range oneOfEach(records) {
					if err := take(b, r.IntN(2) == 0); err != nil {
						return err
					}
				}
				return nil
			})
			say("%d: %d puts back %d: %v, must recover %v", step, i, n, err, p.MustRecover())
		case 4, 5, 6:
			found, err := p.Foreign([]lease.ID{{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(12))})}})
			var heard []string
			for j := range found {
				heard = append(heard, shown(clone(&found[j])))
			}
			slices.Sort(heard)
			say("%d: %d hears %v: %v", step, i, heard, err)
		default:
			refused, err := p.Commit(someOf(r, base, 1+r.IntN(10)))
			say("%d: %d commits: %v", step, i, err)
			for _, f := range refused {
				say("%d: refused %d for %s", step, f.Record, shown(f.Holder))
			}
		}
	}
	if err := all[0].KeepClockMark(clock.Mark{Boot: "b"}); err != nil {
		t.Fatal(err)
	}
	mark, err := all[1].ClockMark()
	mark.Store = ""
	say("mark %+v, %v", mark, err)
	var rows []string
	if _, err := all[2].Load(func(b *lease.Binding) error { rows = append(rows, shown(clone(b))); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(rows)
	lines = append(lines, rows...)
	for _, p := range all {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	return lines
}

// someOf returns records of few addresses, clients and times, so that every rule is met.
func someOf(r *rand.Rand, base lease.Time, n int) []lease.Binding {
	var batch lease.Batch
	for range n {
		at := func() lease.Time { return base + lease.Time(r.IntN(4)) }
		b := lease.Binding{
			ID:     lease.ID{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(12))}), Ports: lease.PortSet(r.IntN(2))},
			Subnet: uint32(r.IntN(3)), State: lease.Bound + lease.State(r.IntN(3)*r.IntN(2)), Client: fmt.Append(nil, r.IntN(3)),
			HWType: byte(r.IntN(2)), HWAddr: fmt.Append(nil, r.IntN(2)), Point: fmt.Append(nil, r.IntN(3)),
			Start: at(), Changed: at(), Expires: base + []lease.Time{-1000, 1000, lease.Never - base}[r.IntN(3)],
		}
		if r.IntN(2) == 0 {
			b.Source = netip.AddrFrom16([16]byte{0x20, 1, 15: byte(r.IntN(256))})
			b.RemoteID = bytes.Repeat([]byte{7}, r.IntN(30))
		}
		if r.IntN(10) == 0 {
			b = lease.Binding{ID: b.ID}
		}
		batch.Add(&b)
	}
	return batch.Records
}

// oneOfEach returns the first record of each identity, without those that remove one.
func oneOfEach(records []lease.Binding) (list []*lease.Binding) {
	seen := map[lease.ID]bool{}
	for i := range records {
		if b := &records[i]; !seen[b.ID] && b.State != lease.NoState {
			seen[b.ID] = true
			list = append(list, b)
		}
	}
	return list
}

// inMemory runs fn in a bubble with a server in memory.
func inMemory(t *testing.T, fate pgtest.Fate, fn func(t *testing.T, s *pgtest.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := pgtest.New(fate, time.Now)
		fn(t, s)
		if err := s.Err(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // until all goroutines of pgx have ended
	})
}

// A dhcp4d that starts when everything is put back need not recover.
func TestDB_5_WhatIsPutBackNeedsNoRecovery(t *testing.T) {
	inMemory(t, calmly{}, func(t *testing.T, s *pgtest.Server) {
		names := new(numbered)
		p := openTwin(t, s, names)
		defer p.Close()
		lease1 := bindingOf("192.0.2.1", "one")
		if _, err := p.Commit([]lease.Binding{lease1}); err != nil {
			t.Fatal(err)
		}
		s.Failover(1, 0, false)
		s.Start()
		if _, err := p.Commit([]lease.Binding{bindingOf("192.0.2.2", "two")}); err == nil || !p.Forgot() {
			t.Fatalf("the next commit: %v", err)
		}
		if err := p.Reopen(); err != nil {
			t.Fatal(err)
		}
		during := openTwin(t, s, names)
		defer during.Close()
		n, err := p.Heal(func(take store.Take) error { return take(&lease1, true) })
		if err != nil || n != 1 {
			t.Fatalf("%d put back, %v", n, err)
		}
		after := openTwin(t, s, names)
		defer after.Close()
		if !during.MustRecover() || after.MustRecover() {
			t.Errorf("recovers before %v, after %v", during.MustRecover(), after.MustRecover())
		}
	})
}

// A dhcp4d may have records in memory whose commit failed. Nobody was told of them. What it puts
// back of these takes no address from a client that another dhcp4d has acknowledged it to.
func TestDB_5_ARecordWithoutACommitTakesNoAddress(t *testing.T) {
	inMemory(t, calmly{}, func(t *testing.T, s *pgtest.Server) {
		names := new(numbered)
		p, other := openTwin(t, s, names), openTwin(t, s, names)
		defer p.Close()
		defer other.Close()
		renewed := bindingOf("192.0.2.2", "renewed")
		if _, err := other.Commit([]lease.Binding{bindingOf("192.0.2.1", "holder"), renewed,
			bindingOf("192.0.2.4", "ended"), bindingOf("192.0.2.5", "former")}); err != nil {
			t.Fatal(err)
		}
		ended := bindingOf("192.0.2.4", "ended")
		ended.State, ended.Changed = lease.Released, ended.Changed+1
		if _, err := other.Commit([]lease.Binding{ended}); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Commit([]lease.Binding{bindingOf("192.0.2.9", "lost")}); err != nil {
			t.Fatal(err)
		}
		s.Failover(1, 0, false)
		s.Start()
		if _, err := p.Commit([]lease.Binding{bindingOf("192.0.2.1", "failed")}); err == nil || !p.Forgot() {
			t.Fatalf("the next commit: %v", err)
		}
		if err := p.Reopen(); err != nil {
			t.Fatal(err)
		}
		memory := []struct {
			record lease.Binding
			stood  bool
			want   string // who has the address then
		}{
			{bindingOf("192.0.2.1", "failed"), false, "holder"},
			{renewed, false, "renewed"},
			{bindingOf("192.0.2.3", "in a free address"), false, "in a free address"},
			{bindingOf("192.0.2.4", "after a release"), false, "after a release"},
			{bindingOf("192.0.2.5", "after a lost release"), true, "after a lost release"},
		}
		if _, err := p.Heal(func(take store.Take) error {
			for _, m := range memory {
				m.record.Changed, m.record.Expires = m.record.Changed+5, m.record.Expires+5
				if err := take(&m.record, m.stood); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for _, m := range memory {
			l := s.Lease(addressNumber(m.record.Addr), 0)
			if l == nil || string(l.Client) != m.want {
				t.Errorf("%v: %+v, want it for %q", m.record.Addr, l, m.want)
			} else if string(m.record.Client) == m.want && l.Changed != int64(m.record.Changed)+5 {
				t.Errorf("%v is not put back for %q", m.record.Addr, m.want)
			}
		}
	})
}

// A failover may lose the change by which the time line continues when somebody sets the clock of
// the database. Then no dhcp4d follows the line, which would end all leases.
func TestDB_5_ALostChangeOfTheTimeLineIsMadeAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		notice func(p *Store) error
	}{
		{"noticed by a check", (*Store).Check},
		{"noticed by a commit", func(p *Store) error {
			_, err := p.Commit([]lease.Binding{bindingOf("192.0.2.1", "one")})
			return err
		}},
		{"noticed when the store is opened again", (*Store).Reopen},
	} {
		t.Run(c.name, func(t *testing.T) {
			inMemory(t, calmly{}, func(t *testing.T, s *pgtest.Server) {
				p := openTwin(t, s, new(numbered))
				defer p.Close()
				time.Sleep(3 * time.Second)
				s.SetClock(time.Hour)
				if err := p.Check(); err != nil {
					t.Fatal(err)
				}
				s.Failover(2, 0, false) // without the last sign of life and the change of the line
				s.Start()
				time.Sleep(time.Second)
				err := c.notice(p)
				if err != nil { // the connection was lost
					err = p.Check()
				}
				if off := p.clock.Wall().Sub(p.clock.At(p.clock.Up())); err != nil || off.Abs() > 2*time.Second {
					t.Errorf("the time of leases has moved by %v, %v", -off, err)
				}
			})
		})
	}
}

// unsigned is the fate of a server that fails to write a sign of life.
type unsigned struct {
	calmly
	armed atomic.Bool
}

func (f *unsigned) Step(s pgtest.Step) (o pgtest.Outcome) {
	if s.Statement == "seen" && s.Kind == pgtest.Execute && f.armed.CompareAndSwap(true, false) {
		o.Code = "40001"
	}
	return o
}

// The sign of life after a change of the time line may fail. Then it cannot tell that a failover
// has lost the change.
func TestDB_5_ALostChangeOfTheTimeLineIsMadeAgainWithoutASignOfLife(t *testing.T) {
	fate := new(unsigned)
	inMemory(t, fate, func(t *testing.T, s *pgtest.Server) {
		p := openTwin(t, s, new(numbered))
		defer p.Close()
		time.Sleep(3 * time.Second)
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		s.SetClock(time.Hour)
		fate.armed.Store(true)
		_ = p.Check() // the sign of life fails
		s.Failover(1, 0, false)
		s.Start()
		if fate.armed.Load() || s.Time() < float64(time.Now().Add(time.Hour).Unix())-1 {
			t.Fatal("the change of the time line is not lost")
		}
		for range 2 { // the connection was lost
			time.Sleep(time.Second)
			_ = p.Check()
		}
		if off := p.clock.Wall().Sub(p.clock.At(p.clock.Up())); off.Abs() > 2*time.Second {
			t.Errorf("the time of leases has moved by %v", -off)
		}
	})
}

// deaf is the fate of a server whose machine fails when it is asked for the leases.
type deaf struct {
	calmly
	begun bool
}

func (f *deaf) Step(s pgtest.Step) pgtest.Outcome {
	f.begun = f.begun || s.Statement == "load"
	return pgtest.Outcome{}
}

func (f *deaf) Message(m pgtest.Message) pgtest.Way {
	if f.begun {
		return pgtest.Way{Silent: true}
	}
	return f.calmly.Message(m)
}

func TestDB_4_AServerThatFallsSilentDoesNotKeepDhcp4dWaiting(t *testing.T) {
	inMemory(t, new(deaf), func(t *testing.T, s *pgtest.Server) {
		p := openTwin(t, s, new(numbered))
		defer p.Close()
		began := time.Now()
		_, err := p.Load(func(*lease.Binding) error { return nil })
		if took := time.Since(began); !errors.Is(err, errSilent) || took > 2*answerWithin {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// Somebody sets the clock of the database back, and then forward by less. A dhcp4d that was killed
// before was seen later than those that run, by that clock. Nobody was paused.
func TestDB_5_AClockThatIsSetBackAndForwardMovesNoLease(t *testing.T) {
	inMemory(t, calmly{}, func(t *testing.T, s *pgtest.Server) {
		names := new(numbered)
		p := openTwin(t, s, names)
		defer p.Close()
		killed := openTwin(t, s, names)
		drop(&killed.conn)
		drop(&killed.side.conn)
		for _, by := range []time.Duration{0, -time.Hour, time.Hour / 2} {
			time.Sleep(10 * time.Second)
			s.SetClock(by)
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			if off := p.clock.Wall().Sub(p.clock.At(p.clock.Up())); off.Abs() > 2*time.Second {
				t.Errorf("the clock is set by %v: the time of leases has moved by %v", by, -off)
			}
		}
	})
}

// onePoint is the fate of a server or a network that fails once: at one message of a commit, or at
// one step of it.
type onePoint struct {
	calmly
	armed    atomic.Bool
	hit      bool
	at, seen int
	way      func(m pgtest.Message) pgtest.Way // nil: a step fails
	step     pgtest.Outcome
}

// here reports whether the failure comes now.
func (f *onePoint) here(c *pgtest.Conn) bool {
	if !f.armed.Load() || c.For != "commits" {
		return false
	}
	f.seen++
	f.hit = f.hit || f.seen-1 == f.at
	return f.seen-1 == f.at
}

func (f *onePoint) Message(m pgtest.Message) pgtest.Way {
	if f.way != nil && f.here(m.Conn) {
		return f.way(m)
	}
	return f.calmly.Message(m)
}

func (f *onePoint) Step(p pgtest.Step) pgtest.Outcome {
	if f.way == nil && f.here(p.Conn) {
		return f.step
	}
	return pgtest.Outcome{}
}

// TestDB_4_EveryPointOfAGroup has a commit fail at each message and at each step, once. Whether the
// database has stored the first attempt or not, the group counts once.
func TestDB_4_EveryPointOfAGroup(t *testing.T) {
	cut := func(part float64, silent bool) func(m pgtest.Message) pgtest.Way {
		return func(m pgtest.Message) pgtest.Way {
			return pgtest.Way{Delay: time.Millisecond, Cut: int(part * float64(m.Len)), Silent: silent}
		}
	}
	for _, c := range []struct {
		name string
		way  func(m pgtest.Message) pgtest.Way
		step pgtest.Outcome
	}{
		{"a connection that breaks before a message", cut(0, false), pgtest.Outcome{}},
		{"a connection that breaks in a message", cut(0.5, false), pgtest.Outcome{}},
		{"a connection that breaks after a message", cut(1, false), pgtest.Outcome{}},
		{"a machine that is lost before a message", cut(0, true), pgtest.Outcome{}},
		{"a machine that is lost after a message", cut(1, true), pgtest.Outcome{}},
		{"a serialisation failure", nil, pgtest.Outcome{Code: "40001"}},
		{"a statement that is cancelled", nil, pgtest.Outcome{Code: "57014"}},
		{"an operator who ends the session", nil, pgtest.Outcome{Code: "57P01", Ends: true}},
		{"a session that ends without a word", nil, pgtest.Outcome{Ends: true}},
		{"a wait for the standby that is cancelled", nil, pgtest.Outcome{Doubt: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, standby := range []bool{false, true} {
				points := 0
				for hit := true; hit; points++ {
					hit = failAt(t, &onePoint{at: points, way: c.way, step: c.step}, standby)
				}
				if points < 4 {
					t.Errorf("%d points", points)
				}
			}
		})
	}
}

// failAt makes a commit that fails at one point, and checks what has come of it. It reports whether
// the commit has that point.
func failAt(t *testing.T, fate *onePoint, standby bool) (hit bool) {
	inMemory(t, fate, func(t *testing.T, s *pgtest.Server) {
		s.Synchronous(standby)
		names := new(numbered)
		p, other := openTwin(t, s, names), openTwin(t, s, names)
		defer p.Close()
		defer other.Close()
		earlier := bindingOf("192.0.2.4", "four")
		if _, err := p.Commit([]lease.Binding{bindingOf("192.0.2.3", "gone"), earlier}); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Commit([]lease.Binding{bindingOf("192.0.2.2", "another")}); err != nil {
			t.Fatal(err)
		}
		released := earlier
		released.State = lease.Released
		group := []lease.Binding{
			bindingOf("192.0.2.1", "one"), bindingOf("192.0.2.2", "two"), {ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.3")}},
			released, bindingOf("192.0.2.4", "five"),
		}
		seq := p.mine.wseq
		fate.armed.Store(true)
		refused, err := p.Commit(group)
		fate.armed.Store(false)
		switch made := p.mine.wseq - seq; {
		case err != nil: // it was given up, and the clients ask again
			if err = p.Reopen(); err == nil {
				refused, err = p.Commit(group)
			}
		case made < 1 || made > 3: // empty commits may follow one whose answer was lost
			t.Errorf("point %d: %d commits count", fate.at, made)
		}
		if err != nil || len(refused) != 1 || refused[0].Record != 1 || string(refused[0].Holder.Client) != "another" {
			t.Errorf("point %d: refused %+v, %v", fate.at, refused, err)
		}
		var got []string
		for _, l := range s.Leases() {
			got = append(got, string(l.Client))
		}
		if want := "one another five"; strings.Join(got, " ") != want {
			t.Errorf("point %d: the table has %q, want %q", fate.at, got, want)
		}
		if len(s.EverDurable(addressNumber(group[0].Addr), 0)) == 0 {
			t.Errorf("point %d: the standby may not have what was acknowledged", fate.at)
		}
		hit = fate.hit
	})
	return hit
}
