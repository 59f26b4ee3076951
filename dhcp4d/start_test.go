package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock/clocktest"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
)

// written makes a store with one lease that a clock so far ahead has written.
func written(t *testing.T, dir string, ahead time.Duration) {
	t.Helper()
	now := func() lease.Time { return lease.Time(time.Now().Add(ahead).Unix()) }
	s, err := engine.Open("pebble:"+dir, engine.Options{Log: slog.New(slog.DiscardHandler), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	b := lease.Binding{ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.10")}, Subnet: 1, State: lease.Bound, Client: []byte{1, 0xff, 1},
		Start: now(), Changed: now(), Expires: now() + 3600}
	if _, err := s.Commit([]lease.Binding{b}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// portsGiven counts the ports that freePort has tried.
var portsGiven atomic.Uint32

// freePort is an address of the loopback with a port that nobody uses. It gives each port once, and
// none that the kernel gives to sockets by itself: nobody takes it before the test does.
func freePort(t *testing.T) string {
	t.Helper()
	for {
		port := 10_000 + (uint32(os.Getpid())*100+portsGiven.Add(1))%20_000
		l, err := net.Listen("tcp", fmt.Sprintf("[::1]:%d", port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return l.Addr().String()
	}
}

// daemonOn is the environment of a dhcp4d with that store.
func daemonOn(t *testing.T, dir string) (environ []string, metrics string) {
	t.Helper()
	metrics = freePort(t)
	return []string{
		"DHCP4D_STORE=pebble:" + dir, "DHCP4D_METRICS_LISTEN=" + metrics, "DHCP4D_IPC_LISTEN=" + freePort(t),
		"DHCP4D_SUBNETS=[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.20], match: [{interface: eth0}]}]",
	}, metrics
}

// readyz polls until the answer has what is wanted, and returns its status.
func readyz(t *testing.T, metrics, want string) int {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		r, err := http.Get("http://" + metrics + "/readyz")
		if err != nil {
			continue
		}
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if last = string(body); strings.Contains(last, want) {
			return r.StatusCode
		}
	}
	t.Fatalf("/readyz never says %q, the last was %q", want, last)
	return 0
}

// ready waits until all conditions of readiness are met.
func ready(t *testing.T, metrics string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if readyz(t, metrics, "running: ok") == http.StatusOK {
			return
		}
	}
	t.Fatal("/readyz never says 200")
}

// serving runs a dhcp4d until the test ends.
func serving(t *testing.T, environ []string) {
	t.Helper()
	machine, err := clock.NewMachine()
	if err != nil {
		t.Fatal(err)
	}
	servingOn(t, machine, environ)
}

// servingOn is serving, on a machine whose clocks the test may move.
func servingOn(t *testing.T, machine clock.System, environ []string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- runOn(ctx, machine, nil, environ, io.Discard, io.Discard) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("dhcp4d ended with %v", err)
		}
	})
}

func TestAClockBehindTheStore(t *testing.T) {
	t.Run("is waited for", func(t *testing.T) {
		dir := t.TempDir()
		written(t, dir, time.Minute) // of which five seconds are forgiven
		environ, metrics := daemonOn(t, dir)
		machine := clocktest.NewMachine(time.Now())
		servingOn(t, machine, environ)
		if status := readyz(t, metrics, "clock: the store was written at"); status != http.StatusServiceUnavailable {
			t.Errorf("status %d while the clock is behind", status)
		}
		machine.Pass(time.Minute)
		ready(t, metrics)
	})
	t.Run("does not keep dhcp4d from stopping", func(t *testing.T) {
		dir := t.TempDir()
		written(t, dir, 24*time.Hour)
		environ, metrics := daemonOn(t, dir)
		serving(t, environ)
		readyz(t, metrics, "clock: the store was written at")
	})
	t.Run("because the store's was wrong: reset-clock", func(t *testing.T) {
		dir := t.TempDir()
		written(t, dir, 24*365*time.Hour)
		environ, metrics := daemonOn(t, dir)
		var stdout bytes.Buffer
		if err := run(t.Context(), []string{"reset-clock"}, environ, &stdout, io.Discard); err != nil || stdout.String() != "1 leases of the future are taken as written now\n" {
			t.Fatalf("reset-clock: %v, %q", err, stdout.String())
		}
		serving(t, environ)
		ready(t, metrics)
	})
}

// Commands that compare times of leases with the wall clock change nothing while it is certainly
// wrong: the leases would end as soon as it is set.
func TestCommandsWithAClockThatIsCertainlyWrong(t *testing.T) {
	for _, wall := range []time.Time{time.Unix(0, 0), time.Date(2106, 1, 1, 0, 0, 0, 0, time.UTC)} {
		t.Run(wall.Format("2006"), func(t *testing.T) {
			dir := t.TempDir()
			written(t, dir, time.Hour)
			environ, _ := daemonOn(t, dir)
			file := filepath.Join(t.TempDir(), "leases.csv")
			if err := os.WriteFile(file, []byte("address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			leases := func() string {
				var stdout bytes.Buffer
				if err := run(t.Context(), []string{"leases", "export", "-store", "-format", "json"}, environ, &stdout, io.Discard); err != nil {
					t.Fatal(err)
				}
				return stdout.String()
			}
			for _, command := range [][]string{{"reset-clock"}, {"leases", "import", file}} {
				err := runOn(t.Context(), clocktest.NewMachine(wall), command, environ, io.Discard, io.Discard)
				if err == nil || !strings.Contains(err.Error(), "set the clock") {
					t.Errorf("%v: %v", command, err)
				}
			}
			machine := clocktest.NewMachine(time.Now())
			if err := runOn(t.Context(), machine, []string{"reset-clock"}, environ, io.Discard, io.Discard); err != nil {
				t.Errorf("with a clock that is right: %v", err)
			}
			if all := leases(); !strings.Contains(all, "192.0.2.10") || !strings.Contains(all, time.Now().UTC().Format("2006")) {
				t.Errorf("the lease is %s", all)
			}
		})
	}
}

// A store whose directory is gone acknowledges nothing, and readiness says so within a second or
// two. A second dhcp4d on the same path is refused and makes nothing there.
func TestADirectoryThatIsRemovedIsSeen(t *testing.T) {
	for _, kind := range []string{"journal", "pebble"} {
		t.Run(kind, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "leases")
			environ, metrics := daemonOn(t, dir)
			environ[0] = "DHCP4D_STORE=" + kind + ":" + dir
			serving(t, environ)
			ready(t, metrics)
			if err := os.Rename(dir, dir+".away"); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if status := readyz(t, metrics, "no lease is acknowledged"); status != http.StatusServiceUnavailable {
				t.Errorf("status %d without a directory", status)
			}
			t.Logf("seen after %v", time.Since(began).Round(time.Millisecond))
			second, _ := daemonOn(t, dir)
			second[0] = environ[0]
			if err := run(t.Context(), nil, second, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "is in use") {
				t.Errorf("a second dhcp4d: %v", err)
			}
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the second one has left something: %v", err)
			}
			if err := os.Rename(dir+".away", dir); err != nil {
				t.Fatal(err)
			}
			if status := readyz(t, metrics, "store: ok"); status != http.StatusOK {
				t.Errorf("status %d when the directory is back", status)
			}
		})
	}
}
