package expression

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/expression/expressiontest"
)

// twin evaluates a tree directly, with strings, without closures and scratch memory. A failure is a
// panic.
type twin struct {
	Query
	v6 bool
}

type failure struct{}

func (w *twin) holds(n *node) (holds bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(failure); !ok {
				panic(r)
			}
			holds = false
		}
	}()
	return w.test(n)
}

func (w *twin) test(n *node) bool {
	switch n.op {
	case opExists:
		_, ok := w.operand(n.args[0])
		return ok
	case opMember:
		switch {
		case n.text == all:
			return true
		case n.text == known, n.text == unknown:
			return w.Known == (n.text == known)
		case strings.HasPrefix(n.text, vendorClass):
			v, ok := w.option4(60)
			return ok && vendorClass+v == n.text
		}
		panic("no classes here")
	case opMatch:
		re, _ := wholly(n.text)
		return re.MatchString(w.value(n.args[0]))
	case opEqual:
		a, b := w.value(n.args[0]), w.value(n.args[1])
		return a == b
	case opNot:
		return !w.test(n.args[0])
	}
	count := 0
	for _, a := range n.args {
		if w.test(a) {
			count++
		}
	}
	if n.op == opAnd {
		return count == len(n.args)
	}
	return count > 0
}

func (w *twin) value(n *node) string {
	number := func(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }
	switch n.op {
	case opText:
		return n.text
	case opHex:
		b, err := hex.DecodeString(strings.Repeat("0", len(n.text)%2) + n.text)
		if err != nil {
			panic(err)
		}
		return string(b)
	case opInt:
		return number(int(n.number))
	case opAddr:
		return string(n.addr.AsSlice())
	case opField:
		return w.field(fieldNames[n.field], number)
	case opRelayField:
		r, ok := w.level(n.level)
		switch {
		case !ok:
			return ""
		case relayFieldNames[n.field] == "peeraddr":
			return string(r.PeerAddress().AsSlice())
		}
		return string(r.LinkAddress().AsSlice())
	case opEnterprise:
		v, ok := w.operand(&node{op: map[bool]op{true: opVendorClass, false: opVendor}[n.class], class: n.class})
		if !ok {
			return ""
		}
		return v[:4]
	case opVendorClass:
		v, ok := w.operand(n)
		if !ok {
			return ""
		}
		return w.vendorText(v[4:], n.index)
	case opSubstring:
		return slowSubstring(w.value(n.args[0]), n)
	case opSplit:
		s, delimiters := w.value(n.args[0]), w.value(n.args[1])
		if delimiters == "" {
			return s
		}
		var fields []string
		last := []byte{}
		for _, c := range []byte(s) {
			if strings.IndexByte(delimiters, c) >= 0 {
				fields, last = append(fields, string(last)), nil
				continue
			}
			last = append(last, c)
		}
		if fields = append(fields, string(last)); n.start < 1 || n.start > len(fields) {
			return ""
		}
		return fields[n.start-1]
	case opConcat:
		s := ""
		for _, a := range n.args {
			s += w.value(a)
		}
		return s
	case opIfElse:
		holds, a, b := w.test(n.args[0]), w.value(n.args[1]), w.value(n.args[2])
		if holds {
			return a
		}
		return b
	case opHexString:
		var digits []string
		for _, c := range []byte(w.value(n.args[0])) {
			digits = append(digits, fmt.Sprintf("%02x", c))
		}
		return strings.Join(digits, w.value(n.args[1]))
	case opConvert:
		return slowText(w.value(n.args[0]), conversions[n.convert].name)
	case opLower, opUpper:
		b := []byte(w.value(n.args[0]))
		for i, c := range b {
			if s := string(rune(c)); c < 0x80 && n.op == opLower {
				b[i] = strings.ToLower(s)[0]
			} else if c < 0x80 {
				b[i] = strings.ToUpper(s)[0]
			}
		}
		return string(b)
	}
	v, _ := w.operand(n)
	return v
}

func slowSubstring(s string, n *node) string {
	at := n.start
	if at < 0 {
		at += len(s)
	}
	if at < 0 || at >= len(s) {
		return ""
	}
	out := ""
	switch {
	case n.all:
		return s[at:]
	case n.length < 0:
		for i := at - 1; i >= 0 && i >= at+n.length; i-- {
			out = s[i:i+1] + out
		}
	default:
		for i := at; i < len(s) && i < at+n.length; i++ {
			out += s[i : i+1]
		}
	}
	return out
}

func slowText(s, to string) string {
	b := []byte(s)
	if len(b) == 0 {
		return ""
	}
	if to == "addrtotext" {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			panic(failure{})
		}
		if a.Is6() && bytes.Equal(b[:12], make([]byte, 12)) && (b[12] != 0 || b[13] != 0) {
			return fmt.Sprintf("::%d.%d.%d.%d", b[12], b[13], b[14], b[15])
		}
		return a.String()
	}
	var size int
	if _, err := fmt.Sscanf(strings.TrimPrefix(to, "u"), "int%dtotext", &size); err != nil {
		panic(err)
	}
	if len(b)*8 != size {
		panic(failure{})
	}
	var n int64
	for _, c := range b {
		n = n*256 + int64(c)
	}
	if to[0] != 'u' && b[0] >= 0x80 {
		n -= 1 << size
	}
	return fmt.Sprint(n)
}

func (w *twin) field(name string, number func(int) string) string {
	if strings.HasPrefix(name, "pkt4.") || (name == "pkt.len" && !w.v6) {
		if w.Message == nil {
			return ""
		}
		h := w.Message.Header()
		switch name {
		case "pkt.len":
			return number(len(w.Message.Bytes()))
		case "pkt4.mac":
			return string(h.CHAddr[:h.HLen])
		case "pkt4.hlen":
			return number(int(h.HLen))
		case "pkt4.htype":
			return number(int(h.HType))
		case "pkt4.ciaddr":
			return string(h.CIAddr.AsSlice())
		case "pkt4.giaddr":
			return string(h.GIAddr.AsSlice())
		case "pkt4.yiaddr":
			return string(h.YIAddr.AsSlice())
		case "pkt4.siaddr":
			return string(h.SIAddr.AsSlice())
		case "pkt4.msgtype":
			return number(int(w.Message.Type()))
		case "pkt4.transid":
			return number(int(h.Xid))
		}
	}
	if name == "pkt.dst" {
		return string(w.Local.AsSlice())
	}
	if w.Path == nil {
		return ""
	}
	switch name {
	case "pkt.iface":
		return string(w.Path.Interface)
	case "pkt.src":
		return string(w.Path.Source.AsSlice())
	case "pkt.len":
		return number(len(w.Path.Packet.Bytes()))
	case "pkt6.msgtype":
		return number(int(w.Path.Packet.Message().Bytes()[0]))
	case "pkt6.transid":
		return "\x00" + string(w.Path.Packet.Message().Bytes()[1:4])
	case "pkt6.client":
		if w.Path.Believed == 0 {
			return string(w.Path.Source.AsSlice())
		}
		return string(w.Path.Packet.Relay(w.Path.Believed - 1).PeerAddress().AsSlice())
	case "pkt6.link":
		return string(w.Path.Link().AsSlice())
	case "pkt6.relays":
		return number(w.Path.Believed)
	case "pkt6.dhcp6d":
		return w.Path.Server
	}
	panic(name)
}

func (w *twin) option4(code byte) (string, bool) {
	if w.Message == nil {
		return "", false
	}
	value, has := "", false
	for c, v := range w.Message.All() {
		if c == code {
			value, has = value+string(v), true
		}
	}
	if bytes.IndexByte(textOptions[:], code) >= 0 {
		value = strings.TrimRight(value, "\x00")
		return value, value != ""
	}
	return value, has
}

func (w *twin) level(n int) (dhcp6.Relay, bool) {
	var levels []dhcp6.Relay
	if w.Path != nil {
		for i := range w.Path.Believed {
			levels = append(levels, w.Path.Packet.Relay(i))
		}
	}
	if n < 0 {
		n += len(levels)
	}
	if n < 0 || n >= len(levels) {
		return dhcp6.Relay{}, false
	}
	return levels[n], true
}

// row returns a row of options. Code and length have so many octets each.
func row(b string, size int, padded bool, code uint16) (string, bool) {
	for {
		if padded && b != "" && b[0] == 0 {
			b = b[1:]
			continue
		}
		if len(b) < 2*size || (padded && b[0] == 255) {
			return "", false
		}
		c, n := uint16(b[0]), int(b[1])
		if size == 2 {
			c, n = uint16(b[0])<<8|uint16(b[1]), int(b[2])<<8|int(b[3])
		}
		b = b[2*size:]
		if n > len(b) {
			return "", false
		}
		if c == code {
			return b[:n], true
		}
		b = b[n:]
	}
}

func (w *twin) operand(n *node) (string, bool) {
	chain := n.chain
	var v string
	var ok bool
	six := true
	switch {
	case n.op == opRelay4:
		chain, six = append([]uint16{82}, chain...), false
		v, ok = w.option4(82)
	case n.op == opOption && !w.v6:
		six = false
		v, ok = w.option4(byte(chain[0]))
	case n.op == opRelay6:
		var r dhcp6.Relay
		if r, ok = w.level(n.level); ok {
			v, ok = row(string(r.Options()), 2, false, chain[0])
		}
	case n.op == opOption, n.op == opOption6:
		if w.Path != nil {
			v, ok = row(string(w.Path.Packet.Message().Options()), 2, false, chain[0])
		}
	default:
		return w.vendor(n)
	}
	if !ok || len(chain) == 1 {
		return v, ok
	}
	if len(chain) > 2 {
		return "", false
	}
	if six {
		begin, has := suboptions6[chain[0]]
		if !has || len(v) < begin {
			return "", false
		}
		return row(v[begin:], 2, false, chain[1])
	}
	switch chain[0] {
	case 82:
		return row(v, 1, false, chain[1])
	case 43:
		return row(v, 1, true, chain[1])
	case 125:
		return vendor4(v, chain[1])
	}
	return "", false
}

func vendor4(v string, code uint16) (string, bool) {
	if len(v) < 5 || 5+int(v[4]) > len(v) {
		return "", false
	}
	return row(v[5:5+int(v[4])], 1, false, code)
}

func (w *twin) vendor(n *node) (v string, ok bool) {
	code := map[bool]int{false: 125, true: 124}[n.class]
	if w.v6 {
		code = map[bool]int{false: 17, true: 16}[n.class]
		if w.Path != nil {
			v, ok = row(string(w.Path.Packet.Message().Options()), 2, false, uint16(code))
		}
	} else {
		v, ok = w.option4(byte(code))
	}
	switch {
	case !ok || len(v) < 4 || (n.number != 0 && binary.BigEndian.Uint32([]byte(v)) != n.number):
		return "", false
	case len(n.chain) == 0:
		return v, true
	case len(n.chain) > 1:
		return "", false
	case w.v6:
		return row(v[4:], 2, false, n.chain[0])
	}
	return vendor4(v, n.chain[0])
}

func (w *twin) vendorText(v string, index int) string {
	var texts []string
	for {
		n, header := 0, 1
		if w.v6 {
			header = 2
		}
		if len(v) < header {
			break
		}
		for _, c := range []byte(v[:header]) {
			n = n<<8 | int(c)
		}
		if header+n > len(v) {
			break
		}
		texts, v = append(texts, v[header:header+n]), v[header+n:]
		if !w.v6 {
			if len(v) < 4 {
				break
			}
			v = v[4:]
		}
	}
	if index >= len(texts) {
		return ""
	}
	return texts[index]
}

// operands are the operands of generated expressions, in dhcp4d.
var operands4 = expressiontest.Generator{
	Values: []string{
		"option[12].hex", "option[60].text", "option[61].hex", "option[93].hex", "option[230].hex", "option[231].hex", "option[66].hex",
		"option[43].option[1].hex", "option[82].option[1].hex", "relay4[2].hex", "relay4[9].hex", "pkt4.mac", "pkt4.hlen", "pkt4.ciaddr",
		"pkt4.giaddr", "pkt4.transid", "pkt4.msgtype", "pkt.iface", "pkt.src", "pkt.dst", "pkt.len", "pkt6.msgtype", "pkt6.transid",
		"pkt6.client", "pkt6.link", "pkt6.relays", "pkt6.dhcp6d", "relay6[0].linkaddr", "relay6[-1].peeraddr", "relay6[-1].option[18].hex",
		"relay6[0].option[37].hex", "relay6[5].option[1].hex", "vendor.enterprise", "vendor-class.enterprise", "vendor[3561].option[1].hex",
		"vendor-class[*].data", "vendor-class[3561].data[1]", "pkt6.option[17].option[1].hex", "pkt6.option[16].hex",
	},
	Tests: []string{
		"option[12].exists", "option[66].exists", "relay4[1].exists", "vendor[3561].exists", "vendor-class[9].exists", "relay6[-1].option[18].exists",
		"member('KNOWN')", "known", "unknown", "member('VENDOR_CLASS_Acme-Phone/2.1')", "pkt6.option[3].exists",
	},
	Literals: []string{"'Acme-Phone/2.1'", "'port-7'", "0x020000000007", "'eth0'", "'north'", "'Host-7'", "192.0.2.7", "2001:db8:7::1"},
	Later:    true,
}

// TestTwin compares the results of generated tests with the twin's.
func TestTwin(t *testing.T) {
	g := operands4
	g.Rand = rand.New(rand.NewPCG(1, 2))
	q := sample(t)
	e := new(Evaluator)
	held := 0
	for i := range 30000 {
		q.Known, q.Path.Believed = i%2 == 0, i%3
		text := g.Test(4)
		test := compileTest(t, text, nil)
		e.Begin(q, nil, new(Membership))
		w := &twin{Query: q}
		got := test.Holds(e)
		if want := w.holds(test.root); got != want {
			t.Fatalf("%s: %v, want %v", text, got, want)
		}
		if got {
			held++
		}
		if again := compileTest(t, test.String(), nil).String(); again != test.String() {
			t.Fatalf("%s is written as %s, and that as %s", text, test, again)
		}
	}
	if held < 3000 || held > 27000 {
		t.Errorf("%d of 30000 hold: the tests show little", held)
	}
}

// FuzzExpression checks of every expression that compiles: its String compiles to the same, and its
// result is the twin's. Nothing panics.
func FuzzExpression(f *testing.F) {
	for _, c := range holding {
		f.Add(c.text, false)
	}
	g := operands4
	g.Rand = rand.New(rand.NewPCG(3, 4))
	for range 50 {
		f.Add(g.Test(4), false)
		f.Add(g.Value(3), true)
	}
	q := sample(f)
	e := new(Evaluator)
	f.Fuzz(func(t *testing.T, text string, v6 bool) {
		v := names4(nil)
		v.V6 = v6
		own := q
		if v6 {
			own.Message = nil
		}
		e.Begin(own, nil, new(Membership))
		w := &twin{Query: own, v6: v6}
		if test, err := CompileTest(text, v); err == nil {
			again, err := CompileTest(test.String(), v)
			if err != nil || again.String() != test.String() {
				t.Fatalf("%s is written as %s: %v", text, test, err)
			}
			got := test.Holds(e)
			if want := w.holds(test.root); got != want && len(text) < 200 { // a long one can use up scratch
				t.Fatalf("%s: %v, want %v", text, got, want)
			}
			if again.Holds(e) != got {
				t.Fatalf("%s is not the same as %s", again, test)
			}
		}
		if value, err := CompileValue(text, v); err == nil {
			again, err := CompileValue(value.String(), v)
			if err != nil || again.String() != value.String() {
				t.Fatalf("%s is written as %s: %v", text, value, err)
			}
			value.Octets(e)
		}
	})
}
