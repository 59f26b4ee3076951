package outside

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden bytes anew")

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

var (
	relays = []Relay{
		{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("fe80::2"), unhex("0012 0006 706f72742d37")},
		{netip.IPv6Unspecified(), netip.MustParseAddr("fe80::1"), []byte{}},
	}
	helloOfDaemon = Hello{Daemon: "dhcp4d", Software: "1.2.3", Name: "east", Highest: 1, Timeout: 300, Points: []string{"subnet4_select"}}
	helloOfOther  = Hello{Name: "ipam", Events: NewEvents, Cursor: unhex("0000000000000007")}
	query         = Query{
		Number: 0x0102030405060708, Point: "subnet4_select", Key: []byte("port-7"),
		MessageType: 1, Message: unhex("0101060000000007"), HWType: 1, HWAddr: unhex("020000000001"), ClientID: unhex("ff00000001"),
		Subnet: 1, Interface: "eth0", Peer: "one", Source: netip.MustParseAddr("fe80::1"), Link: netip.MustParseAddr("2001:db8::1"),
		InterfaceID: []byte("port-7"), RemoteID: unhex("00000009 61"), Attachment: unhex("0102"), Relays: relays,
	}
	query6 = Query{Number: 9, Point: "pkt6_receive", Key: []byte{}, Message6: unhex("14000000"), Interface: "eth0", Source: netip.MustParseAddr("fe80::1")}
	allow  = Answer{
		Number: 0x0102030405060708, Verdict: Continue, Keep: 3600, Classes: []string{"phones", "gold"}, Address: netip.MustParseAddr("192.0.2.17"),
		Pool: "phones", LeaseTime: 600, Options: []Option{{12, []byte("phone-1")}, {66, []byte{}}},
	}
	deny  = Answer{Number: 9, Verdict: Drop, Reason: "unpaid", Keep: 60}
	event = Event{
		Cursor: unhex("0000000000000008"), Again: true, Event: "allocated", Time: 1_800_000_000_123,
		Address: netip.MustParseAddr("192.0.2.17"), Subnet: 1, State: "bound", HWType: 1, HWAddr: unhex("020000000001"), ClientID: unhex("ff00000001"),
		Attachment: unhex("0102"), RemoteID: unhex("00000009 61"), Source: netip.MustParseAddr("fe80::1"), Start: 1_800_000_000, Changed: 1_800_000_000, Expires: 1_800_000_600,
		Interface: "eth0", Relays: relays,
	}
	byOperator = Event{
		Cursor: unhex("0000000000000009"), Event: "released", Time: 1_800_000_001_000, Address: netip.MustParseAddr("192.0.2.17"), Subnet: 1,
		State: "released", By: "operator", Start: 1_800_000_000, Changed: 1_800_000_001,
	}
)

// samples are the golden records, by name.
var samples = []struct {
	name   string
	octets []byte
}{
	{"hello of a daemon", helloOfDaemon.Append(nil)},
	{"hello of a program", helloOfOther.Append(nil)},
	{"query of dhcp4d", query.Append(nil)},
	{"query of dhcp6d", query6.Append(nil)},
	{"answer that lets the query pass", allow.Append(nil)},
	{"answer that drops it", deny.Append(nil)},
	{"event by a client", event.Append(nil)},
	{"event by an operator", byOperator.Append(nil)},
	{"done", AppendDone(nil, unhex("0000000000000008"))},
	{"forget one", AppendForget(nil, []byte("port-7"))},
	{"forget all", AppendForget(nil, nil)},
}

const golden = "testdata/golden.txt"

func TestGolden(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Records as they stand on the socket: a name, and the octets. Programs in other languages test with this file.\n")
	for _, s := range samples {
		fmt.Fprintf(&b, "\n%s\n", s.name)
		for octets := s.octets; len(octets) > 0; octets = octets[min(32, len(octets)):] {
			fmt.Fprintf(&b, "%x\n", octets[:min(32, len(octets))])
		}
	}
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the layout has changed, and with it each program of an operator's; now it is\n%s", b.String())
	}
}

func TestRoundTrip(t *testing.T) {
	for _, tt := range []struct {
		name     string
		octets   []byte
		read     func(Record) any
		want     any
		kind     Kind
		numbered uint64
	}{
		{"hello of a daemon", helloOfDaemon.Append(nil), func(r Record) any { return r.Hello() }, helloOfDaemon, KindHello, 0},
		{"hello of a program", helloOfOther.Append(nil), func(r Record) any { return r.Hello() }, helloOfOther, KindHello, 0},
		{"query of dhcp4d", query.Append(nil), func(r Record) any { return r.Query() }, query, KindQuery, query.Number},
		{"query of dhcp6d", query6.Append(nil), func(r Record) any { return r.Query() }, query6, KindQuery, query6.Number},
		{"continue", allow.Append(nil), func(r Record) any { return r.Answer() }, allow, KindAnswer, allow.Number},
		{"drop", deny.Append(nil), func(r Record) any { return r.Answer() }, deny, KindAnswer, deny.Number},
		{"event by a client", event.Append(nil), func(r Record) any { return r.Event() }, event, KindEvent, 0},
		{"event by an operator", byOperator.Append(nil), func(r Record) any { return r.Event() }, byOperator, KindEvent, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, wrong := Parse(tt.octets)
			if wrong != None {
				t.Fatal(wrong)
			}
			if r.Kind != tt.kind || r.Number != tt.numbered {
				t.Errorf("kind %v, number %d", r.Kind, r.Number)
			}
			if got := tt.read(r); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("read\n%+v, was\n%+v", got, tt.want)
			}
		})
	}
}

func TestWhatIsWrong(t *testing.T) {
	whole := deny.Append(nil)
	with := func(at int, octets ...byte) []byte {
		b := bytes.Clone(whole)
		copy(b[at:], octets)
		return b
	}
	field := func(code, n byte, value ...byte) []byte {
		return End(append(append(Begin(nil, KindAnswer, 1), 0, code, 0, n), value...), 0)
	}
	for _, tt := range []struct {
		name   string
		octets []byte
		want   Wrong
	}{
		{"nothing wrong", whole, None},
		{"octets that nobody looks at", with(6, 1, 2), None},
		{"a field that is not known", field(127, 1, 0), None},
		{"a record without fields", End(Begin(nil, KindForget, 0), 0), None},
		{"a version from the future", with(4, 2), OtherVersion},
		{"a length that is too short", with(0, 0, 0, 0, 12), Malformed},
		{"no whole header", whole[:HeaderLen-1], Malformed},
		{"a field that runs past the end", field(50, 2, 1), Malformed},
		{"half the head of a field", End(append(Begin(nil, KindAnswer, 1), 0, 50, 0), 0), Malformed},
		{"an address of three octets", field(54, 3, 192, 0, 2), Malformed},
		{"a verdict of two octets", field(50, 2, 0, 1), Malformed},
		{"an option without a code", field(57, 0), Malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, got := Parse(tt.octets); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestNext(t *testing.T) {
	two := AppendForget(deny.Append(nil), nil)
	first := deny.Append(nil)
	for n := range two {
		record, whole, wrong := Next(two[:n], MaxFromProgram)
		if want := n >= len(first); whole != want || wrong != None {
			t.Fatalf("after %d octets: whole %v, %v", n, whole, wrong)
		}
		if whole && !bytes.Equal(record, first) {
			t.Fatalf("after %d octets: %x", n, record)
		}
	}
	for _, tt := range []struct {
		name   string
		octets string
		want   Wrong
	}{
		{"a length without room for a header", "0000000b", Malformed},
		{"the greatest length", "ffffffff", TooLong},
		{"one octet too many", "00000ffd", TooLong},
		{"as long as may be", "00000ffc", None},
	} {
		if _, whole, wrong := Next(unhex(tt.octets), MaxFromProgram); whole || wrong != tt.want {
			t.Errorf("%s: whole %v, %v", tt.name, whole, wrong)
		}
	}
}

func TestLongValuesAreCutOff(t *testing.T) {
	long := bytes.Repeat([]byte{1}, 1<<16)
	q := Query{Point: "pkt4_receive", Key: long, HWAddr: long, Relays: []Relay{{Options: long}}}
	r, wrong := Parse(q.Append(nil))
	if got := r.Query(); wrong != None || len(got.Key) != maxValue || len(got.HWAddr) != maxValue-1 || len(got.Relays[0].Options) != maxValue-32 {
		t.Errorf("%v, lengths %d, %d", wrong, len(got.Key), len(got.HWAddr))
	}
}

func TestNoAllocationForAQuestion(t *testing.T) {
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { buf = query.Append(buf[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// rebuilt makes a new record from the fields of a record.
func rebuilt(r Record) []byte {
	b := Begin(nil, r.Kind, r.Number)
	for code, value := range r.Fields() {
		b = AppendField(b, code, value)
	}
	return End(b, 0)
}

// FuzzParse checks that a parsed record, and the values made from it, can be written again with the
// same octets.
func FuzzParse(f *testing.F) {
	for _, s := range samples {
		f.Add(s.octets)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		record, whole, wrong := Next(b, MaxFromDaemon)
		if !whole {
			if record != nil || (wrong == None && len(b) > MaxFromDaemon) {
				t.Fatalf("not whole, %v, but there is %x", wrong, record)
			}
			return
		}
		r, wrong := Parse(record)
		if wrong != None {
			return
		}
		again := rebuilt(r)
		if record[6], record[7] = 0, 0; !bytes.Equal(again, record) {
			t.Fatalf("%x became %x", record, again)
		}
		twice := func(made []byte, read func(Record) any) {
			s, wrong := Parse(made)
			if wrong != None || !reflect.DeepEqual(read(s), read(r)) {
				t.Fatalf("%x became %x, %v", record, made, wrong)
			}
		}
		switch r.Kind {
		case KindHello:
			h := r.Hello()
			twice(h.Append(nil), func(r Record) any { h := r.Hello(); h.Cursor = bytes.Clone(h.Cursor); return h })
		case KindQuery:
			q := r.Query()
			if (q.HWType == 0) == (len(q.HWAddr) == 0) { // nothing is written of a type 0 without an address
				q = Query{Number: q.Number, Point: q.Point, Key: q.Key, Relays: q.Relays}
			}
			if s, wrong := Parse(q.Append(nil)); wrong != None || len(s.Query().Relays) != len(q.Relays) || !bytes.Equal(s.Query().Key, q.Key) {
				t.Fatalf("%x: %v", record, wrong)
			}
		case KindAnswer:
			a := r.Answer()
			twice(a.Append(nil), func(r Record) any { return r.Answer() })
		case KindEvent:
			e := r.Event()
			if s, wrong := Parse(e.Append(nil)); wrong != None || s.Event().Event != e.Event || s.Event().Expires != e.Expires {
				t.Fatalf("%x: %v", record, wrong)
			}
		}
	})
}

// TestDocumented compares docs/outside.md with the fields and with what can be wrong.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/outside.md")
	if err != nil {
		t.Fatal(err)
	}
	for code, d := range fields {
		if row := fmt.Sprintf("| %d | %s | %s |", code, d.name, d.form.name); !strings.Contains(string(page), row) {
			t.Errorf("docs/outside.md has no row that begins with %s", row)
		}
	}
	for _, w := range wrongs[1:] {
		if row := fmt.Sprintf("| `%s` | %s |", w.label, w.meaning); !strings.Contains(string(page), row) {
			t.Errorf("docs/outside.md has no row %s", row)
		}
	}
	for i := 1; i <= kindCount; i++ {
		if row := fmt.Sprintf("| %d | %v |", i, Kind(i)); !strings.Contains(string(page), row) {
			t.Errorf("docs/outside.md has no row that begins with %s", row)
		}
	}
	for hex := range blocks(string(page)) {
		record, whole, wrong := Next(hex, MaxFromDaemon)
		if _, bad := Parse(record); !whole || len(record) != len(hex) || wrong != None || bad != None {
			t.Errorf("docs/outside.md has %x, which is no record: %v %v", hex, wrong, bad)
		}
	}
}

// blocks returns the records that a page shows: indented lines that begin with hexadecimal digits.
func blocks(page string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var octets []byte
		for line := range strings.Lines(page + "\n") {
			words := strings.Fields(strings.SplitN(line, "  #", 2)[0])
			b, err := hex.DecodeString(strings.Join(words, ""))
			if strings.HasPrefix(line, "    ") && err == nil && len(b) > 0 {
				octets = append(octets, b...)
				continue
			}
			if len(octets) > 0 && !yield(octets) {
				return
			}
			octets = nil
		}
	}
}
