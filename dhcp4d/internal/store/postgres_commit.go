package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// sqlHold changes the number of the last commit. Where the process does not have the store, or the
// number is another one, the division by zero ends the transaction with everything in it.
const sqlHold = `WITH held AS (UPDATE dhcp4d.holder SET wseq = $2 WHERE writer = $1 AND wseq = $2 - 1 RETURNING 1)
	SELECT 1 / count(*) FROM held`

// sqlPut writes records, sqlRemove removes them. The arrays are in the order of the primary key, so
// that two transactions cannot wait for each other.
const (
	sqlPut = `INSERT INTO dhcp4d.lease (addr, ports, subnet, state, hwtype, hw, client, point, source, start, changed, expires)
	SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int2[], $5::int2[], $6::bytea[], $7::bytea[], $8::bytea[],
		$9::bytea[], $10::int8[], $11::int8[], $12::int8[])
	ON CONFLICT (addr, ports) DO UPDATE SET subnet = excluded.subnet, state = excluded.state, hwtype = excluded.hwtype,
		hw = excluded.hw, client = excluded.client, point = excluded.point, source = excluded.source, start = excluded.start,
		changed = excluded.changed, expires = excluded.expires`
	sqlRemove = `DELETE FROM dhcp4d.lease USING unnest($1::int8[], $2::int8[]) r(addr, ports)
	WHERE lease.addr = r.addr AND lease.ports = r.ports`
)

// rows are the records of a commit as arrays of columns. Each identity is there once.
type rows struct {
	last    []*lease.Binding // in the order of the primary key
	removed struct{ addr, ports []int64 }

	addr, ports, subnet     []int64
	state, hwType           []int16
	hw, client, point       [][]byte
	source                  [][]byte
	start, changed, expires []int64
}

// fill takes records. Of those of one identity the last one counts.
func (r *rows) fill(records []lease.Binding) {
	r.last = r.last[:0]
	for i := range records {
		r.last = append(r.last, &records[i])
	}
	slices.SortStableFunc(r.last, func(a, b *lease.Binding) int { return compareIDs(a.ID, b.ID) })
	kept := r.last[:0]
	for i, b := range r.last {
		if i+1 == len(r.last) || r.last[i+1].ID != b.ID {
			kept = append(kept, b)
		}
	}
	r.last = kept
	r.removed.addr, r.removed.ports = r.removed.addr[:0], r.removed.ports[:0]
	r.addr, r.ports, r.subnet = r.addr[:0], r.ports[:0], r.subnet[:0]
	r.state, r.hwType = r.state[:0], r.hwType[:0]
	r.hw, r.client, r.point, r.source = r.hw[:0], r.client[:0], r.point[:0], r.source[:0]
	r.start, r.changed, r.expires = r.start[:0], r.changed[:0], r.expires[:0]
	for _, b := range r.last {
		r.add(b)
	}
}

func (r *rows) add(b *lease.Binding) {
	addr, ports := addressNumber(b.Addr), int64(b.Ports)
	if b.State == lease.NoState {
		r.removed.addr, r.removed.ports = append(r.removed.addr, addr), append(r.removed.ports, ports)
		return
	}
	r.addr, r.ports, r.subnet = append(r.addr, addr), append(r.ports, ports), append(r.subnet, int64(b.Subnet))
	r.state, r.hwType = append(r.state, int16(b.State)), append(r.hwType, int16(b.HWType))
	r.hw, r.client, r.point = append(r.hw, notNil(b.HWAddr)), append(r.client, notNil(b.Client)), append(r.point, notNil(b.Point))
	var source []byte // NULL: not known
	if b.Source.IsValid() {
		source = b.Source.AsSlice()
	}
	r.source = append(r.source, source)
	r.start, r.changed, r.expires = append(r.start, int64(b.Start)), append(r.changed, int64(b.Changed)), append(r.expires, int64(b.Expires))
}

// notNil returns b as a value that is not NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Commit implements Store. It makes the commit again as long as its outcome is unknown, up to
// settleWithin.
func (p *postgres) Commit(records []lease.Binding) ([]Refusal, error) {
	p.group.fill(records)
	if err := p.settle(&p.group); err != nil {
		drop(&p.conn)
		return nil, fmt.Errorf("lease store %s: %w: %w", p.place, ErrFailed, err)
	}
	p.records.Add(uint64(len(records)))
	return nil, nil
}

// settle makes the next commit, until it is known to stand.
func (p *postgres) settle(group *rows) error {
	began, seq := time.Now(), p.mine.wseq+1
	again := false
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		err := p.attempt(seq, group)
		if errors.Is(err, errNotHeld) {
			var stands bool
			if stands, err = p.outcome(seq); stands {
				// It stands in this server, and nobody has heard whether in its standby too. The
				// commit that follows tells: it is behind this one in the log.
				group, seq, again = &rows{}, seq+1, true
				continue
			}
			if err == nil {
				err = errNotHeld // but it is: the first attempt ended in between
			}
		}
		if err == nil {
			p.mine.wseq = seq
			if again {
				p.o.Log.Info("the outcome of commits to the database was unknown and is settled", "after", time.Since(began))
			}
			return nil
		}
		if p.lost != nil || !passing(err) || time.Since(began) > settleWithin {
			return err
		}
		again = true
		select {
		case <-p.closing:
			return err
		case <-time.After(pause):
		}
	}
}

// attempt makes a commit once. Without an error it stands, on the disk of the database, and on that
// of a synchronous standby if there is one.
func (p *postgres) attempt(seq int64, group *rows) error {
	if p.conn == nil {
		c, err := p.connect()
		if err != nil {
			return err
		}
		p.conn = c
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	p.doubt.Store(false)
	var batch pgx.Batch
	batch.Queue(sqlHold, p.mine.writer, seq)
	if r := &group.removed; len(r.addr) > 0 {
		batch.Queue(sqlRemove, r.addr, r.ports)
	}
	if r := group; len(r.addr) > 0 {
		batch.Queue(sqlPut, r.addr, r.ports, r.subnet, r.state, r.hwType, r.hw, r.client, r.point, r.source, r.start, r.changed, r.expires)
	}
	err := p.conn.SendBatch(ctx, &batch).Close()
	if p.conn.IsClosed() {
		drop(&p.conn)
	}
	if sqlState(err) == codeDivisionByZero {
		return errNotHeld
	}
	if err == nil && p.doubt.Load() {
		return errDoubt
	}
	return err
}

var (
	errNotHeld = errors.New("the table holder names another process or commit")
	errDoubt   = errors.New("the database has stopped waiting for its standby")
)

// outcome reports whether a commit whose answer was lost stands.
func (p *postgres) outcome(seq int64) (stands bool, err error) {
	if p.conn == nil {
		if p.conn, err = p.connect(); err != nil {
			return false, err
		}
	}
	if err := p.compare(); err != nil {
		return false, err
	}
	return p.mine.wseq == seq, nil
}

// compare reads the table holder. [errTaken] says that another process has the store.
func (p *postgres) compare() error {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	var h holding
	if err := p.conn.QueryRow(ctx, "SELECT term, writer, wseq FROM dhcp4d.holder").Scan(&h.term, &h.writer, &h.wseq); err != nil {
		return fmt.Errorf("reading the table holder: %w", err)
	}
	switch {
	case h.term < p.mine.term, h.term == p.mine.term && (h.wseq < p.mine.wseq || h.writer != p.mine.writer):
		return p.forgotten()
	case h.term > p.mine.term:
		return errTaken
	}
	p.mine = h
	return nil
}

// forgotten notes that the database has lost commits. Clients hold leases that nobody knows of, so
// dhcp4d must start anew and recover.
func (p *postgres) forgotten() error {
	p.lost = errors.New("the database has forgotten commits that were acknowledged, as a failover to a standby that is not synchronous does: start dhcp4d again, and it recovers as with DHCP4D_RECOVERY=true")
	p.side.Lock()
	defer p.side.Unlock()
	if err := p.aside(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "INSERT INTO dhcp4d.meta (k, v) VALUES ('repaired', 'yes') ON CONFLICT (k) DO UPDATE SET v = excluded.v")
		return err
	}); err != nil {
		p.lost = fmt.Errorf("%w, which you must set, because it could not be noted: %w", p.lost, err)
	}
	return p.lost
}

// passing reports whether an error may be over soon, or leaves the outcome unknown.
func passing(err error) bool {
	if errors.Is(err, errTaken) {
		return false
	}
	state := sqlState(err)
	if state == "" { // not of the server: the connection, or a time limit
		return true
	}
	switch state {
	case "25006", "55P03": // a standby; a lock
		return true
	}
	switch state[:2] {
	case "08", "40", "53", "57": // connection, rollback, resources, operator
		return true
	}
	return false
}

// sqlState returns the SQLSTATE of a server's error, empty for another one.
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}
