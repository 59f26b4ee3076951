package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/shared/skip"
	"github.com/dhcp4o6/dhcp4o6/test/ownclock"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

const year = 365 * 24 * time.Hour

// TestAWallClockThatIsCertainlyWrong: it stops no dhcp4d that runs. A dhcp4d that starts with it
// waits until it is right. Nobody loses a lease.
func TestAWallClockThatIsCertainlyWrong(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{90 * year, -30 * year} {
		t.Run(fmt.Sprintf("set by %v years", int(by/year)), func(t *testing.T) {
			t.Parallel()
			clock := new(ownclock.Clock)
			subnets := filepath.Join(t.TempDir(), "subnets")
			write(t, subnets, oneAddress)
			b := start(t, func(c *servers.Config) {
				c.Prepare = func(pid int) error { return clock.Give(pid) }
				c.Env = []string{"DHCP4D_SUBNETS_FILE=" + subnets, "DHCP4D_SUBNETS=", "DHCP6D_IPC_KEYS=" + firstKey, "DHCP4D_IPC_KEYS=" + firstKey,
					"DHCP6D_MAX_WAIT=0", "DHCP6D_DISCOVER_MAX_WAIT=0"} // the kernel's time stamps of datagrams are not set
			})
			holder := b.client(topology.Multicast, 1, client.Options{})
			other := b.client(topology.Multicast, 2, client.Options{Retransmit: short})
			lease := b.obtain(holder)
			serves := func(when string) {
				t.Helper()
				if l, err := holder.Renew(t.Context(), lease); err != nil || l.Address != lease.Address {
					t.Errorf("%s: %v, %v", when, l, err)
				}
				silence(t, other)
			}
			clock.Step(by)
			b.series(b.four, "dhcp4d_clock_steps_total", is(1))
			serves("after the step")
			b.four.Signal(syscall.SIGHUP)
			serves("after a reload")
			// A store that comes back is loaded again.
			store := filepath.Join(b.config.Dir, "dhcp4d")
			if err := os.Rename(store, store+".away"); err != nil {
				t.Fatal(err)
			}
			b.series(b.four, `dhcp4d_store_errors_total{op="check"}`, func(n float64) bool { return n > 0 })
			b.series(b.six, "dhcp6d_ipc_backend_up", is(0))
			if err := os.Rename(store+".away", store); err != nil {
				t.Fatal(err)
			}
			b.series(b.six, "dhcp6d_ipc_backend_up", is(1))
			serves("after the store has failed")

			// The next start waits.
			if err := b.four.Stop(10 * time.Second); err != nil {
				t.Fatal(err)
			}
			config := b.config
			config.Patience = 3 * time.Second
			if _, err := servers.StartV4(b.Server, servers.Ours, config); err == nil || !strings.Contains(err.Error(), "clock: the clock of this machine shows") {
				t.Fatalf("with a wrong clock dhcp4d starts: %v", err)
			}
			stopped := make(chan struct{})
			go func() { time.Sleep(4 * time.Second); clock.Step(-by); close(stopped) }()
			b.config.Patience = 30 * time.Second
			b.start4()
			<-stopped
			b.series(b.six, "dhcp6d_ipc_backend_up", is(1))
			serves("when the clock is right")
		})
	}
}

// oneAddress is a document with one address.
const oneAddress = `[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.10], match: [{interface: access}]}]`

// TestTheTimeOfLeasesAfterARestart: whether a lease has ended is known after a restart, also in
// another time namespace. If it cannot be known, the lease has not ended.
func TestTheTimeOfLeasesAfterARestart(t *testing.T) {
	t.Parallel()
	const long = 14 * time.Second // longer than the lease
	bootID := func(t *testing.T) []string {
		name := filepath.Join(t.TempDir(), "boot_id")
		if err := os.WriteFile(name, []byte("01234567-89ab-cdef-0123-456789abcdef\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return []string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"`, name}
	}
	namespace := func(offset string) func(*testing.T) []string {
		return func(*testing.T) []string {
			return []string{"unshare", "--time", "--boottime", offset, "--monotonic", offset}
		}
	}
	for _, c := range []struct {
		name    string
		through func(*testing.T) []string
		change  func(t *testing.T, mark string)
		stopped time.Duration
		kept    func(synchronised bool) bool
		says    string
	}{
		{"at once", nil, nil, 0, func(bool) bool { return true }, ""},
		{"after the lease", nil, nil, long, func(bool) bool { return false }, ""},
		{"at once, in a time namespace that is ahead", namespace("7200"), nil, 0, func(bool) bool { return true }, ""},
		{"after the lease, in a time namespace that is behind", namespace("-60"), nil, long, func(bool) bool { return false }, ""},
		{"of the machine, after the lease", bootID, nil, long, func(synchronised bool) bool { return !synchronised }, "the machine was started anew"},
		{"without the mark", nil, func(t *testing.T, mark string) { remove(t, mark) }, long, func(bool) bool { return true }, "the clock mark of the store is missing or damaged"},
		{"with a damaged mark", nil, func(t *testing.T, mark string) { write(t, mark, "dhcp4d clock, format 1") }, long, func(bool) bool { return true },
			"the clock mark of the store is missing or damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			leaseTime := time.Hour
			if c.stopped > 0 {
				leaseTime = 10 * time.Second
			}
			if c.through != nil {
				if _, err := exec.LookPath("unshare"); err != nil {
					skip.Test(t, "no unshare")
				}
			}
			b := start(t, func(c *servers.Config) {
				c.LeaseTime = leaseTime
				c.Env = []string{"DHCP4D_SUBNETS=" + oneAddress, "DHCP4D_OFFER_HOLD=1s"}
			})
			holder := b.client(topology.Multicast, 1, client.Options{})
			lease := b.obtain(holder)
			if err := b.four.Stop(10 * time.Second); err != nil {
				t.Fatal(err)
			}
			if c.change != nil {
				c.change(t, filepath.Join(b.config.Dir, "dhcp4d", "dhcp4d-store.clock"))
			}
			time.Sleep(c.stopped)
			if c.through != nil {
				b.config.Through = c.through(t)
			}
			b.start4()
			b.series(b.six, "dhcp6d_ipc_backend_up", is(1))
			all, err := b.four.Metrics()
			if err != nil {
				t.Fatal(err)
			}
			synchronised := servers.Sum(all, "dhcp4d_clock_synchronised") == 1
			offer, err := b.client(topology.Multicast, 2, client.Options{Retransmit: short}).Discover(t.Context())
			kept := err != nil
			if kept != c.kept(synchronised) {
				t.Errorf("another client is offered %+v, %v; the lease is kept: %v, clock synchronised: %v", offer, err, kept, synchronised)
			}
			if err == nil && offer.Address != lease.Address {
				t.Errorf("offered %v", offer.Address)
			}
			if kept && !strings.Contains(b.four.Output(), c.says) {
				t.Errorf("the log does not say %q", c.says)
			}
		})
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}
