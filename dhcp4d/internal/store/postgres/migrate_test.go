package postgres

import (
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// future are the migrations up to the next version.
var future = append(migrations[:len(migrations):len(migrations)], "ALTER TABLE dhcp4d.lease ADD COLUMN next int8")

// TestDB_1_ADhcp4dThatStartsWhileTheTablesAreConverted stops a dhcp4d that starts, and the
// conversion to the next version, at places where each could miss the other.
func TestDB_1_ADhcp4dThatStartsWhileTheTablesAreConverted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		prepare      string // SQL
		stop         string // SQL that makes both wait
		migrateFirst bool
		starts       bool // or else the tables are converted
	}{
		{name: "it has read the version and has not entered", stop: "LOCK TABLE dhcp4d.process IN SHARE MODE"},
		{
			name: "it is about to enter",
			prepare: `CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$;
				CREATE TRIGGER wait BEFORE INSERT ON dhcp4d.process FOR EACH ROW EXECUTE FUNCTION wait();`,
			stop: "SELECT pg_advisory_xact_lock(1)", starts: true,
		},
		{name: "the conversion has begun", stop: "LOCK TABLE dhcp4d.lease IN ACCESS SHARE MODE", migrateFirst: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := migrated(t)
			s.Query(t, c.prepare)
			end := s.Begin(t, c.stop)
			opened, converted := make(chan error, 1), make(chan error, 1)
			begin := []func(){
				func() {
					p, err := Open(s.URL(), slog.New(slog.DiscardHandler), nil)
					if err == nil {
						defer p.Close()
					}
					opened <- err
				},
				func() {
					_, err := migrate(t.Context(), s.URL(), future)
					converted <- err
				},
			}
			if c.migrateFirst {
				begin[0], begin[1] = begin[1], begin[0]
			}
			for i, f := range begin {
				go f()
				await(t, func() bool {
					waiting := s.Query(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dhcp4d' AND wait_event_type = 'Lock'")
					return waiting == strconv.Itoa(i+1) || len(opened)+len(converted) > 0
				})
			}
			end()
			open, convert := <-opened, <-converted
			if c.starts {
				if open != nil || convert == nil || !strings.Contains(convert.Error(), "stop every dhcp4d first") {
					t.Errorf("opened: %v, converted: %v", open, convert)
				}
			} else if convert != nil || open == nil || !strings.Contains(open.Error(), "run a newer dhcp4d") {
				t.Errorf("opened: %v, converted: %v", open, convert)
			}
		})
	}
}

// A dhcp4d that was frozen while the tables were converted comes back with its statements of the
// earlier version.
func TestDB_1_ADhcp4dThatWasFrozenWhileTheTablesWereConverted(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	p := openDatabase(t, s.URL())
	defer p.Close()
	s.Query(t, "UPDATE dhcp4d.process SET seen = seen - 6")
	if _, err := migrate(t.Context(), s.URL(), future); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit([]lease.Binding{bindingOf("192.0.2.1", "one")}); !errors.Is(err, store.ErrFailed) {
		t.Errorf("its next commit: %v", err)
	}
	if n := s.Query(t, "SELECT count(*) FROM dhcp4d.lease"); n != "0" {
		t.Errorf("%s leases", n)
	}
	if err := p.Reopen(); err == nil || !strings.Contains(err.Error(), "run a newer dhcp4d") {
		t.Errorf("opened again: %v", err)
	}
}

// await waits until ok returns true.
func await(t *testing.T, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("waited a minute in vain")
		}
	}
}
