package leaselog

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

func change() *event.Lease {
	return &event.Lease{
		Event: lease.Allocated, Time: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Interface: "eth1",
		Binding: lease.Binding{
			Addr: netip.MustParseAddr("192.0.2.10"), Subnet: 1, State: lease.Bound,
			Client: []byte{dhcp4.KeyClientID, 0xff, 0, 0, 0, 1},
			HWType: 1, HWAddr: []byte{8, 0, 0x27, 0x12, 0x34, 0x56},
			Source: netip.MustParseAddr("fe80::1"), Start: 1_700_000_000, Expires: 1_700_003_600,
		},
		Relays: []event.Relay{{
			LinkAddress: netip.MustParseAddr("2001:db8::1"), PeerAddress: netip.MustParseAddr("fe80::1"),
			InterfaceID: []byte("p7"),
		}},
	}
}

func TestAChangeIsOneLineWithEverythingAboutIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases.json")
	l, err := Open(path, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	l.Observer().Run(change())
	forever := change()
	forever.Binding.Expires = lease.Never
	l.Observer().Run(forever)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	const want = `{"time":"2026-11-23T12:00:00Z","event":"allocated","address":"192.0.2.10","subnet":1,` +
		`"client_id":"ff:00:00:00:01","hw_type":1,"hw_address":"08:00:27:12:34:56","ipv6_source":"fe80::1","interface":"eth1",` +
		`"relays":[{"link_address":"2001:db8::1","peer_address":"fe80::1","interface_id":"70:37"}],` +
		`"start":"2023-11-14T22:13:20Z","expires":"2023-11-14T23:13:20Z"}`
	if len(lines) != 2 || lines[0] != want {
		t.Fatalf("lines are\n%s\nwant first\n%s", strings.Join(lines, "\n"), want)
	}
	var got Line
	if err := json.Unmarshal([]byte(lines[1]), &got); err != nil || got.Expires != nil {
		t.Errorf("an infinite lease expires at %v (error %v), want never", got.Expires, err)
	}
}

// stuck is a file that takes nothing until it is let go, and then fails.
type stuck struct {
	bytes.Buffer
	let chan struct{}
}

func (s *stuck) Write([]byte) (int, error) {
	<-s.let
	return 0, errors.New("no space left")
}
func (s *stuck) Close() error { return nil }

func TestAFileThatBlocksLosesLinesAndNobodyWaits(t *testing.T) {
	lost := prometheus.NewCounter(prometheus.CounterOpts{Name: "lost"})
	out := &stuck{let: make(chan struct{})}
	l := start(out, slog.New(slog.DiscardHandler), lost)
	const n = 30_000
	for range n {
		l.add(change()) // would hang here if it waited
	}
	if testutil.ToFloat64(lost) == 0 {
		t.Error("the buffer has taken everything; is it bounded?")
	}
	close(out.let)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := testutil.ToFloat64(lost); got != n {
		t.Errorf("%v lines counted as lost, want all %d", got, n)
	}
}

func TestAFileThatCannotBeOpenedIsExplained(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "no", "such", "dir"), nil, prometheus.NewRegistry())
	if err == nil || !strings.Contains(err.Error(), "DHCP4D_LEASELOG_PATH") {
		t.Errorf("error is %v, want one that names the variable", err)
	}
}
