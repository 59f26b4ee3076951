package main

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/postgrestest"
)

// cutAt carries connections to a server. It cuts all that there are when the server has sent n
// octets over them together, and carries later ones whole.
type cutAt struct {
	n int

	mu    sync.Mutex
	heard int
	cut   bool
	conns []net.Conn
}

func (c *cutAt) serve(from net.Listener, server string) {
	for {
		client, err := from.Accept()
		if err != nil {
			return // the test has ended
		}
		to, err := net.Dial("unix", server)
		if err != nil {
			_ = client.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, client, to)
		c.mu.Unlock()
		go func() { _, _ = io.Copy(to, client); _ = to.Close() }()
		go func() { _, _ = io.Copy(client, io.TeeReader(to, c)); _ = client.Close() }()
	}
}

func (c *cutAt) state() (heard int, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard, c.cut
}

// Write counts what the server has sent.
func (c *cutAt) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard += len(b)
	if c.n > 0 && !c.cut && c.heard >= c.n {
		c.cut = true
		for _, conn := range c.conns {
			_ = conn.Close()
		}
		return 0, io.ErrClosedPipe // these octets do not arrive
	}
	return len(b), nil
}

// TestDB_2AStartOverAConnectionThatBreaks: wherever in its start a dhcp4d loses the database, it
// waits for it, and starts.
func TestDB_2AStartOverAConnectionThatBreaks(t *testing.T) {
	database := postgrestest.Start(t)
	if err := run(t.Context(), []string{"store", "migrate"}, []string{"DHCP4D_STORE=" + database.URL()}, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(database.Dir(), ".s.PGSQL.5432")
	start := func(t *testing.T, n int) (c *cutAt, metrics string) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		c = &cutAt{n: n}
		go c.serve(listener, socket)
		environ, metrics := daemonOn(t, t.TempDir())
		serving(t, append(environ, fmt.Sprintf("DHCP4D_STORE=postgres://dhcp4d@%s/postgres?sslmode=disable", listener.Addr())))
		ready(t, metrics)
		return c, metrics
	}
	whole, _ := start(t, 0)
	all, _ := whole.state()
	const steps = 16
	for i := range steps {
		n := 1 + all*i/steps
		t.Run(fmt.Sprintf("cut after %d of %d octets", n, all), func(t *testing.T) {
			t.Parallel()
			c, metrics := start(t, n)
			for cut := false; !cut; time.Sleep(time.Millisecond) { // the last may be ready before the cut
				_, cut = c.state()
			}
			ready(t, metrics)
		})
	}
}
