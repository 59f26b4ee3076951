package store

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/database"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// holding is the row of the table holder.
type holding struct {
	term   int64 // counts the processes that have had the store
	writer int64 // random, names the process that has it
	wseq   int64 // of its last commit
}

// postgres is a store in a PostgreSQL database, which may be on another host. One dhcp4d uses it at
// a time; when that one is gone, another may go on, on any host.
//
// # A commit
//
// A commit is one pipeline, which PostgreSQL runs as one transaction: first the row of the table
// holder, then the records. The row names the process that has the store, and the number of its
// last commit. A commit changes it from the number before to its own, and fails where it finds
// anything else. So one row does three things:
//
//   - It keeps out every other process. Who takes the store over writes its own name there, and
//     waits for the commit that has the row locked.
//   - It tells the outcome of a commit whose answer was lost with the connection. The commit is
//     made again under the same number. If that succeeds, the first attempt has not happened and
//     cannot happen any more. If the row has the number already, the first attempt has happened.
//   - It shows that commits are gone which were acknowledged, as after a failover to a standby that
//     had not received them: term or number are lower than they were.
type postgres struct {
	place  string
	config *pgx.ConnConfig
	o      Options
	doubt  atomic.Bool // the server said that a commit may not have reached a standby

	conn  *pgx.Conn // of Load and Commit; nil while there is none
	mine  holding   // what the table holder has, as far as is known
	lost  error     // commits that were acknowledged are gone
	group rows      // of the commit

	closing chan struct{} // closed by Close

	side struct { // of what runs beside the commits
		sync.Mutex
		conn    *pgx.Conn
		writer  int64     // ours, of mine
		seen    time.Time // when the database has answered last
		sized   time.Time
		id      string // of the store
		repair  bool   // leases may be missing
		clocked bool
	}
	bytes, records atomic.Uint64
}

const (
	// answerWithin bounds how long one attempt takes.
	answerWithin = 5 * time.Second
	// settleWithin is how long a commit is tried before the store counts as failed. Clients have
	// repeated their messages by then.
	settleWithin = 5 * time.Second
	// leaseOfStore is how long a process that has said nothing is believed to have the store.
	leaseOfStore = 3 * time.Second
)

// openPostgres opens the database and takes the store.
func openPostgres(text string, o Options) (*postgres, error) {
	p, err := newPostgres(text, o)
	if err != nil {
		return nil, err
	}
	if err := p.take(); err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

func newPostgres(text string, o Options) (*postgres, error) {
	config, err := database.Parse(text)
	if err != nil {
		return nil, err
	}
	p := &postgres{place: text, config: config, o: o, closing: make(chan struct{})}
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.Code == codeWarning { // the wait for a synchronous standby was cancelled
			p.doubt.Store(true)
		}
	}
	return p, nil
}

// SQLSTATEs, see PostgreSQL's manual, appendix A.
const (
	codeWarning        = "01000"
	codeDivisionByZero = "22012"
	codeNoTable        = "42P01"
	codeNoSchema       = "3F000"
)

// connect makes a connection.
func (p *postgres) connect() (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), database.ConnectWithin)
	defer cancel()
	c, err := pgx.ConnectConfig(ctx, p.config)
	if err != nil {
		return nil, fmt.Errorf("lease store %s: %w", p.place, err)
	}
	return c, nil
}

// drop closes a connection without waiting for the server.
func drop(c **pgx.Conn) {
	if *c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = (*c).Close(ctx) // what was wrong was said already
	*c = nil
}

// take connects, checks the database, and writes our name into the table holder. Nobody else
// commits from then on.
func (p *postgres) take() error {
	if p.lost != nil {
		return p.lost
	}
	conn, err := p.connect()
	if err != nil {
		return err
	}
	drop(&p.conn)
	p.conn = conn
	err = p.check()
	if err == nil && p.mine.term != 0 {
		if err = p.compare(); errors.Is(err, errTaken) {
			err = nil // by one that may be gone
		}
	}
	if err == nil {
		err = p.claim()
	}
	if err != nil {
		return fmt.Errorf("lease store %s: %w", p.place, err)
	}
	return nil
}

// check looks whether the database can be a store.
func (p *postgres) check() error {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	if err := checkFormat(ctx, p.conn); err != nil {
		return err
	}
	for _, name := range []string{"fsync", "full_page_writes"} {
		var value string
		if err := p.conn.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			return fmt.Errorf("reading the setting %s: %w", name, err)
		}
		if value != "on" {
			return fmt.Errorf("the database runs with %s=%s and loses acknowledged leases in a crash: set %s=on", name, value, name)
		}
	}
	return nil
}

// claim waits until nobody has the store, and takes it.
func (p *postgres) claim() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*leaseOfStore)
	defer cancel()
	for began := time.Now(); ; {
		var name string
		var age float64
		err := p.conn.QueryRow(ctx, `SELECT u.name, extract(epoch FROM now() - u.seen)::float8 FROM dhcp4d.holder h
			JOIN dhcp4d.process u ON u.writer = h.writer WHERE h.writer <> $1`, p.mine.writer).Scan(&name, &age)
		if errors.Is(err, pgx.ErrNoRows) || (err == nil && age > leaseOfStore.Seconds()) {
			break
		}
		if err != nil {
			return fmt.Errorf("looking who has the store: %w", err)
		}
		if time.Since(began) > 2*leaseOfStore {
			return &heldError{name}
		}
		time.Sleep(leaseOfStore / 10)
	}
	h := holding{writer: newWriter()}
	if err := pgx.BeginFunc(ctx, p.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM dhcp4d.process"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO dhcp4d.process (writer, name, seen) VALUES ($1, $2, now())", h.writer, hostname()); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "UPDATE dhcp4d.holder SET term = term + 1, writer = $1, wseq = 0 RETURNING term", h.writer).Scan(&h.term)
	}); err != nil {
		return fmt.Errorf("taking the store: %w", err)
	}
	p.side.Lock()
	defer p.side.Unlock()
	p.mine, p.side.writer, p.side.seen = h, h.writer, time.Now()
	var repair, mark string
	err := p.conn.QueryRow(ctx, `SELECT max(v) FILTER (WHERE k = 'store'), coalesce(max(v) FILTER (WHERE k = 'repaired'), ''),
		coalesce(max(v) FILTER (WHERE k = 'clock'), '') FROM dhcp4d.meta`).Scan(&p.side.id, &repair, &mark)
	if err != nil {
		return fmt.Errorf("reading the table meta: %w", err)
	}
	p.side.repair, p.side.clocked = repair == "yes", mark != ""
	return nil
}

// heldError says that another dhcp4d has the database.
type heldError struct{ host string }

func (e *heldError) Error() string {
	return "the dhcp4d on " + e.host + " has it; this one can have it when that one has ended"
}

// MayPass reports whether [Open] may succeed later although nobody changes the configuration: a
// database that cannot be reached comes back, and another dhcp4d that has it ends.
func MayPass(err error) bool {
	if _, held := errors.AsType[*heldError](err); held {
		return true
	}
	if _, connecting := errors.AsType[*pgconn.ConnectError](err); !connecting {
		return false
	}
	return passing(err)
}

// newWriter names a process. No two have the same name.
func newWriter() int64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return int64(binary.BigEndian.Uint64(b[:]) >> 1)
}

// Load implements Store.
func (p *postgres) Load(fn func(*lease.Binding) error) (l Loaded, err error) {
	if p.conn == nil {
		return l, fmt.Errorf("lease store %s: %w", p.place, ErrFailed)
	}
	began := time.Now()
	err = loadRows(context.Background(), p.conn, func(b *lease.Binding) error {
		l.count(b)
		return fn(b)
	})
	l.Took = time.Since(began)
	if err != nil {
		return l, fmt.Errorf("lease store %s: %w", p.place, err)
	}
	return l, nil
}

// Check implements Store. It says that this process lives, and looks whether it still has the
// store.
func (p *postgres) Check() error {
	p.side.Lock()
	defer p.side.Unlock()
	err := p.aside(func(ctx context.Context, c *pgx.Conn) error {
		var ours bool
		err := c.QueryRow(ctx, `WITH alive AS (UPDATE dhcp4d.process SET seen = now() WHERE writer = $1)
			SELECT writer = $1 FROM dhcp4d.holder`, p.side.writer).Scan(&ours)
		if err == nil && !ours {
			return errTaken
		}
		return err
	})
	switch {
	case err == nil:
		p.side.seen = time.Now()
		p.size()
		return nil
	case errors.Is(err, errTaken), time.Since(p.side.seen) > settleWithin:
		return fmt.Errorf("lease store %s: %w", p.place, err)
	}
	return nil // a moment without the database; a commit that needs it waits
}

var errTaken = errors.New("another dhcp4d has taken the store")

// size notes once a minute how large the store is. The caller holds side.
func (p *postgres) size() {
	if time.Since(p.side.sized) < time.Minute {
		return
	}
	p.side.sized = time.Now()
	var n int64
	if err := p.aside(func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, "SELECT pg_total_relation_size('dhcp4d.lease')").Scan(&n)
	}); err == nil {
		p.bytes.Store(uint64(n))
	}
}

// aside calls fn with the connection beside the commits. The caller holds side.
func (p *postgres) aside(fn func(ctx context.Context, c *pgx.Conn) error) error {
	if p.side.conn == nil {
		c, err := p.connect()
		if err != nil {
			return err
		}
		p.side.conn = c
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	err := fn(ctx, p.side.conn)
	if p.side.conn.IsClosed() {
		drop(&p.side.conn)
	}
	return err
}

// ClockMark implements Store.
func (p *postgres) ClockMark() (m clock.Mark, err error) {
	p.side.Lock()
	defer p.side.Unlock()
	var text string
	err = p.aside(func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, "SELECT v FROM dhcp4d.meta WHERE k = 'clock'").Scan(&text)
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return m, ErrNoMark
	case err != nil:
		return m, fmt.Errorf("lease store %s: reading the clock mark: %w", p.place, err)
	case m.UnmarshalText([]byte(text)) != nil || m.Store != p.side.id:
		return clock.Mark{}, ErrMarkLost
	}
	return m, nil
}

// KeepClockMark implements Store.
func (p *postgres) KeepClockMark(m clock.Mark) error {
	p.side.Lock()
	defer p.side.Unlock()
	m.Store = p.side.id
	return p.setMeta("clock", string(m.AppendText(nil)))
}

// mustRecover reports whether leases may be missing.
func (p *postgres) mustRecover() bool {
	p.side.Lock()
	defer p.side.Unlock()
	return p.side.repair
}

// setRepaired notes whether leases may be missing.
func (p *postgres) setRepaired(yes bool) error {
	p.side.Lock()
	defer p.side.Unlock()
	value := "no"
	if yes {
		value = "yes"
	}
	if err := p.setMeta("repaired", value); err != nil {
		return err
	}
	p.side.repair = yes
	return nil
}

// setMeta writes a row of the table meta, if we have the store. The caller holds side.
func (p *postgres) setMeta(k, v string) error {
	err := p.aside(func(ctx context.Context, c *pgx.Conn) error {
		tag, err := c.Exec(ctx, `INSERT INTO dhcp4d.meta (k, v) SELECT $2, $3 FROM dhcp4d.holder WHERE writer = $1
			ON CONFLICT (k) DO UPDATE SET v = excluded.v`, p.side.writer, k, v)
		if err == nil && tag.RowsAffected() == 0 {
			return errTaken
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("lease store %s: writing %s into the table meta: %w", p.place, k, err)
	}
	return nil
}

// Reopen implements Store. Taking the store under another name makes sure that an attempt whose
// outcome is unknown either stands or never will.
func (p *postgres) Reopen() error { return p.take() }

// Stats implements Store.
func (p *postgres) Stats() Stats {
	return Stats{Bytes: p.bytes.Load(), Records: p.records.Load()}
}

// Close implements Store.
func (p *postgres) Close() error {
	close(p.closing)
	drop(&p.conn)
	p.side.Lock()
	defer p.side.Unlock()
	if p.side.writer != 0 { // so that the next one need not wait until we count as gone
		_ = p.aside(func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, "DELETE FROM dhcp4d.process WHERE writer = $1", p.side.writer)
			return err
		})
	}
	drop(&p.side.conn)
	return nil
}
