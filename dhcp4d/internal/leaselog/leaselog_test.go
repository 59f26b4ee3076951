package leaselog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
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

// Line is a line of the log as encoding/json has it. Times are RFC 3339 in UTC;
// identifiers are hexadecimal.
type Line struct {
	Time      time.Time  `json:"time"`
	Event     string     `json:"event"`
	By        string     `json:"by,omitempty"` // who ordered it, if not the client
	Address   netip.Addr `json:"address"`
	Subnet    uint32     `json:"subnet"`
	ClientID  string     `json:"client_id,omitempty"`
	HWType    byte       `json:"hw_type"`
	HWAddress string     `json:"hw_address,omitempty"`
	Source    netip.Addr `json:"ipv6_source"`
	Interface string     `json:"interface,omitempty"`
	Relays    []Relay    `json:"relays,omitempty"` // the outermost first
	Start     time.Time  `json:"start"`
	Expires   *time.Time `json:"expires"` // null: never
}

// Relay is one relay level of the query.
type Relay struct {
	LinkAddress netip.Addr `json:"link_address"`
	PeerAddress netip.Addr `json:"peer_address"`
	InterfaceID string     `json:"interface_id,omitempty"`
	RemoteID    string     `json:"remote_id,omitempty"`
}

// twin is the line of a change by encoding/json.
func twin(t *testing.T, e *event.Lease) string {
	t.Helper()
	hex := func(b []byte) string {
		if len(b) == 0 {
			return ""
		}
		return strings.ReplaceAll(strings.TrimSuffix(fmt.Sprintf("% x", b), " "), " ", ":")
	}
	b := &e.Binding
	line := &Line{
		Time: e.Time.UTC(), Event: e.Event.String(), By: e.By, Address: b.Addr, Subnet: b.Subnet,
		HWType: b.HWType, HWAddress: hex(b.HWAddr), Source: b.Source, Interface: e.Interface, Start: time.Unix(int64(b.Start), 0).UTC(),
	}
	if len(b.Client) > 0 && b.Client[0] == dhcp4.KeyClientID {
		line.ClientID = hex(b.Client[1:])
	}
	if b.Expires != lease.Never {
		at := time.Unix(int64(b.Expires), 0).UTC()
		line.Expires = &at
	}
	for _, r := range e.Relays {
		line.Relays = append(line.Relays, Relay{r.LinkAddress, r.PeerAddress, hex(r.InterfaceID), hex(r.RemoteID)})
	}
	out, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	return string(out) + "\n"
}

func TestALineIsWhatEncodingJSONWrites(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	octets := func(n int) []byte {
		b := make([]byte, r.IntN(n+1))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	addr := func() netip.Addr {
		switch r.IntN(3) {
		case 0:
			return netip.Addr{}
		case 1:
			return netip.AddrFrom4([4]byte{10, byte(r.Uint32()), 0, 1})
		}
		return netip.AddrFrom16([16]byte{0x20, 1, 15: byte(r.Uint32())})
	}
	for range 5000 {
		e := &event.Lease{
			Event: lease.Event(1 + r.IntN(int(lease.EventCount)-1)), Time: time.Unix(r.Int64N(4e9), r.Int64N(1e9)), By: string(octets(6)), Interface: string(octets(4)),
			Binding: lease.Binding{Addr: addr(), Subnet: r.Uint32(), Client: octets(20), HWType: byte(r.Uint32()), HWAddr: octets(16),
				Source: addr(), Start: lease.Time(r.Int64N(4e9)), Expires: lease.Time(r.Int64N(4e9))},
		}
		if len(e.Binding.Client) > 0 && r.IntN(2) == 0 {
			e.Binding.Client[0] = dhcp4.KeyClientID
		}
		if r.IntN(4) == 0 {
			e.Binding.Expires = lease.Never
		}
		for range r.IntN(3) {
			e.Relays = append(e.Relays, event.Relay{LinkAddress: addr(), PeerAddress: addr(), InterfaceID: octets(5), RemoteID: octets(5)})
		}
		if got, want := string(appendLine(nil, e)), twin(t, e); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

func TestALineDoesNotAllocate(t *testing.T) {
	e, b := change(), make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { b = appendLine(b[:0], e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

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
