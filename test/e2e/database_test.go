package e2e

import (
	"errors"
	"os/exec"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/shared/postgrestest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// startOnDatabase builds the network with a dhcp4d whose leases are in a PostgreSQL database.
func startOnDatabase(t *testing.T) (*bench, *postgrestest.Server) {
	t.Helper()
	database := postgrestest.Start(t)
	place := "DHCP4D_STORE=" + database.URL()
	path, err := servers.Find("dhcp4d")
	if err != nil {
		t.Fatal(err)
	}
	migrate := exec.Command(path, "store", "migrate")
	migrate.Env = []string{place}
	if out, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("dhcp4d store migrate: %v\n%s", err, out)
	}
	return start(t, func(c *servers.Config) { c.Env = []string{place} }), database
}

func TestDatabase(t *testing.T) {
	t.Parallel()
	t.Run("DB-1 a lease is in the database when its ACK arrives, dhcp4d and the database killed at once know it", func(t *testing.T) {
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
	t.Run("DB-3 one dhcp4d at a time has a database, a second waits and takes over", func(t *testing.T) {
		t.Parallel()
		b, _ := startOnDatabase(t)
		c := b.client(topology.Multicast, 1, client.Options{})
		l := b.obtain(c)
		standby := b.config
		standby.Patience = time.Minute
		standby.Env = append(standby.Env[:1:1], "DHCP4D_METRICS_LISTEN=[::1]:9569", "DHCP4D_API_LISTEN=off")
		type started struct {
			half *servers.Half
			err  error
		}
		ready := make(chan started)
		go func() {
			half, err := servers.StartV4(b.Server, servers.Ours, standby)
			ready <- started{half, err}
		}()
		if renewed, err := c.Renew(t.Context(), l); err != nil || renewed.Address != l.Address {
			t.Errorf("renewed: %+v, %v; want %v", renewed, err, l.Address)
		}
		b.four.Kill()
		second := <-ready
		if second.err != nil {
			t.Fatal(second.err)
		}
		b.four = second.half
		if renewed, err := c.Renew(t.Context(), l); err != nil || renewed.Address != l.Address {
			t.Errorf("renewed with the second: %+v, %v; want %v", renewed, err, l.Address)
		}
	})
}
