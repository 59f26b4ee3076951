package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/load"
	"github.com/dhcp4o6/dhcp4o6/shared/postgrestest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// startOnDatabase builds the network with a dhcp4d whose leases are in a PostgreSQL database.
func startOnDatabase(t *testing.T) (*bench, *postgrestest.Server) {
	t.Helper()
	database := postgrestest.Start(t)
	place := "DHCP4D_STORE=" + database.URL()
	migrateDatabase(t, place)
	return start(t, func(c *servers.Config) { c.Env = []string{place} }), database
}

// migrateDatabase makes the tables of a store.
func migrateDatabase(t *testing.T, place string) {
	t.Helper()
	if said, err := migrated(t, place); err != nil {
		t.Fatalf("dhcp4d store migrate: %v\n%s", err, said)
	}
}

// migrated runs dhcp4d store migrate, and returns what it said.
func migrated(t *testing.T, place string) (string, error) {
	t.Helper()
	path, err := servers.Find("dhcp4d")
	if err != nil {
		t.Fatal(err)
	}
	migrate := exec.Command(path, "store", "migrate")
	migrate.Env = []string{place}
	out, err := migrate.CombinedOutput()
	return string(out), err
}

func TestDatabase(t *testing.T) {
	t.Parallel()
	t.Run("DB-1 a lease is in the database when its ACK arrives: dhcp4d and the database know it after a kill at once", func(t *testing.T) {
		t.Parallel()
		b, database := startOnDatabase(t)
		var leases []*client.Lease
		var clients []*client.Client
		for n := range 3 {
			c := b.client(topology.Multicast, n+1, client.Options{})
			leases, clients = append(leases, b.obtain(c)), append(clients, c)
			database.Kill(t)
			b.four.Kill()
			database.Restart(t)
			b.start4()
		}
		for i, c := range clients {
			if _, err := c.Reboot(t.Context(), leases[i].Address); err != nil {
				t.Errorf("%s is not known after the restart: %v", leases[i].Address, err)
			}
		}
	})
	t.Run("DB-2 nothing is acknowledged while the database is away, and clients are served when it is back", func(t *testing.T) {
		t.Parallel()
		b, database := startOnDatabase(t)
		c := b.client(topology.Multicast, 1, client.Options{})
		l := b.obtain(c)
		database.Freeze()
		if _, err := b.client(topology.Multicast, 2, client.Options{Retransmit: short}).Obtain(t.Context()); !errors.Is(err, client.ErrNoAnswer) {
			t.Errorf("a client is bound while the database is frozen: %v", err)
		}
		database.Thaw()
		if renewed, err := c.Renew(t.Context(), l); err != nil || renewed.Address != l.Address {
			t.Errorf("renewed: %+v, %v; want %v", renewed, err, l.Address)
		}
		database.Kill(t)
		if _, err := b.client(topology.Multicast, 3, client.Options{Retransmit: short}).Obtain(t.Context()); !errors.Is(err, client.ErrNoAnswer) {
			t.Errorf("a client is bound without a database: %v", err)
		}
		database.Restart(t)
		if renewed, err := c.Renew(t.Context(), l); err != nil || renewed.Address != l.Address {
			t.Errorf("renewed: %+v, %v; want %v", renewed, err, l.Address)
		}
	})
	t.Run("DB-5 a backup is restored: leases that it lacks go on, and nobody else gets their addresses", func(t *testing.T) {
		t.Parallel()
		b, database := startOnDatabase(t)
		before := b.client(topology.Multicast, 1, client.Options{})
		l1 := b.obtain(before)
		backup := database.Dump(t, "dhcp4d")
		after := b.client(topology.Multicast, 2, client.Options{})
		l2 := b.obtain(after)
		if err := b.four.Stop(10 * time.Second); err != nil {
			t.Fatal(err)
		}
		database.Query(t, "DROP SCHEMA dhcp4d CASCADE")
		database.Restore(t, backup)
		if n := database.Query(t, "SELECT count(*) FROM dhcp4d.leases WHERE state = 'bound'"); n != "1" {
			t.Fatalf("the backup has %s leases in force, want one", n)
		}
		b.config.Env = append(b.config.Env, "DHCP4D_RECOVERY=true")
		b.start4()
		for _, c := range []struct {
			client *client.Client
			lease  *client.Lease
		}{{before, l1}, {after, l2}} {
			if l, err := c.client.Renew(t.Context(), c.lease); err != nil || l.Address != c.lease.Address {
				t.Errorf("renewed: %+v, %v; want %v", l, err, c.lease.Address)
			}
		}
		if l, err := b.client(topology.Multicast, 3, client.Options{Retransmit: short}).Obtain(t.Context()); !errors.Is(err, client.ErrNoAnswer) {
			t.Errorf("a new client: %+v, %v", l, err)
		}
		if n := database.Query(t, "SELECT count(*) FROM dhcp4d.leases WHERE state = 'bound'"); n != "2" {
			t.Errorf("%s leases in force, want two", n)
		}
	})
	t.Run("DB-5 leases that a failover has lost are written again from memory, and nobody else gets them", func(t *testing.T) {
		t.Parallel()
		first := postgrestest.Start(t)
		migrateDatabase(t, "DHCP4D_STORE="+first.URL())
		second := first.Standby(t)
		b := start(t, func(c *servers.Config) {
			c.Env = []string{"DHCP4D_STORE=" + postgrestest.URLOf(first, second), "DHCP4D_API_LISTEN=off"}
		})
		var clients []*client.Client
		var leases []*client.Lease
		for n := range 6 {
			if n == 3 {
				second.Unfollow(t) // it lacks the next leases
			}
			c := b.client(topology.Multicast, n+1, client.Options{})
			clients, leases = append(clients, c), append(leases, b.obtain(c))
		}
		first.Kill(t)
		second.Promote(t) // before the store counts as failed, after which all is compared
		for began := time.Now(); second.Query(t, "SELECT count(*) FROM dhcp4d.lease WHERE state = 2") != "6"; time.Sleep(50 * time.Millisecond) {
			if time.Since(began) > 20*time.Second {
				t.Fatal("a dhcp4d that nobody asks puts back nothing")
			}
		}
		held := map[netip.Addr]bool{}
		for i, c := range clients {
			if again, err := c.Renew(t.Context(), leases[i]); err != nil || again.Address != leases[i].Address {
				t.Errorf("renewal of %s: %+v, %v", leases[i].Address, again, err)
			}
			held[leases[i].Address] = true
		}
		for n := range 3 {
			if l := b.obtain(b.client(topology.Multicast, 10+n, client.Options{})); held[l.Address] {
				t.Errorf("%s is given twice", l.Address)
			}
		}
		if n := second.Query(t, "SELECT count(*) FROM dhcp4d.lease WHERE state = 2"); n != "9" {
			t.Errorf("the database has %s leases", n)
		}
	})
	t.Run("DB-3 any of three dhcp4d renews the lease of any client, whichever is killed", func(t *testing.T) {
		t.Parallel()
		b := startSeveral(t, "192.0.2.10", "192.0.2.250", "a", "b", "c")
		var clients []*client.Client
		var leases []*client.Lease
		for n := range 9 {
			c := b.client(topology.Multicast, n+1, client.Options{})
			clients, leases = append(clients, c), append(leases, b.obtain(c))
		}
		for _, name := range []string{"a", "b", "c"} {
			b.halves[name].Kill()
			b.series(b.six, `dhcp6d_ipc_backend_up{backend="`+name+`"}`, is(0))
			for i, c := range clients {
				if again, err := c.Renew(t.Context(), leases[i]); err != nil || again.Address != leases[i].Address {
					t.Errorf("without %s, renewal of %s: %+v, %v", name, leases[i].Address, again, err)
				}
				if again, err := c.Reboot(t.Context(), leases[i].Address); err != nil || again.Address != leases[i].Address {
					t.Errorf("without %s, reboot with %s: %+v, %v", name, leases[i].Address, again, err)
				}
			}
			c := b.client(topology.Multicast, 100+int(name[0]), client.Options{})
			clients, leases = append(clients, c), append(leases, b.obtain(c))
			b.start4(name)
		}
		if err := clients[0].Release(leases[0]); err != nil {
			t.Fatal(err)
		}
		held := map[netip.Addr]bool{}
		for _, l := range leases {
			if held[l.Address] {
				t.Errorf("%s is held twice", l.Address)
			}
			held[l.Address] = true
		}
	})
	t.Run("DB-3 dhcp4d that share a pool which is too small give no address twice", func(t *testing.T) {
		t.Parallel()
		const first, addresses = 10, 60
		b := startSeveral(t, "192.0.2.10", fmt.Sprintf("192.0.2.%d", first+addresses-1), "a", "b", "c")
		found := make(chan *client.Lease, addresses)
		var all sync.WaitGroup
		for n := range addresses {
			c := b.client(topology.Multicast, n+1, client.Options{})
			all.Go(func() {
				for { // a NAK is no fault, and no answer while the last address is offered to another client
					l, err := c.Obtain(t.Context())
					if err == nil {
						found <- l
						return
					}
					if t.Context().Err() != nil {
						return
					}
				}
			})
		}
		all.Wait()
		held := map[netip.Addr]int{}
		for range addresses {
			l := <-found
			held[l.Address]++
		}
		if len(held) != addresses {
			t.Errorf("%d clients hold %d addresses: %v", addresses, len(held), held)
		}
		if n := b.database.Query(t, "SELECT count(DISTINCT client) FROM dhcp4d.lease WHERE state = 2"); n != fmt.Sprint(addresses) {
			t.Errorf("the database has %s clients", n)
		}
	})
	t.Run("DB-3 no address is given twice while dhcp4d and the database are killed under load", func(t *testing.T) {
		t.Parallel()
		b := startSeveral(t, "192.0.2.10", "192.0.2.210", "a", "b", "c")
		ctx, cancel := context.WithCancel(t.Context())
		killing := make(chan struct{})
		done := make(chan load.Report, 1)
		go func() {
			r, err := loaded(ctx, b.Clients, load.Config{
				Interface: "access", InFlight: 16, Clients: 180, Shuffle: true, Renew: 0.5, Release: 0.3, Timeout: 4 * time.Second, Seed: 1,
				Shared: true, Duration: time.Minute, // or until all have been killed
			})
			if err != nil {
				t.Error(err)
			}
			done <- r
		}()
		go func() {
			defer close(killing)
			for round, name := range []string{"a", "b", "c", "a", "b"} {
				time.Sleep(300 * time.Millisecond) // of load
				if round == 2 {
					b.database.Kill(t)
					b.database.Restart(t)
				}
				b.halves[name].Kill()
				b.start4(name)
			}
		}()
		<-killing
		cancel()
		r := <-done
		if r.Completed == 0 || len(r.Faults) > 0 {
			t.Errorf("faults %v of %d exchanges", r.Faults, r.Completed)
		}
		t.Logf("%d exchanges, %d lost, %d addresses held", r.Completed, r.Lost, r.Addresses)
	})
}

// TestWhatOthersHaveLeased measures the time from an ACK of one dhcp4d until all three know the
// lease.
func TestWhatOthersHaveLeased(t *testing.T) {
	t.Parallel()
	t.Run("DB-11 the others soon know a lease that one dhcp4d has given", func(t *testing.T) {
		t.Parallel()
		b := startSeveral(t, "192.0.2.10", "192.0.2.250", "a", "b", "c")
		var took []time.Duration
		for n := range 40 {
			b.obtain(b.client(topology.Multicast, n+1, client.Options{}))
			began := time.Now()
			for name := range b.halves {
				b.series(b.halves[name], `dhcp4d_leases{state="bound",subnet="1"}`, is(float64(n+1)))
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		t.Logf("until all knew: median %v, longest %v", took[len(took)/2], took[len(took)-1])
	})
}

// TestFullPool checks dhcp4d that share a pool with few free addresses. If two clients request the
// same address, the database refuses the second record, and that client gets a NAK.
func TestFullPool(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		percent int
		most    float64 // records refused, and NAKs, per REQUEST
	}{{50, 0.005}, {90, 0.005}, {99, 0.2}} {
		t.Run(fmt.Sprintf("DB-12 few clients are refused what they were offered, with %d %% of a pool in use", test.percent), func(t *testing.T) {
			t.Parallel()
			const addresses = 1000
			b := startSeveral(t, "10.0.0.1", "10.0.3.232", "a", "b")
			clients := addresses * test.percent / 100
			for seed, c := range []load.Config{
				{Count: clients, Clients: clients, InFlight: 16},       // fill the pool
				{Count: 1500, Clients: 1500, InFlight: 16, Release: 1}, // other clients share the free addresses
			} {
				c.Interface, c.Timeout, c.Shared, c.Seed = "access", 2*time.Second, true, uint64(seed+1)
				before := b.counted()
				r, err := loaded(t.Context(), b.Clients, c)
				if err != nil {
					t.Fatal(err)
				}
				n, drops := b.counted(), map[string]float64{}
				for series := range n {
					if n[series] -= before[series]; strings.Contains(series, "_packets_dropped_total{") && n[series] > 0 {
						drops[series] = n[series]
					}
				}
				requests := n[`dhcp4d_queries_received_total{type="request"}`]
				refused, naks := n["dhcp4d_store_records_refused_total"]/requests, n[`dhcp4d_responses_sent_total{type="nak"}`]/requests
				t.Logf("%d %% in use, run %d: %d exchanges, %d without an answer, %.2f %% refused, %.2f %% NAKed, dropped: %v",
					test.percent, seed+1, r.Started, r.Lost, 100*refused, 100*naks, drops)
				if len(r.Faults) > 0 || refused > test.most || naks > test.most {
					t.Errorf("run %d: faults %v, want none, and at most %.2f %% refused and NAKed", seed+1, r.Faults, 100*test.most)
				}
				// The clients send each message once. So something was dropped, or late, for each
				// exchange without an answer.
				counted := float64(r.Late)
				for _, v := range drops {
					counted += v
				}
				if float64(r.Lost) > counted {
					t.Errorf("run %d: %d exchanges have no answer, and %v messages were dropped or late", seed+1, r.Lost, counted)
				}
			}
		})
	}
}

// counted returns the sum of each series over all daemons.
func (s *shared) counted() map[string]float64 {
	s.t.Helper()
	n := map[string]float64{}
	for _, half := range append(slices.Collect(maps.Values(s.halves)), s.six) {
		m, err := half.Metrics()
		if err != nil {
			s.t.Fatal(err)
		}
		for series, v := range m {
			n[series] += v
		}
	}
	return n
}

// shared is a network with three dhcp4d that use one database, and dhcp6d before them.
type shared struct {
	*bench
	database *postgrestest.Server
	halves   map[string]*servers.Half
	started  map[string]servers.Config
}

// startSeveral builds the network. The dhcp4d are configured alike, with one pool.
func startSeveral(t *testing.T, first, last string, names ...string) *shared {
	t.Helper()
	s := &shared{bench: network(t, "dhcp6d", "dhcp4d"), database: postgrestest.Start(t), halves: map[string]*servers.Half{}, started: map[string]servers.Config{}}
	place := "DHCP4D_STORE=" + s.database.URL()
	migrateDatabase(t, place)
	var backends []string
	for i, name := range names {
		one := s.config
		one.Env = []string{
			place, "DHCP4D_NAME=" + name, "DHCP4D_API_LISTEN=off", "DHCP4D_IPC_KEYS=" + firstKey,
			fmt.Sprintf("DHCP4D_IPC_LISTEN=[::1]:%d", 6768+i), fmt.Sprintf("DHCP4D_METRICS_LISTEN=[::1]:%d", 9567+100*i),
			fmt.Sprintf(`DHCP4D_SUBNETS=[{id: 1, subnet: %s, server-id: 192.0.2.1, pools: [%s-%s], match: [{interface: access}]}]`,
				netip.PrefixFrom(netip.MustParseAddr(first), 16).Masked(), first, last),
		}
		s.started[name] = one
		backends = append(backends, fmt.Sprintf("%s@[::1]:%d", name, 6768+i))
		s.start4(name)
	}
	s.config.Env = []string{"DHCP6D_IPC_BACKENDS=" + strings.Join(backends, ","), "DHCP6D_IPC_KEYS=" + firstKey}
	s.start6()
	s.series(s.six, "dhcp6d_ipc_backend_up", is(float64(len(names))))
	t.Cleanup(func() {
		settled(t, s.six, "dhcp6d")
		for _, h := range s.halves {
			settled(t, h, "dhcp4d")
		}
		if t.Failed() {
			t.Logf("dhcp6d said:\n%s", tailOf(s.six.Output()))
			for name, h := range s.halves {
				t.Logf("%s said:\n%s", name, tailOf(h.Output()))
			}
		}
	})
	return s
}

// start4 starts one dhcp4d, and waits until dhcp6d uses it.
func (s *shared) start4(name string) {
	s.t.Helper()
	h, err := servers.StartV4(s.Server, servers.Ours, s.started[name])
	if err != nil {
		s.t.Fatal(err)
	}
	s.halves[name] = h
	if s.six != nil {
		s.series(s.six, `dhcp6d_ipc_backend_up{backend="`+name+`"}`, is(1))
	}
}
