// Package database reads the URL of a PostgreSQL database, and connects to it.
package database

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ConnectWithin bounds how long an attempt to connect to a host takes.
const ConnectWithin = 2 * time.Second

// session are the settings of our sessions. They are set by statements, because PgBouncer refuses
// them among the parameters of a connection. Load reads millions of rows in one statement, so
// statements have no time limit there.
//
// If a machine or its network fails in the middle of a commit, the server has part of that commit.
// It keeps the locks on the rows, and waits for the rest. By default it asks after two hours
// whether anybody is still there. Meanwhile no dhcp4d could change these leases. So it asks after
// two seconds, if it knows the settings. While an answer is on its way it does not ask, and by
// default repeats the answer for 15 minutes. So it ends a connection also if nothing that it has
// sent arrives for five seconds.
const session = `SET synchronous_commit = on; SET default_transaction_isolation = 'read committed';
	SET statement_timeout = 0; SET lock_timeout = '4s'; SET idle_in_transaction_session_timeout = '5s';
	SELECT set_config(s.name, k.value, false) FROM pg_settings s JOIN (VALUES ('tcp_keepalives_idle', '2'),
		('tcp_keepalives_interval', '1'), ('tcp_keepalives_count', '3'), ('tcp_user_timeout', '5000')) k(name, value)
		ON s.name = k.name`

// IsURL reports whether a store's URL names a PostgreSQL database.
func IsURL(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// Parse checks the URL of a PostgreSQL database. A password in it is refused, because URLs
// are logged: it belongs into a file that passfile= in the URL, or PGPASSFILE, names.
func Parse(text string) (*pgx.ConnConfig, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("the URL of the database cannot be read: " +
			"want postgres://user@host/database?option=value")
	}
	if _, given := u.User.Password(); given || u.Query().Has("password") {
		return nil, errors.New("the URL of the database holds a password, which logs would show: " +
			"write it into a file as host:port:database:user:password, and name the file by passfile= in the URL")
	}
	if u.Query().Has("sslpassword") {
		return nil, errors.New("the URL of the database holds a password (sslpassword), which logs would show: " +
			"name a file with a key that needs none by sslkey= in the URL")
	}
	if name := u.Query().Get("passfile"); name != "" {
		f, err := os.Open(name) // pgx goes on without a password
		if err != nil {
			return nil, fmt.Errorf("the URL of the database: the file that passfile= names cannot be read: %w", err)
		}
		_ = f.Close() // nothing was read
	}
	c, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("the URL of the database: %w", err)
	}
	c.ConnectTimeout = ConnectWithin
	if !u.Query().Has("target_session_attrs") {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "dhcp4d"
	}
	c.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		return conn.Exec(ctx, session).Close()
	}
	return c, nil
}
