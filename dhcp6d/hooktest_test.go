package main

import (
	"bytes"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/pcapng"
)

// query is a DHCPV4-QUERY with a DISCOVER of a client.
func query(client byte) []byte {
	m := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6, Xid: 7, CHAddr: [16]byte{2, 0, 0, 0, 0, client}})
	m = dhcp4.AppendEnd(dhcp4.AppendType(m, dhcp4.Discover))
	return dhcp6.AppendOption(dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{}), dhcp6.OptDHCPv4Msg, m)
}

// information is an Information-request that asks for options.
func information(options ...byte) []byte {
	m := dhcp6.AppendMessage(nil, dhcp6.InformationRequest, [3]byte{1, 2, 3})
	return dhcp6.AppendOption(dhcp6.AppendOption(m, dhcp6.OptClientID, []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 1}), dhcp6.OptORO, options)
}

// onIPC are the query of a client and its response, as they are on the IPC.
func onIPC(t *testing.T, client byte, from string) (asked, answered []byte) {
	t.Helper()
	var p dhcp6.Packet
	if why := p.Parse(query(client)); why != drop.None {
		t.Fatal(why)
	}
	asked, why := ipc.AppendQuery(nil, &p, ipc.Context{Interface: []byte("eth0"), Source: netip.MustParseAddrPort(from)})
	if why != drop.None {
		t.Fatal(why)
	}
	var q ipc.Query
	if why := q.Parse(bytes.Clone(asked)); why != drop.None {
		t.Fatal(why)
	}
	out, mark := ipc.BeginResponse(nil, &q)
	m := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 2, HType: 1, HLen: 6, Xid: 7, CHAddr: [16]byte{2, 0, 0, 0, 0, client}, YIAddr: netip.MustParseAddr("192.0.2.10")})
	out = append(out, dhcp4.AppendEnd(dhcp4.AppendType(m, dhcp4.Offer))...)
	answered, why = mark.End(out)
	if why != drop.None {
		t.Fatal(why)
	}
	return asked, answered
}

// captured writes a capture.
func captured(t *testing.T, packets ...pcapng.Packet) string {
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
	for _, p := range packets {
		p.Time = time.Unix(1_800_000_000, 0)
		if err := w.Write(&p); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

const linkRules = `pkt6_receive: pkt.src == fe80::bad -> drop banned
pkt6_receive: pkt.src == fe80::7 -> class seven
pkt6_send: member('seven') -> option 23 = 2001:db8::7
pkt6_send: not member('seven') -> option 88 = ''
`

func TestHookTest(t *testing.T) {
	asked, answered := onIPC(t, 4, "[fe80::4]:546")
	servers := netip.MustParseAddrPort("[ff02::1:2]:547")
	from := func(a string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(a), 546) }
	dhcp6d, dhcp4d := netip.MustParseAddrPort("[::1]:6767"), netip.MustParseAddrPort("[::1]:6768")
	path := captured(t,
		pcapng.Packet{Interface: "eth0", From: from("fe80::1"), To: servers, Payload: query(1)},
		pcapng.Packet{Interface: "eth0", From: from("fe80::bad"), To: servers, Payload: query(2)},
		pcapng.Packet{Interface: "eth0", From: from("fe80::7"), To: servers, Payload: information(0, 23, 0, 88)},
		pcapng.Packet{Interface: "eth0", From: from("fe80::8"), To: servers, Payload: information(0, 23, 0, 88)},
		pcapng.Packet{Interface: "lo", From: dhcp6d, To: dhcp4d, Payload: asked},
		pcapng.Packet{Interface: "lo", From: dhcp4d, To: dhcp6d, Payload: answered},
		pcapng.Packet{Interface: "eth9", From: from("fe80::1"), To: servers, Payload: query(1)},
		pcapng.Packet{Interface: "eth0", From: from("fe80::1"), To: netip.MustParseAddrPort("[ff02::1]:80"), Payload: []byte("GET / HTTP/1.0")},
		pcapng.Packet{From: from("fe80::1"), To: servers, Payload: query(3)},
	)
	state := filepath.Join(t.TempDir(), "state")
	environ := []string{
		"DHCP6D_INTERFACES=eth0", "DHCP6D_STATE_DIR=" + state, "DHCP6D_DNS_SERVERS=2001:db8::53", "DHCP6D_HOOKS=rules",
		"DHCP6D_RULES_REASONS=banned", "DHCP6D_RULES_LINES=" + linkRules,
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"hook", "test", path}, environ, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	told := out.String()
	for _, want := range []string{
		`1 2027-01-15T08:00:00.000Z from [fe80::1]:546 to [ff02::1:2]:547
    received by eth0 from [fe80::1]:546, sent to ff02::1:2, 252 octets
    DHCPV4-QUERY with DISCOVER, xid 0x00000007, hardware 020000000001, client identifier none
    hooks at pkt6_receive let it pass: rules
    goes to a dhcp4d
`, `
    the rule in line 1 is true of it: drop banned
    hook rules at pkt6_receive (banned) does not let it pass
    dropped (hook): dropped by a hook
3 `, `
    the rule in line 2 is true of it: class seven
    the rule in line 3 is true of it: option 23 = 2001:db8::7
    answered by dhcp6d itself, sent to [fe80::7]:546
    `, `DNS: [2001:db8::7]`, `
    the rule in line 4 is true of it: option 88 = ''
`, `
5 2027-01-15T08:00:00.000Z from [::1]:6767 to [::1]:6768
    received by eth0 from [fe80::4]:546`, `
6 2027-01-15T08:00:00.000Z from [::1]:6768 to [::1]:6767
    answer received from the dhcp4d of the capture`, `
    sent to the client at [fe80::4]:546 by eth0
7 `, `
    dropped (interface): `, `
9 is for dhcp6d, but the capture does not say by which interface it came; give -interface
9 datagrams, 0 other frames
`,
	} {
		if !strings.Contains(told, want) {
			t.Errorf("it lacks\n%s", want)
		}
	}
	if strings.Contains(told, "\n8 ") || strings.Count(told, "goes to a dhcp4d") != 2 {
		t.Error("it tells of what is not for dhcp6d, or forwards what it should not")
	}
	if t.Failed() {
		t.Log(told)
	}
	if _, err := os.Stat(state); err == nil {
		t.Error("it has made the state directory")
	}
	out.Reset()
	if err := run(t.Context(), []string{"hook", "test", "-interface", "eth0", path}, environ, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "goes to a dhcp4d"); n != 4 {
		t.Errorf("with an interface %d queries are forwarded, want 4:\n%s", n, out.String())
	}
	for _, args := range [][]string{{"hook", "test"}, {"hook", "run", path}, {"hook", "test", "/nonexistent"}, {"hook", "test", "/dev/null"}} {
		if err := run(t.Context(), args, environ, io.Discard, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func TestHookTestGoesByTheTimeOfTheCapture(t *testing.T) {
	one := pcapng.Packet{Interface: "eth0", From: netip.MustParseAddrPort("[fe80::1]:546"), To: netip.MustParseAddrPort("[ff02::1:2]:547"), Payload: query(1)}
	path := captured(t, one, one, one)
	var out bytes.Buffer
	environ := []string{"DHCP6D_INTERFACES=eth0", "DHCP6D_HOOKS=ratelimit", "DHCP6D_RATELIMIT_RATE=1", "DHCP6D_RATELIMIT_BURST=2"}
	if err := run(t.Context(), []string{"hook", "test", path}, environ, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if forwarded, limited := strings.Count(out.String(), "goes to a dhcp4d"), strings.Count(out.String(), "dropped (rate_limited)"); forwarded != 2 || limited != 1 {
		t.Errorf("%d are forwarded, %d limited:\n%s", forwarded, limited, out.String())
	}
}
