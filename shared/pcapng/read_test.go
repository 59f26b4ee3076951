package pcapng_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/pcapng"
)

func packets() []pcapng.Packet {
	at := time.Unix(1_800_000_000, 123_000_000)
	return []pcapng.Packet{
		{Interface: "eth1", Time: at, From: netip.MustParseAddrPort("[fe80::1]:546"), To: netip.MustParseAddrPort("[ff02::1:2]:547"), Payload: []byte("one")},
		{Interface: "ipc", Time: at.Add(time.Second), From: netip.MustParseAddrPort("127.0.0.1:6767"), To: netip.MustParseAddrPort("127.0.0.1:6768"), Payload: []byte("two, longer")},
		{Interface: "eth1", Time: at.Add(2 * time.Second), From: netip.MustParseAddrPort("[2001:db8::1]:547"), To: netip.MustParseAddrPort("[fe80::1]:546"), Payload: nil},
	}
}

func written(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapng.NewWriter(&b, "test")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packets() {
		if err := w.Write(&p); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// classic makes a pcap file of frames of a link type.
func classic(order binary.AppendByteOrder, magic, kind uint32, frames ...[]byte) []byte {
	b := order.AppendUint32(nil, magic)
	b = append(b, make([]byte, 16)...)
	b = order.AppendUint32(b, kind)
	for _, f := range frames {
		for _, n := range []uint32{1_800_000_000, 5, uint32(len(f)), uint32(len(f))} {
			b = order.AppendUint32(b, n)
		}
		b = append(b, f...)
	}
	return b
}

// ip is the IPv6 packet with the first datagram.
func ip(t testing.TB) []byte {
	t.Helper()
	b := written(t)
	for at := 0; ; at += int(binary.LittleEndian.Uint32(b[at+4:])) {
		if binary.LittleEndian.Uint32(b[at:]) == 6 {
			return b[at+28:][:binary.LittleEndian.Uint32(b[at+20:])]
		}
	}
}

func all(t testing.TB, b []byte) (ps []pcapng.Packet, skipped int) {
	t.Helper()
	r, err := pcapng.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			return ps, r.Skipped()
		}
		if err != nil {
			t.Fatal(err)
		}
		own := *p
		own.Payload = bytes.Clone(p.Payload)
		ps = append(ps, own)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	got, skipped := all(t, written(t))
	want := packets()
	if len(got) != len(want) || skipped != 0 {
		t.Fatalf("%d datagrams, %d skipped", len(got), skipped)
	}
	for i, w := range want {
		g := got[i]
		if g.Interface != w.Interface || g.Time.Sub(w.Time).Abs() > time.Microsecond || g.From != w.From || g.To != w.To || string(g.Payload) != string(w.Payload) || g.Length != len(w.Payload) {
			t.Errorf("datagram %d is %+v, want %+v", i, g, w)
		}
	}
}

func TestFramesOfEveryLink(t *testing.T) {
	whole := ip(t)
	ethernet := append([]byte{1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 7, 0x86, 0xdd}, whole...)
	tagged := append(append(bytes.Clone(ethernet[:12]), 0x81, 0, 0, 7, 0x86, 0xdd), whole...)
	hop := append(bytes.Clone(whole[:40]), append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, whole[40:]...)...)
	hop[6] = 0
	binary.BigEndian.PutUint16(hop[4:], uint16(len(hop)-40))
	fragment := bytes.Clone(hop)
	fragment[6] = 44
	for _, tt := range []struct {
		name    string
		file    []byte
		skipped int
	}{
		{"Ethernet", classic(binary.LittleEndian, 0xa1b2c3d4, 1, ethernet, []byte{1, 2}), 1},
		{"with a VLAN tag", classic(binary.BigEndian, 0xa1b2c3d4, 1, tagged), 0},
		{"nanoseconds", classic(binary.LittleEndian, 0xa1b23c4d, 1, ethernet), 0},
		{"cooked", classic(binary.LittleEndian, 0xa1b2c3d4, 113, append(make([]byte, 16), whole...)), 0},
		{"cooked, version 2", classic(binary.LittleEndian, 0xa1b2c3d4, 276, append(make([]byte, 20), whole...)), 0},
		{"BSD loopback", classic(binary.BigEndian, 0xa1b2c3d4, 0, append(make([]byte, 4), whole...)), 0},
		{"raw, with an extension header", classic(binary.LittleEndian, 0xa1b2c3d4, 101, hop), 0},
		{"fragments and cut frames", classic(binary.LittleEndian, 0xa1b2c3d4, 101, fragment, whole[:50], whole[:45], whole), 3},
		{"padding behind", classic(binary.LittleEndian, 0xa1b2c3d4, 1, append(bytes.Clone(ethernet), 0, 0, 0)), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, skipped := all(t, tt.file)
			if len(got) != 1 || string(got[0].Payload) != "one" || got[0].To.Port() != 547 || got[0].Time.Unix() != 1_800_000_000 || skipped != tt.skipped {
				t.Errorf("%+v, %d skipped", got, skipped)
			}
		})
	}
	if got, skipped := all(t, classic(binary.LittleEndian, 0xa1b2c3d4, 147, whole)); len(got) != 0 || skipped != 1 {
		t.Errorf("of a link that is not known: %+v, %d skipped", got, skipped)
	}
}

func TestWhatIsNoCapture(t *testing.T) {
	for _, b := range [][]byte{nil, []byte("GET"), []byte("GET / HTTP"), make([]byte, 100)} {
		if _, err := pcapng.NewReader(bytes.NewReader(b)); !errors.Is(err, pcapng.ErrFormat) {
			t.Errorf("%q: %v", b, err)
		}
	}
	for n := range len(written(t)) { // cut anywhere it ends, or says so
		r, err := pcapng.NewReader(bytes.NewReader(written(t)[:n]))
		for err == nil {
			_, err = r.Next()
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(written(f))
	f.Add(classic(binary.BigEndian, 0xa1b2c3d4, 101, ip(f)))
	f.Fuzz(func(_ *testing.T, b []byte) {
		r, err := pcapng.NewReader(bytes.NewReader(b))
		for err == nil {
			var p *pcapng.Packet
			if p, err = r.Next(); err == nil {
				_ = p.Payload
			}
		}
	})
}
