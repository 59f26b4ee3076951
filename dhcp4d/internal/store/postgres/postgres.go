// Package postgres keeps bindings in a PostgreSQL database, which may be on another host. Any
// number of dhcp4d use the database at once.
//
// It owns the tables of the schema dhcp4d, and what a commit to them promises. Package database has
// the URL and the connections.
//
// # A commit
//
// A commit is one pipeline, which PostgreSQL runs as one transaction: first the row of this process
// in the table process, then the records. The row has the number of the last commit of the process.
// A commit changes it from the number before to its own, and fails if it finds another number. So
// the row does two things:
//
//   - It tells the outcome of a commit whose answer was lost with the connection. The commit is
//     made again under the same number. If that succeeds, the first attempt has not happened and
//     cannot happen any more. If the row has the number already, the first attempt has happened.
//   - It shows that acknowledged commits are gone, as after a failover to a standby that had not
//     received them: the number is lower than it was.
//
// A record is stored only if no other client holds the address: see sqlPut. A record that is not
// stored is refused.
//
// # What others have changed
//
// Each commit notes in the table change which identities it has changed. [Store.Foreign] reads what
// the commits of other processes have noted since its last call, and then the rows of those
// identities. A row that it reads is never older than what this process has written by commits that
// ended before. A commit that runs meanwhile may write a newer one. Then the row is read again.
//
// # The time of leases
//
// All processes go by one time line: the clock of the database and a number of seconds, which is in
// the table line. See line.go.
//
// # Connections and locks
//
// There are three connections, because each is used while another one waits for the server: one for
// Load and Commit, one for Foreign, and one beside the commits, which the lock side guards. A
// method that holds side waits for the server, and takes no other lock.
package postgres

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/database"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/slowlock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// Store is a store in a PostgreSQL database.
type Store struct {
	url    string
	config *pgx.ConnConfig
	log    *slog.Logger
	clock  *clock.Clock
	random io.Reader
	doubt  atomic.Bool // the server said that a commit may not have reached a standby

	conn  *pgx.Conn       // of Load and Commit; nil while there is none
	mine  position        // of our last commit that is known to stand
	stood atomic.Int64    // mine.wseq, for Foreign
	seen  map[int64]int64 // the last commit of each other process that Load or Foreign has read
	group rows            // of the commit
	feed  feed            // memory of Foreign

	forgot      atomic.Bool  // commits that were acknowledged are gone
	connections atomic.Int64 // how often conn was made

	closing chan struct{} // closed by Close

	share  atomic.Pointer[store.Share]
	behind atomic.Bool // Foreign has missed changes: everything must be loaded again

	side struct { // for the work beside the commits
		mu       slowlock.Lock
		conn     *pgx.Conn
		writer   int64     // ours, of mine
		seen     time.Time // when the database has answered last
		sized    time.Time
		cleaned  time.Time
		counted  time.Time // the standbys
		alone    bool      // the server cannot say what its standbys are
		id       string    // of the store
		repair   bool      // leases may be missing
		before   bool      // repair, before the database forgot commits
		noted    float64   // when we were last seen, as the table process has it
		agreed   float64   // ahead, when we were last seen
		lost     bool      // the database has lost what we have written
		ahead    float64   // of the table line, as last read or written
		compared float64   // when our clock was last compared, by the clock of the database
	}
	bytes, records, unknown atomic.Uint64
	live                    atomic.Int64
	standbys                atomic.Pointer[store.Standbys]
}

// position is the number of a commit of a process.
type position struct {
	writer int64 // random, names the process
	wseq   int64
}

const (
	// answerWithin is the most time that one attempt may take.
	answerWithin = 5 * time.Second
	// settleWithin is how long a commit is tried before the store counts as failed. Clients have
	// repeated their messages by then.
	settleWithin = 5 * time.Second
	// liveFor is how many seconds after its last sign of life a process counts as running.
	liveFor = 5
)

// Outside is what a store takes from its machine. What is nil is the machine's own. A simulation
// passes its own, so that each of its runs is the same.
type Outside struct {
	Dial   pgconn.DialFunc
	Random io.Reader // for the names of processes
}

// Open opens the database that url names, and enters this process there. It sets c to the time line
// of the database. If c is nil, it makes a clock.
func Open(url string, log *slog.Logger, c *clock.Clock) (*Store, error) {
	return OpenIn(Outside{}, url, log, c)
}

// OpenIn does what Open does, with what o has.
func OpenIn(o Outside, url string, log *slog.Logger, c *clock.Clock) (*Store, error) {
	p, err := prepare(url, log, c)
	if err != nil {
		return nil, err
	}
	if o.Dial != nil {
		p.config.DialFunc = o.Dial
	}
	if o.Random != nil {
		p.random = o.Random
	}
	if err := p.join(); err != nil {
		_ = p.Close()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	if note, warn, err := p.lookAtStandbys(ctx); err == nil && warn {
		log.Warn("the database may lose acknowledged leases", "because", note)
	}
	return p, nil
}

// prepare makes a store that has no connection yet.
func prepare(url string, log *slog.Logger, c *clock.Clock) (*Store, error) {
	config, err := database.Parse(url)
	if err != nil {
		return nil, err
	}
	p := &Store{url: url, config: config, log: log, clock: c, random: rand.Reader, closing: make(chan struct{})}
	if p.clock == nil {
		machine, err := clock.NewMachine()
		if err != nil {
			return nil, err
		}
		p.clock = clock.New(machine)
	}
	p.share.Store(new(store.Share))
	p.standbys.Store(new(store.Standbys))
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
	codeNoSetting      = "42704"
	codeNoSchema       = "3F000"
)

// connect makes a connection.
func (p *Store) connect() (*pgx.Conn, error) {
	c, err := database.Connect(context.Background(), p.config)
	if err != nil {
		return nil, fmt.Errorf("lease store %s: %w", p.url, err)
	}
	return c, nil
}

// drop closes a connection and does not wait for the server.
func drop(c **pgx.Conn) {
	if *c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = (*c).Close(ctx) // the error that led here was reported
	*c = nil
}

// join connects, checks the database, and makes a row for this process in the table process.
func (p *Store) join() error {
	conn, err := p.connect()
	if err != nil {
		return err
	}
	drop(&p.conn)
	p.conn = conn
	p.connections.Add(1)
	err = p.check()
	if err == nil && p.mine.writer != 0 {
		err = p.leave()
	}
	if err == nil {
		err = p.enter()
	}
	if err != nil {
		return fmt.Errorf("lease store %s: %w", p.url, err)
	}
	return nil
}

// leave makes sure that no commit happens any more under our old number. A commit whose connection
// broke may still be under way; leave waits for it.
func (p *Store) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	_, err := p.conn.Exec(ctx, "UPDATE dhcp4d.process SET gone = true WHERE writer = $1", p.mine.writer)
	if err != nil {
		return fmt.Errorf("leaving the table process: %w", err)
	}
	if p.forgot.Load() {
		return nil // our row is gone or old, as is known already
	}
	return p.compare()
}

// sqlEnter makes our row, if the tables have the version that we need. They keep it meanwhile: see
// Migrate. For the others we were seen when our clock was last compared, even under another number.
const sqlEnter = `INSERT INTO dhcp4d.process (writer, name, seen, gone, wseq, trimmed)
	SELECT $1::int8, $2::text, coalesce(nullif($3::float8, 0), extract(epoch FROM clock_timestamp())::float8), false, 0, 0
	FROM (SELECT v FROM dhcp4d.meta WHERE k = 'format' FOR SHARE) m WHERE m.v = $4::text`

// enter makes our row.
func (p *Store) enter() error {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	p.side.mu.Lock()
	defer p.side.mu.Unlock()
	writer := newWriter(p.random)
	switch made, err := p.conn.Exec(ctx, sqlEnter, writer, hostname(), p.side.compared, strconv.Itoa(schemaFormat)); {
	case err != nil:
		return fmt.Errorf("entering the table process: %w", err)
	case made.RowsAffected() == 0: // they were converted since check
		return cmp.Or(checkFormat(ctx, p.conn), errors.New("the tables are being converted: try again"))
	}
	p.mine, p.side.writer, p.side.seen, p.side.noted = position{writer: writer}, writer, time.Now(), p.side.compared
	p.stood.Store(0)
	p.behind.Store(false)
	var repair string
	if err := p.conn.QueryRow(ctx, `SELECT max(v) FILTER (WHERE k = 'store'),
		coalesce(max(v) FILTER (WHERE k = 'repaired'), '') FROM dhcp4d.meta`).Scan(&p.side.id, &repair); err != nil {
		return fmt.Errorf("reading the table meta: %w", err)
	}
	p.side.repair = repair == "yes"
	_, err := p.keepTime(p.conn)
	return err
}

// check returns an error if the database cannot be a store.
func (p *Store) check() error {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	if err := checkFormat(ctx, p.conn); err != nil {
		return err
	}
	return p.checkSettings(ctx)
}

// checkSettings returns an error if a crash of the server can lose commits.
func (p *Store) checkSettings(ctx context.Context) error {
	for _, name := range []string{"fsync", "full_page_writes"} {
		var value string
		if err := p.conn.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			return fmt.Errorf("reading the setting %s: %w", name, err)
		}
		if value != "on" {
			return fmt.Errorf("the database runs with %s=%s and loses acknowledged leases in a crash: set %s=on",
				name, value, name)
		}
	}
	return nil
}

// MayPass reports whether [Open] or [Store.Load] may succeed later although nobody changes the
// configuration: a database that cannot be reached comes back, and so does one that goes away in
// the middle.
func MayPass(err error) bool { return passing(err) && (sqlState(err) != "" || ofConnection(err)) }

// ofConnection reports whether an error says that there is no connection any more.
func ofConnection(err error) bool {
	if pgconn.Timeout(err) || pgconn.SafeToRetry(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}

// newWriter returns a random name for this process.
func newWriter(random io.Reader) int64 {
	var b [8]byte
	_, _ = io.ReadFull(random, b[:]) // crypto/rand never fails
	return int64(binary.BigEndian.Uint64(b[:]) >> 1)
}

// Load implements store.Store.
func (p *Store) Load(fn func(*lease.Binding) error) (l store.Loaded, err error) {
	if p.conn == nil {
		return l, fmt.Errorf("lease store %s: %w", p.url, store.ErrFailed)
	}
	began := time.Now()
	// Foreign reads again what is committed from now on.
	if err := p.readPositions(); err != nil {
		return l, fmt.Errorf("lease store %s: %w", p.url, err)
	}
	err = loadRows(context.Background(), p.conn, func(b *lease.Binding) error {
		l.Count(b)
		return fn(b)
	})
	l.Took = time.Since(began)
	if err != nil {
		return l, fmt.Errorf("lease store %s: %w", p.url, err)
	}
	return l, nil
}

// Check implements store.Store. It also notes in the database that this process lives, and compares
// our clock with the time line.
func (p *Store) Check() error {
	switch {
	case p.behind.Load():
		return fmt.Errorf("lease store %s: %w", p.url, errBehind)
	case p.forgot.Load():
		return fmt.Errorf("lease store %s: %w", p.url, errForgotten)
	}
	p.side.mu.Lock()
	defer p.side.mu.Unlock()
	err := p.aside(func(_ context.Context, c *pgx.Conn) error {
		_, err := p.keepTime(c)
		return err
	})
	switch {
	case err == nil:
		p.side.seen = time.Now()
		p.size()
		p.clean()
		p.countStandbys()
		return nil
	case errors.Is(err, errLost), time.Since(p.side.seen) > settleWithin:
		return fmt.Errorf("lease store %s: %w", p.url, err)
	}
	return nil // the database does not answer for a moment; commits wait for it
}

var (
	errLost   = errors.New("the database has lost the row of this dhcp4d in the table process")
	errBehind = errors.New("this dhcp4d has missed what others have changed, and loads all leases again")
)

// size notes the size of the store once a minute. The caller holds side.
func (p *Store) size() {
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

// aside calls fn with the connection for the work beside the commits. The caller holds side.
func (p *Store) aside(fn func(ctx context.Context, c *pgx.Conn) error) error {
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

// ClockMark implements store.Store.
func (p *Store) ClockMark() (m clock.Mark, err error) {
	p.side.mu.Lock()
	defer p.side.mu.Unlock()
	err = p.aside(func(ctx context.Context, c *pgx.Conn) (err error) {
		m, err = p.readMark(ctx, c)
		return err
	})
	return m, err
}

// readMark reads the clock mark. The caller holds side.
func (p *Store) readMark(ctx context.Context, c *pgx.Conn) (m clock.Mark, err error) {
	var text string
	err = c.QueryRow(ctx, "SELECT v FROM dhcp4d.meta WHERE k = 'clock'").Scan(&text)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return m, store.ErrNoMark
	case err != nil:
		return m, fmt.Errorf("lease store %s: reading the clock mark: %w", p.url, err)
	case m.UnmarshalText([]byte(text)) != nil || m.Store != p.side.id:
		return clock.Mark{}, store.ErrMarkLost
	}
	return m, nil
}

// KeepClockMark implements store.Store.
func (p *Store) KeepClockMark(m clock.Mark) error {
	p.side.mu.Lock()
	defer p.side.mu.Unlock()
	m.Store = p.side.id
	return p.setMeta("clock", string(m.AppendText(nil)))
}

// MustRecover implements store.Repairable.
func (p *Store) MustRecover() bool {
	p.side.mu.Lock()
	defer p.side.mu.Unlock()
	return p.side.repair
}

// Recovered implements store.Repairable.
func (p *Store) Recovered() error { return p.setRepaired(false) }

// setRepaired notes whether leases may be missing.
func (p *Store) setRepaired(yes bool) error {
	p.side.mu.Lock()
	defer p.side.mu.Unlock()
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

// setMeta writes a row of the table meta. The caller holds side.
func (p *Store) setMeta(k, v string) error {
	err := p.aside(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, `INSERT INTO dhcp4d.meta (k, v) VALUES ($1, $2)
			ON CONFLICT (k) DO UPDATE SET v = excluded.v`, k, v)
		return err
	})
	if err != nil {
		return fmt.Errorf("lease store %s: writing %s into the table meta: %w", p.url, k, err)
	}
	return nil
}

// Reopen implements store.Store. This process continues under another number. So an attempt whose
// outcome is unknown has either succeeded, or never will.
func (p *Store) Reopen() error { return p.join() }

// Stats implements store.Store.
func (p *Store) Stats() store.Stats {
	return store.Stats{
		Bytes: p.bytes.Load(), Records: p.records.Load(), Unknown: p.unknown.Load(),
		Processes: int(p.live.Load()), Standbys: *p.standbys.Load(),
	}
}

// Close implements store.Store.
func (p *Store) Close() error {
	close(p.closing)
	drop(&p.conn)
	drop(&p.feed.conn)
	p.side.mu.Lock()
	defer p.side.mu.Unlock()
	if p.side.writer != 0 { // so that the others take over our part of the free addresses at once
		_ = p.aside(func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, "UPDATE dhcp4d.process SET gone = true WHERE writer = $1", p.side.writer)
			return err
		})
	}
	drop(&p.side.conn)
	return nil
}
