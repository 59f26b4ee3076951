package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/exit"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

func TestHookRun(t *testing.T) {
	t.Run("a program that does not exist is said at the start", func(t *testing.T) {
		environ, _ := daemonOn(t, t.TempDir())
		err := run(t.Context(), nil, append(environ, "DHCP4D_HOOKS=run", "DHCP4D_RUN_COMMAND=/nonexistent"), os.Stdout, os.Stderr)
		if err == nil || !strings.Contains(err.Error(), "DHCP4D_RUN_COMMAND") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("both hooks serve together", func(t *testing.T) {
		environ, metrics := daemonOn(t, t.TempDir())
		program := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		serving(t, append(environ, "DHCP4D_HOOKS=run,leaselog", "DHCP4D_RUN_COMMAND="+program, "DHCP4D_LEASELOG_PATH="+filepath.Join(t.TempDir(), "log")))
		ready(t, metrics)
	})
}

// output takes what a daemon writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *output) reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Reset()
}

// site is a dhcp4d of the test's process, and a socket that is its dhcp6d.
type site struct {
	t       *testing.T
	log     output
	socket  *net.UDPConn
	metrics string
}

func newSite(t *testing.T, environ ...string) *site {
	t.Helper()
	machine, err := clock.NewMachine()
	if err != nil {
		t.Fatal(err)
	}
	return newSiteOn(t, machine, environ...)
}

// newSiteOn makes a site on a machine with those clocks.
func newSiteOn(t *testing.T, sys clock.System, environ ...string) *site {
	t.Helper()
	s := &site{t: t}
	local, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Fatal(err)
	}
	listen := local.LocalAddr().String() // is free again in a moment
	_ = local.Close()
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(listen))
	if s.socket, err = net.DialUDP("udp6", nil, to); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.socket.Close() })
	metrics := freePort(t)
	s.metrics = metrics
	environ = append([]string{
		"DHCP4D_STORE=journal:" + t.TempDir(), "DHCP4D_METRICS_LISTEN=" + metrics, "DHCP4D_API_LISTEN=off",
		"DHCP4D_IPC_LISTEN=" + listen, "DHCP4D_IPC_PEERS=" + s.socket.LocalAddr().String(),
		"DHCP4D_SUBNETS=[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.20], match: [{interface: eth0}], max-lease-time: 1d}]",
	}, environ...)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- runOn(ctx, sys, nil, environ, io.Discard, &s.log) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("dhcp4d ended with %v", err)
		}
	})
	ready(t, metrics)
	return s
}

// ask sends a message of a client and returns what answers it. Silence is the answer to a message
// that gets none.
func (s *site) ask(kind dhcp4.MessageType, client byte, ciaddr netip.Addr, options ...[]byte) dhcp4.Message {
	s.t.Helper()
	s.send(kind, client, ciaddr, options...)
	if kind == dhcp4.Release || kind == dhcp4.Decline {
		return dhcp4.Message{}
	}
	b := make([]byte, 4096)
	if err := s.socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		s.t.Fatal(err)
	}
	for {
		n, err := s.socket.Read(b)
		if err != nil {
			s.t.Fatalf("%v is not answered: %v\n%s", kind, err, s.log.String())
		}
		var r ipc.Response
		if r.Parse(b[:n]) != drop.None {
			continue // an answer to a probe, or a notice
		}
		var answer dhcp4.Message
		if why := answer.Parse(r.DHCPv4()); why != drop.None {
			s.t.Fatal(why)
		}
		return answer
	}
}

// send sends a message of a client.
func (s *site) send(kind dhcp4.MessageType, client byte, ciaddr netip.Addr, options ...[]byte) {
	s.t.Helper()
	m := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6, Xid: 7, CIAddr: ciaddr, CHAddr: [16]byte{2, 0, 0, 0, 0, client}})
	m = dhcp4.AppendType(m, kind)
	for _, o := range options {
		m = append(m, o...)
	}
	m = dhcp6.AppendOption(dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{}), dhcp6.OptDHCPv4Msg, dhcp4.AppendEnd(m))
	var p dhcp6.Packet
	if why := p.Parse(m); why != drop.None {
		s.t.Fatal(why)
	}
	q, why := ipc.AppendQuery(nil, &p, ipc.Context{Interface: []byte("eth0"), Source: netip.MustParseAddrPort("[fe80::1]:546")})
	if why != drop.None {
		s.t.Fatal(why)
	}
	if _, err := s.socket.Write(q); err != nil {
		s.t.Fatal(err)
	}
}

// lease goes through an exchange of four messages and returns the address.
func (s *site) lease(client byte) netip.Addr {
	s.t.Helper()
	offer := s.ask(dhcp4.Discover, client, netip.Addr{})
	a, serverID := offer.YIAddr(), dhcp4.AppendAddr(nil, dhcp4.OptServerIdentifier, netip.MustParseAddr("192.0.2.1"))
	ack := s.ask(dhcp4.Request, client, netip.Addr{}, dhcp4.AppendAddr(nil, dhcp4.OptRequestedAddress, a), serverID)
	if ack.Type() != dhcp4.ACK || ack.YIAddr() != a {
		s.t.Fatalf("%v was offered, and then came %v of %v", a, ack.Type(), ack.YIAddr())
	}
	return a
}

// eventually waits until the daemon has logged a line with all parts.
func (s *site) eventually(parts ...string) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if s.logged(parts...) {
			return
		}
	}
	s.t.Fatalf("no line has %q:\n%s", parts, s.log.String())
}

func (s *site) logged(parts ...string) bool {
	for line := range strings.Lines(s.log.String()) {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			return true
		}
	}
	return false
}

func TestEveryPointIsReachedFromTheConfiguration(t *testing.T) {
	points := []string{string(event.Leases4Committed)}
	for _, p := range event.Filters() {
		points = append(points, string(p))
	}
	if len(points) != 10 {
		t.Errorf("%d points", len(points))
	}
	s := newSite(t, "DHCP4D_HOOKS=packetlog", "DHCP4D_PACKETLOG_RATE=0", "DHCP4D_PACKETLOG_POINTS="+strings.Join(points, ","))
	serverID := dhcp4.AppendAddr(nil, dhcp4.OptServerIdentifier, netip.MustParseAddr("192.0.2.1"))
	first, second := s.lease(1), s.lease(2)
	if m := s.ask(dhcp4.Request, 1, first, dhcp4.AppendUint32(nil, dhcp4.OptLeaseTime, 86400)); m.Type() != dhcp4.ACK {
		t.Errorf("the renewal is answered by %v", m.Type())
	}
	s.ask(dhcp4.Release, 1, first, serverID)
	s.ask(dhcp4.Decline, 2, netip.Addr{}, dhcp4.AppendAddr(nil, dhcp4.OptRequestedAddress, second), serverID)
	for point, parts := range map[string][]string{
		"buffer4_receive":   {"BootRequest", "DISCOVER"},
		"pkt4_receive":      {"DISCOVER", "02:00:00:00:00:01"},
		"subnet4_select":    {`"subnet":1`},
		"lease4_select":     {`"address":"` + first.String()},
		"lease4_renew":      {"REQUEST", `"address":"` + first.String()},
		"lease4_release":    {"RELEASE", `"address":"` + first.String()},
		"lease4_decline":    {"DECLINE", `"address":"` + second.String()},
		"pkt4_send":         {"BootReply", "OFFER"},
		"buffer4_send":      {"BootReply", "ACK"},
		"leases4_committed": {`"event":"declined"`, `"address":"` + second.String()},
	} {
		s.eventually(append(parts, `"hook":"packetlog"`, `"point":"`+point+`"`)...)
	}
}

func TestHooksAreReloaded(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lines := func(name string) int {
		b, _ := os.ReadFile(in(name)) // none yet
		return bytes.Count(b, []byte("\n"))
	}
	write("hooks", "leaselog\n")
	write("path", in("first"))
	s := newSite(t, "DHCP4D_HOOKS_FILE="+in("hooks"), "DHCP4D_LEASELOG_PATH_FILE="+in("path"))
	var client byte
	// logs has a client get a lease, and waits until a file has so many lines.
	logs := func(name string, n int) {
		t.Helper()
		client++
		s.lease(client)
		for deadline := time.Now().Add(time.Minute); lines(name) != n; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s has %d lines, want %d:\n%s", name, lines(name), n, s.log.String())
			}
		}
	}
	reload := func(outcome string) {
		t.Helper()
		s.log.reset()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		s.eventually(outcome)
	}
	logs("first", 1)
	reload("configuration reloaded")
	logs("first", 2)

	if err := os.Rename(in("first"), in("first.1")); err != nil {
		t.Fatal(err)
	}
	reload("configuration reloaded")
	logs("first", 1)

	write("path", in("second"))
	write("hooks", "packetlog,leaselog\n")
	reload("configuration reloaded")
	logs("second", 1)
	s.eventually(`"hook":"packetlog"`, "DISCOVER")

	write("path", in("no/such/directory"))
	reload("configuration not reloaded")
	write("hooks", "frob\n")
	reload("there is no hook frob")
	logs("second", 2)
	if a, b := lines("first.1"), lines("first"); a != 2 || b != 1 {
		t.Errorf("the files of before have %d and %d lines, want 2 and 1", a, b)
	}
}

func TestTheLeaseLogRotates(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "leases")
	yesterday := time.Now().AddDate(0, 0, -1)
	if err := errors.Join(os.WriteFile(path, []byte("{}\n"), 0o600), os.Chtimes(path, yesterday, yesterday)); err != nil {
		t.Fatal(err)
	}
	old := path + "-20200101T000000.000Z.gz"
	var empty bytes.Buffer
	if err := errors.Join(gzip.NewWriter(&empty).Close(), os.WriteFile(old, empty.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, "DHCP4D_HOOKS=leaselog", "DHCP4D_LEASELOG_PATH="+path, "DHCP4D_LEASELOG_ROTATE_DAILY=true", "DHCP4D_LEASELOG_KEEP=180d")
	s.lease(1)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		files, err := filepath.Glob(path + "*")
		// The old one stays until the clock is sure to be right.
		if err == nil && len(files) == 3 && files[0] == path && files[1] == old && strings.HasSuffix(files[2], "Z.gz") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("files are %q (%v):\n%s", files, err, s.log.String())
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || bytes.Count(b, []byte("\n")) != 1 || !bytes.Contains(b, []byte(`"event":"allocated"`)) {
		t.Errorf("%v; the new file holds %q", err, b)
	}
	var line struct{ Address, Time string }
	if err := json.Unmarshal(b, &line); err != nil {
		t.Fatal(err)
	}
	for asked, status := range map[string]int{line.Address: 0, "203.0.113.9": exit.StatusNotFound} {
		var out bytes.Buffer
		err := run(t.Context(), []string{"leases", "history", asked, line.Time}, []string{"DHCP4D_LEASELOG_PATH=" + path}, &out, io.Discard)
		if exit.Code(err) != status || (status == 0) != strings.Contains(out.String(), "bound") {
			t.Errorf("the history of %s: %v\n%s", asked, err, out.String())
		}
	}
	environ := []string{"DHCP4D_HOOKS=leaselog", "DHCP4D_LEASELOG_ROTATE_SIZE=1M"}
	if err := run(t.Context(), []string{"-check"}, environ, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "DHCP4D_LEASELOG_PATH: stdout cannot be rotated") {
		t.Errorf("-check says %v", err)
	}
}
