package rule

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// message4 is a DHCPv4 message with these octets behind its cookie.
func message4(options ...byte) []byte {
	return append(dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6, Xid: 7}), options...)
}

func TestSetOption4(t *testing.T) {
	inFile := message4(52, 1, 1, 53, 1, 1, 255)
	copy(inFile[108:], []byte{12, 2, 'n', 'o', 60, 1, 'x', 12, 1, '!', 255})
	withoutFile := bytes.Clone(inFile)
	copy(withoutFile[108:], []byte{0, 0, 0, 0, 60, 1, 'x', 0, 0, 0, 255})
	for _, c := range []struct {
		name   string
		before []byte
		value  string
		after  []byte
	}{
		{"one that is not there goes before the end", message4(53, 1, 1, 255, 0, 0), "ab", message4(53, 1, 1, 12, 2, 'a', 'b', 255, 0, 0)},
		{"one that is there stays in its place", message4(12, 1, 'x', 53, 1, 1, 255), "ab", message4(12, 2, 'a', 'b', 53, 1, 1, 255)},
		{"pieces become one", message4(12, 1, 'x', 0, 12, 2, 'y', 'z', 53, 1, 1, 12, 0, 255), "ab", message4(12, 2, 'a', 'b', 0, 53, 1, 1, 255)},
		{"all of them are taken out", message4(12, 1, 'x', 53, 1, 1, 12, 2, 'y', 'z', 255), "", message4(53, 1, 1, 255)},
		{"nothing is taken out", message4(53, 1, 1, 255), "", message4(53, 1, 1, 255)},
		{"without an end it goes to the end", message4(53, 1, 1), "ab", message4(53, 1, 1, 12, 2, 'a', 'b')},
		{"in a field of fixed length pads take its place", inFile, "", withoutFile},
		{"options that run past the end", message4(53, 9, 1), "ab", message4(53, 9, 1)},
		{"too short to be a message", []byte("short"), "ab", []byte("short")},
		{"too long a value", message4(53, 1, 1, 255), strings.Repeat("a", 256), message4(53, 1, 1, 255)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var o hook.Octets
			before := bytes.Clone(c.before)
			got := SetOption4(&o, c.before, 12, []byte(c.value))
			if !bytes.Equal(got, c.after) {
				t.Errorf("%x\nwant\n%x", got[min(len(got), 108):], c.after[min(len(c.after), 108):])
			}
			if !bytes.Equal(c.before, before) || o.Changed == bytes.Equal(c.after, before) {
				t.Errorf("what came is changed, or changes are noted wrongly: %v", o.Changed)
			}
		})
	}
}

func TestSetOption6(t *testing.T) {
	option := dhcp6.AppendOption
	message := func(options ...[]byte) []byte {
		return append(dhcp6.AppendMessage(nil, dhcp6.Solicit, [3]byte{1, 2, 3}), bytes.Join(options, nil)...)
	}
	relayed := func(m []byte) []byte {
		for i := range 3 {
			m = dhcp6.AppendRelayForward(nil, uint8(i), netip.IPv6Unspecified(), netip.MustParseAddr("fe80::1"), option(nil, 18, []byte("port")), m)
			m = option(m, 37, []byte("behind the message"))
		}
		return m
	}
	one, other, name := option(nil, 1, []byte("client")), option(nil, 15, []byte("x")), option(nil, 15, []byte("abc"))
	for _, c := range []struct {
		name          string
		before, after []byte
		value         string
	}{
		{"one that is not there goes to the end", message(one), message(one, name), "abc"},
		{"one that is there stays in its place", message(other, one, other), message(name, one), "abc"},
		{"all of them are taken out", message(other, one, other), message(one), ""},
		{"nothing is taken out", message(one), message(one), ""},
		{"too long a value", message(one), message(one), strings.Repeat("a", 256)},
	} {
		for _, way := range []func([]byte) []byte{func(b []byte) []byte { return b }, relayed} {
			t.Run(c.name, func(t *testing.T) {
				var o hook.Octets
				var p dhcp6.Packet
				before := way(c.before)
				if why := p.Parse(before); why != drop.None {
					t.Fatal(why)
				}
				if got := SetOption6(&o, before, &p, 15, []byte(c.value)); !bytes.Equal(got, way(c.after)) {
					t.Errorf("%x\nwant\n%x", got, way(c.after))
				}
			})
		}
	}
}

// TestChangesDoNotAllocate checks that the next datagram uses the memory of the one before.
func TestChangesDoNotAllocate(t *testing.T) {
	var o hook.Octets
	m, value := message4(53, 1, 1, 12, 1, 'x', 255), []byte("a name")
	six := dhcp6.AppendRelayForward(nil, 0, netip.IPv6Unspecified(), netip.MustParseAddr("fe80::1"), nil, dhcp6.AppendMessage(nil, dhcp6.Solicit, [3]byte{}))
	var p dhcp6.Packet
	if n := testing.AllocsPerRun(100, func() {
		o.Changed = false
		o.Overwrite(SetOption4(&o, m, 12, value), 10, value[:2])
		o.Changed = false
		p.Parse(six)
		SetOption6(&o, six, &p, 15, value)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// lengthMatters reports whether the parser ignores the option if it has a wrong length.
func lengthMatters(code byte) bool {
	switch code {
	case dhcp4.OptMessageType, dhcp4.OptServerIdentifier, dhcp4.OptRequestedAddress, dhcp4.OptClientIdentifier, dhcp4.OptVendorClass, dhcp4.OptUserClass:
		return true
	}
	return false
}

// FuzzSetOption4 checks that a message can still be parsed after a change, has the new value, and
// has all its other options. Nothing panics.
func FuzzSetOption4(f *testing.F) {
	f.Add([]byte{53, 1, 1, 12, 1, 'x', 255}, byte(12), []byte("name"))
	f.Add([]byte{52, 1, 3, 12, 0, 12, 200}, byte(12), []byte{})
	f.Fuzz(func(t *testing.T, options []byte, code byte, value []byte) {
		if code == dhcp4.OptPad || code == dhcp4.OptEnd || code == dhcp4.OptOverload {
			return
		}
		var o hook.Octets
		before := message4(options...)
		after := SetOption4(&o, before, code, value)
		var was, is dhcp4.Message
		if was.Parse(before) != drop.None || is.Parse(after) != drop.None || !o.Changed {
			return // too long or too many, which the parser tells, or of no use before
		}
		if got, ok := is.Option(code); !lengthMatters(code) && (ok != (len(value) > 0) || !bytes.Equal(got, value)) {
			t.Fatalf("option %d is %x, %v, want %x", code, got, ok, value)
		}
		for c := range 256 {
			other := byte(c)
			if other == code {
				continue
			}
			a, hasA := was.Option(other)
			b, hasB := is.Option(other)
			if hasA != hasB || !bytes.Equal(a, b) {
				t.Fatalf("option %d was %x, %v and is %x, %v", other, a, hasA, b, hasB)
			}
		}
	})
}
