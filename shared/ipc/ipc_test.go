package ipc_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc/ipctest"
)

// datagrams reads a file of hex: each block is a datagram under its name.
func datagrams(t testing.TB, file string) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	ds := map[string][]byte{}
	for block := range strings.SplitSeq(string(text), "# ") {
		name, digits, _ := strings.Cut(block, "\n")
		b, err := hex.DecodeString(strings.ReplaceAll(digits, "\n", ""))
		if err != nil {
			t.Fatalf("%s, %s: %v", file, name, err)
		}
		if name != "" {
			ds[name] = b
		}
	}
	return ds
}

func mustParse(t testing.TB, b []byte) *dhcp6.Packet {
	t.Helper()
	p := new(dhcp6.Packet)
	if why := p.Parse(b); why != drop.None {
		t.Fatalf("Parse(%x) = %v", b, why)
	}
	return p
}

func mustQuery(t testing.TB, b []byte) *ipc.Query {
	t.Helper()
	q := new(ipc.Query)
	if why := q.Parse(b); why != drop.None {
		t.Fatalf("Query.Parse(%x) = %v", b, why)
	}
	return q
}

func mustAppend(t testing.TB, b []byte, c ipc.Context) []byte {
	t.Helper()
	got, why := ipc.AppendQuery(nil, mustParse(t, b), c)
	if why != drop.None {
		t.Fatalf("AppendQuery(%x) = %v", b, why)
	}
	return got
}

func sameContext(a, b *ipc.Context) bool {
	return bytes.Equal(a.Interface, b.Interface) && a.Source == b.Source && a.Local == b.Local
}

func context(name, source string) ipc.Context {
	return ipc.Context{Interface: []byte(name), Source: netip.MustParseAddrPort(source)}
}

var (
	direct  = context("eth1", "[fe80::a00:27ff:fe12:3456]:546")
	relayed = context("eth1", "[2001:db8:2::10]:10067")
)

// without cuts octets out of a datagram and sets its Relay Message's length.
func without(b []byte, from, to, lengthAt, length int) []byte {
	b = append(bytes.Clone(b[:from]), b[to:]...)
	if lengthAt > 0 {
		b[lengthAt], b[lengthAt+1] = byte(length>>8), byte(length)
	}
	return b
}

func TestGoldenQueries(t *testing.T) {
	golden := datagrams(t, "golden.hex")
	tests := []struct {
		name    string
		context ipc.Context
		sent    []byte // what the client or relay sent
		length  int
	}{
		{"query direct", direct, without(golden["query direct"], 4, 46, 0, 0), 274},
		{"query relayed", relayed, without(golden["query relayed"], 57, 99, 51, 0x0112), 327},
	}
	for _, tt := range tests {
		t.Run("IPC-9 IPC-7 "+tt.name, func(t *testing.T) {
			want := golden[tt.name]
			if len(tt.sent) != tt.length {
				t.Fatalf("%d octets sent", len(tt.sent))
			}
			got := mustAppend(t, tt.sent, tt.context)
			if !bytes.Equal(got, want) {
				t.Fatalf("AppendQuery\n got %x\nwant %x", got, want)
			}
			q := mustQuery(t, got)
			if !sameContext(q.Context(), &tt.context) {
				t.Errorf("Context = %v, want %v", q.Context(), tt.context)
			}
			if inner := want[len(want)-266:]; !bytes.Equal(q.DHCPv4(), inner) {
				t.Errorf("Q-33 DHCPv4 = %x, want %x", q.DHCPv4(), inner)
			}
			if stripped := q.Strip(); !bytes.Equal(stripped, tt.sent) {
				t.Errorf("IPC-15 Strip\n got %x\nwant %x", stripped, tt.sent)
			}
		})
	}
}

func TestGoldenResponses(t *testing.T) {
	golden := datagrams(t, "golden.hex")
	tests := []struct {
		name, query string
		context     ipc.Context
		destination string
		sent        []byte // what goes to the client or relay
		length      int
	}{
		{"response direct", "query direct", direct, "[fe80::a00:27ff:fe12:3456]:546", without(golden["response direct"], 4, 46, 0, 0), 287},
		{"response relayed", "query relayed", relayed, "[2001:db8:2::10]:10067", without(golden["response relayed"], 57, 99, 51, 0x011f), 340},
	}
	for _, tt := range tests {
		t.Run("IPC-16 IPC-17 "+tt.name, func(t *testing.T) {
			want := golden[tt.name]
			if len(tt.sent) != tt.length {
				t.Fatalf("%d octets sent", len(tt.sent))
			}
			b, mark := ipc.BeginResponse([]byte("before"), mustQuery(t, golden[tt.query]))
			b, why := mark.End(append(b, want[len(want)-279:]...))
			if why != drop.None || string(b) != "before"+string(want) {
				t.Fatalf("response\n got %x, %v\nwant %x", b[6:], why, want)
			}
			b = b[6:]
			b[bytes.Index(b, []byte{0x15, 0, 0, 0})+1] = 0x80 // IPC-20: as Kea answers U = 1
			var r ipc.Response
			if why := r.Parse(b); why != drop.None {
				t.Fatal(why)
			}
			if !sameContext(r.Context(), &tt.context) || r.Relayed() != (tt.query == "query relayed") {
				t.Errorf("Context = %v, want %v; Relayed = %v", r.Context(), tt.context, r.Relayed())
			}
			if to, why := r.Destination(); why != drop.None || to.String() != tt.destination {
				t.Errorf("IPC-22 Destination = %v, %v", to, why)
			}
			if stripped := r.Strip(); !bytes.Equal(stripped, tt.sent) {
				t.Errorf("IPC-19 IPC-20 Strip\n got %x\nwant %x", stripped, tt.sent)
			}
		})
	}
}

// TestKea repeats a capture of Kea's two halves with ours in the place of
// either.
func TestKea(t *testing.T) {
	kea := datagrams(t, "kea-2.2.0.hex")
	for _, pair := range [][2]string{{"discover", "offer"}, {"request", "ack"}} {
		for _, way := range []string{"", " through two relays"} {
			query, response := kea[pair[0]+way], kea[pair[1]+way]
			t.Run("IPC-9 IPC-10 we put on the wire what kea-dhcp6 did: "+pair[0]+way, func(t *testing.T) {
				q := mustQuery(t, query)
				sent := twinStrip(query, false)
				if got := mustAppend(t, sent, *q.Context()); !bytes.Equal(got, query) {
					t.Errorf("AppendQuery\n got %x\nwant %x", got, query)
				}
				if got := mustQuery(t, bytes.Clone(query)).Strip(); !bytes.Equal(got, sent) {
					t.Errorf("Strip\n got %x\nwant %x", got, sent)
				}
			})
			t.Run("IPC-16 IPC-17 we put on the wire what kea-dhcp4 did: "+pair[1]+way, func(t *testing.T) {
				q := mustQuery(t, query)
				var r ipc.Response
				if why := r.Parse(bytes.Clone(response)); why != drop.None {
					t.Fatal(why)
				}
				if !sameContext(r.Context(), q.Context()) {
					t.Errorf("Context = %v, want %v", r.Context(), q.Context())
				}
				inner, _ := r.Packet().Message().DHCPv4()
				b, mark := ipc.BeginResponse(nil, q)
				b, why := mark.End(append(b, inner...))
				if why != drop.None || !bytes.Equal(b, response) {
					t.Errorf("response %v\n got %x\nwant %x", why, b, response)
				}
				if got, want := r.Strip(), twinStrip(response, true); !bytes.Equal(got, want) {
					t.Errorf("Strip\n got %x\nwant %x", got, want)
				}
			})
		}
	}
}

// dhcpv4 is the least that passes for a DHCPv4 message.
func dhcpv4() []byte {
	b := make([]byte, 240)
	b[0] = 1
	copy(b[236:], "\x63\x82\x53\x63")
	return b
}

// option is an option or a suboption.
func option(c dhcp6.Code, parts ...string) string {
	return string(dhcp6.AppendOption(nil, c, []byte(strings.Join(parts, ""))))
}

const (
	isc   = "\x00\x00\x09\xbf"
	other = "\x00\x00\x7d\x00" // enterprise 32000
)

func carried() string { return option(dhcp6.OptDHCPv4Msg, string(dhcpv4())) }

func message(t dhcp6.Type, options ...string) []byte {
	return append([]byte{byte(t), 0, 0, 0}, strings.Join(options, "")...)
}

// wrap puts a message into n relay levels with an Interface-Id before and a
// Remote-Id after the Relay Message.
func wrap(n int, typ dhcp6.Type, b []byte) []byte {
	link, peer := netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("fe80::1")
	for hops := range n {
		b = dhcp6.AppendRelayForward(nil, uint8(hops), link, peer, []byte(option(dhcp6.OptInterfaceID, "port")), b)
		b[0] = byte(typ)
		b = append(b, option(dhcp6.OptRemoteID, "\x00\x00\x00\x01remote")...)
	}
	return b
}

// full is what a complete context looks like, suboptions only.
func full(name, addr, port string) string {
	a := netip.MustParseAddr(addr).As16()
	return option(60000, name) + option(60001, string(a[:])) + option(60002, port)
}

func TestAppendQuery(t *testing.T) {
	c := context("eth1", "[2001:db8::1]:546")
	ours := full("eth1", "2001:db8::1", "\x02\x22")
	spoof := full("lo", "2001:db8::bad", "\x00\x35") + option(60003, strings.Repeat("x", 16))
	withLocal := c
	withLocal.Local = netip.MustParseAddr("2001:db8::547")
	local := option(60003, string(withLocal.Local.AsSlice()))
	withLevels := withLocal
	withLevels.Unbelieved = 2
	withBeside := c
	withBeside.Beside = []byte(beside)

	tests := []struct {
		name    string
		context ipc.Context
		sent    []string
		want    []string
	}{
		{"IPC-10 before the first option of a higher code", c,
			[]string{option(1, "duid"), option(6, "\x00\x58"), carried(), option(88, "")},
			[]string{option(1, "duid"), option(6, "\x00\x58"), option(17, isc, ours), carried(), option(88, "")}},
		{"IPC-10 options out of order stay so", c,
			[]string{option(88, ""), option(1, "duid"), carried()},
			[]string{option(17, isc, ours), option(88, ""), option(1, "duid"), carried()}},
		{"IPC-11 into the client's own instance, in order", c,
			[]string{option(17, isc, option(100, "a"), option(60004, "b")), carried()},
			[]string{option(17, isc, option(100, "a"), ours, option(60004, "b")), carried()}},
		{"IPC-11 into the client's own instance after the payload", c,
			[]string{carried(), option(17, isc, option(100, "a"))},
			[]string{carried(), option(17, isc, option(100, "a"), ours)}},
		{"IPC-11 into an empty instance", c,
			[]string{option(17, isc), carried()},
			[]string{option(17, isc, ours), carried()}},
		{"IPC-11 after other enterprises, which stay as they are", c,
			[]string{option(17, other, ours), option(17, "\x00"), carried()},
			[]string{option(17, other, ours), option(17, "\x00"), option(17, isc, ours), carried()}},
		{"IPC-11 past another enterprise into the right one", c,
			[]string{option(17, other, "any"), carried(), option(17, isc, option(100, "a"))},
			[]string{option(17, other, "any"), carried(), option(17, isc, option(100, "a"), ours)}},
		{"IPC-12 what a client spoofs is removed", c,
			[]string{option(17, isc, spoof), carried()},
			[]string{option(17, isc, ours), carried()}},
		{"IPC-12 from every instance", c,
			[]string{option(17, isc, option(60001, "?"), option(100, "a"), spoof, spoof), carried(), option(17, isc, spoof), option(17, isc, option(7, ""), spoof)},
			[]string{option(17, isc, option(100, "a"), ours), carried(), option(17, isc), option(17, isc, option(7, ""))}},
		{"IPC-28 the local address", withLocal,
			[]string{carried()},
			[]string{option(17, isc, ours, local), carried()}},
		{"IPC-28 the local address among others", withLocal,
			[]string{option(17, isc, option(60004, "b"), spoof), carried()},
			[]string{option(17, isc, ours, local, option(60004, "b")), carried()}},
		{"RL-22 levels that are not believed", withLevels,
			[]string{carried()},
			[]string{option(17, isc, ours, local, option(60016, "\x02")), carried()}},
		{"SW-7 options for the response", withBeside,
			[]string{carried()},
			[]string{option(17, isc, ours, option(60017, beside)), carried()}},
		{"SW-7 a client chooses none", c,
			[]string{option(17, isc, option(100, "a"), option(60017, beside)), carried()},
			[]string{option(17, isc, option(100, "a"), ours), carried()}},
		{"RL-22 a client does not say how many", c,
			[]string{option(17, isc, option(100, "a"), option(60016, "\x00")), carried()},
			[]string{option(17, isc, option(100, "a"), ours), carried()}},
		{"Q-2 a suboption past its option is removed", c,
			[]string{option(17, isc, option(7, "a"), spoof, "\xea\x61\x00\x01"), carried()},
			[]string{option(17, isc, option(7, "a"), ours), carried()}},
		{"Q-2 and one with half a header, in each instance", c,
			[]string{option(17, isc, "\xea\x61"), carried(), option(17, isc, "\xea")},
			[]string{option(17, isc, ours), carried(), option(17, isc)}},
		{"Q-2 D6-4 every other option", c,
			[]string{option(3, "any"), carried(), option(4711, "any")},
			[]string{option(3, "any"), option(17, isc, ours), carried(), option(4711, "any")}},
	}
	for _, tt := range tests {
		for levels := range dhcp6.MaxRelays + 1 {
			t.Run(fmt.Sprintf("%s, %d relays", tt.name, levels), func(t *testing.T) {
				sent := wrap(levels, dhcp6.RelayForward, message(dhcp6.DHCPv4Query, tt.sent...))
				want := wrap(levels, dhcp6.RelayForward, message(dhcp6.DHCPv4Query, tt.want...))
				got := mustAppend(t, sent, tt.context)
				if !bytes.Equal(got, want) {
					t.Fatalf("AppendQuery\n got %x\nwant %x", got, want)
				}
				q := mustQuery(t, got)
				if !sameContext(q.Context(), &tt.context) {
					t.Errorf("Context = %v, want %v", q.Context(), tt.context)
				}
				if got, want := q.Strip(), twinStrip(want, false); !bytes.Equal(got, want) {
					t.Errorf("Strip\n got %x\nwant %x", got, want)
				}
			})
		}
	}
}

func TestAppendQueryReasons(t *testing.T) {
	c := context("eth1", "[2001:db8::1]:546")
	big := func(n int) []byte {
		b := message(dhcp6.DHCPv4Query, carried())
		return append(b, option(4711, strings.Repeat("x", n-len(b)-4))...)
	}
	added := len(option(17, isc, full("eth1", "::1", "xx")))
	tests := []struct {
		name    string
		sent    []byte
		context ipc.Context
		want    drop.Reason
	}{
		{"IPC-13 type 21", message(dhcp6.DHCPv4Response, carried()), c, drop.IPCType},
		{"IPC-13 type 11", message(dhcp6.InformationRequest, carried()), c, drop.IPCType},
		{"IPC-13 Q-23 no option 87", message(dhcp6.DHCPv4Query, option(1, "duid")), c, drop.NoMessage},
		{"IPC-13 Q-25 two options 87", message(dhcp6.DHCPv4Query, carried(), carried()), c, drop.ManyMessages},
		{"Q-8 empty option 87", message(dhcp6.DHCPv4Query, option(87)), c, drop.ShortMessage},
		{"IPC-26 probe from the network side", ipc.AppendProbe(nil), c, drop.NoMessage},
		{"IPC-6 no interface name", message(dhcp6.DHCPv4Query, carried()), context("", "[::2]:1"), drop.Interface},
		{"IPC-6 name of 15 octets", message(dhcp6.DHCPv4Query, carried()), context("123456789012345", "[::2]:1"), drop.None},
		{"IPC-6 name of 16 octets", message(dhcp6.DHCPv4Query, carried()), context("1234567890123456", "[::2]:1"), drop.Interface},
		{"D6-4 another enterprise's content is its own", message(dhcp6.DHCPv4Query, option(17, other, "\xea\x61"), carried()), c, drop.None},
		{"IPC-4 as long as fits", big(dhcp6.MaxDatagram - added), c, drop.None},
		{"RL-19 one octet too long", big(dhcp6.MaxDatagram - added + 1), c, drop.Oversize},
		{"RL-19 one octet too long with relays", wrap(2, dhcp6.RelayForward, big(dhcp6.MaxDatagram-added-2*(38+8+14)+1)), c, drop.Oversize},
		{"RL-19 too long in the client's own instance", append(big(60000), option(17, isc, option(100, strings.Repeat("x", 5500)))...), c, drop.Oversize},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, why := ipc.AppendQuery([]byte("before"), mustParse(t, tt.sent), tt.context)
			if why != tt.want || (why != drop.None && string(got) != "before") {
				t.Errorf("AppendQuery = %d octets, %v, want %v", len(got), why, tt.want)
			}
		})
	}
}

// TestParse is for both directions: what is said of a query holds of the
// response with the other types.
func TestParse(t *testing.T) {
	addr := strings.Repeat("\x20", 16)
	ok := option(60000, "eth1") + option(60001, addr) + option(60002, "\x02\x22")
	inside := func(subs string) []string { return []string{option(17, isc, subs), carried()} }
	tests := []struct {
		name    string
		options []string
		want    drop.Reason
	}{
		{"IPC-6 complete", inside(ok), drop.None},
		{"IPC-10 shuffled", []string{carried(), option(17, isc, option(60002, "\x02\x22")+option(60001, addr)+option(60000, "eth1"))}, drop.None},
		{"IPC-23 among others", []string{option(17, other, "any"), option(17, isc, option(100, "a")+ok+option(60004, "")), carried()}, drop.None},
		{"IPC-6 no option 17", []string{carried()}, drop.Context},
		{"IPC-6 no ISC instance", []string{option(17, other, ok), carried()}, drop.Context},
		{"IPC-6 no 60000", inside(option(60001, addr) + option(60002, "\x02\x22")), drop.Context},
		{"IPC-6 no 60001", inside(option(60000, "eth1") + option(60002, "\x02\x22")), drop.Context},
		{"IPC-6 no 60002", inside(option(60000, "eth1") + option(60001, addr)), drop.Context},
		{"IPC-6 empty 60000", inside(option(60000, "") + option(60001, addr) + option(60002, "\x02\x22")), drop.Context},
		{"IPC-8 60000 of 255 octets is opaque", inside(option(60000, strings.Repeat("e", 255)) + option(60001, addr) + option(60002, "\x02\x22")), drop.None},
		{"IPC-6 60000 of 256 octets", inside(option(60000, strings.Repeat("e", 256)) + option(60001, addr) + option(60002, "\x02\x22")), drop.Context},
		{"IPC-6 60001 of 15 octets", inside(option(60000, "eth1") + option(60001, addr[1:]) + option(60002, "\x02\x22")), drop.Context},
		{"IPC-6 60001 of 17 octets", inside(option(60000, "eth1") + option(60001, addr+"x") + option(60002, "\x02\x22")), drop.Context},
		{"IPC-6 60001 of no octets", inside(option(60000, "eth1") + option(60001, "") + option(60002, "\x02\x22")), drop.Context},
		{"IPC-6 60002 of 1 octet", inside(option(60000, "eth1") + option(60001, addr) + option(60002, "\x22")), drop.Context},
		{"IPC-6 60002 of 3 octets", inside(option(60000, "eth1") + option(60001, addr) + option(60002, "\x02\x22\x00")), drop.Context},
		{"IPC-6 60002 of no octets", inside(option(60000, "eth1") + option(60001, addr) + option(60002, "")), drop.Context},
		{"IPC-12 a second source address", inside(option(60001, addr) + ok), drop.Context},
		{"IPC-12 a second source address in another instance", append(inside(ok), option(17, isc, option(60001, addr))), drop.Context},
		{"IPC-28 60003", inside(ok + option(60003, addr)), drop.None},
		{"IPC-28 60003 of 15 octets", inside(ok + option(60003, addr[1:])), drop.Context},
		{"RL-22 60016", inside(ok + option(60016, "\x01")), drop.None},
		{"RL-22 60016 of no octets", inside(ok + option(60016, "")), drop.Context},
		{"RL-22 60016 twice", inside(ok + option(60016, "\x01") + option(60016, "\x02")), drop.Context},
		{"SW-7 60017", inside(ok + option(60017, beside)), drop.None},
		{"SW-7 60017 of no octets", inside(ok + option(60017, "")), drop.Context},
		{"SW-7 60017 of 513 octets", inside(ok + option(60017, option(90, strings.Repeat("a", ipc.MaxBeside-3)))), drop.Context},
		{"SW-7 60017 with an option that is cut off", inside(ok + option(60017, beside+"\x00\x5a\x00\x01")), drop.Context},
		{"SW-7 60017 with a DHCPv4 message", inside(ok + option(60017, carried())), drop.Context},
		{"SW-7 60017 twice", inside(ok + option(60017, beside) + option(60017, beside)), drop.Context},
		{"D6-1 suboption past its option", inside(ok + "\x00\x64\x00\x01"), drop.Malformed},
		{"IPC-14 IPC-21 no option 87", []string{option(17, isc, ok)}, drop.NoMessage},
		{"IPC-14 IPC-21 two options 87", append(inside(ok), carried()), drop.ManyMessages},
		{"IPC-14 IPC-21 short option 87", []string{option(17, isc, ok), option(87, "\x01")}, drop.ShortMessage},
	}
	parse := map[string]func(b []byte) drop.Reason{
		"query":    func(b []byte) drop.Reason { return new(ipc.Query).Parse(b) },
		"response": func(b []byte) drop.Reason { return new(ipc.Response).Parse(b) },
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, levels := range []int{0, 1, 9} {
				b := wrap(levels, dhcp6.RelayForward, message(dhcp6.DHCPv4Query, tt.options...))
				if why := parse["query"](b); why != tt.want {
					t.Errorf("query with %d relays: %v, want %v", levels, why, tt.want)
				}
				b = wrap(levels, dhcp6.RelayReply, message(dhcp6.DHCPv4Response, tt.options...))
				if why := parse["response"](b); why != tt.want {
					t.Errorf("response with %d relays: %v, want %v", levels, why, tt.want)
				}
			}
		})
	}

	query, response := message(dhcp6.DHCPv4Query, inside(ok)...), message(dhcp6.DHCPv4Response, inside(ok)...)
	types := []struct {
		name, direction string
		bytes           []byte
		want            drop.Reason
	}{
		{"IPC-15 21 inside a query frame", "query", response, drop.IPCType},
		{"IPC-15 7 inside a query frame", "query", message(dhcp6.Reply, inside(ok)...), drop.IPCType},
		{"IPC-15 type 13 outside", "query", wrap(1, dhcp6.RelayReply, query), drop.IPCType},
		{"IPC-15 type 13 within 12", "query", wrap(1, dhcp6.RelayForward, wrap(1, dhcp6.RelayReply, query)), drop.IPCType},
		{"IPC-21 20 inside a response frame", "response", query, drop.IPCType},
		{"IPC-21 7 inside a response frame", "response", message(dhcp6.Reply, inside(ok)...), drop.IPCType},
		{"IPC-21 12 inside a response frame", "response", wrap(1, dhcp6.RelayReply, wrap(1, dhcp6.RelayForward, response)), drop.IPCType},
		{"IPC-21 12 outside", "response", wrap(1, dhcp6.RelayForward, response), drop.IPCType},
		{"RL-4 ten levels, hop-count 9", "query", wrap(10, dhcp6.RelayForward, query), drop.HopLimit},
		{"IPC-26 probe is no query", "query", ipc.AppendProbe(nil), drop.Context},
		{"IPC-26 probe's answer is no response", "response", ipc.AppendProbeReply(nil), drop.Context},
		{"IPC-2 garbage", "query", []byte("garbage"), drop.Malformed},
		{"IPC-2 nothing", "response", nil, drop.Malformed},
	}
	for _, tt := range types {
		t.Run(tt.name, func(t *testing.T) {
			if why := parse[tt.direction](tt.bytes); why != tt.want {
				t.Errorf("got %v, want %v", why, tt.want)
			}
		})
	}

	t.Run("D6-1 every truncation", func(t *testing.T) {
		for _, file := range []string{"golden.hex", "kea-2.2.0.hex"} {
			for name, b := range datagrams(t, file) {
				for n := range b {
					if parse["query"](b[:n:n]) == drop.None || parse["response"](b[:n:n]) == drop.None {
						t.Errorf("%s: %d of %d octets parse", name, n, len(b))
					}
				}
			}
		}
	})
}

func TestStrip(t *testing.T) {
	ours := full("eth1", "2001:db8::1", "\x02\x22")
	addr := strings.Repeat("\x20", 16)
	tests := []struct {
		name       string
		have, want []string
	}{
		{"IPC-19 alone", []string{option(17, isc, ours), carried()}, []string{carried()}},
		{"IPC-28 IPC-19 with the local address", []string{option(17, isc, ours, option(60003, addr)), carried()}, []string{carried()}},
		{"IPC-19 the right instance", []string{option(17, other, "any"), option(17, isc, ours), carried()}, []string{option(17, other, "any"), carried()}},
		{"IPC-23 suboption 100 and enterprise 32000", []string{option(17, isc, option(100, "a"), ours), option(17, other, "any"), carried()},
			[]string{option(17, isc, option(100, "a")), option(17, other, "any"), carried()}},
		{"IPC-23 an empty instance of its own", []string{option(17, isc), option(17, isc, ours), carried()}, []string{option(17, isc), carried()}},
		{"IPC-10 scattered over suboptions and instances",
			[]string{option(1, "duid"), option(17, isc, option(60002, "\x02\x22"), option(1, "a"), option(60000, "eth1"), option(2, "b"), option(60003, addr), option(3, "c"), option(60016, "\x01"), option(4, "d")), carried(), option(17, isc, option(60001, addr)), option(88, "")},
			[]string{option(1, "duid"), option(17, isc, option(1, "a"), option(2, "b"), option(3, "c"), option(4, "d")), carried(), option(88, "")}},
	}
	for _, tt := range tests {
		for levels := range dhcp6.MaxRelays + 1 {
			t.Run(fmt.Sprintf("%s, %d relays", tt.name, levels), func(t *testing.T) {
				b := message(dhcp6.DHCPv4Response, tt.have...)
				b[1], b[2], b[3] = 0xff, 0xff, 0xff
				b = wrap(levels, dhcp6.RelayReply, b)
				want := wrap(levels, dhcp6.RelayReply, message(dhcp6.DHCPv4Response, tt.want...))
				var r ipc.Response
				if why := r.Parse(b); why != drop.None {
					t.Fatal(why)
				}
				got := r.Strip()
				if !bytes.Equal(got, want) {
					t.Errorf("Strip\n got %x\nwant %x", got, want)
				}
				if &got[len(got)-1] != &b[len(b)-1] {
					t.Error("the DHCPv4 message was moved")
				}
			})
		}
	}
}

func TestDestination(t *testing.T) {
	tests := []struct {
		name, source string
		relays       int
		port         bool // outermost Relay Port
		want         string
	}{
		{"IPC-22 a client's port is always 546", "[fe80::1]:5000", 0, false, "[fe80::1]:546"},
		{"Q-14 a global source", "[2001:db8::1]:546", 0, false, "[2001:db8::1]:546"},
		{"IPC-22 RL-13 a relay's is 547", "[2001:db8::1]:5000", 2, false, "[2001:db8::1]:547"},
		{"IPC-22 RL-13 or its own with Relay Port", "[2001:db8::1]:5000", 2, true, "[2001:db8::1]:5000"},
		{"IPC-24 unspecified", "[::]:546", 0, false, ""},
		{"IPC-24 multicast", "[ff02::1]:546", 0, false, ""},
		{"IPC-24 loopback", "[::1]:546", 0, false, ""},
		{"IPC-24 IPv4", "[::ffff:192.0.2.1]:546", 0, false, ""},
		{"IPC-24 port 0 of a relay", "[2001:db8::1]:0", 1, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			source := netip.MustParseAddrPort(tt.source)
			b := wrap(tt.relays, dhcp6.RelayReply, message(dhcp6.DHCPv4Response,
				option(17, isc, full("eth1", source.Addr().String(), string([]byte{byte(source.Port() >> 8), byte(source.Port())}))), carried()))
			if tt.port {
				b = append(b, option(dhcp6.OptRelayPort, "\x00\x00")...)
			}
			var r ipc.Response
			if why := r.Parse(b); why != drop.None {
				t.Fatal(why)
			}
			to, why := r.Destination()
			if (tt.want == "" && why != drop.IPCDestination) || (tt.want != "" && (why != drop.None || to.String() != tt.want)) {
				t.Errorf("Destination = %v, %v, want %q", to, why, tt.want)
			}
		})
	}
}

// The options of RFC 8539 section 6.1: a border relay and a bind prefix.
var beside = option(90, "\x20\x01\x0d\xb8\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01") +
	option(137, "\x40\x20\x01\x0d\xb8\x00\x01\x00\x02")

// TestSW_7ResponseHasWhatGoesWithTheQuery: the options stand behind the DHCPv4 message, the context
// comes back without them, and they take the reply's room.
func TestSW_7ResponseHasWhatGoesWithTheQuery(t *testing.T) {
	for _, levels := range []int{0, 2} {
		c := context("eth1", "[2001:db8::1]:547")
		c.Beside = []byte(beside)
		sent := wrap(levels, dhcp6.RelayForward, message(dhcp6.DHCPv4Query, option(6, "\x00\x5a\x00\x89"), carried()))
		q := mustQuery(t, mustAppend(t, sent, c))
		_, plain := ipc.BeginResponse(nil, mustQuery(t, mustAppend(t, sent, context("eth1", "[2001:db8::1]:547"))))
		b, mark := ipc.BeginResponse(nil, q)
		if mark.Around != plain.Around+len(beside) {
			t.Errorf("%d octets around, without the options %d", mark.Around, plain.Around)
		}
		reply := len(b)
		for range 2 { // a hook may have it built anew
			var why drop.Reason
			if b, why = mark.End(append(b[:reply], q.DHCPv4()...)); why != drop.None {
				t.Fatal(why)
			}
		}
		var r ipc.Response
		if why := r.Parse(b); why != drop.None || len(r.Context().Beside) != 0 {
			t.Fatalf("%v, context %+v", why, r.Context())
		}
		got, want := r.Strip(), message(dhcp6.DHCPv4Response, carried(), beside)
		if !bytes.Equal(decode(got).innermost().encode(), want) {
			t.Errorf("the client gets %x, want %x", got, want)
		}
		if p := new(dhcp6.Packet); p.ParseReply(got) != drop.None || p.Relays() != levels {
			t.Errorf("the levels of %x are not those of the query", got)
		}
	}
}

func TestResponseTooBig(t *testing.T) {
	q := mustQuery(t, datagrams(t, "golden.hex")["query relayed"])
	b, mark := ipc.BeginResponse(nil, q)
	before := len(b)
	for n, want := range map[int]drop.Reason{dhcp6.MaxDatagram - before: drop.None, dhcp6.MaxDatagram - before + 1: drop.ReplyTooBig, 70000: drop.ReplyTooBig} {
		b, why := mark.End(append(b[:before:before], make([]byte, n)...))
		if why != want || (why != drop.None && len(b) != 0) {
			t.Errorf("RL-19 reply of %d octets: %d octets, %v, want %v", n, len(b), why, want)
		}
	}
}

func TestProbe(t *testing.T) {
	q, r := ipc.AppendProbe(nil), ipc.AppendProbeReply(nil)
	if string(q) != "\x14\x00\x00\x00" || string(r) != "\x15\x00\x00\x00" {
		t.Errorf("IPC-26 probe %x, answer %x", q, r)
	}
	for _, b := range [][]byte{q, r, q[:3], append(q, 0), {20, 0x80, 0, 0}, nil} {
		_, probe := ipc.ParseProbe(b)
		_, reply := ipc.ParseProbeReply(b)
		if probe != bytes.Equal(b, q) || reply != bytes.Equal(b, r) {
			t.Errorf("IPC-26 %x: probe %v, answer %v", b, probe, reply)
		}
	}
}

func TestAuthenticatedIsDHCPv6(t *testing.T) {
	key := ipc.Key{ID: 1, Secret: []byte("0123456789abcdef")}
	six, four := ipctest.New(t, drop.DHCP6D, "dhcp4d", key), ipctest.New(t, drop.DHCP4D, "dhcp4d", key)
	six.Meet(four.Answer)
	golden := datagrams(t, "golden.hex")
	for name, options := range map[string]func(*dhcp6.Packet) []byte{
		"query direct":  func(p *dhcp6.Packet) []byte { return p.Message().Options() },
		"query relayed": func(p *dhcp6.Packet) []byte { return p.Relay(0).Options() },
	} {
		t.Run("IPC-27 last option of the outermost message: "+name, func(t *testing.T) {
			signed := six.Sign(golden[name])
			var last dhcp6.Code
			for c := range dhcp6.Options(options(mustParse(t, signed))) {
				last = c
			}
			if last != dhcp6.OptAuth {
				t.Errorf("the last option is %d", last)
			}
			if opened := four.Open(signed); !bytes.Equal(opened, golden[name]) {
				t.Errorf("Open = %x", opened)
			}
		})
	}
}
