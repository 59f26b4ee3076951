package expression

import (
	"errors"
	"strings"
	"testing"
)

// holding has tests that hold for the sample, by what they show.
var holding = []struct{ name, text string }{
	{"an option is compared as octets", "option[60].hex == 'Acme-Phone/2.1'"},
	{"hex digits are octets", "option[61].hex == 0x01020000000007"},
	{"an odd number of digits gets a zero in front", "substring(option[61].hex, 0, 1) == 0x1"},
	{"an option has a name", "option[vendor-class-identifier].text == 'Acme-Phone/2.1'"},
	{"blanks around a name do not count", "option[ host-name ].exists"},
	{"text ends before its last zero octets", "option[12].hex == 'Host-7' and option[12].text == 'Host-7'"},
	{"O4-13 functions see text without its last zero octets", "substring(option[12].hex, 0, 9) == 'Host-7' and hexstring(option[12].hex, '') == '486f73742d37' and match('Host-7', option[12].hex)"},
	{"O4-13 and what they make of it", "concat(option[12].hex, '!') == 'Host-7!' and ucase(option[12].text) == 'HOST-7' and split(option[12].text, '-', 2) == '7'"},
	{"O4-13 a pattern may allow zero octets at the end of other values", "match('d-i\\x00*', 0x642d6900) and match('d-i\\x00*', 'd-i') and not match('d-i', 0x642d6900)"},
	{"text of zero octets only is no option", "not option[66].exists and option[66].hex == ''"},
	{"what is absent is empty", "option[15].hex == '' and not option[15].exists"},
	{"an empty option is there", "option[230].exists and option[230].hex == ''"},
	{"pieces of an option are one value", "option[231].hex == 'onetwo'"},
	{"sub-options of option 82", "relay4[1].hex == 'port-7' and option[82].option[2].hex == 'abc' and not relay4[3].exists"},
	{"a sub-option has nothing inside", "not relay4[1].option[1].exists"},
	{"sub-options of option 43, up to its end", "option[43].option[1].hex == 'ab' and not option[43].option[3].exists"},
	{"an option without sub-options", "not option[61].option[1].exists"},
	{"vendor options", "vendor[3561].exists and vendor[*].exists and vendor[0].exists and not vendor[9].exists"},
	{"vendor sub-options", "vendor[3561].option[1].hex == 'hello' and vendor[9].option[1].hex == '' and option[125].option[1].exists"},
	{"the enterprise number is an integer", "vendor.enterprise == 3561 and vendor-class.enterprise == 3561"},
	{"vendor classes", "vendor-class[3561].data == 'first' and vendor-class[*].data[1] == 'second' and vendor-class[*].data[2] == ''"},
	{"fields of the message", "pkt4.mac == 0x020000000007 and pkt4.hlen == 6 and pkt4.htype == 1 and pkt4.msgtype == 1"},
	{"addresses of the message", "pkt4.ciaddr == 192.0.2.7 and pkt4.giaddr == 10.0.0.1 and pkt4.yiaddr == 0.0.0.0 and pkt4.siaddr == 0.0.0.0"},
	{"integers are four octets", "pkt4.transid == 0x01020304 and pkt4.htype == 0x00000001 and not (pkt4.htype == 0x01)"},
	{"the packet", "pkt.iface == 'eth0' and pkt.src == 2001:db8::1 and pkt.dst == 2001:db8::547"},
	{"the DHCPv6 message", "pkt6.msgtype == 20 and pkt6.transid == 0x00800000"},
	{"the way of a query", "pkt6.client == fe80::7 and pkt6.link == 2001:db8:7::1 and pkt6.relays == 2 and pkt6.dhcp6d == 'north'"},
	{"options of the DHCPv6 message", "pkt6.option[vendor-class].exists and pkt6.option[17].option[1].hex == 'ok'"},
	{"relays count from dhcp6d", "relay6[0].option[18].hex == 'trunk' and relay6[0].peeraddr == 2001:db8::2 and relay6[0].linkaddr == ::"},
	{"relays count from the client", "relay6[-1].option[18].hex == 'port-7' and relay6[-2].option[18].hex == 'trunk'"},
	{"options of relays have names", "relay6[1].option[remote-id].hex == 0x00000de9 + 'line-7' and relay6[-1].option[interface-id].exists"},
	{"a relay that is not there", "relay6[2].linkaddr == '' and relay6[-3].option[18].hex == '' and not relay6[2].option[18].exists"},
	{"part of a value", "substring('foobar', 0, 6) == 'foobar' and substring('foobar', 3, 3) == 'bar' and substring('foobar', 3, all) == 'bar'"},
	{"part counted from the end", "substring('foobar', -5, 4) == 'ooba' and substring('foobar', -1, -3) == 'oba' and substring('foobar', 4, -2) == 'ob'"},
	{"part outside", "substring('foobar', 10, 2) == '' and substring('foobar', -7, 2) == '' and substring('', 0, 1) == ''"},
	{"part longer than what is left", "substring('foobar', 4, 9) == 'ar' and substring('foobar', 2, -9) == 'fo'"},
	{"values are joined", "concat('foo', 'bar') == 'foobar' and 'a' + 'b' + 'c' == 'abc'"},
	{"many values are joined", "'a'+'b'+'c'+'d'+'e'+'f'+'g'+'h'+'i'+'j' == 'abcdefghij'"},
	{"one of two values", "ifelse(option[60].exists, 'yes', 'no') == 'yes' and ifelse(option[15].exists, 'yes', 'no') == 'no'"},
	{"octets as digits", "hexstring(pkt4.mac, ':') == '02:00:00:00:00:07' and hexstring(0xABCD, '') == 'abcd' and hexstring('', '-') == ''"},
	{"addresses as text", "addrtotext(192.0.2.1) == '192.0.2.1' and addrtotext(2001:DB8:0:0:0::1) == '2001:db8::1' and addrtotext('') == ''"},
	{"addresses as text, of an IPv4 address inside", "addrtotext(::1.2.3.4) == '::1.2.3.4' and addrtotext(::ffff:1.2.3.4) == '::ffff:1.2.3.4' and addrtotext(::1) == '::1'"},
	{"integers as text", "uint8totext(0xff) == '255' and uint16totext(0xffff) == '65535' and uint32totext(4294967295) == '4294967295'"},
	{"integers with sign as text", "int8totext(0xff) == '-1' and int16totext(0xfffe) == '-2' and int32totext(0xfffffffd) == '-3' and int8totext('') == ''"},
	{"letters", "lcase('LoWeR-1') == 'lower-1' and ucase('uPpEr-1') == 'UPPER-1'"},
	{"fields between delimiters", "split('one.two..four', '.', 1) == 'one' and split('one.two..four', '.', 3) == '' and split('one.two..four', '.', 4) == 'four'"},
	{"fields that are not there", "split('one.two', '.', 3) == '' and split('one.two', '.', 0) == '' and split('one.two', '.', -1) == '' and split('', '.', 1) == ''"},
	{"fields without delimiters", "split('one.two', '', 5) == 'one.two' and split('a.b-c', '-.', 3) == 'c'"},
	{"a regular expression fits the whole", "match('Acme-.*', option[60].hex) and not match('Acme', option[60].hex) and match('a|bc', 'bc')"},
	{"and binds before or", "'a' == 'b' and 'a' == 'b' or 'a' == 'a'"},
	{"and binds before or, on the right", "'a' == 'a' or 'a' == 'b' and 'a' == 'b'"},
	{"not binds before and", "not 'a' == 'b' and 'a' == 'a' and not ('a' == 'a' and 'a' == 'b')"},
	{"not of not", "not not 'a' == 'a'"},
	{"parentheses around values", "('a') == (('a'))"},
	{"lines and tabs are blanks", "option[60].exists\n\tand\r\n option [ 61 ] . exists"},
	{"classes that are always there", "member('ALL') and unknown and not known and member('UNKNOWN') and not member('KNOWN')"},
	{"Kea's class of option 60", "member('VENDOR_CLASS_Acme-Phone/2.1') and not member('VENDOR_CLASS_Acme')"},
}

func TestTest(t *testing.T) {
	e := new(Evaluator)
	e.Begin(sample(t), nil, new(Membership))
	for _, c := range holding {
		t.Run(c.name, func(t *testing.T) {
			test := compileTest(t, c.text, names4(nil))
			if !test.Holds(e) {
				t.Errorf("%s does not hold", c.text)
			}
			if compileTest(t, "not ("+c.text+")", names4(nil)).Holds(e) {
				t.Errorf("not (%s) holds", c.text)
			}
		})
	}
}

// TestFailure checks that a conversion of a value of the wrong length fails the whole test,
// wherever the conversion is.
func TestFailure(t *testing.T) {
	e := new(Evaluator)
	e.Begin(sample(t), nil, new(Membership))
	for _, text := range []string{
		"uint8totext('ab') == '1'", "not (uint8totext('ab') == '1')", "int16totext('a') == ''", "uint32totext('abc') == ''",
		"addrtotext('abc') == ''", "'a' == 'a' or addrtotext('abc') == ''", "not ('a' == 'b' and addrtotext('abc') == '')",
		"ifelse('a' == 'a', 'x', int8totext('abc')) == 'x'", "'a' == 'a' or 'b' == 'b' or int8totext('abc') == ''",
	} {
		if compileTest(t, text, nil).Holds(e) {
			t.Errorf("%s holds", text)
		}
	}
	if v, err := CompileValue("int8totext(pkt4.mac)", nil); err != nil {
		t.Error(err)
	} else if b, ok := v.Octets(e); ok {
		t.Errorf("%q", b)
	}
	if !compileTest(t, "'a' == 'a'", nil).Holds(e) {
		t.Error("a test after a failure fails too")
	}
}

// TestScratch checks that a comparison that needs more scratch memory than there is does not hold,
// and that many comparisons do which need it one after the other.
func TestScratch(t *testing.T) {
	e := new(Evaluator)
	e.Begin(sample(t), nil, new(Membership))
	long := "'" + strings.Repeat("x", 5000) + "'"
	once := "lcase(" + long + ") == " + long
	if !compileTest(t, once+" and "+once+" and "+once, nil).Holds(e) {
		t.Error("comparisons one after the other do not hold")
	}
	for _, text := range []string{
		"lcase(" + long + ") == ucase(" + long + ")", long + " + " + long + " == 'a'",
		"hexstring(" + long + ", " + long + ") == ''", "not (lcase(lcase(" + long + ")) == 'a')",
	} {
		if compileTest(t, text, nil).Holds(e) {
			t.Errorf("%.40s… holds", text)
		}
	}
}

func TestMistakes(t *testing.T) {
	classes := new(Classes).Scope()
	if _, err := classes.Add("phones", nil, func(*Evaluator) bool { return true }); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "line 1, column 1: is empty"},
		{"blanks", " \n ", "line 2, column 2: is empty"},
		{"a value", "option[60].hex", "line 1, column 1: is a value, and a test is asked for; compare it: option[60].hex == '…'"},
		{"a word", "optoin[60].exists", "column 1: optoin is not understood; did you mean option?"},
		{"a function", "substr('a', 0, 1) == 'a'", "column 1: there is no function substr; did you mean substring?"},
		{"an option's name", "option[host_name].exists", "column 8: host_name names no DHCPv4 option; did you mean host-name?"},
		{"an option's name, far off", "option[zzzzzz].exists", "give its code"},
		{"an option's code", "option[256].exists", "column 8: 256 is out of range"},
		{"a name of DHCPv6", "relay6[0].option[interfaceid].exists", "did you mean interface-id?"},
		{"a field", "pkt4.chaddr == 0x01", "column 6: pkt4 has no field chaddr; did you mean ciaddr?"},
		{"another field", "pkt.size == 1", "pkt has no field size"},
		{"a class", "member('phone')", "column 8: no class phone is defined before this one; did you mean phones?"},
		{"a class of hooks", "member('HA_server1')", "only hooks of Kea"},
		{"a level", "relay6[9].linkaddr == ::", "column 8: 9 is out of range"},
		{"text of no text", "option[61].text == 'a'", "column 12: the option is not text; ask for its octets with .hex"},
		{"one =", "option[60].hex = 'a'", "column 16: one = means nothing; did you mean ==?"},
		{"!=", "option[60].hex != 'a'", "there is no !=; write not (a == b)"},
		{"&&", "option[60].exists && option[61].exists", "did you mean and?"},
		{"||", "option[60].exists || option[61].exists", "did you mean or?"},
		{"!", "!option[60].exists", "did you mean not?"},
		{"double quotes", "option[60].hex == \"a\"", "text stands between single quotes"},
		{"no end of text", "option[60].hex == 'abc", "column 19: the text that begins here has no closing '"},
		{"a line in text", "option[60].hex == 'a\nb'", "line 1, column 19"},
		{"AND", "option[60].exists AND option[61].exists", "column 19: AND is not understood here; did you mean and?"},
		{"too much", "option[60].exists )", "column 19: ) is not understood here; expected and, or, == or +"},
		{"too little", "option[60].hex ==", "column 18: the end is not understood here"},
		{"a test that is compared", "option[60].exists == 'a'", "before == stands a test"},
		{"values that are joined by and", "option[60].hex and option[61].exists", "column 1: before and after and stands a value"},
		{"a chain of comparisons", "'a' == 'b' == 'c'", "column 12: a second =="},
		{"not of a value", "not option[60].hex", "after not stands a value"},
		{"an address", "pkt4.ciaddr == 192.0.2.300", "column 16: 192.0.2.300 looks like an address and is none"},
		{"a pattern", "match('(', 'a')", "column 7: error parsing regexp"},
		{"a pattern that can take for ever", `match('(a)\1', 'aa')`, "look-around and back references"},
		{"a pattern that closes more than it opens", "match('a)|(b', 'a')", "column 7"},
		{"an integer", "pkt4.htype == 4294967296", "column 15: 4294967296 is out of range"},
		{"a negative integer", "pkt4.htype == -1", "column 15: -1 is out of range"},
		{"depth", strings.Repeat("(", 100) + "'a'" + strings.Repeat(")", 100) + " == 'a'", "is nested more than 64 deep"},
		{"length", strings.Repeat(" ", MaxText+1), "an expression has at most"},
		{"a chain of sub-options", "option[1]" + strings.Repeat(".option[1]", 9) + ".exists", "more than 8 sub-options"},
		{"a stray character", "option[60].exists;", "';' has no meaning here"},
		{"column in a later line", "option[60].exists\n  and optoin[1].exists", "line 2, column 7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := CompileTest(c.text, names4(classes))
			var mistake *Error
			if !errors.As(err, &mistake) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
	if _, err := CompileValue("option[60].exists", nil); err == nil || !strings.Contains(err.Error(), "ifelse(option[60].exists") {
		t.Error(err)
	}
}

// TestVocabularyV6 checks that in dhcp6d option is of the DHCPv6 message, and that there is no
// DHCPv4 message.
func TestVocabularyV6(t *testing.T) {
	v := &Vocabulary{V6: true}
	e := new(Evaluator)
	q := sample(t)
	q.Message = nil
	e.Begin(q, nil, new(Membership))
	for _, text := range []string{
		"option[16].exists and option[vendor-class].hex == 0x00000de90003 + 'six'", "vendor-class[3561].data == 'six'",
		"vendor[3561].option[1].hex == 'ok' and option[17].option[1].hex == 'ok'", "relay6[-1].option[18].hex == 'port-7'",
		"pkt.len == pkt.len and not (pkt.len == 0)", "pkt6.msgtype == 20", "vendor.enterprise == 3561", "vendor-class[*].data[1] == ''",
	} {
		if !compileTest(t, text, v).Holds(e) {
			t.Errorf("%s does not hold", text)
		}
	}
	for _, text := range []string{"pkt4.mac == 0x01", "relay4[1].exists", "pkt6.dhcp6d == 'a'", "member('phones')", "option[host-name].exists"} {
		if _, err := CompileTest(text, v); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

// TestUnbelieved checks that expressions do not see relay levels that are not believed.
func TestUnbelieved(t *testing.T) {
	e := new(Evaluator)
	q := sample(t)
	q.Path.Believed = 1
	e.Begin(q, nil, new(Membership))
	if !compileTest(t, "relay6[-1].option[18].hex == 'trunk' and not relay6[1].option[18].exists and pkt6.relays == 1 and pkt6.client == 2001:db8::2", nil).Holds(e) {
		t.Error("a level that is not believed is seen")
	}
}

// TestEmptyQuery checks that every operand is absent if nothing is known of a query.
func TestEmptyQuery(t *testing.T) {
	e := new(Evaluator)
	e.Begin(Query{}, nil, new(Membership))
	for _, c := range holding {
		compileTest(t, c.text, names4(nil)).Holds(e)
	}
	if !compileTest(t, "pkt4.mac == '' and pkt.iface == '' and pkt.src == '' and pkt.dst == '' and relay6[0].linkaddr == '' and option[60].hex == ''", nil).Holds(e) {
		t.Error("something is there")
	}
}

func TestAllocations(t *testing.T) {
	classes := new(Classes)
	scope, remembered := classes.Scope(), new(Membership)
	if _, err := scope.Add("phones", compileTest(t, "match('Acme.*', option[60].hex)", nil), nil); err != nil {
		t.Fatal(err)
	}
	var tests []*Test
	for _, c := range holding {
		if !raceDetector || !strings.Contains(c.text, "match(") {
			tests = append(tests, compileTest(t, c.text, names4(scope)))
		}
	}
	if !raceDetector {
		tests = append(tests, compileTest(t, "member('phones')", names4(scope)))
	}
	q := sample(t)
	e := new(Evaluator)
	run := func() {
		remembered.Forget()
		e.Begin(q, classes, remembered)
		for _, test := range tests {
			if !test.Holds(e) {
				t.Fatalf("%s does not hold", test)
			}
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHolds(b *testing.B) {
	for _, text := range []string{
		"option[60].exists",
		"substring(option[60].hex, 0, 10) == 'Acme-Phone'",
		"substring(option[60].hex, 0, 10) == 'Acme-Phone' and relay6[-1].option[18].hex == 'port-7'",
		"relay6[-1].linkaddr == 2001:db8:7::1",
		"hexstring(pkt4.mac, ':') == '02:00:00:00:00:07'",
		"match('Acme-.*', option[60].hex)",
	} {
		b.Run(text, func(b *testing.B) {
			test, e := compileTest(b, text, nil), new(Evaluator)
			e.Begin(sample(b), nil, new(Membership))
			b.ReportAllocs()
			for b.Loop() {
				test.Holds(e)
			}
		})
	}
}
