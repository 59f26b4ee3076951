package hooks

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leaselog"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// Line is a line of the log, for encoding/json. Times are RFC 3339 in UTC, identifiers are
// hexadecimal.
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
	Relays    []Relay    `json:"relays,omitempty"`    // the outermost first
	RemoteID  string     `json:"remote_id,omitempty"` // of the lease, where no query has caused the change
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

// twin returns the line of a change as encoding/json writes it.
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
	if len(e.Relays) == 0 {
		line.RemoteID = hex(b.Remote())
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
			Binding: lease.Binding{ID: lease.ID{Addr: addr()}, Subnet: r.Uint32(), Client: octets(20), HWType: byte(r.Uint32()), HWAddr: octets(16),
				Source: addr(), Start: lease.Time(r.Int64N(4e9)), Expires: lease.Time(r.Int64N(4e9))},
		}
		if len(e.Binding.Client) > 0 && r.IntN(2) == 0 {
			e.Binding.Client[0] = dhcp4.KeyClientID
		}
		if r.IntN(4) == 0 {
			e.Binding.Expires = lease.Never
		}
		if r.IntN(2) == 0 {
			e.Binding.RemoteID = octets(5)
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
		Event: lease.EventAllocated, Time: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Interface: "eth1",
		Binding: lease.Binding{
			ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.10")}, Subnet: 1, State: lease.Bound,
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
	l, err := newLeaseLog(&leaseLogVariables{Path: path}, hook.Env{Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.add(change())
	forever := change()
	forever.Binding.Expires = lease.Never
	l.add(forever)
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

// stuck is a file whose writes block until it is released, and then fail.
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
	l := startLeaseLog("", &stream{WriteCloser: out}, leaselog.Rotation{}, slog.New(slog.DiscardHandler), lost)
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
	_, err := newLeaseLog(&leaseLogVariables{Path: filepath.Join(t.TempDir(), "no", "such", "dir")}, hook.Env{Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()}, nil)
	if err == nil || !strings.Contains(err.Error(), "DHCP4D_LEASELOG_PATH") {
		t.Errorf("error is %v, want one that names the variable", err)
	}
}

func TestAReloadOpensAFileThatWasMovedAway(t *testing.T) {
	dir := t.TempDir()
	path, moved := filepath.Join(dir, "leases"), filepath.Join(dir, "leases.1")
	reg := prometheus.NewRegistry()
	load := func(path string, before *leaseLog) *leaseLog {
		t.Helper()
		l, err := newLeaseLog(&leaseLogVariables{Path: path}, hook.Env{Log: slog.New(slog.DiscardHandler), Registry: reg}, before)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	lines := func(path string) int {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(b, []byte("\n"))
	}
	first := load(path, nil)
	if load(path, first) != first {
		t.Error("a reload without a change makes another log")
	}
	first.add(change())
	for deadline := time.Now().Add(time.Minute); lines(path) != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the line is not written")
		}
	}
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	second := load(path, first)
	second.add(change())
	second.add(change())
	if first != second {
		t.Error("a reload makes another log for the same path")
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if a, b := lines(moved), lines(path); a != 1 || b != 2 {
		t.Errorf("%d lines in the file that was moved away and %d in the new one, want 1 and 2", a, b)
	}
	if out := load("stdout", nil); load("stdout", out) != out || load(path, out) == out {
		t.Error("a reload takes over what it should not, or does not take over what it should")
	}
}

func TestNoLineIsLostOrTornWhileFilesRotate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "leases")
	env := hook.Env{Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()}
	load := func(v leaseLogVariables, before *leaseLog) *leaseLog {
		t.Helper()
		v.Path = path
		l, err := newLeaseLog(&v, env, before)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	const (
		each = 3000 // lines, by each of two goroutines, between two reloads
		last = 6
	)
	now := load(leaseLogVariables{RotateSize: minRotateSize, Compress: true}, nil)
	// On a busy machine the buffer may overflow. This test is not about that.
	waits := func(w *logWriter) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.buf) > maxBuffer/2
	}
	var all sync.WaitGroup
	for round := range last {
		for side := range 2 {
			was := now // a call that runs during a reload reaches the old hook
			all.Go(func() {
				for i := range each {
					e := change()
					e.By = fmt.Sprint(round, side, i)
					for waits(was.logWriter) {
						time.Sleep(time.Millisecond)
					}
					was.add(e)
				}
			})
		}
		if round%2 == 1 { // as logrotate does
			if err := os.Rename(path, fmt.Sprint(path, ".", round)); err != nil {
				t.Fatal(err)
			}
		}
		next := load(leaseLogVariables{RotateSize: minRotateSize, Compress: round%2 == 0}, now)
		if dropped := load(leaseLogVariables{RotateDaily: true}, now); dropped.Close() != nil { // as a failed reload does
			t.Error("a hook that was never in use cannot be closed")
		}
		if next != now {
			if err := now.Close(); err != nil {
				t.Error(err)
			}
		}
		now = next
	}
	all.Wait()
	if err := now.Close(); err != nil {
		t.Fatal(err)
	}
	if n := testutil.ToFloat64(now.lost); n != 0 {
		t.Errorf("%v lines are lost", n)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 10 {
		t.Fatalf("files are %q, %v", files, err)
	}
	seen := map[string]bool{}
	for _, name := range files {
		var in io.Reader
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		in = f
		if strings.HasSuffix(name, ".gz") {
			if in, err = gzip.NewReader(f); err != nil {
				t.Fatal(err)
			}
		}
		for lines := bufio.NewScanner(in); lines.Scan(); {
			var l Line
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil || seen[l.By] {
				t.Fatalf("%s: %q, error %v, seen before: %v", name, lines.Bytes(), err, seen[l.By])
			}
			seen[l.By] = true
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if want := 2 * each * last; len(seen) != want {
		t.Errorf("%d lines are there, want %d", len(seen), want)
	}
	now.add(change())
	if n := testutil.ToFloat64(now.lost); n != 1 {
		t.Errorf("%v lines are lost, want the one that came after the end", n)
	}
}

func TestAFullDiskCostsWholeLines(t *testing.T) {
	lost := prometheus.NewCounter(prometheus.CounterOpts{Name: "lost"})
	full, err := leaselog.Open("/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	l := startLeaseLog("/dev/full", full, leaselog.Rotation{Size: minRotateSize, Daily: true}, slog.New(slog.DiscardHandler), lost)
	for range 100 {
		l.add(change())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := testutil.ToFloat64(lost); n != 100 {
		t.Errorf("%v lines are counted as lost, want 100", n)
	}
}

func TestALogThatCannotBeRotatedGoesOn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	yesterday := time.Now().AddDate(0, 0, -1)
	if err := errors.Join(os.WriteFile(path, []byte("{}\n"), 0o600), os.Chtimes(path, yesterday, yesterday)); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	file, err := leaselog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil { // there is no directory to make a file in
		t.Fatal(err)
	}
	defer os.RemoveAll(dir + ".away")
	lost := prometheus.NewCounter(prometheus.CounterOpts{Name: "lost"})
	l := startLeaseLog(path, file, leaselog.Rotation{Daily: true}, slog.New(slog.NewTextHandler(&log, nil)), lost)
	l.add(change())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir+".away", "log"))
	if err != nil || bytes.Count(b, []byte("\n")) != 2 || testutil.ToFloat64(lost) != 0 || !strings.Contains(log.String(), "was not rotated") {
		t.Errorf("the file holds %q (%v); logged:\n%s", b, err, log.String())
	}
}

// filling is a file on a disk that has room for so many octets.
type filling struct {
	bytes.Buffer
	room int
}

func (f *filling) Write(p []byte) (int, error) {
	n := min(len(p), f.room)
	f.room -= n
	f.Buffer.Write(p[:n])
	if n < len(p) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

func (f *filling) Close() error { return nil }

func TestALineIsNeverContinuedByAnother(t *testing.T) {
	out := &filling{room: 8}
	s := &stream{WriteCloser: out}
	for _, c := range []struct {
		lines string
		more  int
		n     int
		torn  bool
	}{
		{"one\ntwo two\nthree\n", 0, 8, true},
		{"four\n", 0, 0, true},
		{"five\n", 100, 5, false},
	} {
		out.room += c.more
		if n, err := s.WriteLines([]byte(c.lines), time.Time{}); n != c.n || s.torn != c.torn || (err == nil) != (n == len(c.lines)) {
			t.Errorf("%q: %d octets, torn %v, %v", c.lines, n, s.torn, err)
		}
	}
	if got, want := out.String(), "one\ntwo \nfive\n"; got != want {
		t.Errorf("the stream got %q, want %q", got, want)
	}
}

func TestAPipeThatNobodyReadsHoldsUpNoStop(t *testing.T) {
	patience := closeWait
	closeWait = 10 * time.Millisecond
	defer func() { closeWait = patience }()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	lost := prometheus.NewCounter(prometheus.CounterOpts{Name: "lost"})
	l := startLeaseLog("", &stream{WriteCloser: w}, leaselog.Rotation{}, slog.New(slog.DiscardHandler), lost)
	const lines = 2000 // more than a pipe holds
	for range lines {
		l.add(changeOf(lease.EventAllocated, 1))
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if n := testutil.ToFloat64(lost); n == 0 || n > lines {
		t.Errorf("%v of %d lines are counted as lost", n, lines)
	}
}
