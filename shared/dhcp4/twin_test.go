package dhcp4

import (
	"bytes"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// twin reads a message as the RFCs tell it, with copies and maps and without a thought for speed.
// It returns the joined value of every option, or nil for a message that has to be dropped.
func twin(b []byte) map[byte][]byte {
	if len(b) < 240 || len(b) > 4096 || !bytes.Equal(b[236:240], []byte{99, 130, 83, 99}) || b[0] < 1 || b[0] > 2 || b[2] > 16 {
		return nil
	}
	type option struct {
		code  byte
		value []byte
	}
	field := func(b []byte) (os []option, ok bool) {
		for len(b) > 0 && b[0] != 255 {
			if b[0] == 0 {
				b = b[1:]
				continue
			}
			if len(b) == 1 {
				break
			}
			if len(b) < 2+int(b[1]) {
				return nil, false
			}
			os = append(os, option{b[0], b[2 : 2+int(b[1])]})
			b = b[2+int(b[1]):]
		}
		return os, true
	}
	all, ok := field(b[240:])
	if !ok {
		return nil
	}
	var overload []byte
	for _, o := range all {
		if o.code == 52 {
			overload = append(overload, o.value...)
		}
	}
	instances := len(all)
	add := func(b []byte) {
		os, fine := field(b)
		ok = ok && fine
		instances += len(os)
		for _, o := range os {
			if o.code != 52 {
				all = append(all, o)
			}
		}
	}
	if bytes.Equal(overload, []byte{1}) || bytes.Equal(overload, []byte{3}) {
		add(b[108:236])
	}
	if bytes.Equal(overload, []byte{2}) || bytes.Equal(overload, []byte{3}) {
		add(b[44:108])
	}
	values, count := make(map[byte][]byte), make(map[byte]int)
	for _, o := range all {
		values[o.code] = append(append([]byte{}, values[o.code]...), o.value...)
		count[o.code]++
	}
	if kind, there := values[53]; (there && (len(kind) != 1 || count[53] > 1)) || !ok || instances > MaxOptions {
		return nil
	}
	request, decline := bytes.Equal(values[53], []byte{3}), bytes.Equal(values[53], []byte{4})
	request = request && bytes.Equal(b[12:16], []byte{0, 0, 0, 0})
	for code, wrong := range map[byte]func(n int) bool{
		50: func(n int) bool { return n != 4 }, 54: func(n int) bool { return n != 4 },
		60: func(n int) bool { return n == 0 }, 61: func(n int) bool { return n < 2 }, 77: func(n int) bool { return n == 0 },
	} {
		if v, there := values[code]; there && wrong(len(v)) {
			if (code == 50 && (request || decline)) || (code == 54 && request) {
				return nil
			}
			delete(values, code)
		}
	}
	return values
}

// checkView compares everything that a view says with the twin.
func checkView(t *testing.T, b []byte) (m Message, ok bool) {
	t.Helper()
	want := twin(b)
	why := m.Parse(b)
	if (why == drop.None) != (want != nil) {
		t.Fatalf("Parse says %v, the twin has %v", why, want)
	}
	if why != drop.None {
		return m, false
	}
	for code := range 256 {
		code := byte(code)
		w, there := want[code]
		v, ok := m.Option(code)
		if ok != there || !bytes.Equal(v, w) || m.Has(code) != there {
			t.Fatalf("option %d is %x, %v; want %x, %v", code, v, ok, w, there)
		}
		if a, ok := m.Addr(code); ok != (there && len(w) == 4) || (ok && !bytes.Equal(a.AsSlice(), w)) {
			t.Fatalf("option %d as an address is %v, %v; want %x", code, a, ok, w)
		}
		if v, ok := m.Uint16(code); ok != (len(w) == 2) || (ok && (byte(v>>8) != w[0] || byte(v) != w[1])) {
			t.Fatalf("option %d as two octets is %x, %v; want %x", code, v, ok, w)
		}
		if m.Requested(code) != (bytes.IndexByte(want[55], code) >= 0) {
			t.Fatalf("requested %d is %v", code, m.Requested(code))
		}
		echo := m.AppendEcho(nil, code)
		if len(echo) != m.EchoLen(code) || (there && !bytes.Equal(echo, AppendOption(nil, code, w))) {
			t.Fatalf("echo of option %d is %x; want %x", code, echo, w)
		}
	}
	key, why := m.AppendClientKey(nil)
	id, there := want[61]
	switch {
	case there:
		if why != drop.None || key[0] != KeyClientID || !bytes.Equal(key[1:], id) {
			t.Fatalf("key %x, %v; want %x", key, why, id)
		}
	case b[2] == 0:
		if why != drop.NoClient {
			t.Fatalf("no client: %v", why)
		}
	default:
		if why != drop.None || key[0] != KeyHardware || key[1] != b[1] || !bytes.Equal(key[2:], b[28:28+int(b[2])]) {
			t.Fatalf("key %x, %v", key, why)
		}
	}
	if info, ok := m.RelayInfo(); ok {
		info.LinkSelection()
		info.Sub(0)
	}
	m.CheckRequest()
	return m, true
}

// rebuild writes the message again, all options in the options field and
// every value in as few pieces as it needs.
func rebuild(m *Message) []byte {
	h := m.Header()
	if m.overload&overloadFile != 0 {
		h.File = nil
	}
	if m.overload&overloadSName != 0 {
		h.SName = nil
	}
	b := AppendHeader(nil, &h)
	for code := byte(1); code < OptEnd; code++ {
		if code != OptOverload {
			b = m.AppendEcho(b, code)
		}
	}
	return AppendEnd(b)
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"rfc4361.hex", "capture.hex"} {
		for _, b := range golden(f, file) {
			f.Add(b)
		}
	}
	f.Add(overloaded(3, "0c0166 ff", "0c0173 520103 ff", 12, 1, 'o', 82, 2, 1, 1))
	f.Add(raw(53, 1, 1, 61, 2, 1, 2, 61, 2, 3, 4, 55, 1, 1, 55, 2, 3, 6))
	f.Add(raw(append(distinct(60, 30), 12, 1, 'z')...))
	f.Add(AppendOption(raw(53, 1, 1), 119, make([]byte, 600)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > MaxLen-600 { // rebuilding must not pass the greatest length
			return
		}
		before := bytes.Clone(b)
		m, ok := checkView(t, b)
		if !bytes.Equal(b, before) {
			t.Fatal("the message was written to")
		}
		if !ok {
			return
		}
		again := rebuild(&m)
		n, ok := checkView(t, again)
		if !ok {
			t.Fatalf("%x is not parsed again", again)
		}
		if m.Xid() != n.Xid() || m.Type() != n.Type() || !bytes.Equal(again, rebuild(&n)) {
			t.Fatalf("%x is not the message that it was", again)
		}
		want := twin(b)
		delete(want, OptOverload)
		for code, v := range want {
			if got, ok := n.Option(code); !ok || !bytes.Equal(got, v) {
				t.Fatalf("option %d became %x, was %x", code, got, v)
			}
		}
	})
}

// Every prefix of a message is either refused or read like the twin reads it.
func TestParseTruncated(t *testing.T) {
	ms := golden(t, "rfc4361.hex")
	for name, b := range golden(t, "capture.hex") {
		ms["capture "+name] = b
	}
	ms["overloaded"] = overloaded(3, "0c0166 ff", "0c0173 ff", 12, 1, 'o')
	ms["pieces"] = raw(53, 1, 1, 61, 2, 1, 2, 12, 3, 'a', 'b', 'c', 61, 2, 3, 4, 255)
	for name, b := range ms {
		t.Run("Q-8 D4-2 "+name, func(t *testing.T) {
			for n := range b {
				checkView(t, b[:n:n])
			}
		})
	}
}

// The object model that the rest of the project uses reads the same out of
// every well-formed message that does not overload.
func TestParseLikeDHCPv4Package(t *testing.T) {
	ms := golden(t, "rfc4361.hex")
	for name, b := range golden(t, "capture.hex") {
		ms["capture "+name] = b
	}
	ms["pieces"] = raw(53, 1, 1, 61, 2, 1, 2, 12, 1, 'h', 61, 2, 3, 4, 255)
	ms["long"] = AppendEnd(AppendOption(raw(53, 1, 1), 119, bytes.Repeat([]byte{7}, 600)))
	for name, b := range ms {
		t.Run(name, func(t *testing.T) {
			m := mustParse(t, b)
			o, err := dhcpv4.FromBytes(b)
			if err != nil {
				t.Fatal(err)
			}
			if byte(o.OpCode) != m.Op() || byte(o.HWType) != m.HType() || o.HopCount != m.Hops() ||
				!bytes.Equal(o.ClientHWAddr, m.CHAddr()) || o.NumSeconds != m.Secs() || o.Flags != m.Flags() ||
				!bytes.Equal(o.TransactionID[:], b[offXid:offXid+4]) || byte(o.MessageType()) != byte(m.Type()) {
				t.Errorf("header: %s", o.Summary())
			}
			if o.ClientIPAddr.String() != m.CIAddr().String() || o.YourIPAddr.String() != m.YIAddr().String() ||
				o.ServerIPAddr.String() != m.SIAddr().String() || o.GatewayIPAddr.String() != m.GIAddr().String() {
				t.Errorf("addresses: %s", o.Summary())
			}
			for code := byte(1); code < OptEnd; code++ {
				v, ok := m.Option(code)
				if w, there := o.Options[code]; ok != there || !bytes.Equal(v, w) {
					t.Errorf("option %d is %x, theirs %x", code, v, w)
				}
			}
		})
	}
	t.Run("what we build", func(t *testing.T) {
		m := mustParse(t, ms["capture request"])
		o, err := dhcpv4.FromBytes(rebuild(&m))
		if err != nil {
			t.Fatal(err)
		}
		if o.HostName() != "netlab-desktop-eth2" || o.MessageType() != dhcpv4.MessageTypeRequest {
			t.Errorf("%s", o.Summary())
		}
	})
}
