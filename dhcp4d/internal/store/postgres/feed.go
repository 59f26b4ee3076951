package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// sqlFeed reads what the commits of other processes have changed since the commits that were read
// last. Of a process that has started since then, it reads from the first commit on. Trimmed is the
// last commit of a process that is no longer in the table change.
//
// The query of each process is one by the primary key. As a plain join, it would read the whole
// table, because the planner takes wseq > seen for a third of it. The upper bound changes nothing
// in the result: it tells the planner that the range is small.
const sqlFeed = `SELECT w.writer, w.wseq, w.trimmed, c.addrs, c.ports
	FROM dhcp4d.process w
	LEFT JOIN unnest($2::int8[], $3::int8[]) s(writer, seen) ON s.writer = w.writer
	LEFT JOIN LATERAL (SELECT addrs, ports FROM dhcp4d.change
		WHERE writer = w.writer AND wseq > coalesce(s.seen, 0) AND wseq <= w.wseq
		ORDER BY writer, wseq LIMIT $4) c ON true
	WHERE w.writer <> $1 AND w.wseq <> coalesce(s.seen, 0)
	LIMIT $4`

const (
	// mostChanges is how many changes Foreign reads at once. A process that has missed more loads
	// all leases again.
	mostChanges = 5000
	// keepChanges is how long changes are kept for others to read.
	keepChanges = 15 * time.Minute
	// forgetProcess is how long the row of a process that has ended is kept.
	forgetProcess = 24 * time.Hour
)

// readPositions notes the last commit of each other process.
func (p *Store) readPositions() error {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	rows, err := p.conn.Query(ctx, "SELECT writer, wseq FROM dhcp4d.process WHERE writer <> $1", p.mine.writer)
	if err != nil {
		return fmt.Errorf("reading the table process: %w", err)
	}
	defer rows.Close()
	p.seen = make(map[int64]int64)
	for rows.Next() {
		var at position
		if err := rows.Scan(&at.writer, &at.wseq); err != nil {
			return fmt.Errorf("reading the table process: %w", err)
		}
		p.seen[at.writer] = at.wseq
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the table process: %w", err)
	}
	return nil
}

// Foreign implements store.Shared.
func (p *Store) Foreign(again []lease.ID) ([]lease.Binding, error) {
	p.feed.batch.Reset()
	if p.forgot.Load() {
		return nil, errForgotten
	}
	if err := p.feedConnected(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	err := p.readChanges(ctx, again)
	if err == nil && len(p.feed.keys) > 0 {
		err = p.readKeys(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("lease store %s: reading what others have changed: %w", p.url, err)
	}
	for _, at := range p.feed.read {
		p.seen[at.writer] = at.wseq
	}
	return p.feed.batch.Records, nil
}

// feedConnected makes a connection for Foreign, if there is none. It makes a new one after each new
// connection for commits: the server may have failed over, and both must talk to the same one. The
// server may lack our last commits. Nobody else can know that, and our next commit may be far off.
func (p *Store) feedConnected() error {
	f := &p.feed
	n := p.connections.Load()
	if f.conn != nil && !f.conn.IsClosed() && f.connections == n {
		return nil
	}
	drop(&f.conn)
	c, err := p.connect()
	if err != nil {
		return err
	}
	f.conn, f.connections = c, n
	stood, wseq := p.stood.Load(), int64(0)
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	err = c.QueryRow(ctx, "SELECT wseq FROM dhcp4d.process WHERE writer = $1", p.mine.writer).Scan(&wseq)
	switch {
	case errors.Is(err, pgx.ErrNoRows), err == nil && wseq < stood:
		return p.forgotten()
	case err != nil:
		drop(&f.conn)
		return fmt.Errorf("reading the table process: %w", err)
	}
	return nil
}

// feed is the memory of Foreign. It has a connection of its own, because a commit waits for the
// disk of the server most of the time.
type feed struct {
	conn        *pgx.Conn
	connections int64 // for commits, when conn was made

	read  []position // the commits whose changes were read
	keys  map[lease.ID]bool
	batch lease.Batch
}

// readChanges reads which identities others have changed. It adds those of again.
func (p *Store) readChanges(ctx context.Context, again []lease.ID) error {
	f := &p.feed
	f.read = f.read[:0]
	if f.keys == nil {
		f.keys = make(map[lease.ID]bool)
	}
	clear(f.keys)
	for _, id := range again {
		f.keys[id] = true
	}
	writers, seen := make([]int64, 0, len(p.seen)), make([]int64, 0, len(p.seen))
	for w, s := range p.seen {
		writers, seen = append(writers, w), append(seen, s)
	}
	rows, err := f.conn.Query(ctx, sqlFeed, p.mine.writer, writers, seen, mostChanges+1)
	if err != nil {
		return err
	}
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		var at position
		var trimmed int64
		var addrs, ports []int64
		if err := rows.Scan(&at.writer, &at.wseq, &trimmed, &addrs, &ports); err != nil {
			return err
		}
		switch {
		case at.wseq < p.seen[at.writer]:
			rows.Close()
			return p.forgotten()
		case trimmed > p.seen[at.writer], n == mostChanges:
			p.behind.Store(true)
			return errBehind
		}
		f.read = append(f.read, at)
		for i, a := range addrs {
			f.keys[idOf(a, ports[i])] = true
		}
	}
	return rows.Err()
}

// readKeys reads the rows of f.keys. An identity without a row was removed.
func (p *Store) readKeys(ctx context.Context) error {
	f := &p.feed
	err := loadRowsOf(ctx, f.conn, f.keys, func(b *lease.Binding) error {
		delete(f.keys, b.ID)
		f.batch.Add(b)
		return nil
	})
	if err != nil {
		return err
	}
	for id := range f.keys {
		f.batch.Add(&lease.Binding{ID: id})
	}
	return nil
}

// idOf returns the identity of a row's key.
func idOf(addr, ports int64) lease.ID {
	return lease.ID{Addr: addressOf(addr), Ports: lease.PortSet(ports & math.MaxUint32)}
}

// clean removes what nobody needs to read any more, once a minute. The caller holds side.
func (p *Store) clean() {
	if time.Since(p.side.cleaned) < time.Minute {
		return
	}
	p.side.cleaned = time.Now()
	_ = p.aside(func(ctx context.Context, c *pgx.Conn) error { // after an error the next clean removes it
		// One statement removes the changes and sets trimmed: a process that reads must find in
		// trimmed what it has missed.
		_, err := c.Exec(ctx, `WITH old AS (DELETE FROM dhcp4d.change
				WHERE writer = $1 AND at < now() - make_interval(secs => $2) RETURNING wseq)
			UPDATE dhcp4d.process SET trimmed = greatest(trimmed, (SELECT max(wseq) FROM old))
			WHERE writer = $1 AND EXISTS (SELECT 1 FROM old)`,
			p.side.writer, keepChanges.Seconds())
		if err != nil {
			return err
		}
		_, err = c.Exec(ctx, `WITH old AS (DELETE FROM dhcp4d.process
				WHERE writer <> $1 AND seen < extract(epoch FROM now())::float8 - $2 RETURNING writer)
			DELETE FROM dhcp4d.change WHERE writer IN (SELECT writer FROM old)`, p.side.writer, forgetProcess.Seconds())
		return err
	})
}
