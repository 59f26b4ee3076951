package postgres

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/shared/postgrestest"
)

// settable starts a server whose clock the test can set. It returns the URL for dhcp4d.
func settable(t *testing.T) (*postgrestest.Server, string) {
	t.Helper()
	s := migrated(t)
	s.Query(t, `CREATE SCHEMA test; CREATE TABLE test.wrong (by interval); INSERT INTO test.wrong VALUES ('0');
		CREATE FUNCTION test.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT pg_catalog.clock_timestamp() + by FROM test.wrong'`)
	return s, s.URL() + "&search_path=test,pg_catalog"
}

// setServerClock sets the clock of a server.
func setServerClock(t *testing.T, s *postgrestest.Server, by time.Duration) {
	t.Helper()
	s.Query(t, fmt.Sprintf("UPDATE test.wrong SET by = by + interval '%f s'", by.Seconds()))
}

// compared has a process compare its clock with the time line. A busy machine may take too long for
// that; then it looks again.
func compared(t *testing.T, s *postgrestest.Server, p *Store) {
	t.Helper()
	query := fmt.Sprintf("SELECT seen FROM dhcp4d.process WHERE writer = %d", p.mine.writer)
	for before := s.Query(t, query); s.Query(t, query) == before; {
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

// pause stops the machine of a process for a time.
func pause(t *testing.T, s *postgrestest.Server, p *Store, d time.Duration) {
	t.Helper()
	up := p.clock.Up()
	p.clock.Follow(p.clock.At(up).Add(-d), up)
	s.Query(t, fmt.Sprintf("UPDATE dhcp4d.process SET seen = seen - %f WHERE writer = %d", d.Seconds(), p.mine.writer))
}

// moved is by how much the time of leases of a process has moved, beside the time that has passed.
func moved(p *Store) func() time.Duration {
	up := p.clock.Up()
	at := p.clock.At(up)
	return func() time.Duration {
		now := p.clock.Up()
		return (p.clock.At(now).Sub(at) - (now - up)).Round(time.Second)
	}
}

func TestDB_8_TheClockOfTheServerMovesNoLease(t *testing.T) {
	s, url := settable(t)
	for _, by := range []time.Duration{2 * time.Hour, -2 * time.Hour, 3 * time.Second} {
		for _, c := range []struct {
			name string
			then func(t *testing.T, a, b *Store) // what the processes do next
		}{
			{"both look", func(t *testing.T, a, b *Store) {
				for _, p := range []*Store{a, b, a} {
					compared(t, s, p)
				}
			}},
			{"one commits before it has looked", func(t *testing.T, a, b *Store) {
				r := bindingOf("192.0.2.1", "one")
				r.Start, r.Changed = a.clock.Now(), a.clock.Now()
				r.Expires = r.Changed + 3600
				if refused, err := a.Commit([]lease.Binding{r}); err != nil || refused != nil {
					t.Error(refused, err)
				}
				compared(t, s, a)
				compared(t, s, b)
			}},
			{"the store is opened again", func(t *testing.T, a, b *Store) {
				if err := a.Reopen(); err != nil {
					t.Error(err)
				}
				compared(t, s, a)
				compared(t, s, b)
			}},
		} {
			t.Run(fmt.Sprintf("%v/%s", by, c.name), func(t *testing.T) {
				a, b := openDatabase(t, url), openDatabase(t, url)
				defer a.Close()
				defer b.Close()
				ofA, ofB := moved(a), moved(b)
				setServerClock(t, s, by)
				c.then(t, a, b)
				if ofA() != 0 || ofB() != 0 {
					t.Errorf("the time of leases moves by %v and %v", ofA(), ofB())
				}
				// One that starts now goes by the same time.
				next := openDatabase(t, url)
				defer next.Close()
				if d := next.clock.At(next.clock.Up()).Sub(a.clock.At(a.clock.Up())); d.Abs() > time.Second {
					t.Errorf("the next one is %v away", d)
				}
			})
		}
	}
}

func TestDB_8_AMachineThatWasPausedGoesByTheOthers(t *testing.T) {
	s, url := settable(t)
	a, b := openDatabase(t, url), openDatabase(t, url)
	defer b.Close()
	ofA := moved(a)
	pause(t, s, b, time.Minute)
	compared(t, s, a) // it has gone on
	if _, err := b.Commit([]lease.Binding{bindingOf("192.0.2.1", "one")}); !errors.Is(err, errTime) {
		t.Errorf("it commits with times that are a minute old: %v", err)
	}
	if n := s.Query(t, "SELECT count(*) FROM dhcp4d.lease"); n != "0" {
		t.Errorf("%s leases", n)
	}
	if err := b.Reopen(); err != nil {
		t.Fatal(err)
	}
	compared(t, s, b)
	if _, err := b.Commit([]lease.Binding{bindingOf("192.0.2.1", "one")}); err != nil {
		t.Errorf("it cannot go on: %v", err)
	}
	pause(t, s, b, time.Minute)
	compared(t, s, a)
	compared(t, s, b)
	if d := b.clock.At(b.clock.Up()).Sub(a.clock.At(a.clock.Up())); d.Abs() > time.Second {
		t.Errorf("it is %v away from the other", d)
	}
	compared(t, s, a)
	if ofA() != 0 {
		t.Errorf("the other one is moved by %v", ofA())
	}
	// Alone, nobody can say that it was paused. Its leases last longer than their clients believe.
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	pause(t, s, b, time.Minute)
	ofB := moved(b)
	compared(t, s, b)
	if ofB() != 0 {
		t.Errorf("alone it is moved by %v", ofB())
	}
}

func TestDB_8_TheServerIsSetWhileNoProcessRuns(t *testing.T) {
	s, url := settable(t)
	for _, by := range []time.Duration{2 * time.Hour, -2 * time.Hour} {
		p := openDatabase(t, url)
		if err := p.KeepClockMark(p.clock.Mark()); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		setServerClock(t, s, by)
		next := openDatabase(t, url)
		if d := next.clock.At(next.clock.Up()).Sub(p.clock.At(p.clock.Up())); d.Abs() > time.Second {
			t.Errorf("set by %v: the next one is %v away", by, d)
		}
		if err := next.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDB_8_TheServerIsBehindItsRows opens a database whose clock shows an earlier time than rows
// that were written, on a machine that cannot say how much time has passed.
func TestDB_8_TheServerIsBehindItsRows(t *testing.T) {
	_, url := settable(t)
	p := openDatabase(t, url)
	written := bindingOf("192.0.2.1", "one")
	written.Changed += 1000
	if _, err := p.Commit([]lease.Binding{written}); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	next := openDatabase(t, url)
	defer next.Close()
	c := clock.New(mustMachine(t))
	if _, err := store.Resume(next, c); err != nil {
		t.Fatal(err)
	}
	found, err := next.Load(func(*lease.Binding) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Settle(next, found, next.clock); err != nil {
		t.Fatal(err)
	}
	if now := next.clock.Now(); now < written.Changed {
		t.Errorf("the time of leases is %d, want %d at the least", now, written.Changed)
	}
	if err := next.Check(); err != nil {
		t.Error(err)
	}
	if _, err := next.Commit([]lease.Binding{bindingOf("192.0.2.2", "two")}); err != nil {
		t.Error(err)
	}
}

func mustMachine(t *testing.T) *clock.Machine {
	t.Helper()
	m, err := clock.NewMachine()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestDB_8_WhoLooksLateWasNotPaused has the clock of the server set when one process has looked a
// little later than the other.
func TestDB_8_WhoLooksLateWasNotPaused(t *testing.T) {
	for _, c := range []struct {
		later, behind float64
		want          bool
	}{
		{60, 60, true}, {59, 60, true}, {1.5, 2, true},
		{1.5, 7200, false}, {1.5, -7200, false}, {60, -60, false}, {0.5, 60, false}, {30, 60, false},
	} {
		n := lineNow{others: 1000 + c.later, ours: 1000}
		if got := n.paused(time.Duration(c.behind * float64(time.Second))); got != c.want {
			t.Errorf("seen %v s before the other, %v s behind the line: paused is %v", c.later, c.behind, got)
		}
	}
}
