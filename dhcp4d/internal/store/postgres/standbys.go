package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// countEvery is how often the standbys are counted.
const countEvery = 10 * time.Second

// A user without pg_read_all_stats sees how many rows pg_stat_replication has, and NULL in place of
// their sync_state and state. A base backup is a row too.
const sqlStandbys = `SELECT current_setting('synchronous_standby_names'),
		count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')),
		count(*) FILTER (WHERE sync_state IN ('async', 'potential')),
		count(*) FILTER (WHERE sync_state IS NULL)
	FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup'`

// readStandbys counts the standbys. It also returns the setting synchronous_standby_names.
func readStandbys(ctx context.Context, c *pgx.Conn) (names string, s store.Standbys, err error) {
	err = c.QueryRow(ctx, sqlStandbys).Scan(&names, &s.Synchronous, &s.Asynchronous, &s.Unknown)
	if names == "" { // then a commit waits for none of them
		s.Asynchronous += s.Unknown
		s.Unknown = 0
	}
	return names, s, err
}

// countStandbys notes how many standbys there are. The caller holds side.
func (p *Store) countStandbys() {
	if p.side.alone || time.Since(p.side.counted) < countEvery {
		return
	}
	p.side.counted = time.Now()
	_ = p.aside(func(ctx context.Context, c *pgx.Conn) error { // after an error the last count stays
		_, s, err := readStandbys(ctx, c)
		switch e := sqlState(err); {
		case err == nil:
			p.standbys.Store(&s)
		case e == codeNoSetting, e == codeNoTable:
			p.side.alone = true // not PostgreSQL itself
		}
		return err
	})
}
