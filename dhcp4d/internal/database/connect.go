package database

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// nextAfter is how long a host has to itself before Connect tries the next one too.
const nextAfter = 250 * time.Millisecond

// Connect makes a connection. If the URL names several hosts, Connect begins with the first. It
// tries each other one when the one before has failed, or has not connected for a moment, and
// returns the first connection. So after a failover, a host that is gone costs a moment only: such
// a host refuses nothing, because nobody is there.
func Connect(ctx context.Context, c *pgx.ConnConfig) (*pgx.Conn, error) {
	hosts := split(c)
	ctx, cancel := context.WithTimeout(ctx, ConnectWithin+time.Duration(len(hosts)-1)*nextAfter)
	defer cancel()
	type result struct {
		conn *pgx.Conn
		err  error
	}
	results := make(chan result, len(hosts))
	var failed []error
	for begun := 0; ; {
		var next <-chan time.Time
		if begun < len(hosts) {
			if begun == len(failed) { // no attempt is under way
				next = time.After(0)
			} else {
				next = time.After(nextAfter)
			}
		}
		select {
		case <-next:
			host := hosts[begun]
			begun++
			go func() {
				conn, err := pgx.ConnectConfig(ctx, host)
				results <- result{conn, err}
			}()
		case r := <-results:
			if r.err == nil {
				left := begun - len(failed) - 1
				go func() { // the other attempts end with ctx, unless they have just succeeded
					for range left {
						if r := <-results; r.err == nil {
							closeUnused(r.conn)
						}
					}
				}()
				return r.conn, nil
			}
			failed = append(failed, r.err)
			if len(failed) == len(hosts) {
				return nil, errors.Join(failed...)
			}
		}
	}
}

func closeUnused(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), ConnectWithin)
	defer cancel()
	_ = c.Close(ctx) // nothing was done with it
}

// split returns a configuration for each host. A host has several fallbacks if TLS is optional.
func split(c *pgx.ConnConfig) (hosts []*pgx.ConnConfig) {
	all := append([]*pgconn.FallbackConfig{{Host: c.Host, Port: c.Port, TLSConfig: c.TLSConfig}}, c.Fallbacks...)
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Host == all[0].Host && all[n].Port == all[0].Port {
			n++
		}
		one := c.Copy()
		one.Host, one.Port, one.TLSConfig, one.Fallbacks = all[0].Host, all[0].Port, all[0].TLSConfig, all[1:n]
		hosts = append(hosts, one)
		all = all[n:]
	}
	return hosts
}
