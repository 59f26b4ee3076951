package trace

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

func TestWhoseAPacketIs(t *testing.T) {
	options := dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte("port7"))
	options = dhcp6.AppendOption(options, dhcp6.OptRemoteID, []byte{0, 0, 0, 9, 'x'})
	inner := dhcp6.AppendRelayForward(nil, 0, netip.IPv6Unspecified(), netip.MustParseAddr("fe80::7"), options, dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{}))
	outer := dhcp6.AppendRelayForward(nil, 1, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("fe80::8"), nil, inner)
	var p dhcp6.Packet
	if why := p.Parse(outer); why != drop.None {
		t.Fatal(why)
	}
	traits := Traits{HWAddr: []byte{2, 0, 0, 0, 0, 7}, ClientID: []byte{0xff, 7}, Source: netip.MustParseAddr("2001:db8:7::7"), Chain: &p}
	prefix := netip.MustParsePrefix
	for name, tt := range map[string]struct {
		s    Subscriber
		want bool
	}{
		"hardware address":          {Subscriber{HWAddr: []byte{2, 0, 0, 0, 0, 7}}, true},
		"another hardware address":  {Subscriber{HWAddr: []byte{2, 0, 0, 0, 0, 8}}, false},
		"client identifier":         {Subscriber{ClientID: []byte{0xff, 7}}, true},
		"another client identifier": {Subscriber{ClientID: []byte{0xff}}, false},
		"source":                    {Subscriber{Source: prefix("2001:db8:7::7/128")}, true},
		"prefix":                    {Subscriber{Source: prefix("2001:db8:7::/64")}, true},
		"another prefix":            {Subscriber{Source: prefix("2001:db8:8::/64")}, false},
		"address behind a relay":    {Subscriber{Source: prefix("fe80::7/128")}, true},
		"Interface-Id of a relay":   {Subscriber{InterfaceID: []byte("port7")}, true},
		"another Interface-Id":      {Subscriber{InterfaceID: []byte("port8")}, false},
		"Remote-Id":                 {Subscriber{RemoteID: []byte{0, 0, 0, 9, 'x'}}, true},
		"another Remote-Id":         {Subscriber{RemoteID: []byte{0, 0, 0, 9, 'y'}}, false},
		"one of two is another's":   {Subscriber{HWAddr: []byte{2, 0, 0, 0, 0, 7}, InterfaceID: []byte("port8")}, false},
		"both of two":               {Subscriber{HWAddr: []byte{2, 0, 0, 0, 0, 7}, InterfaceID: []byte("port7")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.s.is(&traits); got != tt.want {
				t.Error(got)
			}
		})
	}
	if unknown := (Subscriber{InterfaceID: []byte("port7")}); unknown.is(&Traits{HWAddr: traits.HWAddr}) {
		t.Error("what is not known fits")
	}
}

func TestAWatchThatNobodyReadsIsBounded(t *testing.T) {
	var h Hub
	w, err := h.Watch(Subscriber{HWAddr: []byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_700_000_000, 0)
	for i := range 1000 {
		now := at.Add(time.Duration(i) * time.Second)
		h.On().Of(&Traits{HWAddr: []byte{1}}, now).Send(&Record{Time: now})
	}
	if n := len(w.Records()); n != queue {
		t.Errorf("%d records wait", n)
	}
	late := at.Add(2000 * time.Second)
	if n := testing.AllocsPerRun(100, func() { h.On().Of(&Traits{HWAddr: []byte{1}}, late) }); n != 0 {
		t.Errorf("a packet that is lost allocates %v times", n)
	}
	for range queue {
		<-w.Records()
	}
	h.On().Of(&Traits{HWAddr: []byte{1}}, at).Send(&Record{Time: at})
	if r := <-w.Records(); r.Lost != 1000-queue+101 {
		t.Errorf("%d are said to be lost", r.Lost)
	}
}

func TestARateIsKept(t *testing.T) {
	var h Hub
	w, _ := h.Watch(Subscriber{HWAddr: []byte{1}})
	at := time.Unix(1_700_000_000, 0)
	for range 1000 {
		h.On().Of(&Traits{HWAddr: []byte{1}}, at).Send(&Record{Time: at})
	}
	if n := len(w.Records()); n != rate {
		t.Errorf("%d records in a second", n)
	}
}

func TestWatchesAreFewAndEnd(t *testing.T) {
	var h Hub
	var open []*Watch
	for range MaxWatches {
		w, err := h.Watch(Subscriber{})
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, w)
	}
	if _, err := h.Watch(Subscriber{}); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	for _, w := range open {
		w.Close()
	}
	if h.On() != nil {
		t.Error("watches are left")
	}
}

func TestNothingIsDoneWhileNobodyWatches(t *testing.T) {
	var h Hub
	var none *Hub
	if n := testing.AllocsPerRun(100, func() {
		if h.On() != nil || none.On() != nil {
			t.Error("on")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// An answer that does not tell its subscriber is the one's whose query was the same exchange.
func TestAnAnswerIsItsQuerys(t *testing.T) {
	var h Hub
	w, _ := h.Watch(Subscriber{Source: netip.MustParsePrefix("2001:db8:7::/64")})
	at := time.Unix(1_700_000_000, 0)
	mine, others := netip.MustParseAddr("2001:db8:7::1"), netip.MustParseAddr("2001:db8:8::1")
	ask := func(traits Traits) bool {
		following := h.On().Of(&traits, at)
		following.Send(&Record{Time: at})
		return following != nil
	}
	for _, c := range []struct {
		name   string
		traits Traits
		want   bool
	}{
		{"an answer before its query", Traits{Answer: true, Xid: 7, HWAddr: []byte{1}}, false},
		{"the query", Traits{Source: mine, Xid: 7, HWAddr: []byte{1}}, true},
		{"its answer", Traits{Answer: true, Xid: 7, HWAddr: []byte{1}}, true},
		{"another exchange of the client", Traits{Answer: true, Xid: 8, HWAddr: []byte{1}}, false},
		{"another client with the same xid", Traits{Answer: true, Xid: 7, HWAddr: []byte{2}}, false},
		{"another's query with the same xid", Traits{Source: others, Xid: 7, HWAddr: []byte{1}}, false},
	} {
		if got := ask(c.traits); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	for len(w.Records()) > 0 {
		<-w.Records()
	}
	for i := range uint32(remembered) {
		at = at.Add(time.Second / 10) // within the rate
		ask(Traits{Source: mine, Xid: 100 + i, HWAddr: []byte{1}})
		<-w.Records()
	}
	if ask(Traits{Answer: true, Xid: 7, HWAddr: []byte{1}}) || !ask(Traits{Answer: true, Xid: 100, HWAddr: []byte{1}}) {
		t.Error("the oldest exchange is not the one that is forgotten")
	}
	w.Close()
	if len(h.queries.watches) != 0 {
		t.Errorf("%d exchanges of a watch that has ended are remembered", len(h.queries.watches))
	}
}

// A hundred readers follow a subscriber each, and read or do not; each gets what it follows.
func TestAHundredWatchesEachFollowTheirOwn(t *testing.T) {
	var h Hub
	at := time.Unix(1_700_000_000, 0)
	subscriber := func(i int) []byte { return []byte{2, 0, 0, 0, 0, byte(i)} }
	var open []*Watch
	for i := range 100 {
		of := []Subscriber{
			{HWAddr: subscriber(i)}, {ClientID: subscriber(i)}, {InterfaceID: subscriber(i)}, {RemoteID: subscriber(i)},
			{Source: netip.PrefixFrom(netip.AddrFrom16([16]byte{15: byte(i)}), 128)},
		}[i%5]
		w, err := h.Watch(of)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, w)
	}
	for i := range 100 {
		var options []byte
		options = dhcp6.AppendOption(options, dhcp6.OptInterfaceID, subscriber(i))
		options = dhcp6.AppendOption(options, dhcp6.OptRemoteID, subscriber(i))
		chain := dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{})
		for hop := range uint8(2) { // both levels say the same
			chain = dhcp6.AppendRelayForward(nil, hop, netip.IPv6Unspecified(), netip.MustParseAddr("fe80::7"), options, chain)
		}
		var p dhcp6.Packet
		if why := p.Parse(chain); why != drop.None {
			t.Fatal(why)
		}
		traits := Traits{
			HWAddr: subscriber(i), ClientID: subscriber(i), Chain: &p, Xid: uint32(i),
			Source: netip.AddrFrom16([16]byte{15: byte(i)}),
		}
		h.On().Of(&traits, at).Send(&Record{Time: at, Exchange: "query"})
		answer := Traits{Answer: true, HWAddr: subscriber(i), Xid: uint32(i)}
		h.On().Of(&answer, at).Send(&Record{Time: at, Exchange: "answer"})
	}
	for i, w := range open {
		if n := len(w.Records()); n != 2 {
			t.Errorf("watch %d has %d records, want a query and its answer", i, n)
		}
	}
	for i := range 1000 * len(open) {
		now := at.Add(time.Duration(i) * time.Millisecond)
		h.On().Of(&Traits{HWAddr: subscriber(i % 100)}, now).Send(&Record{Time: now})
	}
	waiting := 0
	for _, w := range open {
		waiting += len(w.Records())
	}
	if waiting > allQueues {
		t.Errorf("%d records wait, more than %d", waiting, allQueues)
	}
}

// What all watches take of the rate is bounded, and leaves each a part of its own.
func TestTheRateOfAllWatchesIsShared(t *testing.T) {
	var h Hub
	at := time.Unix(1_700_000_000, 0)
	var open []*Watch
	for i := range 100 {
		w, _ := h.Watch(Subscriber{HWAddr: []byte{byte(i)}})
		open = append(open, w)
	}
	got := make([]int, len(open))
	for i := range rate * len(open) {
		traits := Traits{HWAddr: []byte{byte(i / rate)}} // one watch after the other
		h.On().Of(&traits, at).Send(&Record{Time: at})
		for k, w := range open {
			for len(w.Records()) > 0 {
				<-w.Records()
				got[k]++
			}
		}
	}
	sum := 0
	for k, n := range got {
		if sum += n; n < allRate/len(open) || n > rate {
			t.Errorf("watch %d got %d records in a second", k, n)
		}
	}
	if sum > 2*allRate {
		t.Errorf("%d records in a second", sum)
	}
}

// A hundred watches of one subscriber that nobody reads are left alone for a while, and each says
// how many records it has lost.
func TestWatchesWithoutRoomPause(t *testing.T) {
	var h Hub
	at := time.Unix(1_700_000_000, 0)
	all := netip.MustParsePrefix("::/0")
	var open []*Watch
	for range 100 {
		w, _ := h.Watch(Subscriber{Source: all})
		open = append(open, w)
	}
	traits := Traits{Source: netip.IPv6LinkLocalAllNodes()}
	packet := func() { h.On().Of(&traits, at).Send(&Record{Time: at}) }
	for range 1000 {
		packet()
	}
	late, _ := h.Watch(Subscriber{Source: all})
	open = append(open, late)
	kept := len(open[0].Records())
	for range kept {
		<-open[0].Records()
	}
	packet()
	if n := len(open[0].Records()); n != 0 {
		t.Error("there is no pause")
	}
	at = at.Add(time.Second)
	packet()
	if r := <-open[0].Records(); r.Lost != 1001-kept {
		t.Errorf("%d are said to be lost, want %d", r.Lost, 1001-kept)
	}
	if r := <-late.Records(); r.Lost != 1 {
		t.Errorf("the one that came late is said to have lost %d", r.Lost)
	}
}
