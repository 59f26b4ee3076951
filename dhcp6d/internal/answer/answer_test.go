package answer_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

var (
	ours      = []byte{0, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	theirs    = []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 9}
	client    = []byte{0, 1, 0, 1, 9, 9, 9, 9, 2, 0, 0, 0, 0, 1}
	multicast = netip.MustParseAddr("ff02::1:2")
	unicast   = netip.MustParseAddr("2001:db8::547")
)

func full() answer.Options {
	return answer.Options{
		Offer4o6: true, Servers4o6: []netip.Addr{unicast, multicast},
		DNSServers:   []netip.Addr{netip.MustParseAddr("2001:db8::53")},
		DomainSearch: []string{"example.org", "lan."},
		NTP: []answer.NTPServer{
			{Unicast: netip.MustParseAddr("2001:db8::123")}, {Multicast: netip.MustParseAddr("ff05::101")}, {Name: "ntp.example.org"},
		},
		RefreshTime: 3600, SolMaxRT: 7200, InfMaxRT: 86400,
		Others: []answer.Option{
			{Code: 59, Data: []byte("tftp://x")},
			{Code: 17, Data: []byte{0, 0, 9, 0xbf, 0, 1, 0, 1, 7}}, {Code: 17, Data: []byte{0, 0, 0, 1, 0, 1, 0, 0}},
		},
	}
}

// option is one option of a test message.
type option struct {
	code dhcp6.Code
	data []byte
}

func oro(codes ...uint16) option {
	var b []byte
	for _, c := range codes {
		b = binary.BigEndian.AppendUint16(b, c)
	}
	return option{dhcp6.OptORO, b}
}

func message(t dhcp6.Type, options ...option) []byte {
	b := dhcp6.AppendMessage(nil, t, [3]byte{0xab, 0xcd, 0xef})
	for _, o := range options {
		b = dhcp6.AppendOption(b, o.code, o.data)
	}
	return b
}

func relay(b []byte, options ...option) []byte {
	var own []byte
	for _, o := range options {
		own = dhcp6.AppendOption(own, o.code, o.data)
	}
	return dhcp6.AppendRelayForward(nil, 0, unicast, netip.MustParseAddr("fe80::7"), own, b)
}

func parse(t testing.TB, b []byte) *dhcp6.Packet {
	t.Helper()
	p := new(dhcp6.Packet)
	if why := p.Parse(b); why != drop.None {
		t.Fatal(why)
	}
	return p
}

func TestValidate(t *testing.T) {
	id := func(b []byte) option { return option{dhcp6.OptClientID, b} }
	server := func(b []byte) option { return option{dhcp6.OptServerID, b} }
	inform := func(os ...option) []byte { return message(dhcp6.InformationRequest, os...) }
	query := func(os ...option) []byte { return message(dhcp6.DHCPv4Query, os...) }
	tests := []struct {
		name  string
		data  []byte
		local netip.Addr
		why   drop.Reason
	}{
		{"D6-9 Information-request without any identifier passes", inform(), multicast, drop.None},
		{"D6-9 Information-request with client identifier passes", inform(id(client)), multicast, drop.None},
		{"D6-9 Information-request with our identifier passes", inform(id(client), server(ours)), multicast, drop.None},
		{"D6-9 Information-request for another server", inform(server(theirs)), multicast, drop.ForeignServer},
		{"D6-9 Information-request with IA_NA", inform(option{dhcp6.OptIANA, make([]byte, 12)}), multicast, drop.ForbiddenOption},
		{"D6-9 Information-request with IA_TA", inform(option{dhcp6.OptIATA, make([]byte, 4)}), multicast, drop.ForbiddenOption},
		{"D6-9 Information-request with IA_PD", inform(option{dhcp6.OptIAPD, make([]byte, 12)}), multicast, drop.ForbiddenOption},
		{"D6-9 query with our identifier passes", query(server(ours)), unicast, drop.None},
		{"Q-2 a query that names another server passes", query(server(theirs)), multicast, drop.None},
		{"D6-3 two client identifiers", inform(id(client), id(client)), multicast, drop.Identifier},
		{"D6-3 two server identifiers", inform(server(ours), server(ours)), multicast, drop.Identifier},
		{"Q-2 a query with two client identifiers passes", query(id(client), id(client)), multicast, drop.None},
		{"Q-2 a query with an empty client identifier passes", query(id(nil)), multicast, drop.None},
		{"Q-2 a query with one of 2 octets passes", query(id(client[:2])), multicast, drop.None},
		{"Q-2 a query with one of 131 octets passes", query(id(make([]byte, 131))), multicast, drop.None},
		{"Q-2 a query with two server identifiers passes", query(server(theirs), server(ours)), multicast, drop.None},
		{"Q-2 a query with an IA, a broken one and an Option Request of odd length passes", query(option{dhcp6.OptIANA, make([]byte, 12)}, option{dhcp6.OptIAPD, nil}, option{dhcp6.OptORO, []byte{0, 88, 0}}), unicast, drop.None},
		{"Q-2 also by a relay", relay(query(id(nil), server(theirs))), unicast, drop.None},
		{"D6-7 an Information-request with a server identifier of 2 octets", inform(server(ours[:2])), multicast, drop.Identifier},
		{"D6-4 unknown options pass", inform(option{999, []byte{1}}, option{dhcp6.OptVendorOpts, []byte{1, 2, 3, 4}}), multicast, drop.None},
		{"D6-7 client identifier of 2 octets", inform(id(client[:2])), multicast, drop.Identifier},
		{"D6-7 client identifier of 3 octets passes", inform(id(client[:3])), multicast, drop.None},
		{"D6-7 client identifier of 130 octets passes", inform(id(make([]byte, 130))), multicast, drop.None},
		{"D6-7 client identifier of 131 octets", inform(id(make([]byte, 131))), multicast, drop.Identifier},
		{"Q-2 a query with a server identifier of 2 octets passes", query(server(ours[:2])), multicast, drop.None},
		{"D6-10 Advertise", message(dhcp6.Advertise), multicast, drop.ServerMessage},
		{"D6-10 Reply", message(dhcp6.Reply), multicast, drop.ServerMessage},
		{"D6-10 Reconfigure", message(dhcp6.Reconfigure), multicast, drop.ServerMessage},
		{"Q-30 DHCPV4-RESPONSE", message(dhcp6.DHCPv4Response), multicast, drop.ServerMessage},
		{"Q-30 DHCPV4-RESPONSE by a relay", relay(message(dhcp6.DHCPv4Response)), unicast, drop.ServerMessage},
		{"Q-21 type 99", message(99), multicast, drop.UnknownType},
		{"Q-21 type 99 by a relay", relay(message(99)), unicast, drop.UnknownType},
		{"Q-7 option 87 in an Information-request means nothing", inform(option{dhcp6.OptDHCPv4Msg, make([]byte, 3)}), multicast, drop.None},
		{"D6-11 unicast Information-request", inform(), unicast, drop.UnicastForbidden},
		{"D6-11 relayed Information-request passes", relay(inform()), unicast, drop.None},
		{"D6-11 unicast Solicit", message(dhcp6.Solicit, id(client)), unicast, drop.AddressAssignment},
		{"Q-31 unicast query passes", query(), unicast, drop.None},
		{"Solicit", message(dhcp6.Solicit, id(client)), multicast, drop.AddressAssignment},
		{"Request", message(dhcp6.Request), multicast, drop.AddressAssignment},
		{"Confirm", message(dhcp6.Confirm), multicast, drop.AddressAssignment},
		{"Renew", message(dhcp6.Renew), multicast, drop.AddressAssignment},
		{"Rebind", message(dhcp6.Rebind), multicast, drop.AddressAssignment},
		{"Release", message(dhcp6.Release), multicast, drop.AddressAssignment},
		{"Decline by a relay", relay(message(dhcp6.Decline)), unicast, drop.AddressAssignment},
		{"Option Request of odd length", inform(option{dhcp6.OptORO, []byte{0, 88, 0}}), multicast, drop.Malformed},
		{"D6-28 Option Request with codes that do not belong there passes", inform(oro(1, 3, 13, 88)), multicast, drop.None},
	}
	s := answer.New(ours, full())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if why := s.Validate(parse(t, tt.data), tt.local); why != tt.why {
				t.Errorf("reason %v, want %v", why, tt.why)
			}
		})
	}
}

// reply sends a message and returns the answer as an object.
func reply(t *testing.T, s *answer.Server, data []byte) *dhcpv6.Message {
	t.Helper()
	b, why := s.Append([]byte("before"), parse(t, data), nil)
	if why != drop.None || !bytes.HasPrefix(b, []byte("before")) {
		t.Fatalf("reason %v, %q", why, b)
	}
	m, err := dhcpv6.MessageFromBytes(b[len("before"):])
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func codes(os dhcpv6.Options) (cs []uint16) {
	for _, o := range os {
		cs = append(cs, uint16(o.Code()))
	}
	return cs
}

func TestReply(t *testing.T) {
	s := answer.New(ours, full())
	tests := []struct {
		name  string
		asks  []option
		codes []uint16
	}{
		{"D6-12 identifiers of both come first", []option{{dhcp6.OptClientID, client}, oro(88)}, []uint16{1, 2, 88}},
		{"D6-31 without client identifier there is none", []option{oro(88)}, []uint16{2, 88}},
		{"D6-27 only what is asked for, ascending", []option{oro(83, 23, 59)}, []uint16{2, 23, 59, 83}},
		{"D6-27 everything offered", []option{oro(88, 83, 82, 59, 56, 32, 24, 23, 17)}, []uint16{2, 17, 17, 23, 24, 32, 56, 59, 82, 83, 88}},
		{"D6-27 what is not offered is left out", []option{oro(31, 88, 94)}, []uint16{2, 88}},
		{"D6-28 codes that do not belong there are skipped", []option{oro(1, 2, 3, 13, 20, 88)}, []uint16{2, 88}},
		{"D6-29 maximum times only on request", []option{oro(82)}, []uint16{2, 82}},
		{"D6-30 one vendor option for each enterprise", []option{oro(17)}, []uint16{2, 17, 17}},
		{"D6-32 refresh time on request", []option{oro(32)}, []uint16{2, 32}},
		{"D6-3 of two Option Requests the first counts", []option{oro(23), oro(88)}, []uint16{2, 23}},
		{"D6-2 the order of options does not matter", []option{oro(88), {dhcp6.OptClientID, client}}, []uint16{1, 2, 88}},
		{"a code asked for twice is answered once", []option{oro(88, 88)}, []uint16{2, 88}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := reply(t, s, message(dhcp6.InformationRequest, tt.asks...))
			if m.MessageType != dhcpv6.MessageTypeReply || m.TransactionID != [3]byte{0xab, 0xcd, 0xef} {
				t.Errorf("D6-12: %v", m)
			}
			if got := codes(m.Options.Options); !slices.Equal(got, tt.codes) {
				t.Errorf("options %v, want %v", got, tt.codes)
			}
			if !bytes.Equal(m.Options.ServerID().ToBytes(), ours) {
				t.Errorf("server identifier %v", m.Options.ServerID())
			}
		})
	}
}

// An independent codec reads what we wrote.
func TestContents(t *testing.T) {
	m := reply(t, answer.New(ours, full()), message(dhcp6.InformationRequest, option{dhcp6.OptClientID, client}, oro(23, 24, 32, 56, 88)))
	os := m.Options
	if !bytes.Equal(os.ClientID().ToBytes(), client) {
		t.Errorf("D6-12 client identifier %v", os.ClientID())
	}
	if dns := os.DNS(); len(dns) != 1 || dns[0].String() != "2001:db8::53" {
		t.Errorf("DNS servers %v", dns)
	}
	if d := os.DomainSearchList(); d == nil || !slices.Equal(d.Labels, []string{"example.org", "lan"}) {
		t.Errorf("search list %v", d)
	}
	if r := os.InformationRefreshTime(0); r != time.Hour {
		t.Errorf("refresh time %v", r)
	}
	if a := os.DHCP4oDHCP6Server(); a == nil || len(a.DHCP4oDHCP6Servers) != 2 || a.DHCP4oDHCP6Servers[1].String() != "ff02::1:2" {
		t.Errorf("Q-11 option 88: %v", a)
	}
	var kinds []uint16
	for _, o := range os.Get(dhcpv6.OptionNTPServer) {
		for _, sub := range o.(*dhcpv6.OptNTPServer).Suboptions {
			kinds = append(kinds, uint16(sub.Code()))
		}
	}
	if !slices.Equal(kinds, []uint16{1, 2, 3}) {
		t.Errorf("NTP suboptions %v", kinds)
	}
}

func TestOption88(t *testing.T) {
	ask := message(dhcp6.InformationRequest, oro(88))
	tests := []struct {
		name    string
		options answer.Options
		want    []byte // the whole option; nil for no answer
	}{
		{"Q-35 not offered without configuration", answer.Options{}, nil},
		{"Q-11 multicast", answer.Options{Offer4o6: true, Servers4o6: []netip.Addr{multicast}},
			[]byte{0, 88, 0, 16, 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2}},
		{"Q-9 Q-11 empty", answer.Options{Offer4o6: true}, []byte{0, 88, 0, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, why := answer.New(ours, tt.options).Append(nil, parse(t, ask), nil)
			if why != drop.None || (len(b) == 0) != (tt.want == nil) || !bytes.HasSuffix(b, tt.want) {
				t.Errorf("answer %x, %v", b, why)
			}
		})
	}
}

func TestSilence(t *testing.T) {
	s := answer.New(ours, answer.Options{Offer4o6: true})
	for name, data := range map[string][]byte{
		"no Option Request":        message(dhcp6.InformationRequest),
		"an empty one":             message(dhcp6.InformationRequest, oro()),
		"Q-11 88 is not asked for": message(dhcp6.InformationRequest, oro(23, 24)),
		"times, as all clients do, and nothing else of what is asked for": message(dhcp6.InformationRequest, oro(94, 32, 82, 83)),
		"nothing of what is asked for":                                    message(dhcp6.InformationRequest, option{dhcp6.OptClientID, client}, oro(94)),
		"the same through a relay":                                        relay(message(dhcp6.InformationRequest, oro(94)), option{dhcp6.OptInterfaceID, []byte("x")}),
		"D6-38 reconfiguration accepted":                                  message(dhcp6.InformationRequest, oro(20), option{dhcp6.OptReconfAccept, nil}),
	} {
		if b, why := s.Append(nil, parse(t, data), nil); len(b) != 0 || why != drop.None {
			t.Errorf("%s: %x, %v", name, b, why)
		}
	}
}

func TestD6_41_OnlyServerAlwaysReplies(t *testing.T) {
	s := answer.New(ours, answer.Options{Offer4o6: true, InfMaxRT: 3600, OnlyServer: true})
	for name, tt := range map[string]struct {
		data []byte
		want []dhcp6.Code // beside our identifier
	}{
		"no Option Request":            {message(dhcp6.InformationRequest), nil},
		"nothing of what is asked for": {message(dhcp6.InformationRequest, option{dhcp6.OptClientID, client}, oro(94)), []dhcp6.Code{dhcp6.OptClientID}},
		"times and nothing else":       {message(dhcp6.InformationRequest, oro(94, 83)), []dhcp6.Code{dhcp6.OptInfMaxRT}},
		"what we have":                 {message(dhcp6.InformationRequest, oro(94, 88)), []dhcp6.Code{dhcp6.Opt4o6Server}},
	} {
		b, why := s.Append(nil, parse(t, tt.data), nil)
		if why != drop.None || len(b) < 4 || b[0] != byte(dhcp6.Reply) {
			t.Errorf("%s: %x, %v", name, b, why)
			continue
		}
		var got []dhcp6.Code
		for code := range dhcp6.Options(b[4:]) {
			if code != dhcp6.OptServerID {
				got = append(got, code)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: options %v, want %v", name, got, tt.want)
		}
	}
}

func TestSW_1_Additions(t *testing.T) {
	s := answer.New(ours, answer.Options{Offer4o6: true, DNSServers: []netip.Addr{unicast}})
	more := answer.NewAdditions([]answer.Option{{Code: 111, Data: []byte{0, 94}}, {Code: 94, Data: []byte{2}}, {Code: 94, Data: []byte{1}}, {Code: 88, Data: []byte{7}}}, nil)
	for name, c := range map[string]struct {
		asks option
		want []byte // behind the identifier; nil: no Reply
	}{
		"only what is asked for":              {oro(94), []byte{0, 94, 0, 1, 2, 0, 94, 0, 1, 1}},
		"an addition replaces the same code":  {oro(88), []byte{0, 88, 0, 1, 7}},
		"all, ascending":                      {oro(111, 94, 88), []byte{0, 88, 0, 1, 7, 0, 94, 0, 1, 2, 0, 94, 0, 1, 1, 0, 111, 0, 2, 0, 94}},
		"an order is no reason to answer":     {oro(111, 95), nil},
		"nothing of what is asked for":        {oro(95, 89, 93), nil},
		"suboptions are not asked for (CT-2)": {oro(89, 90, 91, 92, 93), nil},
	} {
		b, why := s.Append(nil, parse(t, message(dhcp6.InformationRequest, c.asks)), more)
		if why != drop.None || (len(b) == 0) != (c.want == nil) || !bytes.HasSuffix(b, c.want) || (c.want != nil && len(b) != 4+4+len(ours)+len(c.want)) {
			t.Errorf("%s: %x, %v, want %x", name, b, why, c.want)
		}
	}
}

// TestSW_7WhatStandsBesideADHCPv4Message: border relays and the bind prefix, if the query asks for
// them, and nothing else that is offered.
func TestSW_7WhatStandsBesideADHCPv4Message(t *testing.T) {
	prefix := answer.Option{Code: 137, Data: []byte{32, 0x20, 1, 0xd, 0xb8}}
	relayOf := func(last byte) answer.Option {
		return answer.Option{Code: 90, Data: append(make([]byte, 15), last)}
	}
	s := answer.New(ours, answer.Options{Offer4o6: true, Others: []answer.Option{relayOf(9), prefix}})
	more := answer.NewAdditions([]answer.Option{relayOf(1), {Code: 94, Data: []byte{2}}, relayOf(2)}, nil)
	if !more.Beside() || answer.NewAdditions([]answer.Option{{Code: 94}}, nil).Beside() {
		t.Error("additions do not know what stands beside a DHCPv4 message")
	}
	zeros := string(make([]byte, 15))
	relays, bind := "\x00\x5a\x00\x10"+zeros+"\x01\x00\x5a\x00\x10"+zeros+"\x02", "\x00\x89\x00\x05\x20\x20\x01\x0d\xb8"
	for name, c := range map[string]struct {
		m    []byte
		more *answer.Additions
		want string
	}{
		"both":                    {message(dhcp6.DHCPv4Query, oro(90, 88, 94, 137)), more, relays + bind},
		"only border relays":      {message(dhcp6.DHCPv4Query, oro(90)), more, relays},
		"those of the link alone": {message(dhcp6.DHCPv4Query, oro(90, 137)), nil, "\x00\x5a\x00\x10" + zeros + "\x09" + bind},
		"other codes":             {message(dhcp6.DHCPv4Query, oro(88, 94)), more, ""},
		"no Option Request":       {message(dhcp6.DHCPv4Query), more, ""},
	} {
		if got := s.AppendBeside(nil, parse(t, c.m).Message(), c.more); string(got) != c.want {
			t.Errorf("%s: %x, want %x", name, got, c.want)
		}
	}
	if got := answer.New(ours, answer.Options{Offer4o6: true}).AppendBeside(nil, parse(t, message(dhcp6.DHCPv4Query, oro(88, 90))).Message(), nil); len(got) != 0 {
		t.Errorf("%x where nothing is offered", got)
	}
	var many []answer.Option
	for i := range 13 {
		many = append(many, relayOf(byte(i)))
	}
	const tooMany = "options 90 and 137 of 260 octets do not fit beside a DHCPv4 message, at most 256 do"
	if err := (answer.Options{Others: many}).Check(); err == nil || !strings.Contains(err.Error(), tooMany) {
		t.Errorf("13 border relays: %v", err)
	}
	if err := (answer.Options{Others: many[1:]}).Check(); err != nil {
		t.Errorf("12 border relays: %v", err)
	}
}

func TestRL7_RelayedReply(t *testing.T) {
	s := answer.New(ours, full())
	inner := relay(message(dhcp6.InformationRequest, oro(88)),
		option{dhcp6.OptInterfaceID, []byte("port-7")}, option{dhcp6.OptRemoteID, []byte{0, 0, 0, 1, 5}}, option{dhcp6.OptSubscriberID, []byte("s")},
		option{dhcp6.OptERO, []byte{0, 38}})
	b, why := s.Append(nil, parse(t, relay(inner, option{dhcp6.OptRelayPort, []byte{0, 0}})), nil)
	if why != drop.None {
		t.Fatal(why)
	}
	d, err := dhcpv6.FromBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	outer := d.(*dhcpv6.RelayMessage)
	if outer.MessageType != dhcpv6.MessageTypeRelayReply || !slices.Equal(codes(outer.Options.Options), []uint16{135, 9}) {
		t.Errorf("RL-8 RL-9 RL-12 outer level: %v", outer)
	}
	level := outer.Options.RelayMessage().(*dhcpv6.RelayMessage)
	if got := codes(level.Options.Options); !slices.Equal(got, []uint16{18, 38, 9}) {
		t.Errorf("RL-9 RL-10 RL-11 RL-12 inner level: %v", got)
	}
	m, err := d.GetInnerMessage()
	if err != nil || !slices.Equal(codes(m.Options.Options), []uint16{2, 88}) {
		t.Errorf("RL-7 D6-31 message: %v, %v", m, err)
	}
}

func TestCheck(t *testing.T) {
	if err := full().Check(); err != nil {
		t.Error(err)
	}
	var many answer.Options
	for c := range uint16(65) {
		many.Others = append(many.Others, answer.Option{Code: 200 + c})
	}
	if many.Check() == nil {
		t.Error("more codes than fit are taken")
	}
}

func TestNoAllocationPerAnswer(t *testing.T) {
	s, p := answer.New(ours, full()), parse(t, relay(message(dhcp6.InformationRequest, option{dhcp6.OptClientID, client}, oro(88, 23, 24, 32))))
	buf := make([]byte, 0, 1500)
	if n := testing.AllocsPerRun(100, func() {
		if s.Validate(p, multicast) != drop.None {
			t.Fatal("not valid")
		}
		if b, _ := s.Append(buf, p, nil); len(b) == 0 {
			t.Fatal("no answer")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	s, p := answer.New(ours, full()), parse(b, message(dhcp6.InformationRequest, option{dhcp6.OptClientID, client}, oro(88, 23, 24, 32)))
	buf := make([]byte, 0, 1500)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.Append(buf, p, nil)
	}
}

// Whatever a client sends, the answer is well-formed or absent.
func FuzzAppend(f *testing.F) {
	f.Add(message(dhcp6.InformationRequest, oro(88, 23)))
	f.Add(message(dhcp6.InformationRequest, option{dhcp6.OptClientID, client}, oro(17, 88)))
	f.Add(relay(relay(message(dhcp6.InformationRequest, oro(88))), option{dhcp6.OptInterfaceID, []byte("x")}, option{dhcp6.OptERO, []byte{0, 18, 0, 37}}))
	s := answer.New(ours, full())
	f.Fuzz(func(t *testing.T, data []byte) {
		var p dhcp6.Packet
		if p.Parse(data) != drop.None || s.Validate(&p, multicast) != drop.None || p.Message().Type() != dhcp6.InformationRequest {
			return
		}
		b, why := s.Append(nil, &p, nil)
		if why != drop.None || len(b) == 0 {
			if len(b) != 0 {
				t.Errorf("an answer and a reason %v", why)
			}
			return
		}
		var answer dhcp6.Packet
		if why := answer.ParseReply(b); why != drop.None {
			t.Fatalf("%x is answered by %x: %v", data, b, why)
		}
		if answer.Relays() != p.Relays() || answer.Message().Type() != dhcp6.Reply || answer.Message().TransactionID() != p.Message().TransactionID() {
			t.Errorf("%x is answered by %x", data, b)
		}
	})
}
