package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/exit"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/pcapng"
)

// captured writes a capture of a DISCOVER of each of three clients: the first on the link by an
// interface with a name, the second on the IPC, the third on the link by one without. Before the
// last there is a datagram that is none of DHCP.
func captured(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "capture")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w, err := pcapng.NewWriter(file, "test")
	if err != nil {
		t.Fatal(err)
	}
	datagram := func(client byte, class string) []byte {
		m := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6, Xid: 7, CHAddr: [16]byte{2, 0, 0, 0, 0, client}})
		m = dhcp4.AppendEnd(append(dhcp4.AppendType(m, dhcp4.Discover), vendor(class)...))
		return dhcp6.AppendOption(dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{}), dhcp6.OptDHCPv4Msg, m)
	}
	var p dhcp6.Packet
	if why := p.Parse(datagram(2, "banned")); why != drop.None {
		t.Fatal(why)
	}
	onIPC, why := ipc.AppendQuery(nil, &p, ipc.Context{Interface: []byte("eth0"), Source: netip.MustParseAddrPort("[fe80::2]:546")})
	if why != drop.None {
		t.Fatal(why)
	}
	client, server := netip.MustParseAddrPort("[fe80::1]:546"), netip.MustParseAddrPort("[ff02::1:2]:547")
	for _, packet := range []pcapng.Packet{
		{Interface: "eth0", From: client, To: server, Payload: datagram(1, "Acme-Phone")},
		{Interface: "lo", From: netip.MustParseAddrPort("[::1]:6767"), To: netip.MustParseAddrPort("[::1]:6768"), Payload: onIPC},
		{Interface: "lo", From: client, To: server, Payload: []byte("GET / HTTP/1.0")},
		{From: client, To: server, Payload: datagram(3, "routes")},
	} {
		packet.Time = time.Unix(1_800_000_000, 0)
		if err := w.Write(&packet); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestHookTest(t *testing.T) {
	environ := []string{
		"DHCP4D_SUBNETS=" + rulesDocument, "DHCP4D_STORE=journal:/nonexistent/store", "DHCP4D_HOOKS=leaselog,rules", "DHCP4D_LEASELOG_PATH=/nonexistent/log",
		"DHCP4D_RULES_LINES=" + operatorsRules, "DHCP4D_RULES_REASONS=banned,unknown,stays", "DHCP4D_RULES_COUNTERS=phones,renewals",
	}
	path := captured(t)
	var out bytes.Buffer
	if err := run(t.Context(), []string{"hook", "test", path}, environ, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	const first = `1 2027-01-15T08:00:00.000Z from [fe80::1]:546 to [ff02::1:2]:547
    DISCOVER, xid 0x00000007, hardware 020000000001, client identifier none
    subnet 1, 192.0.2.0/24, by interface or peer (direct, source fe80::1, interface eth0, peer [::1]:6767)
    decision: OFFER of 192.0.2.10 for 10m0s, held in memory
    the rule in line 2 is true of it: class phones
    the rule in line 6 is true of it: count phones
    answer: OFFER, xid 0x00000007, hardware 020000000001, client identifier none, yiaddr 192.0.2.10, server identifier 192.0.2.1
2 2027-01-15T08:00:00.000Z from [::1]:6767 to [::1]:6768
    DISCOVER, xid 0x00000007, hardware 020000000002, client identifier none
    the rule in line 5 is true of it: drop banned
    hook rules at pkt4_receive (banned) does not let it pass
    dropped (hook): dropped by a hook
`
	if !strings.HasPrefix(out.String(), first) {
		t.Errorf("it begins otherwise than with\n%s\n%s", first, out.String())
	}
	if end := "4 is a query, but the capture does not say by which interface it came; give -interface\n4 datagrams, 0 other frames\n"; !strings.HasSuffix(out.String(), end) {
		t.Errorf("it ends otherwise than with\n%s\n%s", end, out.String())
	}
	out.Reset()
	if err := run(t.Context(), []string{"hook", "test", "-interface", "eth0", path}, environ, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if want := "the rule in line 10 is true of it: option routers [192.0.2.254, 192.0.2.253]"; !strings.Contains(out.String(), want) {
		t.Errorf("with an interface it lacks %q:\n%s", want, out.String())
	}
	for _, args := range [][]string{{"hook", "test"}, {"hook", "run", path}, {"hook", "test", "/nonexistent"}, {"hook", "test", "/dev/null"}} {
		if err := run(t.Context(), args, environ, io.Discard, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// TestHookTestAsksTheProgramOutside: a program can be tried before dhcp4d serves with it.
func TestHookTestAsksTheProgramOutside(t *testing.T) {
	const program = `
import sys
import dhcp4o6_hook as hook
def decide(query):
    if query.option(60) == b"banned":
        return hook.Drop("unpaid")
    if wrong:
        return hook.Continue(classes=["gold"])
    return hook.Continue(address="192.0.2.15", lease_time=300)
wrong = len(sys.argv) > 2
hook.serve(sys.argv[1], decide=decide)
`
	socket := filepath.Join(t.TempDir(), "socket")
	stop := python(t, "program.py", program, socket)
	listening(t, socket)
	environ := []string{
		"DHCP4D_SUBNETS=" + rulesDocument, "DHCP4D_HOOKS=outside", "DHCP4D_OUTSIDE_SOCKET=" + socket, "DHCP4D_OUTSIDE_KEY=option[60].hex",
		"DHCP4D_OUTSIDE_REASONS=unpaid", "DHCP4D_OUTSIDE_TIMEOUT=2s",
	}
	path := captured(t)
	var out bytes.Buffer
	if err := run(t.Context(), []string{"hook", "test", "-outside", "-interface", "eth0", path}, environ, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		" at subnet4_select, for the verdict of the program outside: answered\n", "    answer: OFFER, xid 0x00000007, hardware 020000000001, client identifier none, yiaddr 192.0.2.15",
		"    hook outside at subnet4_select (unpaid) does not let it pass\n    dropped (hook): dropped by a hook\n", "4 datagrams, 0 other frames\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it lacks %q:\n%s", want, out.String())
		}
	}
	stop()
	python(t, "program.py", program, socket, "wrong")
	listening(t, socket)
	out.Reset()
	if err := run(t.Context(), []string{"hook", "test", "-outside", "-interface", "eth0", path}, environ, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if want := "for the verdict of the program outside: the answer was not taken\n"; !strings.Contains(out.String(), want) {
		t.Errorf("a class that is not marked: it lacks %q\n%s", want, out.String())
	}
	out.Reset()
	if err := run(t.Context(), []string{"hook", "test", "-interface", "eth0", path}, environ, &out, io.Discard); err != nil || strings.Contains(out.String(), "outside") {
		t.Errorf("without -outside it asks the program: %v\n%s", err, out.String())
	}
}

// TestHookTestSaysThatNobodyCanBeAsked: the status tells that from a hook that drops.
func TestHookTestSaysThatNobodyCanBeAsked(t *testing.T) {
	path, socket := captured(t), filepath.Join(t.TempDir(), "socket")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	test := func(hooks string) (string, error) {
		var out bytes.Buffer
		err := run(ctx, []string{"hook", "test", "-outside", "-interface", "eth0", path}, []string{
			"DHCP4D_SUBNETS=" + rulesDocument, "DHCP4D_HOOKS=" + hooks, "DHCP4D_OUTSIDE_SOCKET=" + socket, "DHCP4D_OUTSIDE_KEY=option[60].hex",
		}, &out, io.Discard)
		return out.String(), err
	}
	if _, err := test("rules"); err == nil {
		t.Error("without the hook: no error")
	}
	if out, err := test("outside"); err == nil || exit.Code(err) != exit.StatusCannotAsk || out != "" ||
		!strings.Contains(err.Error(), "nobody listens on "+socket) {
		t.Errorf("without a program: %v (%d), wrote %q", err, exit.Code(err), out)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			defer c.Close()
			stop() // it has said nothing for long enough
			<-t.Context().Done()
		}
	}()
	if out, err := test("outside"); err == nil || exit.Code(err) != exit.StatusCannotAsk ||
		out != "" || !strings.Contains(err.Error(), "no hello") {
		t.Errorf("with a program that says nothing: %v (%d), wrote %q", err, exit.Code(err), out)
	}
}

// TestHookTestAcknowledges: an exchange of a capture goes through to its ACK.
func TestHookTestAcknowledges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "capture")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w, err := pcapng.NewWriter(file, "test")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []dhcp4.MessageType{dhcp4.Discover, dhcp4.Request} {
		m := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6, Xid: 7, CHAddr: [16]byte{2, 0, 0, 0, 0, 9}})
		m = dhcp4.AppendType(m, kind)
		if kind == dhcp4.Request {
			m = dhcp4.AppendAddr(m, dhcp4.OptRequestedAddress, netip.MustParseAddr("192.0.2.10"))
			m = dhcp4.AppendAddr(m, dhcp4.OptServerIdentifier, netip.MustParseAddr("192.0.2.1"))
		}
		query := dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{})
		if err := w.Write(&pcapng.Packet{
			Time: time.Unix(1_800_000_000, 0), Interface: "eth0",
			From: netip.MustParseAddrPort("[fe80::1]:546"), To: netip.MustParseAddrPort("[ff02::1:2]:547"),
			Payload: dhcp6.AppendOption(query, dhcp6.OptDHCPv4Msg, dhcp4.AppendEnd(m)),
		}); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	environ := []string{"DHCP4D_SUBNETS=" + rulesDocument}
	if err := run(t.Context(), []string{"hook", "test", path}, environ, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "answer: ACK") || !strings.Contains(out.String(), "yiaddr 192.0.2.10") {
		t.Errorf("the REQUEST is not acknowledged:\n%s", out.String())
	}
}
