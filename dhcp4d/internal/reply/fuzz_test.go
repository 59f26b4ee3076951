package reply

import (
	"bytes"
	"slices"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// setting reads a configuration out of octets: code, length in fours, filler.
func setting(b []byte) configured {
	c := make(configured)
	for ; len(b) >= 3; b = b[3:] {
		if n := 4 * int(b[1]); n > 0 {
			c[b[0]] = bytes.Repeat(b[2:3], n)
		}
	}
	return c
}

const (
	flagNAK = 1 << iota
	flagOffer
	flagIPv6Only
	flagSubnet
	flagTimes
	flagPad
	flagBoot
	flagMessage
)

func FuzzReply(f *testing.F) {
	typical := unhex("3d0fff00000001000300010800271234563706010306792c2a390205dc5203010161")
	f.Add(byte(dhcp4.Discover), typical, []byte{1, 1, 255, 3, 1, 2, 6, 2, 3, 121, 3, 4, 42, 1, 9}, []byte{15}, byte(flagOffer), uint16(1224))
	f.Add(byte(dhcp4.Request), typical, []byte{1, 1, 255, 3, 40, 2, 6, 30, 3, 121, 150, 4, 42, 5, 9}, []byte{15, 1}, byte(flagIPv6Only|flagTimes), uint16(548))
	f.Add(byte(dhcp4.Request), typical, []byte{}, []byte{}, byte(flagNAK|flagMessage), uint16(300))
	f.Add(byte(dhcp4.Inform), typical, []byte{6, 31, 1}, []byte{6}, byte(flagPad|flagBoot), uint16(1000))
	f.Add(byte(dhcp4.Discover), unhex("3d0201023d0203045201015201007604c0000200370a81828384858687888996"),
		[]byte{129, 20, 1, 130, 20, 2, 131, 20, 3, 132, 20, 4, 133, 20, 5, 134, 10, 6, 135, 10, 7}, []byte{1}, byte(flagOffer|flagSubnet), uint16(400))
	f.Fuzz(func(t *testing.T, typ byte, options, config, always []byte, flags byte, room uint16) {
		b := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: dhcp4.BootRequest, HType: 1, HLen: 6, Xid: 7, CIAddr: addr("192.0.2.7")})
		b = append(dhcp4.AppendType(b, dhcp4.MessageType(typ)), options...)
		q, why := dhcp4.Parse(b)
		if why != drop.None || q.CheckRequest() != drop.None {
			return
		}
		before := bytes.Clone(b)
		c := setting(config)
		r := Reply{
			Type: dhcp4.ACK, YIAddr: addr("198.51.100.10"), ServerID: addr("198.51.100.1"),
			LeaseTime: 3600, T1: 1800, T2: 3150, SendTimes: flags&flagTimes != 0,
			IPv6Only: flags&flagIPv6Only != 0, V6OnlyWait: 1800, EchoSubnetSelection: flags&flagSubnet != 0,
			Options: c, Always: always, Room: int(room), Pad: flags&flagPad != 0,
		}
		if flags&flagOffer != 0 {
			r.Type = dhcp4.Offer
		}
		if flags&flagNAK != 0 {
			r.Type = dhcp4.NAK
		}
		if flags&flagBoot != 0 {
			r.File = []byte("image")
		}
		if flags&flagMessage != 0 {
			r.Message = "no"
		}
		out, why := Append([]byte("x"), &q, &r)
		if !bytes.Equal(b, before) {
			t.Fatal("the query was written to")
		}
		if out[0] != 'x' {
			t.Fatal("what stood before was written to")
		}
		check(t, &q, &r, c, out[1:], why)
	})
}

// check holds a reply against the rules, slowly.
func check(t *testing.T, q *dhcp4.Message, r *Reply, c configured, b []byte, why drop.Reason) {
	t.Helper()
	most := 548
	if v, ok := q.Uint16(57); ok && v > 576 {
		most = int(v) - 28
	}
	most = min(most, r.Room)

	nak, lease := r.Type == dhcp4.NAK, r.Type != dhcp4.NAK && q.Type() != dhcp4.Inform
	must := map[byte][]byte{53: {byte(r.Type)}, 54: r.ServerID.AsSlice()}
	if lease {
		must[51] = []byte{0, 0, 14, 16}
	}
	id, hasID := q.Option(61, nil)
	if hasID {
		must[61] = id
	}
	if !nak && r.IPv6Only && q.Requested(108) {
		must[108] = []byte{0, 0, 7, 8}
	}
	if v, ok := q.Option(118, nil); ok && !nak && r.EchoSubnetSelection {
		must[118] = v
	}
	need := 241
	for _, v := range must {
		need += dhcp4.OptionLen(len(v))
	}
	if why == drop.ReplyTooBig {
		if need <= most || len(b) != 0 {
			t.Fatalf("refused, need %d of %d", need, most)
		}
		return
	}
	if why != drop.None || need > most || len(b) > most {
		t.Fatalf("%v, %d octets, need %d of %d", why, len(b), need, most)
	}
	m, why := dhcp4.Parse(b)
	if why != drop.None {
		t.Fatalf("%x does not parse: %v", b, why)
	}
	for code, v := range must {
		if got, ok := m.Option(code, nil); !ok || !bytes.Equal(got, v) {
			t.Fatalf("option %d is %x, want %x", code, got, v)
		}
	}
	info, hasInfo := q.Option(82, nil)
	if n := dhcp4.OptionLen(len(info)); m.Has(82) != (hasInfo && need+n <= most) {
		t.Fatalf("82 is there: %v", m.Has(82))
	}
	codes := order(m)
	if m.Has(82) {
		if !bytes.HasSuffix(bytes.TrimRight(b, "\x00"), append(dhcp4.AppendOption(nil, 82, info), 255)) {
			t.Fatalf("82 is not last or not the query's: %x", b[240:])
		}
		need += dhcp4.OptionLen(len(info))
	}
	if m.Has(58) != m.Has(59) || m.Has(58) && !lease {
		t.Fatalf("times: %d", codes)
	}
	if m.Has(58) {
		need += 12
	}
	checkConfigured(t, q, r, c, &m, most-need)
	if end := bytes.TrimRight(b, "\x00"); len(end) != len(b) && (!r.Pad || len(b) != min(300, most)) {
		t.Fatalf("%d octets after the end", len(b)-len(end))
	}
	if m.Has(52) {
		return // which the other implementation does not read
	}
	o, err := dhcpv4.FromBytes(b)
	if err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	for code := 1; code < 255; code++ {
		v, ok := m.Option(byte(code), nil)
		if w, there := o.Options[byte(code)]; ok != there || !bytes.Equal(v, w) {
			t.Fatalf("option %d is %x, theirs %x", code, v, w)
		}
	}
}

// checkConfigured holds the configured options of a reply against what was
// wanted; spare is what they had of the options field.
func checkConfigured(t *testing.T, q *dhcp4.Message, r *Reply, c configured, m *dhcp4.Message, spare int) {
	t.Helper()
	var protocol = []byte{0, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 61, 80, 82, 90, 108, 109, 118, 159, 255}
	list := slices.Clone(q.ParameterRequestList(nil))
	var wanted []byte
	all := 0
	for _, code := range append(list, r.Always...) {
		if v, ok := c[code]; ok && !slices.Contains(protocol, code) && !slices.Contains(wanted, code) && r.Type != dhcp4.NAK {
			wanted = append(wanted, code)
			all += dhcp4.OptionLen(len(v))
		}
	}
	replaces := m.Has(121) && q.Requested(121)
	if replaces && (m.Has(3) || m.Has(33)) {
		t.Fatalf("121 and %d", order(*m))
	}
	if !replaces && slices.Contains(list, 121) && all <= spare && slices.Contains(wanted, 121) {
		t.Fatalf("121 would have fitted: %d", order(*m))
	}
	for code := range 256 {
		code := byte(code)
		v, ok := m.Option(code, nil)
		switch {
		case slices.Contains(protocol, code):
		case ok && (!slices.Contains(wanted, code) || !bytes.Equal(v, c[code])):
			t.Fatalf("option %d is %x", code, v)
		case !ok && slices.Contains(wanted, code) && all <= spare && !(replaces && (code == 3 || code == 33)):
			t.Fatalf("option %d is missing, %d of %d octets", code, all, spare)
		}
	}
	if all <= spare && m.Has(52) {
		t.Fatalf("overloaded without need")
	}
	// The order is that of the client, 1 before 3 apart.
	at := -1
	for _, code := range order(*m) {
		if i := slices.Index(wanted, code); i >= 0 && code != 1 && !slices.Contains(protocol, code) {
			if i < at {
				t.Fatalf("order %d, wanted %d", order(*m), wanted)
			}
			at = i
		}
	}
	if one, three := slices.Index(order(*m), 1), slices.Index(order(*m), 3); one >= 0 && three >= 0 && three < one {
		t.Fatalf("3 before 1")
	}
}
