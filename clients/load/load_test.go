package load

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/relay"
)

// A responder is a server that gives client n the address 10.0.0.n+1. It makes one mistake if it is
// told to.
type responder struct {
	t      testing.TB
	spoil  func(m *dhcpv4.DHCPv4)       // changes the DHCPv4 reply
	mangle func(datagram []byte) []byte // changes the datagram
	on     dhcpv4.MessageType           // the query whose answer is changed

	keep     bool          // make the mistake each time
	lease    time.Duration // an hour if 0
	stubborn bool          // gives declined addresses again

	gone map[dhcpv4.MessageType]int // messages that get no answer
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
		dhcpv4.MessageTypeRequest: dhcpv4.MessageTypeAck, dhcpv4.MessageTypeInform: dhcpv4.MessageTypeAck}[m.MessageType()]
	if kind == 0 {
		if r.gone == nil {
			r.gone = make(map[dhcpv4.MessageType]int)
		}
		r.gone[m.MessageType()]++
		return nil
	}
	declined := byte(r.gone[dhcpv4.MessageTypeDecline])
	if r.stubborn {
		declined = 0
	}
	lease := uint32(cmp.Or(r.lease, time.Hour) / time.Second)
	reply, err := dhcpv4.NewReplyFromRequest(m, dhcpv4.WithMessageType(kind), dhcpv4.WithLeaseTime(lease),
		dhcpv4.WithYourIP(net.IPv4(10, declined, m.ClientHWAddr[4], m.ClientHWAddr[5]+1)),
		dhcpv4.WithNetmask(net.CIDRMask(8, 32)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 0, 1))))
	if err != nil {
		r.t.Fatal(err)
	}
	if m.MessageType() == dhcpv4.MessageTypeInform {
		reply.YourIPAddr = net.IPv4zero
		reply.Options.Del(dhcpv4.OptionIPAddressLeaseTime)
	} else if !m.ClientIPAddr.IsUnspecified() {
		reply.YourIPAddr = m.ClientIPAddr
	} else if wish := m.RequestedIPAddress(); wish != nil {
		reply.YourIPAddr = wish
	}
	reply.UpdateOption(dhcpv4.OptClientIdentifier(m.Options.Get(dhcpv4.OptionClientIdentifier)))
	at := r.on == m.MessageType() || r.on == 0
	if at && r.spoil != nil {
		r.spoil(reply)
		if !r.keep {
			r.spoil = nil
		}
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

// start makes an engine. The function that it returns hands over the messages queued since its last
// call.
func start(t testing.TB, c Config) (e *engine, sent func() [][]byte) {
	t.Helper()
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(c)
	if err != nil {
		t.Fatal(err)
	}
	var list [][]byte
	e.flush = func() {
		for k := range e.out {
			q := &e.out[k]
			for i := range q.packets[:q.n] {
				list = append(list, bytes.Clone(q.packets[i].Data))
			}
			q.n = 0
		}
	}
	return e, func() [][]byte {
		e.flush()
		all := list
		list = nil
		return all
	}
}

// play runs an engine against the responder until all exchanges have ended.
func play(t *testing.T, c Config, r *responder) Report {
	t.Helper()
	e, sent := start(t, c)
	var now time.Duration
	var queue [][]byte
	for range 1000 {
		e.tick(now)
		for queue = append(queue, sent()...); len(queue) > 0; queue = append(queue, sent()...) {
			q := queue[0]
			queue = queue[1:]
			now += time.Millisecond
			if a := r.answer(q); a != nil {
				e.receive(a, netip.Addr{}, now)
			}
		}
		if now += 100 * time.Millisecond; e.done() {
			return e.report(now)
		}
	}
	t.Fatal("exchanges did not end")
	return Report{}
}

func TestExchanges(t *testing.T) {
	for name, c := range map[string]Config{
		"direct":                       {InFlight: 8, Count: 100},
		"relayed":                      {InFlight: 8, Count: 100, Relays: 3, Link: netip.MustParseAddr("2001:db8:1::1"), Ports: 4},
		"with renewals":                {InFlight: 8, Count: 200, Clients: 20, Renew: 0.5},
		"each released":                {InFlight: 8, Count: 100, Release: 1},
		"half of them released":        {InFlight: 8, Count: 100, Release: 0.5},
		"some declined":                {InFlight: 8, Count: 100, Decline: 0.3, Clients: 10},
		"with INFORMs":                 {InFlight: 8, Count: 200, Clients: 20, Inform: 0.5},
		"everything, nine relays deep": {InFlight: 8, Count: 400, Clients: 20, Renew: 0.3, Inform: 0.3, Release: 0.2, Decline: 0.1, Relays: 9, Ports: 3, Links: 7, Link: netip.MustParseAddr("2001:db8:1::1"), Require: []byte{1}, Expect: netip.MustParsePrefix("10.0.0.0/8")},
		"open loop":                    {Rate: 50, Count: 100},
		"for a time":                   {InFlight: 1, Duration: time.Second, Clients: 100_000},
		"one client, in turn":          {InFlight: 1, Count: 10, Clients: 1},
	} {
		t.Run(name+": all complete, no fault", func(t *testing.T) {
			server := &responder{t: t}
			r := play(t, c, server)
			if r.Failed() || r.Completed != r.Started || r.Completed == 0 || r.Lost > 0 || (c.Count > 0 && r.Completed != uint64(c.Count)) {
				t.Errorf("%+v", r)
			}
			if (r.Renewed > 0) != (c.Renew > 0) {
				t.Errorf("%d renewals", r.Renewed)
			}
			if (r.Informed > 0) != (c.Inform > 0) || (r.Released > 0) != (c.Release > 0) || (r.Declined > 0) != (c.Decline > 0) {
				t.Errorf("%d INFORMs, %d released, %d declined", r.Informed, r.Released, r.Declined)
			}
			if uint64(server.gone[dhcpv4.MessageTypeRelease]) != r.Released || uint64(server.gone[dhcpv4.MessageTypeDecline]) != r.Declined {
				t.Errorf("the server saw %v, the report has %d released, %d declined", server.gone, r.Released, r.Declined)
			}
		})
	}
}

func TestHeldLeasesAreRenewedAtRandom(t *testing.T) {
	const clients = 40
	e, sent := start(t, Config{InFlight: 1, Count: 200, Clients: clients, Renew: 1, Shuffle: true, Held: netip.MustParseAddr("10.0.0.5")})
	server := &responder{t: t}
	var order []byte
	seen := make(map[byte]bool)
	for now := time.Duration(0); !e.done(); now++ {
		e.tick(now)
		for _, q := range sent() {
			payload, _ := relay.Payload(q)
			m, err := dhcpv4.FromBytes(payload)
			if err != nil {
				t.Fatal(err)
			}
			n := m.ClientHWAddr[5]
			if want := net.IPv4(10, 0, 0, 5+n); !m.ClientIPAddr.Equal(want) || m.MessageType() != dhcpv4.MessageTypeRequest {
				t.Fatalf("client %d sends %v for %v, want a renewal of %v", n, m.MessageType(), m.ClientIPAddr, want)
			}
			order, seen[n] = append(order, n), true
			e.receive(server.answer(q), netip.Addr{}, now)
		}
	}
	if r := e.report(1); r.Renewed != 200 || r.Failed() || r.Addresses != clients {
		t.Errorf("%+v", r)
	}
	if len(seen) < clients*3/4 || slices.IsSorted(order[:clients]) {
		t.Errorf("clients came in the order %v", order)
	}
}

func TestFaults(t *testing.T) {
	discover, request := dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest
	payloadAt := func(b []byte) int { return bytes.Index(b, []byte{0x63, 0x82, 0x53, 0x63}) - 236 }
	other := net.IPv4(10, 0, 0, 200)
	seen := make(map[fault]bool)
	requests := 0
	for _, test := range []struct {
		name   string
		want   fault
		on     dhcpv4.MessageType
		spoil  func(*dhcpv4.DHCPv4)
		mangle func([]byte) []byte
		relays int
		lost   uint64
		config Config
	}{
		{name: "cut short", want: malformed, on: discover, mangle: func(b []byte) []byte { return b[:len(b)-30] }, lost: 1},
		{name: "another type", want: malformed, on: discover, mangle: func(b []byte) []byte { b[0] = 20; return b }, lost: 1},
		{name: "option 87 twice", want: malformed, on: request, mangle: func(b []byte) []byte { return append(b, b[4:]...) }, lost: 1},
		{name: "a request for an answer", want: malformed, on: discover, spoil: func(m *dhcpv4.DHCPv4) { m.OpCode = 1 }, lost: 1},
		{name: "flags", want: flagsSet, on: request, mangle: func(b []byte) []byte { b[1] = 0x80; return b }},
		{name: "hop count", want: wrongChain, on: discover, relays: 2, mangle: func(b []byte) []byte { b[1]++; return b }, lost: 1},
		{name: "Interface-Id", want: wrongChain, on: request, relays: 1, mangle: func(b []byte) []byte { b[38]++; return b }, lost: 1},
		{name: "hardware address", want: wrongClient, on: discover, mangle: func(b []byte) []byte { b[payloadAt(b)+30]++; return b }, lost: 1},
		{name: "client identifier", want: wrongClient, on: request, spoil: func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptClientIdentifier([]byte{0xff, 1})) }, lost: 1},
		{name: "no client identifier", want: wrongClient, on: request, spoil: func(m *dhcpv4.DHCPv4) { m.Options.Del(dhcpv4.OptionClientIdentifier) }, lost: 1},
		{name: "an ACK for a DISCOVER", want: wrongType, on: discover, spoil: func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeAck)) }},
		{name: "a NAK", want: refused, on: request, spoil: func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeNak)) }},
		{name: "no server identifier", want: incomplete, on: discover, spoil: func(m *dhcpv4.DHCPv4) { m.Options.Del(dhcpv4.OptionServerIdentifier) }},
		{name: "no lease time", want: incomplete, on: request, spoil: func(m *dhcpv4.DHCPv4) { m.Options.Del(dhcpv4.OptionIPAddressLeaseTime) }},
		{name: "no address", want: incomplete, on: discover, spoil: func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4zero }},
		{name: "another address than offered", want: otherAddress, on: request, spoil: func(m *dhcpv4.DHCPv4) { m.YourIPAddr = other }},
		{name: "another transaction", want: unexpected, on: discover, mangle: func(b []byte) []byte { b[payloadAt(b)+4] ^= 0xff; return b }, lost: 1},
		{name: "an option that is required is missing", want: incomplete, on: request, spoil: func(m *dhcpv4.DHCPv4) { m.Options.Del(dhcpv4.OptionSubnetMask) }, config: Config{Require: []byte{1}}},
		{name: "another subnet", want: wrongSubnet, on: discover, spoil: func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4(192, 0, 2, 1) }, config: Config{Expect: netip.MustParsePrefix("10.0.0.0/8")}},
		{name: "relay levels around a direct answer", want: wrongChain, on: discover, mangle: func(b []byte) []byte {
			return slices.Concat([]byte{13, 0}, make([]byte, 32), []byte{0, 9, byte(len(b) >> 8), byte(len(b))}, b)
		}, lost: 1},
		{name: "a relayed answer without its levels", want: wrongChain, on: discover, relays: 1, mangle: func(b []byte) []byte {
			level, _ := relay.ParseLevel(b)
			return level.Message
		}, lost: 1},
		{name: "an address in the answer to an INFORM", want: notForInform, on: dhcpv4.MessageTypeInform, spoil: func(m *dhcpv4.DHCPv4) { m.YourIPAddr = other }, config: Config{Clients: 1, Inform: 1}},
		{name: "a lease time in the answer to an INFORM", want: notForInform, on: dhcpv4.MessageTypeInform, spoil: func(m *dhcpv4.DHCPv4) {
			m.UpdateOption(dhcpv4.OptIPAddressLeaseTime(time.Hour))
		}, config: Config{Clients: 1, Inform: 1}},
		{name: "another address for a renewal", want: otherAddress, on: request, spoil: func(m *dhcpv4.DHCPv4) {
			if requests++; requests == 2 { // the first one is no renewal
				m.YourIPAddr = other
			}
		}, config: Config{Clients: 1, Renew: 1}},
	} {
		t.Run("is noticed: "+test.name, func(t *testing.T) {
			c := test.config
			c.InFlight, c.Count, c.Relays, c.Link = 1, 3, test.relays, netip.MustParseAddr("2001:db8::1")
			server := &responder{t: t, on: test.on, spoil: test.spoil, mangle: test.mangle}
			server.keep = c.Renew > 0
			r := play(t, c, server)
			if name := faults[test.want].name; len(r.Faults) != 1 || r.Faults[name] != 1 || r.Lost != test.lost {
				t.Errorf("faults %v, lost %d, want one %s and %d lost", r.Faults, r.Lost, name, test.lost)
			}
			if !strings.Contains(r.String(), "FAULT "+faults[test.want].name) || !r.Failed() {
				t.Errorf("the report does not tell:\n%s", r)
			}
			seen[test.want] = true
		})
	}
	t.Run("is no fault: a NAK for an offered address, of servers that share the addresses", func(t *testing.T) {
		naks := &responder{t: t, on: request, spoil: func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeNak)) }}
		r := play(t, Config{InFlight: 1, Count: 3, Shared: true}, naks)
		if r.Failed() || r.Refused != 1 || r.Lost != 0 || r.Completed != 2 || !strings.Contains(r.String(), "refused 1, because") {
			t.Errorf("faults %v, %d refused, %d lost, %d completed:\n%s", r.Faults, r.Refused, r.Lost, r.Completed, r)
		}
	})
	t.Run("is noticed: a NAK for a renewal, of servers that share the addresses", func(t *testing.T) {
		requests := 0
		naks := &responder{t: t, on: request, keep: true, spoil: func(m *dhcpv4.DHCPv4) {
			if requests++; requests == 2 { // the first one is no renewal
				m.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeNak))
			}
		}}
		r := play(t, Config{InFlight: 1, Count: 3, Clients: 1, Renew: 1, Shared: true}, naks)
		if r.Faults["refused"] != 1 || r.Refused != 0 {
			t.Errorf("faults %v, %d refused", r.Faults, r.Refused)
		}
	})
	t.Run("is noticed: an address given twice", func(t *testing.T) {
		twice := &responder{t: t, on: discover}
		give := func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4(10, 0, 0, 1) } // client 0 has it
		c := Config{InFlight: 1, Count: 2}
		twice.mangle = func(b []byte) []byte { twice.spoil = give; return b }
		if r := play(t, c, twice); r.Faults[faults[twiceGiven].name] != 1 {
			t.Errorf("faults %v", r.Faults)
		}
		seen[twiceGiven] = true
	})
	t.Run("is not one: an address given again after its lease ended", func(t *testing.T) {
		twice := &responder{t: t, on: discover}
		twice.mangle = func(b []byte) []byte {
			twice.on, twice.keep = 0, true
			twice.spoil = func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4(10, 0, 0, 1) }
			return b
		}
		twice.lease = time.Second
		if r := play(t, Config{Rate: 0.4, InFlight: 1, Count: 2}, twice); r.Failed() || r.Completed != 2 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("is noticed: an address given after it was declined", func(t *testing.T) {
		again := &responder{t: t, stubborn: true}
		if r := play(t, Config{InFlight: 1, Count: 2, Clients: 1, Decline: 1}, again); r.Faults[faults[declinedGiven].name] != 1 {
			t.Errorf("faults %v", r.Faults)
		}
		seen[declinedGiven] = true
	})
	t.Run("is noticed: an answer that came to another client's address", func(t *testing.T) {
		local := netip.MustParseAddr("2001:db8::8")
		e, sent := start(t, Config{InFlight: 1, Count: 1, Sources: 2, Local: local})
		e.tick(0)
		e.receive((&responder{t: t}).answer(sent()[0]), local.Next(), 0)
		e.receive((&responder{t: t}).answer(sent()[0]), local, 0)
		if r := e.report(1); r.Faults[faults[misdelivered].name] != 1 || r.Completed != 1 {
			t.Errorf("%+v", r)
		}
		seen[misdelivered] = true
	})
	for f := range faults {
		if f := fault(f); f != none && !seen[f] {
			t.Errorf("no test commits the fault %s", faults[f].name)
		}
	}
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
		if why == none && (len(a.chaddr) > 16 || len(a.clientID) > 255) {
			t.Errorf("%+v", a)
		}
	})
}

// TestAllocations covers whole exchanges with renewals and releases, from datagram to datagram,
// without the sockets.
func TestAllocations(t *testing.T) {
	for name, c := range map[string]Config{
		"direct":               {},
		"mixed":                {Renew: 0.4, Inform: 0.2, Release: 0.3},
		"nine relays":          {Relays: 9, Ports: 8, Links: 3, Link: netip.MustParseAddr("2001:db8::1")},
		"addresses of clients": {Sources: 64, Local: netip.MustParseAddr("2001:db8::1")},
	} {
		t.Run(name, func(t *testing.T) {
			turn, e := cycle(t, c)
			if n := testing.AllocsPerRun(2000, turn); n != 0 {
				t.Errorf("%v allocations", n)
			}
			if r := e.report(1); r.Failed() || r.Completed < 2000 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// BenchmarkExchange measures what the generator costs per exchange, without system calls.
func BenchmarkExchange(b *testing.B) {
	for name, c := range map[string]Config{"direct": {}, "relay": {Relays: 1}, "nine relays": {Relays: 9}} {
		b.Run(name, func(b *testing.B) {
			turn, e := cycle(b, c)
			b.ReportAllocs()
			for b.Loop() {
				turn()
			}
			if r := e.report(1); r.Failed() {
				b.Errorf("%+v", r)
			}
		})
	}
}

// cycle makes one exchange per call. It answers the engine from templates of the responder's
// answers.
func cycle(t testing.TB, c Config) (turn func(), e *engine) {
	c.InFlight, c.Clients, c.Duration = 1, 64, time.Hour
	e, _ = start(t, c)
	e.tick(0)
	var answers [kinds]template
	for k := discover; k < kinds; k++ {
		r := &responder{t: t, spoil: func(m *dhcpv4.DHCPv4) {
			if k != inform {
				m.YourIPAddr = mark(markAddress)
			}
		}}
		answers[k] = newTemplate(r.answer(e.templates[k].octets))
	}
	e.flush = func() { t.Error("a queue was full") }
	s := &e.slots[0]
	return func() {
		for done := e.completed; e.completed == done; {
			for k := range e.out {
				e.out[k].n = 0
			}
			k := s.kind
			address := s.address
			if k == discover {
				address = 10<<24 + s.client + 1
			}
			answers[k].fill(answers[k].octets, e.values(s.client, s.xid, address, 0))
			e.receive(answers[k].octets, e.config.source(s.client), 0)
		}
	}, e
}

// TestDeterminism: the same seed and answers give the same octets.
func TestDeterminism(t *testing.T) {
	run := func(seed uint64) []byte {
		e, sent := start(t, Config{InFlight: 4, Count: 200, Clients: 20, Renew: 0.5, Release: 0.2, Relays: 2, Ports: 3, Seed: seed})
		server := &responder{t: t}
		var all []byte
		e.tick(0)
		for queue := sent(); len(queue) > 0; queue = append(queue, sent()...) {
			all = append(all, queue[0]...)
			if a := server.answer(queue[0]); a != nil {
				e.receive(a, netip.Addr{}, 0)
			}
			queue = queue[1:]
		}
		return all
	}
	first := run(7)
	if !bytes.Equal(first, run(7)) {
		t.Error("two runs of a seed differ")
	}
	if bytes.Equal(first, run(8)) {
		t.Error("two seeds give the same messages")
	}
}

// TestLate: no exchange completes if answers take longer than the timeout. Each is given up then,
// and not before.
func TestLate(t *testing.T) {
	e, sent := start(t, Config{Rate: 10, InFlight: 30, Duration: time.Second, Clients: 30, Timeout: 500 * time.Millisecond})
	for now := time.Duration(0); now < 2*time.Second; now += 10 * time.Millisecond {
		e.tick(now)
		if want := max(0, min(10, int((now-501*time.Millisecond)/(100*time.Millisecond)+1))); now > 501*time.Millisecond && e.lost != uint64(want) {
			t.Fatalf("after %s %d are lost, want %d", now, e.lost, want)
		}
	}
	if n := len(sent()); n != 10 || !e.done() {
		t.Errorf("%d sent, done %t", n, e.done())
	}
}

func TestGoodputIsCountedWhileExchangesBegin(t *testing.T) {
	e, sent := start(t, Config{Rate: 10, Duration: time.Second, Clients: 100, Require: []byte{1}})
	r := &responder{t: t}
	for now := time.Duration(0); !e.done(); now += 100 * time.Millisecond {
		e.tick(now)
		for _, query := range sent() {
			if now < 500*time.Millisecond { // one that begins later has no answer yet
				e.receive(r.answer(query), netip.Addr{}, now)
			}
		}
		for _, query := range sent() {
			e.receive(r.answer(query), netip.Addr{}, now)
		}
	}
	got := e.report(2 * time.Second)
	if got.Started != 10 || got.Completed != 5 || got.Lost != 5 {
		t.Fatalf("%+v", got)
	}
	if got.Goodput != 5/0.9 || got.Offered != 10/0.9 || got.Rate != 2.5 {
		t.Errorf("goodput %v, offered %v, rate %v: the last one began after 0.9 s, and the run took two", got.Goodput, got.Offered, got.Rate)
	}
}
