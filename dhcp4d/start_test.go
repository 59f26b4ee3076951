package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// written makes a store with one lease that a clock so far ahead has written.
func written(t *testing.T, dir string, ahead time.Duration) {
	t.Helper()
	now := func() lease.Time { return lease.Time(time.Now().Add(ahead).Unix()) }
	s, err := store.Open("pebble:"+dir, store.Options{Log: slog.New(slog.DiscardHandler), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	b := lease.Binding{Addr: netip.MustParseAddr("192.0.2.10"), Subnet: 1, State: lease.Bound, Client: []byte{1, 0xff, 1},
		Start: now(), Changed: now(), Expires: now() + 3600}
	if err := s.Commit([]lease.Binding{b}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// freePort is an address of the loopback with a port that nobody uses.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
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
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
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

// serving runs a dhcp4d until the test ends.
func serving(t *testing.T, environ []string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, nil, environ, io.Discard, io.Discard) }()
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
		written(t, dir, 8*time.Second) // of which five are forgiven
		environ, metrics := daemonOn(t, dir)
		serving(t, environ)
		if status := readyz(t, metrics, "clock: the store was written at"); status != http.StatusServiceUnavailable {
			t.Errorf("status %d while the clock is behind", status)
		}
		if status := readyz(t, metrics, "running: ok"); status != http.StatusOK {
			t.Errorf("status %d once the clock is right", status)
		}
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
		if status := readyz(t, metrics, "running: ok"); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	})
}
