package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// The time line of a database is its clock plus the number of seconds in the table line. Each
// process compares its own clock with the line about once a second, and sets it to the line.
//
// Somebody may set the clock of the database. Then the line would jump, and a jump forward would
// end leases that clients still use. So a process that finds the line more than leastJump away from
// its own clock changes the number in the table such that the line continues where it was. The
// first process that notices does this; for the others the line has never jumped.
//
// The clock of a process is itself wrong if its machine was paused, as virtual machines are. Then
// other processes were seen that much later, and this one sets its clock to the line. It also does
// so if another process has changed the number since this one last read it: the first one decides.
// A failover that loses commits may lose the change of the number. Then the time when this process
// was last seen, as it has written it, is gone too, and this process changes the number again. It
// also does so if the line has the number from before again, because that sign of life may fail.
//
// A commit compares the clocks too, in its transaction. So no process writes the end of a lease by
// a clock that differs from the others'.
const (
	// leastJump is more than two clocks can drift apart that are compared once a second.
	leastJump = time.Second
	// mostApart is how far the clock of a process may be from the line when it commits, in seconds.
	mostApart = 2
	// imprecise is the longest time that an answer with the time may take, to be precise enough.
	imprecise = 500 * time.Millisecond
)

// lineNow is what the database says about time and processes at one moment.
type lineNow struct {
	now    float64 // its clock, in seconds since 1970
	ahead  float64 // the number in the table line
	others float64 // when another process was last seen that runs, 0 for never
	ours   float64 // when we were last seen
	live   []int64 // the processes that run
}

// paused reports whether our machine was paused for about as long as our clock is behind the line.
// If so, others were seen that much later than we were. A process that has ended does not count: it
// may have been seen before somebody set the clock back, which looks later.
func (t *lineNow) paused(behind time.Duration) bool {
	later := t.others - t.ours
	return later > leastJump.Seconds() && behind > 0 && later > behind.Seconds()-mostApart
}

const sqlLine = `WITH t AS (SELECT extract(epoch FROM clock_timestamp())::float8 AS now)
	SELECT t.now, l.ahead,
		coalesce((SELECT max(seen) FROM dhcp4d.process
			WHERE writer <> $1 AND NOT gone AND seen BETWEEN t.now - $2 AND t.now + $2), 0),
		coalesce((SELECT seen FROM dhcp4d.process WHERE writer = $1 AND NOT gone), -1),
		ARRAY(SELECT writer FROM dhcp4d.process p
			WHERE NOT gone AND p.seen BETWEEN t.now - $2 AND t.now + $2 ORDER BY writer)
	FROM t, dhcp4d.line l`

// keepTime compares our clock with the time line, and sets one of them to the other. It reports
// whether our clock has jumped. It also notes in the database that this process lives. The caller
// holds side.
func (p *Store) keepTime(c *pgx.Conn) (jumped bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	var t lineNow
	before := p.clock.Up()
	row := c.QueryRow(ctx, sqlLine, p.side.writer, float64(liveFor))
	if err := row.Scan(&t.now, &t.ahead, &t.others, &t.ours, &t.live); err != nil {
		return false, fmt.Errorf("reading the time line: %w", err)
	}
	after := p.clock.Up()
	if t.ours < 0 {
		return false, errLost
	}
	p.side.lost = p.side.lost || t.ours < p.side.noted
	at := before + (after-before)/2
	line := secondsToTime(t.now + t.ahead)
	switch {
	case !p.clock.Own():
		jumped, err = true, p.beginTime(ctx, c, &t, at)
	case after-before > imprecise:
		return false, nil // seen stays: see below
	case p.clock.At(at).Sub(line).Abs() < leastJump:
		p.clock.Follow(line, at)
	case t.paused(line.Sub(p.clock.At(at))),
		t.ahead != p.side.ahead && t.ahead != p.side.agreed && !p.side.lost:
		jumped = true
		p.log.Warn("the time of leases of other dhcp4d differs, and this one has taken it over; this machine was "+
			"paused, or its clock was wrong", "by", line.Sub(p.clock.At(at)))
		p.clock.Follow(line, at)
	default:
		p.log.Warn("the clock of the database has been set; this moves no lease", "by", line.Sub(p.clock.At(at)))
		t.ahead, err = setAhead(ctx, c, t.ahead, t.ahead+p.clock.At(at).Sub(line).Seconds())
	}
	p.side.ahead, p.side.compared = t.ahead, t.now
	if err != nil {
		return jumped, err
	}
	p.divide(t.live)
	// For the others we were seen when the clocks were compared, so this is the time that was read.
	_, err = c.Exec(ctx, "UPDATE dhcp4d.process SET seen = $2 WHERE writer = $1", p.side.writer, t.now)
	if err != nil {
		return jumped, fmt.Errorf("writing the table process: %w", err)
	}
	p.side.noted, p.side.agreed, p.side.lost = t.now, t.ahead, false
	return jumped, nil
}

// setAhead changes the number in the table line from one value to another, unless another process
// has changed it. It returns from if nothing was changed, otherwise to.
func setAhead(ctx context.Context, c *pgx.Conn, from, to float64) (float64, error) {
	tag, err := c.Exec(ctx, "UPDATE dhcp4d.line SET ahead = $2 WHERE ahead = $1", from, to)
	switch {
	case err != nil:
		return from, fmt.Errorf("writing the table line: %w", err)
	case tag.RowsAffected() == 0:
		return from, nil
	}
	return to, nil
}

// beginTime sets our clock to the time line for the first time. If no other process runs, the clock
// of the database may have been set since the last process ended. The clock mark of that process
// shows it, if this machine knows how much time has passed since then.
func (p *Store) beginTime(ctx context.Context, c *pgx.Conn, t *lineNow, at time.Duration) error {
	line := secondsToTime(t.now + t.ahead)
	if len(t.live) <= 1 {
		m, err := p.readMark(ctx, c)
		switch {
		case err == nil:
			basis, passed := p.clock.Since(m)
			if by := m.Leases.Add(passed); basis != clock.Standing && by.Sub(line).Abs() > store.ClockSlack*time.Second {
				p.log.Warn("the clock of the database was set while no dhcp4d ran; this moves no lease",
					"by", line.Sub(by))
				if t.ahead, err = setAhead(ctx, c, t.ahead, t.ahead+by.Sub(line).Seconds()); err != nil {
					return err
				}
				line = by
			}
		case !errors.Is(err, store.ErrNoMark) && !errors.Is(err, store.ErrMarkLost):
			return err
		}
	}
	p.clock.Follow(line, at)
	return nil
}

// Follow implements store.Timekeeper. Our own clock goes by the time line already.
func (p *Store) Follow(c *clock.Clock) {
	up := p.clock.Up()
	c.Follow(p.clock.At(up), up)
}

// Advance implements store.Timekeeper.
func (p *Store) Advance(t lease.Time) error {
	p.side.mu.Lock()
	defer p.side.mu.Unlock()
	now := p.clock.Now()
	return p.aside(func(ctx context.Context, c *pgx.Conn) error {
		late := time.Unix(int64(t), 0).Sub(p.clock.At(p.clock.Up()))
		if late <= 0 {
			return nil
		}
		row := c.QueryRow(ctx, "UPDATE dhcp4d.line SET ahead = ahead + $1 RETURNING ahead", late.Seconds())
		if err := row.Scan(&p.side.ahead); err != nil {
			return fmt.Errorf("writing the table line: %w", err)
		}
		p.clock.Set(t)
		p.log.Warn("the clock of the database is behind its newest lease; the time of leases goes on from that lease",
			"by", time.Duration(t-now)*time.Second)
		return nil
	})
}

// divide notes which processes run, and which share of the free addresses is ours. The caller holds
// side.
func (p *Store) divide(live []int64) {
	p.live.Store(int64(len(live)))
	i := slices.Index(live, p.side.writer)
	if share := (store.Share{Index: max(i, 0), Of: len(live)}); i >= 0 && share != *p.share.Load() {
		p.share.Store(&share)
	}
}

// Share implements store.Shared.
func (p *Store) Share() store.Share { return *p.share.Load() }

// secondsToTime converts seconds since 1970.
func secondsToTime(s float64) time.Time {
	whole := int64(s)
	return time.Unix(whole, int64((s-float64(whole))*1e9))
}

// reckoned returns the time of leases by our clock, in seconds since 1970.
func (p *Store) reckoned() float64 {
	return float64(p.clock.At(p.clock.Up()).UnixNano()) / 1e9
}
