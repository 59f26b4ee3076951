package load

import (
	"bytes"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/relay"
)

// A responder is a server with two addresses' worth of state: it gives client n
// the address 10.0.0.n+1 and commits a fault once, if it is told to.
type responder struct {
	t      *testing.T
	spoil  func(m *dhcpv4.DHCPv4)       // the DHCPv4 reply
	mangle func(datagram []byte) []byte // what is sent
	on     dhcpv4.MessageType           // of the query that gets it
}

func (r *responder) answer(query []byte) []byte {
	payload, ok := relay.Payload(query)
	if !ok {
		r.t.Fatalf("not exactly one option 87 in %x", query)
	}
	m, err := dhcpv4.FromBytes(payload)
	if err != nil {
		r.t.Fatal(err)
	}
	kind := map[dhcpv4.MessageType]dhcpv4.MessageType{dhcpv4.MessageTypeDiscover: dhcpv4.MessageTypeOffer,
		dhcpv4.MessageTypeRequest: dhcpv4.MessageTypeAck}[m.MessageType()]
	if kind == 0 {
		return nil
	}
	reply, err := dhcpv4.NewReplyFromRequest(m, dhcpv4.WithMessageType(kind), dhcpv4.WithLeaseTime(3600),
		dhcpv4.WithYourIP(net.IPv4(10, 0, m.ClientHWAddr[4], m.ClientHWAddr[5]+1)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 0, 1))))
	if err != nil {
		r.t.Fatal(err)
	}
	reply.UpdateOption(dhcpv4.OptClientIdentifier(m.Options.Get(dhcpv4.OptionClientIdentifier)))
	at := r.on == m.MessageType()
	if at && r.spoil != nil {
		r.spoil(reply)
		r.spoil = nil
	}
	out := dhcpv6.Message{MessageType: dhcpv6.MessageTypeDHCPv4Response}
	out.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionDHCPv4Msg, OptionData: reply.ToBytes()})
	b := r.wrap(query, out.ToBytes())
	if at && r.mangle != nil {
		b = r.mangle(b)
		r.mangle = nil
	}
	return b
}

// wrap mirrors the relay levels of a query.
func (r *responder) wrap(query, message []byte) []byte {
	if query[0] != typeRelayForward {
		return message
	}
	level, err := relay.ParseLevel(query)
	if err != nil {
		r.t.Fatal(err)
	}
	m := dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayReply, HopCount: level.HopCount,
		LinkAddr: level.LinkAddress.AsSlice(), PeerAddr: level.PeerAddress.AsSlice()}
	m.AddOption(level.Options.GetOne(dhcpv6.OptionInterfaceID))
	m.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRelayMsg, OptionData: r.wrap(level.Message, message)})
	return m.ToBytes()
}

// play runs an engine against the responder until all exchanges ended.
func play(t *testing.T, c Config, r *responder) Report {
	t.Helper()
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(c)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	e.begin(now)
	var queue [][]byte
	send := func(b []byte) { queue = append(queue, bytes.Clone(b)) }
	for range 1000 {
		e.tick(now, send)
		for len(queue) > 0 {
			q := queue[0]
			queue = queue[1:]
			now = now.Add(time.Millisecond)
			if a := r.answer(q); a != nil {
				e.receive(a, now, send)
			}
		}
		if now = now.Add(100 * time.Millisecond); e.done() {
			break
		}
	}
	if !e.done() {
		t.Fatal("exchanges did not end")
	}
	return e.report(now)
}

func TestExchanges(t *testing.T) {
	for name, c := range map[string]Config{
		"direct":              {InFlight: 8, Count: 100},
		"relayed":             {InFlight: 8, Count: 100, Relays: 3, Link: netip.MustParseAddr("2001:db8:1::1"), Ports: 4},
		"with renewals":       {InFlight: 8, Count: 200, Clients: 20, Renew: 0.5},
		"each released":       {InFlight: 8, Count: 100, Release: true},
		"open loop":           {Rate: 50, Count: 100},
		"for a time":          {InFlight: 1, Duration: time.Second, Clients: 100_000},
		"one client, in turn": {InFlight: 1, Count: 10, Clients: 1},
	} {
		t.Run(name+": all complete, no fault", func(t *testing.T) {
			r := play(t, c, &responder{t: t})
			if r.Failed() || r.Completed != r.Started || r.Completed == 0 || r.Lost > 0 || c.Count > 0 && r.Completed != uint64(c.Count) {
				t.Errorf("%+v", r)
			}
			if (r.Renewed > 0) != (c.Renew > 0) {
				t.Errorf("%d renewals", r.Renewed)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	discover, request := dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest
	payloadAt := func(b []byte) int { return bytes.Index(b, []byte{0x63, 0x82, 0x53, 0x63}) - 236 }
	other := net.IPv4(10, 0, 0, 200)
	for _, test := range []struct {
		name   string
		want   Fault
		on     dhcpv4.MessageType
		spoil  func(*dhcpv4.DHCPv4)
		mangle func([]byte) []byte
		relays int
		lost   uint64
	}{
		{name: "cut short", want: Malformed, on: discover, mangle: func(b []byte) []byte { return b[:len(b)-30] }, lost: 1},
		{name: "another type", want: Malformed, on: discover, mangle: func(b []byte) []byte { b[0] = 20; return b }, lost: 1},
		{name: "option 87 twice", want: Malformed, on: request, mangle: func(b []byte) []byte { return append(b, b[4:]...) }, lost: 1},
		{name: "a request for an answer", want: Malformed, on: discover, spoil: func(m *dhcpv4.DHCPv4) { m.OpCode = 1 }, lost: 1},
		{name: "flags", want: FlagsSet, on: request, mangle: func(b []byte) []byte { b[1] = 0x80; return b }},
		{name: "hop count", want: WrongChain, on: discover, relays: 2, mangle: func(b []byte) []byte { b[1]++; return b }, lost: 1},
		{name: "Interface-Id", want: WrongChain, on: request, relays: 1, mangle: func(b []byte) []byte { b[38]++; return b }, lost: 1},
		{name: "hardware address", want: WrongClient, on: discover, mangle: func(b []byte) []byte { b[payloadAt(b)+30]++; return b }, lost: 1},
		{name: "client identifier", want: WrongClient, on: request, spoil: func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptClientIdentifier([]byte{0xff, 1})) }, lost: 1},
		{name: "no client identifier", want: WrongClient, on: request, spoil: func(m *dhcpv4.DHCPv4) { m.Options.Del(dhcpv4.OptionClientIdentifier) }, lost: 1},
		{name: "an ACK for a DISCOVER", want: WrongType, on: discover, spoil: func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeAck)) }},
		{name: "a NAK", want: Refused, on: request, spoil: func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeNak)) }},
		{name: "no server identifier", want: Incomplete, on: discover, spoil: func(m *dhcpv4.DHCPv4) { m.Options.Del(dhcpv4.OptionServerIdentifier) }},
		{name: "no lease time", want: Incomplete, on: request, spoil: func(m *dhcpv4.DHCPv4) { m.Options.Del(dhcpv4.OptionIPAddressLeaseTime) }},
		{name: "no address", want: Incomplete, on: discover, spoil: func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4zero }},
		{name: "another address than offered", want: OtherAddress, on: request, spoil: func(m *dhcpv4.DHCPv4) { m.YourIPAddr = other }},
		{name: "another transaction", want: Unexpected, on: discover, mangle: func(b []byte) []byte { b[payloadAt(b)+4] ^= 0xff; return b }, lost: 1},
	} {
		t.Run("is noticed: "+test.name, func(t *testing.T) {
			r := play(t, Config{InFlight: 1, Count: 3, Relays: test.relays, Link: netip.MustParseAddr("2001:db8::1")},
				&responder{t: t, on: test.on, spoil: test.spoil, mangle: test.mangle})
			if len(r.Faults) != 1 || r.Faults[test.want] != 1 || r.Lost != test.lost {
				t.Errorf("faults %v, lost %d, want one %s and %d lost", r.Faults, r.Lost, test.want, test.lost)
			}
		})
	}
	t.Run("is noticed: an address given twice", func(t *testing.T) {
		twice := &responder{t: t, on: discover}
		give := func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4(10, 0, 0, 1) } // client 0 has it
		c := Config{InFlight: 1, Count: 2}
		twice.mangle = func(b []byte) []byte { twice.spoil = give; return b }
		if r := play(t, c, twice); r.Faults[TwiceGiven] != 1 {
			t.Errorf("faults %v", r.Faults)
		}
	})
	t.Run("an answer that is missing is lost, not a fault", func(t *testing.T) {
		r := play(t, Config{InFlight: 1, Count: 2}, &responder{t: t, on: discover, mangle: func([]byte) []byte { return nil }})
		if r.Failed() || r.Lost != 1 || r.Completed != 1 {
			t.Errorf("%+v", r)
		}
	})
}

func TestHistogram(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var h Histogram
	var all []time.Duration
	for range 20_000 {
		d := time.Duration(r.ExpFloat64() * float64(time.Millisecond))
		h.Add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, p := range []float64{1, 50, 90, 99, 99.9, 100} {
		exact := all[min(int(float64(len(all))*p/100), len(all)-1)]
		if got := h.Percentile(p); float64(got) < 0.97*float64(exact) || float64(got) > 1.05*float64(exact) {
			t.Errorf("p%v is %s, counted exactly %s", p, got, exact)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte{21, 0, 0, 0})
	f.Add(bytes.Repeat([]byte{13}, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, why := read(b, nil)
		if why == "" && (len(a.chaddr) > 16 || len(a.clientID) > 255) {
			t.Errorf("%+v", a)
		}
	})
}
