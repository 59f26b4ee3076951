package durable

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/shared/postgrestest"
	"github.com/dhcp4o6/dhcp4o6/test/ackcheck"
	"github.com/dhcp4o6/dhcp4o6/test/ownclock"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// TestClocksThatAreSet runs both daemons with keys, under load from more clients than there are
// addresses. At each stage it sets a wall clock by more than a lease time. No lease is lost, none
// is given twice, and clients are served after each step.
func TestClocksThatAreSet(t *testing.T) {
	t.Parallel()
	for _, kind := range append([]string{"postgres"}, stores...) {
		t.Run("store "+kind, func(t *testing.T) {
			t.Parallel()
			for _, by := range []time.Duration{3 * time.Hour, -3 * time.Hour, 20 * 365 * 24 * time.Hour} {
				t.Run(fmt.Sprintf("set by %v", by), func(t *testing.T) {
					t.Parallel()
					setClocks(t, kind, by)
				})
			}
		})
	}
}

func setClocks(t *testing.T, kind string, by time.Duration) {
	b := newBench(t)
	dir := filepath.Join(b.config.Dir, "leases")
	url, fail, heal := kind+":"+dir, func() { move(t, dir, dir+".away") }, func() { move(t, dir+".away", dir) }
	if kind == "postgres" {
		database := postgrestest.Start(t)
		url, fail, heal = database.URL(), database.Freeze, database.Thaw
		b.migrate("DHCP4D_STORE=" + url)
	}
	b.config.Patience = time.Minute
	four, six := new(ownclock.Clock), new(ownclock.Clock)
	b.config.Env = append(b.config.Env, "DHCP4D_STORE="+url, "DHCP4D_IPC_KEYS="+ipcKey, "DHCP6D_IPC_KEYS="+ipcKey,
		// The kernel's time stamps of datagrams come from the machine's clock, which is not set.
		"DHCP6D_MAX_WAIT=0", "DHCP6D_DISCOVER_MAX_WAIT=0")
	// The log removes files that are older than 7 days. It must not judge by a wrong clock.
	log := filepath.Join(b.config.Dir, "lease.log")
	yesterday := log + "-" + time.Now().AddDate(0, 0, -1).UTC().Format("20060102T150405.000Z")
	if err := os.WriteFile(yesterday, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.config.Env = append(b.config.Env, "DHCP4D_HOOKS=leaselog", "DHCP4D_LEASELOG_PATH="+log, "DHCP4D_LEASELOG_COMPRESS=false",
		"DHCP4D_LEASELOG_ROTATE_DAILY=true", "DHCP4D_LEASELOG_ROTATE_SIZE=64K", "DHCP4D_LEASELOG_KEEP=7d")
	four.Step(by) // dhcp4d starts with a wrong clock
	b.config.Prepare = four.Give
	b.start4()
	b.config.Prepare = six.Give
	var err error
	if b.six, err = servers.StartV6(b.server, servers.Ours, b.config, false); err != nil {
		t.Fatal(err)
	}
	b.config.Prepare = four.Give
	w := b.crowd(ackcheck.Config{Clients: 540, Window: 8, Seed: rand.Uint64()})
	for _, stage := range []struct {
		name string
		do   func()
		seen float64 // steps that dhcp4d has noticed since its start
	}{
		{"before the first lease", func() { four.Step(-by) }, 1},
		{"forward while bound", func() { four.Step(by) }, 2},
		{"back while bound", func() { four.Step(-by) }, 3},
		{"of dhcp6d, forward", func() { six.Step(by) }, 3},
		{"of dhcp6d, back", func() { six.Step(-by) }, 3},
		{"of both", func() { four.Step(by); six.Step(by) }, 4},
		{"during a reload", func() { b.four.Signal(unix.SIGHUP); four.Step(-by); b.four.Signal(unix.SIGHUP) }, 5},
		{"while the store is failed", func() {
			fail()
			b.await("the error of the store", func() bool { return b.counts("dhcp4d_store_errors_total") > 0 })
			four.Step(by)
			b.await("the step to be noticed", func() bool { return b.steps() > 5 })
			heal()
		}, 6},
		{"between kill and start", func() { b.four.Kill(); four.Step(-by); b.start4() }, 0},
		{"between stop and start", func() { b.stop4(); four.Step(by); b.start4() }, 0},
		{"between kill and start, and back while it serves", func() {
			b.four.Kill()
			four.Step(by)
			b.start4()
			four.Step(-by)
		}, 1},
		{"while dhcp6d restarts", func() {
			b.six.Kill()
			six.Step(-by)
			b.config.Prepare = six.Give
			if b.six, err = servers.StartV6(b.server, servers.Ours, b.config, false); err != nil {
				t.Fatal(err)
			}
			b.config.Prepare = four.Give
		}, 1},
	} {
		stop := b.load(w)
		at := w.Acks.Load()
		b.await("an ACK before a step "+stage.name, func() bool { return w.Acks.Load() > at })
		stage.do()
		b.await("dhcp4d to notice a step "+stage.name, func() bool { return b.steps() >= stage.seen })
		at = w.Acks.Load()
		b.await("an ACK after a step "+stage.name, func() bool { return w.Acks.Load() > at+50 })
		stop()
		n, lost, err := w.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 || len(lost) > 0 {
			t.Errorf("a step %s: %d of %d leases are lost: %v", stage.name, len(lost), n, lost)
		}
		b.faultless(w)
	}
	if _, err := os.Stat(yesterday); err != nil {
		t.Errorf("the lease log of yesterday: %v", err)
	}
}

// counts returns the sum of the series of a metric of dhcp4d, 0 if dhcp4d does not answer in time.
func (b *bench) counts(name string) float64 {
	m, err := b.four.Metrics()
	if err != nil {
		return 0
	}
	return servers.Sum(m, name)
}

func (b *bench) steps() float64 { return b.counts("dhcp4d_clock_steps_total") }

func (b *bench) stop4() {
	b.t.Helper()
	if err := b.four.Stop(20 * time.Second); err != nil {
		b.t.Fatal(err)
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
