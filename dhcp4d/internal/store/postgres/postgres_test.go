package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
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

func openDatabase(t testing.TB, url string) *Store {
	t.Helper()
	p, err := Open(url, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// some returns records of n addresses and of a few clients.
func some(r *rand.Rand, n int) []lease.Binding {
	now := lease.Time(time.Now().Unix())
	var batch lease.Batch
	for range n {
		b := lease.Binding{
			ID:     lease.ID{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(64))}), Ports: lease.PortSet(r.IntN(2))},
			Subnet: r.Uint32(), State: lease.Bound + lease.State(r.IntN(3)), Client: fmt.Append(nil, r.IntN(3)), HWType: byte(r.IntN(2)),
			HWAddr: fmt.Append(nil, r.IntN(2)), Start: lease.Time(r.IntN(2)), Changed: lease.Time(r.Uint32()),
			Expires: now + []lease.Time{-100_000, 100_000}[r.IntN(2)],
		}
		if r.IntN(2) == 0 {
			b.Source, b.Point = netip.AddrFrom16([16]byte{0x20, 1, 15: byte(r.IntN(256))}), []byte("a point")
		}
		if r.IntN(2) == 0 {
			b.RemoteID = fmt.Appendf(nil, "\x00\x00\x00\x09%d", r.IntN(300))
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

// judge is a store that judges records as a database does. Its Commit has no mercy: it returns
// which records it has not stored.
type judge struct {
	store.Store
	by      int64              // the process that commits
	writers map[lease.ID]int64 // which process has written a record last
}

func newJudge() *judge { return &judge{store.NewMemory(), 0, make(map[lease.ID]int64)} }

func (j *judge) Commit(records []lease.Binding) ([]store.Refusal, error) {
	now := lease.Time(time.Now().Unix())
	rows := map[lease.ID]lease.Binding{}
	if _, err := j.Load(func(b *lease.Binding) error { rows[b.ID] = clone(b); return nil }); err != nil {
		return nil, err
	}
	runs := map[lease.ID][]int{}
	for i := range records {
		runs[records[i].ID] = append(runs[records[i].ID], i)
	}
	var refused []store.Refusal
	for id, run := range runs {
		row, last := rows[id], &records[run[len(run)-1]]
		first := &records[run[0]]
		loss := first.Changed
		for _, i := range run {
			if string(records[i].Client) != string(first.Client) {
				break
			}
			loss = records[i].Changed
		}
		later := func(than lease.Time) bool {
			return row.Changed > than || (row.Changed == than && j.writers[id] != j.by)
		}
		if row.State == lease.Bound && string(first.Client) != string(last.Client) && string(first.Client) == string(row.Client) && !later(loss) {
			row.State, row.Changed, row.Expires = lease.Released, last.Changed, last.Changed
			j.writers[id] = j.by
		}
		for _, i := range run {
			if records[i].State == lease.NoState {
				row = lease.Binding{ID: id}
			}
		}
		mine := string(row.Client) == string(last.Client)
		same := row.Start == last.Start || string(row.Point) == string(last.Point) || (row.HWType == last.HWType && string(row.HWAddr) == string(last.HWAddr))
		same = same && (last.State == lease.Bound || !later(last.Changed))
		free := row.State != lease.Bound || row.Expires < now
		kept := row
		switch {
		case row.State == lease.NoState, last.State == lease.NoState, mine && (row.State != lease.Bound || same), last.State != lease.Released && free:
			kept = *last
			j.writers[id] = j.by
		default:
			for _, i := range run {
				refused = append(refused, store.Refusal{Record: i, Holder: clone(&row)})
			}
		}
		if _, err := j.Store.Commit([]lease.Binding{kept}); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(refused, func(a, b store.Refusal) int { return a.Record - b.Record })
	return refused, nil
}

// clone copies a binding.
func clone(b *lease.Binding) lease.Binding {
	var copied lease.Batch
	copied.Add(b)
	return copied.Records[0]
}

// committed commits to both, and compares what they refuse.
func committed(t *testing.T, p, twin store.Store, records []lease.Binding) {
	t.Helper()
	got, err := p.Commit(records)
	if err != nil {
		t.Fatal(err)
	}
	if j, ok := twin.(*judge); ok {
		j.by = p.(*Store).mine.writer
	}
	want, err := twin.Commit(records)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Fatalf("refused\n%+v, want\n%+v", got, want)
	}
}

// sameAs compares a store with a memory store that has had the same commits.
func sameAs(t *testing.T, got, want store.Store) {
	t.Helper()
	a, b := storetest.Contents(t, got), storetest.Contents(t, want)
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
	p, twin := openDatabase(t, s.URL()), newJudge()
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		committed(t, p, twin, some(r, 1+r.IntN(64)))
	}
	sameAs(t, p, twin)
	mark := clock.Mark{Leases: time.Unix(1_700_000_000, 0).UTC(), Wall: time.Unix(1_700_000_009, 0).UTC(), Boot: "b", Up: time.Hour}
	if _, err := p.ClockMark(); !errors.Is(err, store.ErrNoMark) {
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
	if store.MustRecover(p) {
		t.Error("recovers without a reason")
	}
	if got := s.Query(t, "SELECT count(*) FROM dhcp4d.leases"); got != fmt.Sprint(len(storetest.Contents(t, twin))) {
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
		{"tables of nobody", s.URL(), "UPDATE dhcp4d.meta SET v = 'x' WHERE k = 'format'", "is not a number"},
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
			_, err := Open(c.url, slog.New(slog.DiscardHandler), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error is %v, want one with %q", err, c.want)
			}
		})
	}
	if _, err := Migrate(t.Context(), s.URL()); err == nil {
		t.Error("tables of nobody are migrated")
	}
}

// foreign returns what a process finds that others have changed.
func foreign(t *testing.T, p *Store) map[string]lease.Binding {
	t.Helper()
	found, err := p.Foreign(nil)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]lease.Binding{}
	for i := range found {
		m[found[i].Addr.String()] = clone(&found[i])
	}
	return m
}

// bindingOf returns a binding in force of a client.
func bindingOf(address, client string) lease.Binding {
	now := lease.Time(time.Now().Unix())
	return lease.Binding{
		ID: lease.ID{Addr: netip.MustParseAddr(address)}, Subnet: 1, State: lease.Bound, Client: []byte(client), HWType: 1,
		HWAddr: []byte(client), Point: []byte("point of " + client), Start: now, Changed: now, Expires: now + 3600,
	}
}

// The tables of version 1 did not say which process has written a row last.
func TestDB_1_TablesOfVersion1AreConverted(t *testing.T) {
	t.Parallel()
	s := postgrestest.Start(t)
	s.Query(t, migrations[0])
	s.Query(t, "UPDATE dhcp4d.meta SET v = '1' WHERE k = 'format'")
	s.Query(t, "INSERT INTO dhcp4d.meta VALUES ('store', 'abc')")
	s.Query(t, "INSERT INTO dhcp4d.lease VALUES (3221225985, 0, 1, 2, 1, '', '\\x01', '', NULL, 1, 1, 1)")
	if _, err := Open(s.URL(), slog.New(slog.DiscardHandler), nil); err == nil || !strings.Contains(err.Error(), "run dhcp4d store migrate") {
		t.Fatalf("tables of version 1: %v", err)
	}
	for _, want := range []Migrated{{1, schemaFormat}, {schemaFormat, schemaFormat}} {
		if m, err := Migrate(t.Context(), s.URL()); err != nil || m != want {
			t.Fatalf("%+v, %v, want %+v", m, err, want)
		}
	}
	p := openDatabase(t, s.URL())
	defer p.Close()
	if n := len(storetest.Contents(t, p)); n != 1 {
		t.Errorf("%d leases after the conversion", n)
	}
}

// The tables of version 2 had no Remote-Id. What an operator has granted stays.
func TestDB_1_TablesOfVersion2AreConverted(t *testing.T) {
	t.Parallel()
	s := postgrestest.Start(t)
	for _, sql := range []string{
		migrations[0], migrations[1], "UPDATE dhcp4d.meta SET v = '2' WHERE k = 'format'", "INSERT INTO dhcp4d.meta VALUES ('store', 'abc')",
		"INSERT INTO dhcp4d.lease VALUES (3221225985, 0, 1, 2, 1, '', '\\x01', '', NULL, 1, 1, 1, 7)",
		"CREATE ROLE reader; GRANT USAGE ON SCHEMA dhcp4d TO reader; GRANT SELECT ON dhcp4d.leases TO reader",
	} {
		s.Query(t, sql)
	}
	if m, err := Migrate(t.Context(), s.URL()); err != nil || m != (Migrated{2, schemaFormat}) {
		t.Fatalf("%+v, %v", m, err)
	}
	if got := s.Query(t, "SET ROLE reader; SELECT address, state, remote_id FROM dhcp4d.leases"); !strings.HasSuffix(got, "192.0.2.1|bound|") {
		t.Errorf("the view has %q", got)
	}
	p := openDatabase(t, s.URL())
	defer p.Close()
	for _, l := range storetest.Contents(t, p) {
		if len(l.RemoteID) > 0 || l.Addr != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("%+v", l)
		}
	}
}

// A dhcp4d that runs on tables of an earlier version would go on with statements that do not know
// the new columns.
func TestDB_1_TablesThatADhcp4dUsesAreNotConverted(t *testing.T) {
	t.Parallel()
	s := postgrestest.Start(t)
	for _, sql := range []string{
		migrations[0], migrations[1], "UPDATE dhcp4d.meta SET v = '2' WHERE k = 'format'",
		"INSERT INTO dhcp4d.process VALUES (7, 'west', 0, false, 0, 0), (8, 'killed', -60, false, 0, 0), (9, 'stopped', 0, true, 0, 0)",
		// However slow the test is, each was seen so many seconds before.
		"ALTER TABLE dhcp4d.process RENAME TO seen",
		"CREATE VIEW dhcp4d.process AS SELECT name, gone, seen + extract(epoch FROM clock_timestamp())::float8 AS seen FROM dhcp4d.seen",
	} {
		s.Query(t, sql)
	}
	if _, err := Migrate(t.Context(), s.URL()); err == nil || !strings.Contains(err.Error(), "a dhcp4d uses them (west): stop every dhcp4d first") {
		t.Errorf("said %v", err)
	}
	if got := s.Query(t, "SELECT v FROM dhcp4d.meta WHERE k = 'format'"); got != "2" {
		t.Errorf("the tables are of version %s", got)
	}
	s.Query(t, "UPDATE dhcp4d.seen SET gone = true WHERE name = 'west'")
	if m, err := Migrate(t.Context(), s.URL()); err != nil || m != (Migrated{2, schemaFormat}) {
		t.Errorf("%+v, %v", m, err)
	}
}

// The row of a lease has the Remote-Id also if it names the port of the attachment point.
func TestDB_1_TheRemoteIDIsInTheView(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	p := openDatabase(t, s.URL())
	defer p.Close()
	id := []byte("\x00\x00\x00\x09line")
	var records []lease.Binding
	for i, kind := range []attachment.Kind{attachment.InterfaceID, attachment.RemoteID} {
		b := bindingOf(fmt.Sprintf("192.0.2.%d", i), "client")
		b.Point = (&attachment.Parts{Kind: kind, Address: netip.MustParseAddr("2001:db8::1"), Name: id}).Append(nil)
		b.RemoteID = lease.BesidePoint(b.Point, id)
		records = append(records, b)
	}
	if refused, err := p.Commit(records); err != nil || refused != nil {
		t.Fatal(refused, err)
	}
	if got := s.Query(t, "SELECT remote_id FROM dhcp4d.leases ORDER BY address"); got != "000000096c696e65\n000000096c696e65" {
		t.Errorf("the view has %q", got)
	}
	again := openDatabase(t, s.URL())
	defer again.Close()
	for _, b := range storetest.Contents(t, again) {
		if named := b.Addr.As4()[3] == 1; (len(b.RemoteID) == 0) != named || string(b.Remote()) != string(id) {
			t.Errorf("%v has %q beside the point, %q in all", b.Addr, b.RemoteID, b.Remote())
		}
	}
}

func TestDB_3_SeveralProcessesShareTheDatabase(t *testing.T) {
	s := migrated(t)
	a, b := openDatabase(t, s.URL()), openDatabase(t, s.URL())
	defer a.Close()
	for _, p := range []*Store{a, b} {
		storetest.Contents(t, p)
	}
	commit := func(p *Store, records ...lease.Binding) []store.Refusal {
		t.Helper()
		refused, err := p.Commit(records)
		if err != nil {
			t.Fatal(err)
		}
		return refused
	}
	first := bindingOf("192.0.2.1", "one")
	if refused := commit(a, first, bindingOf("192.0.2.2", "two")); refused != nil {
		t.Fatalf("refused: %+v", refused)
	}
	// b does not know of it yet.
	refused := commit(b, bindingOf("192.0.2.1", "three"), bindingOf("192.0.2.3", "three"))
	if len(refused) != 1 || refused[0].Record != 0 || fmt.Sprintf("%+v", refused[0].Holder) != fmt.Sprintf("%+v", first) {
		t.Errorf("refused: %+v, want the first for %+v", refused, first)
	}
	if found := foreign(t, b); len(found) != 2 || string(found["192.0.2.1"].Client) != "one" || string(found["192.0.2.2"].Client) != "two" {
		t.Errorf("the second finds %+v", found)
	}
	if found := foreign(t, a); len(found) != 1 || string(found["192.0.2.3"].Client) != "three" {
		t.Errorf("the first finds %+v", found)
	}
	renewed := first
	renewed.Changed, renewed.Expires = first.Changed+1, first.Expires+1
	if refused := commit(b, renewed); refused != nil {
		t.Errorf("a client of the first cannot renew with the second: %+v", refused)
	}
	released := renewed
	released.State = lease.Released
	late := released
	late.Changed-- // before the client has renewed with the second
	if refused := commit(a, late); len(refused) != 1 || fmt.Sprintf("%+v", refused[0].Holder) != fmt.Sprintf("%+v", renewed) {
		t.Errorf("an earlier release ends a later binding: %+v", refused)
	}
	late = released // in the second in which the client has renewed with the second
	if refused := commit(a, late); len(refused) != 1 || fmt.Sprintf("%+v", refused[0].Holder) != fmt.Sprintf("%+v", renewed) {
		t.Errorf("a release ends a binding of the same second that another process has written: %+v", refused)
	}
	if refused := commit(a, late, bindingOf("192.0.2.1", "four")); len(refused) != 2 || fmt.Sprintf("%+v", refused[1].Holder) != fmt.Sprintf("%+v", renewed) {
		t.Errorf("a release of the same second ends the binding of another process, and another client has the address: %+v", refused)
	}
	late.Changed--
	// Its address was given to another client in the commit of the release.
	if refused := commit(a, late, bindingOf("192.0.2.1", "four")); len(refused) != 2 || fmt.Sprintf("%+v", refused[1].Holder) != fmt.Sprintf("%+v", renewed) {
		t.Errorf("an earlier release ends a later binding, and another client has the address: %+v", refused)
	}
	if refused := commit(b, released, lease.Binding{ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.2")}}); refused != nil {
		t.Errorf("it cannot release: %+v", refused)
	}
	found := foreign(t, a)
	if gone, ok := found["192.0.2.2"]; !ok || gone.State != lease.NoState || found["192.0.2.1"].State != lease.Released || len(found) != 2 {
		t.Errorf("the first finds %+v", found)
	}
	if found := foreign(t, a); len(found) != 0 {
		t.Errorf("and again %+v", found)
	}
	// One that starts later reads all by Load, and then what is new.
	c := openDatabase(t, s.URL())
	defer c.Close()
	if n := len(storetest.Contents(t, c)); n != 2 {
		t.Errorf("the third loads %d leases", n)
	}
	commit(a, bindingOf("192.0.2.9", "nine"))
	if found := foreign(t, c); len(found) != 1 {
		t.Errorf("the third finds %+v", found)
	}
	commit(c, bindingOf("192.0.2.10", "ten"))
	if found := foreign(t, a); len(found) != 1 {
		t.Errorf("the first finds %+v of the third", found)
	}
	// The shares are those of the processes that run.
	divided(t, a, b, c)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	divided(t, a, c)
}

// divided has processes look at each other until each of them has a share of its own.
func divided(t *testing.T, all ...*Store) {
	t.Helper()
	for began := time.Now(); ; {
		shares := map[store.Share]bool{}
		for _, p := range all {
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			if share := p.Share(); share.Of == len(all) && p.Stats().Processes == len(all) {
				shares[share] = true
			}
		}
		switch {
		case len(shares) == len(all):
			return
		case time.Since(began) > time.Minute:
			t.Fatalf("%d processes have the shares %v", len(all), shares)
		}
	}
}

// TestDB_3_WhoIsFarBehindLoadsAnew has the changes that a process has not read yet removed.
func TestDB_3_WhoIsFarBehindLoadsAnew(t *testing.T) {
	s := migrated(t)
	a, b := openDatabase(t, s.URL()), openDatabase(t, s.URL())
	defer a.Close()
	defer b.Close()
	storetest.Contents(t, b)
	if _, err := a.Commit([]lease.Binding{bindingOf("192.0.2.1", "one")}); err != nil {
		t.Fatal(err)
	}
	s.Query(t, "UPDATE dhcp4d.change SET at = at - interval '1 hour'")
	if err := a.Check(); err != nil { // it removes them
		t.Fatal(err)
	}
	if n := s.Query(t, "SELECT count(*) FROM dhcp4d.change"); n != "0" {
		t.Fatalf("%s changes are left", n)
	}
	if _, err := b.Foreign(nil); !errors.Is(err, errBehind) {
		t.Errorf("the changes are missing: %v", err)
	}
	if err := b.Check(); !errors.Is(err, errBehind) {
		t.Errorf("it is checked: %v", err)
	}
	if err := b.Reopen(); err != nil {
		t.Fatal(err)
	}
	if n := len(storetest.Contents(t, b)); n != 1 {
		t.Errorf("it loads %d leases", n)
	}
	if err := b.Check(); err != nil {
		t.Error(err)
	}
	if found := foreign(t, b); len(found) != 0 {
		t.Errorf("it finds %+v", found)
	}
}

// TestDB_4_WhoHasLeftCommitsNoMore has a commit under way under the number that a process had
// before it opened its store again.
func TestDB_4_WhoHasLeftCommitsNoMore(t *testing.T) {
	s := migrated(t)
	p := openDatabase(t, s.URL())
	defer p.Close()
	before := p.mine
	if err := p.Reopen(); err != nil {
		t.Fatal(err)
	}
	now := p.mine
	p.mine = before
	group := new(rows)
	group.fill([]lease.Binding{bindingOf("192.0.2.1", "one")})
	if _, err := p.attempt(before.wseq+1, group); !errors.Is(err, errNotHeld) {
		t.Errorf("the old commit: %v", err)
	}
	p.mine = now
	if n := len(storetest.Contents(t, p)); n != 0 {
		t.Errorf("%d leases", n)
	}
}

// TestDB_4_TheServerNoticesAMachineThatIsGone: the server asks soon whether anybody is still there,
// because an unfinished commit keeps locks.
func TestDB_4_TheServerNoticesAMachineThatIsGone(t *testing.T) {
	host := fmt.Sprintf("127.83.%d.%d", rand.IntN(256), rand.IntN(256)) // other servers may have port 5432 too
	s := migrated(t, "listen_addresses="+host)
	p := openDatabase(t, "postgres://dhcp4d@"+host+"/postgres")
	defer p.Close()
	for setting, want := range map[string]string{
		"tcp_keepalives_idle": "2", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "3", "tcp_user_timeout": "5000",
	} {
		var got string
		if err := p.conn.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %s", setting, got, err, want)
		}
	}
	if n := s.Query(t, "SELECT count(*) FROM pg_stat_activity WHERE client_addr IS NOT NULL"); n == "0" {
		t.Error("no connection is over TCP")
	}
}

// TestDB_4_UnknownOutcomesAreSettled loses the answer of commits, and has each settle.
func TestDB_4_UnknownOutcomesAreSettled(t *testing.T) {
	s := migrated(t)
	for _, c := range []struct {
		name string
		then func(p *Store, records []lease.Binding) // after which the first attempt has no answer
	}{
		{"it has happened", func(p *Store, records []lease.Binding) {
			group := new(rows)
			group.fill(records)
			if _, err := p.attempt(p.mine.wseq+1, group); err != nil {
				t.Fatal(err)
			}
			drop(&p.conn)
		}},
		{"it has not happened", func(p *Store, _ []lease.Binding) { drop(&p.conn) }},
		{"the server was killed", func(*Store, []lease.Binding) { s.Kill(t); s.Restart(t) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := openDatabase(t, s.URL())
			defer p.Close()
			twin := newJudge()
			r := rand.New(rand.NewPCG(7, 7))
			if err := loadRows(t.Context(), p.conn, func(b *lease.Binding) error { _, err := twin.Store.Commit([]lease.Binding{*b}); return err }); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				records := some(r, 20)
				c.then(p, records)
				committed(t, p, twin, records)
				sameAs(t, p, twin)
			}
		})
	}
}

// TestDB_1_NoCommitIsLostWhenTheServerIsKilled kills the server under load.
func TestDB_1_NoCommitIsLostWhenTheServerIsKilled(t *testing.T) {
	s := migrated(t)
	p, twin := openDatabase(t, s.URL()), newJudge()
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
			twin = newJudge()
			if _, err := p.Load(func(b *lease.Binding) error { _, err := twin.Store.Commit([]lease.Binding{*b}); return err }); err != nil {
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
// that has committed since. What the process has in memory is put back.
func TestDB_5_ADatabaseThatForgetsIsNoticed(t *testing.T) {
	for _, c := range []struct{ name, sql string }{
		{"commits", "UPDATE dhcp4d.process SET wseq = 1 WHERE writer = %d"},
		{"the process", "DELETE FROM dhcp4d.process WHERE writer = %d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := migrated(t)
			p := openDatabase(t, s.URL())
			defer p.Close()
			other := openDatabase(t, s.URL())
			defer other.Close()
			r := rand.New(rand.NewPCG(1, 1))
			twin := newJudge()
			for range 3 {
				committed(t, p, twin, some(r, 9))
			}
			memory := storetest.Contents(t, p)
			later := memory[slices.Sorted(maps.Keys(memory))[0]] // what another process commits later stays
			later.Client, later.Changed = []byte("another"), later.Changed+1
			s.Query(t, fmt.Sprintf(c.sql, p.mine.writer))
			s.Query(t, "DELETE FROM dhcp4d.lease")
			committed(t, other, newJudge(), []lease.Binding{later})
			for range 2 {
				if _, err := p.Commit(some(r, 3)); err == nil || !strings.Contains(err.Error(), "forgotten") {
					t.Errorf("the next commit: %v", err)
				}
				if err := p.Reopen(); err != nil || !p.Forgot() {
					t.Errorf("opened again: %v, forgot %v", err, p.Forgot())
				}
			}
			next := openDatabase(t, s.URL())
			defer next.Close()
			storetest.Contents(t, next)
			if !store.MustRecover(next) {
				t.Error("the next dhcp4d does not recover")
			}
			if err := store.Recovered(next); err != nil || store.MustRecover(next) {
				t.Error("and goes on to do so:", err)
			}
			restored, err := p.Heal(func(take store.Take) error {
				for _, b := range memory {
					if err := take(&b, true); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil || restored != len(memory)-1 || p.Forgot() {
				t.Errorf("%d of %d put back, forgot %v, %v", restored, len(memory), p.Forgot(), err)
			}
			memory[storetest.Key(&later)] = later
			twin = newJudge()
			for _, b := range memory {
				if _, err := twin.Store.Commit([]lease.Binding{b}); err != nil {
					t.Fatal(err)
				}
			}
			sameAs(t, p, twin)
			if heard, err := next.Foreign(nil); err != nil || len(heard) != restored {
				t.Errorf("another process hears of %d of %d, %v", len(heard), restored, err)
			}
			committed(t, p, twin, some(r, 9))
			last := openDatabase(t, s.URL())
			defer last.Close()
			if store.MustRecover(last) {
				t.Error("one that starts after that recovers")
			}
		})
	}
}

// TestDB_4_AStandbyThatDoesNotAnswer has the server give up waiting for a synchronous standby.
func TestDB_4_AStandbyThatDoesNotAnswer(t *testing.T) {
	s := migrated(t)
	p := openDatabase(t, s.URL())
	defer p.Close()
	waiting := func() string {
		return s.Query(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dhcp4d' AND wait_event = 'SyncRep'")
	}
	follow(t, s, "nobody")
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
	follow(t, s, "")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	twin := store.NewMemory()
	if _, err := twin.Commit(records); err != nil {
		t.Fatal(err)
	}
	sameAs(t, p, twin)
}

// follow has s wait for its standbys, or not.
func follow(t *testing.T, s *postgrestest.Server, names string) {
	t.Helper()
	s.Query(t, "ALTER SYSTEM SET synchronous_standby_names = '"+names+"'")
	s.Query(t, "SELECT pg_reload_conf()")
	for s.Query(t, "SHOW synchronous_standby_names") != names {
		time.Sleep(10 * time.Millisecond)
	}
}

// TestDB_1_NoCommitIsLostWhenAStandbyTakesOver kills the server, and promotes the standby that it
// has waited for.
func TestDB_1_NoCommitIsLostWhenAStandbyTakesOver(t *testing.T) {
	first := migrated(t)
	second := first.Standby(t)
	follow(t, first, "*")
	p, twin := openDatabase(t, postgrestest.URLOf(first, second)), newJudge()
	defer p.Close()
	r := rand.New(rand.NewPCG(4, 4))
	for range 20 {
		committed(t, p, twin, some(r, 20))
	}
	first.Kill(t)
	second.Promote(t)
	for began := time.Now(); ; { // as the committer does
		if err := p.Reopen(); err == nil {
			break
		} else if time.Since(began) > time.Minute {
			t.Fatal(err)
		}
	}
	sameAs(t, p, twin)
	committed(t, p, twin, some(r, 20))
	sameAs(t, p, twin)
	if err := p.Check(); err != nil {
		t.Error(err)
	}
}

// TestDB_5_AStandbyThatLacksCommitsIsNoticed promotes a standby that was away for the last commits.
func TestDB_5_AStandbyThatLacksCommitsIsNoticed(t *testing.T) {
	first := migrated(t)
	second := first.Standby(t)
	var log bytes.Buffer
	p, err := Open(postgrestest.URLOf(first, second), slog.New(slog.NewTextHandler(&log, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if !strings.Contains(log.String(), "1 standbys, none of them synchronous") {
		t.Errorf("it is not warned of: %s", log.String())
	}
	r := rand.New(rand.NewPCG(5, 5))
	for i := range 6 {
		if i == 3 {
			second.Kill(t)
		}
		if _, err := p.Commit(some(r, 5)); err != nil {
			t.Fatal(err)
		}
	}
	first.Kill(t)
	second.Restart(t)
	second.Promote(t)
	forgotten := func(err error) bool { return err != nil && strings.Contains(err.Error(), "forgotten") }
	// A process that commits nothing notices when it looks for what others have changed.
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		_, err := p.Foreign(nil)
		if forgotten(err) {
			break
		}
		if err == nil || time.Since(began) > 10*time.Second {
			t.Fatalf("the next look: %v", err)
		}
	}
	if err := p.Check(); !forgotten(err) {
		t.Errorf("the next check: %v", err)
	}
	if _, err := p.Commit(some(r, 5)); !forgotten(err) {
		t.Errorf("the next commit: %v", err)
	}
	next := openDatabase(t, second.URL())
	defer next.Close()
	if !store.MustRecover(next) {
		t.Error("the next dhcp4d does not recover")
	}
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

// TestDB_6_ADatabaseIsChecked looks at databases that can be the store, and at some that cannot.
func TestDB_6_ADatabaseIsChecked(t *testing.T) {
	s := migrated(t)
	p := openDatabase(t, s.URL())
	defer p.Close()
	if _, err := p.Commit([]lease.Binding{bindingOf("192.0.2.1", "one")}); err != nil {
		t.Fatal(err)
	}
	check := func() (text string, failed bool) {
		t.Helper()
		for _, c := range Check(t.Context(), s.URL()) {
			text += fmt.Sprintln(c.What, c.Note, c.Err, c.Warn)
			failed = failed || c.Err != nil
		}
		return text, failed
	}
	const state = "SELECT (SELECT count(*) FROM dhcp4d.lease) || ' ' || (SELECT count(*) FROM dhcp4d.process) || ' ' || (SELECT count(*) FROM dhcp4d.change)"
	before := s.Query(t, state)
	if text, failed := check(); failed || !strings.Contains(text, "version 3, 1 leases, 1 dhcp4d run") || !strings.Contains(text, "8 of them do what they should") {
		t.Errorf("a good one:\n%s", text)
	}
	if after := s.Query(t, state); after != before {
		t.Errorf("rows were %s, are %s", before, after)
	}
	for _, c := range []struct{ name, sql, want string }{
		{"a standby that nobody waits for", "CREATE SCHEMA other", "there is no standby"},
		{"a table that it may not write", "CREATE RULE stop AS ON UPDATE TO dhcp4d.lease DO INSTEAD NOTHING", "the statements of dhcp4d"},
		{"tables of another version", "UPDATE dhcp4d.meta SET v = '99' WHERE k = 'format'", "newer dhcp4d"},
	} {
		s.Query(t, c.sql)
		if text, failed := check(); !strings.Contains(text, c.want) || failed != (c.want != "there is no standby") {
			t.Errorf("%s:\n%s", c.name, text)
		}
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
	if _, err := p.Commit(some(r, 3)); !errors.Is(err, store.ErrFailed) {
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
		if n := len(storetest.Contents(t, p)); n != 1 {
			t.Fatalf("%d leases", n)
		}
		s.Query(t, "UPDATE dhcp4d.lease SET "+set)
		if _, err := p.Load(func(*lease.Binding) error { return nil }); !errors.Is(err, errRow) {
			t.Errorf("%s: %v", set, err)
		}
	}
}

// TestDB_11_TheFeedReadsOnlyWhatIsNew: the table change has what was changed in the last 15
// minutes. Ten times a second each process reads the part that it does not know, and nothing else.
func TestDB_11_TheFeedReadsOnlyWhatIsNew(t *testing.T) {
	s := migrated(t)
	p := openDatabase(t, s.URL())
	defer p.Close()
	run := func(sql string) (lines []string) {
		t.Helper()
		rows, err := p.conn.Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		lines, err = pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	run("INSERT INTO dhcp4d.process SELECT w, 'another', 0, false, 9000, 0 FROM generate_series(1, 3) w")
	run(`INSERT INTO dhcp4d.change SELECT w, n, 2, now(), array_fill(n, ARRAY[16]), array_fill(0, ARRAY[16])
		FROM generate_series(1, 3) w, generate_series(1, 9000) n`)
	run("PREPARE feed (int8, int8[], int8[], int8) AS " + sqlFeed)
	for _, analysed := range []string{"SELECT 'no'", "ANALYSE dhcp4d.change"} {
		run(analysed)
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			run("SET plan_cache_mode = " + mode)
			plan := strings.Join(run("EXPLAIN EXECUTE feed (4, '{1,2,3}', '{9000,8990,8000}', 5001)"), "\n")
			if !strings.Contains(plan, "change_pkey") || strings.Contains(plan, "Seq Scan on change") {
				t.Errorf("%s, %s:\n%s", analysed, mode, plan)
			}
		}
	}
}
