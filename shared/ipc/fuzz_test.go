package ipc_test

import (
	"bytes"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

func seeds(f *testing.F) {
	for _, file := range []string{"golden.hex", "kea-2.2.0.hex"} {
		for _, b := range datagrams(f, file) {
			f.Add(b)
			f.Add(twinStrip(b, false))
		}
	}
	ours := full("lo", "2001:db8::bad", "\x02\x22")
	f.Add(wrap(2, dhcp6.RelayForward, message(dhcp6.DHCPv4Query, option(17, other, "any"), option(17, isc, ours, option(60004, "")), carried(), option(17, isc, ours))))
	f.Add(wrap(2, dhcp6.RelayReply, message(dhcp6.DHCPv4Response, option(17, isc, option(1, ""), ours, option(60004, "")), carried())))
	for _, cut := range []string{"\xea", "\xea\x61\x00", "\xea\x61\x00\x03ab"} { // suboptions that end too early
		f.Add(message(dhcp6.DHCPv4Query, option(17, isc, ours, cut), carried()))
		f.Add(message(dhcp6.DHCPv4Response, option(17, isc, ours, cut), carried()))
	}
	f.Add(ipc.AppendProbe(nil))
}

// checkAppend holds AppendQuery to its twin, and Parse and Strip to what went
// in.
func checkAppend(t rapid.TB, sent []byte, c ipc.Context) {
	t.Helper()
	var p dhcp6.Packet
	if p.Parse(sent) != drop.None {
		return
	}
	kept := bytes.Clone(sent)
	got, why := ipc.AppendQuery(nil, &p, c)
	if !bytes.Equal(sent, kept) {
		t.Fatalf("AppendQuery changed the datagram %x", kept)
	}
	if why != drop.None {
		if len(got) != 0 {
			t.Fatalf("AppendQuery = %x, %v", got, why)
		}
		return
	}
	if want := twinAppendQuery(sent, c); !bytes.Equal(got, want) {
		t.Fatalf("AppendQuery of %x\n got %x\nwant %x", sent, got, want)
	}
	var q ipc.Query
	if why := q.Parse(got); why != drop.None {
		t.Fatalf("Query.Parse(%x) = %v", got, why)
	}
	inner, _ := p.Message().DHCPv4()
	if !sameContext(q.Context(), &c) || !bytes.Equal(q.Context().Beside, c.Beside) || !bytes.Equal(q.DHCPv4(), inner) || q.Packet().Relays() != p.Relays() {
		t.Fatalf("Query of %x: context %v, want %v", got, q.Context(), c)
	}
	checkResponse(t, &q, inner)
	// What the client or relay sent, but for what it may not send.
	want := twinStrip(got, false)
	if !hasISC(&p) {
		want = sent
	}
	if stripped := q.Strip(); !bytes.Equal(stripped, want) {
		t.Fatalf("Strip of the query of %x\n got %x\nwant %x", sent, stripped, want)
	}
}

func hasISC(p *dhcp6.Packet) bool {
	for c, d := range dhcp6.Options(p.Message().Options()) {
		if c == dhcp6.OptVendorOpts && bytes.HasPrefix(d, []byte(isc)) {
			return true
		}
	}
	return false
}

// checkResponse answers a query with the payload and follows the response to
// the client.
func checkResponse(t rapid.TB, q *ipc.Query, payload []byte) {
	t.Helper()
	b, mark := ipc.BeginResponse(nil, q)
	b, why := mark.End(append(b, payload...))
	if why != drop.None {
		return // longer than a datagram
	}
	var r ipc.Response
	if why := r.Parse(b); why != drop.None {
		t.Fatalf("Response.Parse(%x) = %v", b, why)
	}
	if !sameContext(r.Context(), q.Context()) || r.Relayed() != (q.Packet().Relays() > 0) || r.Packet().HasRelayPort() != q.Packet().HasRelayPort() {
		t.Fatalf("response %x to %x", b, q.Packet().Bytes())
	}
	want := twinStrip(b, true)
	stripped := r.Strip()
	var p dhcp6.Packet
	if !bytes.Equal(stripped, want) || p.ParseReply(stripped) != drop.None || p.Message().Count(17) != 0 {
		t.Fatalf("Strip of the response\n got %x\nwant %x", stripped, want)
	}
	if inner, _ := p.Message().DHCPv4(); !bytes.Equal(inner, payload) {
		t.Fatalf("DHCPv4 message %x, want %x", inner, payload)
	}
}

func FuzzAppendQuery(f *testing.F) {
	seeds(f)
	c := context("eth1", "[2001:db8::1]:547")
	local := c
	local.Local = netip.MustParseAddr("2001:db8::547")
	local.Beside = []byte(beside)
	f.Fuzz(func(t *testing.T, b []byte) {
		checkAppend(t, b, c)
		checkAppend(t, b, local)
	})
}

func FuzzQuery(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var q ipc.Query
		if q.Parse(b) != drop.None {
			return
		}
		checkResponse(t, &q, q.DHCPv4())
		want := twinStrip(b, false)
		if got := q.Strip(); !bytes.Equal(got, want) {
			t.Fatalf("Strip of %x\n got %x\nwant %x", b, got, want)
		}
	})
}

func FuzzResponse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r ipc.Response
		if r.Parse(b) != drop.None {
			return
		}
		to, why := r.Destination()
		if why == drop.None && (to.Port() == 0 || !to.Addr().Is6() || to.Addr().IsMulticast() || to.Addr() != r.Context().Source.Addr()) {
			t.Fatalf("Destination = %v", to)
		}
		want := twinStrip(b, true)
		got := r.Strip()
		if !bytes.Equal(got, want) {
			t.Fatalf("Strip of %x\n got %x\nwant %x", b, got, want)
		}
		var p dhcp6.Packet
		if why := p.ParseReply(got); why != drop.None || r.Parse(got) != drop.Context {
			t.Fatalf("stripped %x: %v", got, why)
		}
	})
}

// TestTwin draws queries with vendor options of every kind, which no fuzzer of
// bytes finds.
func TestTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.StringN(0, 6, -1)
		sub := rapid.Custom(func(t *rapid.T) string {
			code := rapid.SampledFrom([]dhcp6.Code{1, 100, 59999, 60000, 60001, 60002, 60003, 60004, 60016, 60017, 65535}).Draw(t, "suboption")
			return option(code, data.Draw(t, "data"))
		})
		subs := rapid.SliceOfN(sub, 0, 6)
		options := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			switch code := rapid.SampledFrom([]dhcp6.Code{1, 9, 16, 17, 17, 17, 18, 88}).Draw(t, "option"); {
			case code != 17:
				return option(code, data.Draw(t, "data"))
			case rapid.Bool().Draw(t, "isc"):
				return option(17, append([]string{isc}, subs.Draw(t, "suboptions")...)...)
			case rapid.Bool().Draw(t, "other"):
				return option(17, append([]string{other}, subs.Draw(t, "suboptions")...)...)
			default:
				return option(17, "odd"[:rapid.IntRange(0, 3).Draw(t, "length")])
			}
		}), 0, 4)
		b := message(dhcp6.DHCPv4Query, options.Draw(t, "before")...)
		b = append(b, carried()...)
		b = append(b, message(0, options.Draw(t, "after")...)[4:]...)
		b = wrap(rapid.IntRange(0, dhcp6.MaxRelays).Draw(t, "relays"), dhcp6.RelayForward, b)
		c := context(rapid.StringMatching(`[a-z]{1,15}`).Draw(t, "interface"), "[2001:db8::1]:5000")
		if rapid.Bool().Draw(t, "local") {
			c.Local = netip.MustParseAddr("2001:db8::547")
		}
		c.Unbelieved = rapid.SampledFrom([]uint8{0, 0, 1, 8}).Draw(t, "unbelieved")
		c.Beside = []byte(rapid.SampledFrom([]string{"", "", beside}).Draw(t, "beside"))
		checkAppend(t, b, c)
	})
}

// exchange is a query's way to dhcp4d and its answer's way back, with all
// buffers given.
type exchange struct {
	name        string
	sent, reply []byte
	context     ipc.Context
	packet      dhcp6.Packet
	query       ipc.Query
	response    ipc.Response
	up, down    []byte
}

func exchanges(t testing.TB) []*exchange {
	golden := datagrams(t, "golden.hex")
	reply := golden["response direct"][50:]
	merged := message(dhcp6.DHCPv4Query, option(17, other, "any"), option(17, isc, option(100, "a"), full("lo", "2001:db8::bad", "\x02\x22")), carried())
	up, down := make([]byte, 0, 4096), make([]byte, 0, 4096)
	return []*exchange{
		{name: "direct", sent: twinStrip(golden["query direct"], false), reply: reply, context: direct, up: up, down: down},
		{name: "one relay", sent: twinStrip(golden["query relayed"], false), reply: reply, context: relayed, up: up, down: down},
		{name: "nine relays", sent: wrap(9, dhcp6.RelayForward, message(dhcp6.DHCPv4Query, carried())), reply: reply, context: relayed, up: up, down: down},
		{name: "merged", sent: merged, reply: reply, context: direct, up: up, down: down},
	}
}

func (x *exchange) run() {
	x.packet.Parse(x.sent)
	up, why := ipc.AppendQuery(x.up[:0], &x.packet, x.context)
	if why != drop.None || x.query.Parse(up) != drop.None {
		panic("query")
	}
	down, mark := ipc.BeginResponse(x.down[:0], &x.query)
	down, why = mark.End(append(down, x.reply...))
	if why != drop.None || x.response.Parse(down) != drop.None {
		panic("response")
	}
	if _, why := x.response.Destination(); why != drop.None {
		panic("destination")
	}
	x.response.Strip()
}

func TestExchangeNoAllocation(t *testing.T) {
	for _, x := range exchanges(t) {
		if n := testing.AllocsPerRun(100, x.run); n != 0 {
			t.Errorf("%s: %v allocations", x.name, n)
		}
	}
}

func BenchmarkExchange(b *testing.B) {
	for _, x := range exchanges(b) {
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x.run()
			}
		})
	}
}
