package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/radius"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/radius/radiustest"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/skip"
)

// sendVia sends a message of a client behind a relay that names its port.
func (s *site) sendVia(port string, kind dhcp4.MessageType, client byte, ciaddr netip.Addr, options ...[]byte) {
	s.t.Helper()
	m := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6, Xid: 7, CIAddr: ciaddr, CHAddr: [16]byte{2, 0, 0, 0, 0, client}})
	m = dhcp4.AppendType(m, kind)
	for _, o := range options {
		m = append(m, o...)
	}
	m = dhcp6.AppendOption(dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{}), dhcp6.OptDHCPv4Msg, dhcp4.AppendEnd(m))
	m = dhcp6.AppendRelayForward(nil, 0, netip.MustParseAddr("2001:db8:7::1"), netip.MustParseAddr("fe80::7"), dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte(port)), m)
	var p dhcp6.Packet
	if why := p.Parse(m); why != drop.None {
		s.t.Fatal(why)
	}
	q, why := ipc.AppendQuery(nil, &p, ipc.Context{Interface: []byte("eth0"), Source: netip.MustParseAddrPort("[2001:db8:7::1]:547")})
	if why != drop.None {
		s.t.Fatal(why)
	}
	if _, err := s.socket.Write(q); err != nil {
		s.t.Fatal(err)
	}
}

// answer returns the next answer.
func (s *site) answer() (m dhcp4.Message) {
	s.t.Helper()
	b := make([]byte, 4096)
	if err := s.socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		s.t.Fatal(err)
	}
	for {
		n, err := s.socket.Read(b)
		if err != nil {
			s.t.Fatalf("there is no answer: %v\n%s", err, s.log.String())
		}
		var r ipc.Response
		if r.Parse(b[:n]) != drop.None {
			continue // an answer to a probe, or a notice
		}
		if why := m.Parse(r.DHCPv4()); why != drop.None {
			s.t.Fatal(why)
		}
		return m
	}
}

// leaseVia goes through an exchange of four messages, and returns the ACK.
func (s *site) leaseVia(port string, client byte) dhcp4.Message {
	s.t.Helper()
	s.sendVia(port, dhcp4.Discover, client, netip.Addr{})
	offer := s.answer()
	s.sendVia(port, dhcp4.Request, client, netip.Addr{}, dhcp4.AppendAddr(nil, dhcp4.OptRequestedAddress, offer.YIAddr()),
		dhcp4.AppendAddr(nil, dhcp4.OptServerIdentifier, netip.MustParseAddr("192.0.2.1")))
	ack := s.answer()
	if ack.Type() != dhcp4.ACK || ack.YIAddr() != offer.YIAddr() || ack.CHAddr()[5] != client {
		s.t.Fatalf("%v was offered, and then came %v of %v", offer.YIAddr(), ack.Type(), ack.YIAddr())
	}
	return ack
}

// python starts a program as docs/write-a-hook.md says, in a directory with the file
// dhcp4o6_hook.py. Text is that of a program of the test; empty, it is one of the page.
func python(t *testing.T, name, text string, args ...string) (stop func()) {
	t.Helper()
	interpreter, err := exec.LookPath("python3")
	if err != nil {
		skip.Test(t, "there is no python3")
	}
	const from = "../shared/outside/python/"
	dir := t.TempDir()
	for _, file := range []string{"dhcp4o6_hook.py", name} {
		content, err := os.ReadFile(from + file)
		if file == name && text != "" {
			content, err = []byte(text), nil
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return process(t, interpreter, append([]string{filepath.Join(dir, name)}, args...)...)
}

// process runs a program until the test ends, or stop is called.
func process(t *testing.T, program string, args ...string) (stop func()) {
	t.Helper()
	cmd := exec.Command(program, args...)
	var said output
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("%s %q said:\n%s", program, args, said.String())
		}
	}
	t.Cleanup(stop)
	return stop
}

// asksProgram is the configuration of docs/write-a-hook.md.
func asksProgram(socket string) []string {
	return []string{
		"DHCP4D_HOOKS=outside", "DHCP4D_OUTSIDE_SOCKET=" + socket, "DHCP4D_OUTSIDE_KEY=relay6[-1].option[18].hex",
		"DHCP4D_OUTSIDE_REASONS=unknown", "DHCP4D_OUTSIDE_TIMEOUT=2s", `DHCP4D_SUBNETS=
subnets: [{id: 1, subnet: 192.0.2.0/24, match: [{interface: eth0}, {link-address: "2001:db8:7::/64"}], pools: [192.0.2.10-192.0.2.99]}]`,
	}
}

// listening waits until a program listens on a socket.
func listening(t *testing.T, socket string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestAProgramInPythonAllows(t *testing.T) {
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "socket"), filepath.Join(dir, "allowed.csv")
	if err := os.WriteFile(file, []byte("port-7,Miller\nport-9,Smith\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	python(t, "allow.py", "", socket, file)
	listening(t, socket)
	s := newSite(t, asksProgram(socket)...)
	s.leaseVia("port-7", 7)
	s.sendVia("port-8", dhcp4.Discover, 8, netip.Addr{})
	eventuallyCounts(t, s.metrics, `dhcp4d_outside_dropped_total{reason="unknown"} 1`)
	s.leaseVia("port-9", 9) // the answer to port-8 would have come first
	s.lease(1)              // without a relay nobody is asked
}

func TestAProgramInPythonGivesAddressesOfItsTable(t *testing.T) {
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "socket"), filepath.Join(dir, "addresses.csv")
	if err := os.WriteFile(file, []byte("port-7,192.0.2.77\nport-8,192.0.2.77\nport-9,198.51.100.1\nport-10,192.0.2.80\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	python(t, "table.py", "", socket, file)
	listening(t, socket)
	s := newSite(t, asksProgram(socket)...)
	if ack := s.leaseVia("port-7", 7); ack.YIAddr() != netip.MustParseAddr("192.0.2.77") {
		t.Errorf("port-7 gets %v", ack.YIAddr())
	}
	s.sendVia("port-8", dhcp4.Discover, 8, netip.Addr{}) // another client has it
	s.sendVia("port-9", dhcp4.Discover, 9, netip.Addr{}) // it is not in the subnet
	eventuallyCounts(t, s.metrics, `dhcp4d_outside_wrong_total{reason="address_taken"} 1`, `dhcp4d_outside_wrong_total{reason="address_outside"} 1`)
	if ack := s.leaseVia("port-10", 10); ack.YIAddr() != netip.MustParseAddr("192.0.2.80") {
		t.Errorf("port-10 gets %v", ack.YIAddr())
	}
	s.sendVia("port-7", dhcp4.Request, 7, netip.MustParseAddr("192.0.2.77"))
	if m := s.answer(); m.Type() != dhcp4.ACK {
		t.Errorf("the renewal of port-7 is answered by %v", m.Type())
	}
}

func TestAProgramInPythonThatHangsCostsItsOwnClients(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	stop := python(t, "hangs.py", `
import sys, threading
import dhcp4o6_hook as hook
def decide(query):
    threading.Event().wait()
hook.serve(sys.argv[1], decide=decide)
`, socket)
	listening(t, socket)
	s := newSite(t, append(asksProgram(socket), "DHCP4D_OUTSIDE_TIMEOUT=100ms")...)
	for client := range byte(5) {
		s.sendVia("port-7", dhcp4.Discover, client, netip.Addr{})
	}
	s.lease(9) // another one is served meanwhile
	eventuallyCounts(t, s.metrics, `dhcp4d_packets_dropped_total{reason="hook_timeout",socket="ipc"} 5`)
	stop()
	python(t, "serves.py", `
import sys
import dhcp4o6_hook as hook
hook.serve(sys.argv[1], decide=lambda query: hook.Continue(lease_time=600))
`, socket)
	listening(t, socket)
	eventuallyCounts(t, s.metrics, "dhcp4d_outside_connections_total 2")
	ack := s.leaseVia("port-7", 7)
	if lasts, _ := ack.Uint32(dhcp4.OptLeaseTime); lasts != 600 {
		t.Errorf("the program that takes the place of the one that hangs gives %d s", lasts)
	}
}

func TestAProgramInPythonKeepsAccounts(t *testing.T) {
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "socket"), filepath.Join(dir, "accounts")
	stop := python(t, "accounting.py", "", socket, file)
	listening(t, socket)
	s := newSite(t, append(asksProgram(socket), "DHCP4D_OUTSIDE_KEY=''", "DHCP4D_NAME=east", "DHCP4D_OUTSIDE_EVENTS="+t.TempDir())...)
	told := func(events ...string) {
		t.Helper()
		var got []string
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			text, _ := os.ReadFile(file) // not there yet
			got = nil
			for line := range strings.Lines(string(text)) {
				var e struct{ Event, Address, Mac string }
				if err := json.Unmarshal([]byte(line), &e); err != nil {
					continue // being written
				}
				if said := e.Event + " " + e.Address + " " + e.Mac; !slices.Contains(got, said) { // each at least once
					got = append(got, said)
				}
			}
			if slices.Equal(got, events) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("told are %q, want %q\n%s", got, events, s.log.String())
			}
		}
	}
	a := s.lease(1)
	first := "allocated " + a.String() + " 02:00:00:00:00:01"
	told(first)
	radiustest.Eventually(t, "the cursor is kept under the name of the dhcp4d", func() bool {
		_, err := os.Stat(file + ".cursor.east")
		return err == nil
	})
	stop() // by SIGKILL
	b := s.lease(2)
	s.ask(dhcp4.Release, 1, a, dhcp4.AppendAddr(nil, dhcp4.OptServerIdentifier, netip.MustParseAddr("192.0.2.1")))
	python(t, "accounting.py", "", socket, file)
	told(first, "allocated "+b.String()+" 02:00:00:00:00:02", "released "+a.String()+" 02:00:00:00:00:01")
}

func TestRADIUSDecides(t *testing.T) {
	dir, access, accounting := radiustest.Start(t, `port-7 Cleartext-Password := "dhcp"
	Framed-IP-Address = 192.0.2.77,
	Class = "gold",
	Session-Timeout = 600

port-8 Auth-Type := Reject
`)
	socket, disconnect, api := filepath.Join(t.TempDir(), "socket"), fmt.Sprintf("127.0.0.1:%d", radiustest.Free(t)), freePort(t)
	const token = "0123456789abcdef"
	built := filepath.Join(t.TempDir(), "dhcp4d-radius")
	if out, err := exec.Command("go", "build", "-o", built, "./dhcp4d-radius").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, value := range map[string]string{
		"SOCKET": socket, "SERVERS": access, "SECRET": radiustest.Secret, "PASSWORD": "dhcp", "REJECT_REASON": "unknown",
		"DISCONNECT_LISTEN": disconnect, "DISCONNECT_FROM": "127.0.0.1/32", "API": "http://" + api, "API_TOKEN": token,
		"ACCOUNTING_SERVERS": accounting, "CURSOR": filepath.Join(t.TempDir(), "cursor"), "TIMEOUT": "10s",
	} {
		t.Setenv(radius.Prefix+name, value)
	}
	stop := process(t, built)
	listening(t, socket)
	s := newSite(t, append(asksProgram(socket), "DHCP4D_API_LISTEN="+api, "DHCP4D_API_TOKEN="+token, "DHCP4D_OUTSIDE_EVENTS="+t.TempDir())...)
	ack := s.leaseVia("port-7", 7)
	if lasts, _ := ack.Uint32(dhcp4.OptLeaseTime); ack.YIAddr() != netip.MustParseAddr("192.0.2.77") || lasts != 600 {
		t.Errorf("port-7 gets %v for %d s", ack.YIAddr(), lasts)
	}
	s.sendVia("port-8", dhcp4.Discover, 8, netip.Addr{})
	eventuallyCounts(t, s.metrics, `dhcp4d_outside_dropped_total{reason="unknown"} 1`, "dhcp4d_outside_questions_total 2")

	detail := func(parts ...string) {
		t.Helper()
		radiustest.Eventually(t, strings.Join(parts, ", ")+" in a record of accounting", func() bool {
			text, _ := os.ReadFile(filepath.Join(dir, "detail")) // not there yet
			return slices.ContainsFunc(strings.Split(string(text), "\n\n"), func(record string) bool {
				return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(record, p) })
			})
		})
	}
	detail("Acct-Status-Type = Start", `User-Name = "port-7"`, "Framed-IP-Address = 192.0.2.77", "Class = 0x676f6c64")
	// A program that was killed, and has asked nobody since, can still disconnect the client, and
	// its Stop names it as its Start did.
	stop()
	process(t, built)
	eventuallyCounts(t, s.metrics, "dhcp4d_outside_connections_total 2")
	cmd := exec.Command("radclient", "-x", disconnect, "disconnect", radiustest.Secret)
	cmd.Stdin = strings.NewReader("User-Name = \"port-7\"\n")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "Received Disconnect-ACK") {
		t.Fatalf("%v\n%s", err, out)
	}
	eventuallyCounts(t, s.metrics, `dhcp4d_lease_events_total{event="released"} 1`)
	detail("Acct-Status-Type = Stop", `User-Name = "port-7"`, "Class = 0x676f6c64", `NAS-Port-Id = "port-7"`, "Acct-Terminate-Cause = Admin-Reset")
	s.leaseVia("port-7", 7) // it is asked about again
	eventuallyCounts(t, s.metrics, "dhcp4d_outside_questions_total 3")
}
