package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/database"
)

// schemaFormat is the version of the tables of this dhcp4d.
const schemaFormat = 3

// migrations are the steps from each version to the next. A released step is never changed.
var migrations = [schemaFormat]string{`
CREATE SCHEMA dhcp4d;
CREATE TABLE dhcp4d.meta (k text PRIMARY KEY, v text NOT NULL);
CREATE TABLE dhcp4d.line (one int2 PRIMARY KEY CHECK (one = 1), ahead float8 NOT NULL);
CREATE TABLE dhcp4d.process (
	writer int8 PRIMARY KEY, name text NOT NULL, seen float8 NOT NULL, gone boolean NOT NULL,
	wseq int8 NOT NULL, trimmed int8 NOT NULL) WITH (fillfactor = 50);
CREATE TABLE dhcp4d.change (
	writer int8 NOT NULL, wseq int8 NOT NULL, part int2 NOT NULL, at timestamptz NOT NULL DEFAULT now(),
	addrs int8[] NOT NULL, ports int8[] NOT NULL,
	PRIMARY KEY (writer, wseq, part));
CREATE TABLE dhcp4d.lease (
	addr int8 NOT NULL, ports int8 NOT NULL,
	subnet int8 NOT NULL, state int2 NOT NULL,
	hwtype int2 NOT NULL, hw bytea NOT NULL, client bytea NOT NULL, point bytea NOT NULL, source bytea,
	start int8 NOT NULL, changed int8 NOT NULL, expires int8 NOT NULL,
	PRIMARY KEY (addr, ports)) WITH (fillfactor = 70);
CREATE VIEW dhcp4d.leases AS SELECT
	'0.0.0.0'::inet + addr AS address, subnet,
	CASE state WHEN 2 THEN 'bound' WHEN 3 THEN 'released' WHEN 4 THEN 'declined' END AS state,
	encode(client, 'hex') AS client, encode(hw, 'hex') AS hardware_address,
	to_timestamp(changed) AS changed,
	CASE WHEN expires = 9223372036854775807 THEN 'infinity' ELSE to_timestamp(expires) END AS expires
	FROM dhcp4d.lease;
INSERT INTO dhcp4d.line VALUES (1, 0);
INSERT INTO dhcp4d.meta VALUES ('format', '0');
`, `
ALTER TABLE dhcp4d.lease ADD COLUMN writer int8 NOT NULL DEFAULT 0; -- which process wrote the row last
`, `
ALTER TABLE dhcp4d.lease ADD COLUMN remote bytea NOT NULL DEFAULT ''; -- Remote-Id, empty: none
CREATE OR REPLACE VIEW dhcp4d.leases AS SELECT
	'0.0.0.0'::inet + addr AS address, subnet,
	CASE state WHEN 2 THEN 'bound' WHEN 3 THEN 'released' WHEN 4 THEN 'declined' END AS state,
	encode(client, 'hex') AS client, encode(hw, 'hex') AS hardware_address,
	to_timestamp(changed) AS changed,
	CASE WHEN expires = 9223372036854775807 THEN 'infinity' ELSE to_timestamp(expires) END AS expires,
	encode(remote, 'hex') AS remote_id
	FROM dhcp4d.lease;
`}

// Migrated is the result of [Migrate]: the versions of the tables before and after. Version 0 means
// no tables.
type Migrated struct{ From, To int }

// Migrate makes the tables of a store in a PostgreSQL database, or converts those of an earlier
// version, in one transaction. It refuses to convert tables that a dhcp4d uses.
//
// A dhcp4d that starts meanwhile waits, because both lock the version: see sqlEnter. A dhcp4d that
// looks dead, because it was frozen or cut off, may come back. Its row says that it has left, so it
// commits nothing before it has read the version again.
func Migrate(ctx context.Context, url string) (Migrated, error) {
	return migrate(ctx, url, migrations[:])
}

// migrate is Migrate to the version that has so many steps.
func migrate(ctx context.Context, url string, steps []string) (m Migrated, err error) {
	config, err := database.Parse(url)
	if err != nil {
		return m, err
	}
	c, err := database.Connect(ctx, config)
	if err != nil {
		return m, fmt.Errorf("lease store %s: %w", url, err)
	}
	defer func() { _ = c.Close(ctx) }()
	err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if m.From, err = lockFormat(ctx, tx); err != nil {
			return err
		}
		if m.From > len(steps) {
			return newerFormat(m.From)
		}
		if m.From > 0 && m.From < len(steps) {
			if err := nobodyRuns(ctx, tx); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "UPDATE dhcp4d.process SET gone = true"); err != nil {
				return err
			}
		}
		for _, step := range steps[m.From:] {
			if _, err := tx.Exec(ctx, step); err != nil {
				return err
			}
		}
		if m.To = len(steps); m.From == 0 {
			id := strconv.FormatInt(newWriter(rand.Reader), 16)
			if _, err := tx.Exec(ctx, "INSERT INTO dhcp4d.meta VALUES ('store', $1)", id); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "UPDATE dhcp4d.meta SET v = $1 WHERE k = 'format'", strconv.Itoa(m.To))
		return err
	})
	if err != nil {
		return m, fmt.Errorf("lease store %s: making the tables: %w", url, err)
	}
	return m, nil
}

// lockFormat is formatOf. If there are tables, no dhcp4d enters and no other Migrate goes on until
// the transaction ends.
func lockFormat(ctx context.Context, tx pgx.Tx) (int, error) {
	if n, err := formatOf(ctx, tx); n == 0 || err != nil {
		return n, err
	}
	if _, err := tx.Exec(ctx, "SELECT v FROM dhcp4d.meta WHERE k = 'format' FOR UPDATE"); err != nil {
		return 0, err
	}
	return formatOf(ctx, tx) // another Migrate may have changed it meanwhile
}

// nobodyRuns returns an error if a dhcp4d uses the tables. It reads their version only when it
// connects. It would go on with the older statements, which leave the values of a column that they
// do not know: a lease of another client would keep the Remote-Id of the client before.
func nobodyRuns(ctx context.Context, tx pgx.Tx) error {
	var names string
	err := tx.QueryRow(ctx, `SELECT coalesce(string_agg(name, ', ' ORDER BY name), '') FROM dhcp4d.process
		WHERE NOT gone AND abs(seen - extract(epoch FROM clock_timestamp())::float8) < $1`, float64(liveFor)).Scan(&names)
	if err == nil && names != "" {
		return fmt.Errorf("a dhcp4d uses them (%s): stop every dhcp4d first; one that was killed counts for %d seconds", names, liveFor)
	}
	return err
}

// formatOf returns the version of the tables, 0 if there are none.
func formatOf(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) (int, error) {
	var there bool
	err := q.QueryRow(ctx, `SELECT count(*) > 0 FROM information_schema.tables
		WHERE table_schema = 'dhcp4d' AND table_name = 'meta'`).Scan(&there)
	if err != nil || !there {
		return 0, err
	}
	var text string
	if err := q.QueryRow(ctx, "SELECT v FROM dhcp4d.meta WHERE k = 'format'").Scan(&text); err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("the table dhcp4d.meta has the format %q, which is not a number", text)
	}
	return n, nil
}

// checkFormat returns an error if the tables have another version than this dhcp4d needs.
func checkFormat(ctx context.Context, c *pgx.Conn) error {
	switch n, err := formatOf(ctx, c); {
	case err != nil:
		return fmt.Errorf("reading the version of the tables: %w", err)
	case n == 0:
		return errors.New("the database has no tables of dhcp4d that this user may read: " +
			"run dhcp4d store migrate once, as a user that may make a schema")
	case n > schemaFormat:
		return newerFormat(n)
	case n < schemaFormat:
		return fmt.Errorf("the tables are of version %d, this dhcp4d needs %d: "+
			"stop every dhcp4d that uses them and run dhcp4d store migrate", n, schemaFormat)
	}
	return nil
}

func newerFormat(n int) error {
	return fmt.Errorf("the tables are of version %d, this dhcp4d knows those up to %d: run a newer dhcp4d",
		n, schemaFormat)
}
