package reply

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// configured is Options as a test writes them.
type configured map[byte][]byte

func (c configured) Lookup(code byte) ([]byte, bool) {
	v, ok := c[code]
	return v, ok
}

func (c configured) Configured() (all, always option.Codes) {
	for code, v := range c {
		if len(v) > 0 {
			all.Add(code)
		}
	}
	return all, always
}

// sends is a configuration some of whose options are always sent.
type sends struct {
	configured
	always []byte
}

func (s sends) Configured() (all, always option.Codes) {
	all, _ = s.configured.Configured()
	for _, code := range s.always {
		if all.Has(code) {
			always.Add(code)
		}
	}
	return all, always
}

// unhex reads hex with spaces for the eye.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// query is a query of one type with every header field set, and these options.
func query(t testing.TB, typ dhcp4.MessageType, options string) dhcp4.Message {
	t.Helper()
	b := dhcp4.AppendHeader(nil, &dhcp4.Header{
		Op: dhcp4.BootRequest, HType: 6, HLen: 6, Hops: 2, Xid: 0x01020304, Secs: 77, Flags: 0x7fff,
		CIAddr: addr("192.0.2.7"), YIAddr: addr("192.0.2.8"), SIAddr: addr("192.0.2.9"), GIAddr: addr("192.0.2.10"),
		CHAddr: [16]byte{1, 2, 3, 4, 5, 6, 7, 15: 16}, SName: []byte("sname"), File: []byte("file"),
	})
	b = dhcp4.AppendType(b, typ)
	b = append(b, unhex(options)...)
	return parse(t, dhcp4.AppendEnd(b))
}

func parse(t testing.TB, b []byte) dhcp4.Message {
	t.Helper()
	var m dhcp4.Message
	if why := m.Parse(b); why != drop.None {
		t.Fatalf("%x: %v", b, why)
	}
	return m
}

// usual is a decision with everything that a subnet usually has.
func usual(typ dhcp4.MessageType) Reply {
	return Reply{
		Type: typ, YIAddr: addr("198.51.100.10"), ServerID: addr("198.51.100.1"),
		LeaseTime: 3600, T1: 1800, T2: 3150, SIAddr: addr("198.51.100.2"),
		Options: configured{
			1: {255, 255, 255, 0}, 3: {198, 51, 100, 1}, 6: {198, 51, 100, 53}, 15: []byte("example.com"),
			28: {198, 51, 100, 255}, 33: {10, 0, 0, 0, 198, 51, 100, 1}, 42: {198, 51, 100, 3},
		},
		Room: RoomDirect,
	}
}

func mustAppend(t testing.TB, q dhcp4.Message, r Reply) dhcp4.Message {
	t.Helper()
	b, why := Append([]byte("before"), &q, &r)
	if why != drop.None {
		t.Fatalf("dropped: %v", why)
	}
	if !bytes.HasPrefix(b, []byte("before")) {
		t.Fatalf("what stood before is %q", b[:6])
	}
	return parse(t, b[6:])
}

// order lists the codes of a message as they stand in it.
func order(m dhcp4.Message) (codes []byte) {
	for code := range m.All() {
		codes = append(codes, code)
	}
	return codes
}

// Table 5.6: fields and options of each of the four replies.
func TestFields(t *testing.T) {
	for _, c := range []struct {
		name           string
		query, typ     dhcp4.MessageType
		ciaddr, yiaddr string
		siaddr         string
		sname, file    string
		flags          uint16
		lease, list    bool
	}{
		{"OFFER", dhcp4.Discover, dhcp4.Offer, "0.0.0.0", "198.51.100.10", "198.51.100.2", "boot", "image", 0x7fff, true, true},
		{"ACK", dhcp4.Request, dhcp4.ACK, "192.0.2.7", "198.51.100.10", "198.51.100.2", "boot", "image", 0x7fff, true, true},
		{"ACK to an INFORM", dhcp4.Inform, dhcp4.ACK, "192.0.2.7", "0.0.0.0", "198.51.100.2", "boot", "image", 0x7fff, false, true},
		{"NAK", dhcp4.Request, dhcp4.NAK, "0.0.0.0", "0.0.0.0", "0.0.0.0", "", "", 0xffff, false, false},
	} {
		t.Run("D4-31 "+c.name, func(t *testing.T) {
			q := query(t, c.query, "3d03010203 3706 0133 3a3b 0332 5206010161020162 390205dc 3204c0000207 7604c6336400")
			r := usual(c.typ)
			r.SName, r.File, r.Message = []byte("boot"), []byte("image"), "why"
			m := mustAppend(t, q, r)
			h := m.Header()
			if h.Op != 2 || h.Hops != 0 || h.Secs != 0 || h.HType != 6 || h.HLen != 6 || h.Xid != 0x01020304 {
				t.Errorf("op %d hops %d secs %d htype %d hlen %d xid %x", h.Op, h.Hops, h.Secs, h.HType, h.HLen, h.Xid)
			}
			if h.CHAddr != q.Header().CHAddr || h.GIAddr != addr("192.0.2.10") || h.Flags != c.flags {
				t.Errorf("chaddr %x giaddr %v flags %x", h.CHAddr, h.GIAddr, h.Flags)
			}
			if h.CIAddr.String() != c.ciaddr || h.YIAddr.String() != c.yiaddr || h.SIAddr.String() != c.siaddr {
				t.Errorf("ciaddr %v yiaddr %v siaddr %v", h.CIAddr, h.YIAddr, h.SIAddr)
			}
			if got := string(bytes.TrimRight(h.SName, "\x00")); got != c.sname {
				t.Errorf("sname %q", got)
			}
			if got := string(bytes.TrimRight(h.File, "\x00")); got != c.file {
				t.Errorf("file %q", got)
			}
			want := map[byte]string{53: fmt.Sprintf("%02x", byte(c.typ)), 54: "c6336401", 56: "776879", 61: "010203", 82: "010161020162"}
			if c.lease {
				want[51], want[58], want[59] = "00000e10", "00000708", "00000c4e"
			}
			if c.list {
				want[1], want[3] = "ffffff00", "c6336401"
			}
			for code := range 256 {
				v, ok := m.Option(byte(code))
				if w, there := want[byte(code)]; ok != there || hex.EncodeToString(v) != w {
					t.Errorf("option %d is %x, %v; want %s", code, v, ok, w)
				}
			}
		})
	}

	t.Run("D4-10 61 is absent when the query has none", func(t *testing.T) {
		for _, typ := range []dhcp4.MessageType{dhcp4.Offer, dhcp4.ACK, dhcp4.NAK} {
			if m := mustAppend(t, query(t, dhcp4.Request, ""), usual(typ)); m.Has(61) || m.Has(82) {
				t.Errorf("%v: %d", typ, order(m))
			}
		}
	})
	t.Run("D4-10 61 comes back byte for byte in OFFER, ACK and NAK, also from pieces", func(t *testing.T) {
		id := bytes.Repeat([]byte("id"), 130)
		b := dhcp4.AppendOption(nil, 61, id)
		b = append(b, unhex("3d02aabb")...)
		for _, typ := range []dhcp4.MessageType{dhcp4.Offer, dhcp4.ACK, dhcp4.NAK} {
			m := mustAppend(t, query(t, dhcp4.Request, hex.EncodeToString(b)), usual(typ))
			if v, _ := m.Option(61); !bytes.Equal(v, append(slices.Clip(id), 0xaa, 0xbb)) {
				t.Errorf("%v: %x", typ, v)
			}
		}
	})
	t.Run("D4-3 flags 0xffff come back", func(t *testing.T) {
		q := query(t, dhcp4.Discover, "")
		copy(q.Bytes()[10:], []byte{0xff, 0xff})
		if m := mustAppend(t, q, usual(dhcp4.Offer)); m.Flags() != 0xffff {
			t.Errorf("%x", m.Flags())
		}
	})
	t.Run("D4-32 a NAK without giaddr keeps the flags", func(t *testing.T) {
		q := query(t, dhcp4.Request, "")
		clear(q.Bytes()[24:28])
		if m := mustAppend(t, q, usual(dhcp4.NAK)); m.Flags() != 0x7fff {
			t.Errorf("%x", m.Flags())
		}
	})
	t.Run("O4-3 sname and file are zero when unused", func(t *testing.T) {
		m := mustAppend(t, query(t, dhcp4.Discover, ""), usual(dhcp4.Offer))
		if !bytes.Equal(m.Bytes()[44:236], make([]byte, 192)) {
			t.Errorf("%x", m.Bytes()[44:236])
		}
	})
	t.Run("D4-29 58 and 59 are sent when configured, and both when one is requested", func(t *testing.T) {
		r := usual(dhcp4.Offer)
		if m := mustAppend(t, query(t, dhcp4.Discover, "370101"), r); m.Has(58) || m.Has(59) {
			t.Error("sent to a client that did not ask")
		}
		for _, list := range []string{"37013a", "37013b"} {
			if m := mustAppend(t, query(t, dhcp4.Discover, list), r); !m.Has(58) || !m.Has(59) {
				t.Errorf("%s: %d", list, order(m))
			}
		}
		r.SendTimes = true
		if m := mustAppend(t, query(t, dhcp4.Discover, ""), r); !m.Has(58) || !m.Has(59) {
			t.Error("configured and not sent")
		}
	})
	t.Run("D4-25 the ACK to an INFORM has no 51, 58, 59, even if requested and configured", func(t *testing.T) {
		r := usual(dhcp4.ACK)
		r.SendTimes = true
		if m := mustAppend(t, query(t, dhcp4.Inform, "3703333a3b"), r); m.Has(51) || m.Has(58) || m.Has(59) {
			t.Errorf("%d", order(m))
		}
	})
	t.Run("D4-30 108 only if listed and enabled", func(t *testing.T) {
		for _, c := range []struct {
			typ     dhcp4.MessageType
			list    string
			enabled bool
			want    string
		}{
			{dhcp4.Offer, "37026c01", true, "00000708"},
			{dhcp4.ACK, "37026c01", true, "00000708"},
			{dhcp4.NAK, "37026c01", true, ""},
			{dhcp4.Offer, "370101", true, ""},
			{dhcp4.Offer, "", true, ""},
			{dhcp4.Offer, "37026c01", false, ""},
		} {
			r := usual(c.typ)
			r.IPv6Only, r.V6OnlyWait = c.enabled, 1800
			r.Options.(configured)[108] = []byte{9, 9, 9, 9}
			r.Options = sends{r.Options.(configured), []byte{108}}
			m := mustAppend(t, query(t, dhcp4.Request, c.list), r)
			if v, _ := m.Option(108); hex.EncodeToString(v) != c.want {
				t.Errorf("%+v: %x", c, v)
			}
		}
	})
	t.Run("O4-9 108 = 1800", func(t *testing.T) {
		r := usual(dhcp4.Offer)
		r.IPv6Only, r.V6OnlyWait = true, 1800
		m := mustAppend(t, query(t, dhcp4.Discover, "37016c"), r)
		if !bytes.HasSuffix(m.Bytes(), unhex("6c0400000708 ff")) {
			t.Errorf("%x", m.Bytes()[240:])
		}
	})
	t.Run("O4-6 118 used for selection is echoed", func(t *testing.T) {
		r := usual(dhcp4.Offer)
		q := query(t, dhcp4.Discover, "7604c6336400 370176")
		if m := mustAppend(t, q, r); m.Has(118) {
			t.Error("echoed although not used")
		}
		r.EchoSubnetSelection = true
		m := mustAppend(t, q, r)
		if v, _ := m.Option(118); !bytes.Equal(v, []byte{198, 51, 100, 0}) {
			t.Errorf("%x", v)
		}
	})
	t.Run("D4-31 what the protocol governs never comes from the configuration", func(t *testing.T) {
		r := usual(dhcp4.Offer)
		all := make(configured)
		var list []byte
		for code := 1; code < 255; code++ {
			all[byte(code)] = []byte{0xee}
			list = append(list, byte(code))
		}
		r.Options = sends{all, list}
		m := mustAppend(t, query(t, dhcp4.Discover, "390205dc 37fe"+hex.EncodeToString(list)), r)
		for _, code := range []byte{50, 52, 55, 57, 61, 80, 82, 90, 108, 109, 118, 159} {
			if m.Has(code) {
				t.Errorf("%d is there", code)
			}
		}
		for _, code := range []byte{51, 53, 54, 58, 59} {
			if v, _ := m.Option(code); bytes.Equal(v, []byte{0xee}) {
				t.Errorf("%d is the configured one", code)
			}
		}
		for _, code := range []byte{1, 12, 60, 121, 254} {
			if !m.Has(code) {
				t.Errorf("%d is missing", code)
			}
		}
	})
}

func TestOrder(t *testing.T) {
	for _, c := range []struct {
		name    string
		options string
		change  func(*Reply)
		want    []byte
	}{
		{"D4-33 the client's order after 53, 54, 51", "3705 0f 06 01 1c 2a", nil, []byte{53, 54, 51, 15, 6, 1, 28, 42}},
		{"D4-33 the list in pieces", "3701 0f 3d020102 3702 06 01", nil, []byte{53, 54, 51, 15, 6, 1, 61}},
		{"D4-33 a code twice in the list", "3704 0f 06 0f 06", nil, []byte{53, 54, 51, 15, 6}},
		{"D4-33 what is not configured is not there", "3703 0f 63 06", nil, []byte{53, 54, 51, 15, 6}},
		{"D4-74 no list: all that is configured", "", nil, []byte{53, 54, 51, 1, 3, 6, 15, 28, 33, 42}},
		{"D4-74 an empty list is none", "3700", nil, []byte{53, 54, 51, 1, 3, 6, 15, 28, 33, 42}},
		{"D4-74 no list: 121 beside 3, which an old client needs", "", func(r *Reply) { r.Options.(configured)[121] = unhex("00c6336401") }, []byte{53, 54, 51, 1, 3, 6, 15, 28, 33, 42, 121}},
		{"D4-76 what is marked is sent to a client that does not ask for it", "3701 06", func(r *Reply) { r.Options = sends{r.Options.(configured), []byte{42, 15}} }, []byte{53, 54, 51, 6, 15, 42}},
		{"D4-76 what is marked and asked for comes once, in the client's place", "3702 2a 06", func(r *Reply) { r.Options = sends{r.Options.(configured), []byte{42, 15}} }, []byte{53, 54, 51, 42, 6, 15}},
		{"D4-33 nothing configured", "3703 0f 63 06", func(r *Reply) { r.Options = nil }, []byte{53, 54, 51}},
		{"O4-10 nothing empty", "3702 0f 06", func(r *Reply) { r.Options.(configured)[15] = nil }, []byte{53, 54, 51, 6}},
		{"O4-11 everything", "5203 010161 3d020102 3704 06 3a 6c 01 7604c6336400", func(r *Reply) {
			r.Options = sends{r.Options.(configured), []byte{42, 6}}
			r.Message, r.IPv6Only, r.EchoSubnetSelection = "hello", true, true
		}, []byte{53, 54, 51, 58, 59, 6, 1, 42, 56, 61, 108, 118, 82}},
		{"O4-11 1 before 3 where the client has it after", "3704 06 03 0f 01", nil, []byte{53, 54, 51, 6, 1, 3, 15}},
		{"O4-11 1 before 3 where both are always sent", "3701 0f", func(r *Reply) { r.Options = sends{r.Options.(configured), []byte{3, 1}} }, []byte{53, 54, 51, 15, 1, 3}},
		{"D4-75 the mask goes with the routers", "3701 03", nil, []byte{53, 54, 51, 1, 3}},
		{"D4-75 the mask goes with classless routes", "3701 79", func(r *Reply) { r.Options.(configured)[121] = unhex("00c6336401") }, []byte{53, 54, 51, 1, 121}},
		{"O4-16 the mask goes with option 249", "3701 f9", func(r *Reply) { r.Options.(configured)[249] = unhex("00c6336401") }, []byte{53, 54, 51, 1, 249}},
		{"D4-75 no mask for the sake of routers that are not configured", "3701 03", func(r *Reply) { delete(r.Options.(configured), 3) }, []byte{53, 54, 51}},
		{"D4-75 no mask that is not configured", "3701 03", func(r *Reply) { delete(r.Options.(configured), 1) }, []byte{53, 54, 51, 3}},
		{"D4-34 with 121 requested, 3 and 33 are absent", "3705 01 03 21 79 06", func(r *Reply) {
			r.Options.(configured)[121] = unhex("00c6336401")
		}, []byte{53, 54, 51, 1, 121, 6}},
		{"D4-34 3 and 33 stay where 121 is requested and not configured", "3705 01 03 21 79 06", nil, []byte{53, 54, 51, 1, 3, 33, 6}},
		{"D4-34 3 and 33 stay where 121 is not requested", "3703 01 03 21", func(r *Reply) {
			r.Options.(configured)[121] = unhex("00c6336401")
			r.Options = sends{r.Options.(configured), []byte{121}}
		}, []byte{53, 54, 51, 1, 3, 33, 121}},
		{"D4-34 3 and 33 stay where 121 does not fit", "3705 01 03 21 79 06", func(r *Reply) {
			r.Options.(configured)[121] = make([]byte, 600)
		}, []byte{53, 54, 51, 1, 3, 33, 6}},
		{"O4-5 82 is last", "5203 010161 3701 06 3d020102", nil, []byte{53, 54, 51, 6, 61, 82}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := usual(dhcp4.Offer)
			if c.change != nil {
				c.change(&r)
			}
			m := mustAppend(t, query(t, dhcp4.Discover, c.options), r)
			if got := order(m); !bytes.Equal(got, c.want) {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
	t.Run("D4-33 OFFER and ACK carry the same parameters", func(t *testing.T) {
		const options = "3d020102 3708 01 03 06 0f 1c 21 2a 3a"
		o := mustAppend(t, query(t, dhcp4.Discover, options), usual(dhcp4.Offer))
		a := mustAppend(t, query(t, dhcp4.Request, options), usual(dhcp4.ACK))
		if !bytes.Equal(o.Bytes()[243:], a.Bytes()[243:]) {
			t.Errorf("%x\n%x", o.Bytes()[240:], a.Bytes()[240:])
		}
	})
}

func TestRelayInformation(t *testing.T) {
	for _, c := range []struct{ name, options, want string }{
		{"O4-5 identical", "5206 010161 020162", "5206 010161 020162"},
		{"O4-5 malformed is echoed", "5204 01ff6102", "5204 01ff6102"},
		{"O4-5 suboption 19 comes back within 82", "5205 1300 010161", "5205 1300 010161"},
		{"O4-5 empty", "5200", "5200"},
		{"O4-5 in pieces", "5202 0101 0c0161 5201 61", "5203 010161"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, typ := range []dhcp4.MessageType{dhcp4.Offer, dhcp4.ACK, dhcp4.NAK} {
				m := mustAppend(t, query(t, dhcp4.Request, c.options), usual(typ))
				if !bytes.HasSuffix(m.Bytes(), append(unhex(c.want), 255)) {
					t.Errorf("%v: %x", typ, m.Bytes()[240:])
				}
			}
		})
	}
	t.Run("O4-5 absent if too large", func(t *testing.T) {
		b := dhcp4.AppendOption(nil, 82, make([]byte, 400))
		m := mustAppend(t, query(t, dhcp4.Discover, hex.EncodeToString(b)), usual(dhcp4.Offer))
		if m.Has(82) || len(m.Bytes()) > 548 {
			t.Errorf("%d octets: %d", len(m.Bytes()), order(m))
		}
	})
	t.Run("O4-5 before the requested options when space is short", func(t *testing.T) {
		b := dhcp4.AppendOption(unhex("370106"), 82, make([]byte, 280))
		r := usual(dhcp4.Offer)
		r.SName = []byte("s")
		m := mustAppend(t, query(t, dhcp4.Discover, hex.EncodeToString(b)), r)
		if got := order(m); !bytes.Equal(got, []byte{53, 54, 51, 6, 82, 82}) {
			t.Errorf("%d", got)
		}
	})
}

// many requests the codes 129 to 158 and configures n octets for each.
func many(n int) (list string, c configured) {
	c = make(configured)
	list = "371e"
	for code := byte(129); code < 159; code++ {
		c[code] = bytes.Repeat([]byte{code}, n)
		list += fmt.Sprintf("%02x", code)
	}
	return list, c
}

func TestSizes(t *testing.T) {
	list, options := many(40)
	for _, c := range []struct {
		name  string
		size  string // option 57
		room  int
		limit int
	}{
		{"D4-35 without 57", "", RoomDirect, 548},
		{"D4-36 57 = 1000", "390203e8", RoomDirect, 972},
		{"D4-36 57 = 100", "39020064", RoomDirect, 548},
		{"D4-36 57 = 0", "39020000", RoomDirect, 548},
		{"D4-36 57 = 576", "39020240", RoomDirect, 548},
		{"O4-1 57 of length 1 is ignored", "390105", RoomDirect, 548},
		{"D4-37 57 = 1500, direct", "390205dc", RoomDirect, 1444},
		{"D4-37 57 = 65535, direct", "3902ffff", RoomDirect, 1444},
		{"D4-37 57 = 1500 over two relays", "390205dc", Room(38 + 9 + 38), 1359},
		{"D4-37 over relays that leave little", "390205dc", Room(1020), 424},
		{"D4-37 over relays that leave little, without 57", "", Room(1020), 424},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := usual(dhcp4.Offer)
			r.Options, r.Room = options, c.room
			m := mustAppend(t, query(t, dhcp4.Discover, list+c.size), r)
			if n := len(m.Bytes()); n > c.limit || n < c.limit-42-3 {
				t.Errorf("%d octets, limit %d", n, c.limit)
			}
		})
	}
	t.Run("D4-37 no room", func(t *testing.T) {
		q := query(t, dhcp4.Discover, "3d020102")
		for _, room := range []int{-1, 0, 239, 240 + 3 + 6 + 6 + 4} {
			r := usual(dhcp4.Offer)
			r.Room = room
			b, why := Append([]byte("before"), &q, &r)
			if why != drop.ReplyTooBig || string(b) != "before" {
				t.Errorf("room %d: %q, %v", room, b, why)
			}
		}
		r := usual(dhcp4.Offer)
		r.Room = 240 + 3 + 6 + 6 + 4 + 1
		if m := mustAppend(t, q, r); len(m.Bytes()) != r.Room {
			t.Errorf("%d octets in %d", len(m.Bytes()), r.Room)
		}
	})
	t.Run("D4-38 by default the last octet is 255", func(t *testing.T) {
		m := mustAppend(t, query(t, dhcp4.Discover, "370101"), usual(dhcp4.Offer))
		if b := m.Bytes(); b[len(b)-1] != 255 || len(b) >= 300 {
			t.Errorf("%d octets, last %d", len(b), b[len(b)-1])
		}
	})
	t.Run("D4-38 with the switch zeros follow up to 300", func(t *testing.T) {
		r := usual(dhcp4.Offer)
		bare := mustAppend(t, query(t, dhcp4.Discover, "370101"), r)
		r.Pad = true
		m := mustAppend(t, query(t, dhcp4.Discover, "370101"), r)
		n := len(bare.Bytes())
		if b := m.Bytes(); len(b) != 300 || !bytes.Equal(b[:n], bare.Bytes()) || len(bytes.Trim(b[n:], "\x00")) != 0 {
			t.Errorf("%d octets, %x", len(b), b[240:])
		}
		r.Options = options
		if m := mustAppend(t, query(t, dhcp4.Discover, list), r); len(m.Bytes()) > 548 {
			t.Errorf("%d octets", len(m.Bytes()))
		}
	})
}

func TestLeftOut(t *testing.T) {
	list, options := many(40)
	requested := unhex(list)[2:]
	check := func(t *testing.T, m dhcp4.Message, options configured) (n int) {
		t.Helper()
		for _, code := range []byte{53, 54, 51} {
			if !m.Has(code) {
				t.Errorf("%d is missing", code)
			}
		}
		gone := false
		for _, code := range requested {
			v, ok := m.Option(code)
			switch {
			case !ok:
				gone = true
			case gone:
				t.Errorf("%d is there although an earlier one is not", code)
			case !bytes.Equal(v, options[code]):
				t.Errorf("%d is %x", code, v)
			default:
				n++
			}
		}
		return n
	}
	t.Run("D4-77 the essential ones have room before all others", func(t *testing.T) {
		for _, c := range []struct {
			name, list string
			change     func(configured)
			want       []byte
			left       []byte
		}{
			{"routes and a search list too long for each other", "3708 79 77 01 03 0f 06 42 43", func(configured) {}, []byte{1, 6, 121, 15, 66}, []byte{119}},
			{"a value that no reply holds", "3704 77 01 03 06", func(c configured) { c[119] = make([]byte, 1000) }, []byte{1, 3, 6}, []byte{119}},
			{"short ones behind a long one that does not fit", "3706 ee ef 01 03 06 f0", func(c configured) { c[238], c[239], c[240] = make([]byte, 200), make([]byte, 200), make([]byte, 8) },
				[]byte{1, 3, 6, 238, 240}, []byte{239}},
		} {
			r := usual(dhcp4.Offer)
			o := r.Options.(configured)
			delete(o, 33)
			o[121], o[119], o[66] = bytes.Repeat([]byte{0, 1, 2, 3, 4}, 37), make([]byte, 113), []byte("tftp.example.com")
			o[121] = append(o[121], 0, 0) // 187 octets, as in the report
			r.File = []byte("image")      // no overload
			c.change(o)
			q := query(t, dhcp4.Discover, c.list)
			b, why := Append(nil, &q, &r)
			if why != drop.None {
				t.Fatalf("%s: %v", c.name, why)
			}
			m := parse(t, b)
			if got := order(m)[3:]; !bytes.Equal(got, c.want) {
				t.Errorf("%s: %d, want %d", c.name, got, c.want)
			}
			if r.LeftOut != setOf(c.left...) {
				t.Errorf("%s: left out %x, want %d", c.name, r.LeftOut, c.left)
			}
		}
	})
	t.Run("D4-77 nothing is left out of a reply with room for all", func(t *testing.T) {
		q := query(t, dhcp4.Discover, "3704 79 77 01 03")
		r := usual(dhcp4.Offer)
		r.LeftOut.Add(5) // of the reply before
		if _, why := Append(nil, &q, &r); why != drop.None || !r.LeftOut.Empty() {
			t.Errorf("%v, left out %x", why, r.LeftOut)
		}
	})
	t.Run("D4-39 the last requested are missing, overload takes what it can", func(t *testing.T) {
		r := usual(dhcp4.Offer)
		r.Options = options
		m := mustAppend(t, query(t, dhcp4.Discover, list), r)
		// 548 - 240 - 3 - 6 - 6 - 1 - 3 leaves 6 of 42 octets, file 3, sname 1.
		if n := check(t, m, options); n != 10 {
			t.Errorf("%d options", n)
		}
		if v, _ := m.Option(52); !bytes.Equal(v, []byte{3}) {
			t.Errorf("overload is %x", v)
		}
		if got := order(m); !bytes.Equal(got[3:], append([]byte{52}, requested[:10]...)) {
			t.Errorf("order %d", got)
		}
	})
	t.Run("O4-2 overload of file only", func(t *testing.T) {
		r := usual(dhcp4.Offer)
		r.Options = configured{129: make([]byte, 200), 130: make([]byte, 100), 131: make([]byte, 20)}
		m := mustAppend(t, query(t, dhcp4.Discover, "3703818283"), r)
		if v, _ := m.Option(52); !bytes.Equal(v, []byte{1}) || !m.Has(131) {
			t.Errorf("overload is %x, order %d", v, order(m))
		}
		if !bytes.Equal(m.SName(), make([]byte, 64)) {
			t.Errorf("sname %x", m.SName())
		}
	})
	t.Run("O4-2 no option 52 where everything fits", func(t *testing.T) {
		if m := mustAppend(t, query(t, dhcp4.Discover, "370401030f06"), usual(dhcp4.Offer)); m.Has(52) {
			t.Errorf("%d", order(m))
		}
	})
	t.Run("O4-2 no option 52 where everything just fits and 121 is requested in vain", func(t *testing.T) {
		r := usual(dhcp4.Offer)
		r.Options = configured{129: make([]byte, 200), 130: make([]byte, 548-241-3-6-6-202-2)}
		m := mustAppend(t, query(t, dhcp4.Discover, "3703 79 81 82"), r)
		if got := order(m); !bytes.Equal(got, []byte{53, 54, 51, 129, 130}) || len(m.Bytes()) != 548 {
			t.Errorf("%d octets, order %d", len(m.Bytes()), got)
		}
	})
	t.Run("O4-2 no overload that pushes out what fits without", func(t *testing.T) {
		r := usual(dhcp4.Offer)
		spare := 548 - 241 - 3 - 6 - 6
		r.Options = configured{129: make([]byte, spare-1-4), 130: make([]byte, 200), 131: make([]byte, 100)}
		m := mustAppend(t, query(t, dhcp4.Discover, "3703 81 82 83"), r)
		if got := order(m); !bytes.Equal(got, []byte{53, 54, 51, 129, 129}) {
			t.Errorf("%d", got)
		}
	})
	t.Run("O4-2 no option 52 where it would not help", func(t *testing.T) {
		r := usual(dhcp4.Offer)
		r.Options = configured{129: make([]byte, 200), 130: make([]byte, 130)}
		m := mustAppend(t, query(t, dhcp4.Discover, "37028182"), r)
		if got := order(m); !bytes.Equal(got, []byte{53, 54, 51, 129}) {
			t.Errorf("%d", got)
		}
	})
	for _, c := range []struct {
		name   string
		list   string
		change func(*Reply)
	}{
		{"D4-39 no overload over a boot file", list, func(r *Reply) { r.File = []byte("image") }},
		{"D4-39 no overload over a server name", list, func(r *Reply) { r.SName = []byte("boot") }},
		{"D4-39 no overload for a client that boots from the network", strings.Replace(list, "371e", "371f", 1) + "43", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := usual(dhcp4.Offer)
			r.Options = options
			if c.change != nil {
				c.change(&r)
			}
			m := mustAppend(t, query(t, dhcp4.Discover, c.list), r)
			if n := check(t, m, options); n != 6 || m.Has(52) {
				t.Errorf("%d options, order %d", n, order(m))
			}
		})
	}
	t.Run("D4-39 61, 82, 108 and 118 stay", func(t *testing.T) {
		r := usual(dhcp4.Offer)
		r.Options, r.IPv6Only, r.EchoSubnetSelection, r.Message = options, true, true, "not worth an option"
		m := mustAppend(t, query(t, dhcp4.Discover, strings.Replace(list, "371e", "371f", 1)+"6c 3d020102 5203010161 7604c6336400"), r)
		for _, code := range []byte{61, 82, 108, 118} {
			if !m.Has(code) {
				t.Errorf("%d is missing", code)
			}
		}
		check(t, m, options)
		if !bytes.HasSuffix(m.Bytes(), unhex("5203010161ff")) {
			t.Errorf("%x", m.Bytes()[240:])
		}
	})
	t.Run("D4-39 one that can never fit does not hold up the rest", func(t *testing.T) {
		r := usual(dhcp4.Offer)
		r.Options.(configured)[119] = make([]byte, 1000)
		m := mustAppend(t, query(t, dhcp4.Discover, "3703 77 01 06"), r)
		if got := order(m); !bytes.Equal(got, []byte{53, 54, 51, 1, 6}) {
			t.Errorf("%d", got)
		}
	})
	t.Run("O4-4 a 300-octet value is split and comes back whole", func(t *testing.T) {
		r := usual(dhcp4.Offer)
		value := bytes.Repeat([]byte("long"), 75)
		r.Options.(configured)[119] = value
		m := mustAppend(t, query(t, dhcp4.Discover, "370177 390205dc"), r)
		if v, _ := m.Option(119); !bytes.Equal(v, value) || !slices.Equal(order(m), []byte{53, 54, 51, 119, 119}) {
			t.Errorf("%d, %x", order(m), v)
		}
	})
	t.Run("O4-7 pointers of 119 stay right when it is split", func(t *testing.T) {
		// 31 names of 8 octets, then one that points back to the first.
		var names []byte
		for i := range 31 {
			names = append(names, 6, 'n', 'a', 'm', 'e', byte('0'+i/10), byte('0'+i%10), 0)
		}
		names = append(names, 3, 's', 'u', 'b', 0xc0, 0, 3, 't', 'o', 'p', 0xc0, 0)
		r := usual(dhcp4.Offer)
		r.Options.(configured)[119] = names
		m := mustAppend(t, query(t, dhcp4.Discover, "370177 390205dc"), r)
		o, err := dhcpv4.FromBytes(m.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		labels := o.DomainSearch().Labels
		if len(labels) != 33 || labels[31] != "sub.name00" || labels[32] != "top.name00" {
			t.Errorf("%q", labels)
		}
	})
}
