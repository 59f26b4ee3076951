package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// holding returns SQL that changes the number of our last commit. It finds no row if that has
// another number, if we have left, or if our clock differs too much from the time line. Then a
// division by zero ends the transaction with everything in it. The parameters now and apart are the
// time by our clock, and the seconds that it may differ.
func holding(now, apart string) string {
	return `WITH held AS (UPDATE dhcp4d.process SET wseq = $2::int8
		WHERE writer = $1::int8 AND wseq = $2::int8 - 1 AND NOT gone AND (SELECT
			abs(extract(epoch FROM clock_timestamp())::float8 + ahead - ` + now + `::float8) < ` + apart + `::float8
			FROM dhcp4d.line)
		RETURNING 1)`
}

var sqlHold = holding("$3", "$4") + ` SELECT 1 / count(*) FROM held`

// The parts of a commit, in their order. Each notes in the table change, under its number, which
// identities it has changed. The arrays are in the order of the primary key, so that two
// transactions seldom lock rows in opposite orders.
//
// sqlPut stores records. It does not replace a binding in force of another client. Several hosts
// may use one client identifier. So the client is the same only if, beside the identifier, the
// start of the binding, the attachment point or the hardware address is the same. A release
// replaces only records of its own client. Neither a release nor a decline replaces a later
// binding: while it waited for the database, the client may have asked for its address again, and
// another dhcp4d may have acknowledged that. Times are whole seconds. So a binding of the same
// second counts as later if another process has written it. A client that releases through another
// dhcp4d in the second in which it was bound keeps its address until its lease ends.
// sqlPut returns how many records it has stored; the table change says which.
//
// sqlHoldAndPut is sqlHold and sqlPut in one statement, because that costs the server less. It is
// for the usual commit, which has no other part.
//
// sqlEnd ends bindings whose client has lost them to another client by the rules of package lease,
// such as a reserved address, or has released them before another client got them in the same
// commit. sqlPut then stores the record of the other client. sqlEnd ends no binding that is later
// than what its client has lost: another dhcp4d may have acknowledged it while this commit waited.
// Then sqlPut refuses the record of the other client.
//
// sqlRemove does not look at the time of what it removes. No dhcp4d that serves removes a record:
// the end of a binding by time is not written, and all other changes are records of a client.
const (
	partRemoved = iota
	partEnded
	partPut

	note = ` noted AS (INSERT INTO dhcp4d.change (writer, wseq, part, addrs, ports)
		SELECT $1::int8, $2::int8, $3::int2, array_agg(addr), array_agg(ports) FROM done HAVING count(*) > 0)
	SELECT count(*)`

	sqlRemove = `WITH done AS (DELETE FROM dhcp4d.lease l USING unnest($4::int8[], $5::int8[]) r(addr, ports)
		WHERE l.addr = r.addr AND l.ports = r.ports RETURNING l.addr, l.ports),` + note + ` FROM done`

	sqlEnd = `WITH done AS (UPDATE dhcp4d.lease l SET state = 3, expires = r.changed, changed = r.changed, writer = $1::int8
		FROM unnest($4::int8[], $5::int8[], $6::bytea[], $7::int8[], $8::int8[]) r(addr, ports, client, lost, changed)
		WHERE l.addr = r.addr AND l.ports = r.ports AND l.client = r.client AND l.state = 2
			AND (l.changed < r.lost OR (l.changed = r.lost AND l.writer = $1::int8))
		RETURNING l.addr, l.ports),` + note + ` FROM done`

	insert = `INSERT INTO dhcp4d.lease AS l
			(addr, ports, subnet, state, hwtype, hw, client, point, source, start, changed, expires, remote, writer)
		SELECT r.*, $1::int8 FROM unnest($4::int8[], $5::int8[], $6::int8[], $7::int2[], $8::int2[], $9::bytea[], $10::bytea[],
			$11::bytea[], $12::bytea[], $13::int8[], $14::int8[], $15::int8[], $16::bytea[]) r`
	replace = ` ON CONFLICT (addr, ports) DO UPDATE SET subnet = excluded.subnet, state = excluded.state,
			hwtype = excluded.hwtype, hw = excluded.hw, client = excluded.client, point = excluded.point,
			source = excluded.source, start = excluded.start, changed = excluded.changed, expires = excluded.expires,
			remote = excluded.remote, writer = excluded.writer`
	mayReplace = `(l.client = excluded.client AND (l.state <> 2 OR ((l.start = excluded.start
				OR l.point = excluded.point OR (l.hwtype = excluded.hwtype AND l.hw = excluded.hw))
				AND (excluded.state = 2 OR l.changed < excluded.changed
					OR (l.changed = excluded.changed AND l.writer = excluded.writer)))))
			OR (excluded.state <> 3 AND (l.state <> 2 OR l.expires < $17::int8))`
	returning = ` RETURNING l.addr, l.ports),`

	sqlPut = `WITH done AS (` + insert + replace + ` WHERE ` + mayReplace + returning + note + ` FROM done`
)

var sqlHoldAndPut = holding("$18", "$19") + `, done AS (` +
	insert + ` WHERE (SELECT count(*) FROM held) = 1` + replace + ` WHERE ` + mayReplace + returning +
	note + `, 1 / (SELECT count(*) FROM held) FROM done`

// rows are the records of a commit as parameters of its statements. Each identity occurs once.
type rows struct {
	sorted   []*lease.Binding // by the primary key, and of one identity in their order
	last     []lease.ID       // the identities that are put, in their order
	removed  [2]array         // addr, ports
	ended    [5]array         // addr, ports, client, when that client lost it, changed
	put      [13]array        // the columns of the table lease
	restores bool             // only older records are replaced
	stood    bool             // they were in the database, of those that are restored
	stored   int              // of those that are put, by the last attempt
}

// fill takes records. Of the records of one identity, the last one is stored. If an earlier one
// removes the identity, that happens first. If the first one is of another client, it ends the
// binding of that client: it says who has the identity, as far as we know.
func (r *rows) fill(records []lease.Binding) {
	r.sorted = r.sorted[:0]
	for i := range records {
		r.sorted = append(r.sorted, &records[i])
	}
	slices.SortStableFunc(r.sorted, func(a, b *lease.Binding) int { return compareIDs(a.ID, b.ID) })
	r.last = r.last[:0]
	begin(r.removed[:], int8s, int8s)
	begin(r.ended[:], int8s, int8s, byteas, int8s, int8s)
	begin(r.put[:], int8s, int8s, int8s, int2s, int2s, byteas, byteas, byteas, byteas, int8s, int8s, int8s, byteas)
	for rest := r.sorted; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].ID == rest[0].ID {
			n++
		}
		r.addRun(rest[:n])
		rest = rest[n:]
	}
}

// addRun adds the records of one identity, in their order.
func (r *rows) addRun(run []*lease.Binding) {
	first, last := run[0], run[len(run)-1]
	addr, ports := addressNumber(last.Addr), int64(last.Ports)
	switch {
	case slices.ContainsFunc(run, func(b *lease.Binding) bool { return b.State == lease.NoState }):
		r.removed[0].int8(addr)
		r.removed[1].int8(ports)
	case !bytes.Equal(first.Client, last.Client):
		r.ended[0].int8(addr)
		r.ended[1].int8(ports)
		r.ended[2].bytea(first.Client)
		r.ended[3].int8(int64(lastOfFirst(run).Changed))
		r.ended[4].int8(int64(last.Changed))
	}
	if last.State != lease.NoState {
		r.add(last)
	}
}

// lastOfFirst returns the last record of the client of the first one, before another client has the
// identity.
func lastOfFirst(run []*lease.Binding) *lease.Binding {
	n := 1
	for n < len(run) && bytes.Equal(run[n].Client, run[0].Client) {
		n++
	}
	return run[n-1]
}

// add adds a record that is put.
func (r *rows) add(b *lease.Binding) {
	r.last = append(r.last, b.ID)
	r.put[0].int8(addressNumber(b.Addr))
	r.put[1].int8(int64(b.Ports))
	r.put[2].int8(int64(b.Subnet))
	r.put[3].int2(int16(b.State))
	r.put[4].int2(int16(b.HWType))
	r.put[5].bytea(b.HWAddr)
	r.put[6].bytea(b.Client)
	r.put[7].bytea(b.Point)
	if source := b.Source.As16(); b.Source.IsValid() {
		r.put[8].bytea(source[:])
	} else {
		r.put[8].null() // not known
	}
	r.put[9].int8(int64(b.Start))
	r.put[10].int8(int64(b.Changed))
	r.put[11].int8(int64(b.Expires))
	r.put[12].bytea(b.Remote()) // for people also if the point has it
}

// Commit implements store.Store. While the outcome of the commit is unknown, it makes the commit
// again, up to settleWithin.
func (p *Store) Commit(records []lease.Binding) ([]store.Refusal, error) {
	if p.forgot.Load() {
		return nil, fmt.Errorf("lease store %s: %w: %w", p.url, store.ErrFailed, errForgotten)
	}
	p.group.fill(records)
	refused, err := p.settle(records)
	if err != nil {
		drop(&p.conn)
		return nil, fmt.Errorf("lease store %s: %w: %w", p.url, store.ErrFailed, err)
	}
	p.records.Add(uint64(len(records) - len(refused)))
	return refused, nil
}

// settle makes the next commit, and repeats it until its outcome is known. It returns which records
// were refused.
func (p *Store) settle(records []lease.Binding) ([]store.Refusal, error) {
	e := effort{began: time.Now(), pause: firstPause}
	seq := p.mine.wseq + 1
	all, err := p.commitAs(seq, &p.group, &e)
	last := seq
	for errors.Is(err, errStands) {
		// The commit stands in this server, but its standby may not have it. The answer to an empty
		// commit tells that, because it comes after this one in the log.
		last++
		_, err = p.commitAs(last, &rows{}, &e)
	}
	if err != nil {
		return nil, err
	}
	p.mine.wseq = last
	p.stood.Store(last)
	if e.repeated {
		p.unknown.Add(1)
		p.log.Info("the outcome of a commit to the database was unknown, and is known now", "after",
			time.Since(e.began))
	}
	if all {
		return nil, nil
	}
	for e.pause = firstPause; ; {
		refused, err := p.refusals(seq, records)
		if err == nil || !p.mayRepeat(err, &e) {
			return refused, err
		}
	}
}

// commitAs makes a commit under the number seq until its outcome is known. The error is errStands
// if the commit stands and its answer was lost. All reports that no record was refused.
func (p *Store) commitAs(seq int64, group *rows, e *effort) (all bool, err error) {
	for {
		all, err = p.attempt(seq, group)
		if errors.Is(err, errNotHeld) {
			err = p.whyNotHeld(seq)
		}
		switch {
		case err == nil:
			return all, nil
		case errors.Is(err, errStands):
			e.repeated = true
			return false, err
		case !p.mayRepeat(err, e):
			return false, err
		}
	}
}

// whyNotHeld returns why a commit under the number seq has not found the number before in our row.
// It returns errStands if seq is there already, and otherwise the error of timeIsRight.
func (p *Store) whyNotHeld(seq int64) error {
	if err := p.compare(); err != nil {
		return err
	}
	if p.mine.wseq == seq {
		return errStands
	}
	return p.timeIsRight()
}

// effort is what was done so far to make a commit.
type effort struct {
	began    time.Time
	pause    time.Duration // before the next attempt; each is twice as long as the one before
	repeated bool
}

const firstPause = 5 * time.Millisecond

// mayRepeat waits, and then reports whether what has failed may be tried once more. It does not
// wait if the error cannot pass, or if settleWithin has passed since the beginning.
func (p *Store) mayRepeat(err error, e *effort) bool {
	if p.forgot.Load() || !passing(err) || time.Since(e.began) > settleWithin {
		return false
	}
	select {
	case <-p.closing:
		return false
	case <-time.After(e.pause):
	}
	e.pause = min(2*e.pause, 500*time.Millisecond)
	e.repeated = true
	return true
}

// connected makes a connection for commits, if there is none.
func (p *Store) connected() error {
	if p.conn != nil && !p.conn.IsClosed() {
		return nil
	}
	drop(&p.conn)
	c, err := p.connect()
	if err != nil {
		return err
	}
	p.conn = c
	p.connections.Add(1)
	return nil
}

// timeIsRight compares our clock with the time line, because a commit may have found them apart. It
// returns errNotHeld, which passes, if the commit can be made again. It returns errTime if our
// clock was wrong, because then the times of the records are wrong too.
func (p *Store) timeIsRight() error {
	p.side.mu.Lock()
	defer p.side.mu.Unlock()
	jumped, err := p.keepTime(p.conn)
	switch {
	case err != nil:
		return err
	case jumped:
		return errTime
	}
	return errNotHeld
}

// attempt makes a commit once. Without an error the commit stands on the disk of the database, and
// on that of a synchronous standby if there is one. All reports that no record was refused.
func (p *Store) attempt(seq int64, group *rows) (all bool, err error) {
	if err := p.connected(); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	steps := p.steps(seq, group)
	for i, s := range steps { // the connection keeps what was prepared
		if steps[i].prepared, err = p.conn.Prepare(ctx, s.sql, s.sql); err != nil {
			return false, fmt.Errorf("preparing a statement: %w", err)
		}
	}
	p.doubt.Store(false)
	n, err := p.run(ctx, steps)
	if group.stored = 0; len(group.last) > 0 {
		group.stored = n
	}
	if sqlState(err) == codeDivisionByZero {
		return false, errNotHeld
	}
	if err == nil && p.doubt.Load() {
		return false, errDoubt
	}
	return group.stored == len(group.last), err
}

// step is a statement of a commit, with its parameters in PostgreSQL's binary format.
type step struct {
	sql    string
	params [][]byte

	prepared *pgconn.StatementDescription // on the connection
}

// steps returns the statements of a commit, in their order.
func (p *Store) steps(seq int64, r *rows) (all []step) {
	now := p.reckoned()
	commit, clocks := [][]byte{int8of(p.mine.writer), int8of(seq)}, [][]byte{float8of(now), float8of(mostApart)}
	part := func(part byte, columns []array, more ...[]byte) [][]byte {
		params := append(slices.Clone(commit), []byte{0, part})
		for _, c := range columns {
			params = append(params, c)
		}
		return append(params, more...)
	}
	over := int8of(int64(now) - mostApart)
	removes, ends, puts := r.removed[0].len() > 0, r.ended[0].len() > 0, len(r.last) > 0
	if puts && !removes && !ends && !r.restores {
		return []step{{sql: sqlHoldAndPut, params: part(partPut, r.put[:], over, clocks[0], clocks[1])}}
	}
	all = append(all, step{sql: sqlHold, params: append(commit, clocks...)})
	if removes {
		all = append(all, step{sql: sqlRemove, params: part(partRemoved, r.removed[:])})
	}
	if ends {
		all = append(all, step{sql: sqlEnd, params: part(partEnded, r.ended[:])})
	}
	switch {
	case puts && r.restores:
		all = append(all, step{sql: sqlRestore, params: part(partPut, r.put[:], over, boolOf(r.stood))})
	case puts:
		all = append(all, step{sql: sqlPut, params: part(partPut, r.put[:], over)})
	}
	return all
}

// binaryFormat says that all parameters, or all columns of a result, are in binary format.
var binaryFormat = []int16{pgx.BinaryFormatCode}

// run runs prepared statements in one pipeline, which PostgreSQL runs as one transaction. It
// returns the number that the last one returns.
func (p *Store) run(ctx context.Context, steps []step) (n int, err error) {
	pipeline := p.conn.PgConn().StartPipeline(ctx)
	for _, s := range steps {
		pipeline.SendQueryStatement(s.prepared, s.params, binaryFormat, binaryFormat)
	}
	err = pipeline.Sync()
	for range steps {
		if err != nil {
			break
		}
		var result any
		if result, err = pipeline.GetResults(); err != nil {
			break
		}
		reader, ok := result.(*pgconn.ResultReader)
		for ok && reader.NextRow() {
			n = int(binary.BigEndian.Uint64(reader.Values()[0]))
		}
	}
	return n, errors.Join(err, pipeline.Close())
}

var (
	errNotHeld = errors.New("the row of this dhcp4d in the table process has another number")
	errStands  = errors.New("the commit stands, and its answer was lost")
	errDoubt   = errors.New("the database has stopped waiting for its standby")
	errTime    = errors.New("the clock of this machine was wrong: it was paused")
)

// refusals returns the records that our commit seq has not stored, with what the database has for
// their identities.
func (p *Store) refusals(seq int64, records []lease.Binding) ([]store.Refusal, error) {
	if err := p.connected(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	lost := make(map[lease.ID]lease.Binding) // by identity, what the database has for it
	for _, id := range p.group.last {
		lost[id] = lease.Binding{ID: id}
	}
	var addrs, ports []int64
	err := p.conn.QueryRow(ctx, "SELECT addrs, ports FROM dhcp4d.change WHERE writer = $1 AND wseq = $2 AND part = $3",
		p.mine.writer, seq, partPut).Scan(&addrs, &ports)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) { // no row: all are refused
		return nil, fmt.Errorf("reading which records were stored: %w", err)
	}
	for i, a := range addrs {
		delete(lost, idOf(a, ports[i]))
	}
	if len(lost) == 0 {
		return nil, nil
	}
	var holders lease.Batch
	if err := loadRowsOf(ctx, p.conn, lost, func(b *lease.Binding) error {
		holders.Add(b)
		lost[b.ID] = holders.Records[len(holders.Records)-1]
		return nil
	}); err != nil {
		return nil, fmt.Errorf("who holds the addresses that were refused: %w", err)
	}
	var refused []store.Refusal
	for i := range records {
		if holder, ok := lost[records[i].ID]; ok {
			refused = append(refused, store.Refusal{Record: i, Holder: holder})
		}
	}
	return refused, nil
}

// compare reads our row in the table process.
func (p *Store) compare() error {
	if err := p.connected(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	var wseq int64
	var seen float64
	err := p.conn.QueryRow(ctx, "SELECT wseq, seen FROM dhcp4d.process WHERE writer = $1", p.mine.writer).Scan(&wseq, &seen)
	switch {
	case errors.Is(err, pgx.ErrNoRows), err == nil && wseq < p.mine.wseq:
		return p.forgotten()
	case err != nil:
		return fmt.Errorf("reading the table process: %w", err)
	}
	p.mine.wseq = wseq
	p.side.mu.Lock()
	defer p.side.mu.Unlock()
	p.side.lost = p.side.lost || seen < p.side.noted
	return nil
}

// passing reports whether an error may pass by itself, or leaves the outcome of a commit unknown.
func passing(err error) bool {
	if errors.Is(err, errTime) || errors.Is(err, errLost) {
		return false
	}
	state := sqlState(err)
	if state == "" { // not an error of the server, but of the connection or a time limit
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

// sqlState returns the SQLSTATE of an error of the server, "" for other errors.
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}
