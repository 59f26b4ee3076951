package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// Checked is one thing that [Check] has looked at.
type Checked struct {
	What string
	Note string // what was found, or how to mend it
	Err  error  // not nil: dhcp4d cannot use the database as it is
	Warn bool   // dhcp4d can use it, but somebody should read Note
}

// Check checks whether a database can be the store of dhcp4d. It makes the commits of
// dhcp4d in a transaction that it rolls back. So it changes nothing, and other dhcp4d may use the
// database meanwhile. It stops at the first check that fails.
func Check(ctx context.Context, url string) []Checked {
	p, err := prepare(url, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return []Checked{{What: "the URL", Err: err}}
	}
	if p.conn, err = p.connect(); err != nil {
		return []Checked{{What: "a connection to a server that takes writes", Err: err}}
	}
	defer drop(&p.conn)
	var all []Checked
	for _, step := range []struct {
		what string
		look func(context.Context) (note string, warn bool, err error)
	}{
		{"the server", p.lookAtServer},
		{"the tables", p.lookAtTables},
		{"what is on disk survives a crash", p.lookAtDisk},
		{"a standby has what is acknowledged", p.lookAtStandbys},
		{"the statements of dhcp4d", p.tryStatements},
	} {
		within, cancel := context.WithTimeout(ctx, 2*answerWithin)
		note, warn, err := step.look(within)
		cancel()
		all = append(all, Checked{step.what, note, err, warn})
		if err != nil {
			break
		}
	}
	return all
}

func (p *Store) lookAtServer(ctx context.Context) (string, bool, error) {
	var version string
	began := time.Now()
	err := p.conn.QueryRow(ctx, "SELECT version()").Scan(&version)
	return fmt.Sprintf("%s, answers in %v", version, time.Since(began).Round(10*time.Microsecond)), false, err
}

func (p *Store) lookAtTables(ctx context.Context) (string, bool, error) {
	if err := checkFormat(ctx, p.conn); err != nil {
		return "", false, err
	}
	var leases, processes int
	err := p.conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM dhcp4d.lease),
		(SELECT count(*) FROM dhcp4d.process
			WHERE NOT gone AND abs(seen - extract(epoch FROM clock_timestamp())::float8) < $1)`,
		float64(liveFor)).Scan(&leases, &processes)
	return fmt.Sprintf("version %d, %d leases, %d dhcp4d run", schemaFormat, leases, processes), false, err
}

func (p *Store) lookAtDisk(ctx context.Context) (string, bool, error) {
	err := p.checkSettings(ctx)
	if e := sqlState(err); e == codeNoSetting {
		return "the server does not know fsync and full_page_writes: read its manual", true, nil
	}
	return "fsync and full_page_writes are on", false, err
}

func (p *Store) lookAtStandbys(ctx context.Context) (string, bool, error) {
	names, standbys, err := readStandbys(ctx, p.conn)
	switch e := sqlState(err); {
	case e == codeNoSetting, e == codeNoTable:
		return "the server does not know synchronous_standby_names: read its manual", true, nil
	case err != nil:
		return "", false, err
	case standbys.Asynchronous > 0 && names == "":
		return fmt.Sprintf("%d standbys, none of them synchronous: after a failover, "+
			"leases may be gone that were acknowledged; set synchronous_standby_names",
			standbys.Asynchronous), true, nil
	case names == "":
		return "there is no standby", false, nil
	}
	return "synchronous: " + names, false, nil
}

// errTried ends the transaction of tryStatements.
var errTried = errors.New("tried")

// tryStatements makes commits of two processes in a transaction that is rolled back.
func (p *Store) tryStatements(ctx context.Context) (string, bool, error) {
	did := 0
	err := pgx.BeginFunc(ctx, p.conn, func(pgx.Tx) error {
		if err := p.enter(); err != nil {
			return err
		}
		other := p.mine
		if err := p.enter(); err != nil {
			return err
		}
		if err := p.readPositions(); err != nil {
			return err
		}
		now := p.clock.Now()
		of := func(client string) lease.Binding { // no network has this address (RFC 1122 section 3.2.1.3)
			return lease.Binding{
				ID: lease.ID{Addr: netip.AddrFrom4([4]byte{0, 0, 0, 1})}, State: lease.Bound,
				Client: []byte(client), HWAddr: []byte(client), Point: []byte(client),
				Start: now, Changed: now, Expires: now + 60,
			}
		}
		renewed, late := of("a"), of("a")
		renewed.Expires++
		late.State = lease.Released
		released := late
		released.Changed++
		for _, c := range []struct {
			what    string
			by      *position
			records []lease.Binding
			all     bool
		}{
			{"to store a binding", &other, []lease.Binding{of("a")}, true},
			{"to refuse it to another client", &p.mine, []lease.Binding{of("b")}, false},
			{"to renew it for its client", &p.mine, []lease.Binding{renewed}, true},
			{"to keep it when its client has released it before", &other, []lease.Binding{late}, false},
			{"to give it to another client when its client loses it", &other, []lease.Binding{released, of("b")}, true},
			{"to remove it", &other, []lease.Binding{{ID: of("").ID}}, true},
		} {
			mine := p.mine
			p.mine = *c.by
			p.group.fill(c.records)
			all, err := p.attempt(c.by.wseq+1, &p.group)
			p.mine = mine
			if err == nil && all != c.all {
				err = errors.New("the outcome is another one")
			}
			if err != nil {
				return fmt.Errorf("%s: %w", c.what, err)
			}
			c.by.wseq++
			did++
		}
		p.feed.conn = p.conn // only this connection sees what the transaction has done
		defer func() { p.feed.conn = nil }()
		if err := p.readChanges(ctx, nil); err != nil {
			return fmt.Errorf("to read what others have changed: %w", err)
		}
		if err := p.readKeys(ctx); err != nil {
			return fmt.Errorf("to read leases that others have changed: %w", err)
		}
		gone := func(b lease.Binding) bool { return b.ID == of("").ID && b.State == lease.NoState }
		if !slices.ContainsFunc(p.feed.batch.Records, gone) {
			return errors.New("to read what others have changed: a lease that was removed is not found")
		}
		// This one comes last, because its error ends the transaction.
		if _, err := p.attempt(p.mine.wseq+5, &rows{}); !errors.Is(err, errNotHeld) {
			return fmt.Errorf("to refuse a commit under a wrong number: %w", err)
		}
		did += 2
		return errTried
	})
	if errors.Is(err, errTried) {
		return fmt.Sprintf("%d of them do what they should; nothing was changed", did), false, nil
	}
	return "", false, err
}
