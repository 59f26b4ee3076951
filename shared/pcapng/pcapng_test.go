package pcapng

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// read is a slow reader of what the writer makes: blocks, options, headers. It is independent of
// the writer's code.
func read(t interface{ Fatalf(string, ...any) }, b []byte) (packets []Packet) {
	var names []string
	options := func(b []byte) map[uint16]string {
		found := map[uint16]string{}
		for len(b) >= 4 {
			code, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
			if code == 0 {
				return found
			}
			found[code] = string(b[4 : 4+n])
			b = b[4+(n+3)/4*4:]
		}
		t.Fatalf("options without an end")
		return nil
	}
	for first := true; len(b) > 0; first = false {
		kind, n := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
		if n%4 != 0 || int(n) > len(b) || binary.LittleEndian.Uint32(b[n-4:]) != n || first != (kind == 0x0a0d0d0a) {
			t.Fatalf("block %#x of %d octets, %d are left", kind, n, len(b))
		}
		body := b[8 : n-4]
		b = b[n:]
		switch kind {
		case 1:
			if body[0] != 101 {
				t.Fatalf("link type %d", body[0])
			}
			o := options(body[8:])
			if o[9] != "\x09" {
				t.Fatalf("resolution %q", o[9])
			}
			names = append(names, o[2])
		case 6:
			at := uint64(binary.LittleEndian.Uint32(body[4:]))<<32 | uint64(binary.LittleEndian.Uint32(body[8:]))
			captured, original := int(binary.LittleEndian.Uint32(body[12:])), int(binary.LittleEndian.Uint32(body[16:]))
			data := body[20 : 20+captured]
			o := options(body[20+(captured+3)/4*4:])
			p := Packet{Interface: names[binary.LittleEndian.Uint32(body)], Time: time.Unix(0, int64(at)), Comment: o[1]}
			whole := captured == original
			var header int
			var source, destination []byte
			if data[0]>>4 == 4 {
				header, source, destination = 20, data[12:16], data[16:20]
				if word(data[:20]) != 0xffff {
					t.Fatalf("checksum of the IPv4 header")
				}
			} else {
				header, source, destination = 40, data[8:24], data[24:40]
			}
			from, _ := netip.AddrFromSlice(source)
			to, _ := netip.AddrFromSlice(destination)
			udp := data[header:]
			length := binary.BigEndian.Uint16(udp[4:])
			if header+int(length) != original {
				t.Fatalf("a UDP length of %d in a packet of %d", length, original)
			}
			pseudo := append(append(append([]byte{}, source...), destination...), 0, 17, udp[4], udp[5])
			if whole && word(append(pseudo, udp...)) != 0xffff {
				t.Fatalf("checksum of UDP")
			}
			p.From = netip.AddrPortFrom(from, binary.BigEndian.Uint16(udp))
			p.To = netip.AddrPortFrom(to, binary.BigEndian.Uint16(udp[2:]))
			p.Payload, p.Length = udp[8:], int(length)-8
			packets = append(packets, p)
		}
	}
	return packets
}

// word is the sum of RFC 1071 with its carries.
func word(b []byte) uint16 {
	s := uint64(0)
	for i, c := range b {
		s += uint64(c) << (8 * (1 - i%2))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

func TestWhatIsWrittenCanBeRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		addr := func(four bool) netip.AddrPort {
			n := 16
			if four {
				n = 4
			}
			a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "address"))
			if a.Is4In6() {
				a = netip.IPv6Unspecified()
			}
			return netip.AddrPortFrom(a, rapid.Uint16().Draw(t, "port"))
		}
		var want []Packet
		var out bytes.Buffer
		w, err := NewWriter(&out, "test")
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 4).Draw(t, "packets") {
			four := rapid.Bool().Draw(t, "IPv4")
			p := Packet{
				Interface: rapid.SampledFrom([]string{"link", "ipc", "a b"}).Draw(t, "interface"),
				Time:      time.Unix(1_800_000_000, rapid.Int64Range(0, 999_999_999).Draw(t, "ns")),
				From:      addr(four), To: addr(four),
				Payload: rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "payload"),
				Comment: rapid.StringN(0, 50, 200).Draw(t, "comment"),
			}
			p.Length = len(p.Payload) + rapid.IntRange(0, 3).Draw(t, "missing")
			if err := w.Write(&p); err != nil {
				t.Fatal(err)
			}
			want = append(want, p)
		}
		got := read(t, out.Bytes())
		if len(got) != len(want) {
			t.Fatalf("%d packets, want %d", len(got), len(want))
		}
		for i, g := range got {
			p := want[i]
			if g.Interface != p.Interface || !g.Time.Equal(p.Time) || g.From != p.From || g.To != p.To ||
				!bytes.Equal(g.Payload, p.Payload) || g.Length != p.Length || g.Comment != p.Comment {
				t.Fatalf("%+v, want %+v", g, p)
			}
		}
	})
}

func TestASourceThatTheKernelChose(t *testing.T) {
	var out bytes.Buffer
	w, _ := NewWriter(&out, "test")
	p := Packet{From: netip.MustParseAddrPort("[::]:6767"), To: netip.MustParseAddrPort("192.0.2.1:6768"), Payload: []byte{1}}
	if err := w.Write(&p); err != nil {
		t.Fatal(err)
	}
	if got := read(t, out.Bytes()); got[0].From != netip.MustParseAddrPort("0.0.0.0:6767") {
		t.Errorf("from %v", got[0].From)
	}
}
