package dhcp4

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// raw is a request of an Ethernet client with exactly these octets as its options field.
func raw(options ...byte) []byte {
	return append(AppendHeader(nil, &Header{
		Op: BootRequest, HType: 1, HLen: 6, Xid: 0x01020304,
		CHAddr: [16]byte{2, 0, 0, 0, 0, 1},
	}), options...)
}

// unhex reads hex with spaces for the eye.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func with(b []byte, at int, v ...byte) []byte {
	copy(b[at:], v)
	return b
}

func TestParseRefuses(t *testing.T) {
	many := make([]byte, 0, 2*MaxOptions+3)
	for range MaxOptions {
		many = append(many, 200, 0)
	}
	for _, c := range []struct {
		name string
		b    []byte
		want drop.Reason
	}{
		{"Q-8 an empty message", nil, drop.ShortMessage},
		{"Q-8 one octet", raw()[:1], drop.ShortMessage},
		{"Q-8 235 octets", raw()[:235], drop.ShortMessage},
		{"Q-8 239 octets", raw()[:239], drop.ShortMessage},
		{"Q-8 240 octets are parsed", raw(), drop.None},
		{"Q-8 a wrong cookie", with(raw(), offCookie, 0x63, 0x82, 0x53, 0x64), drop.NoCookie},
		{"D4-1 op 2 is parsed, a client may look", with(raw(), 0, 2), drop.None},
		{"D4-1 op 0", with(raw(), 0, 0), drop.NotDHCPv4},
		{"D4-1 op 3", with(raw(), 0, 3), drop.NotDHCPv4},
		{"D4-1 hlen 16", with(raw(53, 1, 1), offHLen, 16), drop.None},
		{"D4-1 hlen 17", with(raw(53, 1, 1), offHLen, 17), drop.NotDHCPv4},
		{"D4-1 hlen 255", with(raw(53, 1, 1), offHLen, 255), drop.NotDHCPv4},
		{"D4-1 two options 53", raw(53, 1, 1, 53, 1, 1, 255), drop.NotDHCPv4},
		{"D4-1 two options 53 of one octet together", raw(53, 1, 1, 53, 0, 255), drop.NotDHCPv4},
		{"D4-1 option 53 of length 0", raw(53, 0, 255), drop.NotDHCPv4},
		{"D4-1 option 53 of length 2", raw(53, 2, 1, 1, 255), drop.NotDHCPv4},
		{"D4-2 pads between options", raw(0, 53, 1, 1, 0, 0, 0, 61, 2, 1, 1, 0, 255), drop.None},
		{"D4-2 no end option", raw(53, 1, 1), drop.None},
		{"D4-2 garbage after the end option", raw(53, 1, 1, 255, 61, 200, 1, 53), drop.None},
		{"D4-2 a stray octet at the end", raw(53, 1, 1, 61), drop.None},
		{"D4-2 and after the end option", raw(53, 1, 1, 255, 61), drop.None},
		{"D4-2 and where file and sname end", with(with(raw(53, 1, 1, 52, 1, 3, 255), offCookie-1, 61), offFile-1, 61), drop.None},
		{"D4-2 a value one octet short", raw(53, 1, 1, 61, 3, 1, 2), drop.NotDHCPv4},
		{"D4-2 a length of 255 at the end", raw(53, 1, 1, 61, 255), drop.NotDHCPv4},
		{"O4-1 option 50 of length 3", raw(53, 1, 3, 50, 3, 192, 0, 2, 255), drop.NotDHCPv4},
		{"O4-1 option 50 of length 0", raw(53, 1, 3, 50, 0, 255), drop.NotDHCPv4},
		{"O4-1 option 54 of length 3", raw(53, 1, 3, 54, 3, 192, 0, 2, 255), drop.NotDHCPv4},
		{"O4-1 option 50 of a DECLINE", raw(53, 1, 4, 50, 0, 255), drop.NotDHCPv4},
		{"O4-12 option 50 of a DISCOVER is a wish", raw(53, 1, 1, 50, 0, 255), drop.None},
		{"O4-12 option 50 of a RELEASE means nothing", raw(53, 1, 7, 50, 3, 192, 0, 2, 255), drop.None},
		{"O4-12 option 50 of an INFORM means nothing", raw(53, 1, 8, 50, 1, 0, 255), drop.None},
		{"O4-12 with ciaddr option 50 means nothing", with(raw(53, 1, 3, 50, 3, 192, 0, 2, 255), offCIAddr, 192, 0, 2, 1), drop.None},
		{"O4-12 with ciaddr option 54 means nothing", with(raw(53, 1, 3, 54, 0, 255), offCIAddr, 192, 0, 2, 1), drop.None},
		{"O4-12 option 54 of a DISCOVER names nobody", raw(53, 1, 1, 54, 0, 255), drop.None},
		{"O4-12 option 54 of a DECLINE is not needed", raw(53, 1, 4, 50, 4, 192, 0, 2, 1, 54, 1, 1, 255), drop.None},
		{"O4-12 option 54 of a RELEASE is not needed", raw(53, 1, 7, 54, 5, 1, 2, 3, 4, 5, 255), drop.None},
		{"O4-12 option 57 of length 1 is no reason", raw(53, 1, 3, 57, 1, 2, 255), drop.None},
		{"O4-4 two options 54", raw(53, 1, 3, 54, 4, 1, 2, 3, 4, 54, 4, 1, 2, 3, 4, 255), drop.NotDHCPv4},
		{"O4-4 two options 50", raw(53, 1, 3, 50, 4, 1, 2, 3, 4, 50, 4, 1, 2, 3, 4, 255), drop.NotDHCPv4},
		{"O4-4 option 54 in two pieces", raw(53, 1, 3, 54, 2, 1, 2, 54, 2, 3, 4, 255), drop.None},
		{"as many options as may be", raw(many...), drop.None},
		{"one option too many", raw(append(many, 200, 0)...), drop.NotDHCPv4},
		{"Q-8 4096 octets, all of them pads", raw(make([]byte, MaxLen-HeaderLen)...), drop.None},
		{"Q-8 4097 octets", raw(make([]byte, MaxLen+1-HeaderLen)...), drop.LongMessage},
		{"Q-8 as many octets as a datagram holds", raw(make([]byte, 0xffff-HeaderLen)...), drop.LongMessage},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m Message
			if why := m.Parse(c.b); why != c.want {
				t.Errorf("got %v, want %v", why, c.want)
			}
		})
	}
}

func TestCheckRequest(t *testing.T) {
	for typ := range 256 {
		want := drop.NotForServer
		switch typ {
		case 1, 3, 4, 7, 8:
			want = drop.None
		}
		t.Run(fmt.Sprintf("D4-1 type %d", typ), func(t *testing.T) {
			m := mustParse(t, raw(53, 1, byte(typ), 255))
			if why := m.CheckRequest(); why != want {
				t.Errorf("got %v, want %v", why, want)
			}
		})
	}
	t.Run("D4-1 Q-18 no option 53", func(t *testing.T) {
		m := mustParse(t, raw(61, 2, 1, 1, 255))
		if why := m.CheckRequest(); why != drop.NoMessageType {
			t.Errorf("got %v", why)
		}
	})
	t.Run("D4-1 op 2", func(t *testing.T) {
		m := mustParse(t, with(raw(53, 1, 1, 255), 0, 2))
		if why := m.CheckRequest(); why != drop.NotForServer {
			t.Errorf("got %v", why)
		}
	})
}

func TestHeader(t *testing.T) {
	h := Header{
		Op: BootReply, HType: 32, HLen: 16, Hops: 3, Xid: 0xdeadbeef, Secs: 0x0102, Flags: 0xffff,
		CIAddr: netip.MustParseAddr("192.0.2.1"), YIAddr: netip.MustParseAddr("192.0.2.2"),
		SIAddr: netip.MustParseAddr("192.0.2.3"), GIAddr: netip.MustParseAddr("192.0.2.4"),
		CHAddr: [16]byte{0: 1, 15: 16},
		SName:  append(bytes.Repeat([]byte("s"), 63), 0), File: append(bytes.Repeat([]byte("f"), 127), 0),
	}
	b := AppendHeader([]byte("before"), &h)
	if !bytes.HasPrefix(b, []byte("before")) || len(b) != 6+HeaderLen {
		t.Fatalf("%d octets", len(b))
	}
	m := mustParse(t, b[6:])
	got := m.Header()
	if fmt.Sprint(got) != fmt.Sprint(h) {
		t.Errorf("got  %v\nwant %v", got, h)
	}
	if len(m.CHAddr()) != 16 || m.CHAddr()[15] != 16 {
		t.Errorf("chaddr %x", m.CHAddr())
	}
	t.Run("O4-3 sname and file are zero when unused", func(t *testing.T) {
		b := AppendHeader(nil, &Header{Op: BootReply})
		if !bytes.Equal(b[offSName:offCookie], make([]byte, 192)) {
			t.Errorf("%x", b[offSName:offCookie])
		}
	})
	t.Run("an address that is not IPv4 is 0.0.0.0", func(t *testing.T) {
		b := AppendHeader(nil, &Header{YIAddr: netip.MustParseAddr("2001:db8::1"), SIAddr: netip.MustParseAddr("::ffff:192.0.2.1")})
		if !bytes.Equal(b[offYIAddr:offGIAddr], []byte{0, 0, 0, 0, 192, 0, 2, 1}) {
			t.Errorf("%x", b[offYIAddr:offGIAddr])
		}
	})
}

// overloaded is a request whose option 52 says v; file and sname hold these.
func overloaded(v byte, file, sname string, options ...byte) []byte {
	b := raw(append([]byte{53, 1, 1, 52, 1, v}, options...)...)
	copy(b[offFile:offCookie], unhex(file))
	copy(b[offSName:offFile], unhex(sname))
	return append(b, 255)
}

func TestOptions(t *testing.T) {
	long := bytes.Repeat([]byte{0xab}, 300)
	sixteen := bytes.Repeat([]byte{200, 1, 7}, 16)
	for _, c := range []struct {
		name string
		b    []byte
		code byte
		want string // hex, "-" for absent
	}{
		{"in place", raw(53, 1, 1, 12, 2, 'a', 'b', 255), 12, "6162"},
		{"of length zero", raw(53, 1, 1, 80, 0, 255), 80, ""},
		{"absent", raw(53, 1, 1, 255), 12, "-"},
		{"the last without an end option", raw(53, 1, 1, 12, 2, 'a', 'b'), 12, "6162"},
		{"behind more options than the index holds", raw(append(sixteen, 12, 1, 'z')...), 12, "7a"},
		{"behind more distinct options than the index holds", raw(append(distinct(70, 20), 12, 1, 'z')...), 12, "7a"},
		{"O4-1 any order", raw(61, 2, 9, 8, 53, 1, 1, 255), 61, "0908"},
		{"D4-2 garbage after the end is no option", raw(53, 1, 1, 255, 12, 1, 'z'), 12, "-"},
		{"O4-2 overload 1 reads file", overloaded(1, "0c0166 ff", "0c0173 ff"), 12, "66"},
		{"O4-2 overload 2 reads sname", overloaded(2, "0c0166 ff", "0c0173 ff"), 12, "73"},
		{"O4-2 overload 3 reads file, then sname", overloaded(3, "0c0166 ff", "0c0173 ff"), 12, "6673"},
		{"O4-2 the order is options, file, sname", overloaded(3, "0c0166 ff", "0c0173 ff", 12, 1, 'o'), 12, "6f6673"},
		{"O4-2 overload 0 says nothing", overloaded(0, "0c0166 ff", "0c0173 ff"), 12, "-"},
		{"O4-2 overload 4 says nothing", overloaded(4, "0c0166 ff", "0c0173 ff"), 12, "-"},
		{"O4-2 overload 255 says nothing", overloaded(255, "0c0166 ff", "0c0173 ff"), 12, "-"},
		{"O4-2 without overload file is no option", overloaded(2, "0c0166 ff", ""), 12, "-"},
		{"O4-2 option 52 inside file is ignored", overloaded(1, "340102 0c0166 ff", "0c0173 ff"), 12, "66"},
		{"O4-2 option 52 inside file leaves the other one", overloaded(1, "340102 ff", ""), 52, "01"},
		{"O4-2 option 52 inside sname is ignored", overloaded(2, "0c0166 ff", "340101 ff"), 12, "-"},
		{"O4-2 file without an end option", overloaded(1, strings.Repeat("00", 125)+"0c0166", ""), 12, "66"},
		{"D4-2 a code without a length ends its field only", overloaded(3, strings.Repeat("00", 127)+"0c", "0c0173 ff"), 12, "73"},
		{"O4-2 an end option ends its field only", overloaded(3, "ff", "0c0173 ff"), 12, "73"},
		{"O4-1 option 52 of length 2 is ignored", with(raw(53, 1, 1, 52, 2, 1, 1, 255), offFile, 12, 1, 'f', 255), 12, "-"},
		{"O4-4 61 in two pieces", raw(53, 1, 1, 61, 2, 1, 2, 12, 1, 'h', 61, 2, 3, 4, 255), 61, "01020304"},
		{"O4-4 55 in three pieces, one of them empty", raw(55, 1, 1, 55, 0, 53, 1, 1, 55, 2, 3, 6, 255), 55, "010306"},
		{"O4-4 82 in options and sname", overloaded(2, "", "520103 ff", 82, 2, 1, 1), 82, "010103"},
		{"O4-4 a 300-octet value comes back whole", AppendOption(raw(), 119, long), 119, hex.EncodeToString(long)},
		{"O4-4 a neighbour of repeated options is in place", raw(61, 1, 1, 61, 1, 2, 12, 1, 'h', 53, 1, 1), 12, "68"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mustParse(t, c.b)
			v, ok := m.Option(c.code)
			got := hex.EncodeToString(v)
			if !ok {
				got = "-"
			}
			if got != c.want || m.Has(c.code) != ok {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"O4-2 an option that leaves file", overloaded(1, strings.Repeat("00", 125)+"0c0266", "")},
		{"O4-2 an option that leaves sname", overloaded(2, "", strings.Repeat("00", 61)+"0c0273")},
		{"O4-2 a second 53 in file", overloaded(1, "350101", "")},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m Message
			if why := m.Parse(c.b); why != drop.NotDHCPv4 {
				t.Errorf("got %v", why)
			}
		})
	}
}

// distinct is n options of consecutive codes.
func distinct(first byte, n int) []byte {
	var b []byte
	for i := range n {
		b = append(b, first+byte(i), 1, byte(i))
	}
	return b
}

func TestAll(t *testing.T) {
	m := mustParse(t, overloaded(3, "00 0c0166 340102 0c00 ff 0c0178", "340101 520103 ff", 0, 82, 2, 1, 1))
	var got []string
	for code, v := range m.All() {
		got = append(got, fmt.Sprintf("%d %x", code, v))
	}
	// O4-2: option 52 counts only where options begin.
	if want := "53 01, 52 03, 82 0101, 12 66, 12 , 82 03"; strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for range m.All() {
		break
	}
}

func TestFixedSize(t *testing.T) {
	m := mustParse(t, raw(53, 1, 3, 50, 4, 192, 0, 2, 10, 51, 4, 0, 0, 14, 16, 57, 2, 5, 220,
		54, 2, 192, 0, 54, 2, 2, 1, 58, 3, 0, 0, 1, 118, 5, 192, 0, 2, 0, 0, 255))
	if a, ok := m.Addr(OptRequestedAddress); !ok || a != netip.MustParseAddr("192.0.2.10") {
		t.Errorf("50 is %v, %v", a, ok)
	}
	if a, ok := m.Addr(OptServerIdentifier); !ok || a != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("54 in pieces is %v, %v", a, ok)
	}
	if v, ok := m.Uint32(OptLeaseTime); !ok || v != 3600 {
		t.Errorf("51 is %v, %v", v, ok)
	}
	if v, ok := m.Uint16(OptMaximumMessageSize); !ok || v != 1500 {
		t.Errorf("57 is %v, %v", v, ok)
	}
	t.Run("O4-1 a wrong length counts as absent", func(t *testing.T) {
		if v, ok := m.Uint32(OptRenewalTime); ok {
			t.Errorf("58 is %v", v)
		}
		if v, ok := m.Addr(OptSubnetSelection); ok {
			t.Errorf("118 is %v", v)
		}
		if v, ok := m.Uint16(OptLeaseTime); ok {
			t.Errorf("51 as two octets is %v", v)
		}
		m := mustParse(t, raw(53, 1, 1, 57, 1, 9, 255))
		if v, ok := m.Uint16(OptMaximumMessageSize); ok {
			t.Errorf("57 is %v", v)
		}
		if v, ok := m.Uint32(200); ok {
			t.Errorf("absent is %v", v)
		}
	})
}

func TestRequested(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		code byte
		want bool
	}{
		{"listed", raw(55, 3, 1, 3, 6), 3, true},
		{"not listed", raw(55, 3, 1, 3, 6), 15, false},
		{"no list", raw(53, 1, 1), 1, false},
		{"O4-4 in the second piece", raw(55, 1, 1, 55, 2, 3, 6), 6, true},
		{"O4-4 in no piece", raw(55, 1, 1, 55, 2, 3, 6), 7, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mustParse(t, c.b)
			if got := m.Requested(c.code); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestClientKey(t *testing.T) {
	noAddress := with(raw(53, 1, 1), offHLen, 0)
	for _, c := range []struct {
		name string
		b    []byte
		want string
		why  drop.Reason
	}{
		{"D4-8 option 61 of any type", raw(53, 1, 1, 61, 3, 0, 'a', 'b'), "00 006162", drop.None},
		{"D4-8 RFC 4361", raw(53, 1, 1, 61, 6, 0xff, 0, 0, 0, 1, 2), "00 ff0000000102", drop.None},
		{"D4-9 type 1 is served", raw(53, 1, 1, 61, 7, 1, 2, 0, 0, 0, 0, 1), "00 01020000000001", drop.None},
		{"D4-9 type 0 is served", raw(53, 1, 1, 61, 2, 0, 1), "00 0001", drop.None},
		{"D4-9 hardware address", raw(53, 1, 1), "01 01020000000001", drop.None},
		{"D4-9 neither", noAddress, "", drop.NoClient},
		{"D4-9 option 61 and hlen 0", append(slices.Clip(noAddress), 61, 2, 1, 1), "00 0101", drop.None},
		{"D4-9 option 61 of length 1 is none", raw(53, 1, 1, 61, 1, 1), "01 01020000000001", drop.None},
		{"D4-9 option 61 of length 0 is none", raw(53, 1, 1, 61, 0), "01 01020000000001", drop.None},
		{"D4-9 nor are two of length 0", raw(53, 1, 1, 61, 0, 61, 0), "01 01020000000001", drop.None},
		{"D4-9 option 61 of length 1 and hlen 0", append(slices.Clip(noAddress), 61, 1, 1), "", drop.NoClient},
		{"O4-4 61 in two pieces equals 61 in one", raw(53, 1, 1, 61, 1, 5, 61, 2, 6, 7), "00 050607", drop.None},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mustParse(t, c.b)
			got, why := m.AppendClientKey([]byte("x"))
			if why != c.why || !bytes.Equal(got, append([]byte("x"), unhex(c.want)...)) {
				t.Errorf("got %x, %v", got, why)
			}
		})
	}
	t.Run("D4-9 01 and chaddr as identifier is another client than chaddr alone", func(t *testing.T) {
		a := mustParse(t, raw(53, 1, 1, 61, 7, 1, 2, 0, 0, 0, 0, 1))
		b := mustParse(t, raw(53, 1, 1))
		ka, _ := a.AppendClientKey(nil)
		kb, _ := b.AppendClientKey(nil)
		if bytes.Equal(ka, kb) {
			t.Errorf("both are %x", ka)
		}
	})
}

func TestNotNeeded(t *testing.T) {
	for name, options := range map[string][]byte{
		"50": {50, 0}, "51": {51, 0}, "54": {54, 3, 1, 2, 3}, "57": {57, 1, 1}, "60": {60, 0}, "61": {61, 1, 7}, "77": {77, 0}, "118": {118, 0},
	} {
		t.Run("O4-12 option "+name+" of an impossible length counts as absent", func(t *testing.T) {
			m := mustParse(t, raw(append([]byte{53, 1, 1}, options...)...))
			code := options[0]
			_, isAddr := m.Addr(code)
			_, isTwo := m.Uint16(code)
			_, isFour := m.Uint32(code)
			if isAddr || isTwo || isFour {
				t.Error("it has a value")
			}
			switch code {
			case 50, 54, 60, 61, 77:
				if v, ok := m.Option(code); ok || m.Has(code) || m.EchoLen(code) != 0 {
					t.Errorf("it is there: %x", v)
				}
			}
		})
	}
}

func TestRelayInfo(t *testing.T) {
	for _, c := range []struct {
		name    string
		options string
		circuit string // suboption 1, "-" when absent, "!" when option 82 is not usable
		link    string
	}{
		{"no option", "350101", "!", ""},
		{"circuit and link", "52 09 010161 0504c0000200", "61", "192.0.2.0"},
		{"the first of two counts", "52 06 010161 010162", "61", ""},
		{"without circuit", "52 03 020161", "-", ""},
		{"O4-5 a suboption that runs over", "52 03 010261", "!", ""},
		{"O4-5 a code without a length", "52 04 010161 02", "!", ""},
		{"O4-5 pads and ends mean nothing", "52 05 0000 010161", "61", ""},
		{"O4-5 empty", "5200", "!", ""},
		{"O4-5 relay port beside the rest", "52 05 1300 010161", "61", ""},
		{"O4-6 link selection of length 3", "52 08 010161 0503c00002", "61", ""},
		{"O4-6 link selection of length 5", "52 07 0505c000020000", "-", ""},
		{"O4-4 in two pieces, cut inside a suboption", "52 04 01016105 350101 52 05 04c0000200", "61", "192.0.2.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mustParse(t, raw(unhex(c.options)...))
			info, ok := m.RelayInfo()
			circuit, link := "!", ""
			if ok {
				v, ok := info.Sub(SubCircuitID)
				if circuit = hex.EncodeToString(v); !ok {
					circuit = "-"
				}
			}
			if a, ok := info.LinkSelection(); ok {
				link = a.String()
			}
			if circuit != c.circuit || link != c.link {
				t.Errorf("circuit %s, link %s", circuit, link)
			}
		})
	}
}

func TestAppendOption(t *testing.T) {
	for _, n := range []int{0, 1, 254, 255, 256, 510, 511, 765} {
		v := bytes.Repeat([]byte{1}, n)
		b := AppendOption(nil, 119, v)
		if len(b) != OptionLen(n) {
			t.Errorf("%d octets take %d, OptionLen says %d", n, len(b), OptionLen(n))
		}
		m := mustParse(t, raw(b...))
		if got, ok := m.Option(119); !ok || !bytes.Equal(got, v) {
			t.Errorf("%d octets come back as %d", n, len(got))
		}
	}
	t.Run("O4-4 shorter values are not split", func(t *testing.T) {
		if b := AppendOption(nil, 12, make([]byte, 255)); len(b) != 257 || b[1] != 255 {
			t.Errorf("%d octets, first length %d", len(b), b[1])
		}
	})
	t.Run("O4-4 an echo joins pieces and splits at 255", func(t *testing.T) {
		var options []byte
		for i := range 10 {
			options = append(append(options, 82, 60), bytes.Repeat([]byte{byte(i)}, 60)...)
			options = append(options, 0)
		}
		m := mustParse(t, raw(options...))
		v, _ := m.Option(82)
		if got := m.AppendEcho(nil, 82); !bytes.Equal(got, AppendOption(nil, 82, v)) || m.EchoLen(82) != len(got) {
			t.Errorf("got %x", got)
		}
		if got := m.AppendEcho(nil, 61); got != nil || m.EchoLen(61) != 0 {
			t.Errorf("absent option gives %x", got)
		}
	})
	t.Run("fixed sizes", func(t *testing.T) {
		b := AppendEnd(AppendAddr(AppendOption(AppendUint32(AppendType(nil, Offer), 51, 3600), 57, []byte{0x05, 0xdc}), 54, netip.MustParseAddr("192.0.2.1")))
		if want := unhex("350102 330400000e10 390205dc 3604c0000201 ff"); !bytes.Equal(b, want) {
			t.Errorf("got %x", b)
		}
	})
}

func TestMessageType(t *testing.T) {
	names := map[string]bool{OtherType: true}
	for _, typ := range MessageTypes() {
		names[typ.String()] = true
	}
	if len(names) != 9 {
		t.Errorf("names are %v", names)
	}
	for typ := range 256 {
		if !names[MessageType(typ).String()] {
			t.Errorf("type %d has the name %q, which is not in the list", typ, MessageType(typ))
		}
	}
	if Discover.String() != "discover" || Inform.String() != "inform" || MessageType(9).String() != OtherType {
		t.Error("wrong names")
	}
}
