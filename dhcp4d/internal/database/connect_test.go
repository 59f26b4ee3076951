package database_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/database"
	"github.com/dhcp4o6/dhcp4o6/shared/postgrestest"
)

// listen returns the port of a host that does not answer: the kernel takes connections, and nobody
// reads them. So does a host that is frozen; one that is gone does not even take them.
func listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestDB_1_AHostThatDoesNotAnswerDoesNotKeepOthersFromBeingTried(t *testing.T) {
	type host struct{ name, port string }
	first := postgrestest.Start(t)
	standby := first.Standby(t)
	path := func(s *postgrestest.Server) host {
		_, path, _ := strings.Cut(s.URL(), "host=")
		return host{path, "5432"}
	}
	frozen := func() host { return host{"127.0.0.1", listen(t)} }
	refuses := host{"/nowhere", "5432"}
	for _, c := range []struct {
		name  string
		hosts []host
		fails bool
	}{
		{"the only host", []host{path(first)}, false},
		{"the second after one that does not answer", []host{frozen(), path(first)}, false},
		{"the third after two that do not answer", []host{frozen(), frozen(), path(first)}, false},
		{"the second after one that refuses", []host{refuses, path(first)}, false},
		{"the first before one that does not answer", []host{path(first), frozen()}, false},
		{"the server that takes writes, after its standby", []host{path(standby), path(first)}, false},
		{"no host that takes writes", []host{frozen(), path(standby), refuses}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var names, ports []string
			for _, h := range c.hosts {
				names, ports = append(names, h.name), append(ports, h.port)
			}
			config, err := database.Parse(fmt.Sprintf("postgres://dhcp4d@/postgres?host=%s&port=%s",
				strings.Join(names, ","), strings.Join(ports, ",")))
			if err != nil {
				t.Fatal(err)
			}
			conn, err := database.Connect(t.Context(), config)
			if c.fails {
				if err == nil {
					t.Fatal("it has connected")
				}
				for _, h := range c.hosts {
					if !strings.Contains(err.Error(), h.name) {
						t.Errorf("the error does not tell what became of %s: %v", h.name, err)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer end(t, conn)
			var standby bool
			if err := conn.QueryRow(t.Context(), "SELECT pg_is_in_recovery()").Scan(&standby); err != nil || standby {
				t.Errorf("a standby: %v, %v", standby, err)
			}
		})
	}
}

func end(t *testing.T, c *pgx.Conn) {
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
}
