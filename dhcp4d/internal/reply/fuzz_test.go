package reply

import (
	"bytes"
	"maps"
	"math/rand/v2"
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
		var q dhcp4.Message
		if q.Parse(b) != drop.None || q.CheckRequest() != drop.None {
			return
		}
		before := bytes.Clone(b)
		c := setting(config)
		r := Reply{
			Type: dhcp4.ACK, YIAddr: addr("198.51.100.10"), ServerID: addr("198.51.100.1"),
			LeaseTime: 3600, T1: 1800, T2: 3150, SendTimes: flags&flagTimes != 0,
			IPv6Only: flags&flagIPv6Only != 0, V6OnlyWait: 1800, EchoSubnetSelection: flags&flagSubnet != 0,
			Options: sends{c, always}, Room: int(room % dhcp4.MaxLen), Pad: flags&flagPad != 0,
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
		check(t, &q, &r, sends{c, always}, out[1:], why)
	})
}

// check holds a reply against the rules, slowly.
func check(t *testing.T, q *dhcp4.Message, r *Reply, c sends, b []byte, why drop.Reason) {
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
	id, hasID := q.Option(61)
	if hasID {
		must[61] = id
	}
	if !nak && r.IPv6Only && q.Requested(108) {
		must[108] = []byte{0, 0, 7, 8}
	}
	if v, ok := q.Option(118); ok && !nak && r.EchoSubnetSelection {
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
	var m dhcp4.Message
	if why := m.Parse(b); why != drop.None {
		t.Fatalf("%x does not parse: %v", b, why)
	}
	for code, v := range must {
		if got, ok := m.Option(code); !ok || !bytes.Equal(got, v) {
			t.Fatalf("option %d is %x, want %x", code, got, v)
		}
	}
	info, hasInfo := q.Option(82)
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
	times := lease && (r.SendTimes || q.Requested(58) || q.Requested(59)) && need+12 <= most
	if m.Has(58) != times || m.Has(59) != times {
		t.Fatalf("times: %d", codes)
	}
	if m.Has(58) {
		need += 12
	}
	checkConfigured(t, q, r, c, &m, most-need)
	checkFields(t, r, &m)
	n := len(bytes.TrimRight(b, "\x00"))
	if (n != len(b) && (!r.Pad || len(b) != min(300, most))) || (r.Pad && len(b) < min(300, most)) {
		t.Fatalf("%d octets after the end", len(b)-n)
	}
	if text := dhcp4.OptionLen(len(r.Message)); r.Message != "" && !m.Has(56) && n+text <= most {
		t.Fatalf("the message is missing")
	}
	if m.Has(52) {
		return // which the other implementation does not read
	}
	o, err := dhcpv4.FromBytes(b)
	if err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	for code := 1; code < 255; code++ {
		v, ok := m.Option(byte(code))
		if w, there := o.Options[byte(code)]; ok != there || !bytes.Equal(v, w) {
			t.Fatalf("option %d is %x, theirs %x", code, v, w)
		}
	}
}

// checkFields holds sname and file against what they are used for: names, or
// options with an end and zeros behind it, or nothing.
func checkFields(t *testing.T, r *Reply, m *dhcp4.Message) {
	t.Helper()
	var overload byte
	if v, ok := m.Option(52); ok {
		overload = v[0]
	}
	for _, c := range []struct {
		field, name []byte
		options     bool
	}{{m.File(), r.File, overload&1 != 0}, {m.SName(), r.SName, overload&2 != 0}} {
		if c.options {
			if used := bytes.TrimRight(c.field, "\x00"); len(used) < 3 || used[len(used)-1] != 255 {
				t.Fatalf("overloaded field %x", c.field)
			}
			continue
		}
		if r.Type == dhcp4.NAK {
			c.name = nil
		}
		if !bytes.Equal(bytes.TrimRight(c.field, "\x00"), c.name) {
			t.Fatalf("field is %x, want %q", c.field, c.name)
		}
	}
}

// checkConfigured holds the configured options of a reply, their order and their overload against
// the slow twin of the placing; spare is what they had of the options field.
func checkConfigured(t *testing.T, q *dhcp4.Message, r *Reply, s sends, m *dhcp4.Message, spare int) {
	t.Helper()
	protocol := []byte{0, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 61, 80, 82, 90, 108, 109, 118, 159, 255}
	c, list := s.configured, slices.Clone(q.ParameterRequestList())
	unasked := slices.Sorted(slices.Values(s.always))
	if len(list) == 0 {
		unasked = slices.Sorted(maps.Keys(c))
	}
	var wanted, got []byte
	for _, code := range slices.Concat(list, unasked) {
		if r.Type != dhcp4.NAK && c[code] != nil && !slices.Contains(protocol, code) && !slices.Contains(wanted, code) {
			wanted = append(wanted, code)
		}
	}
	for _, code := range order(*m) {
		if slices.Contains(protocol, code) || slices.Contains(got, code) {
			continue
		}
		got = append(got, code)
		if v, _ := m.Option(code); !bytes.Equal(v, c[code]) {
			t.Fatalf("option %d is %x", code, v)
		}
	}
	overload := len(r.SName) == 0 && len(r.File) == 0 && !q.Requested(66) && !q.Requested(67)
	var left []byte
	want, overloaded := twin(maskFirst(without(wanted, 3, 33), c), c, spare, overload)
	all := maskFirst(without(wanted, 3, 33), c)
	if !slices.Contains(list, 121) || !slices.Contains(want, 121) {
		if slices.Contains(list, 121) && slices.Contains(wanted, 121) {
			wanted, left = without(wanted, 121), []byte{121}
		}
		all = maskFirst(wanted, c)
		want, overloaded = twin(all, c, spare, overload)
	}
	left = append(left, without(all, want...)...)
	if r.Type != dhcp4.NAK && r.LeftOut != setOf(left...) {
		t.Fatalf("left out %x, want %d", r.LeftOut, left)
	}
	if !bytes.Equal(got, want) || m.Has(52) != overloaded {
		t.Fatalf("options %d, overload %v; want %d, %v of %d in %d octets", got, m.Has(52), want, overloaded, wanted, spare)
	}
}

// without is a list less some codes.
func without(list []byte, codes ...byte) []byte {
	return slices.DeleteFunc(slices.Clone(list), func(code byte) bool { return slices.Contains(codes, code) })
}

// maskFirst is a list with 1, if it is configured, before 3 and 121.
func maskFirst(list []byte, c configured) []byte {
	at := slices.IndexFunc(list, func(code byte) bool { return code == 3 || code == 121 })
	one := slices.Index(list, 1)
	if at < 0 || len(c[1]) == 0 || (one >= 0 && one < at) {
		return list
	}
	return slices.Insert(without(list, 1), at, 1)
}

// twin says which of the wanted options are placed, in their order, and whether by overload.
func twin(wanted []byte, c configured, spare int, overload bool) (placed []byte, overloaded bool) {
	// try places options in the fields, which are named by their free octets.
	try := func(list []byte, fields ...int) (placed []byte, used bool) {
		in := make([][]byte, len(fields))
		for _, code := range list {
			n := dhcp4.OptionLen(len(c[code]))
			for i := range fields {
				if n <= fields[i] {
					fields[i] -= n
					in[i] = append(in[i], code)
					used = used || i > 0
					break
				}
			}
		}
		return slices.Concat(in...), used
	}
	if placed, _ = try(wanted, spare); len(placed) == len(wanted) {
		return placed, false
	}
	var before []byte
	for _, code := range []byte{1, 3, 6} {
		if slices.Contains(wanted, code) {
			before = append(before, code)
		}
	}
	wanted = slices.Concat(before, without(wanted, before...))
	placed, _ = try(wanted, spare)
	if len(placed) == len(wanted) || !overload || spare < 3 {
		return placed, false
	}
	more, used := try(wanted, spare-3, 127, 63)
	if used && len(without(placed, more...)) == 0 {
		return more, true
	}
	return placed, false
}

// Every room that a response may leave, with and without overload.
func TestEveryRoom(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 341))
	const id, info, subnet = "3d0701020000000001", "520601040a0b0c0d", "7604c6336400"
	for _, options := range []string{
		"", id, id + info, id + info + subnet + "3705 6c 3a 03 01 79", id + "390205dc" + info + "3708 03 06 01 81 82 83 84 85",
		id + "390205dc 370c 79 03 21 06 01 81 82 83 84 85 86 87", id + "390205dc 3707 03 01 81 82 83 42 84",
	} {
		for _, typ := range []dhcp4.MessageType{dhcp4.Offer, dhcp4.ACK, dhcp4.NAK} {
			q := query(t, dhcp4.Request, options)
			if typ == dhcp4.ACK && random.IntN(4) == 0 {
				q = query(t, dhcp4.Inform, options)
			}
			for room := 230; room < 900; room++ {
				c := make(configured)
				for _, code := range []byte{1, 3, 6, 33, 121, 129, 130, 131, 132, 133, 134, 135} {
					if n := random.IntN(130); random.IntN(4) > 0 {
						c[code] = bytes.Repeat([]byte{code}, n+1)
					}
				}
				r := usual(typ)
				own := sends{c, []byte{135, 1}}
				r.Options, r.Room = own, room
				r.SendTimes, r.IPv6Only, r.V6OnlyWait = random.IntN(2) == 0, true, 1800
				r.EchoSubnetSelection, r.Pad = true, random.IntN(3) == 0
				if random.IntN(4) == 0 {
					r.Message = "sorry"
				}
				if random.IntN(4) == 0 {
					r.File = []byte("image")
				}
				b, why := Append(nil, &q, &r)
				check(t, &q, &r, own, b, why)
				if t.Failed() {
					t.Fatalf("options %s, %v, room %d", options, typ, room)
				}
			}
		}
	}
}
