package compose

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/monitoring"
)

// all are the expressions and values of a profile shared without faults.
var all = map[string]float64{
	`sum(dhcp6d_ipc_backend_up{instance=~"dhcp6d-shared:.*"})`: 3,
	`sum(dhcp4d_ready{instance=~"dhcp4d-[123]:.*"})`:           3,
	`sum(dhcp4d_store_processes)`:                              9,
	`sum(dhcp4d_store_standbys{mode="synchronous"})`:           3,
	`sum(dhcp4d_store_standbys{mode!="synchronous"})`:          0,
}

// shared does what docs/lab.md describes, with three dhcp4d on one database. It kills each of them,
// freezes the database, kills the standby, and promotes it. At each of these moments new clients
// come, and retransmit at most one message. Meanwhile a load generator checks that no address is
// given twice, and one client keeps its address.
func shared(t *testing.T, l *lab) {
	started := time.Now()
	must(t)(l.Compose(t.Context(), "--profile", "shared", "up", "-d", "--no-build",
		"dhcp6d-shared", "dhcp4d-1", "dhcp4d-2", "dhcp4d-3", "shared-client"))
	l.well(t, 2*time.Minute)
	t.Logf("the profile shared is up after %v", time.Since(started).Round(time.Second))
	standing := l.lease(t, "shared-client", 30*time.Second)
	load := l.sharedLoad(t)

	var came int
	for _, c := range []struct {
		name  string
		fault func(t *testing.T, asked <-chan struct{})
		mend  func(t *testing.T)
	}{
		{"nothing", func(*testing.T, <-chan struct{}) {}, func(*testing.T) {}},
		{"dhcp4d-1 is killed", l.killing("dhcp4d-1"), l.starting("dhcp4d-1")},
		{"dhcp4d-2 is killed", l.killing("dhcp4d-2"), l.starting("dhcp4d-2")},
		{"dhcp4d-3 is killed", l.killing("dhcp4d-3"), l.starting("dhcp4d-3")},
		{"the database is frozen until clients wait for it", l.freezing("db-a"), func(*testing.T) {}},
		{
			"the standby is killed, and the database goes on without it",
			func(t *testing.T, asked <-chan struct{}) {
				l.killing("db-b")(t, asked)
				l.waitFor(t, "db-a", "")
			},
			func(t *testing.T) {
				l.starting("db-b")(t)
				l.waitFor(t, "db-a", "*")
			},
		},
		{
			"the database is killed, and its standby takes over",
			func(t *testing.T, asked <-chan struct{}) {
				l.killing("db-a")(t, asked)
				if got := l.sql(t, "db-b", "SELECT pg_promote()"); got != "t" {
					t.Errorf("pg_promote: %s", got)
				}
			},
			func(t *testing.T) { // the first server returns as the standby of the second
				l.starting("db-a")(t)
				l.waitFor(t, "db-b", "*")
			},
		},
	} {
		if !t.Run(c.name, func(t *testing.T) {
			v := l.visit(t, came, 3)
			came += 3
			c.fault(t, v.asked)
			for _, got := range v.wait() {
				switch {
				case got.err != nil:
					t.Errorf("a client: %v", got.err)
				case len(got.again) > 1:
					t.Errorf("a client retransmitted %q", got.again)
				}
				t.Logf("%s, retransmitted: %q", got.lease.Address, got.again)
			}
			c.mend(t)
			l.well(t, time.Minute)
			for _, got := range v.clients { // the database must have each acknowledged lease
				row := l.sql(t, l.primary(t), fmt.Sprintf("SELECT state FROM dhcp4d.leases WHERE address = '%s' AND hardware_address = '%s'",
					got.lease.Address, strings.ReplaceAll(got.mac, ":", "")))
				if row != "bound" {
					t.Errorf("for the lease of %s by %s the database has %q", row, got.lease.Address, got.mac)
				}
			}
		}) {
			return
		}
	}

	for _, e := range l.events(t, "shared-client") {
		if e.Address != standing.Address || e.Event == "lost" {
			t.Errorf("the client had %s, and then got %+v", standing.Address, e)
		}
	}
	load()
	l.sharedPanels(t)
}

// well waits until nothing of the profile shared has a fault.
func (l *lab) well(t *testing.T, limit time.Duration) {
	t.Helper()
	for expr, want := range all {
		eventually(t, limit, expr, is(expr, want))
	}
}

func (l *lab) killing(service string) func(*testing.T, <-chan struct{}) {
	return func(t *testing.T, _ <-chan struct{}) {
		must(t)(Docker(t.Context(), "kill", must(t)(l.Container(t.Context(), service))))
	}
}

func (l *lab) starting(service string) func(*testing.T) {
	return func(t *testing.T) {
		// Not by its id: Compose v2 does not list a container that has ended.
		must(t)(l.Compose(t.Context(), "--profile", "shared", "start", service))
	}
}

// freezing stops all processes of a service until the clients have sent a REQUEST, at most for
// three seconds: after five a dhcp4d takes the database for failed.
func (l *lab) freezing(service string) func(*testing.T, <-chan struct{}) {
	return func(t *testing.T, asked <-chan struct{}) {
		id := must(t)(l.Container(t.Context(), service))
		must(t)(Docker(t.Context(), "pause", id))
		frozen := time.Now()
		waiting := 0
		for end := time.After(3 * time.Second); ; {
			select {
			case <-asked:
				waiting++
				continue
			case <-end:
			}
			break
		}
		must(t)(Docker(t.Context(), "unpause", id))
		t.Logf("frozen for %v; %d clients were waiting for their ACK", time.Since(frozen).Round(time.Millisecond), waiting)
	}
}

// sql runs a query on a server of the database.
func (l *lab) sql(t *testing.T, service, query string) string {
	t.Helper()
	return must(t)(Docker(t.Context(), "exec", must(t)(l.Container(t.Context(), service)), "psql", "-Atqc", query))
}

// waitFor sets the standbys that the commits of a server wait for. It returns when one of them has
// all former commits. It does not ask the metrics, which are up to ten seconds late.
func (l *lab) waitFor(t *testing.T, service, standbys string) {
	t.Helper()
	l.sql(t, service, "ALTER SYSTEM SET synchronous_standby_names = '"+standbys+"'")
	l.sql(t, service, "SELECT pg_reload_conf()")
	if standbys == "" {
		return
	}
	eventually(t, time.Minute, "a synchronous standby", func(context.Context) (bool, string) {
		n := l.sql(t, service, "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum') AND state = 'streaming'")
		return n == "1", n
	})
}

// primary returns the server that takes writes.
func (l *lab) primary(t *testing.T) string {
	t.Helper()
	if l.sql(t, "db-a", "SELECT pg_is_in_recovery()") == "f" {
		return "db-a"
	}
	return "db-b"
}

// visitors are clients that come at the same time.
type visitors struct {
	clients []*visitor
	asked   chan struct{} // has a value for each client that has sent a REQUEST
	group   sync.WaitGroup
}

type visitor struct {
	mac   string
	lease line
	again []string // the messages that it has retransmitted
	err   error
}

func (v *visitors) wait() []*visitor {
	v.group.Wait()
	return v.clients
}

// sent is a line of the client's log.
var sent = regexp.MustCompile(`msg=sent type=(\S+) try=(\d+)`)

// visit starts n new clients on the network shared.
func (l *lab) visit(t *testing.T, first, n int) *visitors {
	t.Helper()
	v := &visitors{asked: make(chan struct{}, n)}
	for i := range n {
		c := &visitor{mac: fmt.Sprintf("02:00:5e:20:00:%02x", first+i)}
		v.clients = append(v.clients, c)
		v.group.Go(func() { c.come(t.Context(), l, v.asked) })
	}
	return v
}

// come gets a lease. It does not go through compose, which takes seconds for a container.
func (c *visitor) come(ctx context.Context, l *lab, asked chan<- struct{}) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", "run", "--rm", "--network", l.Name+"_shared", "--sysctl", "net.ipv4.ip_unprivileged_port_start=0",
		standInPrefix+"tools", "dhcp4o6-client", "-i", "eth0", "-once", "-release=false", "-json", "-v", "-mac", c.mac)
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	go func() {
		c.err = cmd.Run()
		w.Close()
	}()
	var said strings.Builder
	for s := bufio.NewScanner(r); s.Scan(); {
		fmt.Fprintln(&said, s.Text())
		if m := sent.FindStringSubmatch(s.Text()); m != nil {
			switch {
			case m[2] != "1":
				c.again = append(c.again, m[1])
			case m[1] == "REQUEST":
				asked <- struct{}{}
			}
		}
		_ = json.Unmarshal(s.Bytes(), &c.lease) // the other lines are not JSON
	}
	if c.err != nil || c.lease.Address == "" {
		c.err = fmt.Errorf("no lease: %w\n%s", c.err, said.String())
	}
}

// sharedLoad starts a load generator. The function that it returns ends it, and
// fails the test if any answer was wrong: a NAK to a renewal, or an ACK for an address that another
// client has. An OFFER of such an address is no fault, nor is a NAK to its REQUEST: a dhcp4d learns
// a little later what another one has leased.
func (l *lab) sharedLoad(t *testing.T) (end func()) {
	t.Helper()
	id := must(t)(Docker(t.Context(), "run", "-d", "--network", l.Name+"_shared", "--sysctl", "net.ipv4.ip_unprivileged_port_start=0",
		standInPrefix+"tools", "dhcp4o6-perf", "-i", "eth0", "-rate", "20", "-t", "1h", "-clients", "500", "-renew", "0.5", "-timeout", "4s", "-shared"))
	t.Cleanup(func() {
		_, _ = Docker(context.Background(), "rm", "-f", id) // after end nothing is left to fail
	})
	return func() {
		must(t)(Docker(t.Context(), "stop", "-t", "30", id))
		code := must(t)(Docker(t.Context(), "wait", id))
		out, err := Docker(t.Context(), "logs", id)
		t.Logf("the load generator said (%v):\n%s", err, tail(out, 20))
		if code != "0" {
			t.Errorf("the load generator ended with status %s", code)
		}
	}
}

// sharedPanels looks at the panels that need a database.
func (l *lab) sharedPanels(t *testing.T) {
	t.Helper()
	expressions, err := monitoring.Expressions(l.Root)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"panel leases/Standbys, and dhcp4d A": true, "panel leases/Standbys, and dhcp4d B": true, "panel leases/Behind the others": true}
	for _, e := range expressions {
		if want[e.Where] {
			delete(want, e.Where)
			eventually(t, 30*time.Second, e.Where+" has data", func(ctx context.Context) (bool, string) {
				n, err := prometheus.Sum(ctx, e.Expr)
				return n > 0, fmt.Sprint(n, err)
			})
		}
	}
	for where := range want {
		t.Errorf("the dashboards have no %s", where)
	}
}
