package dhcp6_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

var (
	link   = netip.MustParseAddr("2001:db8:1::1")
	client = netip.MustParseAddr("fe80::a00:27ff:fe12:3456")
)

// dhcpv4 is the least that passes for a DHCPv4 message.
func dhcpv4() []byte {
	b := make([]byte, 240)
	b[0] = 1
	copy(b[236:], "\x63\x82\x53\x63")
	return b
}

// query is a DHCPV4-QUERY with the options given, encoded.
func query(options ...[]byte) []byte {
	b := dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{0x80, 0, 0})
	return append(b, bytes.Join(options, nil)...)
}

func option(c dhcp6.Code, data string) []byte {
	return dhcp6.AppendOption(nil, c, []byte(data))
}

// relayed wraps a message into n levels; options are on every level.
func relayed(n int, message []byte, options ...[]byte) []byte {
	for hops := range n {
		message = dhcp6.AppendRelayForward(nil, uint8(hops), link, client, bytes.Join(options, nil), message)
	}
	return message
}

func carried() []byte { return option(dhcp6.OptDHCPv4Msg, string(dhcpv4())) }

func mustParse(t testing.TB, b []byte) *dhcp6.Packet {
	t.Helper()
	p := new(dhcp6.Packet)
	if why := p.Parse(b); why != drop.None {
		t.Fatalf("Parse(%x) = %v", b, why)
	}
	return p
}

func TestParseReasons(t *testing.T) {
	level := func(hops byte, typ dhcp6.Type, options ...[]byte) []byte {
		b := dhcp6.AppendRelayForward(nil, hops, link, client, nil, nil)
		b = append(b[:34], bytes.Join(options, nil)...)
		b[0] = byte(typ)
		return b
	}
	inner := option(dhcp6.OptRelayMsg, string(query(carried())))
	overrun := []byte{0, 9, 0, 5, 20, 0, 0, 0}
	tests := []struct {
		name  string
		bytes []byte
		want  drop.Reason
	}{
		{"D6-1 nothing at all", nil, drop.Malformed},
		{"D6-1 three octets", []byte{20, 0, 0}, drop.Malformed},
		{"D6-1 header alone is well-formed", []byte{20, 0, 0, 0}, drop.None},
		{"D6-1 relay header of 33 octets", level(0, dhcp6.RelayForward)[:33], drop.Malformed},
		{"D6-1 option header cut short", append(query(carried()), 0, 1, 0), drop.Malformed},
		{"D6-1 option past the end", query([]byte{0, 1, 0, 3, 'a', 'b'}), drop.Malformed},
		{"D6-1 option past its relay message", level(0, dhcp6.RelayForward, option(9, string(query([]byte{0, 1, 0, 1})))), drop.Malformed},
		{"D6-1 relay's option header cut short", level(0, dhcp6.RelayForward, inner, []byte{0}), drop.Malformed},
		{"D6-1 longer than any datagram", make([]byte, dhcp6.MaxDatagram+1), drop.Malformed},
		{"RL-3 one level", level(0, dhcp6.RelayForward, inner), drop.None},
		{"RL-4 hop-count 8", level(8, dhcp6.RelayForward, inner), drop.None},
		{"RL-4 hop-count 9", level(9, dhcp6.RelayForward, inner), drop.HopLimit},
		{"RL-4 hop-count 9 inside", level(0, dhcp6.RelayForward, option(9, string(level(9, dhcp6.RelayForward, inner)))), drop.HopLimit},
		{"RL-4 hop-counts need not be consecutive", level(7, dhcp6.RelayForward, option(9, string(level(7, dhcp6.RelayForward, inner)))), drop.None},
		{"RL-5 no option 9", level(0, dhcp6.RelayForward, option(18, "x")), drop.RelayMessage},
		{"RL-5 empty option 9", level(0, dhcp6.RelayForward, option(9, "")), drop.RelayMessage},
		{"RL-5 option 9 with half a header", level(0, dhcp6.RelayForward, option(9, "\x14\x00\x00")), drop.RelayMessage},
		{"RL-5 option 9 with half a relay header", level(0, dhcp6.RelayForward, option(9, "\x0c\x00\x00\x00")), drop.RelayMessage},
		{"RL-5 option 9 past the end", level(0, dhcp6.RelayForward, overrun), drop.Malformed},
		{"RL-5 two options 9", level(0, dhcp6.RelayForward, inner, inner), drop.RelayMessage},
		{"RL-25 255 options in a level", level(0, dhcp6.RelayForward, fill(254), inner), drop.None},
		{"RL-25 256 options in a level", level(0, dhcp6.RelayForward, fill(255), inner), drop.ManyOptions},
		{"RL-25 255 options in the message", query(fill(254), carried()), drop.None},
		{"RL-25 256 options in the message", query(fill(255), carried()), drop.ManyOptions},
		{"RL-6 Relay-reply outside", level(0, dhcp6.RelayReply, inner), drop.ServerMessage},
		{"RL-6 Relay-reply inside", level(0, dhcp6.RelayForward, option(9, string(level(0, dhcp6.RelayReply, inner)))), drop.ServerMessage},
		{"Q-21 unknown type is not the parser's business", []byte{99, 0, 0, 0}, drop.None},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p dhcp6.Packet
			if got := p.Parse(tt.bytes); got != tt.want {
				t.Errorf("Parse = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestParseReply(t *testing.T) {
	q := mustParse(t, relayed(3, query(carried()), option(dhcp6.OptInterfaceID, "port")))
	b, chain := dhcp6.BeginReply(nil, q)
	b = append(b, 21, 0, 0, 0)
	b, why := chain.End(b)
	if why != drop.None {
		t.Fatal(why)
	}
	var p dhcp6.Packet
	if why := p.ParseReply(b); why != drop.None || p.Relays() != 3 || p.Message().Type() != dhcp6.DHCPv4Response {
		t.Errorf("ParseReply = %v, %d relays", why, p.Relays())
	}
	if why := p.ParseReply(q.Bytes()); why != drop.IPCType {
		t.Errorf("ParseReply of Relay-forward = %v, want %v", why, drop.IPCType)
	}
	inner := bytes.Clone(b)
	inner[bytes.LastIndex(b, append([]byte{byte(dhcp6.RelayReply), 0}, link.AsSlice()...))] = byte(dhcp6.RelayForward)
	if why := p.ParseReply(inner); why != drop.IPCType {
		t.Errorf("ParseReply with Relay-forward inside = %v, want %v", why, drop.IPCType)
	}
}

func TestParseDepth(t *testing.T) {
	for n := range 13 {
		name := fmt.Sprintf("RL-3 chain of %d levels", n)
		want := drop.None
		if n > dhcp6.MaxRelays {
			name = fmt.Sprintf("RL-4 chain of %d levels", n)
			want = drop.RelayDepth
		}
		t.Run(name, func(t *testing.T) {
			b := relayed(n, query(carried()))
			for at := 0; b[at] == byte(dhcp6.RelayForward); at += 38 {
				b[at+1] = min(b[at+1], 8) // so that depth alone decides
			}
			var p dhcp6.Packet
			if why := p.Parse(b); why != want {
				t.Fatalf("Parse = %v, want %v", why, want)
			}
			if want == drop.None && p.Relays() != n {
				t.Errorf("Relays = %d", p.Relays())
			}
		})
	}
	t.Run("RL-4 a datagram of nothing but nested levels ends in bounded time", func(t *testing.T) {
		var p dhcp6.Packet
		b := relayed(1700, query(carried()))
		for at := 0; b[at] == byte(dhcp6.RelayForward); at += 38 {
			b[at+1] = 0
		}
		if why := p.Parse(b); why != drop.RelayDepth {
			t.Errorf("Parse = %v", why)
		}
	})
}

func TestEveryTruncation(t *testing.T) {
	t.Run("D6-1 relayed: none is well-formed", func(t *testing.T) {
		whole := relayed(9, query(option(1, "duid"), carried(), option(17, "\x00\x00\x09\xbf")), option(18, "port"), option(135, "\x00\x00"))
		for n := range whole {
			var p dhcp6.Packet
			if why := p.Parse(whole[:n:n]); why != drop.Malformed && why != drop.RelayMessage {
				t.Errorf("%d of %d octets: %v", n, len(whole), why)
			}
		}
	})
	t.Run("D6-1 direct: well-formed where an option ends", func(t *testing.T) {
		whole := query(option(1, "duid"), carried())
		for n := range whole {
			var p dhcp6.Packet
			border := n == 4 || n == 4+4+len("duid")
			if why := p.Parse(whole[:n:n]); border != (why == drop.None) {
				t.Errorf("%d of %d octets: %v", n, len(whole), why)
			}
		}
	})
}

func TestRelayView(t *testing.T) {
	long := strings.Repeat("i", 300)
	outer := bytes.Join([][]byte{
		option(79, "\x00\x01outermost"), option(135, "\x27\x53"), option(18, long), option(18, "second"),
		option(37, "\x00\x00\x09\xbfr"), option(38, "s\xff"),
	}, nil)
	ldra := dhcp6.AppendRelayForward(nil, 0, netip.IPv6Unspecified(), client,
		bytes.Join([][]byte{option(18, ""), option(79, "\x00\x01\x08\x00\x27\x12\x34\x56"), option(37, "\x00\x00\x09\xbf"), option(38, ""), option(135, "odd")}, nil),
		query(carried()))
	p := mustParse(t, dhcp6.AppendRelayForward(nil, 1, link, netip.IPv6Unspecified(), outer, ldra))
	r0, r1 := p.Relay(0), p.Relay(1)

	check := func(name string, got, want any) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	check("RL-2 hop-counts", []uint8{r0.HopCount(), r1.HopCount()}, []uint8{1, 0})
	check("RL-1 peer-address", r1.PeerAddress(), client)
	check("RL-18 D6-13 the relay above an LDRA names the link", p.LinkAddress(), link)
	check("RL-9 Interface-Id of 300 octets, the first instance counts", string(r0.InterfaceID()), long)
	check("RL-9 Interface-Id of no octets is there", r1.InterfaceID() != nil && len(r1.InterfaceID()) == 0, true)
	check("RL-16 Remote-Id with enterprise number", r0.RemoteID(), []byte("\x00\x00\x09\xbfr"))
	check("RL-16 Remote-Id without an octet is absent", r1.RemoteID() == nil, true)
	check("RL-16 Subscriber-Id of any octets", r0.SubscriberID(), []byte("s\xff"))
	check("RL-16 Subscriber-Id without an octet is absent", r1.SubscriberID() == nil, true)
	check("RL-15 link-layer address of the innermost level only", p.ClientLinkLayer(), []byte("\x00\x01\x08\x00\x27\x12\x34\x56"))
	port, ok := r0.RelayPort()
	check("RL-14 Relay Port", fmt.Sprint(port, ok), "10067 true")
	port, ok = r1.RelayPort()
	check("RL-14 Relay Port of odd length is there", fmt.Sprint(port, ok), "0 true")
	check("RL-13 outermost Relay Port", p.HasRelayPort(), true)
	p = mustParse(t, dhcp6.AppendRelayForward(nil, 1, link, client, nil, ldra))
	check("RL-13 inner Relay Port alone", p.HasRelayPort(), false)
	p = mustParse(t, query(carried(), option(18, "x"), option(79, "\x00\x01x"), option(135, "\x00\x00")))
	check("RL-14 RL-15 client's own relay options", fmt.Sprint(p.HasRelayPort(), p.ClientLinkLayer() == nil, p.Relays()), "false true 0")
	check("D6-13 no relay names no link", p.LinkAddress().IsValid(), false)
	p = mustParse(t, dhcp6.AppendRelayForward(nil, 0, netip.IPv6Unspecified(), client, nil, query(carried())))
	check("D6-13 all link-addresses zero", p.LinkAddress().IsValid(), false)
}

func TestMessageView(t *testing.T) {
	options := [][]byte{
		option(1, "first"), option(1, "again"), option(2, "server"), option(6, "\x00\x58\x00\x17\x00"), option(6, "\x00\x01"),
		option(16, "unknown"), option(4711, "unknown"), option(17, "\x00\x00\x7d\x00"), option(17, "\x00\x00\x09\xbf"), carried(),
	}
	for _, name := range []string{"D6-2 in order", "D6-2 reversed"} {
		t.Run(name, func(t *testing.T) {
			m := mustParse(t, relayed(2, query(options...))).Message()
			first := map[dhcp6.Code]string{}
			for c, d := range dhcp6.Options(m.Options()) {
				if _, twice := first[c]; !twice {
					first[c] = string(d)
				}
			}
			for c, want := range map[dhcp6.Code]int{1: 2, 2: 1, 6: 2, 16: 1, 17: 2, 87: 1, 4711: 1, 88: 0, 3: 0} {
				if got := m.Count(c); got != want {
					t.Errorf("D6-3 Count(%d) = %d, want %d", c, got, want)
				}
				d, ok := m.Option(c)
				if ok != (want > 0) || string(d) != first[c] {
					t.Errorf("D6-3 Option(%d) = %q, %v, want %q", c, d, ok, first[c])
				}
			}
			if inner, why := m.DHCPv4(); why != drop.None || !bytes.Equal(inner, dhcpv4()) {
				t.Errorf("DHCPv4 = %x, %v", inner, why)
			}
			if m.Flags() != dhcp6.FlagUnicast || m.TransactionID() != [3]byte{0x80, 0, 0} {
				t.Errorf("Flags = %x, TransactionID = %x", m.Flags(), m.TransactionID())
			}
		})
		slices.Reverse(options)
	}
	m := mustParse(t, query(options...)).Message()
	if !m.Requests(88) || !m.Requests(23) || m.Requests(1) || m.Requests(0) {
		t.Error("D6-3 the first ORO counts, an odd octet at its end does not")
	}
}

func TestDHCPv4(t *testing.T) {
	at := func(n int) []byte { return option(87, string(dhcpv4()[:n])) }
	wrong := carried()
	wrong[len(wrong)-1]++
	tests := []struct {
		name    string
		options []byte
		want    drop.Reason
	}{
		{"Q-23 no option 87", option(88, ""), drop.NoMessage},
		{"Q-25 two options 87", append(carried(), carried()...), drop.ManyMessages},
		{"Q-8 length 0", at(0), drop.ShortMessage},
		{"Q-8 length 1", at(1), drop.ShortMessage},
		{"Q-8 length 235", at(235), drop.ShortMessage},
		{"Q-8 length 239", at(239), drop.ShortMessage},
		{"Q-8 wrong cookie", wrong, drop.NoCookie},
		{"Q-8 length 240", at(240), drop.None},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inner, why := mustParse(t, relayed(1, query(tt.options))).Message().DHCPv4()
			if why != tt.want || (inner != nil) != (why == drop.None) {
				t.Errorf("DHCPv4 = %x, %v, want %v", inner, why, tt.want)
			}
		})
	}
}

func TestTypeString(t *testing.T) {
	for typ, want := range map[dhcp6.Type]string{11: "Information-request", 20: "DHCPV4-QUERY", 0: "0", 14: "14", 99: "99", 255: "255"} {
		if got := typ.String(); got != want {
			t.Errorf("Type(%d) = %q, want %q", typ, got, want)
		}
	}
}

func TestBeginReply(t *testing.T) {
	for _, id := range []int{-1, 0, 1, 255, 300} {
		for n := range dhcp6.MaxRelays + 1 {
			t.Run(fmt.Sprintf("RL-8 RL-9 %d levels, Interface-Id of %d octets", n, id), func(t *testing.T) {
				// Written in another order than the answer's, and with
				// what must not come back.
				options := [][]byte{option(135, "\x12\x34"), option(79, "\x00\x01mac"), option(37, "\x00\x00\x00\x01r"), option(38, "s")}
				if id >= 0 {
					options = append(options, option(18, strings.Repeat("i", id)))
				}
				p := mustParse(t, relayed(n, query(carried()), options...))
				got, chain := dhcp6.BeginReply([]byte("before"), p)
				got = append(got, 21, 0, 0, 0)
				got, why := chain.End(got)
				if why != drop.None {
					t.Fatal(why)
				}
				want := []byte{21, 0, 0, 0}
				for hops := range n {
					var o []byte
					if id >= 0 {
						o = option(18, strings.Repeat("i", id))
					}
					o = append(o, option(135, "\x12\x34")...) // RL-12: 18, 135, 9
					want = dhcp6.AppendRelayForward(nil, uint8(hops), link, client, o, want)
					want[0] = byte(dhcp6.RelayReply)
				}
				if string(got) != "before"+string(want) {
					t.Errorf("got  %x\nwant %x", got[6:], want)
				}
			})
		}
	}
	t.Run("RL-11 the options that a level's ERO lists come back", func(t *testing.T) {
		p := mustParse(t, relayed(1, query(carried()), option(38, "s"), option(37, "\x00\x00\x00\x01r"), option(43, "\x00\x26\x00\x09\x00\x12\x00\x2b\x00"), option(18, "i")))
		got, chain := dhcp6.BeginReply(nil, p)
		got, why := chain.End(got)
		want := dhcp6.AppendRelayForward(nil, 0, link, client, append(option(18, "i"), option(38, "s")...), nil)
		want[0] = byte(dhcp6.RelayReply)
		if why != drop.None || !bytes.Equal(got, want) {
			t.Errorf("got  %x, %v\nwant %x", got, why, want)
		}
	})
	t.Run("RL-11 of an ERO without end the first codes count", func(t *testing.T) {
		ero := fill(8000) // 16000 codes, from 1000 on; every other is 0
		p := mustParse(t, relayed(1, query(carried()), option(43, string(ero)), option(1031, "a"), option(1001, "b"), fill(200)))
		got, chain := dhcp6.BeginReply(nil, p)
		got, _ = chain.End(got)
		want := dhcp6.AppendRelayForward(nil, 0, link, client, append(option(1001, "b"), fill(16)...), nil)
		want[0] = byte(dhcp6.RelayReply)
		if !bytes.Equal(got, want) {
			t.Errorf("got  %x\nwant %x", got, want)
		}
	})
	t.Run("RL-19 an answer beyond a datagram is taken back", func(t *testing.T) {
		for length, want := range map[int]drop.Reason{dhcp6.MaxDatagram - 38: drop.None, dhcp6.MaxDatagram - 37: drop.ReplyTooBig, 70000: drop.ReplyTooBig} {
			p := mustParse(t, relayed(1, query(carried())))
			got, chain := dhcp6.BeginReply([]byte("before"), p)
			got, why := chain.End(append(got, make([]byte, length)...))
			if why != want || (why != drop.None && string(got) != "before") {
				t.Errorf("%d octets: %d, %v", length, len(got), why)
			}
		}
	})
}

func TestAppend(t *testing.T) {
	b := dhcp6.AppendMessage(nil, dhcp6.Reply, [3]byte{1, 2, 3})
	b = dhcp6.AppendUint32(b, dhcp6.OptRefreshTime, 600)
	b = dhcp6.AppendAddresses(b, dhcp6.Opt4o6Server, []netip.Addr{netip.MustParseAddr("ff02::1:2")})
	b = dhcp6.AppendAddresses(b, dhcp6.Opt4o6Server, nil)
	b = dhcp6.AppendOption(b, dhcp6.OptORO, []byte{0, 88, 0, 23})
	b, mark := dhcp6.BeginOption(b, dhcp6.OptIAPD)
	b = append(b, "iaid"...)
	if why := dhcp6.EndOption(b, mark); why != drop.None {
		t.Error(why)
	}
	const want = "07010203" + "0020000400000258" + "00580010ff020000000000000000000000010002" + "00580000" + "0006000400580017" + "0019000469616964"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	b, mark = dhcp6.BeginOption(nil, dhcp6.OptIAPD)
	if why := dhcp6.EndOption(append(b, make([]byte, 65536)...), mark); why != drop.ReplyTooBig {
		t.Errorf("RL-19 option of 65536 octets: %v", why)
	}
	if why := dhcp6.EndOption(append(b, make([]byte, 65535)...), mark); why != drop.None {
		t.Errorf("RL-19 option of 65535 octets: %v", why)
	}
}

func TestResizeMessage(t *testing.T) {
	b := relayed(9, query(carried()), option(18, "port"))
	p := mustParse(t, b)
	grown := append(bytes.Clone(b), option(4711, "more")...)
	p.ResizeMessage(grown, 8)
	g := mustParse(t, grown)
	if got := len(g.Message().Bytes()); got != len(p.Message().Bytes())+8 {
		t.Errorf("message of %d octets", got)
	}
	g.ResizeMessage(grown, -8)
	if !bytes.Equal(grown[:len(b)], b) {
		t.Error("shrinking does not undo growing")
	}
}

// fill makes options of a number of codes without content.
func fill(n int) []byte {
	b := make([]byte, 4*n)
	for i := range n {
		binary.BigEndian.PutUint16(b[4*i:], uint16(1000+i))
	}
	return b
}

var benchmarks = []struct {
	name  string
	bytes []byte
}{
	{"direct", query(carried())},
	{"two relays", relayed(2, query(carried()), option(18, "port7"))},
	{"nine relays", relayed(9, query(option(1, "duid"), option(6, "\x00\x58"), carried()), option(18, "port7"), option(135, "\x00\x00"))},
	{"many options", query(append(fill(200), carried()...))},
}

// work is all that a daemon does with a datagram here.
func work(p *dhcp6.Packet, b, out []byte) []byte {
	if p.Parse(b) != drop.None {
		panic("benchmark datagram does not parse")
	}
	m := p.Message()
	_, why := m.DHCPv4()
	_, client := m.Option(dhcp6.OptClientID)
	_, unknown := m.Option(200)
	if why != drop.None || unknown || (client && m.Count(88) > 0) || p.LinkAddress() == netip.IPv6LinkLocalAllNodes() {
		panic("benchmark datagram is not what it should be")
	}
	out, chain := dhcp6.BeginReply(out[:0], p)
	out = dhcp6.AppendMessage(out, dhcp6.DHCPv4Response, [3]byte{})
	out, _ = chain.End(out)
	return out
}

func TestNoAllocation(t *testing.T) {
	for _, bb := range benchmarks {
		var p dhcp6.Packet
		out := make([]byte, 0, 4096)
		if n := testing.AllocsPerRun(100, func() { work(&p, bb.bytes, out) }); n != 0 {
			t.Errorf("%s: %v allocations", bb.name, n)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, bb := range benchmarks {
		b.Run(bb.name, func(b *testing.B) {
			var p dhcp6.Packet
			out := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				work(&p, bb.bytes, out)
			}
		})
	}
}
