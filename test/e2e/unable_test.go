package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/load"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// small gives the dhcp4d with this name its own disk, in a mount namespace.
func small(t *testing.T, which string) (change func(name string, c *servers.Config), dir string) {
	dir = t.TempDir()
	return func(name string, c *servers.Config) {
		if name == which {
			c.Through = []string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs -o size=32m tmpfs "$0" && exec "$@"`, dir}
			c.Env = append(c.Env, "DHCP4D_STORE=journal:"+filepath.Join(dir, "leases"))
		}
	}, dir
}

func TestABackendWhoseStoreHasFailed(t *testing.T) {
	t.Parallel()
	change, dir := small(t, "a")
	b, halves, _ := two(t, true, change)
	a := halves["a"]
	// serve makes new clients try once, and counts which dhcp4d serves them.
	next := 1
	serve := func(n int) map[string]int {
		t.Helper()
		by := map[string]int{}
		for range n {
			c, socket, err := b.Client(topology.Multicast, next, client.Options{Retransmit: client.Retransmit{First: 2 * time.Second, Max: 2 * time.Second, Tries: 1}})
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			next++
			l, err := c.Obtain(t.Context())
			if err != nil {
				t.Errorf("IPC-29 new client %d: %v", next, err)
				continue
			}
			by[ownerOf(l.Address)]++
			if err := c.Release(l); err != nil {
				t.Error(err)
			}
		}
		return by
	}
	if by := serve(20); len(by) != 2 {
		t.Errorf("before, all clients are at one backend: %v", by)
	}

	ballast := filepath.Join(fmt.Sprintf("/proc/%d/root", a.PID()), dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	// The store still can write to the files that it has, and may free a little space when it is
	// opened again.
	failed := func() bool {
		all, err := b.six.Metrics()
		return err == nil && all[`dhcp6d_ipc_backend_state{backend="a",state="unable"}`] == 1
	}
	for deadline := time.Now().Add(time.Minute); ; {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, 4<<10))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		if failed() {
			time.Sleep(1500 * time.Millisecond)
			if failed() {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the store of a does not fail")
		}
		if _, err := loaded(t.Context(), b.Clients, load.Config{Interface: "access", InFlight: 8, Duration: time.Second, Clients: 50, Release: 1, Seed: 1}); err != nil {
			t.Fatal(err)
		}
	}

	b.series(a, "dhcp4d_ready", is(0))
	b.series(b.six, "dhcp6d_ready", is(1))
	b.series(b.six, `dhcp6d_ipc_backend_up{backend="a"}`, is(0))
	if by := serve(30); by["b"] != 30 {
		t.Errorf("IPC-29 while the store of a has failed: %v", by)
	}

	if err := errors.Join(f.Close(), os.Remove(ballast)); err != nil {
		t.Fatal(err)
	}
	b.series(a, "dhcp4d_ready", is(1))
	b.series(b.six, `dhcp6d_ipc_backend_up{backend="a"}`, is(1))
	if by := serve(20); len(by) != 2 {
		t.Errorf("after the disk has space again, all clients are at one backend: %v", by)
	}
}

func TestABackendThatIsStopped(t *testing.T) {
	t.Parallel()
	t.Run("IPC-29 no new client loses a datagram to a dhcp4d that ends", func(t *testing.T) {
		t.Parallel()
		b, halves, start4 := two(t, true, func(name string, c *servers.Config) {
			if name == "six" { // a busy machine may not drop queries for their age
				c.Env = append(c.Env, "DHCP6D_MAX_WAIT=0s", "DHCP6D_DISCOVER_MAX_WAIT=0s")
			}
		})
		stop, done := make(chan struct{}), make(chan load.Report, 1)
		go func() {
			defer close(done)
			r, err := loaded(t.Context(), b.Clients, load.Config{Interface: "access", Rate: 100, Duration: 4 * time.Second, Timeout: 3 * time.Second, Clients: 100000, Release: 1, Seed: 2})
			if err != nil {
				t.Error(err)
			}
			done <- r
		}()
		time.Sleep(time.Second)
		_ = halves["a"].Stop(5 * time.Second)
		start4("a")
		close(stop)
		r := <-done
		// A REQUEST may be on its way to the dhcp4d that ends. The other one then refuses its
		// client.
		t.Logf("%+v", r)
		if r.Lost > 0 {
			t.Errorf("%d of %d exchanges lost a datagram", r.Lost, r.Started)
		}
	})
}
