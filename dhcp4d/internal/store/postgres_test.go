package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/postgrestest"
)

// migrated starts a server with the tables.
func migrated(t testing.TB, settings ...string) *postgrestest.Server {
	t.Helper()
	s := postgrestest.Start(t, settings...)
	if m, err := Migrate(context.Background(), s.URL()); err != nil || m != (Migrated{0, schemaFormat}) {
		t.Fatalf("migrated: %+v, %v", m, err)
	}
	return s
}

func openDatabase(t testing.TB, url string) *postgres {
	t.Helper()
	p, err := openPostgres(url, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// some returns records of n addresses that differ with every call of the same r.
func some(r *rand.Rand, n int) []lease.Binding {
	var batch lease.Batch
	for range n {
		b := lease.Binding{
			ID:     lease.ID{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(256))}), Ports: lease.PortSet(r.IntN(2))},
			Subnet: r.Uint32(), State: lease.Bound + lease.State(r.IntN(3)), Client: fmt.Append(nil, r.Uint64()), HWType: byte(r.IntN(256)),
			HWAddr: fmt.Append(nil, r.IntN(1000)), Start: lease.Time(r.Uint32()), Changed: lease.Time(r.Uint32()), Expires: lease.Time(r.Uint32()),
		}
		if r.IntN(2) == 0 {
			b.Source, b.Point = netip.AddrFrom16([16]byte{0x20, 1, 15: byte(r.IntN(256))}), []byte("a point")
		}
		if r.IntN(8) == 0 {
			b.Expires = lease.Never
		}
		if r.IntN(8) == 0 {
			b = lease.Binding{ID: b.ID}
		}
		batch.Add(&b)
	}
	return batch.Records
}

// sameAs compares a store with a memory store that has had the same commits.
func sameAs(t *testing.T, got, want Store) {
	t.Helper()
	a, b := contents(t, got), contents(t, want)
	if len(a) != len(b) {
		t.Errorf("the database has %d leases, want %d", len(a), len(b))
	}
	for key, want := range b {
		if got := a[key]; fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s is\n%+v, want\n%+v", key, got, want)
		}
	}
}

func TestDB_1_TheDatabaseHoldsWhatIsCommitted(t *testing.T) {
	s := migrated(t)
	p, twin := openDatabase(t, s.URL()), newMemory()
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		records := some(r, 1+r.IntN(64))
		if refused, err := p.Commit(records); err != nil || refused != nil {
			t.Fatal(refused, err)
		}
		if _, err := twin.Commit(records); err != nil {
			t.Fatal(err)
		}
	}
	sameAs(t, p, twin)
	mark := clock.Mark{Leases: time.Unix(1_700_000_000, 0).UTC(), Wall: time.Unix(1_700_000_009, 0).UTC(), Boot: "b", Up: time.Hour}
	if _, err := p.ClockMark(); !errors.Is(err, ErrNoMark) {
		t.Errorf("before a mark was kept: %v", err)
	}
	if err := p.KeepClockMark(mark); err != nil {
		t.Fatal(err)
	}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
	if got := p.Stats(); got.Bytes == 0 || got.Records == 0 {
		t.Errorf("stats: %+v", got)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}

	p = openDatabase(t, s.URL()) // at once: it was left in order
	defer p.Close()
	sameAs(t, p, twin)
	got, err := p.ClockMark()
	if got.Store = ""; err != nil || got != mark {
		t.Errorf("the mark is %+v, %v; want %+v", got, err, mark)
	}
	if MustRecover(p) {
		t.Error("recovers without a reason")
	}
	if got := s.Query(t, "SELECT count(*) FROM dhcp4d.leases"); got != fmt.Sprint(len(contents(t, twin))) {
		t.Errorf("the view for people has %s leases", got)
	}
}

func TestDB_6_WhatIsRefused(t *testing.T) {
	s := postgrestest.Start(t, "fsync=off")
	for _, c := range []struct{ name, url, sql, want string }{
		{"a password in the URL", "postgres://u:secret@h/d", "", "passfile="},
		{"a password as an option", "postgres://u@h/d?password=secret", "", "passfile="},
		{"an option that is none", "postgres://u@h/d?sslmode=perhaps", "", "sslmode"},
		{"a server that is not there", "postgres://u@/d?host=/nowhere", "", "/nowhere"},
		{"no tables", s.URL(), "", "store migrate"},
		{"a server without fsync", s.URL(), "migrate", "fsync=on"},
		{"tables of the future", s.URL(), "UPDATE dhcp4d.meta SET v = '99' WHERE k = 'format'", "newer dhcp4d"},
		{"tables of nobody", s.URL(), "UPDATE dhcp4d.meta SET v = 'x' WHERE k = 'format'", "is none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			switch c.sql {
			case "":
			case "migrate":
				if _, err := Migrate(t.Context(), c.url); err != nil {
					t.Fatal(err)
				}
			default:
				s.Query(t, c.sql)
			}
			_, err := Open(c.url, quiet())
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error is %v, want one with %q", err, c.want)
			}
		})
	}
	if _, err := Migrate(t.Context(), s.URL()); err == nil {
		t.Error("tables of nobody are migrated")
	}
}

func TestDB_3_OneProcessHasTheDatabase(t *testing.T) {
	s := migrated(t)
	first := openDatabase(t, s.URL())
	defer first.Close()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() { // as the committer does
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(leaseOfStore / 5):
				_ = first.Check()
			}
		}
	}()
	if _, err := openPostgres(s.URL(), quiet()); err == nil || !strings.Contains(err.Error(), "when that one has ended") {
		t.Errorf("a second one: %v", err)
	}
	close(stop)
	<-done
	second := openDatabase(t, s.URL()) // the first says nothing any more
	defer second.Close()
	records := some(rand.New(rand.NewPCG(1, 1)), 8)
	if _, err := first.Commit(records); !errors.Is(err, errTaken) {
		t.Errorf("the first commits: %v", err)
	}
	if err := first.Check(); !errors.Is(err, errTaken) {
		t.Errorf("the first is checked: %v", err)
	}
	if got := contents(t, second); len(got) != 0 {
		t.Errorf("%d leases of the first are there", len(got))
	}
	if _, err := second.Commit(records); err != nil {
		t.Error(err)
	}
}

// TestDB_4_UnknownOutcomesAreSettled loses the answer of commits, and has each settle.
func TestDB_4_UnknownOutcomesAreSettled(t *testing.T) {
	s := migrated(t)
	for _, c := range []struct {
		name string
		then func(p *postgres, records []lease.Binding) // after which the first attempt has no answer
	}{
		{"it has happened", func(p *postgres, records []lease.Binding) {
			group := new(rows)
			group.fill(records)
			if err := p.attempt(p.mine.wseq+1, group); err != nil {
				t.Fatal(err)
			}
			drop(&p.conn)
		}},
		{"it has not happened", func(p *postgres, _ []lease.Binding) { drop(&p.conn) }},
		{"the server was killed", func(*postgres, []lease.Binding) { s.Kill(t); s.Restart(t) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := openDatabase(t, s.URL())
			defer p.Close()
			twin := newMemory()
			r := rand.New(rand.NewPCG(7, 7))
			if err := loadRows(t.Context(), p.conn, func(b *lease.Binding) error { _, err := twin.Commit([]lease.Binding{*b}); return err }); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				records := some(r, 20)
				c.then(p, records)
				if _, err := p.Commit(records); err != nil {
					t.Fatal(err)
				}
				if _, err := twin.Commit(records); err != nil {
					t.Fatal(err)
				}
				sameAs(t, p, twin)
			}
		})
	}
}

// TestDB_1_NoCommitIsLostWhenTheServerIsKilled kills the server under load.
func TestDB_1_NoCommitIsLostWhenTheServerIsKilled(t *testing.T) {
	s := migrated(t)
	p, twin := openDatabase(t, s.URL()), newMemory()
	defer p.Close()
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		for range 5 {
			time.Sleep(200 * time.Millisecond) // of load
			s.Kill(t)
			s.Restart(t)
		}
	}()
	r := rand.New(rand.NewPCG(3, 3))
	failed := 0
	for done := false; !done; {
		select {
		case <-killed:
			done = true
		default:
		}
		records := some(r, 1+r.IntN(32))
		if _, err := p.Commit(records); err != nil {
			// Unknown: what the database has counts, as after every store's failure.
			failed++
			for p.Reopen() != nil {
			}
			twin = newMemory()
			if _, err := p.Load(func(b *lease.Binding) error { _, err := twin.Commit([]lease.Binding{*b}); return err }); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if _, err := twin.Commit(records); err != nil {
			t.Fatal(err)
		}
	}
	sameAs(t, p, twin)
	t.Logf("%d records, %d commits given up", p.Stats().Records, failed)
}

// TestDB_5_ADatabaseThatForgetsIsNoticed restores an earlier state of the database under a process
// that has committed since.
func TestDB_5_ADatabaseThatForgetsIsNoticed(t *testing.T) {
	for _, c := range []struct{ name, sql string }{
		{"commits", "UPDATE dhcp4d.holder SET wseq = 1"},
		{"the process", "UPDATE dhcp4d.holder SET term = term - 1, writer = 5, wseq = 9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := migrated(t)
			p := openDatabase(t, s.URL())
			defer p.Close()
			r := rand.New(rand.NewPCG(1, 1))
			for range 3 {
				if _, err := p.Commit(some(r, 3)); err != nil {
					t.Fatal(err)
				}
			}
			s.Query(t, c.sql)
			if _, err := p.Commit(some(r, 3)); err == nil || !strings.Contains(err.Error(), "forgotten") {
				t.Errorf("the next commit: %v", err)
			}
			if err := p.Reopen(); err == nil || !strings.Contains(err.Error(), "forgotten") {
				t.Errorf("it is opened again: %v", err)
			}
			next := openDatabase(t, s.URL())
			defer next.Close()
			if !MustRecover(next) {
				t.Error("the next dhcp4d does not recover")
			}
			if err := Recovered(next); err != nil || MustRecover(next) {
				t.Error("and goes on to do so:", err)
			}
		})
	}
}

// TestDB_4_AStandbyThatDoesNotAnswer has the server give up waiting for a synchronous standby.
func TestDB_4_AStandbyThatDoesNotAnswer(t *testing.T) {
	s := migrated(t)
	p := openDatabase(t, s.URL())
	defer p.Close()
	standby := func(name string) {
		s.Query(t, "ALTER SYSTEM SET synchronous_standby_names = '"+name+"'")
		s.Query(t, "SELECT pg_reload_conf()")
		for s.Query(t, "SHOW synchronous_standby_names") != name {
			time.Sleep(10 * time.Millisecond)
		}
	}
	waiting := func() string {
		return s.Query(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dhcp4d' AND wait_event = 'SyncRep'")
	}
	standby("nobody")
	done := make(chan error)
	records := some(rand.New(rand.NewPCG(1, 1)), 5)
	go func() {
		_, err := p.Commit(records)
		done <- err
	}()
	for range 2 { // the commit, and the one that is to show whether it counts
		for waiting() == "0" {
			time.Sleep(10 * time.Millisecond)
		}
		s.Query(t, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'dhcp4d' AND wait_event = 'SyncRep'")
	}
	for waiting() == "0" {
		time.Sleep(10 * time.Millisecond)
	}
	select {
	case err := <-done:
		t.Fatalf("the commit is done without its standby: %v", err)
	default:
	}
	standby("")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	twin := newMemory()
	if _, err := twin.Commit(records); err != nil {
		t.Fatal(err)
	}
	sameAs(t, p, twin)
}

// TestDB_6_TheLeastPrivileges has dhcp4d go by the privileges of docs/database.md, on the second of
// two hosts.
func TestDB_6_TheLeastPrivileges(t *testing.T) {
	s := migrated(t)
	s.Query(t, `CREATE ROLE dhcp4d_server LOGIN;
		GRANT USAGE ON SCHEMA dhcp4d TO dhcp4d_server;
		GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA dhcp4d TO dhcp4d_server;`)
	url := strings.Replace(s.URL(), "dhcp4d@", "dhcp4d_server@", 1)
	p := openDatabase(t, strings.Replace(url, "host=", "port=5432,5432&host=/nowhere,", 1))
	defer p.Close()
	if _, err := p.Commit(some(rand.New(rand.NewPCG(1, 1)), 5)); err != nil {
		t.Error(err)
	}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
	if p.Stats().Bytes == 0 {
		t.Error("it has no size")
	}
	if err := p.Reopen(); err != nil {
		t.Error(err)
	}
}

// TestDB_2_ADatabaseThatIsAway has the database away for a moment, and for longer than a commit is
// tried.
func TestDB_2_ADatabaseThatIsAway(t *testing.T) {
	s := migrated(t)
	p := openDatabase(t, s.URL())
	defer p.Close()
	r := rand.New(rand.NewPCG(1, 1))
	s.Kill(t)
	if err := p.Check(); err != nil {
		t.Errorf("the database is away for a moment: %v", err)
	}
	if _, err := p.Commit(some(r, 3)); !errors.Is(err, ErrFailed) {
		t.Errorf("the database is away: %v", err)
	}
	if err := p.Check(); err == nil {
		t.Error("a database that is away for long is well")
	}
	if err := p.Reopen(); err == nil {
		t.Error("it is open again")
	}
	s.Restart(t)
	if err := p.Reopen(); err != nil {
		t.Fatal(err)
	}
	records := some(r, 3)
	if _, err := p.Commit(records); err != nil {
		t.Fatal(err)
	}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
}

// TestDB_7_RowsOfOthers has rows that dhcp4d has not written refused.
func TestDB_7_RowsOfOthers(t *testing.T) {
	s := migrated(t)
	p := openDatabase(t, s.URL())
	defer p.Close()
	const good = "INSERT INTO dhcp4d.lease VALUES (3221225985, 0, 1, 2, 1, '', '\\x01', '', NULL, 1, 1, 1)"
	for _, set := range []string{"addr = -1", "addr = 4294967296", "ports = -1", "subnet = -1", "state = 0", "state = 5", "hwtype = 256",
		"hw = decode(repeat('00', 256), 'hex')", "source = '\\x01'"} {
		s.Query(t, "DELETE FROM dhcp4d.lease; "+good)
		if n := len(contents(t, p)); n != 1 {
			t.Fatalf("%d leases", n)
		}
		s.Query(t, "UPDATE dhcp4d.lease SET "+set)
		if _, err := p.Load(func(*lease.Binding) error { return nil }); !errors.Is(err, errRow) {
			t.Errorf("%s: %v", set, err)
		}
	}
}
